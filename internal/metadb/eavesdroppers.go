package metadb

import (
	"context"

	"stonevault/internal/quantum"
	"stonevault/qkd/bb84"
)

const eavesdropperRows = `SELECT e.one, o.name, e.other, p.name, e.attack, e.share, coalesce(e.set_by, ''), coalesce(b.name, ''), e.set_at
	FROM qkd_eavesdroppers e JOIN people o ON o.id = e.one JOIN people p ON p.id = e.other LEFT JOIN people b ON b.id = e.set_by `

func (s quantumSessions) PutEavesdropper(ctx context.Context, e quantum.Eavesdropper) error {
	if err := checkEavesdropper(e); err != nil {
		return err
	}
	return s.tx.insert(ctx, quantum.ErrNotFound, `INSERT INTO qkd_eavesdroppers (one, other, attack, share, set_by, set_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (one, other) DO UPDATE SET attack = $3, share = $4, set_by = $5, set_at = $6`,
		e.People[0].ID, e.People[1].ID, string(e.Attack), e.Share, orNull(e.By.ID == "", e.By.ID), milli(e.Since))
}

func (s quantumSessions) DeleteEavesdropper(ctx context.Context, a, b string) error {
	pair := quantum.Between(a, b)
	return s.tx.change(ctx, quantum.ErrNotFound, `DELETE FROM qkd_eavesdroppers WHERE one = $1 AND other = $2`, pair[0], pair[1])
}

func (s quantumSessions) Eavesdropper(ctx context.Context, a, b string) (quantum.Eavesdropper, error) {
	pair := quantum.Between(a, b)
	return get(ctx, s.tx, quantum.ErrNotFound, scanEavesdropper, eavesdropperRows+`WHERE e.one = $1 AND e.other = $2`, pair[0], pair[1])
}

func (s quantumSessions) Eavesdroppers(ctx context.Context, q quantum.EavesdropperQuery) ([]quantum.Eavesdropper, error) {
	where, args := `WHERE (e.one, e.other) > ($1, $2)`, []any{q.After[0], q.After[1], int64(q.Limit)}
	if q.Person != "" {
		where, args = where+` AND (e.one = $4 OR e.other = $4)`, append(args, q.Person)
	}
	return all(ctx, s.tx, scanEavesdropper, eavesdropperRows+where+` ORDER BY e.one, e.other LIMIT $3`, args...)
}

func scanEavesdropper(row scanner) (e quantum.Eavesdropper, err error) {
	var at int64
	if err := row.Scan(&e.People[0].ID, &e.People[0].Name, &e.People[1].ID, &e.People[1].Name, &e.Attack, &e.Share, &e.By.ID, &e.By.Name, &at); err != nil {
		return quantum.Eavesdropper{}, err
	}
	e.Since = moment(at)
	return e, stored(checkEavesdropper(e))
}

func checkEavesdropper(e quantum.Eavesdropper) error {
	return check("qkd_eavesdroppers",
		rule{"other", e.People[0].ID < e.People[1].ID},
		rule{"attack", e.Attack == bb84.Intercept || e.Attack == bb84.Breidbart || e.Attack == bb84.Splitting},
		rule{"share", e.Share >= 1 && e.Share <= 1_000_000},
		rule{"set_at", isTime(e.Since)},
	)
}
