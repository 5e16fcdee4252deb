package quantum

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"stonevault/internal/auditlog"
	"stonevault/qkd/bb84"
	"stonevault/qkd/distill"
	"stonevault/qkd/kme"
)

const (
	// preset is the link between two people, and pulses how many Alice sends in a session: enough for some 370 keys, which is
	// more than a pool holds, in about half a second of one processor.
	preset = "metro"
	pulses = 50_000_000

	// keepSessions is how many sessions of a pair are kept, and keepFor how long: each takes some 60 KB.
	keepSessions = 50
	keepFor      = 30 * 24 * time.Hour

	// lost is how long after its beginning a session that has not ended is taken for one whose server died.
	lost = 10 * time.Minute

	// atOnce is how many sessions run at the same time. Each takes up to 50 MB.
	atOnce = 2
)

// Config is what a Service is made of. All is required.
type Config struct {
	Store Store
	Audit *auditlog.Recorder
	Tally *auditlog.Tally // of programs that get no keys
	// KMEs are what the service makes keys for; Maker and Record are set by New, and Sealer, Random and Now serve sessions
	// too.
	KMEs kme.Config
}

// Service runs sessions. It may be used by many goroutines.
type Service struct {
	store  Store
	audit  *auditlog.Recorder
	tally  *auditlog.Tally
	sealer kme.Sealer
	random io.Reader
	now    func() time.Time
	setup  bb84.Setup
	slots  chan struct{} // whoever puts something in may run a session
	bench  chan struct{} // the same for the laboratory, which nobody's keys wait for
	kmes   *kme.KMEs
}

var _ kme.Maker = (*Service)(nil)

// New makes a service, and the KMEs that it fills.
func New(c Config) (*Service, error) {
	if c.Store == nil || c.Audit == nil || c.Tally == nil || c.KMEs.Now == nil {
		return nil, errors.New("quantum: all of the configuration is required")
	}
	p, ok := bb84.FindPreset(preset)
	if !ok {
		return nil, fmt.Errorf("quantum: there is no preset %q", preset)
	}
	setup, err := p.For(bb84.Decoy, pulses)
	if err != nil {
		return nil, err
	}
	now := c.KMEs.Now
	s := &Service{
		store: c.Store, audit: c.Audit, tally: c.Tally, sealer: c.KMEs.Sealer, random: c.KMEs.Random, setup: setup, slots: make(chan struct{}, atOnce), bench: make(chan struct{}, 1),
		now: func() time.Time { return time.UnixMilli(now().UnixMilli()).UTC() },
	}
	c.KMEs.Maker, c.KMEs.Record = s, s.recordDelivery
	s.kmes, err = kme.New(c.KMEs)
	return s, err
}

// KMEs are those that the service fills.
func (s *Service) KMEs() *kme.KMEs { return s.kmes }

// running is a session under way.
type running struct {
	Session
	setup  bb84.Setup
	secret borrowed
}

// Make runs a session for a pair. It yields as many keys as there are secret bits for, whatever n is.
func (s *Service) Make(ctx context.Context, p kme.Pair, _ int) (keys [][kme.KeyBytes]byte, id string, err error) {
	leave, err := enter(ctx, s.slots)
	if err != nil {
		return nil, "", err
	}
	defer leave()
	v, err := s.begin(ctx, p)
	if err != nil {
		return nil, "", err
	}
	run, err := s.simulate(ctx, v)
	if err == nil {
		v.Result, err = json.Marshal(run.Result)
	}
	if err != nil {
		v.State = Failed
		return nil, v.ID, errors.Join(err, s.end(ctx, v, nil, 0))
	}
	if run.Result.Aborted {
		v.State = Aborted
		err = &kme.Aborted{Session: v.ID, Reason: strings.TrimPrefix(run.Result.Sentence(), "Aborted: ")}
		if failed := s.end(ctx, v, run, 0); failed != nil {
			err = failed
		}
		return nil, v.ID, err
	}
	v.State = Done
	keys = cut(run.Alice.Key)
	if err := s.end(ctx, v, run, len(keys)); err != nil {
		return nil, v.ID, err
	}
	return keys, v.ID, nil
}

// begin keeps that a session of a pair runs, and takes the secret that authenticates it: no other session has that, also where
// this one comes to no end. Whether somebody listens is decided then.
func (s *Service) begin(ctx context.Context, p kme.Pair) (*running, error) {
	v := &running{Session: Session{Master: Person{ID: p.Master}, Slave: Person{ID: p.Slave}, State: Running, StartedAt: s.now()}, setup: s.setup}
	var err error
	if v.ID, err = s.newID(); err != nil {
		return nil, err
	}
	err = s.store.UpdateQuantum(ctx, func(tx Tx) (err error) {
		if v.setup.Eve, err = eve(ctx, tx, p.Master, p.Slave); err != nil {
			return err
		}
		if v.secret, err = s.takeSecret(ctx, tx, p); err != nil {
			return err
		}
		v.SecretFrom = v.secret.from
		if err := tx.TrimSessions(ctx, p, keepSessions-1, v.StartedAt.Add(-keepFor)); err != nil {
			return err
		}
		return tx.InsertSession(ctx, v.Session)
	})
	return v, err
}

// end keeps and records what a session came to, and what it leaves for the next one, also where nobody waits for it any more. run
// is nil where it failed.
func (s *Service) end(ctx context.Context, v *running, run *bb84.Session, keys int) error {
	ctx = context.WithoutCancel(ctx)
	v.EndedAt = s.now()
	if run != nil && run.Alice.Next != nil {
		defer clear(run.Alice.Next[:])
		defer clear(run.Bob.Next[:])
	}
	return s.change(ctx, func(tx Tx) error {
		if err := tx.EndSession(ctx, v.Session); err != nil {
			return err
		}
		var result *bb84.Result
		if run != nil {
			result = &run.Result
			if next := run.Alice.Next; next != nil {
				if err := s.keepSecret(ctx, tx, v.Session, next); err != nil {
					return err
				}
			}
		}
		return s.recordSession(ctx, tx, v.ID, result, keys, v.setup.Eve.Attack != bb84.NoAttack)
	})
}

// simulate runs a session. Its secret is used up, also where it does not begin.
func (s *Service) simulate(ctx context.Context, v *running) (*bb84.Session, error) {
	defer clear(v.secret.key[:])
	if err := s.draw(&v.secret); err != nil {
		return nil, err
	}
	return bb84.Simulate(ctx, v.setup, bb84.Randomness{Nature: s.random, Alice: s.random, Bob: s.random}, bb84.Options{Secret: &v.secret.key, Now: s.now})
}

// enter waits for one of the places in which sessions run, and returns what gives it back.
func enter(ctx context.Context, slots chan struct{}) (leave func(), err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// cut divides secret bits into keys.
func cut(secret *distill.Bits) [][kme.KeyBytes]byte {
	b := secret.Bytes()
	keys := make([][kme.KeyBytes]byte, secret.Len()/kme.KeySize)
	for i := range keys {
		copy(keys[i][:], b[i*kme.KeyBytes:])
	}
	clear(b)
	return keys
}

func (s *Service) newID() (string, error) {
	var id [16]byte
	if _, err := io.ReadFull(s.random, id[:]); err != nil {
		return "", fmt.Errorf("quantum: no randomness: %w", err)
	}
	return hex.EncodeToString(id[:]), nil
}
