package stone

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress"
	"github.com/klauspost/compress/zstd"
)

// Compression says how hard to try to make segments smaller.
type Compression struct {
	// Never skips the try altogether.
	Never bool
	// Level is a Zstandard level from 1 to 22; 0 is the default, level 1.
	Level int
}

// MaxCompressionLevel is the highest Level.
const MaxCompressionLevel = 22

// compressedTypes are media types whose content is compressed already. A type that ends in "/" stands
// for all its subtypes, and exceptions come first.
var compressedTypes = []struct {
	prefix     string
	compressed bool
}{
	{"audio/wav", false}, {"audio/x-wav", false}, {"audio/vnd.wave", false}, {"audio/aiff", false},
	{"audio/x-aiff", false}, {"audio/midi", false}, {"audio/basic", false},
	{"audio/", true}, {"video/", true},
	{"image/jpeg", true}, {"image/png", true}, {"image/gif", true}, {"image/webp", true}, {"image/avif", true},
	{"image/heic", true}, {"image/heif", true}, {"image/jxl", true}, {"image/jp2", true},
	{"application/zip", true}, {"application/gzip", true}, {"application/x-gzip", true}, {"application/zstd", true},
	{"application/x-xz", true}, {"application/x-bzip2", true}, {"application/x-7z-compressed", true},
	{"application/vnd.rar", true}, {"application/x-rar-compressed", true}, {"application/java-archive", true},
	{"application/epub+zip", true}, {"application/vnd.openxmlformats-officedocument", true},
	{"application/vnd.oasis.opendocument", true}, {"application/vnd.android.package-archive", true},
	{"font/woff", true}, {"application/pgp-encrypted", true}, {"application/vnd.stonevault.stone", true},
}

func isCompressedType(mediaType string) bool {
	for _, t := range compressedTypes {
		if strings.HasPrefix(mediaType, t.prefix) {
			return t.compressed
		}
	}
	return false
}

// compressible guesses from 16 KiB spread over a segment whether trying is worth the time.
func compressible(plain []byte) bool {
	const pieces, piece = 16, 1024
	if len(plain) <= pieces*piece {
		return compress.Estimate(plain) > 0.05 || len(plain) < 512
	}
	sample := make([]byte, 0, pieces*piece)
	step := (len(plain) - piece) / (pieces - 1)
	for i := range pieces {
		sample = append(sample, plain[i*step:][:piece]...)
	}
	return compress.Estimate(sample) > 0.05
}

// encoders are shared, because each takes megabytes; EncodeAll may be called by many goroutines.
var encoders struct {
	sync.Mutex
	byLevel map[zstd.EncoderLevel]*zstd.Encoder
}

func (c Compression) encoder() (*zstd.Encoder, error) {
	if c.Level < 0 || c.Level > MaxCompressionLevel {
		return nil, fmt.Errorf("stone: compression levels go from 1 to %d", MaxCompressionLevel)
	}
	level := zstd.EncoderLevelFromZstd(max(c.Level, 1))
	encoders.Lock()
	defer encoders.Unlock()
	if e, ok := encoders.byLevel[level]; ok {
		return e, nil
	}
	// A frame holds one segment and declares its size; GCM guards it, so that it needs no checksum.
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderCRC(false),
		zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithWindowSize(SegmentSize), zstd.WithSingleSegment(true))
	if err != nil {
		return nil, fmt.Errorf("stone: zstd: %w", err)
	}
	if encoders.byLevel == nil {
		encoders.byLevel = make(map[zstd.EncoderLevel]*zstd.Encoder)
	}
	encoders.byLevel[level] = e
	return e, nil
}

var decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(2*SegmentSize), zstd.WithDecoderMaxWindow(SegmentSize), zstd.WithDecodeAllCapLimit(true))
})

var errFrame = errors.New("a segment is not one Zstandard frame of the stated size")

// decompress appends the plain bytes in frame to dst, which must have room for them.
func decompress(dst, frame []byte, plain int) ([]byte, error) {
	if err := checkFrame(frame, plain); err != nil {
		return nil, err
	}
	d, err := decoder()
	if err != nil {
		return nil, err
	}
	// The capacity is a limit to the decoder.
	out, err := d.DecodeAll(frame, slices.Grow(dst, plain)[:len(dst):len(dst)+plain])
	if err != nil || len(out) != len(dst)+plain {
		return nil, errFrame
	}
	return out, nil
}

// checkFrame walks the blocks of a frame (RFC 8878, section 3.1.1), because decoders accept several
// frames, skippable ones and dictionaries.
func checkFrame(frame []byte, plain int) error {
	var h zstd.Header
	if err := h.Decode(frame); err != nil {
		return errFrame
	}
	if h.Skippable || !h.HasFCS || h.FrameContentSize != uint64(plain) {
		return errFrame
	}
	// Of the descriptor only the form of the content size and the single segment flag may be set: no
	// dictionary (not even number 0), no checksum, nothing reserved or unused.
	if frame[4]&0x1f != 0 {
		return errFrame
	}
	rest := frame[h.HeaderSize:]
	for {
		if len(rest) < 3 {
			return errFrame
		}
		head := int(rest[0]) | int(rest[1])<<8 | int(rest[2])<<16
		last, kind, size := head&1 == 1, head>>1&3, head>>3
		if kind == 1 { // RLE: one byte stands for size
			size = 1
		}
		if kind == 3 || len(rest) < 3+size {
			return errFrame
		}
		rest = rest[3+size:]
		if last {
			break
		}
	}
	if len(rest) != 0 {
		return errFrame
	}
	return nil
}
