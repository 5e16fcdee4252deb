package bb84

// Preset is a setup by name.
type Preset struct {
	Name   string
	Title  string
	Source string // where the numbers are from
	Setup  Setup
}

// lim are the detectors of C. C. W. Lim et al., Phys. Rev. A 89, 022307 (2014), section IV: InGaAs avalanche diodes behind
// standard fibre of 0.2 dB/km.
func lim(distance float64) Channel {
	return Channel{Distance: distance, Loss: 0.2, Efficiency: 0.1, Dark: 6e-7, AfterPulse: 0.04, Misalignment: 5e-3}
}

// clocked is a channel at a clock in Hz, with what Lim et al. ask of a key.
func clocked(c Channel, clock float64) Setup {
	return Setup{Protocol: Protocol{Ask: 256, Security: Security{Secret: 1e-10, Correct: 1e-15}}, Channel: c, PulseRate: clock}
}

// Presets are the ready-made setups, without a source and a number of pulses: Tune chooses these.
func Presets() []Preset {
	const detectors = "detectors and fibre: Lim et al., Phys. Rev. A 89, 022307 (2014), section IV; "
	return []Preset{
		{"metro", "10 km of city fibre", detectors + "length (2 dB) and clock: Yuan et al., J. Lightwave Technol. 36, 3427 (2018)", clocked(lim(10), 1e9)},
		{"50km", "50 km between towns", detectors + "length and clock: Lucamarini et al., Opt. Express 21, 24550 (2013)", clocked(lim(50), 1e9)},
		{"100km", "100 km, far for such detectors", detectors + "length and clock: Yuan et al., Appl. Phys. Lett. 92, 201104 (2008), 101 km", clocked(lim(100), 1e9)},
		{"laboratory", "an early receiver, on one table", "receiver and clock: Gobby, Yuan and Shields, Appl. Phys. Lett. 84, 3762 (2004), as tabulated by Lo, Ma and Chen, Phys. Rev. Lett. 94, 230504 (2005)",
			clocked(Channel{Loss: 0.21, Efficiency: 0.045, Dark: 0.85e-6, Misalignment: 0.033}, 2e6)},
	}
}

// For is the setup with what Alice and Bob do chosen by Tune, for the number of pulses, or for one that Tune chooses where it is
// 0. With single photons the detectors have no after-pulses, as those made of superconducting nanowires. Errors are
// ErrParameters.
func (p Preset) For(source Source, pulses int64) (Setup, error) {
	s := p.Setup
	s.Pulses = pulses
	if source == Single {
		s.Channel.AfterPulse = 0
	}
	return s, s.Tune(source)
}

// FindPreset looks a preset up by its name.
func FindPreset(name string) (Preset, bool) {
	for _, p := range Presets() {
		if p.Name == name {
			return p, true
		}
	}
	return Preset{}, false
}

// tuned are intensities, their probabilities and the bias of the bases that suit blocks from small ones to large, found by
// maximising ExpectedRate over random choices. µ3 is that of Lim et al.
var tuned = []Protocol{
	{Source: Decoy, Mu: [3]float64{0.60, 0.22, 2e-4}, P: [3]float64{0.13, 0.53, 0.34}, KeyBasis: 0.66},
	{Source: Decoy, Mu: [3]float64{0.53, 0.26, 2e-4}, P: [3]float64{0.28, 0.47, 0.25}, KeyBasis: 0.80},
	{Source: Decoy, Mu: [3]float64{0.50, 0.26, 2e-4}, P: [3]float64{0.47, 0.36, 0.17}, KeyBasis: 0.89},
	{Source: Decoy, Mu: [3]float64{0.50, 0.25, 2e-4}, P: [3]float64{0.65, 0.24, 0.11}, KeyBasis: 0.91},
	{Source: Decoy, Mu: [3]float64{0.52, 0.20, 2e-4}, P: [3]float64{0.78, 0.15, 0.07}, KeyBasis: 0.94},
	{Source: Single, KeyBasis: 0.5, TestFraction: 0.5},
	{Source: Single, KeyBasis: 0.5, TestFraction: 0.25},
	{Source: Single, KeyBasis: 0.5, TestFraction: 0.1},
}

// block is how many detections Tune aims at: enough for a key at any distance that gives one, and simulated in seconds.
const block = 2e6

// Tune chooses what Alice and Bob do with this channel and this source: of a few ready sets of parameters the one that is
// expected to yield most, where nobody listens. With no pulses it also chooses their number, so that about two million are
// detected. Errors are ErrParameters.
func (s *Setup) Tune(source Source) error {
	best, found := Setup{}, Rate{Length: -1}
	for _, t := range tuned {
		if t.Source != source {
			continue
		}
		try := *s
		t.Pulses, t.Ask, t.Security = s.Pulses, s.Ask, s.Security
		try.Protocol, try.Eve = t, Eve{}
		if try.Pulses == 0 {
			try.Pulses = 1
			if err := try.valid(); err != nil {
				return err
			}
			try.Pulses = rounded(int64(min(MaxPulses, block/max(1e-15, newTable(outcomes(&try)).clicks))))
		}
		r, err := ExpectedRate(try, LimEfficiency)
		if err != nil {
			return err
		}
		if r.Length > found.Length {
			best, found = try, r
		}
	}
	if found.Length < 0 {
		return badParameters("the source is %q or %q, unlike %q", Single, Decoy, source)
	}
	best.Eve = s.Eve
	*s = best
	return nil
}

// rounded is n with two digits that are not zero.
func rounded(n int64) int64 {
	unit := int64(1)
	for n/unit >= 100 {
		unit *= 10
	}
	return n / unit * unit
}
