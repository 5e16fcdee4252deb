package bb84

import (
	"errors"
	"fmt"
	"math"

	"stonevault/qkd/internal/portable"
)

// ErrCounts is what cannot be evaluated: numbers that are none, or that contradict each other.
var ErrCounts = errors.New("these counts cannot be evaluated")

func badCounts(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCounts, fmt.Sprintf(format, args...))
}

// Security is what a key may fail by: Secret is ε_sec, the distance from a key that nobody knows; Correct is ε_cor, the
// probability that the two keys differ. Both are above 0 and below 1.
type Security struct {
	Secret  float64 `json:"eps_sec"`
	Correct float64 `json:"eps_cor"`
}

func (s Security) check() error {
	for _, e := range []struct {
		name  string
		value float64
	}{{"eps_sec", s.Secret}, {"eps_cor", s.Correct}} {
		if !(e.value > 0 && e.value < 1) {
			return badCounts("%s lies between 0 and 1, unlike %v", e.name, e.value)
		}
	}
	return nil
}

// DecoyCounts are what Alice and Bob counted with weak pulses of three intensities. X is the basis of the key, Z the one
// that is tested. Places in the arrays belong to the intensities µ1, µ2, µ3 in this order. Counts need not be whole, so
// that expected ones can be evaluated.
type DecoyCounts struct {
	Mu   [3]float64 // mean photon numbers; µ1 > µ2 + µ3, µ2 > µ3 ≥ 0
	P    [3]float64 // with which probability Alice chooses each; they add up to 1
	NX   [3]float64 // sifted detections in X
	NZ   [3]float64 // sifted detections in Z
	MZ   [3]float64 // errors among NZ
	Leak float64    // λ_EC, bits disclosed for the correction of errors
	Security
}

// DecoyLength is the length of a key from weak pulses with all that leads to it (Lim et al., Phys. Rev. A 89, 022307,
// 2014; numbers of equations are its own).
type DecoyLength struct {
	Length    int64      `json:"length"`    // ℓ, Eq. 1, in bits; 0 where nothing remains
	Unfloored float64    `json:"unfloored"` // ℓ before it is rounded down and clamped; negative where nothing remains
	SX0       float64    `json:"s_x0"`      // vacuum events in X, at least; Eq. 2
	SX1       float64    `json:"s_x1"`      // single-photon events in X, at least; Eq. 3
	SZ0       float64    `json:"s_z0"`
	SZ1       float64    `json:"s_z1"`
	VZ1       float64    `json:"v_z1"`  // errors of single photons in Z, at most; Eq. 4
	Gamma     float64    `json:"gamma"` // what φ_X exceeds the ratio of the last two by
	PhiX      float64    `json:"phi_x"` // phase error rate of single photons in X, at most; Eq. 5
	Tau       [3]float64 `json:"tau"`   // τ_0, τ_1, τ_2: probabilities of so many photons
	NXLower   [3]float64 `json:"n_x_lower"`
	NXUpper   [3]float64 `json:"n_x_upper"`
	NZLower   [3]float64 `json:"n_z_lower"`
	NZUpper   [3]float64 `json:"n_z_upper"`
	MZLower   [3]float64 `json:"m_z_lower"`
	MZUpper   [3]float64 `json:"m_z_upper"`
}

