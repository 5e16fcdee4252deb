package stone_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cloudflare/circl/sign"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/cloudflare/circl/sign/mldsa/mldsa87"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// This file is a second opener, written from the text of docs/spec/stone.md alone: it calls nothing of
// this package or of identity. It opens what the package seals, and every vector ends for both at the
// same step. Section numbers are the specification's.

// specError is how section 9 ends: at a step, with an outcome.
type specError struct {
	step    int
	outcome string
	why     string
}

func (e *specError) Error() string { return fmt.Sprintf("step %d: %s: %s", e.step, e.outcome, e.why) }

// specSuite is a row of section 2.
type specSuite struct {
	number                     byte
	kem                        hpke.KEM
	kemSeed, kemPublic, kemEnc int
	signature                  sign.Scheme
	digestSize                 int
	digest                     func(b []byte) []byte
	passphrase                 bool
}

var specSuites = map[byte]*specSuite{
	1: {1, hpke.MLKEM1024P384(), 32, 1665, 1665, mldsa65.Scheme(), 32, func(b []byte) []byte { d := sha256.Sum256(b); return d[:] }, true},
	2: {2, hpke.MLKEM1024(), 64, 1568, 1568, mldsa87.Scheme(), 48, func(b []byte) []byte { d := sha512.Sum384(b); return d[:] }, false},
}

func (s *specSuite) publicSize() int { return s.kemPublic + s.signature.PublicKeySize() }

func (s *specSuite) fingerprint(label string, keys []byte) []byte {
	return s.digest(slices.Concat([]byte(label), []byte{s.number}, keys))
}

// verify is section 5.2.
func (s *specSuite) verify(key []byte, context, payloadType string, payload, sig []byte) bool {
	pub, err := s.signature.UnmarshalBinaryPublicKey(key)
	if err != nil {
		return false
	}
	pae := fmt.Sprintf("DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
	return s.signature.Verify(pub, []byte(pae), sig, &sign.SignatureOpts{Context: context})
}

// specKeys is who opens: the seeds of an identity, or a passphrase.
type specKeys struct {
	suite      byte
	seeds      []byte
	passphrase string
}

type specGrant struct {
	bytes                            []byte
	kind                             string
	recipient, sealed, salt, wrapped []byte
}

type specRow struct {
	plain, sealed uint32
	encoding      byte
	digest        []byte
	at            int
}

// specStone is what the steps learn, one after the other.
type specStone struct {
	step                                                           int
	suite, bodySuite                                               *specSuite
	body, manifest, signature, signer, certificate, grants, fileID []byte
	m                                                              map[string]any
	list                                                           []specGrant
	key                                                            []byte
	metadata                                                       map[string]any
	rows                                                           []specRow
	plain                                                          []byte
}

func specOpen(file []byte, keys specKeys) (s *specStone, err error) {
	s = new(specStone)
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *specError:
			r.step, err = s.step, r
		default:
			panic(r)
		}
	}()
	for i, step := range []func(){
		func() { s.trailer(file) }, func() { s.split(file) }, s.signerKeys, s.checkSignature, s.checkManifest, s.checkCertificate, s.checkGrants,
		func() { s.unwrap(keys) }, s.checkCommitment, s.openMetadata, s.checkBody, s.openSegments,
	} {
		s.step = i + 1
		step()
	}
	return s, nil
}

func specEnd(outcome, format string, args ...any) {
	panic(&specError{outcome: outcome, why: fmt.Sprintf(format, args...)})
}

func specRequire(ok bool, format string, args ...any) {
	if !ok {
		specEnd("refused", format, args...)
	}
}

func be32(b []byte) int { return int(binary.BigEndian.Uint32(b)) }

// Steps 1 and 2, section 7.
func (s *specStone) trailer(file []byte) {
	specRequire(len(file) >= 64, "length")
	t := file[len(file)-32:]
	specRequire(string(t[24:]) == "STONEEND", "magic")
	specRequire(t[20] == 1 && specSuites[t[21]] != nil && t[22] == 0 && t[23] == 0, "version, suite or reserved")
	specRequire(binary.BigEndian.Uint64(t) <= 1<<62 && be32(t[8:]) <= 1<<20 && be32(t[12:]) <= 16384 && be32(t[16:]) <= 4<<20, "ranges")
	s.suite = specSuites[t[21]]
	specRequire(s.envelopeSize(t) <= 4<<20, "envelope")
}

