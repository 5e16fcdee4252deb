package gf2

import (
	"math/big"
	"math/bits"
	"math/rand/v2"
	"testing"
)

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func randomWords(r *rand.Rand, n int) []uint64 {
	words := make([]uint64, n)
	for i := range words {
		words[i] = r.Uint64()
	}
	return words
}

// ways are the Go code and every kernel of this processor.
func ways() []kernel { return append(kernels(), kernel{name: "Go"}) }

// multiply is the product by its definition: shifts and sums.
func multiply(a, b uint64) (hi, lo uint64) {
	for i := range 64 {
		if b>>i&1 != 0 {
			lo ^= a << i
			hi ^= a >> (64 - i)
		}
	}
	return hi, lo
}

func TestMul64(t *testing.T) {
	r := random(1)
	for i := range 10000 {
		a, b := r.Uint64(), r.Uint64()
		switch i {
		case 0:
			a, b = ^uint64(0), ^uint64(0)
		case 1:
			a, b = 1<<63, 1<<63
		}
		hi, lo := Mul64(a, b)
		if h, l := multiply(a, b); h != hi || l != lo {
			t.Fatalf("%x·%x = %x %x, want %x %x", a, b, hi, lo, h, l)
		}
	}
}

// TestMul compares products in the field with divisions of integers whose bits are the coefficients.
func TestMul(t *testing.T) {
	r := random(2)
	modulus := new(big.Int).SetBit(big.NewInt(0x87), 128, 1)
	for range 300 {
		e, f := Element{r.Uint64(), r.Uint64()}, Element{r.Uint64(), r.Uint64()}
		product := new(big.Int)
		for i := range 128 {
			if number(f).Bit(i) != 0 {
				product.Xor(product, new(big.Int).Lsh(number(e), uint(i)))
			}
		}
		for product.BitLen() > 128 {
			product.Xor(product, new(big.Int).Lsh(modulus, uint(product.BitLen()-129)))
		}
		if got := number(mulGeneric(e, f)); got.Cmp(product) != 0 {
			t.Fatalf("%x·%x = %x, want %x", e, f, got, product)
		}
		if e.Mul(f) != mulGeneric(e, f) {
			t.Fatalf("%x·%x = %x, want %x", e, f, e.Mul(f), mulGeneric(e, f))
		}
	}
}

func number(e Element) *big.Int {
	n := new(big.Int).SetUint64(e.Hi)
	return n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(e.Lo))
}

// TestField has the laws that a field of characteristic 2 with this modulus obeys.
func TestField(t *testing.T) {
	one, x := Element{Lo: 1}, Element{Lo: 2}
	power := one
	for range 128 {
		power = power.Mul(x)
	}
	if power != (Element{Lo: 0x87}) {
		t.Errorf("x^128 = %x, want x^7+x^2+x+1", power)
	}
	r := random(3)
	for range 100 {
		a, b, c := Element{r.Uint64(), r.Uint64()}, Element{r.Uint64(), r.Uint64()}, Element{r.Uint64(), r.Uint64()}
		if a.Mul(b) != b.Mul(a) || a.Mul(b).Mul(c) != a.Mul(b.Mul(c)) || a.Mul(b.Add(c)) != a.Mul(b).Add(a.Mul(c)) || a.Mul(one) != a {
			t.Fatalf("a law does not hold for %x, %x, %x", a, b, c)
		}
		square := a
		for range 128 {
			square = square.Mul(square)
		}
		if square != a {
			t.Fatalf("%x to the power of 2^128 is %x", a, square)
		}
		if FromBytes(a.Bytes()) != a {
			t.Fatalf("%x is not what its bytes say", a)
		}
	}
}

// TestHash evaluates polynomials term by term.
func TestHash(t *testing.T) {
	r := random(4)
	for _, length := range []int{0, 1, 2, 3, 4, 5, 16, 33, 63, 64, 65, 71, 72, 100, 1000} {
		words := randomWords(r, length)
		key := Element{r.Uint64(), r.Uint64()}
		var want Element
		power := key
		for i := (length+1)/2 - 1; i >= 0; i-- {
			block := Element{Lo: words[2*i]}
			if 2*i+1 < length {
				block.Hi = words[2*i+1]
			}
			want = want.Add(mulGeneric(block, power))
			power = mulGeneric(power, key)
		}
		for _, k := range ways() {
			if got := k.evaluate(key, words); got != want {
				t.Errorf("%s: hash of %d words = %x, want %x", k.name, length, got, want)
			}
		}
		if got := Evaluate(key, words); got != want {
			t.Errorf("hash of %d words = %x, want %x", length, got, want)
		}
	}
}

