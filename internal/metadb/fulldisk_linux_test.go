package metadb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"stonevault/internal/vault"
)

// TestFullDisk fills a real file system of 2 MiB: what was acknowledged stays, reads go on, and writes do
// once there is room again.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: it mounts a file system of 2 MiB; run it as root")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("NOT RUN: mounting a file system of 2 MiB: %v; run it as root with the right to mount", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 512<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(disk, "vault.db")
	db := open(t, path)
	stored := fillUp(t, db)
	if len(stored) < 5 {
		t.Fatalf("only %d rows fitted", len(stored))
	}
	f, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil { // to the last byte
		_, err = f.Write(make([]byte, 512))
	}
	f.Close()

	all := func(db *DB) {
		t.Helper()
		for _, name := range stored {
			if !hasSetting(t, db, name) {
				t.Errorf("%s was acknowledged and is gone", name)
			}
		}
	}
	refused := 0
	for i := 0; refused < 3; i++ { // the first ones may find room in what the -wal file holds already
		name := fmt.Sprintf("small %d", i)
		switch err := putSetting(t, db, name); {
		case err == nil && i < 1000:
			stored = append(stored, name)
		case !errors.Is(err, vault.ErrNoSpace):
			t.Fatalf("write %d: %v, want %v", i, err, vault.ErrNoSpace)
		default:
			refused++
			if hasSetting(t, db, name) {
				t.Errorf("%s failed, but persisted", name)
			}
		}
		all(db)
	}
	// A reader that connects only now.
	late, err := OpenSQLite(t.Context(), path, Options{ProgramVersion: "1.0.0", ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	all(late)
	if err := late.Close(); err != nil {
		t.Error(err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := putSetting(t, db, "again"); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if complaints, err := db.Check(t.Context()); err != nil || len(complaints) != 0 {
		t.Errorf("check: %q, %v", complaints, err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	all(open(t, path)) // there was hardly room to empty the -wal file
}
