package metadbtest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

func testFactors(t *testing.T, db Database) {
	person := string(people(t, db, 2))
	f := auth.Factor{Person: person, Sealed: []byte{1, 2}, CreatedAt: start}
	read := func(who string) (f auth.Factor, codes [][]byte, err error) {
		viewAuth(t, db, func(ctx context.Context, tx auth.Tx) (failed error) {
			f, err = tx.Factor(ctx, who)
			codes, failed = tx.RecoveryCodes(ctx, who)
			return failed
		})
		return f, codes, err
	}
	if _, codes, err := read(person); !errors.Is(err, auth.ErrNotFound) || len(codes) != 0 {
		t.Errorf("at first: %v, %v", codes, err)
	}
	first, second := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	for _, change := range []func(){func() {}, func() { f.LastStep, f.ConfirmedAt = 59, start.Add(time.Minute) }, func() { f.Sealed, f.CreatedAt = []byte{3}, start.Add(time.Hour) }} {
		change()
		updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
			return errors.Join(tx.PutFactor(ctx, f), tx.PutRecoveryCodes(ctx, person, [][]byte{first, second}))
		})
		got, codes, err := read(person)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "factor", got, f)
		equal(t, "codes", codes, [][]byte{first, second})
	}
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error { return tx.PutRecoveryCodes(ctx, person, [][]byte{second}) })
	if _, codes, _ := read(person); len(codes) != 1 || !bytes.Equal(codes[0], second) {
		t.Errorf("after one was used: %x", codes)
	}
	if _, codes, err := read(string(Person(2).ID)); !errors.Is(err, auth.ErrNotFound) || len(codes) != 0 {
		t.Errorf("another person's: %x, %v", codes, err)
	}
	refusedAuth(t, db, "the factor of nobody", auth.ErrNotFound, func(ctx context.Context, tx auth.Tx) error {
		return tx.PutFactor(ctx, auth.Factor{Person: ID[string](9), Sealed: []byte{1}, CreatedAt: start})
	})
	refusedAuth(t, db, "the codes of nobody", auth.ErrNotFound, func(ctx context.Context, tx auth.Tx) error {
		return tx.PutRecoveryCodes(ctx, ID[string](9), [][]byte{first})
	})
	refusedAuth(t, db, "no factor", auth.ErrNotFound, func(ctx context.Context, tx auth.Tx) error { return tx.DeleteFactor(ctx, ID[string](2)) })
	for what, fn := range map[string]func(context.Context, auth.Tx) error{
		"a factor without a secret": func(ctx context.Context, tx auth.Tx) error {
			return tx.PutFactor(ctx, auth.Factor{Person: person, CreatedAt: start})
		},
		"a step before 1970": func(ctx context.Context, tx auth.Tx) error {
			return tx.PutFactor(ctx, auth.Factor{Person: person, Sealed: []byte{1}, CreatedAt: start, LastStep: -1})
		},
		"a short hash": func(ctx context.Context, tx auth.Tx) error {
			return tx.PutRecoveryCodes(ctx, person, [][]byte{first[:31]})
		},
		"no password": func(ctx context.Context, tx auth.Tx) error { return tx.SetPassword(ctx, person, "", start) },
	} {
		if err := db.UpdateAuth(t.Context(), func(tx auth.Tx) error { return fn(t.Context(), tx) }); err == nil {
			t.Errorf("%s was kept", what)
		}
	}
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		return errors.Join(tx.DeleteFactor(ctx, person), tx.SetPassword(ctx, person, "another hash", start.Add(time.Hour)))
	})
	if _, _, err := read(person); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
	viewAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		a, err := tx.Account(ctx, person)
		equal(t, "password", a.PasswordHash, "another hash")
		equal(t, "epoch", a.Epoch, int64(1))
		return err
	})
	refusedAuth(t, db, "the password of nobody", auth.ErrNotFound, func(ctx context.Context, tx auth.Tx) error {
		return tx.SetPassword(ctx, ID[string](9), "x", start)
	})

	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return tx.Settings().Put(ctx, "roles", []byte(`["admin"]`))
	})
	viewAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		if _, err := tx.Setting(ctx, "other"); !errors.Is(err, auth.ErrNotFound) {
			t.Errorf("a setting that is not there: %v", err)
		}
		value, err := tx.Setting(ctx, "roles")
		equal(t, "setting", string(value), `["admin"]`)
		return err
	})
}

