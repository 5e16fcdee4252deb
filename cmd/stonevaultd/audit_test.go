package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stonevault/audit"
	"stonevault/internal/config"
)

// withLog makes a vault with some events, and stops.
func withLog(t testing.TB, files int) (data string) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	p := start(t, data)
	ann := signIn(t, p.addr, "ann")
	for i := range files {
		ann.must(ann.put(fmt.Sprintf("/file %d", i), []byte("content"))).want(t, http.StatusCreated)
	}
	if code := p.stop(); code != 0 {
		t.Fatalf("exit %d: %s", code, p.stderr)
	}
	return data
}

// exec does to the database of a directory what no program of ours does.
func execSQL(t testing.TB, data, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(data, "stonevault.db"))+"?_busy_timeout=10000")
	check(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	_, err = db.Exec("PRAGMA ignore_check_constraints = 1; PRAGMA foreign_keys = 0; " + text)
	check(t, err)
}

// TestFsck changes the database behind the server's back: the command names what was changed, and ends with 2;
// what keeps it from looking ends with 3.
func TestFsck(t *testing.T) {
	data := withLog(t, 10)
	whole := filepath.Join(t.TempDir(), "whole")
	copyTree(t, data, whole)
	for _, tt := range []struct{ what, sql, names string }{
		{"nothing", "", ""},
		{"a byte of a leaf", `UPDATE audit_events SET leaf = CAST(substr(leaf, 1, 50) || x'ff' || substr(leaf, 52) AS BLOB) WHERE leaf_index = 7`, "event 7 was changed"},
		{"a row deleted", `DELETE FROM audit_events WHERE leaf_index = 8`, "event 8 was removed"},
		{"a row cut out", `DELETE FROM audit_events WHERE leaf_index = 8; UPDATE audit_events SET leaf_index = -leaf_index WHERE leaf_index > 8; UPDATE audit_events SET leaf_index = -leaf_index - 1 WHERE leaf_index < 0`, "event 8 was removed, and those behind renumbered"},
		{"two rows swapped", `UPDATE audit_events SET leaf_index = 1000 WHERE leaf_index = 3; UPDATE audit_events SET leaf_index = 3 WHERE leaf_index = 5; UPDATE audit_events SET leaf_index = 5 WHERE leaf_index = 1000`, "events 3 and 5 have changed places"},
		{"a tail dropped", `DELETE FROM audit_events WHERE leaf_index > 12`, "removed from the end"},
		{"a row inserted", `UPDATE audit_events SET leaf_index = -leaf_index - 1 WHERE leaf_index > 5; UPDATE audit_events SET leaf_index = -leaf_index WHERE leaf_index < 0; INSERT INTO audit_events (log, leaf_index, leaf, operational) SELECT 1, 6, zeroblob(108), x'00'`, "6"},
		{"a bit of a tile", `UPDATE audit_tiles SET hashes = CAST(substr(hashes, 1, 70) || x'ff' || substr(hashes, 72) AS BLOB) WHERE level = 0`, "tile/0/000"},
		{"an opening", `UPDATE audit_events SET subject = CAST(substr(subject, 1, 60) || x'ff' || substr(subject, 62) AS BLOB) WHERE leaf_index = (SELECT max(leaf_index) FROM audit_events WHERE subject IS NOT NULL)`, "the subject part of event"},
		{"an opening taken away", `UPDATE audit_events SET actor = NULL, actor_key = NULL WHERE leaf_index = (SELECT max(leaf_index) FROM audit_events WHERE actor_key IS NOT NULL)`, "and no erasure allows it"},
		{"a head set back", `UPDATE audit_heads SET size = 3`, "the head that the next events would be added to"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			copyTree(t, whole, data)
			if tt.sql != "" {
				execSQL(t, data, tt.sql)
			}
			want := 2
			if tt.names == "" {
				want = 0
			}
			r := run(t, "", "audit", "fsck", "--data", data)
			if r.code != want || !strings.Contains(r.stdout, tt.names) || (want == 0) != strings.Contains(r.stdout, "All of it is what was signed.") {
				t.Errorf("exit %d, want %d, and %q in\n%s%s", r.code, want, tt.names, r.stdout, r.stderr)
			}
			r = run(t, "", "audit", "fsck", "--json", "--data", data)
			var report fsckReport
			if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || r.code != want || report.OK != (want == 0) {
				t.Errorf("as JSON: exit %d, %v: %s", r.code, err, r.stdout)
			}
		})
	}
	for what, args := range map[string][]string{
		"no vault":        {"--data", t.TempDir()},
		"another key":     {"--data", data, "--master-key", "file:" + otherKey(t)},
		"no key":          {"--data", data, "--master-key", "file:" + filepath.Join(t.TempDir(), "none")},
		"an older schema": {"--data", olderSchema(t, whole)},
	} {
		if r := run(t, "", append([]string{"audit", "fsck"}, args...)...); r.code != 3 || !strings.Contains(r.stderr, "stonevaultd: the audit log cannot be read") {
			t.Errorf("%s: exit %d, %s%s", what, r.code, r.stdout, r.stderr)
		}
	}
}

