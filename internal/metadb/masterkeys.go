package metadb

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"stonevault/internal/vault"
)

type masterKeys struct{ tx *Tx }

const masterKeyColumns = `number, check_value, tag, wrapped, created_at, used_at, retired_at, closed_at, destroyed_at`

// tagSize is how many bytes of a sealed value tell its master key.
const tagSize = 8

// sealedColumn says where the values of a place are.
type sealedColumn struct {
	column string
	of     []string // what a value's context is made of; the first is the row's key
	number bool     // the key is a number
	where  string   // which rows have a value
}

var sealedColumns = map[vault.SealedPlace]sealedColumn{
	vault.SealedSeeds:     {column: "wrapped_seeds", of: []string{"id", "kind", "version"}, where: `wrapped_seeds IS NOT NULL`},
	vault.SealedUploads:   {column: "sealed_key", of: []string{"id"}},
	vault.SealedTokenKeys: {column: "sealed", of: []string{"id"}},
	vault.SealedFactors:   {column: "sealed", of: []string{"person"}},
	vault.SealedWebhooks:  {column: "secret", of: []string{"id"}},
	vault.SealedFormers:   {column: "secret", of: []string{"id", "webhook"}, number: true},
	vault.SealedLogs:      {column: "sealed_seed", of: []string{"id", "origin"}, number: true},
	vault.SealedLogKeys:   {column: "sealed", of: []string{"number", "person"}, number: true, where: `person NOT LIKE '` + erasedPrefix + `%'`},
	vault.SealedPool:      {column: "sealed", of: []string{"id", "master", "slave"}},
	vault.SealedWaiting:   {column: "sealed", of: []string{"number", "id", "master", "slave"}, number: true},
	vault.SealedSecrets:   {column: "sealed", of: []string{"session", "one", "other"}},
}

// sealedIn is the column of a place, with the condition of its rows.
func sealedIn(place vault.SealedPlace) (c sealedColumn, err error) {
	c, ok := sealedColumns[place]
	if !ok {
		return c, fmt.Errorf("metadb: nothing is sealed in %q", string(place))
	}
	if c.where == "" {
		c.where = `1 = 1`
	}
	return c, nil
}

// rowKey is a row's key as the column has it. The empty text is before all of them.
func (c sealedColumn) rowKey(text string) (any, error) {
	if !c.number {
		return text, nil
	}
	if text == "" {
		return int64(0), nil
	}
	return strconv.ParseInt(text, 10, 64)
}

func (s masterKeys) Insert(ctx context.Context, m vault.MasterVersion) error {
	if err := checkMaster(m); err != nil {
		return err
	}
	return s.tx.insert(ctx, vault.ErrNotFound,
		`INSERT INTO master_keys (`+masterKeyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, masterValues(m)...)
}

func (s masterKeys) Update(ctx context.Context, m vault.MasterVersion) error {
	if err := checkMaster(m); err != nil {
		return err
	}
	return s.tx.change(ctx, vault.ErrNotFound,
		`UPDATE master_keys SET check_value = $2, tag = $3, wrapped = $4, created_at = $5, used_at = $6, retired_at = $7, closed_at = $8,
			destroyed_at = $9 WHERE number = $1`, masterValues(m)...)
}

func (s masterKeys) Withdraw(ctx context.Context, number int64) error {
	return s.tx.change(ctx, vault.ErrConflict, `DELETE FROM master_keys WHERE number = $1 AND used_at IS NULL`, number)
}

func (s masterKeys) All(ctx context.Context) ([]vault.MasterVersion, error) {
	return all(ctx, s.tx, scanMaster, `SELECT `+masterKeyColumns+` FROM master_keys ORDER BY number`)
}

func (s masterKeys) Beside(ctx context.Context, place vault.SealedPlace, tag []byte, after string, limit int) ([]vault.SealedValue, error) {
	c, err := sealedIn(place)
	if err != nil {
		return nil, err
	}
	from, err := c.rowKey(after)
	if err != nil {
		return nil, err
	}
	scan := func(row scanner) (vault.SealedValue, error) {
		v := vault.SealedValue{Place: place, Of: make([]string, len(c.of))}
		into := make([]any, 0, len(c.of)+1)
		for i := range v.Of {
			into = append(into, &v.Of[i])
		}
		return v, row.Scan(append(into, &v.Value)...)
	}
	key := c.of[0]
	return all(ctx, s.tx, scan, `SELECT `+strings.Join(c.of, ", ")+`, `+c.column+` FROM `+string(place)+`
		WHERE `+c.where+` AND `+key+` > $1 AND substr(`+c.column+`, 1, 8) <> $2 ORDER BY `+key+` LIMIT $3`, from, tag, int64(limit))
}

