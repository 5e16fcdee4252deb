package identity

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// GrantKind says how a grant's wrapping key reaches its recipient.
type GrantKind uint8

const (
	GrantHPKE       GrantKind = 1 // sealed by HPKE in base mode
	GrantPassphrase GrantKind = 4 // derived by argon2id
)

const (
	fileKeySize    = 32
	wrapSaltSize   = 32
	wrappedKeySize = fileKeySize + 16
	sealedKeySize  = 32 + 16 // HPKE ciphertext of a wrapping key

	// PassphraseSaltSize is the length in bytes of an argon2id salt.
	PassphraseSaltSize = 32
	// The only argon2id parameters that are accepted (RFC 9106): memory in KiB, passes, lanes.
	argonMemory = 256 * 1024
	argonTime   = 3
	argonLanes  = 4

	format = "stonevault.v1"
)

var (
	// ErrGrant is a grant that is malformed or does not open.
	ErrGrant = errors.New("identity: the grant does not open")
	// ErrPassphrase is a passphrase that does not open what it should.
	ErrPassphrase = errors.New("identity: the passphrase is wrong")
)

var grantNames = map[GrantKind]string{GrantHPKE: "hpke", GrantPassphrase: "passphrase"}

// String is the kind's name in a manifest.
func (k GrantKind) String() string {
	if name, ok := grantNames[k]; ok {
		return name
	}
	return fmt.Sprintf("unknown(%d)", uint8(k))
}

// Grant is a file key wrapped for one recipient.
//
//	kind        u8
//	recipient   digest size of the suite; absent for passphrase
//	sealed      HPKE encapsulation ‖ ciphertext (48); the argon2id salt (32) for passphrase
//	salt        32
//	wrapped     AES-256-GCM of the file key, 48
//
// Every field's length follows from the suite and the kind.
type Grant struct {
	Kind      GrantKind
	Recipient Fingerprint
	Sealed    []byte
	Salt      [wrapSaltSize]byte
	Wrapped   [wrappedKeySize]byte
}

// grantSizes gives the lengths of recipient and sealed; ok is false where the pair is not allowed.
func grantSizes(suite Suite, kind GrantKind) (recipient, sealed int, ok bool) {
	if !suite.Valid() {
		return 0, 0, false
	}
	switch kind {
	case GrantHPKE:
		return suite.DigestSize(), suite.EncapsulationSize() + sealedKeySize, true
	case GrantPassphrase:
		return 0, PassphraseSaltSize, suite.AllowsPassphrase()
	}
	return 0, 0, false
}

// Bytes encodes g.
func (g *Grant) Bytes() []byte {
	b := make([]byte, 0, 1+len(g.Recipient)+len(g.Sealed)+len(g.Salt)+len(g.Wrapped))
	b = append(b, byte(g.Kind))
	b = append(b, g.Recipient...)
	b = append(b, g.Sealed...)
	b = append(b, g.Salt[:]...)
	return append(b, g.Wrapped[:]...)
}

// ParseGrant reads one grant from the front of b and returns what follows it.
func ParseGrant(suite Suite, b []byte) (*Grant, []byte, error) {
	if len(b) == 0 {
		return nil, nil, fmt.Errorf("%w: it is empty", ErrGrant)
	}
	g := &Grant{Kind: GrantKind(b[0])}
	recipient, sealed, ok := grantSizes(suite, g.Kind)
	if !ok {
		return nil, nil, fmt.Errorf("%w: kind %v is not allowed in suite %d", ErrGrant, g.Kind, suite)
	}
	b = b[1:]
	if len(b) < recipient+sealed+len(g.Salt)+len(g.Wrapped) {
		return nil, nil, fmt.Errorf("%w: it is truncated", ErrGrant)
	}
	take := func(n int) []byte {
		field := b[:n]
		b = b[n:]
		return field
	}
	g.Recipient = Fingerprint(take(recipient))
	g.Sealed = bytes.Clone(take(sealed))
	copy(g.Salt[:], take(len(g.Salt)))
	copy(g.Wrapped[:], take(len(g.Wrapped)))
	return g, b, nil
}

// WrappingKey wraps file keys for one recipient. Its HPKE ciphertext is made once and copied into every
// grant, so that sealing many files for the same recipient costs one public-key operation. Whoever keeps
// one ends its use after 1,000 files or one hour.
type WrappingKey struct {
	suite     Suite
	kind      GrantKind
	recipient Fingerprint
	sealed    []byte
	key       [32]byte
}

// NewWrappingKey makes a wrapping key for the holder of to.
func NewWrappingKey(rand io.Reader, to *Public) (*WrappingKey, error) {
	w := &WrappingKey{suite: to.Suite(), kind: GrantHPKE, recipient: to.Fingerprint()}
	if _, err := io.ReadFull(rand, w.key[:]); err != nil {
		return nil, fmt.Errorf("identity: randomness: %w", err)
	}
	var err error
	w.sealed, err = hpke.Seal(to.receiving, hpke.HKDFSHA384(), hpke.AES256GCM(), w.info(), w.key[:])
	if err != nil {
		return nil, fmt.Errorf("identity: seal to recipient: %w", err)
	}
	return w, nil
}

// NewPassphraseKey makes a wrapping key from a passphrase and a fresh salt. It takes 256 MiB of memory.
func NewPassphraseKey(rand io.Reader, suite Suite, passphrase []byte) (*WrappingKey, error) {
	salt := make([]byte, PassphraseSaltSize)
	if _, err := io.ReadFull(rand, salt); err != nil {
		return nil, fmt.Errorf("identity: randomness: %w", err)
	}
	return passphraseWrappingKey(suite, passphrase, salt)
}

