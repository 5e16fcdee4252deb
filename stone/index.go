package stone

import (
	"encoding/binary"

	"stonevault/identity"
	"stonevault/stone/cobblestone"
)

// encoding says how a segment's plaintext was treated before it was sealed.
type encoding uint8

const (
	encodingRaw  encoding = 0
	encodingZstd encoding = 1
)

// minSaving is the smallest saving, as a fraction 1/minSaving, for which a segment is compressed.
const minSaving = 16

// row is one segment's line in the index.
//
//	plaintext length u32
//	sealed length    u32
//	encoding          u8
//	digest               of the sealed bytes, 32 or 48
type row struct {
	plain    uint32
	sealed   uint32
	encoding encoding
	digest   []byte
}

func rowSize(suite identity.Suite) int { return 9 + suite.DigestSize() }

func (r row) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, r.plain)
	b = binary.BigEndian.AppendUint32(b, r.sealed)
	b = append(b, byte(r.encoding))
	return append(b, r.digest...)
}

// content is the number of bytes that were sealed: the plaintext, or its Zstandard frame.
func (r row) content() (int, error) {
	content, err := cobblestone.PlaintextSize(int(r.sealed))
	if err != nil {
		return 0, refuse("a segment's sealed length is impossible: %w", err)
	}
	switch {
	case r.encoding == encodingRaw && content == int(r.plain):
	case r.encoding == encodingZstd && content > 0 && worthwhile(content, int(r.plain)):
	default:
		return 0, refuse("a segment's encoding and lengths do not fit")
	}
	return content, nil
}

func worthwhile(compressed, plain int) bool { return compressed <= plain-(plain+minSaving-1)/minSaving }

// index is what a body ends with, together with each segment's place.
type index struct {
	rowSize int
	rows    []byte
	offsets []int64 // of each sealed segment in the body, and of the index itself
	plain   int64   // sum of all plaintext, padding included
}

func (x *index) segments() int { return len(x.offsets) - 1 }

func (x *index) row(i int) row {
	b := x.rows[i*x.rowSize:][:x.rowSize]
	return row{
		plain:    binary.BigEndian.Uint32(b),
		sealed:   binary.BigEndian.Uint32(b[4:]),
		encoding: encoding(b[8]),
		digest:   b[9:],
	}
}

// compressed reports whether any segment is.
func (x *index) compressed() bool {
	for i := range x.segments() {
		if x.row(i).encoding != encodingRaw {
			return true
		}
	}
	return false
}

// parseIndex checks every row and that all of them together fill a body of the given size.
func parseIndex(suite identity.Suite, rows []byte, segments int, bodySize int64) (*index, error) {
	x := &index{rowSize: rowSize(suite), rows: rows, offsets: make([]int64, 1, segments+1)}
	if segments < 1 || segments > MaxSegments || len(rows) != segments*x.rowSize {
		return nil, refuse("the index has a wrong length")
	}
	at := int64(PreambleSize)
	x.offsets[0] = at
	for i := range segments {
		r := x.row(i)
		last := i == segments-1
		switch {
		case r.plain > SegmentSize,
			!last && r.plain != SegmentSize,
			last && r.plain == 0 && segments > 1:
			return nil, refuse("segment %d has an impossible length", i)
		}
		if _, err := r.content(); err != nil {
			return nil, err
		}
		at += int64(r.sealed)
		x.plain += int64(r.plain)
		x.offsets = append(x.offsets, at)
	}
	if at+int64(len(rows)) != bodySize {
		return nil, refuse("the segments do not fill the body")
	}
	return x, nil
}
