package metadb

import (
	"context"

	"stonevault/internal/access"
	"stonevault/internal/auth"
)

// Acquaintance tells what an asker and another person have to do with each other. Whether there are such people, and
// what their roles make of it, is for the caller to see.
func (tx *Tx) Acquaintance(ctx context.Context, asker, person string) (access.Acquaintance, error) {
	if asker == person {
		return access.Acquaintance{Same: true}, nil
	}
	return get(ctx, tx, auth.ErrNotFound, func(row scanner) (a access.Acquaintance, err error) {
		err = row.Scan(&a.Manages, &a.Together)
		return a, err
	}, `SELECT
		EXISTS (SELECT 1 FROM group_members other JOIN group_members own ON own.grp = other.grp AND own.person = $1
			WHERE other.person = $2 AND other.member = 1 AND own.manager = 1),
		EXISTS (SELECT 1 FROM group_members other JOIN group_members own ON own.grp = other.grp AND own.person = $1
			WHERE other.person = $2 AND other.member = 1 AND own.member = 1)`, asker, person)
}
