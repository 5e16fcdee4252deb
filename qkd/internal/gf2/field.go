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

// Hash evaluates a polynomial whose coefficients are the blocks of a message: of d blocks m_1 to m_d it
// returns m_1·k^d + m_2·k^(d-1) + … + m_d·k. A block is two words, the lower one first; a message of an odd
// number of words is continued with a zero word. For two different messages of d blocks, any difference of
// the hashes has a probability of at most d/2^128 over the keys.
func Hash(key Element, words []uint64) Element {
	return fastest.hash128(key, words)
}

func (k kernel) hash128(key Element, words []uint64) Element {
	whole := len(words) &^ 1
	sum := k.hashBlocks(Element{}, key, words[:whole])
	if whole < len(words) {
		sum = k.hashBlocks(sum, key, []uint64{words[whole], 0})
	}
	return sum
}
