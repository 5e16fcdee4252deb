package metadb

import (
	"context"

	"stonevault/internal/vault"
)

type settings struct{ tx *Tx }

func (s settings) Get(ctx context.Context, name string) ([]byte, error) {
	return get(ctx, s.tx, vault.ErrNotFound, func(row scanner) (value []byte, err error) {
		err = row.Scan(&value)
		return value, err
	}, `SELECT value FROM settings WHERE name = $1`, name)
}

func (s settings) Put(ctx context.Context, name string, value []byte) error {
	if err := check("settings", rule{"name", name != ""}); err != nil {
		return err
	}
	if value == nil {
		value = []byte{} // nil would be NULL
	}
	_, err := s.tx.exec(ctx,
		`INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
		name, value)
	return err
}

func (s settings) Delete(ctx context.Context, name string) error {
	_, err := s.tx.exec(ctx, `DELETE FROM settings WHERE name = $1`, name)
	return err
}
