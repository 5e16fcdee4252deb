package metadb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"

	"stonevault/internal/vault"
)

func postgresMigrations() fs.FS { return migrationsOf("postgres") }

// What a transaction sets is set for it alone, so that a proxy may give each transaction another connection. One that
// waits for its own program is ended, since its program may be gone; it holds back all others where it runs alone.
const (
	postgresLimits = `; SET LOCAL statement_timeout = '60s'; SET LOCAL lock_timeout = '20s'; SET LOCAL idle_in_transaction_session_timeout = '30s'`
	postgresRead   = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY` + postgresLimits
	postgresWrite  = `BEGIN ISOLATION LEVEL SERIALIZABLE` + postgresLimits
)

const (
	// postgresAnswers is longer than statement_timeout, so that it ends only what the network has lost.
	postgresAnswers = 75 * time.Second
	postgresConnect = 10 * time.Second
	// oldestPostgres is the first that has pg_current_xact_id.
	oldestPostgres = 130000
)

const defaultWriters = 16

var postgresDialect = &dialect{
	beginRead:      postgresRead,
	classify:       classifyPostgres,
	statementLimit: postgresAnswers,
	returning:      " RETURNING id",
	triggers:       `ALTER TABLE %s %s TRIGGER USER`,
}

// OpenPostgres opens the database that address names (postgres://user@host:port/name?sslmode=…, with everything that
// libpq's connection strings and environment have), and sets up an empty one. An older one is refused with *OlderError,
// since no copy of it is made here: see MigratePostgres. So is a newer one, with *NewerError.
//
// Behind a proxy that gives connections to single transactions, and that does not know prepared statements, the
// address also says default_query_exec_mode=exec.
//
// Where the address has no sslmode, a server that is not on this machine must show a certificate for its name.
func OpenPostgres(ctx context.Context, address string, opts Options) (*DB, error) {
	return openPostgres(ctx, address, opts, postgresMigrations(), false)
}

// MigratePostgres brings the database to the schema of this program. Whoever calls it has a copy.
func MigratePostgres(ctx context.Context, address string, opts Options) error {
	db, err := openPostgres(ctx, address, opts, postgresMigrations(), true)
	if err != nil {
		return err
	}
	return db.Close()
}

func openPostgres(ctx context.Context, address string, opts Options, migrations fs.FS, upgrade bool) (db *DB, err error) {
	if opts.ProgramVersion == "" {
		return nil, errors.New("metadb: Options.ProgramVersion is empty")
	}
	config, err := postgresConfig(address)
	if err != nil {
		return nil, err
	}
	if opts.Readers <= 0 {
		opts.Readers = defaultReaders
	}
	if opts.Writers <= 0 {
		opts.Writers = defaultWriters
	}
	handle := stdlib.OpenDB(*config)
	defer func() {
		if err != nil {
			handle.Close()
			err = fmt.Errorf("opening %s: %w", NameOf(address), classifyPostgres(err))
		}
	}()
	if err := checkPostgres(ctx, handle); err != nil {
		return nil, err
	}
	m := &migration{kind: postgresKind, files: migrations, program: opts.ProgramVersion, upgrade: upgrade}
	if opts.ReadOnly {
		err = m.verify(ctx, handle)
	} else {
		err = m.runAlone(ctx, handle)
	}
	if err != nil {
		return nil, err
	}
	handle.SetMaxOpenConns(opts.Readers + opts.Writers)
	handle.SetMaxIdleConns(opts.Readers + opts.Writers)
	db = newDB(postgresDialect, handle, opts.Readers)
	if !opts.ReadOnly {
		db.writer = newPostgresWriter(handle, opts.Writers, db.closing)
		db.forget = func(ctx context.Context) error { return rewriteTables(ctx, handle) }
	}
	return db, nil
}

// oneLine is an error whose text the driver has spread over lines.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }
func (e oneLine) Unwrap() error { return e.error }

// rewriteTables writes each table anew, since PostgreSQL leaves old rows where they were. Others wait for a table while
// it is written. Its log of writes, copies and replicas keep what they have.
func rewriteTables(ctx context.Context, db *sql.DB) error {
	var names []string
	err := db.QueryRowContext(ctx, `SELECT array_agg(quote_ident(tablename) ORDER BY tablename) FROM pg_tables
		WHERE schemaname = current_schema() AND tablename <> 'turns'`).Scan(pgtype.NewMap().SQLScanner(&names))
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := db.ExecContext(ctx, `VACUUM FULL `+name); err != nil {
			return err
		}
	}
	return nil
}

// NameOf names a database for people: without a password, and whatever else is not needed to know it.
func NameOf(address string) string {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return "a database of PostgreSQL"
	}
	return fmt.Sprintf("the database %s at %s", config.Database, config.Host)
}

// postgresConfig reads an address. Its errors do not repeat it, since a password may be in it.
func postgresConfig(address string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, errors.New("the address of the database is not one of PostgreSQL: postgres://user@host:port/name?sslmode=verify-full")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = postgresConnect
	}
	if !strings.Contains(address, "sslmode=") && !onThisMachine(config) {
		separator := " " // of words: host=… user=…
		if _, query, isURL := strings.Cut(address, "://"); isURL && strings.Contains(query, "?") {
			separator = "&"
		} else if isURL {
			separator = "?"
		}
		return postgresConfig(address + separator + "sslmode=verify-full")
	}
	return config, nil
}

func onThisMachine(config *pgx.ConnConfig) bool {
	hosts := []string{config.Host}
	for _, f := range config.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); !strings.HasPrefix(host, "/") && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// checkPostgres refuses a server that could not keep what it is promised to keep.
func checkPostgres(ctx context.Context, db *sql.DB) error {
	var version int
	var encoding, fsync, commit string
	err := db.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
		current_setting('fsync'), current_setting('synchronous_commit')`).Scan(&version, &encoding, &fsync, &commit)
	switch {
	case err != nil:
		return err
	case version < oldestPostgres:
		return fmt.Errorf("it is PostgreSQL %d, and 13 or newer is needed", version/10000)
	case encoding != "UTF8":
		return fmt.Errorf("its encoding is %s: create it anew with ENCODING 'UTF8'", encoding)
	case fsync != "on" || commit == "off":
		return errors.New("it answers before a change is on the disk: set fsync and synchronous_commit to on")
	}
	return nil
}

