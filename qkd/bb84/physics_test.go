package bb84

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestWeakModelIsTheLimit checks that what the simulation expects of pulses that are all alike is the published model, where
// that is meant: little light.
func TestWeakModelIsTheLimit(t *testing.T) {
	for _, name := range []string{"50km", "100km"} {
		s := setup(t, name, nil)
		eta := s.Channel.Transmittance()
		for k, mu := range s.Mu {
			var one []outcome
			for _, o := range outcomes(&s) {
				if int(o.intensity) == k {
					o.weight /= s.P[k]
					one = append(one, o)
				}
			}
			e := newTable(one).expect(s.Channel.AfterPulse, 1)
			w := s.Channel.Weak(eta, mu)
			rate, wrong := 0.0, 0.0
			same := s.KeyBasis*s.KeyBasis + (1-s.KeyBasis)*(1-s.KeyBasis)
			for b := range e.Sifted {
				rate += e.Sifted[b][k] / same
				wrong += e.Errors[b][k] / same
			}
			if math.Abs(rate/w.Gain-1) > 2e-3 || math.Abs(wrong/w.Error-1) > 3e-3 {
				t.Errorf("%s, µ = %v: gain %v and errors %v, the model has %+v", name, mu, rate, wrong, w)
			}
		}
	}
}

// naive sends one pulse after the other and follows each photon: what the simulation must agree with, written another way.
func naive(s *Setup, random *rand.Rand) (seen int64, sifted, errors [2][3]int64) {
	after := -1
	for range s.Pulses {
		k := 0
		for u := random.Float64(); k < 2 && u >= s.P[k]; k++ {
			u -= s.P[k]
		}
		n := poisson(s.Mu[k], random)
		a, b, bit := basis(s, random), basis(s, random), random.IntN(2)
		var clicked [2]bool
		state, encoded := float64(a)*math.Pi/4, bit
		if n > 0 && random.Float64() < s.Eve.Fraction {
			eve := float64(random.IntN(2)) * math.Pi / 4
			if s.Eve.Attack == Breidbart {
				eve = math.Pi / 8
			}
			if random.Float64() >= agreement(state-eve) {
				encoded = 1 - encoded
			}
			state = eve
		}
		for range n {
			if random.Float64() >= s.Channel.Transmittance() {
				continue
			}
			found := encoded
			if random.Float64() >= agreement(state-float64(b)*math.Pi/4) {
				found = 1 - found
			}
			// Misalignment is a wrong detector, so it has no effect on what is random anyway.
			if random.Float64() < s.Channel.Misalignment {
				found = 1 - found
			}
			clicked[found] = true
		}
		for d := range clicked {
			clicked[d] = clicked[d] || random.Float64() < s.Channel.Dark
		}
		next := -1
		if (clicked[0] || clicked[1]) && random.Float64() < s.Channel.AfterPulse {
			if next = random.IntN(2); !clicked[next] {
				next = 1 - next
			}
		}
		if after >= 0 {
			clicked[after] = true
		}
		after = next
		if !clicked[0] && !clicked[1] {
			continue
		}
		seen++
		result := random.IntN(2)
		if clicked[0] != clicked[1] {
			result = 0
			if clicked[1] {
				result = 1
			}
		}
		if a == b {
			sifted[a][k]++
			if result != bit {
				errors[a][k]++
			}
		}
	}
	return seen, sifted, errors
}

// agreement is how often a photon polarised at one angle is found so by a measurement at another.
func agreement(angle float64) float64 { return math.Cos(angle) * math.Cos(angle) }

func basis(s *Setup, random *rand.Rand) int {
	if random.Float64() < s.KeyBasis {
		return 0
	}
	return 1
}

// poisson is D. E. Knuth's way: as many factors as keep a product above e^-mu.
func poisson(mu float64, random *rand.Rand) (n int) {
	for p := random.Float64(); p > math.Exp(-mu); p *= random.Float64() {
		n++
	}
	return n
}

func TestPhotonByPhoton(t *testing.T) {
	for _, eve := range []Eve{{}, {Intercept, 1}, {Intercept, 0.4}, {Breidbart, 0.8}} {
		s := setup(t, "metro", func(s *Setup) {
			s.Channel = Channel{Distance: 5, Loss: 0.2, Efficiency: 0.4, Dark: 0.003, AfterPulse: 0.1, Misalignment: 0.02}
			s.Mu, s.P, s.KeyBasis = [3]float64{0.8, 0.3, 0.05}, [3]float64{0.5, 0.3, 0.2}, 0.7
			s.Pulses, s.Eve = 1e6, eve
		})
		want, err := Expect(&s)
		if err != nil {
			t.Fatal(err)
		}
		seen, sifted, errors := naive(&s, rand.New(rand.NewPCG(1, 2)))
		if !within(seen, want.Detected, 4.5) {
			t.Errorf("%v: %d were detected, want about %.0f", eve, seen, want.Detected)
		}
		for b := range sifted {
			for k := range sifted[b] {
				if !within(sifted[b][k], want.Sifted[b][k], 4.5) || !within(errors[b][k], want.Errors[b][k], 4.5) {
					t.Errorf("%v, basis %v, intensity %d: %d sifted with %d errors, want about %.1f with %.1f", eve, Basis(b), k,
						sifted[b][k], errors[b][k], want.Sifted[b][k], want.Errors[b][k])
				}
			}
		}
	}
}

