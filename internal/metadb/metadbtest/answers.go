package metadbtest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"stonevault/internal/once"
	"stonevault/internal/vault"
)

// mostAnswers is how many of one person are kept here.
const mostAnswers = 5

func kept(t *testing.T, db Database, person int, key [sha256.Size]byte) (row once.Row, found bool) {
	t.Helper()
	err := db.ViewOnce(t.Context(), func(tx once.Tx) (err error) {
		row, err = tx.Answer(t.Context(), ID[string](person), key)
		return err
	})
	if err != nil && !errors.Is(err, once.ErrNotFound) {
		t.Fatal(err)
	}
	return row, err == nil
}

func keep(t *testing.T, db Database, want error, rows ...once.Row) {
	t.Helper()
	err := db.UpdateOnce(t.Context(), func(tx once.Tx) error {
		for _, r := range rows {
			if err := tx.PutAnswer(t.Context(), r, mostAnswers); err != nil {
				return err
			}
		}
		return nil
	})
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// answerOf is the n-th answer of a person.
func answerOf(person, n int) once.Row {
	r := once.Row{Person: ID[string](person), CreatedAt: start.Add(time.Duration(n) * time.Second), Answer: once.Answer{
		Status: 201, Header: map[string]string{"Location": "/x", "ETag": `"1"`}, Body: []byte(`{"a":1}`), Event: int64(n) + 1,
	}}
	binary.BigEndian.PutUint64(r.Key[:], uint64(n))
	binary.BigEndian.PutUint64(r.Request[:], uint64(n)<<1)
	return r
}

func testAnswers(t *testing.T, db Database) {
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.People().Insert(ctx, Person(1)), tx.People().Insert(ctx, Person(2)))
	})
	bare := answerOf(2, 1) // the same key, of somebody else
	bare.Status, bare.Header, bare.Body, bare.Event = 204, nil, nil, 0
	keep(t, db, nil, answerOf(1, 1), answerOf(1, 2), bare)
	for person, want := range map[int]once.Row{1: answerOf(1, 1), 2: bare} {
		got, found := kept(t, db, person, want.Key)
		if !found {
			t.Errorf("the answer of person %d is not there", person)
		}
		equal(t, "an answer", got, want)
	}
	if _, found := kept(t, db, 1, answerOf(1, 3).Key); found {
		t.Error("an answer is there that nobody kept")
	}
	// One with the same key takes its place.
	other := answerOf(1, 9)
	other.Key = answerOf(1, 1).Key
	keep(t, db, nil, other)
	got, _ := kept(t, db, 1, other.Key)
	equal(t, "the one that took another's place", got, other)

	keep(t, db, vault.ErrConflict, answerOf(3, 1)) // of nobody
	for what, spoil := range map[string]func(*once.Row){
		"a person who cannot be": func(r *once.Row) { r.Person = "x" },
		"a refusal":              func(r *once.Row) { r.Status = 409 },
		"no status":              func(r *once.Row) { r.Status = 0 },
		"an event that is none":  func(r *once.Row) { r.Event = -1 },
	} {
		bad := answerOf(1, 7)
		spoil(&bad)
		if err := db.UpdateOnce(t.Context(), func(tx once.Tx) error { return tx.PutAnswer(t.Context(), bad, mostAnswers) }); err == nil {
			t.Errorf("%s was kept", what)
		}
	}

	// The oldest go first, so many at once.
	remove := func(before time.Time, limit int) (n int64) {
		t.Helper()
		err := db.UpdateOnce(t.Context(), func(tx once.Tx) (err error) {
			n, err = tx.DeleteAnswers(t.Context(), before, limit)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := remove(bare.CreatedAt, 10); n != 0 {
		t.Errorf("%d answers are older than the oldest", n)
	}
	if n := remove(other.CreatedAt, 1); n != 1 {
		t.Errorf("%d of at most one went", n)
	}
	if _, found := kept(t, db, 2, bare.Key); found {
		t.Error("the oldest is there yet")
	}
	if n := remove(other.CreatedAt.Add(time.Millisecond), 10); n != 2 {
		t.Errorf("%d of two went", n)
	}

	// What is about somebody goes with the account.
	keep(t, db, nil, answerOf(1, 1), answerOf(2, 1))
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.People().Erase(ctx, Person(1).ID) })
	if _, found := kept(t, db, 1, answerOf(1, 1).Key); found {
		t.Error("an answer outlives its person")
	}
	if _, found := kept(t, db, 2, answerOf(2, 1).Key); !found {
		t.Error("an answer went with somebody else")
	}
}

// Of one person the newest are kept, and those of others stay.
func testManyAnswers(t *testing.T, db Database) {
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.People().Insert(ctx, Person(1)), tx.People().Insert(ctx, Person(2)))
	})
	keep(t, db, nil, answerOf(2, 0))
	const more = 2
	for n := range mostAnswers + more {
		keep(t, db, nil, answerOf(1, n))
	}
	for n, want := range map[int]bool{0: false, more - 1: false, more: true, mostAnswers + more - 1: true} {
		if _, found := kept(t, db, 1, answerOf(1, n).Key); found != want {
			t.Errorf("the %dth answer is there: %v", n, found)
		}
	}
	if _, found := kept(t, db, 2, answerOf(2, 0).Key); !found {
		t.Error("an answer went for somebody else's")
	}
}
