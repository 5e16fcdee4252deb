//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"stonevault/internal/vectors"
)

// survival is a server that dies behind a line that is cut, and a client that may die too.
type survival struct {
	*testing.T
	dir    string
	server *vaultServer
	line   *line
	size   int64
	deaths int   // of the server
	ends   int   // of the client
	before int64 // what had come down the line
}

const (
	segmentSize = 1 << 20
	// checkpointSize is what may be lost when a process is killed.
	checkpointSize = 8 << 20
)

func newSurvival(t *testing.T) *survival {
	t.Helper()
	s := &survival{T: t, dir: t.TempDir(), size: 64<<20 + 12345}
	seconds := 6
	if os.Getenv("STONEVAULT_TORTURE") != "" {
		s.size, seconds = 2<<30+12345, 60
	}
	var err error
	if s.server, err = newVaultServer(s.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.server.end(syscall.SIGTERM) })
	if s.line, err = newLine(s.server.addr, s.size/int64(seconds), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.line.close)
	login := s.client("login", "--server", s.line.addr(), "--user", "ann", "--password-stdin")
	login.Stdin = strings.NewReader(testPassword)
	if out, err := login.CombinedOutput(); err != nil {
		t.Fatalf("login: %v\n%s", err, out)
	}
	return s
}

func (s *survival) at(name string) string { return filepath.Join(s.dir, name) }

func (s *survival) client(args ...string) *exec.Cmd {
	cmd := exec.Command("stonevault", args...)
	cmd.Env = append(os.Environ(), "STONEVAULT_HOME="+s.at("home"))
	cmd.Dir = s.dir
	return cmd
}

func (s *survival) content(name string) {
	s.Helper()
	f, err := os.Create(s.at(name))
	if err != nil {
		s.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{1}), s.size); err != nil {
		s.Fatal(err)
	}
}

// suffer runs the client until it is done. Meanwhile the line is cut every few hundred milliseconds, and whenever a
// further sixth of the file has crossed, die is called.
func (s *survival) suffer(crossed func() int64, die func(client *exec.Cmd), args ...string) (words string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Minute)
	defer cancel()
	var said bytes.Buffer
	start := crossed()
	deaths := int64(0)
	every := 500 * time.Millisecond
	if os.Getenv("STONEVAULT_TORTURE") != "" {
		every = 2 * time.Second
	}
	cut := time.NewTicker(every)
	defer cut.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		cmd := s.client(args...)
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			s.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for running := true; running; {
			select {
			case err := <-ended:
				if err == nil {
					return said.String()
				}
				if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
					s.Fatalf("the client gives up: %v\n%s", err, said.String())
				}
				s.ends++
				running = false
			case <-cut.C:
				s.line.cut()
			case <-look.C:
				if deaths < 5 && crossed()-start > (deaths+1)*s.size/6 {
					deaths++
					die(cmd)
				}
			case <-ctx.Done():
				cmd.Process.Kill()
				s.Fatalf("it takes too long\n%s", said.String())
			}
		}
	}
}

// killServer ends the server as a power cut would end its process, and starts it again.
func (s *survival) killServer(*exec.Cmd) {
	s.Helper()
	s.server.end(syscall.SIGKILL)
	s.deaths++
	time.Sleep(100 * time.Millisecond)
	if err := s.server.start(); err != nil {
		s.Fatal(err)
	}
}

func (s *survival) killClient(cmd *exec.Cmd) { cmd.Process.Signal(syscall.SIGKILL) }

// wantLittleAgain checks how much crossed the line more than once: less than 1% of the file, and one segment for
// each cut, and what a killed process had not yet made durable.
func (s *survival) wantLittleAgain(crossed int64, kills int) {
	s.Helper()
	again := crossed - s.size
	cuts := s.line.cuts.Load()
	s.Logf("%d bytes, %d cuts, the server killed %d times and the client %d: %d bytes crossed the line again, %.2f%%",
		s.size, cuts, s.deaths, s.ends, again, 100*float64(again)/float64(s.size))
	if limit := s.size/100 + cuts*segmentSize + int64(kills)*checkpointSize; again > limit {
		s.Errorf("%d bytes crossed the line again, more than %d", again, limit)
	}
	if cuts < 5 {
		s.Errorf("the line was cut only %d times", cuts)
	}
}

