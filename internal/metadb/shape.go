package metadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
)

// notCopied are the tables that are no part of a vault: what its servers have there while they run, and what a
// database says about itself.
var notCopied = []string{"servers", "leases", "turns", "schema_writer", "goose_db_version"}

// shape is the schema of this program as its migrations make it: in an SQLite database in memory, whose catalog says
// of every table what both databases have of it.
type shape struct {
	tables   []table // each behind those that it refers to
	triggers []trigger
}

type table struct {
	name    string
	columns []column
	key     []column // orders the rows; texts of it that are NULL count as ''
	refers  []string
	counts  bool // its key is never given twice
}

type column struct {
	name, kind string
	nullable   bool
}

type trigger struct{ name, table, text string }

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (c column) quoted() string { return quote(c.name) }

func (c column) ordered() string {
	if c.nullable {
		return "coalesce(" + quote(c.name) + ", '')"
	}
	return quote(c.name)
}

func readShape(ctx context.Context) (*shape, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection would have a memory of its own
	p, err := goose.NewProvider(goose.DialectSQLite3, db, sqliteMigrations(), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, err
	}
	if _, err := p.Up(ctx); err != nil {
		return nil, err
	}
	return shapeOf(ctx, db)
}

func shapeOf(ctx context.Context, db *sql.DB) (*shape, error) {
	s := &shape{}
	err := rowsFrom(ctx, db, func(row scanner) error {
		var kind, name, of, text string
		if err := row.Scan(&kind, &name, &of, &text); err != nil {
			return err
		}
		switch {
		case kind == "trigger":
			s.triggers = append(s.triggers, trigger{name, of, text})
		case !slices.Contains(notCopied, name):
			s.tables = append(s.tables, table{name: name, counts: strings.Contains(text, "AUTOINCREMENT")})
		}
		return nil
	}, `SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type IN ('table', 'trigger') AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY rowid`)
	for i := range s.tables {
		err = errors.Join(err, s.tables[i].read(ctx, db))
	}
	if err != nil {
		return nil, err
	}
	s.tables, err = inOrder(s.tables)
	return s, err
}

func (t *table) read(ctx context.Context, db *sql.DB) error {
	inKey := make(map[int64]column)
	err := rowsFrom(ctx, db, func(row scanner) error {
		var c column
		var required bool
		var place int64
		if err := row.Scan(&c.name, &c.kind, &required, &place); err != nil {
			return err
		}
		if !slices.Contains([]string{"INTEGER", "TEXT", "BLOB"}, c.kind) {
			return fmt.Errorf("column %s of %s is of the type %s, which cannot be copied", c.name, t.name, c.kind)
		}
		c.nullable = !required
		if place > 0 {
			c.nullable = false
			inKey[place] = c
		}
		t.columns = append(t.columns, c)
		return nil
	}, `SELECT name, type, "notnull", pk FROM pragma_table_info($1) ORDER BY cid`, t.name)
	if err != nil {
		return err
	}
	for n := int64(1); n <= int64(len(inKey)); n++ {
		t.key = append(t.key, inKey[n])
	}
	if t.key == nil {
		err = rowsFrom(ctx, db, func(row scanner) error {
			var name string
			if err := row.Scan(&name); err != nil {
				return err
			}
			i := slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
			t.key = append(t.key, t.columns[i])
			return nil
		}, `SELECT DISTINCT i.name FROM pragma_index_list($1) l, pragma_index_info(l.name) i WHERE l.origin = 'u' ORDER BY i.name`, t.name)
		if err != nil {
			return err
		}
	}
	for _, c := range t.key {
		if c.nullable && c.kind != "TEXT" {
			return fmt.Errorf("column %s, by which %s is ordered, can be NULL", c.name, t.name)
		}
	}
	if t.key == nil {
		return fmt.Errorf("%s has no key, by which its rows could be ordered", t.name)
	}
	return rowsFrom(ctx, db, func(row scanner) error {
		var to string
		err := row.Scan(&to)
		t.refers = append(t.refers, to)
		return err
	}, `SELECT DISTINCT "table" FROM pragma_foreign_key_list($1) WHERE "table" <> $1`, t.name)
}

