package gf2

import "encoding/binary"

// Element is an element of GF(2^128) = GF(2)[x] / (x^128 + x^7 + x^2 + x + 1): the coefficients of x^0 to x^63
// in Lo, of x^64 to x^127 in Hi.
type Element struct{ Lo, Hi uint64 }

// FromBytes reads an element: the coefficient of x^i is bit i%8, counted from the least significant, of byte i/8.
func FromBytes(b [16]byte) Element {
	return Element{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])}
}

// Bytes is what FromBytes reads.
func (e Element) Bytes() (b [16]byte) {
	binary.LittleEndian.PutUint64(b[:8], e.Lo)
	binary.LittleEndian.PutUint64(b[8:], e.Hi)
	return b
}

// Add returns the sum of two elements, which is their difference too.
func (e Element) Add(f Element) Element { return Element{e.Lo ^ f.Lo, e.Hi ^ f.Hi} }

// Mul returns the product of two elements.
func (e Element) Mul(f Element) Element {
	return fastest.hashBlocks(Element{}, f, []uint64{e.Lo, e.Hi})
}

func mulGeneric(e, f Element) Element {
	h1, l1 := Mul64(e.Hi, f.Hi)
	h0, l0 := Mul64(e.Lo, f.Lo)
	hm, lm := Mul64(e.Lo^e.Hi, f.Lo^f.Hi)
	lm ^= l0 ^ l1
	hm ^= h0 ^ h1
	return reduce(l0, h0^lm, l1^hm, h1)
}

// reduce returns the rest of a polynomial of degree below 256, given in words, the lowest first.
func reduce(w0, w1, w2, w3 uint64) Element {
	// x^128 = x^7 + x^2 + x + 1. What the upper word shifts past x^191 is folded into word 2 first.
	w2 ^= w3>>63 ^ w3>>62 ^ w3>>57
	w1 ^= w3 ^ w3<<1 ^ w3<<2 ^ w3<<7
	w1 ^= w2>>63 ^ w2>>62 ^ w2>>57
	w0 ^= w2 ^ w2<<1 ^ w2<<2 ^ w2<<7
	return Element{w0, w1}
}

// Evaluate evaluates a polynomial whose coefficients are the blocks of a message: of d blocks m_1 to m_d it
// returns m_1·k^d + m_2·k^(d-1) + … + m_d·k. A block is two words, the lower one first; a message of an odd
// number of words is continued with a zero word. For two different messages of d blocks, any difference of
// the results has a probability of at most d/2^128 over the keys.
func Evaluate(key Element, words []uint64) Element {
	return fastest.evaluate(key, words)
}

func (k kernel) evaluate(key Element, words []uint64) Element {
	whole := len(words) &^ 1
	sum := k.hashBlocks(Element{}, key, words[:whole])
	if whole < len(words) {
		sum = k.hashBlocks(sum, key, []uint64{words[whole], 0})
	}
	return sum
}

// Hash is Evaluate of a message that comes piece by piece, in bytes: words have their lowest byte first. The message is
// continued with zeros to whole blocks, and then with a block that has its length in bytes in the lower word. Reset makes
// it ready.
type Hash struct {
	key, sum Element
	length   uint64
	block    [16]byte // of which length%16 bytes are there
	words    []uint64
}

// Reset begins a message.
func (h *Hash) Reset(key Element) {
	h.key, h.sum, h.length = key, Element{}, 0
}

// Write adds bytes to the message.
func (h *Hash) Write(data []byte) {
	used := int(h.length % 16)
	h.length += uint64(len(data))
	if used > 0 {
		n := copy(h.block[used:], data)
		if data = data[n:]; used+n < 16 {
			return
		}
		h.blocks(h.block[:])
	}
	whole := len(data) &^ 15
	h.blocks(data[:whole])
	copy(h.block[:], data[whole:])
}

// blocks adds whole blocks, as many at once as the nearest cache holds.
func (h *Hash) blocks(data []byte) {
	const most = 1 << 10
	for len(data) > 0 {
		n := min(most, len(data)/8)
		if cap(h.words) < n {
			h.words = make([]uint64, n)
		}
		words := h.words[:n]
		for i := range words {
			words[i] = binary.LittleEndian.Uint64(data[8*i:])
		}
		h.sum = fastest.hashBlocks(h.sum, h.key, words)
		data = data[8*n:]
	}
}

// Sum ends the message, and begins another one with the same key.
func (h *Hash) Sum() Element {
	length := h.length
	if used := length % 16; used > 0 {
		clear(h.block[used:])
		h.blocks(h.block[:])
	}
	sum := fastest.hashBlocks(h.sum, h.key, []uint64{length, 0})
	h.Reset(h.key)
	return sum
}
