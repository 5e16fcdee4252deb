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

// decoy is a session of weak pulses at a clock of 1 GHz.
func decoy(c Channel) Setup {
	return Setup{
		Protocol: Protocol{
			Source: Decoy, Mu: [3]float64{0.45, 0.15, 2e-4}, P: [3]float64{0.6, 0.25, 0.15}, KeyBasis: 0.8, TestFraction: 0.5,
			Pulses: 2e8, Ask: 256, Security: Security{Secret: 1e-10, Correct: 1e-15},
		},
		Channel: c, PulseRate: 1e9,
	}
}

// Presets are the ready-made setups. Intensities, their probabilities and the bias of the bases are this program's.
func Presets() []Preset {
	laboratory := decoy(Channel{Distance: 0, Loss: 0.21, Efficiency: 0.045, Dark: 0.85e-6, Misalignment: 0.033})
	laboratory.PulseRate = 2e6
	const detectors = "detectors and fibre: Lim et al., Phys. Rev. A 89, 022307 (2014), section IV; "
	return []Preset{
		{"metro", "10 km of city fibre", detectors + "length (2 dB) and clock: Yuan et al., J. Lightwave Technol. 36, 3427 (2018)", decoy(lim(10))},
		{"50km", "50 km between towns", detectors + "length and clock: Lucamarini et al., Opt. Express 21, 24550 (2013)", decoy(lim(50))},
		{"100km", "100 km, near the end of what such detectors reach", detectors + "length and clock: Yuan et al., Appl. Phys. Lett. 92, 201104 (2008), 101 km at a gigahertz", decoy(lim(100))},
		{"laboratory", "on one table, with an early receiver", "receiver and clock: Gobby, Yuan and Shields, Appl. Phys. Lett. 84, 3762 (2004), as tabulated by Lo, Ma and Chen, Phys. Rev. Lett. 94, 230504 (2005)", laboratory},
	}
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
