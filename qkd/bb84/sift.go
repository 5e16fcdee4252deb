package bb84

import (
	"math/bits"
	"math/rand/v2"

	"stonevault/qkd/distill"
)

// sifted is what is left of the detections once the bases are known, as both sides see it.
type sifted struct {
	test      *distill.Bits // of each bit, whether it is compared
	key, want [3]int64      // how many bits are for the key, and how many are compared, by intensity
}

// divide says which of the sifted bits are compared: all of the basis Z, or a sample. bases are theirs.
func (p *Protocol) divide(s *sifting, bases *distill.Bits) *sifted {
	n := s.same.Ones()
	d := &sifted{}
	if p.sampled() {
		d.test = sample(s.sample, n, int(float64(p.TestFraction*float64(n))))
	} else {
		d.test = bases
	}
	every, compared := s.byIntensity(p, nil, n), s.byIntensity(p, d.test, d.test.Ones())
	for k := range every {
		d.want[k], d.key[k] = compared[k], every[k]-compared[k]
	}
	return d
}

// byIntensity counts the sifted bits that are marked, n of them, by intensity. Without marks it is all.
func (s *sifting) byIntensity(p *Protocol, marks *distill.Bits, n int) (counts [3]int64) {
	if p.Source == Decoy {
		for k, plane := range s.intensities {
			for i, w := range plane.Words() {
				if marks != nil {
					w &= marks.Words()[i]
				}
				counts[1+k] += int64(bits.OnesCount64(w))
			}
		}
	}
	counts[0] = int64(n) - counts[1] - counts[2]
	return counts
}

// sample marks k of n bits, each choice of k being as likely as every other: places are drawn until so many different ones
// were, those that are not marked where they are fewer. The integers are those of ChaCha8 under the seed.
func sample(seed [32]byte, n, k int) *distill.Bits {
	random := rand.NewChaCha8(seed)
	chosen := distill.NewBits(n)
	words := chosen.Words()
	for left := min(k, n-k); left > 0; {
		place, _ := bits.Mul64(random.Uint64(), uint64(n))
		fresh := ^words[place>>6] >> (place & 63) & 1
		words[place>>6] |= 1 << (place & 63)
		left -= int(fresh)
	}
	if k > n-k {
		return not(chosen)
	}
	return chosen
}

// not returns the opposite of every bit.
func not(b *distill.Bits) *distill.Bits {
	c := b.Clone()
	for i := range c.Words() {
		c.Words()[i] = ^c.Words()[i]
	}
	return distill.FromWords(c.Words(), c.Len())
}

func total(n [3]int64) int64 { return n[0] + n[1] + n[2] }

// limit is the error rate that ends a session, out of 100: above 11.0028% nothing can remain (1 − 2h(Q) = 0).
const limit = 11

// judge says whether a session may go on when the test bits have been compared.
func (p *Protocol) judge(d *sifted, errors [3]int64, r *Result) (Reason, error) {
	tested, wrong := total(d.want), total(errors)
	if tested == 0 || total(d.key) == 0 {
		return TooFew, nil
	}
	r.EstimatedQBER = float64(wrong) / float64(tested)
	if 100*wrong >= limit*tested {
		return TooManyErrors, nil
	}
	length, err := p.length(d, errors, 0, r)
	if err == nil && !p.enough(length) {
		return TooShort, nil
	}
	return goOn, err
}

// enough tells whether a secret of so many bits replaces what the messages used up and leaves what was asked for.
func (p *Protocol) enough(length int64) bool { return length-8*AuthSize >= max(1, p.Ask) }

// length is how many secret bits there are when leak bits were disclosed, at most as many as the key had before. The bounds
// behind it go to the result.
func (p *Protocol) length(d *sifted, errors [3]int64, leak int64, r *Result) (int64, error) {
	tested, wrong := total(d.want), total(errors)
	if p.Source == Single {
		c := SingleCounts{N: float64(total(d.key)), K: float64(tested), Q: float64(wrong) / float64(tested), Leak: float64(leak), Security: p.Security}
		l, err := c.Evaluate()
		r.Single = &l
		return min(l.Length, total(d.key)), err
	}
	c := DecoyCounts{Mu: p.Mu, P: p.P, Leak: float64(leak), Security: p.Security}
	for k := range c.NX {
		c.NX[k], c.NZ[k], c.MZ[k] = float64(d.key[k]), float64(d.want[k]), float64(errors[k])
	}
	if wrong == 0 && d.want[1] > 0 {
		c.MZ[1] = 1 // no errors at all would bound φ_X by 0, however few bits were compared
	}
	l, err := c.Evaluate()
	r.Decoy = &l
	return min(l.Length, total(d.key)), err
}

// cascadeRate is the rate of errors that Cascade is told: the estimated one, drawn slightly towards 1/2, so that it is not 0.
func cascadeRate(tested, wrong int64) float64 {
	return (float64(wrong) + 0.5) / (float64(tested) + 1)
}
