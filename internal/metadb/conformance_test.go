package metadb_test

import (
	"path/filepath"
	"testing"

	"stonevault/internal/metadb"
	"stonevault/internal/metadb/metadbtest"
)

func openTest(t testing.TB, path string) *metadb.DB {
	t.Helper()
	db, err := metadb.OpenSQLite(t.Context(), path, metadb.Options{ProgramVersion: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestConformance(t *testing.T) {
	metadbtest.Run(t, func(t *testing.T) metadbtest.Database {
		return openTest(t, filepath.Join(t.TempDir(), "vault.db"))
	})
}
