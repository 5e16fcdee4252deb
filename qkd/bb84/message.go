package bb84

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"stonevault/qkd/distill"
)

// version is that of the messages.
const version = 1

// digest is what both sides must have agreed on.
func (p *Protocol) digest() [32]byte {
	b := append([]byte("stonevault.v1/bb84/protocol"), version, byte(len(p.Source)))
	b = append(b, p.Source...)
	for _, x := range []float64{p.Mu[0], p.Mu[1], p.Mu[2], p.P[0], p.P[1], p.P[2], p.KeyBasis, p.TestFraction, p.Secret, p.Correct} {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(x))
	}
	b = binary.BigEndian.AppendUint64(b, uint64(p.Pulses))
	return sha256.Sum256(binary.BigEndian.AppendUint64(b, uint64(p.Ask)))
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrProtocol, fmt.Errorf(format, args...))
}

// reader takes a message apart. Its first error stays.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		if r.err == nil {
			r.err = malformed("a message is cut off")
		}
		return make([]byte, n)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// count reads a number of at most most.
func (r *reader) count(most int64) int64 {
	n := r.uint64()
	if n > uint64(most) {
		if r.err == nil {
			r.err = malformed("a count of %d where %d are possible", n, most)
		}
		return 0
	}
	return int64(n)
}

func (r *reader) bits(n int) *distill.Bits {
	size := (n + 7) / 8
	if r.err == nil && size > len(r.rest) {
		r.err = malformed("a message is cut off")
	}
	if r.err != nil {
		return distill.NewBits(0)
	}
	b, err := distill.FromBytes(r.take(size), n)
	if err != nil {
		r.err = malformed("%w", err)
		return distill.NewBits(0)
	}
	return b
}

func (r *reader) seed() (s [32]byte) {
	copy(s[:], r.take(32))
	return s
}

// end returns the error of the message, which must be at its end.
func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		r.err = malformed("%d bytes follow a message", len(r.rest))
	}
	return r.err
}

// bytes writes which pulses Bob detected, and in which bases he measured them.
func (d *Detections) bytes() []byte {
	b := make([]byte, 8+2*len(d.Pulses)+16, 8+2*len(d.Pulses)+16+len(d.Pulses)/8)
	binary.BigEndian.PutUint64(b, uint64(len(d.Pulses)))
	at, last := 8, int64(-1)
	for _, pulse := range d.Pulses {
		gap := uint64(pulse - last)
		last = pulse
		if len(b)-at < 2*binary.MaxVarintLen64 {
			b = append(b, make([]byte, len(b)/2+2*binary.MaxVarintLen64)...)
		}
		if gap >= 1<<14 {
			at += binary.PutUvarint(b[at:], gap)
			continue
		}
		// One byte or two, without a branch: which it is cannot be foreseen.
		two := (1<<7 - 1 - gap) >> 63
		b[at], b[at+1] = byte(gap)&0x7F|byte(two<<7), byte(gap>>7)
		at += 1 + int(two)
	}
	b = b[:at]
	return append(b, d.Bases.Bytes()...)
}

// distance reads a distance between pulses, and how many bytes it has: none if there is none of the least length.
func distance(b []byte) (gap uint64, size int) {
	if gap, size = binary.Uvarint(b); size < 0 || size > 1 && b[size-1] == 0 {
		return 0, 0
	}
	return gap, size
}

// shortDistance is distance where it has one byte or two; else it returns a size of 0. There is no branch between them: which it
// is cannot be foreseen.
func shortDistance(b []byte) (gap uint64, size int) {
	if len(b) < 2 {
		return 0, 0
	}
	low, high := uint64(b[0]), uint64(b[1])
	two := low >> 7
	if two&(high>>7|(high-1)>>63) != 0 {
		return 0, 0
	}
	return low&0x7F | high<<7&-two, 1 + int(two)
}

// shortGaps tells whether each of eight bytes is a distance of its own, above 0.
func shortGaps(b uint64) bool {
	const low, high = 0x0101010101010101, 0x8080808080808080
	return (b|(b-low))&high == 0
}

// detectionReader reads what Bob says about the pulses that he detected: their numbers, some at a time, then the bases.
type detectionReader struct {
	reader
	pulses int64 // how many were sent
	last   int64
	left   int // how many numbers are still to be read
}

func newDetectionReader(b []byte, pulses int64) *detectionReader {
	r := &detectionReader{reader: reader{rest: b}, pulses: pulses, last: -1}
	r.left = int(r.count(int64(len(b)))) // each takes a byte at least
	return r
}

