package local

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"stonevault/internal/blob/blobtest"
	"stonevault/internal/vault"
)

func TestLink(t *testing.T) {
	from, to := open(t, t.TempDir()), open(t, t.TempDir())
	name := blobtest.NewName("body")
	if err := to.Link(t.Context(), from, name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing object: %v", err)
	}
	if err := from.Replace(t.Context(), name, []byte("shared")); err != nil {
		t.Fatal(err)
	}
	tries := 0
	for _, step := range []string{"file", "directory"} {
		mend := to.failing(step, &tries)
		if err := to.Link(t.Context(), from, name); !errors.Is(err, errDisk) {
			t.Errorf("a sync of a %s that fails: %v", step, err)
		}
		mend()
	}
	if err := to.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := to.Link(t.Context(), from, name); err != nil {
		t.Fatal(err)
	}
	if err := to.Link(t.Context(), from, name); !errors.Is(err, os.ErrExist) {
		t.Errorf("again: %v", err)
	}
	if err := from.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if got := content(t, to, name); got != "shared" {
		t.Errorf("it holds %q once the other has gone", got)
	}
	for _, bad := range []string{"../x", "", name + "x"} {
		if err := to.Link(t.Context(), from, bad); err == nil {
			t.Errorf("%q was linked", bad)
		}
	}
	// A symbolic link in the other store, to a file in it, and to one elsewhere.
	for target, inside := range map[string]string{"inside": "target", "outside": filepath.Join(t.TempDir(), "secret")} {
		link := blobtest.NewName("body")
		path, err := objectPath(link)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(from.dir, filepath.Dir(path))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		full := inside
		if !filepath.IsAbs(full) {
			full = filepath.Join(dir, full)
		}
		if err := os.WriteFile(full, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(inside, filepath.Join(from.dir, path)); err != nil {
			t.Skip(err)
		}
		if err := to.Link(t.Context(), from, link); err == nil {
			t.Errorf("a symbolic link to %s was linked", target)
		}
		if _, err := to.Open(t.Context(), link); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("after it: %v, want ErrNotFound", err)
		}
	}
}
