package stone_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"stonevault/identity"
	"stonevault/stone"
	"stonevault/stone/cobblestone"
)

// forge builds a stone piece by piece, as docs/spec/stone.md says, and lets a test change any piece
// before what stands over it is digested, sealed or signed. So a rule behind the signature is broken in a
// stone whose signature holds. Without changes its stones open.
type forge struct {
	t        testing.TB
	suite    identity.Suite
	fileID   stone.FileID
	key      stone.FileKey
	signer   *identity.Identity
	plain    []byte
	zstd     bool // compress every segment
	pad      int64
	metaKey  *stone.FileKey // if not key
	segments []forgedSegment

	// The pieces, which the fields above give first and the functions below may change.
	preamble    []byte
	index       []byte
	grants      [][]byte
	metadata    members
	manifest    members
	certificate []byte

	onSegment      func(i int, s *forgedSegment) // before sealing
	onSealed       func(s []forgedSegment)       // before the rows are made
	onRows         func(s []forgedSegment)       // before the index is made
	onBody         func(b []byte) []byte         // before the index is appended
	onIndex        func()                        // before the index is digested
	onGrants       func()                        // before the manifest lists them
	onMetadata     func(m *members)
	onMetadataText func(text string) string
	onMetadataPad  func(plain []byte) []byte // length, text and padding, before sealing
	onSealedText   func(sealed string) string
	onContext      func(c *sealedContext)
	onManifest     func(m *members)
	onManifestText func(text string) string
	onListed       func() // grants, after the manifest listed them
	onSignature    func(manifest, sig []byte) []byte
	onSigner       func(keys []byte) []byte
	onCertificate  func()
	onTrailer      func(t []byte)
	onWhole        func(b []byte) []byte
}

// forgedSegment is a segment and what its row and its context say of it.
type forgedSegment struct {
	plain    []byte // what was meant
	content  []byte // what is sealed: plain or its frame
	encoding byte
	// what the context says
	ctxSuite  byte
	ctxFile   stone.FileID
	ctxIndex  uint64
	ctxPlain  uint32
	ctxCoding byte
	key       []byte
	sealed    []byte
	// what the row says
	rowPlain, rowSealed uint32
	rowCoding           byte
	rowDigest           []byte
}

type sealedContext struct {
	suite    byte
	file     stone.FileID
	signer   []byte
	revision uint64
}

// members are a JSON object's members, each value as it is to be written.
type members []struct{ name, value string }

func (m *members) set(name, value string) {
	for i := range *m {
		if (*m)[i].name == name {
			(*m)[i].value = value
			return
		}
	}
	*m = append(*m, struct{ name, value string }{name, value})
}

func (m *members) remove(name string) {
	*m = slices.DeleteFunc(*m, func(e struct{ name, value string }) bool { return e.name == name })
}

func (m *members) get(name string) string {
	for _, e := range *m {
		if e.name == name {
			return e.value
		}
	}
	panic("no member " + name)
}

// text writes the members in canonical order.
func (m *members) text() string {
	sorted := slices.Clone(*m)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].name < sorted[j].name })
	var b strings.Builder
	b.WriteByte('{')
	for i, e := range sorted {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", e.name, e.value)
	}
	return b.String() + "}"
}

func quoted(s string) string    { return `"` + s + `"` }
func quotedHex(b []byte) string { return quoted(hex.EncodeToString(b)) }

func newForge(t testing.TB, signer *identity.Identity, to ...*identity.Identity) *forge {
	t.Helper()
	f := &forge{t: t, suite: signer.Suite(), signer: signer, plain: []byte("Nothing gold can stay.\n")}
	rand.Read(f.fileID[:])
	rand.Read(f.key[:])
	for _, who := range to {
		f.grant(wrappingKey(t, who), f.fileID, f.key)
	}
	f.metadata = members{
		{"class", `"normal"`}, {"created_at", "1"}, {"document", `""`}, {"folder", `""`}, {"media_type", `"text/plain"`},
		{"mode", "420"}, {"modified_at", "-1"}, {"name", `"gold.txt"`}, {"owner", `""`}, {"path", `""`}, {"scan", `""`},
		{"sealed_at", "1800000000000"}, {"version", "0"},
	}
	f.manifest = members{
		{"format", `"stonevault.v1"`}, {"previous", `""`}, {"revision", "1"}, {"time", "1800000000000"},
	}
	return f
}

