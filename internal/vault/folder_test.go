package vault_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"stonevault/internal/vault"
)

func (h *house) find(a vault.Actor, r vault.ListRequest) (paths []string) {
	h.t.Helper()
	for {
		page, err := h.Find(ctx, a, r)
		if err != nil {
			h.t.Fatalf("Find %+v: %v", r, err)
		}
		if len(page.Items) > r.Limit {
			h.t.Fatalf("%d items on a page of %d", len(page.Items), r.Limit)
		}
		for _, e := range page.Items {
			paths = append(paths, e.Path)
		}
		if page.Next == "" {
			return paths
		}
		r.Cursor = page.Next
	}
}

func TestFolders(t *testing.T) {
	h := newHouse(t)
	ada, bob := h.person("ada"), h.person("bob")
	for _, want := range []bool{true, false} {
		f, err := h.MakeFolder(ctx, ada, "/a/b/c")
		if err != nil || f.New != want || f.Path != "/a/b/c" || f.Node.Kind != vault.NodeFolder {
			t.Fatalf("%+v, %v", f, err)
		}
	}
	h.put(ada, "/a/b/file", []byte("x"))
	if _, err := h.MakeFolder(ctx, ada, "/a/b/file"); !errors.Is(err, vault.ErrExists) {
		t.Errorf("over a file: %v, want ErrExists", err)
	}
	var invalid *vault.InvalidError
	if _, err := h.MakeFolder(ctx, ada, "/a/b/file/d"); !errors.As(err, &invalid) {
		t.Errorf("through a file: %v, want an InvalidError", err)
	}
	if _, err := h.MakeFolder(ctx, ada, "/"); !errors.As(err, &invalid) {
		t.Errorf("the root: %v, want an InvalidError", err)
	}
	a, err := h.Stat(ctx, ada, vault.Ref{Path: "/a"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		actor   vault.Actor
		ifMatch string
		want    error
	}{{bob, "", vault.ErrNotFound}, {ada, `"stale"`, vault.ErrPrecondition}, {ada, a.ETag(), nil}, {ada, "", vault.ErrNotFound}} {
		if err := h.DeleteAll(ctx, c.actor, a.Node.ID, c.ifMatch); !errors.Is(err, c.want) {
			t.Errorf("DeleteAll: %v, want %v", err, c.want)
		}
	}
	if n := h.objectCount(); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

func TestFind(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	var all []string
	for _, path := range []string{"/a/b/x.txt", "/a/b.txt", "/a/b-c/y.TXT", "/a", "/z.txt", "/A/q.txt", "/a/b/deep/er/x.txt", "/ä/x.txt"} {
		if path == "/a" {
			continue
		}
		h.put(ada, path, []byte(path))
	}
	if _, err := h.MakeFolder(ctx, ada, "/empty"); err != nil {
		t.Fatal(err)
	}
	err := h.Walk(ctx, ada, "/", func(e vault.Entry) error {
		all = append(all, e.Path)
		return nil
	})
	want := []string{
		"/A", "/A/q.txt", "/a", "/a/b", "/a/b/deep", "/a/b/deep/er", "/a/b/deep/er/x.txt", "/a/b/x.txt",
		"/a/b-c", "/a/b-c/y.TXT", "/a/b.txt", "/empty", "/z.txt", "/ä", "/ä/x.txt",
	}
	if err != nil || !slices.Equal(all, want) {
		t.Fatalf("Walk gives %q, want %q (%v)", all, want, err)
	}
	for limit := 1; limit <= len(want)+1; limit++ {
		if got := h.find(ada, vault.ListRequest{Limit: limit}); !slices.Equal(got, want) {
			t.Errorf("pages of %d give %q, want %q", limit, got, want)
		}
	}
	for _, c := range []struct {
		folder string
		filter vault.ListFilter
		want   []string
	}{
		{"/a", vault.ListFilter{NameContains: ".txt", Kind: vault.NodeFile}, []string{"/a/b/deep/er/x.txt", "/a/b/x.txt", "/a/b-c/y.TXT", "/a/b.txt"}},
		{"/", vault.ListFilter{Kind: vault.NodeFolder, NameContains: "E"}, []string{"/a/b/deep", "/a/b/deep/er", "/empty"}},
		{"/a/b/deep", vault.ListFilter{}, []string{"/a/b/deep/er", "/a/b/deep/er/x.txt"}},
		{"/", vault.ListFilter{MediaType: "image/"}, nil},
	} {
		if got := h.find(ada, vault.ListRequest{Folder: c.folder, Filter: c.filter, Limit: 2}); !slices.Equal(got, c.want) {
			t.Errorf("%s %+v gives %q, want %q", c.folder, c.filter, got, c.want)
		}
	}
	for _, r := range []vault.ListRequest{{Sort: "name"}, {Cursor: "x"}, {Limit: -1}, {Folder: "/nowhere"}, {Filter: vault.ListFilter{Kind: "x"}}} {
		if _, err := h.Find(ctx, ada, r); err == nil {
			t.Errorf("Find %+v is accepted", r)
		}
	}
}

// FuzzPathAndCursor looks for panics, and for names that do not come back.
func FuzzPathAndCursor(f *testing.F) {
	for _, s := range []string{"/", "/a/b", "/\u0065\u0301", "//", "/..", "/a\x00", "eyJzIjoiIiwidiI6WyJhIiwiYiJdfQ", strings.Repeat("/a", 200)} {
		f.Add(s)
	}
	h := newHouse(f)
	ada := h.person("ada")
	f.Fuzz(func(t *testing.T, text string) {
		if names, err := vault.ParsePath(text); err == nil {
			again, err := vault.ParsePath("/" + strings.Join(names, "/"))
			if err != nil || !slices.Equal(again, names) {
				t.Fatalf("%q gives %q and then %q, %v", text, names, again, err)
			}
		}
		for _, sort := range []string{"", "name", "-size,name", "created_at"} {
			if _, err := h.List(ctx, ada, vault.ListRequest{Cursor: text, Sort: sort}); err != nil {
				var invalid *vault.InvalidError
				if !errors.As(err, &invalid) {
					t.Fatal(err)
				}
			}
		}
		if _, err := h.Find(ctx, ada, vault.ListRequest{Cursor: text}); err != nil {
			var invalid *vault.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatal(err)
			}
		}
	})
}

// TestDeleteManyFolders removes more than one transaction does.
func TestDeleteManyFolders(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	for i := range 230 {
		if _, err := h.MakeFolder(ctx, ada, fmt.Sprintf("/top/%d/in", i)); err != nil {
			t.Fatal(err)
		}
	}
	h.put(ada, "/top/7/in/file", randomBytes(10))
	h.put(ada, "/beside", nil)
	top, err := h.Stat(ctx, ada, vault.Ref{Path: "/top"})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.DeleteAll(ctx, ada, top.Node.ID, ""); err != nil {
		t.Fatal(err)
	}
	if got := h.find(ada, vault.ListRequest{Limit: 10}); !slices.Equal(got, []string{"/beside"}) {
		t.Errorf("left: %q", got)
	}
	if n := h.objectCount(); n != 2 {
		t.Errorf("%d objects, want 2", n)
	}
}

// TestFolderMoveKeepsPathsShort refuses to make paths that no request could name by moving what is above.
func TestFolderMoveKeepsPathsShort(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	for _, c := range []struct{ name, below, above string }{
		{"deep", strings.Repeat("/a", 70), strings.Repeat("/b", 70)},
		{"long", strings.Repeat("/"+strings.Repeat("x", 250), 9), strings.Repeat("/"+strings.Repeat("y", 250), 9)},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.put(ada, "/"+c.name+c.below+"/file", []byte("x"))
			if _, err := h.MakeFolder(ctx, ada, c.above); err != nil {
				t.Fatal(err)
			}
			top, err := h.Stat(ctx, ada, vault.Ref{Path: "/" + c.name})
			if err != nil {
				t.Fatal(err)
			}
			var invalid *vault.InvalidError
			if _, err := h.Move(ctx, ada, top.Node.ID, vault.MoveRequest{Path: c.above + "/" + c.name}); !errors.As(err, &invalid) {
				t.Fatalf("%v, want an InvalidError", err)
			}
			h.mustGet(ada, "/"+c.name+c.below+"/file", []byte("x"))
			if _, err := h.Move(ctx, ada, top.Node.ID, vault.MoveRequest{Path: "/z" + c.name}); err != nil {
				t.Fatal(err)
			}
			h.mustGet(ada, "/z"+c.name+c.below+"/file", []byte("x"))
		})
	}
}

