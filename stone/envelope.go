package stone

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"stonevault/identity"
	"stonevault/stone/canonical"
)

const (
	// TrailerSize is the length of a trailer in bytes.
	TrailerSize = 32
	// MaxEnvelopeSize bounds an envelope in bytes.
	MaxEnvelopeSize = 4 << 20
	// MaxGrants bounds the grants of one envelope.
	MaxGrants = 1000

	maxManifest = 1 << 20
)

var trailerMagic = [8]byte{'S', 'T', 'O', 'N', 'E', 'E', 'N', 'D'}

// trailer ends every envelope, so that an opener starts from the end.
//
//	body length        u64
//	manifest length    u32
//	certificate length u32
//	grants length      u32
//	version             u8   1
//	suite               u8
//	reserved             2   zeros
//	magic                8
type trailer struct {
	body        int64
	manifest    int
	certificate int
	grants      int
	suite       identity.Suite
}

func (t trailer) bytes() []byte {
	b := make([]byte, 0, TrailerSize)
	b = binary.BigEndian.AppendUint64(b, uint64(t.body))
	b = binary.BigEndian.AppendUint32(b, uint32(t.manifest))
	b = binary.BigEndian.AppendUint32(b, uint32(t.certificate))
	b = binary.BigEndian.AppendUint32(b, uint32(t.grants))
	b = append(b, formatVersion, byte(t.suite), 0, 0)
	return append(b, trailerMagic[:]...)
}

// envelopeSize is the length of the whole envelope, trailer included.
func (t trailer) envelopeSize() int {
	return t.manifest + t.suite.SignatureSize() + t.suite.PublicSize() + t.certificate + t.grants + TrailerSize
}

func parseTrailer(b []byte) (trailer, error) {
	if len(b) != TrailerSize || !bytes.Equal(b[24:], trailerMagic[:]) {
		return trailer{}, refuse("the file does not end like a stone")
	}
	if b[20] != formatVersion {
		return trailer{}, refuse("format version %d is unknown", b[20])
	}
	t := trailer{suite: identity.Suite(b[21])}
	if !t.suite.Valid() {
		return trailer{}, refuse("suite %d is unknown", b[21])
	}
	body := binary.BigEndian.Uint64(b)
	manifest, certificate, grants := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint32(b[16:])
	if body > 1<<62 || manifest > maxManifest || certificate > identity.MaxCertificateSize || grants > MaxEnvelopeSize {
		return trailer{}, refuse("the trailer has lengths out of range")
	}
	t.body, t.manifest, t.certificate, t.grants = int64(body), int(manifest), int(certificate), int(grants)
	if !bytes.Equal(t.bytes(), b) || t.envelopeSize() > MaxEnvelopeSize {
		return trailer{}, refuse("the trailer has values that version 1 does not allow")
	}
	return t, nil
}

// Signer signs manifests; *identity.Identity is one.
type Signer interface {
	Public() *identity.Public
	Sign(s identity.Statement, payload []byte) ([]byte, error)
}

var _ Signer = (*identity.Identity)(nil)

// EnvelopeParams is what an envelope states.
type EnvelopeParams struct {
	Body        *Body
	Key         *FileKey
	Revision    int64  // 1 for the first
	Previous    []byte // Envelope.ManifestDigest of the revision before, nil for the first
	Time        time.Time
	Signer      Signer
	Certificate []byte // of the signer, or nil
	Grants      []*identity.Grant
	Metadata    Metadata
	Rand        io.Reader
}