// grant adds one; the file id and key may be wrong.
func (f *forge) grant(w *identity.WrappingKey, id stone.FileID, key stone.FileKey) {
	f.t.Helper()
	g, err := w.Wrap(rand.Reader, id, (*[32]byte)(&key))
	if err != nil {
		f.t.Fatal(err)
	}
	f.grants = append(f.grants, g.Bytes())
}

func (f *forge) digest(b []byte) []byte { return f.suite.Digest(b) }

// bytes assembles the stone.
func (f *forge) bytes() []byte {
	f.t.Helper()
	body := f.body()
	manifest := f.manifestText()
	sig, err := f.signer.Sign(identity.StatementManifest, []byte(manifest))
	if err != nil {
		f.t.Fatal(err)
	}
	if f.onSignature != nil {
		sig = f.onSignature([]byte(manifest), sig)
	}
	keys := f.signer.Public().Bytes()
	if f.onSigner != nil {
		keys = f.onSigner(keys)
	}
	if f.onCertificate != nil {
		f.onCertificate()
	}
	grants := slices.Concat(f.grants...)
	trailer := binary.BigEndian.AppendUint64(nil, uint64(len(body)))
	for _, n := range []int{len(manifest), len(f.certificate), len(grants)} {
		trailer = binary.BigEndian.AppendUint32(trailer, uint32(n))
	}
	trailer = append(trailer, 1, byte(f.suite), 0, 0)
	trailer = append(trailer, "STONEEND"...)
	if f.onTrailer != nil {
		f.onTrailer(trailer)
	}
	whole := slices.Concat(body, []byte(manifest), sig, keys, f.certificate, grants, trailer)
	if f.onWhole != nil {
		whole = f.onWhole(whole)
	}
	return whole
}

func (f *forge) body() []byte {
	f.preamble = append([]byte("\x93STONE\r\n"), 1, byte(f.suite), 20, 0, 0, 0, 0, 0)
	f.preamble = append(f.preamble, f.fileID[:]...)
	f.segments = nil
	content := append(bytes.Clone(f.plain), make([]byte, f.pad)...)
	for i := 0; i == 0 || len(content) > 0; i++ {
		n := min(len(content), stone.SegmentSize)
		s := forgedSegment{plain: content[:n], content: content[:n], ctxSuite: byte(f.suite), ctxFile: f.fileID, ctxIndex: uint64(i), ctxPlain: uint32(n), key: f.key[:]}
		content = content[n:]
		if f.zstd {
			s.encoding, s.content = 1, frame(f.t, s.plain)
		}
		if f.onSegment != nil {
			f.onSegment(i, &s)
		}
		s.ctxCoding += s.encoding
		s.sealed = f.seal(s.content, s.key, s.context())
		f.segments = append(f.segments, s)
	}
	if f.onSealed != nil {
		f.onSealed(f.segments)
	}
	body := bytes.Clone(f.preamble)
	for i := range f.segments {
		s := &f.segments[i]
		s.rowPlain, s.rowSealed, s.rowCoding, s.rowDigest = uint32(len(s.plain)), uint32(len(s.sealed)), s.encoding, f.digest(s.sealed)
		body = append(body, s.sealed...)
	}
	if f.onRows != nil {
		f.onRows(f.segments)
	}
	f.index = nil
	for _, s := range f.segments {
		f.index = binary.BigEndian.AppendUint32(f.index, s.rowPlain)
		f.index = binary.BigEndian.AppendUint32(f.index, s.rowSealed)
		f.index = append(append(f.index, s.rowCoding), s.rowDigest...)
	}
	if f.onBody != nil {
		body = f.onBody(body)
	}
	if f.onIndex != nil {
		f.onIndex()
	}
	return append(body, f.index...)
}

func (s *forgedSegment) context() []byte {
	b := append([]byte("stonevault.v1/segment"), s.ctxSuite)
	b = append(b, s.ctxFile[:]...)
	b = binary.BigEndian.AppendUint64(b, s.ctxIndex)
	b = append(b, s.ctxCoding)
	return binary.BigEndian.AppendUint32(b, s.ctxPlain)
}

func (f *forge) seal(plain, key, context []byte) []byte {
	f.t.Helper()
	salt := make([]byte, cobblestone.SaltSize)
	rand.Read(salt)
	message, err := cobblestone.Seal(nil, plain, key, salt, context)
	if err != nil {
		f.t.Fatal(err)
	}
	return message
}

