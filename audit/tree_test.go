package audit_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"stonevault/audit"
)

// oracle is the same log by transparency-dev/merkle, with leaves of arbitrary bytes.
type oracle struct {
	*storedLog
	other *testonly.Tree
	trees []audit.Tree // by size
}

func newOracle(t testing.TB, size int) *oracle {
	o := &oracle{newLog(), testonly.New(rfc6962.DefaultHasher), []audit.Tree{audit.EmptyTree()}}
	for i := range size {
		leaf := fmt.Appendf(nil, "leaf %d", i)
		o.other.AppendData(leaf)
		o.addLeaves(t, audit.LeafHash(leaf))
		o.trees = append(o.trees, o.tree)
	}
	return o
}

func raw(hashes []audit.Hash) [][]byte {
	all := make([][]byte, len(hashes))
	for i := range hashes {
		all[i] = hashes[i][:]
	}
	return all
}

// TestAgainstMerkle holds roots, both kinds of proof and both verifiers against transparency-dev/merkle, for
// every pair of sizes up to 64.
func TestAgainstMerkle(t *testing.T) {
	const most = 64
	o := newOracle(t, most)
	for size := 0; size <= most; size++ {
		if string(o.other.HashAt(uint64(size))) != string(o.trees[size].Root[:]) {
			t.Fatalf("the roots of %d leaves differ", size)
		}
		for n := 0; n < size; n++ {
			o.inclusion(t, size, n)
		}
		for old := 0; old <= size; old++ {
			o.consistency(t, old, size)
		}
	}
}

// TestAgainstMerkleLarge does so for random pairs around the widths of tiles.
func TestAgainstMerkleLarge(t *testing.T) {
	const most = 70000 // three levels of tiles
	o := &oracle{newLog(), testonly.New(rfc6962.DefaultHasher), make([]audit.Tree, most+1)}
	r := rand.New(randomness(3))
	stops := []int{255, 256, 257, 511, 512, 513, 65535, 65536, 65537, most}
	for range 40 {
		stops = append(stops, 1+r.IntN(most))
	}
	slices.Sort(stops)
	stops = slices.Compact(stops)
	for n, i := 0, 0; i < len(stops); i++ {
		var leaves []audit.Hash
		for ; n < stops[i]; n++ {
			leaf := fmt.Appendf(nil, "leaf %d", n)
			o.other.AppendData(leaf)
			leaves = append(leaves, audit.LeafHash(leaf))
		}
		o.addLeaves(t, leaves...)
		o.trees[n] = o.tree
	}
	for range 300 {
		size, old := stops[r.IntN(len(stops))], stops[r.IntN(len(stops))]
		if old > size {
			old, size = size, old
		}
		if string(o.other.HashAt(uint64(size))) != string(o.trees[size].Root[:]) {
			t.Fatalf("the roots of %d leaves differ", size)
		}
		o.inclusion(t, size, r.IntN(size))
		o.consistency(t, old, size)
	}
	for tile := range o.tree.Tiles() {
		if len(o.tiles[coordinates(tile)]) != tile.Width*audit.HashSize {
			t.Errorf("%s has %d bytes", tile.Path(), len(o.tiles[coordinates(tile)]))
		}
		delete(o.tiles, coordinates(tile))
	}
	if len(o.tiles) != 0 {
		t.Errorf("%d tiles more than the tree has", len(o.tiles))
	}
}

func (o *oracle) inclusion(t *testing.T, size, n int) {
	t.Helper()
	tree := o.trees[size]
	ours, err := tree.ProveInclusion(o, int64(n))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := o.other.InclusionProof(uint64(n), uint64(size))
	if err != nil || !slices.EqualFunc(raw(ours), theirs, func(a, b []byte) bool { return string(a) == string(b) }) {
		t.Fatalf("leaf %d of %d: the paths differ, %v", n, size, err)
	}
	leaf := audit.LeafHash(fmt.Appendf(nil, "leaf %d", n))
	both := func(index int64, leaf audit.Hash, path []audit.Hash, root audit.Hash) bool {
		a := audit.Tree{Size: int64(size), Root: root}.VerifyInclusion(index, leaf, path)
		b := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(size), leaf[:], raw(path), root[:])
		if (a == nil) != (b == nil) || a != nil && !errors.Is(a, audit.ErrProof) {
			t.Fatalf("leaf %d of %d: %v here, %v there", index, size, a, b)
		}
		return a == nil
	}
	if !both(int64(n), leaf, ours, tree.Root) {
		t.Fatalf("leaf %d of %d is not proven", n, size)
	}
	for what, holds := range map[string]bool{
		"other leaf":  both(int64(n), flip(leaf), ours, tree.Root),
		"other root":  both(int64(n), leaf, ours, flip(tree.Root)),
		"other index": both(int64(n)^1, leaf, ours, tree.Root) && size > 1,
		"a node more": both(int64(n), leaf, append(slices.Clone(ours), leaf), tree.Root),
		"a node less": len(ours) > 0 && both(int64(n), leaf, ours[:len(ours)-1], tree.Root),
		"a bit":       len(ours) > 0 && both(int64(n), leaf, flipOne(ours), tree.Root),
	} {
		if holds {
			t.Fatalf("leaf %d of %d: %s is taken", n, size, what)
		}
	}
}

