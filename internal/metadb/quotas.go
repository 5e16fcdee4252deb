package metadb

import (
	"context"
	"database/sql"

	"stonevault/internal/vault"
	"stonevault/stone"
)

type quotas struct{ tx *Tx }

// The use is kept by triggers, a person's and a group's alike, so that a quota is a few rows, however many belong to a
// group. $2 is an upload of the person $1 that does not count.
const (
	beside     = `coalesce((SELECT t.position FROM uploads t WHERE t.id = $2 AND t.owner = $1), 0)`
	groupBound = `SELECT g.id, g.name, q.grp IS NOT NULL, q.bytes, q.files, g.bytes, g.files, g.uploading`
)

func (s quotas) Bounds(ctx context.Context, person vault.PersonID, upload stone.FileID) ([]vault.Bound, error) {
	bounds, err := all(ctx, s.tx, scanBound, `SELECT '', '', q.person IS NOT NULL, q.bytes, q.files, u.bytes, u.files, u.uploading - `+beside+`
		FROM usage u LEFT JOIN quotas q ON q.person = u.person WHERE u.person = $1
		UNION ALL `+groupBound+` - `+beside+` FROM group_members m JOIN quotas q ON q.grp = m.grp JOIN groups g ON g.id = m.grp
			WHERE m.person = $1 AND m.member = 1`, string(person), upload.String())
	if err == nil && (len(bounds) == 0 || bounds[0].Group != "") {
		return nil, vault.ErrNotFound
	}
	return bounds, err
}

func (s quotas) OfGroup(ctx context.Context, id vault.GroupID) (vault.Bound, error) {
	return get(ctx, s.tx, vault.ErrNotFound, scanBound,
		groupBound+` FROM groups g LEFT JOIN quotas q ON q.grp = g.id WHERE g.id = $1`, string(id))
}

func (s quotas) SetPerson(ctx context.Context, id vault.PersonID, l vault.Limits) error {
	if err := checkLimits(l); err != nil {
		return err
	}
	return s.tx.insert(ctx, vault.ErrNotFound, `INSERT INTO quotas (person, bytes, files) VALUES ($1, $2, $3)
		ON CONFLICT (person) DO UPDATE SET bytes = excluded.bytes, files = excluded.files`,
		string(id), orNull(l.Bytes == vault.NoLimit, l.Bytes), orNull(l.Files == vault.NoLimit, l.Files))
}

func (s quotas) SetGroup(ctx context.Context, id vault.GroupID, l vault.Limits) error {
	if err := checkLimits(l); err != nil {
		return err
	}
	return s.tx.insert(ctx, vault.ErrNotFound, `INSERT INTO quotas (grp, bytes, files) VALUES ($1, $2, $3)
		ON CONFLICT (grp) DO UPDATE SET bytes = excluded.bytes, files = excluded.files`,
		string(id), orNull(l.Bytes == vault.NoLimit, l.Bytes), orNull(l.Files == vault.NoLimit, l.Files))
}

func (s quotas) UnsetPerson(ctx context.Context, id vault.PersonID) error {
	_, err := s.tx.exec(ctx, `DELETE FROM quotas WHERE person = $1`, string(id))
	return err
}

func checkLimits(l vault.Limits) error {
	return check("quotas", rule{"bytes", l.Bytes >= vault.NoLimit}, rule{"files", l.Files >= vault.NoLimit})
}

func scanBound(row scanner) (b vault.Bound, err error) {
	var bytes, files sql.NullInt64
	if err := row.Scan(&b.Group, &b.Name, &b.Set, &bytes, &files, &b.Used.Bytes, &b.Used.Files, &b.Used.Uploading); err != nil {
		return vault.Bound{}, err
	}
	b.Limits = vault.Limits{Bytes: vault.NoLimit, Files: vault.NoLimit}
	if bytes.Valid {
		b.Limits.Bytes = bytes.Int64
	}
	if files.Valid {
		b.Limits.Files = files.Int64
	}
	return b, stored(check("quotas", rule{"bytes", b.Limits.Bytes >= vault.NoLimit}, rule{"files", b.Limits.Files >= vault.NoLimit},
		rule{"usage", b.Used.Bytes >= 0 && b.Used.Files >= 0 && b.Used.Uploading >= 0}))
}
