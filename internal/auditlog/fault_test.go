package auditlog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/vault"
)

var errInjected = errors.New("injected")

// faults makes the nth step fail: before it acts ("failed and not persisted") or after ("failed but
// persisted").
type faults struct {
	mu    sync.Mutex
	step  int
	at    int // fails; 0 never
	after bool
	hit   bool
}

func (f *faults) do(act func() error) error {
	f.mu.Lock()
	f.step++
	fails := f.step == f.at
	f.hit = f.hit || fails
	f.mu.Unlock()
	if !fails {
		return act()
	}
	if f.after {
		if err := act(); err != nil {
			return err
		}
	}
	return errInjected
}

// value is do for what returns something.
func value[T any](f *faults, act func() (T, error)) (v T, err error) {
	err = f.do(func() (err error) { v, err = act(); return err })
	return v, err
}

// faultyDatabase counts transactions, each once it has run, and the statements in them.
type faultyDatabase struct {
	auditlog.Database
	f *faults
}

func (d faultyDatabase) View(ctx context.Context, fn func(auditlog.Store) error) error {
	return d.f.do(func() error {
		return d.Database.View(ctx, func(s auditlog.Store) error { return fn(faultyStore{s, d.f}) })
	})
}

func (d faultyDatabase) Update(ctx context.Context, fn func(auditlog.Store) error) error {
	return d.f.do(func() error {
		return d.Database.Update(ctx, func(s auditlog.Store) error { return fn(faultyStore{s, d.f}) })
	})
}

func (d faultyDatabase) Sequence(ctx context.Context, fn func(auditlog.Store) error) error {
	return d.f.do(func() error {
		return d.Database.Sequence(ctx, func(s auditlog.Store) error { return fn(faultyStore{s, d.f}) })
	})
}

func (d faultyDatabase) Shred(ctx context.Context, fn func(auditlog.Store) error) error {
	return d.f.do(func() error {
		return d.Database.Shred(ctx, func(s auditlog.Store) error { return fn(faultyStore{s, d.f}) })
	})
}

type faultyStore struct {
	auditlog.Store
	f *faults
}

func (s faultyStore) InsertLog(ctx context.Context, l auditlog.Log) error {
	return s.f.do(func() error { return s.Store.InsertLog(ctx, l) })
}

func (s faultyStore) CurrentLog(ctx context.Context) (auditlog.Log, error) {
	return value(s.f, func() (auditlog.Log, error) { return s.Store.CurrentLog(ctx) })
}

func (s faultyStore) NextKey(ctx context.Context) (int64, error) {
	return value(s.f, func() (int64, error) { return s.Store.NextKey(ctx) })
}

func (s faultyStore) InsertKey(ctx context.Context, k auditlog.Key) error {
	return s.f.do(func() error { return s.Store.InsertKey(ctx, k) })
}

func (s faultyStore) KeysOf(ctx context.Context, persons ...string) ([]auditlog.Key, error) {
	return value(s.f, func() ([]auditlog.Key, error) { return s.Store.KeysOf(ctx, persons...) })
}

func (s faultyStore) EraseKey(ctx context.Context, number int64) error {
	return s.f.do(func() error { return s.Store.EraseKey(ctx, number) })
}

func (s faultyStore) InsertEvent(ctx context.Context, e auditlog.Event) (int64, error) {
	return value(s.f, func() (int64, error) { return s.Store.InsertEvent(ctx, e) })
}

func (s faultyStore) PendingEvents(ctx context.Context, limit int) ([]auditlog.Leaf, error) {
	return value(s.f, func() ([]auditlog.Leaf, error) { return s.Store.PendingEvents(ctx, limit) })
}

func (s faultyStore) PlaceEvents(ctx context.Context, log, first int64, ids []int64) error {
	return s.f.do(func() error { return s.Store.PlaceEvents(ctx, log, first, ids) })
}

func (s faultyStore) PartsUnder(ctx context.Context, log, key int64) ([]int64, error) {
	return value(s.f, func() ([]int64, error) { return s.Store.PartsUnder(ctx, log, key) })
}

func (s faultyStore) Head(ctx context.Context, log int64) (audit.Tree, error) {
	return value(s.f, func() (audit.Tree, error) { return s.Store.Head(ctx, log) })
}

func (s faultyStore) MoveHead(ctx context.Context, log int64, from, to audit.Tree) error {
	return s.f.do(func() error { return s.Store.MoveHead(ctx, log, from, to) })
}

func (s faultyStore) Tiles(ctx context.Context, log int64, tiles []audit.Tile) ([][]byte, error) {
	return value(s.f, func() ([][]byte, error) { return s.Store.Tiles(ctx, log, tiles) })
}

func (s faultyStore) PutTiles(ctx context.Context, log int64, tiles []audit.TileData) error {
	return s.f.do(func() error { return s.Store.PutTiles(ctx, log, tiles) })
}

func (s faultyStore) Checkpoint(ctx context.Context, log int64) (auditlog.Checkpoint, error) {
	return value(s.f, func() (auditlog.Checkpoint, error) { return s.Store.Checkpoint(ctx, log) })
}