func (s masterKeys) Reseal(ctx context.Context, v vault.SealedValue, value []byte) error {
	c, err := sealedIn(v.Place)
	if err != nil {
		return err
	}
	if len(v.Of) != len(c.of) || len(value) == 0 {
		return fmt.Errorf("metadb: this is no value of %s", v.Place)
	}
	key, err := c.rowKey(v.Of[0])
	if err != nil {
		return err
	}
	s.tx.session.forgetKeys()
	return s.tx.change(ctx, vault.ErrConflict, `UPDATE `+string(v.Place)+` SET `+c.column+` = $1 WHERE `+c.of[0]+` = $2 AND `+c.column+` = $3`,
		value, key, v.Value)
}

func (s masterKeys) Count(ctx context.Context, place vault.SealedPlace, tag []byte) (all, tagged int64, err error) {
	c, err := sealedIn(place)
	if err != nil {
		return 0, 0, err
	}
	counts, err := get(ctx, s.tx, ErrCorrupt, func(row scanner) (n [2]int64, err error) { return n, row.Scan(&n[0], &n[1]) },
		`SELECT count(*), count(*) FILTER (WHERE substr(`+c.column+`, 1, 8) = $1) FROM `+string(place)+` WHERE `+c.where, tag)
	return counts[0], counts[1], err
}

// keepSealed refuses what is sealed under a master key that nothing may be sealed under any more: whoever rotates it
// has looked at all there was.
func (tx *Tx) keepSealed(ctx context.Context, value []byte) error {
	if len(value) < tagSize {
		return nil
	}
	closed, err := get(ctx, tx, ErrCorrupt, scanInt, `SELECT count(*) FROM master_keys WHERE tag = $1 AND closed_at IS NOT NULL`, value[:tagSize])
	if err == nil && closed > 0 {
		tx.failed = vault.ErrMasterKeyClosed // also where the function drops the error
		return tx.failed
	}
	return err
}

func masterValues(m vault.MasterVersion) []any {
	return []any{m.Number, m.Check, m.Tag, orNull(len(m.Wrapped) == 0, m.Wrapped), milli(m.CreatedAt),
		orNull(m.UsedAt.IsZero(), milli(m.UsedAt)), orNull(m.RetiredAt.IsZero(), milli(m.RetiredAt)),
		orNull(m.ClosedAt.IsZero(), milli(m.ClosedAt)), orNull(m.DestroyedAt.IsZero(), milli(m.DestroyedAt))}
}

func scanMaster(row scanner) (m vault.MasterVersion, err error) {
	var created int64
	var used, retired, closed, destroyed sql.NullInt64
	if err := row.Scan(&m.Number, &m.Check, &m.Tag, &m.Wrapped, &created, &used, &retired, &closed, &destroyed); err != nil {
		return vault.MasterVersion{}, err
	}
	m.CreatedAt, m.UsedAt, m.RetiredAt = moment(created), momentOrZero(used), momentOrZero(retired)
	m.ClosedAt, m.DestroyedAt = momentOrZero(closed), momentOrZero(destroyed)
	return m, stored(checkMaster(m))
}

func checkMaster(m vault.MasterVersion) error {
	retired := !m.RetiredAt.IsZero()
	return check("master_keys",
		rule{"number", m.Number > 0},
		rule{"check_value", len(m.Check) == 16},
		rule{"tag", len(m.Tag) == tagSize && bytes.HasPrefix(m.Check, m.Tag)},
		rule{"wrapped", (len(m.Wrapped) > 0) == (retired && m.DestroyedAt.IsZero())},
		rule{"created_at", isTime(m.CreatedAt)},
		rule{"used_at", isTime(m.UsedAt)},
		rule{"retired_at", isTime(m.RetiredAt) && (!retired || !m.UsedAt.IsZero())},
		rule{"closed_at", isTime(m.ClosedAt) && (m.ClosedAt.IsZero() || retired)},
		rule{"destroyed_at", isTime(m.DestroyedAt) && (m.DestroyedAt.IsZero() || !m.ClosedAt.IsZero())},
	)
}
