package gf2

// kernel is a way to multiply. All give the same results.
type kernel struct {
	name string
	// correlate writes, for a from 0 to count−1, the sum of s(a+k)·x(k) over the words k < n, a polynomial of
	// degree below 128. n is a positive multiple of 4, count is positive.
	correlate func(c *Element, s, x *uint64, n, count int)
	// hash adds a positive number of blocks of two words to a sum, as Evaluate does.
	hash func(sum, key *Element, blocks *uint64, count int)
	// hashFours does so with four blocks for each of count, and the first four powers of the key.
	hashFours func(sum *Element, powers *[4]Element, blocks *uint64, count int)
	// add writes the sum of two vectors of n words, a positive multiple of 4. Where there is none, the Go code is as
	// good.
	add func(sum, a, b *uint64, n int)

	// The steps of transforms; a kernel has all of them or none. twist is butterfly of n words, a positive multiple of 4,
	// ends does the last two levels of two blocks of 4 words, with the twists of their halves and quarters, products is
	// multiplyAdd.
	twist, twistBack func(a, b *uint64, n int, w uint64)
	ends, endsBack   func(f, halves, quarters *uint64)
	products         func(sum, a, b *uint64, n int)
}

// fastest is the kernel in use; without a correlate, it is the Go code.
var fastest = func() kernel {
	if ks := kernels(); len(ks) > 0 {
		return ks[0]
	}
	return kernel{}
}()

func (k kernel) correlateWords(c []Element, s, x []uint64) {
	if k.correlate != nil {
		_ = s[len(x)+len(c)-2]
		k.correlate(&c[0], &s[0], &x[0], len(x), len(c))
		return
	}
	for a := range c {
		var sum Element
		for i, w := range x {
			hi, lo := Mul64(s[a+i], w)
			sum.Lo ^= lo
			sum.Hi ^= hi
		}
		c[a] = sum
	}
}

func (k kernel) hashBlocks(sum, key Element, words []uint64) Element {
	if fours := len(words) / 8; k.hashFours != nil && fours >= 8 {
		powers := [4]Element{key}
		for i := range 3 {
			powers[i+1] = k.hashBlocks(Element{}, key, []uint64{powers[i].Lo, powers[i].Hi})
		}
		k.hashFours(&sum, &powers, &words[0], fours)
		words = words[8*fours:]
	}
	if k.hash != nil && len(words) >= 2 {
		_ = words[len(words)/2*2-1]
		k.hash(&sum, &key, &words[0], len(words)/2)
		return sum
	}
	for ; len(words) >= 2; words = words[2:] {
		sum = mulGeneric(Element{sum.Lo ^ words[0], sum.Hi ^ words[1]}, key)
	}
	return sum
}

// addWords writes the sum of two vectors of a multiple of 4 words.
func (k *kernel) addWords(sum, a, b []uint64) {
	a, b = a[:len(sum)], b[:len(sum)]
	if k.add != nil && len(sum) > 0 {
		k.add(&sum[0], &a[0], &b[0], len(sum))
		return
	}
	for i := range sum {
		sum[i] = a[i] ^ b[i]
	}
}
