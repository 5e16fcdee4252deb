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

// seal seals segment i, whose n bytes lie in b from lead on. It returns the message and the buffer that it
// lies in: b, or another one that has taken b's place.
func (s *segments) seal(b *buffer, i, n int, salt []byte, encoder *zstd.Encoder) (*buffer, []byte, row, error) {
	content, enc := (*b)[lead:lead+n], encodingRaw
	if encoder != nil && compressible(content) {
		other := buffers.get(n)
		if frame := encoder.EncodeAll(content, (*other)[lead:lead]); worthwhile(len(frame), n) {
			content, enc = append((*other)[lead:lead], frame...), encodingZstd
			b, other = other, b
		}
		buffers.put(other)
	}
	at := lead + len(content) - cobblestone.SealedSize(len(content))
	message, err := cobblestone.Seal((*b)[at:at], content, s.key[:], salt, s.context(i, enc, n))
	if err != nil {
		return b, nil, row{}, fmt.Errorf("stone: seal segment %d: %w", i, err)
	}
	return b, message, row{uint32(n), uint32(len(message)), enc, s.suite.Digest(message)}, nil
}

// open appends segment i's plaintext to dst after checking its digest and all its tags. Where sealed begins
// at the end of dst, it is opened in place.
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
	frame, err := cobblestone.Open((*buf)[:0], sealed, s.key[:], context)
	if err != nil {
		return nil, refuse("segment %d: %w", i, err)
	}
	plain, err := decompress(dst, frame, int(r.plain))
	if err != nil {
		return nil, refuse("segment %d: %w", i, err)
	}
	return plain, nil
}

// sealedMax is the length of the largest sealed segment, lead by how much that is longer than its content.
var (
	sealedMax = cobblestone.SealedSize(SegmentSize)
	lead      = sealedMax - SegmentSize
)

// buffer has room for one segment, in either form. Content that is to be sealed lies from lead on, so that
// its message, which may begin before it, ends where it ends.
type buffer []byte

// bufferPool lends buffers of two sizes, so that a small file never holds a large one.
type bufferPool struct{ small, large sync.Pool }

const smallBuffer = 32 * 1024

var buffers = bufferPool{
	small: sync.Pool{New: func() any { b := make(buffer, lead+smallBuffer); return &b }},
	large: sync.Pool{New: func() any { b := make(buffer, sealedMax); return &b }},
}

// get lends a buffer for content of n bytes, at most SegmentSize, or for a message that is no longer than
// theirs, with what was in it before.
func (p *bufferPool) get(n int) *buffer {
	if n <= smallBuffer {
		return p.small.Get().(*buffer)
	}
	return p.large.Get().(*buffer)
}

// put takes a buffer back; nil is none.
func (p *bufferPool) put(b *buffer) {
	switch {
	case b == nil:
	case len(*b) == sealedMax:
		p.large.Put(b)
	default:
		p.small.Put(b)
	}
}