func (s *specStone) envelopeSize(t []byte) int {
	return be32(t[8:]) + s.suite.signature.SignatureSize() + s.suite.publicSize() + be32(t[12:]) + be32(t[16:]) + 32
}

func (s *specStone) split(file []byte) {
	t := file[len(file)-32:]
	size := s.envelopeSize(t)
	specRequire(size <= len(file) && uint64(len(file)-size) == binary.BigEndian.Uint64(t), "lengths")
	rest := file
	for _, part := range []struct {
		to *[]byte
		n  int
	}{
		{&s.body, len(file) - size}, {&s.manifest, be32(t[8:])}, {&s.signature, s.suite.signature.SignatureSize()},
		{&s.signer, s.suite.publicSize()}, {&s.certificate, be32(t[12:])}, {&s.grants, be32(t[16:])},
	} {
		*part.to, rest = rest[:part.n], rest[part.n:]
	}
}

// Steps 3 and 4, section 5.
func (s *specStone) signerKeys() {
	_, err := s.suite.kem.NewPublicKey(s.signer[:s.suite.kemPublic])
	specRequire(err == nil, "receiving key")
}

func (s *specStone) checkSignature() {
	specRequire(s.suite.verify(s.signer[s.suite.kemPublic:], "stonevault.v1/manifest", "application/vnd.stonevault.manifest.v1+json", s.manifest, s.signature), "signature")
}

// Step 5, section 4.1.
func (s *specStone) checkManifest() {
	s.m = specObject(s.manifest, "commitment:h file_id:h format:s grants:a index:h preamble:h previous:h revision:n sealed:s segments:n signer:h suite:n time:n")
	d := s.suite.digestSize
	s.fileID = s.m["file_id"].([]byte)
	for _, suite := range specSuites {
		if len(s.m["preamble"].([]byte)) == suite.digestSize {
			s.bodySuite = suite
		}
	}
	specRequire(s.bodySuite != nil, "body's suite")
	specRequire(s.m["format"] == "stonevault.v1" && s.m["suite"] == int64(s.suite.number), "format and suite")
	specRequire(len(s.fileID) == 16 && len(s.m["commitment"].([]byte)) == 32 && len(s.m["index"].([]byte)) == s.bodySuite.digestSize, "lengths")
	revision, previous := s.m["revision"].(int64), s.m["previous"].([]byte)
	specRequire(revision >= 1 && revision < 1<<53 && (revision == 1 && len(previous) == 0 || revision > 1 && len(previous) == d), "revision")
	specRequire(bytes.Equal(s.m["signer"].([]byte), s.suite.fingerprint("stonevault.v1/identity", s.signer)), "signer")
	specRequire(s.m["segments"].(int64) >= 1 && s.m["segments"].(int64) <= 1<<20, "segments")
	specRequire(s.m["time"].(int64) >= 0 && s.m["time"].(int64) < 1<<53, "time")
	specRequire(bytes.Equal(s.m["preamble"].([]byte), s.bodySuite.digest(s.preamble())), "preamble")
	specRequire(len(s.m["grants"].([]any)) <= 1000, "grants")
}

func (s *specStone) preamble() []byte {
	return slices.Concat([]byte{0x93, 'S', 'T', 'O', 'N', 'E', '\r', '\n', 1, s.bodySuite.number, 20, 0, 0, 0, 0, 0}, s.fileID)
}

