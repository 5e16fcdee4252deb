package vectors

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Shared returns the content of a file of the folder of published vectors, which lies beside the
// repository as ../shared/vectors. Where that folder is missing the test is skipped with a sentence
// that says so; a file missing from a folder that is there is a failure.
func Shared(t testing.TB, name string) []byte {
	t.Helper()
	folder := filepath.Join(Root(t), "..", "shared", "vectors")
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("NOT RUN: the published vectors in %s: the folder %s is not there", name, folder)
	}
	b, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	if len(b) == 0 {
		t.Fatalf("%s is empty", name)
	}
	return b
}

// Root returns the folder of go.mod, found upwards from the test's own folder.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
}

// Hex is a byte string that files write as hex digits.
type Hex []byte

// MarshalText writes lower-case hex digits.
func (h Hex) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText reads hex digits of either case. What is there and empty does not become nil.
func (h *Hex) UnmarshalText(b []byte) (err error) {
	*h, err = hex.AppendDecode([]byte{}, b)
	return err
}
