package audit_test

import (
	"bytes"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"stonevault/audit"
)

const origin = "vault.example/audit/1"

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// randomness is the same in every run.
func randomness(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func newKey(t testing.TB) *audit.SigningKey {
	t.Helper()
	k, err := audit.NewSigningKey(randomness(1), origin)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// put is an event that fills all slots.
func put(n int) audit.Event {
	person := fmt.Sprintf("%032x", n%3)
	return audit.Event{
		Type: audit.FilePut, Time: noon.Add(time.Duration(n) * time.Millisecond),
		Operational: audit.Values{
			"file": fmt.Sprintf("%032x", n), "revision": 1, "manifest": fmt.Sprintf("%064x", n), "document": fmt.Sprintf("%032x", n),
			"version": 1, "size": int64(n) << 20, "class": "normal", "by": "upload",
		},
		Actor:   audit.Values{"person": person, "name": "Ada", "session": fmt.Sprintf("%032x", 7), "client": "test", "address": "192.0.2.1"},
		Subject: audit.Values{"person": person, "path": fmt.Sprintf("/letters/%d.txt", n)},
	}
}

// stopped is an event about nobody.
func stopped(n int) audit.Event {
	return audit.Event{Type: audit.ServerStopped, Time: noon.Add(time.Duration(n) * time.Millisecond), Operational: audit.Values{"reason": "asked"}}
}

// storedLog is a log as a database keeps it.
type storedLog struct {
	tree  audit.Tree
	rows  []audit.Row
	tiles map[audit.Tile][]byte // by level and index
	heads []audit.Tree
	rand  *rand.ChaCha8
}

func newLog() *storedLog {
	return &storedLog{tree: audit.EmptyTree(), tiles: map[audit.Tile][]byte{}, rand: randomness(2)}
}

func coordinates(t audit.Tile) audit.Tile { return audit.Tile{Level: t.Level, Index: t.Index} }

func (l *storedLog) ReadTiles(tiles []audit.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, t := range tiles {
		data[i] = l.tiles[coordinates(t)]
	}
	return data, nil
}

// add appends events as one batch.
func (l *storedLog) add(t testing.TB, events ...audit.Event) {
	t.Helper()
	var leaves []audit.Hash
	for _, e := range events {
		r, err := e.Commit(l.rand)
		if err != nil {
			t.Fatal(err)
		}
		row := audit.Row{Index: int64(len(l.rows)), Leaf: r.Leaf.Bytes()}
		for i, o := range r.Openings {
			row.Parts[i].Opening = o
		}
		l.rows = append(l.rows, row)
		leaves = append(leaves, audit.LeafHash(row.Leaf))
	}
	l.addLeaves(t, leaves...)
}

func (l *storedLog) addLeaves(t testing.TB, leaves ...audit.Hash) {
	t.Helper()
	tree, tiles, err := l.tree.Append(l, leaves)
	if err != nil {
		t.Fatal(err)
	}
	l.tree = tree
	for _, tile := range tiles {
		if len(tile.Data) != tile.Width*audit.HashSize {
			t.Fatalf("%s has %d bytes", tile.Path(), len(tile.Data))
		}
		l.tiles[coordinates(tile.Tile)] = tile.Data
	}
}

// fill appends events up to a size, in batches, and keeps some of the heads on the way.
func (l *storedLog) fill(t testing.TB, size int) {
	t.Helper()
	for len(l.rows) < size {
		batch := make([]audit.Event, min(size-len(l.rows), 1+int(l.rand.Uint64()%100)))
		for i := range batch {
			n := len(l.rows) + i
			if batch[i] = put(n); n%5 == 4 {
				batch[i] = stopped(n)
			}
		}
		l.add(t, batch...)
		if l.rand.Uint64()%3 == 0 {
			l.heads = append(l.heads, l.tree)
		}
	}
	l.heads = append(l.heads, l.tree)
}

// clone is a copy to be tampered with.
func (l *storedLog) clone() *storedLog {
	c := *l
	c.rows = slices.Clone(l.rows)
	for i := range c.rows {
		c.rows[i].Leaf = bytes.Clone(c.rows[i].Leaf)
		for j, p := range c.rows[i].Parts {
			c.rows[i].Parts[j].Opening = bytes.Clone(p.Opening)
		}
	}
	c.tiles = map[audit.Tile][]byte{}
	for at, data := range l.tiles {
		c.tiles[at] = bytes.Clone(data)
	}
	c.heads = slices.Clone(l.heads)
	return &c
}

// number gives rows the indexes of their places.
func (l *storedLog) number() {
	for i := range l.rows {
		l.rows[i].Index = int64(i)
	}
}

func (l *storedLog) allRows() iter.Seq2[audit.Row, error] {
	return func(yield func(audit.Row, error) bool) {
		for _, r := range l.rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (l *storedLog) allTiles() iter.Seq2[audit.TileData, error] {
	var order []audit.Tile
	for at := range l.tiles {
		order = append(order, at)
	}
	slices.SortFunc(order, func(a, b audit.Tile) int {
		if a.Level != b.Level {
			return a.Level - b.Level
		}
		return int(a.Index - b.Index)
	})
	return func(yield func(audit.TileData, error) bool) {
		for _, at := range order {
			if !yield(audit.TileData{Tile: at, Data: l.tiles[at]}, nil) {
				return
			}
		}
	}
}

func (l *storedLog) fsck(t testing.TB) *audit.Report {
	t.Helper()
	r, err := audit.Fsck(audit.StoredLog{Heads: l.heads, Rows: l.allRows(), Tiles: l.allTiles()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
