package once_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"stonevault/internal/metadb"
	"stonevault/internal/metadb/metadbtest"
	"stonevault/internal/once"
	"stonevault/internal/vault"
)

// servers are keepers that share a database, as several servers do.
type servers struct {
	t    *testing.T
	db   *metadb.DB
	now  time.Time
	all  [2]*once.Keeper
	made int
}

func newServers(t *testing.T) *servers {
	t.Helper()
	db, err := metadb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "meta.db"), metadb.Options{ProgramVersion: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Update(t.Context(), func(tx vault.Tx) error { return tx.People().Insert(t.Context(), metadbtest.Person(1)) }); err != nil {
		t.Fatal(err)
	}
	s := &servers{t: t, db: db, now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
	for i := range s.all {
		s.all[i] = once.NewKeeper(db, func() time.Time { return s.now })
	}
	return s
}

// begin takes up a request at one of them.
func (s *servers) begin(server int, key, request string, want error) (*once.Request, func()) {
	s.t.Helper()
	r, end, err := s.all[server].Begin(string(metadbtest.Person(1).ID), "POST /things", key, sha256.Sum256([]byte(request)))
	if !errors.Is(err, want) {
		s.t.Fatalf("got %v, want %v", err, want)
	}
	return r, end
}

// do makes the n-th thing for a request.
func (s *servers) do(r *once.Request, say bool, fault error) error {
	ctx := once.With(s.t.Context(), r)
	if say {
		once.Answering(ctx, func(made int) (once.Answer, error) { return once.Answer{Status: 201, Body: []byte{byte(made)}}, nil })
	}
	n := s.made
	err := s.db.UpdateOnce(ctx, func(tx once.Tx) error {
		n = s.made
		return once.Do(ctx, tx, func() (any, error) {
			n++
			return n, fault
		})
	})
	if err == nil {
		s.made = n
	}
	return err
}

func (s *servers) wantAnswer(server int, r *once.Request, want error, body byte) {
	s.t.Helper()
	a, err := s.all[server].Answer(s.t.Context(), r)
	if !errors.Is(err, want) || err == nil && (a.Status != 201 || len(a.Body) != 1 || a.Body[0] != body) {
		s.t.Errorf("%+v, %v; want %v, %d", a, err, want, body)
	}
}

// Of two servers that take up the same request, one does it; both have its answer.
func TestTwoServers(t *testing.T) {
	s := newServers(t)
	one, endOne := s.begin(0, "k", "a", nil)
	two, endTwo := s.begin(1, "k", "a", nil)
	s.wantAnswer(0, one, once.ErrNotFound, 0)
	s.wantAnswer(1, two, once.ErrNotFound, 0)
	if err := s.do(one, true, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.do(two, true, nil); !errors.Is(err, once.ErrDone) || s.made != 1 {
		t.Errorf("%v, and %d things", err, s.made)
	}
	s.wantAnswer(1, two, nil, 1)
	endOne()
	endTwo()
	other, end := s.begin(1, "k", "b", nil)
	s.wantAnswer(1, other, once.ErrReused, 0)
	end()
}

// While one is under way at a server, the next is told so.
func TestUnderWay(t *testing.T) {
	s := newServers(t)
	_, end := s.begin(0, "k", "a", nil)
	s.begin(0, "k", "a", once.ErrInProgress)
	s.begin(0, "k", "b", once.ErrReused)
	_, endOther := s.begin(0, "l", "b", nil)
	endOther()
	end()
	_, end = s.begin(0, "k", "b", nil)
	end()
}

// What fails keeps nothing, and neither does what nobody has an answer for.
func TestNothingIsKeptOfFailures(t *testing.T) {
	s := newServers(t)
	r, end := s.begin(0, "k", "a", nil)
	defer end()
	fault := errors.New("a fault")
	if err := s.do(r, false, nil); err == nil {
		t.Error("a request with a key was done, and has no answer")
	}
	if err := s.do(r, true, fault); !errors.Is(err, fault) {
		t.Errorf("%v", err)
	}
	s.wantAnswer(0, r, once.ErrNotFound, 0)
	if err := s.do(r, true, nil); err != nil || s.made != 1 {
		t.Errorf("%v, and %d things", err, s.made)
	}
	s.wantAnswer(0, r, nil, 1)
}

// An answer lasts a day; then the same key does the thing anew, and keeps its answer.
func TestAnswersLastADay(t *testing.T) {
	s := newServers(t)
	r, end := s.begin(0, "k", "a", nil)
	defer end()
	if err := s.do(r, true, nil); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(once.KeepFor - time.Millisecond)
	s.wantAnswer(0, r, nil, 1)
	s.now = s.now.Add(time.Millisecond)
	s.wantAnswer(0, r, once.ErrNotFound, 0)
	if err := s.do(r, true, nil); err != nil || s.made != 2 {
		t.Errorf("%v, and %d things", err, s.made)
	}
	s.wantAnswer(0, r, nil, 2)
}

// Without a key, what makes something just runs.
func TestWithoutAKey(t *testing.T) {
	ran := false
	once.Answering(t.Context(), func(int) (once.Answer, error) { t.Error("somebody asks for an answer"); return once.Answer{}, nil })
	err := once.Do(context.Background(), nil, func() (any, error) { ran = true; return 1, nil })
	if err != nil || !ran {
		t.Errorf("%v, ran: %v", err, ran)
	}
}