func (o *oracle) consistency(t *testing.T, old, size int) {
	t.Helper()
	from, to := o.trees[old], o.trees[size]
	ours, err := to.ProveConsistency(o, int64(old))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := o.other.ConsistencyProof(uint64(old), uint64(size))
	if err != nil || !slices.EqualFunc(raw(ours), theirs, func(a, b []byte) bool { return string(a) == string(b) }) {
		t.Fatalf("%d to %d: the proofs differ, %v", old, size, err)
	}
	both := func(from, to audit.Tree, p []audit.Hash) bool {
		a := to.VerifyConsistency(from, p)
		b := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(from.Size), uint64(to.Size), raw(p), from.Root[:], to.Root[:])
		// Theirs leaves the root of an empty log to its caller.
		if (a == nil) != (b == nil) && from.Size != 0 || a != nil && !errors.Is(a, audit.ErrProof) {
			t.Fatalf("%d to %d: %v here, %v there", from.Size, to.Size, a, b)
		}
		return a == nil
	}
	if !both(from, to, ours) {
		t.Fatalf("%d to %d is not proven", old, size)
	}
	more := append(slices.Clone(ours), from.Root)
	for what, holds := range map[string]bool{
		"other old root": both(audit.Tree{Size: from.Size, Root: flip(from.Root)}, to, ours),
		"other new root": old > 0 && both(from, audit.Tree{Size: to.Size, Root: flip(to.Root)}, ours),
		"a node more":    both(from, to, more),
		"a node less":    len(ours) > 0 && both(from, to, ours[:len(ours)-1]),
		"a bit":          len(ours) > 0 && both(from, to, flipOne(ours)),
		"swapped sizes":  old != size && old > 0 && to.Size > 0 && from.VerifyConsistency(to, ours) == nil,
	} {
		if holds {
			t.Fatalf("%d to %d: %s is taken", old, size, what)
		}
	}
}

func flip(h audit.Hash) audit.Hash { h[7] ^= 4; return h }

func flipOne(hashes []audit.Hash) []audit.Hash {
	changed := slices.Clone(hashes)
	changed[len(changed)/2] = flip(changed[len(changed)/2])
	return changed
}

// TestAppendChecks: a log goes on only from tiles that give its root.
func TestAppendChecks(t *testing.T) {
	o := newOracle(t, 300)
	for at, data := range o.tiles {
		if at.Level == 0 && at.Index == 0 {
			continue // full: its hash in the tile above is all that an append needs
		}
		for _, wrong := range [][]byte{nil, data[:len(data)-1], append([]byte{data[0] ^ 1}, data[1:]...)} {
			l := o.clone()
			l.tiles[at] = wrong
			if _, _, err := l.tree.Append(l, []audit.Hash{{1}}); !errors.Is(err, audit.ErrTiles) {
				t.Errorf("%s with %d bytes: %v", at.Path(), len(wrong), err)
			}
		}
	}
	failing := errors.New("the disk is on fire")
	_, _, err := o.tree.Append(readerFunc(func([]audit.Tile) ([][]byte, error) { return nil, failing }), []audit.Hash{{1}})
	if !errors.Is(err, failing) || errors.Is(err, audit.ErrTiles) {
		t.Errorf("a reader's error is %v", err)
	}
	if tree, tiles, err := o.tree.Append(o, nil); err != nil || tree != o.tree || len(tiles) != 0 {
		t.Errorf("nothing appended: %v, %d tiles, %v", tree, len(tiles), err)
	}
	full := audit.Tree{Size: audit.MaxSize}
	if _, _, err := full.Append(o, []audit.Hash{{1}}); err == nil {
		t.Error("a log grows beyond its largest size")
	}
	for _, size := range []int64{-1, audit.MaxSize + 1, 1<<63 - 1} {
		hostile := audit.Tree{Size: size}
		if _, err := hostile.ProveInclusion(o, 0); err == nil {
			t.Errorf("a proof in a log of %d", size)
		}
		if err := hostile.VerifyInclusion(0, audit.Hash{}, nil); !errors.Is(err, audit.ErrProof) {
			t.Errorf("a log of %d: %v", size, err)
		}
		if err := hostile.VerifyConsistency(o.tree, nil); !errors.Is(err, audit.ErrProof) {
			t.Errorf("a log of %d: %v", size, err)
		}
	}
}

