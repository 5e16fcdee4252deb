package auth

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"stonevault/audit"
	"stonevault/internal/auditlog"
)

// KeyOverlap is how long access tokens that a replaced key has signed may be good.
const KeyOverlap = AccessTTL + keysFresh + clockSkew

// RotateTokenKeys makes another key that signs access tokens. What the one before has signed stays good as long as it
// would have been, and every session goes on; then Sweep destroys that key. Of the configuration it needs all but the
// issuer and the tally. Servers notice within a minute.
func RotateTokenKeys(ctx context.Context, c Config, by auditlog.Actor) error {
	if c.Store == nil || c.Sealer == nil || c.Audit == nil || c.Rand == nil || c.Now == nil {
		return errors.New("auth: the store, the sealer, the audit log, randomness and the clock are required")
	}
	s := &Service{store: c.Store, audit: c.Audit, now: func() time.Time { return c.Now().UTC().Truncate(time.Millisecond) }}
	_, row, err := newTokenKey(c.Rand, c.Sealer, s.now())
	if err != nil {
		return err
	}
	return s.change(ctx, func(tx Tx) error {
		if err := replaceTokenKey(ctx, tx, row); err != nil {
			return err
		}
		return s.record(ctx, tx, audit.KeyRotated, by, tokenKeyEvent("begun", row), nil)
	})
}

func tokenKeyEvent(state string, k TokenKey) audit.Values {
	return audit.Values{"what": "tokens", "state": state, "version": 0, "fingerprint": k.ID, "rewritten": 0}
}

// newTokenKey draws a key.
func newTokenKey(rand io.Reader, sealer Sealer, now time.Time) (tokenSecret, TokenKey, error) {
	id, secret := make([]byte, keyIDBytes), make([]byte, keyBytes)
	for _, b := range [][]byte{id, secret} {
		if _, err := io.ReadFull(rand, b); err != nil {
			return nil, TokenKey{}, fmt.Errorf("auth: no randomness: %w", err)
		}
	}
	row := TokenKey{ID: hex.EncodeToString(id), CreatedAt: now}
	var err error
	if row.Sealed, err = sealer.Seal(TokenKeyContext(row.ID), secret); err != nil {
		return nil, TokenKey{}, fmt.Errorf("auth: seal a token key: %w", err)
	}
	return secret, row, nil
}

// replaceTokenKey retires the keys that sign, and keeps another.
func replaceTokenKey(ctx context.Context, tx Tx, row TokenKey) error {
	rows, err := tx.TokenKeys(ctx)
	if err != nil {
		return err
	}
	for _, old := range rows {
		if old.RetiredAt.IsZero() {
			old.RetiredAt = row.CreatedAt
			if err := tx.UpdateTokenKey(ctx, old); err != nil {
				return err
			}
		}
	}
	return tx.InsertTokenKey(ctx, row)
}

// destroyTokenKeys removes the keys of which no token can be alive any more.
func (s *Service) destroyTokenKeys(ctx context.Context, tx Tx, now time.Time) error {
	rows, err := tx.TokenKeys(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.RetiredAt.IsZero() || now.Before(row.RetiredAt.Add(KeyOverlap)) {
			continue
		}
		if err := tx.DeleteTokenKey(ctx, row.ID); err != nil {
			return err
		}
		if err := s.record(ctx, tx, audit.KeyRotated, auditlog.Actor{}, tokenKeyEvent("done", row), nil); err != nil {
			return err
		}
	}
	return nil
}
