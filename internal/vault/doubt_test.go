package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"stonevault/internal/vault"
	"stonevault/stone"
)

// lostCommit is a database whose disk fails to sync its commit number at: that one and all later ones are
// refused, nothing of it can be read, and a restart may bring it back.
type lostCommit struct {
	vault.Database
	at    int
	count int
	lost  func(vault.Tx) error
}

func (d *lostCommit) Update(ctx context.Context, fn func(vault.Tx) error) error {
	d.count++
	switch {
	case d.lost != nil:
		return errInjected
	case d.count != d.at:
		return d.Database.Update(ctx, fn)
	}
	return d.Database.Update(ctx, func(tx vault.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		d.lost = fn
		return errInjected
	})
}

// on gives the house a database that loses a commit.
func (d *lostCommit) on(h *house) {
	at := d.at
	d.Database, d.at = h.db, -1
	h.config.Database = d
	h.reopen()
	d.at, d.count = at, 0
}

// restart starts the vault anew, with the lost commit or without, and tells whether one was lost.
func (d *lostCommit) restart(h *house, comesBack bool) bool {
	h.t.Helper()
	h.config.Database = h.db
	if d.lost != nil && comesBack {
		if err := h.db.Update(ctx, d.lost); err != nil {
			h.t.Fatal(err)
		}
	}
	h.reopen()
	if _, err := h.Collect(ctx); err != nil {
		h.t.Fatal(err)
	}
	return d.lost != nil
}

// goOn sends what is left of an upload, as a client does that has been told nothing of its end.
func (h *house) goOn(a vault.Actor, id stone.FileID, content []byte) error {
	u, err := h.Upload(ctx, a, id)
	if err != nil || u.Offset == u.Size {
		return err
	}
	_, _, err = h.AppendUpload(ctx, a, id, vault.Append{Offset: u.Offset, Size: -1, Body: bytes.NewReader(content[u.Offset:])})
	return err
}

// TestUploadCommitComesBack fails the commits of an upload in turn. Its client tries again at once, in vain;
// whatever the restart brings back is of one piece with the objects.
func TestUploadCommitComesBack(t *testing.T) {
	content := randomBytes(20<<20 + 17)
	for _, comesBack := range []bool{false, true} {
		for at, lost := 1, true; lost; at++ {
			t.Run(fmt.Sprintf("commit %d, coming back %v", at, comesBack), func(t *testing.T) {
				h := newHouse(t)
				ada := h.person("ada")
				u := h.begin(ada, "/f", int64(len(content)), stone.ClassNormal)
				if _, _, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: bytes.NewReader(content[:1<<20+5])}); err != nil {
					t.Fatal(err)
				}
				d := &lostCommit{at: at}
				d.on(h)
				for range 3 {
					if err := h.goOn(ada, u.ID, content); (err == nil) != (d.lost == nil) {
						t.Fatalf("going on: %v; a commit was lost: %v", err, d.lost != nil)
					}
				}
				lost = d.restart(h, comesBack)
				if err := h.goOn(ada, u.ID, content); err != nil {
					t.Fatalf("going on after the restart: %v", err)
				}
				h.mustGet(ada, "/f", content)
				if n := h.objectCount(); n != 2 {
					t.Errorf("%d objects, want 2", n)
				}
			})
		}
	}
}

