package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// MaxSize is the largest number of leaves. It keeps every tile below level 6 and every index in an int64.
const MaxSize = 1<<48 - 1

var (
	// ErrProof is a proof that doesn't show what it should.
	ErrProof = errors.New("the proof does not hold")
	// ErrTiles says that stored tiles don't give the root that they should.
	ErrTiles = errors.New("the stored tiles do not fit the log's root")
)

// Tree is a state of the log: how many leaves it had, and the root over them (RFC 6962, section 2.1).
type Tree struct {
	Size int64
	Root Hash
}

// EmptyTree is the log before its first leaf.
func EmptyTree() Tree { return Tree{0, sha256.Sum256(nil)} }

// TileReader gives the tiles that were stored: for each one its hashes in order, at least Width of them.
// They need not be trusted: what is read is checked against a root.
type TileReader interface {
	ReadTiles(tiles []Tile) ([][]byte, error)
}

// Append adds leaves, given by their hashes. It returns the tree after them and all tiles that are new or
// wider than before, each one whole, to be stored together with the tree. ErrTiles if what was stored
// doesn't give t.Root.
func (t Tree) Append(r TileReader, leaves []Hash) (Tree, []TileData, error) {
	size := t.Size + int64(len(leaves))
	if t.Size < 0 || size > MaxSize {
		return Tree{}, nil, fmt.Errorf("audit: a log has at most %d events", int64(MaxSize))
	}
	changed := tlog.NewTiles(tileHeight, t.Size, size)
	// From the old tree come the roots of its full subtrees, and what already stands in those tiles.
	want := peaks(t.Size)
	for _, c := range changed {
		level := tileHeight * c.L
		for n := c.N << tileHeight; n < t.Size>>level; n++ {
			want = append(want, tlog.StoredHashIndex(level, n))
		}
	}
	hashes, err := t.read(r, want)
	if err != nil {
		return Tree{}, nil, err
	}
	known := make(knownHashes, len(want)+2*len(leaves))
	for i, at := range want {
		known[at] = hashes[i]
	}
	for i, leaf := range leaves {
		n := t.Size + int64(i)
		made, err := tlog.StoredHashesForRecordHash(n, leaf, known)
		if err != nil {
			return Tree{}, nil, err
		}
		at := tlog.StoredHashIndex(0, n)
		for j, h := range made {
			known[at+int64(j)] = h
		}
	}
	root, err := tlog.TreeHash(size, known)
	if err != nil {
		return Tree{}, nil, err
	}
	tiles := make([]TileData, len(changed))
	for i, c := range changed {
		data, err := tlog.ReadTileData(c, known)
		if err != nil {
			return Tree{}, nil, err
		}
		tiles[i] = TileData{Tile{c.L, c.N, c.W}, data}
	}
	return Tree{size, root}, tiles, nil
}

// peaks are the storage indexes of the roots of a tree's largest full subtrees, from left to right.
func peaks(size int64) (indexes []int64) {
	for lo := int64(0); lo < size; {
		level := bits.Len64(uint64(size-lo)) - 1
		indexes = append(indexes, tlog.StoredHashIndex(level, lo>>level))
		lo += 1 << level
	}
	return indexes
}

// knownHashes is a tlog.HashReader that has what it is asked for.
type knownHashes map[int64]Hash

var _ tlog.HashReader = knownHashes(nil)

func (k knownHashes) ReadHashes(indexes []int64) ([]Hash, error) {
	hashes := make([]Hash, len(indexes))
	for i, at := range indexes {
		h, ok := k[at]
		if !ok {
			return nil, fmt.Errorf("audit: hash %d of the tree was not asked for in time", at)
		}
		hashes[i] = h
	}
	return hashes, nil
}

// ProveInclusion returns the audit path of a leaf: the siblings on its way to the root, the leaf's own first.
func (t Tree) ProveInclusion(r TileReader, index int64) ([]Hash, error) {
	if t.Size > MaxSize || index < 0 || index >= t.Size {
		return nil, fmt.Errorf("%w: there is no event %d in a log of %d", ErrProof, index, t.Size)
	}
	return tlog.ProveRecord(t.Size, index, t.reader(r))
}

