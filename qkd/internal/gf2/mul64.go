package gf2

import "math/bits"

// Mul64 returns the product of two polynomials of degree below 64.
func Mul64(a, b uint64) (hi, lo uint64) {
	lo = mulLow(a, b)
	// The upper half is the lower half of the product of the reversed operands, reversed: its 127
	// coefficients end one place short of the top.
	hi = bits.Reverse64(mulLow(bits.Reverse64(a), bits.Reverse64(b))) >> 1
	return hi, lo
}

// Every fourth bit of a word. In an integer product of two words that have only such bits, no sum of ones
// below bit 64 exceeds 15 except at the very top, so that no carry reaches a bit that is kept.
const (
	every0 = 0x1111111111111111
	every1 = every0 << 1
	every2 = every0 << 2
	every3 = every0 << 3
)

// mulLow returns the lower 64 coefficients of a product. (T. Pornin, BearSSL, "constant-time GHASH".)
func mulLow(a, b uint64) uint64 {
	a0, a1, a2, a3 := a&every0, a&every1, a&every2, a&every3
	b0, b1, b2, b3 := b&every0, b&every1, b&every2, b&every3
	return (a0*b0^a1*b3^a2*b2^a3*b1)&every0 |
		(a0*b1^a1*b0^a2*b3^a3*b2)&every1 |
		(a0*b2^a1*b1^a2*b0^a3*b3)&every2 |
		(a0*b3^a1*b2^a2*b1^a3*b0)&every3
}
