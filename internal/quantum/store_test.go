package quantum

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"stonevault/qkd"
	"stonevault/qkd/kme"
)

// memory keeps sessions, and the keys of pools, which nothing takes.
type memory struct {
	kme.Tx
	mu       sync.Mutex
	sessions []Session
	pooled   int
	fail     error // of ending a session
}

func (m *memory) ViewQuantum(_ context.Context, fn func(Tx) error) error { return fn(m) }
func (m *memory) UpdateQuantum(_ context.Context, fn func(Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fn(m)
}
func (m *memory) ViewQuantumKeys(_ context.Context, fn func(kme.Tx) error) error   { return fn(m) }
func (m *memory) UpdateQuantumKeys(_ context.Context, fn func(kme.Tx) error) error { return fn(m) }
func (m *memory) Pooled(context.Context, kme.Pair) (int, error)                    { return m.pooled, nil }
func (m *memory) InsertPooled(context.Context, kme.Pooled) error                   { m.pooled++; return nil }

func (m *memory) InsertSession(_ context.Context, s Session) error {
	m.sessions = append(m.sessions, s)
	return nil
}

func (m *memory) EndSession(_ context.Context, s Session) error {
	if m.fail != nil {
		return m.fail
	}
	for i := range m.sessions {
		if m.sessions[i].ID == s.ID && m.sessions[i].State == Running {
			m.sessions[i] = s
			return nil
		}
	}
	return ErrNotFound
}

func (m *memory) Session(_ context.Context, id string) (Session, error) {
	for _, s := range m.sessions {
		if s.ID == id {
			return s, nil
		}
	}
	return Session{}, ErrNotFound
}

func (m *memory) Sessions(context.Context, SessionQuery) ([]Session, error) { return m.sessions, nil }
func (m *memory) TrimSessions(context.Context, kme.Pair, int, time.Time) error {
	return nil
}
func (m *memory) Pools(context.Context, PoolQuery) ([]Pool, error) { return nil, errors.ErrUnsupported }

// openSealer seals nothing.
type openSealer struct{}

func (openSealer) Seal(_ string, b []byte) ([]byte, error) { return b, nil }
func (openSealer) Open(_ string, b []byte) ([]byte, error) { return b, nil }

var start = time.Date(2026, 11, 27, 20, 0, 0, 0, time.UTC)

func newService(t testing.TB, random io.Reader) (*Service, *memory) {
	t.Helper()
	m := &memory{}
	s, err := New(Config{Store: m, KMEs: kme.Config{
		Source: "a", Target: "b", Store: m, Sealer: openSealer{}, Random: random, Now: func() time.Time { return start },
		Known: func(_ context.Context, id string) (bool, error) { return id != "carol", nil },
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s, m
}

// TestStart has a person fill the pool of a pair, and look at what became of it.
func TestStart(t *testing.T) {
	s, m := newService(t, rand.Reader)
	ann, ctx := Asker{Person: "ann"}, t.Context()
	v, err := s.Start(ctx, ann, "bob")
	if err != nil || v.State != Done || v.Master.ID != "ann" || v.Slave.ID != "bob" || m.pooled != kme.DefaultLimits.MaxStored {
		t.Fatalf("%s, %d keys, %v", v.State, m.pooled, err)
	}
	for _, with := range []string{"ann", "carol"} {
		if _, err := s.Start(ctx, ann, with); !errors.Is(err, ErrNotFound) {
			t.Errorf("with %s: %v", with, err)
		}
	}
	for who, want := range map[Asker]error{{Person: "bob"}: nil, {Person: "root", Admin: true}: nil, {Person: "dora"}: ErrNotFound} {
		if got, err := s.Session(ctx, who, v.ID); !errors.Is(err, want) || (err == nil) != (got.ID == v.ID) {
			t.Errorf("%+v: %+v, %v", who, got, err)
		}
	}
	m.fail = errors.New("broken")
	if _, err := s.Start(ctx, ann, "bob"); !errors.Is(err, m.fail) || errors.Is(err, qkd.ErrNoKeys) {
		t.Errorf("a session that could not be kept: %v", err)
	}
	// The server dies: what runs is failed after a while.
	lost := Session{ID: "x", Master: Person{ID: "ann"}, Slave: Person{ID: "bob"}, State: Running, StartedAt: start.Add(-lost - 1)}
	m.sessions = []Session{lost, {ID: "y", Master: lost.Master, Slave: lost.Slave, State: Running, StartedAt: start}}
	list, err := s.Sessions(ctx, ann, nil, 10)
	if err != nil || list[0].State != Failed || list[0].EndedAt.IsZero() || list[1].State != Running {
		t.Errorf("%+v, %v", list, err)
	}
}
