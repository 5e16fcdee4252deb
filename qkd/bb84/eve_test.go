package bb84

import (
	"fmt"
	"math"
	"testing"
)

// TestIntercept checks the rate of errors that Eve causes against e + (f/4)(1−2e), over 10^5 sifted bits.
func TestIntercept(t *testing.T) {
	for _, attack := range []Attack{Intercept, Breidbart} {
		for _, f := range []float64{0, 0.1, 0.25, 0.5, 0.75, 1} {
			for _, e := range []float64{0, 0.005, 0.03} {
				t.Run(fmt.Sprintf("%s/%v/%v", attack, f, e), func(t *testing.T) {
					s := setup(t, "metro", single)
					s.Channel = Channel{Efficiency: 0.5, Misalignment: e}
					s.Eve = Eve{attack, f}
					s.Pulses = 4e5
					_, sifted, errors := count(transmit(t, s, t.Name()))
					n := float64(sifted[X][0] + sifted[Z][0])
					q := float64(errors[X][0]+errors[Z][0]) / n
					want := e + f/4*(1-2*e)
					if sigma := math.Sqrt(want * (1 - want) / n); n < 99000 || math.Abs(q-want) > 4*sigma {
						t.Errorf("a rate of %.3f%% over %.0f bits, want %.3f%% ± %.3f%%", 100*q, n, 100*want, 400*sigma)
					}
				})
			}
		}
	}
}

// TestSifting checks that bases agree as often as q²+(1−q)².
func TestSifting(t *testing.T) {
	for _, q := range []float64{0.05, 0.5, 0.8, 0.95} {
		for _, name := range []string{"metro", "laboratory"} {
			s := setup(t, name, func(s *Setup) { s.KeyBasis, s.Pulses = q, 5e6 })
			seen, sifted, _ := count(transmit(t, s, "sifting"))
			n, want := 0.0, float64(q*q)+float64((1-q)*(1-q))
			for _, b := range sifted {
				n += float64(b[0] + b[1] + b[2])
			}
			if sigma := math.Sqrt(want * (1 - want) / float64(seen)); math.Abs(n/float64(seen)-want) > 4*sigma {
				t.Errorf("%s, q = %v: %.5f are sifted, want %.5f ± %.5f", name, q, n/float64(seen), want, 4*sigma)
			}
		}
	}
}

// TestSplitting checks that Eve leaves the gain of the signal as it was, makes no errors, and is caught by the decoys.
func TestSplitting(t *testing.T) {
	for _, name := range []string{"50km", "100km"} {
		honest := setup(t, name, nil)
		tapped := honest
		tapped.Eve = Eve{Splitting, 1}
		before, err := Expect(&honest)
		if err != nil {
			t.Fatal(err)
		}
		after, err := Expect(&tapped)
		if err != nil {
			t.Fatal(err)
		}
		gains := func(e Expected, k int) float64 { return e.Sifted[X][k] }
		if r := gains(after, 0) / gains(before, 0); math.Abs(r-1) > 0.01 {
			t.Errorf("%s: the signal's gain changed by a factor of %v", name, r)
		}
		if r := gains(after, 1) / gains(before, 1); r > 0.8 {
			t.Errorf("%s: the decoys' gain changed by a factor of %v: nobody would notice", name, r)
		}
		if a, b := after.Errors[X][0]/after.Sifted[X][0], before.Errors[X][0]/before.Sifted[X][0]; a > 1.1*b {
			t.Errorf("%s: splitting photons made errors: %v, without Eve %v", name, a, b)
		}
	}
}
