package auditlog_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/auditlog"
)

func publicKey(t testing.TB, h *house) *audit.PublicKey {
	t.Helper()
	key, err := h.reader.PublicKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func head(t testing.TB, h *house) audit.Tree {
	t.Helper()
	text, err := h.reader.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := publicKey(t, h).Open(text)
	if err != nil {
		t.Fatal(err)
	}
	return c.Tree
}

// TestRecordToReceipt goes the way of an event, at sizes around whole tiles.
func TestRecordToReceipt(t *testing.T) {
	h := newHouse(t)
	if _, err := h.reader.Checkpoint(t.Context()); !errors.Is(err, auditlog.ErrNotFound) {
		t.Errorf("a checkpoint before the first signature: %v", err)
	}
	h.step(t)
	recorded := 1
	for _, size := range []int{2, 3, 255, 256, 257, 512, 1700} {
		events := puts(recorded, size-recorded)
		ids := h.record(t, events...)
		if _, err := h.reader.Receipt(t.Context(), ids[0], auditlog.ViewAll); !errors.Is(err, auditlog.ErrNotFound) {
			t.Errorf("a receipt of an event that no head covers: %v", err)
		}
		h.step(t)
		if got := head(t, h); got.Size != int64(size) {
			t.Fatalf("the head has %d events, want %d", got.Size, size)
		}
		key := publicKey(t, h)
		for i := 0; i < len(ids); i += 1 + len(ids)/7 {
			receipt, err := h.reader.Receipt(t.Context(), ids[i], auditlog.ViewAll)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := audit.ParseReceipt(receipt.Marshal())
			if err != nil {
				t.Fatal(err)
			}
			c, e, missing, err := parsed.Verify(key)
			if err != nil || len(missing) != 0 || c.Tree.Size != int64(size) {
				t.Fatalf("receipt of event %d: %v, missing %v", parsed.Index, err, missing)
			}
			if parsed.Index != int64(recorded+i) || e.Subject["path"] != events[i].Subject["path"] || e.Actor["name"] != events[i].Actor["name"] || !e.Time.Equal(events[i].Time) {
				t.Errorf("event %d is %+v, want %+v", parsed.Index, e, events[i])
			}
		}
		recorded = size
	}
	h.sound(t, int64(recorded))
	h.parts(t) // a restart reads the same
	h.sound(t, int64(recorded))
}

// TestViewer: who may see an event sees all of it; to others it is not there, and its leaf is a leaf.
func TestViewer(t *testing.T) {
	h := newHouse(t)
	id := h.record(t, put(1, 1, 2))[0]
	h.step(t)
	for _, tt := range []struct {
		what   string
		viewer auditlog.Viewer
		sees   bool
	}{
		{"everything", auditlog.ViewAll, true},
		{"nobody", auditlog.Viewer{}, false},
		{"who acted", auditlog.Viewer{Person: person(1)}, true},
		{"whose file it is", auditlog.Viewer{Person: person(2)}, true},
		{"a stranger", auditlog.Viewer{Person: person(3)}, false},
	} {
		want := error(nil)
		if !tt.sees {
			want = auditlog.ErrNotFound
		}
		r, err := h.reader.Receipt(t.Context(), id, tt.viewer)
		if !errors.Is(err, want) {
			t.Fatalf("%s: %v, want %v", tt.what, err, want)
		}
		if err == nil {
			if _, _, missing, err := r.Verify(publicKey(t, h)); err != nil || missing != nil {
				t.Errorf("%s: missing %v, %v", tt.what, missing, err)
			}
		}
		if _, err := h.reader.ReceiptAt(t.Context(), 1, tt.viewer); !errors.Is(err, want) {
			t.Errorf("%s, by index: %v, want %v", tt.what, err, want)
		}
		if _, err := h.reader.Find(t.Context(), id, tt.viewer); !errors.Is(err, want) {
			t.Errorf("%s, found: %v, want %v", tt.what, err, want)
		}
		list := h.list(t, auditlog.Query{Limit: 10}, tt.viewer)
		if seen := slices.ContainsFunc(list, func(e auditlog.Entry) bool { return e.ID == id }); seen != tt.sees {
			t.Errorf("%s, in the list: %v", tt.what, seen)
		}
		records, size, err := h.reader.Records(t.Context(), 0, 10, tt.viewer)
		if err != nil || size != 2 || len(records) != 2 || (records[1].Openings[0] != nil) != tt.sees || (len(records[1].Withheld) == 3) == tt.sees {
			t.Errorf("%s, as records: %+v of %d, %v", tt.what, records, size, err)
		}
	}
	at, err := h.reader.ReceiptAt(t.Context(), 1, auditlog.ViewAll)
	same, err2 := h.reader.Receipt(t.Context(), id, auditlog.ViewAll)
	if err != nil || err2 != nil || !bytes.Equal(at.Marshal(), same.Marshal()) {
		t.Errorf("by index and by id: %v, %v", err, err2)
	}

	// Of an event that no head covers yet, strangers learn no more than of one that is not theirs.
	late := h.record(t, put(2, 1, 2))[0]
	for viewer, want := range map[auditlog.Viewer]bool{{Person: person(1)}: true, {Person: person(3)}: false} {
		_, err := h.reader.Receipt(t.Context(), late, viewer)
		if !errors.Is(err, auditlog.ErrNotFound) || errors.Is(err, auditlog.ErrUnsigned) != want {
			t.Errorf("a receipt for %v before its head: %v", viewer, err)
		}
	}

	// It has a place only once its receipt can be had, however far the sequencer has come.
	h.Database = &unsigning{Database: h.db.Audit()}
	h.parts(t)
	if err := h.sequencer.Step(t.Context()); !errors.Is(err, errInjected) {
		t.Fatalf("a step that is broken off before it signs: %v", err)
	}
	h.repaired(t)
	h.view(t, func(ctx context.Context, store auditlog.Store) error {
		if e, err := store.Event(ctx, late); err != nil || e.Index != 2 {
			t.Errorf("placed at %d, %v", e.Index, err)
		}
		return nil
	})
	entry, err := h.reader.Find(t.Context(), late, auditlog.ViewAll)
	list := h.list(t, auditlog.Query{Limit: 10}, auditlog.ViewAll)
	if err != nil || entry.Index != auditlog.Pending || entry.Log != 0 || list[0].ID != late || list[0].Index != auditlog.Pending {
		t.Errorf("placed and not signed: found %d of log %d, listed %d, %v", entry.Index, entry.Log, list[0].Index, err)
	}
	h.step(t)
	entry, err = h.reader.Find(t.Context(), late, auditlog.ViewAll)
	if list = h.list(t, auditlog.Query{Limit: 10}, auditlog.ViewAll); err != nil || entry.Index != 2 || entry.Log == 0 || list[0].Index != 2 {
		t.Errorf("signed: found %d of log %d, listed %d, %v", entry.Index, entry.Log, list[0].Index, err)
	}

	// Whose a damaged event is, nobody can tell: nobody but who sees everything gets it.
	if _, err := h.raw(t).Exec(`UPDATE audit_events SET leaf = zeroblob(3) WHERE id = ?`, id); err != nil {
		t.Fatal(err)
	}
	if e, err := h.reader.Find(t.Context(), id, auditlog.ViewAll); err != nil || !errors.Is(e.Err, auditlog.ErrRewritten) {
		t.Errorf("a damaged event: %+v, %v", e, err)
	}
	if _, err := h.reader.Find(t.Context(), id, auditlog.Viewer{Person: person(3)}); !errors.Is(err, auditlog.ErrNotFound) {
		t.Errorf("a damaged event, found by a stranger: %v", err)
	}
	records, _, err := h.reader.Records(t.Context(), 1, 1, auditlog.Viewer{Person: person(3)})
	if err != nil || len(records) != 1 || records[0].Openings[0] != nil || len(records[0].Withheld) != 3 {
		t.Errorf("a damaged event, as a stranger's record: %+v, %v", records, err)
	}
	if _, err := h.reader.ReceiptAt(t.Context(), 3, auditlog.ViewAll); !errors.Is(err, auditlog.ErrNotFound) {
		t.Errorf("a receipt beyond the log: %v", err)
	}
}

// TestTilesAndConsistency rebuilds the tree from what a reader of tiles is given.
func TestTilesAndConsistency(t *testing.T) {
	h := newHouse(t)
	var olds []audit.Tree
	for n := 1; n < 600; n += 97 {
		h.record(t, puts(n, 97)...)
		h.step(t)
		olds = append(olds, head(t, h))
	}
	now := head(t, h)
	var hashes []byte
	for tile := range now.Tiles() {
		data, err := h.reader.Tile(t.Context(), tile)
		if err != nil || len(data) != tile.Width*audit.HashSize {
			t.Fatalf("%s: %d bytes, %v", tile.Path(), len(data), err)
		}
		if tile.Level > 0 {
			continue
		}
		hashes = append(hashes, data...)
		entries, err := h.reader.Tile(t.Context(), audit.Tile{Level: audit.EntryLevel, Index: tile.Index, Width: tile.Width})
		if err != nil {
			t.Fatal(err)
		}
		leaves, err := audit.ParseEntries(entries, tile.Width)
		if err != nil {
			t.Fatal(err)
		}
		for i, leaf := range leaves {
			if want := audit.LeafHash(leaf); !bytes.Equal(data[i*audit.HashSize:][:audit.HashSize], want[:]) {
				t.Errorf("%s: leaf %d is another", tile.Path(), i)
			}
		}
	}
	if int64(len(hashes)) != now.Size*audit.HashSize {
		t.Errorf("%d bytes of leaf hashes in a log of %d", len(hashes), now.Size)
	}
	for _, beyond := range []audit.Tile{{Level: 0, Index: 2, Width: 256}, {Level: 0, Index: 3, Width: 1}, {Level: 1, Index: 0, Width: 3}, {Level: 2, Index: 0, Width: 1}, {Level: audit.EntryLevel, Index: 2, Width: 256}} {
		if _, err := h.reader.Tile(t.Context(), beyond); !errors.Is(err, auditlog.ErrNotFound) {
			t.Errorf("%s: %v", beyond.Path(), err)
		}
	}
	for _, old := range append(olds, audit.EmptyTree()) {
		proof, text, err := h.reader.Consistency(t.Context(), old.Size)
		if err != nil {
			t.Fatal(err)
		}
		c, err := publicKey(t, h).Open(text)
		if err != nil || c.Tree.VerifyConsistency(old, proof) != nil {
			t.Errorf("from %d to %d: %v", old.Size, c.Tree.Size, err)
		}
	}
	if _, _, err := h.reader.Consistency(t.Context(), now.Size+1); !errors.Is(err, audit.ErrProof) {
		t.Errorf("from a larger log: %v", err)
	}
}

// TestList pages through all events, and through those about one person.
func TestList(t *testing.T) {
	h := newHouse(t)
	ids := append([]int64{1}, h.record(t, puts(1, 40)...)...)
	h.step(t)
	ids = append(ids, h.record(t, puts(41, 7)...)...) // these wait
	slices.Reverse(ids)
	for _, tt := range []struct {
		person string
		want   func(e auditlog.Entry) bool
	}{
		{"", func(auditlog.Entry) bool { return true }},
		{person(2), func(e auditlog.Entry) bool {
			return e.Event.Actor["person"] == person(2) || e.Event.Subject["person"] == person(2)
		}},
		{person(77), func(auditlog.Entry) bool { return false }},
	} {
		var whole []auditlog.Entry
		page := h.list(t, auditlog.Query{Limit: 1000}, auditlog.ViewAll)
		if len(page) != 48 {
			t.Fatalf("%d entries", len(page))
		}
		for i, e := range page {
			if e.ID != ids[i] || e.Err != nil || len(e.Erased) != 0 || (e.Index == auditlog.Pending) != (i < 7) {
				t.Errorf("entry %d: %+v", i, e)
			}
			if tt.want(e) {
				whole = append(whole, e)
			}
		}
		var paged []auditlog.Entry
		for q := (auditlog.Query{Person: tt.person, Limit: 3}); ; {
			page, err := h.reader.List(t.Context(), q, auditlog.ViewAll)
			if err != nil || len(page.Entries) > 3 {
				t.Fatal(len(page.Entries), err)
			}
			paged = append(paged, page.Entries...)
			if q.Before = page.Next; q.Before == 0 {
				break
			}
		}
		if !reflect.DeepEqual(paged, whole) {
			t.Errorf("person %q: %d entries in pages, want %d", tt.person, len(paged), len(whole))
		}
	}
	for what, tt := range map[string]struct {
		q    auditlog.Query
		want func(e auditlog.Entry) bool
	}{
		"a type":   {auditlog.Query{Type: func(t audit.Type) bool { return t == audit.LogBegun }}, func(e auditlog.Entry) bool { return e.Index == 0 }},
		"a moment": {auditlog.Query{Since: start.Add(10 * time.Second), Until: start.Add(12 * time.Second)}, func(e auditlog.Entry) bool { return e.Index == 10 || e.Index == 11 }},
		"a file":   {auditlog.Query{About: person(5)}, func(e auditlog.Entry) bool { return e.Index == 5 }},
		"the rest": {auditlog.Query{After: ids[3]}, func(e auditlog.Entry) bool { return e.ID > ids[3] }},
	} {
		tt.q.Limit = 100
		var want []int64
		for _, e := range h.list(t, auditlog.Query{Limit: 100}, auditlog.ViewAll) {
			if tt.want(e) {
				want = append(want, e.ID)
			}
		}
		var got []int64
		for _, e := range h.list(t, tt.q, auditlog.ViewAll) {
			got = append(got, e.ID)
		}
		if len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("by %s: %v, want %v", what, got, want)
		}
	}
}

