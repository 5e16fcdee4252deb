package metadb

import (
	"context"
	"fmt"

	"stonevault/internal/vault"
)

type people struct{ tx *Tx }

const peopleColumns = `id, name, name_key, role, password_hash, epoch, active, created_at, updated_at`

func (s people) Insert(ctx context.Context, p vault.Person) error {
	if err := checkPerson(p); err != nil {
		return err
	}
	return s.tx.insert(ctx, vault.ErrNotFound,
		`INSERT INTO people (`+peopleColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		string(p.ID), p.Name, p.NameKey, string(p.Role), p.PasswordHash, p.Epoch, flag(p.Active),
		milli(p.CreatedAt), milli(p.UpdatedAt))
}

func (s people) Update(ctx context.Context, p vault.Person) error {
	if err := checkPerson(p); err != nil {
		return err
	}
	return s.tx.change(ctx, vault.ErrNotFound,
		`UPDATE people SET name = $2, name_key = $3, role = $4, password_hash = $5, epoch = $6, active = $7,
			created_at = $8, updated_at = $9 WHERE id = $1`,
		string(p.ID), p.Name, p.NameKey, string(p.Role), p.PasswordHash, p.Epoch, flag(p.Active),
		milli(p.CreatedAt), milli(p.UpdatedAt))
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
	} {
		if _, err := s.tx.exec(ctx, text, string(id)); err != nil {
			return err
		}
	}
	return s.tx.change(ctx, vault.ErrNotFound, `DELETE FROM people WHERE id = $1`, string(id))
}

func scanPerson(row scanner) (p vault.Person, err error) {
	var active, created, updated int64
	if err := row.Scan(&p.ID, &p.Name, &p.NameKey, &p.Role, &p.PasswordHash, &p.Epoch, &active, &created, &updated); err != nil {
		return vault.Person{}, err
	}
	p.Active, p.CreatedAt, p.UpdatedAt = active == 1, moment(created), moment(updated)
	err = checkPerson(p)
	if err == nil {
		err = check("people", rule{"active", active == 0 || active == 1})
	}
	return p, stored(err)
}
