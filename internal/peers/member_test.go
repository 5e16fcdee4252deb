package peers_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/internal/metadb"
	"stonevault/internal/metadb/testdb"
	"stonevault/internal/peers"
)

// quick are times for tests on a machine that does much else.
var quick = peers.Times{Renew: 100 * time.Millisecond, Patience: 1500 * time.Millisecond, Life: 2500 * time.Millisecond}

// house is a database that servers share. away makes it unreachable for one of them.
type house struct {
	t  *testing.T
	db *metadb.DB
}

func newHouse(t *testing.T) *house {
	t.Helper()
	db, err := testdb.Open(t.Context(), filepath.Join(t.TempDir(), "meta.db"), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &house{t, db}
}

// line is one server's way to the database.
type line struct {
	peers.Store
	cut atomic.Bool
}

var errCut = errors.New("the line is cut")

func (l *line) UpdatePeers(ctx context.Context, fn func(peers.Tx) error) error {
	if l.cut.Load() {
		return errCut
	}
	return l.Store.UpdatePeers(ctx, fn)
}

func (h *house) config(n int) peers.Config {
	return peers.Config{
		Store: h.db, Place: strings.Repeat(string(rune('a'+n)), 32), Name: "host", Times: quick, Now: time.Now,
		Failed: func(error) {},
	}
}

// join adds a server that runs until the test ends.
func (h *house) join(c peers.Config) *peers.Member {
	h.t.Helper()
	m, err := peers.Join(h.t.Context(), c)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { m.Run(ctx) })
	h.t.Cleanup(func() { cancel(); done.Wait() })
	return m
}

