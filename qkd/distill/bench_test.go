package distill_test

import (
	"fmt"
	"testing"
	"time"

	"stonevault/qkd/distill"
)

// rate reports millions of bits a second, by the clock and by the time that the processor worked.
func rate(b *testing.B, n int, worked time.Duration) {
	bits := float64(b.N) * float64(n) / 1e6
	b.ReportMetric(bits/b.Elapsed().Seconds(), "Mbit/s")
	b.ReportMetric(bits/worked.Seconds(), "Mbit/s-cpu")
}

// BenchmarkCascade corrects frames, with Alice's part, in one goroutine. The bits are those of the key.
func BenchmarkCascade(b *testing.B) {
	for _, v := range []distill.Variant{distill.Original, distill.Option8} {
		for _, n := range []int{10_000, 1_000_000} {
			for _, q := range []float64{0.01, 0.03, 0.05, 0.10} {
				b.Run(fmt.Sprintf("%v/n=%d/q=%v", v, n, q), func(b *testing.B) { benchmarkCascade(b, v, n, q) })
			}
		}
	}
}

func benchmarkCascade(b *testing.B, v distill.Variant, n int, q float64) {
	const frames = 16
	r := random(1)
	var alice, bob [frames]*distill.Bits
	var seeds [frames][32]byte
	for i := range frames {
		alice[i] = randomBits(r, n)
		bob[i], _ = bernoulli(r, alice[i], q)
		seeds[i] = randomSeed(r)
	}
	var answerer distill.Answerer
	var reconciler distill.Reconciler
	work := distill.NewBits(n)
	leak := 0
	i := 0
	worked := processorTime(b)
	for b.Loop() {
		frame := i % frames
		i++
		copy(work.Words(), bob[frame].Words())
		if err := answerer.Reset(alice[frame], v, seeds[frame]); err != nil {
			b.Fatal(err)
		}
		report, err := reconciler.Reconcile(work, v, q, seeds[frame], answerer.Answer)
		if err != nil {
			b.Fatal(err)
		}
		leak += report.Leak
	}
	rate(b, n, worked())
	b.ReportMetric(distill.Efficiency(leak, b.N*n, q), "f_EC")
}

// BenchmarkAmplify and BenchmarkTag count millions of bits of the long string.
func BenchmarkAmplify(b *testing.B) {
	for _, size := range []struct{ n, length int }{{1_000_000, 256}, {10_000, 5_000}, {100_000, 50_000}, {1_000_000, 500_000}, {10_000_000, 5_000_000}} {
		b.Run(fmt.Sprintf("n=%d/length=%d", size.n, size.length), func(b *testing.B) {
			r := random(1)
			bits, seed := randomBits(r, size.n), randomBits(r, distill.SeedBits(size.n, size.length))
			worked := processorTime(b)
			for b.Loop() {
				if _, err := distill.Amplify(bits, seed, size.length); err != nil {
					b.Fatal(err)
				}
			}
			rate(b, size.n, worked())
		})
	}
}

func BenchmarkTag(b *testing.B) {
	const n = 1_000_000
	r := random(1)
	bits, key := randomBits(r, n), [16]byte(randomBits(r, 128).Bytes())
	worked := processorTime(b)
	for b.Loop() {
		distill.Tag(bits, key, 63)
	}
	rate(b, n, worked())
}