// SealEnvelope signs a manifest and returns the envelope.
func SealEnvelope(p EnvelopeParams) ([]byte, error) {
	signer := p.Signer.Public()
	suite := signer.Suite()
	if err := checkGrants(p.Grants); err != nil {
		return nil, err
	}
	if err := checkRevision(p.Revision, len(p.Previous), suite); err != nil {
		return nil, fmt.Errorf("stone: %w", err)
	}
	if !validTime(p.Time.UnixMilli()) {
		return nil, errors.New("stone: the envelope's time lies before 1970 or too far ahead")
	}
	for _, g := range p.Grants {
		if _, rest, err := identity.ParseGrant(suite, g.Bytes()); err != nil || len(rest) != 0 {
			return nil, fmt.Errorf("stone: a grant is not one of suite %d", suite)
		}
	}
	if p.Metadata.Size != p.Body.Size || p.Metadata.Class != p.Body.Class {
		return nil, errors.New("stone: the metadata does not describe this body")
	}
	commitment, err := p.Key.commitment(p.Body.FileID)
	if err != nil {
		return nil, fmt.Errorf("stone: %w", err)
	}
	sealed, err := sealMetadata(p.Rand, &p.Metadata, p.Key, sealedContext(suite, p.Body.FileID, signer.Fingerprint(), p.Revision))
	if err != nil {
		return nil, err
	}
	text, err := canonical.Marshal(manifest{
		Format: manifestFormat, Suite: suite, FileID: p.Body.FileID.String(), Revision: p.Revision,
		Previous: hex.EncodeToString(p.Previous), Time: p.Time.UnixMilli(), Signer: signer.Fingerprint().Hex(),
		Preamble: hex.EncodeToString(p.Body.PreambleDigest), Index: hex.EncodeToString(p.Body.IndexDigest),
		Segments: int64(p.Body.Segments), Commitment: hex.EncodeToString(commitment),
		Grants: listGrants(suite, p.Grants), Sealed: sealed,
	})
	if err != nil {
		return nil, fmt.Errorf("stone: %w", err)
	}
	sig, err := p.Signer.Sign(identity.StatementManifest, text)
	if err != nil {
		return nil, err
	}
	var grants []byte
	for _, g := range p.Grants {
		grants = append(grants, g.Bytes()...)
	}
	t := trailer{p.Body.SealedSize, len(text), len(p.Certificate), len(grants), suite}
	if len(text) > maxManifest || len(p.Certificate) > identity.MaxCertificateSize || t.envelopeSize() > MaxEnvelopeSize {
		return nil, errors.New("stone: the envelope is too large; seal for fewer recipients")
	}
	return slices.Concat(text, sig, signer.Bytes(), p.Certificate, grants, t.bytes()), nil
}

func checkRevision(revision int64, previous int, suite identity.Suite) error {
	want := suite.DigestSize()
	if revision == 1 {
		want = 0
	}
	if revision < 1 || revision > maxInteger || previous != want {
		return errors.New("the revision and the digest of the one before do not fit")
	}
	return nil
}

func validTime(ms int64) bool { return ms >= 0 && ms <= maxInteger }

// checkGrants refuses what may not stand in one envelope.
func checkGrants(grants []*identity.Grant) error {
	if len(grants) < 1 || len(grants) > MaxGrants {
		return fmt.Errorf("stone: an envelope has 1 to %d grants", MaxGrants)
	}
	type recipient struct {
		kind identity.GrantKind
		to   identity.Fingerprint
	}
	seen := make(map[recipient]bool, len(grants))
	for _, g := range grants {
		if g.Kind == identity.GrantPassphrase && len(grants) > 1 {
			return errors.New("stone: a passphrase stands alone in its envelope")
		}
		r := recipient{g.Kind, g.Recipient}
		if seen[r] {
			return errors.New("stone: a recipient is named twice")
		}
		seen[r] = true
	}
	return nil
}

// Envelope is a parsed envelope: well-formed, signed by Signer over its whole manifest, its grants as
// they were signed, its certificate (if any) genuine under the root that it names. Whether that signer
// and root are the right ones is the caller's question.
type Envelope struct {
	Suite       identity.Suite // of all in the envelope
	BodySuite   identity.Suite // another one where the envelope took the place of one of that suite
	FileID      FileID
	Revision    int64
	Previous    []byte
	Time        time.Time
	Signer      *identity.Public
	Certificate *identity.Certificate // nil for an uncertified signer
	Grants      []*identity.Grant
	BodySize    int64
	Segments    int

	manifest []byte
	stated   manifest
}

// ManifestDigest identifies this revision.
func (e *Envelope) ManifestDigest() []byte { return e.Suite.Digest(e.manifest) }

// PreviousFor is the digest that the next revision names as its previous one, in an envelope of the given suite.
func (e *Envelope) PreviousFor(next identity.Suite) []byte { return next.Digest(e.manifest) }

// ParseEnvelope reads a whole envelope and verifies all that can be verified without a key.
func ParseEnvelope(b []byte) (*Envelope, error) { return ParseEnvelopeCached(b, nil) }

