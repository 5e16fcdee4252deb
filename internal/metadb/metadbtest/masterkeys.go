package metadbtest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/internal/auditlog"
	"stonevault/internal/auth"
	"stonevault/internal/quantum"
	"stonevault/internal/vault"
	"stonevault/internal/webhook"
)

// masterVersion returns the n-th version of a master key, in use.
func masterVersion(n byte) vault.MasterVersion {
	check := bytes.Repeat([]byte{n}, 16)
	return vault.MasterVersion{Number: int64(n), Check: check, Tag: check[:8], CreatedAt: start, UsedAt: start}
}

// under is a value that begins with the tag of a version.
func under(n byte, text string) []byte { return append(bytes.Repeat([]byte{n}, 8), text...) }

func testMasterKeys(t *testing.T, db Database) {
	first, second := masterVersion(1), masterVersion(2)
	second.UsedAt = time.Time{}
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.MasterKeys().Insert(ctx, second), tx.MasterKeys().Insert(ctx, first))
	})
	want := func(versions ...vault.MasterVersion) {
		t.Helper()
		view(t, db, func(ctx context.Context, tx vault.Tx) error {
			got, err := tx.MasterKeys().All(ctx)
			equal(t, "the versions", got, versions)
			return err
		})
	}
	want(first, second)
	if err := attempt(t, db, func(ctx context.Context, tx vault.Tx) error {
		return tx.MasterKeys().Withdraw(ctx, first.Number)
	}); !errors.Is(err, vault.ErrConflict) {
		t.Errorf("one in use is withdrawn: %v", err)
	}
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.MasterKeys().Withdraw(ctx, second.Number) })
	want(first)
	second.UsedAt = start
	first.RetiredAt, first.Wrapped = start.Add(time.Hour), []byte("wrapped")
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.MasterKeys().Insert(ctx, second), tx.MasterKeys().Update(ctx, first))
	})
	want(first, second)
	for name, m := range map[string]vault.MasterVersion{
		"the same number": {Number: 2, Check: bytes.Repeat([]byte{3}, 16), Tag: bytes.Repeat([]byte{3}, 8), CreatedAt: start},
		"the same tag":    {Number: 3, Check: slices.Concat(second.Tag, make([]byte, 8)), Tag: second.Tag, CreatedAt: start},
		"another tag":     {Number: 3, Check: bytes.Repeat([]byte{3}, 16), Tag: bytes.Repeat([]byte{4}, 8), CreatedAt: start},
		"not wrapped":     {Number: 3, Check: bytes.Repeat([]byte{3}, 16), Tag: bytes.Repeat([]byte{3}, 8), CreatedAt: start, UsedAt: start, RetiredAt: start},
		"destroyed early": {Number: 3, Check: bytes.Repeat([]byte{3}, 16), Tag: bytes.Repeat([]byte{3}, 8), CreatedAt: start, UsedAt: start, RetiredAt: start, DestroyedAt: start},
	} {
		if err := attempt(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.MasterKeys().Insert(ctx, m) }); err == nil {
			t.Errorf("%s is kept", name)
		}
	}
}

