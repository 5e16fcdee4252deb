package audit

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"sync"
)

// ErrNoHead says that there is no signed head to compare a log with.
var ErrNoHead = errors.New("without a signed head, a log can't be told from a rewritten one")

// Row is an event as it is stored.
type Row struct {
	Index int64
	Leaf  []byte
	Parts [slotCount]StoredPart // by Slot
}

// StoredPart is an opening as it is stored. Both fields are zero where nothing is there. What is there and
// doesn't decrypt is given as it lies there, as an Opening: it fits no commitment.
type StoredPart struct {
	Opening Opening
	Sealed  bool // there, and the caller has no key for it, or is shown leaves alone
}

// StoredLog is what Fsck reads. The byte slices that come out of Rows and Tiles are kept for a while, so
// that they must not be used again by whoever gave them.
type StoredLog struct {
	Heads []Tree                     // signed ones: of the newest checkpoint, of older ones, pins and anchors
	Rows  iter.Seq2[Row, error]      // by index
	Tiles iter.Seq2[TileData, error] // by level and index, each once, as wide as it is stored
	Tasks int                        // goroutines that hash, beside the caller's; 1 where 0
}

// Fsck reads a whole log and says what is wrong with it. The truth is the largest head; tiles and rows are
// two copies of the same hashes, and where they differ, the one that leads to the head's root is right.
//
// It needs 32 bytes for each 256 events, 8 for each erased part, and 24 KiB for each tile of events in which
// something is wrong, of the first 8,192 of them; what is wrong further on is named less precisely. An error is one of Rows or Tiles, or ErrNoHead: the log could not be checked.
func Fsck(l StoredLog) (*Report, error) { return run(l, maxKept) }

func run(l StoredLog, keep int) (*Report, error) {
	if len(l.Heads) == 0 {
		return nil, ErrNoHead
	}
	heads := slices.Clone(l.Heads)
	slices.SortStableFunc(heads, func(a, b Tree) int { return cmp.Compare(a.Size, b.Size) })
	if heads[0].Size < 0 || heads[len(heads)-1].Size > MaxSize {
		return nil, fmt.Errorf("%w: a head's size is %d", ErrNoHead, heads[len(heads)-1].Size)
	}
	f := &fsck{
		heads: heads, head: heads[len(heads)-1],
		keep: keep, kept: map[int64]*leafTile{}, differing: map[int64]unkept{}, boundary: map[int64]bool{},
		stored: map[Tile][]Hash{}, wrong: map[int64]bool{},
	}
	f.report.Head = f.head
	for _, h := range heads {
		f.boundary[h.Size/TileWidth] = true
	}
	next, stop := iter.Pull2(l.Tiles)
	defer stop()
	f.nextTile = next
	if err := f.readTile(); err != nil {
		return nil, err
	}
	if err := f.readRows(l.Rows, max(l.Tasks, 1)); err != nil {
		return nil, err
	}
	if err := f.readUpperTiles(); err != nil {
		return nil, err
	}
	f.settleTree()
	f.nameRows()
	f.settleParts()
	slices.SortStableFunc(f.report.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Tile, b.Tile), cmp.Compare(a.Event, b.Event))
	})
	return &f.report, nil
}

// fsck is one run. The zero Hash stands for one that is not known: SHA-256 gives it to nobody.
type fsck struct {
	heads  []Tree
	head   Tree
	report Report

	nextTile func() (TileData, error, bool)
	tile     TileData // the next one, where haveTile
	haveTile bool

	keep      int
	cur       *leafTile            // that rows are being put into
	kept      map[int64]*leafTile  // by index: those with a difference, and those in which a head ends
	differing map[int64]unkept     // further ones with a difference
	boundary  map[int64]bool       // tiles in which a head ends
	first     []Hash               // of level 1, as the rows say
	stored    map[Tile][]Hash      // upper tiles, by level and index
	truth     [maxLevel + 1][]Hash // nodes of levels 1 and up, settled
	beyond    []placed             // rows from the head's size on
	lastIndex int64
	anyRow    bool

	missing    []int64 // PartNumbers of filled slots without an opening, ascending
	absent     []int64 // PartNumbers of slots of which nothing is known
	partFaults []Finding
	erasures   []erasureList
	wrong      map[int64]bool // indexes of rows that are not what the log has there
	names      *rowNames
	pending    Finding // of events in a row, while it grows
}

