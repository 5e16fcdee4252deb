package distill_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"math/bits"
	"os"
	"slices"
	"testing"

	"stonevault/qkd/distill"
)

// TestSpecBob reconciles the vectors again as docs/spec/qkd.md says that the implementation does, with lists in place
// of sets of bits, and comes to the same questions.
func TestSpecBob(t *testing.T) {
	kept, err := os.ReadFile(vectorsPath)
	if err != nil {
		t.Fatal(err)
	}
	var f vectorFile
	if err := json.Unmarshal(kept, &f); err != nil {
		t.Fatal(err)
	}
	for i, v := range f.Reconciles {
		var want, got [][]byte
		variant, err := distill.ParseVariant(v.Variant)
		if err != nil {
			t.Fatal(err)
		}
		alice, bob := parse(t, v.Alice, v.N), parse(t, v.Bob, v.N)
		a, err := distill.NewAnswerer(alice, variant, [32]byte(v.Seed))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := distill.Reconcile(parse(t, v.Bob, v.N), variant, v.QBER, [32]byte(v.Seed), func(question []byte) ([]byte, error) {
			want = append(want, slices.Clone(question))
			return a.Answer(question)
		}); err != nil {
			t.Fatal(err)
		}
		s := newSpecBob(t, v, alice, bob, func(question []byte) { got = append(got, question) })
		s.run()
		if len(got) != v.Rounds || s.leak != v.Leak || s.changed != v.Corrected || bob.Equal(alice) != v.Same {
			t.Errorf("%s, %d bits (vector %d): %d questions, %d parities, %d corrected, want %d, %d, %d", v.Variant, v.N, i, len(got), s.leak, s.changed, v.Rounds, v.Leak, v.Corrected)
		}
		for k := range min(len(want), len(got)) {
			if !slices.Equal(want[k], got[k]) {
				t.Errorf("%s, %d bits (vector %d): question %d is %x, want %x", v.Variant, v.N, i, k, got[k], want[k])
				break
			}
		}
	}
}

type specBob struct {
	t             *testing.T
	v             reconcileVector
	alice, bob    *distill.Bits
	asked         func(question []byte)
	parts         bool
	passes        []*specPass
	known         []bool
	found         [][3]int // pass, place, whether Bob's is wrong
	leak, changed int
}

type specPass struct {
	order, place []int
	cuts, blocks []int // with 0 and n
	before       map[int]uint64
	waiting      map[int]int // the class of each part that waits, by its start
}

func newSpecBob(t *testing.T, v reconcileVector, alice, bob *distill.Bits, asked func([]byte)) *specBob {
	return &specBob{t: t, v: v, alice: alice, bob: bob, asked: asked, known: make([]bool, v.N), parts: v.Variant != "original" && v.Variant != "option3"}
}

func (s *specBob) run() {
	passes := map[string]int{"original": 4, "option3": 16, "option4": 16, "option7": 14, "option8": 14}[s.v.Variant]
	for pass := range passes {
		s.begin(pass)
		for s.batch() {
		}
	}
}

// length is the table of variants.
func (s *specBob) length(pass int) int {
	q, half := s.v.QBER, float64((s.v.N+1)/2)
	alpha := math.Log2(1/q) - 0.5
	whole := half
	half = min(half, 1<<15)
	var k float64
	switch s.v.Variant {
	case "original":
		k = math.Ceil(0.73/q) * math.Exp2(float64(pass))
	case "option3", "option4":
		k = append([]float64{math.Ceil(1 / q), 2 * math.Ceil(1/q)}, slices.Repeat([]float64{half}, 14)...)[pass]
	case "option7":
		k = math.Exp2(math.Ceil(math.Log2(1 / q)))
		k = append([]float64{k, 4 * k}, slices.Repeat([]float64{half}, 14)...)[pass]
	case "option8":
		k = append([]float64{math.Exp2(math.Ceil(alpha)), math.Exp2(math.Ceil((alpha + 12) / 2)), 4096}, slices.Repeat([]float64{half}, 14)...)[pass]
	}
	if pass > 0 {
		k = min(k, whole)
	}
	return int(max(1, min(k, float64(s.v.N))))
}

// ask asks, and notes what was answered.
func (s *specBob) ask(pass int, positions []int) {
	if len(positions) == 0 {
		return
	}
	p := s.passes[pass]
	question, last := []byte{byte(pass)}, 0
	for _, x := range positions {
		question = binary.AppendUvarint(question, uint64(x-last))
		last = x
		sum := uint64(0)
		for _, i := range p.order[:x] {
			sum ^= s.alice.At(i)
		}
		p.before[x] = sum
		if !slices.Contains(p.cuts, x) {
			p.cuts = append(p.cuts, x)
		}
	}
	slices.Sort(p.cuts)
	s.leak += len(positions)
	s.asked(question)
}

func (s *specBob) unknown(p *specPass, from, to int) (places []int) {
	for y := from; y < to; y++ {
		if !s.known[p.order[y]] {
			places = append(places, y)
		}
	}
	return places
}

