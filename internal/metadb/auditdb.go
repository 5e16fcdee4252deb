package metadb

import (
	"context"
	"errors"
	"fmt"

	"stonevault/internal/auditlog"
	"stonevault/internal/vault"
)

// auditDatabase shows a DB as the audit log's.
type auditDatabase struct{ db *DB }

var _ auditlog.Database = auditDatabase{}

// Audit is the database of the audit log alone.
func (db *DB) Audit() auditlog.Database { return auditDatabase{db} }

func (a auditDatabase) View(ctx context.Context, fn func(auditlog.Store) error) error {
	return a.db.ReadTx(ctx, func(tx *Tx) error { return fn(tx.Audit()) })
}

func (a auditDatabase) Update(ctx context.Context, fn func(auditlog.Store) error) error {
	return a.db.WriteTx(ctx, func(tx *Tx) error { return fn(tx.Audit()) })
}

func (a auditDatabase) Sequence(ctx context.Context, fn func(auditlog.Store) error) error {
	return a.db.write(ctx, updater.sequence, func(tx *Tx) error { return fn(tx.Audit()) })
}

func (a auditDatabase) Shred(ctx context.Context, fn func(auditlog.Store) error) error {
	return a.db.shred(ctx, func(tx *Tx) error { return fn(tx.Audit()) })
}

// AfterCommit has fn run once the transaction of a store of this package's is durable, before its Update returns.
func AfterCommit(store auditlog.Store, fn func()) {
	tx := store.(auditStore).tx
	tx.after = append(tx.after, fn)
}

// Shred is an Update that leaves nothing of what it removes, nor of what was removed before.
func (db *DB) Shred(ctx context.Context, fn func(vault.Tx) error) error {
	return db.shred(ctx, func(tx *Tx) error { return fn(tx) })
}

// shred deletes with zeros, also in pages that become free, and then leaves no old page in any file.
func (db *DB) shred(ctx context.Context, fn func(*Tx) error) error {
	err := db.WriteTx(ctx, func(tx *Tx) error {
		// Not prepared once for all: SQLite acts on these while it prepares them.
		set := func(text string) error {
			if text == "" {
				return nil
			}
			_, err := tx.session.conn.ExecContext(context.WithoutCancel(ctx), text)
			return err
		}
		if err := set(db.dialect.shredding); err != nil {
			return tx.fail(err)
		}
		return errors.Join(fn(tx), set(db.dialect.shredded))
	})
	if err != nil {
		return err
	}
	return db.Scrub(ctx)
}

// Scrub leaves in the database's files nothing of what was removed, by writing them anew. It needs as much room
// as the database has, and others can read meanwhile, and write before and after. ErrNotShredded where it could
// not be done.
func (db *DB) Scrub(ctx context.Context) error {
	if err := db.forget(context.WithoutCancel(ctx)); err != nil {
		return errors.Join(auditlog.ErrNotShredded, fmt.Errorf("metadb: %w", db.dialect.classify(err)))
	}
	return nil
}
