package metadbtest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"stonevault/internal/vault"
)

func testNodes(t *testing.T, db Database) {
	owner := people(t, db, 2)
	other := ID[vault.PersonID](2)
	docs := Folder(1, owner, "", "docs")
	node, version := File(2, owner, docs.ID, strings.Repeat("ä", 127)+"z")
	epoch, epochVersion := File(3, owner, "", "epoch")
	epoch.ModifiedAt, epochVersion.ModifiedAt = time.UnixMilli(0).UTC(), time.UnixMilli(0).UTC()
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.Nodes().Insert(ctx, docs), InsertFile(ctx, tx, node, version), InsertFile(ctx, tx, epoch, epochVersion))
	})
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		for _, want := range []vault.Node{docs, node, epoch} {
			got, err := tx.Nodes().ByID(ctx, want.ID)
			if err != nil {
				return err
			}
			equal(t, "by id", got, want)
			if got, err = tx.Nodes().Child(ctx, owner, want.Parent, want.Name); err != nil {
				return err
			}
			equal(t, "child", got, want)
		}
		for _, tt := range []struct {
			owner  vault.PersonID
			parent vault.NodeID
			name   string
		}{{owner, "", "DOCS"}, {other, "", "docs"}, {owner, docs.ID, "docs"}, {owner, "", ""}} {
			if _, err := tx.Nodes().Child(ctx, tt.owner, tt.parent, tt.name); !errors.Is(err, vault.ErrNotFound) {
				t.Errorf("child %+v: %v", tt, err)
			}
		}
		for _, tt := range []struct {
			owner  vault.PersonID
			parent vault.NodeID
			want   bool
		}{{owner, "", true}, {owner, docs.ID, true}, {owner, node.ID, false}, {other, "", false}, {other, docs.ID, false}} {
			if got, err := tx.Nodes().HasChildren(ctx, tt.owner, tt.parent); err != nil || got != tt.want {
				t.Errorf("children of %q: %v, %v", tt.parent, got, err)
			}
		}
		return nil
	})

	for _, tt := range []struct {
		what string
		want error
		node vault.Node
	}{
		{"same id", vault.ErrExists, Folder(1, owner, "", "more")},
		{"same name in the root", vault.ErrExists, Folder(9, owner, "", "docs")},
		{"same name in a folder", vault.ErrExists, Folder(9, owner, docs.ID, node.Name)},
		{"unknown owner", vault.ErrNotFound, Folder(9, ID[vault.PersonID](7), "", "x")},
		{"unknown parent", vault.ErrNotFound, Folder(9, owner, ID[vault.NodeID](7), "x")},
		{"parent of somebody else", vault.ErrNotFound, Folder(9, other, docs.ID, "x")},
		{"parent that is a file", vault.ErrNotFound, Folder(9, owner, node.ID, "x")},
	} {
		refused(t, db, "insert: "+tt.what, tt.want, func(ctx context.Context, tx vault.Tx) error {
			return tx.Nodes().Insert(ctx, tt.node)
		})
	}
	// Names are compared by their bytes, and everybody has a root.
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.Nodes().Insert(ctx, Folder(10, owner, "", "Docs")), tx.Nodes().Insert(ctx, Folder(11, other, "", "docs")))
	})
}

func testTrees(t *testing.T, db Database) {
	owner := people(t, db, 2)
	other := ID[vault.PersonID](2)
	a := Folder(1, owner, "", "a")
	b := Folder(2, owner, a.ID, "b")
	c := Folder(3, owner, b.ID, "c")
	file, version := File(4, owner, c.ID, "file")
	foreign := Folder(5, other, "", "foreign")
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.Nodes().Insert(ctx, a), tx.Nodes().Insert(ctx, b), tx.Nodes().Insert(ctx, c),
			InsertFile(ctx, tx, file, version), tx.Nodes().Insert(ctx, foreign))
	})
	move := func(n vault.Node, parent vault.NodeID, name string) func(context.Context, vault.Tx) error {
		n.Parent, n.Name = parent, name
		return func(ctx context.Context, tx vault.Tx) error { return tx.Nodes().Update(ctx, n) }
	}
	stolen := file
	stolen.Owner = other
	for _, tt := range []struct {
		what string
		want error
		fn   func(context.Context, vault.Tx) error
	}{
		{"into its child", vault.ErrConflict, move(a, b.ID, "a")},
		{"into its grandchild", vault.ErrConflict, move(a, c.ID, "a")},
		{"into a file", vault.ErrNotFound, move(b, file.ID, "b")},
		{"into nothing", vault.ErrNotFound, move(b, ID[vault.NodeID](9), "b")},
		{"into somebody else's folder", vault.ErrNotFound, move(b, foreign.ID, "b")},
		{"to another owner", vault.ErrNotFound, move(stolen, "", "file")},
		{"unknown node", vault.ErrNotFound, move(Folder(9, owner, "", "x"), "", "x")},
		{"another kind", vault.ErrNotFound, func(ctx context.Context, tx vault.Tx) error {
			n, _ := File(3, owner, b.ID, "c")
			return tx.Nodes().Update(ctx, n)
		}},
		{"delete a full folder", vault.ErrConflict, func(ctx context.Context, tx vault.Tx) error { return tx.Nodes().Delete(ctx, a.ID) }},
		{"delete nothing", vault.ErrNotFound, func(ctx context.Context, tx vault.Tx) error {
			return tx.Nodes().Delete(ctx, ID[vault.NodeID](9))
		}},
	} {
		refused(t, db, tt.what, tt.want, tt.fn)
	}
	update(t, db, move(c, "", "c"))
	update(t, db, move(a, c.ID, "a"))
	refused(t, db, "onto a name that is taken", vault.ErrExists, move(file, c.ID, "a"))
	moved := file
	moved.Parent, moved.Name, moved.Size, moved.MediaType = "", "new name", 1, "image/png"
	moved.ModifiedAt, moved.UpdatedAt, moved.Current = start.Add(time.Hour), start.Add(2*time.Hour), FileID(99)
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.Nodes().Update(ctx, moved) })
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		got, err := tx.Nodes().ByID(ctx, file.ID)
		equal(t, "moved", got, moved)
		return err
	})
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.Nodes().Delete(ctx, b.ID), tx.Nodes().Delete(ctx, a.ID), tx.Nodes().Delete(ctx, c.ID))
	})
}
