package metadb

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"stonevault/internal/auditlog"
	"stonevault/internal/vault"
)

// What waits for a commit runs once, when others see the change and before its Update returns; without one, never.
func TestAfterCommit(t *testing.T) {
	db, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "meta.db"), Options{ProgramVersion: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var mu sync.Mutex
	ran := map[string]int{}
	ends := map[string]error{"kept": nil, "also kept": nil, "taken back": errors.New("no")}
	var wg sync.WaitGroup
	for name, end := range ends {
		wg.Go(func() {
			err := db.Update(t.Context(), func(tx vault.Tx) error {
				AfterCommit(tx.Audit(), func() {
					mu.Lock()
					defer mu.Unlock()
					if ran[name]++; !hasSetting(t, db, name) {
						t.Errorf("%s: told before it can be seen", name)
					}
				})
				return errors.Join(tx.Settings().Put(context.Background(), name, []byte("1")), end)
			})
			mu.Lock()
			defer mu.Unlock()
			if want := map[bool]int{true: 1}[end == nil]; !errors.Is(err, end) || ran[name] != want {
				t.Errorf("%s: %v, told %d times", name, err, ran[name])
			}
		})
	}
	wg.Wait()
	err = db.Audit().Shred(t.Context(), func(store auditlog.Store) error {
		AfterCommit(store, func() { ran["shred"]++ })
		return nil
	})
	if err != nil || ran["shred"] != 1 {
		t.Errorf("%v, told %d times", err, ran["shred"])
	}
}
