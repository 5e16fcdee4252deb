// Package testdb opens the database that the tests of other packages run on: SQLite's, or PostgreSQL's where the
// environment variable STONEVAULT_TEST_DATABASE is the address of one. So every test of a use case is one of either.
package testdb

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
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
	address := os.Getenv(Variable)
	if address == "" {
		return metadb.OpenSQLite(ctx, path, opts)
	}
	schema := fmt.Sprintf("test_%x", sha256.Sum256([]byte(path)))[:40]
	db, err := sql.Open("pgx", address)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema); err != nil {
		return nil, err
	}
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	opts.Readers, opts.Writers = 4, 8
	return metadb.OpenPostgres(ctx, address+separator+"search_path="+schema, opts)
}
