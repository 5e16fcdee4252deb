package gf2

// Toeplitz writes to out the product of a Toeplitz matrix of l rows and n columns and a vector x: bit i of out is
// the sum of x(j)·seed(i−j+n−1). seed has n+l−1 bits; both l and n are positive. Bits of the words of x and seed
// beyond their lengths are zero; those of out are undefined.
//
// The matrix is divided into square blocks, each of them by Karatsuba's method for such matrices (three products of
// half the size instead of four) down to small ones, which are sums of products of words. What a block costs decides
// how large they are. From some hundred thousand bits on, transforms cost less.
func Toeplitz(out, seed, x []uint64, l, n int) {
	fastest.toeplitz(out, seed, x, l, n)
}

// largestSum is the size, in words, up to which a block is not divided. It is a multiple of 4, as are all sizes.
const largestSum = 32

func (k kernel) toeplitz(out, seed, x []uint64, l, n int) {
	rows, columns := (l+63)/64, (n+63)/64
	size, levels, cost := blockSize(rows, columns)
	switch {
	case k.transforms() && transformCost(rows, columns) < cost:
		k.toeplitzTransformed(out, seed, x, n)
	case size == 0:
		k.toeplitzDirect(out, seed, x, rows, columns, n)
	default:
		k.toeplitzBlocks(out, seed, x, n, size, levels)
	}
}

// toeplitzBlocks multiplies in blocks of so many words, which are halved so often.
func (k kernel) toeplitzBlocks(out, seed, x []uint64, n, size, levels int) {
	rows, columns := len(out), len(x)
	down, across := (rows+size-1)/size, (columns+size-1)/size

	// T(i,j) is aligned bit i−j+64·width; x is turned round, so that both go the same way.
	width := across * size
	aligned := align(seed, n, width, width+down*size)
	turned := turn(x, width)
	sum := make([]uint64, down*size)
	product := make([]uint64, size)
	work := make([]uint64, 2*size)
	c := make([]Element, largestSum+1)
	for i := range down {
		for j := range across {
			at := width + (i-j-1)*size
			k.square(product, aligned[at:at+2*size], turned[width-(j+1)*size:width-j*size], work, c, levels)
			k.addWords(sum[i*size:(i+1)*size], sum[i*size:(i+1)*size], product)
		}
	}
	copy(out, sum)
}

// blockSize returns the size of the blocks, in words, and how often they are halved, that cost least for so many words
// of rows and columns, 0 if no blocks at all do, and how many products of words they cost.
func blockSize(rows, columns int) (size, levels, cost int) {
	direct := (rows + 1) * columns
	least := direct
	for unit := largestSum/2 + 4; unit <= largestSum; unit += 4 {
		// A halving costs about as much as 4 products of words for each word.
		for s, l, cost := 2*unit, 1, 3*unit*(unit+1)+4*unit; s < 2*(columns+2*unit); s, l, cost = 2*s, l+1, 3*cost+4*s {
			if all := (rows + s - 1) / s * ((columns + s - 1) / s) * cost; all < least {
				least, size, levels = all, s, l
			}
		}
	}
	return size, levels, least
}

// toeplitzDirect is for few rows: each word of the result is a sum over all columns.
func (k kernel) toeplitzDirect(out, seed, x []uint64, rows, columns, n int) {
	width := (columns + 3) &^ 3
	c := make([]Element, rows+1)
	k.correlateWords(c, align(seed, n, width, width+rows), turn(x, width))
	for i := range rows {
		out[i] = c[i+1].Lo ^ c[i].Hi
	}
}

// square writes to y the product of a square block of len(y) words and a vector. s has twice as many words: entry
// (i,j) is bit i−j+64·len(y). The vector x is turned round, word by word. work has twice as many words, too.
func (k kernel) square(y, s, x, work []uint64, c []Element, levels int) {
	if levels == 0 {
		c = c[:len(y)+1]
		k.correlateWords(c, s, x)
		for i := range y {
			y[i] = c[i+1].Lo ^ c[i].Hi
		}
		return
	}
	// ( B A ) (x0)     y0 = B(x0+x1) + (A+B)x1
	// ( C B ) (x1)     y1 = B(x0+x1) + (B+C)x0
	h := len(y) / 2
	x1, x0 := x[:h], x[h:]
	sums, below := work[:2*h], work[2*h:]
	k.addWords(sums, s[:2*h], s[h:3*h])
	k.square(y[:h], sums, x1, below, c, levels-1)
	k.addWords(sums, s[h:3*h], s[2*h:])
	k.square(y[h:], sums, x0, below, c, levels-1)
	both, product := sums[:h], sums[h:]
	k.addWords(both, x0, x1)
	k.square(product, s[h:3*h], both, below, c, levels-1)
	k.addWords(y[:h], y[:h], product)
	k.addWords(y[h:], y[h:], product)
}

// align returns, in so many words, the seed moved so that entry (i,j) of the matrix is bit i−j+64·width.
func align(seed []uint64, n, width, words int) []uint64 {
	aligned := make([]uint64, words)
	by := 64*width - n + 1
	shift := by & 63
	into := aligned[by>>6:]
	for i, w := range seed {
		if i < len(into) {
			into[i] |= w << shift
		}
		if shift > 0 && i+1 < len(into) {
			into[i+1] = w >> (64 - shift)
		}
	}
	return aligned
}

// turn returns the words of x, continued with zeros to so many, from the last to the first.
func turn(x []uint64, words int) []uint64 {
	turned := make([]uint64, words)
	for i, w := range x {
		turned[words-1-i] = w
	}
	return turned
}