func (s faultyStore) PutCheckpoint(ctx context.Context, c auditlog.Checkpoint) error {
	return s.f.do(func() error { return s.Store.PutCheckpoint(ctx, c) })
}

// faulty gives the house's parts a database that fails.
func (h *house) faulty(t testing.TB, f *faults) {
	h.Database = faultyDatabase{h.db.Audit(), f}
	h.parts(t)
}

func (h *house) repaired(t testing.TB) {
	h.Database = h.db.Audit()
	h.parts(t)
}

// eachFault runs act with every one of its steps failing in turn, both ways, until it no longer fails.
func eachFault(t *testing.T, run func(t *testing.T, f *faults)) {
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			f := &faults{at: at, after: after}
			t.Run(fmt.Sprintf("step %d, persisted %v", at, after), func(t *testing.T) { run(t, f) })
			if !f.hit {
				if at < 5 {
					t.Fatalf("only %d steps were counted", f.step)
				}
				break
			}
			if at > 200 {
				t.Fatal("it has steps without end")
			}
		}
	}
}

// TestRecordFaults changes settings, each with its event, while one statement or commit fails: each setting
// that is there has exactly one event, and no other event is there.
func TestRecordFaults(t *testing.T) {
	h := newHouse(t)
	round, last := 0, int64(0)
	eachFault(t, func(t *testing.T, f *faults) {
		h.faulty(t, f)
		for range 3 {
			round++
			name := fmt.Sprintf("%032x", round)
			// The change is in the transaction of somebody else, as everywhere in the server.
			err := f.do(func() error {
				return h.db.Update(t.Context(), func(tx vault.Tx) error {
					if err := tx.Settings().Put(t.Context(), name, []byte("x")); err != nil {
						return err
					}
					store := tx.(interface{ Audit() auditlog.Store }).Audit()
					_, err := h.recorder.Record(t.Context(), faultyStore{store, f}, put(round, round, round+1))
					return err
				})
			})
			if err != nil && !errors.Is(err, errInjected) {
				t.Fatal(err)
			}
			if err := h.sequencer.Step(t.Context()); err != nil && !errors.Is(err, errInjected) {
				t.Fatal(err)
			}
		}
		h.repaired(t)
		h.step(t)
		last = h.onceEach(t, last)
	})
	h.sound(t, head(t, h).Size)
}

// onceEach compares the events after the given row with the settings, and returns the last row.
func (h *house) onceEach(t *testing.T, after int64) (last int64) {
	t.Helper()
	page := h.list(t, auditlog.Query{Limit: 1000}, auditlog.ViewAll)
	last = page[0].ID
	events := map[string]int{}
	for _, e := range page {
		if e.Err != nil || e.Index == auditlog.Pending {
			t.Errorf("event %+v", e)
		}
		if file, ok := e.Event.Operational["file"].(string); ok {
			events[file]++
		}
	}
	settings := 0
	if err := h.raw(t).QueryRow(`SELECT count(*) FROM settings`).Scan(&settings); err != nil {
		t.Fatal(err)
	}
	for name, n := range events {
		if n != 1 {
			t.Errorf("change %s has %d events", name, n)
		}
		err := h.db.View(t.Context(), func(tx vault.Tx) error {
			_, err := tx.Settings().Get(t.Context(), name)
			return err
		})
		if err != nil {
			t.Errorf("an event of the change %s: %v", name, err)
		}
	}
	if settings != len(events) {
		t.Errorf("%d changes, and %d of them have an event", settings, len(events))
	}
	return last
}

// TestSequencerFaults fails each statement and commit of placing and signing: whatever was signed is
// consistent with all that is signed later, and no event is lost or placed twice.
func TestSequencerFaults(t *testing.T) {
	h := newHouse(t)
	h.step(t)
	events := int64(1)
	var signed []audit.Tree
	eachFault(t, func(t *testing.T, f *faults) {
		h.record(t, puts(int(events), 130)...)
		events += 130
		h.faulty(t, f)
		if err := h.sequencer.Step(t.Context()); f.hit != (err != nil) || err != nil && !errors.Is(err, errInjected) {
			t.Errorf("the step: %v", err)
		}
		h.repaired(t)
		signed = append(signed, head(t, h)) // what was given out before the crash
		h.step(t)
		now := head(t, h)
		if now.Size != events {
			t.Errorf("%d of %d events are in the log", now.Size, events)
		}
		signed = append(signed, now)
		for _, old := range signed {
			proof, _, err := h.reader.Consistency(t.Context(), old.Size)
			if err != nil || now.VerifyConsistency(old, proof) != nil {
				t.Errorf("the head of %d events doesn't continue that of %d: %v", now.Size, old.Size, err)
			}
		}
	})
	h.sound(t, events)
}

