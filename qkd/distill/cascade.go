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
// the same variant and the same seed. qber is the estimated error rate, from 0 to 1/2; the further it is from the
// true one, the more parities are disclosed. Errors may remain, whatever the estimate: compare tags.
//
// Errors: ErrParameters; ErrAnswer if an answer has the wrong length or contradicts another; what ask returns.
// The bits are useless then. An answer is not used after the next question is asked.
func Reconcile(b *Bits, v Variant, qber float64, seed [32]byte, ask func(question []byte) ([]byte, error)) (Report, error) {
	return new(Reconciler).Reconcile(b, v, qber, seed, ask)
}

// Reconciler is what Reconcile works in, for those who reconcile often: it keeps its memory. The zero value is
// ready. It is for one goroutine at a time.
type Reconciler struct {
	variant Variant
	bits    *Bits
	block   cipher.Block // AES-256 under the seed
	ask     func(question []byte) ([]byte, error)
	report  Report

	passes  []askedPass
	begun   int      // how many passes have begun
	total   uint64   // the parity of all of Alice's bits
	unknown []uint64 // of which bits Bob does not know Alice's value
	learnt  []learnt // bits of Alice's that the passes are still to be told of
	odd     waiting

	batch    []part  // what one question is about
	dividing int     // the pass of the batch
	starts   []int32 // memory to sort in
	question []byte
}

// part is a stretch of a pass's order, from start up to, not including, end, of which Alice's parity is known, and
// not that of any shorter one from start. It is asked for the bits before mid.
type part struct{ start, mid, end int }

// learnt is a bit of Alice's that Bob knows now: its place in a pass, and 1 if his own differs, else 0.
type learnt struct {
	pass, place int
	wrong       uint64
}

// Reconcile is the function of that name.
func (r *Reconciler) Reconcile(b *Bits, v Variant, qber float64, seed [32]byte, ask func(question []byte) ([]byte, error)) (Report, error) {
	if err := checkParameters(v, b.n, qber); err != nil {
		return Report{}, err
	}
	if b.n == 0 {
		return Report{}, nil
	}
	if err := r.reset(b, v, seed, ask); err != nil {
		return Report{}, err
	}
	var err error
	for pass := 0; pass < v.Passes() && err == nil; pass++ {
		for err = r.begin(v.blockLength(pass, b.n, qber)); err == nil && r.takeShortest(); {
			err = r.divide()
		}
	}
	r.bits, r.ask = nil, nil
	return r.report, err
}

func (r *Reconciler) reset(b *Bits, v Variant, seed [32]byte, ask func(question []byte) ([]byte, error)) (err error) {
	if r.block, err = aes.NewCipher(seed[:]); err != nil {
		return err
	}
	r.variant, r.bits, r.ask, r.report = v, b, ask, Report{}
	r.begun, r.total = 0, 0
	r.unknown = resize(r.unknown, len(b.words))
	for i := range r.unknown {
		r.unknown[i] = ^uint64(0)
	}
	(&Bits{r.unknown, b.n}).clearUnused()
	r.learnt = r.learnt[:0]
	r.odd.reset()
	for len(r.passes) < v.Passes() {
		r.passes = append(r.passes, askedPass{})
	}
	return nil
}

// begin asks for the parities of a pass's blocks, but not for what is known: that of the last block follows from the
// parity of the whole, which is asked for in the first pass alone, and a block whose bits are all known is joined to
// the next one.
func (r *Reconciler) begin(length int) error {
	n, pass := r.bits.n, r.begun
	p := &r.passes[pass]
	p.arrange(r, pass)
	r.begun++

	r.batch = r.batch[:0]
	start := 0
	for end := length; end < n; end += length {
		if nextOne(p.unknown, start, end) < end && nextOne(p.unknown, end, n) < n {
			r.batch = append(r.batch, part{start, end, end})
			start = end
		}
	}
	if pass == 0 {
		r.batch = append(r.batch, part{start, n, n})
	}
	answer, err := r.put(pass)
	if err != nil {
		return err
	}
	if pass == 0 {
		r.total = answerBit(answer, len(r.batch)-1)
	} else {
		r.batch = append(r.batch, part{start, n, n})
	}
	before := uint64(0)
	for i, block := range r.batch {
		next := r.total
		if block.end < n {
			next = answerBit(answer, i)
			flip(p.alice, block.end, next)
		}
		odd := before ^ next ^ parity(p.words, block.start, block.end)
		before = next
		flip(p.starts, block.start, 1)
		flip(p.odd, block.start, odd)
		if p.blocks != nil {
			flip(p.blocks, block.start, 1)
			flip(p.oddBlocks, block.start, odd)
		}
	}
	for _, block := range r.batch {
		if err := r.settle(pass, block.start, block.end, get(p.odd, block.start)); err != nil {
			return err
		}
	}
	return r.tell()
}

// put asks for the parities before the middle of each part of the batch.
func (r *Reconciler) put(pass int) (answer []byte, err error) {
	count := len(r.batch)
	if count == 0 {
		return nil, nil
	}
	r.question = append(r.question[:0], byte(pass))
	before := 0
	for _, p := range r.batch {
		r.question = appendDistance(r.question, p.mid-before)
		before = p.mid
	}
	if answer, err = r.ask(r.question); err != nil {
		return nil, err
	}
	if len(answer) != (count+7)/8 || count%8 != 0 && answer[len(answer)-1]>>(count%8) != 0 {
		return nil, fmt.Errorf("%w: %d bytes for %d parities", ErrAnswer, len(answer), count)
	}
	r.report.Rounds++
	r.report.Leak += count
	return answer, nil
}

