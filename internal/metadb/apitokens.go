package metadb

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"stonevault/internal/auth"
)

const apiTokenColumns = `id, person, name, hash, scopes, created_at, expires_at, last_used_at, revoked_at`

func (tx *Tx) InsertAPIToken(ctx context.Context, t auth.APIToken) error {
	if err := checkAPIToken(t); err != nil {
		return err
	}
	return tx.insert(ctx, auth.ErrNotFound,
		`INSERT INTO api_tokens (`+apiTokenColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, apiTokenValues(t)...)
}

func (tx *Tx) APIToken(ctx context.Context, id string) (auth.APIToken, error) {
	return get(ctx, tx, auth.ErrNotFound, scanAPIToken, `SELECT `+apiTokenColumns+` FROM api_tokens WHERE id = $1`, id)
}

func (tx *Tx) APITokenByHash(ctx context.Context, hash []byte) (auth.APIToken, error) {
	return get(ctx, tx, auth.ErrNotFound, scanAPIToken, `SELECT `+apiTokenColumns+` FROM api_tokens WHERE hash = $1`, hash)
}

// UpdateAPIToken keeps what may change of a token: when it was used, and that it was revoked.
func (tx *Tx) UpdateAPIToken(ctx context.Context, t auth.APIToken) error {
	if err := checkAPIToken(t); err != nil {
		return err
	}
	return tx.change(ctx, auth.ErrNotFound, `UPDATE api_tokens SET last_used_at = $3, revoked_at = $4 WHERE id = $1 AND person = $2`,
		t.ID, t.Person, orNull(t.LastUsedAt.IsZero(), milli(t.LastUsedAt)), orNull(t.RevokedAt.IsZero(), milli(t.RevokedAt)))
}

func (tx *Tx) APITokens(ctx context.Context, person string, span auth.Span) ([]auth.APIToken, error) {
	return all(ctx, tx, scanAPIToken, `SELECT `+apiTokenColumns+` FROM api_tokens
		WHERE person = $1 AND revoked_at IS NULL AND (created_at, id) < ($2, $3)
		ORDER BY created_at DESC, id DESC LIMIT $4`, append([]any{person}, spanValues(span)...)...)
}

func (tx *Tx) DeleteExpiredAPITokens(ctx context.Context, before time.Time) error {
	for _, text := range []string{`DELETE FROM api_tokens WHERE expires_at < $1`, `DELETE FROM api_tokens WHERE revoked_at < $1`} {
		if _, err := tx.exec(ctx, text, milli(before)); err != nil {
			return err
		}
	}
	return nil
}

func apiTokenValues(t auth.APIToken) []any {
	names := make([]string, len(t.Scopes))
	for i, s := range t.Scopes {
		names[i] = string(s)
	}
	return []any{t.ID, t.Person, t.Name, t.Hash, strings.Join(names, " "), milli(t.CreatedAt), milli(t.ExpiresAt),
		orNull(t.LastUsedAt.IsZero(), milli(t.LastUsedAt)), orNull(t.RevokedAt.IsZero(), milli(t.RevokedAt))}
}

func scanAPIToken(row scanner) (t auth.APIToken, err error) {
	var scopes string
	var created, expires int64
	var used, revoked sql.NullInt64
	if err := row.Scan(&t.ID, &t.Person, &t.Name, &t.Hash, &scopes, &created, &expires, &used, &revoked); err != nil {
		return auth.APIToken{}, err
	}
	t.CreatedAt, t.ExpiresAt, t.LastUsedAt, t.RevokedAt = moment(created), moment(expires), momentOrZero(used), momentOrZero(revoked)
	// A scope that is not known here gives nothing, and neither do those beside it.
	if t.Scopes, err = auth.ParseScopes(strings.Fields(scopes)); err != nil {
		return auth.APIToken{}, stored(err)
	}
	return t, stored(checkAPIToken(t))
}

func checkAPIToken(t auth.APIToken) error {
	return check("api_tokens",
		rule{"id", isID(t.ID)},
		rule{"person", isID(t.Person)},
		rule{"name", t.Name != ""},
		rule{"hash", len(t.Hash) == 32},
		rule{"scopes", len(t.Scopes) > 0},
		rule{"created_at", isTime(t.CreatedAt)},
		rule{"expires_at", isTime(t.ExpiresAt)},
		rule{"last_used_at", isTime(t.LastUsedAt)},
		rule{"revoked_at", isTime(t.RevokedAt)},
	)
}
