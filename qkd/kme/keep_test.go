package kme_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"stonevault/internal/metadb/testdb"
	"stonevault/qkd"
	"stonevault/qkd/kme"
)

// dump is all that somebody has who copies the database: its files, and its rows.
func (h *house) dump() []byte {
	h.t.Helper()
	var all bytes.Buffer
	for _, end := range []string{"", "-wal"} {
		if !testdb.OnSQLite() {
			break
		}
		b, err := os.ReadFile(h.path + end)
		if err != nil {
			h.t.Fatal(err)
		}
		all.Write(b)
	}
	raw := h.raw()
	for _, table := range []string{"qkd_pool", "qkd_delivered", "qkd_waiting"} {
		rows, err := raw.Query(`SELECT * FROM ` + table)
		if err != nil {
			h.t.Fatal(err)
		}
		columns, _ := rows.Columns()
		for rows.Next() {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				h.t.Fatal(err)
			}
			fmt.Fprintf(&all, "%s %q\n", table, values)
		}
		if err := rows.Close(); err != nil {
			h.t.Fatal(err)
		}
	}
	return all.Bytes()
}

func (h *house) raw() *sql.DB {
	h.t.Helper()
	raw, err := testdb.Raw(h.path)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { raw.Close() })
	return raw
}

// TestAtRest: a copy of the database shows no bit of a key, in the pool, on its way, or delivered.
func TestAtRest(t *testing.T) {
	h := newHouse(t, nil)
	keys := h.take("a", "b", qkd.Request{Number: 3, Additional: []string{"c"}})
	h.fetch("b", "a", nil, keys...)
	h.fetch("c", "a", nil, keys[:1]...)
	dump := h.dump()
	if !bytes.Contains(dump, []byte(keys[0].ID.String())) || !bytes.Contains(dump, []byte("qkd_waiting")) {
		t.Fatal("the dump is none")
	}
	if len(h.maker.made) != 8 {
		t.Fatalf("%d keys were made", len(h.maker.made))
	}
	for i, key := range h.maker.made {
		for _, part := range [][]byte{key[:8], key[12:20], key[24:]} { // a part would be as bad
			digits := hex.EncodeToString(part)
			for _, form := range []string{string(part), digits, strings.ToUpper(digits), base64.StdEncoding.EncodeToString(part[:6])} {
				if bytes.Contains(dump, []byte(form)) {
					t.Errorf("key %d shows as %q", i, form)
				}
			}
		}
	}
}

