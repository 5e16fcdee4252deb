package metadbtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/internal/vault"
)

func upload(n int, owner vault.PersonID) vault.Upload {
	return vault.Upload{
		ID: FileID(n), Owner: owner, Path: "/a/b", MediaType: "text/plain", Class: "normal", Mode: 0o644, Suite: identity.SuiteHybrid,
		ModifiedAt: start.Add(-time.Hour), SealedKey: []byte{1, 2, 3}, Size: 10 << 20,
		CreatedAt: start.Add(time.Duration(n) * time.Second), ExpiresAt: start.Add(time.Duration(n) * time.Hour),
	}
}

func testUploads(t *testing.T, db Database) {
	owner := people(t, db, 2)
	one, two, other := upload(1, owner), upload(2, owner), upload(3, ID[vault.PersonID](2))
	other.Size = -1
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.Uploads().Insert(ctx, two), tx.Uploads().Insert(ctx, one), tx.Uploads().Insert(ctx, other))
	})
	refused(t, db, "second upload", vault.ErrExists, func(ctx context.Context, tx vault.Tx) error {
		return tx.Uploads().Insert(ctx, one)
	})
	refused(t, db, "nobody's upload", vault.ErrNotFound, func(ctx context.Context, tx vault.Tx) error {
		return tx.Uploads().Insert(ctx, upload(9, ID[vault.PersonID](9)))
	})

	was := one.Offset
	one.Offset, one.Part, one.Segments, one.Provisional, one.Replace = 3<<20+5, 3<<20+99, 3, []byte{7}, true
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.Uploads().Update(ctx, one, was), tx.Uploads().AddRows(ctx, one.ID, 2, []byte("c")),
			tx.Uploads().AddRows(ctx, one.ID, 0, []byte("ab")))
	})
	refused(t, db, "a stale offset", vault.ErrConflict, func(ctx context.Context, tx vault.Tx) error {
		return tx.Uploads().Update(ctx, one, was)
	})
	refused(t, db, "an unknown upload", vault.ErrNotFound, func(ctx context.Context, tx vault.Tx) error {
		return tx.Uploads().Update(ctx, upload(8, owner), 0)
	})
	refused(t, db, "rows twice", vault.ErrExists, func(ctx context.Context, tx vault.Tx) error {
		return tx.Uploads().AddRows(ctx, one.ID, 2, []byte("d"))
	})

	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		got, err := tx.Uploads().ByID(ctx, one.ID)
		equal(t, "upload", got, one)
		listed := one
		listed.Provisional = nil
		mine, err2 := tx.Uploads().OfPerson(ctx, owner)
		equal(t, "one's uploads", mine, []vault.Upload{listed, two})
		expired, err3 := tx.Uploads().Expired(ctx, two.ExpiresAt, 10)
		equal(t, "expired uploads", expired, []vault.Upload{listed, two})
		rows, err4 := tx.Uploads().Rows(ctx, one.ID)
		equal(t, "rows", string(rows), "abc")
		none, err5 := tx.Uploads().Rows(ctx, two.ID)
		equal(t, "no rows", len(none), 0)
		return errors.Join(err, err2, err3, err4, err5)
	})
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.Uploads().Delete(ctx, one.ID), tx.Uploads().Delete(ctx, FileID(99)))
	})
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		if _, err := tx.Uploads().ByID(ctx, one.ID); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("a removed upload: %v", err)
		}
		rows, err := tx.Uploads().Rows(ctx, one.ID)
		equal(t, "rows of a removed upload", len(rows), 0)
		return err
	})
}

func testRetire(t *testing.T, db Database) {
	k := key(1)
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.Identities().Insert(ctx, k) })
	k.RetiredAt = start.Add(time.Hour)
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.Identities().Retire(ctx, k.ID, k.RetiredAt) })
	refused(t, db, "retiring twice", vault.ErrNotFound, func(ctx context.Context, tx vault.Tx) error {
		return tx.Identities().Retire(ctx, k.ID, k.RetiredAt)
	})
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		got, err := tx.Identities().ByFingerprint(ctx, k.Fingerprint)
		equal(t, "retired identity", got, k)
		if _, missing := tx.Identities().Current(ctx, k.Kind, ""); !errors.Is(missing, vault.ErrNotFound) {
			t.Errorf("a retired identity is current: %v", missing)
		}
		return err
	})
}
