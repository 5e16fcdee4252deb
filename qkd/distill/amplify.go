package distill

import (
	"fmt"

	"stonevault/qkd/internal/gf2"
)

// Amplify returns the product of a Toeplitz matrix of length rows and the bits, over GF(2): bit i of the result is
// the sum of b(j)·seed(i−j+n−1) over all n bits j. Such matrices are 2-universal (H. Krawczyk, CRYPTO 1994), so that
// the leftover hash lemma holds for them. The seed has n+length−1 bits; it must be random and not be known before
// the quantum transmission has ended; it may be public then. For no bits at all, the seed may be anything. Its time
// depends on the lengths alone.
//
// Errors: ErrParameters if the length is negative or more than n, or the seed has another length.
func Amplify(b, seed *Bits, length int) (*Bits, error) {
	if length < 0 || length > b.n {
		return nil, fmt.Errorf("%w: %d bits cannot give %d", ErrParameters, b.n, length)
	}
	if length == 0 {
		return NewBits(0), nil
	}
	if want := SeedBits(b.n, length); seed.n != want {
		return nil, fmt.Errorf("%w: a seed of %d bits, not %d", ErrParameters, seed.n, want)
	}
	out := NewBits(length)
	gf2.Toeplitz(out.words, seed.words, b.words, length, b.n)
	out.clearUnused()
	return out, nil
}

// SeedBits returns how many bits the seed has that makes length bits of n: n+length−1, and none for none.
func SeedBits(n, length int) int {
	if length == 0 {
		return 0
	}
	return n + length - 1
}
