package bb84

import "stonevault/qkd/internal/portable"

// LimEfficiency is what Lim et al. take for f_EC. Cascade does better here; a rate computed with it is a cautious one.
const LimEfficiency = 1.16

// Rate is what a setup is expected to yield.
type Rate struct {
	Distance  float64 `json:"distance_km"`
	Length    int64   `json:"length"`     // secret bits of a session
	PerPulse  float64 `json:"per_pulse"`  // secret bits for each pulse
	PerSecond float64 `json:"per_second"` // secret bits a second
	Detected  float64 `json:"detected"`   // mean number of detections
	QBER      float64 `json:"qber"`       // among all sifted bits
	PhaseRate float64 `json:"phase_rate"` // bound of the phase error rate; 1/2 where nothing is known
}

// ExpectedRate evaluates the length formulas at the mean counts of Expect, with fec·n·h(Q) bits for the correction of errors. What
// authentication takes is not subtracted. Errors are ErrParameters.
func ExpectedRate(s Setup, fec float64) (Rate, error) {
	e, err := Expect(&s)
	if err != nil {
		return Rate{}, err
	}
	if !(fec >= 0) {
		return Rate{}, badParameters("f_EC is 0 or more, unlike %v", fec)
	}
	r := Rate{Distance: s.Channel.Distance, Detected: e.Detected, PhaseRate: 0.5}
	rows := [2][2]float64{} // sifted and errors, by basis
	for b := range rows {
		for k := range e.Sifted[b] {
			rows[b][0] += e.Sifted[b][k]
			rows[b][1] += e.Errors[b][k]
		}
	}
	all, wrong := rows[X][0]+rows[Z][0], rows[X][1]+rows[Z][1]
	if all > 0 {
		r.QBER = wrong / all
	}
	leak := func(n, q float64) float64 { return float64(fec * n * portable.Entropy(min(0.5, q))) }
	if s.Source == Decoy {
		c := DecoyCounts{Mu: s.Mu, P: s.P, NX: e.Sifted[X], NZ: e.Sifted[Z], MZ: e.Errors[Z], Security: s.Security}
		if rows[X][0] > 0 {
			c.Leak = leak(rows[X][0], rows[X][1]/rows[X][0])
		}
		l, err := c.Evaluate()
		if err != nil {
			return r, err
		}
		r.Length, r.PhaseRate = l.Length, min(0.5, l.PhiX)
	} else {
		c := SingleCounts{N: rows[X][0], K: rows[Z][0], Security: s.Security}
		q := 0.0
		if c.K > 0 {
			q = rows[Z][1] / c.K
		}
		if s.sampled() {
			c.K, q = float64(all*s.TestFraction), r.QBER
			c.N = all - c.K
		}
		c.Q, c.Leak = q, leak(c.N, q)
		l, err := c.Evaluate()
		if err != nil {
			return r, err
		}
		r.Length, r.PhaseRate = l.Length, l.PhaseRate
	}
	r.PerPulse = float64(r.Length) / float64(s.Pulses)
	r.PerSecond = float64(r.PerPulse * s.PulseRate)
	return r, nil
}

// Curve tunes a setup for distances from 0 in steps, km, and evaluates it there. It ends after the first at which nothing is
// left, or at most. The number of pulses is that of the setup everywhere.
func Curve(s Setup, source Source, step, most, fec float64) ([]Rate, error) {
	if !(step > 0 && most >= 0 && most/step <= 1e5) {
		return nil, badParameters("a curve goes in steps above 0, at most 100000 of them")
	}
	var all []Rate
	for i := 0; float64(float64(i)*step) <= most; i++ {
		s.Channel.Distance = float64(float64(i) * step)
		if err := s.Tune(source); err != nil {
			return nil, err
		}
		r, err := ExpectedRate(s, fec)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
		if r.Length == 0 {
			break
		}
	}
	return all, nil
}
