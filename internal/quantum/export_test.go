package quantum

import "stonevault/qkd/bb84"

// Shorten has sessions send fewer pulses, still enough for a key.
func (s *Service) Shorten() {
	p, _ := bb84.FindPreset(preset)
	s.setup, _ = p.For(bb84.Decoy, 12_000_000)
}
