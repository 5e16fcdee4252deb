package metadb

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

const (
	sessionColumns = `id, person, client, created_at, last_used_at, expires_at, revoked_at, device, address`
	refreshColumns = `hash, session, created_at, expires_at, used_at`
	keyColumns     = `id, sealed, created_at, retired_at`
)

// AccountByNameKey and Account read people.
func (tx *Tx) AccountByNameKey(ctx context.Context, key string) (auth.Account, error) {
	return account(tx.People().ByNameKey(ctx, key))
}

func (tx *Tx) Account(ctx context.Context, person string) (auth.Account, error) {
	return account(tx.People().ByID(ctx, vault.PersonID(person)))
}

func account(p vault.Person, err error) (auth.Account, error) {
	switch {
	case errors.Is(err, vault.ErrNotFound):
		return auth.Account{}, auth.ErrNotFound
	case err != nil:
		return auth.Account{}, err
	}
	return auth.Account{Person: string(p.ID), Name: p.Name, Role: string(p.Role), PasswordHash: p.PasswordHash,
		Epoch: p.Epoch, Active: p.Active}, nil
}

func (tx *Tx) InsertSession(ctx context.Context, s auth.Session) error {
	if err := checkSession(s); err != nil {
		return err
	}
	return tx.insert(ctx, auth.ErrNotFound,
		`INSERT INTO sessions (`+sessionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, sessionValues(s)...)
}

func (tx *Tx) Session(ctx context.Context, id string) (auth.Session, error) {
	return get(ctx, tx, auth.ErrNotFound, scanSession, `SELECT `+sessionColumns+` FROM sessions WHERE id = $1`, id)
}

// UpdateSession replaces a row. A session stays its person's.
func (tx *Tx) UpdateSession(ctx context.Context, s auth.Session) error {
	if err := checkSession(s); err != nil {
		return err
	}
	return tx.change(ctx, auth.ErrNotFound,
		`UPDATE sessions SET client = $3, created_at = $4, last_used_at = $5, expires_at = $6, revoked_at = $7, device = $8, address = $9
			WHERE id = $1 AND person = $2`, sessionValues(s)...)
}

func (tx *Tx) DeleteExpiredSessions(ctx context.Context, before time.Time) error {
	_, err := tx.exec(ctx, `DELETE FROM sessions WHERE expires_at < $1`, milli(before))
	return err
}

func (tx *Tx) Sessions(ctx context.Context, person string, at time.Time, span auth.Span) ([]auth.Session, error) {
	return all(ctx, tx, scanSession, `SELECT `+sessionColumns+` FROM sessions
		WHERE person = $1 AND revoked_at IS NULL AND expires_at > $2 AND (created_at, id) < ($3, $4)
		ORDER BY created_at DESC, id DESC LIMIT $5`, append([]any{person, milli(at)}, spanValues(span)...)...)
}

// RevokeSessions ends the sessions of a person that stand, but for one.
func (tx *Tx) RevokeSessions(ctx context.Context, person, except string, at time.Time) (int64, error) {
	if err := check("sessions", rule{"revoked_at", isTime(at) && !at.IsZero()}); err != nil {
		return 0, err
	}
	return tx.exec(ctx, `UPDATE sessions SET revoked_at = $3 WHERE person = $1 AND id <> $2 AND revoked_at IS NULL AND expires_at > $3`,
		person, except, milli(at))
}

// RaiseEpoch ends every access token and refresh token of a person.
func (tx *Tx) RaiseEpoch(ctx context.Context, person string, at time.Time) error {
	return tx.change(ctx, auth.ErrNotFound, `UPDATE people SET epoch = epoch + 1, updated_at = $2 WHERE id = $1`, person, milli(at))
}

// spanValues are the row that a page begins after, and how many it has.
func spanValues(span auth.Span) []any {
	after := span.After
	if after.ID == "" {
		after.At = time.UnixMilli(lastMilli + 1)
	}
	return []any{milli(after.At), after.ID, span.Limit}
}

func (tx *Tx) InsertRefresh(ctx context.Context, t auth.RefreshToken) error {
	if err := checkRefresh(t); err != nil {
		return err
	}
	return tx.insert(ctx, auth.ErrNotFound,
		`INSERT INTO refresh_tokens (`+refreshColumns+`) VALUES ($1, $2, $3, $4, $5)`,
		t.Hash, t.Session, milli(t.CreatedAt), milli(t.ExpiresAt), orNull(t.UsedAt.IsZero(), milli(t.UsedAt)))
}

