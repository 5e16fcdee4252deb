package distill_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"stonevault/qkd/distill"
)

// naive is the product by its definition, one bit after the other.
func naive(b, seed *distill.Bits, length int) *distill.Bits {
	out := distill.NewBits(length)
	for i := range length {
		sum := uint64(0)
		for j := range b.Len() {
			sum ^= b.At(j) & seed.At(i-j+b.Len()-1)
		}
		out.Set(i, sum)
	}
	return out
}

func TestAmplify(t *testing.T) {
	r := random(1)
	sizes := [][2]int{{0, 0}, {1, 0}, {1, 1}, {2, 1}, {64, 64}, {65, 64}, {257, 255}, {1000, 256}, {4097, 2049}, {3001, 3001}, {20000, 129}}
	for range 50 {
		n := 1 + r.IntN(900)
		sizes = append(sizes, [2]int{n, r.IntN(n + 1)})
	}
	for _, size := range sizes {
		n, length := size[0], size[1]
		b, seed := randomBits(r, n), randomBits(r, distill.SeedBits(n, length))
		out, err := distill.Amplify(b, seed, length)
		if err != nil || !out.Equal(naive(b, seed, length)) {
			t.Errorf("%d of %d bits are not the product with the matrix: %v", length, n, err)
		}
	}
}

// TestAmplifyLarge compares some bits of a large product with their definition, and a sum of two with the product of
// the sum.
func TestAmplifyLarge(t *testing.T) {
	r := random(2)
	const n, length = 200_003, 100_001
	a, b, seed := randomBits(r, n), randomBits(r, n), randomBits(r, n+length-1)
	x, err := distill.Amplify(a, seed, length)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		i := r.IntN(length)
		sum := uint64(0)
		for j := range n {
			sum ^= a.At(j) & seed.At(i-j+n-1)
		}
		if x.At(i) != sum {
			t.Fatalf("bit %d is not the sum that it should be", i)
		}
	}
	y, err := distill.Amplify(b, seed, length)
	if err != nil {
		t.Fatal(err)
	}
	a.Xor(b)
	z, err := distill.Amplify(a, seed, length)
	if err != nil {
		t.Fatal(err)
	}
	x.Xor(y)
	if !x.Equal(z) {
		t.Error("the product of a sum is not the sum of the products")
	}
}

func TestAmplifyRefuses(t *testing.T) {
	for _, c := range []struct{ n, seed, length int }{{10, 10, -1}, {10, 20, 11}, {10, 13, 5}, {10, 15, 5}, {0, 0, 1}} {
		if _, err := distill.Amplify(distill.NewBits(c.n), distill.NewBits(c.seed), c.length); !errors.Is(err, distill.ErrParameters) {
			t.Errorf("%d bits, a seed of %d, %d wanted: %v", c.n, c.seed, c.length, err)
		}
	}
}

func FuzzAmplify(f *testing.F) {
	f.Add(uint64(1), uint16(1), uint16(1))
	f.Add(uint64(2), uint16(1000), uint16(256))
	f.Fuzz(func(t *testing.T, from uint64, bits, wanted uint16) {
		n := int(bits) % 2500
		length := int(wanted) % (n + 1)
		r := random(from)
		b, seed := randomBits(r, n), randomBits(r, distill.SeedBits(n, length))
		out, err := distill.Amplify(b, seed, length)
		if err != nil || !out.Equal(naive(b, seed, length)) {
			t.Fatalf("%d of %d bits are not the product with the matrix: %v", length, n, err)
		}
	})
}

func TestTagBits(t *testing.T) {
	for _, c := range []struct {
		n     int
		eps   float64
		bits  int // 0: refused
		extra int
	}{
		{1 << 14, 1e-15, 57, 8},
		{1_000_000, 1e-15, 63, 14},
		{0, 1e-15, 50, 1},
		{1, 1e-15, 50, 1},
		{128, 1e-15, 50, 1},
		{129, 1e-15, 51, 2},
		{256, 0.25, 3, 1},
		{128, 0.25, 2, 0},
		{1 << 20, 1.0 / (1 << 50), 63, 13},
		{128, 0.99, 1, 1},
		{128, 0x1p-128, 128, 0},
		{129, 0x1p-128, 0, 0},
		{128, 0, 0, 0},
		{128, 1, 0, 0},
		{128, -1, 0, 0},
		{128, math.NaN(), 0, 0},
	} {
		got, err := distill.TagBits(c.n, c.eps)
		if c.bits == 0 {
			if !errors.Is(err, distill.ErrParameters) {
				t.Errorf("%d bits and %v: a tag of %d, %v", c.n, c.eps, got, err)
			}
			continue
		}
		if err != nil || got != c.bits || distill.TagLeak(got, c.eps) != c.extra {
			t.Errorf("%d bits and %v: a tag of %d that leaks %d more, want %d and %d, %v", c.n, c.eps, got, distill.TagLeak(got, c.eps), c.bits, c.extra, err)
		}
	}
}

// TestTag changes strings, and finds that tags of each length are the first bits of the longest, and tell them apart.
func TestTag(t *testing.T) {
	r := random(3)
	key := [16]byte(randomBits(r, 128).Bytes())
	for _, n := range []int{1, 64, 127, 128, 129, 1000, 1 << 14} {
		b := randomBits(r, n)
		whole, err := distill.FromBytes(distill.Tag(b, key, 128), 128)
		if err != nil {
			t.Fatal(err)
		}
		for _, length := range []int{1, 7, 8, 57, 63, 64, 65, 127} {
			if tag := distill.Tag(b, key, length); !bytes.Equal(tag, whole.Slice(0, length).Bytes()) {
				t.Errorf("%d bits: a tag of %d is %x, not of %x", n, length, tag, whole.Bytes())
			}
		}
		for range 50 {
			c := b.Clone()
			c.Flip(r.IntN(n))
			if bytes.Equal(distill.Tag(b, key, 57), distill.Tag(c, key, 57)) {
				t.Errorf("%d bits: one that was changed was not noticed", n)
			}
		}
	}
	// A short tag collides as often as it may, and not more.
	same := 0
	const trials = 20000
	b := randomBits(r, 1280)
	c := randomBits(r, 1280)
	for range trials {
		key := [16]byte(randomBits(r, 128).Bytes())
		if bytes.Equal(distill.Tag(b, key, 8), distill.Tag(c, key, 8)) {
			same++
		}
	}
	if rate := float64(same) / trials; math.Abs(rate-1.0/256) > 4*math.Sqrt(1.0/256/trials) {
		t.Errorf("tags of 8 bits agree with a rate of %.5f, not 1/256", rate)
	}
}

func TestEfficiencyFormula(t *testing.T) {
	for _, c := range []struct {
		leak, n int
		q, want float64
	}{
		{1000, 10000, 0.5, 0.1},
		{1454, 1 << 14, 0.01, 1.0984},
		{500, 1000, 0.11, 1.0002},
	} {
		if got := distill.Efficiency(c.leak, c.n, c.q); math.Abs(got-c.want) > 1e-3 {
			t.Errorf("%d of %d bits at %v: %.4f, want %.4f", c.leak, c.n, c.q, got, c.want)
		}
	}
	if got := distill.Efficiency(1, 100, 0); !math.IsInf(got, 1) {
		t.Errorf("without errors to expect: %v", got)
	}
	if got := distill.Efficiency(0, 100, 0); !math.IsNaN(got) {
		t.Errorf("nothing of nothing: %v", got)
	}
}
