package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"stonevault/internal/anchor"
	"stonevault/internal/auditlog"
	"stonevault/internal/auth"
	"stonevault/internal/config"
	"stonevault/internal/datadir"
	"stonevault/internal/httpapi"
	"stonevault/internal/once"
	"stonevault/internal/vault"
	"stonevault/web"
)

const (
	collectEvery  = 5 * time.Minute
	noteTimeEvery = time.Minute
)

var errStopping = errors.New("the server is stopping")

// Server is the whole program without its command line. Run starts it and Close stops it.
type Server struct {
	Config      config.Config
	Settings    []config.Value // as they came out; what changes of them is recorded
	Version     string
	CreateAdmin bool // make the account "admin" where there is no admin
	Ask         func(prompt string) (string, error)
	Stdout      io.Writer // for what CreateAdmin prints
	Log         *slog.Logger
	Now         func() time.Time

	store     *store
	tally     *auditlog.Tally
	answers   *once.Keeper
	witness   *witness
	entrance  *entrance
	limits    *limits
	anchorKey *anchor.Key // nil where nothing is anchored, as the next
	anchored  *anchorPage
	quantum   quantumKeys
	listeners []net.Listener // of the interface and, where asked for, of metrics and quantum keys
	servers   []*http.Server
	stopping  atomic.Bool
	setupOver atomic.Bool // there is nothing for endSetup to do any more
	failing   atomic.Bool // something but Close ended it
	failed    chan error
	stop      context.CancelFunc // ends the jobs
	jobs      sync.WaitGroup
}

// Run starts the server and returns when it accepts requests. When it fails nothing is left running.
func (s *Server) Run(ctx context.Context) (err error) {
	started := false
	defer func() {
		if err == nil {
			return
		}
		if started {
			err = errors.Join(err, s.recordStop(context.WithoutCancel(ctx), "failed"))
		}
		for _, l := range s.listeners {
			l.Close()
		}
		err = errors.Join(err, s.release())
	}()
	// The ports come first: whoever finds one taken has touched nothing.
	for _, l := range []struct {
		addr, flag string
		ownMachine bool
	}{
		{s.Config.Listen, "--listen", !s.Config.TLS.On() && !s.Config.Proxy.HasTLS}, {s.Config.MetricsListen, "--metrics-listen", true},
		{s.Config.Quantum.Listen, flagQuantum, false},
	} {
		if l.addr == "" {
			continue
		}
		listener, err := listen(ctx, l.addr, l.flag, l.ownMachine)
		if err != nil {
			return err
		}
		s.listeners = append(s.listeners, listener)
		if l.flag == flagQuantum {
			s.quantum.listener = listener
		}
	}
	if err := s.approach(); err != nil {
		return err
	}
	if err := s.approachAnchoring(ctx); err != nil {
		return err
	}
	if err := s.approachQuantum(); err != nil {
		return err
	}
	if err := s.openLimits(ctx); err != nil {
		return err
	}
	o := &opener{config: s.Config, version: s.Version, ask: s.Ask, now: s.Now, log: s.Log, terms: s.terms(), listen: s.Addr()}
	if s.store, err = o.open(ctx, toServe); err != nil {
		return err
	}
	if err := s.secure(); err != nil {
		return err
	}
	about, err := s.store.vault.About(ctx)
	if err != nil {
		return err
	}
	s.tally = auditlog.NewTally(s.store.recorder)
	s.answers = once.NewKeeper(s.store.db, s.Now)
	s.witness = &witness{path: s.store.dir.AuditHead(), reader: s.store.reader}
	if err := s.recordStart(ctx); err != nil {
		return err
	}
	started = true
	setup, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	page, err := web.Handler()
	if err != nil {
		return err
	}
	signIn, err := auth.New(ctx, auth.Config{
		Store: s.store.db, Sealer: s.store.key, Audit: s.store.recorder, Tally: s.tally, Issuer: about.VaultID, Now: s.Now,
	})
	if err != nil {
		return err
	}
	s.store.signIn.Store(signIn)
	var anchors httpapi.Anchors
	if s.Config.Anchor.On() {
		s.anchored = &anchorPage{}
		anchors = s.anchored
	}
	if err := s.openQuantum(); err != nil {
		return err
	}
	api, err := httpapi.New(httpapi.Config{
		Vault: s.store.vault, Auth: signIn, AuditLog: s.store.reader, AwaitEvent: s.store.sequencer.Wait, Tally: s.tally, Webhooks: s.store.webhooks, Quantum: s.quantum.sessions, Answers: s.answers, Anchors: anchors, Limiter: s.limits.limiter, RequestLimits: requestLimits(s.Config.Limits), Version: s.Version, Ready: s.ready, KeyReady: s.store.keyReady(), Log: s.Log, SetupCode: setup, Page: page,
	})
	if err != nil {
		return err
	}
	api.Register(s.entrance.collectors()...)
	api.Register(s.limits.collectors()...)
	api.Register(auditMetrics{s.store.reader, &s.store.failures}, rotationMetrics{s.store.vault})
	keeping := s.keepKey(api)
	hooks := s.telling(api)
	anchoring, err := s.anchoring(ctx, api)
	if err != nil {
		return err
	}
	if s.Config.AddrFile != "" {
		if err := datadir.WriteFile(s.Config.AddrFile, []byte(s.Addr()+"\n"), 0o644); err != nil {
			return fmt.Errorf("the address cannot be written to --addr-file: %w", err)
		}
	}
	s.failed = make(chan error, len(s.listeners))
	jobs, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.start(jobs, s.entrance.guard(s.listeners[0], s.turnAway), s.entrance.around(api), s.entrance.tls)
	for _, l := range s.listeners[1:] {
		if l != s.quantum.listener {
			s.start(jobs, l, api.Metrics(), nil)
		}
	}
	s.startQuantum(jobs, api)
	s.sequencing(jobs)
	s.every(jobs, settleEvery, s.settle)
	s.every(jobs, collectEvery, s.collectAlone)
	s.every(jobs, noteTimeEvery, s.noteTime)
	if setup != nil {
		s.every(jobs, noteTimeEvery, s.endSetup)
	}
	if s.entrance.certificates != nil {
		s.every(jobs, certificateEvery, s.reloadCertificate)
	}
	s.every(jobs, rotateEvery, s.followRoot)
	s.every(jobs, rotateEvery, s.followDestroyed)
	s.every(jobs, rotateEvery, s.rotate)
	anchoring(jobs)
	keeping(jobs)
	s.alone(jobs, "webhooks", hooks.Run)
	if s.limits.identity != "" {
		s.every(jobs, identifyEvery, s.identify)
	}
	s.jobs.Go(func() {
		signIn.Run(jobs, func(err error) { s.Log.Error("expired sessions could not be removed", "error", err) })
	})
	s.limits.announce(s.Log)
	s.Log.Info("the vault is open", "address", s.url(), "data", s.store.dir.Path(),
		"suite", int(about.Suite), "root", about.RootFingerprint.Hex(), "version", s.Version)
	return nil
}

