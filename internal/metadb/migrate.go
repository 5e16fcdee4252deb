package metadb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*/*.sql
var migrationFiles embed.FS

func migrationsOf(database string) fs.FS {
	sub, err := fs.Sub(migrationFiles, "migrations/"+database)
	if err != nil {
		panic(err) // the paths above are embedded
	}
	return sub
}

// kind is what migrating asks of a database.
type kind struct {
	goose  goose.Dialect
	tables string // counts all tables, those of goose and those of this program
	remedy string // how an older database comes to the newest schema
}

var (
	sqliteKind = kind{
		goose: goose.DialectSQLite3,
		tables: `SELECT count(*), count(*) FILTER (WHERE name = 'goose_db_version'), count(*) FILTER (WHERE name = 'schema_writer')
			FROM sqlite_master WHERE type = 'table'`,
		remedy: "start the server once, which migrates it",
	}
	postgresKind = kind{
		goose: goose.DialectPostgres,
		tables: `SELECT count(*), count(*) FILTER (WHERE tablename = 'goose_db_version'), count(*) FILTER (WHERE tablename = 'schema_writer')
			FROM pg_tables WHERE schemaname = current_schema()`,
		remedy: "stop the servers, make a backup with pg_dump, and run: stonevaultd migrate up",
	}
)

// migration brings one database to the schema of this program.
type migration struct {
	kind    kind
	path    string // of an SQLite database, which is copied before
	files   fs.FS
	program string
	upgrade bool // an older database may be changed
}

// state is what a database says about itself.
type state struct {
	empty   bool   // holds no table at all
	schema  int64  // the last migration, 0 for none
	program string // the version of the program that wrote it last; empty before the first migration
}

func (m *migration) provider(db *sql.DB) (*goose.Provider, error) {
	return goose.NewProvider(m.kind.goose, db, m.files, goose.WithDisableGlobalRegistry(true))
}

// target is the schema of this program.
func target(p *goose.Provider) int64 {
	sources := p.ListSources()
	return sources[len(sources)-1].Version
}

// read looks at a database without changing it.
func (m *migration) read(ctx context.Context, db *sql.DB) (s state, err error) {
	var tables, versions, writers int64
	err = db.QueryRowContext(ctx, m.kind.tables).Scan(&tables, &versions, &writers)
	switch {
	case err != nil:
		return s, err
	case tables == 0:
		return state{empty: true}, nil
	case versions == 0:
		return s, errors.New("this is a database of another program: choose an empty one")
	}
	if err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&s.schema); err != nil {
		return s, err
	}
	if writers == 0 {
		return s, nil
	}
	err = db.QueryRowContext(ctx, `SELECT program FROM schema_writer`).Scan(&s.program)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return s, err
}

func (m *migration) newer(s state, target int64) error {
	if s.schema <= target {
		return nil
	}
	if s.program == "" {
		s.program = "(not recorded)"
	}
	return &NewerError{Schema: s.schema, Program: s.program}
}

// verify accepts a database of exactly this program's schema.
func (m *migration) verify(ctx context.Context, db *sql.DB) error {
	p, err := m.provider(db)
	if err != nil {
		return err
	}
	s, err := m.read(ctx, db)
	if err != nil {
		return err
	}
	if err := m.newer(s, target(p)); err != nil {
		return err
	}
	if s.schema < target(p) {
		return m.older(s, target(p))
	}
	return nil
}

func (m *migration) older(s state, target int64) error {
	return &OlderError{Schema: s.schema, Needed: target, Remedy: m.kind.remedy}
}

// migrationLock is the advisory lock of whoever migrates a PostgreSQL database.
const migrationLock = 0x73746f6e65 // "stone"

// runAlone is run while no other program does the same. The lock is a transaction's, which a proxy passes on.
func (m *migration) runAlone(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migrationLock)); err != nil {
		return err
	}
	return m.run(ctx, db)
}

// run migrates and records the program. Another program may do the same at the same time: whoever comes
// second in a step fails in it, sees that the schema has moved, and goes on from there.
func (m *migration) run(ctx context.Context, db *sql.DB) error {
	p, err := m.provider(db)
	if err != nil {
		return err
	}
	s, err := m.read(ctx, db)
	if err != nil {
		return err
	}
	if err := m.newer(s, target(p)); err != nil {
		return err
	}
	if !s.empty && s.schema > 0 && s.schema < target(p) {
		if !m.upgrade {
			return m.older(s, target(p))
		}
		if err := m.copyBefore(ctx, db, target(p)); err != nil {
			return fmt.Errorf("copying the database before its migration: %w", err)
		}
	}
	for s.schema < target(p) {
		_, failed := p.Up(ctx)
		now, err := m.read(ctx, db)
		if err != nil {
			return errors.Join(failed, err)
		}
		if failed != nil && now.empty == s.empty && now.schema == s.schema {
			return failed
		}
		if err := m.newer(now, target(p)); err != nil {
			return err
		}
		s = now
	}
	if s.program == m.program {
		return nil
	}
	_, err = db.ExecContext(ctx, `INSERT INTO schema_writer (one, program) VALUES (1, $1)
		ON CONFLICT (one) DO UPDATE SET program = excluded.program`, m.program)
	return err
}

// copyBefore writes a consistent copy beside a database that is a file. It appears under its name once it is durable,
// and replaces no earlier one.
func (m *migration) copyBefore(ctx context.Context, db *sql.DB, version int64) error {
	if m.path == "" {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(m.path), filepath.Base(m.path)+".copying-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := db.ExecContext(ctx, `VACUUM INTO $1`, f.Name()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	name := fmt.Sprintf("%s.before-%d", m.path, version)
	for n := 2; ; n++ {
		err := os.Link(f.Name(), name)
		if err == nil {
			return syncDirectory(filepath.Dir(m.path))
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		name = fmt.Sprintf("%s.before-%d.%d", m.path, version, n)
	}
}

// syncDirectory makes a new name durable. Windows has no such call and does not need it.
func syncDirectory(name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
