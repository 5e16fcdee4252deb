package distill

import (
	"crypto/aes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func newShuffle(t *testing.T, seed uint64, pass, n int, whole bool) *shuffle {
	t.Helper()
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	s := new(shuffle)
	s.derive(block, pass, n, whole)
	return s
}

// TestShuffle moves bits as words and one by one, for lengths with all kinds of halves and tails.
func TestShuffle(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	lengths := []int{0, 1, 2, 63, 64, 65, 127, 128, 129, 191, 192, 255, 256, 257, 319, 320, 448, 1000, 4096, 4097, 10000, 1 << 15, 3<<16 + 65, 2<<16 - 1}
	for range 60 {
		lengths = append(lengths, r.IntN(3000))
	}
	for i, n := range slices.Concat(lengths, lengths[1:]) {
		s := newShuffle(t, r.Uint64(), 1+r.IntN(15), n, i%2 == 0)
		b, seen := NewBits(n), NewBits(n)
		for i := range b.words {
			b.words[i] = r.Uint64()
		}
		b.clearUnused()
		moved := NewBits(n)
		s.apply(moved.words, b.words)
		if narrow := NewBits(n); wideSwaps {
			setWideSwaps(false)
			s.apply(narrow.words, b.words)
			setWideSwaps(true)
			if !narrow.Equal(moved) {
				t.Fatalf("%d bits: four words at once are moved otherwise than one by one", n)
			}
		}
		for x := range n {
			y := s.to(x)
			if y < 0 || y >= n || seen.At(y) != 0 {
				t.Fatalf("%d bits: bit %d goes to %d, which is no place or another's", n, x, y)
			}
			seen.Set(y, 1)
			if s.from(y) != x {
				t.Fatalf("%d bits: bit %d goes to %d, where bit %d comes from", n, x, y, s.from(y))
			}
			if moved.At(y) != b.At(x) {
				t.Fatalf("%d bits: bit %d did not go to %d with the words", n, x, y)
			}
		}
	}
}

// TestShuffleSpreads follows two neighbours through many shuffles. Where rows are no power of two, some rows are
// up to twice as likely as others for one bit, and few are out of its reach; neighbours fall into the same block a little more often than by
// chance: no more than that is asked of a shuffle.
func TestShuffleSpreads(t *testing.T) {
	const shuffles, block = 15000, 64
	for _, n := range []int{1024, 1280, 10000 / 4} {
		at := make([]int, n/block)
		together := 0
		for i := range shuffles {
			s := newShuffle(t, uint64(i), 1, n, true)
			a, b := s.to(333), s.to(334)
			if a < len(at)*block {
				at[a/block]++
			}
			if a/block == b/block {
				together++
			}
		}
		expected := float64(shuffles) * block / float64(n)
		for i, count := range at {
			if got := float64(count) / expected; got > 2.1 || n == 1024 && math.Abs(got-1) > 0.1 {
				t.Errorf("%d bits: one comes to block %d %.2f times as often as to the average one", n, i, got)
			}
		}
		chance := float64(block-1) / float64(n-1)
		if got := float64(together) / shuffles / chance; got < 0.85 || got > 1.7 {
			t.Errorf("%d bits: neighbours meet %.2f times as often as by chance", n, got)
		}
	}
}

// TestShuffleDivides checks that a coin parts any two bits where they are only divided, neighbours and others.
func TestShuffleDivides(t *testing.T) {
	const shuffles = 4000
	for _, n := range []int{1280, 1281, 1500, 10000} {
		for _, pair := range [][2]int{{333, 334}, {333, 397}, {0, n - 1}, {70, 70 + n/128*64}, {n/2 + 80, n/2 + 90}} {
			parted := 0
			for i := range shuffles {
				s := newShuffle(t, uint64(i), 3, n, false)
				if s.to(pair[0]) < (n+1)/2 != (s.to(pair[1]) < (n+1)/2) {
					parted++
				}
			}
			// Two in the same column are always parted if their rows are swapped with each other, which is seldom.
			if got := float64(parted) / shuffles; got < 0.47 || got > 0.53+0.5/float64(n/128) {
				t.Errorf("%d bits: %v come to different halves in %.3f of the cases", n, pair, got)
			}
		}
	}
}