// leafTile is a tile of level 0, once as the rows say and once as it is stored.
type leafTile struct {
	index int64
	width int
	rows  [TileWidth]Hash
	tile  [TileWidth]Hash
	truth [TileWidth]Hash
}

type placed struct {
	at   int64
	hash Hash
}

type erasureList struct {
	event int64
	parts []int64
}

// unkept is what remains of a tile of level 0 that is not kept.
type unkept struct {
	stored Hash // its root
	bare   bool // without rows
}

// maxKept bounds the tiles of level 0 that are kept whole: 24 KiB each.
const maxKept = 8192

// checked is a row after the work that needs no other row.
type checked struct {
	hash     Hash
	problems []Finding
	missing  []int64
	absent   []int64 // parts that are not there, of a row that doesn't say whether they should be
	sealed   int
	erasure  *erasureList
}

const chunkRows = 1024

// readRows has rows hashed in chunks by other goroutines, and takes the results in order.
func (f *fsck) readRows(rows iter.Seq2[Row, error], tasks int) error {
	type chunk struct {
		rows []Row
		out  []checked
		done sync.WaitGroup
	}
	var waiting []*chunk
	take := func() error {
		c := waiting[0]
		waiting = waiting[1:]
		c.done.Wait()
		for i := range c.rows {
			if err := f.place(&c.rows[i], &c.out[i]); err != nil {
				return err
			}
		}
		return nil
	}
	c := &chunk{rows: make([]Row, 0, chunkRows)}
	launch := func() error {
		work := c
		work.out = make([]checked, len(work.rows))
		work.done.Go(func() {
			for i := range work.rows {
				work.out[i] = check(&work.rows[i])
			}
		})
		waiting = append(waiting, work)
		c = &chunk{rows: make([]Row, 0, chunkRows)}
		if len(waiting) > tasks {
			return take()
		}
		return nil
	}
	// Nothing is left running when this returns: every goroutine ends with its chunk.
	defer func() {
		for _, w := range waiting {
			w.done.Wait()
		}
	}()
	for row, err := range rows {
		if err != nil {
			return err
		}
		if c.rows = append(c.rows, row); len(c.rows) == chunkRows {
			if err := launch(); err != nil {
				return err
			}
		}
	}
	if err := launch(); err != nil {
		return err
	}
	for len(waiting) > 0 {
		if err := take(); err != nil {
			return err
		}
	}
	return f.advance((f.head.Size + TileWidth - 1) / TileWidth)
}

// check does what a row needs by itself: hash its leaf, and hold its parts against it.
func check(row *Row) (c checked) {
	c.hash = LeafHash(row.Leaf)
	fault := func(kind FindingKind, slot Slot) {
		c.problems = append(c.problems, Finding{Kind: kind, Event: row.Index, Slot: slot})
	}
	leaf, err := ParseLeaf(row.Leaf)
	if err != nil {
		fault(LeafMalformed, 0)
		return c
	}
	var open [slotCount]bool
	for i, p := range row.Parts {
		switch {
		case p.Opening != nil:
			if open[i] = opens(row.Leaf, Slot(i), p.Opening); !open[i] {
				fault(PartChanged, Slot(i))
			}
		case p.Sealed:
			c.sealed++
		case Slot(i) == Operational:
			fault(PartMissing, Operational)
		}
	}
	if !open[Operational] { // which says what else there must be
		for slot := Actor; slot < slotCount; slot++ {
			if p := row.Parts[slot]; p.Opening == nil && !p.Sealed {
				c.absent = append(c.absent, PartNumber(row.Index, slot))
			}
		}
		return c
	}
	var has [slotCount]bool
	var ok bool
	if has[Actor], has[Subject], ok = filled(row.Parts[Operational].Opening); !ok {
		fault(PartChanged, Operational)
		return c
	}
	for slot := Actor; slot < slotCount; slot++ {
		p := row.Parts[slot]
		switch there := p.Opening != nil || p.Sealed; {
		case there && !has[slot]:
			fault(PartUnexpected, slot)
		case !there && has[slot]:
			c.missing = append(c.missing, PartNumber(row.Index, slot))
		}
	}
	if leaf.Type == PersonErased {
		c.erasure = readErasure(row, &leaf)
		if c.erasure.parts == nil {
			fault(BadErasure, 0)
		}
	}
	return c
}

