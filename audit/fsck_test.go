package audit_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"stonevault/audit"
)

// say is a report's findings as one text, without the numbers that only a fuller report has.
func say(r *audit.Report) string {
	var all []string
	for _, f := range r.Findings {
		all = append(all, f.String())
	}
	return strings.Join(all, "; ")
}

func TestFsckOfSoundLogs(t *testing.T) {
	for _, size := range []int{0, 1, 2, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 1300} {
		l := newLog()
		l.fill(t, size)
		r := l.fsck(t)
		if !r.OK() || r.Head != l.tree || r.Intact != int64(size) || r.Events != int64(size) || r.Tiles != int64(len(l.tiles)) || r.Unchecked != 0 {
			t.Errorf("size %d: %s, %+v", size, say(r), r)
		}
	}
}

// TestFsckNames: each change to a stored log is found, and nothing but it is named.
func TestFsckNames(t *testing.T) {
	const size = 1300
	sound := newLog()
	sound.fill(t, size)
	swap := func(l *storedLog, a, b int) { l.rows[a], l.rows[b] = l.rows[b], l.rows[a]; l.number() }
	cut := func(l *storedLog, from, to int) { l.rows = slices.Delete(l.rows, from, to) }
	strange := func(n int) audit.Row {
		other := newLog()
		other.rand = randomness(77)
		other.add(t, put(n))
		return other.rows[0]
	}
	// rehash makes a tile of level 0 fit its rows, as somebody would who knows how the log is kept.
	rehash := func(l *storedLog, n int64) {
		var data []byte
		for _, r := range l.rows[n*256 : min((n+1)*256, int64(len(l.rows)))] {
			h := audit.LeafHash(r.Leaf)
			data = append(data, h[:]...)
		}
		l.tiles[audit.Tile{Level: 0, Index: n}] = data
	}
	for _, c := range []struct {
		what   string
		change func(l *storedLog)
		want   string
	}{
		{"nothing", func(l *storedLog) {}, ""},
		{"a byte of a leaf", func(l *storedLog) { l.rows[700].Leaf[50] ^= 1 }, "event 700 was changed"},
		{"a byte of the first leaf", func(l *storedLog) { l.rows[0].Leaf[11] ^= 1 }, "event 0 was changed"},
		{"a byte of the last leaf", func(l *storedLog) { l.rows[1299].Leaf[107] ^= 1 }, "event 1299 was changed"},
		{"a leaf's version", func(l *storedLog) { l.rows[700].Leaf[0] = 9 }, "event 700 was changed"},
		{"a leaf cut short", func(l *storedLog) { l.rows[700].Leaf = l.rows[700].Leaf[:5] }, "event 700 was changed"},
		{"an event replaced, with its parts", func(l *storedLog) { l.rows[700] = strange(700); l.rows[700].Index = 700 }, "event 700 was changed"},
		{"two leaves", func(l *storedLog) { l.rows[3].Leaf[50] ^= 1; l.rows[1290].Leaf[50] ^= 1 }, "event 3 was changed; event 1290 was changed"},
		{"neighbours", func(l *storedLog) { l.rows[255].Leaf[50] ^= 1; l.rows[256].Leaf[50] ^= 1 }, "events 255 to 256 were changed"},

		{"a row deleted", func(l *storedLog) { cut(l, 700, 701) }, "event 700 was removed"},
		{"the first row deleted", func(l *storedLog) { cut(l, 0, 1) }, "event 0 was removed"},
		{"rows deleted", func(l *storedLog) { cut(l, 200, 900) }, "events 200 to 899 were removed"},
		{"a row deleted, the gap closed", func(l *storedLog) { cut(l, 700, 701); l.number() }, "event 700 was removed, and those behind renumbered"},
		{"the first row deleted, the gap closed", func(l *storedLog) { cut(l, 0, 1); l.number() }, "event 0 was removed, and those behind renumbered"},
		{"rows deleted, the gap closed", func(l *storedLog) { cut(l, 200, 900); l.number() }, "events 200 to 899 were removed, and those behind renumbered"},
		{"two gaps closed", func(l *storedLog) { cut(l, 900, 901); cut(l, 20, 23); l.number() },
			"events 20 to 22 were removed, and those behind renumbered; event 900 was removed, and those behind renumbered"},
		{"a gap closed and a leaf changed behind it", func(l *storedLog) { l.rows[1000].Leaf[50] ^= 1; cut(l, 20, 21); l.number() },
			"event 20 was removed, and those behind renumbered; event 1000 was changed"},
		{"the last row deleted", func(l *storedLog) { cut(l, 1299, 1300) }, "event 1299 was removed from the end"},
		{"the tail dropped", func(l *storedLog) { cut(l, 1000, 1300) }, "events 1000 to 1299 were removed from the end"},
		{"all rows deleted", func(l *storedLog) { l.rows = nil }, "events 0 to 1299 were removed from the end"},
		{"a gap closed and the tail dropped", func(l *storedLog) { cut(l, 1200, 1300); cut(l, 20, 21); l.number() },
			"event 20 was removed, and those behind renumbered; events 1200 to 1299 were removed from the end"},

		{"neighbours swapped", func(l *storedLog) { swap(l, 700, 701) }, "events 700 and 701 have changed places"},
		{"distant rows swapped", func(l *storedLog) { swap(l, 3, 1299) }, "events 3 and 1299 have changed places"},
		{"two swaps", func(l *storedLog) { swap(l, 3, 1299); swap(l, 30, 31) }, "events 3 and 1299 have changed places; events 30 and 31 have changed places"},

		{"a row inserted", func(l *storedLog) { l.rows = slices.Insert(l.rows, 700, strange(700)); l.number() }, "a row that the log never had stands at 700"},
		{"a row inserted before all", func(l *storedLog) { l.rows = slices.Insert(l.rows, 0, strange(700)); l.number() }, "a row that the log never had stands at 0"},
		{"a row behind all", func(l *storedLog) { l.rows = append(l.rows, strange(700)); l.number() }, "a row that the log never had stands at 1300"},
		{"a row far behind", func(l *storedLog) { r := strange(700); r.Index = 1 << 60; l.rows = append(l.rows, r) }, "a row that the log never had stands at 1152921504606846976"},
		{"a row before 0", func(l *storedLog) { r := strange(700); r.Index = -5; l.rows = slices.Insert(l.rows, 0, r) }, "there are two rows of event -5"},
		{"an index twice", func(l *storedLog) { r := strange(700); r.Index = 700; l.rows = slices.Insert(l.rows, 701, r) }, "there are two rows of event 700"},
		{"a row inserted, one removed", func(l *storedLog) { l.rows = slices.Insert(l.rows, 700, strange(700)); cut(l, 20, 21); l.number() },
			"event 20 was removed, and those behind renumbered; a row that the log never had stands at 699"},

		{"a bit of a tile of level 0", func(l *storedLog) { l.tiles[audit.Tile{Index: 2}][5*32] ^= 8 }, "tile/0/002 was changed: 1 of its hashes, the first is number 5"},
		{"a bit of the last tile of level 0", func(l *storedLog) { l.tiles[audit.Tile{Index: 5}][0] ^= 8 }, "tile/0/005.p/20 was changed: 1 of its hashes, the first is number 0"},
		{"a bit of the tile of level 1", func(l *storedLog) { l.tiles[audit.Tile{Level: 1}][4*32+31] ^= 8 }, "tile/1/000.p/5 was changed: 1 of its hashes, the first is number 4"},
		{"a tile of level 0 deleted", func(l *storedLog) { delete(l.tiles, audit.Tile{Index: 2}) }, "tile/0/002 is missing"},
		{"the last tile deleted", func(l *storedLog) { delete(l.tiles, audit.Tile{Index: 5}) }, "tile/0/005.p/20 is missing"},
		{"the tile of level 1 deleted", func(l *storedLog) { delete(l.tiles, audit.Tile{Level: 1}) }, "tile/1/000.p/5 is missing"},
		{"all tiles deleted", func(l *storedLog) { clear(l.tiles) },
			"tile/0/000 is missing; tile/0/001 is missing; tile/0/002 is missing; tile/0/003 is missing; tile/0/004 is missing; tile/0/005.p/20 is missing; tile/1/000.p/5 is missing"},
		{"a tile cut", func(l *storedLog) { at := audit.Tile{Index: 2}; l.tiles[at] = l.tiles[at][:100] }, "tile/0/002 has 100 bytes"},
		{"a tile longer", func(l *storedLog) { at := audit.Tile{Index: 5}; l.tiles[at] = append(l.tiles[at], l.tiles[at]...) }, "tile/0/005.p/20 has 1280 bytes"},
		{"a tile more", func(l *storedLog) { l.tiles[audit.Tile{Index: 6}] = make([]byte, 32) }, "tile/0/006.p/1 is none of this tree, or is there twice"},
		{"a level more", func(l *storedLog) { l.tiles[audit.Tile{Level: 2}] = make([]byte, 64) }, "tile/2/000.p/2 is none of this tree, or is there twice"},
		{"two tiles exchanged", func(l *storedLog) {
			a, b := audit.Tile{Index: 2}, audit.Tile{Index: 3}
			l.tiles[a], l.tiles[b] = l.tiles[b], l.tiles[a]
		}, "tile/0/002 was changed: 256 of its hashes, the first is number 0; tile/0/003 was changed: 256 of its hashes, the first is number 0"},

		{"a row and another hash of its tile", func(l *storedLog) { l.rows[515].Leaf[50] ^= 1; l.tiles[audit.Tile{Index: 2}][5*32] ^= 8 },
			"event 515 was changed; tile/0/002 was changed: 1 of its hashes, the first is number 5"},
		{"a row and a hash above another", func(l *storedLog) { l.rows[515].Leaf[50] ^= 1; l.tiles[audit.Tile{Level: 1}][4*32] ^= 8 },
			"event 515 was changed; tile/1/000.p/5 was changed: 1 of its hashes, the first is number 4"},
		{"a row and its tile", func(l *storedLog) { l.rows[515].Leaf[50] ^= 1; rehash(l, 2) }, "events 512 to 767 were rewritten together with their tile; the actor part of event 515 was changed"},
		{"a row and the last tile", func(l *storedLog) { l.rows[1299].Leaf[107] ^= 1; rehash(l, 5) }, "the stored log doesn't give the signed root of its first 1300 events"},
	} {
		l := sound.clone()
		l.heads = l.heads[len(l.heads)-1:]
		c.change(l)
		if got := say(l.fsck(t)); got != c.want {
			t.Errorf("%s:\n got %.600s\nwant %s", c.what, got, c.want)
		}
	}
}