// TestHashOfPieces hashes a message in pieces, and evaluates it as a whole.
func TestHashOfPieces(t *testing.T) {
	r := random(7)
	var h Hash
	key := Element{r.Uint64(), r.Uint64()}
	h.Reset(key)
	for i := range 300 {
		message := make([]byte, r.IntN(1+i*i))
		for j := range message {
			message[j] = byte(r.Uint32())
		}
		for rest := message; len(rest) > 0; {
			n := min(len(rest), r.IntN(1+len(message)/(1+r.IntN(9))))
			h.Write(rest[:n])
			rest = rest[n:]
		}
		words := make([]uint64, (len(message)+15)/16*2)
		for j, octet := range message {
			words[j/8] |= uint64(octet) << (j % 8 * 8)
		}
		if got, want := h.Sum(), Evaluate(key, append(words, uint64(len(message)), 0)); got != want {
			t.Fatalf("%d bytes: %x, want %x", len(message), got, want)
		}
	}
}

// naive is the product of the matrix and the vector, one entry after the other.
func naive(seed, x []uint64, l, n int) []uint64 {
	out := make([]uint64, (l+63)/64)
	for i := range l {
		sum := uint64(0)
		for j := range n {
			at := i - j + n - 1
			sum ^= x[j>>6] >> (j & 63) & (seed[at>>6] >> (at & 63)) & 1
		}
		out[i>>6] |= sum << (i & 63)
	}
	return out
}

func randomBits(r *rand.Rand, n int) []uint64 {
	words := randomWords(r, (n+63)/64)
	if n%64 != 0 {
		words[len(words)-1] &= 1<<(n%64) - 1
	}
	return words
}

func checkToeplitz(t *testing.T, seed, x []uint64, l, n int) {
	t.Helper()
	want := naive(seed, x, l, n)
	for _, k := range ways() {
		got := make([]uint64, (l+63)/64)
		k.toeplitz(got, seed, x, l, n)
		if l%64 != 0 {
			got[len(got)-1] &= 1<<(l%64) - 1
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%s: %d of %d bits: word %d is %x, want %x", k.name, l, n, i, got[i], want[i])
			}
		}
	}
}

func TestToeplitz(t *testing.T) {
	r := random(5)
	for _, size := range [][2]int{
		{1, 1}, {1, 64}, {1, 65}, {64, 64}, {63, 65}, {65, 63}, {127, 128}, {256, 1000}, {255, 4097}, {1000, 256},
		{1279, 1281}, {2560, 2560}, {2561, 2559}, {2000, 5000}, {4999, 7001}, {7001, 4999}, {8193, 8191}, {300, 20011},
	} {
		l, n := size[0], size[1]
		checkToeplitz(t, randomBits(r, n+l-1), randomBits(r, n), l, n)
	}
	for range 100 {
		l, n := 1+r.IntN(700), 1+r.IntN(700)
		checkToeplitz(t, randomBits(r, n+l-1), randomBits(r, n), l, n)
	}
}

// TestBlocks forces blocks of every kind on matrices for which the sums alone would do.
func TestBlocks(t *testing.T) {
	r := random(6)
	for levels := range 4 {
		for unit := 4; unit <= largestSum; unit += 4 {
			size := unit << levels
			s, x := randomWords(r, 2*size), randomWords(r, size)
			want := make([]uint64, size+1)
			for a := range size + 1 {
				for k := range size {
					hi, lo := multiply(s[a+k], x[k])
					want[a] ^= hi
					if a > 0 {
						want[a-1] ^= lo
					}
				}
			}
			for _, k := range ways() {
				y := make([]uint64, size)
				k.square(y, s, x, make([]uint64, 2*size), make([]Element, largestSum+1), levels)
				for i := range y {
					if y[i] != want[i] {
						t.Fatalf("%s: %d levels of %d words: word %d is %x, want %x", k.name, levels, unit, i, y[i], want[i])
					}
				}
			}
		}
	}
}