// Step 6, section 5.3.
func (s *specStone) checkCertificate() {
	b := s.certificate
	if len(b) == 0 {
		return
	}
	key, sig := s.suite.signature.PublicKeySize(), s.suite.signature.SignatureSize()
	specRequire(len(b) >= 4 && 4+be32(b)+key+sig == len(b), "length")
	text, root, signature := b[4:4+be32(b)], b[len(b)-key-sig:len(b)-sig], b[len(b)-sig:]
	c := specObject(text, "format:s id:s issued_at:n keys:h kind:s root:h suite:n version:n")
	specRequire(c["format"] == "stonevault.v1/certificate" && c["suite"] == int64(s.suite.number), "format and suite")
	specRequire(bytes.Equal(c["root"].([]byte), s.suite.fingerprint("stonevault.v1/signing-key", root)), "root")
	for _, name := range []string{"id", "kind"} {
		text := c[name].(string)
		specRequire(len(text) >= 1 && len(text) <= 64 && !strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' }), "subject")
	}
	specRequire(c["version"].(int64) >= 1 && c["version"].(int64) <= 1<<31, "version")
	specRequire(c["issued_at"].(int64) >= 0 && c["issued_at"].(int64) < 1<<53, "time")
	specRequire(s.suite.verify(root, "stonevault.v1/certificate", "application/vnd.stonevault.certificate.v1+json", text, signature), "signature")
	specRequire(bytes.Equal(c["keys"].([]byte), s.suite.fingerprint("stonevault.v1/identity", s.signer)), "keys")
}

// Step 7, section 6.1.
func (s *specStone) checkGrants() {
	stated := s.m["grants"].([]any)
	seen := make(map[string]bool)
	for rest := s.grants; len(rest) > 0; {
		var g specGrant
		var n []int
		switch {
		case rest[0] == 1:
			g.kind, n = "hpke", []int{1, s.suite.digestSize, s.suite.kemEnc + 48, 32, 48}
		case rest[0] == 4 && s.suite.passphrase:
			g.kind, n = "passphrase", []int{1, 0, 32, 32, 48}
		default:
			specEnd("refused", "kind %d", rest[0])
		}
		size := n[0] + n[1] + n[2] + n[3] + n[4]
		specRequire(len(rest) >= size, "truncated grant")
		g.bytes, rest = rest[:size], rest[size:]
		b := g.bytes[1:]
		for i, field := range []*[]byte{&g.recipient, &g.sealed, &g.salt, &g.wrapped} {
			*field, b = b[:n[i+1]], b[n[i+1]:]
		}
		specRequire(!seen[g.kind+string(g.recipient)], "recipient twice")
		seen[g.kind+string(g.recipient)] = true
		s.list = append(s.list, g)
	}
	specRequire(len(s.list) >= 1 && len(s.list) <= 1000 && len(s.list) == len(stated), "number")
	for i, g := range s.list {
		specRequire(g.kind != "passphrase" || len(s.list) == 1, "passphrase alone")
		o, ok := stated[i].(map[string]any)
		specRequire(ok && o["kind"] == g.kind && o["recipient"] == hex.EncodeToString(g.recipient) && o["digest"] == hex.EncodeToString(s.suite.digest(g.bytes)), "list")
	}
}

// prefixed is LP of section 1.
func prefixed(fields ...[]byte) []byte {
	var b []byte
	for _, f := range fields {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	return b
}

// Step 8, section 6.2.
func (s *specStone) unwrap(keys specKeys) {
	var g *specGrant
	var wrapping []byte
	info := func() []byte {
		return prefixed([]byte("stonevault.v1"), []byte{s.suite.number}, []byte(g.kind), g.recipient)
	}
	if keys.seeds != nil {
		own := specSuites[keys.suite]
		public := specPublic(own, keys.seeds)
		for i := range s.list {
			if s.list[i].kind == "hpke" && bytes.Equal(s.list[i].recipient, own.fingerprint("stonevault.v1/identity", public)) {
				g = &s.list[i]
			}
		}
		if g == nil {
			specEnd("no-grant", "recipient")
		}
		private, err := own.kem.NewPrivateKey(keys.seeds[:own.kemSeed])
		specRequire(err == nil, "private key")
		wrapping, err = hpke.Open(private, hpke.HKDFSHA384(), hpke.AES256GCM(), info(), g.sealed)
		specRequire(err == nil, "HPKE")
	} else {
		if g = &s.list[0]; g.kind != "passphrase" {
			specEnd("no-grant", "passphrase")
		}
		wrapping = argon2.IDKey(norm.NFC.Bytes([]byte(keys.passphrase)), g.sealed, 3, 262144, 4, 32)
	}
	ctx := prefixed(info(), s.fileID)
	kek := expand(wrapping, slices.Concat([]byte("stonevault.v1/wrap"), ctx, g.salt), 32)
	key, err := gcm(kek).Open(nil, make([]byte, 12), g.wrapped, ctx)
	if err != nil && g.kind == "passphrase" {
		specEnd("wrong-passphrase", "unwrap")
	}
	specRequire(err == nil, "unwrap")
	s.key = key
}

// specPublic expands seeds, section 5.1.
func specPublic(s *specSuite, seeds []byte) []byte {
	private, err := s.kem.NewPrivateKey(seeds[:s.kemSeed])
	if err != nil {
		panic(err)
	}
	verifying, _ := s.signature.DeriveKey(seeds[s.kemSeed:])
	b, err := verifying.MarshalBinary()
	if err != nil {
		panic(err)
	}
	return append(private.PublicKey().Bytes(), b...)
}

func expand(key, info []byte, n int) []byte {
	b, err := hkdf.Expand(sha512.New, key, string(info), n)
	if err != nil {
		panic(err)
	}
	return b
}

func gcm(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// cobblestoneOpen is Cobblestone-256, section 2.2.
func cobblestoneOpen(message, key, context []byte) []byte {
	specRequire(len(message) >= 56, "message too short")
	okm := expand(key, slices.Concat([]byte("c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"), message[:24], context), 76)
	specRequire(subtle.ConstantTimeCompare(okm[44:], message[24:56]) == 1, "message commitment")
	plain, aead := []byte{}, gcm(okm[:32])
	for i, rest := uint64(0), message[56:]; ; i++ {
		chunk := rest[:min(len(rest), 16400)]
		rest = rest[len(chunk):]
		nonce := bytes.Clone(okm[32:44])
		binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^i)
		out, err := aead.Open(plain, nonce, chunk, nil)
		specRequire(err == nil, "chunk %d", i)
		if plain = out; len(chunk) < 16400 {
			specRequire(len(rest) == 0, "trailing")
			return plain
		}
	}
}

// Step 9, section 4.2.
func (s *specStone) checkCommitment() {
	commitment := expand(s.key, append([]byte("stonevault.v1/commit"), s.fileID...), 32)
	specRequire(subtle.ConstantTimeCompare(commitment, s.m["commitment"].([]byte)) == 1, "commitment")
}

// Step 10, section 4.3.
func (s *specStone) openMetadata() {
	text := s.m["sealed"].(string)
	message, err := base64.RawURLEncoding.DecodeString(text)
	specRequire(err == nil && base64.RawURLEncoding.EncodeToString(message) == text, "base64url")
	context := slices.Concat([]byte("stonevault.v1/manifest"), []byte{s.suite.number}, s.fileID, s.m["signer"].([]byte))
	context = binary.BigEndian.AppendUint64(context, uint64(s.m["revision"].(int64)))
	plain := cobblestoneOpen(message, s.key, context)
	specRequire(len(plain) >= 512 && len(plain)%512 == 0, "unit")
	n := be32(plain)
	specRequire(n <= 65536 && n+4 <= len(plain) && n+4 > len(plain)-512 && zeros(plain[4+n:]), "padding")
	s.metadata = specObject(plain[4:4+n], "class:s created_at:n document:s folder:s media_type:s mode:n modified_at:n name:s owner:s path:s scan:s sealed_at:n size:n version:n")
	for name, bounds := range map[string][2]int64{
		"size": {0, 1 << 40}, "mode": {0, 0o777}, "version": {0, 1<<53 - 1},
		"created_at": {1 - 1<<53, 1<<53 - 1}, "modified_at": {1 - 1<<53, 1<<53 - 1}, "sealed_at": {1 - 1<<53, 1<<53 - 1},
	} {
		v := s.metadata[name].(int64)
		specRequire(v >= bounds[0] && v <= bounds[1], "%s", name)
	}
	specRequire(s.metadata["class"] == "normal" || s.metadata["class"] == "restricted", "class")
	name := s.metadata["name"].(string)
	specRequire(len(name) <= 255 && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00"), "name")
}

func zeros(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// specPadme is section 8.3.
func specPadme(n int64) int64 {
	if n < 2 {
		return n
	}
	e := bits.Len64(uint64(n)) - 1
	unit := int64(1) << (e - bits.Len64(uint64(e)))
	return (n + unit - 1) / unit * unit
}

// Step 11, section 3.
func (s *specStone) checkBody() {
	n, row := int(s.m["segments"].(int64)), 9+s.bodySuite.digestSize
	specRequire(len(s.body) >= 32+n*row, "length")
	specRequire(bytes.Equal(s.body[:32], s.preamble()), "preamble")
	index := s.body[len(s.body)-n*row:]
	specRequire(bytes.Equal(s.bodySuite.digest(index), s.m["index"].([]byte)), "index digest")
	at, total := 32, int64(0)
	for i := range n {
		b := index[i*row:][:row]
		r := specRow{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), b[8], b[9:], at}
		specRequire(r.plain == 1<<20 || i == n-1 && r.plain < 1<<20 && (r.plain > 0 || n == 1), "row %d plaintext", i)
		plain, last := int64(r.plain), (int64(r.sealed)-56)%16400
		content := (int64(r.sealed)-56)/16400*16384 + last - 16
		specRequire(r.sealed >= 72 && last >= 16, "row %d sealed", i)
		switch r.encoding {
		case 0:
			specRequire(content == plain, "row %d raw", i)
		case 1:
			specRequire(content > 0 && 16*content <= 15*plain, "row %d zstd", i)
			specRequire(s.metadata["class"] == "normal", "restricted and compressed")
		default:
			specEnd("refused", "row %d encoding", i)
		}
		s.rows = append(s.rows, r)
		at += int(r.sealed)
		total += plain
	}
	specRequire(at == len(s.body)-n*row, "fill")
	size := s.metadata["size"].(int64)
	if s.metadata["class"] == "restricted" {
		size = specPadme(size)
	}
	specRequire(total == size, "size")
}

// Step 12, sections 3.2 and 8.
func (s *specStone) openSegments() {
	size := int(s.metadata["size"].(int64))
	for i, r := range s.rows {
		sealed := s.body[r.at:][:r.sealed]
		specRequire(bytes.Equal(s.bodySuite.digest(sealed), r.digest), "segment %d digest", i)
		context := slices.Concat([]byte("stonevault.v1/segment"), []byte{s.bodySuite.number}, s.fileID, binary.BigEndian.AppendUint64(nil, uint64(i)), []byte{r.encoding})
		context = binary.BigEndian.AppendUint32(context, r.plain)
		content := cobblestoneOpen(sealed, s.key, context)
		if r.encoding == 1 {
			content = specFrame(content, int(r.plain))
		}
		specRequire(len(content) == int(r.plain), "segment %d length", i)
		s.plain = append(s.plain, content...)
	}
	specRequire(zeros(s.plain[size:]), "padding")
	s.plain = s.plain[:size]
}

// specFrame is section 8.2: the header is checked by hand, the rest by the decoder, which must find
// exactly one frame.
func specFrame(b []byte, plain int) []byte {
	specRequire(len(b) > 5 && string(b[:4]) == "\x28\xb5\x2f\xfd", "frame magic")
	d := b[4]
	specRequire(d&0x1f == 0 && d&0xe0 != 0, "frame descriptor")
	at := 5
	if d&0x20 == 0 {
		window := uint64(1) << (10 + b[5]>>3)
		specRequire(window+window/8*uint64(b[5]&7) <= 1<<20, "window")
		at = 6
	}
	sizes := [4]int{1, 2, 4, 8}
	n := sizes[d>>6]
	specRequire(len(b) >= at+n, "frame size")
	stated := binary.LittleEndian.Uint64(append(bytes.Clone(b[at:at+n]), make([]byte, 8-n)...))
	if n == 2 {
		stated += 256
	}
	specRequire(stated == uint64(plain), "stated size")
	for at, last := at+n, false; ; {
		if last {
			specRequire(at == len(b), "after the frame")
			break
		}
		specRequire(len(b) >= at+3, "block")
		head := int(b[at]) | int(b[at+1])<<8 | int(b[at+2])<<16
		last = head&1 == 1
		size := head >> 3
		if head>>1&3 == 1 {
			size = 1
		}
		at += 3 + size
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<20))
	if err != nil {
		panic(err)
	}
	defer decoder.Close()
	out, err := decoder.DecodeAll(b, nil)
	specRequire(err == nil && len(out) == plain, "frame")
	return out
}

// specObject reads canonical JSON of section 2.3: exactly the members that are listed, in that order, each
// behind its type: s a string, h lower-case hex, n an integer, a the list of grants.
func specObject(text []byte, list string) map[string]any {
	p := &specParser{text}
	o := p.object(strings.Fields(list))
	specRequire(len(p.rest) == 0, "JSON: trailing")
	return o
}

type specParser struct{ rest []byte }

func (p *specParser) take(s string) {
	specRequire(bytes.HasPrefix(p.rest, []byte(s)), "JSON: want %s", s)
	p.rest = p.rest[len(s):]
}

func (p *specParser) next(s string) bool { return bytes.HasPrefix(p.rest, []byte(s)) }

func (p *specParser) object(list []string) map[string]any {
	o := make(map[string]any)
	for i, member := range list {
		name, kind, _ := strings.Cut(member, ":")
		p.take([]string{"{", ","}[min(i, 1)] + `"` + name + `":`)
		switch kind {
		case "s":
			o[name] = p.string()
		case "h":
			text := p.string()
			b, err := hex.DecodeString(text)
			specRequire(err == nil && hex.EncodeToString(b) == text, "JSON: hex")
			o[name] = b
		case "n":
			o[name] = p.number()
		case "a":
			a := []any{}
			for p.take("["); !p.next("]"); a = append(a, p.object([]string{"digest:s", "kind:s", "recipient:s"})) {
				if len(a) > 0 {
					p.take(",")
				}
			}
			p.take("]")
			o[name] = a
		}
	}
	p.take("}")
	return o
}

func (p *specParser) number() int64 {
	n := bytes.IndexFunc(p.rest, func(r rune) bool { return r != '-' && (r < '0' || r > '9') })
	specRequire(n > 0 && n <= 17, "JSON: number")
	var v int64
	_, err := fmt.Sscan(string(p.rest[:n]), &v)
	specRequire(err == nil && fmt.Sprint(v) == string(p.rest[:n]), "JSON: number")
	p.rest = p.rest[n:]
	return v
}

// string reads a string that has only the escapes that RFC 8785 writes.
func (p *specParser) string() string {
	p.take(`"`)
	var out strings.Builder
	for !p.next(`"`) {
		r, n := utf8.DecodeRune(p.rest)
		specRequire(n > 0 && (r != utf8.RuneError || n > 1) && r >= ' ', "JSON: text")
		if r != '\\' {
			out.WriteRune(r)
			p.rest = p.rest[n:]
			continue
		}
		found := false
		for c := rune(0); c < 0x20 && !found; c++ {
			found = p.escape(&out, c, fmt.Sprintf(`\u%04x`, c))
		}
		specRequire(found || p.escape(&out, '"', `\"`) || p.escape(&out, '\\', `\\`), "JSON: escape")
	}
	p.take(`"`)
	return out.String()
}

// escape reads the one spelling of c.
func (p *specParser) escape(out *strings.Builder, c rune, spelled string) bool {
	if short, ok := map[rune]string{'\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}[c]; ok {
		spelled = short
	}
	if !p.next(spelled) {
		return false
	}
	out.WriteRune(c)
	p.rest = p.rest[len(spelled):]
	return true
}
