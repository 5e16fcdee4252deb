package distill

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math/bits"
)

// shuffle is the order in which a pass takes the bits, as docs/spec/qkd.md describes it. From networkLength bits on it is a
// network of swaps that works on whole words, so that moving a bit takes a few steps at most, and moving all of them some
// for each word; fewer are shuffled one by one.
//
// Long strings are divided into segments, which all have the same network but for the last one: what is shuffled within a
// segment is as good as a shuffled string of that length, and one key stream and one cache serve all of them.
type shuffle struct {
	each     network // of the segments before the last one
	last     network
	segments int    // before the last one
	stream   []byte // memory for the draws of both

	// For few bits, where each goes, and which comes to each place. There is no network then.
	few             bool
	places, origins []uint32
}

const (
	networkLength = 256
	segmentBits   = 16 // log2 of the length of a segment; the last one has up to twice as many
	columnStages  = 6  // columns at a distance of 2^stage are swapped
)

// network moves bits. The first ⌊n/64⌋ words are rows of 64 columns; what is left over is the tail. Four stages follow one
// another: rows from the fixed one on are rotated; each bit of the tail changes places with one of a row; rows are swapped
// in part, by a butterfly over the rows; and columns are swapped in part within each row.
//
// A whole network has a level for each halving of the rows, so that each bit comes to a row of its own choice. One that only
// divides has one level and no columns: of two bits in the same column of two rows, one of each half, a coin says which
// half it goes to.
type network struct {
	rows, levels, stages int
	fixed, rotation      int
	tail                 []uint32 // for bit j of the tail, the row with whose bit j it changes places
	draws                []byte   // of the key stream, ⌊rows/2⌋ words for each level, ⌈rows/2⌉ for each stage of columns
	columns              int      // where the words for columns begin
}

// lower are the lower of each two columns of a stage.
var lower = [columnStages]uint64{
	0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F,
	0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0x00000000FFFFFFFF,
}

// derive makes the shuffle of a pass, counted from 0, of n bits, which only divides them if whole is false. block is AES-256
// under the seed.
func (s *shuffle) derive(block cipher.Block, pass, n int, whole bool) {
	s.few, s.segments = n < networkLength, 0
	if s.few {
		s.deriveFew(s.read(block, pass, n), n)
		return
	}
	if whole && n>>segmentBits > 1 {
		s.segments = n>>segmentBits - 1
	}
	words := s.last.shape(n-s.segments<<segmentBits, whole)
	if s.segments > 0 {
		words += s.each.shape(1<<segmentBits, true)
	}
	// A row that has no other to swap with looks at a word, too: one more than there are.
	draws := s.last.take(s.read(block, pass, words+1))
	if s.segments > 0 {
		s.each.take(draws)
	}
}

// shape makes a network of n bits, and returns how many words it draws.
func (t *network) shape(n int, whole bool) (words int) {
	t.rows = n / 64
	t.levels, t.stages, t.fixed = 1, 0, t.rows/2
	if whole {
		t.levels, t.stages, t.fixed = bits.Len(uint(t.rows-1)), columnStages, 0
	}
	t.tail = append(t.tail[:0], make([]uint32, n%64)...)
	t.columns = t.levels * (t.rows / 2)
	return 1 + n%64 + t.columns + t.stages*((t.rows+1)/2)
}

// take draws what the network draws, and returns the draws that are left.
func (t *network) take(draws []byte) []byte {
	t.rotation = choose(draws, 0, t.rows-t.fixed)
	for j := range t.tail {
		t.tail[j] = uint32(choose(draws, 1+j, t.rows))
	}
	t.draws = draws[8*(1+len(t.tail)):]
	return t.draws[8*(t.columns+t.stages*((t.rows+1)/2)):]
}

// deriveFew is the shuffle of Fisher and Yates.
func (s *shuffle) deriveFew(draws []byte, n int) {
	s.places, s.origins = s.places[:0], s.origins[:0]
	for i := range n {
		j := choose(draws, i, i+1)
		s.origins = append(s.origins, uint32(i))
		s.origins[i], s.origins[j] = s.origins[j], uint32(i)
	}
	s.places = append(s.places, s.origins...)
	for place, x := range s.origins {
		s.places[x] = uint32(place)
	}
}

// read takes so many words from the key stream of a pass.
func (s *shuffle) read(block cipher.Block, pass, words int) []byte {
	if cap(s.stream) < 8*words {
		s.stream = make([]byte, 8*words)
	}
	draws := s.stream[:8*words]
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[:8], uint64(pass))
	stream := cipher.NewCTR(block, iv[:])
	for rest := draws; len(rest) > 0; {
		// As much as the nearest cache holds: each byte is written twice.
		chunk := rest[:min(len(rest), 1<<13)]
		clear(chunk)
		stream.XORKeyStream(chunk, chunk)
		rest = rest[len(chunk):]
	}
	return draws
}

