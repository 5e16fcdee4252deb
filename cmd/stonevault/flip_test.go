package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// newTestApp is an app with the given words on its command line's behalf: no terminal, fixed time.
func newTestApp(t *testing.T) *app {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	return &app{
		stdin: null, stdout: null, stderr: io.Discard, rand: rand.Reader,
		now: func() time.Time { return time.UnixMilli(1_800_000_000_123) }, noInput: true,
	}
}

func (a *app) mustRun(t *testing.T, args ...string) {
	t.Helper()
	if code := a.report(a.execute(context.Background(), args)); code != 0 {
		t.Fatalf("%q: exit code %d", args, code)
	}
}

// TestEveryBit flips each bit of a small stone: exit code 2 whenever, and nothing at the output's name.
func TestEveryBit(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(at("clean"), 0o700); err != nil {
		t.Fatal(err)
	}
	plain := []byte("Galadriel gave three hairs.")
	if err := os.WriteFile(at("plain"), plain, 0o600); err != nil {
		t.Fatal(err)
	}
	a := newTestApp(t)
	a.mustRun(t, "keygen", "-o", at("me.id"), "--no-passphrase")
	a.mustRun(t, "seal", "-R", at("me.id"), "-o", at("stone"), at("plain"))
	sealed, err := os.ReadFile(at("stone"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(at("stone"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	flags := openFlags{unlockFlags: unlockFlags{identities: []string{at("me.id")}}, out: at("clean/out")}
	step := 19 // a prime, so that every bit of a byte has its turn
	if os.Getenv("STONEVAULT_TORTURE") != "" {
		step = 1
	}
	flips := 0
	for bit := 0; bit < 8*len(sealed); bit += step {
		i := bit / 8
		for _, b := range []byte{sealed[i] ^ 1<<(bit%8), sealed[i]} {
			if _, err := f.WriteAt([]byte{b}, int64(i)); err != nil {
				t.Fatal(err)
			}
			if b == sealed[i] {
				break
			}
			if code := a.report(a.open(context.Background(), flags, at("stone"))); code != 2 {
				t.Fatalf("bit %d: exit code %d, want 2", bit, code)
			}
			flips++
		}
	}
	if flips == 0 {
		t.Fatal("no bit was flipped")
	}
	if left, err := os.ReadDir(at("clean")); err != nil || len(left) != 0 {
		t.Fatalf("refusals left %v behind (%v)", left, err)
	}
	if err := a.open(context.Background(), flags, at("stone")); err != nil {
		t.Fatalf("the stone as it was sealed: %v", err)
	}
	if got, err := os.ReadFile(at("clean/out")); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("the stone as it was sealed gives %q (%v)", got, err)
	}
	t.Logf("%d of %d bits flipped", flips, 8*len(sealed))
}
