package gf2

import (
	"fmt"
	"testing"
)

// BenchmarkToeplitz reports millions of bits of the long vector a second.
func BenchmarkToeplitz(b *testing.B) {
	for _, size := range []struct{ n, l int }{{1_000_000, 256}, {100_000, 50_000}, {1_000_000, 500_000}} {
		for _, k := range ways() {
			b.Run(fmt.Sprintf("n=%d/l=%d/%s", size.n, size.l, k.name), func(b *testing.B) {
				r := random(1)
				seed, x := randomBits(r, size.n+size.l-1), randomBits(r, size.n)
				out := make([]uint64, (size.l+63)/64)
				for b.Loop() {
					k.toeplitz(out, seed, x, size.l, size.n)
				}
				b.ReportMetric(float64(b.N)*float64(size.n)/b.Elapsed().Seconds()/1e6, "Mbit/s")
			})
		}
	}
}

func BenchmarkEvaluate(b *testing.B) {
	r := random(1)
	words := randomBits(r, 1_000_000)
	key := Element{r.Uint64(), r.Uint64()}
	for _, k := range ways() {
		b.Run(k.name, func(b *testing.B) {
			for b.Loop() {
				k.evaluate(key, words)
			}
			b.ReportMetric(float64(b.N)*1e6/b.Elapsed().Seconds()/1e6, "Mbit/s")
		})
	}
}

// BenchmarkTransform compares what transforms take with what blocks do.
func BenchmarkTransform(b *testing.B) {
	for _, size := range []struct{ n, l int }{{300_000, 150_000}, {500_000, 250_000}, {900_000, 710_000}, {1_000_000, 500_000}, {2_500_000, 1_200_000}, {10_000_000, 5_000_000}} {
		for _, k := range ways() {
			for _, transformed := range []bool{false, true} {
				if transformed && !k.transforms() {
					continue
				}
				b.Run(fmt.Sprintf("n=%d/l=%d/%s/%v", size.n, size.l, k.name, transformed), func(b *testing.B) {
					r := random(1)
					seed, x := randomBits(r, size.n+size.l-1), randomBits(r, size.n)
					out := make([]uint64, (size.l+63)/64)
					for b.Loop() {
						if transformed {
							k.toeplitzTransformed(out, seed, x, size.n)
						} else {
							k.inBlocks(out, seed, x, size.n)
						}
					}
				})
			}
		}
	}
}
