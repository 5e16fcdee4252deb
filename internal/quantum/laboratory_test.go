package quantum

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"math"
	"testing"

	"stonevault/qkd/bb84"
)

// TestExperiment wants an experiment with a seed to be the same each time, Eve to be found, and nothing to be kept.
func TestExperiment(t *testing.T) {
	s, m := newService(t, rand.Reader)
	run := func(e Experiment) string {
		t.Helper()
		r, err := s.Experiment(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if r.Mode != bb84.Simulated || len(r.First) == 0 || len(r.Steps) == 0 {
			t.Errorf("%s", b)
		}
		if e.Eve.Fraction == 1 && (!r.Aborted || r.Reason != bb84.TooManyErrors || math.Abs(r.QBER-0.25) > 0.02) {
			t.Errorf("Eve measures all, and QBER is %v: %q", r.QBER, r.Reason)
		}
		return string(b)
	}
	far := 10.0
	seeded := Experiment{Distance: &far, Pulses: 2e6, Seed: "a"}
	if a, b := run(seeded), run(seeded); a != b {
		t.Error("the same seed, and another result")
	}
	if a, b := run(seeded), run(Experiment{Pulses: 2e6, Seed: "a"}); a != b {
		t.Error("the metro link has not its own length")
	}
	new := Experiment{Source: bb84.Single, Distance: &far, Pulses: 2e6, Eve: bb84.Eve{Fraction: 1}}
	if a, b := run(new), run(new); a == b {
		t.Error("no seed, and the same result")
	}
	if len(m.sessions) != 0 || m.pooled != 0 {
		t.Errorf("%d sessions and %d keys are kept", len(m.sessions), m.pooled)
	}
}

func TestExperimentRefused(t *testing.T) {
	s, _ := newService(t, rand.Reader)
	nowhere := math.NaN()
	for field, e := range map[string]Experiment{
		"source":      {Source: "sun"},
		"preset":      {Preset: "moon"},
		"distance_km": {Distance: &nowhere},
		"eve":         {Eve: bb84.Eve{Fraction: 1.01}},
		"attack":      {Source: bb84.Single, Eve: bb84.Eve{Attack: bb84.Splitting, Fraction: 1}},
		"pulses":      {Pulses: 1e10},
	} {
		var wrong *InvalidError
		if _, err := s.Experiment(t.Context(), e); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestPresets wants every setup that has a curve to be one that can be tried, at its own length.
func TestPresets(t *testing.T) {
	for _, p := range bb84.Presets() {
		setup, err := Experiment{Preset: p.Name, Pulses: 1000}.setup()
		if want := p.Setup; err != nil || setup.PulseRate != want.PulseRate || setup.Channel != want.Channel {
			t.Errorf("%s: %+v, %v", p.Name, setup, err)
		}
	}
}

func TestRates(t *testing.T) {
	for _, source := range []bb84.Source{bb84.Decoy, bb84.Single} {
		curves, err := Rates(source)
		if err != nil || len(curves) != len(bb84.Presets()) {
			t.Fatalf("%d curves, %v", len(curves), err)
		}
		for _, c := range curves {
			if n := len(c.Points); n < 3 || c.Points[0].PerSecond <= 0 || c.Points[n-1].Length != 0 {
				t.Errorf("%s, %s: %d points", source, c.Name, n)
			}
		}
	}
	if _, err := Rates("sun"); err == nil {
		t.Error("a source that there is not")
	}
}