// FuzzKernels compares the kernels with the Go code, and that with the definition.
func FuzzKernels(f *testing.F) {
	f.Add(uint64(1), uint16(1), uint16(1))
	f.Add(uint64(2), uint16(64), uint16(65))
	f.Add(uint64(3), uint16(1300), uint16(2700))
	f.Fuzz(func(t *testing.T, seed uint64, l, n uint16) {
		rows, columns := 1+int(l)%3000, 1+int(n)%3000
		r := random(seed)
		s, x := randomBits(r, rows+columns-1), randomBits(r, columns)
		key := Element{r.Uint64(), r.Uint64()}
		want := kernel{}.evaluate(key, s)
		for _, k := range ways() {
			if got := k.evaluate(key, s); got != want {
				t.Fatalf("%s: hash %x, want %x", k.name, got, want)
			}
		}
		checkToeplitz(t, s, x, rows, columns)
	})
}

// TestConstant shows that a product is not the same as that of integers, and so that Mul64 is carry-less.
func TestConstant(t *testing.T) {
	if hi, lo := Mul64(3, 3); hi != 0 || lo != 5 {
		t.Errorf("(x+1)² = %x %x, want x²+1", hi, lo)
	}
	if hi, _ := Mul64(1<<63, 2); hi != 1 || bits.OnesCount64(hi) != 1 {
		t.Errorf("x^63·x has %x in its upper half", hi)
	}
}

// inBlocks is Toeplitz without transforms.
func (k kernel) inBlocks(out, seed, x []uint64, n int) {
	if size, levels, _ := blockSize(len(out), len(x)); size > 0 {
		k.toeplitzBlocks(out, seed, x, n, size, levels)
	} else {
		k.toeplitzDirect(out, seed, x, len(out), len(x), n)
	}
}

// TestTransform multiplies through transforms, in tiles of every kind, and in blocks.
func TestTransform(t *testing.T) {
	r := random(8)
	for _, size := range [][2]int{{1, 1}, {64, 100}, {5000, 3001}, {200, 1 << 20}, {1<<20 - 100, 1<<20 + 20}, {1 << 20, 1 << 20}, {1000, 1<<21 + 5}, {1100000, 70000}} {
		l, n := size[0], size[1]
		seed, x := randomBits(r, n+l-1), randomBits(r, n)
		want, last := make([]uint64, (l+63)/64), ^uint64(0)>>(63-(l-1)%64)
		fastest.inBlocks(want, seed, x, n)
		for _, k := range ways() {
			if !k.transforms() {
				continue
			}
			got := make([]uint64, len(want))
			k.toeplitzTransformed(got, seed, x, n)
			for i := range want {
				differ := got[i] ^ want[i]
				if i == len(want)-1 {
					differ &= last
				}
				if differ != 0 {
					t.Fatalf("%s: %d of %d bits: word %d is %x, want %x", k.name, l, n, i, got[i], want[i])
				}
			}
		}
	}
}

// TestEvaluation evaluates a short polynomial at some points, and a random one there and back.
func TestEvaluation(t *testing.T) {
	r := random(9)
	w := twists()
	for _, k := range ways() {
		if !k.transforms() {
			continue
		}
		f := make([]uint64, transformSize)
		for i := range 20 {
			f[i*r.IntN(3000)] = r.Uint64()
		}
		g := append([]uint64(nil), f...)
		k.transform(f)
		for range 20 {
			i := r.IntN(transformSize)
			// The point is the sum of the β for the bits of its number: 1, and those that twists are made of.
			point := w[i>>1] ^ uint64(i&1)
			want, power := uint64(0), uint64(1)
			for _, c := range g {
				want ^= mul(c, power)
				power = mul(power, point)
			}
			if f[i] != want {
				t.Fatalf("%s: at point %d the polynomial is %x, want %x", k.name, i, f[i], want)
			}
		}
		k.transformBack(f)
		for i := range f {
			if f[i] != g[i] {
				t.Fatalf("%s: coefficient %d comes back as %x, want %x", k.name, i, f[i], g[i])
			}
		}
	}
}
