package local

import (
	"testing"

	"stonevault/internal/blob/blobtest"
	"stonevault/internal/vault"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestObjects(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) vault.Objects { return open(t, t.TempDir()) })
}
