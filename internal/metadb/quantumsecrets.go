package metadb

import (
	"context"

	"stonevault/internal/quantum"
)

func (s quantumSessions) PutSecret(ctx context.Context, v quantum.Secret) error {
	if err := checkSecret(v); err != nil {
		return err
	}
	if err := s.tx.keepSealed(ctx, v.Sealed); err != nil {
		return err
	}
	if _, err := s.tx.exec(ctx, `DELETE FROM qkd_secrets WHERE one = $1 AND other = $2`, v.People[0], v.People[1]); err != nil {
		return err
	}
	return s.tx.insert(ctx, quantum.ErrNotFound, `INSERT INTO qkd_secrets (session, one, other, sealed) VALUES ($1, $2, $3, $4)`,
		v.Session, v.People[0], v.People[1], v.Sealed)
}

func (s quantumSessions) TakeSecret(ctx context.Context, a, b string) (quantum.Secret, error) {
	if !s.tx.writes {
		return quantum.Secret{}, ErrReadOnly
	}
	pair := quantum.Between(a, b)
	return get(ctx, s.tx, quantum.ErrNotFound, scanSecret, `DELETE FROM qkd_secrets WHERE one = $1 AND other = $2 RETURNING session, one, other, sealed`,
		pair[0], pair[1])
}

func (s quantumSessions) SecretUsed(ctx context.Context, session string) (bool, error) {
	// The index is of sessions that have one.
	n, err := get(ctx, s.tx, ErrCorrupt, scanInt, `SELECT count(*) FROM qkd_sessions WHERE secret_from = $1 AND secret_from <> ''`, session)
	return n > 0, err
}

func scanSecret(row scanner) (v quantum.Secret, err error) {
	if err := row.Scan(&v.Session, &v.People[0], &v.People[1], &v.Sealed); err != nil {
		return quantum.Secret{}, err
	}
	return v, stored(checkSecret(v))
}

func checkSecret(v quantum.Secret) error {
	return check("qkd_secrets",
		rule{"session", isID(v.Session)},
		rule{"other", v.People[0] < v.People[1]},
		rule{"sealed", len(v.Sealed) > 0},
	)
}