func (s *survival) wantSame(a, b string) {
	s.Helper()
	if out, err := exec.Command("cmp", s.at(a), s.at(b)).CombinedOutput(); err != nil {
		s.Errorf("%v: %s", err, out)
	}
}

// wantNothingLeft checks that no upload, note or part remains.
func (s *survival) wantNothingLeft() {
	s.Helper()
	if out, err := s.client("uploads").CombinedOutput(); err != nil || len(out) > 0 {
		s.Errorf("uploads: %v\n%s", err, out)
	}
	remains := func() []string {
		left, err := filepath.Glob(s.at("home/transfers/*"))
		if err != nil {
			s.Fatal(err)
		}
		hidden, err := filepath.Glob(s.at(".*"))
		if err != nil {
			s.Fatal(err)
		}
		return append(left, hidden...)
	}
	// The server may be writing the audit log's head anew, beside its directory.
	left := remains()
	for range 100 {
		if len(left) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
		left = remains()
	}
	s.Errorf("there remain %v", left)
}

// putAtOnce puts the original before anything is made hard, and remembers what has come down the line by then.
func (s *survival) putAtOnce() {
	s.Helper()
	rate := s.line.rate.Swap(0)
	if out, err := s.client("put", "original", "--as", "/f").CombinedOutput(); err != nil {
		s.Fatalf("put: %v\n%s", err, out)
	}
	s.line.rate.Store(rate)
	s.before = s.line.down.Load()
}

// fetch gets a file past the line.
func (s *survival) fetch(path, name string) {
	s.Helper()
	s.line.rate.Store(0)
	if out, err := s.client("get", path, "-o", name).CombinedOutput(); err != nil {
		s.Fatalf("get: %v\n%s", err, out)
	}
}

func TestPutSurvivesTheServer(t *testing.T) {
	t.Parallel()
	s := newSurvival(t)
	s.content("original")
	words := s.suffer(s.line.up.Load, s.killServer, "put", "original", "--as", "/f")
	if s.deaths != 5 || s.ends != 0 {
		t.Errorf("the server was killed %d times, and the client %d", s.deaths, s.ends)
	}
	if !strings.Contains(words, "trying again in") {
		t.Errorf("the client does not say that it waits:\n%s", words)
	}
	s.wantLittleAgain(s.line.up.Load(), s.deaths)
	s.wantNothingLeft()
	s.fetch("/f", "back")
	s.wantSame("original", "back")
}

func TestPutSurvivesTheClient(t *testing.T) {
	t.Parallel()
	s := newSurvival(t)
	s.content("original")
	s.suffer(s.line.up.Load, s.killClient, "put", "original", "--as", "/f")
	if s.ends != 5 {
		t.Errorf("the client was killed %d times", s.ends)
	}
	s.wantLittleAgain(s.line.up.Load(), s.ends)
	s.wantNothingLeft()
	s.fetch("/f", "back")
	s.wantSame("original", "back")
}

func TestGetSurvivesTheServer(t *testing.T) {
	t.Parallel()
	s := newSurvival(t)
	s.content("original")
	s.putAtOnce()
	s.suffer(s.line.down.Load, s.killServer, "get", "/f", "-o", "back")
	if s.deaths != 5 || s.ends != 0 {
		t.Errorf("the server was killed %d times, and the client %d", s.deaths, s.ends)
	}
	s.wantLittleAgain(s.line.down.Load()-s.before, 0)
	s.wantSame("original", "back")
	s.wantNothingLeft()
}

func TestGetSurvivesTheClient(t *testing.T) {
	t.Parallel()
	s := newSurvival(t)
	s.content("original")
	s.putAtOnce()
	s.suffer(s.line.down.Load, s.killClient, "get", "/f", "-o", "back")
	if s.ends != 5 {
		t.Errorf("the client was killed %d times", s.ends)
	}
	s.wantLittleAgain(s.line.down.Load()-s.before, s.ends)
	s.wantSame("original", "back")
	s.wantNothingLeft()
}

