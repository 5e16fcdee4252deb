package metadb_test

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"stonevault/internal/metadb"
	"stonevault/internal/vault"
)

// TestRoomForAll: what is given back to a full disk is enough for all Updates that it refused together.
func TestRoomForAll(t *testing.T) {
	const writers = 16
	var full sync.WaitGroup // until all have been refused once
	full.Add(writers)
	var given atomic.Int64
	db, err := metadb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "vault.db"), metadb.Options{ProgramVersion: "1.0.0", MakeRoom: func() bool {
		full.Wait()
		return given.Add(1) <= writers
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var all sync.WaitGroup
	for range writers {
		refused := false
		all.Go(func() {
			err := db.Update(t.Context(), func(vault.Tx) error {
				if refused {
					return nil
				}
				refused = true
				full.Done()
				return vault.ErrNoSpace
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := given.Load(); n != 1 {
		t.Errorf("room was given %d times", n)
	}
}
