package distill

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"math/bits"
	"slices"
)

// Report says what a reconciliation came to.
type Report struct {
	Leak      int // parities that were disclosed
	Corrected int // bits that were changed
	Rounds    int // questions that were asked
}

// Reconcile is Bob: it corrects bits, in place, to those of the Answerer that answers, and that has as many,
// the same variant and the same seed. qber is the estimated error rate, between 0 and 1/2; the further it is from
// the true one, the more parities are disclosed. Errors may remain, with either estimate: compare tags.
//
// Errors: ErrParameters; ErrAnswer if an answer has the wrong length or contradicts another; what ask returns.
// The bits are useless then. An answer is not used after the next question is asked.
func Reconcile(b *Bits, v Variant, qber float64, seed [32]byte, ask func(question []byte) ([]byte, error)) (Report, error) {
	return new(Reconciler).Reconcile(b, v, qber, seed, ask)
}

// Reconciler is what Reconcile works in, for those who reconcile often: it keeps its memory. It is for one
// goroutine at a time.
type Reconciler struct {
	variant Variant
	bits    *Bits
	block   cipher.Block
	ask     func(question []byte) ([]byte, error)
	report  Report

	passes    []askedPass
	count     int      // of passes that have begun
	total     uint64   // the parity of all of Alice's bits
	corrected []uint64 // the bits that were changed
	odd       [][]int  // by class and pass, where parts begin whose parities differ
	batch     []part   // what is asked about in one question
	dividing  int      // the pass that the batch is of
	question  []byte
	failed    error
}

// askedPass is a pass as Bob keeps it: his bits in the order of the pass, divided into parts. A part is a
// stretch of which Alice's parity is known, and of no stretch within it.
type askedPass struct {
	length  int // of blocks
	shuffle shuffle
	words   []uint64 // his bits as they are now
	starts  []uint64 // where parts begin
	alice   []uint64 // where a part begins, the parity of Alice's bits before it
	odd     []uint64 // where a part begins, whether its parities differ
	queued  []uint64 // where a part begins, whether it is in a list of odd ones
	blocks  []uint64 // whether the parities of a block differ; for variants without parts
}

// part is a stretch of a pass's order: from start up to, not including, end.
type part struct{ start, mid, end int }

// classes are those of lengths: class c is of those from 2^(c-1)+1 to 2^c.
const classes = 32

func class(length int) int { return bits.Len(uint(length - 1)) }

func get(words []uint64, i int) uint64     { return words[i>>6] >> (i & 63) & 1 }
func flip(words []uint64, i int, v uint64) { words[i>>6] ^= v << (i & 63) }

// Reconcile is the function of that name.
func (r *Reconciler) Reconcile(b *Bits, v Variant, qber float64, seed [32]byte, ask func(question []byte) ([]byte, error)) (Report, error) {
	if err := checkParameters(v, b.n, qber); err != nil {
		return Report{}, err
	}
	block, err := aes.NewCipher(seed[:])
	if err != nil {
		return Report{}, err
	}
	r.variant, r.bits, r.block, r.ask = v, b, block, ask
	r.report, r.count, r.failed, r.total = Report{}, 0, nil, 0
	r.corrected = resize(r.corrected, len(b.words))
	clear(r.corrected)
	for len(r.passes) < v.Passes() {
		r.passes = append(r.passes, askedPass{})
	}
	if len(r.odd) < classes*v.Passes() {
		r.odd = make([][]int, classes*v.Passes())
	}
	for i := range r.odd {
		r.odd[i] = r.odd[i][:0]
	}
	if b.n == 0 {
		return r.report, nil
	}
	for range v.Passes() {
		r.begin(v.blockLength(r.count, b.n, qber))
		for r.failed == nil && r.takeSmallest() {
			r.divide()
		}
		if r.failed != nil {
			break
		}
	}
	r.ask, r.bits = nil, nil
	return r.report, r.failed
}

// begin asks for the parities of a pass's blocks. The last one follows from the parity of the whole, which is asked
// for in the first pass alone.
func (r *Reconciler) begin(length int) {
	n := r.bits.n
	number := r.count
	r.count++
	p := &r.passes[number]
	p.length = length
	p.words = append(p.words[:0], r.bits.words...)
	if number > 0 {
		p.shuffle.derive(r.block, number, n)
		p.shuffle.apply(p.words)
	}
	for _, set := range []*[]uint64{&p.starts, &p.alice, &p.odd, &p.queued, &p.blocks} {
		*set = resize(*set, len(p.words))
		clear(*set)
	}
	r.batch = r.batch[:0]
	for start := 0; start < n; start += length {
		r.batch = append(r.batch, part{start, min(start+length, n), n})
	}
	if number > 0 {
		r.batch = r.batch[:len(r.batch)-1]
	}
	answer := r.put(number)
	if r.failed != nil {
		return
	}
	last := uint64(0)
	if number == 0 {
		i := len(r.batch) - 1
		r.total = uint64(answer[i>>3]) >> (i & 7) & 1
	}
	p.starts[0] |= 1
	for start, i := 0, 0; start < n; start, i = start+length, i+1 {
		end := start + length
		next := r.total
		if end < n {
			next = uint64(answer[i>>3]) >> (i & 7) & 1
			flip(p.starts, end, 1)
			flip(p.alice, end, next)
		} else {
			end = n
		}
		odd := last ^ next ^ parity(p.words, start, end)
		last = next
		flip(p.blocks, i, odd)
		flip(p.odd, start, odd)
	}
	for start := 0; start < n; start += length {
		if get(p.odd, start) != 0 {
			r.found(number, start, min(start+length, n))
		}
	}
}