// ParseEnvelopeCached is ParseEnvelope for readers of many envelopes by the same signers.
func ParseEnvelopeCached(b []byte, cache *identity.Cache) (*Envelope, error) {
	if len(b) < TrailerSize {
		return nil, refuse("the envelope is truncated")
	}
	t, err := parseTrailer(b[len(b)-TrailerSize:])
	if err != nil {
		return nil, err
	}
	if t.envelopeSize() != len(b) {
		return nil, refuse("the envelope has a wrong length")
	}
	take := func(n int) []byte {
		field := b[:n:n]
		b = b[n:]
		return field
	}
	e := &Envelope{Suite: t.suite, BodySize: t.body, manifest: bytes.Clone(take(t.manifest))}
	sig, keys, certificate, grants := take(t.suite.SignatureSize()), take(t.suite.PublicSize()), take(t.certificate), take(t.grants)

	if e.Signer, err = cache.Public(t.suite, keys); err != nil {
		return nil, refuse("the signer: %w", err)
	}
	if err := cache.Verify(e.Signer, identity.StatementManifest, e.manifest, sig); err != nil {
		return nil, refuse("the manifest: %w", err)
	}
	if err := e.parseManifest(); err != nil {
		return nil, err
	}
	if err := e.parseCertificate(certificate, cache); err != nil {
		return nil, err
	}
	if err := e.parseGrants(grants); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Envelope) parseManifest() error {
	m := &e.stated
	if err := canonical.Unmarshal(e.manifest, m); err != nil {
		return refuse("the manifest: %w", err)
	}
	id, err := ParseFileID(m.FileID)
	if err != nil {
		return refuse("the manifest: %w", err)
	}
	body, ok := bodySuite(m.Preamble)
	for _, f := range []struct {
		text string
		size int
	}{{m.Preamble, body.DigestSize()}, {m.Index, body.DigestSize()}, {m.Commitment, 32}} {
		if raw, err := unhex(f.text); !ok || err != nil || len(raw) != f.size {
			return refuse("the manifest has a digest of the wrong form")
		}
	}
	previous, err := unhex(m.Previous)
	if err != nil {
		return refuse("the manifest has a digest of the wrong form")
	}
	if err := checkRevision(m.Revision, len(previous), e.Suite); err != nil {
		return refuse("%w", err)
	}
	switch {
	case m.Format != manifestFormat, m.Suite != e.Suite:
		return refuse("the manifest is of another format or suite")
	case m.Signer != e.Signer.Fingerprint().Hex():
		return refuse("the manifest names another signer")
	case m.Segments < 1 || m.Segments > MaxSegments, !validTime(m.Time):
		return refuse("the manifest has a number out of range")
	}
	if !bytes.Equal(preamble{body, id}.digest(), mustUnhex(m.Preamble)) {
		return refuse("the manifest is for another preamble")
	}
	e.BodySuite = body
	e.FileID, e.Revision, e.Previous = id, m.Revision, previous
	e.Time, e.Segments = time.UnixMilli(m.Time).UTC(), int(m.Segments)
	return nil
}

func (e *Envelope) parseCertificate(b []byte, cache *identity.Cache) error {
	if len(b) == 0 {
		return nil
	}
	c, err := cache.Certificate(e.Suite, b)
	if err != nil {
		return refuse("%w", err)
	}
	if c.Keys != e.Signer.Fingerprint() {
		return refuse("the certificate is for other keys")
	}
	e.Certificate = c
	return nil
}

func (e *Envelope) parseGrants(b []byte) error {
	for len(b) > 0 && len(e.Grants) <= MaxGrants {
		g, rest, err := identity.ParseGrant(e.Suite, b)
		if err != nil {
			return refuse("%w", err)
		}
		e.Grants = append(e.Grants, g)
		b = rest
	}
	if err := checkGrants(e.Grants); err != nil {
		return refuse("%w", err)
	}
	if !slices.Equal(listGrants(e.Suite, e.Grants), e.stated.Grants) {
		return refuse("the grants are not those of the manifest")
	}
	return nil
}

// bodySuite is the suite whose digests are as long as the one of the preamble, which no two share.
func bodySuite(digest string) (identity.Suite, bool) {
	for _, s := range []identity.Suite{identity.SuiteHybrid, identity.SuiteCNSA} {
		if len(digest) == hex.EncodedLen(s.DigestSize()) {
			return s, true
		}
	}
	return identity.SuiteHybrid, false
}

func (p preamble) digest() []byte { return p.suite.Digest(p.bytes()) }