func otherKey(t testing.TB) string {
	t.Helper()
	other := filepath.Join(t.TempDir(), "other")
	makeVault(t, other)
	return other + ".master.key"
}

func olderSchema(t testing.TB, whole string) string {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	copyTree(t, whole, data)
	execSQL(t, data, `DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`)
	return data
}

// copyTree copies a data directory with what lies beside it.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	check(t, os.CopyFS(to, os.DirFS(from)))
	check(t, os.RemoveAll(filepath.Join(to, "reserve"))) // it is large, and made anew
	for _, suffix := range []string{".master.key", ".audit"} {
		b, err := os.ReadFile(from + suffix)
		check(t, err)
		check(t, os.WriteFile(to+suffix, b, 0o600))
	}
	check(t, os.Chmod(filepath.Join(to, "stonevault.db"), 0o600))
}

// TestRestored: an older copy of the database is noticed at the start, and goes on only by a person's word, with
// another log that names the one before.
func TestRestored(t *testing.T) {
	data := withLog(t, 3)
	backup, err := os.ReadFile(filepath.Join(data, "stonevault.db"))
	check(t, err)
	p := start(t, data)
	ann := signIn(t, p.addr, "ann")
	ann.must(ann.put("/after the backup", []byte("x"))).want(t, http.StatusCreated)
	p.stop()
	before := logOf(t, data)

	check(t, os.WriteFile(filepath.Join(data, "stonevault.db"), backup, 0o600))
	was := fingerprint(t, data, data+".audit")
	refused := run(t, "", "serve", "--data", data, "--listen", "127.0.0.1:0")
	if fingerprint(t, data, data+".audit") != was {
		t.Error("the refusal changed the directory")
	}
	if refused.code != 1 || !strings.Contains(refused.stderr, "stonevaultd audit restart --data") && !strings.Contains(refused.stderr, "audit restart --data") {
		t.Fatalf("serving an older database: exit %d, %s", refused.code, refused.stderr)
	}
	if r := run(t, "", "audit", "fsck", "--data", data); r.code != 2 || !strings.Contains(r.stdout, "it has fewer events than") {
		t.Errorf("fsck: exit %d, %s%s", r.code, r.stdout, r.stderr)
	}
	if r := run(t, "", "audit", "restart", "--data", data); r.code != 1 || !strings.Contains(r.stderr, "--yes") {
		t.Errorf("restart without a word: exit %d, %s", r.code, r.stderr)
	}
	if r := run(t, "", "audit", "restart", "--yes", "--data", data); r.code != 0 || !strings.Contains(r.stdout, before+" ends with") {
		t.Fatalf("restart: exit %d, %s%s", r.code, r.stdout, r.stderr)
	}
	after := logOf(t, data)
	if after == before {
		t.Error("the log has its name still")
	}
	p = start(t, data)
	if code := p.stop(); code != 0 {
		t.Errorf("serving after it: %d, %s", code, p.stderr)
	}
	wantSound(t, data)
	for _, e := range eventsOf(t, data) {
		if e.Log == 2 && e.Index == 0 {
			previous := e.Event.Operational["previous_checkpoint"].(string)
			if e.Event.Type != audit.LogBegun || e.Event.Operational["reason"] != "restored" || !strings.HasPrefix(previous, before+"\n") {
				t.Errorf("the first event: %+v", e.Event)
			}
		}
	}

	// Another history of the same length is no continuation either.
	execSQL(t, data, `UPDATE audit_logs SET origin = 'stonevault/audit/00112233445566778899aabbccddeeff' WHERE id = 2`)
	if r := run(t, "", "serve", "--data", data, "--listen", "127.0.0.1:0"); r.code != 1 {
		t.Errorf("serving another log: exit %d, %s", r.code, r.stderr)
	}
}