// url is where the server is found.
func (s *Server) url() string {
	if s.entrance.tls != nil {
		return "https://" + s.Addr()
	}
	return "http://" + s.Addr()
}

// Addr is the address that the server listens on.
func (s *Server) Addr() string { return s.listeners[0].Addr().String() }

// Failed delivers what ended the server without Close.
func (s *Server) Failed() <-chan error { return s.failed }

// listen binds an address, which must lead to this machine alone where ownMachine says so.
func listen(ctx context.Context, addr, flag string, ownMachine bool) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("another program listens on %s; stop it, or choose another port with %s", addr, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s (%w); choose another address with %s", addr, err, flag)
	}
	// A name may have led elsewhere than it should.
	if ownMachine && !config.OwnMachine(l.Addr().String()) {
		l.Close()
		return nil, fmt.Errorf("%s leads to %s, which reaches other machines and needs TLS; use 127.0.0.1", addr, l.Addr())
	}
	return l, nil
}

// prepare is what must be done before the first request. It returns the code that lets the first admin
// in, nil where there is one.
func (s *Server) prepare(ctx context.Context) (setup *auth.SetupCode, err error) {
	removed, err := s.store.removeLeftovers(ctx, true)
	if err != nil {
		return nil, err
	}
	if removed > 0 {
		s.Log.Info("what interrupted uploads had left was removed", "files", removed)
	}
	s.collectAlone(ctx)
	if err := s.removeSetupCode(); err != nil { // of a server that was killed
		return nil, err
	}
	switch admins, err := s.store.vault.Admins(ctx); {
	case err != nil:
		return nil, err
	case admins == 0 && s.CreateAdmin:
		if err := s.createFirstAdmin(ctx); err != nil {
			return nil, err
		}
	case admins == 0:
		if setup, err = s.offerSetup(ctx); err != nil {
			return nil, err
		}
	}
	exists, confirmed, err := s.store.vault.RecoveryState(ctx)
	if err != nil {
		return nil, err
	}
	if exists && !confirmed {
		s.Log.Warn("nobody has confirmed that the recovery sheet is kept; without it, losing the master key is losing every file. Confirm it with: " + s.hint(confirmRecovery))
	}
	return setup, nil
}