// postgresMeaning says what an SQLSTATE means to callers; one of two letters stands for its whole class.
var postgresMeaning = map[string]error{
	"08":    ErrUnavailable, // connections
	"23503": errReference,
	"23505": vault.ErrExists,
	"25006": ErrReadOnly,
	"40001": errSerialization,
	"40P01": errSerialization, // a deadlock
	"40":    ErrUnavailable,   // a transaction that was rolled back for another reason
	"53100": vault.ErrNoSpace,
	"53":    ErrUnavailable, // out of memory or connections
	"55P03": ErrBusy,
	"57014": ErrBusy, // a statement took too long
	"57":    ErrUnavailable,
	"58":    ErrUnavailable, // the server's own disk
	"XX001": ErrCorrupt,
	"XX002": ErrCorrupt,
	"25P03": ErrUnavailable, // the transaction waited too long for this program
}

// errProxy is a statement that was prepared on another connection than it is run on.
var errProxy = errors.New("a proxy in front of the database gives connections to single transactions: add default_query_exec_mode=exec to the address")

// classifyPostgres puts the sentinel that a driver's error stands for before it.
func classifyPostgres(err error) error {
	if err != nil && strings.Contains(err.Error(), "\n") {
		err = oneLine{err}
	}
	var refused *pgconn.PgError
	var network net.Error
	var connect *pgconn.ConnectError
	switch {
	case err == nil, errors.Is(err, vault.ErrUnavailable), errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &refused) && (refused.Code == "42P05" || refused.Code == "26000"):
		return fmt.Errorf("%w (%w)", errProxy, err)
	case errors.As(err, &refused):
		for _, code := range []string{refused.Code, refused.Code[:min(2, len(refused.Code))]} {
			if meaning, ok := postgresMeaning[code]; ok {
				return fmt.Errorf("%w (%w)", meaning, err)
			}
		}
		return err
	case errors.As(err, &connect), errors.As(err, &network), errors.Is(err, sql.ErrConnDone), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.DeadlineExceeded), errors.Is(err, pgconn.ErrConnClosed),
		errors.Is(err, driver.ErrBadConn), pgconn.SafeToRetry(err):
		return fmt.Errorf("%w (%w)", ErrUnavailable, err)
	}
	return err
}
