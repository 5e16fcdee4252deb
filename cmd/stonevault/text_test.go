package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"stonevault/internal/client"
	"stonevault/stone"
)

func TestShown(t *testing.T) {
	for name, want := range map[string]string{
		"letter.txt":  "letter.txt",
		"Brief 水 ä":   "Brief 水 ä",
		"":            `""`,
		"a\nb":        `"a\nb"`,
		"\x1b[31mred": `"\x1b[31mred"`,
		"a\u202eb":    `"a\u202eb"`,
		"\xff":        `"\xff"`,
		"line\u2028s": `"line\u2028s"`,
	} {
		if got := shown(name); got != want {
			t.Errorf("shown(%q) = %s, want %s", name, got, want)
		}
	}
}

func TestSized(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 bytes", 1: "1 byte", 1023: "1023 bytes", 1024: "1.0 KiB", 1536: "1.5 KiB",
		1 << 20: "1.0 MiB", 5 << 30: "5.0 GiB", 1 << 40: "1.0 TiB", 2000 << 40: "2000.0 TiB",
	} {
		if got := sized(n); got != want {
			t.Errorf("sized(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestPaths(t *testing.T) {
	for arg, want := range map[string]string{
		"/": "/", "/a": "/a", "/a/": "/a", "/a//": "/a", "//": "/", "sv:/": "/", "sv:/a b/ä": "/a b/ä",
		"a": "", "": "", "sv:a": "", "./a": "", "/\xff": "",
	} {
		got, err := nodePath(arg)
		if got != want && err == nil || (err == nil) != (want != "") {
			t.Errorf("nodePath(%q) = %q, %v; want %q", arg, got, err, want)
		}
	}
}

// TestLocalChild shows that no name from a server leads out of the folder that it goes into.
func TestLocalChild(t *testing.T) {
	for name, good := range map[string]bool{
		"a": true, "...": true, ".a": true, "a b": true, "-a": true,
		"": false, ".": true, "..": false, "../a": false, "/a": false, "a/b": false,
	} {
		got, err := localChild("dir", name)
		if (err == nil) != good {
			t.Errorf("localChild(%q) = %q, %v", name, got, err)
		}
		if err == nil && name != "." && filepath.Dir(got) != "dir" {
			t.Errorf("localChild(%q) leads to %q", name, got)
		}
	}
}

// TestExitCodes shows that what matters more decides, however deep it is wrapped.
func TestExitCodes(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("a: %w", err) }
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("no"), 1},
		{misuse("try", "no"), 1},
		{wrap(stone.ErrRefused), 2},
		{wrap(client.ErrRefused), 2},
		{&client.Problem{Code: "refused", Status: 409}, 2},
		{&client.Problem{Code: "not-found", Status: 404}, 1},
		{&client.Problem{Code: "session-ended", Status: 401}, 4},
		{&wrongSigner{}, 2},
		{wrap(errUnchecked), 3},
		{&unattended{}, 4},
		{client.ErrCredentials, 4},
		{wrap(client.ErrUnreachable), 1},
		{errors.Join(errors.New("no"), errUnchecked, client.ErrRefused), 2},
		{wrap(errInterrupted), 130},
		{wrap(context.Canceled), 130},
		{stone.ErrNoGrant, 1},
	} {
		if got := newTestApp(t).report(c.err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}

func TestLasting(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 seconds", time.Millisecond: "1 second", time.Second: "1 second", 59 * time.Second: "59 seconds", time.Minute: "60 seconds",
		61 * time.Second: "2 minutes", time.Hour: "60 minutes", 61 * time.Minute: "2 hours", 25 * time.Hour: "2 days",
	} {
		if got := lasting(d); got != want {
			t.Errorf("%s is said as %q, want %q", d, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "512": 512, "10GB": 10e9, "10 GB": 10e9, "1.5GiB": 3 << 29, "1kB": 1000, "1KB": 1000, "2KiB": 2048, "7B": 7, "1TiB": 1 << 40,
	} {
		if got, ok := parseSize(text); !ok || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "GB", "10G", "-1", "-1GB", "1e3", "0x10", "NaN", "inf", "10000000TB", "1_000", "10GB x", "∞"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}
