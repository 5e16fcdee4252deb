// Package testdb opens the database that the tests of other packages run on: SQLite's, or PostgreSQL's where the
// environment variable STONEVAULT_TEST_DATABASE is the address of one. So every test of a use case is one of either.
package testdb

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"stonevault/internal/metadb"
)

// Variable is the environment variable's name.
const Variable = "STONEVAULT_TEST_DATABASE"

// OnSQLite tells whether Open opens the file that it is given.
func OnSQLite() bool { return os.Getenv(Variable) == "" }

// Open opens the database of a path. On PostgreSQL it is a schema named after the path.
func Open(ctx context.Context, path, version string) (*metadb.DB, error) {
	opts := metadb.Options{ProgramVersion: version}
	if OnSQLite() {
		return metadb.OpenSQLite(ctx, path, opts)
	}
	db, err := sql.Open("pgx", os.Getenv(Variable))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema(path)); err != nil {
		return nil, err
	}
	opts.Readers, opts.Writers = 4, 8
	return metadb.OpenPostgres(ctx, address(path), opts)
}

// Raw is a connection to the same database beside the package, for what a person with a tool could do.
func Raw(path string) (*sql.DB, error) {
	if OnSQLite() {
		return sql.Open("sqlite", "file:"+filepath.ToSlash(path)+"?_busy_timeout=10000")
	}
	return sql.Open("pgx", address(path))
}

func schema(path string) string { return fmt.Sprintf("test_%x", sha256.Sum256([]byte(path)))[:40] }

func address(path string) string {
	separator := "?"
	if strings.Contains(os.Getenv(Variable), "?") {
		separator = "&"
	}
	return os.Getenv(Variable) + separator + "search_path=" + schema(path)
}
