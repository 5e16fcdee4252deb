package identity

import (
	"bytes"
	"crypto/hpke"
	"fmt"
	"io"
)

// Identity is a secret: a key pair to receive and a key pair to sign.
type Identity struct {
	receiving hpke.PrivateKey
	kemSeed   []byte
	signing   *SigningKey
	public    *Public
}

// Public is the public half of an Identity.
type Public struct {
	receiving hpke.PublicKey
	verifying *VerifyingKey
	bytes     []byte // KEM public key ‖ verifying key
	print     Fingerprint
}

// Generate makes an identity from the bytes of rand.
func Generate(rand io.Reader, suite Suite) (*Identity, error) {
	if !suite.Valid() {
		return nil, errUnknownSuite(suite)
	}
	seeds := make([]byte, suite.SeedsSize())
	if _, err := io.ReadFull(rand, seeds); err != nil {
		return nil, fmt.Errorf("identity: randomness: %w", err)
	}
	return FromSeeds(suite, seeds)
}

// FromSeeds expands the HPKE private key (32 or 64 bytes) followed by the ML-DSA seed (32 bytes).
func FromSeeds(suite Suite, seeds []byte) (*Identity, error) {
	row, ok := suites[suite]
	if !ok {
		return nil, errUnknownSuite(suite)
	}
	if len(seeds) != suite.SeedsSize() {
		return nil, fmt.Errorf("identity: the seeds of suite %d have %d bytes, not %d", suite, suite.SeedsSize(), len(seeds))
	}
	receiving, err := row.kem.NewPrivateKey(seeds[:row.kemSeed])
	if err != nil {
		return nil, fmt.Errorf("identity: receiving key: %w", err)
	}
	signing, err := SigningKeyFromSeed(suite, seeds[row.kemSeed:])
	if err != nil {
		return nil, err
	}
	return &Identity{
		receiving: receiving,
		kemSeed:   bytes.Clone(seeds[:row.kemSeed]),
		signing:   signing,
		public:    newPublic(receiving.PublicKey(), signing.Verifying()),
	}, nil
}

// Seeds returns what FromSeeds takes: 64 or 96 secret bytes.
func (id *Identity) Seeds() []byte { return append(bytes.Clone(id.kemSeed), id.signing.seed...) }

// Suite is the identity's suite.
func (id *Identity) Suite() Suite { return id.public.Suite() }

// Public returns the public half.
func (id *Identity) Public() *Public { return id.public }

// Sign signs payload as a statement of the given kind.
func (id *Identity) Sign(s Statement, payload []byte) ([]byte, error) {
	return id.signing.Sign(s, payload)
}

// String never shows the seeds.
func (id *Identity) String() string { return "[redacted]" }

// GoString never shows the seeds.
func (id *Identity) GoString() string { return "[redacted]" }

func newPublic(receiving hpke.PublicKey, verifying *VerifyingKey) *Public {
	kem := receiving.Bytes()
	p := &Public{
		receiving: receiving,
		verifying: verifying,
		bytes:     append(bytes.Clone(kem), verifying.bytes...),
	}
	p.print = fingerprint("stonevault.v1/identity", verifying.suite, p.bytes)
	return p
}

// PublicFromBytes reads what Bytes returns. Keys that are not valid encodings are refused.
func PublicFromBytes(suite Suite, b []byte) (*Public, error) {
	row, ok := suites[suite]
	if !ok {
		return nil, errUnknownSuite(suite)
	}
	if len(b) != suite.PublicSize() {
		return nil, fmt.Errorf("identity: a public key of suite %d has %d bytes, not %d", suite, suite.PublicSize(), len(b))
	}
	receiving, err := row.kem.NewPublicKey(b[:row.kemPub])
	if err != nil {
		return nil, fmt.Errorf("identity: receiving key: %w", err)
	}
	verifying, err := VerifyingKeyFromBytes(suite, b[row.kemPub:])
	if err != nil {
		return nil, err
	}
	return newPublic(receiving, verifying), nil
}

// Suite is the key's suite.
func (p *Public) Suite() Suite { return p.verifying.suite }

// Bytes is the KEM public key followed by the ML-DSA public key.
func (p *Public) Bytes() []byte { return bytes.Clone(p.bytes) }

// Fingerprint identifies both keys together.
func (p *Public) Fingerprint() Fingerprint { return p.print }

// Verify checks a signature made by Identity.Sign.
func (p *Public) Verify(s Statement, payload, sig []byte) error {
	return p.verifying.Verify(s, payload, sig)
}
