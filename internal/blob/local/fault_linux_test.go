package local

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"stonevault/internal/blob/blobtest"
	"stonevault/internal/vault"
)

// mount mounts a file system for one test, or skips it.
func mount(t *testing.T, kind, source, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("mounting a small %s needs root", kind)
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", kind, "-o", options, source, dir).CombinedOutput(); err != nil {
		t.Skipf("no %s can be mounted here: %v: %s", kind, err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return filepath.Join(dir, "objects")
}

func TestFullMemory(t *testing.T) {
	testFull(t, open(t, mount(t, "tmpfs", "tmpfs", "size=8m")))
}

// TestFullDisk has direct writes and allocation ahead.
func TestFullDisk(t *testing.T) {
	testFull(t, open(t, mount(t, "ext4", ext4Image(t, 24<<20), "loop")))
}

// ext4Image makes a file with an empty file system in it.
func ext4Image(t *testing.T, size int64) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", image).CombinedOutput(); err != nil {
		t.Skipf("no ext4 can be made here: %v: %s", err, out)
	}
	return image
}

func testFull(t *testing.T, s *Store) {
	ctx := t.Context()
	kept := blobtest.NewName("body")
	if err := s.Replace(ctx, kept, []byte("kept")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(ctx, blobtest.NewName("body"), 64<<20); !errors.Is(err, vault.ErrNoSpace) {
		t.Errorf("Create of what cannot fit: %v, want ErrNoSpace", err)
	}
	for _, hint := range []int64{-1, 5 << 20} { // not told, and told too little
		w, err := s.Create(ctx, blobtest.NewName("body"), hint)
		if err != nil {
			t.Fatal(err)
		}
		for range 64 {
			if _, err = w.Write(make([]byte, 1<<20)); err != nil {
				break
			}
		}
		if !errors.Is(err, vault.ErrNoSpace) {
			t.Errorf("Write to a full disk: %v, want ErrNoSpace", err)
		}
		if err := w.Commit(); !errors.Is(err, vault.ErrNoSpace) {
			t.Errorf("Commit after it: %v, want ErrNoSpace", err)
		}
		w.Abort()
	}
	if left := files(t, s); len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}

	// To the last block, with small objects, and back.
	var names []string
	var err error
	for err == nil {
		name := blobtest.NewName("env")
		if err = s.Replace(ctx, name, make([]byte, 100_000)); err == nil {
			names = append(names, name)
		}
	}
	if !errors.Is(err, vault.ErrNoSpace) || len(names) < 20 {
		t.Errorf("Replace on a full disk: %v after %d objects, want ErrNoSpace", err, len(names))
	}
	if content(t, s, kept) != "kept" {
		t.Error("an object cannot be read on a full disk")
	}
	for _, name := range names {
		if err := s.Delete(ctx, name); err != nil {
			t.Fatalf("Delete on a full disk: %v", err)
		}
	}
	// What fits is kept, though nothing can be allocated as far ahead as usual.
	data := blobtest.Bytes(6<<20, 1)
	w, err := s.Create(ctx, names[0], -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if content(t, s, names[0]) != string(data) {
		t.Error("other bytes came back")
	}
}

// ramfs refuses O_DIRECT.
func TestRefusedDirect(t *testing.T) {
	s := open(t, mount(t, "ramfs", "ramfs", "mode=0700"))
	blobtest.Run(t, func(t *testing.T) vault.Objects {
		err := s.Walk(t.Context(), func(name string, _ int64) error { return s.Delete(t.Context(), name) })
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// TestRefusedBlock hands the file system a block at an odd address, which it refuses only when it is
// written.
func TestRefusedBlock(t *testing.T) {
	s := open(t, t.TempDir())
	refused := false
	s.sys.direct = func(f *os.File, on bool) error {
		refused = refused || !on
		return setDirect(f, on)
	}
	name := blobtest.NewName("body")
	data := blobtest.Bytes(9<<20+77, 1)
	w, err := s.newWriter(t.Context(), name, int64(len(data)), false)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if !w.direct {
		t.Skip("the file system of the temporary directory has no direct writes")
	}
	if _, err := w.Write(make([]byte, 4*blockSize)); err != nil {
		t.Fatal(err)
	}
	w.flights.Wait()
	for off := 0; off < 4*blockSize; off += blockSize {
		odd := make([]byte, 1+blockSize)
		copy(odd[1:], data[off:])
		if err := w.writeBlock(odd[1:], int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(data[4*blockSize:]); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if !refused {
		t.Skip("the file system takes blocks at odd addresses")
	}
	if content(t, s, name) != string(data) {
		t.Error("other bytes came back")
	}
}