// VerifyInclusion tells whether the leaf with this hash is in the tree at this index: nil or ErrProof.
func (t Tree) VerifyInclusion(index int64, leaf Hash, proof []Hash) error {
	if t.Size > MaxSize || index < 0 || index >= t.Size {
		return fmt.Errorf("%w: there is no event %d in a log of %d", ErrProof, index, t.Size)
	}
	if err := tlog.CheckRecord(proof, t.Size, t.Root, index, leaf); err != nil {
		return fmt.Errorf("%w: event %d is not shown to be in the log of %d events", ErrProof, index, t.Size)
	}
	return nil
}

// ProveConsistency returns the proof that the tree of old leaves is the beginning of this one (RFC 6962,
// section 2.1.2). It is empty where old is 0 or t.Size.
func (t Tree) ProveConsistency(r TileReader, old int64) ([]Hash, error) {
	switch {
	case t.Size > MaxSize || old < 0 || old > t.Size:
		return nil, fmt.Errorf("%w: a log of %d events did not begin as one of %d", ErrProof, t.Size, old)
	case old == 0:
		return nil, nil
	}
	return tlog.ProveTree(t.Size, old, t.reader(r))
}

// VerifyConsistency tells whether old is the beginning of this tree: nil or ErrProof.
func (t Tree) VerifyConsistency(old Tree, proof []Hash) error {
	switch {
	case t.Size > MaxSize || old.Size < 0 || old.Size > t.Size:
		return fmt.Errorf("%w: a log of %d events did not begin as one of %d", ErrProof, t.Size, old.Size)
	case old.Size == 0:
		if old != EmptyTree() || len(proof) != 0 || t.Size == 0 && t != old {
			return fmt.Errorf("%w: the empty log has another root", ErrProof)
		}
		return nil
	}
	if err := tlog.CheckTree(proof, t.Size, t.Root, old.Size, old.Root); err != nil {
		return fmt.Errorf("%w: the log of %d events is not shown to begin with the %d that were there before",
			ErrProof, t.Size, old.Size)
	}
	return nil
}

// reader reads hashes from tiles and checks them against the root.
func (t Tree) reader(r TileReader) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]Hash, error) { return t.read(r, indexes) })
}

func (t Tree) read(r TileReader, indexes []int64) ([]Hash, error) {
	if len(indexes) == 0 {
		return nil, nil
	}
	tiles := &tlogTiles{r: r}
	hashes, err := tlog.TileHashReader(tlog.Tree{N: t.Size, Hash: t.Root}, tiles).ReadHashes(indexes)
	switch {
	case tiles.err != nil:
		return nil, tiles.err
	case err != nil:
		return nil, fmt.Errorf("%w of %d events: %w", ErrTiles, t.Size, err)
	}
	return hashes, nil
}

// tlogTiles is a TileReader in tlog's form. It keeps the reader's own error apart from what tlog finds.
type tlogTiles struct {
	r   TileReader
	err error
}

var _ tlog.TileReader = (*tlogTiles)(nil)

func (*tlogTiles) Height() int                     { return tileHeight }
func (*tlogTiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t *tlogTiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	wanted := make([]Tile, len(tiles))
	for i, tile := range tiles {
		wanted[i] = Tile{tile.L, tile.N, tile.W}
	}
	data, err := t.r.ReadTiles(wanted)
	if err != nil {
		t.err = err
		return nil, err
	}
	if len(data) != len(tiles) {
		return nil, fmt.Errorf("%d tiles were asked for, and %d are there", len(tiles), len(data))
	}
	data = slices.Clone(data)
	for i, tile := range wanted {
		if len(data[i]) < tile.Width*HashSize {
			return nil, fmt.Errorf("%s has %d bytes", tile.Path(), len(data[i]))
		}
		data[i] = data[i][:tile.Width*HashSize] // a later tree's is wider
	}
	return data, nil
}
