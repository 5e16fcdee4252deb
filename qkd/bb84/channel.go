package bb84

import (
	"errors"
	"fmt"
	"math"

	"stonevault/qkd/internal/portable"
)

// ErrParameters is a session that cannot be: values out of range, or that do not go together.
var ErrParameters = errors.New("no session with these parameters")

func badParameters(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrParameters, fmt.Errorf(format, args...))
}

// Channel is the fibre and the receiver at its end: two detectors, one for each value of a bit.
type Channel struct {
	Distance     float64 `json:"distance_km"`  // length of the fibre, km
	Loss         float64 `json:"loss_db_km"`   // of the fibre, dB/km
	Efficiency   float64 `json:"efficiency"`   // η_B: what a photon that reaches the receiver is detected with
	Dark         float64 `json:"dark_count"`   // p_dc: a detector's click without light, for each pulse
	AfterPulse   float64 `json:"after_pulse"`  // p_ap: a click is followed by another one of the same detector
	Misalignment float64 `json:"misalignment"` // e_mis: a photon goes to the wrong detector
}

func (c Channel) check() error {
	for _, row := range []struct {
		name        string
		value, most float64
	}{
		{"distance", c.Distance, 1e4}, {"loss", c.Loss, 100}, {"efficiency", c.Efficiency, 1},
		{"dark count probability", c.Dark, 0.5}, {"after-pulse probability", c.AfterPulse, 0.5}, {"misalignment", c.Misalignment, 0.5},
	} {
		if !(row.value >= 0 && row.value <= row.most) {
			return badParameters("the %s is a number from 0 to %v, unlike %v", row.name, row.most, row.value)
		}
	}
	return nil
}

// Transmittance is η, the probability that a photon which Alice sends is detected: 10^(−loss·distance/10)·η_B.
func (c Channel) Transmittance() float64 {
	return float64(portable.Pow10(-float64(c.Loss*c.Distance)/10) * c.Efficiency)
}

// Weak is what the model of Lim et al. (Phys. Rev. A 89, 022307, 2014, section IV) expects of one pulse of k photons on the
// average, at the transmittance eta, where all pulses are alike.
type Weak struct {
	Detection float64 // D_k: light or darkness clicks
	Gain      float64 // R_k: with after-pulses
	Error     float64 // e_k: a click with the wrong bit, out of all pulses
}

// Weak evaluates that model. To get the rate of errors among clicks divide Error by Gain.
func (c Channel) Weak(eta, k float64) Weak {
	light := 1 - portable.Exp(-float64(eta*k))
	d := 1 - float64((1-float64(2*c.Dark))*(1-light))
	return Weak{
		Detection: d,
		Gain:      float64(d * (1 + c.AfterPulse)),
		Error:     c.Dark + float64(c.Misalignment*light) + float64(float64(c.AfterPulse*d)/2), // a half is a product to the compiler
	}
}

// clicks are the probabilities of what the two detectors do: nothing, the right one alone, the wrong one alone, both.
func (c Channel) clicks(photons int, eta, wrong float64) [4]float64 {
	bright := 1 - c.Dark
	none := float64(bright * bright * portable.Power(1-eta, photons))
	right := max(0, float64(bright*portable.Power(1-float64(eta*wrong), photons))-none)
	bad := max(0, float64(bright*portable.Power(1-float64(eta*(1-wrong)), photons))-none)
	return [4]float64{none, right, bad, max(0, 1-none-right-bad)}
}

// Source is what Alice sends.
type Source string

// Sources.
const (
	Single Source = "single" // one photon in every pulse
	Decoy  Source = "decoy"  // weak coherent pulses of three intensities
)

// Attack is what Eve does to the pulses that she attacks. She stands where they leave Alice, and measures without errors.
type Attack string

// Attacks.
const (
	NoAttack Attack = ""
	// Intercept measures in one of the two bases, each with probability 1/2, and sends a pulse of as many photons in the
	// state that she found.
	Intercept Attack = "intercept"
	// Breidbart does the same in the basis between the two, in which she is right with probability cos²(π/8).
	Breidbart Attack = "breidbart"
	// Splitting keeps one photon of every pulse that has several, to measure it once the basis is known, and sends the
	// others through a fibre without loss. Of pulses with one photon she lets through as many as keep the signal's gain as it
	// was; where even that is too much, fewer of the others.
	Splitting Attack = "pns"
)

// Eve is an eavesdropper.
type Eve struct {
	Attack   Attack  `json:"attack,omitempty"`
	Fraction float64 `json:"fraction"` // of the pulses that she attacks, each by itself; 0 to 1
}

// Protocol is what Alice and Bob agree on.
type Protocol struct {
	Source       Source     `json:"source"`
	Mu           [3]float64 `json:"mu"`            // decoy: mean photon numbers, the signal's first
	P            [3]float64 `json:"p"`             // decoy: their probabilities
	KeyBasis     float64    `json:"key_basis"`     // q: the probability of the key basis X, for both sides
	TestFraction float64    `json:"test_fraction"` // single, q = 1/2: which part of the sifted bits is compared
	Pulses       int64      `json:"pulses"`
	Ask          int64      `json:"ask"` // how many secret bits are asked for; fewer end the session with none
	Security
}

