package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stonevault/internal/metadb/postgrestest"
)

// addressFile keeps an address with a password as --database wants it.
func addressFile(t testing.TB, address string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "address")
	write(t, path, address+"\n")
	return "file:" + path
}

// TestOnPostgres serves a vault whose metadata is in PostgreSQL, with the commands that work beside a server.
func TestOnPostgres(t *testing.T) {
	p := postgrestest.Start(t)
	flags := []string{"--database", addressFile(t, p.NewDatabase(t))}
	data := filepath.Join(t.TempDir(), "own")
	on := func(verb ...string) []string { return append(append(verb, "--data", data), flags...) }

	first := start(t, data, flags...)
	if r := run(t, testPassword+"\n", on("admin", "create", "ann", "--password-stdin")...); r.code != 0 {
		t.Fatalf("admin create beside a server: %+v", r)
	}
	ann := signIn(t, first.addr, "ann")
	ann.must(ann.put("/letter", []byte("kept"))).want(t, http.StatusCreated)
	if _, err := os.Stat(filepath.Join(data, "stonevault.db")); !os.IsNotExist(err) {
		t.Errorf("a database lies in the data directory: %v", err)
	}
	first.kill()

	second := start(t, data, flags...)
	ann = signIn(t, second.addr, "ann")
	if r := ann.must(ann.get("/letter")); string(r.body) != "kept" {
		t.Errorf("after a kill: %d %.300s", r.status, r.body)
	}
	for _, verb := range [][]string{on("doctor"), on("audit", "fsck")} {
		if r := run(t, "", verb...); r.code != 0 || strings.Contains(r.stdout, "fail") {
			t.Errorf("%v: %+v", verb, r)
		}
	}
	if code := second.stop(); code != 0 {
		t.Errorf("stopped with %d: %s", code, second.stderr)
	}
	if r := run(t, "", on("admin", "erase", "ann", "--yes")...); r.code != 1 || !strings.Contains(r.stderr, "admin") {
		t.Errorf("the last admin is erased: %+v", r)
	}
}

// TestRefusedPlaces shows that parts that do not belong together, or do not answer, are refused, and nothing changes.
func TestRefusedPlaces(t *testing.T) {
	p := postgrestest.Start(t)
	used := p.NewDatabase(t)
	dir := t.TempDir()
	own := filepath.Join(dir, "own")
	if s := start(t, own, "--database", addressFile(t, used)); s.stop() != 0 {
		t.Fatal(s.stderr)
	}
	made := filepath.Join(dir, "made")
	makeVault(t, made)
	orphaned := filepath.Join(dir, "orphaned")
	check(t, os.CopyFS(orphaned, os.DirFS(made)))
	check(t, os.Remove(filepath.Join(orphaned, "stonevault.db")))
	write(t, filepath.Join(orphaned, "objects", "stray"), "x")

	stopped := postgrestest.Start(t)
	away := stopped.NewDatabase(t)
	stopped.Kill()
	for _, c := range []struct {
		name, data, database string
		say                  string
	}{
		{"a directory with a database of its own", made, addressFile(t, used), "holds a database, and the settings name another"},
		{"a vault whose files are elsewhere", filepath.Join(dir, "empty"), addressFile(t, used), "has its sealed files elsewhere"},
		{"files without their database", orphaned, addressFile(t, p.NewDatabase(t)), "holds sealed files, and there is no vault in the database"},
		{"a database that does not answer", filepath.Join(dir, "empty"), addressFile(t, away), "opening the database"},
		{"a password that others can see", filepath.Join(dir, "empty"), "postgres://ann:secret@localhost/v", "put the address into a file"},
		{"an address of something else", filepath.Join(dir, "empty"), "mysql://localhost/v", "must be an address such as postgres://"},
		{"no file", filepath.Join(dir, "empty"), "file:" + filepath.Join(dir, "none"), "names a file that cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := fingerprint(t, dir)
			r := run(t, "", "serve", "--data", c.data, "--listen", "127.0.0.1:0", "--database", c.database)
			if r.code != 1 || !strings.Contains(r.stderr, c.say) || strings.Count(r.stderr, "\n") > 2 {
				t.Errorf("%+v", r)
			}
			if strings.Contains(r.stderr, postgrestest.Password) || strings.Contains(r.stderr, "secret") {
				t.Errorf("a password is shown: %s", r.stderr)
			}
			if fingerprint(t, dir) != before {
				t.Error("something has changed")
			}
		})
	}
}
