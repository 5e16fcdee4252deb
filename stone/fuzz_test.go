package stone

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime/metrics"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/stone/canonical"
	"stonevault/stone/cobblestone"
)

// within fails a fuzz target whose input takes more than 2 seconds, or more than 64 MiB in all.
func within(t *testing.T, f func()) {
	t.Helper()
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before, start := sample[0].Value.Uint64(), time.Now()
	f()
	took := time.Since(start)
	metrics.Read(sample)
	if n := sample[0].Value.Uint64() - before; n > 64<<20 || took > 2*time.Second {
		t.Fatalf("took %d MiB and %v", n>>20, took)
	}
}

// stones are those of the golden vectors; each target takes its seeds from their parts.
func stones(f *testing.F) [][]byte {
	paths, err := filepath.Glob(filepath.Join("testdata", "vectors", "*.json"))
	if err != nil {
		f.Fatal(err)
	}
	var all [][]byte
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		var file struct{ Vectors []struct{ Stone string } }
		if err := json.Unmarshal(b, &file); err != nil {
			f.Fatal(err)
		}
		for _, v := range file.Vectors {
			raw, err := base64.StdEncoding.DecodeString(v.Stone)
			if err != nil {
				f.Fatal(err)
			}
			all = append(all, raw)
		}
	}
	if len(all) < 100 {
		f.Fatalf("only %d vectors for seeds", len(all))
	}
	return all
}

// parts cuts a stone by its trailer; ok is false where that is broken.
func parts(b []byte) (t trailer, body, manifest, signer, certificate, grants []byte, ok bool) {
	if len(b) < TrailerSize {
		return
	}
	t, err := parseTrailer(b[len(b)-TrailerSize:])
	if err != nil || int64(t.envelopeSize())+t.body != int64(len(b)) {
		return
	}
	take := func(n int) []byte {
		field := b[:n]
		b = b[n:]
		return field
	}
	body, manifest = take(int(t.body)), take(t.manifest)
	take(t.suite.SignatureSize())
	signer, certificate, grants = take(t.suite.PublicSize()), take(t.certificate), take(t.grants)
	return t, body, manifest, signer, certificate, grants, true
}

func FuzzPreamble(f *testing.F) {
	for _, b := range stones(f) {
		f.Add(b[:min(PreambleSize, len(b))])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		within(t, func() {
			if p, err := parsePreamble(b); err == nil && !bytes.Equal(p.bytes(), b) {
				t.Errorf("%x is written %x", b, p.bytes())
			} else if err != nil && !errors.Is(err, ErrRefused) {
				t.Error(err)
			}
		})
	})
}

func FuzzTrailer(f *testing.F) {
	for _, b := range stones(f) {
		f.Add(b[max(len(b)-TrailerSize, 0):])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		within(t, func() {
			p, err := parseTrailer(b)
			switch {
			case err != nil && !errors.Is(err, ErrRefused):
				t.Error(err)
			case err == nil && (!bytes.Equal(p.bytes(), b) || p.envelopeSize() > MaxEnvelopeSize || p.body < 0):
				t.Errorf("%x is written %x", b, p.bytes())
			}
		})
	})
}

