package stone_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"stonevault/identity"
	"stonevault/stone"
	"stonevault/stone/cobblestone"
)

func preambleByte(at int, to byte) func(f *forge) {
	return whole(func(b []byte) []byte { b[at] = to; return b })
}

func onRow(change func(s *forgedSegment)) func(f *forge) {
	return func(f *forge) { f.onRows = func(s []forgedSegment) { change(&s[0]) } }
}

// twoSegments makes a stone of two compressed segments: its second is that of one byte.
func twoSegments(change func(f *forge)) func(f *forge) {
	return func(f *forge) {
		f.plain = bytes.Repeat([]byte("gold "), stone.SegmentSize/5+1)[:stone.SegmentSize+1]
		f.onSegment = func(i int, s *forgedSegment) {
			if i == 0 {
				s.encoding, s.content = 1, frame(f.t, s.plain)
			}
		}
		change(f)
	}
}

// twoFull changes a stone of two compressed segments, both of 1 MiB.
func twoFull(change func(s []forgedSegment)) func(f *forge) {
	return func(f *forge) {
		f.plain = append(bytes.Repeat([]byte("a"), stone.SegmentSize), bytes.Repeat([]byte("b"), stone.SegmentSize)...)
		f.zstd = true
		f.onSealed = change
	}
}

func restricted(change func(f *forge)) func(f *forge) {
	return func(f *forge) {
		f.plain, f.pad = bytes.Repeat([]byte("x"), 1000), 24
		f.metadata.set("class", `"restricted"`)
		change(f)
	}
}

