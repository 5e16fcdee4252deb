package metadbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

func viewAuth(t *testing.T, db Database, fn func(context.Context, auth.Tx) error) {
	t.Helper()
	if err := db.ViewAuth(t.Context(), func(tx auth.Tx) error { return fn(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

func updateAuth(t *testing.T, db Database, fn func(context.Context, auth.Tx) error) {
	t.Helper()
	if err := db.UpdateAuth(t.Context(), func(tx auth.Tx) error { return fn(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

func refusedAuth(t *testing.T, db Database, what string, want error, fn func(context.Context, auth.Tx) error) {
	t.Helper()
	if err := db.UpdateAuth(t.Context(), func(tx auth.Tx) error { return fn(t.Context(), tx) }); !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func session(n int) auth.Session {
	return auth.Session{ID: fmt.Sprintf("session-%d", n), Person: string(Person(1).ID), Client: "laptop",
		CreatedAt: start, LastUsedAt: start, ExpiresAt: start.Add(time.Duration(n) * time.Hour)}
}

func token(n, session int) auth.RefreshToken {
	return auth.RefreshToken{Hash: bytes.Repeat([]byte{byte(n)}, 32), Session: fmt.Sprintf("session-%d", session),
		CreatedAt: start, ExpiresAt: start.Add(time.Hour)}
}

func testSessions(t *testing.T, db Database) {
	person := people(t, db, 2)
	want := auth.Account{Person: string(person), Name: "Ana 1", Role: "user", PasswordHash: Person(1).PasswordHash, Epoch: 1, Active: true}
	first, second := session(1), session(2)
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		return errors.Join(tx.InsertSession(ctx, first), tx.InsertSession(ctx, second))
	})
	second.RevokedAt, second.LastUsedAt, second.Client = start.Add(time.Minute), start.Add(time.Second), ""
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error { return tx.UpdateSession(ctx, second) })

	viewAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		for _, find := range []func() (auth.Account, error){
			func() (auth.Account, error) { return tx.Account(ctx, string(person)) },
			func() (auth.Account, error) { return tx.AccountByNameKey(ctx, "ana 1") },
		} {
			got, err := find()
			if err != nil {
				return err
			}
			equal(t, "account", got, want)
		}
		for what, find := range map[string]func() error{
			"unknown person":   func() error { _, err := tx.Account(ctx, "x"); return err },
			"unknown name key": func() error { _, err := tx.AccountByNameKey(ctx, "Ana 1"); return err },
			"unknown session":  func() error { _, err := tx.Session(ctx, "x"); return err },
			"unknown token":    func() error { _, err := tx.Refresh(ctx, token(1, 1).Hash); return err },
		} {
			if err := find(); !errors.Is(err, auth.ErrNotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
		for _, want := range []auth.Session{first, second} {
			got, err := tx.Session(ctx, want.ID)
			if err != nil {
				return err
			}
			equal(t, "session", got, want)
		}
		return nil
	})
	refusedAuth(t, db, "same session", vault.ErrExists, func(ctx context.Context, tx auth.Tx) error { return tx.InsertSession(ctx, first) })
	refusedAuth(t, db, "update of no session", auth.ErrNotFound, func(ctx context.Context, tx auth.Tx) error {
		return tx.UpdateSession(ctx, session(3))
	})
	refusedAuth(t, db, "session for another person", auth.ErrNotFound, func(ctx context.Context, tx auth.Tx) error {
		s := first
		s.Person = string(Person(2).ID)
		return tx.UpdateSession(ctx, s)
	})
	refusedAuth(t, db, "session of nobody", auth.ErrNotFound, func(ctx context.Context, tx auth.Tx) error {
		s := session(3)
		s.Person = string(ID[vault.PersonID](9))
		return tx.InsertSession(ctx, s)
	})
}

func testRefresh(t *testing.T, db Database) {
	people(t, db, 1)
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		return errors.Join(tx.InsertSession(ctx, session(1)), tx.InsertSession(ctx, session(2)),
			tx.InsertRefresh(ctx, token(1, 1)), tx.InsertRefresh(ctx, token(2, 1)), tx.InsertRefresh(ctx, token(3, 2)))
	})
	used := start.Add(time.Minute)
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		for i, want := range []bool{true, false} {
			ok, err := tx.UseRefresh(ctx, token(1, 1).Hash, used.Add(time.Duration(i)*time.Hour))
			if err != nil {
				return err
			}
			equal(t, "was unused", ok, want)
		}
		_, err := tx.UseRefresh(ctx, token(9, 1).Hash, used)
		if !errors.Is(err, auth.ErrNotFound) {
			t.Errorf("use of an unknown token: %v", err)
		}
		return nil
	})
	viewAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		want := token(1, 1)
		want.UsedAt = used
		for _, want := range []auth.RefreshToken{want, token(2, 1)} {
			got, err := tx.Refresh(ctx, want.Hash)
			if err != nil {
				return err
			}
			equal(t, "token", got, want)
		}
		return nil
	})
	refusedAuth(t, db, "same token", vault.ErrExists, func(ctx context.Context, tx auth.Tx) error { return tx.InsertRefresh(ctx, token(1, 2)) })
	refusedAuth(t, db, "token of no session", auth.ErrNotFound, func(ctx context.Context, tx auth.Tx) error {
		return tx.InsertRefresh(ctx, token(9, 9))
	})

	// Sessions go with their tokens, and only once their time is over.
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		return tx.DeleteExpiredSessions(ctx, session(1).ExpiresAt)
	})
	viewAuth(t, db, func(ctx context.Context, tx auth.Tx) error { _, err := tx.Session(ctx, session(1).ID); return err })
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		return tx.DeleteExpiredSessions(ctx, session(1).ExpiresAt.Add(time.Millisecond))
	})
	viewAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		if _, err := tx.Session(ctx, session(1).ID); !errors.Is(err, auth.ErrNotFound) {
			t.Errorf("expired session: %v", err)
		}
		for n, gone := range map[int]bool{1: true, 2: true, 3: false} {
			if _, err := tx.Refresh(ctx, token(n, 1).Hash); errors.Is(err, auth.ErrNotFound) != gone {
				t.Errorf("token %d: %v", n, err)
			}
		}
		return nil
	})
}

