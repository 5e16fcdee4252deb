package metadb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"stonevault/internal/vault"
)

const (
	// copyPage is how many rows one query reads, and copyRows and copyBytes how many one commit writes at most, but for
	// a row that is longer.
	copyPage  = 500
	copyRows  = 100
	copyBytes = 1 << 20
)

// Copy brings all rows of a vault from one database to another of either kind. What belongs to the servers that run is
// not a vault's. Both have to be at the schema of this program, and nobody else may use the target.
//
// Rows go in the order of references and of their keys, so that what the target has is a beginning of it, and Rows
// goes on behind that, whenever it was stopped. Triggers sleep from Begin to Finish: the sums that they keep are rows
// too.
type Copy struct {
	from, to *DB
	shape    *shape
}

// NewCopy changes nothing.
func NewCopy(ctx context.Context, from, to *DB) (*Copy, error) {
	s, err := readShape(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading this program's schema: %w", err)
	}
	return &Copy{from, to, s}, nil
}

// Digest is what a table holds: how many rows, and a SHA-256 over all of their values in the order of their keys.
type Digest struct {
	Table  string
	Rows   int64
	SHA256 [sha256.Size]byte
}

// Empty tells whether the target has no row of a vault.
func (c *Copy) Empty(ctx context.Context) (empty bool, err error) {
	err = c.to.ReadTx(ctx, func(tx *Tx) error {
		empty = true
		for i := range c.shape.tables {
			n, err := get(ctx, tx, ErrCorrupt, scanInt, `SELECT count(*) FROM (SELECT 1 FROM `+c.shape.tables[i].from()+` LIMIT 1) AS found`)
			if err != nil {
				return err
			}
			empty = empty && n == 0
		}
		return nil
	})
	return empty, err
}

// Begin has the target's triggers sleep, and runs fn in the same transaction, which shall put vault.CopyMark there.
func (c *Copy) Begin(ctx context.Context, fn func(vault.Tx) error) error {
	return c.to.WriteTx(ctx, func(tx *Tx) error {
		if err := c.shape.setTriggers(ctx, tx, false); err != nil {
			return err
		}
		return fn(tx)
	})
}

// Finish wakes the triggers, and runs fn in the same transaction, which shall take vault.CopyMark away.
func (c *Copy) Finish(ctx context.Context, fn func(vault.Tx) error) error {
	if err := c.goOnCounting(ctx); err != nil {
		return err
	}
	return c.to.WriteTx(ctx, func(tx *Tx) error {
		if err := c.shape.setTriggers(ctx, tx, true); err != nil {
			return err
		}
		return fn(tx)
	})
}

// Rows copies what the target lacks, as one snapshot of the source has it. progress gets the number of rows of a table
// that were copied by this call.
func (c *Copy) Rows(ctx context.Context, progress func(table string, rows int64)) error {
	return c.from.ReadTx(ctx, func(source *Tx) error {
		for i := range c.shape.tables {
			t := &c.shape.tables[i]
			if err := c.rowsOf(ctx, source, t, progress); err != nil {
				return fmt.Errorf("copying the rows of %s: %w", t.name, err)
			}
		}
		return nil
	})
}

