package audit

import (
	"cmp"
	"slices"
)

// compareTiles orders tiles as they are read.
func compareTiles(a, b Tile) int {
	return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Index, b.Index))
}

// readTile fetches the next stored tile.
func (f *fsck) readTile() error {
	t, err, ok := f.nextTile()
	if err != nil {
		return err
	}
	if f.tile, f.haveTile = t, ok; ok {
		f.report.Tiles++
	}
	return nil
}

// takeTile returns the hashes of the tile that comes now in the order of tiles, or none where it is not
// stored. Stored tiles before it are none of the tree.
func (f *fsck) takeTile(want Tile) ([]Hash, error) {
	for f.haveTile && compareTiles(f.tile.Tile, want) < 0 {
		f.report.add(Finding{Kind: TileUnexpected, Tile: f.tile.coordinates().Path()})
		if err := f.readTile(); err != nil {
			return nil, err
		}
	}
	if !f.haveTile || compareTiles(f.tile.Tile, want) != 0 {
		f.report.add(Finding{Kind: TileMissing, Tile: want.Path()})
		return nil, nil
	}
	data := f.tile.Data
	if len(data) != want.Width*HashSize {
		f.report.add(Finding{Kind: TileLength, Tile: want.Path(), Count: len(data)})
	}
	hashes := make([]Hash, min(len(data)/HashSize, want.Width))
	for i := range hashes {
		hashes[i] = Hash(data[i*HashSize:])
	}
	return hashes, f.readTile()
}

// coordinates is a tile as it is named where its width is not known.
func (t *TileData) coordinates() Tile {
	return Tile{max(t.Level, EntryLevel), max(t.Index, 0), min(max(len(t.Data)/HashSize, 1), TileWidth)}
}

// readUpperTiles keeps the tiles of levels 1 and up: a 256th of all hashes.
func (f *fsck) readUpperTiles() error {
	for t := range f.head.Tiles() {
		if t.Level == 0 {
			continue
		}
		hashes, err := f.takeTile(t)
		if err != nil {
			return err
		}
		f.stored[Tile{Level: t.Level, Index: t.Index}] = hashes
	}
	for f.haveTile {
		f.report.add(Finding{Kind: TileUnexpected, Tile: f.tile.coordinates().Path()})
		if err := f.readTile(); err != nil {
			return err
		}
	}
	return nil
}

// settleTree decides, from the signed root downwards, which hash is right wherever two copies differ.
func (f *fsck) settleTree() {
	// What the rows say of every level; where a row is missing, what is stored says it.
	var said [maxLevel + 2][]Hash
	for level := 1; level <= maxLevel+1; level++ {
		said[level] = make([]Hash, f.nodes(level))
		for n := range said[level] {
			h := f.first[n]
			if level > 1 {
				h = rootOf(said[level-1][n*TileWidth:][:TileWidth])
			}
			if h == (Hash{}) {
				h = f.storedNode(level, int64(n))
			}
			said[level][n] = h
		}
	}
	f.settleEdge(&said)
	for level := maxLevel; level >= 1; level-- {
		for n := range f.nodes(level + 1) {
			rows := said[level][n*TileWidth:][:TileWidth]
			truth, resolved := reconcile(f.storedTile(level, n, rows), rows, leadsTo(f.truth[level+1][n]))
			if !resolved && !slices.Contains(truth, Hash{}) {
				f.rewritten(level, n)
			}
			copy(f.truth[level][n*TileWidth:], truth)
			f.nameTile(Tile{level, n, TileWidth}, f.stored[Tile{Level: level, Index: n}], truth)
		}
	}
	for n := range f.nodes(1) {
		f.settleLeaves(n)
	}
	f.settleHeads()
}

// nodes is how many nodes the tree has at a level of tiles.
func (f *fsck) nodes(level int) int64 { return f.head.Size >> (tileHeight * level) }

func (f *fsck) storedNode(level int, n int64) Hash {
	if tile := f.stored[Tile{Level: level, Index: n / TileWidth}]; n%TileWidth < int64(len(tile)) {
		return tile[n%TileWidth]
	}
	return Hash{}
}

// storedTile is a tile as it is stored; what is not there is taken from rows.
func (f *fsck) storedTile(level int, n int64, rows []Hash) []Hash {
	tile := make([]Hash, len(rows))
	copy(tile, f.stored[Tile{Level: level, Index: n}])
	return combine(tile, rows)
}

func leadsTo(target Hash) func([]Hash) bool {
	return func(hashes []Hash) bool { return target != Hash{} && rootOf(hashes) == target }
}

// maxDoubt is how many single hashes reconcile chooses between.
const maxDoubt = 10