// TestTwoSequencers runs two on one database, as two programs, while others record: no fork, no gap.
func TestTwoSequencers(t *testing.T) {
	h := newHouse(t)
	other := &house{path: h.path, Config: h.Config}
	other.open(t)
	var writing, sequencing sync.WaitGroup
	done := make(chan struct{})
	var mu sync.Mutex
	var signed []audit.Tree
	for _, house := range []*house{h, other} {
		sequencing.Go(func() {
			for {
				if err := house.sequencer.Step(t.Context()); err != nil {
					t.Error(err)
					return
				}
				text, err := house.reader.Checkpoint(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				key, err := house.reader.PublicKey(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				c, err := key.Open(text)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				signed = append(signed, c.Tree)
				mu.Unlock()
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
		for g := range 2 {
			writing.Go(func() {
				for i := range 25 {
					house.record(t, put(i, 1+g, 2), put(i, 2, 3))
				}
			})
		}
	}
	writing.Wait()
	close(done)
	sequencing.Wait()
	h.step(t)
	other.step(t)
	now := head(t, h)
	if now.Size != 201 || head(t, other) != now {
		t.Errorf("the heads are %v and %v", now, head(t, other))
	}
	for _, old := range signed {
		proof, _, err := h.reader.Consistency(t.Context(), old.Size)
		if err != nil || now.VerifyConsistency(old, proof) != nil {
			t.Errorf("a head of %d events is no beginning of the log: %v", old.Size, err)
		}
	}
	h.sound(t, 201)
}

// staleStore shows a head and waiting events that somebody else has dealt with meanwhile, as a database does
// that isolates less than it promises.
type staleStore struct {
	auditlog.Store
	head       audit.Tree
	checkpoint auditlog.Checkpoint
	leaves     []auditlog.Leaf
}

func (s staleStore) Head(context.Context, int64) (audit.Tree, error) { return s.head, nil }
func (s staleStore) Checkpoint(context.Context, int64) (auditlog.Checkpoint, error) {
	return s.checkpoint, nil
}
func (s staleStore) PendingEvents(context.Context, int) ([]auditlog.Leaf, error) {
	return s.leaves, nil
}

type staleDatabase struct {
	auditlog.Database
	stale *staleStore
	once  sync.Once
}

func (d *staleDatabase) Sequence(ctx context.Context, fn func(auditlog.Store) error) error {
	return d.Database.Sequence(ctx, func(s auditlog.Store) error {
		d.once.Do(func() {
			old := *d.stale
			old.Store = s
			s = old
		})
		return fn(s)
	})
}

// TestFence: who comes with an old head changes nothing, and then takes its turn.
func TestFence(t *testing.T) {
	h := newHouse(t)
	h.step(t)
	var stale staleStore
	h.record(t, puts(1, 10)...)
	h.view(t, func(ctx context.Context, store auditlog.Store) (err error) {
		if stale.head, err = store.Head(ctx, 1); err != nil {
			return err
		}
		if stale.checkpoint, err = store.Checkpoint(ctx, 1); err != nil {
			return err
		}
		stale.leaves, err = store.PendingEvents(ctx, 100)
		return err
	})
	h.step(t)
	h.record(t, puts(11, 5)...)
	behind := auditlog.NewSequencer(auditlog.Config{Database: &staleDatabase{Database: h.Database, stale: &stale}, Master: h.Master, Rand: h.Rand, Now: h.Now},
		func(err error) { t.Error(err) })
	if err := behind.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.sound(t, 16)
}

// TestNoSignatureForAnotherLog: a sequencer signs nothing that doesn't continue what was signed.
func TestNoSignatureForAnotherLog(t *testing.T) {
	for what, change := range map[string]string{
		"a head set back":       `UPDATE audit_heads SET size = 300`,
		"a head set on":         `UPDATE audit_heads SET size = 500`,
		"another root":          `UPDATE audit_heads SET root = zeroblob(32)`,
		"a tile":                `UPDATE audit_tiles SET hashes = zeroblob(length(hashes)) WHERE level = 0 AND position = 1`,
		"no tiles":              `DELETE FROM audit_tiles`,
		"another checkpoint":    `UPDATE audit_checkpoints SET text = zeroblob(3000)`,
		"a checkpoint's length": `UPDATE audit_checkpoints SET size = size + 1`,
		"another log's key":     `UPDATE audit_logs SET public = 'vault.example+0+A'`,
	} {
		t.Run(what, func(t *testing.T) {
			h := newHouse(t)
			h.record(t, puts(1, 400)...)
			h.step(t)
			before, err := h.reader.Checkpoint(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			raw := h.raw(t)
			if _, err := raw.Exec(change); err != nil {
				t.Fatal(err)
			}
			h.parts(t)
			h.record(t, put(401, 1, 2))
			if err := h.sequencer.Step(t.Context()); !errors.Is(err, auditlog.ErrRewritten) {
				t.Errorf("sequencing: %v", err)
			}
			var n int
			if err := raw.QueryRow(`SELECT count(*) FROM audit_checkpoints WHERE size > 402 OR text <> $1 AND length(text) <> 3000`, before).Scan(&n); err != nil || n != 0 {
				t.Errorf("%d further checkpoints were signed, %v", n, err)
			}
		})
	}
}