func unhex(s string) ([]byte, error) {
	b, err := hex.DecodeString(s)
	if err != nil || hex.EncodeToString(b) != s {
		return nil, errors.New("not lower-case hex")
	}
	return b, nil
}

// mustUnhex is for text that unhex has accepted before.
func mustUnhex(s string) []byte {
	b, err := unhex(s)
	if err != nil {
		panic("stone: " + err.Error())
	}
	return b
}

// KeyFor opens the grant to id, or returns ErrNoGrant.
func (e *Envelope) KeyFor(id *identity.Identity) (*FileKey, error) {
	g := e.GrantTo(id.Public().Fingerprint())
	if g == nil {
		return nil, ErrNoGrant
	}
	w, err := id.OpenWrappingKey(g)
	if err != nil {
		return nil, refuse("%w", err)
	}
	return e.KeyBy(w, g)
}

// KeyForPassphrase opens the passphrase grant. It takes 256 MiB of memory. A stone without such a grant
// is ErrNoGrant, a wrong passphrase identity.ErrPassphrase.
func (e *Envelope) KeyForPassphrase(passphrase []byte) (*FileKey, error) {
	if !e.NeedsPassphrase() {
		return nil, ErrNoGrant
	}
	w, err := identity.OpenPassphraseKey(e.Suite, e.Grants[0], passphrase)
	if err != nil {
		return nil, refuse("%w", err)
	}
	return e.KeyBy(w, e.Grants[0])
}

// NeedsPassphrase tells whether a passphrase, and nothing else, opens the stone.
func (e *Envelope) NeedsPassphrase() bool { return e.Grants[0].Kind == identity.GrantPassphrase }

// GrantTo returns the HPKE grant to a recipient, or nil.
func (e *Envelope) GrantTo(f identity.Fingerprint) *identity.Grant {
	for _, g := range e.Grants {
		if g.Kind == identity.GrantHPKE && g.Recipient == f {
			return g
		}
	}
	return nil
}

// KeyBy unwraps the file key in g with an opened wrapping key.
func (e *Envelope) KeyBy(w *identity.WrappingKey, g *identity.Grant) (*FileKey, error) {
	raw, err := w.Unwrap(g, e.FileID)
	switch {
	case errors.Is(err, identity.ErrPassphrase):
		return nil, err
	case err != nil:
		return nil, refuse("%w", err)
	}
	key := FileKey(*raw)
	return &key, nil
}

// Unlocked is an envelope whose file key is known and committed to.
type Unlocked struct {
	*Envelope
	Metadata Metadata
	key      *FileKey
}

// Key is the file key, for whoever writes the next revision.
func (u *Unlocked) Key() *FileKey { return u.key }

// Unlock compares the key commitment, before anything is opened with the key, and then opens the sealed
// metadata.
func (e *Envelope) Unlock(key *FileKey) (*Unlocked, error) {
	commitment, err := key.commitment(e.FileID)
	if err != nil {
		return nil, fmt.Errorf("stone: %w", err)
	}
	if subtle.ConstantTimeCompare(commitment, mustUnhex(e.stated.Commitment)) != 1 {
		return nil, refuse("the grant holds a key that the manifest does not commit to")
	}
	m, err := openMetadata(e.stated.Sealed, key, sealedContext(e.Suite, e.FileID, e.Signer.Fingerprint(), e.Revision))
	if err != nil {
		return nil, err
	}
	return &Unlocked{e, *m, key}, nil
}

// Body describes the body that the envelope belongs to, for whoever writes the next revision.
func (u *Unlocked) Body() *Body {
	return &Body{
		Suite: u.BodySuite, FileID: u.FileID, Class: u.Metadata.Class, Size: u.Metadata.Size, SealedSize: u.BodySize,
		Segments: u.Segments, PreambleDigest: mustUnhex(u.stated.Preamble), IndexDigest: mustUnhex(u.stated.Index),
	}
}

// ManifestDigest returns the digest of the manifest in an envelope that SealEnvelope made.
func ManifestDigest(envelope []byte) ([]byte, error) {
	if len(envelope) < TrailerSize {
		return nil, refuse("the envelope is truncated")
	}
	t, err := parseTrailer(envelope[len(envelope)-TrailerSize:])
	if err != nil {
		return nil, err
	}
	if t.envelopeSize() != len(envelope) {
		return nil, refuse("the envelope has a wrong length")
	}
	return t.suite.Digest(envelope[:t.manifest]), nil
}
