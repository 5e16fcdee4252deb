package distill

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math/bits"
)

// shuffle is the order in which a pass takes the bits. From networkLength bits on it is a network of swaps that works
// on whole words, so that moving n bits takes about n·log2(n)/64 steps, and moving one log2(n); fewer are shuffled one
// by one. docs/spec/qkd.md describes it.
//
// The first ⌊n/64⌋ words are rows of 64 columns; what is left over is the tail. Four stages follow one another: rows are
// rotated; each bit of the tail changes places with one of a row; rows are swapped in part, by a butterfly over the
// rows, so that each bit comes to a row of its own choice; and columns are swapped in part within each row.
type shuffle struct {
	rows, levels int
	rotation     int
	tail         []uint32 // for bit j of the tail, the row with whose bit j it changes places
	draws        []byte   // of the key stream, ⌊rows/2⌋ words for each level, ⌈rows/2⌉ for each stage of columns
	stream       []byte   // the memory of draws
	columns      int      // where the words for columns begin

	// For few bits, where each goes, and which comes to each place. There are no rows then.
	places, origins []uint32
}

const (
	networkLength = 256
	columnStages  = 6 // columns at a distance of 2^stage are swapped
)

// lower are the lower of each two columns of a stage.
var lower = [columnStages]uint64{
	0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F,
	0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0x00000000FFFFFFFF,
}

// derive makes the shuffle of a pass, counted from 0, of n bits. block is AES-256 under the seed.
func (s *shuffle) derive(block cipher.Block, pass, n int) {
	if n < networkLength {
		s.rows = 0
		s.read(block, pass, n)
		s.deriveFew(n)
		return
	}
	s.rows = n / 64
	s.levels = bits.Len(uint(s.rows - 1))
	s.columns = s.levels * (s.rows / 2)
	tail := n % 64
	s.read(block, pass, 1+tail+s.columns+columnStages*((s.rows+1)/2))
	s.rotation = s.choose(0, s.rows)
	s.tail = s.tail[:0]
	for j := range tail {
		s.tail = append(s.tail, uint32(s.choose(1+j, s.rows)))
	}
	s.draws = s.draws[8*(1+tail):]
}

// deriveFew is the shuffle of Fisher and Yates.
func (s *shuffle) deriveFew(n int) {
	s.places, s.origins = s.places[:0], s.origins[:0]
	for i := range n {
		j := s.choose(i, i+1)
		s.origins = append(s.origins, uint32(i))
		s.origins[i], s.origins[j] = s.origins[j], uint32(i)
	}
	s.places = append(s.places, s.origins...)
	for place, x := range s.origins {
		s.places[x] = uint32(place)
	}
}

// read takes so many words from the key stream of a pass.
func (s *shuffle) read(block cipher.Block, pass, words int) {
	if cap(s.stream) < 8*words {
		s.stream = make([]byte, 8*words)
	}
	s.draws = s.stream[:8*words]
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[:8], uint64(pass))
	stream := cipher.NewCTR(block, iv[:])
	for rest := s.draws; len(rest) > 0; {
		// As much as the nearest cache holds: each byte is written twice.
		chunk := rest[:min(len(rest), 1<<13)]
		clear(chunk)
		stream.XORKeyStream(chunk, chunk)
		rest = rest[len(chunk):]
	}
}

// draw returns a word of the key stream, the lowest byte first.
func (s *shuffle) draw(i int) uint64 { return binary.LittleEndian.Uint64(s.draws[8*i:]) }

// choose returns a number below choices that word i of the key stream chooses.
func (s *shuffle) choose(i, choices int) int {
	chosen, _ := bits.Mul64(s.draw(i), uint64(choices))
	return int(chosen)
}

// apply writes to moved the bits of words where they go.
func (s *shuffle) apply(moved, words []uint64) {
	if s.rows == 0 {
		clear(moved)
		for place, x := range s.origins {
			flip(moved, place, get(words, int(x)))
		}
		return
	}
	copy(moved[copy(moved, words[s.rotation:s.rows]):], words[:s.rotation])
	copy(moved[s.rows:], words[s.rows:])
	for j, row := range s.tail {
		t := (moved[row] ^ moved[s.rows]) & (1 << (j & 63))
		moved[row] ^= t
		moved[s.rows] ^= t
	}
	for l := range s.levels {
		s.swapRows(moved, l)
	}
	s.swapColumns(moved)
}

// boundary returns where segment i of level l begins: ⌊i·rows/2^l⌋.
func (s *shuffle) boundary(l, i int) int { return int(int64(i) * int64(s.rows) >> (l & 63)) }

// swapRows is level l: rows are divided into 2^l segments of almost the same length, and each into halves that
// swap what a word for each two rows says.
func (s *shuffle) swapRows(words []uint64, l int) {
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

func (s *shuffle) swapColumns(words []uint64) {
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
func (s *shuffle) columnMoves(stage, r, c int) int {
	d := 1 << (stage & 7)
	swapped := s.draw(s.columns+stage*((s.rows+1)/2)+r>>1) >> ((c&^d + d*(r&1)) & 63) & 1
	return c ^ d&-int(swapped)
}

// rowMoves returns the row to which level l moves what is in column c of row r, which is in segment i, and in which
// half of the segment it is then: 0 or 1.
func (s *shuffle) rowMoves(l, i, r, c int) (row, half int) {
	from, mid, to := s.boundary(l, i), s.boundary(l+1, 2*i+1), s.boundary(l, i+1)
	half = negative(mid - 1 - r)
	row = r - from - -half&(mid-from)
	paired := negative(row - min(mid-from, to-mid))
	half ^= paired & int(s.draw(l*(s.rows/2)+from>>1+row)>>(c&63))
	return from + row + -half&(mid-from), half
}

// to returns the place to which bit x goes.
func (s *shuffle) to(x int) int {
	if s.rows == 0 {
		return int(s.places[x])
	}
	r, c := x>>6, x&63
	switch {
	case r == s.rows:
		r = int(s.tail[c])
	default:
		if r -= s.rotation; r < 0 {
			r += s.rows
		}
		if c < len(s.tail) && int(s.tail[c]) == r {
			return s.rows<<6 | c
		}
	}
	for l, i, half := 0, 0, 0; l < s.levels; l++ {
		r, half = s.rowMoves(l, i, r, c)
		i = 2*i + half
	}
	for stage := range columnStages {
		c = s.columnMoves(stage, r, c)
	}
	return r<<6 | c
}

// from returns the bit that goes to place y.
func (s *shuffle) from(y int) int {
	if s.rows == 0 {
		return int(s.origins[y])
	}
	r, c := y>>6, y&63
	if r == s.rows {
		r = int(s.tail[c])
	} else {
		for stage := columnStages - 1; stage >= 0; stage-- {
			c = s.columnMoves(stage, r, c)
		}
		// Of the segments below the last level, the last one that begins at r or before.
		i := int((int64(r+1)<<(s.levels&63)+int64(s.rows)-1)/int64(s.rows)) - 1
		for l := s.levels - 1; l >= 0; l-- {
			i >>= 1
			r, _ = s.rowMoves(l, i, r, c)
		}
		if c < len(s.tail) && int(s.tail[c]) == r {
			return s.rows<<6 | c
		}
	}
	if r += s.rotation; r >= s.rows {
		r -= s.rows
	}
	return r<<6 | c
}
