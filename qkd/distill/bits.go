package distill

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
)

// Bits is a string of bits in 64-bit words: bit i is in word i/64 at place i%64, counted from the least
// significant. Unused bits of the last word are zero. The zero value is the empty string. Indexes that are out
// of range are a panic.
type Bits struct {
	words []uint64
	n     int
}

// ErrBits is a byte string that is no string of so many bits.
var ErrBits = errors.New("distill: not a string of that many bits")

func wordsFor(n int) int { return (n + 63) / 64 }

// NewBits returns n zeros.
func NewBits(n int) *Bits { return &Bits{make([]uint64, wordsFor(n)), n} }

// FromWords returns the first n bits of words. It takes the words over, and clears what is unused in the last.
func FromWords(words []uint64, n int) *Bits {
	b := &Bits{words[:wordsFor(n)], n}
	b.clearUnused()
	return b
}

// FromBytes reads n bits from ⌈n/8⌉ bytes: bit i is in byte i/8 at place i%8, counted from the least
// significant. ErrBits if there are more or fewer bytes, or unused bits of the last are not zero.
func FromBytes(data []byte, n int) (*Bits, error) {
	if n < 0 || len(data) != (n+7)/8 || n%8 != 0 && data[len(data)-1]>>(n%8) != 0 {
		return nil, fmt.Errorf("%w: %d bytes for %d bits", ErrBits, len(data), n)
	}
	b := NewBits(n)
	for i := range b.words {
		if rest := data[8*i:]; len(rest) >= 8 {
			b.words[i] = binary.LittleEndian.Uint64(rest)
		} else {
			var last [8]byte
			copy(last[:], rest)
			b.words[i] = binary.LittleEndian.Uint64(last[:])
		}
	}
	return b, nil
}

// ReadBits takes ⌈n/64⌉·8 bytes from r, and returns the first n bits of them.
func ReadBits(r io.Reader, n int) (*Bits, error) {
	data := make([]byte, 8*wordsFor(n))
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, err
	}
	b := NewBits(n)
	for i := range b.words {
		b.words[i] = binary.LittleEndian.Uint64(data[8*i:])
	}
	b.clearUnused()
	return b, nil
}

func (b *Bits) clearUnused() {
	if b.n%64 != 0 {
		b.words[len(b.words)-1] &= 1<<(b.n%64) - 1
	}
}

// Bytes is what FromBytes reads.
func (b *Bits) Bytes() []byte {
	data := make([]byte, 0, 8*len(b.words))
	for _, w := range b.words {
		data = binary.LittleEndian.AppendUint64(data, w)
	}
	return data[:(b.n+7)/8]
}

// Len returns how many bits there are.
func (b *Bits) Len() int { return b.n }

// Words returns the words themselves. Who writes to them keeps unused bits zero.
func (b *Bits) Words() []uint64 { return b.words }

func (b *Bits) check(i int) {
	if uint(i) >= uint(b.n) {
		panic(fmt.Sprintf("distill: bit %d of %d", i, b.n))
	}
}

// At returns bit i: 0 or 1.
func (b *Bits) At(i int) uint64 {
	b.check(i)
	return b.words[i>>6] >> (i & 63) & 1
}

// Set makes bit i what v's lowest bit is.
func (b *Bits) Set(i int, v uint64) {
	b.check(i)
	b.words[i>>6] = b.words[i>>6]&^(1<<(i&63)) | v&1<<(i&63)
}

// Flip changes bit i.
func (b *Bits) Flip(i int) {
	b.check(i)
	b.words[i>>6] ^= 1 << (i & 63)
}

// Append adds the lowest n bits of v, at most 64, the least significant first.
func (b *Bits) Append(v uint64, n int) {
	if n <= 0 {
		return
	}
	v &= ^uint64(0) >> (64 - n)
	used := b.n & 63
	if used == 0 {
		b.words = append(b.words, v)
	} else {
		b.words[len(b.words)-1] |= v << used
		if used+n > 64 {
			b.words = append(b.words, v>>(64-used))
		}
	}
	b.n += n
}

// Slice returns a copy of the bits from from up to, not including, to.
func (b *Bits) Slice(from, to int) *Bits {
	if from < 0 || to < from || to > b.n {
		panic(fmt.Sprintf("distill: bits %d to %d of %d", from, to, b.n))
	}
	out := NewBits(to - from)
	first, shift := from>>6, from&63
	for i := range out.words {
		w := b.words[first+i] >> shift
		if shift != 0 && first+i+1 < len(b.words) {
			w |= b.words[first+i+1] << (64 - shift)
		}
		out.words[i] = w
	}
	out.clearUnused()
	return out
}

// Clone returns a copy.
func (b *Bits) Clone() *Bits { return &Bits{slices.Clone(b.words), b.n} }

// Equal tells whether two strings are the same. Its time depends on their lengths alone.
func (b *Bits) Equal(c *Bits) bool {
	if b.n != c.n {
		return false
	}
	var differ uint64
	for i, w := range b.words {
		differ |= w ^ c.words[i]
	}
	return differ == 0
}

// Xor adds c, of the same length, to b, bit by bit.
func (b *Bits) Xor(c *Bits) {
	if b.n != c.n {
		panic(fmt.Sprintf("distill: sum of %d and %d bits", b.n, c.n))
	}
	for i, w := range c.words {
		b.words[i] ^= w
	}
}

// Ones returns how many bits are 1.
func (b *Bits) Ones() (ones int) {
	for _, w := range b.words {
		ones += bits.OnesCount64(w)
	}
	return ones
}

// Parity returns the sum modulo 2 of the bits from from up to, not including, to.
func (b *Bits) Parity(from, to int) uint64 {
	if from < 0 || to < from || to > b.n {
		panic(fmt.Sprintf("distill: parity of bits %d to %d of %d", from, to, b.n))
	}
	return parity(b.words, from, to)
}

func parity(words []uint64, from, to int) uint64 {
	if from == to {
		return 0
	}
	first, last := from>>6, (to-1)>>6
	low, high := ^uint64(0)<<(from&63), ^uint64(0)>>(63-(to-1)&63)
	if first == last {
		return uint64(bits.OnesCount64(words[first]&low&high)) & 1
	}
	sum := words[first]&low ^ words[last]&high
	for _, w := range words[first+1 : last] {
		sum ^= w
	}
	return uint64(bits.OnesCount64(sum)) & 1
}