// put asks for the parities before the middle of each part of the batch.
func (r *Reconciler) put(number int) []byte {
	if len(r.batch) == 0 {
		return nil
	}
	r.question = append(r.question[:0], byte(number))
	before := 0
	for _, p := range r.batch {
		r.question = appendDistance(r.question, p.mid-before)
		before = p.mid
	}
	answer, err := r.ask(r.question)
	if err != nil {
		r.failed = err
		return nil
	}
	count := len(r.batch)
	if len(answer) != (count+7)/8 || count%8 != 0 && answer[len(answer)-1]>>(count%8) != 0 {
		r.failed = fmt.Errorf("%w: %d bytes for %d parities", ErrAnswer, len(answer), count)
		return nil
	}
	r.report.Rounds++
	r.report.Leak += count
	return answer
}

// found deals with a part whose parities differ: one bit is corrected, a longer one waits to be divided.
func (r *Reconciler) found(number, start, end int) {
	if end-start == 1 {
		r.correct(number, start)
		return
	}
	p := &r.passes[number]
	if get(p.queued, start) == 0 {
		flip(p.queued, start, 1)
		list := &r.odd[class(end-start)*r.variant.Passes()+number]
		*list = append(*list, start)
	}
}

// takeSmallest makes a batch of the shortest parts whose parities differ; all are of one pass, so that none has a
// bit of another. It is false if there are none.
func (r *Reconciler) takeSmallest() bool {
	n, passes := r.bits.n, r.variant.Passes()
	for i := range r.odd {
		if len(r.odd[i]) == 0 {
			continue
		}
		list := r.odd[i]
		r.odd[i] = list[:0]
		p := &r.passes[i%passes]
		slices.Sort(list)
		r.batch = r.batch[:0]
		for _, start := range list {
			flip(p.queued, start, 1)
			if get(p.odd, start) == 0 || !variants[r.variant].parts && get(p.blocks, start/p.length) == 0 {
				continue
			}
			end := nextOne(p.starts, start+1, n)
			r.batch = append(r.batch, part{start, start + (end-start)/2, end})
		}
		if len(r.batch) > 0 {
			r.dividing = i % passes
			return true
		}
	}
	return false
}

// divide asks for the parities of halves of the parts of the batch, and goes on with those that differ.
func (r *Reconciler) divide() {
	number := r.dividing
	answer := r.put(number)
	if r.failed != nil {
		return
	}
	p := &r.passes[number]
	for i, part := range r.batch {
		before := uint64(answer[i>>3]) >> (i & 7) & 1
		flip(p.starts, part.mid, 1)
		flip(p.alice, part.mid, before)
		whole := get(p.odd, part.start)
		first := before ^ get(p.alice, part.start) ^ parity(p.words, part.start, part.mid)
		flip(p.odd, part.start, whole^first)
		flip(p.odd, part.mid, whole^first)
		if first != 0 {
			r.found(number, part.start, part.mid)
		}
		if whole != first {
			r.found(number, part.mid, part.end)
		}
		if r.failed != nil {
			return
		}
	}
}

// correct changes the bit at a place of a pass, in all passes, and notes which parts differ now.
func (r *Reconciler) correct(number, place int) {
	x := place
	if number > 0 {
		x = r.passes[number].shuffle.from(place)
	}
	if get(r.corrected, x) != 0 {
		r.failed = fmt.Errorf("%w: bit %d would be changed twice", ErrAnswer, x)
		return
	}
	flip(r.corrected, x, 1)
	r.bits.Flip(x)
	r.report.Corrected++
	n := r.bits.n
	for other := range r.count {
		p := &r.passes[other]
		y := x
		if other == number {
			y = place
		} else if other > 0 {
			y = p.shuffle.to(x)
		}
		flip(p.words, y, 1)
		start := lastOne(p.starts, y)
		flip(p.odd, start, 1)
		block := y / p.length
		flip(p.blocks, block, 1)
		if !variants[r.variant].parts {
			if get(p.blocks, block) == 0 {
				continue
			}
			start = nextOne(p.odd, block*p.length, n)
		} else if get(p.odd, start) == 0 {
			continue
		}
		end := nextOne(p.starts, start+1, n)
		if end-start == 1 {
			r.failed = fmt.Errorf("%w: bit %d has two values", ErrAnswer, x)
			return
		}
		r.found(other, start, end)
	}
}

// nextOne returns the place of the first 1 from place i on, or n.
func nextOne(words []uint64, i, n int) int {
	if i >= n {
		return n
	}
	w := i >> 6
	for word := words[w] & (^uint64(0) << (i & 63)); ; word = words[w] {
		if word != 0 {
			return w<<6 + bits.TrailingZeros64(word)
		}
		if w++; w == len(words) {
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