// TestRestartStopped: a restart that was killed before its first head goes on, and the log before stays the one it follows.
func TestRestartStopped(t *testing.T) {
	data := withLog(t, 1)
	before := logOf(t, data)
	head, err := os.ReadFile(data + ".audit")
	check(t, err)
	if r := run(t, "", "audit", "restart", "--yes", "--data", data); r.code != 0 {
		t.Fatalf("exit %d, %s", r.code, r.stderr)
	}
	after := logOf(t, data)
	execSQL(t, data, `DELETE FROM audit_checkpoints WHERE log = 2`)
	check(t, os.WriteFile(data+".audit", head, 0o600))
	if r := run(t, "", "serve", "--data", data, "--listen", "127.0.0.1:0"); r.code != 1 || !strings.Contains(r.stderr, "audit restart") {
		t.Fatalf("serving what is left: exit %d, %s", r.code, r.stderr)
	}
	if r := run(t, "", "audit", "restart", "--yes", "--data", data); r.code != 0 || !strings.Contains(r.stdout, after+" begins") || logOf(t, data) != after {
		t.Fatalf("restarting again: exit %d, %s%s, the log is %s", r.code, r.stdout, r.stderr, logOf(t, data))
	}
	p := start(t, data)
	if code := p.stop(); code != 0 {
		t.Errorf("serving after it: %d, %s", code, p.stderr)
	}
	wantSound(t, data)
	for _, e := range eventsOf(t, data) {
		if e.Log == 2 && e.Index == 0 && !strings.HasPrefix(e.Event.Operational["previous_checkpoint"].(string), before+"\n") {
			t.Errorf("the first event: %+v", e.Event)
		}
	}
}

// TestRestartOfDamage: where the newest head does not verify, nothing goes on with it, and another log can begin.
func TestRestartOfDamage(t *testing.T) {
	data := withLog(t, 1)
	execSQL(t, data, `UPDATE audit_checkpoints SET text = zeroblob(length(text))`)
	if r := run(t, "", "serve", "--data", data, "--listen", "127.0.0.1:0"); r.code != 1 || !strings.Contains(r.stderr, "audit fsck") {
		t.Errorf("serving it: exit %d, %s", r.code, r.stderr)
	}
	if r := run(t, "", "audit", "restart", "--yes", "--data", data); r.code != 0 || !strings.Contains(r.stdout, "does not verify") {
		t.Fatalf("exit %d, %s%s", r.code, r.stdout, r.stderr)
	}
	p := start(t, data)
	if code := p.stop(); code != 0 {
		t.Errorf("serving after it: %d, %s", code, p.stderr)
	}
	for _, e := range eventsOf(t, data) {
		if e.Log == 2 && e.Index == 0 && e.Event.Operational["previous_checkpoint"] != "" {
			t.Errorf("the first event: %+v", e.Event)
		}
	}
}

// TestVacantDirectory: an empty directory beside a head of a log is one that is not mounted, until somebody says otherwise.
func TestVacantDirectory(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	head := data + ".audit"
	check(t, os.WriteFile(head, []byte("a head"), 0o600))
	for _, line := range []string{"serve --listen 127.0.0.1:0", "admin create ann --generate-password"} {
		r := run(t, "", append(strings.Fields(line), "--data", data)...)
		if r.code != 1 || !strings.Contains(r.stderr, "move the file away") {
			t.Errorf("%s: exit %d, %s", line, r.code, r.stderr)
		}
		if _, err := os.Stat(data); !os.IsNotExist(err) {
			t.Errorf("%s has begun a vault: %v", line, err)
		}
	}
	check(t, os.Remove(head))
	p := start(t, data)
	p.stop()
}

// TestFailedStartHasAnEnd: a start that fails after it was recorded is no crash.
func TestFailedStartHasAnEnd(t *testing.T) {
	data := withLog(t, 1)
	if r := run(t, "", "serve", "--data", data, "--listen", "127.0.0.1:0", "--addr-file", filepath.Join(data, "no such folder", "address")); r.code != 1 {
		t.Fatalf("exit %d, %s", r.code, r.stderr)
	}
	if e := eventsOf(t, data)[0].Event; e.Type != audit.ServerStopped || e.Operational["reason"] != "failed" {
		t.Errorf("the last event: %+v", e)
	}
	wantSound(t, data)
}

