package local

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"stonevault/internal/blob/blobtest"
	"stonevault/internal/vault"
)

func TestPartsFullMemory(t *testing.T) {
	testPartsFull(t, open(t, mount(t, "tmpfs", "tmpfs", "size=8m")), false)
}

// TestPartsFullDisk has direct writes.
func TestPartsFullDisk(t *testing.T) {
	testPartsFull(t, open(t, mount(t, "ext4", ext4Image(t, 24<<20), "loop")), true)
}

// testPartsFull fills the disk with a part: what was synced stays, and goes on once there is space.
func testPartsFull(t *testing.T, s *Store, direct bool) {
	ctx := t.Context()
	ballast := blobtest.NewName("body")
	if err := s.Replace(ctx, ballast, make([]byte, 2<<20)); err != nil {
		t.Fatal(err)
	}
	data := blobtest.Bytes(64<<20, 1)
	for _, step := range []int{4000, 300_000, 1<<20 + 60} {
		id := blobtest.NewID()
		p, err := s.openPart(ctx, id, 0)
		if err != nil {
			t.Fatal(err)
		}
		synced, at := 0, 0
		for err == nil && at < len(data)-step {
			if _, err = p.Write(data[at : at+step]); err == nil {
				at += step
				if at-synced >= 1<<20 {
					if err = p.Sync(); err == nil {
						synced = at
					}
				}
			}
		}
		if !errors.Is(err, vault.ErrNoSpace) || synced == 0 {
			t.Fatalf("a part on a full disk: %v after %d bytes, want ErrNoSpace", err, synced)
		}
		if (p.d != nil) != direct {
			t.Errorf("blocks were taken: %t, want %t", p.d != nil, direct)
		}
		if err := p.Sync(); !errors.Is(err, vault.ErrNoSpace) {
			t.Errorf("Sync after it: %v, want ErrNoSpace", err)
		}
		p.Close()

		if err := s.Delete(ctx, ballast); err != nil {
			t.Fatal(err)
		}
		p, err = s.openPart(ctx, id, int64(synced))
		if err != nil {
			t.Fatal(err)
		}
		end := synced + 1<<20 + 33
		if _, err := p.Write(data[synced:end]); err != nil {
			t.Fatalf("Write once there is space: %v", err)
		}
		if err := p.Sync(); err != nil {
			t.Fatalf("Sync once there is space: %v", err)
		}
		p.Close()
		name := id.String() + ".body"
		if err := s.FinishPart(ctx, id, name); err != nil {
			t.Fatal(err)
		}
		if content(t, s, name) != string(data[:end]) {
			t.Error("other bytes came back")
		}
		if err := s.Delete(ctx, name); err != nil {
			t.Fatal(err)
		}
		if err := s.Replace(ctx, ballast, make([]byte, 2<<20)); err != nil {
			t.Fatal(err)
		}
	}
}

// ramfs refuses O_DIRECT.
func TestPartsRefusedDirect(t *testing.T) {
	s := open(t, mount(t, "ramfs", "ramfs", "mode=0700"))
	blobtest.RunParts(t, func(t *testing.T) blobtest.PartStore {
		for name := range objects(t, s) {
			if err := s.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		for id := range parts(t, s) {
			if err := s.DeletePart(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		return s
	})
}

// TestPowerLost copies a disk as a power failure would leave it: what the file system keeps in memory is
// not in the copy. What was synced is there, whatever was written or cut behind it.
func TestPowerLost(t *testing.T) {
	image := ext4Image(t, 96<<20)
	// Nothing is written back but what is synced.
	s := open(t, mount(t, "ext4", image, "loop,commit=600"))
	data := make([][]byte, 4)
	synced := make([]int, len(data))
	for i := range data {
		data[i] = grownBytes(i, 12<<20)
	}
	for round := range 4 {
		for i := range data {
			p, err := s.OpenPart(t.Context(), grownID(i), int64(synced[i]))
			if err != nil {
				t.Fatal(err)
			}
			for _, sync := range []bool{true, true, false} {
				most := 1 << (8 + 4*i + round%3)
				if !sync && round%2 == 0 {
					most = 256 // too little for another block to write the last one's end again
				}
				end := synced[i] + 1 + rand.IntN(most)
				if _, err := p.Write(data[i][synced[i]:end]); err != nil {
					t.Fatal(err)
				}
				if sync {
					if err := p.Sync(); err != nil {
						t.Fatal(err)
					}
					synced[i] = end
				}
			}
			p.Close()
		}
		// A part that is new to its directory, and one that becomes an object.
		fresh, done := blobtest.NewID(), blobtest.NewID()
		putPart(t, s, fresh, []byte("fresh"))
		putPart(t, s, done, []byte("done"))
		if err := s.FinishPart(t.Context(), done, done.String()+".body"); err != nil {
			t.Fatal(err)
		}

		after := open(t, mount(t, "ext4", copyFile(t, image), "loop"))
		for i, at := range synced {
			wantGrown(t, after, i, int64(at))
		}
		if got := parts(t, after); got[fresh] != 5 {
			t.Errorf("a synced part has %d bytes", got[fresh])
		}
		if got := content(t, after, done.String()+".body"); got != "done" {
			t.Errorf("a finished part is %q", got)
		}
		if err := after.FinishPart(t.Context(), done, done.String()+".body"); err != nil {
			t.Errorf("FinishPart again: %v", err)
		}
	}
}

func copyFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func objects(t *testing.T, s *Store) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	err := s.Walk(t.Context(), func(name string, size int64) error { all[name] = size; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return all
}
