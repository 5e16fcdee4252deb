package auditlog_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"stonevault/audit"
	"stonevault/internal/auditlog"
)

// TestFsckFinds changes the database with a tool, and demands that the change is named.
func TestFsckFinds(t *testing.T) {
	h := newHouse(t)
	h.record(t, puts(1, 1299)...)
	h.step(t)
	h.sound(t, 1300)
	// Each change is made, looked at, and taken back.
	raw := h.raw(t)
	for _, tt := range []struct {
		what   string
		change []string
		want   string // the findings, one after the other
	}{
		{"a byte of a leaf", []string{`UPDATE audit_events SET leaf = CAST(substr(leaf, 1, 50) || x'00' || substr(leaf, 52) AS BLOB) WHERE leaf_index = 700`}, "event 700 was changed"},
		{"a leaf cut short", []string{`UPDATE audit_events SET leaf = x'0102' WHERE leaf_index = 700`}, "event 700 was changed"},
		{"a row deleted", []string{`DELETE FROM audit_events WHERE leaf_index = 700`}, "event 700 was removed"},
		{"a row deleted, the gap closed", []string{`DELETE FROM audit_events WHERE leaf_index = 700`,
			`UPDATE audit_events SET leaf_index = -leaf_index WHERE leaf_index > 700`, `UPDATE audit_events SET leaf_index = -leaf_index - 1 WHERE leaf_index < 0`},
			"event 700 was removed, and those behind renumbered"},
		{"two rows swapped", []string{`UPDATE audit_events SET leaf_index = -1 WHERE leaf_index = 3`, `UPDATE audit_events SET leaf_index = 3 WHERE leaf_index = 900`,
			`UPDATE audit_events SET leaf_index = 900 WHERE leaf_index = -1`}, "events 3 and 900 have changed places"},
		{"the tail dropped", []string{`DELETE FROM audit_events WHERE leaf_index >= 1000`}, "events 1000 to 1299 were removed from the end"},
		{"the tail dropped, and the head set back", []string{`DELETE FROM audit_events WHERE leaf_index >= 1000`, `UPDATE audit_heads SET size = 1000`}, "events 1000 to 1299 were removed from the end"},
		{"a row inserted", []string{`INSERT INTO audit_events (log, leaf_index, leaf, operational) SELECT 1, 1300, CAST(substr(leaf, 1, 100) || x'0001020304050607' AS BLOB), operational FROM audit_events WHERE leaf_index = 5`},
			"a row that the log never had stands at 1300"},
		{"a bit of a tile of level 0", []string{`UPDATE audit_tiles SET hashes = CAST(x'00' || substr(hashes, 2) AS BLOB) WHERE level = 0 AND position = 2`}, "tile/0/002 was changed: 1 of its hashes, the first is number 0"},
		{"a bit of a tile of level 1", []string{`UPDATE audit_tiles SET hashes = CAST(substr(hashes, 1, 100) || x'00' || substr(hashes, 102) AS BLOB) WHERE level = 1`}, "tile/1/000.p/5 was changed: 1 of its hashes, the first is number 3"},
		{"a tile deleted", []string{`DELETE FROM audit_tiles WHERE level = 0 AND position = 2`}, "tile/0/002 is missing"},
		{"a tile of a level that isn't", []string{`INSERT INTO audit_tiles VALUES (1, 9, 0, zeroblob(32))`}, "tile/9/000.p/1 is none of this tree, or is there twice"},
		{"an operational part", []string{`UPDATE audit_events SET operational = zeroblob(200) WHERE leaf_index = 700`}, "the operational part of event 700 was changed"},
		{"a person's part", []string{`UPDATE audit_events SET actor = zeroblob(200) WHERE leaf_index = 700`}, "the actor part of event 700 was changed"},
		{"another's part", []string{`UPDATE audit_events SET subject = (SELECT subject FROM audit_events WHERE leaf_index = 705) WHERE leaf_index = 700`}, "the subject part of event 700 was changed"},
		{"a part taken away", []string{`UPDATE audit_events SET subject = NULL, subject_key = NULL WHERE leaf_index = 700`}, "the subject part of event 700 is missing, and no erasure allows it"},
		{"a part under another's key", []string{`UPDATE audit_events SET subject_key = 1 WHERE leaf_index = 700`}, "the subject part of event 700 was changed"},
		{"a person's key", []string{`UPDATE audit_events SET actor = NULL, actor_key = NULL WHERE leaf_index <> 700`, `UPDATE audit_keys SET sealed = zeroblob(104) WHERE number = (SELECT actor_key FROM audit_events WHERE leaf_index = 700)`},
			"the actor part of event 700 was changed"},
	} {
		if _, err := raw.Exec("PRAGMA foreign_keys = 0"); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"audit_events", "audit_tiles", "audit_heads", "audit_keys"} {
			if _, err := raw.Exec(`CREATE TABLE saved_` + table + ` AS SELECT * FROM ` + table); err != nil {
				t.Fatal(err)
			}
		}
		for _, text := range tt.change {
			if _, err := raw.Exec(text); err != nil {
				t.Fatalf("%s: %v", tt.what, err)
			}
		}
		h.parts(t)
		r, err := h.reader.Fsck(t.Context())
		if err != nil {
			t.Errorf("%s: %v", tt.what, err)
		} else {
			var said []string
			for _, f := range r.Findings {
				said = append(said, f.String())
			}
			if got := strings.Join(said, "; "); r.OK() || !strings.Contains(got, tt.want) || got != tt.want && tt.what != "a person's key" && tt.what != "a part under another's key" {
				t.Errorf("%s: %q, want %q", tt.what, got, tt.want)
			}
			if displaced := strings.Contains(tt.what, "head set back"); r.Displaced != displaced {
				t.Errorf("%s: displaced %v", tt.what, r.Displaced)
			}
		}
		for _, table := range []string{"audit_events", "audit_tiles", "audit_heads", "audit_keys"} {
			for _, text := range []string{`DELETE FROM ` + table, `INSERT INTO ` + table + ` SELECT * FROM saved_` + table, `DROP TABLE saved_` + table} {
				if _, err := raw.Exec(text); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	h.parts(t)
	h.sound(t, 1300)
}

// TestFsckHeads: what was signed at another time, or pinned elsewhere, is compared too.
func TestFsckHeads(t *testing.T) {
	h := newHouse(t)
	h.record(t, puts(1, 99)...)
	h.step(t)
	pin := head(t, h)
	h.record(t, puts(100, 100)...)
	h.step(t)
	if r := h.fsck(t, pin, audit.EmptyTree()); !r.OK() || r.Intact != 200 {
		t.Errorf("a true pin: %v", r.Findings)
	}
	pin.Root[0] ^= 1
	r := h.fsck(t, pin)
	if r.OK() || !slices.ContainsFunc(r.Findings, func(f audit.Finding) bool { return f.Kind == audit.HeadDiffers && f.Size == 100 }) {
		t.Errorf("a pin of another log: %v", r.Findings)
	}
	// Events behind the last signature are told apart: nothing vouches for them.
	h.record(t, puts(200, 3)...)
	if r := h.fsck(t); !r.OK() || !r.Pending || r.Unsigned != 0 {
		t.Errorf("with events that wait: %+v", r)
	}
	f := &faults{at: 1 << 30}
	h.faulty(t, f)
	h.step(t)
	h.repaired(t)
	raw := h.raw(t)
	if _, err := raw.Exec(`DELETE FROM audit_checkpoints`); err != nil {
		t.Fatal(err)
	}
	if _, err := h.reader.Fsck(t.Context()); !errors.Is(err, auditlog.ErrNotFound) {
		t.Errorf("without any signature: %v", err)
	}
}
