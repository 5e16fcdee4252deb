package metadb

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

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

// TestKeysOf: what a transaction has found it need not look for again, and what was taken back, erased or
// changed by another program is never found.
func TestKeysOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	db, other := open(t, path), open(t, path)
	const ana, ben = "00000000000000000000000000000001", "00000000000000000000000000000002"
	keys := func(s auditlog.Store, persons ...string) (numbers []int64) {
		t.Helper()
		found, err := s.KeysOf(t.Context(), persons...)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range found {
			numbers = append(numbers, k.Number)
		}
		slices.Sort(numbers)
		return numbers
	}
	insert := func(s auditlog.Store, number int64, person string) {
		t.Helper()
		if err := s.InsertKey(t.Context(), auditlog.Key{Number: number, Person: person, Sealed: []byte{1}}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(got []int64, numbers ...int64) {
		t.Helper()
		if !slices.Equal(got, numbers) {
			t.Errorf("the keys are %v, want %v", got, numbers)
		}
	}
	mine := errors.New("the caller's own error")
	var second sync.WaitGroup
	err := db.Audit().Update(t.Context(), func(s auditlog.Store) error {
		insert(s, 1, ana)
		want(keys(s, ana), 1)
		// The next transaction shares the commit with this one.
		second.Go(func() {
			if err := db.Audit().Update(t.Context(), func(s auditlog.Store) error {
				want(keys(s, ana))
				insert(s, 1, ben)
				want(keys(s, ana, ben), 1)
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(50 * time.Millisecond)
		return mine
	})
	if !errors.Is(err, mine) {
		t.Fatal(err)
	}
	second.Wait()
	update := func(db *DB, fn func(auditlog.Store)) {
		t.Helper()
		if err := db.Audit().Update(t.Context(), func(s auditlog.Store) error { fn(s); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	update(db, func(s auditlog.Store) {
		insert(s, 2, ana)
		insert(s, 3, "")
		for range 2 {
			want(keys(s, ana, ben, ""), 1, 2, 3)
			want(keys(s, ana, ana), 2)
		}
		if err := s.EraseKey(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		want(keys(s, ana, ben), 1)
		want(keys(s, ben), 1)
	})
	update(other, func(s auditlog.Store) {
		if err := s.EraseKey(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		insert(s, 4, ben)
	})
	var kept auditlog.Store
	update(db, func(s auditlog.Store) {
		want(keys(s, ben), 4)
		kept = s
	})
	if _, err := kept.KeysOf(t.Context(), ben); !errors.Is(err, errOver) {
		t.Errorf("after the transaction: %v", err)
	}
}
