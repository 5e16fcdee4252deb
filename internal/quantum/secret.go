package quantum

import (
	"context"
	"errors"
	"fmt"
	"io"

	"stonevault/internal/auditlog"
	"stonevault/qkd/bb84"
	"stonevault/qkd/kme"
)

// Secret is what a session left to authenticate the next one of the same two people.
type Secret struct {
	Session string    // that left it
	People  [2]string // their ids, in order
	Sealed  []byte
}

// SecretContext is what a secret is sealed for. Whoever replaces the sealing key needs it.
func SecretContext(session, one, other string) string {
	return fmt.Sprintf("stonevault.v1/qkd/secret/%s/%s/%s", session, one, other)
}

func (s Secret) context() string { return SecretContext(s.Session, s.People[0], s.People[1]) }

// borrowed is a secret that is to authenticate a session.
type borrowed struct {
	key  bb84.AuthKey
	from string // the session that left it; empty where it is to be drawn
	err  error  // it did not open, or was used before, and is gone
}

// takeSecret takes the secret of a pair, which is gone once the transaction is committed, whatever becomes of it.
func (s *Service) takeSecret(ctx context.Context, tx Tx, p kme.Pair) (b borrowed, err error) {
	kept, err := tx.TakeSecret(ctx, p.Master, p.Slave)
	if errors.Is(err, ErrNotFound) {
		return b, nil
	}
	if err != nil {
		return b, err
	}
	switch used, err := tx.SecretUsed(ctx, kept.Session); {
	case err != nil:
		return b, err
	case used:
		b.err = fmt.Errorf("quantum: the secret that session %s left was used before, and was put back; it was removed", kept.Session)
		return b, nil
	}
	b.from = kept.Session
	plain, err := s.sealer.Open(kept.context(), kept.Sealed)
	switch {
	case errors.Is(err, auditlog.ErrKeyAway):
		return b, err // it stays
	case err != nil || len(plain) != bb84.AuthSize:
		b.err = fmt.Errorf("quantum: the secret that session %s left does not open, and was removed: %v", kept.Session, err)
	}
	copy(b.key[:], plain)
	clear(plain)
	return b, nil
}

// draw makes up a secret where none was kept: the two people bring it along.
func (s *Service) draw(b *borrowed) error {
	if b.err != nil || b.from != "" {
		return b.err
	}
	if _, err := io.ReadFull(s.random, b.key[:]); err != nil {
		return fmt.Errorf("quantum: no randomness: %w", err)
	}
	return nil
}

// keepSecret keeps what a session has left for the next one.
func (s *Service) keepSecret(ctx context.Context, tx Tx, v Session, next *bb84.AuthKey) (err error) {
	kept := Secret{Session: v.ID, People: Between(v.Master.ID, v.Slave.ID)}
	if kept.Sealed, err = s.sealer.Seal(kept.context(), next[:]); err != nil {
		return err
	}
	return tx.PutSecret(ctx, kept)
}
