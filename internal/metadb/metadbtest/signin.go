package metadbtest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"stonevault/internal/access"
	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

// pages reads a list in pages of size.
func pages[T any](t *testing.T, size int, read func(auth.Span) ([]T, error), place func(T) auth.Place) (list []T) {
	t.Helper()
	span := auth.Span{Limit: size}
	for {
		rows, err := read(span)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			return list
		}
		if len(rows) > size {
			t.Fatalf("%d rows, at most %d were asked for", len(rows), size)
		}
		list = append(list, rows...)
		span.After = place(rows[len(rows)-1])
	}
}

func testSessionLists(t *testing.T, db Database) {
	person, other := people(t, db, 2), string(Person(2).ID)
	made := func(n int, who string, at time.Duration) auth.Session {
		s := session(n)
		s.ID, s.Person, s.CreatedAt, s.ExpiresAt = ID[string](n), who, start.Add(at), start.Add(48*time.Hour)
		s.Device, s.Address = bytes.Repeat([]byte{byte(n)}, 32), "192.0.2.7"
		return s
	}
	first, second, third := made(1, string(person), 0), made(2, string(person), time.Hour), made(3, string(person), time.Hour)
	expired, revoked, others := made(4, string(person), 2*time.Hour), made(5, string(person), 2*time.Hour), made(6, other, 0)
	now := start.Add(3 * time.Hour)
	expired.ExpiresAt, revoked.RevokedAt = now, now
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		for _, s := range []auth.Session{first, second, third, expired, revoked, others} {
			if err := tx.InsertSession(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
	list := func(who string) (found []auth.Session) {
		viewAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
			for _, size := range []int{1, 2, 10} {
				found = pages(t, size, func(span auth.Span) ([]auth.Session, error) { return tx.Sessions(ctx, who, now, span) },
					func(s auth.Session) auth.Place { return auth.Place{At: s.CreatedAt, ID: s.ID} })
			}
			return nil
		})
		return found
	}
	equal(t, "the newest first", list(string(person)), []auth.Session{third, second, first})
	equal(t, "another person's", list(other), []auth.Session{others})

	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		n, err := tx.RevokeSessions(ctx, string(person), second.ID, now)
		equal(t, "sessions that were ended", n, int64(2))
		return errors.Join(err, tx.RaiseEpoch(ctx, other, now))
	})
	equal(t, "the one that was kept", list(string(person)), []auth.Session{second})
	equal(t, "another person's, still", list(other), []auth.Session{others})
	viewAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		for id, at := range map[string]time.Time{first.ID: now, second.ID: {}, revoked.ID: now, expired.ID: {}} {
			s, err := tx.Session(ctx, id)
			if err != nil {
				return err
			}
			equal(t, "when it was ended", s.RevokedAt, at)
		}
		for id, epoch := range map[string]int64{string(person): 1, other: 2} {
			a, err := tx.Account(ctx, id)
			if err != nil {
				return err
			}
			equal(t, "epoch", a.Epoch, epoch)
		}
		return nil
	})
	refusedAuth(t, db, "the epoch of nobody", auth.ErrNotFound, func(ctx context.Context, tx auth.Tx) error {
		return tx.RaiseEpoch(ctx, ID[string](9), now)
	})
}

func apiToken(n int, who vault.PersonID) auth.APIToken {
	return auth.APIToken{
		ID: ID[string](n), Person: string(who), Name: "backup", Hash: bytes.Repeat([]byte{byte(n)}, 32),
		Scopes: auth.Scopes{auth.ScopeAdmin, auth.ScopeFilesRead}, CreatedAt: start.Add(time.Duration(n) * time.Hour), ExpiresAt: start.Add(90 * time.Hour),
	}
}