// reconcile finds the hashes that are right: those stored, those that the rows give, or, where both were
// changed in few places, some of these and some of those. Otherwise it is not resolved, and the rows' are
// taken.
func reconcile(tile, rows []Hash, right func([]Hash) bool) (truth []Hash, resolved bool) {
	if right(tile) {
		return tile, true
	}
	var doubt []int
	for i := range tile {
		if tile[i] != rows[i] {
			doubt = append(doubt, i)
		}
	}
	if len(doubt) > 0 && right(rows) {
		return rows, true
	}
	if len(doubt) > maxDoubt {
		return rows, false
	}
	for choice := 1; choice < 1<<len(doubt)-1; choice++ {
		mix := slices.Clone(tile)
		for i, at := range doubt {
			if choice>>i&1 == 1 {
				mix[at] = rows[at]
			}
		}
		if right(mix) {
			return mix, true
		}
	}
	return rows, false
}

// settleEdge holds the partial tiles of all levels, which no tile above vouches for, against the root.
func (f *fsck) settleEdge(said *[maxLevel + 2][]Hash) {
	var tile, rows []Hash
	var widths [maxLevel + 1]int
	last := f.kept[f.head.Size/TileWidth]
	for level := range widths {
		widths[level] = int(f.nodes(level) % TileWidth)
		if widths[level] == 0 {
			continue
		}
		n := f.nodes(level + 1)
		if level == 0 {
			r := combine(last.rows[:last.width], last.tile[:last.width])
			tile, rows = append(tile, combine(last.tile[:last.width], r)...), append(rows, r...)
			continue
		}
		r := said[level][n*TileWidth:]
		tile, rows = append(tile, f.storedTile(level, n, r)...), append(rows, r...)
	}
	split := func(hashes []Hash) [][]Hash {
		edge := make([][]Hash, len(widths))
		for level, w := range widths {
			edge[level], hashes = hashes[:w], hashes[w:]
		}
		return edge
	}
	truth, resolved := reconcile(tile, rows, func(hashes []Hash) bool { return rootOfEdge(split(hashes)) == f.head.Root })
	for level, edge := range split(truth) {
		n := f.nodes(level + 1)
		if level == 0 {
			if last != nil {
				copy(last.truth[:], edge)
				f.nameLeaves(last)
			}
			continue
		}
		f.truth[level] = make([]Hash, f.nodes(level))
		copy(f.truth[level][n*TileWidth:], edge)
		if resolved {
			f.nameTile(Tile{level, n, len(edge)}, f.stored[Tile{Level: level, Index: n}], edge)
		}
	}
}

// settleLeaves does for a full tile of level 0 what settleTree does for those above.
func (f *fsck) settleLeaves(n int64) {
	target := f.truth[1][n]
	t := f.kept[n]
	if t == nil {
		all := Finding{Kind: EventChanged, Event: n * TileWidth, To: n*TileWidth + TileWidth - 1}
		rest, differs := f.differing[n]
		switch {
		case !differs && f.first[n] == target:
			return
		case differs && rest.bare:
			all.Kind = EventRemoved
		case !differs || rest.stored != target:
			all.Kind = EventRewritten
		}
		f.report.add(all)
		return
	}
	rows := combine(t.rows[:], t.tile[:])
	truth, resolved := reconcile(combine(t.tile[:], rows), rows, leadsTo(target))
	copy(t.truth[:], truth)
	if !resolved && !slices.Contains(truth, Hash{}) {
		f.rewritten(0, n)
	}
	f.nameLeaves(t)
}

// rewritten says that rows and tiles below a tile agree, and don't give what the level above has for it.
func (f *fsck) rewritten(level int, n int64) {
	leaves := int64(1) << (tileHeight * (level + 1))
	f.report.add(Finding{Kind: EventRewritten, Event: n * leaves, To: (n+1)*leaves - 1})
}

func (f *fsck) nameLeaves(t *leafTile) {
	stored := t.tile[:t.width]
	if i := slices.Index(stored, Hash{}); i >= 0 {
		stored = stored[:i] // missing or too short, which was said
	}
	f.nameTile(Tile{0, t.index, t.width}, stored, t.truth[:t.width])
}

// nameTile says what is wrong with a stored tile.
func (f *fsck) nameTile(t Tile, stored, truth []Hash) {
	found := Finding{Kind: TileChanged, Tile: t.Path()}
	for i := range stored {
		if stored[i] != truth[i] {
			if found.Count++; found.Count == 1 {
				found.Entry = i
			}
		}
	}
	if found.Count > 0 {
		f.report.add(found)
	}
}

// settleHeads holds every signed head against what was settled.
func (f *fsck) settleHeads() {
	for _, h := range f.heads {
		edge := make([][]Hash, maxLevel+1)
		for level := range edge {
			nodes := h.Size >> (tileHeight * level)
			full := nodes / TileWidth * TileWidth
			if level > 0 {
				edge[level] = f.truth[level][full:nodes]
			} else if t := f.kept[h.Size/TileWidth]; t != nil {
				edge[0] = t.truth[:nodes-full]
			}
		}
		if rootOfEdge(edge) == h.Root {
			f.report.Intact = h.Size
		} else {
			f.report.add(Finding{Kind: HeadDiffers, Size: h.Size})
		}
	}
}
