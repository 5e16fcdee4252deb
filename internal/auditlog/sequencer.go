package auditlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"stonevault/audit"
)

const (
	// batchSize bounds the events that one transaction places.
	batchSize = 1000
	// interval is how long an event waits for its index at most, and how long a sequencer rests at least,
	// unless somebody waits.
	interval = 200 * time.Millisecond
	// patrol is how often it looks for events of other programs, and again after something has failed.
	patrol = 2 * time.Second
	// turns is how often a batch is tried that others come before.
	turns = 10
)

// Sequencer gives events their indexes and signs the heads. Several may run on one database.
type Sequencer struct {
	config Config
	keys   *keyring
	wake   chan struct{} // holds one
	urgent chan struct{} // holds one
	failed func(error)

	mu     sync.Mutex
	signed chan struct{} // under mu; closed and replaced when a head was signed
}

// NewSequencer makes a sequencer. failed gets the errors of Run, which goes on after each.
func NewSequencer(c Config, failed func(error)) *Sequencer {
	return &Sequencer{
		config: c, keys: newKeyring(c), failed: failed,
		wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1), signed: make(chan struct{}),
	}
}

// Wake says that an event was recorded. It never blocks.
func (s *Sequencer) Wake() { signal(s.wake) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run sequences until ctx ends. What a crash has left comes first.
func (s *Sequencer) Run(ctx context.Context) {
	// Whoever signals may not have committed yet, so that each signal is looked after twice.
	again := false
	for {
		rest := interval
		if err := s.Step(ctx); err != nil && ctx.Err() == nil {
			s.failed(err)
			rest = patrol
		}
		select {
		case <-time.After(rest):
		case <-s.urgent:
			continue
		case <-ctx.Done():
			return
		}
		if again {
			again = false
			continue
		}
		select {
		case <-s.wake:
			again = true
		case <-s.urgent:
		case <-time.After(patrol):
		case <-ctx.Done():
			return
		}
	}
}

// Step places all events that have no index, and signs the head.
func (s *Sequencer) Step(ctx context.Context) error {
	for lost := 0; ; {
		placed := 0
		err := s.config.Database.Sequence(ctx, func(store Store) (err error) {
			placed, err = placePending(ctx, store)
			return err
		})
		if errors.Is(err, ErrConflict) && lost < turns { // another sequencer was faster
			lost++
			continue
		}
		if err != nil {
			return fmt.Errorf("auditlog: sequencing: %w", err)
		}
		if lost = 0; placed < batchSize {
			return s.sign(ctx)
		}
	}
}

// placePending gives up to batchSize events their places, in the order of their rows.
func placePending(ctx context.Context, store Store) (placed int, err error) {
	l, err := store.CurrentLog(ctx)
	if errors.Is(err, ErrNotFound) {
		return 0, ErrNoLog
	}
	if err != nil {
		return 0, err
	}
	leaves, err := store.PendingEvents(ctx, batchSize)
	if err != nil || len(leaves) == 0 {
		return 0, err
	}
	return len(leaves), place(ctx, store, l, leaves)
}

// place appends leaves to a log: their indexes, the tiles and the head.
func place(ctx context.Context, store Store, l Log, leaves []Leaf) error {
	newest, err := store.Checkpoint(ctx, l.ID)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	head, err := store.Head(ctx, l.ID)
	if err != nil {
		return err
	}
	// A head that was set back must not grow into another log. Whether it is the signed one otherwise is seen
	// to before the next signature.
	if newest.Size > head.Size {
		return fmt.Errorf("%w: its head has %d events, and %d were signed", ErrRewritten, head.Size, newest.Size)
	}
	ids, hashes := make([]int64, len(leaves)), make([]audit.Hash, len(leaves))
	for i, leaf := range leaves {
		ids[i], hashes[i] = leaf.ID, audit.LeafHash(leaf.Leaf)
	}
	next, changed, err := head.Append(tiles{ctx, store, l.ID}, hashes)
	if err != nil {
		return damage(err)
	}
	if err := store.MoveHead(ctx, l.ID, head, next); err != nil {
		return err
	}
	if err := store.PlaceEvents(ctx, l.ID, head.Size, ids); err != nil {
		return err
	}
	return store.PutTiles(ctx, l.ID, changed)
}

// sign signs the head that is durable, if it isn't signed already. A crash before the checkpoint is stored
// leaves nothing that anybody has seen, and the next call signs the same head or a later one.
func (s *Sequencer) sign(ctx context.Context) error {
	var key *audit.SigningKey
	var l Log
	var head audit.Tree
	done := false
	err := s.config.Database.View(ctx, func(store Store) (err error) {
		if l, err = store.CurrentLog(ctx); err != nil {
			return err
		}
		if key, err = s.keys.signing(l); err != nil {
			return err
		}
		if head, err = store.Head(ctx, l.ID); err != nil {
			return err
		}
		newest, err := store.Checkpoint(ctx, l.ID)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		done = newest.Size == head.Size
		return extends(tiles{ctx, store, l.ID}, key.Public(), newest, head)
	})
	if err != nil {
		return fmt.Errorf("auditlog: before signing: %w", err)
	}
	if done {
		return nil
	}
	now := s.config.Now()
	text, err := key.Sign(head, now)
	if err != nil {
		return err
	}
	err = s.config.Database.Update(ctx, func(store Store) error {
		return store.PutCheckpoint(ctx, Checkpoint{Log: l.ID, Size: head.Size, Text: text, SignedAt: now})
	})
	if err != nil {
		return fmt.Errorf("auditlog: storing the checkpoint of %d events: %w", head.Size, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.signed)
	s.signed = make(chan struct{})
	return nil
}

// extends tells whether a head continues the log that a checkpoint was signed for: nil or ErrRewritten.
func extends(r audit.TileReader, key *audit.PublicKey, signed Checkpoint, head audit.Tree) error {
	c, err := key.Open(signed.Text)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRewritten, err)
	}
	if c.Tree.Size != signed.Size {
		return fmt.Errorf("%w: the checkpoint of %d events is one of %d", ErrRewritten, signed.Size, c.Tree.Size)
	}
	proof, err := head.ProveConsistency(r, c.Tree.Size)
	if err == nil {
		err = head.VerifyConsistency(c.Tree, proof)
	}
	switch {
	case errors.Is(err, audit.ErrProof):
		return fmt.Errorf("%w: %w", ErrRewritten, err)
	case err == nil && head.Size == c.Tree.Size && head != c.Tree:
		return fmt.Errorf("%w: two roots of %d events", ErrRewritten, head.Size)
	}
	return damage(err)
}

// damage says of tiles that are missing or wrong, though the tree has them, that the log was rewritten.
func damage(err error) error {
	if errors.Is(err, ErrNotFound) || errors.Is(err, audit.ErrTiles) {
		return fmt.Errorf("%w: %v", ErrRewritten, err)
	}
	return err
}

// Wait returns the index of an event once a signed head covers it. id is what Record returned, after its
// transaction was committed.
func (s *Sequencer) Wait(ctx context.Context, id int64) (index int64, err error) {
	for {
		s.mu.Lock()
		signed := s.signed
		s.mu.Unlock()
		covered := false
		err := s.config.Database.View(ctx, func(store Store) error {
			e, err := store.Event(ctx, id)
			if err != nil || e.Index == Pending {
				return err
			}
			c, err := store.Checkpoint(ctx, e.Log)
			if errors.Is(err, ErrNotFound) {
				return nil
			}
			index, covered = e.Index, c.Size > e.Index
			return err
		})
		if err != nil || covered {
			return index, err
		}
		signal(s.urgent)
		select {
		case <-signed:
		case <-time.After(interval): // another program's sequencer may have been faster
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
