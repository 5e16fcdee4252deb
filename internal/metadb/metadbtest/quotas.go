package metadbtest

import (
	"context"
	"errors"
	"testing"

	"stonevault/identity"
	"stonevault/internal/vault"
	"stonevault/stone"
)

func testQuotas(t *testing.T, db Database) {
	people(t, db, 4)
	groups(t, db, 3, in(1, 1, true, false), in(1, 2, true, false), in(1, 3, false, true), in(2, 1, true, true), in(3, 1, false, true), in(3, 2, true, false))
	none := vault.Limits{Bytes: vault.NoLimit, Files: vault.NoLimit}
	set := func(fn func(context.Context, vault.QuotaStore) error) {
		t.Helper()
		update(t, db, func(ctx context.Context, tx vault.Tx) error { return fn(ctx, tx.Quotas()) })
	}
	bounds := func(what string, person int, beside stone.FileID, want ...vault.Bound) {
		t.Helper()
		view(t, db, func(ctx context.Context, tx vault.Tx) error {
			got, err := tx.Quotas().Bounds(ctx, Person(person).ID, beside)
			equal(t, what, got, want)
			return err
		})
	}
	bounds("nobody set anything", 1, stone.FileID{}, vault.Bound{Limits: none})

	set(func(ctx context.Context, q vault.QuotaStore) error {
		return errors.Join(
			q.SetPerson(ctx, Person(1).ID, vault.Limits{Bytes: 5, Files: 6}), q.SetPerson(ctx, Person(1).ID, vault.Limits{Bytes: 0, Files: vault.NoLimit}),
			q.SetGroup(ctx, Group(1).ID, vault.Limits{Bytes: vault.NoLimit, Files: 0}), q.SetGroup(ctx, Group(1).ID, vault.Limits{Bytes: 1 << 50, Files: 9}),
			q.SetGroup(ctx, Group(3).ID, none))
	})
	bounds("limits", 1, stone.FileID{}, vault.Bound{Set: true, Limits: vault.Limits{Bytes: 0, Files: vault.NoLimit}},
		vault.Bound{Group: Group(1).ID, Name: "Team 1", Set: true, Limits: vault.Limits{Bytes: 1 << 50, Files: 9}})
	bounds("who manages alone is not bounded", 3, stone.FileID{}, vault.Bound{Limits: none})

	// The use follows what is there.
	one, first := File(1, Person(1).ID, "", "a")
	second := first
	second.FileID, second.Number, second.Size = FileID(11), 2, 4
	other, its := File(2, Person(2).ID, "", "b")
	third, whose := File(3, Person(3).ID, "", "c")
	first.Size, its.Size, whose.Size = 100, 20, 7
	upload := func(n, owner int, offset int64) vault.Upload {
		return vault.Upload{ID: FileID(n), Owner: Person(owner).ID, Path: "/u", Suite: identity.SuiteHybrid, Class: string(stone.ClassNormal), SealedKey: []byte{1},
			Size: -1, Offset: offset, CreatedAt: start, ExpiresAt: start, ModifiedAt: start}
	}
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(InsertFile(ctx, tx, one, first), tx.Versions().Insert(ctx, second), InsertFile(ctx, tx, other, its),
			InsertFile(ctx, tx, third, whose), tx.Nodes().Insert(ctx, Folder(4, Person(1).ID, "", "folder")),
			tx.Uploads().Insert(ctx, upload(21, 1, 3)), tx.Uploads().Insert(ctx, upload(22, 1, 5)), tx.Uploads().Insert(ctx, upload(23, 2, 1000)))
	})
	mine := vault.Bound{Set: true, Limits: vault.Limits{Bytes: 0, Files: vault.NoLimit}, Used: vault.Use{Bytes: 104, Files: 1, Uploading: 8}}
	ours := vault.Bound{Group: Group(1).ID, Name: "Team 1", Set: true, Limits: vault.Limits{Bytes: 1 << 50, Files: 9},
		Used: vault.Use{Bytes: 124, Files: 2, Uploading: 1008}}
	bounds("use", 1, stone.FileID{}, mine, ours)
	mine.Used.Uploading, ours.Used.Uploading = 3, 1003
	bounds("use beside an upload", 1, FileID(22), mine, ours)
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		ours.Used.Uploading = 1008
		got, err := tx.Quotas().OfGroup(ctx, Group(1).ID)
		equal(t, "a group's", got, ours)
		if err != nil {
			return err
		}
		got, err = tx.Quotas().OfGroup(ctx, Group(2).ID)
		equal(t, "a group's that nobody set", got, vault.Bound{Group: Group(2).ID, Name: "Team 2", Limits: none, Used: vault.Use{Bytes: 104, Files: 1, Uploading: 8}})
		if _, missing := tx.Quotas().OfGroup(ctx, Group(9).ID); !errors.Is(missing, vault.ErrNotFound) {
			t.Errorf("quota of no group: %v", missing)
		}
		if _, missing := tx.Quotas().Bounds(ctx, Person(9).ID, stone.FileID{}); !errors.Is(missing, vault.ErrNotFound) {
			t.Errorf("quota of nobody: %v", missing)
		}
		return err
	})
	moved := second
	moved.Revision, moved.Size = 2, 6
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.Versions().Update(ctx, moved, 1), tx.Versions().DeleteOfDocument(ctx, other.ID), tx.Nodes().Delete(ctx, other.ID))
	})
	mine.Used.Uploading, mine.Used.Bytes, ours.Used.Bytes, ours.Used.Files = 8, 106, 106, 1
	bounds("use after a change and a removal", 1, stone.FileID{}, mine, ours)

	// What one leaves, and what is deleted, binds no more.
	set(func(ctx context.Context, q vault.QuotaStore) error {
		return errors.Join(q.UnsetPerson(ctx, Person(1).ID), q.UnsetPerson(ctx, Person(1).ID))
	})
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.Groups().Delete(ctx, Group(1).ID) })
	mine.Set, mine.Limits = false, none
	bounds("nothing is set any more", 1, stone.FileID{}, mine)
	for what, fn := range map[string]func(context.Context, vault.QuotaStore) error{
		"quota for nobody":   func(ctx context.Context, q vault.QuotaStore) error { return q.SetPerson(ctx, Person(9).ID, none) },
		"quota for no group": func(ctx context.Context, q vault.QuotaStore) error { return q.SetGroup(ctx, Group(1).ID, none) },
	} {
		refused(t, db, what, vault.ErrNotFound, func(ctx context.Context, tx vault.Tx) error { return fn(ctx, tx.Quotas()) })
	}
	for what, fn := range map[string]func(context.Context, vault.QuotaStore) error{
		"negative bytes": func(ctx context.Context, q vault.QuotaStore) error {
			return q.SetPerson(ctx, Person(1).ID, vault.Limits{Bytes: -2})
		},
		"negative files": func(ctx context.Context, q vault.QuotaStore) error {
			return q.SetGroup(ctx, Group(2).ID, vault.Limits{Files: -2})
		},
	} {
		if err := attempt(t, db, func(ctx context.Context, tx vault.Tx) error { return fn(ctx, tx.Quotas()) }); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}