func (s *specBob) odd(p *specPass, from, to int) bool {
	sum := p.before[from] ^ p.before[to]
	for _, i := range p.order[from:to] {
		sum ^= s.bob.At(i)
	}
	return sum != 0
}

// around returns the two neighbours among cuts that a place is between.
func around(cuts []int, place int) (from, to int) {
	i, _ := slices.BinarySearch(cuts, place+1)
	return cuts[i-1], cuts[i]
}

func (s *specBob) blockIsOdd(p *specPass, place int) bool {
	from, to := around(p.blocks, place)
	return s.parts || s.odd(p, from, to)
}

func (s *specBob) begin(pass int) {
	n := s.v.N
	p := &specPass{before: map[int]uint64{0: 0}, cuts: []int{0, n}, waiting: map[int]int{}, place: make([]int, n)}
	if pass == 0 {
		for i := range n {
			p.order = append(p.order, i)
		}
	} else {
		p.order = specOrder(s.t, s.v.Seed, pass, n, pass < map[string]int{"original": 4, "option3": 2, "option4": 2, "option7": 2, "option8": 3}[s.v.Variant])
		p.before[n] = s.passes[0].before[n]
	}
	for y, x := range p.order {
		p.place[x] = y
	}
	s.passes = append(s.passes, p)
	var ends []int
	start, length := 0, s.length(pass)
	for end := length; end < n; end += length {
		if len(s.unknown(p, start, end)) > 0 && len(s.unknown(p, end, n)) > 0 {
			ends = append(ends, end)
			start = end
		}
	}
	if pass == 0 {
		ends = append(ends, n)
	}
	s.ask(pass, ends)
	p.blocks = slices.Clone(p.cuts)
	for i := range p.blocks[1:] {
		s.look(pass, p.blocks[i], p.blocks[i+1])
	}
	s.follow()
}

func (s *specBob) look(pass, from, to int) {
	p := s.passes[pass]
	odd := s.odd(p, from, to)
	unknown := s.unknown(p, from, to)
	switch {
	case len(unknown) == 0 && odd:
		s.t.Fatal("a contradiction")
	case len(unknown) == 1:
		wrong := 0
		if odd {
			wrong = 1
		}
		s.found = append(s.found, [3]int{pass, unknown[0], wrong})
	case len(unknown) > 1 && odd && s.blockIsOdd(p, from):
		if _, waits := p.waiting[from]; !waits {
			p.waiting[from] = bits.Len(uint(to - from - 1))
		}
	}
}

func (s *specBob) follow() {
	for len(s.found) > 0 {
		f := s.found[len(s.found)-1]
		s.found = s.found[:len(s.found)-1]
		x := s.passes[f[0]].order[f[1]]
		if s.known[x] {
			continue
		}
		s.known[x] = true
		if f[2] == 1 {
			s.bob.Flip(x)
			s.changed++
		}
		for pass, p := range s.passes {
			from, to := around(p.cuts, p.place[x])
			s.look(pass, from, to)
			if f[2] == 0 || s.parts || !s.blockIsOdd(p, p.place[x]) {
				continue
			}
			from, end := around(p.blocks, p.place[x])
			for from < end {
				_, to := around(p.cuts, from)
				if s.odd(p, from, to) {
					s.look(pass, from, to)
					break
				}
				from = to
			}
		}
	}
}

func (s *specBob) batch() bool {
	class, pass := 100, -1
	for i, p := range s.passes {
		for _, c := range p.waiting {
			if c < class {
				class, pass = c, i
			}
		}
	}
	if pass < 0 {
		return false
	}
	p := s.passes[pass]
	share := 8
	if pass < 2 {
		share = 1
	}
	enough := (len(p.waiting) + share - 1) / share
	var batch []int
	for ; class < 40 && len(batch) < enough; class++ {
		var list []int
		for start, c := range p.waiting {
			if c == class {
				list = append(list, start)
			}
		}
		slices.Sort(list)
		for _, start := range list {
			if len(batch) == enough {
				break
			}
			delete(p.waiting, start)
			if _, to := around(p.cuts, start); s.odd(p, start, to) && s.blockIsOdd(p, start) {
				batch = append(batch, start)
			}
		}
	}
	slices.Sort(batch)
	var middles []int
	for _, start := range batch {
		_, to := around(p.cuts, start)
		unknown := s.unknown(p, start, to)
		mid := start + (to-start)/2
		if to-start != 2 && len(unknown) != to-start && (to-start <= 512 || unknown[0] >= mid || unknown[len(unknown)-1] < mid) {
			mid = unknown[len(unknown)/2]
		}
		middles = append(middles, mid)
	}
	s.ask(pass, middles)
	for i, start := range batch {
		_, to := around(p.cuts, middles[i])
		s.look(pass, start, middles[i])
		s.look(pass, middles[i], to)
	}
	s.follow()
	return true
}
