package metadb

import (
	"context"
	"fmt"
	"strings"

	"stonevault/internal/vault"
)

type groups struct{ tx *Tx }

const (
	groupColumns  = `id, name, name_key, created_at, updated_at`
	memberColumns = `grp, person, member, manager, since`

	// groupEntry selects groups as the person $1 sees them.
	groupEntry = `SELECT g.id, g.name, g.name_key, g.created_at, g.updated_at,
		(SELECT coalesce(sum(n.member), 0) FROM group_members n WHERE n.grp = g.id),
		(SELECT coalesce(sum(n.manager), 0) FROM group_members n WHERE n.grp = g.id),
		coalesce(m.member, 0), coalesce(m.manager, 0)
		FROM groups g LEFT JOIN group_members m ON m.grp = g.id AND m.person = $1 `
)

func (s groups) Insert(ctx context.Context, g vault.Group) error {
	if err := checkGroup(g); err != nil {
		return err
	}
	return s.tx.insert(ctx, vault.ErrNotFound, `INSERT INTO groups (`+groupColumns+`) VALUES ($1, $2, $3, $4, $5)`,
		string(g.ID), g.Name, g.NameKey, milli(g.CreatedAt), milli(g.UpdatedAt))
}

func (s groups) Update(ctx context.Context, g vault.Group) error {
	if err := checkGroup(g); err != nil {
		return err
	}
	return s.tx.change(ctx, vault.ErrNotFound,
		`UPDATE groups SET name = $2, name_key = $3, created_at = $4, updated_at = $5 WHERE id = $1`,
		string(g.ID), g.Name, g.NameKey, milli(g.CreatedAt), milli(g.UpdatedAt))
}

func (s groups) Delete(ctx context.Context, id vault.GroupID) error {
	return s.tx.change(ctx, vault.ErrNotFound, `DELETE FROM groups WHERE id = $1`, string(id))
}

func (s groups) ByID(ctx context.Context, id vault.GroupID, by vault.PersonID) (vault.GroupEntry, error) {
	return get(ctx, s.tx, vault.ErrNotFound, scanGroupEntry, groupEntry+`WHERE g.id = $2`, string(by), string(id))
}

func (s groups) List(ctx context.Context, by vault.PersonID, scope vault.GroupScope, q vault.NamesQuery) ([]vault.GroupEntry, error) {
	condition := `WHERE m.member = 1`
	switch scope {
	case vault.GroupsOwn:
		condition = `WHERE m.person IS NOT NULL`
	case vault.GroupsAll:
		condition = `WHERE g.name_key > ''` // all, and read along the index
	}
	page, args, err := namesSQL(q, "g.name", "g.name_key", string(by))
	if err != nil {
		return nil, err
	}
	return all(ctx, s.tx, scanGroupEntry, groupEntry+condition+page, args...)
}

func (s groups) Members(ctx context.Context, id vault.GroupID, q vault.NamesQuery) ([]vault.MemberEntry, error) {
	page, args, err := namesSQL(q, "p.name", "p.name_key", string(id))
	if err != nil {
		return nil, err
	}
	return all(ctx, s.tx, func(row scanner) (e vault.MemberEntry, err error) {
		e.Membership, err = scanMembership(row, &e.Name)
		return e, err
	}, `SELECT m.grp, m.person, m.member, m.manager, m.since, p.name
		FROM group_members m JOIN people p ON p.id = m.person WHERE m.grp = $1`+page, args...)
}

func (s groups) Membership(ctx context.Context, id vault.GroupID, person vault.PersonID) (vault.Membership, error) {
	return get(ctx, s.tx, vault.ErrNotFound, func(row scanner) (vault.Membership, error) { return scanMembership(row) },
		`SELECT `+memberColumns+` FROM group_members WHERE grp = $1 AND person = $2`, string(id), string(person))
}

func (s groups) Put(ctx context.Context, m vault.Membership) error {
	if err := checkMembership(m); err != nil {
		return err
	}
	return s.tx.insert(ctx, vault.ErrNotFound,
		`INSERT INTO group_members (`+memberColumns+`) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (grp, person) DO UPDATE SET member = excluded.member, manager = excluded.manager, since = excluded.since`,
		string(m.Group), string(m.Person), flag(m.Member), flag(m.Manager), milli(m.Since))
}

