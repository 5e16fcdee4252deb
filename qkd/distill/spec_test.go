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
		b := parse(t, v.Bits, v.N)
		order := specOrder(t, v.Seed, v.Pass, v.N)
		answer := distill.NewBits(0)
		sum := uint64(0)
		for _, x := range order[:v.N-1] {
			sum ^= b.At(x)
			answer.Append(sum, 1)
		}
		if !bytes.Equal(answer.Bytes(), v.Answer) {
			t.Errorf("shuffle %d, %d bits: another order", i, v.N)
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

// specOrder returns, for each place of a pass, the bit that comes to it.
func specOrder(t *testing.T, seed []byte, pass, n int) []int {
	t.Helper()
	block, err := aes.NewCipher(seed)
	if err != nil {
		t.Fatal(err)
	}
	var counter [16]byte
	binary.BigEndian.PutUint64(counter[:], uint64(pass))
	s := specStream{cipher.NewCTR(block, counter[:])}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	if n < 256 {
		for i := range order {
			j := choose(s.word(), i+1)
			order[i], order[j] = order[j], order[i]
		}
		return order
	}

	rows, tail := n/64, n%64
	levels := 0
	for 1<<levels < rows {
		levels++
	}
	o := choose(s.word(), rows)
	for y := range 64 * rows {
		order[y] = (y/64+o)%rows*64 + y%64
	}
	for j := range tail {
		r := choose(s.word(), rows)
		a, b := 64*rows+j, 64*r+j
		order[a], order[b] = order[b], order[a]
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