func (s *Server) createFirstAdmin(ctx context.Context) error {
	const name = "admin"
	// What is printed below is never shown again, so make sure that it can be printed.
	if _, err := fmt.Fprintf(s.Stdout, "Making the first account.\n\n"); err != nil {
		return fmt.Errorf("nothing can be printed, and what must be printed is shown once: %w", err)
	}
	password := newPassword()
	hash, err := hashPassword(name, password)
	if err != nil {
		return err
	}
	recovery, err := createPerson(ctx, s.store.vault, name, vault.RoleAdmin, hash)
	if err != nil {
		return err
	}
	return printAccount(s.Stdout, account{name, password, recovery, s.hint(confirmRecovery)})
}

func (s *Server) hint(verb string) string { return hint(s.Config, s.store.dir, verb) }

// ready tells whether requests can be served.
func (s *Server) ready(ctx context.Context) error {
	if s.stopping.Load() {
		return errStopping
	}
	var key error
	if ready := s.store.keyReady(); ready != nil {
		key = ready()
	}
	return errors.Join(key, s.store.db.Ping(ctx), s.limits.ready(ctx), s.store.peers.Present())
}

// start serves on a listener. Requests live as long as ctx.
func (s *Server) start(ctx context.Context, l net.Listener, h http.Handler, secure *tls.Config) {
	server := &http.Server{
		Handler:   h,
		TLSConfig: secure,
		// Enough under way for 300 Mbit/s over a line of 100 ms; the library's 1 MiB is enough for 80.
		HTTP2:       &http.HTTP2Config{MaxReceiveBufferPerConnection: 8 << 20, MaxReceiveBufferPerStream: 4 << 20},
		ErrorLog:    slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	httpapi.Limits(server)
	s.servers = append(s.servers, server)
	s.jobs.Go(func() {
		serve := server.Serve
		if secure != nil {
			serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
		}
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.failing.Store(true)
			s.failed <- fmt.Errorf("serve on %s: %w", l.Addr(), err)
		}
	})
}

// every runs a job again and again until ctx ends.
func (s *Server) every(ctx context.Context, d time.Duration, job func(context.Context)) {
	s.jobs.Go(func() {
		ticker := time.NewTicker(d)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				job(ctx)
			}
		}
	})
}

// collectAlone is collect, unless another server is at it.
func (s *Server) collectAlone(ctx context.Context) {
	if _, err := s.store.peers.Alone(ctx, jobCollect, s.collect); err != nil && ctx.Err() == nil {
		s.Log.Error("whether another server settles what interrupted changes have left could not be told; it will be tried again", "error", err)
	}
}

// collect finishes what interrupted changes have left. What fails is tried again the next time.
func (s *Server) collect(ctx context.Context) {
	n, err := s.store.vault.Collect(ctx)
	if n > 0 {
		s.Log.Info("what interrupted changes had left was settled", "files", n)
	}
	if err != nil && ctx.Err() == nil {
		s.Log.Error("what interrupted changes have left could not all be settled, and will be tried again", "error", err)
	}
	if removed, err := s.store.removeLeftovers(ctx, false); err != nil && ctx.Err() == nil {
		s.Log.Error("not all that interrupted transfers have left in the object store could be removed; it will be tried again", "error", err)
	} else if removed > 0 {
		s.Log.Info("what interrupted transfers had left in the object store was removed", "objects", removed)
	}
	if err := s.answers.Sweep(ctx); err != nil && ctx.Err() == nil {
		s.Log.Error("old answers to requests with a key could not be removed, and will be tried again", "error", err)
	}
}

func (s *Server) noteTime(ctx context.Context) {
	err := s.store.vault.NoteTime(ctx)
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, vault.ErrClock):
		s.Log.Error("the clock was set back; set it right, or this server will not start again", "error", err)
	default:
		s.Log.Error("the time could not be noted", "error", err)
	}
}

// Close stops the server: it is no longer ready, requests under way may finish until ctx ends, and then
// everything is written and released.
func (s *Server) Close(ctx context.Context) error {
	s.stopping.Store(true)
	s.Log.Info("stopping; requests under way may finish")
	var errs []error
	for _, server := range s.servers {
		if err := server.Shutdown(ctx); err != nil {
			s.Log.Warn("some requests did not finish in time and were broken off")
			errs = append(errs, server.Close())
		}
	}
	s.stop()
	s.jobs.Wait()
	if err := s.recordStop(context.WithoutCancel(ctx), s.reason()); err != nil {
		s.Log.Error("the end of this server could not be recorded", "error", err)
		errs = append(errs, err)
	}
	if s.Config.AddrFile != "" {
		if err := os.Remove(s.Config.AddrFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	err := errors.Join(append(errs, s.release())...)
	if err == nil {
		s.Log.Info("stopped")
	}
	return err
}

// reason says why the server stops, as the audit log has it.
func (s *Server) reason() string {
	if s.failing.Load() {
		return "failed"
	}
	return "asked"
}

func (s *Server) release() error {
	if s.store == nil {
		return s.limits.close()
	}
	return errors.Join(s.limits.close(), s.removeSetupCode(), s.store.close()) // the lock goes last
}