// TestWait: who waits learns the index soon, with a head that covers it.
func TestWait(t *testing.T) {
	h := newHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { h.sequencer.Run(ctx) })
	defer running.Wait()
	defer cancel()
	var waiting sync.WaitGroup
	for g := range 8 {
		waiting.Go(func() {
			for i := range 5 {
				id := h.record(t, put(100*g+i, 1, 2))[0]
				index, err := h.sequencer.Wait(ctx, id)
				if err != nil {
					t.Error(err)
					return
				}
				r, err := h.reader.Receipt(ctx, id, auditlog.ViewAll)
				if err != nil || r.Index != index {
					t.Errorf("event %d: receipt %v", index, err)
				}
			}
		})
	}
	waiting.Wait()
	h.sound(t, 41)
	late, stop := context.WithTimeout(ctx, 20*time.Millisecond)
	defer stop()
	if _, err := h.sequencer.Wait(late, 9999); !errors.Is(err, auditlog.ErrNotFound) {
		t.Errorf("waiting for no event: %v", err)
	}
}

// TestRolledBackKey: a key that was made in a transaction that failed is used for nothing afterwards.
func TestRolledBackKey(t *testing.T) {
	h := newHouse(t)
	mine := errors.New("the caller's own error")
	for range 3 {
		err := h.Database.Update(t.Context(), func(store auditlog.Store) error {
			if _, err := h.recorder.Record(t.Context(), store, put(1, 1, 2)); err != nil {
				return err
			}
			return mine
		})
		if !errors.Is(err, mine) {
			t.Fatal(err)
		}
	}
	h.record(t, put(2, 2, 1)) // the same numbers, for other persons
	h.step(t)
	h.parts(t)
	h.sound(t, 2)
	r, err := h.reader.ReceiptAt(t.Context(), 1, auditlog.ViewAll)
	if err != nil {
		t.Fatal(err)
	}
	if _, e, _, err := r.Verify(publicKey(t, h)); err != nil || e.Actor["person"] != person(2) || e.Subject["person"] != person(1) {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestBegin: a log begins once; after a restore another begins, with the head of the one before.
func TestBegin(t *testing.T) {
	h := newHouse(t)
	begin := func(b auditlog.Beginning) error {
		return h.Database.Update(t.Context(), func(store auditlog.Store) error {
			_, err := h.recorder.Begin(t.Context(), store, b)
			return err
		})
	}
	if err := begin(auditlog.Beginning{Reason: "first"}); !errors.Is(err, auditlog.ErrBegun) {
		t.Errorf("a second first log: %v", err)
	}
	h.record(t, puts(1, 300)...)
	h.step(t)
	before, err := h.reader.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	old := publicKey(t, h)
	h.record(t, put(301, 1, 2)) // has no place when the backup is made
	if err := begin(auditlog.Beginning{Reason: "restored", PreviousAnchor: "amoy"}); err != nil {
		t.Fatal(err)
	}
	h.step(t)
	if key := publicKey(t, h); key.Origin() == old.Origin() || key.Equal(old) {
		t.Error("the new log is called as the old one, or has its key")
	}
	h.sound(t, 2)
	r, err := h.reader.ReceiptAt(t.Context(), 0, auditlog.ViewAll)
	if err != nil {
		t.Fatal(err)
	}
	_, e, _, err := r.Verify(publicKey(t, h))
	if err != nil || e.Type != audit.LogBegun || e.Operational["previous_checkpoint"] != string(before) || e.Operational["previous_anchor"] != "amoy" {
		t.Errorf("the first event: %+v, %v", e, err)
	}
	page := h.list(t, auditlog.Query{Limit: 1000}, auditlog.ViewAll)
	if len(page) != 303 || page[302].Log != 1 || page[1].Log != 2 || page[1].Index != 1 {
		t.Errorf("%d entries", len(page))
	}
}

// TestNoLog: where no log was begun, nothing is recorded, and so nothing changed.
func TestNoLog(t *testing.T) {
	h := newHouse(t)
	raw := h.raw(t)
	for _, table := range []string{"audit_events", "audit_tiles", "audit_heads", "audit_checkpoints", "audit_logs", "audit_keys"} {
		if _, err := raw.Exec("DELETE FROM " + table); err != nil {
			t.Fatal(err)
		}
	}
	err := h.Database.Update(t.Context(), func(store auditlog.Store) error {
		_, err := h.recorder.Record(t.Context(), store, put(1, 1, 2))
		return err
	})
	if !errors.Is(err, auditlog.ErrNoLog) {
		t.Errorf("recording: %v", err)
	}
	if err := h.sequencer.Step(t.Context()); !errors.Is(err, auditlog.ErrNoLog) {
		t.Errorf("sequencing: %v", err)
	}
	if _, err := h.reader.Checkpoint(t.Context()); !errors.Is(err, auditlog.ErrNoLog) {
		t.Errorf("reading: %v", err)
	}
}

// unsigning stores what a sequencer places, and no signed head.
type unsigning struct{ auditlog.Database }

func (d *unsigning) Update(context.Context, func(auditlog.Store) error) error { return errInjected }
