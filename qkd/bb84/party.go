package bb84

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"stonevault/qkd/distill"
)

// Party is what Alice or Bob brings to a session.
type Party struct {
	Protocol Protocol
	Secret   AuthKey   // the same for both, and used for this session alone
	Random   io.Reader // for public seeds
	// Now tells the time, so that the result says how long the steps took. Nil for no times.
	Now func() time.Time
}

// Ending is what one side has at the end of a session.
type Ending struct {
	Result Result
	// Key is the secret key, and nil where the session was aborted.
	Key *distill.Bits
	// Next is the secret that authenticates the next session, the first AuthSize bytes of what was distilled. It is there
	// whenever Key is.
	Next *AuthKey

	sifting *sifting
	sifted  *sifted
}

// variant is the form of Cascade.
const variant = distill.Option8

// party is a session under way.
type party struct {
	Party
	wire *wire
	end  *Ending
	then time.Time
	// The sifted bits of this side: those that are compared, and those of the key.
	tested, key *distill.Bits
	leak        int64 // parities
	corrected   int64 // bits of the key
}

func newParty(p Party, conn io.ReadWriter, alice bool) (*party, error) {
	if err := p.Protocol.check(); err != nil {
		return nil, err
	}
	s := &party{Party: p, wire: newWire(conn, &p.Secret, alice), end: &Ending{Result: Result{Mode: Simulated, Source: p.Protocol.Source, Pulses: p.Protocol.Pulses}}}
	if p.Now != nil {
		s.then = p.Now()
	}
	return s, nil
}

// step notes how many bits are left after a step of the session.
func (s *party) step(name string, left int64) {
	step := Step{Name: name, Left: left, Messages: s.wire.out.Messages + s.wire.in.Messages, Bytes: s.wire.out.Bytes + s.wire.in.Bytes}
	if s.Now != nil {
		now := s.Now()
		step.Elapsed = now.Sub(s.then)
		s.then = now
	}
	s.end.Result.Steps = append(s.end.Result.Steps, step)
}

// divided notes what sifting came to. Bases and own are those of the sifted bits.
func (s *party) divided(sent *sifting, bases, own *distill.Bits) {
	d := s.Protocol.divide(sent, bases)
	s.end.sifting, s.end.sifted = sent, d
	r := &s.end.Result
	r.Sifted, r.Tested, r.KeySifted = int64(own.Len()), total(d.want), total(d.key)
	r.KeyByIntensity, r.TestByIntensity = d.key, d.want
	s.tested, s.key = pick(d.test, own)[0], pick(not(d.test), own)[0]
	s.step("sifted", r.Sifted)
}

// estimated notes the errors among the bits that were compared.
func (s *party) estimated(errors [3]int64, reason Reason) {
	r := &s.end.Result
	r.ErrorsByIntensity = errors
	r.compared(r.Tested, total(errors))
	r.abort(reason)
	s.step("estimated", int64(s.key.Len()))
}

// reconciled notes what Cascade came to.
func (s *party) reconciled(leak, corrected int64) {
	r := &s.end.Result
	s.leak, s.corrected, r.Parities = leak, corrected, leak
	if n := int64(s.key.Len()); corrected > 0 && corrected < n {
		r.FEC = efficiency(leak, n, float64(corrected)/float64(n))
	}
	s.step("reconciled", int64(s.key.Len()))
}

// tagBits is the length of the verification tag.
func (s *party) tagBits() (int, error) { return distill.TagBits(s.key.Len(), s.Protocol.Correct) }

// verified notes how the comparison of tags ended.
func (s *party) verified(same bool) {
	r := &s.end.Result
	if !same {
		r.abort(DifferentResults)
		return
	}
	r.compared(r.Sifted, total(r.ErrorsByIntensity)+s.corrected)
	s.step("verified", int64(s.key.Len()))
}

// final computes the length of the secret, and whether it is enough.
func (s *party) final() (length int64, reason Reason, err error) {
	t, err := s.tagBits()
	if err != nil {
		return 0, goOn, err
	}
	r := &s.end.Result
	r.LeakBits = s.leak + int64(distill.TagLeak(t, s.Protocol.Correct))
	if length, err = s.Protocol.length(s.end.sifted, r.ErrorsByIntensity, r.LeakBits, r); err != nil {
		return 0, goOn, err
	}
	if !s.Protocol.enough(length) {
		return 0, TooShort, nil
	}
	return length, goOn, nil
}

// finish takes the next session's secret off it.
func (s *party) finish(secret *distill.Bits) {
	r := &s.end.Result
	s.end.Next = (*AuthKey)(secret.Slice(0, 8*AuthSize).Bytes())
	s.end.Key = secret.Slice(8*AuthSize, secret.Len())
	r.SecretBits, r.AuthBits, r.KeyBits = int64(secret.Len()), 8*AuthSize, int64(s.end.Key.Len())
	s.step("amplified", r.SecretBits)
}

// close fills in what both sides sent.
func (s *party) close(alice bool) *Ending {
	r := &s.end.Result
	r.Alice, r.Bob = s.wire.out.Traffic, s.wire.in.Traffic
	if !alice {
		r.Alice, r.Bob = r.Bob, r.Alice
	}
	return s.end
}

// expect receives one kind of message.
func (s *party) expect(k kind) ([]byte, error) {
	_, payload, err := s.wire.receive(k)
	return payload, err
}

func (s *party) draw(b []byte) error {
	if _, err := io.ReadFull(s.Random, b); err != nil {
		return fmt.Errorf("reading random numbers: %w", err)
	}
	return nil
}

func numbers(b []byte, most ...int64) ([]int64, error) {
	r := &reader{rest: b}
	out := make([]int64, len(most))
	for i := range out {
		out[i] = r.count(most[i])
	}
	return out, r.end()
}

// parseAmplify reads the last message of Alice: a reason, or a length and a seed for it.
func parseAmplify(b []byte, n int) (reason Reason, length int64, seed *distill.Bits, err error) {
	r := &reader{rest: b}
	if reason, err = parseReason(r.take(1)[0]); err != nil {
		return reason, 0, nil, err
	}
	if reason == goOn {
		length = r.count(int64(n))
		seed = r.bits(distill.SeedBits(n, int(length)))
	}
	return reason, length, seed, r.end()
}

func appendAmplify(b []byte, reason Reason, length int64, seed *distill.Bits) []byte {
	b = append(b, reasonCode(reason))
	if reason == goOn {
		b = append(binary.BigEndian.AppendUint64(b, uint64(length)), seed.Bytes()...)
	}
	return b
}
