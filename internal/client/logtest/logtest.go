// Package logtest is an audit log in memory and the part of the API that shows it, for tests of clients. It is honest
// unless a test tells it to lie. It is imported by tests alone.
package logtest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/api"
	"stonevault/audit"
)

// T is the test that the log is for.
func (l *Log) T() testing.TB { return l.t }

// Unlocked lets a lie, which runs in the place of a request, change the log.
func (l *Log) Unlocked(change func()) {
	l.mu.Unlock()
	defer l.mu.Lock()
	change()
}

// Noon is when every log begins.
var Noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// Ann is the id of the person who does everything.
const Ann = "5f2b1c0e9a7d43b8a1c2d3e4f5061728"

// Log is a log and its server.
type Log struct {
	t       testing.TB
	Key     *audit.SigningKey
	Tree    audit.Tree
	Rows    []audit.Row
	Signed  []byte       // the newest checkpoint; nil before Sign
	Heads   []audit.Tree // that were signed
	Anchors []api.AuditAnchor
	At      api.Anchoring

	mu sync.Mutex // guards what follows, and what is above while the server runs
	// Lie is asked first about each request; a true takes it over.
	Lie      func(w http.ResponseWriter, r *http.Request) bool
	Requests []string // paths below /api/v1, with their queries

	tiles map[audit.Tile][]byte
	rand  *rand.ChaCha8
}

// New begins a log of that name, with keys and salts from the seed. The first event is there, and nothing is signed.
func New(t testing.TB, origin string, seed byte, begun audit.Values) *Log {
	t.Helper()
	random := rand.NewChaCha8([32]byte{seed})
	key, err := audit.NewSigningKey(random, origin)
	if err != nil {
		t.Fatal(err)
	}
	l := &Log{t: t, Key: key, Tree: audit.EmptyTree(), tiles: map[audit.Tile][]byte{}, rand: random}
	first := audit.Values{"origin": origin, "reason": "first", "previous_checkpoint": "", "previous_anchor": ""}
	for name, value := range begun {
		first[name] = value
	}
	l.Add(audit.Event{Type: audit.LogBegun, Operational: first})
	return l
}

// Clone is a copy that goes its own way: what is added to it has other salts.
func (l *Log) Clone(seed byte) *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &Log{t: l.t, Key: l.Key, Tree: l.Tree, Signed: l.Signed, Anchors: l.Anchors, At: l.At, tiles: map[audit.Tile][]byte{}, rand: rand.NewChaCha8([32]byte{seed})}
	c.Rows, c.Heads = append(c.Rows, l.Rows...), append(c.Heads, l.Heads...)
	for at, data := range l.tiles {
		c.tiles[at] = bytes.Clone(data)
	}
	return c
}

// Put is a file that was put.
func Put(name string, n int64) audit.Event {
	return audit.Event{
		Type: audit.FilePut,
		Operational: audit.Values{
			"file": FileID(n), "revision": 1, "manifest": fmt.Sprintf("%064x", n), "document": DocumentID(n), "version": 1, "size": n, "class": "normal", "by": "put",
		},
		Actor:   audit.Values{"person": Ann, "name": "Ann", "session": fmt.Sprintf("%032x", 7), "client": "test", "address": "192.0.2.1"},
		Subject: audit.Values{"person": Ann, "path": name},
	}
}

// FileID and DocumentID are the ids of the file that Put names.
func FileID(n int64) string     { return fmt.Sprintf("f%031x", n) }
func DocumentID(n int64) string { return fmt.Sprintf("d%031x", n) }

// Add appends events, a second after each other, and returns the index of the first.
func (l *Log) Add(events ...audit.Event) int64 {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.add(events...)
}

func (l *Log) add(events ...audit.Event) (first int64) {
	l.t.Helper()
	first = int64(len(l.Rows))
	var leaves []audit.Hash
	for _, e := range events {
		index := int64(len(l.Rows))
		e.Time = Noon.Add(time.Duration(index) * time.Second)
		r, err := e.Commit(l.rand)
		if err != nil {
			l.t.Fatal(err)
		}
		row := audit.Row{Index: index, Leaf: r.Leaf.Bytes()}
		for i, o := range r.Openings {
			row.Parts[i].Opening = o
		}
		l.Rows = append(l.Rows, row)
		leaves = append(leaves, audit.LeafHash(row.Leaf))
	}
	tree, tiles, err := l.Tree.Append(l, leaves)
	if err != nil {
		l.t.Fatal(err)
	}
	l.Tree = tree
	for _, t := range tiles {
		l.tiles[coordinates(t.Tile)] = t.Data
	}
	return first
}