// readErasure reads which parts an event authorises to be gone.
func readErasure(row *Row, leaf *Leaf) *erasureList {
	list := &erasureList{event: row.Index}
	d, err := Define(leaf.Type, leaf.Version)
	if err != nil {
		return list
	}
	values, err := decode(d.Fields[Operational], row.Parts[Operational].Opening[SaltSize+1:])
	if err != nil {
		return list
	}
	list.parts = values["parts"].([]int64)
	return list
}

// place takes the next row, whose index is anything that the database let through.
func (f *fsck) place(row *Row, c *checked) error {
	f.report.Events++
	f.report.Unchecked += int64(c.sealed)
	f.partFaults = append(f.partFaults, c.problems...)
	f.missing = append(f.missing, c.missing...)
	f.absent = append(f.absent, c.absent...)
	if c.erasure != nil && c.erasure.parts != nil {
		f.erasures = append(f.erasures, *c.erasure)
	}
	if f.anyRow && row.Index <= f.lastIndex || row.Index < 0 {
		f.report.add(Finding{Kind: EventRepeated, Event: row.Index})
		f.wrong[row.Index] = true
		return nil
	}
	f.anyRow, f.lastIndex = true, row.Index
	if row.Index >= f.head.Size {
		if len(f.beyond) < f.keep*TileWidth {
			f.beyond = append(f.beyond, placed{row.Index, c.hash})
		}
		return nil
	}
	n := row.Index / TileWidth
	if err := f.advance(n); err != nil {
		return err
	}
	if f.cur == nil {
		f.cur = f.newTile(n)
	}
	f.cur.rows[row.Index%TileWidth] = c.hash
	return nil
}

func (f *fsck) newTile(n int64) *leafTile {
	return &leafTile{index: n, width: int(min(TileWidth, f.head.Size-n*TileWidth))}
}

// advance finishes all tiles of level 0 before n.
func (f *fsck) advance(n int64) error {
	for at := int64(len(f.first)); at < n; at++ {
		t := f.cur
		if t == nil {
			t = f.newTile(at)
		}
		f.cur = nil
		if err := f.finish(t); err != nil {
			return err
		}
	}
	return nil
}

// finish compares a tile's rows with what is stored of it.
func (f *fsck) finish(t *leafTile) error {
	data, err := f.takeTile(Tile{0, t.index, t.width})
	if err != nil {
		return err
	}
	copy(t.tile[:t.width], data)
	// Where neither says anything, both differ from the log.
	differs := t.rows != t.tile || slices.Contains(t.rows[:t.width], Hash{})
	h := Hash{}
	if t.width == TileWidth {
		h = rootOf(combine(t.rows[:], t.tile[:]))
	}
	if f.first = append(f.first, h); !differs && !f.boundary[t.index] {
		return nil
	}
	if len(f.kept) < f.keep || f.boundary[t.index] {
		f.kept[t.index] = t
	} else {
		f.differing[t.index] = unkept{rootOf(combine(t.tile[:], t.rows[:])), t.rows == [TileWidth]Hash{}}
	}
	return nil
}

// combine takes what is known from one, and the rest from the other.
func combine(one, other []Hash) []Hash {
	both := slices.Clone(one)
	for i := range both {
		if both[i] == (Hash{}) {
			both[i] = other[i]
		}
	}
	return both
}

// nodeHash is the hash of an inner node, or unknown where a child is.
func nodeHash(left, right Hash) Hash {
	if left == (Hash{}) || right == (Hash{}) {
		return Hash{}
	}
	var b [1 + 2*HashSize]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+HashSize:], right[:])
	return sha256.Sum256(b[:])
}

// rootOf is the root of a full subtree: hashes are a power of two.
func rootOf(hashes []Hash) Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	row := slices.Clone(hashes)
	for ; len(row) > 1; row = row[:len(row)/2] {
		for i := range len(row) / 2 {
			row[i] = nodeHash(row[2*i], row[2*i+1])
		}
	}
	return row[0]
}

// rootOfEdge is the root of a tree, from the hashes of its partial tiles: edge holds them by level, and is
// nil or shorter where a level's last tile is full.
func rootOfEdge(edge [][]Hash) Hash {
	var root Hash
	any := false
	for _, tile := range edge {
		for end := len(tile); end > 0; {
			n := 1 << bits.TrailingZeros(uint(end))
			h := rootOf(tile[end-n : end])
			if any {
				h = nodeHash(h, root)
			}
			root, any = h, true
			end -= n
		}
	}
	if !any {
		return EmptyTree().Root
	}
	return root
}
