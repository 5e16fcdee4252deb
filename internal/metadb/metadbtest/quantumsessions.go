package metadbtest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/internal/quantum"
	"stonevault/internal/vault"
	"stonevault/qkd/bb84"
	"stonevault/qkd/kme"
)

// quantumSession is the n-th, between two people who are named by their numbers.
func quantumSession(n, master, slave int) quantum.Session {
	someone := func(n int) quantum.Person { return quantum.Person{ID: string(Person(n).ID), Name: Person(n).Name} }
	return quantum.Session{ID: ID[string](n), Master: someone(master), Slave: someone(slave), State: quantum.Running, SecretFrom: ID[string](100 + n),
		StartedAt: start.Add(time.Duration(n/2) * time.Second)} // two of a time
}

func updateQuantum(t *testing.T, db Database, want error, fn func(context.Context, quantum.Tx) error) {
	t.Helper()
	if err := db.UpdateQuantum(t.Context(), func(tx quantum.Tx) error { return fn(t.Context(), tx) }); !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// wantSessions wants these to be on a page, in order.
func wantSessions(t *testing.T, db Database, q quantum.SessionQuery, want ...quantum.Session) {
	t.Helper()
	if err := db.ViewQuantum(t.Context(), func(tx quantum.Tx) error {
		got, err := tx.Sessions(t.Context(), q)
		for i := range got {
			got[i].Result = nil
		}
		for i := range want {
			want[i].Result = nil
		}
		equal(t, "sessions", got, want)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func testQuantumSessions(t *testing.T, db Database) {
	people(t, db, 3)
	var s []quantum.Session
	for n, pair := range [][2]int{{1, 2}, {2, 1}, {1, 3}, {2, 3}, {1, 2}, {1, 2}} {
		s = append(s, quantumSession(n, pair[0], pair[1]))
	}
	updateQuantum(t, db, nil, func(ctx context.Context, tx quantum.Tx) (err error) {
		for _, v := range s {
			err = errors.Join(err, tx.InsertSession(ctx, v))
		}
		return err
	})
	wantSessions(t, db, quantum.SessionQuery{Limit: 10}, s[5], s[4], s[3], s[2], s[1], s[0])
	wantSessions(t, db, quantum.SessionQuery{Limit: 2, Before: &s[4]}, s[3], s[2])
	wantSessions(t, db, quantum.SessionQuery{Limit: 10, Person: s[0].Master.ID}, s[5], s[4], s[2], s[1], s[0])
	wantSessions(t, db, quantum.SessionQuery{Limit: 3, Person: s[0].Slave.ID, Before: &s[4]}, s[3], s[1], s[0])
	wantSessions(t, db, quantum.SessionQuery{Limit: 3, Before: &s[0]})

	done := s[0]
	done.State, done.Result, done.EndedAt = quantum.Done, []byte(`{"mode":"simulated"}`), start.Add(time.Minute)
	updateQuantum(t, db, nil, func(ctx context.Context, tx quantum.Tx) error { return tx.EndSession(ctx, done) })
	updateQuantum(t, db, quantum.ErrNotFound, func(ctx context.Context, tx quantum.Tx) error { return tx.EndSession(ctx, done) }) // it has ended
	if err := db.ViewQuantum(t.Context(), func(tx quantum.Tx) error {
		got, err := tx.Session(t.Context(), done.ID)
		equal(t, "a session", got, done)
		_, missing := tx.Session(t.Context(), ID[string](99))
		equal(t, "a session that is not there", errors.Is(missing, quantum.ErrNotFound), true)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s[0] = done

	if err := db.ViewQuantum(t.Context(), func(tx quantum.Tx) error {
		for secret, want := range map[string]bool{s[3].SecretFrom: true, ID[string](99): false, "": false} {
			used, err := tx.SecretUsed(t.Context(), secret)
			if err != nil {
				return err
			}
			equal(t, "whether the secret of "+secret+" was used", used, want)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	stranger := quantumSession(7, 1, 9)
	updateQuantum(t, db, quantum.ErrNotFound, func(ctx context.Context, tx quantum.Tx) error { return tx.InsertSession(ctx, stranger) })
	for what, change := range map[string]func(*quantum.Session){
		"of one person":               func(v *quantum.Session) { v.Slave = v.Master },
		"in no state":                 func(v *quantum.Session) { v.State = "perhaps" },
		"that runs and ended":         func(v *quantum.Session) { v.EndedAt = start },
		"that ended at no time":       func(v *quantum.Session) { v.State = quantum.Failed },
		"with what is no secret":      func(v *quantum.Session) { v.SecretFrom = "x" },
		"with a secret that was used": func(v *quantum.Session) { v.SecretFrom = s[3].SecretFrom },
		"without an id":               func(v *quantum.Session) { v.ID = "x" },
	} {
		v := quantumSession(8, 1, 2)
		change(&v)
		if err := db.UpdateQuantum(t.Context(), func(tx quantum.Tx) error { return tx.InsertSession(t.Context(), v) }); err == nil {
			t.Errorf("a session %s is kept", what)
		}
	}

	trim := func(keep int, before time.Time) {
		t.Helper()
		updateQuantum(t, db, nil, func(ctx context.Context, tx quantum.Tx) error { return tx.TrimSessions(ctx, s[0].Pair(), keep, before) })
	}
	trim(2, start)
	wantSessions(t, db, quantum.SessionQuery{Limit: 10}, s[5], s[4], s[3], s[2], s[1])
	trim(2, s[5].StartedAt.Add(time.Millisecond))
	wantSessions(t, db, quantum.SessionQuery{Limit: 10}, s[3], s[2], s[1])
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.People().Erase(ctx, Person(1).ID) })
	wantSessions(t, db, quantum.SessionQuery{Limit: 10}, s[3])
}

func testQuantumPools(t *testing.T, db Database) {
	people(t, db, 3)
	one, two, three := string(Person(1).ID), string(Person(2).ID), string(Person(3).ID)
	updateKeys(t, db, nil, func(ctx context.Context, tx kme.Tx) (err error) {
		for n, p := range []kme.Pair{{Master: one, Slave: two}, {Master: one, Slave: two}, {Master: two, Slave: three}, {Master: three, Slave: one}, {Master: "a machine", Slave: one}} {
			err = errors.Join(err, tx.InsertPooled(ctx, kme.Pooled{ID: keyID(n + 1), Pair: p, Sealed: []byte{1}, MadeAt: start}))
		}
		return err
	})
	pool := func(master, slave, keys int) quantum.Pool {
		v := quantumSession(0, master, slave)
		return quantum.Pool{Master: v.Master, Slave: v.Slave, Keys: keys}
	}
	for _, c := range []struct {
		q    quantum.PoolQuery
		want []quantum.Pool
	}{
		{quantum.PoolQuery{Limit: 10}, []quantum.Pool{pool(1, 2, 2), pool(2, 3, 1), pool(3, 1, 1)}},
		{quantum.PoolQuery{Limit: 1, After: kme.Pair{Master: one, Slave: two}}, []quantum.Pool{pool(2, 3, 1)}},
		{quantum.PoolQuery{Limit: 10, Person: one}, []quantum.Pool{pool(1, 2, 2), pool(3, 1, 1)}},
	} {
		if err := db.ViewQuantum(t.Context(), func(tx quantum.Tx) error {
			got, err := tx.Pools(t.Context(), c.q)
			equal(t, "pools", got, c.want)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func testEavesdroppers(t *testing.T, db Database) {
	people(t, db, 4)
	someone := func(n int) quantum.Person { return quantum.Person{ID: string(Person(n).ID), Name: Person(n).Name} }
	between := func(a, b int, attack bb84.Attack, share int64) quantum.Eavesdropper {
		return quantum.Eavesdropper{People: [2]quantum.Person{someone(a), someone(b)}, Attack: attack, Share: share, By: someone(4), Since: start}
	}
	one, two, three := between(1, 2, bb84.Intercept, 1), between(1, 3, bb84.Breidbart, 500_000), between(2, 3, bb84.Splitting, 1_000_000)
	updateQuantum(t, db, nil, func(ctx context.Context, tx quantum.Tx) error {
		return errors.Join(tx.PutEavesdropper(ctx, three), tx.PutEavesdropper(ctx, one), tx.PutEavesdropper(ctx, two))
	})
	list := func(q quantum.EavesdropperQuery, want ...quantum.Eavesdropper) {
		t.Helper()
		if err := db.ViewQuantum(t.Context(), func(tx quantum.Tx) error {
			got, err := tx.Eavesdroppers(t.Context(), q)
			equal(t, "eavesdroppers", got, want)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	list(quantum.EavesdropperQuery{Limit: 9}, one, two, three)
	list(quantum.EavesdropperQuery{Limit: 9, Person: someone(3).ID}, two, three)
	list(quantum.EavesdropperQuery{Limit: 1, After: [2]string{someone(1).ID, someone(2).ID}}, two)

	one.Attack, one.Share, one.Since = bb84.Breidbart, 2, start.Add(time.Second)
	updateQuantum(t, db, nil, func(ctx context.Context, tx quantum.Tx) error {
		if err := tx.PutEavesdropper(ctx, one); err != nil {
			return err
		}
		got, err := tx.Eavesdropper(ctx, someone(2).ID, someone(1).ID)
		equal(t, "an eavesdropper", got, one)
		return err
	})
	for _, missing := range []func(context.Context, quantum.Tx) error{
		func(ctx context.Context, tx quantum.Tx) error {
			return tx.PutEavesdropper(ctx, between(1, 9, bb84.Intercept, 1))
		},
		func(ctx context.Context, tx quantum.Tx) error {
			return tx.DeleteEavesdropper(ctx, someone(1).ID, someone(4).ID)
		},
		func(ctx context.Context, tx quantum.Tx) error {
			_, err := tx.Eavesdropper(ctx, someone(1).ID, someone(4).ID)
			return err
		},
		func(ctx context.Context, tx quantum.Tx) error { _, err := tx.Person(ctx, someone(9).ID); return err },
	} {
		updateQuantum(t, db, quantum.ErrNotFound, missing)
	}
	for what, e := range map[string]quantum.Eavesdropper{
		"with two people in no order": between(2, 1, bb84.Intercept, 1), "on one person": between(1, 1, bb84.Intercept, 1),
		"without an attack": between(1, 2, "", 1), "without a share": between(1, 2, bb84.Intercept, 0), "with too large a share": between(1, 2, bb84.Intercept, 1_000_001),
	} {
		if err := db.UpdateQuantum(t.Context(), func(tx quantum.Tx) error { return tx.PutEavesdropper(t.Context(), e) }); err == nil {
			t.Errorf("an eavesdropper %s is kept", what)
		}
	}
	updateQuantum(t, db, nil, func(ctx context.Context, tx quantum.Tx) error {
		return tx.DeleteEavesdropper(ctx, someone(3).ID, someone(1).ID)
	})
	list(quantum.EavesdropperQuery{Limit: 9}, one, three)

	// Whoever put her there may be erased, and she stays. With either of the two she goes.
	erase := func(n int) {
		t.Helper()
		update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.People().Erase(ctx, Person(n).ID) })
	}
	erase(4)
	one.By, three.By = quantum.Person{}, quantum.Person{}
	list(quantum.EavesdropperQuery{Limit: 9}, one, three)
	erase(3)
	list(quantum.EavesdropperQuery{Limit: 9}, one)
	erase(1)
	list(quantum.EavesdropperQuery{Limit: 9})
}

func testQuantumSecrets(t *testing.T, db Database) {
	people(t, db, 3)
	put := func(want error, s quantum.Secret) {
		t.Helper()
		updateQuantum(t, db, want, func(ctx context.Context, tx quantum.Tx) error { return tx.PutSecret(ctx, s) })
	}
	take := func(a, b int, want error, secret quantum.Secret) {
		t.Helper()
		updateQuantum(t, db, want, func(ctx context.Context, tx quantum.Tx) error {
			got, err := tx.TakeSecret(ctx, string(Person(a).ID), string(Person(b).ID))
			if err == nil {
				equal(t, "a secret", got, secret)
			}
			return err
		})
	}
	one, two, three := secretOf(1, []byte{1}), secretOf(2, []byte{2}), secretOf(3, []byte{3})
	for _, s := range []quantum.Secret{one, two, three} {
		put(nil, s)
	}
	later := one
	later.Session, later.Sealed = ID[string](9), []byte{9}
	put(nil, later) // in the place of the other
	take(2, 1, nil, later)
	take(1, 2, quantum.ErrNotFound, quantum.Secret{})
	taken := errors.New("taken back")
	updateQuantum(t, db, taken, func(ctx context.Context, tx quantum.Tx) error {
		if _, err := tx.TakeSecret(ctx, two.People[0], two.People[1]); err != nil {
			t.Error(err)
		}
		return taken
	})
	if err := db.ViewQuantum(t.Context(), func(tx quantum.Tx) error {
		_, err := tx.TakeSecret(t.Context(), two.People[0], two.People[1])
		return err
	}); err == nil {
		t.Error("a secret is taken in a View")
	}
	take(1, 3, nil, two)
	stranger := one
	stranger.People[1] = string(Person(9).ID)
	put(quantum.ErrNotFound, stranger)
	for what, change := range map[string]func(*quantum.Secret){
		"of no session":           func(s *quantum.Secret) { s.Session = "x" },
		"of two people, reversed": func(s *quantum.Secret) { s.People[0], s.People[1] = s.People[1], s.People[0] },
		"that is empty":           func(s *quantum.Secret) { s.Sealed = nil },
	} {
		s := one
		change(&s)
		if err := db.UpdateQuantum(t.Context(), func(tx quantum.Tx) error { return tx.PutSecret(t.Context(), s) }); err == nil {
			t.Errorf("a secret %s is kept", what)
		}
	}
	put(nil, one)
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.People().Erase(ctx, Person(1).ID) })
	take(1, 2, quantum.ErrNotFound, quantum.Secret{})
	updateKeys(t, db, nil, func(ctx context.Context, tx kme.Tx) error { return tx.EmptyPools(ctx) })
	take(2, 3, quantum.ErrNotFound, quantum.Secret{})
}

// testQuantumSecretAtOnce has many take one secret.
func testQuantumSecretAtOnce(t *testing.T, db Database) {
	people(t, db, 2)
	secret := secretOf(1, []byte{1})
	updateQuantum(t, db, nil, func(ctx context.Context, tx quantum.Tx) error { return tx.PutSecret(ctx, secret) })
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := db.UpdateQuantum(t.Context(), func(tx quantum.Tx) error {
				_, err := tx.TakeSecret(t.Context(), secret.People[1], secret.People[0])
				return err
			})
			if err == nil {
				taken.Add(1)
			} else if !errors.Is(err, quantum.ErrNotFound) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	equal(t, "how often it was taken", taken.Load(), int64(1))
}