// TestFsckOfRewrites: history that was rewritten as a whole fits itself, and no head from before.
func TestFsckOfRewrites(t *testing.T) {
	l, other := newLog(), newLog()
	l.fill(t, 600)
	kept := l.tree
	l.fill(t, 1300)
	var events []audit.Event
	for n := range 1300 {
		e := put(n)
		if n%5 == 4 {
			e = stopped(n)
		}
		if n == 700 {
			e = put(7)
		}
		events = append(events, e)
	}
	other.rand = randomness(2) // the same salts
	other.fill(t, 600)
	other.heads = nil
	other.add(t, events[600:]...)

	// Re-signed, so that only the pins of others tell.
	other.heads = []audit.Tree{other.tree, kept, l.tree}
	r := other.fsck(t)
	if got := say(r); got != "the stored log doesn't give the signed root of its first 1300 events" || r.Intact != 1300 {
		t.Errorf("%s, intact to %d", got, r.Intact)
	}
	// Not re-signed.
	other.heads = []audit.Tree{kept, l.tree}
	r = other.fsck(t)
	if got := say(r); got != "the stored log doesn't give the signed root of its first 1300 events" || r.Intact != 600 {
		t.Errorf("%s, intact to %d", got, r.Intact)
	}
	// Rolled back, with everything that a server keeps.
	l.rows, l.tiles = nil, map[audit.Tile][]byte{}
	l.tree, l.rand = audit.EmptyTree(), randomness(2)
	head := other.heads[1]
	l.heads = nil
	l.fill(t, 600)
	l.heads = []audit.Tree{l.tree, head}
	r = l.fsck(t)
	if got := say(r); !strings.Contains(got, "events 600 to 1299 were removed from the end") || r.Intact != 600 {
		t.Errorf("%s, intact to %d", got, r.Intact)
	}
	if _, err := audit.Fsck(audit.StoredLog{Rows: l.allRows(), Tiles: l.allTiles()}); !errors.Is(err, audit.ErrNoHead) {
		t.Errorf("without a head: %v", err)
	}
}

