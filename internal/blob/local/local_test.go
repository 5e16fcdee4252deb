package local

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"stonevault/internal/blob/blobtest"
	"stonevault/internal/vault"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestObjects(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) vault.Objects { return open(t, t.TempDir()) })
}

// What a file system refuses is done another way, and nothing that vault relies on changes.
func TestObjectsWithoutDirectWrites(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) vault.Objects {
		s := open(t, t.TempDir())
		s.sys.direct = func(*os.File, bool) error { return errors.ErrUnsupported }
		return s
	})
}

func TestObjectsWithoutLinks(t *testing.T) {
	if err := renameNew(t.TempDir(), "none", "other"); errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("%s cannot rename without replacing, so it needs links", runtime.GOOS)
	}
	blobtest.Run(t, func(t *testing.T) vault.Objects {
		s := open(t, t.TempDir())
		s.sys.link = func(*os.Root, string, string) error { return fs.ErrPermission }
		return s
	})
}

func TestObjectsWithoutRename(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) vault.Objects {
		s := open(t, t.TempDir())
		s.sys.renameNew = func(string, string, string) error { return errors.ErrUnsupported }
		return s
	})
}

func TestOpen(t *testing.T) {
	parent := t.TempDir()
	if _, err := Open(filepath.Join(parent, "missing", "objects")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open below a missing directory: %v", err)
	}
	file := filepath.Join(parent, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil {
		t.Error("Open of a file succeeded")
	}
	// What one store keeps, the next one finds.
	dir := filepath.Join(parent, "objects")
	name := blobtest.NewName("env")
	if err := open(t, dir).Replace(t.Context(), name, []byte("kept")); err != nil {
		t.Fatal(err)
	}
	if got := content(t, open(t, dir), name); got != "kept" {
		t.Errorf("the second store reads %q", got)
	}
}

func TestLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "objects")
	s := open(t, dir)
	name := "3f" + strings.Repeat("0", 30) + ".body"
	if err := s.Replace(t.Context(), name, []byte("x")); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]fs.FileMode{
		dir:                            fs.ModeDir | 0o700,
		filepath.Join(dir, "3f"):       fs.ModeDir | 0o700,
		filepath.Join(dir, "3f", name): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), mode)
		}
	}
}

// Files that are not objects are neither listed nor opened, and stay.
func TestForeignFiles(t *testing.T) {
	s := open(t, t.TempDir())
	id := "3f" + strings.Repeat("0", 30)
	if err := s.Replace(t.Context(), id+".env", []byte("x")); err != nil {
		t.Fatal(err)
	}
	foreign := []string{
		"README", "3f/notes.txt", "3f/" + id, "3f/" + id + ".body.bak", "3f/40" + id[2:] + ".body", // wrong directory
	}
	for _, path := range foreign {
		if err := s.root.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.root.Mkdir("3f/"+id+".body", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), id+".body"); err == nil || errors.Is(err, vault.ErrNotFound) {
		t.Errorf("Open of a directory in an object's place: %v", err)
	}
	var names []string
	err := s.Walk(t.Context(), func(name string, _ int64) error { names = append(names, name); return nil })
	if err != nil || len(names) != 1 || names[0] != id+".env" {
		t.Errorf("Walk gave %q, %v", names, err)
	}
	if n, err := s.RemoveTemporary(t.Context()); n != 0 || err != nil {
		t.Errorf("RemoveTemporary: %d, %v", n, err)
	}
	for _, path := range foreign {
		if _, err := s.root.Stat(path); err != nil {
			t.Errorf("a foreign file is gone: %v", err)
		}
	}
}

// A small object takes no block, a large one at most writerBlocks, and every block goes back.
func TestBlocks(t *testing.T) {
	s := open(t, t.TempDir())
	for _, c := range []struct {
		hint   int64
		length int
		most   int
	}{
		{-1, 4096, 0},
		{4096, 4096, 0},
		{largeSize - 1, largeSize - 1, 0},
		{64 << 20, 0, 0},
		{largeSize, 1, 1},
		{-1, largeSize, 0},
		{-1, largeSize + 1, 1},
		{-1, 32 << 20, writerBlocks},
		{32 << 20, 32 << 20, writerBlocks},
	} {
		w, err := s.newWriter(t.Context(), blobtest.NewName("body"), c.hint, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, c.length)); err != nil {
			t.Fatal(err)
		}
		if w.taken > c.most {
			t.Errorf("%d bytes (hint %d) took %d blocks, want at most %d", c.length, c.hint, w.taken, c.most)
		}
		w.Abort()
		if w.taken != 0 || w.block != nil || len(w.free) != 0 {
			t.Errorf("%d bytes (hint %d): a block was kept", c.length, c.hint)
		}
	}
	if b := newBlock(); misaligned(b) != 0 {
		t.Error("a block is not aligned")
	}
}

// files lists everything below the fan-out directories.
func files(t testing.TB, s *Store) []string {
	t.Helper()
	paths, err := fs.Glob(s.root.FS(), "*/*")
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func content(t testing.TB, s *Store, name string) string {
	t.Helper()
	o, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	b := make([]byte, o.Size())
	if _, err := o.ReadAt(b, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return string(b)
}
