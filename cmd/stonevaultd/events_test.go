package main

import (
	"database/sql"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/auditlog"
)

// eventsOf reads the whole audit log of a directory, pending events included, the newest first.
func eventsOf(t testing.TB, data string) []auditlog.Entry {
	t.Helper()
	s := newServer(t, data)
	o := &opener{config: s.Config, version: s.Version, ask: noTerminal, now: time.Now, log: slog.New(slog.DiscardHandler)}
	l, db, err := o.readLog(t.Context())
	check(t, err)
	defer db.Close()
	var all []auditlog.Entry
	for q := (auditlog.Query{Limit: 5000}); ; {
		page, err := l.reader.List(t.Context(), q, auditlog.ViewAll)
		check(t, err)
		all = append(all, page.Entries...)
		if q.Before = page.Next; q.Before == 0 {
			return all
		}
	}
}

// tallied is how often the log says each thing about each id.
type tallied struct {
	put, began, ended, deleted, made map[string]int
	document                         map[string]string      // of a file that was put
	sealed                           map[string]map[int]int // of a file's revisions after the first
	downloads, downloadEnds          map[string]int
}

func tallyOf(t testing.TB, events []auditlog.Entry) tallied {
	t.Helper()
	c := tallied{
		put: map[string]int{}, began: map[string]int{}, ended: map[string]int{}, deleted: map[string]int{}, made: map[string]int{},
		document: map[string]string{}, sealed: map[string]map[int]int{}, downloads: map[string]int{}, downloadEnds: map[string]int{},
	}
	for _, e := range events {
		if e.Err != nil {
			t.Error(e.Err)
			continue
		}
		text := func(name string) string { v, _ := e.Event.Operational[name].(string); return v }
		switch e.Event.Type {
		case audit.FilePut:
			c.put[text("file")]++
			c.document[text("file")] = text("document")
		case audit.FileMoved, audit.FileResealed:
			if file := text("file"); file != "" {
				if c.sealed[file] == nil {
					c.sealed[file] = map[int]int{}
				}
				c.sealed[file][int(e.Event.Operational["revision"].(int64))]++
			}
		case audit.FileDeleted:
			c.deleted[text("node")]++
		case audit.FolderCreated:
			c.made[text("node")]++
		case audit.UploadBegun:
			c.began[text("file")]++
		case audit.UploadEnded:
			c.ended[text("file")]++
		case audit.DownloadBegun, audit.FileExported:
			c.downloads[text("download")]++
		case audit.DownloadEnded:
			c.downloadEnds[text("download")]++
		}
	}
	return c
}

// checkEvents compares the audit log with what is there: each change that was committed is exactly one event,
// and no event tells of a change that was not.
func checkEvents(t testing.TB, data string) {
	t.Helper()
	c := tallyOf(t, eventsOf(t, data))
	db, err := sql.Open("sqlite", "file:"+url.PathEscape(filepath.Join(data, "stonevault.db"))+"?_pragma=busy_timeout(10000)&_pragma=query_only(1)")
	check(t, err)
	defer db.Close()
	each := func(query string, fn func(a, b string, n int)) {
		t.Helper()
		rows, err := db.Query(query)
		check(t, err)
		defer rows.Close()
		for rows.Next() {
			var a, b string
			var n int
			check(t, rows.Scan(&a, &b, &n))
			fn(a, b, n)
		}
		check(t, rows.Err())
	}
	versions, nodes, uploads := map[string]bool{}, map[string]bool{}, map[string]bool{}
	each(`SELECT file_id, document, revision FROM versions`, func(file, document string, revision int) {
		versions[file] = true
		if c.put[file] != 1 || c.document[file] != document {
			t.Errorf("version %s has %d events, of document %q", file, c.put[file], c.document[file])
		}
		for r := 2; r <= revision; r++ {
			if n := c.sealed[file][r]; n != 1 {
				t.Errorf("revision %d of %s has %d events", r, file, n)
			}
		}
		if n := len(c.sealed[file]); n != revision-1 {
			t.Errorf("%s has events of %d revisions after the first, and stands at %d", file, n, revision)
		}
	})
	each(`SELECT id, kind, 0 FROM nodes`, func(id, kind string, _ int) {
		nodes[id] = true
		if kind == "folder" && c.made[id] != 1 {
			t.Errorf("folder %s has %d events", id, c.made[id])
		}
	})
	each(`SELECT id, '', 0 FROM uploads`, func(id, _ string, _ int) {
		uploads[id] = true
		if c.began[id] != 1 || c.ended[id]+c.put[id] != 0 {
			t.Errorf("upload %s: begun %d, ended %d, put %d", id, c.began[id], c.ended[id], c.put[id])
		}
	})
	for file, n := range c.put {
		if n != 1 || !versions[file] && c.deleted[c.document[file]] != 1 {
			t.Errorf("%d events put %s, which is not there, and its document has %d that delete it", n, file, c.deleted[c.document[file]])
		}
	}
	for node, n := range c.deleted {
		if n != 1 || nodes[node] {
			t.Errorf("%d events delete %s; there: %v", n, node, nodes[node])
		}
	}
	for node, n := range c.made {
		if n != 1 || !nodes[node] && c.deleted[node] != 1 {
			t.Errorf("%d events make the folder %s; there: %v", n, node, nodes[node])
		}
	}
	for id, n := range c.began {
		if n != 1 || !uploads[id] && c.ended[id]+c.put[id] != 1 {
			t.Errorf("%d events begin the upload %s, %d end it, %d put it", n, id, c.ended[id], c.put[id])
		}
	}
	for id, n := range c.downloadEnds {
		if n != 1 || c.downloads[id] != 1 {
			t.Errorf("%d events end the download %s, and %d begin it", n, id, c.downloads[id])
		}
	}
}

// awaitSigned waits until a running server has signed all events, and has nothing more to write.
func awaitSigned(t testing.TB, data string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+url.PathEscape(filepath.Join(data, "stonevault.db"))+"?_pragma=busy_timeout(10000)&_pragma=query_only(1)")
	check(t, err)
	defer db.Close()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var pending int
		var newest string
		check(t, db.QueryRow(`SELECT count(*) FROM audit_events WHERE leaf_index IS NULL`).Scan(&pending))
		db.QueryRow(`SELECT CAST(text AS TEXT) FROM audit_checkpoints WHERE size = (SELECT size FROM audit_heads ORDER BY log DESC LIMIT 1)`).Scan(&newest)
		if kept, err := os.ReadFile(data + ".audit"); err == nil && pending == 0 && string(kept) == newest {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the server does not sign its events")
		}
	}
}

// wantSound asks audit fsck.
func wantSound(t testing.TB, data string) {
	t.Helper()
	if r := run(t, "", "audit", "fsck", "--data", data); r.code != 0 {
		t.Errorf("audit fsck: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}
