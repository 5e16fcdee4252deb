package quantum

import (
	"context"
	"fmt"
	"math"

	"stonevault/qkd/bb84"
)

const (
	// most bounds what an experiment detects, and so its time, some two seconds of one processor, and its memory, 150 MB.
	most = 3e6

	farthest = 500 // km
	step     = 5   // km, of a curve
	curveEnd = 1000
)

// InvalidError is a value that cannot be accepted.
type InvalidError struct{ Field, Reason string }

func (e *InvalidError) Error() string { return e.Field + " " + e.Reason }

// Experiment is a session of the laboratory, whose bits all are shown and never used.
type Experiment struct {
	Preset   string      // whose fibre, detectors and clock; the metro link's where it is empty
	Source   bb84.Source // decoy where it is empty
	Distance *float64    // of the fibre, km; nil for the preset's
	Eve      bb84.Eve
	Pulses   int64  // 0 for as many as make about two million detections
	Seed     string // repeats the experiment; without one it is new
}

// setup is the session that it describes.
func (e Experiment) setup() (bb84.Setup, error) {
	if e.Source == "" {
		e.Source = bb84.Decoy
	}
	if e.Preset == "" {
		e.Preset = preset
	}
	p, known := bb84.FindPreset(e.Preset)
	if e.Distance != nil {
		p.Setup.Channel.Distance = *e.Distance
	}
	distance := p.Setup.Channel.Distance
	switch {
	case e.Source != bb84.Decoy && e.Source != bb84.Single:
		return bb84.Setup{}, &InvalidError{"source", fmt.Sprintf("must be %s or %s", bb84.Single, bb84.Decoy)}
	case !known:
		return bb84.Setup{}, &InvalidError{"preset", "is the name of no ready-made setup"}
	case !(distance >= 0 && distance <= farthest):
		return bb84.Setup{}, &InvalidError{"distance_km", fmt.Sprintf("must be from 0 to %d", farthest)}
	case !(e.Eve.Fraction >= 0 && e.Eve.Fraction <= 1):
		return bb84.Setup{}, &InvalidError{"eve", "must be from 0 to 1"}
	case e.Pulses < 0 || e.Pulses > bb84.MaxPulses:
		return bb84.Setup{}, &InvalidError{"pulses", fmt.Sprintf("must be from 1 to %.0e", float64(bb84.MaxPulses))}
	}
	if e.Eve.Attack == bb84.NoAttack && e.Eve.Fraction > 0 {
		e.Eve.Attack = bb84.Intercept
	}
	if e.Eve.Attack != bb84.NoAttack {
		if err := checkAttack(e.Source, e.Eve.Attack); err != nil {
			return bb84.Setup{}, err
		}
	}
	p.Setup.Eve = e.Eve
	s, err := p.For(e.Source, e.Pulses)
	if err != nil {
		return s, err
	}
	expected, err := bb84.ExpectedRate(s, bb84.LimEfficiency)
	if err == nil && expected.Detected > most {
		fit := float64(s.Pulses) * most / expected.Detected
		unit := math.Pow10(max(0, int(math.Log10(fit))-1)) // two digits
		fit = math.Floor(fit/unit) * unit
		err = &InvalidError{"pulses", fmt.Sprintf("must be fewer: at this distance, some %.0f make the %g million detections that an experiment may have", fit, most/1e6)}
	}
	return s, err
}

// Experiment runs a session of the laboratory once there is a place for it. Nothing of it is kept. Errors are *InvalidError,
// and those of bb84.Simulate.
func (s *Service) Experiment(ctx context.Context, e Experiment) (*bb84.Result, error) {
	setup, err := e.setup()
	if err != nil {
		return nil, err
	}
	random := bb84.Randomness{Nature: s.random, Alice: s.random, Bob: s.random}
	if e.Seed != "" {
		random = bb84.Seeded(bb84.Seed(e.Seed))
	}
	leave, err := enter(ctx, s.bench)
	if err != nil {
		return nil, err
	}
	defer leave()
	run, err := bb84.Simulate(ctx, setup, random, bb84.Options{Laboratory: true})
	if err != nil {
		return nil, err
	}
	return &run.Result, nil
}

// Curve is what a preset is expected to yield at each distance.
type Curve struct {
	bb84.Preset
	Points []bb84.Rate // the last one is the first that yields nothing
}

// Rates computes the curves of all presets, every 5 km, with the correction of errors as Lim et al. have it.
func Rates(source bb84.Source) (curves []Curve, err error) {
	if source != bb84.Decoy && source != bb84.Single {
		return nil, &InvalidError{"source", fmt.Sprintf("must be %s or %s", bb84.Single, bb84.Decoy)}
	}
	for _, p := range bb84.Presets() {
		if p.Setup, err = p.For(source, 0); err != nil {
			return nil, err
		}
		points, err := bb84.Curve(p.Setup, source, step, curveEnd, bb84.LimEfficiency)
		if err != nil {
			return nil, err
		}
		curves = append(curves, Curve{p, points})
	}
	return curves, nil
}
