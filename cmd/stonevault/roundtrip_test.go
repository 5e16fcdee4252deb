//go:build unix

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// roundTrip is one large content on its way through the real client; it is nowhere held in memory.
type roundTrip struct {
	*testing.T
	dir      string
	size     int64
	sum      string
	modified time.Time
}

// newRoundTrip writes 5 GiB to the file "original", in the long campaign alone. STONEVAULT_LARGE_MIB asks for another
// size, in any run.
func newRoundTrip(t *testing.T) *roundTrip {
	t.Helper()
	mib := int64(5 << 10)
	if text := os.Getenv("STONEVAULT_LARGE_MIB"); text != "" {
		var err error
		if mib, err = strconv.ParseInt(text, 10, 64); err != nil || mib < 1 {
			t.Fatalf("STONEVAULT_LARGE_MIB is %q; give a number of MiB", text)
		}
	} else if os.Getenv("STONEVAULT_TORTURE") == "" {
		t.Skip("5 GiB make the round trip with STONEVAULT_TORTURE=1 alone; STONEVAULT_LARGE_MIB=256 tries a smaller one")
	}
	r := &roundTrip{T: t, dir: t.TempDir(), size: mib<<20 + 12345, modified: time.Date(2001, 12, 19, 10, 0, 0, 123e6, time.UTC)}
	f, err := os.OpenFile(r.at("original"), os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := newDigest()
	if _, err := io.Copy(io.MultiWriter(f, d), r.source()); err != nil {
		t.Fatal(err)
	}
	r.sum = d.String()
	if err := os.Chtimes(f.Name(), r.modified, r.modified); err != nil {
		t.Fatal(err)
	}
	return r
}

// source gives the content, of which no two places look the same.
func (r *roundTrip) source() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{5}), r.size) }

func (r *roundTrip) at(name string) string { return filepath.Join(r.dir, name) }

// run runs the client. An input or output is a pipe to it.
func (r *roundTrip) run(in io.Reader, out io.Writer, args ...string) {
	r.Helper()
	var said bytes.Buffer
	cmd := exec.Command("stonevault", args...)
	cmd.Env = append(os.Environ(), "STONEVAULT_HOME="+r.at("home"), "TMPDIR="+r.dir)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = r.dir, in, out, &said
	start := time.Now()
	if err := cmd.Run(); err != nil {
		r.Fatalf("stonevault %s: %v\n%s", strings.Join(args, " "), err, said.String())
	}
	r.Logf("stonevault %s: %.1f s", strings.Join(args, " "), time.Since(start).Seconds())
}

// digest takes in content and keeps only what it comes to.
type digest struct {
	hash.Hash
	n int64
}

func newDigest() *digest { return &digest{Hash: sha256.New()} }

func (d *digest) Write(p []byte) (int, error) {
	d.n += int64(len(p))
	return d.Hash.Write(p)
}

func (d *digest) String() string { return fmt.Sprintf("%d bytes, %x", d.n, d.Sum(nil)) }

func (r *roundTrip) wantSame(d *digest) {
	r.Helper()
	if got := d.String(); got != r.sum {
		r.Errorf("what came back is %s, and what went is %s", got, r.sum)
	}
}

// wantFile compares the file "back" with the original, and removes both.
func (r *roundTrip) wantFile() {
	r.Helper()
	f, err := os.Open(r.at("back"))
	if err != nil {
		r.Fatal(err)
	}
	defer f.Close()
	d := newDigest()
	if _, err := io.Copy(d, f); err != nil {
		r.Fatal(err)
	}
	r.wantSame(d)
	info, err := f.Stat()
	if err != nil {
		r.Fatal(err)
	}
	if info.Mode() != 0o700 || !info.ModTime().Equal(r.modified) {
		r.Errorf("the file came back with mode %v and time %v", info.Mode(), info.ModTime())
	}
	r.remove("original", "back")
}

// remove makes room on the disk.
func (r *roundTrip) remove(names ...string) {
	r.Helper()
	for _, name := range names {
		if err := os.Remove(r.at(name)); err != nil {
			r.Fatal(err)
		}
	}
}

// TestLargeRoundTripThroughServer puts and gets 5 GiB as a file, and again in pipes.
func TestLargeRoundTripThroughServer(t *testing.T) {
	r := newRoundTrip(t)
	server, err := newVaultServer(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer server.end(syscall.SIGTERM)
	r.run(strings.NewReader(testPassword), nil, "login", "--server", "http://"+server.addr, "--user", "ann", "--password-stdin")

	r.run(nil, nil, "put", "original", "--as", "/file")
	r.run(nil, nil, "get", "/file", "-o", "back")
	r.wantFile()

	r.run(r.source(), nil, "put", "-", "--as", "/piped")
	d := newDigest()
	r.run(nil, d, "get", "/piped", "-o", "-")
	r.wantSame(d)
}

// TestLargeRoundTripOffline seals and opens 5 GiB as a file, and again in pipes.
func TestLargeRoundTripOffline(t *testing.T) {
	r := newRoundTrip(t)
	r.run(nil, nil, "keygen", "-o", "me.id", "--no-passphrase")

	r.run(nil, nil, "seal", "-R", "me.id", "-o", "file.stone", "original")
	r.run(nil, nil, "open", "-i", "me.id", "-o", "back", "file.stone")
	r.wantFile()
	r.remove("file.stone")

	r.run(r.source(), nil, "seal", "-R", "me.id", "-o", "piped.stone", "-")
	f, err := os.Open(r.at("piped.stone"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := newDigest()
	r.run(struct{ io.Reader }{f}, d, "open", "-i", "me.id", "-o", "-", "-") // no file to the client, but a pipe
	r.wantSame(d)
}