// testSealed finds what is sealed under another master key than one, in every place, and seals it anew.
func testSealed(t *testing.T, db Database) {
	people(t, db, 3)
	person := func(n int) string { return string(Person(n).ID) }
	hook := func(n int, secret []byte) webhook.Row {
		return webhook.Row{ID: ID[string](n), URL: "https://example.org", Secret: secret, Events: []webhook.Kind{webhook.DeviceNew}, CreatedAt: start, UpdatedAt: start}
	}
	insert := func(n int, value []byte) func(context.Context, vault.Tx) error {
		return func(ctx context.Context, tx vault.Tx) error {
			id := key(n)
			id.WrappedSeeds = value
			id.Version = n
			upload := vault.Upload{ID: FileID(n), Owner: Person(1).ID, Path: "/u", Suite: identity.SuiteHybrid, Class: "normal", SealedKey: value, Size: -1, CreatedAt: start,
				ExpiresAt: start, ModifiedAt: start}
			log := auditLog(int64(n))
			log.SealedSeed = value
			both := tx.(interface {
				auth.Tx
				Webhooks() webhook.Tx
			})
			return errors.Join(tx.Identities().Insert(ctx, id), tx.Uploads().Insert(ctx, upload), both.InsertTokenKey(ctx, auth.TokenKey{ID: ID[string](n), Sealed: value, CreatedAt: start}),
				both.PutFactor(ctx, auth.Factor{Person: person(n), Sealed: value, CreatedAt: start}), both.Webhooks().Insert(ctx, hook(n, value)),
				both.Webhooks().InsertFormer(ctx, webhook.Former{Webhook: hook(n, value).ID, Secret: value, Until: start}),
				tx.Audit().InsertLog(ctx, log), tx.Audit().InsertKey(ctx, auditlog.Key{Number: int64(n), Person: person(n), Sealed: value}),
				insertQuantumKey(ctx, tx, n, value))
		}
	}
	first, second := masterVersion(1), masterVersion(2)
	first.RetiredAt, first.Wrapped = start, []byte("wrapped")
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.MasterKeys().Insert(ctx, first), tx.MasterKeys().Insert(ctx, second))
	})
	for n := 1; n <= 3; n++ {
		update(t, db, insert(n, under(byte(min(n, 2)), "sealed"))) // one under the first, two under the second
	}
	update(t, db, func(ctx context.Context, tx vault.Tx) error { // neither is under any master key
		recovery := key(4)
		recovery.Kind, recovery.WrappedSeeds = vault.KindRecovery, nil
		return errors.Join(tx.Identities().Insert(ctx, recovery), tx.Audit().InsertKey(ctx, auditlog.Key{Number: 4, Person: ID[string](4), Sealed: []byte("erased")}), tx.Audit().EraseKey(ctx, 4))
	})
	of := map[vault.SealedPlace]func(n int) []string{
		vault.SealedSeeds:     func(n int) []string { return []string{string(key(n).ID), string(key(n).Kind), string(rune('0' + n))} },
		vault.SealedUploads:   func(n int) []string { return []string{FileID(n).String()} },
		vault.SealedTokenKeys: func(n int) []string { return []string{ID[string](n)} },
		vault.SealedFactors:   func(n int) []string { return []string{person(n)} },
		vault.SealedWebhooks:  func(n int) []string { return []string{ID[string](n)} },
		vault.SealedFormers:   func(n int) []string { return []string{string(rune('0' + n)), ID[string](n)} },
		vault.SealedLogs:      func(n int) []string { return []string{string(rune('0' + n)), auditLog(int64(n)).Origin} },
		vault.SealedLogKeys:   func(n int) []string { return []string{string(rune('0' + n)), person(n)} },
		vault.SealedPool:      func(n int) []string { return []string{keyID(n).String(), "master", "slave"} },
		vault.SealedWaiting:   func(n int) []string { return []string{string(rune('0' + n)), keyID(n).String(), "master", "slave"} },
		vault.SealedSecrets: func(n int) []string {
			s := secretOf(n, nil)
			return []string{s.Session, s.People[0], s.People[1]}
		},
	}
	for _, place := range vault.SealedPlaces {
		beside := func(tag []byte, after string, limit int) (found []vault.SealedValue) {
			t.Helper()
			view(t, db, func(ctx context.Context, tx vault.Tx) (err error) {
				found, err = tx.MasterKeys().Beside(ctx, place, tag, after, limit)
				return err
			})
			return found
		}
		count := func(tag []byte) (all, tagged int64) {
			t.Helper()
			view(t, db, func(ctx context.Context, tx vault.Tx) (err error) {
				all, tagged, err = tx.MasterKeys().Count(ctx, place, tag)
				return err
			})
			return all, tagged
		}
		if all, tagged := count(first.Tag); all != 3 || tagged != 1 {
			t.Errorf("%s: %d values, %d under the first", place, all, tagged)
		}
		value := func(n int, text string) vault.SealedValue {
			return vault.SealedValue{Place: place, Of: of[place](n), Value: under(byte(min(n, 2)), text)}
		}
		equal(t, "beside the second", beside(second.Tag, "", 10), []vault.SealedValue{value(1, "sealed")})
		equal(t, "beside the first, one", beside(first.Tag, "", 1), []vault.SealedValue{value(2, "sealed")})
		equal(t, "beside the first, the next", beside(first.Tag, of[place](2)[0], 10), []vault.SealedValue{value(3, "sealed")})
		reseal := func(v vault.SealedValue) error {
			return attempt(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.MasterKeys().Reseal(ctx, v, under(2, "anew")) })
		}
		if err := reseal(value(1, "sealed")); err != nil {
			t.Errorf("%s: %v", place, err)
		}
		for what, v := range map[string]vault.SealedValue{"has changed": value(1, "sealed"), "is not there": {Place: place, Of: of[place](9), Value: under(1, "sealed")}} {
			if err := reseal(v); !errors.Is(err, vault.ErrConflict) {
				t.Errorf("%s: a value that %s: %v", place, what, err)
			}
		}
		if all, tagged := count(second.Tag); all != 3 || tagged != 3 {
			t.Errorf("%s: %d values, %d under the second", place, all, tagged)
		}
	}

	// Once the first is closed, nothing comes in under it any more, and all else does.
	first.ClosedAt = start
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.MasterKeys().Update(ctx, first) })
	late := under(1, "late")
	for what, fn := range map[string]func(ctx context.Context, tx vault.Tx) error{
		"an identity": func(ctx context.Context, tx vault.Tx) error {
			id := key(5)
			id.Version, id.WrappedSeeds = 5, late
			return tx.Identities().Insert(ctx, id)
		},
		"an upload": func(ctx context.Context, tx vault.Tx) error {
			return tx.Uploads().Insert(ctx, vault.Upload{ID: FileID(5), Owner: Person(1).ID, Path: "/u", Suite: identity.SuiteHybrid, Class: "normal", SealedKey: late, Size: -1,
				CreatedAt: start, ExpiresAt: start, ModifiedAt: start})
		},
		"a token key": func(ctx context.Context, tx vault.Tx) error {
			return tx.(auth.Tx).InsertTokenKey(ctx, auth.TokenKey{ID: ID[string](5), Sealed: late, CreatedAt: start})
		},
		"a factor": func(ctx context.Context, tx vault.Tx) error {
			return tx.(auth.Tx).PutFactor(ctx, auth.Factor{Person: person(1), Sealed: late, CreatedAt: start})
		},
		"a webhook": func(ctx context.Context, tx vault.Tx) error {
			return tx.(interface{ Webhooks() webhook.Tx }).Webhooks().Insert(ctx, hook(5, late))
		},
		"a webhook's new secret": func(ctx context.Context, tx vault.Tx) error {
			return tx.(interface{ Webhooks() webhook.Tx }).Webhooks().Update(ctx, hook(1, late))
		},
		"a webhook's former secret": func(ctx context.Context, tx vault.Tx) error {
			return tx.(interface{ Webhooks() webhook.Tx }).Webhooks().InsertFormer(ctx, webhook.Former{Webhook: hook(1, late).ID, Secret: late, Until: start})
		},
		"a log": func(ctx context.Context, tx vault.Tx) error {
			log := auditLog(5)
			log.SealedSeed = late
			return tx.Audit().InsertLog(ctx, log)
		},
		"a key of the log": func(ctx context.Context, tx vault.Tx) error {
			return tx.Audit().InsertKey(ctx, auditlog.Key{Number: 5, Person: ID[string](5), Sealed: late})
		},
		"a secret of quantum keys": func(ctx context.Context, tx vault.Tx) error {
			return tx.QuantumKeys().(quantum.KeysTx).Quantum().PutSecret(ctx, secretOf(5, late))
		},
		"a quantum key": func(ctx context.Context, tx vault.Tx) error {
			return tx.QuantumKeys().InsertPooled(ctx, pooled(5, late))
		},
		"a quantum key that waits": func(ctx context.Context, tx vault.Tx) error {
			return errors.Join(tx.QuantumKeys().InsertDelivered(ctx, deliveredKey(5, "slave")), tx.QuantumKeys().InsertWaiting(ctx, waiting(5, "slave", late)))
		},
	} {
		if err := attempt(t, db, fn); !errors.Is(err, vault.ErrMasterKeyClosed) {
			t.Errorf("%s under a closed master key: %v", what, err)
		}
	}
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return tx.(auth.Tx).InsertTokenKey(ctx, auth.TokenKey{ID: ID[string](6), Sealed: under(2, "good"), CreatedAt: start})
	})
}