var bodyCases = []badCase{
	{name: "preamble magic", reason: "its first byte differs", step: 11, says: "begin like", change: preambleByte(0, 0x94)},
	{name: "preamble line end", reason: "CR LF became LF LF", step: 11, says: "begin like", change: preambleByte(6, '\n')},
	{name: "preamble version 2", reason: "version 2", step: 11, says: "version 2", change: preambleByte(8, 2)},
	{name: "preamble suite 3", reason: "unknown", step: 11, says: "suite 3", change: preambleByte(9, 3)},
	{name: "preamble suite 2", reason: "known, but not that of the envelope", step: 11, says: "another envelope", change: preambleByte(9, 2)},
	{name: "manifest says suite 2, body suite 1", reason: "the manifest has digests of suite 2 for the preamble of suite 2, and the body begins with suite 1", step: 11, says: "another envelope", change: func(f *forge) {
		f.onBody = func(b []byte) []byte { return append(b, make([]byte, 16)...) } // as long as a row of suite 2 would make it
		f.onManifest = func(m *members) {
			at := slices.Clone(f.preamble)
			at[9] = 2
			m.set("preamble", quotedHex(identity.SuiteCNSA.Digest(at)))
			m.set("index", quotedHex(identity.SuiteCNSA.Digest(f.index)))
		}
	}},
	{name: "preamble segment size", reason: "segments of 512 KiB", step: 11, says: "does not allow", change: preambleByte(10, 19)},
	{name: "preamble reserved", reason: "a reserved byte is not zero", step: 11, says: "does not allow", change: preambleByte(15, 1)},
	{name: "preamble other file", reason: "the body has another file id", step: 11, says: "another envelope", change: preambleByte(20, 0)},
	{name: "body of another stone", reason: "a genuine body of the same length under this envelope", step: 11, says: "another envelope", change: func(f *forge) {
		other := newForge(f.t, f.signer, f.person("alice")).bytes()
		f.onWhole = func(b []byte) []byte {
			n := binary.BigEndian.Uint64(b[len(b)-32:])
			return append(bytes.Clone(other[:n]), b[n:]...)
		}
	}},
	{name: "body cut", reason: "the last row is missing, and the trailer says so", step: 11, says: "shorter than", change: func(f *forge) {
		f.onWhole = func(b []byte) []byte {
			n := binary.BigEndian.Uint64(b[len(b)-32:])
			binary.BigEndian.PutUint64(b[len(b)-32:], 40)
			return append(bytes.Clone(b[:40]), b[n:]...)
		}
	}},
	{name: "byte between segment and index", reason: "the trailer counts it, no row does", step: 11, says: "do not fill", change: func(f *forge) {
		f.onBody = func(b []byte) []byte { return append(b, 0) }
	}},
	{name: "byte between preamble and segment", reason: "the trailer counts it, no row does", step: 11, says: "do not fill", change: func(f *forge) {
		f.onBody = func(b []byte) []byte { return slices.Insert(b, 32, 0) }
	}},
	{name: "index changed", reason: "not what the manifest's digest is of", step: 11, says: "index is not what was signed", change: func(f *forge) {
		f.onWhole = func(b []byte) []byte {
			n := binary.BigEndian.Uint64(b[len(b)-32:])
			b[n-1] ^= 1
			return b
		}
	}},
	{name: "row plaintext too long", reason: "2^20 + 1 bytes", step: 11, says: "impossible length", change: onRow(func(s *forgedSegment) { s.rowPlain = 1<<20 + 1 })},
	{name: "row plaintext 2^32-1", reason: "4 GiB", step: 11, says: "impossible length", change: onRow(func(s *forgedSegment) { s.rowPlain = 1<<32 - 1 })},
	{name: "row plaintext one more", reason: "a raw segment's lengths fit together", step: 11, says: "do not fit", change: onRow(func(s *forgedSegment) { s.rowPlain++ })},
	{name: "row sealed one more", reason: "a raw segment's lengths fit together", step: 11, says: "do not fit", change: onRow(func(s *forgedSegment) { s.rowSealed++ })},
	{name: "row sealed too short", reason: "71 bytes, less than a header and a tag", step: 11, says: "impossible", change: onRow(func(s *forgedSegment) { s.rowSealed = 71 })},
	{name: "row sealed ends on a full chunk", reason: "no message has that length", step: 11, says: "impossible", change: onRow(func(s *forgedSegment) { s.rowPlain, s.rowSealed = 16384, 56+16400 })},
	{name: "row sealed 2^32-1", reason: "4 GiB", step: 11, says: "do not fit", change: onRow(func(s *forgedSegment) { s.rowSealed = 1<<32 - 1 })},
	{name: "row encoding 2", reason: "unknown", step: 11, says: "do not fit", change: onRow(func(s *forgedSegment) { s.rowCoding = 2 })},
	{name: "row encoding 255", reason: "unknown", step: 11, says: "do not fit", change: onRow(func(s *forgedSegment) { s.rowCoding = 255 })},
	{name: "row zstd for raw", reason: "a segment that is no smaller is not compressed", step: 11, says: "do not fit", change: onRow(func(s *forgedSegment) { s.rowCoding = 1 })},
	{name: "zstd saves too little", reason: "a frame that is smaller by less than 1/16", step: 11, says: "do not fit", change: func(f *forge) {
		f.plain = append(contents["random"](700), make([]byte, 40)...)
		f.zstd = true
	}},
	{name: "zstd of nothing", reason: "a frame is never smaller than an empty segment", step: 11, says: "do not fit", change: func(f *forge) { f.plain, f.zstd = nil, true }},
	{name: "first segment short", reason: "every segment but the last holds 1 MiB", step: 11, says: "impossible length", change: twoSegments(func(f *forge) {
		f.onRows = func(s []forgedSegment) { s[0].rowPlain-- }
	})},
	{name: "last segment empty", reason: "only an empty file has an empty segment", step: 11, says: "impossible length", change: func(f *forge) {
		f.plain, f.zstd = make([]byte, stone.SegmentSize), true
		f.onSealed = func([]forgedSegment) {
			s := forgedSegment{ctxSuite: 1, ctxFile: f.fileID, ctxIndex: 1}
			s.sealed = f.seal(nil, f.key[:], s.context())
			f.segments = append(f.segments, s)
		}
	}},
	{name: "size one more", reason: "the metadata says one byte more than the segments hold", step: 11, says: "manifest says", change: func(f *forge) {
		f.onMetadata = func(m *members) { m.set("size", "24") }
	}},
	{name: "size one less", reason: "the metadata says one byte less", step: 11, says: "manifest says", change: func(f *forge) {
		f.onMetadata = func(m *members) { m.set("size", "22") }
	}},
	{name: "restricted without padding", reason: "1,000 bytes are padded to 1,024", step: 11, says: "manifest says", change: restricted(func(f *forge) { f.pad = 0 })},
	{name: "restricted padded too far", reason: "1,025 bytes", step: 11, says: "manifest says", change: restricted(func(f *forge) { f.pad = 25 })},
	{name: "normal with padding", reason: "only restricted stones are padded", step: 11, says: "manifest says", change: restricted(func(f *forge) { f.metadata.set("class", `"normal"`) })},
	{name: "restricted compressed", reason: "the length of a frame would tell of the content", step: 11, says: "compressed", change: restricted(func(f *forge) { f.zstd = true })},
}

