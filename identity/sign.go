package identity

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/cloudflare/circl/sign"

	"stonevault/internal/simdstate"
)

// ErrSignature is what Verify returns for a signature that does not hold.
var ErrSignature = errors.New("identity: the signature does not hold")

// Statement is a kind of signed statement: the ML-DSA context string and the payload type of its DSSE
// pre-authentication encoding. A signature of one kind never holds for another.
type Statement struct {
	Context     string
	PayloadType string
}

var (
	// StatementManifest is what a sealer says about a stone.
	StatementManifest = Statement{"stonevault.v1/manifest", "application/vnd.stonevault.manifest.v1+json"}
	// StatementCertificate is what a vault's root says about an identity.
	StatementCertificate = Statement{"stonevault.v1/certificate", "application/vnd.stonevault.certificate.v1+json"}
	// StatementFormerRoots is what a vault's root says about those before it whose certificates still hold. No other
	// program reads it.
	StatementFormerRoots = Statement{"stonevault.v1/former-roots", "application/vnd.stonevault.former-roots.v1+json"}
	// StatementSuccession is what a vault's root says about the root that takes its place.
	StatementSuccession = Statement{"stonevault.v1/succession", "application/vnd.stonevault.succession.v1+json"}
)

// encode is the pre-authentication encoding of DSSE v1.
func (s Statement) encode(payload []byte) []byte {
	b := fmt.Appendf(nil, "DSSEv1 %d %s %d ", len(s.PayloadType), s.PayloadType, len(payload))
	return append(b, payload...)
}

// SigningKey is an ML-DSA private key.
type SigningKey struct {
	seed    []byte
	private sign.PrivateKey
	public  *VerifyingKey
}

// VerifyingKey is an ML-DSA public key.
type VerifyingKey struct {
	suite  Suite
	bytes  []byte
	public sign.PublicKey
}

// GenerateSigningKey makes a signing key from 32 bytes of rand.
func GenerateSigningKey(rand io.Reader, suite Suite) (*SigningKey, error) {
	if !suite.Valid() {
		return nil, errUnknownSuite(suite)
	}
	seed := make([]byte, suites[suite].scheme.SeedSize())
	if _, err := io.ReadFull(rand, seed); err != nil {
		return nil, fmt.Errorf("identity: randomness: %w", err)
	}
	return SigningKeyFromSeed(suite, seed)
}

// SigningKeyFromSeed expands a 32-byte seed.
func SigningKeyFromSeed(suite Suite, seed []byte) (*SigningKey, error) {
	row, ok := suites[suite]
	if !ok {
		return nil, errUnknownSuite(suite)
	}
	if len(seed) != row.scheme.SeedSize() {
		return nil, fmt.Errorf("identity: a signing seed has %d bytes, not %d", row.scheme.SeedSize(), len(seed))
	}
	defer simdstate.Clear()
	pub, priv := row.scheme.DeriveKey(seed)
	raw, err := pub.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("identity: signing key: %w", err)
	}
	return &SigningKey{bytes.Clone(seed), priv, &VerifyingKey{suite, raw, pub}}, nil
}

// Seed returns the 32 bytes that the key is made from.
func (k *SigningKey) Seed() []byte { return bytes.Clone(k.seed) }

// Verifying returns the public half.
func (k *SigningKey) Verifying() *VerifyingKey { return k.public }

// String never shows the key.
func (k *SigningKey) String() string { return "[redacted]" }

// GoString never shows the key.
func (k *SigningKey) GoString() string { return "[redacted]" }

// Sign signs payload as a statement of the given kind.
func (k *SigningKey) Sign(s Statement, payload []byte) ([]byte, error) {
	defer simdstate.Clear()
	suite := k.public.suite
	sig := make([]byte, suite.SignatureSize())
	if err := suites[suite].signTo(k.private, s.encode(payload), []byte(s.Context), sig); err != nil {
		return nil, fmt.Errorf("identity: sign: %w", err)
	}
	return sig, nil
}

// VerifyingKeyFromBytes reads what Bytes returns.
func VerifyingKeyFromBytes(suite Suite, b []byte) (*VerifyingKey, error) {
	row, ok := suites[suite]
	if !ok {
		return nil, errUnknownSuite(suite)
	}
	if len(b) != row.scheme.PublicKeySize() {
		return nil, fmt.Errorf("identity: a verifying key of suite %d has %d bytes, not %d", suite, row.scheme.PublicKeySize(), len(b))
	}
	defer simdstate.Clear()
	pub, err := row.scheme.UnmarshalBinaryPublicKey(b)
	if err != nil {
		return nil, fmt.Errorf("identity: verifying key: %w", err)
	}
	return &VerifyingKey{suite, bytes.Clone(b), pub}, nil
}

// Suite is the key's suite.
func (k *VerifyingKey) Suite() Suite { return k.suite }

// Bytes is the encoding of FIPS 204 (pkEncode).
func (k *VerifyingKey) Bytes() []byte { return bytes.Clone(k.bytes) }

// Fingerprint identifies a key that only signs, such as a vault's root.
func (k *VerifyingKey) Fingerprint() Fingerprint {
	return fingerprint("stonevault.v1/signing-key", k.suite, k.bytes)
}

// Verify checks a signature over payload as a statement of the given kind.
func (k *VerifyingKey) Verify(s Statement, payload, sig []byte) error {
	if len(sig) != k.suite.SignatureSize() {
		return ErrSignature
	}
	defer simdstate.Clear()
	if !suites[k.suite].scheme.Verify(k.public, s.encode(payload), sig, &sign.SignatureOpts{Context: s.Context}) {
		return ErrSignature
	}
	return nil
}

func fingerprint(label string, suite Suite, keys ...[]byte) Fingerprint {
	h := suite.Hash().New()
	h.Write([]byte(label))
	h.Write([]byte{byte(suite)})
	for _, k := range keys {
		h.Write(k)
	}
	return Fingerprint(h.Sum(nil))
}

func errUnknownSuite(s Suite) error { return fmt.Errorf("identity: suite %d is unknown", uint8(s)) }
