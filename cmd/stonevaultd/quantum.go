package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"stonevault/internal/auditlog"
	"stonevault/internal/config"
	"stonevault/internal/front"
	"stonevault/internal/httpapi"
	"stonevault/internal/quantum"
	"stonevault/internal/vault"
	"stonevault/qkd"
	"stonevault/qkd/etsi014"
	"stonevault/qkd/kme"
)

const (
	flagQuantum = "--qkd-listen"

	// The ids of the two simulated KMEs: the one that masters ask, and the one that slaves ask.
	kmeSource = "stonevault-kme-1"
	kmeTarget = "stonevault-kme-2"

	expireEvery = time.Hour
)

// quantumKeys is what runs sessions, and what hands out their keys to other programs. The parts of the latter are nil where
// nothing does.
type quantumKeys struct {
	sessions     *quantum.Service
	listener     net.Listener
	certificates *front.Certificates
	clients      *x509.CertPool
	field        etsi014.Field
	tls          *tls.Config
}

// approachQuantum looks at what could refuse the start because of quantum keys, and changes nothing.
func (s *Server) approachQuantum() (err error) {
	c := s.Config.Quantum
	if c.SitesFile != "" {
		if _, err := openSites(c.SitesFile, s.Now); err != nil {
			return fmt.Errorf("%w; mend it, or name another file with --qkd-sites", err)
		}
	}
	if !c.On() {
		return nil
	}
	q := &s.quantum
	if q.field, err = etsi014.ParseField(c.Field); err != nil {
		return err
	}
	if q.certificates, err = front.LoadCertificates(c.CertFile, c.KeyFile, s.Now); err != nil {
		return fmt.Errorf("%w; mend it, or name other files with --qkd-tls-cert and --qkd-tls-key", err)
	}
	if q.clients, err = readAuthorities(c.ClientCAFile); err != nil {
		return fmt.Errorf("%w; name another file with --qkd-client-ca", err)
	}
	q.tls, err = etsi014.ServerTLS(q.certificates.Current, q.clients, c.AllowTLS12)
	return err
}

func readAuthorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM", path)
	}
	return pool, nil
}

// openQuantum makes the simulated KMEs, whose SAEs are the people of the vault, and what runs sessions for them.
func (s *Server) openQuantum() (err error) {
	s.quantum.sessions, err = quantum.New(quantum.Config{Store: s.store.db, Audit: s.store.recorder, Tally: s.tally, KMEs: kmeConfig(s.store, s.Config, s.Now)})
	return err
}

func kmeConfig(s *store, c config.Config, now func() time.Time) kme.Config {
	return kme.Config{
		Source: kmeSource, Target: kmeTarget, Store: s.db, Sealer: s.key, Random: rand.Reader, Now: now,
		Known: func(ctx context.Context, id string) (known bool, err error) {
			err = s.db.View(ctx, func(tx vault.Tx) error {
				person, err := tx.People().ByID(ctx, vault.PersonID(id))
				known = err == nil && person.Active
				if errors.Is(err, vault.ErrNotFound) {
					return nil
				}
				return err
			})
			return known, err
		},
		Limits: kme.Limits{KeepFor: c.Quantum.Keep},
	}
}

func (s *Server) startQuantum(jobs context.Context, api *httpapi.API) {
	q := &s.quantum
	if q.listener == nil {
		return
	}
	handler := &etsi014.Handler{Source: q.sessions.KMEs().SAE, Identify: q.field.SAE, Admit: s.admitProgram(api), Failed: s.quantumFailed}
	s.start(jobs, q.listener, fromProgram(handler), q.tls)
	s.every(jobs, certificateEvery, func(context.Context) {
		switch changed, err := q.certificates.Reload(); {
		case err != nil:
			s.Log.Error("the new certificate for quantum keys cannot be used, and the one before stays in use", "error", err)
		case changed:
			s.Log.Info("there is a new certificate for quantum keys", describe(q.certificates.Leaf())...)
		}
	})
	s.every(jobs, expireEvery, s.expireQuantum)
	s.Log.Info("quantum keys of simulated sessions are handed out", "address", "https://"+q.listener.Addr().String(),
		"certificate", front.Fingerprint(q.certificates.Leaf()), "expires", q.certificates.Leaf().NotAfter.UTC().Format(time.RFC3339))
}

// fromProgram has what is recorded of a request say where it came from.
func fromProgram(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by := auditlog.Actor{Client: r.UserAgent(), Address: programAddress(r)}
		h.ServeHTTP(w, r.WithContext(quantum.WithCaller(r.Context(), by)))
	})
}

func programAddress(r *http.Request) string {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return host
}

// admitProgram counts requests, and has programs that ask too often wait.
func (s *Server) admitProgram(api *httpapi.API) func(*http.Request, etsi014.Call) error {
	return func(r *http.Request, c etsi014.Call) error {
		wait, why, err := api.AdmitProgram(r.Context(), programAddress(r), c.SAE)
		switch {
		case wait == 0:
			return err
		case err != nil:
			s.Log.Error("requests for quantum keys cannot be counted, and are refused", "error", err)
		default:
			s.noteProgram(r, c, quantum.Limit, nil)
		}
		return &etsi014.Busy{Message: why, Wait: wait}
	}
}

// quantumFailed says what an SAE is not told.
func (s *Server) quantumFailed(r *http.Request, c etsi014.Call, err error) {
	client := programAddress(r)
	if errors.Is(err, qkd.ErrUnauthorised) {
		why, failed := s.quantum.sessions.WhyRefused(r.Context(), c.SAE)
		s.noteProgram(r, c, why, failed)
		s.Log.Warn("a program got no quantum keys, because they are not for it, or its certificate is nobody's", "client", client, "error", err)
		return
	}
	if r.Context().Err() == nil {
		s.Log.Error("quantum keys could not be handed out", "client", client, "error", err)
	}
}

// noteProgram records that a program got no keys.
func (s *Server) noteProgram(r *http.Request, c etsi014.Call, why quantum.Reason, err error) {
	ctx := context.WithoutCancel(r.Context())
	if err = errors.Join(err, s.quantum.sessions.NoteRefused(ctx, c.SAE, c.Peer, why)); err != nil {
		s.Log.Error("that a program got no quantum keys could not be recorded", "client", programAddress(r), "error", err)
	}
}

// expireQuantum destroys keys that have waited too long.
func (s *Server) expireQuantum(ctx context.Context) {
	switch n, err := s.quantum.sessions.KMEs().Expire(ctx); {
	case err != nil && ctx.Err() == nil:
		s.Log.Error("quantum keys that have waited too long could not be destroyed; it will be tried again", "error", err)
	case n > 0:
		s.Log.Info("quantum keys that nobody has fetched were destroyed", "keys", n)
	}
}
