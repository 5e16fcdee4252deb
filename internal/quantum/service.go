package quantum

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"stonevault/qkd/bb84"
	"stonevault/qkd/distill"
	"stonevault/qkd/kme"
)

const (
	// preset is the link between two people, and pulses how many Alice sends in a session: enough for some 300 keys, which is
	// more than a pool holds, in about half a second of one processor.
	preset = "metro"
	pulses = 50_000_000

	// atOnce is how many sessions run at the same time. Each takes up to 50 MB.
	atOnce = 2
)

// Config is what a Service is made of.
type Config struct {
	Random io.Reader // for all that a session draws, and ids
}

// Service runs sessions. It may be used by many goroutines.
type Service struct {
	random io.Reader
	setup  bb84.Setup
	slots  chan struct{} // whoever puts something in may run a session
}

var _ kme.Maker = (*Service)(nil)

// New makes a service.
func New(c Config) (*Service, error) {
	if c.Random == nil {
		return nil, errors.New("quantum: randomness is required")
	}
	p, ok := bb84.FindPreset(preset)
	if !ok {
		return nil, fmt.Errorf("quantum: there is no preset %q", preset)
	}
	setup, err := p.For(bb84.Decoy, pulses)
	if err != nil {
		return nil, err
	}
	return &Service{random: c.Random, setup: setup, slots: make(chan struct{}, atOnce)}, nil
}

// Make runs a session for a pair. It yields as many keys as there are secret bits for, whatever n is.
func (s *Service) Make(ctx context.Context, _ kme.Pair, _ int) (keys [][kme.KeyBytes]byte, session string, err error) {
	if session, err = s.newID(); err != nil {
		return nil, "", err
	}
	run, err := s.simulate(ctx, s.setup)
	if err != nil {
		return nil, session, err
	}
	if run.Result.Aborted {
		return nil, session, &kme.Aborted{Session: session, Reason: strings.TrimPrefix(run.Result.Sentence(), "Aborted: ")}
	}
	return cut(run.Alice.Key), session, nil
}

// simulate runs a session once there is a slot for it. Its two ends begin with a secret that is drawn for it alone.
func (s *Service) simulate(ctx context.Context, setup bb84.Setup) (*bb84.Session, error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-s.slots }()
	return bb84.Simulate(ctx, setup, bb84.Randomness{Nature: s.random, Alice: s.random, Bob: s.random}, bb84.Options{})
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
