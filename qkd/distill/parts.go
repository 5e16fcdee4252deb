package distill

import "math/bits"

// askedPass is a pass as Bob keeps it: his bits in the order of the pass, divided into parts. All are sets of places
// in that order.
type askedPass struct {
	shuffle shuffle
	words   []uint64 // his bits as they are now
	unknown []uint64 // of which bits he does not know Alice's value
	starts  []uint64 // where parts begin
	alice   []uint64 // where a part begins, the parity of Alice's bits before it
	odd     []uint64 // where a part begins, whether its parities differ
	queued  []uint64 // where a part begins, whether it waits to be divided

	// For variants that look at whole blocks alone; else nil.
	blocks    []uint64 // where blocks begin
	oddBlocks []uint64 // where a block begins, whether its parities differ
}

// arrange makes a pass that is not divided yet.
func (p *askedPass) arrange(r *Reconciler, pass int) {
	p.words = resize(p.words, len(r.unknown))
	p.unknown = resize(p.unknown, len(r.unknown))
	if pass == 0 {
		copy(p.words, r.bits.words)
		copy(p.unknown, r.unknown)
	} else {
		p.shuffle.derive(r.block, pass, r.bits.n, r.variant.shuffles(pass))
		p.shuffle.apply(p.words, r.bits.words)
		p.shuffle.apply(p.unknown, r.unknown)
	}
	p.starts = zeros(p.starts, len(p.words))
	p.alice = zeros(p.alice, len(p.words))
	p.odd = zeros(p.odd, len(p.words))
	p.queued = zeros(p.queued, len(p.words))
	if variants[r.variant].parts {
		p.blocks, p.oddBlocks = nil, nil
	} else {
		p.blocks = zeros(p.blocks, len(p.words))
		p.oddBlocks = zeros(p.oddBlocks, len(p.words))
	}
}

// add puts the part that begins at start to a batch, if it is to be divided.
func (p *askedPass) add(batch []part, start, n int) []part {
	if !p.isOdd(start) {
		return batch
	}
	end := nextOne(p.starts, start+1, n)
	return append(batch, part{start, p.middle(start, end), end})
}

// isOdd tells whether the part that begins at start is to be divided.
func (p *askedPass) isOdd(start int) bool {
	return get(p.odd, start) != 0 && (p.blocks == nil || get(p.oddBlocks, lastOne(p.blocks, start)) != 0)
}

// learn notes that the bit at a place is known, and that Bob's was wrong, if it was. If its part is to be looked at
// for that, it returns which one it is.
func (p *askedPass) learn(place int, wrong uint64, n int) (start, end int, more bool) {
	flip(p.unknown, place, 1)
	many := p.manyUnknown(place)
	if wrong == 0 && many {
		return 0, 0, false
	}
	start = lastOne(p.starts, place)
	if wrong != 0 {
		flip(p.words, place, 1)
		flip(p.odd, start, 1)
		if p.blocks != nil {
			flip(p.oddBlocks, lastOne(p.blocks, place), 1)
		}
	}
	if many && get(p.odd, start) == 0 {
		return 0, 0, false
	}
	return start, nextOne(p.starts, place+1, n), true
}

// oddPart returns the first odd part of the block of a place, if the block is odd.
func (p *askedPass) oddPart(place, n int) (start, end int, odd bool) {
	block := lastOne(p.blocks, place)
	if get(p.oddBlocks, block) == 0 {
		return 0, 0, false
	}
	start = nextOne(p.odd, block, n)
	return start, nextOne(p.starts, start+1, n), true
}

// manyUnknown tells, for most parts that have two unknown bits or more, that they have, by looking at a single word.
func (p *askedPass) manyUnknown(place int) bool {
	upTo := uint64(2)<<(place&63) - 1
	starts := p.starts[place>>6]
	w := p.unknown[place>>6]
	if before := starts & upTo; before != 0 {
		w &= ^uint64(0) << (63 - bits.LeadingZeros64(before))
	}
	if after := starts &^ upTo; after != 0 {
		w &= 1<<bits.TrailingZeros64(after) - 1
	}
	return w&(w-1) != 0
}

// firstUnknown returns the first unknown bit of a part, end or more if there is none, and whether there is another.
func (p *askedPass) firstUnknown(start, end int) (first int, more bool) {
	last := (end - 1) >> 6
	for i := start >> 6; i <= last; i++ {
		if w := within(p.unknown[i], i, start, end); w != 0 {
			first = i<<6 + bits.TrailingZeros64(w)
			return first, w&(w-1) != 0 || nextOne(p.unknown, (i+1)<<6, end) < end
		}
	}
	return end, false
}

