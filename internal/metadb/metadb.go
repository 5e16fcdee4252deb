// Package metadb keeps the vault's metadata in an SQL database: people, identities, trees, versions,
// intents, settings, webhooks, and what signing in needs.
//
// A DB implements vault.Database, auth.Store and webhook.Store; all give out the same *Tx. Reads run on a pool of
// connections, each View in one snapshot. Updates are serializable. Another program may write to the same database
// at the same time.
//
// On SQLite, writes run on one connection: Updates that arrive together share one commit, each under a savepoint of
// its own, so that a durable small write costs a fraction of one fsync. On PostgreSQL each Update is a transaction on
// a connection of its own; see postgresWriter.
//
// Invariants:
//   - What Update answered with nil is durable. What it answered with anything else has left nothing,
//     with one exception that no database can rule out: when the commit itself failed, a crash before
//     the next commit may bring it back, and when its answer was lost it may have been made.
//   - A context that ends before an Update's turn drops it. During its turn, the next statement reports
//     the context's error. Once fn has returned nil the Update is reported by what became of it.
//   - An fn that fails, panics or ends its goroutine takes only its own change back. It may be run more than once,
//     the last time being the one that counts.
//   - A row is checked before it is written and after it is read; what does not fit is ErrCorrupt.
//   - All SQL text is the same for every database; what differs is in the migrations and in one dialect each.
//
// An fn must not call Update or View of the same DB: the first waits for itself, the second may.
//
// It is not a cache and holds no rules of the vault beyond the shape of its rows.
package metadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"stonevault/internal/auth"
	"stonevault/internal/once"
	"stonevault/internal/peers"
	"stonevault/internal/vault"
	"stonevault/internal/webhook"
)

// dialect is all that differs between the databases.
type dialect struct {
	beginRead, beginWrite string
	classify              func(error) error
	prepares              bool          // statements are prepared here, not by the driver
	statementLimit        time.Duration // see session
	returning             string        // what an INSERT ends with to return the row's integer key, unless the driver knows it
	integrity             string        // a query whose rows are complaints, or "ok"; or ""
	references            string        // a query whose rows are rows that refer to nothing
	shredding, shredded   string        // what overwrites deleted content from now on, and what ends that
	triggers              string        // a format with a table that says ENABLE or DISABLE; or "", where there is no such statement
}

// DB is an open database. Its methods may be called from any goroutine.
type DB struct {
	dialect  *dialect
	readers  *pool
	writer   updater // nil when open for reading only
	closing  chan struct{}
	close    sync.Once
	closed   error
	makeRoom func() bool                 // see Options
	giving   sync.Mutex                  // held while makeRoom runs
	given    atomic.Int64                // how often it had room to give
	forget   func(context.Context) error // removes what was overwritten from the log of writes
}

var (
	_ vault.Database = (*DB)(nil)
	_ auth.Store     = (*DB)(nil)
	_ webhook.Store  = (*DB)(nil)
	_ once.Store     = (*DB)(nil)
	_ peers.Store    = (*DB)(nil)
)

// updater runs Updates.
type updater interface {
	update(ctx context.Context, fn func(*Tx) error) error
	sequence(ctx context.Context, fn func(*Tx) error) error // see auditlog.Database
	close() error                                           // once closing is closed; lets those that have begun end
}

// newDB takes over the handle. A writer is added by who has one.
func newDB(d *dialect, readDB *sql.DB, readers int) *DB {
	return &DB{dialect: d, readers: newPool(d, readDB, readers), closing: make(chan struct{})}
}

// View runs fn on one snapshot.
func (db *DB) View(ctx context.Context, fn func(vault.Tx) error) error {
	return db.ReadTx(ctx, func(tx *Tx) error { return fn(tx) })
}

// Update runs fn and commits what it changed.
func (db *DB) Update(ctx context.Context, fn func(vault.Tx) error) error {
	return db.WriteTx(ctx, func(tx *Tx) error { return fn(tx) })
}

// ViewAuth is View.
func (db *DB) ViewAuth(ctx context.Context, fn func(auth.Tx) error) error {
	return db.ReadTx(ctx, func(tx *Tx) error { return fn(tx) })
}

// UpdateAuth is Update.
func (db *DB) UpdateAuth(ctx context.Context, fn func(auth.Tx) error) error {
	return db.WriteTx(ctx, func(tx *Tx) error { return fn(tx) })
}

