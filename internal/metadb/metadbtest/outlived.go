package metadbtest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// testOutlived finds the keys that others have taken the place of, and what still needs them.
func testOutlived(t *testing.T, db Database) {
	ana := people(t, db, 2)
	other := Person(2).ID
	make := func(n int, kind vault.IdentityKind, person vault.PersonID, version int, retired bool) vault.Identity {
		id := key(n)
		id.Kind, id.Person, id.Version = kind, person, version
		if retired {
			id.RetiredAt = start.Add(time.Duration(n) * time.Hour)
		}
		return id
	}
	old, now := make(1, vault.KindPerson, ana, 1, true), make(2, vault.KindPerson, ana, 2, false)
	root := make(3, vault.KindRoot, "", 1, true)         // of another kind
	recovery := make(4, vault.KindRecovery, "", 1, true) // without seeds
	recovery.WrappedSeeds = nil
	gone := make(5, vault.KindGroup, "", 1, true) // with nobody in its place
	gone.Group = ID[vault.GroupID](9)
	own, next := make(6, vault.KindVault, "", 1, true), make(7, vault.KindVault, "", 2, false)
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		for _, row := range []vault.Identity{old, now, root, recovery, gone, own, next} {
			if err := tx.Identities().Insert(ctx, row); err != nil {
				return err
			}
		}
		return nil
	})
	outlived := func(want ...vault.Identity) {
		t.Helper()
		view(t, db, func(ctx context.Context, tx vault.Tx) error {
			got, err := tx.Identities().Outlived(ctx)
			equal(t, "the outlived", got, want)
			return err
		})
	}
	outlived(old, own)
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.Identities().DestroySeeds(ctx, own.ID) })
	outlived(old)
	for what, id := range map[string]vault.IdentityID{"that is in use": now.ID, "without seeds": own.ID, "that is not there": ID[vault.IdentityID](99)} {
		refused(t, db, "destroying the seeds of one "+what, vault.ErrConflict, func(ctx context.Context, tx vault.Tx) error {
			return tx.Identities().DestroySeeds(ctx, id)
		})
	}

	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		for n := 1; n <= 5; n++ {
			owner, signer := ana, old.Fingerprint
			switch n {
			case 4:
				signer = now.Fingerprint
			case 5:
				owner, signer = other, identity.Fingerprint(bytes.Repeat([]byte{8}, 32))
			}
			node, version := File(n, owner, "", string(rune('a'+n)))
			version.Signer = signer
			if err := InsertFile(ctx, tx, node, version); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.Intents().Insert(ctx, vault.Intent{FileID: FileID(2), Kind: vault.IntentRewrite, Envelope: []byte("e"), CreatedAt: start}),
			tx.Intents().Insert(ctx, vault.Intent{FileID: FileID(3), Kind: vault.IntentDelete, CreatedAt: start}),
			tx.Intents().Insert(ctx, vault.Intent{FileID: FileID(5), Kind: vault.IntentRewrite, Envelope: []byte("e"), CreatedAt: start}))
	})
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		var errs []error
		signed := func(f identity.Fingerprint, after, limit int, want ...stone.FileID) {
			t.Helper()
			got, err := tx.Versions().SignedBy(ctx, f, FileID(after), limit)
			equal(t, "signed", got, want)
			errs = append(errs, err)
		}
		signed(old.Fingerprint, 0, 2, FileID(1), FileID(2))
		signed(old.Fingerprint, 2, 2, FileID(3))
		signed(now.Fingerprint, 0, 10, FileID(4))
		signed(own.Fingerprint, 0, 10)
		n, err := tx.Versions().CountSignedBy(ctx, old.Fingerprint)
		equal(t, "how many are signed", n, 3)
		errs = append(errs, err)
		protections, err := tx.Versions().Protections(ctx)
		equal(t, "by key", protections, []vault.Protection{
			{Stones: 1}, {Suite: identity.SuiteHybrid, KeyVersion: 1, Stones: 3}, {Suite: identity.SuiteHybrid, KeyVersion: 2, InUse: true, Stones: 1},
		})
		rewrites, rewritesErr := tx.Intents().Rewrites(ctx, ana)
		equal(t, "on their way", rewrites, []stone.FileID{FileID(2)})
		return errors.Join(append(errs, err, rewritesErr)...)
	})
}