// exactMiddle is the length up to which the unknown bits of a part are counted. In a longer one they are spread.
const exactMiddle = 512

// middle returns where to divide a part of which two bits at least are unknown, so that about half of them are on
// either side, and one at least.
func (p *askedPass) middle(start, end int) int {
	mid := start + (end-start)/2
	if end-start == 2 || end-start > exactMiddle && nextOne(p.unknown, start, mid) < mid && nextOne(p.unknown, mid, end) < end {
		return mid
	}
	count := 0
	for i := start >> 6; i <= (end-1)>>6; i++ {
		count += bits.OnesCount64(within(p.unknown[i], i, start, end))
	}
	if count == end-start {
		return mid
	}
	before := count / 2
	for i := start >> 6; ; i++ {
		w := within(p.unknown[i], i, start, end)
		if ones := bits.OnesCount64(w); ones <= before {
			before -= ones
			continue
		}
		for ; before > 0; before-- {
			w &= w - 1
		}
		return i<<6 + bits.TrailingZeros64(w)
	}
}

// within clears the bits of word i that are before start, or at end and after.
func within(w uint64, i, start, end int) uint64 {
	if i == start>>6 {
		w &= ^uint64(0) << (start & 63)
	}
	if i == (end-1)>>6 {
		w &= ^uint64(0) >> (63 - (end-1)&63)
	}
	return w
}

// classes are those of lengths: class c is of lengths from 2^(c-1)+1 to 2^c.
const classes = 31

// waiting are the parts that wait to be divided: where they begin, by class and pass.
type waiting struct {
	lists    [classes][16][]int32
	passes   [classes]uint16 // which lists of a class are not empty
	nonempty uint32          // which classes have one
	counts   [16]int         // how many wait, by pass
}

func (q *waiting) reset() {
	for class, pass := q.shortest(); class >= 0; class, pass = q.shortest() {
		q.remove(class, pass, len(q.lists[class][pass]))
	}
}

func (q *waiting) add(pass, start, length int) {
	class := bits.Len(uint(length - 1))
	q.lists[class][pass] = append(q.lists[class][pass], int32(start))
	q.passes[class] |= 1 << pass
	q.nonempty |= 1 << class
	q.counts[pass]++
}

// shortest returns the lowest class that has a list, and its first pass that has; class -1 if nothing waits.
func (q *waiting) shortest() (class, pass int) {
	if q.nonempty == 0 {
		return -1, 0
	}
	class = bits.TrailingZeros32(q.nonempty)
	return class, bits.TrailingZeros16(q.passes[class])
}

// remove takes away the first of a list.
func (q *waiting) remove(class, pass, count int) {
	list := q.lists[class][pass]
	list = list[:copy(list, list[count:])]
	q.lists[class][pass] = list
	q.counts[pass] -= count
	if len(list) > 0 {
		return
	}
	if q.passes[class] &^= 1 << pass; q.passes[class] == 0 {
		q.nonempty &^= 1 << class
	}
}

func get(words []uint64, i int) uint64     { return words[i>>6] >> (i & 63) & 1 }
func flip(words []uint64, i int, v uint64) { words[i>>6] ^= v << (i & 63) }

// zeros returns n words, all zero, in the memory of words if it is enough.
func zeros(words []uint64, n int) []uint64 {
	words = resize(words, n)
	clear(words)
	return words
}

// resize is as zeros, with any content.
func resize(words []uint64, n int) []uint64 {
	if cap(words) < n {
		return make([]uint64, n)
	}
	return words[:n]
}

// nextOne returns the place of the first 1 from place i on; if there is none before n, any place from n on.
func nextOne(words []uint64, i, n int) int {
	if i >= n {
		return n
	}
	w := i >> 6
	for word := words[w] & (^uint64(0) << (i & 63)); ; word = words[w] {
		if word != 0 {
			return w<<6 + bits.TrailingZeros64(word)
		}
		if w++; w<<6 >= n {
			return n
		}
	}
}

// lastOne returns the place of the last 1 up to place i. Place 0 has one.
func lastOne(words []uint64, i int) int {
	w := i >> 6
	word := words[w] & (^uint64(0) >> (63 - i&63))
	for word == 0 {
		w--
		word = words[w]
	}
	return w<<6 + 63 - bits.LeadingZeros64(word)
}