func (h *house) take(m *peers.Member, want error, names ...string) (context.Context, func()) {
	h.t.Helper()
	held, release, err := m.Take(h.t.Context(), names...)
	if !errors.Is(err, want) {
		h.t.Fatalf("take %v: %v, want %v", names, err, want)
	}
	if release == nil {
		release = func() {}
	}
	return held, release
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestTake(t *testing.T) {
	h := newHouse(t)
	a, b := h.join(h.config(0)), h.join(h.config(1))
	held, release := h.take(a, nil, "x", "y")
	h.take(b, peers.ErrTaken, "x")
	h.take(b, peers.ErrTaken, "z", "y")
	h.take(a, peers.ErrTaken, "y") // by another of its own goroutines
	_, z := h.take(b, nil, "z")    // what was refused has left nothing
	if held.Err() != nil {
		t.Error("the context has ended before the release")
	}
	release()
	release()
	if held.Err() == nil {
		t.Error("the context goes on after the release")
	}
	_, release = h.take(b, nil, "x", "y")
	release()
	z()
}

// TestTakeOne has goroutines of three servers count with a lease alone.
func TestTakeOne(t *testing.T) {
	h := newHouse(t)
	var inside, most, done atomic.Int64
	var all sync.WaitGroup
	for n := range 3 {
		m := h.join(h.config(n))
		for range 4 {
			all.Go(func() {
				for range 5 {
					_, release, err := m.Wait(t.Context(), "one", "two")
					if err != nil {
						t.Error(err)
						return
					}
					most.Store(max(most.Load(), inside.Add(1)))
					inside.Add(-1)
					done.Add(1)
					release()
				}
			})
		}
	}
	all.Wait()
	if most.Load() != 1 || done.Load() != 60 {
		t.Errorf("%d were inside at once, %d in all", most.Load(), done.Load())
	}
}

// TestLost cuts a server off: it knows itself lost before another one has what it had taken, and comes back.
func TestLost(t *testing.T) {
	h := newHouse(t)
	own := &line{Store: h.db}
	c := h.config(0)
	c.Store = own
	a, b := h.join(c), h.join(h.config(1))
	was := a.ID()
	held, release := h.take(a, nil, "x")
	own.cut.Store(true)
	_, releaseB, err := b.Wait(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(context.Cause(held), peers.ErrLost) || !errors.Is(a.Present(), peers.ErrLost) {
		t.Errorf("another has it, and whoever had it goes on: %v, %v", context.Cause(held), a.Present())
	}
	h.take(a, peers.ErrLost, "y")
	release()
	own.cut.Store(false)
	eventually(t, "it is back", func() bool { return a.Present() == nil })
	if a.ID() == was {
		t.Error("it has come back as the one that was lost")
	}
	h.take(a, peers.ErrTaken, "x")
	releaseB()
	_, release = h.take(a, nil, "x")
	release()
}

// TestReleaseFails shows that a lease whose release did not reach the database goes with the next renewal.
func TestReleaseFails(t *testing.T) {
	h := newHouse(t)
	own := &line{Store: h.db}
	c := h.config(0)
	c.Store = own
	a, b := h.join(c), h.join(h.config(1))
	_, release := h.take(a, nil, "x")
	own.cut.Store(true)
	release()
	h.take(b, peers.ErrTaken, "x")
	own.cut.Store(false)
	eventually(t, "the lease is gone", func() bool {
		_, release, err := b.Take(t.Context(), "x")
		if err == nil {
			release()
		}
		return err == nil
	})
}

// TestAgain starts a server again in its directory: it has what it had at once, while others wait for the end of its life.
func TestAgain(t *testing.T) {
	h := newHouse(t)
	dead, err := peers.Join(t.Context(), h.config(0)) // nobody runs it
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := dead.Take(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	b := h.join(h.config(1))
	h.take(b, peers.ErrTaken, "x")
	again := h.join(h.config(0))
	_, release := h.take(again, nil, "x")
	defer release()
	others, err := b.Others(t.Context())
	if err != nil || len(others) != 1 || !others[again.ID()] {
		t.Errorf("others: %v, %v", others, err)
	}
}

// TestDisplaced starts a second server in a copy of the first one's directory: the first is out, and stays out.
func TestDisplaced(t *testing.T) {
	h := newHouse(t)
	c := h.config(0)
	var failed atomic.Value
	c.Failed = func(err error) { failed.Store(err.Error()) }
	a := h.join(c)
	b := h.join(h.config(0))
	eventually(t, "the first is told", func() bool { text, _ := failed.Load().(string); return text == peers.ErrDisplaced.Error() })
	if a.Present() == nil || b.Present() != nil {
		t.Errorf("%v, %v", a.Present(), b.Present())
	}
}

func TestAdmit(t *testing.T) {
	h := newHouse(t)
	c := h.config(0)
	c.Terms = peers.Terms{Counter: "here"}
	a := h.join(c)
	no := errors.New("no")
	c = h.config(1)
	c.Admit = func(others []peers.Server) error {
		if len(others) == 1 && others[0].ID == a.ID() && others[0].Counter == "here" {
			return no
		}
		return nil
	}
	if _, err := peers.Join(t.Context(), c); !errors.Is(err, no) {
		t.Errorf("joined: %v", err)
	}
	if err := a.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := peers.Join(t.Context(), c); err != nil {
		t.Error(err)
	}
}

func TestClocks(t *testing.T) {
	h := newHouse(t)
	h.join(h.config(0))
	c := h.config(1)
	c.Now = func() time.Time { return time.Now().Add(-2 * time.Second) }
	if _, err := peers.Join(t.Context(), c); err == nil || !strings.Contains(err.Error(), "ahead") {
		t.Errorf("a server whose clock is behind: %v", err)
	}
}

func TestWanted(t *testing.T) {
	h := newHouse(t)
	a, b := h.join(h.config(0)), h.join(h.config(1))
	var asked atomic.Value
	a.Heed(func(name string) { asked.Store(name) })
	_, release := h.take(a, nil, "x")
	h.take(b, peers.ErrTaken, "x")
	eventually(t, "it is told", func() bool { return asked.Load() == "x" })
	release()
}

func TestJob(t *testing.T) {
	h := newHouse(t)
	a, b := h.join(h.config(0)), h.join(h.config(1))
	ran, err := a.Alone(t.Context(), "sweep", func(context.Context) {
		if ran, err := b.Alone(t.Context(), "sweep", func(context.Context) { t.Error("both do it") }); ran || err != nil {
			t.Errorf("%v, %v", ran, err)
		}
	})
	if !ran || err != nil {
		t.Errorf("%v, %v", ran, err)
	}
}

// TestNobody shows that a server alone may take everything.
func TestNobody(t *testing.T) {
	var m *peers.Member
	held, release, err := m.Take(t.Context(), "x")
	if err != nil || held.Err() != nil || m.ID() != "" || m.Present() != nil || m.Leave(t.Context()) != nil {
		t.Fatal(err)
	}
	release()
}