// draw returns a word of a key stream, the lowest byte first.
func draw(draws []byte, i int) uint64 { return binary.LittleEndian.Uint64(draws[8*i:]) }

// choose returns a number below choices that word i of a key stream chooses.
func choose(draws []byte, i, choices int) int {
	chosen, _ := bits.Mul64(draw(draws, i), uint64(choices))
	return int(chosen)
}

// apply writes to moved the bits of words where they go.
func (s *shuffle) apply(moved, words []uint64) {
	if s.few {
		clear(moved)
		for place, x := range s.origins {
			flip(moved, place, get(words, int(x)))
		}
		return
	}
	for range s.segments {
		s.each.apply(moved[:s.each.rows], words[:s.each.rows])
		moved, words = moved[s.each.rows:], words[s.each.rows:]
	}
	s.last.apply(moved, words)
}

// to returns the place to which bit x goes.
func (s *shuffle) to(x int) int {
	if s.few {
		return int(s.places[x])
	}
	if segment := x >> segmentBits; segment < s.segments {
		return segment<<segmentBits | s.each.to(x&(1<<segmentBits-1))
	}
	first := s.segments << segmentBits
	return first + s.last.to(x-first)
}

// from returns the bit that goes to place y.
func (s *shuffle) from(y int) int {
	if s.few {
		return int(s.origins[y])
	}
	if segment := y >> segmentBits; segment < s.segments {
		return segment<<segmentBits | s.each.from(y&(1<<segmentBits-1))
	}
	first := s.segments << segmentBits
	return first + s.last.from(y-first)
}

func (s *network) apply(moved, words []uint64) {
	fixed, begin := s.fixed, s.fixed+s.rotation
	copy(moved, words[:fixed])
	copy(moved[fixed+copy(moved[fixed:], words[begin:s.rows]):], words[fixed:begin])
	copy(moved[s.rows:], words[s.rows:])
	for j, row := range s.tail {
		t := (moved[row] ^ moved[s.rows]) & (1 << (j & 63))
		moved[row] ^= t
		moved[s.rows] ^= t
	}
	for l := range s.levels {
		s.swapRows(moved, l)
	}
	if s.stages > 0 {
		s.swapColumns(moved)
	}
}

// boundary returns where segment i of level l begins: ⌊i·rows/2^l⌋.
func (s *network) boundary(l, i int) int { return int(int64(i) * int64(s.rows) >> (l & 63)) }

// swapRows is level l: rows are divided into 2^l segments of almost the same length, and each into halves that
// swap what a word for each two rows says.
func (s *network) swapRows(words []uint64, l int) {
	swaps := s.draws[8*l*(s.rows/2):]
	from := 0
	for i := 1; i <= 1<<l; i++ {
		mid, to := s.boundary(l+1, 2*i-1), s.boundary(l, i)
		pairs := min(mid-from, to-mid)
		m := swaps[8*(from/2):]
		r := 0
		if wideSwaps && pairs >= 4 {
			exchange(&words[from], &words[mid], &m[0], pairs/4)
			r = pairs &^ 3
		}
		for ; r < pairs; r++ {
			t := (words[from+r] ^ words[mid+r]) & binary.LittleEndian.Uint64(m[8*r:])
			words[from+r] ^= t
			words[mid+r] ^= t
		}
		from = to
	}
}

func (s *network) swapColumns(words []uint64) {
	half := (s.rows + 1) / 2
	draws := s.draws[8*s.columns:]
	m0, m1, m2 := draws[:8*half], draws[8*half:16*half], draws[16*half:24*half]
	m3, m4, m5 := draws[24*half:32*half], draws[32*half:40*half], draws[40*half:48*half]
	first := 0
	if wideSwaps {
		exchangeColumns(&words[0], &draws[0], 8*half, s.rows/4)
		first = s.rows &^ 3
	}
	for r := first; r < s.rows; r++ {
		w := words[r]
		// Both of two rows take their bits from one word: the first from the lower columns, the second from the
		// upper ones.
		odd, at := r&1, r>>1<<3
		t := (w ^ w>>1) & (binary.LittleEndian.Uint64(m0[at:]) >> (odd & 1)) & lower[0]
		w ^= t ^ t<<1
		t = (w ^ w>>2) & (binary.LittleEndian.Uint64(m1[at:]) >> (2 * odd & 2)) & lower[1]
		w ^= t ^ t<<2
		t = (w ^ w>>4) & (binary.LittleEndian.Uint64(m2[at:]) >> (4 * odd & 4)) & lower[2]
		w ^= t ^ t<<4
		t = (w ^ w>>8) & (binary.LittleEndian.Uint64(m3[at:]) >> (8 * odd & 8)) & lower[3]
		w ^= t ^ t<<8
		t = (w ^ w>>16) & (binary.LittleEndian.Uint64(m4[at:]) >> (16 * odd & 16)) & lower[4]
		w ^= t ^ t<<16
		t = (w ^ w>>32) & (binary.LittleEndian.Uint64(m5[at:]) >> (32 * odd & 32)) & lower[5]
		w ^= t ^ t<<32
		words[r] = w
	}
}