// TestBound: who can write to the database cannot give a key to another SAE, or back into the pool.
func TestBound(t *testing.T) {
	h := newHouse(t, nil)
	key := h.take("a", "b", qkd.Request{})[0]
	raw := h.raw()
	for _, text := range []string{
		`UPDATE qkd_waiting SET slave = 'd'`, `UPDATE qkd_delivered SET slaves = '["b","d"]'`,
		`UPDATE qkd_pool SET slave = 'c'`,
	} {
		if _, err := raw.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	for what, err := range map[string]error{
		"of another slave": func() error { _, err := h.SAE("d").Fetch(ctx, "a", key.ID); return err }(),
		"of another pair":  func() error { _, err := h.SAE("a").Take(ctx, "c", qkd.Request{}); return err }(),
	} {
		if err == nil || errors.Is(err, qkd.ErrNotFound) || errors.Is(err, qkd.ErrNoKeys) {
			t.Errorf("a key %s: %v", what, err)
		}
	}
	if _, err := raw.Exec(`INSERT INTO qkd_pool SELECT '00000000-0000-4000-8000-000000000000', master, 'd', sealed, '', 0 FROM qkd_waiting`); err != nil {
		t.Fatal(err)
	}
	if _, err := h.SAE("a").Take(ctx, "d", qkd.Request{}); err == nil || errors.Is(err, qkd.ErrNoKeys) {
		t.Errorf("a key that was put back: %v", err)
	}
}

// faulty is a store whose next commit fails: with the change there, or without.
type faulty struct {
	kme.Store
	fail      bool
	persisted bool
}

var errFault = errors.New("the answer to the commit was lost")

func (f *faulty) UpdateQuantumKeys(ctx context.Context, fn func(kme.Tx) error) error {
	if !f.fail {
		return f.Store.UpdateQuantumKeys(ctx, fn)
	}
	f.fail = false
	err := f.Store.UpdateQuantumKeys(ctx, func(tx kme.Tx) error {
		if err := fn(tx); err != nil || f.persisted {
			return err
		}
		return errFault
	})
	if err == nil {
		err = errFault
	}
	return err
}

// TestFaults has the commits of a delivery fail: nobody gets a key beside the error, and whatever the commit has left,
// nobody gets it twice.
func TestFaults(t *testing.T) {
	for _, persisted := range []bool{false, true} {
		var store *faulty
		h := newHouse(t, func(c *kme.Config) {
			store = &faulty{Store: c.Store, persisted: persisted}
			c.Store = store
		})
		h.take("a", "b", qkd.Request{}) // fills the pool
		store.fail = true
		if keys, err := h.SAE("a").Take(ctx, "b", qkd.Request{}); !errors.Is(err, errFault) || keys != nil {
			t.Errorf("persisted %v: %v, %v", persisted, keys, err)
		}
		h.stored(map[bool]int{false: 7, true: 6}[persisted])
		key := h.take("a", "b", qkd.Request{})[0]
		store.fail = true
		h.fetch("b", "a", errFault, key)
		if persisted { // it is lost
			h.fetch("b", "a", qkd.ErrNotFound, key)
		} else {
			h.fetch("b", "a", nil, key)
			h.fetch("b", "a", qkd.ErrNotFound, key)
		}
		// What a session has made is there or not.
		store.fail = true
		if keys, err := h.SAE("b").Take(ctx, "a", qkd.Request{}); !errors.Is(err, errFault) || keys != nil {
			t.Errorf("persisted %v: %v, %v", persisted, keys, err)
		}
		h.fetch("a", "b", nil, h.take("b", "a", qkd.Request{})...)
	}
}

// TestInATransaction takes and fetches together with something else.
func TestInATransaction(t *testing.T) {
	h := newHouse(t, nil)
	pair := kme.Pair{Master: "a", Slave: "b"}
	var keys []qkd.Key
	take := func(after error) error {
		return h.db.UpdateQuantumKeys(ctx, func(tx kme.Tx) (err error) {
			if keys, err = h.TakeIn(ctx, tx, pair, qkd.Request{}); err != nil {
				return err
			}
			return after
		})
	}
	if err := take(nil); !errors.Is(err, kme.ErrShort) || !errors.Is(err, qkd.ErrNoKeys) || h.maker.sessions() != 0 {
		t.Errorf("of an empty pool: %v, %d sessions", err, h.maker.sessions())
	}
	h.take("a", "b", qkd.Request{})
	if err := take(errFault); !errors.Is(err, errFault) {
		t.Error(err)
	}
	h.stored(7)
	if err := take(nil); err != nil {
		t.Fatal(err)
	}
	h.stored(6)
	fetch := func(after error) error {
		return h.db.UpdateQuantumKeys(ctx, func(tx kme.Tx) error {
			got, err := h.FetchIn(ctx, tx, pair, keys[0].ID)
			if err == nil && !bytes.Equal(got[0].Secret, keys[0].Secret) {
				t.Error("it is another key")
			}
			return errors.Join(err, after)
		})
	}
	for _, want := range []error{errFault, nil} {
		if err := fetch(want); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if err := fetch(nil); !errors.Is(err, qkd.ErrNotFound) {
		t.Error(err)
	}
	if err := h.db.UpdateQuantumKeys(ctx, func(tx kme.Tx) error {
		_, err := h.TakeIn(ctx, tx, kme.Pair{Master: "a", Slave: "a"}, qkd.Request{})
		return err
	}); !errors.Is(err, qkd.ErrBadRequest) {
		t.Error(err)
	}
}
