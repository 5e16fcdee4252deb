package distill_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"stonevault/qkd/distill"
)

// random gives all that a test needs from one number.
func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func randomSeed(r *rand.Rand) (seed [32]byte) {
	for i := 0; i < len(seed); i += 8 {
		binary.LittleEndian.PutUint64(seed[i:], r.Uint64())
	}
	return seed
}

func randomBits(r *rand.Rand, n int) *distill.Bits {
	words := make([]uint64, (n+63)/64)
	for i := range words {
		words[i] = r.Uint64()
	}
	return distill.FromWords(words, n)
}

// bernoulli returns a copy in which each bit is wrong with probability q, and how many are.
func bernoulli(r *rand.Rand, b *distill.Bits, q float64) (noisy *distill.Bits, errors int) {
	noisy = b.Clone()
	for i := range b.Len() {
		if r.Float64() < q {
			noisy.Flip(i)
			errors++
		}
	}
	return noisy, errors
}

func TestReconcile(t *testing.T) {
	for _, v := range []distill.Variant{distill.Original, distill.Option3, distill.Option4, distill.Option7, distill.Option8} {
		for _, q := range []float64{0.01, 0.02, 0.03, 0.05, 0.10} {
			const n, frames = 1 << 14, 200
			r := random(1)
			var leak float64
			bad := 0
			rounds := 0
			for range frames {
				alice := randomBits(r, n)
				bob, _ := bernoulli(r, alice, q)
				seed := randomSeed(r)
				a, err := distill.NewAnswerer(alice, v, seed)
				if err != nil {
					t.Fatal(err)
				}
				report, err := distill.Reconcile(bob, v, q, seed, a.Answer)
				if err != nil {
					t.Fatal(err)
				}
				if a.Leak() != report.Leak {
					t.Fatal(a.Leak(), report)
				}
				if !bob.Equal(alice) {
					bad++
				}
				leak += distill.Efficiency(report.Leak, n, q)
				rounds += report.Rounds
			}
			t.Logf("%v %v: f %.4f bad %d rounds %d", v, q, leak/frames, bad, rounds/frames)
		}
	}
}
