package stone

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"stonevault/identity"
	"stonevault/stone/cobblestone"
)

// BodyParams says how a body is sealed.
type BodyParams struct {
	Suite       identity.Suite
	FileID      FileID   // fresh
	Key         *FileKey // fresh, never used for another body
	Rand        io.Reader
	MediaType   string // of compressed types the content is left as it is; may be empty
	Compression Compression
	// Class of ClassRestricted turns compression off and pads the content.
	Class Class
}

// Body describes a sealed body; a manifest signs it.
type Body struct {
	Suite          identity.Suite
	FileID         FileID
	Class          Class
	Size           int64 // plaintext bytes, padding left out
	SealedSize     int64 // bytes of the body
	Segments       int
	PreambleDigest []byte
	IndexDigest    []byte
}

// SealBody seals all of src and writes the body to dst. It uses several cores and at most 6 MiB with two
// of them, 10 with more. When it fails, what dst received is worthless.
func SealBody(ctx context.Context, dst io.Writer, src io.Reader, p BodyParams) (*Body, error) {
	w, err := newBodyWriter(dst, src, p)
	if err != nil {
		return nil, err
	}
	if err := w.write(preamble{p.Suite, p.FileID}.bytes()); err != nil {
		return nil, err
	}
	err = stages[*sealJob]{next: w.next, work: w.seal, emit: w.emit, release: (*sealJob).release}.run(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.write(w.rows); err != nil {
		return nil, err
	}
	return &Body{
		Suite: p.Suite, FileID: p.FileID, Class: p.Class,
		Size: w.src.size, SealedSize: w.written, Segments: w.emitted,
		PreambleDigest: p.Suite.Digest(preamble{p.Suite, p.FileID}.bytes()),
		IndexDigest:    p.Suite.Digest(w.rows),
	}, nil
}

// sealJob is one segment on its way through a bodyWriter.
type sealJob struct {
	i      int
	plain  []byte
	salt   [cobblestone.SaltSize]byte
	sealed []byte
	row    row
}

func (j *sealJob) release() {
	buffers.put(j.plain)
	buffers.put(j.sealed)
}

// bodyWriter's stages run at the same time: next owns src, read and ended, emit owns the rest.
type bodyWriter struct {
	segments
	src     *paddedReader
	rand    io.Reader
	encoder *zstd.Encoder
	read    int
	ended   bool

	dst     io.Writer
	written int64
	rows    []byte
	emitted int
}

func newBodyWriter(dst io.Writer, src io.Reader, p BodyParams) (*bodyWriter, error) {
	switch {
	case !p.Suite.Valid():
		return nil, fmt.Errorf("stone: %v", p.Suite)
	case p.FileID.IsZero(), p.Key == nil, p.Rand == nil:
		return nil, errors.New("stone: a body needs a file id, a key and randomness")
	case !p.Class.valid():
		return nil, fmt.Errorf("stone: class %q is unknown", p.Class)
	}
	w := &bodyWriter{
		segments: segments{p.Suite, p.FileID, p.Key},
		src:      &paddedReader{src: src, padded: p.Class == ClassRestricted},
		rand:     p.Rand,
		dst:      dst,
	}
	if !p.Compression.Never && p.Class != ClassRestricted && !isCompressedType(p.MediaType) {
		var err error
		if w.encoder, err = p.Compression.encoder(); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *bodyWriter) write(b []byte) error {
	n, err := w.dst.Write(b)
	w.written += int64(n)
	if err == nil && n != len(b) {
		err = io.ErrShortWrite
	}
	return err
}

func (w *bodyWriter) next() (*sealJob, bool, error) {
	if w.ended {
		return nil, false, nil
	}
	j := &sealJob{i: w.read}
	var err error
	if j.plain, err = w.fill(); err != nil {
		return nil, false, err
	}
	if w.src.failed != nil {
		j.release()
		return nil, false, w.src.failed
	}
	w.ended = len(j.plain) < SegmentSize
	if w.ended && len(j.plain) == 0 && j.i > 0 {
		j.release()
		return nil, false, nil
	}
	if w.read++; w.read > MaxSegments {
		j.release()
		return nil, false, ErrTooLarge
	}
	if _, err := io.ReadFull(w.rand, j.salt[:]); err != nil {
		j.release()
		return nil, false, fmt.Errorf("stone: randomness: %w", err)
	}
	return j, true, nil
}

// fill reads one segment. The first is read into a small buffer first, since most files are small.
func (w *bodyWriter) fill() ([]byte, error) {
	var head []byte
	if w.read == 0 {
		head = buffers.get(smallBuffer)
		defer func() {
			if head != nil {
				buffers.put(head)
			}
		}()
		n, err := io.ReadFull(w.src, head)
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			small := head[:n]
			head = nil
			return small, nil
		case err != nil:
			return nil, err
		}
	}
	buf := buffers.get(SegmentSize)
	n, err := io.ReadFull(w.src, buf[copy(buf, head):])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		buffers.put(buf)
		return nil, err
	}
	return buf[:len(head)+n], nil
}

func (w *bodyWriter) seal(j *sealJob) error {
	var err error
	j.sealed = buffers.get(cobblestone.SealedSize(len(j.plain)))
	j.sealed, j.row, err = w.segments.seal(j.sealed[:0], j.i, j.plain, j.salt[:], w.encoder)
	buffers.put(j.plain)
	j.plain = nil
	return err
}

func (w *bodyWriter) emit(j *sealJob) error {
	w.rows = j.row.append(w.rows)
	w.emitted++
	return w.write(j.sealed)
}

// paddedReader counts what it reads and, where asked, adds zeros up to the Padmé length.
type paddedReader struct {
	src    io.Reader
	padded bool
	size   int64
	ended  bool
	zeros  int64 // still to be given out
	// failed is src's error. It is kept because a source that was cut off may say io.ErrUnexpectedEOF,
	// as an HTTP request's body does, and io.ReadFull says the same of a clean end.
	failed error
}

func (r *paddedReader) Read(p []byte) (int, error) {
	if !r.ended {
		n, err := r.src.Read(p)
		r.size += int64(n)
		if err != io.EOF {
			r.failed = err
			return n, err
		}
		r.ended = true
		if r.padded {
			r.zeros = padme(r.size) - r.size
		}
		if n > 0 {
			return n, nil
		}
	}
	if r.zeros == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), r.zeros)
	clear(p[:n])
	r.zeros -= n
	return int(n), nil
}

// MaxBodySize bounds the sealed size of a body with size bytes of content that is not padded.
func MaxBodySize(suite identity.Suite, size int64) int64 {
	segments := max((size+SegmentSize-1)/SegmentSize, 1)
	perSegment := int64(cobblestone.SealedSize(SegmentSize)-SegmentSize) + int64(rowSize(suite))
	return PreambleSize + size + segments*perSegment
}