func (f *forge) manifestText() string {
	commitment, err := hkdf.Expand(sha512.New, f.key[:], "stonevault.v1/commit"+string(f.fileID[:]), 32)
	if err != nil {
		f.t.Fatal(err)
	}
	if f.onGrants != nil {
		f.onGrants()
	}
	m := &f.manifest
	m.set("suite", strconv.Itoa(int(f.suite)))
	m.set("file_id", quotedHex(f.fileID[:]))
	m.set("signer", quotedHex([]byte(f.signer.Public().Fingerprint())))
	m.set("preamble", quotedHex(f.digest(f.preamble)))
	m.set("index", quotedHex(f.digest(f.index)))
	m.set("segments", strconv.Itoa(len(f.segments)))
	m.set("commitment", quotedHex(commitment))
	m.set("grants", f.listed())
	m.set("sealed", quoted(f.sealedMetadata()))
	if f.onManifest != nil {
		f.onManifest(m)
	}
	text := m.text()
	if f.onManifestText != nil {
		text = f.onManifestText(text)
	}
	if f.onListed != nil {
		f.onListed()
	}
	return text
}

// listed is the manifest's list of the grants as they are.
func (f *forge) listed() string {
	var list []string
	for _, g := range f.grants {
		kind, recipient := "hpke", g[1:min(1+f.suite.DigestSize(), len(g))]
		if g[0] == 4 {
			kind, recipient = "passphrase", nil
		}
		list = append(list, (&members{{"digest", quotedHex(f.digest(g))}, {"kind", quoted(kind)}, {"recipient", quotedHex(recipient)}}).text())
	}
	return "[" + strings.Join(list, ",") + "]"
}

func (f *forge) sealedMetadata() string {
	f.metadata.set("size", strconv.Itoa(len(f.plain)))
	if f.onMetadata != nil {
		f.onMetadata(&f.metadata)
	}
	text := f.metadata.text()
	if f.onMetadataText != nil {
		text = f.onMetadataText(text)
	}
	plain := padded(text)
	if f.onMetadataPad != nil {
		plain = f.onMetadataPad(plain)
	}
	revision, _ := strconv.ParseUint(f.manifest.get("revision"), 10, 64)
	c := sealedContext{byte(f.suite), f.fileID, []byte(f.signer.Public().Fingerprint()), revision}
	if f.onContext != nil {
		f.onContext(&c)
	}
	context := append([]byte("stonevault.v1/manifest"), c.suite)
	context = append(context, c.file[:]...)
	context = append(context, c.signer...)
	context = binary.BigEndian.AppendUint64(context, c.revision)
	key := f.key
	if f.metaKey != nil {
		key = *f.metaKey
	}
	sealed := base64.RawURLEncoding.EncodeToString(f.seal(plain, key[:], context))
	if f.onSealedText != nil {
		sealed = f.onSealedText(sealed)
	}
	return sealed
}

// padded is a text behind its length, with zeros up to a multiple of 512 bytes.
func padded(text string) []byte {
	plain := append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
	for len(plain)%512 != 0 {
		plain = append(plain, 0)
	}
	return plain
}

// frame compresses plain into one Zstandard frame with a content size and no checksum.
func frame(t testing.TB, plain []byte, options ...zstd.EOption) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithEncoderConcurrency(1)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return e.EncodeAll(plain, nil)
}

func TestForgeMakesGenuineStones(t *testing.T) {
	for _, suite := range []identity.Suite{identity.SuiteHybrid, identity.SuiteCNSA} {
		alice := newIdentity(t, suite)
		for name, change := range map[string]func(f *forge){
			"raw":        func(*forge) {},
			"zstd":       func(f *forge) { f.plain, f.zstd = contents["text"](stone.SegmentSize+9999), true },
			"restricted": func(f *forge) { f.plain, f.pad = make([]byte, 1000), 24; f.metadata.set("class", `"restricted"`) },
			"certified":  func(f *forge) { f.certificate = certificateFor(t, f.signer.Public()) },
		} {
			f := newForge(t, alice, newIdentity(t, suite), alice)
			change(f)
			got, err := openBytes(f.bytes(), alice)
			if err != nil || !bytes.Equal(got, f.plain) {
				t.Errorf("suite %d, %s: %v", suite, name, err)
			}
		}
	}
}
