package distill

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math/bits"
)

// shuffle is the order in which a pass takes the bits: a network of swaps that works on whole words, so that
// moving n bits takes about n·log2(n)/64 steps, and moving one log2(n). docs/spec/qkd.md describes it.
//
// The first w = ⌊n/64⌋ words are rows of 64 columns; what is left over is the tail. Three stages follow one
// another: each bit of the tail changes places with one of a row; rows are swapped in part, by a butterfly over
// the rows, so that each bit comes to a row of its own choice; and columns are swapped in part within each row.
type shuffle struct {
	n, rows, levels int
	tail            []uint32 // for bit j of the tail, the row it changes places with; if there are no rows, the bit
	swaps           []uint64 // ⌊rows/2⌋ words for each level
	columns         []uint64 // ⌈rows/2⌉ words for each of six stages
}

// columnStages are the distances of columns that are swapped, and the places of the lower of each two.
var columnStages = [6]uint64{
	0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F,
	0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0x00000000FFFFFFFF,
}

// derive makes the shuffle of a pass, counted from 0, of n bits. block is AES-256 under the seed.
func (s *shuffle) derive(block cipher.Block, pass, n int) {
	s.n, s.rows = n, n/64
	s.levels = 0
	if s.rows > 1 {
		s.levels = bits.Len(uint(s.rows - 1))
	}
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[:8], uint64(pass))
	stream := cipher.NewCTR(block, iv[:])

	var draws [63]uint64
	s.tail = s.tail[:0]
	fill(stream, draws[:n%64])
	for j, r := range draws[:n%64] {
		choices := uint64(s.rows)
		if s.rows == 0 {
			choices = uint64(j) + 1
		}
		chosen, _ := bits.Mul64(r, choices)
		s.tail = append(s.tail, uint32(chosen))
	}
	s.swaps = resize(s.swaps, s.levels*(s.rows/2))
	s.columns = resize(s.columns, len(columnStages)*((s.rows+1)/2))
	fill(stream, s.swaps)
	fill(stream, s.columns)
}

// fill takes words from a key stream, the lowest byte first.
func fill(stream cipher.Stream, words []uint64) {
	var zero, chunk [4096]byte
	for len(words) > 0 {
		m := min(len(words), len(chunk)/8)
		stream.XORKeyStream(chunk[:8*m], zero[:8*m])
		for i := range words[:m] {
			words[i] = binary.LittleEndian.Uint64(chunk[8*i:])
		}
		words = words[m:]
	}
}

// resize returns a slice of n words, of any content, in the memory of words if it is enough.
func resize(words []uint64, n int) []uint64 {
	if cap(words) < n {
		return make([]uint64, n)
	}
	return words[:n]
}

// apply moves all bits of the words, in place.
func (s *shuffle) apply(words []uint64) {
	s.swapTail(words)
	for l := range s.levels {
		s.swapRows(words, l)
	}
	s.swapColumns(words)
}

func (s *shuffle) swapTail(words []uint64) {
	end := s.rows
	for j, chosen := range s.tail {
		a, at := int(chosen), j
		if s.rows == 0 {
			a, at = 0, int(chosen)
		}
		t := (words[a]>>at ^ words[end]>>j) & 1
		words[a] ^= t << at
		words[end] ^= t << j
	}
}

// swapRows is level l: rows are divided into 2^l segments of almost the same length, and these into halves
// that swap what the words say.
func (s *shuffle) swapRows(words []uint64, l int) {
	swaps := s.swaps[l*(s.rows/2) : (l+1)*(s.rows/2)]
	from := 0
	for i := 1; i <= 1<<l; i++ {
		to := i * s.rows >> l
		mid := (2*i - 1) * s.rows >> (l + 1)
		pairs := min(mid-from, to-mid)
		a, b, m := words[from:from+pairs], words[mid:mid+pairs], swaps[from/2:]
		m, b = m[:len(a)], b[:len(a)]
		for r, w := range a {
			t := (w ^ b[r]) & m[r]
			a[r] = w ^ t
			b[r] ^= t
		}
		from = to
	}
}

func (s *shuffle) swapColumns(words []uint64) {
	half := (s.rows + 1) / 2
	for r := range s.rows {
		w := words[r]
		for stage, lower := range columnStages {
			d := 1 << stage
			m := s.columns[stage*half+r/2] >> (d * (r & 1)) & lower
			t := (w ^ w>>d) & m
			w ^= t ^ t<<d
		}
		words[r] = w
	}
}

// columnAt tells whether the swap of a stage changes the place of column c of row r.
func (s *shuffle) columnMoves(stage, r, c int) bool {
	d := 1 << stage
	return s.columns[stage*((s.rows+1)/2)+r/2]>>(c&^d+d*(r&1))&1 != 0
}

// rowMoves returns the row to which level l moves what is in column c of row r, within segment i.
func (s *shuffle) rowMoves(l, i, r, c int) int {
	from, mid, to := i*s.rows>>l, (2*i+1)*s.rows>>(l+1), (i+1)*s.rows>>l
	other := r + mid - from
	if r >= mid {
		other = r - mid + from
	}
	pair := min(r, other) - from
	if pair < min(mid-from, to-mid) && s.swaps[l*(s.rows/2)+from/2+pair]>>c&1 != 0 {
		return other
	}
	return r
}

// to returns the place to which bit x goes.
func (s *shuffle) to(x int) int {
	x = s.tailMoves(x, false)
	if x >= 64*s.rows {
		return x
	}
	r, c := x>>6, x&63
	for l, i := 0, 0; l < s.levels; l++ {
		r = s.rowMoves(l, i, r, c)
		i *= 2
		if r >= (i+1)*s.rows>>(l+1) {
			i++
		}
	}
	for stage := range columnStages {
		if s.columnMoves(stage, r, c) {
			c ^= 1 << stage
		}
	}
	return r<<6 | c
}

// from returns the bit that goes to place y.
func (s *shuffle) from(y int) int {
	if y < 64*s.rows {
		r, c := y>>6, y&63
		for stage := len(columnStages) - 1; stage >= 0; stage-- {
			if s.columnMoves(stage, r, c) {
				c ^= 1 << stage
			}
		}
		// The last of the segments of the lowest level that begin at r or before.
		i := ((r+1)<<s.levels+s.rows-1)/s.rows - 1
		for l := s.levels - 1; l >= 0; l-- {
			i >>= 1
			r = s.rowMoves(l, i, r, c)
		}
		y = r<<6 | c
	}
	return s.tailMoves(y, true)
}

// tailMoves is the first stage for one bit.
func (s *shuffle) tailMoves(x int, back bool) int {
	tail := 64 * s.rows
	switch {
	case s.rows > 0 && x >= tail:
		return int(s.tail[x-tail])<<6 | (x - tail)
	case s.rows > 0:
		if c := x & 63; c < len(s.tail) && int(s.tail[c]) == x>>6 {
			return tail + c
		}
		return x
	}
	for i := range s.tail {
		j := i
		if back {
			j = len(s.tail) - 1 - i
		}
		switch chosen := int(s.tail[j]); x {
		case j:
			x = chosen
		case chosen:
			x = j
		}
	}
	return x
}
