package gf2

import "sync"

// A long product of polynomials goes through a transform: both are cut into coefficients of 32 bits, which are elements of
// GF(2^64) = GF(2)[x] / (x^64 + x^4 + x^3 + x + 1), evaluated at 2^16 points, multiplied point by point and interpolated. The
// points are the sums of the first 16 elements β of Cantor's basis, β_0 = 1 and β_i = β_(i+1)² + β_(i+1) (D. G. Cantor, J. Comb.
// Theory A 50, 285, 1989). Of the polynomials s_i = x^(2^i) + …, which are 0 at the sums of the first i of these elements, the
// products make a basis in which evaluation takes as many steps as a Fourier transform (S.-J. Lin, W.-H. Chung and Y. S. Han,
// FOCS 2014). As s_16 = x^(2^16) + x, what does not fit is found one place above where a cyclic product would have it.
const (
	transformLevels = 16
	transformSize   = 1 << transformLevels
)

// mul returns a product in GF(2^64).
func mul(a, b uint64) uint64 {
	hi, lo := Mul64(a, b)
	hi ^= hi>>60 ^ hi>>61 ^ hi>>63
	return lo ^ hi ^ hi<<1 ^ hi<<3 ^ hi<<4
}

// twists has, for each pair of halves of a level, what s_i is at the first point of them: for pair j it is the sum of the
// β_(b+1) for which bit b of j is 1, whatever the level.
var twists = sync.OnceValue(func() []uint64 {
	var beta [64]uint64
	// Some x^k has the trace 1, which is where its chain ends.
	for k := 0; beta[0] != 1; k++ {
		beta[63] = 1 << k
		for i := 63; i > 0; i-- {
			beta[i-1] = mul(beta[i], beta[i]) ^ beta[i]
		}
	}
	all := make([]uint64, transformSize/2)
	for b := range transformLevels - 1 {
		for j := range 1 << b {
			all[1<<b+j] = all[j] ^ beta[b+1]
		}
	}
	return all
})

// transform evaluates a polynomial of 2^16 coefficients.
func (k *kernel) transform(f []uint64) {
	k.toProducts(f, 1)
	k.evaluateAt(f, twists(), 0)
}

// transformBack is its opposite.
func (k *kernel) transformBack(f []uint64) {
	k.interpolate(f, twists(), 0)
	k.fromProducts(f, 1)
}

// evaluateAt has pair j of the level of len(f).
func (k *kernel) evaluateAt(f, w []uint64, j int) {
	h := len(f) / 2
	k.butterfly(f[:h], f[h:], w[j])
	if h == 4 && k.ends != nil {
		k.ends(&f[0], &w[2*j], &w[4*j])
		return
	}
	if h > 1 {
		k.evaluateAt(f[:h], w, 2*j)
		k.evaluateAt(f[h:], w, 2*j+1)
	}
}

func (k *kernel) interpolate(f, w []uint64, j int) {
	h := len(f) / 2
	if h == 4 && k.endsBack != nil {
		k.endsBack(&f[0], &w[2*j], &w[4*j])
	} else if h > 1 {
		k.interpolate(f[:h], w, 2*j)
		k.interpolate(f[h:], w, 2*j+1)
	}
	k.butterflyBack(f[:h], f[h:], w[j])
}

// butterfly makes of a and b a+w·b and a+w·b+b.
func (k *kernel) butterfly(a, b []uint64, w uint64) {
	if k.twist != nil && len(a) >= 4 {
		k.twist(&a[0], &b[0], len(a), w)
		return
	}
	for i, y := range b {
		x := a[i] ^ mul(y, w)
		a[i], b[i] = x, x^y
	}
}

func (k *kernel) butterflyBack(a, b []uint64, w uint64) {
	if k.twistBack != nil && len(a) >= 4 {
		k.twistBack(&a[0], &b[0], len(a), w)
		return
	}
	for i, x := range a {
		y := b[i] ^ x
		a[i], b[i] = x^mul(y, w), y
	}
}

// multiplyAdd adds the products of two transforms to a sum.
func (k *kernel) multiplyAdd(sum, a, b []uint64) {
	if k.products != nil {
		k.products(&sum[0], &a[0], &b[0], len(sum))
		return
	}
	for i := range sum {
		sum[i] ^= mul(a[i], b[i])
	}
}

// toProducts turns coefficients of the powers of x into those of the products of s_i. Each coefficient has so many words. For a
// k that is a power of two, s_k = x^(2^k) + x: as a polynomial in s_k, whose coefficients are short polynomials in x, both are
// treated the same way.
func (k *kernel) toProducts(f []uint64, words int) {
	n := len(f) / words
	switch {
	case n <= 2:
		return
	case len(f) == 16 && words == 1:
		toProducts16((*[16]uint64)(f))
		return
	}
	power := powerBelow(n)
	size := words << power
	for h := len(f) / 2; h >= size; h /= 2 {
		shift := h >> power
		for at := 0; at < len(f); at += 2 * h {
			low, high := f[at:at+h], f[at+h:at+2*h]
			k.xor(high[:shift], high[h-shift:])
			k.xor(low[shift:], high[:h-shift])
		}
	}
	k.toProducts(f, size)
	for at := 0; at < len(f); at += size {
		k.toProducts(f[at:at+size], words)
	}
}

