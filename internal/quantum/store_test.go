package quantum

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"stonevault/audit"
	"stonevault/internal/access"
	"stonevault/internal/auditlog"
	"stonevault/qkd"
	"stonevault/qkd/kme"
)

// memory keeps sessions, and the keys of pools, which nothing takes.
type memory struct {
	kme.Tx
	mu       sync.Mutex
	sessions []Session
	pooled   int
	eve      *Eavesdropper
	secret   *Secret
	log      *auditing
	begun    func() // when a session has begun, or nil
	fail     error  // of ending a session
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
	if m.begun != nil {
		m.begun()
	}
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

func (m *memory) Quantum() Tx           { return m }
func (m *memory) Audit() auditlog.Store { return m.log }
func (m *memory) Person(_ context.Context, id string) (Person, error) {
	switch {
	case !utf8.ValidString(id) || strings.Contains(id, "\x00"):
		return Person{}, errors.New("PostgreSQL takes this for no text")
	case id == "carol":
		return Person{}, ErrNotFound
	}
	return Person{id, "name of " + id}, nil
}

func (m *memory) PutSecret(_ context.Context, s Secret) error {
	m.secret = &s
	return nil
}

func (m *memory) TakeSecret(_ context.Context, a, b string) (Secret, error) {
	if m.secret == nil || Between(a, b) != m.secret.People {
		return Secret{}, ErrNotFound
	}
	defer func() { m.secret = nil }()
	return *m.secret, nil
}

func (m *memory) SecretUsed(_ context.Context, session string) (bool, error) {
	return slices.ContainsFunc(m.sessions, func(s Session) bool { return s.SecretFrom == session }), nil
}

func (m *memory) PutEavesdropper(_ context.Context, e Eavesdropper) error {
	m.eve = &e
	return nil
}

func (m *memory) DeleteEavesdropper(context.Context, string, string) error {
	m.eve = nil
	return nil
}

func (m *memory) Eavesdropper(_ context.Context, a, b string) (Eavesdropper, error) {
	if m.eve == nil || Between(a, b) != [2]string{m.eve.People[0].ID, m.eve.People[1].ID} {
		return Eavesdropper{}, ErrNotFound
	}
	return *m.eve, nil
}

func (m *memory) Eavesdroppers(context.Context, EavesdropperQuery) ([]Eavesdropper, error) {
	return nil, errors.ErrUnsupported
}

// auditing is an audit log of which nothing is kept but what it was told.
type auditing struct {
	auditlog.Store
	said []string // under memory.mu
}

func (a *auditing) View(_ context.Context, fn func(auditlog.Store) error) error     { return fn(a) }
func (a *auditing) Update(_ context.Context, fn func(auditlog.Store) error) error   { return fn(a) }
func (a *auditing) Sequence(_ context.Context, fn func(auditlog.Store) error) error { return fn(a) }
func (a *auditing) Shred(_ context.Context, fn func(auditlog.Store) error) error    { return fn(a) }

func (*auditing) KeysOf(_ context.Context, persons ...string) (keys []auditlog.Key, err error) {
	for i, p := range persons {
		keys = append(keys, auditlog.Key{Number: int64(i), Person: p, Sealed: make([]byte, 32)})
	}
	return keys, nil
}

func (*auditing) InsertEvent(context.Context, auditlog.Event) (int64, error) { return 1, nil }

// note keeps an event as a line.
func (a *auditing) note(_ context.Context, _ auditlog.Store, _ int64, e audit.Event) error {
	line := e.Type.String()
	for _, slot := range []audit.Values{e.Operational, e.Actor, e.Subject} {
		for _, name := range slices.Sorted(maps.Keys(slot)) {
			if v := slot[name]; v != "" {
				line += fmt.Sprintf(" %s=%v", name, v)
			}
		}
		line += ";"
	}
	a.said = append(a.said, line)
	return nil
}

// of are the lines of a type.
func (a *auditing) of(kind string) (lines []string) {
	for _, line := range a.said {
		if strings.HasPrefix(line, kind+" ") {
			lines = append(lines, line)
		}
	}
	return lines
}

func asker(person string) Asker { return Asker{auditlog.Actor{Person: person}, access.User} }

// openSealer seals nothing.
type openSealer struct{}

func (openSealer) Seal(_ string, b []byte) ([]byte, error) { return slices.Clone(b), nil }
func (openSealer) Open(_ string, b []byte) ([]byte, error) { return slices.Clone(b), nil }

var start = time.Date(2026, 11, 27, 20, 0, 0, 0, time.UTC)

func newService(t testing.TB, random io.Reader) (*Service, *memory) {
	t.Helper()
	m := &memory{log: &auditing{}}
	recorder := auditlog.NewRecorder(auditlog.Config{Database: m.log, Master: openSealer{}, Rand: rand.Reader, Now: func() time.Time { return start }}, func() {})
	recorder.Observe(m.log.note)
	s, err := New(Config{Store: m, Audit: recorder, Tally: auditlog.NewTally(recorder), KMEs: kme.Config{
		Source: "a", Target: "b", Store: m, Sealer: openSealer{}, Random: random, Now: func() time.Time { return start },
		Known: func(_ context.Context, id string) (bool, error) { return id != "carol", nil },
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s, m
}

// TestStartWithWhoGoes has somebody be switched off while a session runs: no key of it is kept.
func TestStartWithWhoGoes(t *testing.T) {
	s, m := newService(t, rand.Reader)
	s.Shorten()
	for _, who := range []string{"ann", "bob"} {
		m.sessions = nil
		s.kmes.Known = func(_ context.Context, id string) (bool, error) { return id != who || len(m.sessions) == 0, nil }
		if _, err := s.Start(t.Context(), asker("ann"), "bob"); !errors.Is(err, ErrNotFound) || m.pooled != 0 || len(m.sessions) != 1 {
			t.Errorf("%s goes: %d keys, %d sessions, %v", who, m.pooled, len(m.sessions), err)
		}
	}
}

// TestStart has a person fill the pool of a pair, and look at what became of it.
func TestStart(t *testing.T) {
	s, m := newService(t, rand.Reader)
	ann, ctx := asker("ann"), t.Context()
	v, err := s.Start(ctx, ann, "bob")
	if err != nil || v.State != Done || v.Master.ID != "ann" || v.Slave.ID != "bob" || m.pooled != kme.DefaultLimits.MaxStored {
		t.Fatalf("%s, %d keys, %v", v.State, m.pooled, err)
	}
	for _, with := range []string{"ann", "carol"} {
		if _, err := s.Start(ctx, ann, with); !errors.Is(err, ErrNotFound) {
			t.Errorf("with %s: %v", with, err)
		}
	}
	for who, want := range map[Asker]error{asker("bob"): nil, {auditlog.Actor{Person: "root"}, access.Admin}: nil, asker("dora"): ErrNotFound} {
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
