package stone

import (
	"bytes"

	"stonevault/identity"
)

const (
	formatVersion = 1
	segmentLog2   = 20

	// SegmentSize is the plaintext of every segment but the last, in bytes.
	SegmentSize = 1 << segmentLog2
	// MaxSegments bounds a stone: 1 TiB of plaintext.
	MaxSegments = 1 << 20
	// PreambleSize is the length of a preamble in bytes.
	PreambleSize = 32
)

// The high bit and the line end show a transfer that treats the file as text.
var preambleMagic = [8]byte{0x93, 'S', 'T', 'O', 'N', 'E', '\r', '\n'}

// preamble begins every body.
//
//	magic         8
//	version      u8   1
//	suite        u8
//	segment_log2 u8   20
//	reserved      5   zeros
//	file id      16
type preamble struct {
	suite  identity.Suite
	fileID FileID
}

func (p preamble) bytes() []byte {
	b := make([]byte, 0, PreambleSize)
	b = append(b, preambleMagic[:]...)
	b = append(b, formatVersion, byte(p.suite), segmentLog2, 0, 0, 0, 0, 0)
	return append(b, p.fileID[:]...)
}

func parsePreamble(b []byte) (preamble, error) {
	if len(b) != PreambleSize || !bytes.Equal(b[:8], preambleMagic[:]) {
		return preamble{}, refuse("the file does not begin like a stone")
	}
	p := preamble{suite: identity.Suite(b[9])}
	copy(p.fileID[:], b[16:])
	if b[8] != formatVersion {
		return preamble{}, refuse("format version %d is unknown", b[8])
	}
	if !p.suite.Valid() {
		return preamble{}, refuse("suite %d is unknown", b[9])
	}
	if !bytes.Equal(p.bytes(), b) {
		return preamble{}, refuse("the preamble has values that version 1 does not allow")
	}
	return p, nil
}
