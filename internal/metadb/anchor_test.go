package metadb

import (
	"bytes"
	"context"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stonevault/internal/anchor/journal"
	"stonevault/internal/auditlog"
	"stonevault/internal/metadb/metadbtest"
	"stonevault/internal/vault"
)

// unrecorded is for tests in which no log was begun.
func unrecorded(context.Context, auditlog.Store, journal.Row) error { return nil }

func anAnchor() journal.Row {
	at := time.Date(2026, 11, 21, 8, 30, 0, 0, time.UTC)
	return journal.Row{
		Scope: journal.Scope{ChainID: 137, Contract: [20]byte{1}, Log: [32]byte{2}, Sender: [20]byte{3}},
		Nonce: 4, Previous: 10, Size: 20, Root: [32]byte{5}, State: journal.Planned, Changed: at, Planned: at,
	}
}

// moved plans a row and moves it through states.
func moved(t *testing.T, s journal.Store, r journal.Row, states ...journal.State) journal.Row {
	t.Helper()
	r, err := s.Plan(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range states {
		m := next(r, state)
		if err := s.Move(t.Context(), m); err != nil {
			t.Fatalf("%v to %v: %v", r.State, state, err)
		}
		r = m.To
	}
	return r
}

// next is a row's move, with what a row in the new state has.
func next(r journal.Row, state journal.State) journal.Move {
	from := r.State
	r.State, r.Hash, r.Raw = state, [32]byte{6}, []byte{7}
	if state == journal.Mined || state == journal.Final {
		r.Block, r.BlockHash = 8, [32]byte{9}
	}
	return journal.Move{From: from, To: r}
}

// TestFinalAnchor: what is recorded of a final row shares its fate, in both directions.
func TestFinalAnchor(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "vault.db"))
	owner := benchOwner(t, db)
	key := auditlog.Key{Number: 1, Person: string(owner), Sealed: []byte{1}} // stands for what is recorded
	refusal := errors.New("no room")
	var told []journal.Row
	fail := true
	s := db.Journal(func(ctx context.Context, store auditlog.Store, r journal.Row) error {
		told = append(told, r)
		if err := store.InsertKey(ctx, key); err != nil {
			return err
		}
		if fail {
			return refusal
		}
		return nil
	})
	recorded := func() (found int) {
		t.Helper()
		err := db.Audit().View(t.Context(), func(store auditlog.Store) error {
			keys, err := store.KeysOf(t.Context(), string(owner))
			found = len(keys)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	r := moved(t, s, anAnchor(), journal.Signed, journal.Sent, journal.Mined)
	if len(told) != 0 {
		t.Errorf("it was told of %v before any was final", told)
	}
	m := next(r, journal.Final)
	if err := s.Move(t.Context(), m); !errors.Is(err, refusal) {
		t.Errorf("a row whose event cannot be recorded: %v", err)
	}
	if rows, err := s.Unsettled(t.Context(), r.Scope); err != nil || len(rows) != 1 || rows[0].State != journal.Mined || recorded() != 0 {
		t.Errorf("afterwards: %+v, %v, %d recorded", rows, err, recorded())
	}
	fail = false
	second := r
	second.ID++ // is not there, so that the whole change fails after the event was recorded
	if err := s.Move(t.Context(), m, next(second, journal.Replaced)); !errors.Is(err, journal.ErrConflict) || recorded() != 0 {
		t.Errorf("beside a move that cannot be: %v, %d recorded", err, recorded())
	}
	told = nil
	if err := s.Move(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || told[0].ID != r.ID || told[0].Size != 20 || told[0].State != journal.Final || told[0].Block != 8 || recorded() != 1 {
		t.Errorf("it was told of %+v, and %d are recorded", told, recorded())
	}
	if err := db.Journal(nil).Move(t.Context(), next(moved(t, s, anAnchor(), journal.Signed), journal.Final)); err == nil || !strings.Contains(err.Error(), "for reading") {
		t.Errorf("a journal for reading: %v", err)
	}
}

// TestAnchorNumbers: what a chain may have and SQL has not is refused, and nothing of it is stored.
func TestAnchorNumbers(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "vault.db"))
	s := db.Journal(unrecorded)
	for column, change := range map[string]func(*journal.Row){
		"chain":      func(r *journal.Row) { r.Scope.ChainID = math.MaxInt64 + 1 },
		"nonce":      func(r *journal.Row) { r.Nonce = math.MaxUint64 },
		"size":       func(r *journal.Row) { r.Size = 1 << 48 },
		"planned_at": func(r *journal.Row) { r.Planned = r.Planned.AddDate(9000, 0, 0) },
	} {
		r := anAnchor()
		change(&r)
		if _, err := s.Plan(t.Context(), r); err == nil || !strings.Contains(err.Error(), "anchors."+column+" is out of range") {
			t.Errorf("%s: %v", column, err)
		}
	}
	r := moved(t, s, anAnchor(), journal.Signed, journal.Sent)
	for column, change := range map[string]func(*journal.Row){
		"block":      func(r *journal.Row) { r.Block = math.MaxInt64 + 1 },
		"hash":       func(r *journal.Row) { r.Raw = nil },
		"reason":     func(r *journal.Row) { r.Reason = "It is not abandoned." },
		"changed_at": func(r *journal.Row) { r.Changed = r.Changed.AddDate(9000, 0, 0) },
	} {
		m := next(r, journal.Mined)
		change(&m.To)
		if err := s.Move(t.Context(), m); err == nil || !strings.Contains(err.Error(), "anchors."+column+" is out of range") {
			t.Errorf("%s: %v", column, err)
		}
	}
	if rows, err := s.Unsettled(t.Context(), r.Scope); err != nil || len(rows) != 1 || rows[0].State != journal.Sent {
		t.Errorf("%+v, %v", rows, err)
	}
}

// TestAnchorChecks: the table refuses what the program would not believe, whoever writes it.
func TestAnchorChecks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	db := open(t, path)
	moved(t, db.Journal(unrecorded), anAnchor(), journal.Signed, journal.Mined)
	raw := rawDB(t, path)
	if _, err := raw.Exec("PRAGMA foreign_keys = 1"); err != nil {
		t.Fatal(err)
	}
	for _, set := range []string{
		"id = 0", "chain = 0", "contract = x'00'", "log = x'00'", "sender = x'00'", "nonce = -1", "nonce = 'x'", "replaces = 99", "replaces = id",
		"previous = -1", "size = previous", "root = x''", "state = 'lost'", "state = 'planned'", "state = 'signed'", "state = 'sent'",
		"state = 'abandoned'", "hash = NULL", "hash = x'00'", "raw = NULL", "raw = x''", "hash = NULL, raw = NULL", "block = -1", "block = NULL",
		"block_hash = NULL", "block_hash = x'00'", "block = NULL, block_hash = NULL", "reason = 'x'", "reason = NULL",
	} {
		if _, err := raw.Exec("UPDATE anchors SET " + set); err == nil {
			t.Errorf("%s is taken", set)
		}
	}
	if _, err := raw.Exec("UPDATE anchors SET state = 'abandoned', reason = 'x'"); err != nil {
		t.Error(err)
	}
}

