package distill_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"os"
	"testing"

	"stonevault/internal/vectors"
	"stonevault/qkd/distill"
)

// TestSpec works the vectors out again, bit by bit, from the text of docs/spec/qkd.md, with none of this package's
// code but to read bits.
func TestSpec(t *testing.T) {
	kept, err := os.ReadFile(vectorsPath)
	if err != nil {
		t.Fatal(err)
	}
	var f vectorFile
	if err := json.Unmarshal(kept, &f); err != nil {
		t.Fatal(err)
	}
	for i, v := range f.Shuffles {
		if got := specAnswer(parse(t, v.Bits, v.N), specOrder(t, v.Seed, v.Pass, v.N, v.Pass < 2)); !bytes.Equal(got, v.Answer) {
			t.Errorf("shuffle %d, %d bits: another order", i, v.N)
		}
	}
	// Strings of several segments are too long to be kept.
	r := random(9)
	for _, n := range []int{1<<17 - 1, 1 << 17, 3<<16 + 200} {
		for pass := 1; pass < 4; pass++ {
			v := shuffleVector{Seed: vectors.Hex(randomBits(r, 256).Bytes()), Pass: pass, N: n, Bits: randomBits(r, n).Bytes()}
			v.run(t)
			if got := specAnswer(parse(t, v.Bits, n), specOrder(t, v.Seed, pass, n, pass < 2)); !bytes.Equal(got, v.Answer) {
				t.Errorf("pass %d of %d bits: another order", pass, n)
			}
		}
	}
	for i, v := range f.Tags {
		if got := specTag(parse(t, v.Bits, v.N), v.Key, v.T); !bytes.Equal(got, v.Tag) {
			t.Errorf("tag %d: %x, want %x", i, got, v.Tag)
		}
	}
	for i, v := range f.Amplifies {
		if got := naive(parse(t, v.Bits, v.N), parse(t, v.Seed, v.N+v.Length-1), v.Length); !bytes.Equal(got.Bytes(), v.Out) {
			t.Errorf("amplification %d: %x, want %x", i, got.Bytes(), v.Out)
		}
	}
}

// specStream is the key stream of a pass.
type specStream struct{ stream cipher.Stream }

func (s specStream) word() uint64 {
	var b [8]byte
	s.stream.XORKeyStream(b[:], b[:])
	return binary.LittleEndian.Uint64(b[:])
}

func (s specStream) words(n int) []uint64 {
	words := make([]uint64, n)
	for i := range words {
		words[i] = s.word()
	}
	return words
}

func choose(w uint64, m int) int {
	product := new(big.Int).SetUint64(w)
	product.Mul(product, big.NewInt(int64(m)))
	return int(product.Rsh(product, 64).Int64())
}

// specAnswer is what is answered about every position of an order, but for n.
func specAnswer(b *distill.Bits, order []int) []byte {
	answer := distill.NewBits(0)
	sum := uint64(0)
	for _, x := range order[:len(order)-1] {
		sum ^= b.At(x)
		answer.Append(sum, 1)
	}
	return answer.Bytes()
}

// specOrder returns, for each place of a pass, the bit that comes to it. In a pass that is not shuffled the bits are
// only divided.
func specOrder(t *testing.T, seed []byte, pass, n int, shuffled bool) []int {
	t.Helper()
	block, err := aes.NewCipher(seed)
	if err != nil {
		t.Fatal(err)
	}
	var counter [16]byte
	binary.BigEndian.PutUint64(counter[:], uint64(pass))
	s := specStream{cipher.NewCTR(block, counter[:])}
	if n < 256 {
		order := identity(n)
		for i := range order {
			j := choose(s.word(), i+1)
			order[i], order[j] = order[j], order[i]
		}
		return order
	}
	if !shuffled {
		return s.division(n)
	}
	segments := max(1, n>>16)
	first := (segments - 1) << 16
	last := s.network(n - first)
	var order []int
	if segments > 1 {
		each := s.network(1 << 16)
		for i := range segments - 1 {
			for _, x := range each {
				order = append(order, i<<16+x)
			}
		}
	}
	for _, x := range last {
		order = append(order, first+x)
	}
	return order
}

func identity(n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}

// rotate rotates the rows from one on and swaps the tail, as all orders begin.
func (s specStream) rotate(n, from int) []int {
	order := identity(n)
	rows, tail := n/64, n%64
	o := choose(s.word(), rows-from)
	for y := 64 * from; y < 64*rows; y++ {
		order[y] = (from+(y/64-from+o)%(rows-from))*64 + y%64
	}
	for j := range tail {
		r := choose(s.word(), rows)
		a, b := 64*rows+j, 64*r+j
		order[a], order[b] = order[b], order[a]
	}
	return order
}

func (s specStream) division(n int) []int {
	h := n / 64 / 2
	order := s.rotate(n, h)
	for k, m := range s.words(h) {
		for bit := range 64 {
			if m>>bit&1 != 0 {
				x, y := 64*k+bit, 64*(h+k)+bit
				order[x], order[y] = order[y], order[x]
			}
		}
	}
	return order
}

func (s specStream) network(n int) []int {
	order := s.rotate(n, 0)
	rows := n / 64
	levels := 0
	for 1<<levels < rows {
		levels++
	}
	for l := range levels {
		m := s.words(rows / 2)
		for i := range 1 << l {
			a, b, c := i*rows/(1<<l), (2*i+1)*rows/(2<<l), (i+1)*rows/(1<<l)
			for k := range min(b-a, c-b) {
				for bit := range 64 {
					if m[a/2+k]>>bit&1 != 0 {
						x, y := 64*(a+k)+bit, 64*(b+k)+bit
						order[x], order[y] = order[y], order[x]
					}
				}
			}
		}
	}
	for stage := range 6 {
		d := 1 << stage
		m := s.words((rows + 1) / 2)
		for r := range rows {
			x := m[r/2] >> (r % 2 * d)
			for bit := range 64 {
				if bit>>stage&1 == 0 && x>>bit&1 != 0 {
					order[64*r+bit], order[64*r+bit+d] = order[64*r+bit+d], order[64*r+bit]
				}
			}
		}
	}
	return order
}

// specTag evaluates the polynomial term by term, over integers whose bits are coefficients.
func specTag(b *distill.Bits, key []byte, t int) []byte {
	number := func(data []byte) *big.Int {
		reversed := bytes.Clone(data)
		for i := range reversed {
			reversed[i] = data[len(data)-1-i]
		}
		return new(big.Int).SetBytes(reversed)
	}
	modulus := new(big.Int).SetBit(big.NewInt(0x87), 128, 1)
	times := func(x, y *big.Int) *big.Int {
		product := new(big.Int)
		for i := range y.BitLen() {
			if y.Bit(i) != 0 {
				product.Xor(product, new(big.Int).Lsh(x, uint(i)))
			}
		}
		for product.BitLen() > 128 {
			product.Xor(product, new(big.Int).Lsh(modulus, uint(product.BitLen()-129)))
		}
		return product
	}
	blocks := (b.Len() + 127) / 128
	data := append(b.Bytes(), make([]byte, 16)...)
	k, power, sum := number(key), big.NewInt(1), new(big.Int)
	for i := blocks - 1; i >= 0; i-- {
		power = times(power, k)
		sum.Xor(sum, times(number(data[16*i:16*i+16]), power))
	}
	tag := distill.NewBits(t)
	for i := range t {
		tag.Set(i, uint64(sum.Bit(i)))
	}
	return tag.Bytes()
}
