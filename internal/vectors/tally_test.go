package vectors

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A tally counts what ran of one file, and what did not and why.
type tally struct {
	ran     int
	skipped map[string]int
}

func (c *tally) skip(reason string, n int) {
	if c.skipped == nil {
		c.skipped = make(map[string]int)
	}
	c.skipped[reason] += n
}

// report makes a skipped test of each reason, so that test summaries list them, and fails when nothing ran.
func (c *tally) report(t *testing.T) {
	t.Helper()
	t.Logf("%d ran", c.ran)
	if c.ran == 0 {
		t.Error("no vector ran")
	}
	for _, reason := range slices.Sorted(maps.Keys(c.skipped)) {
		t.Run("not run", func(t *testing.T) {
			t.Skipf("NOT RUN: %d: %s", c.skipped[reason], reason)
		})
	}
}

// decode fails the test on fields of the wrong type; unknown fields are comments and sources.
func decode(t testing.TB, raw []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

// A source is a place where files of vectors are.
type source struct {
	name string
	read func(t testing.TB, path string) []byte
}

var (
	// inModule is the source of the circl module, which every clone has.
	inModule = source{"circl module", func(t testing.TB, path string) []byte {
		t.Helper()
		list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cloudflare/circl")
		list.Dir = Root(t)
		dir, err := list.Output()
		if err != nil {
			t.Fatalf("finding circl's source: %v", err)
		}
		packed, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), filepath.FromSlash(path)))
		if err != nil {
			t.Fatal(err)
		}
		return gunzip(t, packed)
	}}
	inShared = source{"published", Shared}
)

func gunzip(t testing.TB, packed []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