// TestFsckOfParts: openings that were changed, taken away or added.
func TestFsckOfParts(t *testing.T) {
	const size = 600
	sound := newLog()
	sound.fill(t, size-2)
	victim := audit.Values{"person": strings.Repeat("a", 32), "name": "Bob", "session": "", "client": "", "address": ""}
	sound.add(t, erasure(victim, audit.PartNumber(10, audit.Actor), audit.PartNumber(10, audit.Subject), audit.PartNumber(300, audit.Subject)))
	sound.add(t, erasure(nil, audit.PartNumber(size-2, audit.Actor)))
	take := func(l *storedLog, event int, slots ...audit.Slot) {
		for _, s := range slots {
			l.rows[event].Parts[s] = audit.StoredPart{}
		}
	}
	erase := func(l *storedLog) {
		take(l, 10, audit.Actor, audit.Subject)
		take(l, 300, audit.Subject)
		take(l, size-2, audit.Actor)
	}
	for _, c := range []struct {
		what   string
		change func(l *storedLog)
		want   string
	}{
		{"nothing but what was erased", func(l *storedLog) {}, ""},
		{"a byte of an actor", func(l *storedLog) { l.rows[20].Parts[audit.Actor].Opening[40] ^= 1 }, "the actor part of event 20 was changed"},
		{"a byte of a salt", func(l *storedLog) { l.rows[20].Parts[audit.Subject].Opening[0] ^= 1 }, "the subject part of event 20 was changed"},
		{"a byte of the operational part", func(l *storedLog) { l.rows[20].Parts[audit.Operational].Opening[40] ^= 1 }, "the operational part of event 20 was changed"},
		{"which slots there are", func(l *storedLog) { l.rows[20].Parts[audit.Operational].Opening[32] = 0 }, "the operational part of event 20 was changed"},
		{"a part cut short", func(l *storedLog) {
			p := &l.rows[20].Parts[audit.Actor]
			p.Opening = p.Opening[:3]
		}, "the actor part of event 20 was changed"},
		{"an empty part", func(l *storedLog) { l.rows[20].Parts[audit.Actor].Opening = audit.Opening{} }, "the actor part of event 20 was changed"},
		{"what doesn't decrypt", func(l *storedLog) { l.rows[20].Parts[audit.Actor].Opening = make(audit.Opening, 300) }, "the actor part of event 20 was changed"},
		{"parts exchanged", func(l *storedLog) { p := &l.rows[20].Parts; p[1], p[2] = p[2], p[1] }, "the actor part of event 20 was changed; the subject part of event 20 was changed"},
		{"another event's part", func(l *storedLog) { l.rows[20].Parts[audit.Actor] = l.rows[21].Parts[audit.Actor] }, "the actor part of event 20 was changed"},
		{"an actor taken", func(l *storedLog) { take(l, 20, audit.Actor) }, "the actor part of event 20 is missing, and no erasure allows it"},
		{"the other slot of an erased event", func(l *storedLog) { take(l, 300, audit.Actor) }, "the actor part of event 300 is missing, and no erasure allows it"},
		{"both taken", func(l *storedLog) { take(l, 20, audit.Actor, audit.Subject) },
			"the actor part of event 20 is missing, and no erasure allows it; the subject part of event 20 is missing, and no erasure allows it"},
		{"an operational part taken", func(l *storedLog) { take(l, 20, audit.Operational) }, "the operational part of event 20 is missing, and no erasure allows it"},
		{"all parts taken", func(l *storedLog) { take(l, 20, audit.Operational, audit.Actor, audit.Subject) }, "the operational part of event 20 is missing, and no erasure allows it"},
		{"a part of nobody", func(l *storedLog) { l.rows[24].Parts[audit.Actor] = l.rows[20].Parts[audit.Actor] },
			"the actor part of event 24 was changed; event 24 has no actor, and a part of it is there"},
		{"an erased part brought back", func(l *storedLog) { l.rows[10].Parts[audit.Actor] = sound.rows[10].Parts[audit.Actor] },
			"event 598 lists the actor part of event 10 as erased, and it is not"},
		{"the erasure's list taken", func(l *storedLog) { take(l, 598, audit.Operational) },
			"the actor part of event 10 is missing, and no erasure allows it; the subject part of event 10 is missing, and no erasure allows it; " +
				"the subject part of event 300 is missing, and no erasure allows it; the operational part of event 598 is missing, and no erasure allows it"},
		{"the erasure forged", func(l *storedLog) {
			other := newLog()
			other.add(t, erasure(victim, 20, 21, 600))
			other.rows[0].Index = 598
			l.rows[598] = other.rows[0]
		}, "the actor part of event 10 is missing, and no erasure allows it; the subject part of event 10 is missing, and no erasure allows it; " +
			"the subject part of event 300 is missing, and no erasure allows it; event 598 was changed"},
		{"a gap closed before erased parts", func(l *storedLog) { l.rows = slices.Delete(l.rows, 5, 6); l.number() }, "event 5 was removed, and those behind renumbered"},
		{"a gap closed before a changed event of the list", func(l *storedLog) { l.rows[300].Leaf[20] ^= 1; l.rows = slices.Delete(l.rows, 5, 6); l.number() },
			"event 5 was removed, and those behind renumbered; event 300 was changed"},
		{"an erased event swapped", func(l *storedLog) { l.rows[10], l.rows[299] = l.rows[299], l.rows[10]; l.number() }, "events 10 and 299 have changed places"},
		{"an erased event deleted", func(l *storedLog) { l.rows = slices.Delete(l.rows, 10, 11) }, "event 10 was removed"},
	} {
		l := sound.clone()
		l.heads = []audit.Tree{l.tree}
		erase(l)
		c.change(l)
		r := l.fsck(t)
		if got := say(r); got != c.want {
			t.Errorf("%s:\n got %.900s\nwant %s", c.what, got, c.want)
		}
		if c.want == "" && fmt.Sprint(r.Erasures) != "[3 personal parts erased, authorised by event 598 1 personal part erased, authorised by event 599]" {
			t.Error(r.Erasures)
		}
	}

	// An erasure can't list itself or what comes after it.
	l := newLog()
	l.fill(t, 20)
	l.add(t, erasure(victim, audit.PartNumber(20, audit.Actor)))
	l.heads = []audit.Tree{l.tree}
	take(l, 20, audit.Actor)
	if got := say(l.fsck(t)); got != "the actor part of event 20 is missing, and no erasure allows it; the erasure at event 20 can't be read, or lists later events" &&
		got != "the erasure at event 20 can't be read, or lists later events; the actor part of event 20 is missing, and no erasure allows it" {
		t.Error(got)
	}

	// Without the keys of persons.
	l = sound.clone()
	l.heads = []audit.Tree{l.tree}
	erase(l)
	for i := range l.rows {
		for slot := audit.Actor; slot <= audit.Subject; slot++ {
			if p := &l.rows[i].Parts[slot]; p.Opening != nil {
				*p = audit.StoredPart{Sealed: true}
			}
		}
	}
	if r := l.fsck(t); !r.OK() || r.Unchecked != 955 {
		t.Errorf("%d unchecked, %s", r.Unchecked, say(r))
	}
}

