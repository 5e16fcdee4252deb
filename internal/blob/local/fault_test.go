package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"stonevault/internal/blob/blobtest"
	"stonevault/internal/vault"
)

var errDisk = errors.New("the disk failed")

// failing makes one kind of sync fail, and counts how often it is tried.
func (s *Store) failing(step string, tries *int) (mend func()) {
	file, dir := s.sys.syncFile, s.sys.syncDir
	switch step {
	case "file":
		s.sys.syncFile = func(*os.File) error { *tries++; return errDisk }
	case "directory":
		s.sys.syncDir = func(string) error { *tries++; return errDisk }
	}
	return func() { s.sys.syncFile, s.sys.syncDir = file, dir }
}

// Failed and not persisted: an object whose sync failed is given up after one try.
func TestCreateFails(t *testing.T) {
	for _, step := range []string{"file", "directory"} {
		for _, length := range []int{10, 6 << 20} {
			t.Run(fmt.Sprintf("%s/%d", step, length), func(t *testing.T) {
				s := open(t, t.TempDir())
				name := blobtest.NewName("body")
				w, err := s.Create(t.Context(), name, int64(length))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write(make([]byte, length)); err != nil {
					t.Fatal(err)
				}
				tries := 0
				mend := s.failing(step, &tries)
				if err := w.Commit(); !errors.Is(err, errDisk) {
					t.Errorf("Commit: %v, want the disk's error", err)
				}
				mend()
				if err := w.Commit(); err == nil {
					t.Error("a second Commit succeeded")
				}
				w.Abort()
				if tries != 1 {
					t.Errorf("%d syncs were tried, want 1", tries)
				}
				if _, err := s.Open(t.Context(), name); !errors.Is(err, vault.ErrNotFound) {
					t.Errorf("Open: %v, want ErrNotFound", err)
				}
				if left := files(t, s); len(left) != 0 {
					t.Errorf("left behind: %q", left)
				}
			})
		}
	}
}

// Failed and not persisted, or failed but persisted: the old content or the new one, never a mix.
func TestReplaceFails(t *testing.T) {
	for step, want := range map[string]string{"file": "old", "directory": "new"} {
		s := open(t, t.TempDir())
		name := blobtest.NewName("env")
		if err := s.Replace(t.Context(), name, []byte("old")); err != nil {
			t.Fatal(err)
		}
		tries := 0
		mend := s.failing(step, &tries)
		if err := s.Replace(t.Context(), name, []byte("new")); !errors.Is(err, errDisk) {
			t.Errorf("%s: Replace: %v, want the disk's error", step, err)
		}
		mend()
		if tries != 1 {
			t.Errorf("%s: %d syncs were tried, want 1", step, tries)
		}
		if got := content(t, s, name); got != want {
			t.Errorf("%s: content is %q, want %q", step, got, want)
		}
		if left := files(t, s); len(left) != 1 {
			t.Errorf("%s: files are %q", step, left)
		}
	}
}

// A Delete that finds nothing may be the second try of one that failed to sync.
func TestDeleteFails(t *testing.T) {
	s := open(t, t.TempDir())
	name := blobtest.NewName("env")
	if err := s.Replace(t.Context(), name, []byte("x")); err != nil {
		t.Fatal(err)
	}
	tries := 0
	mend := s.failing("directory", &tries)
	for range 2 {
		if err := s.Delete(t.Context(), name); !errors.Is(err, errDisk) {
			t.Errorf("Delete: %v, want the disk's error", err)
		}
	}
	mend()
	if err := s.Delete(t.Context(), name); err != nil || tries != 2 {
		t.Errorf("Delete after the disk is mended: %v, %d tries before", err, tries)
	}
}