// read reads the next numbers, as many as into has places.
func (r *detectionReader) read(into []int64) error {
	last, rest := r.last, r.rest
	for i := 0; i < len(into); {
		few := min(8, len(into)-i)
		if few == 8 && len(rest) >= 8 && last < r.pulses-8*0x80 {
			if gaps := binary.LittleEndian.Uint64(rest); shortGaps(gaps) {
				for k := range 8 {
					last += int64(gaps >> (8 * k) & 0xFF)
					into[i+k] = last
				}
				i, rest = i+8, rest[8:]
				continue
			}
		}
		for k := range few {
			gap, size := shortDistance(rest)
			if size == 0 {
				gap, size = distance(rest)
			}
			switch {
			case size == 0:
				return malformed("a distance between pulses is none")
			case gap == 0 || gap > uint64(r.pulses-1-last):
				return malformed("a detected pulse is none that was sent")
			}
			last += int64(gap)
			into[i+k] = last
			rest = rest[size:]
		}
		i += few
	}
	r.last, r.rest = last, rest
	r.left -= len(into)
	return nil
}

// sifting is what Alice says about the detected pulses.
type sifting struct {
	same        *distill.Bits    // of each, whether the bases agree
	intensities [2]*distill.Bits // of each that was kept; the lower bit first. Decoy states alone
	sample      [32]byte         // the seed of the sample. Sampled sessions alone
}

func (s *sifting) append(b []byte, p *Protocol) []byte {
	b = append(b, s.same.Bytes()...)
	if p.Source == Decoy {
		b = append(append(b, s.intensities[0].Bytes()...), s.intensities[1].Bytes()...)
	}
	if p.sampled() {
		b = append(b, s.sample[:]...)
	}
	return b
}

func parseSifting(b []byte, p *Protocol, detected int) (*sifting, error) {
	r := &reader{rest: b}
	s := &sifting{same: r.bits(detected)}
	if p.Source == Decoy {
		n := s.same.Ones()
		s.intensities[0], s.intensities[1] = r.bits(n), r.bits(n)
		if r.err == nil {
			both := s.intensities[0].Clone()
			for i, w := range s.intensities[1].Words() {
				both.Words()[i] &= w
			}
			if both.Ones() > 0 {
				return nil, malformed("an intensity is none of three")
			}
		}
	}
	if p.sampled() {
		s.sample = r.seed()
	}
	return s, r.end()
}

// estimate is Alice's count of errors and what follows from it.
type estimate struct {
	errors [3]int64
	reason Reason   // why the session ends; goOn if it does not
	seed   [32]byte // of Cascade's shuffles, where it goes on
}

func (e *estimate) append(b []byte) []byte {
	for _, m := range e.errors {
		b = binary.BigEndian.AppendUint64(b, uint64(m))
	}
	b = append(b, reasonCode(e.reason))
	if e.reason == goOn {
		b = append(b, e.seed[:]...)
	}
	return b
}

// parseEstimate reads it, where so many bits of each intensity were compared.
func parseEstimate(b []byte, tested [3]int64) (e estimate, err error) {
	r := &reader{rest: b}
	for k := range e.errors {
		e.errors[k] = r.count(tested[k])
	}
	if e.reason, err = parseReason(r.take(1)[0]); err != nil {
		return e, err
	}
	if e.reason == goOn {
		e.seed = r.seed()
	}
	return e, r.end()
}

func appendCounts(b []byte, counts ...int64) []byte {
	for _, n := range counts {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

// Reason is why a session ended without a key; empty if it did not.
type Reason string

// Reasons.
const (
	goOn             Reason = ""
	TooFew           Reason = "few"          // no bit to compare, or none left for a key
	TooManyErrors    Reason = "qber"         // the error rate reached 11%
	TooShort         Reason = "length"       // fewer secret bits remain than were asked for
	DifferentResults Reason = "verification" // the corrected bits of both sides differ
)

var reasons = []Reason{goOn, TooFew, TooManyErrors, TooShort, DifferentResults}

func reasonCode(r Reason) byte {
	for i, known := range reasons {
		if r == known {
			return byte(i)
		}
	}
	panic("bb84: no reason " + string(r))
}

func parseReason(code byte) (Reason, error) {
	if int(code) >= len(reasons) {
		return goOn, malformed("no reason has the code %d", code)
	}
	return reasons[code], nil
}
