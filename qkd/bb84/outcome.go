package bb84

// Basis is one of the two bases.
type Basis uint8

// Bases. Keys come from X; in what is measured in Z errors are counted.
const (
	X Basis = iota
	Z
)

func (b Basis) String() string { return [...]string{"X", "Z"}[b&1] }

// What the detectors do, in the order of Channel.clicks. Right and wrong are about Alice's bit, whatever the bases.
const (
	noClick = iota
	rightClick
	wrongClick
	doubleClick
)

// What Eve did to a pulse.
type tapping uint8

const (
	untouched tapping = iota
	measuredX
	measuredZ
	measuredBetween // in the Breidbart basis
	kept            // one photon of several
	blocked
)

// outcome is one way in which a pulse can go, but for Alice's bit, which is even and to which everything is symmetric.
type outcome struct {
	weight    float64 // its probability
	intensity uint8
	photons   uint16 // that Alice sent
	alice     Basis
	bob       Basis
	eve       tapping
	eveRight  bool // her result is Alice's bit
	click     uint8
}

// outcomes are all ways in which a pulse can go. Their probabilities add up to 1 but for rounding.
func outcomes(s *Setup) []outcome {
	var all []outcome
	bases := [2]float64{s.KeyBasis, 1 - s.KeyBasis}
	eta := s.Channel.Transmittance()
	single, several := s.splitting()
	for _, e := range s.emissions() {
		for a, pa := range bases {
			for b, pb := range bases {
				e.alice, e.bob = Basis(a), Basis(b)
				for _, t := range s.taps(e, eta, single, several) {
					t.weight = float64(e.weight * float64(pa*pb) * t.weight)
					for click, p := range s.Channel.clicks(t.arriving, t.eta, t.wrong) {
						o := t.outcome
						o.weight, o.click = float64(t.weight*p), uint8(click)
						if o.weight > 0 {
							all = append(all, o)
						}
					}
				}
			}
		}
	}
	return all
}

// emissions are what Alice may send.
func (s *Setup) emissions() []outcome {
	if s.Source == Single {
		return []outcome{{weight: 1, photons: 1}}
	}
	var all []outcome
	for k, mu := range s.Mu {
		for n, p := range photons(mu) {
			all = append(all, outcome{weight: float64(s.P[k] * p), intensity: uint8(k), photons: uint16(n)})
		}
	}
	return all
}

// tap is what becomes of a pulse on its way: so many photons arrive, each of which is detected with probability eta, and
// then by the wrong detector with probability wrong.
type tap struct {
	outcome
	arriving int
	eta      float64
	wrong    float64
}

// taps are what may happen to the pulse o on its way, with weights that add up to 1.
func (s *Setup) taps(o outcome, eta, single, several float64) []tap {
	e, f := s.Channel.Misalignment, s.Eve.Fraction
	along := func(weight float64) tap {
		t := tap{outcome: o, arriving: int(o.photons), eta: eta, wrong: 0.5}
		t.weight = weight
		if o.alice == o.bob {
			t.wrong = e
		}
		return t
	}
	if s.Eve.Attack == NoAttack || o.photons == 0 {
		return []tap{along(1)}
	}
	all := []tap{along(1 - f)}
	add := func(weight float64, how tapping, eveRight bool, change func(*tap)) {
		t := along(float64(f * weight))
		t.eve, t.eveRight = how, eveRight
		change(&t)
		all = append(all, t)
	}
	// What Bob finds agrees with what Eve sends with the probability agrees.
	resend := func(agrees float64, eveRight bool) func(*tap) {
		return func(t *tap) {
			t.wrong = agrees
			if eveRight {
				t.wrong = 1 - agrees
			}
		}
	}
	switch s.Eve.Attack {
	case Intercept:
		for _, basis := range []Basis{X, Z} {
			agrees := 0.5
			if basis == o.bob {
				agrees = 1 - e
			}
			if basis == o.alice {
				add(0.5, measuredX+tapping(basis), true, resend(agrees, true))
				continue
			}
			add(0.25, measuredX+tapping(basis), true, resend(agrees, true))
			add(0.25, measuredX+tapping(basis), false, resend(agrees, false))
		}
	case Breidbart:
		agrees := float64(right*(1-e)) + float64((1-right)*e)
		add(right, measuredBetween, true, resend(agrees, true))
		add(1-right, measuredBetween, false, resend(agrees, false))
	case Splitting:
		stop := func(t *tap) { t.arriving = 0 }
		if o.photons == 1 {
			add(single, untouched, false, func(*tap) {})
			add(1-single, blocked, false, stop)
			break
		}
		add(several, kept, true, func(t *tap) { t.arriving, t.eta = t.arriving-1, s.Channel.Efficiency })
		add(1-several, blocked, false, stop)
	}
	return all
}
