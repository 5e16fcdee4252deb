package metadb

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stonevault/internal/metadb/postgrestest"
	"stonevault/internal/vault"
)

// rowsOfEach is how many rows a table gets: more than a page.
const rowsOfEach = copyPage + 3

// TestCopy copies rows of every table that there is from SQLite to PostgreSQL and back, stopped in between.
func TestCopy(t *testing.T) {
	ctx := t.Context()
	server := postgrestest.Start(t)
	s, err := readShape(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	first, back := openSQLiteAt(t, filepath.Join(dir, "first")), openSQLiteAt(t, filepath.Join(dir, "back"))
	address := server.NewDatabase(t)
	between := openPostgresAt(t, address)
	lax(t, first)
	lax(t, back)
	lax(t, between)
	wantAllTables(t, s, between)
	fillAll(t, s, first)

	for _, c := range []struct {
		name     string
		from, to *DB
		next     int64 // number of a delivery; PostgreSQL has given one more to a change that was taken back
	}{{"to PostgreSQL", first, between, rowsOfEach + 1}, {"to SQLite", between, back, rowsOfEach + 2}} {
		t.Run(c.name, func(t *testing.T) {
			copying, err := NewCopy(ctx, c.from, c.to)
			if err != nil {
				t.Fatal(err)
			}
			mark := func(tx vault.Tx) error { return tx.Settings().Put(ctx, vault.CopyMark, []byte("x")) }
			if err := copying.Begin(ctx, mark); err != nil {
				t.Fatal(err)
			}
			if empty, err := copying.Empty(ctx); err != nil || !empty {
				t.Fatalf("a target with nothing but the mark is empty: %v, %v", empty, err)
			}
			// Stopped in the middle of some table, and a few times more.
			for _, stop := range []string{"settings", "people", "audit_events", "webhook_deliveries"} {
				stopped := errors.New("stopped")
				err := func() (err error) {
					defer func() {
						if r := recover(); r != nil {
							err = r.(error)
						}
					}()
					return copying.Rows(ctx, func(table string, rows int64) {
						if table == stop && rows > copyPage/2 {
							panic(stopped)
						}
					})
				}()
				if !errors.Is(err, stopped) {
					t.Fatalf("stopped in %s: %v", stop, err)
				}
			}
			if empty, err := copying.Empty(ctx); err != nil || empty {
				t.Errorf("half a copy is empty: %v, %v", empty, err)
			}
			if err := copying.Rows(ctx, nil); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, copying)
			if err := copying.Clear(ctx); err != nil {
				t.Fatal(err)
			}
			if empty, err := copying.Empty(ctx); err != nil || !empty {
				t.Errorf("a target that was cleared is empty: %v, %v", empty, err)
			}
			if err := copying.Rows(ctx, nil); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, copying)
			if err := copying.Finish(ctx, func(tx vault.Tx) error { return tx.Settings().Delete(ctx, vault.CopyMark) }); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, copying)
			wantAwake(t, c.to, c.next)
		})
	}
	// One row that differs is found.
	if err := back.WriteTx(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, `UPDATE totp SET last_step = last_step + 1 WHERE person = (SELECT min(person) FROM totp)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	copying, err := NewCopy(ctx, between, back)
	if err != nil {
		t.Fatal(err)
	}
	from, to, err := copying.Digests(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range from {
		if differs := from[i] != to[i]; differs != (from[i].Table == "totp") {
			t.Errorf("%s differs: %v", from[i].Table, differs)
		}
	}
}

func openSQLiteAt(t testing.TB, path string) *DB {
	t.Helper()
	db, err := OpenSQLite(t.Context(), path, version1)
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

// lax lets a database take values that its checks refuse, so that rows can be made up for whatever table there is.
func lax(t *testing.T, db *DB) {
	t.Helper()
	ctx := t.Context()
	if err := db.WriteTx(ctx, func(tx *Tx) error {
		if db.dialect.triggers == "" {
			_, err := tx.exec(ctx, `PRAGMA ignore_check_constraints = ON`)
			return err
		}
		drops, err := all(ctx, tx, func(row scanner) (s string, err error) { return s, row.Scan(&s) },
			`SELECT format('ALTER TABLE %I DROP CONSTRAINT %I', c.relname, k.conname) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
				WHERE k.contype = 'c' AND c.relnamespace = current_schema()::regnamespace`)
		for _, text := range drops {
			if err == nil {
				_, err = tx.exec(ctx, text)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// wantAllTables compares what is copied with the tables and columns that PostgreSQL has.
func wantAllTables(t *testing.T, s *shape, db *DB) {
	t.Helper()
	ctx := t.Context()
	copied := make(map[string]bool)
	for i := range s.tables {
		for _, c := range s.tables[i].columns {
			copied[s.tables[i].name+"."+c.name] = true
		}
	}
	if err := db.ReadTx(ctx, func(tx *Tx) error {
		there, err := all(ctx, tx, func(row scanner) (s string, err error) { return s, row.Scan(&s) },
			`SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = current_schema()`)
		for _, name := range there {
			of, _, _ := strings.Cut(name, ".")
			if !slices.Contains(notCopied, of) && !copied[name] {
				t.Errorf("%s is not copied", name)
			}
			delete(copied, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for name := range copied {
		t.Errorf("PostgreSQL has no %s", name)
	}
}

// fillAll makes up rows of every table, with every kind of value, an empty one and a NULL where they may be.
func fillAll(t *testing.T, s *shape, db *DB) {
	t.Helper()
	ctx := t.Context()
	if err := db.WriteTx(ctx, func(tx *Tx) error {
		if err := s.setTriggers(ctx, tx, false); err != nil {
			return err
		}
		for i := range s.tables {
			table := &s.tables[i]
			refers, err := all(ctx, tx, func(row scanner) (r [3]string, err error) { return r, row.Scan(&r[0], &r[1], &r[2]) },
				`SELECT "from", "table", coalesce("to", '') FROM pragma_foreign_key_list($1)`, table.name)
			if err != nil {
				return err
			}
			var rows [][]any
			for n := range rowsOfEach {
				var row []any
				for _, c := range table.columns {
					of, in := table.name, c.name
					for _, r := range refers {
						if r[0] == c.name {
							of, in = r[1], r[2]
						}
					}
					row = append(row, madeUp(of, in, c, n))
				}
				rows = append(rows, row)
			}
			for chunk := range slices.Chunk(rows, copyRows) {
				if err := table.insert(ctx, tx, chunk); err != nil {
					return fmt.Errorf("%s: %w", table.name, err)
				}
			}
		}
		// Of the rows that were deliveries, some are gone.
		if _, err := tx.exec(ctx, `DELETE FROM webhook_deliveries WHERE id > $1`, int64(rowsOfEach-1)); err != nil {
			return err
		}
		return s.setTriggers(ctx, tx, true)
	}); err != nil {
		t.Fatal(err)
	}
}

func madeUp(table, name string, c column, n int) any {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", table, name, n))
	switch {
	case c.nullable && n%5 == 4 && !slices.Contains([]string{"person", "grp", "leaf_index", "log"}, name):
		return nil
	case c.kind == "INTEGER":
		return int64(n + 1)
	case c.kind == "TEXT":
		return fmt.Sprintf("%x", sum[:16])
	case name == "operational", name == "body" && n%2 == 0:
		return []byte{}
	}
	return sum[:]
}

func wantEqual(t *testing.T, c *Copy) {
	t.Helper()
	from, to, err := c.Digests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range from {
		want := int64(rowsOfEach)
		if from[i].Table == "webhook_deliveries" {
			want--
		}
		if from[i] != to[i] || from[i].Rows != want {
			t.Errorf("%s: %d rows %x became %d rows %x", from[i].Table, from[i].Rows, from[i].SHA256[:4], to[i].Rows, to[i].SHA256[:4])
		}
	}
}

// wantAwake shows that sums are kept again, and that keys go on behind the highest that was ever given out.
func wantAwake(t *testing.T, db *DB, next int64) {
	t.Helper()
	ctx := t.Context()
	rolledBack := errors.New("enough")
	err := db.WriteTx(ctx, func(tx *Tx) error {
		scan := func(row scanner) (n int64, err error) { return n, row.Scan(&n) }
		sum := func() int64 {
			n, err := get(ctx, tx, ErrCorrupt, scan, `SELECT cast(sum(bytes) AS bigint) FROM usage`)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := sum()
		if _, err := tx.exec(ctx, `UPDATE versions SET size = size + 7 WHERE file_id = (SELECT min(file_id) FROM versions)`); err != nil {
			return err
		}
		if after := sum(); after != before+7 {
			t.Errorf("the use was %d and is %d", before, after)
		}
		id, err := tx.insertRow(ctx, `INSERT INTO webhook_deliveries (message, webhook, type, body, created_at, tries, next_at, status, problem)
			SELECT 'a new one', min(id), 'x', $1, 1, 1, 1, 1, '' FROM webhooks`, []byte("x"))
		if err == nil && id != next {
			t.Errorf("the next delivery has the number %d", id)
		}
		if err != nil {
			return err
		}
		id, err = tx.insertRow(ctx, `INSERT INTO audit_events (leaf, operational) VALUES ($1, $2)`, make([]byte, 108), []byte{})
		if err == nil && id != rowsOfEach+1 {
			t.Errorf("the next event has the number %d", id)
		}
		if err != nil {
			return err
		}
		return rolledBack
	})
	if !errors.Is(err, rolledBack) {
		t.Error(err)
	}
}

// TestShapeRefuses shows that a table which could not be copied faithfully is refused, and not passed over.
func TestShapeRefuses(t *testing.T) {
	for text, say := range map[string]string{
		`CREATE TABLE odd (id INTEGER PRIMARY KEY, share REAL) STRICT`:                          "cannot be copied",
		`CREATE TABLE odd (id INTEGER, share BLOB UNIQUE) STRICT`:                               "can be NULL",
		`CREATE TABLE odd (id INTEGER) STRICT`:                                                  "has no key",
		`CREATE TABLE odd (id INTEGER PRIMARY KEY, server TEXT REFERENCES servers (id)) STRICT`: "not copied",
		`CREATE TABLE a (id TEXT NOT NULL PRIMARY KEY REFERENCES b (id)) STRICT;
			CREATE TABLE b (id TEXT NOT NULL PRIMARY KEY REFERENCES a (id)) STRICT`: "refer to each other",
	} {
		db, err := sql.Open("sqlite", ":memory:")
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		if _, err := shapeOf(t.Context(), db); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v", text, err)
		}
		db.Close()
	}
}

func TestStanding(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "db")
	s, err := StandingOfSQLite(ctx, path)
	if err != nil || !s.Empty || s.Needed == 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	needed := s.Needed
	old, err := openSQLite(ctx, path, version1, earlier(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	want := Standing{Schema: needed - 1, Needed: needed, Program: version1.ProgramVersion}
	if s, err := StandingOfSQLite(ctx, path); err != nil || s.Schema >= needed || s.Program != want.Program {
		t.Errorf("older: %+v, %v", s, err)
	}
	server := postgrestest.Start(t)
	address := server.NewDatabase(t)
	if s, err := StandingOfPostgres(ctx, address, time.Now()); err != nil || !s.Empty {
		t.Errorf("%+v, %v", s, err)
	}
	db := openPostgresAt(t, address)
	if err := db.WriteTx(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, `INSERT INTO servers VALUES (repeat('1', 32), repeat('2', 32), 'here', '', '', '', 0, $1)`, time.Now().Add(time.Minute).UnixMilli())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if s, err := StandingOfPostgres(ctx, address, time.Now()); err != nil || s.Empty || s.Schema != needed || len(s.Servers) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := StandingOfPostgres(ctx, address, time.Now().Add(2*time.Minute)); err != nil || len(s.Servers) != 0 {
		t.Errorf("a server that is gone: %+v, %v", s, err)
	}
}