// Fill adds puts of files up to a number of events, and signs.
func (l *Log) Fill(size int) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := len(l.Rows); n < size; n++ {
		l.add(Put(fmt.Sprintf("/letters/%d.txt", n), int64(n)))
	}
	l.sign()
}

// Sign signs the head.
func (l *Log) Sign() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sign()
}

func (l *Log) sign() {
	l.t.Helper()
	signed, err := l.Key.Sign(l.Tree, Noon.Add(time.Duration(l.Tree.Size)*time.Minute))
	if err != nil {
		l.t.Fatal(err)
	}
	l.Signed, l.Heads = signed, append(l.Heads, l.Tree)
}

func coordinates(t audit.Tile) audit.Tile { return audit.Tile{Level: t.Level, Index: t.Index} }

// ReadTiles is audit.TileReader.
func (l *Log) ReadTiles(tiles []audit.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, t := range tiles {
		data[i] = l.tiles[coordinates(t)]
	}
	return data, nil
}

// Receipt is the receipt of the event at an index.
func (l *Log) Receipt(index int64) []byte {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.receipt(index)
}

func (l *Log) receipt(index int64) []byte {
	head := l.head()
	path, err := head.ProveInclusion(l, index)
	if err != nil {
		return nil
	}
	row := l.Rows[index]
	r := audit.Receipt{Index: index, Proof: path, Checkpoint: l.Signed}
	if r.Record.Leaf, err = audit.ParseLeaf(row.Leaf); err != nil {
		l.t.Error(err)
	}
	for i, p := range row.Parts {
		r.Record.Openings[i] = p.Opening
	}
	return r.Marshal()
}

// head is the newest that was signed.
func (l *Log) head() audit.Tree {
	if len(l.Heads) == 0 {
		return audit.EmptyTree()
	}
	return l.Heads[len(l.Heads)-1]
}

// Serve starts a server for the log. Others answer what is not about it.
func (l *Log) Serve(others http.Handler) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/audit", l.describe)
	mux.HandleFunc("GET /api/v1/audit/consistency", l.consistency)
	mux.HandleFunc("GET /api/v1/audit/checkpoint", l.checkpoint)
	mux.HandleFunc("GET /api/v1/audit/receipts/{index}", func(w http.ResponseWriter, r *http.Request) { l.sendReceipt(w, r.PathValue("index"), 0) })
	mux.HandleFunc("GET /api/v1/audit/events/{event}/receipt", func(w http.ResponseWriter, r *http.Request) { l.sendReceipt(w, r.PathValue("event"), 1) })
	mux.HandleFunc("GET /api/v1/audit/events", l.events)
	mux.HandleFunc("GET /api/v1/audit/records", l.records)
	mux.HandleFunc("GET /api/v1/audit/tile/{path...}", l.tile)
	mux.HandleFunc("GET /api/v1/audit/anchors", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, api.AuditAnchorList{Items: append([]api.AuditAnchor{}, l.Anchors...)})
	})
	if others != nil {
		mux.Handle("/", others)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.Requests = append(l.Requests, strings.TrimPrefix(r.URL.RequestURI(), "/api/v1"))
		if l.Lie != nil && l.Lie(w, r) {
			return
		}
		mux.ServeHTTP(w, r)
	}))
	l.t.Cleanup(s.Close)
	return s
}

// Become makes the server show another log.
func (l *Log) Become(other *Log) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Key, l.Tree, l.Rows, l.Signed, l.Heads, l.tiles, l.rand = other.Key, other.Tree, other.Rows, other.Signed, other.Heads, other.tiles, other.rand
}

// Set changes the log while its server runs.
func (l *Log) Set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// Problem answers with a problem.
func Problem(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(api.Problem{Type: "/problems/" + code, Title: code, Detail: "It is " + code + ".", Status: status, RequestID: "r1"})
}

func (l *Log) describe(w http.ResponseWriter, _ *http.Request) {
	head := l.head()
	reply(w, api.AuditLog{
		Log: 1, Origin: l.Key.Public().Origin(), PublicKey: l.Key.Public().Text(), Size: head.Size, Root: hex.EncodeToString(head.Root[:]),
		Checkpoint: string(l.Signed), BegunAt: Noon, Anchoring: l.At,
	})
}

