package stone

import (
	"context"
	"encoding/binary"
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
	b, err := NewBuilder(p)
	if err != nil {
		return nil, err
	}
	if err := writeAll(dst, b.Preamble()); err != nil {
		return nil, err
	}
	var rows []byte
	padded := &paddedReader{src: src, padded: p.Class == ClassRestricted}
	_, err = b.Append(ctx, 0, padded, func(sealed, row []byte) error {
		rows = append(rows, row...)
		return writeAll(dst, sealed)
	})
	if err != nil {
		return nil, err
	}
	body, err := b.Finish(rows, padded.size)
	if err != nil {
		return nil, err
	}
	return body, writeAll(dst, rows)
}

func writeAll(dst io.Writer, b []byte) error {
	n, err := dst.Write(b)
	if err == nil && n != len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// Builder seals a body in several sittings, for content that comes in pieces over days. A body is
// Preamble, what Append emitted for each segment, and all rows. Where content stops within a segment,
// that segment is sealed as it is; to go on, Reopen gives back its plaintext, and Append seals it again,
// at its old place, with what follows.
type Builder struct {
	segments
	class   Class
	rand    io.Reader
	encoder *zstd.Encoder
}

// NewBuilder begins a body, or goes on with one that was begun with the same parameters.
func NewBuilder(p BodyParams) (*Builder, error) {
	switch {
	case !p.Suite.Valid():
		return nil, fmt.Errorf("stone: %v", p.Suite)
	case p.FileID.IsZero(), p.Key == nil, p.Rand == nil:
		return nil, errors.New("stone: a body needs a file id, a key and randomness")
	case !p.Class.valid():
		return nil, fmt.Errorf("stone: class %q is unknown", p.Class)
	}
	b := &Builder{segments: segments{p.Suite, p.FileID, p.Key}, class: p.Class, rand: p.Rand}
	if !p.Compression.Never && p.Class != ClassRestricted && !isCompressedType(p.MediaType) {
		var err error
		if b.encoder, err = p.Compression.encoder(); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Preamble is what a body begins with.
func (b *Builder) Preamble() []byte { return preamble{b.suite, b.fileID}.bytes() }

// RowSize is the length in bytes of one segment's line of the index.
func (b *Builder) RowSize() int { return rowSize(b.suite) }

// Append seals all of src as segment first and the following ones, and hands each with its row to emit, in
// order. It returns how many bytes it read. Both slices are emit's until it returns. An empty src gives a
// segment only where first is 0.
func (b *Builder) Append(ctx context.Context, first int, src io.Reader, emit func(sealed, row []byte) error) (int64, error) {
	w := &sitting{Builder: b, src: &countingReader{src: src}, read: first, first: first, out: emit}
	err := stages[*sealJob]{next: w.next, work: w.seal, emit: w.emit, release: (*sealJob).release}.run(ctx)
	return w.src.size, err
}

// Reopen opens a segment that Append made.
func (b *Builder) Reopen(i int, rowBytes, sealed []byte) ([]byte, error) {
	if len(rowBytes) != b.RowSize() {
		return nil, refuse("the row of segment %d has a wrong length", i)
	}
	x := &index{rowSize: b.RowSize(), rows: rowBytes}
	r := x.row(0)
	if _, err := r.content(); err != nil {
		return nil, err
	}
	if r.plain > SegmentSize || int(r.sealed) != len(sealed) {
		return nil, refuse("segment %d has another length than its row", i)
	}
	return b.segments.open(nil, i, r, sealed)
}

// Lengths reads a row: the segment's plaintext and sealed lengths in bytes.
func (b *Builder) Lengths(rowBytes []byte) (plain, sealed int64, err error) {
	if len(rowBytes) != b.RowSize() {
		return 0, 0, refuse("a row has a wrong length")
	}
	return int64(binary.BigEndian.Uint32(rowBytes)), int64(binary.BigEndian.Uint32(rowBytes[4:])), nil
}

// Padding is how many zeros follow size bytes of content before a body of this class is finished.
func (b *Builder) Padding(size int64) int64 {
	if b.class != ClassRestricted {
		return 0
	}
	return padme(size) - size
}

// Finish describes a body with these rows, all of them, and size bytes of content.
func (b *Builder) Finish(rows []byte, size int64) (*Body, error) {
	n := len(rows) / b.RowSize()
	sealed := int64(PreambleSize + len(rows))
	for i := range n {
		sealed += int64(binary.BigEndian.Uint32(rows[i*b.RowSize()+4:]))
	}
	x, err := parseIndex(b.suite, rows, n, sealed)
	if err != nil {
		return nil, err
	}
	if x.plain != size+b.Padding(size) {
		return nil, fmt.Errorf("stone: the segments hold %d bytes, and not %d", x.plain, size+b.Padding(size))
	}
	return &Body{
		Suite: b.suite, FileID: b.fileID, Class: b.class, Size: size, SealedSize: sealed, Segments: n,
		PreambleDigest: b.suite.Digest(b.Preamble()), IndexDigest: b.suite.Digest(rows),
	}, nil
}

// sealJob is one segment on its way through a sitting.
type sealJob struct {
	i      int
	buf    *buffer
	plain  int // bytes in buf, from lead on
	salt   [cobblestone.SaltSize]byte
	sealed []byte
	row    row
}

func (j *sealJob) release() { buffers.put(j.buf) }

// sitting is one Append. Its stages run at the same time: next owns src, read and ended, emit owns rows.
type sitting struct {
	*Builder
	src   *countingReader
	first int
	read  int
	ended bool

	out func(sealed, row []byte) error
	row []byte
}

func (w *sitting) next() (*sealJob, bool, error) {
	if w.ended {
		return nil, false, nil
	}
	j := &sealJob{i: w.read}
	if err := w.fill(j); err != nil {
		j.release()
		return nil, false, err
	}
	w.ended = j.plain < SegmentSize
	if w.ended && j.plain == 0 && j.i > 0 {
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
func (w *sitting) fill(j *sealJob) error {
	var head []byte
	if w.read == w.first {
		small := buffers.get(smallBuffer)
		head = (*small)[lead:]
		n, err := w.readFull(head)
		if n < len(head) || err != nil {
			j.buf, j.plain = small, n
			return err
		}
		defer buffers.put(small)
	}
	j.buf = buffers.get(SegmentSize)
	n := copy((*j.buf)[lead:], head)
	more, err := w.readFull((*j.buf)[lead+n:])
	j.plain = n + more
	return err
}

// readFull reads until p is full or the source has ended.
func (w *sitting) readFull(p []byte) (int, error) {
	n, err := io.ReadFull(w.src, p)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = w.src.failed
	}
	return n, err
}

func (w *sitting) seal(j *sealJob) (err error) {
	j.buf, j.sealed, j.row, err = w.segments.seal(j.buf, j.i, j.plain, j.salt[:], w.encoder)
	return err
}

func (w *sitting) emit(j *sealJob) error {
	w.row = j.row.append(w.row[:0])
	return w.out(j.sealed, w.row)
}

// countingReader counts what it reads and keeps src's error, because a source that was cut off may say
// io.ErrUnexpectedEOF, as an HTTP request's body does, and io.ReadFull says the same of a clean end.
type countingReader struct {
	src    io.Reader
	size   int64
	failed error
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	r.size += int64(n)
	if err != nil && err != io.EOF {
		r.failed = err
	}
	return n, err
}

// paddedReader counts what it reads and, where asked, adds zeros up to the Padmé length.
type paddedReader struct {
	src    io.Reader
	padded bool
	size   int64
	ended  bool
	zeros  int64 // still to be given out
}

func (r *paddedReader) Read(p []byte) (int, error) {
	if !r.ended {
		n, err := r.src.Read(p)
		r.size += int64(n)
		if err != io.EOF {
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