func (c *DecoyCounts) check() error {
	for k := range c.Mu {
		for _, row := range []struct {
			name  string
			value float64
		}{{"mu", c.Mu[k]}, {"n_x", c.NX[k]}, {"n_z", c.NZ[k]}, {"m_z", c.MZ[k]}} {
			if !(row.value >= 0 && row.value <= maxCount) {
				return badCounts("%s[%d] is a number from 0 to 2^53, unlike %v", row.name, k, row.value)
			}
		}
		if !(c.P[k] > 0 && c.P[k] < 1) {
			return badCounts("p[%d] lies between 0 and 1, unlike %v", k, c.P[k])
		}
		if c.MZ[k] > c.NZ[k] {
			return badCounts("m_z[%d] is %v, and n_z[%d] only %v: there are no more errors than detections", k, c.MZ[k], k, c.NZ[k])
		}
	}
	switch sum := c.P[0] + c.P[1] + c.P[2]; {
	case math.Abs(sum-1) > 1e-6:
		return badCounts("p adds up to 1, unlike %v", sum)
	case !(c.Mu[0] > c.Mu[1]+c.Mu[2] && c.Mu[1] > c.Mu[2]):
		return badCounts("mu is three intensities, the strongest first, with mu[0] > mu[1] + mu[2] and mu[1] > mu[2], unlike %v", c.Mu)
	case c.Mu[0] > maxMu:
		return badCounts("mu[0] is at most %d photons, unlike %v", maxMu, c.Mu[0])
	case !(c.Leak >= 0 && c.Leak <= maxCount):
		return badCounts("leak is a number from 0 to 2^53, unlike %v", c.Leak)
	}
	return c.Security.check()
}

const (
	maxCount = 1 << 53 // above it a float64 skips integers
	maxMu    = 100     // no weak pulse has so many photons, and e^µ stays a number
)

// Evaluate computes the length. Bounds that would be negative are 0: s_0, s_1 and v_Z1. Where no single photon is left, or
// φ_X reaches 1/2, single photons add nothing. No key is longer than the bits that it is made of, whatever the counts: those
// that contradict the model could make one. An error is ErrCounts.
func (c *DecoyCounts) Evaluate() (DecoyLength, error) {
	if err := c.check(); err != nil {
		return DecoyLength{}, err
	}
	var r DecoyLength
	for n := range r.Tau {
		factorial := []float64{1, 1, 2}[n]
		for k, mu := range c.Mu {
			r.Tau[n] += float64(c.P[k] * portable.Exp(-mu) * portable.Power(mu, n) / factorial)
		}
	}
	r.NXLower, r.NXUpper = c.bounds(c.NX)
	r.NZLower, r.NZUpper = c.bounds(c.NZ)
	r.MZLower, r.MZUpper = c.bounds(c.MZ)
	r.SX0, r.SX1 = c.photons(r.Tau, r.NXLower, r.NXUpper)
	r.SZ0, r.SZ1 = c.photons(r.Tau, r.NZLower, r.NZUpper)
	r.VZ1 = max(0, r.Tau[1]*(r.MZUpper[1]-r.MZLower[2])/(c.Mu[1]-c.Mu[2]))
	r.Gamma, r.PhiX = phaseErrors(r.VZ1, r.SZ1, r.SX1, c.Secret)

	single := 0.0
	if r.PhiX < 0.5 {
		single = float64(r.SX1 * (1 - portable.Entropy(r.PhiX)))
	}
	r.Unfloored = r.SX0 + single - c.Leak - float64(6*portable.Log2(21/c.Secret)) - portable.Log2(2/c.Correct)
	r.Length = min(whole(r.Unfloored), whole(c.NX[0]+c.NX[1]+c.NX[2]))
	return r, nil
}

// whole is the length of a key in bits.
func whole(bits float64) int64 { return int64(math.Floor(max(0, bits))) }

// bounds are n- and n+ of each intensity, by Hoeffding's inequality.
func (c *DecoyCounts) bounds(n [3]float64) (lower, upper [3]float64) {
	total := n[0] + n[1] + n[2]
	deviation := math.Sqrt(total / 2 * portable.Log(21/c.Secret))
	for k, mu := range c.Mu {
		weight := portable.Exp(mu) / c.P[k]
		lower[k] = weight * (n[k] - deviation)
		upper[k] = weight * (n[k] + deviation)
	}
	return lower, upper
}