func (l *Log) consistency(w http.ResponseWriter, r *http.Request) {
	from, err := strconv.ParseInt(r.URL.Query().Get("from"), 10, 64)
	proof, proofErr := l.head().ProveConsistency(l, from)
	if err != nil || proofErr != nil || l.Signed == nil {
		Problem(w, http.StatusNotFound, "not-found")
		return
	}
	c := api.AuditConsistency{Proof: [][]byte{}, Checkpoint: string(l.Signed)}
	for _, h := range proof {
		c.Proof = append(c.Proof, h[:])
	}
	reply(w, c)
}

func (l *Log) checkpoint(w http.ResponseWriter, _ *http.Request) {
	if l.Signed == nil {
		Problem(w, http.StatusNotFound, "not-found")
		return
	}
	w.Write(l.Signed)
}

// sendReceipt answers with the receipt of an event; ids are their indexes plus first.
func (l *Log) sendReceipt(w http.ResponseWriter, number string, first int64) {
	index, err := strconv.ParseInt(number, 10, 64)
	if receipt := l.receipt(index - first); err == nil && receipt != nil {
		w.Write(receipt)
		return
	}
	Problem(w, http.StatusNotFound, "not-found")
}

func (l *Log) events(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	after, _ := strconv.ParseInt(q.Get("after"), 10, 64)
	list := api.AuditEventList{Items: []api.AuditEvent{}}
	for i := len(l.Rows) - 1; i >= 0; i-- {
		index := int64(i)
		event := l.event(index)
		if event.ID <= after || !strings.HasPrefix(event.Type, q.Get("type")) || q.Get("file") != "" && event.Operational["file"] != q.Get("file") {
			continue
		}
		list.Items = append(list.Items, event)
	}
	reply(w, list)
}

func (l *Log) event(index int64) api.AuditEvent {
	row := l.Rows[index]
	leaf, err := audit.ParseLeaf(row.Leaf)
	if err != nil {
		return api.AuditEvent{ID: index + 1, Index: &index, Damaged: true}
	}
	record := audit.Record{Leaf: leaf}
	for i, p := range row.Parts {
		record.Openings[i] = p.Opening
	}
	e, _, err := record.Event()
	return api.AuditEvent{
		ID: index + 1, Log: 1, Index: &index, Type: e.Type.String(), TypeVersion: int(e.Version), Time: e.Time,
		Operational: e.Operational, Actor: e.Actor, Subject: e.Subject, Damaged: err != nil,
	}
}

func (l *Log) records(w http.ResponseWriter, r *http.Request) {
	from, _ := strconv.ParseInt(r.URL.Query().Get("from"), 10, 64)
	limit, _ := strconv.ParseInt(r.URL.Query().Get("limit"), 10, 64)
	size := min(l.head().Size, int64(len(l.Rows)))
	list := api.AuditRecordList{Items: []api.AuditRecord{}, Size: l.head().Size}
	for i := from; i < min(size, from+limit); i++ {
		row := l.Rows[i]
		record := api.AuditRecord{Index: row.Index, Leaf: row.Leaf, Operational: row.Parts[0].Opening, Actor: row.Parts[1].Opening, Subject: row.Parts[2].Opening}
		for slot, part := range row.Parts {
			if part.Sealed {
				record.Withheld = append(record.Withheld, api.AuditSlot(audit.Slot(slot).String()))
			}
		}
		list.Items = append(list.Items, record)
	}
	if next := from + limit; next < size {
		list.Next = &next
	}
	reply(w, list)
}

func (l *Log) tile(w http.ResponseWriter, r *http.Request) {
	t, err := audit.ParseTilePath("tile/" + path.Clean(r.PathValue("path")))
	data := l.tiles[coordinates(t)]
	if err != nil || len(data) < t.Width*audit.HashSize {
		Problem(w, http.StatusNotFound, "not-found")
		return
	}
	w.Write(data[:t.Width*audit.HashSize])
}

// ChangeTile changes a stored tile, as wide as it is; nil takes it away.
func (l *Log) ChangeTile(t audit.Tile, change func([]byte) []byte) {
	if data := change(l.tiles[coordinates(t)]); data != nil {
		l.tiles[coordinates(t)] = data
	} else {
		delete(l.tiles, coordinates(t))
	}
}