func answerBit(answer []byte, i int) uint64 { return uint64(answer[i>>3]>>(i&7)) & 1 }

// How many odd parts are divided at once. The shortest come first: an error that is found in one often leads to shorter
// ones still, and these to what others at hand were odd for. But one by one, long strings would take too many questions. In
// the first wholeBatches passes, where errors are many and seldom have to do with each other, all that wait are taken; in
// later ones a share of them.
const (
	wholeBatches = 2
	laterShare   = 8
)

// takeShortest makes a batch of the shortest parts whose parities differ. All are of one pass, so that no two have a
// bit in common. It is false if there are none.
func (r *Reconciler) takeShortest() bool {
	r.batch = r.batch[:0]
	for len(r.batch) == 0 {
		class, pass := r.odd.shortest()
		if class < 0 {
			return false
		}
		r.dividing = pass
		if pass < wholeBatches {
			r.takeAll(class)
		} else {
			r.takeShare(class, (r.odd.counts[pass]+laterShare-1)/laterShare)
		}
	}
	return true
}

// takeAll moves all parts that wait in the pass to the batch, in ascending order.
func (r *Reconciler) takeAll(class int) {
	p := &r.passes[r.dividing]
	if r.odd.counts[r.dividing] > len(p.queued)/32 {
		for class := range classes {
			r.odd.remove(class, r.dividing, len(r.odd.lists[class][r.dividing]))
		}
		for i, w := range p.queued {
			for p.queued[i] = 0; w != 0; w &= w - 1 {
				r.batch = p.add(r.batch, i<<6+bits.TrailingZeros64(w), r.bits.n)
			}
		}
		return
	}
	all := r.starts[:0]
	for ; class < classes; class++ {
		if list := r.odd.lists[class][r.dividing]; len(list) > 0 {
			all = append(all, list...)
			r.odd.remove(class, r.dividing, len(list))
		}
	}
	slices.Sort(all)
	for _, start := range all {
		flip(p.queued, int(start), 1)
		r.batch = p.add(r.batch, int(start), r.bits.n)
	}
	r.starts = all
}

// takeShare moves as many parts, if there are, to the batch: of each list from a class upward the first ones.
func (r *Reconciler) takeShare(class, most int) {
	p := &r.passes[r.dividing]
	lists := 0
	for ; class < classes && len(r.batch) < most; class++ {
		list := r.odd.lists[class][r.dividing]
		if len(list) == 0 {
			continue
		}
		slices.Sort(list)
		taken := 0
		for ; taken < len(list) && len(r.batch) < most; taken++ {
			flip(p.queued, int(list[taken]), 1)
			r.batch = p.add(r.batch, int(list[taken]), r.bits.n)
		}
		r.odd.remove(class, r.dividing, taken)
		lists++
	}
	if lists > 1 {
		slices.SortFunc(r.batch, func(a, b part) int { return a.start - b.start })
	}
}

// divide asks for the parities of the first halves of the parts of the batch; those of the second ones follow.
func (r *Reconciler) divide() error {
	answer, err := r.put(r.dividing)
	if err != nil {
		return err
	}
	p := &r.passes[r.dividing]
	for i, part := range r.batch {
		before := answerBit(answer, i)
		first := before ^ get(p.alice, part.start) ^ parity(p.words, part.start, part.mid)
		second := get(p.odd, part.start) ^ first
		flip(p.starts, part.mid, 1)
		flip(p.alice, part.mid, before)
		flip(p.odd, part.start, second)
		flip(p.odd, part.mid, second)
		if err := r.settle(r.dividing, part.start, part.mid, first); err != nil {
			return err
		}
		if err := r.settle(r.dividing, part.mid, part.end, second); err != nil {
			return err
		}
	}
	return r.tell()
}

// settle looks at a part that is new, or of which more is known than before. One that has a single unknown bit gives
// that one; one whose parities differ waits to be divided.
func (r *Reconciler) settle(pass, start, end int, odd uint64) error {
	p := &r.passes[pass]
	first, more := p.firstUnknown(start, end)
	switch {
	case more:
		if odd != 0 && get(p.queued, start) == 0 && p.isOdd(start) {
			flip(p.queued, start, 1)
			r.odd.add(pass, start, end-start)
		}
	case first < end:
		r.learnt = append(r.learnt, learnt{pass, first, odd})
	case odd != 0:
		return fmt.Errorf("%w: bits have two values", ErrAnswer)
	}
	return nil
}

// tell takes note in all passes of the bits that were learnt, and corrects those of Bob's that differ.
func (r *Reconciler) tell() error {
	for len(r.learnt) > 0 {
		l := r.learnt[len(r.learnt)-1]
		r.learnt = r.learnt[:len(r.learnt)-1]
		if get(r.passes[l.pass].unknown, l.place) == 0 {
			continue // two passes gave it; if they disagree, a part stays odd and settle finds it
		}
		x := l.place
		if l.pass > 0 {
			x = r.passes[l.pass].shuffle.from(l.place)
		}
		flip(r.unknown, x, 1)
		flip(r.bits.words, x, l.wrong)
		r.report.Corrected += int(l.wrong)
		for pass := range r.begun {
			p := &r.passes[pass]
			place := x
			switch {
			case pass == l.pass:
				place = l.place
			case pass > 0:
				place = p.shuffle.to(x)
			}
			if start, end, more := p.learn(place, l.wrong, r.bits.n); more {
				if err := r.settle(pass, start, end, get(p.odd, start)); err != nil {
					return err
				}
			}
			if l.wrong == 0 || p.blocks == nil {
				continue
			}
			if start, end, odd := p.oddPart(place, r.bits.n); odd {
				if err := r.settle(pass, start, end, get(p.odd, start)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
