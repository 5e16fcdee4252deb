package metadb

import (
	"context"
	"errors"
	"fmt"

	"stonevault/internal/auditlog"
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

// Shred deletes with zeros, also in pages that become free, and then leaves no old page in the log of writes.
func (a auditDatabase) Shred(ctx context.Context, fn func(auditlog.Store) error) error {
	err := a.db.WriteTx(ctx, func(tx *Tx) error {
		// Not prepared once for all: SQLite acts on these while it prepares them.
		set := func(text string) error {
			_, err := tx.session.conn.ExecContext(context.WithoutCancel(ctx), text)
			return err
		}
		if err := set(a.db.dialect.shredding); err != nil {
			return tx.fail(err)
		}
		return errors.Join(fn(tx.Audit()), set(a.db.dialect.shredded))
	})
	if err != nil {
		return err
	}
	if err := a.db.forget(context.WithoutCancel(ctx)); err != nil {
		return errors.Join(auditlog.ErrNotShredded, fmt.Errorf("metadb: %w", a.db.dialect.classify(err)))
	}
	return nil
}