func (c *Copy) rowsOf(ctx context.Context, source *Tx, t *table, progress func(string, int64)) error {
	var after []any
	err := c.to.ReadTx(ctx, func(tx *Tx) (err error) {
		after, err = t.last(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	var batch [][]any
	size, total := 0, int64(0)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := c.to.WriteTx(ctx, func(tx *Tx) error { return t.insert(ctx, tx, batch) }); err != nil {
			return err
		}
		total += int64(len(batch))
		batch, size = nil, 0
		if progress != nil {
			progress(t.name, total)
		}
		return nil
	}
	if err := t.each(ctx, source, after, func(row []any) error {
		batch = append(batch, row)
		for _, v := range row {
			size += length(v)
		}
		if len(batch) < copyRows && size < copyBytes {
			return nil
		}
		return flush()
	}); err != nil {
		return err
	}
	return flush()
}

// Clear removes all rows of the target but vault.CopyMark, for a copy whose source has changed since it was begun.
func (c *Copy) Clear(ctx context.Context) error {
	return c.to.WriteTx(ctx, func(tx *Tx) error {
		for i := len(c.shape.tables) - 1; i >= 0; i-- {
			if _, err := tx.exec(ctx, `DELETE FROM `+c.shape.tables[i].from()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Digests reads both databases whole, in the same order of tables.
func (c *Copy) Digests(ctx context.Context) (from, to []Digest, err error) {
	if from, err = c.shape.digests(ctx, c.from); err == nil {
		to, err = c.shape.digests(ctx, c.to)
	}
	return from, to, err
}

func (s *shape) digests(ctx context.Context, db *DB) (list []Digest, err error) {
	err = db.ReadTx(ctx, func(tx *Tx) error {
		list = nil
		for i := range s.tables {
			t := &s.tables[i]
			d := Digest{Table: t.name}
			h := sha256.New()
			var b []byte
			if err := t.each(ctx, tx, nil, func(row []any) error {
				d.Rows++
				b = b[:0]
				for _, v := range row {
					b = appendValue(b, v)
				}
				h.Write(b)
				return nil
			}); err != nil {
				return fmt.Errorf("reading the rows of %s: %w", t.name, err)
			}
			h.Sum(d.SHA256[:0])
			list = append(list, d)
		}
		return nil
	})
	return list, err
}

// appendValue writes a value so that no two rows are written alike.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return binary.BigEndian.AppendUint64(append(b, 'i'), uint64(v))
	case string:
		return append(binary.BigEndian.AppendUint64(append(b, 't'), uint64(len(v))), v...)
	case []byte:
		return append(binary.BigEndian.AppendUint64(append(b, 'b'), uint64(len(v))), v...)
	}
	return append(b, 'n')
}

func length(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []byte:
		return len(v)
	}
	return 8
}

// from is the table without what is not the vault's, as a FROM clause ends.
func (t *table) from() string {
	if t.name == "settings" {
		return `"settings" WHERE name <> '` + vault.CopyMark + `'`
	}
	return quote(t.name) + ` WHERE 1 = 1`
}

// last is the key of the last row, or nil.
func (t *table) last(ctx context.Context, tx *Tx) ([]any, error) {
	var down []string
	for _, c := range t.key {
		down = append(down, c.ordered()+" DESC")
	}
	key, err := get(ctx, tx, vault.ErrNotFound, func(row scanner) ([]any, error) { return scanValues(row, t.key) },
		`SELECT `+join(t.key, column.ordered)+` FROM `+t.from()+` ORDER BY `+strings.Join(down, ", ")+` LIMIT 1`)
	if errors.Is(err, vault.ErrNotFound) {
		return nil, nil
	}
	return key, err
}

// each goes through the rows behind a key, in order.
func (t *table) each(ctx context.Context, tx *Tx, after []any, fn func(row []any) error) error {
	for {
		var last []any
		n := 0
		query := `SELECT ` + join(t.columns, column.quoted) + ` FROM ` + t.from()
		if after != nil {
			query += ` AND (` + join(t.key, column.ordered) + `) > (` + places(1, len(t.key)) + `)`
		}
		query += fmt.Sprintf(` ORDER BY %s LIMIT %d`, join(t.key, column.ordered), copyPage)
		err := rowsOf(ctx, tx, t.columns, query, after, func(row []any) error {
			last = row
			n++
			return fn(row)
		})
		if err != nil || n < copyPage {
			return err
		}
		if after, err = t.keyOf(last); err != nil {
			return err
		}
	}
}

// keyOf is a row's key as columns are ordered.
func (t *table) keyOf(row []any) ([]any, error) {
	key := make([]any, len(t.key))
	for i, k := range t.key {
		for j, c := range t.columns {
			if c.name == k.name {
				key[i] = row[j]
			}
		}
		if key[i] == nil {
			key[i] = ""
		}
	}
	return key, nil
}

// rowsOf is all for rows that are not kept.
func rowsOf(ctx context.Context, tx *Tx, columns []column, query string, args []any, fn func([]any) error) error {
	if err := tx.usable(ctx); err != nil {
		return err
	}
	ctx, cancel := tx.session.bounded(ctx)
	defer cancel()
	rows, err := tx.session.query(ctx, query, args...)
	if err != nil {
		return tx.fail(err)
	}
	defer rows.Close()
	for rows.Next() {
		values, err := scanValues(rows, columns)
		if err != nil {
			return tx.fail(err)
		}
		if err := fn(values); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return tx.fail(err)
	}
	return nil
}

// scanValues reads a row as int64, string, []byte and nil.
func scanValues(row scanner, columns []column) ([]any, error) {
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := row.Scan(into...); err != nil {
		return nil, err
	}
	for i, v := range values {
		fits := v == nil
		switch v := v.(type) {
		case int64:
			fits = columns[i].kind == "INTEGER"
		case string:
			fits = columns[i].kind == "TEXT"
		case []byte:
			fits = columns[i].kind == "BLOB"
			if v == nil { // a driver's empty one, which is not NULL
				values[i] = []byte{}
			} else {
				values[i] = bytes.Clone(v)
			}
		}
		if !fits {
			return nil, fmt.Errorf("%w: column %s holds a %T", ErrCorrupt, columns[i].name, v)
		}
	}
	return values, nil
}

func (t *table) insert(ctx context.Context, tx *Tx, rows [][]any) error {
	var b strings.Builder
	b.WriteString(`INSERT INTO ` + quote(t.name) + ` (` + join(t.columns, column.quoted) + `) VALUES `)
	args := make([]any, 0, len(rows)*len(t.columns))
	for i, row := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(" + places(len(args)+1, len(row)) + ")")
		args = append(args, row...)
	}
	_, err := tx.exec(ctx, b.String(), args...)
	return err
}

// places are the parameters of n values.
func places(first, n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("$%d", first+i))
	}
	return strings.Join(list, ", ")
}

func join(columns []column, text func(column) string) string {
	var list []string
	for _, c := range columns {
		list = append(list, text(c))
	}
	return strings.Join(list, ", ")
}
