package bb84

import (
	"math/bits"

	"stonevault/qkd/distill"
)

// pick returns, of each string, the bits at which mask is 1, in order.
func pick(mask *distill.Bits, from ...*distill.Bits) []*distill.Bits {
	n, masks := mask.Ones(), mask.Words()
	packers := make([]packer, len(from))
	for i := range packers {
		packers[i].words = make([]uint64, 0, n/64+2)
	}
	var memory extractor
	var extracted [atOnce]uint64
	for at := 0; at < len(masks); at += atOnce {
		some := masks[at:min(at+atOnce, len(masks))]
		memory.prepare(some)
		for i, b := range from {
			memory.extract(extracted[:len(some)], b.Words()[at:at+len(some)], some)
			packers[i].add(extracted[:len(some)], some)
		}
	}
	picked := make([]*distill.Bits, len(from))
	for i, p := range packers {
		picked[i] = distill.FromWords(append(p.words, p.last), n)
	}
	return picked
}

// atOnce is how many words are taken at once.
const atOnce = 64

// packer puts bits one behind the other.
type packer struct {
	words []uint64
	last  uint64 // the word that is not full yet, of which used bits are there
	used  int
}

// add takes of each word as many bits as its mask has.
func (p *packer) add(words, masks []uint64) {
	last, used := p.last, p.used
	for i, w := range words {
		size := bits.OnesCount64(masks[i])
		last |= w << used
		if used+size >= 64 {
			p.words = append(p.words, last)
			last = w >> (64 - used) // nothing where used is 0
		}
		used = (used + size) & 63
	}
	p.last, p.used = last, used
}

// extractor takes the bits of words that are 1 in masks, to the lowest places. Where the processor has no instruction for
// that, a word is compressed as in H. S. Warren, Hacker's Delight (2013), section 7-4, whose moves are the same for all
// strings.
type extractor struct{ moves [atOnce]moves }

// prepare is to be called with masks before extract is, for any number of words.
func (e *extractor) prepare(masks []uint64) {
	if hasExtract {
		return
	}
	for i, m := range masks {
		e.moves[i] = compression(m)
	}
}

func (e *extractor) extract(to, from, masks []uint64) {
	if hasExtract && len(to) > 0 {
		extract(&to[0], &from[0], &masks[0], len(to))
		return
	}
	for i, m := range masks {
		to[i] = e.moves[i].apply(from[i] & m)
	}
}

// moves are which bits of a word go down by 1, 2, 4, 8, 16 and 32 places.
type moves [6]uint64

func compression(mask uint64) (v moves) {
	gaps := ^mask << 1
	for i := range v {
		parity := gaps ^ gaps<<1 // of the zeros to the right of each bit
		parity ^= parity << 2
		parity ^= parity << 4
		parity ^= parity << 8
		parity ^= parity << 16
		parity ^= parity << 32
		v[i] = parity & mask
		mask = mask ^ v[i] | v[i]>>(1<<i)
		gaps &^= parity
	}
	return v
}

func (v *moves) apply(word uint64) uint64 {
	for i, m := range v {
		t := word & m
		word = word ^ t | t>>(1<<i)
	}
	return word
}
