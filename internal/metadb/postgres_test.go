package metadb

import (
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"stonevault/internal/anchor/journal"
	"stonevault/internal/anchor/journaltest"
	"stonevault/internal/metadb/metadbtest"
	"stonevault/internal/metadb/postgrestest"
	"stonevault/internal/vault"
)

func openPostgresAt(t testing.TB, address string) *DB {
	t.Helper()
	db, err := OpenPostgres(t.Context(), address, version1)
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

func TestPostgres(t *testing.T) {
	server := postgrestest.Start(t)
	metadbtest.Run(t, func(t *testing.T) metadbtest.Database { return openPostgresAt(t, server.NewDatabase(t)) })
	journaltest.Run(t, func(t *testing.T) journal.Store { return openPostgresAt(t, server.NewDatabase(t)).Journal(unrecorded) })
	t.Run("several servers", func(t *testing.T) { testServers(t, server) })
	t.Run("write skew", func(t *testing.T) { testWriteSkew(t, server) })
	t.Run("opening", func(t *testing.T) { testOpenPostgres(t, server) })
	t.Run("setting up at once", func(t *testing.T) { testSetUpAtOnce(t, server) })
	t.Run("an older and a newer schema", func(t *testing.T) { testPostgresSchema(t, server) })
	t.Run("a server that stops", func(t *testing.T) { testPostgresStops(t, server) })
}

// testServers raises one counter from three servers with many goroutines each.
func testServers(t *testing.T, server *postgrestest.Server) {
	const servers, goroutines, rounds = 3, 8, 10
	address := server.NewDatabase(t)
	counter := func(tx vault.Tx) (uint64, error) {
		b, err := tx.Settings().Get(t.Context(), "counter")
		if errors.Is(err, vault.ErrNotFound) {
			return 0, nil
		}
		return binary.BigEndian.Uint64(b), err
	}
	var wg sync.WaitGroup
	for range servers {
		db := openPostgresAt(t, address)
		for range goroutines {
			wg.Go(func() {
				for range rounds {
					if err := db.Update(t.Context(), func(tx vault.Tx) error {
						n, err := counter(tx)
						if err != nil {
							return err
						}
						return tx.Settings().Put(t.Context(), "counter", binary.BigEndian.AppendUint64(nil, n+1))
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	if err := openPostgresAt(t, address).View(t.Context(), func(tx vault.Tx) error {
		n, err := counter(tx)
		if n != servers*goroutines*rounds {
			t.Errorf("the counter is %d", n)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// testWriteSkew has each of two Updates write because the other has not: one of them must see that it has.
func testWriteSkew(t *testing.T, server *postgrestest.Server) {
	db := openPostgresAt(t, server.NewDatabase(t))
	for round := range 20 {
		var wg sync.WaitGroup
		var wrote atomic.Int64
		names := [2]string{fmt.Sprintf("%d left", round), fmt.Sprintf("%d right", round)}
		for i := range names {
			wg.Go(func() {
				did := false
				err := db.Update(t.Context(), func(tx vault.Tx) error {
					did = false
					if _, err := tx.Settings().Get(t.Context(), names[1-i]); !errors.Is(err, vault.ErrNotFound) {
						return err
					}
					did = true
					return tx.Settings().Put(t.Context(), names[i], nil)
				})
				if err != nil {
					t.Error(err)
				}
				if did {
					wrote.Add(1)
				}
			})
		}
		wg.Wait()
		if wrote.Load() != 1 {
			t.Fatalf("round %d: %d of two wrote", round, wrote.Load())
		}
	}
}

func testOpenPostgres(t *testing.T, server *postgrestest.Server) {
	address := server.NewDatabase(t)
	server.Exec(t, "postgres", `CREATE DATABASE foreigner`)
	server.Exec(t, "foreigner", `CREATE TABLE mine (id int)`)
	server.Exec(t, "postgres", `CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`)
	server.Exec(t, "postgres", `CREATE DATABASE careless`)
	server.Exec(t, "postgres", `ALTER DATABASE careless SET synchronous_commit = off`)
	for address, want := range map[string]string{
		server.Address("foreigner"):                                                "another program",
		server.Address("latin"):                                                    "encoding",
		server.Address("careless"):                                                 "before a change is on the disk",
		server.Address("nowhere"):                                                  "does not exist",
		strings.Replace(address, "a%20password", "another", 1):                     "password authentication failed",
		"mysql://127.0.0.1/x":                                                      "is not one of PostgreSQL",
		"postgres://stonevault:secret@127.0.0.1:1/x":                               "does not answer",
		fmt.Sprintf("postgres://stonevault@127.0.0.1:%d/x?sslmode=b", server.Port): "is not one of PostgreSQL",
	} {
		db, err := OpenPostgres(t.Context(), address, version1)
		if err == nil {
			db.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", want, err, want)
		}
		for _, secret := range []string{"secret", postgrestest.Password, "a%20password"} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the password is in an error: %v", err)
			}
		}
	}
	for address, verified := range map[string]bool{
		"postgres://a@db.example/x":                   true,
		"postgres://a@db.example/x?connect_timeout=1": true,
		"postgres://a@192.0.2.1/x":                    true,
		"host=db.example user=a":                      true,
		"postgres://a@db.example/x?sslmode=require":   false,
		"postgres://a@127.0.0.1/x":                    false,
		"postgres://a@[::1]/x":                        false,
		"postgres://a@localhost/x":                    false,
		"postgres://a@/x?host=/run/postgresql":        false,
	} {
		config, err := postgresConfig(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if got := config.TLSConfig != nil && !config.TLSConfig.InsecureSkipVerify && config.TLSConfig.ServerName != "" && len(config.Fallbacks) == 0; got != verified {
			t.Errorf("%s: verified is %v", address, got)
		}
	}
}

func testSetUpAtOnce(t *testing.T, server *postgrestest.Server) {
	address := server.NewDatabase(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			db, err := OpenPostgres(t.Context(), address, version1)
			if err != nil {
				t.Error(err)
				return
			}
			if err := putSetting(t, db, "a"); err != nil {
				t.Error(err)
			}
			db.Close()
		})
	}
	wg.Wait()
}

// lastOf is the newest migration of a database.
func lastOf(t *testing.T, files fs.FS) string {
	t.Helper()
	names, err := fs.Glob(files, "*.sql")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	return slices.Max(names)[:5]
}

// testSameColumns compares the tables of PostgreSQL with SQLite's: names, which may be NULL, and indexes.
func testSameColumns(t *testing.T, address string) {
	path := filepath.Join(t.TempDir(), "vault.db")
	open(t, path)
	remote, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer remote.Close()
	lines := func(db *sql.DB, query string) (all []string) {
		t.Helper()
		rows, err := db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			all = append(all, line)
		}
		if err := rows.Err(); err != nil || len(all) == 0 {
			t.Fatal("no rows", err)
		}
		slices.Sort(all)
		return all
	}
	for what, queries := range map[string][2]string{
		"columns": {
			`SELECT m.name || '.' || c.name || ' ' || c.type || ' ' || (c."notnull" = 0 AND c.pk = 0) FROM sqlite_master m, pragma_table_info(m.name) c
				WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE 'goose%'`,
			`SELECT table_name || '.' || column_name || ' ' || CASE data_type WHEN 'bigint' THEN 'INTEGER' WHEN 'bytea' THEN 'BLOB' ELSE upper(data_type) END ||
				CASE WHEN data_type = 'text' AND collation_name <> 'C' THEN ' collated' ELSE '' END || ' ' || (is_nullable = 'YES')::int
				FROM information_schema.columns WHERE table_schema = current_schema() AND table_name NOT IN ('goose_db_version', 'turns')`,
		},
		"indexes": {
			`SELECT name FROM sqlite_master WHERE type = 'index' AND name NOT LIKE 'sqlite%'`,
			`SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() AND indexname NOT LIKE '%_pkey' AND indexname NOT LIKE '%_key'`,
		},
	} {
		own, other := lines(rawDB(t, path), queries[0]), lines(remote, queries[1])
		for _, line := range own {
			if !slices.Contains(other, line) {
				t.Errorf("%s: SQLite alone has %s", what, line)
			}
		}
		for _, line := range other {
			if !slices.Contains(own, line) {
				t.Errorf("%s: PostgreSQL alone has %s", what, line)
			}
		}
	}
}

func testPostgresSchema(t *testing.T, server *postgrestest.Server) {
	if p, s := lastOf(t, postgresMigrations()), lastOf(t, sqliteMigrations()); p != s {
		t.Errorf("the newest schema is %s on PostgreSQL and %s on SQLite", p, s)
	}
	address := server.NewDatabase(t)
	db := openPostgresAt(t, address)
	testSameColumns(t, address)
	schema, err := db.Schema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	longer := fstest.MapFS{"00099_more.sql": {Data: []byte("-- +goose Up\nCREATE TABLE more (id INTEGER);\n")}}
	for _, name := range []string{"00004_people.sql", "00005_suites.sql", "00006_quantum_keys.sql", "00007_quantum_sessions.sql", "00008_eavesdroppers.sql", "00009_quantum_secrets.sql"} {
		data, err := fs.ReadFile(postgresMigrations(), name)
		if err != nil {
			t.Fatal(err)
		}
		longer[name] = &fstest.MapFile{Data: data}
	}
	version2 := Options{ProgramVersion: "2.0.0"}
	var older *OlderError
	if _, err := openPostgres(t.Context(), address, version2, longer, false); !errors.As(err, &older) || older.Schema != schema || older.Needed != 99 ||
		!strings.Contains(err.Error(), "pg_dump") {
		t.Errorf("an older database: %v", err)
	}
	next, err := openPostgres(t.Context(), address, version2, longer, true)
	if err != nil {
		t.Fatal(err)
	}
	next.Close()
	var newer *NewerError
	if _, err := OpenPostgres(t.Context(), address, version1); !errors.As(err, &newer) || newer.Schema != 99 || newer.Program != "2.0.0" {
		t.Errorf("a newer database: %v", err)
	}
}

// testPostgresStops kills the server under writers and starts it again: what was reported as done is there, and what was
// reported as failed is not, unless the answer to its commit was lost.
func testPostgresStops(t *testing.T, server *postgrestest.Server) {
	db := openPostgresAt(t, server.NewDatabase(t))
	var mu sync.Mutex
	reported := map[string]error{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("%d %d", g, i)
				err := putSetting(t, db, name)
				if err != nil {
					time.Sleep(20 * time.Millisecond)
				}
				mu.Lock()
				reported[name] = err
				mu.Unlock()
			}
		})
	}
	for range 4 {
		time.Sleep(300 * time.Millisecond)
		server.Kill()
		if err := db.Ping(t.Context()); !errors.Is(err, vault.ErrUnavailable) {
			t.Errorf("without a server: %v", err)
		}
		server.Again(t)
	}
	time.Sleep(300 * time.Millisecond)
	close(stop)
	wg.Wait()
	done, failed := 0, 0
	for name, err := range reported {
		if has := hasSetting(t, db, name); has != (err == nil) && !(has && errors.Is(err, errInDoubt)) {
			t.Errorf("%s was reported as %v, and it is there: %v", name, err, has)
		}
		if err == nil {
			done++
		} else if failed++; !errors.Is(err, vault.ErrUnavailable) {
			t.Errorf("%s failed with %v", name, err)
		}
	}
	if done == 0 || failed == 0 {
		t.Errorf("%d done and %d failed: nothing was tested", done, failed)
	}
	t.Logf("%d done, %d failed", done, failed)
}

// TestProxyErrors: what a proxy makes of prepared statements says what to do.
func TestProxyErrors(t *testing.T) {
	for _, code := range []string{"42P05", "26000"} {
		if err := classifyPostgres(&pgconn.PgError{Code: code}); !strings.Contains(err.Error(), "default_query_exec_mode=exec") {
			t.Errorf("%s: %v", code, err)
		}
	}
}