// TestPutOfAChangingFile changes a file while it is sent: an error, and nothing of it in the vault.
func TestPutOfAChangingFile(t *testing.T) {
	t.Parallel()
	s := newSurvival(t)
	s.content("original")
	cmd := s.client("put", "original", "--as", "/f")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for s.line.up.Load() < s.size/10 {
		time.Sleep(time.Millisecond)
	}
	f, err := os.OpenFile(s.at("original"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("more"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said.String(), "the file has changed while it was sent, and nothing of it was kept; put it again") {
		t.Errorf("%v: %s", err, said.String())
	}
	if out, err := s.client("info", "/f").CombinedOutput(); err == nil {
		t.Errorf("there is a file:\n%s", out)
	}
	s.wantNothingLeft()
}

// TestHostileLocalNames puts files with published hostile names and gets them back, each under its own name in normal
// form C and nowhere else.
func TestHostileLocalNames(t *testing.T) {
	t.Parallel()
	s := newSurvival(t)
	s.line.rate.Store(0)
	if err := os.Mkdir(s.at("names"), 0o700); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, file := range []string{"naughty-strings.txt", "directory_traversal.txt"} {
		for line := range bytes.Lines(vectors.Shared(t, "names/"+file)) {
			name := string(bytes.TrimSuffix(line, []byte("\n")))
			normal := norm.NFC.String(name)
			if !utf8.ValidString(name) || name == "." || name == ".." || name == "" || len(normal) > 255 || strings.ContainsAny(name, "/\x00") || want[normal] != "" {
				continue
			}
			if err := os.WriteFile(s.at(filepath.Join("names", name)), []byte(name), 0o600); err != nil {
				continue // this system cannot hold it
			}
			want[normal] = name
		}
	}
	if len(want) < 300 {
		t.Fatalf("only %d names can be tried", len(want))
	}
	if out, err := s.client("put", "names").CombinedOutput(); err != nil {
		t.Fatalf("put: %v\n%s", err, out)
	}
	out, err := s.client("get", "/names", "-o", "back").CombinedOutput()
	if err != nil {
		t.Fatalf("get: %v\n%s", err, out)
	}
	entries, err := os.ReadDir(s.at("back"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(s.at(filepath.Join("back", e.Name())))
		if err != nil || want[e.Name()] != string(b) {
			t.Errorf("%q holds %q (%v)", e.Name(), b, err)
		}
		delete(want, e.Name())
	}
	for name := range want {
		t.Errorf("%q did not come back", name)
	}
}

// TestInterruptedTransfersAreKept ends a put and a get as Ctrl-C does: exit code 130, and the same command goes on.
func TestInterruptedTransfersAreKept(t *testing.T) {
	t.Parallel()
	s := newSurvival(t)
	s.content("original")
	for _, c := range []struct {
		crossed *atomic.Int64
		args    []string
	}{
		{&s.line.up, []string{"put", "original", "--as", "/f"}},
		{&s.line.down, []string{"get", "/f", "-o", "back"}},
	} {
		start := c.crossed.Load()
		cmd := s.client(c.args...)
		var said bytes.Buffer
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for c.crossed.Load()-start < s.size/2 {
			time.Sleep(time.Millisecond)
		}
		cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 130 || !strings.Contains(said.String(), "run the same command again to go on") {
			t.Errorf("%s: %v: %s", c.args[0], err, said.String())
		}
		if _, err := os.Stat(s.at("back")); err == nil {
			t.Error("a part of a file has the file's own name")
		}
		if out, err := s.client(c.args...).CombinedOutput(); err != nil {
			t.Fatalf("%s again: %v\n%s", c.args[0], err, out)
		}
		if crossed := c.crossed.Load() - start; crossed > s.size+segmentSize {
			t.Errorf("%s: %d bytes crossed the line, for a file of %d", c.args[0], crossed, s.size)
		}
	}
	s.wantSame("original", "back")
	s.wantNothingLeft()
}

// TestTwoGetsAtOnce lets two processes fetch one file to one name: one of them has the part, and both get the file.
func TestTwoGetsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSurvival(t)
	s.content("original")
	s.putAtOnce()
	var both []*exec.Cmd
	for range 2 {
		cmd := s.client("get", "/f", "-o", "back", "--force")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		both = append(both, cmd)
	}
	for _, cmd := range both {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		s.wantSame("original", "back")
	}
	s.wantNothingLeft()
}