// TestDeleteAllLeavesWhatWasMovedOut moves a folder out of one that is being removed.
func TestDeleteAllLeavesWhatWasMovedOut(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	for i := range 150 {
		h.put(ada, fmt.Sprintf("/top/%03d", i), nil)
	}
	h.put(ada, "/top/aa/keep/file", []byte("kept"))
	top, err := h.Stat(ctx, ada, vault.Ref{Path: "/top"})
	if err != nil {
		t.Fatal(err)
	}
	keep, err := h.Stat(ctx, ada, vault.Ref{Path: "/top/aa/keep"})
	if err != nil {
		t.Fatal(err)
	}
	moved := true // not while the vault is opened
	sound := h.config
	h.config.Database = interruptedDatabase{sound.Database, func() {
		if !moved {
			moved = true
			if _, err := h.Move(ctx, ada, keep.Node.ID, vault.MoveRequest{Path: "/saved"}); err != nil {
				t.Error(err)
			}
		}
	}}
	remover, err := vault.Open(ctx, h.config)
	if err != nil {
		t.Fatal(err)
	}
	moved = false
	if err := remover.DeleteAll(ctx, ada, top.Node.ID, ""); err != nil {
		t.Fatal(err)
	}
	h.mustGet(ada, "/saved/file", []byte("kept"))
	if _, err := h.Stat(ctx, ada, vault.Ref{Path: "/top"}); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("/top: %v, want ErrNotFound", err)
	}
}

// interruptedDatabase lets something else happen before each change.
type interruptedDatabase struct {
	vault.Database
	before func()
}

func (d interruptedDatabase) Update(ctx context.Context, fn func(vault.Tx) error) error {
	d.before()
	return d.Database.Update(ctx, fn)
}