// bare is a log of rows whose parts nobody can open, which takes little time to make.
func bare(t testing.TB, size int) *storedLog {
	l := newLog()
	var leaves []audit.Hash
	for n := range size {
		leaf := make([]byte, audit.LeafSize)
		l.rand.Read(leaf[12:])
		leaf[0], leaf[2], leaf[3] = 1, byte(audit.ServerStopped), 1
		binary.BigEndian.PutUint32(leaf[8:], uint32(n))
		row := audit.Row{Index: int64(n), Leaf: leaf}
		for i := range row.Parts {
			row.Parts[i].Sealed = true
		}
		l.rows = append(l.rows, row)
		if leaves = append(leaves, audit.LeafHash(leaf)); len(leaves) == 5000 || n == size-1 {
			l.addLeaves(t, leaves...)
			leaves = nil
			l.heads = append(l.heads, l.tree)
		}
	}
	return l
}

// TestFsckOfAllLevels flips bits in tiles of every level of a larger log, in one tile and in several.
func TestFsckOfAllLevels(t *testing.T) {
	l := bare(t, 70000)
	if r := l.fsck(t); !r.OK() {
		t.Fatal(say(r))
	}
	r := rand.New(randomness(12))
	var all []audit.Tile
	for tile := range l.tree.Tiles() {
		all = append(all, tile)
	}
	flipBit := func(tile audit.Tile) (want string, undo func()) {
		at, bit := r.IntN(tile.Width*audit.HashSize), byte(1)<<r.IntN(8)
		data := l.tiles[coordinates(tile)]
		data[at] ^= bit
		return fmt.Sprintf("%s was changed: 1 of its hashes, the first is number %d", tile.Path(), at/audit.HashSize), func() { data[at] ^= bit }
	}
	for _, at := range []int{0, 1, 100, 272, 273, 274, 275, 276} { // 273 is partial; then levels 1 and 2
		want, undo := flipBit(all[at])
		if got := say(l.fsck(t)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		undo()
	}
	for range 3 {
		var wants []string
		var undos []func()
		picked := []audit.Tile{all[r.IntN(273)], all[273], all[274], all[275], all[276]}
		for _, tile := range picked {
			want, undo := flipBit(tile)
			wants, undos = append(wants, want), append(undos, undo)
		}
		slices.Sort(wants)
		if got := say(l.fsck(t)); got != strings.Join(wants, "; ") {
			t.Errorf("got %s, want %s", got, strings.Join(wants, "; "))
		}
		for _, undo := range undos {
			undo()
		}
	}

	// A full tile of level 1 that was made to fit the rewritten rows below it: 65,536 events.
	c := l.clone()
	c.rows[300].Leaf[50] ^= 1
	forged := newLog()
	var leaves []audit.Hash
	for _, row := range c.rows[:65536] {
		leaves = append(leaves, audit.LeafHash(row.Leaf))
	}
	forged.addLeaves(t, leaves...)
	for at, data := range forged.tiles {
		if at.Level < 2 && (at.Level == 1 || at.Index == 1) {
			c.tiles[at] = data
		}
	}
	c.heads = c.heads[len(c.heads)-1:]
	if got := say(c.fsck(t)); got != "events 0 to 65535 were rewritten together with their tile" {
		t.Error(got)
	}
}

// tamper makes a change that a byte string describes, four bytes each.
func (l *storedLog) tamper(ops []byte) {
	for ; len(ops) >= 4 && len(l.rows) >= 2; ops = ops[4:] {
		i, x := int(binary.BigEndian.Uint16(ops[1:]))%len(l.rows), ops[3]
		row := &l.rows[i]
		switch ops[0] % 11 {
		case 0:
			row.Leaf = change(row.Leaf, int(x)%audit.LeafSize, row.Leaf[int(x)%audit.LeafSize]^1)
		case 1:
			l.rows = slices.Delete(l.rows, i, i+1)
		case 2:
			l.rows = slices.Delete(l.rows, i, i+1)
			l.number()
		case 3:
			j := (i + 1 + int(x)) % len(l.rows)
			row.Index, l.rows[j].Index = l.rows[j].Index, row.Index
			slices.SortStableFunc(l.rows, func(a, b audit.Row) int { return cmp.Compare(a.Index, b.Index) })
		case 4:
			l.rows = l.rows[:i]
		case 5:
			added := *row
			added.Leaf = change(row.Leaf, 99, x)
			l.rows = slices.Insert(l.rows, i, added)
			l.number()
		case 6:
			row.Index = []int64{-1, 0, 1 << 40, 1<<63 - 1, -1 << 63, row.Index + 1, row.Index - 1}[x%7]
		case 7:
			row.Parts[x%3] = l.rows[(i+int(x))%len(l.rows)].Parts[x/3%3]
		case 8:
			row.Parts[x%3] = audit.StoredPart{Opening: []audit.Opening{nil, {}, {1}, make(audit.Opening, 40)}[x/3%4]}
		case 9:
			at := audit.Tile{Level: int(x % 3), Index: int64(i % 4)}
			if data := l.tiles[at]; len(data) > 0 {
				l.tiles[at] = change(data, int(x)%len(data), data[int(x)%len(data)]^1)
			}
		case 10:
			at := audit.Tile{Level: int(x) - 100, Index: int64(i) - 10}
			if x < 100 {
				at = audit.Tile{Level: int(x % 2), Index: int64(i % 4)}
			}
			l.tiles[at] = append(bytes.Clone(l.tiles[at]), make([]byte, x)...)[:x]
		}
	}
}

func (l *storedLog) equal(other *storedLog) bool {
	return maps.EqualFunc(l.tiles, other.tiles, bytes.Equal) && slices.EqualFunc(l.rows, other.rows, func(a, b audit.Row) bool {
		for i := range a.Parts {
			if p, q := a.Parts[i].Opening, b.Parts[i].Opening; !bytes.Equal(p, q) || (p == nil) != (q == nil) {
				return false
			}
		}
		return a.Index == b.Index && bytes.Equal(a.Leaf, b.Leaf)
	})
}

// FuzzFsck: whatever was done to rows and tiles, the verifier ends, says a sentence of each finding, and
// says that nothing is wrong exactly where nothing is.
func FuzzFsck(f *testing.F) {
	sound := newLog()
	sound.fill(f, 599)
	sound.add(f, erasure(nil, 20, 21))
	sound.rows[10].Parts[audit.Actor] = audit.StoredPart{}
	sound.rows[10].Parts[audit.Subject] = audit.StoredPart{}
	sound.heads = []audit.Tree{sound.heads[0], sound.tree}
	f.Add([]byte{})
	r := rand.New(randomness(13))
	for range 40 {
		ops := make([]byte, 4*(1+r.IntN(4)))
		for i := range ops {
			ops[i] = byte(r.Uint32())
		}
		f.Add(ops)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 400 {
			return
		}
		l := *sound
		l.rows, l.tiles = slices.Clone(sound.rows), maps.Clone(sound.tiles)
		l.tamper(ops)
		for _, keep := range []int{1, 8192} {
			report, err := audit.FsckKeeping(audit.StoredLog{Heads: l.heads, Rows: l.allRows(), Tiles: l.allTiles()}, keep)
			if err != nil || report.OK() != l.equal(sound) {
				t.Fatalf("%x: %v, %s", ops, err, say(report))
			}
			for _, found := range report.Findings {
				if found.String() == "" {
					t.Fatalf("%+v has no words", found)
				}
			}
		}
	})
}