func (k *kernel) fromProducts(f []uint64, words int) {
	n := len(f) / words
	switch {
	case n <= 2:
		return
	case len(f) == 16 && words == 1:
		fromProducts16((*[16]uint64)(f))
		return
	}
	power := powerBelow(n)
	size := words << power
	for at := 0; at < len(f); at += size {
		k.fromProducts(f[at:at+size], words)
	}
	k.fromProducts(f, size)
	for h := size; h < len(f); h *= 2 {
		shift := h >> power
		for at := 0; at < len(f); at += 2 * h {
			low, high := f[at:at+h], f[at+h:at+2*h]
			k.xor(low[shift:], high[:h-shift])
			k.xor(high[:shift], high[h-shift:])
		}
	}
}

// toProducts16 is toProducts of 16 coefficients of one word.
func toProducts16(f *[16]uint64) {
	f[8] ^= f[14]
	f[9] ^= f[15]
	for i := 2; i < 8; i++ {
		f[i] ^= f[i+6]
	}
	for at := 0; at < 16; at += 8 {
		f[at+4] ^= f[at+7]
		f[at+1] ^= f[at+4]
		f[at+2] ^= f[at+5]
		f[at+3] ^= f[at+6]
	}
	for i := range 4 {
		f[8+i] ^= f[12+i]
		f[4+i] ^= f[8+i]
	}
	for at := 0; at < 16; at += 4 {
		f[at+2] ^= f[at+3]
		f[at+1] ^= f[at+2]
	}
}

func fromProducts16(f *[16]uint64) {
	for at := 0; at < 16; at += 4 {
		f[at+1] ^= f[at+2]
		f[at+2] ^= f[at+3]
	}
	for i := range 4 {
		f[4+i] ^= f[8+i]
		f[8+i] ^= f[12+i]
	}
	for at := 0; at < 16; at += 8 {
		f[at+1] ^= f[at+4]
		f[at+2] ^= f[at+5]
		f[at+3] ^= f[at+6]
		f[at+4] ^= f[at+7]
	}
	for i := 2; i < 8; i++ {
		f[i] ^= f[i+6]
	}
	f[8] ^= f[14]
	f[9] ^= f[15]
}

// powerBelow returns the largest power of two k with 2^k < n.
func powerBelow(n int) int {
	k := 1
	for 1<<(2*k) < n {
		k *= 2
	}
	return k
}

func (k *kernel) xor(a, b []uint64) {
	b = b[:len(a)]
	whole := len(a) &^ 3
	k.addWords(a[:whole], a[:whole], b[:whole])
	for i := whole; i < len(a); i++ {
		a[i] ^= b[i]
	}
}

// A tile is a part of a Toeplitz matrix whose product goes through one transform: so many columns and rows, in bits, that
// both together are at most mostBits. They are multiples of 64.
const mostBits = 32*transformSize - 64

// tiles returns how large they are, and how many there are across and down.
func tiles(rows, columns int) (width, height, across, down int) {
	width, height = 64*columns, 64*rows
	if width+height <= mostBits {
		return width, height, 1, 1
	}
	const most = mostBits / 128 // words
	across, down = (columns+most-1)/most, (rows+most-1)/most
	size := 64 * max((columns+across-1)/across, (rows+down-1)/down)
	return size, size, across, down
}

// transforms tells whether transforms are as fast as the other ways of the kernel: not where it has only those.
func (k *kernel) transforms() bool { return k.twist != nil || k.correlate == nil }

// transformCost returns what toeplitzTransformed costs, in products of words, of which a transform takes as long as so many.
func transformCost(rows, columns int) int {
	const each = 2_400_000
	_, _, across, down := tiles(rows, columns)
	return (2*(across+down)-1)*each + across*down*transformSize*4
}

// toeplitzTransformed is Toeplitz for long vectors. Where there are several tiles they are squares, so that those on a
// diagonal have the same part of the seed.
func (k *kernel) toeplitzTransformed(out, seed, x []uint64, n int) {
	width, height, across, down := tiles(len(out), len(x))
	parts := make([][]uint64, across)
	for j := range parts {
		parts[j] = coefficients(x, j*width, width)
		k.transform(parts[j])
	}
	diagonals := make([][]uint64, across+down-1)
	for d := range diagonals {
		// Row i of a tile is bit i+width of the product of its part and this.
		diagonals[d] = coefficients(seed, n-1-width+(d-across+1)*height, width+height)
		k.transform(diagonals[d])
	}
	sum := make([]uint64, transformSize)
	for i := range down {
		clear(sum)
		for j := range across {
			k.multiplyAdd(sum, parts[j], diagonals[i-j+across-1])
		}
		k.transformBack(sum)
		rows := out[i*height/64:]
		first := width / 32
		for w := range min(len(rows), height/64) {
			c := sum[first+2*w-1 : first+2*w+2]
			rows[w] = c[0]>>32 ^ c[1] ^ c[2]<<32
		}
	}
}

// coefficients cuts so many bits of a vector, from one on, into pieces of 32. What is outside of the vector is 0.
func coefficients(words []uint64, from, count int) []uint64 {
	f := make([]uint64, transformSize)
	word, shift := from>>6, from&63
	at := func(i int) uint64 {
		if i < 0 || i >= len(words) {
			return 0
		}
		return words[i]
	}
	low := at(word)
	for i := range count / 64 {
		high := at(word + i + 1)
		w := low>>shift | high<<1<<(63-shift)
		f[2*i], f[2*i+1] = w&(1<<32-1), w>>32
		low = high
	}
	return f
}