// sealedByte changes a segment's message and makes row and index anew over it.
func sealedByte(at int, bits byte) func(f *forge) {
	return func(f *forge) {
		f.onSealed = func(s []forgedSegment) {
			b := s[0].sealed
			b[(at+len(b))%len(b)] ^= bits
		}
	}
}

func inContext(change func(s *forgedSegment)) func(f *forge) {
	return func(f *forge) { f.onSegment = func(_ int, s *forgedSegment) { change(s) } }
}

// framed seals what change makes of a good frame of 4,000 bytes.
func framed(change func(f *forge, plain, good []byte) []byte) func(f *forge) {
	return func(f *forge) {
		f.plain = bytes.Repeat([]byte("All that is gold does not glitter. "), 120)[:4000]
		f.onSegment = func(_ int, s *forgedSegment) {
			s.encoding, s.content = 1, change(f, s.plain, frame(f.t, s.plain))
		}
	}
}

// The good frame's header: magic (4), descriptor 0x60 (single segment, content size of 2 bytes), content
// size less 256 (2).
func descriptor(bits byte) func(f *forge) {
	return framed(func(_ *forge, _, good []byte) []byte { good[4] |= bits; return good })
}

var segmentCases = []badCase{
	{name: "segment changed", reason: "not what the index's digest is of", step: 12, says: "not what was sealed", change: func(f *forge) {
		f.onWhole = func(b []byte) []byte { b[32+56] ^= 1; return b }
	}},
	{name: "segment salt changed", reason: "digested anew", step: 12, says: "commitment", change: sealedByte(0, 1)},
	{name: "segment commitment changed", reason: "digested anew", step: 12, says: "commitment", change: sealedByte(24, 1)},
	{name: "segment ciphertext changed", reason: "digested anew", step: 12, says: "authentic", change: sealedByte(56, 1)},
	{name: "segment tag changed", reason: "digested anew", step: 12, says: "authentic", change: sealedByte(-1, 0x80)},
	{name: "segments swapped", reason: "both genuine, digested anew: the context has the index", step: 12, says: "commitment", change: twoFull(func(s []forgedSegment) {
		s[0].sealed, s[1].sealed = s[1].sealed, s[0].sealed
	})},
	{name: "segment twice", reason: "the first in place of the second", step: 12, says: "commitment", change: twoFull(func(s []forgedSegment) { s[1].sealed = s[0].sealed })},
	{name: "segment of other file", reason: "replayed from a file with the same key", step: 12, says: "commitment", change: inContext(func(s *forgedSegment) { s.ctxFile[0] ^= 1 })},
	{name: "segment of other key", reason: "the right context, another key", step: 12, says: "commitment", change: inContext(func(s *forgedSegment) { s.key = make([]byte, 32) })},
	{name: "segment of other suite", reason: "the context has suite 2", step: 12, says: "commitment", change: inContext(func(s *forgedSegment) { s.ctxSuite = 2 })},
	{name: "segment of other index", reason: "the context has index 1", step: 12, says: "commitment", change: inContext(func(s *forgedSegment) { s.ctxIndex = 1 })},
	{name: "segment of other length", reason: "the context has a plaintext of one byte more", step: 12, says: "commitment", change: inContext(func(s *forgedSegment) { s.ctxPlain++ })},
	{name: "segment of other encoding", reason: "the context says zstd, the row raw", step: 12, says: "commitment", change: inContext(func(s *forgedSegment) { s.ctxCoding = 1 })},
	{name: "segment's chunks swapped", reason: "two full chunks in the other order", step: 12, says: "authentic", change: func(f *forge) {
		f.plain = bytes.Repeat([]byte("0123456789abcdef"), 2*1024+1)[:2*cobblestone.ChunkSize+1]
		f.onSealed = func(s []forgedSegment) {
			b := s[0].sealed[cobblestone.HeaderSize:]
			first := bytes.Clone(b[:cobblestone.SealedChunkSize])
			copy(b, b[cobblestone.SealedChunkSize:][:cobblestone.SealedChunkSize])
			copy(b[cobblestone.SealedChunkSize:], first)
		}
	}},

	{name: "zstd claimed", reason: "the content is no frame", step: 12, says: "Zstandard", change: framed(func(_ *forge, plain, _ []byte) []byte { return plain[:3000] })},
	{name: "zstd two frames", reason: "together they have the size", step: 12, says: "Zstandard", change: framed(func(f *forge, plain, _ []byte) []byte {
		return append(frame(f.t, plain[:2000]), frame(f.t, plain[2000:])...)
	})},
	{name: "zstd empty frame after", reason: "one frame and nothing else", step: 12, says: "Zstandard", change: framed(func(f *forge, _, good []byte) []byte {
		return append(good, "\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00"...)
	})},
	{name: "zstd skippable frame before", reason: "one frame and nothing else", step: 12, says: "Zstandard", change: framed(func(_ *forge, _, good []byte) []byte {
		return append([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00hide"), good...)
	})},
	{name: "zstd skippable frame after", reason: "one frame and nothing else", step: 12, says: "Zstandard", change: framed(func(_ *forge, _, good []byte) []byte {
		return append(good, "\x50\x2a\x4d\x18\x04\x00\x00\x00hide"...)
	})},
	{name: "zstd trailing byte", reason: "one frame and nothing else", step: 12, says: "Zstandard", change: framed(func(_ *forge, _, good []byte) []byte { return append(good, 0) })},
	{name: "zstd cut", reason: "its last byte is missing", step: 12, says: "Zstandard", change: framed(func(_ *forge, _, good []byte) []byte { return good[:len(good)-1] })},
	{name: "zstd without last block", reason: "no block is marked the last", step: 12, says: "Zstandard", change: framed(func(_ *forge, _, good []byte) []byte { good[7] &^= 1; return good })},
	{name: "zstd reserved block", reason: "a block of type 3", step: 12, says: "Zstandard", change: framed(func(_ *forge, _, good []byte) []byte { good[7] |= 6; return good })},
	{name: "zstd dictionary", reason: "dictionary 7", step: 12, says: "Zstandard", change: framed(func(_ *forge, _, good []byte) []byte {
		good[4] |= 1
		return slices.Insert(good, 5, 7)
	})},
	{name: "zstd dictionary 0", reason: "the field is there and says that there is none", step: 12, says: "Zstandard", change: framed(func(_ *forge, _, good []byte) []byte {
		good[4] |= 1
		return slices.Insert(good, 5, 0)
	})},
	{name: "zstd checksum", reason: "a right checksum, where none belongs", step: 12, says: "Zstandard", change: framed(func(f *forge, plain, _ []byte) []byte {
		return frame(f.t, plain, zstd.WithEncoderCRC(true))
	})},
	{name: "zstd checksum flag", reason: "the flag without a checksum", step: 12, says: "Zstandard", change: descriptor(1 << 2)},
	{name: "zstd reserved bit", reason: "bit 3 of the descriptor", step: 12, says: "Zstandard", change: descriptor(1 << 3)},
	{name: "zstd unused bit", reason: "bit 4 of the descriptor", step: 12, says: "Zstandard", change: descriptor(1 << 4)},
	{name: "zstd content size one more", reason: "the frame states a byte more than it has", step: 12, says: "Zstandard", change: framed(func(_ *forge, _, good []byte) []byte { good[5]++; return good })},
	{name: "zstd holds less", reason: "the frame has and states 3,999 bytes", step: 12, says: "Zstandard", change: framed(func(f *forge, plain, _ []byte) []byte { return frame(f.t, plain[:3999]) })},
	{name: "zstd holds more", reason: "the frame has and states 4,001 bytes", step: 12, says: "Zstandard", change: framed(func(f *forge, plain, _ []byte) []byte {
		return frame(f.t, append(bytes.Clone(plain), 'x'))
	})},
	{name: "zstd lies about less", reason: "the frame states 4,000 bytes and has 3,999", step: 12, says: "Zstandard", change: framed(func(f *forge, plain, _ []byte) []byte {
		b := frame(f.t, plain[:3999])
		b[5]++
		return b
	})},
	{name: "zstd without content size", reason: "it must be stated", step: 12, says: "Zstandard", change: framed(func(f *forge, _, _ []byte) []byte {
		return rle(0, 0x50, nil, 4000)
	})},
	{name: "zstd window too large", reason: "a window of 8 MiB for 4,000 bytes", step: 12, says: "Zstandard", change: framed(func(f *forge, _, _ []byte) []byte {
		return rle(0x40, 0x68, []byte{0xa0, 0x0e}, 4000)
	})},
	{name: "zstd bomb", reason: "states 4,000 bytes, holds 64 MiB of zeros", step: 12, says: "Zstandard", change: framed(func(f *forge, _, _ []byte) []byte {
		return rle(0x40, 0x38, []byte{0xa0, 0x0e}, 512*1<<17)
	})},
	{name: "zstd block too large", reason: "a block of 2 MiB", step: 12, says: "Zstandard", change: framed(func(f *forge, _, _ []byte) []byte {
		return []byte("\x28\xb5\x2f\xfd\x60\xa0\x0e\xfb\xff\xff\x00")
	})},

	{name: "padding not zero", reason: "the last of 24 bytes of padding is 1", step: 12, says: "padding", change: restricted(func(f *forge) {
		f.onSegment = func(_ int, s *forgedSegment) {
			s.content = bytes.Clone(s.content)
			s.content[1023] = 1
		}
	})},
	{name: "first byte of padding not zero", reason: "content goes on behind its end", step: 12, says: "padding", change: restricted(func(f *forge) {
		f.onSegment = func(_ int, s *forgedSegment) {
			s.content = []byte(strings.Repeat("x", 1001) + strings.Repeat("\x00", 23))
		}
	})},
}

// rle makes a frame of zeros in blocks that one byte stands for: a descriptor, a window unless the
// segment is single, and a content size.
func rle(descriptor, window byte, size []byte, n int) []byte {
	b := []byte("\x28\xb5\x2f\xfd")
	b = append(b, descriptor)
	if descriptor&0x20 == 0 {
		b = append(b, window)
	}
	b = append(b, size...)
	for n > 0 {
		block := min(n, 1<<17)
		n -= block
		head := block<<3 | 1<<1
		if n == 0 {
			head |= 1
		}
		b = append(b, byte(head), byte(head>>8), byte(head>>16), 0)
	}
	return b
}
