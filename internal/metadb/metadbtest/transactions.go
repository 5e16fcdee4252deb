package metadbtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

var errMine = errors.New("the caller's own error")

func put(ctx context.Context, tx vault.Tx, name string) error {
	return tx.Settings().Put(ctx, name, []byte("x"))
}

// has tells whether a setting is there, in a transaction of its own.
func has(t *testing.T, db Database, name string) bool {
	t.Helper()
	err := db.View(context.WithoutCancel(t.Context()), func(tx vault.Tx) error {
		_, err := tx.Settings().Get(context.WithoutCancel(t.Context()), name)
		return err
	})
	if err != nil && !errors.Is(err, vault.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func testRollback(t *testing.T, db Database) {
	err := attempt(t, db, func(ctx context.Context, tx vault.Tx) error {
		if err := put(ctx, tx, "a"); err != nil {
			return err
		}
		if _, err := tx.Settings().Get(ctx, "a"); err != nil {
			t.Errorf("a transaction does not see its own change: %v", err)
		}
		return errMine
	})
	if err != errMine {
		t.Errorf("got %v, want the error of fn itself", err)
	}
	if has(t, db, "a") {
		t.Error("a failed update left a row")
	}
}

func testDroppedError(t *testing.T, db Database) {
	people(t, db, 1)
	err := attempt(t, db, func(ctx context.Context, tx vault.Tx) error {
		if err := put(ctx, tx, "before"); err != nil {
			return err
		}
		if err := tx.People().Insert(ctx, Person(1)); !errors.Is(err, vault.ErrExists) {
			t.Errorf("got %v, want %v", err, vault.ErrExists)
		}
		if err := put(ctx, tx, "after"); !errors.Is(err, vault.ErrExists) {
			t.Errorf("a statement after a refused one: %v", err)
		}
		return nil
	})
	if !errors.Is(err, vault.ErrExists) {
		t.Errorf("got %v, want %v", err, vault.ErrExists)
	}
	if has(t, db, "before") || has(t, db, "after") {
		t.Error("half an update was committed")
	}
	// What is merely not there ends nothing.
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		if _, err := tx.People().ByID(ctx, ID[vault.PersonID](9)); !errors.Is(err, vault.ErrNotFound) {
			return fmt.Errorf("unknown person: %w", err)
		}
		return put(ctx, tx, "kept")
	})
	if !has(t, db, "kept") {
		t.Error("an update after a lookup in vain is not there")
	}
}

// testConcurrent raises one counter from many goroutines, some of whose updates fail after their write.
func testConcurrent(t *testing.T, db Database) {
	const goroutines, rounds = 24, 20
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return tx.Settings().Put(ctx, "counter", make([]byte, 8))
	})
	var wg sync.WaitGroup
	var succeeded atomic.Int64
	for g := range goroutines {
		wg.Go(func() {
			for i := range rounds {
				fails := (g+i)%3 == 0
				err := attempt(t, db, func(ctx context.Context, tx vault.Tx) error {
					b, err := tx.Settings().Get(ctx, "counter")
					if err != nil {
						return err
					}
					b = binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(b)+1)
					if err := tx.Settings().Put(ctx, "counter", b); err != nil {
						return err
					}
					if err := put(ctx, tx, fmt.Sprintf("row %d %d", g, i)); err != nil {
						return err
					}
					if fails {
						return errMine
					}
					return nil
				})
				if fails != errors.Is(err, errMine) || !fails && err != nil {
					t.Errorf("update %d of goroutine %d: %v", i, g, err)
				}
				if err == nil {
					succeeded.Add(1)
				}
			}
		})
	}
	wg.Wait()
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		b, err := tx.Settings().Get(ctx, "counter")
		if err == nil && int64(binary.BigEndian.Uint64(b)) != succeeded.Load() {
			t.Errorf("the counter is %d after %d updates", binary.BigEndian.Uint64(b), succeeded.Load())
		}
		return err
	})
	for g := range goroutines {
		for i := range rounds {
			if has(t, db, fmt.Sprintf("row %d %d", g, i)) != ((g+i)%3 != 0) {
				t.Errorf("row %d %d is wrong", g, i)
			}
		}
	}
}

func testPanic(t *testing.T, db Database) {
	for what, run := range map[string]func(context.Context, func(vault.Tx) error) error{"update": db.Update, "view": db.View} {
		got := func() (value any) {
			defer func() { value = recover() }()
			return run(t.Context(), func(tx vault.Tx) error {
				if what == "update" {
					if err := put(t.Context(), tx, "a"); err != nil {
						t.Error(err)
					}
				}
				panic(errMine)
			})
		}()
		if got != any(errMine) {
			t.Errorf("%s: recovered %v, want the value of the panic", what, got)
		}
	}
	if has(t, db, "a") {
		t.Error("a panic left a row")
	}
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return put(ctx, tx, "b") })
}

// testGoexit ends goroutines inside their transactions, as t.FailNow does.
func testGoexit(t *testing.T, db Database) {
	var wg sync.WaitGroup
	for i := range 20 { // more than a pool of readers has
		wg.Go(func() {
			run := db.View
			if i%2 == 0 {
				run = db.Update
			}
			run(t.Context(), func(tx vault.Tx) error {
				if i%2 == 0 {
					if err := put(t.Context(), tx, "a"); err != nil {
						t.Error(err)
					}
				}
				runtime.Goexit()
				return nil
			})
			t.Error("the goroutine went on")
		})
	}
	wg.Wait()
	if has(t, db, "a") {
		t.Error("an ended goroutine left a row")
	}
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return put(ctx, tx, "b") })
}

