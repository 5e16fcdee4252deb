package distill

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"math/bits"
)

// ErrQuestion is a question that no honest Bob asks.
var ErrQuestion = errors.New("distill: the question about parities is not allowed")

// ErrAnswer is an answer that no honest Alice gives.
var ErrAnswer = errors.New("distill: the answer about parities is not possible")

// A question is the number of a pass (a byte), and then positions in the order of that pass, from low to high:
// each as its distance from the one before, the first from 0, in unsigned LEB128 of the least length. The answer
// has a bit for each, in order, as Bits.Bytes writes them: the parity of all bits before that position.

// Answerer is Alice: it answers for the parities of her bits, and counts what it disclosed. It does not change
// the bits, which must stay as they are meanwhile. It is for one goroutine at a time.
type Answerer struct {
	variant Variant
	bits    *Bits
	block   cipher.Block
	shuffle shuffle
	passes  []answeredPass
	at      []int
	answer  []byte
	leak    int
}

// answeredPass is a pass as Alice keeps it.
type answeredPass struct {
	ready bool
	words []uint64 // her bits, in the order of the pass
	sums  []uint64 // the sums of the words before each word
	asked []uint64 // the positions that were asked for; position n is bit n
}

// NewAnswerer returns an Answerer for these bits. The seed is that of the session, which Bob has too; it must not
// be known before the quantum transmission has ended. Errors: ErrParameters.
func NewAnswerer(b *Bits, v Variant, seed [32]byte) (*Answerer, error) {
	a := new(Answerer)
	return a, a.Reset(b, v, seed)
}

// Reset makes an Answerer as new, and keeps its memory.
func (a *Answerer) Reset(b *Bits, v Variant, seed [32]byte) error {
	if err := checkParameters(v, b.n, 0); err != nil {
		return err
	}
	block, err := aes.NewCipher(seed[:])
	if err != nil {
		return err
	}
	for len(a.passes) < v.Passes() {
		a.passes = append(a.passes, answeredPass{})
	}
	a.passes = a.passes[:v.Passes()]
	for i := range a.passes {
		a.passes[i].ready = false
	}
	a.variant, a.bits, a.block, a.leak = v, b, block, 0
	return nil
}

// Leak returns how many parities were disclosed.
func (a *Answerer) Leak() int { return a.leak }

// Answer answers a question. ErrQuestion if it is malformed, if it asks for a position that there is not in that
// pass, or for one that was answered before; nothing of it is disclosed then. The answer is valid until the next
// question.
func (a *Answerer) Answer(question []byte) ([]byte, error) {
	pass, positions, err := parseQuestion(question, a.variant.Passes(), a.bits.n, a.at[:0])
	a.at = positions
	if err != nil {
		return nil, err
	}
	p := a.pass(pass)
	for _, at := range positions {
		if p.asked[at>>6]>>(at&63)&1 != 0 {
			return nil, fmt.Errorf("%w: position %d of pass %d was answered before", ErrQuestion, at, pass)
		}
	}
	a.answer = a.answer[:0]
	var octet byte
	for i, at := range positions {
		p.asked[at>>6] |= 1 << (at & 63)
		octet |= p.parity(at) << (i & 7)
		if i&7 == 7 || i == len(positions)-1 {
			a.answer, octet = append(a.answer, octet), 0
		}
	}
	a.leak += len(positions)
	return a.answer, nil
}

// pass returns a pass, made ready.
func (a *Answerer) pass(pass int) *answeredPass {
	p := &a.passes[pass]
	if p.ready {
		return p
	}
	p.ready = true
	p.words = resize(p.words, len(a.bits.words)+1)
	p.words[len(a.bits.words)] = 0 // so that position n has a word
	if pass == 0 {
		copy(p.words, a.bits.words)
	} else {
		a.shuffle.derive(a.block, pass, a.bits.n, a.variant.shuffles(pass))
		a.shuffle.apply(p.words[:len(a.bits.words)], a.bits.words)
	}
	p.sums = resize(p.sums, len(p.words))
	p.asked = resize(p.asked, len(p.words))
	var sum uint64
	for i, w := range p.words {
		p.sums[i], p.asked[i] = sum, 0
		sum ^= w
	}
	return p
}

// parity returns the parity of the bits before position at.
func (p *answeredPass) parity(at int) byte {
	w := at >> 6
	return byte(bits.OnesCount64(p.sums[w]^p.words[w]&(1<<(at&63)-1))) & 1
}

// parseQuestion reads a question about n bits. It appends the positions to at.
func parseQuestion(question []byte, passes, n int, at []int) (pass int, positions []int, err error) {
	if len(question) < 2 {
		return 0, at, fmt.Errorf("%w: %d bytes are none", ErrQuestion, len(question))
	}
	if pass = int(question[0]); pass >= passes {
		return 0, at, fmt.Errorf("%w: there is no pass %d", ErrQuestion, pass)
	}
	last := max(n-1, 0)
	if pass == 0 {
		last = n // the parity of the whole, which is that of every pass
	}
	position := 0
	for rest := question[1:]; len(rest) > 0; {
		distance, size := uint64(rest[0]), 1
		if distance >= 0x80 {
			if distance, size = longDistance(rest); size == 0 {
				return 0, at, fmt.Errorf("%w: a distance is malformed", ErrQuestion)
			}
		}
		if distance == 0 || distance > uint64(last-position) {
			return 0, at, fmt.Errorf("%w: pass %d of %d bits has no position %d", ErrQuestion, pass, n, uint64(position)+distance)
		}
		position += int(distance)
		at = append(at, position)
		rest = rest[size:]
	}
	return pass, at, nil
}

// longDistance reads a distance of 2 to 5 bytes; a size of 0 says that there is none.
func longDistance(data []byte) (distance uint64, size int) {
	for i, octet := range data[:min(len(data), 5)] {
		distance |= uint64(octet&0x7F) << (7 * i)
		if octet < 0x80 {
			if octet == 0 {
				return 0, 0 // a shorter form would do
			}
			return distance, i + 1
		}
	}
	return 0, 0
}

// appendDistance writes what parseQuestion reads.
func appendDistance(question []byte, distance int) []byte {
	for distance >= 0x80 {
		question = append(question, byte(distance)|0x80)
		distance >>= 7
	}
	return append(question, byte(distance))
}
