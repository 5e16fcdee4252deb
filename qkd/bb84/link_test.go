package bb84

import (
	"context"
	"math"
	"testing"
)

func setup(t testing.TB, name string, change func(*Setup)) Setup {
	t.Helper()
	p, ok := FindPreset(name)
	if !ok {
		t.Fatalf("no preset %s", name)
	}
	if err := p.Setup.Tune(Decoy); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&p.Setup)
	}
	return p.Setup
}

// single makes a setup of single photons with even bases.
func single(s *Setup) { s.Source, s.KeyBasis, s.TestFraction = Single, 0.5, 0.5 }

func transmit(t testing.TB, s Setup, seed string) *Link {
	t.Helper()
	l, err := Transmit(context.Background(), s, Seeded(Seed(seed)))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestWeakPulses(t *testing.T) {
	c := Channel{Dark: 6e-7, AfterPulse: 0.04, Misalignment: 5e-3}
	w := c.Weak(0.01, 0.45)
	for _, row := range []struct {
		name      string
		got, want float64
	}{{"D", w.Detection, 4.49108e-3}, {"R", w.Gain, 4.67073e-3}, {"e", w.Error, 1.12871e-4}} {
		if math.Abs(row.got-row.want) > 5e-6*row.want {
			t.Errorf("%s is %.6g, want %.6g", row.name, row.got, row.want)
		}
	}
}

// within tells whether got is a fair draw of mean want, to sigmas of a Poisson distribution.
func within(got int64, want, sigmas float64) bool {
	return math.Abs(float64(got)-want) <= sigmas*math.Sqrt(want)+1
}

// count is what Expected expects.
func count(l *Link) (seen int64, sifted, errors [2][3]int64) {
	for i := range l.events {
		e := &l.events[i]
		if e.flags&detected == 0 {
			continue
		}
		seen++
		if row := &l.table.rows[e.row]; row.alice == row.bob {
			sifted[row.alice][row.intensity]++
			if (e.flags&aliceOne != 0) != (e.flags&bobOne != 0) {
				errors[row.alice][row.intensity]++
			}
		}
	}
	return seen, sifted, errors
}

// TestSimulationAgrees compares what is drawn with the model, by intensity and basis.
func TestSimulationAgrees(t *testing.T) {
	for _, c := range []struct {
		name   string
		preset string
		change func(*Setup)
	}{
		{"metro", "metro", func(s *Setup) { s.Pulses = 2e7 }},
		{"50 km", "50km", func(s *Setup) { s.Pulses = 5e7 }},
		{"100 km", "100km", func(s *Setup) { s.Pulses = 2e8 }},
		{"laboratory", "laboratory", func(s *Setup) { s.Pulses = 2e7 }},
		{"single", "metro", func(s *Setup) { single(s); s.Pulses = 5e6 }},
		{"much light", "metro", func(s *Setup) {
			s.Channel = Channel{Distance: 1, Loss: 0.2, Efficiency: 0.9, Dark: 0.02, AfterPulse: 0.2, Misalignment: 0.1}
			s.Mu = [3]float64{2, 0.5, 0.1}
			s.Pulses = 1e6
		}},
		{"intercept", "metro", func(s *Setup) { s.Pulses, s.Eve = 1e7, Eve{Intercept, 0.5} }},
		{"breidbart", "metro", func(s *Setup) { s.Pulses, s.Eve = 1e7, Eve{Breidbart, 1} }},
		{"splitting", "50km", func(s *Setup) { s.Pulses, s.Eve = 2e7, Eve{Splitting, 0.7} }},
		{"darkness", "metro", func(s *Setup) { s.Pulses, s.Channel.Efficiency = 1e10, 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := setup(t, c.preset, c.change)
			want, err := Expect(&s)
			if err != nil {
				t.Fatal(err)
			}
			seen, sifted, errors := count(transmit(t, s, c.name))
			if !within(seen, want.Detected, 4.5) {
				t.Errorf("%d were detected, want about %.0f", seen, want.Detected)
			}
			for b := range sifted {
				for k := range sifted[b] {
					if !within(sifted[b][k], want.Sifted[b][k], 4.5) || !within(errors[b][k], want.Errors[b][k], 4.5) {
						t.Errorf("basis %v, intensity %d: %d sifted with %d errors, want about %.1f with %.1f", Basis(b), k,
							sifted[b][k], errors[b][k], want.Sifted[b][k], want.Errors[b][k])
					}
				}
			}
		})
	}
}