func FuzzIndex(f *testing.F) {
	for _, b := range stones(f) {
		if t, body, _, _, _, _, ok := parts(b); ok {
			for n := 1; n <= 2; n++ {
				if at := len(body) - n*rowSize(t.suite); at > 0 {
					f.Add(byte(t.suite), body[at:], uint32(n), int64(len(body)))
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, suite byte, rows []byte, segments uint32, size int64) {
		s := identity.Suite(suite)
		if !s.Valid() {
			return
		}
		within(t, func() {
			x, err := parseIndex(s, rows, int(segments), size)
			if err != nil {
				if !errors.Is(err, ErrRefused) {
					t.Error(err)
				}
				return
			}
			var again []byte
			at := int64(PreambleSize)
			for i := range x.segments() {
				r := x.row(i)
				again = r.append(again)
				if x.offsets[i] != at || int(r.sealed) > sealedMax || r.plain > SegmentSize || r.plain < SegmentSize && i != x.segments()-1 {
					t.Errorf("segment %d: %+v at %d", i, r, x.offsets[i])
				}
				at += int64(r.sealed)
			}
			if !bytes.Equal(again, rows) || at+int64(len(rows)) != size || x.plain > int64(segments)*SegmentSize {
				t.Error("the rows do not fill the body")
			}
		})
	})
}

// FuzzManifest reads manifests as if their signature held.
func FuzzManifest(f *testing.F) {
	for _, b := range stones(f) {
		if t, _, manifest, signer, _, _, ok := parts(b); ok {
			if _, err := identity.PublicFromBytes(t.suite, signer); err == nil {
				f.Add(byte(t.suite), manifest, signer)
			}
		}
	}
	var cache identity.Cache
	f.Fuzz(func(t *testing.T, suite byte, text, signer []byte) {
		pub, err := cache.Public(identity.Suite(suite), signer)
		if err != nil {
			return
		}
		within(t, func() {
			e := &Envelope{Suite: pub.Suite(), Signer: pub, manifest: text}
			if err := e.parseManifest(); err != nil {
				if !errors.Is(err, ErrRefused) {
					t.Error(err)
				}
				return
			}
			again, err := canonical.Marshal(e.stated)
			if err != nil || !bytes.Equal(again, text) || e.Segments < 1 || e.Segments > MaxSegments || e.Revision < 1 || e.FileID.String() != e.stated.FileID {
				t.Errorf("%q is written %q, %v", text, again, err)
			}
		})
	})
}

// FuzzMetadata reads what a holder of the file key may have sealed: plain is padded with zeros to the
// next multiple of 512 where pad is set.
func FuzzMetadata(f *testing.F) {
	good := func(m Metadata) {
		text, err := sealMetadata(zeros{}, &m, new(FileKey), nil)
		if err != nil {
			f.Fatal(err)
		}
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			f.Fatal(err)
		}
		plain, err := cobblestone.Open(nil, b, new(FileKey)[:], nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain, false)
		f.Add(plain[:4+binary.BigEndian.Uint32(plain)], true)
	}
	good(Metadata{Class: ClassNormal})
	good(Metadata{Class: ClassRestricted, Name: "<&>\u2028é😀\x01\"\\", Path: "/\n", Mode: 0o777, Version: maxInteger, Size: 1 << 40, ModifiedAt: time.UnixMilli(-maxInteger)})
	f.Add([]byte("\x00\x00\x00\x02{}"), true)
	f.Add([]byte("\xff\xff\xff\xff{}"), true)
	f.Fuzz(func(t *testing.T, plain []byte, pad bool) {
		if pad {
			plain = append(bytes.Clone(plain), make([]byte, -len(plain)&(sealedUnit-1))...)
		}
		within(t, func() {
			message, err := cobblestone.Seal(nil, plain, new(FileKey)[:], make([]byte, cobblestone.SaltSize), nil)
			if err != nil {
				t.Fatal(err)
			}
			m, err := openMetadata(base64.RawURLEncoding.EncodeToString(message), new(FileKey), nil)
			if err != nil {
				if !errors.Is(err, ErrRefused) {
					t.Error(err)
				}
				return
			}
			again, err := sealMetadata(zeros{}, m, new(FileKey), nil)
			if err != nil || again != base64.RawURLEncoding.EncodeToString(message) {
				t.Errorf("%q is sealed differently again: %v", plain, err)
			}
		})
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// FuzzSealedText reads the manifest's member before its key is used.
func FuzzSealedText(f *testing.F) {
	for _, b := range stones(f) {
		if _, _, text, _, _, _, ok := parts(b); ok {
			var m struct{ Sealed string }
			if json.Unmarshal(text, &m) == nil {
				f.Add(m.Sealed)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		within(t, func() {
			if m, err := openMetadata(text, new(FileKey), []byte("no such context")); m != nil || !errors.Is(err, ErrRefused) {
				t.Errorf("%q: %v", text, err)
			}
		})
	})
}

// FuzzGrants reads grants as if the manifest listed them.
func FuzzGrants(f *testing.F) {
	for _, b := range stones(f) {
		if t, _, _, _, _, grants, ok := parts(b); ok {
			f.Add(byte(t.suite), grants)
		}
	}
	f.Fuzz(func(t *testing.T, suite byte, b []byte) {
		s := identity.Suite(suite)
		within(t, func() {
			var grants []*identity.Grant
			for rest := b; len(rest) > 0; {
				g, after, err := identity.ParseGrant(s, rest)
				if err != nil {
					break
				}
				if !bytes.Equal(g.Bytes(), rest[:len(rest)-len(after)]) {
					t.Fatalf("%x is written %x", rest[:len(rest)-len(after)], g.Bytes())
				}
				grants, rest = append(grants, g), after
			}
			if !s.Valid() {
				if len(grants) > 0 {
					t.Errorf("a grant of suite %d", suite)
				}
				return
			}
			e := &Envelope{Suite: s, stated: manifest{Grants: listGrants(s, grants)}}
			err := e.parseGrants(b)
			if err != nil && !errors.Is(err, ErrRefused) {
				t.Error(err)
			}
			if err == nil && (len(e.Grants) != len(grants) || len(grants) < 1 || len(grants) > MaxGrants || len(grants) > 1 && e.NeedsPassphrase()) {
				t.Errorf("%d grants", len(grants))
			}
		})
	})
}

// FuzzEnvelope reads whole envelopes and whole stones; nobody can sign what it makes of its seeds.
func FuzzEnvelope(f *testing.F) {
	for _, b := range stones(f) {
		f.Add(b)
		if t, _, _, _, _, _, ok := parts(b); ok {
			f.Add(b[t.body:])
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		within(t, func() {
			for _, parse := range []func() (*Envelope, error){
				func() (*Envelope, error) { return ParseEnvelope(b) },
				func() (*Envelope, error) { return ReadEnvelope(bytes.NewReader(b), int64(len(b))) },
			} {
				e, err := parse()
				if (e == nil) != (err != nil) || err != nil && !errors.Is(err, ErrRefused) {
					t.Errorf("%v, %v", e, err)
				}
				if e != nil && (len(e.Grants) == 0 || e.Signer == nil || e.FileID != FileID(mustUnhex(e.stated.FileID))) {
					t.Errorf("%+v", e)
				}
			}
			if _, err := ManifestDigest(b); err != nil && !errors.Is(err, ErrRefused) {
				t.Error(err)
			}
		})
	})
}

// FuzzFrame decompresses frames that a sealer may have made.
func FuzzFrame(f *testing.F) {
	encoder, err := (Compression{}).encoder()
	if err != nil {
		f.Fatal(err)
	}
	random := make([]byte, 3000)
	rand.Read(random)
	for _, plain := range [][]byte{nil, {1}, make([]byte, 255), make([]byte, 300), random, bytes.Repeat(random, 50), bytes.Repeat([]byte("gold "), 60000)} {
		f.Add(encoder.EncodeAll(plain, nil), uint32(len(plain)))
	}
	f.Add([]byte("\x28\xb5\x2f\xfd\x60\xa0\x0e\xfb\xff\xff\x00"), uint32(4000))
	f.Add([]byte("\x28\xb5\x2f\xfd\x40\x68\xa0\x0e\x03\x7d\x00\x00"), uint32(4000))
	f.Add([]byte("\x50\x2a\x4d\x18\x00\x00\x00\x00"), uint32(0))
	if _, err := decompress(nil, encoder.EncodeAll(random, nil), len(random)); err != nil { // the decoders, made once
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, frame []byte, plain uint32) {
		if plain > SegmentSize {
			plain %= SegmentSize + 1
		}
		within(t, func() {
			out, err := decompress([]byte("before"), frame, int(plain))
			switch {
			case err != nil && (out != nil || !errors.Is(err, errFrame)):
				t.Errorf("%d bytes, %v", len(out), err)
			case err == nil && (len(out) != 6+int(plain) || string(out[:6]) != "before"):
				t.Errorf("%d bytes for %d", len(out), plain)
			}
		})
	})
}
