package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cloudflare/circl/sign/mldsa/mldsa44"
	"golang.org/x/mod/sumdb/note"

	"stonevault/internal/simdstate"
)

const (
	// SeedSize is the length of a signing key's seed: 32 bytes for Ed25519, then 32 for ML-DSA-44.
	SeedSize = ed25519.SeedSize + mldsa44.SeedSize
	// MaxOrigin bounds the name of a log in bytes; the ML-DSA statement has one byte for its length.
	MaxOrigin = 255

	typeEd25519 = 0x01 // C2SP signed-note
	typeMLDSA44 = 0x06 // C2SP tlog-cosignature

	maxKeyText = 2*(MaxOrigin+11) + (1+ed25519.PublicKeySize+2)/3*4 + (1+mldsa44.PublicKeySize+2)/3*4
)

// ErrKey is a name, a seed or a text that no log's key has.
var ErrKey = errors.New("not the key of an audit log")

// PublicKey is what checkpoints of one log are verified with: its origin and two keys. Both must have
// signed: Ed25519 is what every reader of such logs knows, ML-DSA-44 is what a quantum computer can't forge.
type PublicKey struct {
	origin  string
	ed25519 ed25519.PublicKey
	mldsa44 *mldsa44.PublicKey
}

// SigningKey signs the checkpoints of one log.
type SigningKey struct {
	seed    [SeedSize]byte
	ed25519 ed25519.PrivateKey
	mldsa44 *mldsa44.PrivateKey
	public  *PublicKey
}

// String keeps the key out of every log.
func (*SigningKey) String() string { return "[redacted]" }

// GoString keeps the key out of every log.
func (*SigningKey) GoString() string { return "[redacted]" }

// NewSigningKey draws a key from rand for the log of this origin: 1 to 255 printable ASCII characters
// without "+" and space, such as "vault.example/audit/1".
func NewSigningKey(rand io.Reader, origin string) (*SigningKey, error) {
	seed := make([]byte, SeedSize)
	if _, err := io.ReadFull(rand, seed); err != nil {
		return nil, fmt.Errorf("audit: no randomness: %w", err)
	}
	return SigningKeyFromSeed(origin, seed)
}

// SigningKeyFromSeed makes the key that Seed was asked for.
func SigningKeyFromSeed(origin string, seed []byte) (*SigningKey, error) {
	if err := checkOrigin(origin); err != nil {
		return nil, err
	}
	if len(seed) != SeedSize {
		return nil, fmt.Errorf("%w: its seed has %d bytes, not %d", ErrKey, len(seed), SeedSize)
	}
	k := &SigningKey{seed: [SeedSize]byte(seed), ed25519: ed25519.NewKeyFromSeed(seed[:ed25519.SeedSize])}
	defer simdstate.Clear()
	var public *mldsa44.PublicKey
	public, k.mldsa44 = mldsa44.NewKeyFromSeed((*[mldsa44.SeedSize]byte)(seed[ed25519.SeedSize:]))
	k.public = &PublicKey{origin, k.ed25519.Public().(ed25519.PublicKey), public}
	return k, nil
}

// Seed is the secret, to be kept sealed.
func (k *SigningKey) Seed() []byte { return append([]byte(nil), k.seed[:]...) }

// Public is the key that verifies.
func (k *SigningKey) Public() *PublicKey { return k.public }

// Origin is the name of the log.
func (k *PublicKey) Origin() string { return k.origin }

// Equal tells whether both are the same keys of the same log.
func (k *PublicKey) Equal(other *PublicKey) bool { return k.Text() == other.Text() }

// Text is the form that is given to those who verify: the two verifier keys of C2SP signed-note, a line each.
func (k *PublicKey) Text() string {
	return verifierKey(k.origin, typeEd25519, k.ed25519) + "\n" + verifierKey(k.origin, typeMLDSA44, k.mldsa44.Bytes()) + "\n"
}

// ParsePublicKey reads what Text writes.
func ParsePublicKey(text string) (*PublicKey, error) {
	if len(text) > maxKeyText+2 {
		return nil, fmt.Errorf("%w: its text has %d bytes", ErrKey, len(text))
	}
	origin, _, _ := strings.Cut(text, "+")
	if err := checkOrigin(origin); err != nil {
		return nil, err
	}
	var raw [2][]byte
	for i, line := range strings.SplitN(text, "\n", 3) {
		if i == len(raw) {
			break
		}
		parts := strings.SplitN(line, "+", 3) // the name, the id, the key, which may have a + too
		b, err := base64.StdEncoding.Strict().DecodeString(parts[len(parts)-1])
		if len(parts) != 3 || err != nil || len(b) == 0 {
			return nil, fmt.Errorf("%w: line %d is no verifier key", ErrKey, i+1)
		}
		raw[i] = b[1:]
	}
	if len(raw[0]) != ed25519.PublicKeySize || len(raw[1]) != mldsa44.PublicKeySize {
		return nil, fmt.Errorf("%w: it takes an Ed25519 and an ML-DSA-44 key, a line each", ErrKey)
	}
	defer simdstate.Clear()
	k := &PublicKey{origin, raw[0], new(mldsa44.PublicKey)}
	k.mldsa44.Unpack((*[mldsa44.PublicKeySize]byte)(raw[1]))
	if k.Text() != text {
		return nil, fmt.Errorf("%w: its two lines are not of one log, or were changed", ErrKey)
	}
	return k, nil
}

func checkOrigin(origin string) error {
	if len(origin) == 0 || len(origin) > MaxOrigin {
		return fmt.Errorf("%w: an origin has 1 to %d bytes", ErrKey, MaxOrigin)
	}
	for i := range len(origin) {
		if c := origin[i]; c <= ' ' || c > '~' || c == '+' {
			return fmt.Errorf("%w: an origin is printable ASCII without spaces and +", ErrKey)
		}
	}
	return nil
}

// keyHash is the id of a key in signature lines.
func keyHash(name string, kind byte, public []byte) uint32 {
	h := sha256.New()
	io.WriteString(h, name)
	h.Write([]byte{'\n', kind})
	h.Write(public)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

func verifierKey(name string, kind byte, public []byte) string {
	return fmt.Sprintf("%s+%08x+%s", name, keyHash(name, kind, public),
		base64.StdEncoding.EncodeToString(append([]byte{kind}, public...)))
}

// lineKey is one of a log's keys as sumdb/note wants it, for signing, for verifying, or for both.
type lineKey struct {
	name   string
	hash   uint32
	sign   func(text []byte) ([]byte, error)
	verify func(text, sig []byte) bool
}

var (
	_ note.Signer   = (*lineKey)(nil)
	_ note.Verifier = (*lineKey)(nil)
)

func (k *lineKey) Name() string                     { return k.name }
func (k *lineKey) KeyHash() uint32                  { return k.hash }
func (k *lineKey) Sign(text []byte) ([]byte, error) { return k.sign(text) }
func (k *lineKey) Verify(text, sig []byte) bool     { return k.verify(text, sig) }
