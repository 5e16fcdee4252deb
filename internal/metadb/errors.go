package metadb

import (
	"errors"
	"fmt"

	sqlite3 "modernc.org/sqlite/lib"

	"stonevault/internal/vault"
)

var (
	// ErrClosed is what a transaction gets once Close has begun.
	ErrClosed = errors.New("metadb: the database is closed")
	// ErrReadOnly is what writing gets in a View or in a database opened with Options.ReadOnly.
	ErrReadOnly = errors.New("metadb: the database is open for reading only")
	// ErrCorrupt is a stored value that this program cannot have written, or a damaged file. It is a
	// vault.ErrRefused, since nothing may be given out by such a row.
	ErrCorrupt error = corrupt{}
	// ErrBusy is a database that another program kept locked for ten seconds.
	ErrBusy = errors.New("metadb: another program keeps the database locked; try again when it has finished")
	// ErrUnavailable is a database that cannot be reached or is not ready to answer.
	ErrUnavailable = fmt.Errorf("%w: the database does not answer; check that it runs and can be reached", vault.ErrUnavailable)
	// ErrUnsafe is a disk that failed to sync. What it holds is unknown, so that nothing more is written.
	ErrUnsafe = errors.New("metadb: the disk could not store the last change durably; check the disk and restart")

	errReference = errors.New("a row that this one refers to is missing, or this row is still referred to")
	errOver      = errors.New("metadb: the transaction is over")
)

// NewerError refuses a database that a newer program has migrated.
type NewerError struct {
	Schema  int64  // the database's schema version
	Program string // the version of the program that wrote it
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("the database has schema %d, written by version %s: use that version or a newer one", e.Schema, e.Program)
}

// OlderError refuses to read a database that this program would first migrate.
type OlderError struct {
	Schema, Needed int64
	Remedy         string // what to do, as a clause
}

func (e *OlderError) Error() string {
	return fmt.Sprintf("the database has schema %d and this program needs %d: %s", e.Schema, e.Needed, e.Remedy)
}

// sqliteMeaning says what an SQLite result code means to callers. An extended code is looked up before
// its primary code.
var sqliteMeaning = map[int]error{
	sqlite3.SQLITE_FULL:                  vault.ErrNoSpace,
	sqlite3.SQLITE_IOERR_SHMSIZE:         vault.ErrNoSpace, // no room to grow the -shm file
	sqlite3.SQLITE_CONSTRAINT_UNIQUE:     vault.ErrExists,
	sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: vault.ErrExists,
	sqlite3.SQLITE_CONSTRAINT_ROWID:      vault.ErrExists,
	sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: errReference,
	sqlite3.SQLITE_BUSY:                  ErrBusy,
	sqlite3.SQLITE_CORRUPT:               ErrCorrupt,
	sqlite3.SQLITE_NOTADB:                ErrCorrupt,
	sqlite3.SQLITE_READONLY:              ErrReadOnly,
	sqlite3.SQLITE_IOERR_FSYNC:           ErrUnsafe,
	sqlite3.SQLITE_IOERR_DIR_FSYNC:       ErrUnsafe,
}

// classifySQLite puts the sentinel that a driver's error stands for before it.
func classifySQLite(err error) error {
	var coded interface{ Code() int } // *sqlite.Error
	if !errors.As(err, &coded) {
		return err
	}
	for _, code := range [...]int{coded.Code(), coded.Code() & 0xff} {
		if meaning, ok := sqliteMeaning[code]; ok {
			return fmt.Errorf("%w (%w)", meaning, err)
		}
	}
	return err
}

type corrupt struct{}

func (corrupt) Error() string {
	return "metadb: the database is damaged; run the doctor command and restore a backup"
}

func (corrupt) Is(target error) bool { return target == vault.ErrRefused }
