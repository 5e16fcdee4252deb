package gf2

// Toeplitz writes to out the product of a Toeplitz matrix of l rows and n columns and a vector x: bit i of out is
// the sum of x(j)·seed(i−j+n−1). seed has n+l−1 bits. Bits of the words of x and seed beyond their lengths are zero;
// those of out are undefined.
func Toeplitz(out, seed, x []uint64, l, n int) {
	clear(out)
	for j := range n {
		mask := -(x[j>>6] >> (j & 63) & 1)
		from := n - 1 - j
		for i := range out {
			at := from + 64*i
			w := seed[at>>6] >> (at & 63)
			if at&63 != 0 && at>>6+1 < len(seed) {
				w |= seed[at>>6+1] << (64 - at&63)
			}
			out[i] ^= w & mask
		}
	}
}
