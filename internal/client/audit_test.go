package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stonevault/api"
	"stonevault/audit"
	"stonevault/internal/client/logtest"
)

func TestAuditEvents(t *testing.T) {
	l := newLog(t, 30)
	c := follower(t, l)
	collect := func(q EventQuery) (ids []int64) {
		for e, err := range c.AuditEvents(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, e.ID)
		}
		return ids
	}
	if ids := collect(EventQuery{}); len(ids) != 30 || ids[0] != 30 {
		t.Errorf("all: %v", ids)
	}
	if ids := collect(EventQuery{Type: "log.", Since: logtest.Noon, Until: logtest.Noon, Person: logtest.Ann, Page: 7}); !slices.Equal(ids, []int64{1}) {
		t.Errorf("of the log: %v", ids)
	}
	if got, want := l.Requests[len(l.Requests)-1], "/audit/events?"; !strings.HasPrefix(got, want) ||
		!strings.Contains(got, "limit=7") || !strings.Contains(got, "since=2026-11-21T12%3A00%3A00Z") || !strings.Contains(got, "person="+logtest.Ann) {
		t.Errorf("asked %s", got)
	}
	if ids := collect(EventQuery{After: 28}); !slices.Equal(ids, []int64{30, 29}) {
		t.Errorf("after 28: %v", ids)
	}
	if ids := collect(EventQuery{File: logtest.FileID(9)}); !slices.Equal(ids, []int64{10}) {
		t.Errorf("of a file: %v", ids)
	}
}

// Pages follow each other by their cursors, also where one is empty.
func TestAuditEventPages(t *testing.T) {
	l := newLog(t, 1)
	c := follower(t, l)
	l.Lie = func(w http.ResponseWriter, r *http.Request) bool {
		page, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		list := api.AuditEventList{NextCursor: strconv.Itoa(page + 1)}
		if page%2 == 0 {
			list.Items = []api.AuditEvent{{ID: int64(100 - page)}}
		}
		if page == 4 {
			list.NextCursor = ""
		}
		json.NewEncoder(w).Encode(list)
		return true
	}
	var ids []int64
	for e, err := range c.AuditEvents(t.Context(), EventQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	if !slices.Equal(ids, []int64{100, 98, 96}) {
		t.Errorf("%v", ids)
	}
}

// Records and tiles as a client gets them are a log that stands the check; what is withheld is counted and not
// missed.
func TestAuditRows(t *testing.T) {
	l := newLog(t, 1300)
	for i := range l.Rows {
		if i%2 == 0 && l.Rows[i].Parts[audit.Actor].Opening != nil {
			l.Rows[i].Parts[audit.Actor] = audit.StoredPart{Sealed: true}
		}
	}
	c := follower(t, l)
	report, err := audit.Fsck(audit.StoredLog{Heads: l.Heads, Rows: c.AuditRows(t.Context(), 0), Tiles: func(yield func(audit.TileData, error) bool) {
		for tile := range l.Tree.Tiles() {
			data, err := c.AuditTile(t.Context(), tile)
			if !yield(audit.TileData{Tile: tile, Data: data}, err) {
				return
			}
		}
	}})
	if err != nil || !report.OK() || report.Events != 1300 || report.Unchecked != 649 {
		t.Errorf("%v: %+v", err, report)
	}
	l.Lie = func(w http.ResponseWriter, _ *http.Request) bool {
		zero := int64(0)
		json.NewEncoder(w).Encode(api.AuditRecordList{Next: &zero})
		return true
	}
	for _, err = range c.AuditRows(t.Context(), 0) {
	}
	if err == nil || !strings.Contains(err.Error(), "in a circle") {
		t.Errorf("a list without an end: %v", err)
	}
}

// A log may keep only the full form of a tile that was narrow when it was signed.
func TestAuditTileIsTheBeginningOfAWiderOne(t *testing.T) {
	l := newLog(t, 300)
	c := follower(t, l)
	narrow := audit.Tile{Level: 0, Index: 0, Width: 17}
	want, err := c.AuditTile(t.Context(), narrow)
	if err != nil {
		t.Fatal(err)
	}
	l.Lie = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, ".p/") {
			logtest.Problem(w, http.StatusNotFound, "not-found")
		}
		return strings.Contains(r.URL.Path, ".p/")
	}
	if got, err := c.AuditTile(t.Context(), narrow); err != nil || !bytes.Equal(got, want) || len(got) != 17*32 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := c.AuditTile(t.Context(), audit.Tile{Level: 0, Index: 1, Width: 44}); !errors.Is(err, ErrNotFound) {
		t.Errorf("one that is not full: %v", err)
	}
}

func TestReceipts(t *testing.T) {
	l := newLog(t, 30)
	c := follower(t, l)
	var prefer []string
	l.Lie = func(_ http.ResponseWriter, r *http.Request) bool {
		prefer = append(prefer, r.Header.Get("Prefer"))
		return false
	}
	byID, err := c.Receipt(t.Context(), 8, true)
	if err != nil {
		t.Fatal(err)
	}
	byIndex, err := c.ReceiptAt(t.Context(), 7)
	if err != nil || !bytes.Equal(byID, byIndex) {
		t.Fatalf("%v", err)
	}
	if _, err := c.Receipt(t.Context(), 80, false); !errors.Is(err, ErrNotFound) {
		t.Errorf("one that isn't there: %v", err)
	}
	if !slices.Equal(prefer, []string{"wait", "", ""}) {
		t.Errorf("%q", prefer)
	}
	receipt, err := audit.ParseReceipt(byID)
	if err != nil {
		t.Fatal(err)
	}
	if _, e, _, err := receipt.Verify(l.Key.Public()); err != nil || e.Operational["file"] != logtest.FileID(7) {
		t.Errorf("%v: %v", e.Operational, err)
	}
	l.Lie = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Write(make([]byte, audit.MaxReceipt+100))
		return true
	}
	long, err := c.ReceiptAt(t.Context(), 7)
	if _, parseErr := audit.ParseReceipt(long); err != nil || parseErr == nil || len(long) != audit.MaxReceipt+1 {
		t.Errorf("a reply without an end: %d bytes, %v", len(long), err)
	}
}

// The event that a put was recorded as is the one that the last reply about it names.
func TestPutNamesItsEvent(t *testing.T) {
	for _, content := range [][]byte{[]byte("small"), large} {
		s, c := newStore(t)
		s.event = 41
		f, err := c.Put(t.Context(), uploadOf(content))
		if err != nil || f.Event != 41 {
			t.Errorf("%d bytes: event %d, %v", len(content), f.Event, err)
		}
		s.event = 0
		u := uploadOf(content)
		u.Path, u.Replace = "/a/again", true
		if f, err = c.Put(t.Context(), u); err != nil || f.Event != 0 {
			t.Errorf("%d bytes, not named: event %d, %v", len(content), f.Event, err)
		}
	}
}
