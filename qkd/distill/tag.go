package distill

import (
	"fmt"
	"math"

	"stonevault/qkd/internal/gf2"
)

// maxTagBits is the length of a whole hash.
const maxTagBits = 128

// TagBits returns the length t of a tag with which two different strings of n bits agree with a probability of at
// most epsCor: t = ⌈log2(d/epsCor)⌉, d = ⌈n/128⌉ but at least 1. Errors: ErrParameters if epsCor is not within 0
// and 1, or t would be more than 128.
func TagBits(n int, epsCor float64) (t int, err error) {
	blocks := float64(max(1, (n+127)/128))
	if !(epsCor > 0 && epsCor < 1) {
		return 0, fmt.Errorf("%w: a probability of %v is not within 0 and 1", ErrParameters, epsCor)
	}
	// Multiplying by powers of two is exact, which logarithms are not.
	for math.Ldexp(epsCor, t) < blocks {
		if t++; t > maxTagBits {
			return 0, fmt.Errorf("%w: no tag of %d bits reaches a probability of %v", ErrParameters, maxTagBits, epsCor)
		}
	}
	return t, nil
}

// TagLeak returns what a tag of t bits discloses beyond the log2(1/epsCor) bits that formulas for the length of a
// key have already taken off: t − log2(1/epsCor), rounded up to a whole bit, not below 0.
func TagLeak(t int, epsCor float64) (leak int) {
	for math.Ldexp(1, leak) < math.Ldexp(epsCor, t) {
		leak++
	}
	return leak
}

// Tag returns the tag of t bits, 1 to 128, of a string: the first t coefficients of gf2.Evaluate of its words, in
// ⌈t/8⌉ bytes, as Bits.Bytes writes them. The key must be random, and not be known before both strings are what
// they will be; it may be public then. Strings of different lengths are not told apart by it.
func Tag(b *Bits, key [16]byte, t int) []byte {
	if t < 1 || t > maxTagBits {
		panic(fmt.Sprintf("distill: a tag of %d bits", t))
	}
	sum := gf2.Evaluate(gf2.FromBytes(key), b.words)
	return FromWords([]uint64{sum.Lo, sum.Hi}, t).Bytes()
}
