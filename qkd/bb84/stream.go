package bb84

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
)

// Randomness is where the random numbers of a session come from: those of nature, of Alice and of Bob apart, so that none
// depends on who is faster. With readers of the operating system a session is new every time.
type Randomness struct {
	Nature io.Reader // the choices at both ends of the quantum channel, photons, detectors, and Eve
	Alice  io.Reader // what she draws after that: the sample, and public seeds
	Bob    io.Reader
}

// Seeded is randomness that is the same every time and on every platform: ChaCha8 (C2SP chacha8rand) under keys that are
// SHA-256("stonevault.v1/bb84/" + name + seed), the names being "nature", "alice" and "bob". Whoever knows the seed knows
// the key: it is for laboratories and tests.
func Seeded(seed [32]byte) Randomness {
	stream := func(name string) io.Reader {
		return rand.NewChaCha8(sha256.Sum256(append([]byte("stonevault.v1/bb84/"+name), seed[:]...)))
	}
	return Randomness{Nature: stream("nature"), Alice: stream("alice"), Bob: stream("bob")}
}

// Seed is the seed that a person means by a text, SHA-256("stonevault.v1/bb84/seed" + text).
func Seed(text string) [32]byte { return sha256.Sum256([]byte("stonevault.v1/bb84/seed" + text)) }

// stream reads random integers in blocks. The first failure of the reader stays; what comes after it is zero.
type stream struct {
	r    io.Reader
	buf  [4096]byte
	left []byte
	err  error
}

func (s *stream) uint64() uint64 {
	if len(s.left) == 0 {
		s.fill()
	}
	x := binary.LittleEndian.Uint64(s.left)
	s.left = s.left[8:]
	return x
}

func (s *stream) fill() {
	s.left = s.buf[:]
	if s.err != nil {
		return
	}
	if _, err := io.ReadFull(s.r, s.buf[:]); err != nil {
		s.err = fmt.Errorf("reading random numbers: %w", err)
		clear(s.buf[:])
	}
}

// unit is a number above 0 and below 1, a multiple of 2^-54.
func (s *stream) unit() float64 { return (float64(s.uint64()>>11) + 0.5) / (1 << 53) }