func testFailures(t *testing.T, db Database) {
	person := string(people(t, db, 2))
	key := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, 32) }
	put := func(n int, f auth.Failures) {
		updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error { return tx.PutFailures(ctx, key(n), f) })
	}
	failures := func(n int) (f auth.Failures) {
		viewAuth(t, db, func(ctx context.Context, tx auth.Tx) (err error) {
			f, err = tx.Failures(ctx, key(n))
			return err
		})
		return f
	}
	equal(t, "no failures", failures(1), auth.Failures{})
	for _, f := range []auth.Failures{{Count: 1, Last: start}, {Count: 1<<32 - 1, Last: start.Add(time.Second)}, {}, {Count: 7, Last: start.Add(time.Hour)}} {
		put(1, f)
		equal(t, "failures", failures(1), f)
	}
	put(2, auth.Failures{Count: 3, Last: start})
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error { return tx.DeleteFailures(ctx, start) })
	equal(t, "not yet", failures(2).Count, uint32(3))
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error { return tx.DeleteFailures(ctx, start.Add(time.Hour)) })
	equal(t, "removed", failures(2), auth.Failures{})
	equal(t, "kept", failures(1).Count, uint32(7))
	if err := db.UpdateAuth(t.Context(), func(tx auth.Tx) error {
		return tx.PutFailures(t.Context(), []byte("a name"), auth.Failures{Count: 1, Last: start})
	}); err == nil {
		t.Error("failures were kept under what is no digest")
	}

	d := auth.Device{Person: person, Hash: key(1), FirstAt: start, LastAt: start}
	device := func(who string, n int) (d auth.Device, err error) {
		viewAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
			d, err = tx.Device(ctx, who, key(n))
			return nil
		})
		return d, err
	}
	for _, at := range []time.Time{start, start.Add(time.Hour)} {
		d.LastAt = at
		again := d
		again.FirstAt = at // which stays as it was
		updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error { return tx.PutDevice(ctx, again) })
		got, err := device(person, 1)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "device", got, d)
	}
	for n, who := range map[int]string{1: string(Person(2).ID), 2: person} {
		if _, err := device(who, n); !errors.Is(err, auth.ErrNotFound) {
			t.Errorf("device %d of %s: %v", n, who, err)
		}
	}
	refusedAuth(t, db, "a device of nobody", auth.ErrNotFound, func(ctx context.Context, tx auth.Tx) error {
		return tx.PutDevice(ctx, auth.Device{Person: ID[string](9), Hash: key(1), FirstAt: start, LastAt: start})
	})
	// Of many, those that were seen last are kept.
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error {
		for n := range auth.MaxDevices {
			at := start.Add(time.Duration(n) * time.Second)
			if err := tx.PutDevice(ctx, auth.Device{Person: person, Hash: key(n + 2), FirstAt: at, LastAt: at}); err != nil {
				return err
			}
		}
		return nil
	})
	for n, kept := range map[int]bool{1: true, 2: false, 3: true, auth.MaxDevices + 1: true} {
		if _, err := device(person, n); kept != (err == nil) {
			t.Errorf("device %d: %v", n, err)
		}
	}
	updateAuth(t, db, func(ctx context.Context, tx auth.Tx) error { return tx.DeleteDevices(ctx, start.Add(time.Hour)) })
	for n, kept := range map[int]bool{1: true, 3: false} {
		if _, err := device(person, n); kept != (err == nil) {
			t.Errorf("device %d, afterwards: %v", n, err)
		}
	}
}
