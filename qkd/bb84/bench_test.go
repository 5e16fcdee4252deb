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
	for _, c := range []struct {
		name   string
		preset string
		source Source
	}{{"metro", "metro", Decoy}, {"50km", "50km", Decoy}, {"100km", "100km", Decoy}, {"single", "metro", Single}} {
		b.Run(c.name, func(b *testing.B) {
			p, _ := FindPreset(c.preset)
			s, err := p.For(c.source, 0)
			if err != nil {
				b.Fatal(err)
			}
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