func (tx *Tx) Refresh(ctx context.Context, hash []byte) (auth.RefreshToken, error) {
	return get(ctx, tx, auth.ErrNotFound, scanRefresh,
		`SELECT `+refreshColumns+` FROM refresh_tokens WHERE hash = $1`, hash)
}

func (tx *Tx) UseRefresh(ctx context.Context, hash []byte, at time.Time) (bool, error) {
	if err := check("refresh_tokens", rule{"used_at", isTime(at) && !at.IsZero()}); err != nil {
		return false, err
	}
	n, err := tx.exec(ctx, `UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1 AND used_at IS NULL`, hash, milli(at))
	if err != nil || n == 1 {
		return err == nil, err
	}
	_, err = tx.Refresh(ctx, hash)
	return false, err
}

func (tx *Tx) InsertTokenKey(ctx context.Context, k auth.TokenKey) error {
	if err := checkTokenKey(k); err != nil {
		return err
	}
	if err := tx.keepSealed(ctx, k.Sealed); err != nil {
		return err
	}
	return tx.insert(ctx, auth.ErrNotFound,
		`INSERT INTO token_keys (`+keyColumns+`) VALUES ($1, $2, $3, $4)`, keyValues(k)...)
}

func (tx *Tx) UpdateTokenKey(ctx context.Context, k auth.TokenKey) error {
	if err := checkTokenKey(k); err != nil {
		return err
	}
	return tx.change(ctx, auth.ErrNotFound,
		`UPDATE token_keys SET sealed = $2, created_at = $3, retired_at = $4 WHERE id = $1`, keyValues(k)...)
}

func (tx *Tx) DeleteTokenKey(ctx context.Context, id string) error {
	return tx.change(ctx, auth.ErrNotFound, `DELETE FROM token_keys WHERE id = $1`, id)
}

func (tx *Tx) TokenKeys(ctx context.Context) ([]auth.TokenKey, error) {
	return all(ctx, tx, scanTokenKey, `SELECT `+keyColumns+` FROM token_keys ORDER BY created_at DESC, id DESC`)
}

func sessionValues(s auth.Session) []any {
	return []any{s.ID, s.Person, s.Client, milli(s.CreatedAt), milli(s.LastUsedAt), milli(s.ExpiresAt),
		orNull(s.RevokedAt.IsZero(), milli(s.RevokedAt)), orNull(s.Device == nil, s.Device), s.Address}
}

func keyValues(k auth.TokenKey) []any {
	return []any{k.ID, k.Sealed, milli(k.CreatedAt), orNull(k.RetiredAt.IsZero(), milli(k.RetiredAt))}
}

// momentOrZero reads what orNull wrote. NULL alone is the zero time: a stored number that would read as
// it, and so as "not revoked", becomes a time that no check accepts.
func momentOrZero(ms sql.NullInt64) time.Time {
	switch {
	case !ms.Valid:
		return time.Time{}
	case ms.Int64 == firstMilli:
		return moment(firstMilli - 1)
	}
	return moment(ms.Int64)
}

func scanSession(row scanner) (s auth.Session, err error) {
	var created, used, expires int64
	var revoked sql.NullInt64
	if err := row.Scan(&s.ID, &s.Person, &s.Client, &created, &used, &expires, &revoked, &s.Device, &s.Address); err != nil {
		return auth.Session{}, err
	}
	s.CreatedAt, s.LastUsedAt, s.ExpiresAt, s.RevokedAt = moment(created), moment(used), moment(expires), momentOrZero(revoked)
	return s, stored(checkSession(s))
}

func scanRefresh(row scanner) (t auth.RefreshToken, err error) {
	var created, expires int64
	var used sql.NullInt64
	if err := row.Scan(&t.Hash, &t.Session, &created, &expires, &used); err != nil {
		return auth.RefreshToken{}, err
	}
	t.CreatedAt, t.ExpiresAt, t.UsedAt = moment(created), moment(expires), momentOrZero(used)
	return t, stored(checkRefresh(t))
}

func scanTokenKey(row scanner) (k auth.TokenKey, err error) {
	var created int64
	var retired sql.NullInt64
	if err := row.Scan(&k.ID, &k.Sealed, &created, &retired); err != nil {
		return auth.TokenKey{}, err
	}
	k.CreatedAt, k.RetiredAt = moment(created), momentOrZero(retired)
	return k, stored(checkTokenKey(k))
}
