package metadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"stonevault/internal/auth"
	"stonevault/internal/once"
	"stonevault/internal/vault"
	"stonevault/internal/webhook"
)

// Tx is one transaction, for the vault and for signing in alike, so that a change and the record of it
// can share a commit. It is used by one goroutine and ends with the function that it was given to.
//
// The first statement that the database refuses ends the transaction, also when the function drops the
// error: later statements get the same error, and an Update fails with it. PostgreSQL cannot do
// otherwise, and half a change must not be committed. ErrNotFound and ErrConflict are answers, not
// refusals, and end nothing.
type Tx struct {
	session *session
	dialect *dialect
	writes  bool
	over    bool
	failed  error
	after   []func() // what runs once it is durable
}

var (
	_ vault.Tx = (*Tx)(nil)
	_ auth.Tx  = (*Tx)(nil)
	_ once.Tx  = (*Tx)(nil)
)

func (tx *Tx) People() vault.PeopleStore        { return people{tx} }
func (tx *Tx) Identities() vault.IdentityStore  { return identities{tx} }
func (tx *Tx) Nodes() vault.NodeStore           { return nodes{tx} }
func (tx *Tx) Versions() vault.VersionStore     { return versions{tx} }
func (tx *Tx) Intents() vault.IntentStore       { return intents{tx} }
func (tx *Tx) Uploads() vault.UploadStore       { return uploads{tx} }
func (tx *Tx) Settings() vault.SettingStore     { return settings{tx} }
func (tx *Tx) MasterKeys() vault.MasterKeyStore { return masterKeys{tx} }
func (tx *Tx) Webhooks() webhook.Tx             { return webhooks{tx} }
func (tx *Tx) Groups() vault.GroupStore         { return groups{tx} }
func (tx *Tx) Quotas() vault.QuotaStore         { return quotas{tx} }
func (tx *Tx) Links() vault.LinkStore           { return links{tx} }
func (tx *Tx) Once() once.Tx                    { return tx }

// usable tells whether the transaction may still run a statement.
func (tx *Tx) usable(ctx context.Context) error {
	if tx.over {
		return errOver
	}
	if tx.failed != nil {
		return tx.failed
	}
	if err := ctx.Err(); err != nil {
		return tx.fail(err)
	}
	return nil
}

func (tx *Tx) fail(err error) error {
	tx.failed = tx.dialect.classify(err)
	return tx.failed
}

// exec runs a statement that writes and returns the number of rows. A context that ends does not
// interrupt it: SQLite would roll back the transaction, which belongs to others as well.
func (tx *Tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	return tx.write(ctx, sql.Result.RowsAffected, query, args...)
}

// insertRow is exec that returns the new row's integer key. RETURNING, which PostgreSQL needs for it, would have
// SQLite keep a temporary table and a journal for each row, a third of the time that a row takes.
func (tx *Tx) insertRow(ctx context.Context, query string, args ...any) (int64, error) {
	if tx.dialect.returning == "" {
		return tx.write(ctx, sql.Result.LastInsertId, query, args...)
	}
	if !tx.writes {
		return 0, ErrReadOnly
	}
	return get(ctx, tx, ErrCorrupt, scanInt, query+tx.dialect.returning, args...)
}

func (tx *Tx) write(ctx context.Context, ask func(sql.Result) (int64, error), query string, args ...any) (int64, error) {
	if !tx.writes {
		return 0, ErrReadOnly
	}
	if err := tx.usable(ctx); err != nil {
		return 0, err
	}
	result, err := tx.session.write(context.WithoutCancel(ctx), query, args...)
	if err != nil {
		return 0, tx.fail(err)
	}
	n, err := ask(result)
	if err != nil {
		return 0, tx.fail(err)
	}
	return n, nil
}

// insert adds a row; missing stands for a row that it refers to and that is not there.
func (tx *Tx) insert(ctx context.Context, missing error, query string, args ...any) error {
	_, err := tx.exec(ctx, query, args...)
	if errors.Is(err, errReference) {
		return fmt.Errorf("%w: %w", missing, err)
	}
	return err
}

// change runs a statement that shall meet at least one row, else it returns missing.
func (tx *Tx) change(ctx context.Context, missing error, query string, args ...any) error {
	n, err := tx.exec(ctx, query, args...)
	switch {
	case errors.Is(err, errReference):
		return fmt.Errorf("%w: %w", vault.ErrConflict, err)
	case err == nil && n == 0:
		return missing
	}
	return err
}

// scanner is *sql.Row or *sql.Rows.
type scanner interface{ Scan(...any) error }

// get returns the one row of a query, or missing. Looking up one row is too short to be interrupted.
func get[T any](ctx context.Context, tx *Tx, missing error, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	var none T
	if err := tx.usable(ctx); err != nil {
		return none, err
	}
	ctx, cancel := tx.session.bounded(context.WithoutCancel(ctx))
	defer cancel()
	rows, err := tx.session.query(ctx, query, args...)
	if err != nil {
		return none, tx.fail(err)
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return none, tx.fail(err)
		}
		return none, missing
	}
	value, err := scan(rows)
	if err == nil {
		err = rows.Close()
	}
	if err != nil {
		return none, tx.fail(err)
	}
	return value, nil
}

// all returns every row of a query. In a View it ends when ctx does.
func all[T any](ctx context.Context, tx *Tx, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	if err := tx.usable(ctx); err != nil {
		return nil, err
	}
	if tx.writes {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := tx.session.bounded(ctx)
	defer cancel()
	rows, err := tx.session.query(ctx, query, args...)
	if err != nil {
		return nil, tx.fail(err)
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		value, err := scan(rows)
		if err != nil {
			return nil, tx.fail(err)
		}
		list = append(list, value)
	}
	if err := rows.Err(); err != nil {
		return nil, tx.fail(err)
	}
	return list, nil
}

func scanInt(s scanner) (n int64, err error) {
	err = s.Scan(&n)
	return n, err
}
