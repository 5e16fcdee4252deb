package bb84

import (
	"context"
	"sync"
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

// sessions are what BenchmarkSession measures: the presets, and the detectors of the fastest systems, which have next to no
// after-pulses. About two million pulses are detected.
var sessions = []struct {
	name   string
	preset string
	source Source
	change func(*Setup)
}{
	{"metro", "metro", Decoy, nil},
	{"50km", "50km", Decoy, nil},
	{"100km", "100km", Decoy, nil},
	{"nanowire", "metro", Decoy, func(s *Setup) { s.Channel.AfterPulse = 0 }},
	{"single", "metro", Single, nil},
}

// BenchmarkSession is the whole chain from detections to secret bits: the work of both sides, in one process. The quantum
// channel is not counted. As many sessions run at once as there are processors. Secret bits are given by the clock and by the
// time that processors worked.
func BenchmarkSession(b *testing.B) {
	for _, c := range sessions {
		b.Run(c.name, func(b *testing.B) {
			p, _ := FindPreset(c.preset)
			if c.change != nil {
				c.change(&p.Setup)
			}
			s, err := p.For(c.source, 0)
			if err != nil {
				b.Fatal(err)
			}
			l := transmit(b, s, "bench")
			var r Result
			var once sync.Once
			b.ResetTimer()
			worked := processorTime(b)
			b.RunParallel(func(sessions *testing.PB) {
				for sessions.Next() {
					atAlice, atBob := pipe()
					alice, _, errs := sides(l, s, [2]AuthKey{secret(1), secret(1)}, atAlice, atBob)
					if errs[0] != nil || errs[1] != nil || alice.Result.Aborted {
						b.Errorf("%v", errs)
						return
					}
					once.Do(func() { r = alice.Result })
				}
			})
			cpu := worked().Seconds()
			second := float64(b.N) / b.Elapsed().Seconds() / 1e6
			b.ReportMetric(float64(r.Detected)*second, "Mdetections/s")
			b.ReportMetric(float64(r.KeySifted)*second, "Mbit-sifted/s")
			b.ReportMetric(float64(r.SecretBits)*second, "Mbit-secret/s")
			b.ReportMetric(float64(r.SecretBits)*float64(b.N)/cpu/1e6, "Mbit-secret/s-cpu")
			b.ReportMetric(cpu/float64(b.N)*1e3, "ms-cpu")
			b.ReportMetric(r.FEC, "f_EC")
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
