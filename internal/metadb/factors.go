package metadb

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"time"

	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

func (tx *Tx) SetPassword(ctx context.Context, person, hash string, at time.Time) error {
	if err := check("people", rule{"password_hash", hash != ""}, rule{"updated_at", isTime(at)}); err != nil {
		return err
	}
	return tx.change(ctx, auth.ErrNotFound, `UPDATE people SET password_hash = $2, updated_at = $3 WHERE id = $1`, person, hash, milli(at))
}

func (tx *Tx) Factor(ctx context.Context, person string) (auth.Factor, error) {
	return get(ctx, tx, auth.ErrNotFound, scanFactor,
		`SELECT person, sealed, last_step, created_at, confirmed_at FROM totp WHERE person = $1`, person)
}

func (tx *Tx) PutFactor(ctx context.Context, f auth.Factor) error {
	if err := checkFactor(f); err != nil {
		return err
	}
	if err := tx.keepSealed(ctx, f.Sealed); err != nil {
		return err
	}
	return tx.insert(ctx, auth.ErrNotFound, `INSERT INTO totp (person, sealed, last_step, created_at, confirmed_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (person) DO UPDATE SET sealed = excluded.sealed, last_step = excluded.last_step,
			created_at = excluded.created_at, confirmed_at = excluded.confirmed_at`,
		f.Person, f.Sealed, f.LastStep, milli(f.CreatedAt), orNull(f.ConfirmedAt.IsZero(), milli(f.ConfirmedAt)))
}

func (tx *Tx) DeleteFactor(ctx context.Context, person string) error {
	return tx.change(ctx, auth.ErrNotFound, `DELETE FROM totp WHERE person = $1`, person)
}

func (tx *Tx) RecoveryCodes(ctx context.Context, person string) ([][]byte, error) {
	return all(ctx, tx, func(row scanner) (hash []byte, err error) {
		err = row.Scan(&hash)
		return hash, err
	}, `SELECT hash FROM recovery_codes WHERE person = $1 ORDER BY hash`, person)
}

func (tx *Tx) PutRecoveryCodes(ctx context.Context, person string, hashes [][]byte) error {
	if _, err := tx.exec(ctx, `DELETE FROM recovery_codes WHERE person = $1`, person); err != nil {
		return err
	}
	for _, hash := range hashes {
		if err := check("recovery_codes", rule{"hash", len(hash) == 32}); err != nil {
			return err
		}
		if err := tx.insert(ctx, auth.ErrNotFound, `INSERT INTO recovery_codes (person, hash) VALUES ($1, $2)`, person, hash); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) Failures(ctx context.Context, key []byte) (auth.Failures, error) {
	f, err := get(ctx, tx, auth.ErrNotFound, scanFailures, `SELECT tries, last_at FROM sign_in_failures WHERE key = $1`, key)
	if errors.Is(err, auth.ErrNotFound) {
		return auth.Failures{}, nil
	}
	return f, err
}

func (tx *Tx) PutFailures(ctx context.Context, key []byte, f auth.Failures) error {
	if f.Count == 0 {
		_, err := tx.exec(ctx, `DELETE FROM sign_in_failures WHERE key = $1`, key)
		return err
	}
	if err := check("sign_in_failures", rule{"key", len(key) == 32}, rule{"last_at", isTime(f.Last)}); err != nil {
		return err
	}
	return tx.insert(ctx, auth.ErrNotFound, `INSERT INTO sign_in_failures (key, tries, last_at) VALUES ($1, $2, $3)
		ON CONFLICT (key) DO UPDATE SET tries = excluded.tries, last_at = excluded.last_at`, key, int64(f.Count), milli(f.Last))
}

func (tx *Tx) DeleteFailures(ctx context.Context, before time.Time) error {
	_, err := tx.exec(ctx, `DELETE FROM sign_in_failures WHERE last_at < $1`, milli(before))
	return err
}

func (tx *Tx) Device(ctx context.Context, person string, hash []byte) (auth.Device, error) {
	return get(ctx, tx, auth.ErrNotFound, scanDevice,
		`SELECT person, hash, first_at, last_at FROM devices WHERE person = $1 AND hash = $2`, person, hash)
}

func (tx *Tx) PutDevice(ctx context.Context, d auth.Device) error {
	if err := checkDevice(d); err != nil {
		return err
	}
	if err := tx.insert(ctx, auth.ErrNotFound, `INSERT INTO devices (person, hash, first_at, last_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (person, hash) DO UPDATE SET last_at = excluded.last_at`, d.Person, d.Hash, milli(d.FirstAt), milli(d.LastAt)); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `DELETE FROM devices WHERE person = $1 AND hash IN (
		SELECT hash FROM devices WHERE person = $1 ORDER BY last_at DESC, hash LIMIT $3 OFFSET $2)`, d.Person, int64(auth.MaxDevices), int64(math.MaxInt64))
	return err
}

func (tx *Tx) DeleteDevices(ctx context.Context, before time.Time) error {
	_, err := tx.exec(ctx, `DELETE FROM devices WHERE last_at < $1`, milli(before))
	return err
}

func (tx *Tx) Setting(ctx context.Context, name string) ([]byte, error) {
	value, err := tx.Settings().Get(ctx, name)
	if errors.Is(err, vault.ErrNotFound) {
		return nil, auth.ErrNotFound
	}
	return value, err
}

func scanFactor(row scanner) (f auth.Factor, err error) {
	var created int64
	var confirmed sql.NullInt64
	if err := row.Scan(&f.Person, &f.Sealed, &f.LastStep, &created, &confirmed); err != nil {
		return auth.Factor{}, err
	}
	f.CreatedAt, f.ConfirmedAt = moment(created), momentOrZero(confirmed)
	return f, stored(checkFactor(f))
}

func checkFactor(f auth.Factor) error {
	return check("totp",
		rule{"person", isID(f.Person)},
		rule{"sealed", len(f.Sealed) > 0},
		rule{"last_step", f.LastStep >= 0},
		rule{"created_at", isTime(f.CreatedAt)},
		rule{"confirmed_at", isTime(f.ConfirmedAt)},
	)
}

func scanFailures(row scanner) (f auth.Failures, err error) {
	var tries, last int64
	if err := row.Scan(&tries, &last); err != nil {
		return auth.Failures{}, err
	}
	// More than fit are as many as can be: they must not become few.
	f.Count, f.Last = uint32(min(tries, 1<<32-1)), moment(last)
	return f, stored(check("sign_in_failures", rule{"tries", tries > 0}, rule{"last_at", isTime(f.Last)}))
}

func scanDevice(row scanner) (d auth.Device, err error) {
	var first, last int64
	if err := row.Scan(&d.Person, &d.Hash, &first, &last); err != nil {
		return auth.Device{}, err
	}
	d.FirstAt, d.LastAt = moment(first), moment(last)
	return d, stored(checkDevice(d))
}

func checkDevice(d auth.Device) error {
	return check("devices",
		rule{"person", isID(d.Person)},
		rule{"hash", len(d.Hash) == 32},
		rule{"first_at", isTime(d.FirstAt)},
		rule{"last_at", isTime(d.LastAt)},
	)
}