// inOrder puts each table behind those that it refers to.
func inOrder(tables []table) (ordered []table, err error) {
	var placed []string
	for len(tables) > 0 {
		i := slices.IndexFunc(tables, func(t table) bool {
			return !slices.ContainsFunc(t.refers, func(to string) bool { return !slices.Contains(placed, to) })
		})
		if i < 0 {
			return nil, fmt.Errorf("%s and other tables refer to each other, or to one that is not copied", tables[0].name)
		}
		placed = append(placed, tables[i].name)
		ordered = append(ordered, tables[i])
		tables = slices.Delete(tables, i, i+1)
	}
	return ordered, nil
}

func rowsFrom(ctx context.Context, db *sql.DB, fn func(scanner) error, query string, args ...any) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// setTriggers wakes the triggers of a database, or has them sleep. SQLite's have to go for that, and come again.
func (s *shape) setTriggers(ctx context.Context, tx *Tx, awake bool) error {
	var statements []string
	if tx.dialect.triggers != "" {
		for i := range s.tables {
			state := "DISABLE"
			if awake {
				state = "ENABLE"
			}
			statements = append(statements, fmt.Sprintf(tx.dialect.triggers, quote(s.tables[i].name), state))
		}
	} else {
		for _, t := range s.triggers {
			statements = append(statements, `DROP TRIGGER IF EXISTS `+quote(t.name))
			if awake {
				statements = append(statements, t.text)
			}
		}
	}
	for _, text := range statements {
		if _, err := tx.exec(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// goOnCounting has keys that the database gives out go on behind those that the source has given.
func (c *Copy) goOnCounting(ctx context.Context) error {
	for i := range c.shape.tables {
		t := &c.shape.tables[i]
		if len(t.key) != 1 || t.key[0].kind != "INTEGER" {
			continue
		}
		var given int64
		err := c.from.ReadTx(ctx, func(tx *Tx) (err error) {
			given, err = t.given(ctx, tx)
			return err
		})
		if err == nil {
			err = c.to.WriteTx(ctx, func(tx *Tx) error { return t.goOn(ctx, tx, given) })
		}
		if err != nil {
			return fmt.Errorf("going on with the keys of %s: %w", t.name, err)
		}
	}
	return nil
}

// sequence is the one of PostgreSQL that gives out the keys of a table, or "".
func (t *table) sequence(ctx context.Context, tx *Tx) (string, error) {
	return get(ctx, tx, ErrCorrupt, func(row scanner) (s string, err error) { return s, row.Scan(&s) },
		`SELECT coalesce(pg_get_serial_sequence($1, $2), '')`, quote(t.name), t.key[0].name)
}

// given is the highest key that was given out.
func (t *table) given(ctx context.Context, tx *Tx) (n int64, err error) {
	if n, err = get(ctx, tx, ErrCorrupt, scanInt, `SELECT coalesce(max(`+t.key[0].quoted()+`), 0) FROM `+quote(t.name)); err != nil {
		return 0, err
	}
	query := ""
	if tx.dialect.triggers != "" {
		name, err := t.sequence(ctx, tx)
		if err != nil || name == "" {
			return n, err
		}
		query = `SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM ` + name
	} else if t.counts {
		query = `SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = '` + t.name + `'`
	} else {
		return n, nil
	}
	last, err := get(ctx, tx, ErrCorrupt, scanInt, query)
	return max(n, last), err
}

func (t *table) goOn(ctx context.Context, tx *Tx, given int64) error {
	if given == 0 {
		return nil
	}
	if tx.dialect.triggers != "" {
		name, err := t.sequence(ctx, tx)
		if err != nil || name == "" {
			return err
		}
		_, err = get(ctx, tx, ErrCorrupt, scanInt, `SELECT setval($1::regclass, $2::bigint)`, name, given)
		return err
	}
	if !t.counts {
		return nil
	}
	if _, err := tx.exec(ctx, `DELETE FROM sqlite_sequence WHERE name = $1`, t.name); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)`, t.name, given)
	return err
}