type readerFunc func([]audit.Tile) ([][]byte, error)

func (f readerFunc) ReadTiles(tiles []audit.Tile) ([][]byte, error) { return f(tiles) }

func TestTilePaths(t *testing.T) {
	for _, c := range []struct {
		path string
		tile audit.Tile // Width 0: refused
	}{
		{"tile/0/000", audit.Tile{Level: 0, Index: 0, Width: 256}},
		{"tile/0/x001/x234/067", audit.Tile{Level: 0, Index: 1234067, Width: 256}},
		{"tile/5/000.p/1", audit.Tile{Level: 5, Index: 0, Width: 1}},
		{"tile/1/001.p/255", audit.Tile{Level: 1, Index: 1, Width: 255}},
		{"tile/entries/000", audit.Tile{Level: audit.EntryLevel, Index: 0, Width: 256}},
		{"tile/entries/x005/011.p/17", audit.Tile{Level: audit.EntryLevel, Index: 5011, Width: 17}},
		{path: ""}, {path: "tile"}, {path: "tile/"}, {path: "tile/0"}, {path: "tile/0/"}, {path: "/tile/0/000"},
		{path: "tile/8/0/000"}, {path: "tile/data/000"}, {path: "tile/-1/000"}, {path: "tile/6/000"}, {path: "tile/00/000"},
		{path: "tile/0/0"}, {path: "tile/0/0000"}, {path: "tile/0/1000"}, {path: "tile/0/x000/000"}, {path: "tile/0/x001"},
		{path: "tile/0/000.p/0"}, {path: "tile/0/000.p/256"}, {path: "tile/0/000.p/01"}, {path: "tile/0/000.p/+1"},
		{path: "tile/0/000.p"}, {path: "tile/0/000/"}, {path: "tile/0/../000"}, {path: "tile/0/x999/x999/x999/x999/999"},
		{path: "tile/5/001"}, {path: "tile/0/" + strings.Repeat("x999/", 9) + "999"},
	} {
		tile, err := audit.ParseTilePath(c.path)
		switch {
		case c.tile.Width == 0 && !errors.Is(err, audit.ErrTilePath):
			t.Errorf("%q is %v, %v", c.path, tile, err)
		case c.tile.Width != 0 && (err != nil || tile != c.tile || tile.Path() != c.path):
			t.Errorf("%q is %v, %v", c.path, tile, err)
		}
	}
}

func FuzzTilePath(f *testing.F) {
	for _, path := range []string{"tile/0/000", "tile/0/x001/x234/067.p/9", "tile/entries/000", "tile/data/000", "tile/8/0/000"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if tile, err := audit.ParseTilePath(path); err == nil && (tile.Path() != path || tile.Width < 1 || tile.Width > 256 || tile.Index < 0) {
			t.Fatalf("%q is %v, whose path is %q", path, tile, tile.Path())
		}
	})
}

// TestSpecifiedTiles is the example of C2SP tlog-tiles: a log of 70,000.
func TestSpecifiedTiles(t *testing.T) {
	widths := map[string]int{}
	for tile := range (audit.Tree{Size: 70000}).Tiles() {
		widths[fmt.Sprintf("%d of %d", tile.Level, tile.Width)]++
	}
	if got := fmt.Sprint(widths); got != "map[0 of 112:1 0 of 256:273 1 of 17:1 1 of 256:1 2 of 1:1]" {
		t.Error(got)
	}
}

func TestEntries(t *testing.T) {
	l := newLog()
	l.add(t, put(1), stopped(2))
	var bundle []byte
	for _, r := range l.rows {
		bundle = audit.AppendEntry(bundle, r.Leaf)
	}
	leaves, err := audit.ParseEntries(bundle, 2)
	if err != nil || string(leaves[1]) != string(l.rows[1].Leaf) || len(bundle) != 2*(2+audit.LeafSize) {
		t.Fatal(err)
	}
	wrong := slices.Clone(bundle)
	wrong[1]++
	for _, b := range [][]byte{nil, bundle[1:], wrong, append(wrong, 0)} {
		if _, err := audit.ParseEntries(b, 2); !errors.Is(err, audit.ErrLeaf) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
}
