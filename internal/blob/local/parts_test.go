package local

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"stonevault/internal/blob/blobtest"
	"stonevault/internal/vault"
	"stonevault/stone"
)

func TestParts(t *testing.T) {
	blobtest.RunParts(t, func(t *testing.T) blobtest.PartStore { return open(t, t.TempDir()) })
}

// What a file system refuses is done another way, and nothing that vault relies on changes.
func TestPartsWithoutDirectWrites(t *testing.T) {
	blobtest.RunParts(t, func(t *testing.T) blobtest.PartStore {
		s := open(t, t.TempDir())
		s.sys.direct = func(*os.File, bool) error { return errors.ErrUnsupported }
		return s
	})
}

func TestPartsWithoutLinks(t *testing.T) {
	if err := renameNew(t.TempDir(), "none", "other"); errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("%s cannot rename without replacing, so it needs links", runtime.GOOS)
	}
	blobtest.RunParts(t, func(t *testing.T) blobtest.PartStore {
		s := open(t, t.TempDir())
		s.sys.link = func(*os.Root, string, string) error { return fs.ErrPermission }
		return s
	})
}

// Small parts and short openings of large ones take no block, long ones at most writerBlocks, and every
// block goes back.
func TestPartBlocks(t *testing.T) {
	s := open(t, t.TempDir())
	id := blobtest.NewID()
	at := int64(0)
	for _, c := range []struct{ length, most int }{
		{4096, 0}, {directAfter, 0}, {16 << 20, writerBlocks}, {4096, 0}, {directAfter + 1, 2},
	} {
		p, err := s.openPart(t.Context(), id, at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Write(make([]byte, c.length)); err != nil {
			t.Fatal(err)
		}
		if err := p.Sync(); err != nil {
			t.Fatal(err)
		}
		if p.taken > c.most || runtime.GOOS == "linux" && !p.refused && c.most > 0 && p.taken == 0 {
			t.Errorf("%d bytes at %d took %d blocks, want at most %d", c.length, at, p.taken, c.most)
		}
		p.Close()
		if p.taken != 0 || p.block != nil || len(p.free) != 0 {
			t.Errorf("%d bytes at %d: a block was kept", c.length, at)
		}
		at += int64(c.length)
	}
}

// Blocks are written as direct writes demand, wherever an opening begins and whenever it is synced;
// otherwise they would be refused, and go through the page cache without anybody's noticing.
func TestPartAligned(t *testing.T) {
	s := open(t, t.TempDir())
	for _, at := range []int64{0, 1, 4095, 4096, 4097, 1<<20 + 1} {
		id := blobtest.NewID()
		putPart(t, s, id, make([]byte, at))
		p, err := s.openPart(t.Context(), id, at)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if _, err := p.Write(make([]byte, directAfter+1)); err != nil {
			t.Fatal(err)
		}
		if p.d == nil {
			t.Skip("the file system of the temporary directory has no direct writes")
		}
		p.write = func(b []byte, off int64) error {
			if len(b)%alignment != 0 || off%alignment != 0 {
				return fmt.Errorf("%d bytes at %d", len(b), off)
			}
			return p.writeBlock(b, off)
		}
		for _, n := range []int{1, 4096, 5000, blockSize, 3*blockSize + 7} {
			if _, err := p.Write(make([]byte, n)); err != nil {
				t.Error(err)
			}
			if err := p.Sync(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A server that starts anew removes temporary files, and parts are none.
func TestPartsStay(t *testing.T) {
	s := open(t, t.TempDir())
	id := blobtest.NewID()
	putPart(t, s, id, []byte("part"))
	for _, foreign := range []string{id.String() + ".part.bak", "x.part", ".part"} {
		if err := s.root.WriteFile(id.String()[:2]+"/"+foreign, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.RemoveTemporary(t.Context()); n != 0 || err != nil {
		t.Errorf("RemoveTemporary: %d, %v", n, err)
	}
	if got := parts(t, s); len(got) != 1 || got[id] != 4 {
		t.Errorf("WalkParts gave %v", got)
	}
	info, err := s.root.Lstat(partPath(id))
	if err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("the part's file: %v, %v", info.Mode(), err)
	}
}

// A part's place may hold something else, which is neither opened nor published.
func TestIrregularPart(t *testing.T) {
	s := open(t, t.TempDir())
	id := blobtest.NewID()
	if err := s.root.MkdirAll(partPath(id), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenPart(t.Context(), id, 0); err == nil {
		t.Error("OpenPart opened a directory")
	}
	if err := s.FinishPart(t.Context(), id, id.String()+".body"); err == nil {
		t.Error("FinishPart made a directory an object")
	}
	if got := parts(t, s); len(got) != 0 {
		t.Errorf("WalkParts gave %v", got)
	}
}

// After a sync that failed nothing succeeds until the part is opened again, and then everything that
// was written since the sync before is written again.
func TestPartSyncFails(t *testing.T) {
	for _, step := range []string{"file", "directory"} {
		for _, length := range []int{10, 3<<20 + 1} {
			t.Run(fmt.Sprintf("%s/%d", step, length), func(t *testing.T) {
				s := open(t, t.TempDir())
				id := blobtest.NewID()
				data := blobtest.Bytes(length, 1)
				synced := 0
				if step == "file" {
					synced = length / 2
				}
				p, err := s.OpenPart(t.Context(), id, 0)
				if err == nil && synced > 0 {
					if _, err = p.Write(data[:synced]); err == nil {
						err = p.Sync()
					}
				}
				if err == nil {
					_, err = p.Write(data[synced:])
				}
				if err != nil {
					t.Fatal(err)
				}
				tries := 0
				mend := s.failing(step, &tries)
				if err := p.Sync(); !errors.Is(err, errDisk) {
					t.Errorf("Sync: %v, want the disk's error", err)
				}
				mend()
				if err := p.Sync(); !errors.Is(err, errDisk) {
					t.Errorf("a second Sync: %v, want the disk's error", err)
				}
				if _, err := p.Write([]byte("more")); !errors.Is(err, errDisk) {
					t.Errorf("Write after it: %v, want the disk's error", err)
				}
				if _, err := p.ReadAt(make([]byte, 1), 0); !errors.Is(err, errDisk) {
					t.Errorf("ReadAt after it: %v, want the disk's error", err)
				}
				if tries != 1 {
					t.Errorf("%d syncs were tried, want 1", tries)
				}
				p.Close()

				p, err = s.OpenPart(t.Context(), id, int64(synced))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := p.Write(data[synced:]); err != nil {
					t.Fatal(err)
				}
				tries = 0
				mend = s.failing("directory", &tries)
				err = p.Sync()
				mend()
				if want := synced == 0; errors.Is(err, errDisk) != want || (tries == 1) != want {
					t.Errorf("Sync at %d: %v, %d syncs of the directory", synced, err, tries)
				}
				p.Close()
			})
		}
	}
}

// A block that could not be written fails what comes after it.
func TestPartWriteFails(t *testing.T) {
	s := open(t, t.TempDir())
	p, err := s.openPart(t.Context(), blobtest.NewID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Write(make([]byte, 2<<20)); err != nil {
		t.Fatal(err)
	}
	if p.d == nil {
		t.Skip("the file system of the temporary directory has no direct writes")
	}
	p.flights.Wait()
	p.write = func([]byte, int64) error { return errDisk }
	if _, err := p.Write(make([]byte, 8<<20)); !errors.Is(err, errDisk) {
		t.Errorf("Write: %v, want the disk's error", err)
	}
	if err := p.Sync(); !errors.Is(err, errDisk) {
		t.Errorf("Sync: %v, want the disk's error", err)
	}
}

// An object that could not be made durable is taken back, so that a second try makes it anew.
func TestFinishFails(t *testing.T) {
	for _, links := range []bool{true, false} {
		s := open(t, t.TempDir())
		if !links {
			if err := renameNew(t.TempDir(), "none", "other"); errors.Is(err, errors.ErrUnsupported) {
				continue
			}
			s.sys.link = func(*os.Root, string, string) error { return fs.ErrPermission }
		}
		id := blobtest.NewID()
		name := id.String() + ".body"
		putPart(t, s, id, []byte("part"))
		tries := 0
		mend := s.failing("directory", &tries)
		for range 2 {
			if err := s.FinishPart(t.Context(), id, name); !errors.Is(err, errDisk) {
				t.Errorf("FinishPart: %v, want the disk's error", err)
			}
			if _, err := s.Open(t.Context(), name); !errors.Is(err, vault.ErrNotFound) {
				t.Errorf("Open: %v, want ErrNotFound", err)
			}
			if got := parts(t, s); len(got) != 1 || got[id] != 4 {
				t.Errorf("WalkParts gave %v", got)
			}
		}
		mend()
		if tries != 2 {
			t.Errorf("%d syncs were tried, want 2", tries)
		}
		if err := s.FinishPart(t.Context(), id, name); err != nil || content(t, s, name) != "part" {
			t.Errorf("FinishPart once the disk is mended: %v", err)
		}
	}
}

// A process can be stopped between giving the object's name and removing the part's. Whatever comes
// next, the object stays whole.
func TestFinishStopped(t *testing.T) {
	for _, kind := range []string{".body", ".env"} {
		for what, next := range map[string]func(s *Store, id stone.FileID) error{
			"FinishPart": func(s *Store, id stone.FileID) error {
				return s.FinishPart(t.Context(), id, id.String()+kind)
			},
			"DeletePart": func(s *Store, id stone.FileID) error { return s.DeletePart(t.Context(), id) },
			"OpenPart": func(s *Store, id stone.FileID) error {
				if _, err := s.OpenPart(t.Context(), id, 2); !errors.Is(err, vault.ErrNotFound) {
					return fmt.Errorf("at 2: %w", err)
				}
				return nil
			},
			"OpenPart anew": func(s *Store, id stone.FileID) error {
				p, err := s.OpenPart(t.Context(), id, 0)
				if err != nil {
					return err
				}
				if _, err := p.Write([]byte("another")); err != nil {
					return err
				}
				return errors.Join(p.Sync(), p.Close(), s.DeletePart(t.Context(), id))
			},
		} {
			s := open(t, t.TempDir())
			id := blobtest.NewID()
			putPart(t, s, id, []byte("whole"))
			if err := s.root.Link(partPath(id), id.String()[:2]+"/"+id.String()+kind); err != nil {
				t.Skipf("no links here: %v", err)
			}
			tries := 0
			mend := s.failing("directory", &tries)
			if err := s.FinishPart(t.Context(), id, id.String()+kind); !errors.Is(err, errDisk) {
				t.Errorf("FinishPart: %v, want the disk's error", err)
			}
			mend()
			if err := next(s, id); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if got := content(t, s, id.String()+kind); got != "whole" {
				t.Errorf("%s: the object is %q", what, got)
			}
			if got := parts(t, s); len(got) != 0 {
				t.Errorf("%s: WalkParts gives %v", what, got)
			}
		}
	}
}

const partDirVariable = "STONEVAULT_TEST_PART_DIR"

// TestPartKilled kills a process that grows parts, again and again: what it was told is there, and the
// next one goes on from it.
func TestPartKilled(t *testing.T) {
	if dir := os.Getenv(partDirVariable); dir != "" {
		growUntilKilled(t, dir)
	}
	dir := t.TempDir()
	lengths := make([]int64, 3)
	for round := range 8 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestPartKilled$")
		cmd.Env = append(os.Environ(), partDirVariable+"="+dir)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for _, at := range lengths {
			fmt.Fprintln(in, at)
		}
		heard := false
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var i int
			var at int64
			if _, err := fmt.Sscanf(lines.Text(), "synced %d %d", &i, &at); err != nil {
				t.Fatalf("the writer said %q", lines.Text())
			}
			lengths[i] = at
			if !heard {
				heard = true
				time.AfterFunc(rand.N(40*time.Millisecond), func() { cmd.Process.Kill() })
			}
		}
		_ = cmd.Wait() // it was killed
		if !heard {
			t.Fatal("the writer synced nothing")
		}
		s := open(t, dir)
		for i, at := range lengths {
			wantGrown(t, s, i, at)
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	s := open(t, dir)
	for i, at := range lengths {
		name := grownID(i).String() + ".body"
		if err := s.FinishPart(t.Context(), grownID(i), name); err != nil {
			t.Fatal(err)
		}
		if got := content(t, s, name); got != string(grownBytes(i, at)) {
			t.Errorf("part %d of %d bytes became an object of %d", i, at, len(got))
		}
	}
}

func grownID(i int) stone.FileID { return stone.FileID(blobtest.Bytes(16, uint64(i))) }

// grownBytes is what part i holds at a length; a longer one begins with a shorter one.
func grownBytes(i int, length int64) []byte { return blobtest.Bytes(int(length), uint64(i)) }

func growUntilKilled(t *testing.T, dir string) {
	s := open(t, dir)
	stop := func(err error) {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	for i := range 3 {
		var at int64
		if _, err := fmt.Scan(&at); err != nil {
			stop(err)
		}
		p, err := s.OpenPart(t.Context(), grownID(i), at)
		if err != nil {
			stop(err)
		}
		go func() {
			data := grownBytes(i, at+16<<20)
			for at < int64(len(data)) {
				end := min(at+1+rand.Int64N(1<<(10+6*i)), int64(len(data)))
				if _, err := p.Write(data[at:end]); err != nil {
					stop(err)
				}
				at = end
				if rand.IntN(4) == 0 {
					if err := p.Sync(); err != nil {
						stop(err)
					}
					fmt.Println("synced", i, at)
				}
			}
		}()
	}
	select {}
}

// wantGrown opens part i where it was synced and compares what is there.
func wantGrown(t *testing.T, s *Store, i int, at int64) {
	t.Helper()
	p, err := s.OpenPart(t.Context(), grownID(i), at)
	if err != nil {
		t.Errorf("part %d at %d: %v", i, at, err)
		return
	}
	defer p.Close()
	got, err := io.ReadAll(io.NewSectionReader(p, 0, at+1))
	if err != nil || !bytes.Equal(got, grownBytes(i, at)) {
		t.Errorf("part %d: %d bytes (%v), which are not the %d synced", i, len(got), err, at)
	}
}

func putPart(t testing.TB, s *Store, id stone.FileID, data []byte) {
	t.Helper()
	p, err := s.OpenPart(t.Context(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := p.Sync(); err != nil {
		t.Fatal(err)
	}
}

func parts(t testing.TB, s *Store) map[stone.FileID]int64 {
	t.Helper()
	all := map[stone.FileID]int64{}
	err := s.WalkParts(t.Context(), func(id stone.FileID, size int64) error { all[id] = size; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return all
}