// TestFsckOfMuch: more differences than are kept are found too, and named by their tiles.
func TestFsckOfMuch(t *testing.T) {
	sound := bare(t, 2000)
	for _, c := range []struct {
		what   string
		change func(l *storedLog)
		want   string
	}{
		{"a gap closed", func(l *storedLog) { l.rows = slices.Delete(l.rows, 20, 21); l.number() },
			"event 20 was removed, and those behind renumbered; event 511 was changed; events 512 to 767 were changed; events 768 to 1023 were changed; events 1024 to 1279 were changed; events 1280 to 1535 were changed; events 1536 to 1791 were changed; events 1792 to 1998 were changed; event 1999 was removed from the end"},
		{"all rows", func(l *storedLog) { l.rows = nil },
			"events 0 to 511 were removed; events 512 to 767 were removed; events 768 to 1023 were removed; events 1024 to 1279 were removed; events 1280 to 1535 were removed; events 1536 to 1791 were removed; events 1792 to 1999 were removed from the end"},
		{"tiles alone", func(l *storedLog) {
			for n := range int64(4) {
				l.tiles[audit.Tile{Index: n}][0] ^= 1
			}
		}, "events 512 to 767 were rewritten together with their tile; events 768 to 1023 were rewritten together with their tile; " +
			"tile/0/000 was changed: 1 of its hashes, the first is number 0; tile/0/001 was changed: 1 of its hashes, the first is number 0"},
	} {
		l := sound.clone()
		l.heads = l.heads[len(l.heads)-1:]
		c.change(l)
		r, err := audit.FsckKeeping(audit.StoredLog{Heads: l.heads, Rows: l.allRows(), Tiles: l.allTiles()}, 2)
		if err != nil {
			t.Fatal(err)
		}
		if got := say(r); got != c.want {
			t.Errorf("%s:\n got %.900s\nwant %s", c.what, got, c.want)
		}
	}
}

