package auditlog_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/masterkey"
	"stonevault/internal/metadb"
)

var start = time.Date(2026, 11, 21, 8, 30, 0, 123_000_000, time.UTC)

// house is an audit log on a real database.
type house struct {
	path string
	db   *metadb.DB
	auditlog.Config
	keyFile   string
	recorder  *auditlog.Recorder
	sequencer *auditlog.Sequencer
	reader    *auditlog.Reader
}

// newHouse has a log that was begun, in a database below dir.
func newHouse(t testing.TB) *house {
	t.Helper()
	keyFile := filepath.Join(t.TempDir(), "master.key")
	master, err := masterkey.CreateFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{path: filepath.Join(t.TempDir(), "vault.db"), keyFile: keyFile}
	h.Config = auditlog.Config{Master: master, Rand: rand.Reader, Now: func() time.Time { return start }}
	h.open(t)
	h.update(t, func(ctx context.Context, store auditlog.Store) error {
		_, err := h.recorder.Begin(ctx, store, auditlog.Beginning{Reason: "first"})
		return err
	})
	return h
}

// open starts a server, as it were.
func (h *house) open(t testing.TB) {
	t.Helper()
	var err error
	if h.db, err = metadb.OpenSQLite(t.Context(), h.path, metadb.Options{ProgramVersion: "1.0.0"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() })
	h.Database = h.db.Audit()
	h.parts(t)
}

// parts makes the parts anew, with empty caches.
func (h *house) parts(t testing.TB) {
	h.sequencer = auditlog.NewSequencer(h.Config, func(err error) { t.Error(err) })
	h.recorder = auditlog.NewRecorder(h.Config, h.sequencer.Wake)
	h.reader = auditlog.NewReader(h.Config)
}

func (h *house) update(t testing.TB, fn func(context.Context, auditlog.Store) error) {
	t.Helper()
	if err := h.Database.Update(t.Context(), func(s auditlog.Store) error { return fn(t.Context(), s) }); err != nil {
		t.Error(err) // not Fatal: goroutines of tests come here
	}
}

func (h *house) view(t testing.TB, fn func(context.Context, auditlog.Store) error) {
	t.Helper()
	if err := h.Database.View(t.Context(), func(s auditlog.Store) error { return fn(t.Context(), s) }); err != nil {
		t.Fatal(err)
	}
}

// record writes events in one transaction.
func (h *house) record(t testing.TB, events ...audit.Event) (ids []int64) {
	t.Helper()
	h.update(t, func(ctx context.Context, store auditlog.Store) error {
		ids = make([]int64, len(events))
		for i, e := range events {
			var err error
			if ids[i], err = h.recorder.Record(ctx, store, e); err != nil {
				return err
			}
		}
		return nil
	})
	return ids
}

// list is one page.
func (h *house) list(t testing.TB, q auditlog.Query, viewer auditlog.Viewer) []auditlog.Entry {
	t.Helper()
	page, err := h.reader.List(t.Context(), q, viewer)
	if err != nil {
		t.Fatal(err)
	}
	return page.Entries
}

// erase runs an erasure in its transaction.
func (h *house) erase(t testing.TB, person string, by audit.Values) (done auditlog.Erased, err error) {
	t.Helper()
	err = h.Database.Shred(t.Context(), func(store auditlog.Store) error {
		done, err = h.recorder.Erase(t.Context(), store, person, by)
		return err
	})
	h.recorder.Forget(done)
	return done, err
}

func (h *house) step(t testing.TB) {
	t.Helper()
	if err := h.sequencer.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (h *house) fsck(t testing.TB, heads ...audit.Tree) *auditlog.Report {
	t.Helper()
	r, err := h.reader.Fsck(t.Context(), heads...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sound demands a log of so many events in which nothing is wrong.
func (h *house) sound(t testing.TB, events int64) {
	t.Helper()
	r := h.fsck(t)
	if !r.OK() || r.Events != events || r.Intact != events || r.Unsigned != 0 || r.Pending || r.Unchecked != 0 {
		t.Errorf("fsck: %v, %+v", r.Findings, r)
	}
}

// raw is a connection beside the program, for what a person with a tool could do to the file.
func (h *house) raw(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(h.path)+"?_busy_timeout=10000")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	if _, err := db.Exec("PRAGMA ignore_check_constraints = 1"); err != nil {
		t.Fatal(err)
	}
	return db
}

// person is the n-th person's id.
func person(n int) string { return fmt.Sprintf("%032x", n) }

func whoActs(n int) audit.Values {
	return audit.Values{"person": person(n), "name": fmt.Sprintf("Ana %d", n), "session": person(1000 + n), "client": "laptop", "address": "192.0.2.7"}
}

// nobody is somebody on the machine itself.
func nobody() audit.Values {
	return audit.Values{"person": "", "name": "", "session": "", "client": "stonevaultd", "address": ""}
}

// put is the event of a file that one person put for another.
func put(n, by, owner int) audit.Event {
	return audit.Event{Type: audit.FilePut, Time: start.Add(time.Duration(n) * time.Second),
		Operational: audit.Values{"file": person(n), "revision": 1, "manifest": fmt.Sprintf("%064x", n), "document": person(n),
			"version": 1, "size": n, "class": "normal", "by": "put"},
		Actor: whoActs(by), Subject: audit.Values{"person": person(owner), "path": fmt.Sprintf("/letters/to %d/%d", owner, n)}}
}

func puts(from, n int) (events []audit.Event) {
	for i := range n {
		events = append(events, put(from+i, 1+i%3, 1+i%5))
	}
	return events
}
