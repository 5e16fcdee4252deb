package bb84

import (
	"fmt"
	"time"

	"stonevault/qkd/internal/portable"
)

// Simulated is the mode of every result of this package.
const Simulated = "simulated"

// Result is what a session came to. It holds no bit of a key.
type Result struct {
	Mode    string `json:"mode"`
	Source  Source `json:"source"`
	Aborted bool   `json:"aborted"`
	Reason  Reason `json:"reason"` // why it was aborted; empty where it was not

	Pulses    int64 `json:"pulses"`     // that Alice sent
	Detected  int64 `json:"detected"`   // that Bob detected
	Sifted    int64 `json:"sifted"`     // that both had in the same basis
	Tested    int64 `json:"tested"`     // of these, how many were compared
	KeySifted int64 `json:"key_sifted"` // and how many were left for the key

	// QBER is the rate of errors among the sifted bits that are known: Errors of Compared, which are those that were tested
	// and, where it was found out, those of the key: by their correction, or by comparing them when the session was aborted.
	// QBERLow and QBERHigh are its confidence interval at 95%, by Clopper and Pearson. Without a bit they are 0, 0 and 1.
	QBER          float64 `json:"qber"`
	QBERLow       float64 `json:"qber_low"`
	QBERHigh      float64 `json:"qber_high"`
	Errors        int64   `json:"errors"`
	Compared      int64   `json:"compared"`
	EstimatedQBER float64 `json:"estimated_qber"` // from the tested bits alone: what the session was judged by

	Parities   int64   `json:"parities"`    // that Cascade disclosed
	FEC        float64 `json:"f_ec"`        // parities/(n·h(Q)) over the n key bits at the rate Q that was corrected; 0 where there was none
	LeakBits   int64   `json:"leak_bits"`   // parities, and what the verification tag has beyond log2(1/ε_cor) bits
	SecretBits int64   `json:"secret_bits"` // ℓ, 0 where the session was aborted
	AuthBits   int64   `json:"auth_bits"`   // of these, kept to authenticate the next session
	KeyBits    int64   `json:"key_bits"`    // and what is left

	// Seconds is how long sending the pulses takes at the clock of the source. The work afterwards does not count, so that it is
	// the same every time.
	Seconds float64 `json:"seconds"`

	KeyByIntensity    [3]int64 `json:"key_by_intensity"` // single photons have the first place alone
	TestByIntensity   [3]int64 `json:"test_by_intensity"`
	ErrorsByIntensity [3]int64 `json:"errors_by_intensity"` // among those tested

	Decoy  *DecoyLength  `json:"decoy_bounds,omitempty"` // what the length was computed from
	Single *SingleLength `json:"single_bounds,omitempty"`

	Alice Traffic `json:"alice"` // what Alice sent over the classical channel
	Bob   Traffic `json:"bob"`
	Steps []Step  `json:"steps"`

	// What follows is known to the simulation alone.
	Setup   *Setup     `json:"setup,omitempty"`
	Doubled int64      `json:"double_clicks"` // detections by both detectors
	Eve     *Knowledge `json:"eve,omitempty"`
	First   []Pulse    `json:"first_pulses,omitempty"`
}

// Step is an event of a session.
type Step struct {
	Name     string        `json:"name"`                 // detected, sifted, estimated, reconciled, verified, amplified
	Left     int64         `json:"left"`                 // how many bits were left after it
	Messages int64         `json:"messages"`             // that both sides had sent by then
	Bytes    int64         `json:"bytes"`                // in them
	Elapsed  time.Duration `json:"elapsed_ns,omitempty"` // since the step before, where there is a clock
}

func (r *Result) abort(why Reason) {
	r.Reason, r.Aborted = why, why != goOn
	if r.Aborted {
		r.SecretBits, r.AuthBits, r.KeyBits = 0, 0, 0
	}
}

// confidence is the level of the interval of a QBER.
const confidence = 0.95

func (r *Result) compared(n, errors int64) {
	r.Compared, r.Errors = n, errors
	if n > 0 {
		r.QBER = float64(errors) / float64(n)
	}
	r.QBERLow, r.QBERHigh = Interval(errors, n, confidence)
}

func efficiency(leak, n int64, q float64) float64 {
	return float64(leak) / float64(float64(n)*portable.Entropy(q))
}

// Sentence says how the session ended, for people.
func (r *Result) Sentence() string {
	switch r.Reason {
	case TooFew:
		return "Aborted: too few bits arrived to compare some and keep others."
	case TooManyErrors:
		return fmt.Sprintf("Aborted: %.2f%% of the compared bits differ, and at %d%% nothing can be secret.", 100*r.EstimatedQBER, limit)
	case TooShort:
		return "Aborted: what somebody might know leaves fewer secret bits than were asked for."
	case DifferentResults:
		return "Aborted: after the correction of errors the bits of both sides still differ."
	}
	return fmt.Sprintf("%d secret bits: %d for keys, %d for the authentication of the next session.", r.SecretBits, r.KeyBits, r.AuthBits)
}
