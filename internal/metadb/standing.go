package metadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
)

// Standing is how a database stands to this program.
type Standing struct {
	Empty          bool // without a table
	Vacant         bool // without a vault: empty, or only just set up
	Schema, Needed int64
	Program        string   // the version of the program that wrote it last, or ""
	Servers        []string // who uses it at the moment, where that is known
}

// StandingOfSQLite looks at the database at path, and changes nothing. One that is not there is empty.
func StandingOfSQLite(ctx context.Context, path string) (s Standing, err error) {
	m := &migration{kind: sqliteKind, files: sqliteMigrations()}
	file, err := filepath.Abs(path)
	if err != nil {
		return s, err
	}
	if info, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		file = ""
	}
	db, err := openLooking(file)
	if err == nil {
		defer db.Close()
		s, err = m.standing(ctx, db)
	}
	if err != nil {
		err = fmt.Errorf("looking at %s: %w", path, classifySQLite(err))
	}
	return s, err
}

func openLooking(path string) (*sql.DB, error) {
	if path == "" {
		return sql.Open("sqlite", ":memory:")
	}
	return openHandle(path, false, 1)
}

// StandingOfPostgres looks at the database of an address, and changes nothing.
func StandingOfPostgres(ctx context.Context, address string, now time.Time) (s Standing, err error) {
	config, err := postgresConfig(address)
	if err != nil {
		return s, err
	}
	db := stdlib.OpenDB(*config)
	defer db.Close()
	m := &migration{kind: postgresKind, files: postgresMigrations()}
	if err = checkPostgres(ctx, db); err == nil {
		s, err = m.standing(ctx, db)
	}
	if err == nil && !s.Empty {
		s.Servers, err = serversOf(ctx, db, now)
	}
	if err != nil {
		err = fmt.Errorf("looking at %s: %w", NameOf(address), oneLine{classifyPostgres(err)})
	}
	return s, err
}

func (m *migration) standing(ctx context.Context, db *sql.DB) (Standing, error) {
	p, err := m.provider(db)
	if err != nil {
		return Standing{}, err
	}
	is, err := m.read(ctx, db)
	if err != nil {
		return Standing{}, err
	}
	s := Standing{Empty: is.empty, Vacant: is.empty, Schema: is.schema, Needed: target(p), Program: is.program}
	if !s.Vacant && is.schema > 0 { // settings came with the first migration, and a vault has had some ever since
		var n int64
		err = db.QueryRowContext(ctx, `SELECT count(*) FROM settings`).Scan(&n)
		s.Vacant = n == 0
	}
	s.Vacant = s.Vacant || is.schema == 0
	return s, err
}

// serversOf are those of a database of whatever schema.
func serversOf(ctx context.Context, db *sql.DB, now time.Time) (names []string, err error) {
	var there bool
	if err := db.QueryRowContext(ctx, `SELECT to_regclass('servers') IS NOT NULL`).Scan(&there); err != nil || !there {
		return nil, err
	}
	err = rowsFrom(ctx, db, func(row scanner) error {
		var name string
		err := row.Scan(&name)
		names = append(names, name)
		return err
	}, `SELECT name FROM servers WHERE expires_at > $1 ORDER BY started_at`, now.UnixMilli())
	return names, err
}
