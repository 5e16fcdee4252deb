package metadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"stonevault/internal/vault"
)

func sqliteMigrations() fs.FS { return migrationsOf("sqlite") }

var sqliteDialect = &dialect{
	beginRead:  "BEGIN",
	beginWrite: "BEGIN IMMEDIATE",
	classify:   classifySQLite,
	prepares:   true,
	integrity:  fmt.Sprintf("PRAGMA integrity_check(%d)", maxComplaints),
	shredding:  "PRAGMA secure_delete = ON",
	shredded:   "PRAGMA secure_delete = FAST",
	references: `SELECT "table" || ' row ' || coalesce(rowid, '?') || ', which names ' || parent FROM pragma_foreign_key_check`,
}

// Options of OpenSQLite and OpenPostgres. ReadOnly and MakeRoom have to do with files, and are SQLite's.
type Options struct {
	// ProgramVersion is written into the database, so that an older program can say which one it needs.
	ProgramVersion string
	// ReadOnly neither migrates nor writes. The directory must still be writable, for SQLite's -shm file.
	ReadOnly bool
	// MakeRoom gives the disk some room back when a write finds it full, and tells whether there was any to give:
	// then the write is tried again. May be nil.
	MakeRoom func() bool
	// Readers is how many Views run at once; 0 means 8.
	Readers int
	// Writers is how many Updates run at once on PostgreSQL; 0 means 16. SQLite has one writer.
	Writers int
}

const defaultReaders = 8

// OpenSQLite opens the database at path, creating it where there is none, and migrates an older one
// after copying it to "<path>.before-<schema>". The directory must exist. A database of a newer program
// is refused with *NewerError. The files are readable by their owner alone.
func OpenSQLite(ctx context.Context, path string, opts Options) (*DB, error) {
	return openSQLite(ctx, path, opts, sqliteMigrations())
}

func openSQLite(ctx context.Context, path string, opts Options, migrations fs.FS) (db *DB, err error) {
	if opts.ProgramVersion == "" {
		return nil, errors.New("metadb: Options.ProgramVersion is empty")
	}
	if opts.Readers <= 0 {
		opts.Readers = defaultReaders
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if err := prepareFiles(path, opts.ReadOnly); err != nil {
		return nil, err
	}
	var readDB, writeDB *sql.DB
	defer func() {
		if err != nil {
			for _, handle := range []*sql.DB{readDB, writeDB} {
				if handle != nil {
					handle.Close()
				}
			}
			err = fmt.Errorf("opening %s: %w", path, sqliteDialect.classify(err))
		}
	}()
	if readDB, err = openHandle(path, false, opts.Readers); err != nil {
		return nil, err
	}
	m := &migration{kind: sqliteKind, path: path, upgrade: true, files: migrations, program: opts.ProgramVersion}
	if opts.ReadOnly {
		if err := m.verify(ctx, readDB); err != nil {
			return nil, err
		}
		return newDB(sqliteDialect, readDB, opts.Readers), nil
	}
	if writeDB, err = openHandle(path, true, 1); err != nil {
		return nil, err
	}
	if err := m.run(ctx, writeDB); err != nil {
		return nil, err
	}
	db = newDB(sqliteDialect, readDB, opts.Readers)
	db.writer = newWriter(sqliteDialect, writeDB, db.closing, truncateWAL)
	db.makeRoom = opts.MakeRoom
	db.forget = func(ctx context.Context) error { return rewrite(ctx, path) }
	return db, nil
}

// prepareFiles creates an empty database and takes all rights from others. SQLite gives the -wal and
// -shm files the rights of the database.
func prepareFiles(path string, readOnly bool) error {
	if !readOnly {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		switch {
		case err == nil:
			return f.Close()
		case !errors.Is(err, fs.ErrExist):
			return err
		}
	} else if _, err := os.Stat(path); err != nil {
		return err
	}
	// By name: opening and closing the file here would drop the locks that this process holds on it.
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Chmod(path+suffix, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// openHandle opens connections that write, or connections that cannot.
func openHandle(path string, writes bool, connections int) (*sql.DB, error) {
	q := url.Values{
		"mode":          {"rw"}, // never creates
		"_busy_timeout": {"10000"},
		"_foreign_keys": {"on"},
		"_defensive":    {"1"},
		"_dqs":          {"0"},
		"_pragma": {
			"trusted_schema(0)",
			"cell_size_check(1)",
			"temp_store(MEMORY)", // nothing of ours in temporary files
		},
	}
	if writes {
		q.Set("_txlock", "immediate")
		q.Set("_journal_mode", "WAL")
		q.Set("_synchronous", "FULL")
		q["_pragma"] = append(q["_pragma"],
			"secure_delete(FAST)",
			"cache_size(-8192)",        // KiB
			"wal_autocheckpoint(4000)", // pages: 16 MiB
			"journal_size_limit(67108864)",
		)
	} else {
		q.Set("_query_only", "on")
	}
	name := filepath.ToSlash(path)
	if !strings.HasPrefix(name, "/") {
		name = "/" + name // C:/…
	}
	u := url.URL{Scheme: "file", Path: name, RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// truncateWAL moves everything into the database file. That a reader of another program or a full disk
// prevents it is no error, for the -wal file keeps what could not be moved.
func truncateWAL(s *session) error {
	var busy, log, moved int64
	err := s.conn.QueryRowContext(context.Background(), `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &log, &moved)
	if errors.Is(classifySQLite(err), vault.ErrNoSpace) {
		return nil
	}
	return err
}

// rewrite writes the database anew, since pages that were split or merged hold copies of rows, then moves it into
// its file and cuts the -wal file to nothing. It waits ten seconds for others that began before.
func rewrite(ctx context.Context, path string) error {
	handle, err := openHandle(path, true, 1)
	if err != nil {
		return err
	}
	defer handle.Close()
	if _, err := handle.ExecContext(ctx, `VACUUM`); err != nil {
		return err
	}
	var busy, log, moved int64
	if err := handle.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &log, &moved); err != nil {
		return err
	}
	if busy != 0 || log != 0 {
		return ErrBusy
	}
	return nil
}