// TestAnchorsMigrate: a database of the schema before gets the table, and keeps what it had.
func TestAnchorsMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	db, err := openSQLite(t.Context(), path, Options{ProgramVersion: "1.0.0"}, earlier(t, 2))
	if err != nil {
		t.Fatal(err)
	}
	if err := putSetting(t, db, "old"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, path)
	if !hasSetting(t, db, "old") {
		t.Error("a setting is gone")
	}
	if r := moved(t, db.Journal(unrecorded), anAnchor(), journal.Signed); !bytes.Equal(r.Raw, []byte{7}) {
		t.Errorf("%+v", r)
	}
}

// TestAnchorBesideChanges: a journal and the vault's own changes share the writer, and neither takes the
// other back.
func TestAnchorBesideChanges(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "vault.db"))
	s := db.Journal(unrecorded)
	r := moved(t, s, anAnchor(), journal.Signed)
	done := make(chan error, 1)
	go func() {
		done <- db.Update(t.Context(), func(tx vault.Tx) error { return tx.People().Insert(t.Context(), metadbtest.Person(1)) })
	}()
	stale := next(r, journal.Sent)
	stale.From = journal.Planned
	for range 50 {
		if err := s.Move(t.Context(), stale); !errors.Is(err, journal.ErrConflict) {
			t.Errorf("a stale move: %v", err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
