package metadb

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"stonevault/internal/auditlog"
	"stonevault/internal/vault"
)

// TestShredWhileRead: whoever still reads an old snapshot keeps the log of writes, which is then said; once
// they have gone, it is emptied.
func TestShredWhileRead(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT RUN: it waits ten seconds; run without -short")
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vault.db")
	db := open(t, path)
	if err := putSetting(t, db, "a"); err != nil {
		t.Fatal(err)
	}
	shred := func() error {
		return db.Audit().Shred(t.Context(), func(s auditlog.Store) error {
			return s.InsertKey(t.Context(), auditlog.Key{Number: 1, Sealed: []byte{1}})
		})
	}
	err := db.View(t.Context(), func(tx vault.Tx) error {
		if _, err := tx.Settings().Get(t.Context(), "a"); err != nil {
			return err
		}
		return shred()
	})
	if !errors.Is(err, auditlog.ErrNotShredded) {
		t.Errorf("beside a reader: %v", err)
	}
	// The change itself was made.
	if err := shred(); !errors.Is(err, vault.ErrExists) {
		t.Errorf("the same change again: %v", err)
	}
	if err := db.Audit().Shred(t.Context(), func(auditlog.Store) error { return nil }); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() != 0 {
		t.Errorf("the log of writes: %v, %v", info, err)
	}
}

// TestShredSwitch: deleting thoroughly is for one transaction, each time.
func TestShredSwitch(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "vault.db"))
	mode := func(tx *Tx) (n int) {
		if err := tx.session.conn.QueryRowContext(t.Context(), "PRAGMA secure_delete").Scan(&n); err != nil {
			t.Error(err)
		}
		return n
	}
	const on, fast = 1, 2
	mine := errors.New("the caller's own error")
	for range 3 {
		for _, result := range []error{nil, mine} {
			err := db.Audit().Shred(t.Context(), func(s auditlog.Store) error {
				if got := mode(s.(auditStore).tx); got != on {
					t.Errorf("inside: %d", got)
				}
				return result
			})
			if !errors.Is(err, result) {
				t.Errorf("got %v, want %v", err, result)
			}
			if err := db.WriteTx(t.Context(), func(tx *Tx) error {
				if got := mode(tx); got != fast {
					t.Errorf("afterwards: %d", got)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		}
	}
}