func testAPITokens(t *testing.T, db Database) {
	person := people(t, db, 2)
	first, second, others := apiToken(1, person), apiToken(2, person), apiToken(3, Person(2).ID)
	second.ExpiresAt = start.Add(50 * time.Hour)
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		return errors.Join(tx.InsertAPIToken(ctx, first), tx.InsertAPIToken(ctx, second), tx.InsertAPIToken(ctx, others))
	})
	list := func() (found []auth.APIToken) {
		viewAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
			found = pages(t, 1, func(span auth.Span) ([]auth.APIToken, error) { return tx.APITokens(ctx, string(person), span) },
				func(t auth.APIToken) auth.Place { return auth.Place{At: t.CreatedAt, ID: t.ID} })
			return nil
		})
		return found
	}
	equal(t, "the newest first", list(), []auth.APIToken{second, first})
	first.LastUsedAt = start.Add(time.Minute)
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error { return tx.UpdateAPIToken(ctx, first) })
	viewAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		byID, err := tx.APIToken(ctx, first.ID)
		if err != nil {
			return err
		}
		equal(t, "by id", byID, first)
		byHash, err := tx.APITokenByHash(ctx, first.Hash)
		if err != nil {
			return err
		}
		equal(t, "by hash", byHash, first)
		for what, find := range map[string]func() error{
			"id":   func() error { _, err := tx.APIToken(ctx, ID[string](9)); return err },
			"hash": func() error { _, err := tx.APITokenByHash(ctx, make([]byte, 32)); return err },
		} {
			if err := find(); !errors.Is(err, auth.ErrNotFound) {
				t.Errorf("unknown %s: %v", what, err)
			}
		}
		return nil
	})
	for what, row := range map[string]struct {
		change func(*auth.APIToken)
		want   error
	}{
		"same id":   {func(a *auth.APIToken) { a.Hash = make([]byte, 32) }, vault.ErrExists},
		"same hash": {func(a *auth.APIToken) { a.ID = ID[string](7) }, vault.ErrExists},
		"of nobody": {func(a *auth.APIToken) { a.ID, a.Hash, a.Person = ID[string](7), make([]byte, 32), ID[string](9) }, auth.ErrNotFound},
	} {
		refusedAuth(t, db, what, row.want, func(ctx context.Context, tx auth.Tx) error {
			token := first
			row.change(&token)
			return tx.InsertAPIToken(ctx, token)
		})
	}
	refusedAuth(t, db, "update for another person", auth.ErrNotFound, func(ctx context.Context, tx auth.Tx) error {
		token := first
		token.Person = others.Person
		return tx.UpdateAPIToken(ctx, token)
	})
	for what, change := range map[string]func(*auth.APIToken){
		"no scope":   func(a *auth.APIToken) { a.Scopes = nil },
		"no name":    func(a *auth.APIToken) { a.Name = "" },
		"short hash": func(a *auth.APIToken) { a.Hash = a.Hash[:31] },
	} {
		err := db.UpdateAuth(t.Context(), func(tx auth.Tx) error {
			token := apiToken(8, person)
			change(&token)
			return tx.InsertAPIToken(t.Context(), token)
		})
		if err == nil {
			t.Errorf("%s: it was kept", what)
		}
	}

	// One that was revoked is in no list, and is removed with those that have expired.
	first.RevokedAt = start.Add(60 * time.Hour)
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error { return tx.UpdateAPIToken(ctx, first) })
	equal(t, "what was not revoked", list(), []auth.APIToken{second})
	for _, row := range []struct {
		before time.Time
		left   map[string]bool
	}{
		{second.ExpiresAt, map[string]bool{first.ID: true, second.ID: true, others.ID: true}},
		{first.RevokedAt, map[string]bool{first.ID: true, second.ID: false, others.ID: true}},
		{first.RevokedAt.Add(time.Millisecond), map[string]bool{first.ID: false, second.ID: false, others.ID: true}},
	} {
		updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error { return tx.DeleteExpiredAPITokens(ctx, row.before) })
		viewAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
			for id, left := range row.left {
				if _, err := tx.APIToken(ctx, id); left != (err == nil) {
					t.Errorf("removed before %v: %s: %v", row.before, id, err)
				}
			}
			return nil
		})
	}
}

func testStrangers(t *testing.T, db Database) {
	person := people(t, db, 2)
	viewAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		for other, want := range map[vault.PersonID]access.Acquaintance{person: {Same: true}, Person(2).ID: {}, ID[vault.PersonID](9): {}} {
			got, err := tx.Acquaintance(ctx, string(person), string(other))
			if err != nil {
				return err
			}
			equal(t, "acquaintance", got, want)
		}
		return nil
	})
}
