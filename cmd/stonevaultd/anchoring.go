package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"stonevault/audit"
	"stonevault/internal/anchor"
	"stonevault/internal/anchor/journal"
	"stonevault/internal/auditlog"
	"stonevault/internal/config"
	"stonevault/internal/httpapi"
	"stonevault/internal/metadb"
	"stonevault/internal/vault"
)

const (
	// heedEvery is how often a server looks for somebody who asks for an anchor.
	heedEvery = time.Second
	// lookEvery is how often a worker looks at the chain while an anchor is under way.
	lookEvery = 15 * time.Second

	gwei = 1_000_000_000 // wei
)

// anchoring is a log, the chain that its heads are written to, and the journal between the two.
type anchoring struct {
	db      *metadb.DB
	origin  string
	chain   *anchor.Chain
	heads   auditlog.Heads
	journal journal.Store
}

// openAnchoring opens what the settings name. No server of the chain is asked yet.
func openAnchoring(ctx context.Context, s *store, c config.Anchor, now func() time.Time) (*anchoring, error) {
	key, err := s.reader.PublicKey(ctx)
	if err != nil {
		return nil, err
	}
	chain, err := openChain(ctx, c, key.Origin())
	if err != nil {
		return nil, err
	}
	return &anchoring{s.db, key.Origin(), chain, auditlog.Heads{Reader: s.reader}, s.db.Journal(s.anchored(now))}, nil
}

func openChain(ctx context.Context, c config.Anchor, origin string) (*anchor.Chain, error) {
	id, err := anchor.ChainNamed(c.Chain)
	if err != nil {
		return nil, fmt.Errorf("--anchor-chain: %w", err)
	}
	target, err := anchor.NewTarget(id, c.Contract, c.Creator, origin)
	if err != nil {
		return nil, fmt.Errorf("%w; correct --anchor-contract or --anchor-creator, as stonevaultd anchor deploy printed them", err)
	}
	servers, err := rpcAddresses(c.RPC)
	if err != nil {
		return nil, err
	}
	chain, err := anchor.Open(ctx, target, c.Quorum, servers...)
	if err != nil {
		return nil, fmt.Errorf("%w; correct --anchor-rpc or --anchor-quorum", err)
	}
	return chain, nil
}

func openAnchorKey(c config.Anchor) (*anchor.Key, error) {
	key, err := anchor.OpenKey(c.Key, string(c.KeyPassphrase))
	if err != nil {
		return nil, fmt.Errorf("%w; correct --anchor-key or --anchor-key-passphrase-file", err)
	}
	return key, nil
}

// rpcAddresses puts in place of files the addresses that are in them. Its errors repeat no address.
func rpcAddresses(items []string) (addresses []string, err error) {
	for _, item := range items {
		path, named := strings.CutPrefix(item, config.FileItem)
		if !named {
			addresses = append(addresses, item)
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("a file with addresses of RPC servers: %w", err)
		}
		before := len(addresses)
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				addresses = append(addresses, line)
			}
		}
		if len(addresses) == before {
			return nil, fmt.Errorf("%s has no address of an RPC server; write one a line", path)
		}
	}
	return addresses, nil
}

// anchored records a final anchor in the transaction that makes it one.
func (s *store) anchored(now func() time.Time) func(context.Context, auditlog.Store, journal.Row) error {
	return func(ctx context.Context, store auditlog.Store, r journal.Row) error {
		_, err := s.recorder.Record(ctx, store, audit.Event{Type: audit.LogAnchored, Time: now(), Operational: audit.Values{
			"chain": int64(r.Scope.ChainID), "contract": prefixed(r.Scope.Contract[:]), "transaction": prefixed(r.Hash[:]),
			"block": int64(r.Block), "size": int64(r.Size), "root": hex.EncodeToString(r.Root[:]),
		}})
		return err
	}
}

// prefixed writes bytes as chains do.
func prefixed(b []byte) string { return "0x" + hex.EncodeToString(b) }

// worker makes the worker.
func (a *anchoring) worker(c config.Anchor, key *anchor.Key, log *slog.Logger, now func() time.Time) (*anchor.Worker, error) {
	return anchor.New(anchor.Config{
		Chain: a.chain, Key: key, Journal: a.journal, Heads: a.heads, Now: now, Log: log,
		Interval: c.Interval, Events: c.Events, MaxFee: c.MaxFee * gwei, Poll: min(lookEvery, c.Interval),
	})
}

// scope is whose rows of the journal these are.
func (a *anchoring) scope(sender [20]byte) journal.Scope {
	t := a.chain.Target()
	return journal.Scope{ChainID: t.ChainID, Contract: t.Contract, Log: t.Log, Sender: sender}
}

// Settings by which a server and the commands beside it speak of anchoring.
const (
	settingAnchorNow   = "anchor_now"   // a demand, by a command
	settingAnchorState = "anchor_state" // a note, by the server
)

// demand asks for an anchor of so many events.
type demand struct {
	Log  string `json:"log"` // its origin
	Size int64  `json:"size"`
	By   string `json:"by"`   // a random name of who asks
	Beat int64  `json:"beat"` // rises while somebody waits
}

// note is what a server last said of its anchoring.
type note struct {
	Condition string    `json:"condition"` // as anchor.Condition, or one of those below
	Problem   string    `json:"problem"`
	Tampering bool      `json:"tampering"`
	Since     time.Time `json:"since"`
}

