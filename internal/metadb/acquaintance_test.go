package metadb

import (
	"fmt"
	"path/filepath"
	"testing"

	"stonevault/internal/access"
	"stonevault/internal/metadb/metadbtest"
	"stonevault/internal/vault"
)

// TestAcquaintance: Ana 1 belongs to the first group and manages the second; nobody else's groups count.
func TestAcquaintance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	db := open(t, path)
	id := metadbtest.ID[string]
	if err := db.Update(t.Context(), func(tx vault.Tx) error {
		for i := range 8 {
			if err := tx.People().Insert(t.Context(), metadbtest.Person(i+1)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	raw := rawDB(t, path)
	for g := range 3 {
		if _, err := raw.Exec(`INSERT INTO groups (id, name, name_key, created_at, updated_at) VALUES ($1, $2, $2, 0, 0)`, id(g+1), fmt.Sprint(g)); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range []struct{ group, person, member, manager int }{
		{1, 1, 1, 0}, {1, 2, 1, 0}, {1, 3, 0, 1}, // 3 manages it and does not belong to it
		{2, 1, 0, 1}, {2, 4, 1, 0}, {2, 5, 0, 1}, {2, 6, 1, 0}, {1, 6, 1, 0},
		{3, 7, 1, 1}, {3, 4, 1, 0},
	} {
		if _, err := raw.Exec(`INSERT INTO group_members (grp, person, member, manager, since) VALUES ($1, $2, $3, $4, 0)`,
			id(m.group), id(m.person), m.member, m.manager); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		asker, person int
		want          access.Acquaintance
	}{
		{1, 1, access.Acquaintance{Same: true}},
		{1, 2, access.Acquaintance{Together: true}},
		{2, 1, access.Acquaintance{Together: true}},
		{1, 3, access.Acquaintance{}},
		{3, 1, access.Acquaintance{Manages: true}},
		{1, 4, access.Acquaintance{Manages: true}},
		{4, 1, access.Acquaintance{}},
		{1, 5, access.Acquaintance{}}, // a manager of the same group, to whom it does not belong either
		{1, 6, access.Acquaintance{Manages: true, Together: true}},
		{7, 4, access.Acquaintance{Manages: true, Together: true}},
		{1, 7, access.Acquaintance{}},
		{1, 8, access.Acquaintance{}},
		{8, 1, access.Acquaintance{}},
	} {
		err := db.ReadTx(t.Context(), func(tx *Tx) error {
			got, err := tx.Acquaintance(t.Context(), id(row.asker), id(row.person))
			if got != row.want {
				t.Errorf("%d and %d: %+v, want %+v", row.asker, row.person, got, row.want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