// logOf is the origin of a directory's current log.
func logOf(t testing.TB, data string) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(data, "stonevault.db")))
	check(t, err)
	defer db.Close()
	var origin string
	check(t, db.QueryRow(`SELECT origin FROM audit_logs ORDER BY id DESC LIMIT 1`).Scan(&origin))
	return origin
}

// TestServerEvents: starts, stops and what changed of the settings between them are events.
func TestServerEvents(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	for _, compress := range []string{"auto", "auto", "never"} {
		s := newServer(t, data)
		var err error
		s.Config, s.Settings, err = config.Load(config.Sources{Flags: map[string]string{"data": data, "listen": "127.0.0.1:0", "compress": compress}})
		check(t, err)
		check(t, s.Run(t.Context()))
		closeServer(t, s)
	}
	var names []string
	for _, e := range slices.Backward(eventsOf(t, data)) {
		if name := e.Event.Type.String(); strings.HasPrefix(name, "server.") || name == "log.begun" {
			names = append(names, name)
		}
		if e.Event.Type == audit.ServerConfigured && e.Event.Operational["changed"] != "compress" {
			t.Errorf("what changed: %v", e.Event.Operational)
		}
		if e.Index < 0 {
			t.Errorf("after a stop in order, %v has no place", e.Event.Type)
		}
	}
	want := []string{"log.begun", "server.started", "server.stopped", "server.started", "server.stopped", "server.configured", "server.started", "server.stopped"}
	if !slices.Equal(names, want) {
		t.Errorf("events %v, want %v", names, want)
	}
}

// TestOldVaultGetsALog: a vault that was made before there was an audit log begins one, with all of its keys.
func TestOldVaultGetsALog(t *testing.T) {
	data := withLog(t, 1)
	for _, table := range []string{"audit_checkpoints", "audit_tiles", "audit_heads", "audit_events", "audit_keys", "audit_logs"} {
		execSQL(t, data, "DELETE FROM "+table)
	}
	check(t, os.Remove(data+".audit"))
	p := start(t, data)
	p.stop()
	keys := 0
	for _, e := range eventsOf(t, data) {
		if e.Event.Type == audit.KeyPublished {
			keys++
		}
	}
	if keys != 6 { // log, root, vault, recovery, ann, bob
		t.Errorf("%d keys were published", keys)
	}
	wantSound(t, data)
}

// TestAuditExport reads what was written as a reader of tlog-tiles does: with the key, the checkpoint and the
// entries alone.
func TestAuditExport(t *testing.T) {
	data := withLog(t, 5)
	to := filepath.Join(t.TempDir(), "log")
	if r := run(t, "", "audit", "export", "--to", to, "--data", data); r.code != 0 {
		t.Fatalf("exit %d: %s", r.code, r.stderr)
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(to, filepath.FromSlash(name)))
		check(t, err)
		return b
	}
	key, err := audit.ParsePublicKey(string(read("log.pub")))
	check(t, err)
	head, err := key.Open(read("checkpoint"))
	check(t, err)
	var leaves []audit.Hash
	for tile := range head.Tree.Tiles() {
		if tile.Level != 0 {
			continue
		}
		bundle := read(audit.Tile{Level: audit.EntryLevel, Index: tile.Index, Width: tile.Width}.Path())
		hashes := read(tile.Path())
		for i := 0; len(bundle) > 0; i++ {
			leaf := bundle[2:][:audit.LeafSize]
			h := audit.LeafHash(leaf)
			if !bytes.Equal(hashes[i*audit.HashSize:][:audit.HashSize], h[:]) {
				t.Errorf("%s: hash %d is not the entry's", tile.Path(), i)
			}
			leaves, bundle = append(leaves, h), bundle[2+audit.LeafSize:]
		}
	}
	if got, _, err := audit.EmptyTree().Append(noTiles{}, leaves); err != nil || got != head.Tree {
		t.Errorf("the entries give %v, the checkpoint says %v (%v)", got, head.Tree, err)
	}
	if _, err := os.Stat(filepath.Join(to, "events.jsonl")); err == nil {
		t.Error("events with persons were written unasked")
	}
	withEvents := filepath.Join(t.TempDir(), "events")
	if r := run(t, "", "audit", "export", "--events", "--to", withEvents, "--data", data); r.code != 0 {
		t.Fatalf("exit %d: %s", r.code, r.stderr)
	}
	lines, err := os.ReadFile(filepath.Join(withEvents, "events.jsonl"))
	check(t, err)
	if n := bytes.Count(lines, []byte("\n")); int64(n) != head.Tree.Size || !bytes.Contains(lines, []byte(`"path":"/file 4"`)) {
		t.Errorf("%d lines of %d events", n, head.Tree.Size)
	}
	if r := run(t, "", "audit", "export", "--to", to, "--data", data); r.code != 3 || !strings.Contains(r.stderr, "name a new directory") {
		t.Errorf("over what is there: exit %d, %s", r.code, r.stderr)
	}
}