func testTokenKeys(t *testing.T, db Database) {
	old := auth.TokenKey{ID: "b", Sealed: []byte{1}, CreatedAt: start}
	current := auth.TokenKey{ID: "a", Sealed: []byte{2}, CreatedAt: start.Add(time.Millisecond)}
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		return errors.Join(tx.InsertTokenKey(ctx, old), tx.InsertTokenKey(ctx, current))
	})
	old.RetiredAt, old.Sealed = start.Add(time.Hour), []byte{3}
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error { return tx.UpdateTokenKey(ctx, old) })
	refusedAuth(t, db, "same key", vault.ErrExists, func(ctx context.Context, tx auth.Tx) error { return tx.InsertTokenKey(ctx, old) })
	refusedAuth(t, db, "unknown key", auth.ErrNotFound, func(ctx context.Context, tx auth.Tx) error {
		k := old
		k.ID = "c"
		return tx.UpdateTokenKey(ctx, k)
	})
	viewAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		got, err := tx.TokenKeys(ctx)
		equal(t, "keys", got, []auth.TokenKey{current, old})
		return err
	})
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error { return tx.DeleteTokenKey(ctx, old.ID) })
	refusedAuth(t, db, "removing it again", auth.ErrNotFound, func(ctx context.Context, tx auth.Tx) error { return tx.DeleteTokenKey(ctx, old.ID) })
	viewAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		got, err := tx.TokenKeys(ctx)
		equal(t, "the keys left", got, []auth.TokenKey{current})
		return err
	})
}
