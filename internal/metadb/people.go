package metadb

import (
	"context"
	"fmt"

	"stonevault/internal/vault"
)

type people struct{ tx *Tx }

const peopleColumns = `id, name, name_key, role, password_hash, epoch, active, created_at, updated_at, display_name`

func (s people) Insert(ctx context.Context, p vault.Person) error {
	if err := checkPerson(p); err != nil {
		return err
	}
	return s.tx.insert(ctx, vault.ErrNotFound,
		`INSERT INTO people (`+peopleColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, personValues(p)...)
}

func (s people) Update(ctx context.Context, p vault.Person) error {
	if err := checkPerson(p); err != nil {
		return err
	}
	return s.tx.change(ctx, vault.ErrNotFound,
		`UPDATE people SET name = $2, name_key = $3, role = $4, password_hash = $5, epoch = $6, active = $7,
			created_at = $8, updated_at = $9, display_name = $10 WHERE id = $1`, personValues(p)...)
}

func (s people) ByID(ctx context.Context, id vault.PersonID) (vault.Person, error) {
	return get(ctx, s.tx, vault.ErrNotFound, scanPerson,
		`SELECT `+peopleColumns+` FROM people WHERE id = $1`, string(id))
}

func (s people) ByNameKey(ctx context.Context, key string) (vault.Person, error) {
	return get(ctx, s.tx, vault.ErrNotFound, scanPerson,
		`SELECT `+peopleColumns+` FROM people WHERE name_key = $1`, key)
}

func (s people) Count(ctx context.Context, role vault.Role) (int, error) {
	if !roles[role] {
		return 0, fmt.Errorf("metadb: role %q is not known", role)
	}
	n, err := get(ctx, s.tx, vault.ErrNotFound, scanInt,
		`SELECT count(*) FROM people WHERE role = $1 AND active = 1`, string(role))
	return int(n), err
}

func (s people) Erase(ctx context.Context, id vault.PersonID) error {
	for _, text := range []string{
		`DELETE FROM sessions WHERE person = $1`, // with their tokens
		`DELETE FROM identities WHERE kind = 'person' AND coalesce(person, grp, '') = $1`,
		`DELETE FROM qkd_pool WHERE master = $1`,
		`DELETE FROM qkd_pool WHERE slave = $1`,
		`DELETE FROM qkd_waiting WHERE slave = $1`,
		`DELETE FROM qkd_delivered WHERE master = $1`, // with what waits of theirs
	} {
		if _, err := s.tx.exec(ctx, text, string(id)); err != nil {
			return err
		}
	}
	return s.tx.change(ctx, vault.ErrNotFound, `DELETE FROM people WHERE id = $1`, string(id))
}

func personValues(p vault.Person) []any {
	return []any{string(p.ID), p.Name, p.NameKey, string(p.Role), p.PasswordHash, p.Epoch, flag(p.Active),
		milli(p.CreatedAt), milli(p.UpdatedAt), p.DisplayName}
}

// personRow receives peopleColumns.
type personRow struct {
	person                   vault.Person
	active, created, updated int64
}

func (r *personRow) fields() []any {
	p := &r.person
	return []any{&p.ID, &p.Name, &p.NameKey, &p.Role, &p.PasswordHash, &p.Epoch, &r.active, &r.created, &r.updated, &p.DisplayName}
}

func (r *personRow) value() (vault.Person, error) {
	p := r.person
	p.Active, p.CreatedAt, p.UpdatedAt = r.active == 1, moment(r.created), moment(r.updated)
	err := checkPerson(p)
	if err == nil {
		err = check("people", rule{"active", r.active == 0 || r.active == 1})
	}
	return p, stored(err)
}

func scanPerson(row scanner) (vault.Person, error) {
	var r personRow
	if err := row.Scan(r.fields()...); err != nil {
		return vault.Person{}, err
	}
	return r.value()
}