func TestBlockLength(t *testing.T) {
	for _, c := range []struct {
		v    Variant
		n    int
		q    float64
		want []int // of the first passes
	}{
		{Original, 10000, 0.01, []int{73, 146, 292, 584}},
		{Original, 1000, 0.05, []int{15, 30, 60, 120}},
		{Original, 1000, 0.002, []int{365, 500, 500, 500}},
		{Option3, 16384, 0.03, []int{34, 68, 8192, 8192}},
		{Option4, 16385, 0.01, []int{100, 200, 8193, 8193}},
		{Option7, 16384, 0.01, []int{128, 512, 8192, 8192}},
		{Option7, 16384, 1.0 / 64, []int{64, 256, 8192, 8192}},
		{Option8, 16384, 0.01, []int{128, 1024, 4096, 8192}},
		{Option8, 16384, 0.02, []int{64, 512, 4096, 8192}},
		{Option8, 16384, 0.03, []int{32, 512, 4096, 8192}},
		{Option8, 16384, 0.05, []int{16, 256, 4096, 8192}},
		{Option8, 16384, 0.10, []int{8, 256, 4096, 8192}},
		{Option8, 1 << 20, 0.5, []int{2, 128, 4096, 1 << 15}},
		{Option8, 16384, 0, []int{16384, 8192, 4096, 8192}},
		{Original, 16384, 0, []int{16384, 8192, 8192, 8192}},
		{Option7, 1, 0.1, []int{1, 1, 1, 1}},
		{Option8, 3, 1e-300, []int{3, 2, 2, 2}},
		{Option3, 100, 0.5, []int{2, 4, 50, 50}},
	} {
		for pass, want := range c.want {
			if got := c.v.blockLength(pass, c.n, c.q); got != want {
				t.Errorf("%v, %d bits at %v: the blocks of pass %d have %d, want %d", c.v, c.n, c.q, pass, got, want)
			}
		}
	}
	// The powers of two are those of the formulas, away from where rounding decides.
	for q := 0.0011; q < 0.5; q *= 1.0137 {
		alpha := math.Log2(1/q) - 0.5
		if got, want := option8First(q), math.Exp2(math.Ceil(alpha)); got != want {
			t.Errorf("the first blocks at %v have %v, want %v", q, got, want)
		}
		if got, want := option8Second(q), math.Exp2(math.Ceil((alpha+12)/2)); got != want {
			t.Errorf("the second blocks at %v have %v, want %v", q, got, want)
		}
		if got, want := powerOfTwo(q), math.Exp2(math.Ceil(math.Log2(1/q))); got != want {
			t.Errorf("the first blocks of option 7 at %v have %v, want %v", q, got, want)
		}
	}
}

// TestQuestions writes positions and reads them.
func TestQuestions(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 0))
	for range 200 {
		n := 1 + r.IntN(1<<(1+r.IntN(30)))
		question, want := []byte{3}, []int(nil)
		for at := 0; ; {
			step := 1 + r.IntN(1+n/4)
			if at += step; at >= n {
				break
			}
			question = appendDistance(question, step)
			want = append(want, at)
		}
		pass, got, err := parseQuestion(question, 4, n, nil)
		if len(want) == 0 {
			if err == nil {
				t.Fatal("a question about nothing was read")
			}
			continue
		}
		if err != nil || pass != 3 || len(got) != len(want) {
			t.Fatalf("%d positions: pass %d, %d positions, %v", len(want), pass, len(got), err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("position %d is %d, want %d", i, got[i], want[i])
			}
		}
	}
}