// ViewWebhooks is View.
func (db *DB) ViewWebhooks(ctx context.Context, fn func(webhook.Tx) error) error {
	return db.ReadTx(ctx, func(tx *Tx) error { return fn(tx.Webhooks()) })
}

// UpdateWebhooks is Update.
func (db *DB) UpdateWebhooks(ctx context.Context, fn func(webhook.Tx) error) error {
	return db.WriteTx(ctx, func(tx *Tx) error { return fn(tx.Webhooks()) })
}

// ViewOnce is View.
func (db *DB) ViewOnce(ctx context.Context, fn func(once.Tx) error) error {
	return db.ReadTx(ctx, func(tx *Tx) error { return fn(tx) })
}

// UpdateOnce is Update.
func (db *DB) UpdateOnce(ctx context.Context, fn func(once.Tx) error) error {
	return db.WriteTx(ctx, func(tx *Tx) error { return fn(tx) })
}

// ViewPeers is View.
func (db *DB) ViewPeers(ctx context.Context, fn func(peers.Tx) error) error {
	return db.ReadTx(ctx, func(tx *Tx) error { return fn(tx) })
}

// UpdatePeers is Update.
func (db *DB) UpdatePeers(ctx context.Context, fn func(peers.Tx) error) error {
	return db.WriteTx(ctx, func(tx *Tx) error { return fn(tx) })
}

// WriteTx is Update for those who need both sides of a transaction.
func (db *DB) WriteTx(ctx context.Context, fn func(*Tx) error) error {
	return db.write(ctx, updater.update, fn)
}

func (db *DB) write(ctx context.Context, how func(updater, context.Context, func(*Tx) error) error, fn func(*Tx) error) error {
	if db.writer == nil {
		return ErrReadOnly
	}
	for {
		seen := db.given.Load()
		var last *Tx // the one that counts, where fn runs more than once
		err := how(db.writer, ctx, func(tx *Tx) error {
			last = tx
			return fn(tx)
		})
		if err == nil {
			for _, f := range last.after {
				f()
			}
		}
		if !errors.Is(err, vault.ErrNoSpace) || !db.giveRoom(seen) {
			return err
		}
	}
}

// giveRoom makes room, unless somebody did since seen was read: the Updates of a batch fail together, and what one of
// them is given is enough for all to try again.
func (db *DB) giveRoom(seen int64) bool {
	if db.makeRoom == nil {
		return false
	}
	db.giving.Lock()
	defer db.giving.Unlock()
	if db.given.Load() != seen {
		return true
	}
	if !db.makeRoom() {
		return false
	}
	db.given.Add(1)
	return true
}

// Schema is the number of the last migration.
func (db *DB) Schema(ctx context.Context) (n int64, err error) {
	err = db.ReadTx(ctx, func(tx *Tx) error {
		n, err = get(ctx, tx, ErrCorrupt, scanInt, `SELECT max(version_id) FROM goose_db_version`)
		return err
	})
	return n, err
}

// ReadTx is View for those who need both sides of a transaction.
func (db *DB) ReadTx(ctx context.Context, fn func(*Tx) error) error {
	s, err := db.readers.begin(ctx, db.closing, db.dialect.beginRead)
	if err != nil {
		return err
	}
	clean := false
	defer func() { db.readers.put(s, clean) }()
	tx := &Tx{session: s, dialect: db.dialect}
	defer func() { // also when fn panics
		tx.over = true
		clean = s.exec("ROLLBACK") == nil
	}()
	if err := fn(tx); err != nil {
		return err
	}
	return tx.failed
}

// Ping reports whether the database answers and, unless it is open for reading only, accepts writes.
func (db *DB) Ping(ctx context.Context) error {
	err := db.ReadTx(ctx, func(tx *Tx) error {
		_, err := get(ctx, tx, ErrCorrupt, scanInt, `SELECT count(*) FROM schema_writer`)
		return err
	})
	if err != nil || db.writer == nil {
		return err
	}
	return db.WriteTx(ctx, func(*Tx) error { return nil })
}

// Close lets transactions that have begun end, refuses others with ErrClosed, and closes the database.
func (db *DB) Close() error {
	db.close.Do(func() {
		close(db.closing)
		err := db.readers.close()
		if db.writer != nil {
			err = errors.Join(err, db.writer.close())
		}
		db.closed = err
	})
	return db.closed
}

