package bb84

import (
	"context"
	"testing"
)

// BenchmarkTransmit is the quantum channel alone.
func BenchmarkTransmit(b *testing.B) {
	s := setup(b, "50km", nil)
	for b.Loop() {
		transmit(b, s, "bench")
	}
	b.ReportMetric(float64(s.Pulses)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpulses/s")
}

// BenchmarkSession is the whole chain from detections to secret bits, both sides one after the other, in one process. The
// quantum channel is not counted.
func BenchmarkSession(b *testing.B) {
	for _, name := range []string{"metro", "50km", "100km"} {
		b.Run(name, func(b *testing.B) {
			s := setup(b, name, nil)
			l := transmit(b, s, "bench")
			var r Result
			for b.Loop() {
				atAlice, atBob := pipe()
				alice, _, errs := sides(l, s, [2]AuthKey{secret(1), secret(1)}, atAlice, atBob)
				if errs[0] != nil || errs[1] != nil || alice.Result.Aborted {
					b.Fatalf("%v", errs)
				}
				r = alice.Result
			}
			second := float64(b.N) / b.Elapsed().Seconds() / 1e6
			b.ReportMetric(float64(r.Detected)*second, "Mdetections/s")
			b.ReportMetric(float64(r.KeySifted)*second, "Mbit-sifted/s")
			b.ReportMetric(float64(r.SecretBits)*second, "Mbit-secret/s")
		})
	}
}

// BenchmarkSimulate is a whole run as people start it.
func BenchmarkSimulate(b *testing.B) {
	s := setup(b, "metro", nil)
	for b.Loop() {
		if _, err := Simulate(context.Background(), s, Seeded(Seed("bench")), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