func passphraseWrappingKey(suite Suite, passphrase, salt []byte) (*WrappingKey, error) {
	if !suite.AllowsPassphrase() {
		return nil, fmt.Errorf("identity: suite %d allows no passphrase", suite)
	}
	w := &WrappingKey{suite: suite, kind: GrantPassphrase, sealed: bytes.Clone(salt)}
	copy(w.key[:], passphraseKey(passphrase, salt))
	return w, nil
}

// passphraseKey is argon2id (RFC 9106) over the passphrase in Unicode normal form C.
func passphraseKey(passphrase, salt []byte) []byte {
	return argon2.IDKey(norm.NFC.Bytes(passphrase), salt, argonTime, argonMemory, argonLanes, 32)
}

// OpenWrappingKey opens the HPKE ciphertext of a grant to id. The result opens every grant with the same
// Sealed bytes.
func (id *Identity) OpenWrappingKey(g *Grant) (*WrappingKey, error) {
	if g.Kind != GrantHPKE || g.Recipient != id.public.print {
		return nil, fmt.Errorf("%w: it is for somebody else", ErrGrant)
	}
	w := &WrappingKey{suite: id.Suite(), kind: g.Kind, recipient: g.Recipient, sealed: bytes.Clone(g.Sealed)}
	key, err := hpke.Open(id.receiving, hpke.HKDFSHA384(), hpke.AES256GCM(), w.info(), g.Sealed)
	if err != nil || len(key) != len(w.key) {
		return nil, fmt.Errorf("%w: the sealed wrapping key is not genuine", ErrGrant)
	}
	copy(w.key[:], key)
	return w, nil
}

// OpenPassphraseKey derives the wrapping key of a passphrase grant. A wrong passphrase shows in Unwrap.
func OpenPassphraseKey(suite Suite, g *Grant, passphrase []byte) (*WrappingKey, error) {
	if g.Kind != GrantPassphrase {
		return nil, fmt.Errorf("%w: it takes no passphrase", ErrGrant)
	}
	return passphraseWrappingKey(suite, passphrase, g.Sealed)
}

// Recipient is the fingerprint that the key's grants are for; empty for a passphrase.
func (w *WrappingKey) Recipient() Fingerprint { return w.recipient }

// Suite is the key's suite.
func (w *WrappingKey) Suite() Suite { return w.suite }

// String never shows the key.
func (w *WrappingKey) String() string { return "[redacted]" }

// GoString never shows the key.
func (w *WrappingKey) GoString() string { return "[redacted]" }

// Wrap wraps a file key for the file with the given id.
func (w *WrappingKey) Wrap(rand io.Reader, fileID [16]byte, fileKey *[fileKeySize]byte) (*Grant, error) {
	g := &Grant{Kind: w.kind, Recipient: w.recipient, Sealed: w.sealed}
	if _, err := io.ReadFull(rand, g.Salt[:]); err != nil {
		return nil, fmt.Errorf("identity: randomness: %w", err)
	}
	aead, ctx, err := w.kek(fileID, g.Salt[:])
	if err != nil {
		return nil, err
	}
	aead.Seal(g.Wrapped[:0], make([]byte, aead.NonceSize()), fileKey[:], ctx)
	return g, nil
}

// Unwrap opens a grant with the same Sealed bytes that w was opened from.
func (w *WrappingKey) Unwrap(g *Grant, fileID [16]byte) (*[fileKeySize]byte, error) {
	if g.Kind != w.kind || g.Recipient != w.recipient || !bytes.Equal(g.Sealed, w.sealed) {
		return nil, fmt.Errorf("%w: it belongs to another wrapping key", ErrGrant)
	}
	aead, ctx, err := w.kek(fileID, g.Salt[:])
	if err != nil {
		return nil, err
	}
	key, err := aead.Open(nil, make([]byte, aead.NonceSize()), g.Wrapped[:], ctx)
	switch {
	case err != nil && w.kind == GrantPassphrase:
		return nil, ErrPassphrase
	case err != nil:
		return nil, fmt.Errorf("%w: the wrapped file key is not genuine", ErrGrant)
	}
	return (*[fileKeySize]byte)(key), nil
}

// info is the HPKE info string; ctx, which begins with it, binds a wrapped key to its file. A key
// encryption key is used once, so that its nonce may be zero.
func (w *WrappingKey) info() []byte {
	return prefixed([]byte(format), []byte{byte(w.suite)}, []byte(w.kind.String()), []byte(w.recipient))
}

func (w *WrappingKey) kek(fileID [16]byte, salt []byte) (cipher.AEAD, []byte, error) {
	ctx := prefixed(w.info(), fileID[:])
	kek, err := hkdf.Expand(sha512.New, w.key[:], "stonevault.v1/wrap"+string(ctx)+string(salt), 32)
	if err != nil {
		return nil, nil, fmt.Errorf("identity: derive: %w", err)
	}
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, nil, fmt.Errorf("identity: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, nil, fmt.Errorf("identity: %w", err)
	}
	return aead, ctx, nil
}

// prefixed joins fields, each behind its length as a big-endian u32.
func prefixed(fields ...[]byte) []byte {
	var b []byte
	for _, f := range fields {
		b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}