func TestSetupRefuses(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		want   string
		change func(*Setup)
	}{
		{"distance", func(s *Setup) { s.Channel.Distance = -1 }},
		{"distance", func(s *Setup) { s.Channel.Distance = nan }},
		{"loss", func(s *Setup) { s.Channel.Loss = math.Inf(1) }},
		{"efficiency", func(s *Setup) { s.Channel.Efficiency = 1.1 }},
		{"dark count", func(s *Setup) { s.Channel.Dark = 0.6 }},
		{"after-pulse", func(s *Setup) { s.Channel.AfterPulse = -0.1 }},
		{"misalignment", func(s *Setup) { s.Channel.Misalignment = 0.6 }},
		{"key basis", func(s *Setup) { s.KeyBasis = 1 }},
		{"key basis", func(s *Setup) { s.KeyBasis = nan }},
		{"pulses", func(s *Setup) { s.Pulses = 0 }},
		{"pulses", func(s *Setup) { s.Pulses = 2e15 }},
		{"would be detected", func(s *Setup) { s.Pulses = 1e14 }},
		{"secret bits", func(s *Setup) { s.Ask = -1 }},
		{"eps_sec", func(s *Setup) { s.Secret = 0 }},
		{"the strongest first", func(s *Setup) { s.Mu = [3]float64{0.1, 0.2, 0} }},
		{"p[0]", func(s *Setup) { s.P[0] = nan }},
		{"at most 10 photons", func(s *Setup) { s.Mu[0] = 11 }},
		{"the source is", func(s *Setup) { s.Source = "laser" }},
		{"is compared", func(s *Setup) { single(s); s.TestFraction = 0 }},
		{"Eve attacks a fraction", func(s *Setup) { s.Eve = Eve{Intercept, 1.5} }},
		{"Eve attacks a fraction", func(s *Setup) { s.Eve = Eve{Intercept, nan} }},
		{"Eve attacks by", func(s *Setup) { s.Eve = Eve{NoAttack, 0.5} }},
		{"Eve attacks by", func(s *Setup) { s.Eve = Eve{"laser", 0.5} }},
		{"several photons", func(s *Setup) { single(s); s.Eve = Eve{Splitting, 1} }},
		{"pulse rate", func(s *Setup) { s.PulseRate = 0 }},
	} {
		s := setup(t, "metro", c.change)
		if err := s.Check(); !errors.Is(err, ErrParameters) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want that the %s is refused", err, c.want)
		}
	}
	s := setup(t, "metro", nil)
	if err := s.Tune("laser"); !errors.Is(err, ErrParameters) {
		t.Errorf("a laser is tuned: %v", err)
	}
}

func TestRate(t *testing.T) {
	for _, source := range []Source{Decoy, Single} {
		for _, p := range Presets() {
			s, err := p.For(source, 0)
			if err != nil {
				t.Fatal(err)
			}
			points, err := Curve(s, source, 5, 1000, LimEfficiency)
			if err != nil {
				t.Fatal(err)
			}
			last := math.Inf(1)
			for i, r := range points {
				if r.PerPulse > last || r.Length > 0 == (i == len(points)-1) || r.PerPulse != float64(r.Length)/float64(s.Pulses) || r.PhaseRate < r.QBER/2 {
					t.Errorf("%s, %s: point %d is %+v after %v", p.Name, source, i, r, last)
				}
				last = r.PerPulse
			}
			if own := s.Channel.Distance; float64(len(points)-1)*5 <= own || len(points) < 5 {
				t.Errorf("%s, %s: the curve ends at %v km", p.Name, source, float64(len(points)-1)*5)
			}
			if p.Source == "" || p.Title == "" {
				t.Errorf("%s has no source", p.Name)
			}
		}
	}
	if _, err := Curve(Setup{}, Decoy, 0, 10, 1); !errors.Is(err, ErrParameters) {
		t.Errorf("a curve of steps of nothing: %v", err)
	}
	if _, err := ExpectedRate(setup(t, "metro", nil), math.NaN()); !errors.Is(err, ErrParameters) {
		t.Errorf("an efficiency that is none: %v", err)
	}
}

// TestRateIsWhatARunYields compares the expectation with sessions.
func TestRateIsWhatARunYields(t *testing.T) {
	for _, source := range []Source{Decoy, Single} {
		p, _ := FindPreset("50km")
		s, err := p.For(source, 0)
		if err != nil {
			t.Fatal(err)
		}
		r := simulate(t, s, "rate").Result
		// What the session disclosed, in the terms of the expectation.
		want, err := ExpectedRate(s, r.FEC)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(float64(r.SecretBits)/float64(want.Length)-1) > 0.15 || !within(r.Detected, want.Detected, 4) {
			t.Errorf("%s: %d bits of %d detections, expected %+v", source, r.SecretBits, r.Detected, want)
		}
	}
}

func TestNoPreset(t *testing.T) {
	if p, found := FindPreset("moon"); found {
		t.Errorf("%+v", p)
	}
}