// Setup is a session: what Alice and Bob agree on, and the world between them.
type Setup struct {
	Protocol
	Channel   Channel `json:"channel"`
	Eve       Eve     `json:"eve"`
	PulseRate float64 `json:"pulse_rate"` // pulses a second, Hz
}

// Limits of a session.
const (
	MaxPulses     = 1e15
	MaxDetections = 1 << 24 // expected ones: each takes about 80 bytes while a session runs
	maxIntensity  = 10
)

// Check returns what is wrong with the setup, as ErrParameters.
func (s *Setup) Check() error {
	if err := s.valid(); err != nil {
		return err
	}
	if clicks := newTable(outcomes(s)).clicks * float64(s.Pulses); clicks > MaxDetections {
		return badParameters("about %.0f pulses would be detected, and a session holds %d; send fewer", clicks, MaxDetections)
	}
	return nil
}

// valid is Check for a session of any size.
func (s *Setup) valid() error {
	if err := s.Protocol.check(); err != nil {
		return err
	}
	if err := s.Channel.check(); err != nil {
		return err
	}
	switch {
	case !(s.PulseRate > 0 && s.PulseRate <= 1e12):
		return badParameters("the pulse rate is above 0 and at most 1e12 Hz, unlike %v", s.PulseRate)
	case !(s.Eve.Fraction >= 0 && s.Eve.Fraction <= 1):
		return badParameters("Eve attacks a fraction from 0 to 1 of the pulses, unlike %v", s.Eve.Fraction)
	}
	switch s.Eve.Attack {
	case Intercept, Breidbart:
	case NoAttack:
		if s.Eve.Fraction != 0 {
			return badParameters("Eve attacks by %q, %q or %q", Intercept, Breidbart, Splitting)
		}
	case Splitting:
		if s.Source != Decoy {
			return badParameters("photon-number splitting needs pulses of several photons: the source %q has none", s.Source)
		}
	default:
		return badParameters("Eve attacks by %q, %q or %q, unlike %q", Intercept, Breidbart, Splitting, s.Eve.Attack)
	}
	return nil
}

func (p *Protocol) check() error {
	switch {
	case !(p.KeyBasis > 0 && p.KeyBasis < 1):
		return badParameters("the probability of the key basis lies between 0 and 1, unlike %v", p.KeyBasis)
	case p.Pulses < 1 || p.Pulses > MaxPulses:
		return badParameters("a session has 1 to %.0e pulses, unlike %d", float64(MaxPulses), p.Pulses)
	case p.Ask < 0 || p.Ask > MaxDetections:
		return badParameters("0 to %d secret bits can be asked for, unlike %d", MaxDetections, p.Ask)
	case p.Security.check() != nil:
		return badParameters("eps_sec and eps_cor lie between 0 and 1, unlike %v and %v", p.Secret, p.Correct)
	}
	switch p.Source {
	case Decoy:
		counts := DecoyCounts{Mu: p.Mu, P: p.P, Security: p.Security}
		if err := counts.check(); err != nil {
			return badParameters("%w", err)
		}
		if p.Mu[0] > maxIntensity {
			return badParameters("a weak pulse has at most %d photons, unlike %v", maxIntensity, p.Mu[0])
		}
	case Single:
		if p.sampled() && !(p.TestFraction > 0 && p.TestFraction < 1) {
			return badParameters("the fraction of bits that is compared lies between 0 and 1, unlike %v", p.TestFraction)
		}
	default:
		return badParameters("the source is %q or %q, unlike %q", Single, Decoy, p.Source)
	}
	return nil
}

// sampled tells whether errors are estimated from a random sample of all sifted bits, rather than from the whole of the
// other basis. A sample is fair only where both bases are alike: otherwise Eve would measure in the basis that is used more.
func (p *Protocol) sampled() bool { return p.Source == Single && p.KeyBasis == 0.5 }

// splitting is which part of the pulses with one photon and with several Eve lets through, so that the gain of the signal
// stays as it was.
func (s *Setup) splitting() (single, several float64) {
	eta, mu := s.Channel.Transmittance(), s.Mu[0]
	had, has := 0.0, 0.0 // what light clicked, and what pulses of several photons make click
	for n, p := range photons(mu) {
		had += float64(p * (1 - portable.Power(1-eta, n)))
		if n >= 2 {
			has += float64(p * (1 - portable.Power(1-s.Channel.Efficiency, n-1)))
		}
	}
	if has >= had {
		if has == 0 {
			return 1, 1
		}
		return 0, had / has
	}
	return min(1, (had-has)/float64(photons(mu)[1]*eta)), 1
}

// photons is the Poisson distribution with the mean mu, cut off where what is left is nothing to a float64.
func photons(mu float64) []float64 {
	p := []float64{portable.Exp(-mu)}
	for n, sum := 1, p[0]; n < 2 || float64(n) < mu || p[n-1] > 1e-20*sum; n++ {
		p = append(p, p[n-1]*mu/float64(n))
		sum += p[n]
	}
	return p
}

// right is cos²(π/8): how often Eve is right in the Breidbart basis, and Bob about what she sends in it.
const right = (2 + math.Sqrt2) / 4