func (n note) same(as note) bool {
	since := n.Since.Equal(as.Since)
	n.Since, as.Since = time.Time{}, time.Time{}
	return since && n == as
}

const (
	conditionOff      = "off"      // the server anchors nothing
	conditionStarting = "starting" // it has not looked at the chain yet
)

// readSetting reads a value in a transaction of its own.
func readSetting[T any](ctx context.Context, db *metadb.DB, name string) (value T, err error) {
	err = db.View(ctx, func(tx vault.Tx) error {
		value, err = setting[T](ctx, tx, name)
		return err
	})
	return value, err
}

func writeSetting(ctx context.Context, db *metadb.DB, name string, value any) error {
	return db.Update(ctx, func(tx vault.Tx) error { return putSetting(ctx, tx, name, value) })
}

// approachAnchoring looks at what could refuse the start because of anchoring, and changes nothing.
func (s *Server) approachAnchoring(ctx context.Context) (err error) {
	c := s.Config.Anchor
	if !c.On() {
		return nil
	}
	chain, err := openChain(ctx, c, "of no log")
	if err != nil {
		return err
	}
	chain.Close()
	if least := anchor.LeastTip(chain.Target().ChainID); c.MaxFee*gwei < least {
		return fmt.Errorf("--anchor-max-fee is below %d gwei, the least tip that this chain takes; raise it", least/gwei)
	}
	s.anchorKey, err = openAnchorKey(c)
	return err
}

// anchoring makes ready what writes heads of the audit log to a chain, and returns what starts it. Whether the
// chain's servers can be reached is no matter of the start.
func (s *Server) anchoring(ctx context.Context, api *httpapi.API) (run func(jobs context.Context), err error) {
	if s.Config.Anchor.On() {
		return s.anchors(ctx, api)
	}
	last, err := readSetting[note](ctx, s.store.db, settingAnchorState)
	if err != nil {
		return nil, err
	}
	if last.Condition != "" && last.Condition != conditionOff {
		err = writeSetting(ctx, s.store.db, settingAnchorState, note{Condition: conditionOff, Since: s.Now()})
	}
	return func(context.Context) {}, err
}

func (s *Server) anchors(ctx context.Context, api *httpapi.API) (run func(jobs context.Context), err error) {
	a, err := openAnchoring(ctx, s.store, s.Config.Anchor, s.Now)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			a.chain.Close()
		}
	}()
	w, err := a.worker(s.Config.Anchor, s.anchorKey, s.Log, s.Now)
	if err != nil {
		return nil, err
	}
	s.anchored.anchoring = a
	attendant := &attendant{anchoring: a, worker: w}
	api.Register(anchorMetrics{w})
	t := a.chain.Target()
	s.Log.Info("heads of the audit log are anchored", "chain", t.ChainID, "contract", t.Contract.Hex(), "log", prefixed(t.Log[:]), "anchorer", s.anchorKey.Address().Hex())
	return func(jobs context.Context) {
		s.jobs.Go(func() {
			<-jobs.Done()
			a.chain.Close()
		})
		s.alone(jobs, jobAnchor, func(ctx context.Context) {
			attendant.here.Store(true)
			defer attendant.here.Store(false)
			w.Run(ctx)
		})
		s.every(jobs, heedEvery, func(ctx context.Context) {
			if err := attendant.attend(ctx); err != nil && ctx.Err() == nil {
				s.Log.Error("what was asked of anchoring cannot be read, or its state not be noted; this is tried again", "error", err)
			}
		})
	}, nil
}

// attendant passes on what commands ask of a worker, and notes what the worker says, while it works here and not at
// another server.
type attendant struct {
	*anchoring
	worker *anchor.Worker
	here   atomic.Bool

	heard demand
}

func (a *attendant) attend(ctx context.Context) error {
	if !a.here.Load() {
		return nil
	}
	return errors.Join(a.heed(ctx), a.report(ctx))
}

// heed asks the worker for an anchor where somebody demands one.
func (a *attendant) heed(ctx context.Context) error {
	d, err := readSetting[demand](ctx, a.db, settingAnchorNow)
	if err != nil || d == a.heard || d.Log != a.origin {
		return err
	}
	status := a.worker.Status()
	if status.Steps == 0 {
		return nil // what the journal has is not known yet
	}
	asked := d.By == a.heard.By
	a.heard = d
	pass(a.worker, d.Size, asked)
	return nil
}

// pass asks a worker for an anchor of so many events, once: to ask again would make a second one.
func pass(w *anchor.Worker, size int64, asked bool) {
	switch status := w.Status(); {
	case size <= int64(status.Last.Size):
	case asked || size <= int64(status.InFlight.Size):
		w.Wake()
	default:
		w.AnchorNow()
	}
}

func (a *attendant) report(ctx context.Context) error {
	now := note{Condition: conditionStarting}
	if status := a.worker.Status(); status.Steps > 0 {
		now = noteOf(status.Condition, status.Problem, status.Since)
	}
	last, err := readSetting[note](ctx, a.db, settingAnchorState)
	if err != nil || last.same(now) {
		return err
	}
	return writeSetting(ctx, a.db, settingAnchorState, now)
}

// noteOf is what a worker's condition means to others. A transaction that the contract refused is evidence
// against who claims it as an anchor; a worker gives it up.
func noteOf(condition string, problem error, since time.Time) note {
	n := note{Condition: condition, Tampering: anchor.Tampering(problem) && anchor.Lasting(condition), Since: since}
	if problem != nil {
		n.Problem = problem.Error()
	}
	return n
}
