package bb84

import "math"

// table is what a pulse can do, ready for drawing: any pulse, or one of which a click is known.
type table struct {
	rows    []outcome
	clicks  float64 // the probability that light or darkness makes a detector click
	any     *alias
	clicked *alias // over the rows from firstClick on
	first   int
}

// newTable puts the outcomes without a click first.
func newTable(all []outcome) *table {
	t := &table{}
	for _, o := range all {
		if o.click == noClick {
			t.rows = append(t.rows, o)
		}
	}
	t.first = len(t.rows)
	weights := make([]float64, 0, len(all))
	for _, o := range all {
		if o.click != noClick {
			t.rows = append(t.rows, o)
			t.clicks += o.weight
		}
	}
	for _, o := range t.rows {
		weights = append(weights, o.weight)
	}
	t.any = newAlias(weights)
	if t.clicks > 0 {
		t.clicked = newAlias(weights[t.first:])
	}
	return t
}

// Expected are mean numbers, of a session or of one pulse. Places are those of the intensities; single photons have the
// first alone.
type Expected struct {
	Detected float64
	Sifted   [2][3]float64 // by basis and intensity
	Errors   [2][3]float64 // among these
}

// Expect returns what the model expects of a session, exactly but for the first pulse, which no after-pulse precedes.
//
// An after-pulse is a click of the same detector in the next gate, whatever Alice sends then. So it adds p_ap·D to the
// probability of a click of every intensity, D being the mean over all of them, and not p_ap·D_k as Channel.Weak has it
// (which is the same where pulses are alike; see G.-J. Fan-Yuan et al., Phys. Rev. Applied 10, 064032, 2018). It does not
// cause another one, as there.
func Expect(s *Setup) (Expected, error) {
	if err := s.valid(); err != nil {
		return Expected{}, err
	}
	t := newTable(outcomes(s))
	return t.expect(s.Channel.AfterPulse, float64(s.Pulses)), nil
}

func (t *table) expect(afterPulse, pulses float64) (e Expected) {
	late := float64(afterPulse * t.clicks) // an after-pulse of the pulse before
	// Which errors a click has with an after-pulse beside it: alone its bit is even; beside another detector's it makes a
	// double click, whose bit is.
	quiet := [4]float64{0, 0, 1, 0.5}
	noisy := [4]float64{0.5, 0.25, 0.75, 0.5}
	for _, o := range t.rows {
		w := float64(o.weight * pulses)
		seen, wrong := w, float64(w*(float64((1-late)*quiet[o.click])+float64(late*noisy[o.click])))
		if o.click == noClick {
			seen = float64(w * late)
		}
		e.Detected += seen
		if o.alice == o.bob {
			e.Sifted[o.alice][o.intensity] += seen
			e.Errors[o.alice][o.intensity] += wrong
		}
	}
	return e
}

// gap draws how many pulses without a click precede the next one, by inversion of the geometric distribution.
func (t *table) gap(random *stream, logQuiet float64) int64 {
	if t.clicks == 0 {
		return MaxPulses
	}
	g := math.Floor(logUnit(random) / logQuiet)
	if !(g < MaxPulses) {
		return MaxPulses
	}
	return int64(g)
}