// A fan-out directory whose name could not be synced is not taken for durable the next time.
func TestMakeDirFails(t *testing.T) {
	s := open(t, t.TempDir())
	name := blobtest.NewName("body")
	tries := 0
	mend := s.failing("directory", &tries)
	for range 2 {
		if _, err := s.Create(t.Context(), name, -1); !errors.Is(err, errDisk) {
			t.Errorf("Create: %v, want the disk's error", err)
		}
	}
	mend()
	if tries != 2 {
		t.Errorf("%d syncs were tried, want 2", tries)
	}
	if err := s.Replace(t.Context(), name, []byte("x")); err != nil {
		t.Error(err)
	}
}

// A process can be stopped between publishing a name and removing the temporary one.
func TestRemoveTemporary(t *testing.T) {
	s := open(t, t.TempDir())
	linked, never := blobtest.NewName("body"), blobtest.NewName("body")
	for _, name := range []string{linked, never} {
		w, err := s.newWriter(t.Context(), name, -1, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("whole")); err != nil {
			t.Fatal(err)
		}
		if err := w.finish(); err != nil {
			t.Fatal(err)
		}
		if name == linked {
			if err := s.root.Link(w.tmp, w.path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := len(files(t, s)); got != 3 {
		t.Fatalf("%d files, want two temporary ones and an object", got)
	}
	if n, err := s.RemoveTemporary(t.Context()); n != 2 || err != nil {
		t.Errorf("RemoveTemporary: %d, %v; want 2", n, err)
	}
	if left := files(t, s); len(left) != 1 || content(t, s, linked) != "whole" {
		t.Errorf("left: %q", left)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.RemoveTemporary(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("RemoveTemporary with a cancelled context: %v", err)
	}
}

const writerDirVariable = "STONEVAULT_TEST_WRITER_DIR"

// TestKilled kills a writing process at a random moment: what it was told is there, what can be seen is
// whole, and nothing stays once temporary files are removed.
func TestKilled(t *testing.T) {
	if dir := os.Getenv(writerDirVariable); dir != "" {
		writeUntilKilled(t, dir)
	}
	dir := t.TempDir()
	for range 10 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), writerDirVariable+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var acknowledged []string
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			acknowledged = append(acknowledged, lines.Text())
			if len(acknowledged) == 1 {
				time.AfterFunc(rand.N(60*time.Millisecond), func() { cmd.Process.Kill() })
			}
		}
		_ = cmd.Wait() // it was killed
		if len(acknowledged) == 0 {
			t.Fatal("the writer made nothing")
		}

		s := open(t, dir)
		seen := map[string]bool{}
		err = s.Walk(t.Context(), func(name string, size int64) error {
			seen[name] = true
			want := string(blobtest.Bytes(killedLength(name), 1))
			if content(t, s, name) != want {
				t.Errorf("%s can be seen and is not whole (%d bytes)", name, size)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range acknowledged {
			name, made := strings.CutPrefix(line, "made ")
			if !made {
				t.Errorf("the writer said %q", line)
			} else if !seen[name] {
				t.Errorf("%s was acknowledged and is gone", name)
			}
		}
		if _, err := s.RemoveTemporary(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := files(t, s); len(left) != len(seen) {
			t.Errorf("%d files for %d objects", len(left), len(seen))
		}
		for name := range seen {
			if err := s.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// killedLength makes some objects small and some large, and every length follow from the name.
func killedLength(name string) int {
	if strings.HasSuffix(name, ".env") {
		return 4000
	}
	return largeSize + int(name[0])*1000 + int(name[1])
}

func writeUntilKilled(t *testing.T, dir string) {
	s := open(t, dir)
	for i := range 4 {
		go func() {
			for {
				name := blobtest.NewName([]string{"env", "body"}[i%2])
				data := blobtest.Bytes(killedLength(name), 1)
				w, err := s.Create(t.Context(), name, int64(len(data)))
				if err == nil {
					_, err = w.Write(data)
				}
				if err == nil {
					err = w.Commit()
				}
				if err != nil {
					fmt.Println("failed", err)
					os.Exit(1)
				}
				fmt.Println("made", name)
			}
		}()
	}
	select {}
}
