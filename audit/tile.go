package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// TileWidth is how many hashes a full tile has; a partial one has fewer, and at least one.
	TileWidth  = 1 << tileHeight
	tileHeight = 8

	// EntryLevel is the level of entry bundles, which hold the leaves themselves.
	EntryLevel = -1
	maxLevel   = 5 // of a tree of MaxSize leaves
)

// ErrTilePath is a text that is not a tile's path.
var ErrTilePath = errors.New("not the path of a tile")

// Tile names a piece of the tree: Width hashes of nodes that are 8*Level above the leaves, from number
// 256*Index on. At EntryLevel it names the leaves below the tile of level 0.
type Tile struct {
	Level int
	Index int64
	Width int
}

// TileData is a tile with its hashes, one after the other.
type TileData struct {
	Tile
	Data []byte
}

// Path is where C2SP tlog-tiles puts the tile: "tile/0/x001/x234/067", "tile/1/000.p/3", "tile/entries/000".
func (t Tile) Path() string {
	path := tlog.Tile{H: tileHeight, L: t.Level, N: t.Index, W: t.Width}.Path()
	path = strings.TrimPrefix(path, "tile/8/") // tlog names the height, and C2SP doesn't
	if rest, ok := strings.CutPrefix(path, "data/"); ok {
		path = "entries/" + rest
	}
	return "tile/" + path
}

// ParseTilePath reads what Path writes, for tiles that a log of MaxSize leaves can have.
func ParseTilePath(path string) (Tile, error) {
	wrong := fmt.Errorf("%w: %.100q", ErrTilePath, path)
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok || len(path) > 64 {
		return Tile{}, wrong
	}
	if entries, ok := strings.CutPrefix(rest, "entries/"); ok {
		rest = "data/" + entries
	}
	tile, err := tlog.ParseTilePath("tile/8/" + rest)
	t := Tile{tile.L, tile.N, tile.W}
	if err != nil || t.Path() != path || t.Level > maxLevel || t.Index < 0 || t.Index > MaxSize>>(tileHeight*(max(t.Level, 0)+1)) {
		return Tile{}, wrong
	}
	return t, nil
}

// Tiles returns the coordinates of all tiles of a tree: a level after the other, each from left to right.
func (t Tree) Tiles() func(yield func(Tile) bool) {
	return func(yield func(Tile) bool) {
		for level := 0; t.Size>>(tileHeight*level) > 0; level++ {
			nodes := t.Size >> (tileHeight * level)
			for at := int64(0); at < nodes; at += TileWidth {
				if !yield(Tile{level, at / TileWidth, int(min(nodes-at, TileWidth))}) {
					return
				}
			}
		}
	}
}

// AppendEntry adds a leaf to an entry bundle: its length as u16, then itself.
func AppendEntry(bundle, leaf []byte) []byte {
	bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(leaf)))
	return append(bundle, leaf...)
}

// ParseEntries reads an entry bundle of so many leaves.
func ParseEntries(bundle []byte, width int) ([][]byte, error) {
	if len(bundle) != width*(2+LeafSize) {
		return nil, fmt.Errorf("%w: a bundle of %d leaves has not %d bytes", ErrLeaf, width, len(bundle))
	}
	leaves := make([][]byte, width)
	for i := range leaves {
		entry := bundle[i*(2+LeafSize):][:2+LeafSize]
		if int(binary.BigEndian.Uint16(entry)) != LeafSize {
			return nil, fmt.Errorf("%w: leaf %d of a bundle has another length", ErrLeaf, i)
		}
		leaves[i] = entry[2:]
	}
	return leaves, nil
}
