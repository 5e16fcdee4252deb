package local

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stonevault/internal/blob/blobtest"
	"stonevault/internal/vault"
	"stonevault/stone"
)

const injectedDirVariable = "STONEVAULT_TEST_INJECTED_DIR"

// scriptID gives the script's objects names that the test knows.
func scriptID(i byte) stone.FileID { return stone.FileID{i, 'i', 'n', 'j'} }

// scriptStep is one call whose answer must be true.
type scriptStep struct {
	name          string // of its object
	before, after string // what is there; nothing where empty
	act           func(s *Store, name string) error
}

func create(s *Store, name string, data string, hint int64) (vault.ObjectWriter, error) {
	w, err := s.Create(context.Background(), name, hint)
	for err == nil && len(data) > 0 {
		n := min(len(data), 400_000)
		_, err = w.Write([]byte(data[:n]))
		data = data[n:]
	}
	if err != nil && w != nil {
		w.Abort()
	}
	return w, err
}

func scriptContent(i, length int) string { return string(blobtest.Bytes(length, uint64(i))) }

// script is what a store is for, once each.
func script() []scriptStep {
	small, large, together, part := scriptContent(1, 3000), scriptContent(2, 9<<20+33), scriptContent(3, 500), scriptContent(4, 3<<20+5)
	name := func(i byte, kind string) string { return scriptID(i).String() + kind }
	return []scriptStep{
		{name(1, ".body"), "", small, func(s *Store, name string) error {
			w, err := create(s, name, small, -1)
			if err != nil {
				return err
			}
			return w.Commit()
		}},
		{name(2, ".body"), "", large, func(s *Store, name string) error {
			w, err := create(s, name, large, int64(len(large)))
			if err != nil {
				return err
			}
			return w.Commit()
		}},
		{name(3, ".env"), "", together, func(s *Store, name string) error {
			var all []vault.ObjectWriter
			for _, name := range []string{name, scriptID(4).String() + ".env"} {
				w, err := create(s, name, together, -1)
				if err != nil {
					return err
				}
				defer w.Abort()
				all = append(all, w)
			}
			return s.Commit(all...)
		}},
		{name(5, ".env"), "old", "new", func(s *Store, name string) error { return s.Replace(context.Background(), name, []byte("new")) }},
		{name(6, ".env"), "old", "", func(s *Store, name string) error { return s.Delete(context.Background(), name) }},
		{name(7, ".body"), "", part, func(s *Store, name string) error {
			id := scriptID(7)
			p, err := s.OpenPart(context.Background(), id, 0)
			if err != nil {
				return err
			}
			_, err = p.Write([]byte(part))
			if err == nil {
				err = p.Sync()
			}
			if err2 := p.Close(); err != nil || err2 != nil {
				return fmt.Errorf("%v, %v", err, err2)
			}
			return s.FinishPart(context.Background(), id, name)
		}},
	}
}

// runScript makes every call of the script and reports each answer, all in one thread, whose calls are counted.
func runScript(t *testing.T, dir string) {
	runtime.LockOSThread()
	s := open(t, dir)
	report := []byte("begun\n")
	for _, step := range script() {
		if err := step.act(s, step.name); err != nil {
			report = append(report, "failed "...)
		} else {
			report = append(report, "done "...)
		}
		report = append(report, step.name+"\n"...)
	}
	if _, err := unix.Writev(1, [][]byte{report}); err != nil { // a write might be made to fail
		t.Fatal(err)
	}
}

// TestInjectedErrors lets one system call after the other fail while a process uses a store: what it was told
// is done is there, and of what it was told has failed all or nothing. Every fifth call, or every one.
func TestInjectedErrors(t *testing.T) {
	if dir := os.Getenv(injectedDirVariable); dir != "" {
		runScript(t, dir)
		return
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is not there; scripts/install-test-packages installs it")
	}
	every, errnos := 5, []string{"EIO"}
	if os.Getenv("STONEVAULT_TORTURE") == "1" {
		every, errnos = 1, []string{"EIO", "ENOSPC"}
	}
	injected := 0
	for _, call := range []string{"write", "pwrite64", "fsync", "renameat", "renameat2", "linkat", "unlinkat", "openat", "mkdirat", "ftruncate", "fallocate", "close"} {
		for _, errno := range errnos {
			for n, missed := 1+rand.IntN(every), 0; missed < 2; n += every {
				if !injectOne(t, call, errno, n) {
					missed++ // the threads beside the script's make a call more or less
				} else {
					injected++
				}
				if t.Failed() {
					t.Fatalf("with %s of %s number %d", errno, call, n)
				}
			}
		}
	}
	t.Logf("%d errors injected", injected)
	if injected < 15 {
		t.Error("too few")
	}
}

// needed are failures of which somebody must be told.
var needed = regexp.MustCompile(`(write|pwrite64|fsync)\([0-9]+<[^>]*/objects[^\n]*\(INJECTED\)`)

// injectOne lets one call fail, and tells whether there was one.
func injectOne(t *testing.T, call, errno string, n int) bool {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "objects")
	s := open(t, dir)
	for _, step := range script() {
		if step.before != "" {
			if err := s.Replace(t.Context(), step.name, []byte(step.before)); err != nil {
				t.Fatal(err)
			}
		}
	}
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", "-f", "-y", "-qq", "-s", "0", "-o", trace, "-e", "signal=none", "-e", "trace="+call,
		"-e", fmt.Sprintf("inject=%s:error=%s:when=%d", call, errno, n), os.Args[0], "-test.run=^TestInjectedErrors$")
	cmd.Env = append(os.Environ(), injectedDirVariable+"="+dir, "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "Operation not permitted") {
		t.Skipf("NOT RUN: a process may not be traced here: %s", out)
	}
	calls, readErr := os.ReadFile(trace)
	if readErr != nil {
		t.Fatal(readErr)
	}
	hit := strings.Contains(string(calls), "(INJECTED)")
	// What is in memory is there to read, synced or not.
	if needed.Match(calls) && strings.Contains(string(out), "begun\n") && !strings.Contains(string(out), "failed ") {
		t.Errorf("every step is done: %s", needed.Find(calls))
	}
	if !strings.Contains(string(out), "begun\n") && (!hit || err == nil) {
		t.Fatalf("the script did not run: %v: %s", err, out)
	}
	if _, err := s.RemoveTemporary(t.Context()); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, step := range script() {
		got := ""
		if o, err := s.Open(t.Context(), step.name); err == nil {
			o.Close()
			got = content(t, s, step.name)
		}
		known[step.name] = true
		done := strings.Contains(string(out), "done "+step.name)
		if got != step.after && (done || got != step.before) {
			t.Errorf("%s: done: %v; %d bytes are there, %d were and %d would be", step.name, done, len(got), len(step.before), len(step.after))
		}
	}
	for _, file := range files(t, s) {
		base := filepath.Base(file)
		if !known[base] && base != scriptID(4).String()+".env" && base != scriptID(7).String()+".part" {
			t.Errorf("%s is left over", file)
		}
	}
	return hit
}
