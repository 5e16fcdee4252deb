package distill_test

import (
	"fmt"
	"testing"

	"stonevault/qkd/distill"
)

// BenchmarkCascade corrects frames on one core, Alice's part included. MB/s are millions of bytes of key; Mbit/s of
// key and f_EC are reported apart.
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
	b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds()/1e6, "Mbit/s")
	b.ReportMetric(distill.Efficiency(leak, b.N*n, q), "f_EC")
}
