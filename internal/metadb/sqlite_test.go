package metadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"stonevault/internal/metadb/metadbtest"
	"stonevault/internal/vault"
)

var version1 = Options{ProgramVersion: "1.0.0"}

func putSetting(t *testing.T, db *DB, name string) error {
	t.Helper()
	return db.Update(t.Context(), func(tx vault.Tx) error { return tx.Settings().Put(t.Context(), name, []byte("x")) })
}

func hasSetting(t *testing.T, db *DB, name string) bool {
	t.Helper()
	err := db.View(t.Context(), func(tx vault.Tx) error {
		_, err := tx.Settings().Get(t.Context(), name)
		return err
	})
	if err != nil && !errors.Is(err, vault.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func TestPragmas(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "vault.db"))
	pragmas := func(s *session) map[string]string {
		values := map[string]string{}
		for _, name := range []string{"journal_mode", "synchronous", "foreign_keys", "busy_timeout", "query_only", "temp_store", "trusted_schema"} {
			var v string
			if err := s.conn.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&v); err != nil {
				t.Fatal(err)
			}
			values[name] = v
		}
		return values
	}
	var writes, reads map[string]string
	if err := db.WriteTx(t.Context(), func(tx *Tx) error { writes = pragmas(tx.session); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := db.ReadTx(t.Context(), func(tx *Tx) error { reads = pragmas(tx.session); return nil }); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]string{
		"journal_mode": {"wal", "wal"}, "synchronous": {"2", "2"}, "foreign_keys": {"1", "1"}, "busy_timeout": {"10000", "10000"},
		"query_only": {"0", "1"}, "temp_store": {"2", "2"}, "trusted_schema": {"0", "0"},
	} {
		if got := [2]string{writes[name], reads[name]}; got != want {
			t.Errorf("%s of writer and reader: %v, want %v", name, got, want)
		}
	}
}

func TestFileModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT RUN: Windows has no file modes")
	}
	path := filepath.Join(t.TempDir(), "a ?#%41 name.db")
	check := func(want ...string) {
		t.Helper()
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != 0o600 {
				t.Errorf("%s has mode %v", e.Name(), info.Mode())
			}
			got = append(got, strings.TrimPrefix(e.Name(), filepath.Base(path)))
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("files %q, want %q", got, want)
		}
	}
	db := open(t, path)
	if err := putSetting(t, db, "a"); err != nil {
		t.Fatal(err)
	}
	check("", "-shm", "-wal")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	check("")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	db = open(t, path)
	if !hasSetting(t, db, "a") {
		t.Error("the setting is gone")
	}
	check("", "-shm", "-wal")
}

func TestClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	db := open(t, path)
	var wg sync.WaitGroup
	stored := make(chan string, 10_000)
	for g := range 6 {
		wg.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d %d", g, i)
				switch err := putSetting(t, db, name); {
				case errors.Is(err, ErrClosed):
					return
				case err != nil:
					t.Error(err)
					return
				}
				stored <- name
			}
		})
	}
	for range 20 {
		name := <-stored
		if !hasSetting(t, db, name) {
			t.Errorf("%s is not there", name)
		}
		stored <- name
	}
	for range 2 { // the second does nothing
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	close(stored)
	err := db.View(t.Context(), func(vault.Tx) error { return nil })
	if !errors.Is(err, ErrClosed) {
		t.Errorf("a view after Close: %v", err)
	}
	if err := db.Ping(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("a ping after Close: %v", err)
	}
	db = open(t, path)
	for name := range stored {
		if !hasSetting(t, db, name) {
			t.Errorf("%s was acknowledged and is gone", name)
		}
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTwoPrograms writes to one database through two handles, as the server and the admin command do.
func TestTwoPrograms(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	var wg sync.WaitGroup
	for p := range 2 {
		db := open(t, path)
		for g := range 3 {
			wg.Go(func() {
				for i := range 20 {
					if err := putSetting(t, db, fmt.Sprintf("%d %d %d", p, g, i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	db := open(t, path)
	for i := range 2 * 3 * 20 {
		if name := fmt.Sprintf("%d %d %d", i/60, i/20%3, i%20); !hasSetting(t, db, name) {
			t.Errorf("%s is not there", name)
		}
	}
}

// later is this program's migrations and one more.
func later(t *testing.T) fs.FS {
	t.Helper()
	files := fstest.MapFS{"00099_more.sql": {Data: []byte("-- +goose Up\nCREATE TABLE more (a TEXT) STRICT;\nINSERT INTO more SELECT name FROM settings;\n")}}
	names, err := fs.Glob(sqliteMigrations(), "*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d migrations, %v", len(names), err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(sqliteMigrations(), name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	return files
}

// earlier is the first of this program's migrations.
func earlier(t *testing.T, count int) fs.FS {
	t.Helper()
	names, err := fs.Glob(sqliteMigrations(), "*.sql")
	if err != nil || len(names) < count {
		t.Fatalf("%d migrations, %v", len(names), err)
	}
	files := fstest.MapFS{}
	for _, name := range names[:count] {
		data, err := fs.ReadFile(sqliteMigrations(), name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	return files
}

// TestPeopleMigrate: identities and all else stay when their tables are made anew, and what people use is counted.
func TestPeopleMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	db, err := openSQLite(t.Context(), path, Options{ProgramVersion: "1.0.0"}, earlier(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	raw := rawDB(t, path)
	a, b, file := strings.Repeat("a", 32), strings.Repeat("b", 32), strings.Repeat("f", 32)
	for _, text := range []string{
		`INSERT INTO people VALUES ('` + a + `', 'Ann', 'ann', 'admin', 'x', 1, 1, 0, 0), ('` + b + `', 'Bob', 'bob', 'user', 'x', 1, 1, 0, 0)`,
		`INSERT INTO identities VALUES ('` + a + `', 'person', '` + a + `', 1, 1, zeroblob(32), x'01', x'02', x'03', 5, NULL)`,
		`INSERT INTO nodes VALUES ('` + file + `', '` + b + `', '', 'n', 'file', '` + file + `', 7, '', 0, 0, 0)`,
		`INSERT INTO versions VALUES ('` + file + `', '` + file + `', 1, '` + b + `', 1, zeroblob(32), zeroblob(32), 7, 9, '', 'normal', 0, 0, 0)`,
	} {
		if _, err := raw.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	raw.Close()
	open(t, path).Close()
	raw = rawDB(t, path)
	var kept, used, files int
	err = raw.QueryRow(`SELECT (SELECT count(*) FROM identities WHERE person = ? AND version = 1 AND wrapped_seeds = x'03' AND retired_at IS NULL),
		bytes, files FROM usage WHERE person = ?`, a, b).Scan(&kept, &used, &files)
	if err != nil || kept != 1 || used != 7 || files != 1 {
		t.Errorf("%d identities, %d bytes in %d files, %v", kept, used, files, err)
	}
	// The triggers go on from there.
	for _, step := range []struct {
		text         string
		bytes, files int // of Bob
	}{
		{`UPDATE versions SET size = 8`, 8, 1},
		{`UPDATE nodes SET name = 'm'`, 8, 1},
		{`UPDATE versions SET owner = '` + a + `'; UPDATE nodes SET owner = '` + a + `'`, 0, 0},
		{`UPDATE versions SET owner = '` + b + `'; UPDATE nodes SET owner = '` + b + `'`, 8, 1},
		{`DELETE FROM versions; DELETE FROM nodes`, 0, 0},
	} {
		if _, err := raw.Exec(step.text); err != nil {
			t.Fatalf("%s: %v", step.text, err)
		}
		if err := raw.QueryRow(`SELECT bytes, files FROM usage WHERE person = ?`, b).Scan(&used, &files); err != nil || used != step.bytes || files != step.files {
			t.Errorf("after %s: %d bytes in %d files, %v", step.text, used, files, err)
		}
	}
}

func TestMigration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	version2 := Options{ProgramVersion: "2.0.0"}
	db := open(t, path)
	if err := putSetting(t, db, "old"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if names, _ := filepath.Glob(path + ".*"); len(names) != 0 {
		t.Errorf("a new database was copied: %q", names)
	}

	if _, err := openSQLite(t.Context(), path, Options{ProgramVersion: "2.0.0", ReadOnly: true}, later(t)); err == nil {
		t.Error("an older schema was opened for reading")
	}
	db, err := openSQLite(t.Context(), path, version2, later(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := putSetting(t, db, "new"); err != nil {
		t.Fatal(err)
	}
	db.Close()

	// The copy is the old database, whole and private, and nothing half done lies beside it.
	names, _ := filepath.Glob(path + "*")
	if len(names) != 2 {
		t.Errorf("files %q, want the database and its copy", names)
	}
	backup := path + ".before-99"
	if info, err := os.Stat(backup); err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("the copy: %v, %v", info, err)
	}
	db = open(t, backup)
	if !hasSetting(t, db, "old") || hasSetting(t, db, "new") {
		t.Error("the copy is not the database as it was")
	}
	db.Close()

	// An older program changes nothing and says what is needed.
	for _, readOnly := range []bool{false, true} {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = OpenSQLite(t.Context(), path, Options{ProgramVersion: "1.0.1", ReadOnly: readOnly})
		var newer *NewerError
		if !errors.As(err, &newer) || *newer != (NewerError{Schema: 99, Program: "2.0.0"}) {
			t.Errorf("read-only %v: %v", readOnly, err)
		}
		after, err := os.ReadFile(path)
		if err != nil || string(after) != string(before) {
			t.Errorf("read-only %v: a refused database was changed (%v)", readOnly, err)
		}
	}

	// A second migration from the same schema keeps the first copy.
	if err := os.Rename(backup, path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(backup, []byte("an earlier copy"), 0o600); err != nil {
		t.Fatal(err)
	}
	if db, err = openSQLite(t.Context(), path, version2, later(t)); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if data, err := os.ReadFile(backup); err != nil || string(data) != "an earlier copy" {
		t.Errorf("an earlier copy was replaced: %v", err)
	}
	if _, err := os.Stat(backup + ".2"); err != nil {
		t.Error(err)
	}
}

// TestFailedMigration stops half way: the database stays as it was, for the old program to open.
func TestFailedMigration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	db := open(t, path)
	if err := putSetting(t, db, "old"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	files := later(t).(fstest.MapFS)
	files["00099_more.sql"].Data = append(files["00099_more.sql"].Data, "DELETE FROM settings;\nINSERT INTO nowhere VALUES (1);\n"...)
	if _, err := openSQLite(t.Context(), path, Options{ProgramVersion: "2.0.0"}, files); err == nil {
		t.Fatal("a migration that cannot be was done")
	}
	db = open(t, path)
	if !hasSetting(t, db, "old") {
		t.Error("half a migration remained")
	}
	if names, _ := filepath.Glob(path + ".before-99"); len(names) != 1 {
		t.Error("there is no copy")
	}
}

// TestConcurrentFirstOpen lets several programs set up, and then migrate, one database at once.
func TestConcurrentFirstOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	for _, files := range []fs.FS{sqliteMigrations(), later(t)} {
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				db, err := openSQLite(context.WithoutCancel(t.Context()), path, version1, files)
				if err != nil {
					t.Error(err)
					return
				}
				if err := putSetting(t, db, "a"); err != nil {
					t.Error(err)
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	var steps, rows int
	raw := rawDB(t, path)
	if err := raw.QueryRow(`SELECT count(*), (SELECT count(*) FROM more) FROM goose_db_version WHERE version_id > 0`).Scan(&steps, &rows); err != nil {
		t.Fatal(err)
	}
	if steps != len(later(t).(fstest.MapFS)) || rows != 1 {
		t.Errorf("%d steps were recorded, and the last one wrote %d rows", steps, rows)
	}
}

func TestRefusedFiles(t *testing.T) {
	dir := t.TempDir()
	foreign := filepath.Join(dir, "foreign.db")
	if _, err := rawDB(t, foreign).Exec(`CREATE TABLE accounts (id INTEGER)`); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what, path string
		opts       Options
		want       error
	}{
		{"another program's", foreign, version1, nil},
		{"not a database", text, version1, ErrCorrupt},
		{"a directory", dir, version1, nil},
		{"no directory", filepath.Join(dir, "none", "vault.db"), version1, fs.ErrNotExist},
		{"nothing to read", filepath.Join(dir, "none.db"), Options{ProgramVersion: "1", ReadOnly: true}, fs.ErrNotExist},
		{"no program version", filepath.Join(dir, "vault.db"), Options{}, nil},
	} {
		db, err := OpenSQLite(t.Context(), tt.path, tt.opts)
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.want)
		}
		if db != nil {
			t.Errorf("%s: opened", tt.what)
		}
	}
	if data, err := os.ReadFile(text); err != nil || string(data) != strings.Repeat("not a database ", 1000) {
		t.Errorf("a refused file was changed: %v", err)
	}
	for _, name := range []string{"none.db", "vault.db"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was created: %v", name, err)
		}
	}
}

func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	server := open(t, path)
	if err := putSetting(t, server, "a"); err != nil {
		t.Fatal(err)
	}
	for _, running := range []bool{true, false} {
		if !running {
			server.Close()
		}
		db, err := OpenSQLite(t.Context(), path, Options{ProgramVersion: "1.0.5", ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if !hasSetting(t, db, "a") {
			t.Error("the setting is gone")
		}
		if err := putSetting(t, db, "b"); !errors.Is(err, ErrReadOnly) {
			t.Errorf("writing: %v", err)
		}
		if err := db.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		if complaints, err := db.Check(t.Context()); len(complaints) != 0 || err != nil {
			t.Errorf("check: %q, %v", complaints, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	var program string
	if err := rawDB(t, path).QueryRow(`SELECT program FROM schema_writer`).Scan(&program); err != nil || program != "1.0.0" {
		t.Errorf("the writer is %q, %v", program, err)
	}
}

// TestNoDuplicateRoots tries the one place where NULL would have hidden a duplicate.
func TestNoDuplicateRoots(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	db := open(t, path)
	owner := benchOwner(t, db)
	folder := metadbtest.Folder(1, owner, "", "a")
	if err := db.Update(t.Context(), func(tx vault.Tx) error { return tx.Nodes().Insert(t.Context(), folder) }); err != nil {
		t.Fatal(err)
	}
	raw := rawDB(t, path)
	for _, parent := range []any{nil, ""} {
		_, err := raw.Exec(`INSERT INTO nodes SELECT $1, owner, $2, name, kind, current, size, media_type, modified_at, created_at, updated_at FROM nodes`,
			metadbtest.ID[string](2), parent)
		if err == nil {
			t.Errorf("parent %v: a second root entry of one name", parent)
		}
	}
	var n sql.NullInt64
	if err := raw.QueryRow(`SELECT count(*) FROM nodes`).Scan(&n); err != nil || n.Int64 != 1 {
		t.Errorf("%d nodes, %v", n.Int64, err)
	}
}