func (s groups) Remove(ctx context.Context, id vault.GroupID, person vault.PersonID) error {
	return s.tx.change(ctx, vault.ErrNotFound,
		`DELETE FROM group_members WHERE grp = $1 AND person = $2`, string(id), string(person))
}

func (s groups) OfPerson(ctx context.Context, person vault.PersonID) ([]vault.InGroup, error) {
	return all(ctx, s.tx, func(row scanner) (g vault.InGroup, err error) {
		var member, manager int64
		if err := row.Scan(&g.Group, &g.Name, &member, &manager); err != nil {
			return vault.InGroup{}, err
		}
		g.Member, g.Manager = member == 1, manager == 1
		return g, nil
	}, `SELECT g.id, g.name, m.member, m.manager FROM group_members m JOIN groups g ON g.id = m.grp
		WHERE m.person = $1 ORDER BY g.name_key`, string(person))
}

func (s groups) OtherManagers(ctx context.Context, id vault.GroupID, beside vault.PersonID) (int, error) {
	n, err := get(ctx, s.tx, vault.ErrNotFound, scanInt,
		`SELECT count(*) FROM group_members m JOIN people p ON p.id = m.person
			WHERE m.grp = $1 AND m.person <> $2 AND m.manager = 1 AND p.active = 1 AND p.role <> 'user'`,
		string(id), string(beside))
	return int(n), err
}

func (s groups) Acquainted(ctx context.Context, one, other vault.PersonID) (manages, together bool, err error) {
	type pair struct{ manages, together int64 }
	p, err := get(ctx, s.tx, vault.ErrNotFound, func(row scanner) (p pair, err error) {
		err = row.Scan(&p.manages, &p.together)
		return p, err
	}, `SELECT coalesce(max(m.manager), 0), coalesce(max(m.member), 0) FROM group_members m
		JOIN group_members o ON o.grp = m.grp AND o.person = $2 AND o.member = 1 WHERE m.person = $1`,
		string(one), string(other))
	return p.manages == 1, p.together == 1, err
}

// namesSQL is the end of a statement that lists one page by name, behind a condition and the arguments before it.
func namesSQL(q vault.NamesQuery, name, key string, before ...any) (text string, args []any, err error) {
	switch {
	case q.Limit < 1:
		return "", nil, &vault.InvalidError{Field: "limit", Reason: "is less than 1"}
	case len(q.NameContains) > 255:
		return "", nil, &vault.InvalidError{Field: "name_contains", Reason: "is longer than 255 bytes"}
	}
	args = before
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	order := term{column: key, descending: q.Descending}
	var b strings.Builder
	if q.NameContains != "" {
		b.WriteString(` AND lower(` + name + `) LIKE ` + arg(containsPattern(q.NameContains)) + ` ESCAPE '!'`)
	}
	if q.After != "" {
		b.WriteString(` AND ` + key + order.beyond() + arg(q.After))
	}
	b.WriteString(` ORDER BY ` + key + order.direction() + ` LIMIT ` + arg(int64(q.Limit)))
	return b.String(), args, nil
}

func scanGroupEntry(row scanner) (e vault.GroupEntry, err error) {
	var created, updated, member, manager int64
	if err := row.Scan(&e.ID, &e.Name, &e.NameKey, &created, &updated, &e.Members, &e.Managers, &member, &manager); err != nil {
		return vault.GroupEntry{}, err
	}
	e.CreatedAt, e.UpdatedAt, e.Member, e.Manager = moment(created), moment(updated), member == 1, manager == 1
	return e, stored(checkGroup(e.Group))
}

func scanMembership(row scanner, more ...any) (m vault.Membership, err error) {
	var member, manager, since int64
	if err := row.Scan(append([]any{&m.Group, &m.Person, &member, &manager, &since}, more...)...); err != nil {
		return vault.Membership{}, err
	}
	m.Member, m.Manager, m.Since = member == 1, manager == 1, moment(since)
	return m, stored(checkMembership(m))
}
