package stone

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"stonevault/identity"
	"stonevault/stone/cobblestone"
)

// segments holds what all segments of one stone share.
type segments struct {
	suite  identity.Suite
	fileID FileID
	key    *FileKey
}

// context is the Cobblestone-256 context of one segment.
func (s *segments) context(i int, enc encoding, plain int) []byte {
	b := append(make([]byte, 0, 64), "stonevault.v1/segment"...)
	b = append(b, byte(s.suite))
	b = append(b, s.fileID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(i))
	b = append(b, byte(enc))
	return binary.BigEndian.AppendUint32(b, uint32(plain))
}

// seal appends segment i to dst. A nil encoder skips compression.
func (s *segments) seal(dst []byte, i int, plain, salt []byte, encoder *zstd.Encoder) ([]byte, row, error) {
	content, enc := plain, encodingRaw
	if encoder != nil && compressible(plain) {
		buf := buffers.get(len(plain))
		defer buffers.put(buf)
		if frame := encoder.EncodeAll(plain, buf[:0]); worthwhile(len(frame), len(plain)) {
			content, enc = frame, encodingZstd
		}
	}
	sealed, err := cobblestone.Seal(dst, content, s.key[:], salt, s.context(i, enc, len(plain)))
	if err != nil {
		return nil, row{}, fmt.Errorf("stone: seal segment %d: %w", i, err)
	}
	message := sealed[len(dst):]
	return sealed, row{uint32(len(plain)), uint32(len(message)), enc, s.suite.Digest(message)}, nil
}

// open appends segment i's plaintext to dst after checking its digest and all its tags.
func (s *segments) open(dst []byte, i int, r row, sealed []byte) ([]byte, error) {
	if !bytes.Equal(s.suite.Digest(sealed), r.digest) {
		return nil, refuse("segment %d is not what was sealed", i)
	}
	context := s.context(i, r.encoding, int(r.plain))
	if r.encoding == encodingRaw {
		plain, err := cobblestone.Open(dst, sealed, s.key[:], context)
		if err != nil {
			return nil, refuse("segment %d: %w", i, err)
		}
		return plain, nil
	}
	buf := buffers.get(len(sealed))
	defer buffers.put(buf)
	frame, err := cobblestone.Open(buf[:0], sealed, s.key[:], context)
	if err != nil {
		return nil, refuse("segment %d: %w", i, err)
	}
	plain, err := decompress(dst, frame, int(r.plain))
	if err != nil {
		return nil, refuse("segment %d: %w", i, err)
	}
	return plain, nil
}

// sealedMax is the length of the largest sealed segment.
var sealedMax = cobblestone.SealedSize(SegmentSize)

// bufferPool lends buffers of two sizes, so that a small file never holds a large one.
type bufferPool struct{ small, large sync.Pool }

const smallBuffer = 32 * 1024

var buffers = bufferPool{
	small: sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }},
	large: sync.Pool{New: func() any { b := make([]byte, sealedMax); return &b }},
}

// get returns a slice of length n, at most sealedMax, with what was in it before.
func (p *bufferPool) get(n int) []byte {
	if n <= smallBuffer {
		return (*p.small.Get().(*[]byte))[:n]
	}
	return (*p.large.Get().(*[]byte))[:n]
}

func (p *bufferPool) put(b []byte) {
	b = b[:cap(b)]
	switch {
	case len(b) >= sealedMax:
		p.large.Put(&b)
	case len(b) >= smallBuffer:
		p.small.Put(&b)
	}
}