// TestCancelFaults lets every writing step of a cancellation fail, both ways. The upload is gone after that,
// or goes on.
func TestCancelFaults(t *testing.T) {
	content := randomBytes(3<<20 + 17)
	cut := 2<<20 + 5
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			f := &faults{at: at, after: after}
			t.Run(fmt.Sprintf("step %d, persisted %v", at, after), func(t *testing.T) {
				h := newHouse(t)
				ada := h.person("ada")
				u := h.begin(ada, "/f", int64(len(content)), stone.ClassNormal)
				if _, _, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: bytes.NewReader(content[:cut])}); err != nil {
					t.Fatal(err)
				}
				sound := h.config
				h.config.Database, h.config.Objects, h.config.Parts = faultyDatabase{h.db, f}, faultyObjects{h.objects, f}, faultyParts{h.objects, f}
				reopenUncounted(h, f)
				cancelled := h.CancelUpload(ctx, ada, u.ID)
				h.config = sound
				h.reopen()
				if _, err := h.Collect(ctx); err != nil {
					t.Fatal(err)
				}
				_, err := h.Upload(ctx, ada, u.ID)
				switch {
				case errors.Is(err, vault.ErrNotFound):
					if n := h.objectCount(); n != 0 {
						t.Errorf("%d objects are left", n)
					}
				case err != nil || cancelled == nil:
					t.Fatalf("the upload was cancelled with %v, and asking for it says %v", cancelled, err)
				default:
					if err := h.goOn(ada, u.ID, content); err != nil {
						t.Fatalf("the upload is there and does not go on: %v", err)
					}
					h.mustGet(ada, "/f", content)
				}
				if err := h.objects.WalkParts(ctx, func(id stone.FileID, size int64) error {
					return fmt.Errorf("a part of %d bytes is left", size)
				}); err != nil {
					t.Error(err)
				}
			})
			if f.count() < at {
				break
			}
		}
	}
}

// TestCancelComplete cancels an upload that has all its bytes and could not become a file.
func TestCancelComplete(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	u := h.begin(ada, "/f", 5, stone.ClassNormal)
	d := &lostCommit{at: 2} // the first is that of the bytes
	d.on(h)
	if err := h.goOn(ada, u.ID, []byte("hello")); err == nil {
		t.Fatal("a lost commit was acknowledged")
	}
	d.restart(h, false)
	if n := h.objectCount(); n != 2 {
		t.Fatalf("%d objects, want 2 that wait for their rows", n)
	}
	if err := h.CancelUpload(ctx, ada, u.ID); err != nil {
		t.Fatal(err)
	}
	if n := h.objectCount(); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

// TestUndoThatMayComeBack fails to put a moved file's envelope in its place and then loses the commit that
// takes the move back. Who moved must not be told that all is well.
func TestUndoThatMayComeBack(t *testing.T) {
	for _, comesBack := range []bool{false, true} {
		h := newHouse(t)
		ada := h.person("ada")
		e := h.put(ada, "/a", []byte("x"))
		h.config.Objects = faultyObjects{h.objects, &faults{at: 1}}
		d := &lostCommit{at: 2}
		d.on(h)
		if _, err := h.Move(ctx, ada, e.Node.ID, vault.MoveRequest{Path: "/b"}); !errors.Is(err, errInjected) {
			t.Errorf("the move is answered with %v", err)
		}
		h.config.Objects = h.objects
		d.restart(h, comesBack)
		h.mustGet(ada, map[bool]string{false: "/b", true: "/a"}[comesBack], []byte("x"))
	}
}

// TestMoveAfterLeftIntent moves a file whose last move could not tidy up behind it.
func TestMoveAfterLeftIntent(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	e := h.put(ada, "/a", []byte("x"))
	f := &faults{at: 2} // the second commit removes the intent
	h.config.Database = faultyDatabase{h.db, f}
	reopenUncounted(h, f)
	for _, path := range []string{"/b", "/c"} {
		if _, err := h.Move(ctx, ada, e.Node.ID, vault.MoveRequest{Path: path}); err != nil {
			t.Fatalf("to %s: %v", path, err)
		}
	}
	h.config.Database = h.db
	h.reopen()
	h.mustGet(ada, "/c", []byte("x"))
}

// TestEmptyUploadStopped stops between the announcement of an empty file and the making of it.
func TestEmptyUploadStopped(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	for _, class := range []stone.Class{stone.ClassNormal, stone.ClassRestricted} {
		path := "/" + string(class)
		u := h.begin(ada, path, 0, class)
		h.reopen()
		for range 2 {
			if now, err := h.Upload(ctx, ada, u.ID); err != nil || now.Offset != 0 || now.Size != 0 {
				t.Errorf("%s: it stands at %d of %d: %v", class, now.Offset, now.Size, err)
			}
		}
		h.mustGet(ada, path, nil)
	}
	if left, err := h.Uploads(ctx, ada); err != nil || len(left) != 0 {
		t.Errorf("%d uploads are left: %v", len(left), err)
	}
}
