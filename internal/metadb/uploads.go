package metadb

import (
	"context"
	"errors"
	"slices"
	"time"

	"stonevault/internal/vault"
	"stonevault/stone"
)

type uploads struct{ tx *Tx }

const (
	uploadColumns = `id, owner, path, media_type, class, mode, modified_at, replaces, sealed_key, size, position, part, segments, provisional, created_at, expires_at, suite`
	// Lists leave out what may be a MiB of each.
	uploadListColumns = `id, owner, path, media_type, class, mode, modified_at, replaces, sealed_key, size, position, part, segments, NULL, created_at, expires_at, suite`
)

func (s uploads) Insert(ctx context.Context, u vault.Upload) error {
	if err := checkUpload(u); err != nil {
		return err
	}
	if err := s.tx.keepSealed(ctx, u.SealedKey); err != nil {
		return err
	}
	return s.tx.insert(ctx, vault.ErrNotFound,
		`INSERT INTO uploads (`+uploadColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		uploadValues(u)...)
}

// Update replaces a row but for its key, which is the same under whatever master key. Owner, creation and
// suite never change, so that a row with others is a conflict.
func (s uploads) Update(ctx context.Context, u vault.Upload, was int64) error {
	if err := checkUpload(u); err != nil {
		return err
	}
	values := uploadValues(u)
	err := s.tx.change(ctx, vault.ErrConflict,
		`UPDATE uploads SET path = $3, media_type = $4, class = $5, mode = $6, modified_at = $7, replaces = $8,
			size = $9, position = $10, part = $11, segments = $12, provisional = $13, expires_at = $15
			WHERE id = $1 AND owner = $2 AND created_at = $14 AND suite = $16 AND position = $17`,
		append(slices.Delete(values, 8, 9), was)...)
	if errors.Is(err, vault.ErrConflict) {
		if _, missing := s.ByID(ctx, u.ID); missing != nil {
			return missing
		}
	}
	return err
}

func (s uploads) ByID(ctx context.Context, id stone.FileID) (vault.Upload, error) {
	return get(ctx, s.tx, vault.ErrNotFound, scanUpload, `SELECT `+uploadColumns+` FROM uploads WHERE id = $1`, id.String())
}

func (s uploads) OfPerson(ctx context.Context, owner vault.PersonID) ([]vault.Upload, error) {
	return all(ctx, s.tx, scanUpload,
		`SELECT `+uploadListColumns+` FROM uploads WHERE owner = $1 ORDER BY created_at, id`, string(owner))
}

func (s uploads) Expired(ctx context.Context, at time.Time, limit int) ([]vault.Upload, error) {
	return all(ctx, s.tx, scanUpload,
		`SELECT `+uploadListColumns+` FROM uploads WHERE expires_at <= $1 ORDER BY expires_at, id LIMIT $2`, milli(at), int64(limit))
}

func (s uploads) Delete(ctx context.Context, id stone.FileID) error {
	_, err := s.tx.exec(ctx, `DELETE FROM uploads WHERE id = $1`, id.String())
	return err
}

func (s uploads) AddRows(ctx context.Context, id stone.FileID, first int, rows []byte) error {
	return s.tx.insert(ctx, vault.ErrNotFound,
		`INSERT INTO upload_rows (upload, first, rows) VALUES ($1, $2, $3)`, id.String(), int64(first), rows)
}

// Rows relies on AddRows never leaving a gap: the primary key refuses a repetition, and the vault compares
// the number of rows with the upload's.
func (s uploads) Rows(ctx context.Context, id stone.FileID) ([]byte, error) {
	chunks, err := all(ctx, s.tx, func(row scanner) (chunk []byte, err error) { return chunk, row.Scan(&chunk) },
		`SELECT rows FROM upload_rows WHERE upload = $1 ORDER BY first`, id.String())
	return slices.Concat(chunks...), err
}

func uploadValues(u vault.Upload) []any {
	return []any{
		u.ID.String(), string(u.Owner), u.Path, u.MediaType, u.Class, int64(u.Mode), milli(u.ModifiedAt), flag(u.Replace),
		u.SealedKey, u.Size, u.Offset, u.Part, int64(u.Segments), orNull(len(u.Provisional) == 0, u.Provisional),
		milli(u.CreatedAt), milli(u.ExpiresAt), int64(u.Suite),
	}
}

func scanUpload(row scanner) (u vault.Upload, err error) {
	var id string
	var modified, replaces, created, expires, suite int64
	if err := row.Scan(&id, &u.Owner, &u.Path, &u.MediaType, &u.Class, &u.Mode, &modified, &replaces, &u.SealedKey,
		&u.Size, &u.Offset, &u.Part, &u.Segments, &u.Provisional, &created, &expires, &suite); err != nil {
		return vault.Upload{}, err
	}
	if u.ID, err = stone.ParseFileID(id); err != nil {
		return vault.Upload{}, stored(err)
	}
	if u.Suite, err = suiteOf(suite); err != nil {
		return vault.Upload{}, stored(err)
	}
	u.Replace = replaces == 1
	u.ModifiedAt, u.CreatedAt, u.ExpiresAt = moment(modified), moment(created), moment(expires)
	return u, stored(checkUpload(u))
}