// TestFsckErrors: what can't be read is no verdict, and no goroutine stays behind.
func TestFsckErrors(t *testing.T) {
	l := newLog()
	l.fill(t, 600)
	broken := errors.New("the database is gone")
	rows := func(yield func(audit.Row, error) bool) {
		for _, r := range l.rows[:400] {
			if !yield(r, nil) {
				return
			}
		}
		yield(audit.Row{}, broken)
	}
	if _, err := audit.Fsck(audit.StoredLog{Heads: l.heads, Rows: rows, Tiles: l.allTiles()}); !errors.Is(err, broken) {
		t.Errorf("rows: %v", err)
	}
	for after := range len(l.tiles) {
		var tiles iter.Seq2[audit.TileData, error] = func(yield func(audit.TileData, error) bool) {
			n := 0
			for tile, err := range l.allTiles() {
				if n++; n > after {
					yield(audit.TileData{}, broken)
					return
				}
				if !yield(tile, err) {
					return
				}
			}
		}
		if _, err := audit.Fsck(audit.StoredLog{Heads: l.heads, Rows: l.allRows(), Tiles: tiles}); !errors.Is(err, broken) {
			t.Errorf("tiles after %d: %v", after, err)
		}
	}
	for _, size := range []int64{-1, audit.MaxSize + 1} {
		if _, err := audit.Fsck(audit.StoredLog{Heads: []audit.Tree{{Size: size}}, Rows: l.allRows(), Tiles: l.allTiles()}); err == nil {
			t.Errorf("a head of size %d", size)
		}
	}
}

// BenchmarkFsck checks a log of a million events, each with an actor and a subject.
func BenchmarkFsck(b *testing.B) {
	const size = 1 << 20
	l := newLog()
	for len(l.rows) < size {
		batch := make([]audit.Event, 4096)
		for i := range batch {
			batch[i] = put(len(l.rows) + i)
		}
		l.add(b, batch...)
	}
	l.heads = []audit.Tree{l.tree}
	for _, tasks := range []int{1, 2} {
		b.Run(fmt.Sprintf("tasks=%d", tasks), func(b *testing.B) {
			for b.Loop() {
				r, err := audit.Fsck(audit.StoredLog{Heads: l.heads, Rows: l.allRows(), Tiles: l.allTiles(), Tasks: tasks})
				if err != nil || !r.OK() {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