// consistency are queries for rows that no constraint of the tables rules out and that cannot be.
var consistency = []struct{ complaint, query string }{
	{"node %s lies in a folder that is not there", `SELECT n.id FROM nodes n LEFT JOIN nodes p ON p.id = n.parent AND p.owner = n.owner
		AND p.kind = 'folder' WHERE n.parent <> '' AND p.id IS NULL ORDER BY n.id LIMIT $1`},
	{"document %s has no current version", `SELECT n.id FROM nodes n LEFT JOIN versions v ON v.file_id = n.current AND v.document = n.id
		AND v.owner = n.owner WHERE n.kind = 'file' AND v.file_id IS NULL ORDER BY n.id LIMIT $1`},
	{"document %s differs from its current version", `SELECT n.id FROM nodes n JOIN versions v ON v.file_id = n.current
		WHERE n.size <> v.size OR n.media_type <> v.media_type OR n.modified_at <> v.modified_at ORDER BY n.id LIMIT $1`},
	{"what is counted as the use of person %s is not what the files take", `SELECT p.id FROM people p
		LEFT JOIN usage u ON u.person = p.id
		LEFT JOIN (SELECT owner, sum(size) AS bytes FROM versions GROUP BY owner) v ON v.owner = p.id
		LEFT JOIN (SELECT owner, count(*) AS files FROM nodes WHERE kind = 'file' GROUP BY owner) n ON n.owner = p.id
		LEFT JOIN (SELECT owner, sum(position) AS uploading FROM uploads GROUP BY owner) t ON t.owner = p.id
		WHERE u.person IS NULL OR u.bytes <> coalesce(v.bytes, 0) OR u.files <> coalesce(n.files, 0)
			OR u.uploading <> coalesce(t.uploading, 0) ORDER BY p.id LIMIT $1`},
	{"what is counted as the use of group %s is not what its members use", `SELECT g.id FROM groups g
		LEFT JOIN (SELECT m.grp, sum(u.bytes) AS bytes, sum(u.files) AS files, sum(u.uploading) AS uploading
			FROM group_members m JOIN usage u ON u.person = m.person WHERE m.member = 1 GROUP BY m.grp) s ON s.grp = g.id
		WHERE g.bytes <> coalesce(s.bytes, 0) OR g.files <> coalesce(s.files, 0) OR g.uploading <> coalesce(s.uploading, 0)
		ORDER BY g.id LIMIT $1`},
	{"group %s has no identity in use", `SELECT g.id FROM groups g LEFT JOIN identities i ON i.kind = 'group' AND i.grp = g.id
		AND i.retired_at IS NULL WHERE i.id IS NULL ORDER BY g.id LIMIT $1`},
	{"identity %s is in use for a group that is not there", `SELECT i.id FROM identities i LEFT JOIN groups g ON g.id = i.grp
		WHERE i.kind = 'group' AND i.retired_at IS NULL AND g.id IS NULL ORDER BY i.id LIMIT $1`},
}

// maxComplaints bounds what one check of Check reports.
const maxComplaints = 20

// Check reads the whole database and returns what is wrong with it, as sentences for people. The error
// says that the check itself could not be done.
func (db *DB) Check(ctx context.Context) (complaints []string, err error) {
	err = db.ReadTx(ctx, func(tx *Tx) error {
		scan := func(row scanner) (s string, err error) { return s, row.Scan(&s) }
		var found []string
		if db.dialect.integrity != "" {
			if found, err = all(ctx, tx, scan, db.dialect.integrity); err != nil {
				return err
			}
			for _, f := range found {
				if f != "ok" {
					complaints = append(complaints, "the database file is damaged: "+f)
				}
			}
		}
		if db.dialect.references != "" {
			if found, err = all(ctx, tx, scan, db.dialect.references); err != nil {
				return err
			}
			for _, f := range found {
				complaints = append(complaints, "a row refers to one that is not there: "+f)
			}
		}
		for _, c := range consistency {
			if found, err = all(ctx, tx, scan, c.query, int64(maxComplaints)); err != nil {
				return err
			}
			for _, id := range found {
				complaints = append(complaints, fmt.Sprintf(c.complaint, id))
			}
		}
		return nil
	})
	if errors.Is(err, ErrCorrupt) {
		return append(complaints, err.Error()), nil
	}
	return complaints, err
}