// photons are the least numbers of events of no photon and of one. Eq. 2 takes the lower bound of the stronger decoy's
// opposite: n- of the weakest intensity and n+ of the other decoy.
func (c *DecoyCounts) photons(tau, lower, upper [3]float64) (s0, s1 float64) {
	mu1, mu2, mu3 := c.Mu[0], c.Mu[1], c.Mu[2]
	s0 = max(0, tau[0]*(float64(mu2*lower[2])-float64(mu3*upper[1]))/(mu2-mu3))
	squares := float64(mu2*mu2) - float64(mu3*mu3)
	rest := lower[1] - upper[2] - float64(squares/float64(mu1*mu1)*(upper[0]-s0/tau[0]))
	s1 = max(0, tau[1]*mu1*rest/(float64(mu1*(mu2-mu3))-squares))
	return s0, s1
}

// phaseErrors is Eq. 5. Without single photons on either side nothing is known, which is a rate of 1/2. Without errors γ is
// 0, the limit of its formula.
func phaseErrors(v, sz, sx, secret float64) (gamma, phi float64) {
	if sz <= 0 || sx <= 0 {
		return 0, 0.5
	}
	b := v / sz
	if b >= 1 {
		return 0, 1
	}
	if b > 0 {
		spread := (sz + sx) / (sz * sx)
		variance := float64((1 - b) * b)
		square := spread * variance / math.Ln2 * portable.Log2(spread*441/(variance*float64(secret*secret)))
		gamma = math.Sqrt(max(0, square))
	}
	return gamma, min(1, b+gamma)
}

// SingleCounts are what Alice and Bob counted with single photons.
type SingleCounts struct {
	N    float64 // bits of the key
	K    float64 // bits that were compared
	Q    float64 // rate of errors among these, 0 to 1
	Leak float64 // bits disclosed for the correction of errors
	Security
}

// SingleLength is the length of a key from single photons with what leads to it (Tomamichel et al., Nat. Commun. 3, 634,
// 2012).
type SingleLength struct {
	Length    int64   `json:"length"`     // ℓ in bits; 0 where nothing remains
	Unfloored float64 `json:"unfloored"`  // ℓ before it is rounded down and clamped
	Mu        float64 `json:"mu"`         // what the rate in the key may exceed Q by; at most 1
	PhaseRate float64 `json:"phase_rate"` // Q + µ, at most 1/2, where nothing remains
}

// Evaluate computes the length: ℓ = ⌊n(1 − h(Q+µ)) − leak − log2(2/(ε_sec²·ε_cor))⌋ with µ = √[((n+k)/(nk))·((k+1)/k)·
// ln(4/ε_sec)]. It holds for single photons, and never for weak pulses. Without key bits or without compared ones the
// length is 0. An error is ErrCounts.
func (c *SingleCounts) Evaluate() (SingleLength, error) {
	for _, row := range []struct {
		name  string
		value float64
		most  float64
		said  string
	}{{"n", c.N, maxCount, "2^53"}, {"k", c.K, maxCount, "2^53"}, {"q", c.Q, 1, "1"}, {"leak", c.Leak, maxCount, "2^53"}} {
		if !(row.value >= 0 && row.value <= row.most) {
			return SingleLength{}, badCounts("%s is a number from 0 to %s, unlike %v", row.name, row.said, row.value)
		}
	}
	if err := c.Security.check(); err != nil {
		return SingleLength{}, err
	}
	r := SingleLength{Mu: 1}
	if c.N > 0 && c.K > 0 {
		r.Mu = min(1, math.Sqrt((1/c.N+1/c.K)*(1+1/c.K)*portable.Log(4/c.Secret)))
	}
	r.PhaseRate = min(0.5, c.Q+r.Mu)
	r.Unfloored = float64(c.N*(1-portable.Entropy(r.PhaseRate))) - c.Leak - (1 - float64(2*portable.Log2(c.Secret)) - portable.Log2(c.Correct))
	r.Length = whole(r.Unfloored)
	return r, nil
}