type noTiles struct{}

func (noTiles) ReadTiles([]audit.Tile) ([][]byte, error) { return nil, context.Canceled }

// TestErasePerson erases somebody beside the running server.
func TestErasePerson(t *testing.T) {
	data := withLog(t, 1)
	p := start(t, data)
	bob := signIn(t, p.addr, "bob")
	bob.must(bob.put("/canary-of-bob", []byte("x"))).want(t, http.StatusCreated)
	bob.must(bob.get("/canary-of-bob")).want(t, http.StatusOK)
	if r := run(t, "", "admin", "erase", "bob", "--data", data); r.code != 1 || !strings.Contains(r.stderr, "--yes") {
		t.Errorf("without a word: exit %d, %s", r.code, r.stderr)
	}
	if r := run(t, "", "admin", "erase", "bob", "--yes", "--data", data); r.code != 0 || !strings.Contains(r.stderr, "1 files") {
		t.Fatalf("exit %d: %s", r.code, r.stderr)
	}
	bob.must(bob.get("/canary-of-bob")).want(t, http.StatusUnauthorized)
	if r := run(t, "", "admin", "erase", "bob", "--yes", "--data", data); r.code != 1 || !strings.Contains(r.stderr, "no account") {
		t.Errorf("again: exit %d, %s", r.code, r.stderr)
	}
	if r := run(t, "", "admin", "scrub", "--data", data); r.code != 0 {
		t.Errorf("scrub: exit %d, %s", r.code, r.stderr)
	}
	p.stop()
	files, err := filepath.Glob(filepath.Join(data, "stonevault.db*"))
	check(t, err)
	for _, name := range files {
		b, err := os.ReadFile(name)
		check(t, err)
		for _, canary := range []string{"canary-of-bob", "bob"} {
			if bytes.Contains(b, []byte(canary)) {
				t.Errorf("%s holds %q", name, canary)
			}
		}
	}
	r := run(t, "", "audit", "fsck", "--data", data)
	if r.code != 0 || !strings.Contains(r.stdout, "authorised by event") {
		t.Errorf("fsck: exit %d, %s%s", r.code, r.stdout, r.stderr)
	}
	p = start(t, data)
	checkObjects(t, data)
	p.stop()
}

// TestWitnessThatIsNoHead: what a crash may leave beside the data accuses nobody, of a log that was begun anew either.
func TestWitnessThatIsNoHead(t *testing.T) {
	data := withLog(t, 1)
	path := data + ".audit"
	head, err := os.ReadFile(path)
	check(t, err)
	for range 2 {
		for what, text := range map[string][]byte{
			"nothing": {}, "zeros": make([]byte, len(head)), "half": head[:len(head)/2], "part of a name": head[:20],
			"zeros at the end": append(bytes.Clone(head[:len(head)-20]), make([]byte, 20)...), "noise": bytes.Repeat([]byte("x"), 100),
		} {
			check(t, os.WriteFile(path, text, 0o600))
			if r := run(t, "", "audit", "fsck", "--data", data); r.code != 0 {
				t.Errorf("%s: exit %d, %.500s%s", what, r.code, r.stdout, r.stderr)
			}
		}
		check(t, os.WriteFile(path, head, 0o600))
		if r := run(t, "", "audit", "restart", "--yes", "--data", data); r.code != 0 {
			t.Fatalf("restart: exit %d, %s", r.code, r.stderr)
		}
	}
}