func testSnapshot(t *testing.T, db Database) {
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		if _, err := tx.Settings().Get(ctx, "a"); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("before: %v", err)
		}
		done := make(chan struct{})
		go func() { // another request; this one's own View must not wait for it
			defer close(done)
			update(t, db, func(ctx context.Context, tx vault.Tx) error { return put(ctx, tx, "a") })
		}()
		<-done
		if _, err := tx.Settings().Get(ctx, "a"); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("after another's commit: %v", err)
		}
		return nil
	})
	if !has(t, db, "a") {
		t.Error("a new view does not see the commit")
	}
}

func testViewWrites(t *testing.T, db Database) {
	err := db.View(t.Context(), func(tx vault.Tx) error { return put(t.Context(), tx, "a") })
	if err == nil || has(t, db, "a") {
		t.Errorf("a view wrote: %v", err)
	}
}

func testKeptTx(t *testing.T, db Database) {
	for _, run := range []func(context.Context, func(vault.Tx) error) error{db.Update, db.View} {
		var kept vault.Tx
		if err := run(t.Context(), func(tx vault.Tx) error { kept = tx; return nil }); err != nil {
			t.Fatal(err)
		}
		if err := put(t.Context(), kept, "a"); err == nil {
			t.Error("a transaction wrote after its end")
		}
		if _, err := kept.Settings().Get(t.Context(), "a"); err == nil || errors.Is(err, vault.ErrNotFound) {
			t.Errorf("a transaction read after its end: %v", err)
		}
	}
	if has(t, db, "a") {
		t.Error("a row was written outside every transaction")
	}
}

// testContexts ends contexts at each moment of an update: nothing that was reported as failed may be
// there, and nothing that is there may have been reported as failed.
func testContexts(t *testing.T, db Database) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for what, run := range map[string]func(context.Context, func(vault.Tx) error) error{"update": db.Update, "view": db.View} {
		ran := false
		if err := run(ended, func(vault.Tx) error { ran = true; return nil }); !errors.Is(err, context.Canceled) || ran {
			t.Errorf("%s with an ended context: %v, ran %v", what, err, ran)
		}
	}

	t.Run("beside another that takes its time", func(t *testing.T) {
		inside, leave, left := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			left <- db.Update(t.Context(), func(vault.Tx) error { close(inside); <-leave; return nil })
		}()
		<-inside
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		err := db.Update(ctx, func(tx vault.Tx) error { return put(context.WithoutCancel(ctx), tx, "waiting") })
		if err != nil && !errors.Is(err, context.DeadlineExceeded) { // where it need not wait, it is done
			t.Errorf("got %v", err)
		}
		close(leave)
		if err := <-left; err != nil {
			t.Errorf("the update before it: %v", err)
		}
		if has(t, db, "waiting") != (err == nil) {
			t.Errorf("reported as %v, persisted: %v", err, err != nil)
		}
	})
	t.Run("between two statements", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Update(ctx, func(tx vault.Tx) error {
			if err := put(ctx, tx, "first"); err != nil {
				return err
			}
			cancel()
			return put(ctx, tx, "second")
		})
		if !errors.Is(err, context.Canceled) || has(t, db, "first") || has(t, db, "second") {
			t.Errorf("%v, first %v, second %v", err, has(t, db, "first"), has(t, db, "second"))
		}
	})
	t.Run("after the last statement", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Update(ctx, func(tx vault.Tx) error {
			defer cancel()
			return put(ctx, tx, "last")
		})
		if err != nil || !has(t, db, "last") {
			t.Errorf("%v, persisted %v", err, has(t, db, "last"))
		}
	})
	t.Run("at any moment", func(t *testing.T) {
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range 25 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration((g*25+i)%40)*50*time.Microsecond)
					first, second := fmt.Sprintf("%d %d first", g, i), fmt.Sprintf("%d %d second", g, i)
					err := db.Update(ctx, func(tx vault.Tx) error {
						if err := put(ctx, tx, first); err != nil {
							return err
						}
						return put(ctx, tx, second)
					})
					cancel()
					if err != nil && !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
					if a, b := has(t, db, first), has(t, db, second); a != (err == nil) || b != (err == nil) {
						t.Errorf("reported %v, persisted %v and %v", err, a, b)
					}
				}
			})
		}
		wg.Wait()
	})
}

func testBothSides(t *testing.T, db Database) {
	people(t, db, 1)
	err := db.UpdateAuth(t.Context(), func(tx auth.Tx) error {
		both, ok := tx.(vault.Tx)
		if !ok {
			return errors.New("an auth.Tx is no vault.Tx")
		}
		return errors.Join(tx.InsertSession(t.Context(), session(1)), put(t.Context(), both, "a"), errMine)
	})
	if !errors.Is(err, errMine) || has(t, db, "a") {
		t.Errorf("%v, persisted %v", err, has(t, db, "a"))
	}
	viewAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		if _, err := tx.Session(ctx, session(1).ID); !errors.Is(err, auth.ErrNotFound) {
			t.Errorf("session: %v", err)
		}
		return nil
	})
}
