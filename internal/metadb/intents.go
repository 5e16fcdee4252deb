package metadb

import (
	"context"
	"time"

	"stonevault/internal/vault"
	"stonevault/stone"
)

// intents has no index by time: it holds what is being done at the moment, and what a crash left.
type intents struct{ tx *Tx }

const intentColumns = `file_id, kind, envelope, created_at, server`

func (s intents) Insert(ctx context.Context, i vault.Intent) error {
	if err := checkIntent(i); err != nil {
		return err
	}
	return s.tx.insert(ctx, vault.ErrNotFound,
		`INSERT INTO intents (`+intentColumns+`) VALUES ($1, $2, $3, $4, $5)`,
		i.FileID.String(), string(i.Kind), orNull(len(i.Envelope) == 0, i.Envelope), milli(i.CreatedAt), i.Server)
}

func (s intents) Delete(ctx context.Context, id stone.FileID) error {
	_, err := s.tx.exec(ctx, `DELETE FROM intents WHERE file_id = $1`, id.String())
	return err
}

func (s intents) ByID(ctx context.Context, id stone.FileID) (vault.Intent, error) {
	return get(ctx, s.tx, vault.ErrNotFound, scanIntent,
		`SELECT `+intentColumns+` FROM intents WHERE file_id = $1`, id.String())
}

// Before returns the oldest first.
func (s intents) Before(ctx context.Context, t time.Time, limit int) ([]vault.Intent, error) {
	return all(ctx, s.tx, scanIntent,
		`SELECT `+intentColumns+` FROM intents WHERE created_at < $1 ORDER BY created_at, file_id LIMIT $2`,
		milli(t), int64(limit))
}

func (s intents) Rewrites(ctx context.Context, owner vault.PersonID) ([]stone.FileID, error) {
	return all(ctx, s.tx, scanFileID, `SELECT i.file_id FROM intents i JOIN versions v ON v.file_id = i.file_id
		WHERE i.kind = 'rewrite' AND v.owner = $1 ORDER BY i.file_id`, string(owner))
}

func scanIntent(row scanner) (vault.Intent, error) {
	var i vault.Intent
	var id string
	var created int64
	if err := row.Scan(&id, &i.Kind, &i.Envelope, &created, &i.Server); err != nil {
		return vault.Intent{}, err
	}
	var err error
	if i.FileID, err = stone.ParseFileID(id); err != nil {
		return vault.Intent{}, stored(err)
	}
	i.CreatedAt = moment(created)
	return i, stored(checkIntent(i))
}