// One bit is moved without branches on what was drawn, which a processor could not predict.

// negative returns 1 for a negative number, else 0.
func negative(i int) int { return int(uint(i) >> (bits.UintSize - 1)) }

// columnMoves returns the column to which a stage moves what is in column c of row r.
func (s *network) columnMoves(stage, r, c int) int {
	d := 1 << (stage & 7)
	swapped := draw(s.draws, s.columns+stage*((s.rows+1)/2)+r>>1) >> ((c&^d + d*(r&1)) & 63) & 1
	return c ^ d&-int(swapped)
}

// evenRow returns the row with which what is in column c of row r changes places or stays, in a level whose segments are
// 2·half rows, which is a power of two. m are the level's words.
func evenRow(m []byte, half, r, c int) int {
	swapped := draw(m, (r&^(2*half-1))>>1|r&(half-1)) >> (c & 63) & 1
	return r ^ half&-int(swapped)
}

// rowMoves returns the row to which level l moves what is in column c of row r, which is in segment i, and in which
// half of the segment it is then: 0 or 1.
func (s *network) rowMoves(l, i, r, c int) (row, half int) {
	from, mid, to := s.boundary(l, i), s.boundary(l+1, 2*i+1), s.boundary(l, i+1)
	half = negative(mid - 1 - r)
	row = r - from - -half&(mid-from)
	paired := negative(row - min(mid-from, to-mid))
	half ^= paired & int(draw(s.draws, l*(s.rows/2)+from>>1+row)>>(c&63))
	return from + row + -half&(mid-from), half
}

func (s *network) to(x int) int {
	r, c := x>>6, x&63
	switch {
	case r == s.rows:
		r = int(s.tail[c])
	default:
		if r >= s.fixed {
			if r -= s.rotation; r < s.fixed {
				r += s.rows - s.fixed
			}
		}
		if c < len(s.tail) && int(s.tail[c]) == r {
			return s.rows<<6 | c
		}
	}
	if s.even() {
		for l, m := 0, s.draws; l < s.levels; l, m = l+1, m[4*s.rows:] {
			r = evenRow(m, s.rows>>(l+1), r, c)
		}
	} else {
		for l, i, half := 0, 0, 0; l < s.levels; l++ {
			r, half = s.rowMoves(l, i, r, c)
			i = 2*i + half
		}
	}
	for stage := range s.stages {
		c = s.columnMoves(stage, r, c)
	}
	return r<<6 | c
}

// even tells whether all segments of a level have the same length.
func (s *network) even() bool { return s.rows&(s.rows-1) == 0 }

// rowBefore returns the row from which the levels move what they bring to column c of row r.
func (s *network) rowBefore(r, c int) int {
	if s.even() {
		for l := s.levels - 1; l >= 0; l-- {
			r = evenRow(s.draws[4*s.rows*l:], s.rows>>(l+1), r, c)
		}
		return r
	}
	// Of the segments below the last level, the last one that begins at r or before.
	i := int((int64(r+1)<<(s.levels&63)+int64(s.rows)-1)/int64(s.rows)) - 1
	for l := s.levels - 1; l >= 0; l-- {
		i >>= 1
		r, _ = s.rowMoves(l, i, r, c)
	}
	return r
}

func (s *network) from(y int) int {
	r, c := y>>6, y&63
	if r == s.rows {
		r = int(s.tail[c])
	} else {
		for stage := s.stages - 1; stage >= 0; stage-- {
			c = s.columnMoves(stage, r, c)
		}
		r = s.rowBefore(r, c)
		if c < len(s.tail) && int(s.tail[c]) == r {
			return s.rows<<6 | c
		}
	}
	if r >= s.fixed {
		if r += s.rotation; r >= s.rows {
			r -= s.rows - s.fixed
		}
	}
	return r<<6 | c
}
