package identity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"stonevault/stone/canonical"
)

// ErrCertificate is a certificate that is malformed or does not verify.
var ErrCertificate = errors.New("identity: the certificate does not hold")

const (
	certificateFormat = "stonevault.v1/certificate"
	maxSubjectText    = 64
	maxTime           = 1<<53 - 1 // milliseconds; what every JSON reader holds exactly
	// MaxCertificateSize bounds an encoded certificate in bytes.
	MaxCertificateSize = 16 * 1024
)

// Subject says whose keys a certificate is for, without naming anybody.
type Subject struct {
	ID      string // the identity's id in its vault
	Kind    string // person, group, vault, recovery
	Version int64  // 1 and up
}

// Certificate is a statement by a vault's root that keys belong to a subject.
type Certificate struct {
	Suite    Suite
	Subject  Subject
	Keys     Fingerprint // of the certified Public
	IssuedAt time.Time   // UTC, milliseconds
	Root     *VerifyingKey
}

// certificateBody is the signed text, canonical JSON (RFC 8785).
type certificateBody struct {
	Format   string `json:"format"`
	Suite    Suite  `json:"suite"`
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Version  int64  `json:"version"`
	Keys     string `json:"keys"`
	Root     string `json:"root"`
	IssuedAt int64  `json:"issued_at"`
}

// NewCertificate certifies pub. Its encoding:
//
//	length    u32   of body
//	body            canonical JSON
//	root            the root's verifying key
//	signature       over body, StatementCertificate
func NewCertificate(root *SigningKey, subject Subject, pub *Public, at time.Time) ([]byte, error) {
	if root.Verifying().Suite() != pub.Suite() {
		return nil, fmt.Errorf("identity: a root of suite %d cannot certify keys of suite %d", root.Verifying().Suite(), pub.Suite())
	}
	if err := subject.check(); err != nil {
		return nil, err
	}
	if ms := at.UnixMilli(); ms < 0 || ms > maxTime {
		return nil, fmt.Errorf("%w: its time lies before 1970 or too far ahead", ErrCertificate)
	}
	body, err := canonical.Marshal(certificateBody{
		Format: certificateFormat, Suite: pub.Suite(), ID: subject.ID, Kind: subject.Kind, Version: subject.Version,
		Keys: pub.Fingerprint().Hex(), Root: root.Verifying().Fingerprint().Hex(), IssuedAt: at.UnixMilli(),
	})
	if err != nil {
		return nil, err
	}
	sig, err := root.Sign(StatementCertificate, body)
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(b, body...)
	b = append(b, root.Verifying().bytes...)
	return append(b, sig...), nil
}

func (s Subject) check() error {
	for _, text := range []string{s.ID, s.Kind} {
		if text == "" || len(text) > maxSubjectText {
			return fmt.Errorf("%w: a subject's id and kind have 1 to %d bytes", ErrCertificate, maxSubjectText)
		}
		for _, c := range []byte(text) {
			if c <= ' ' || c > '~' {
				return fmt.Errorf("%w: a subject's id and kind are printable ASCII", ErrCertificate)
			}
		}
	}
	if s.Version < 1 || s.Version > 1<<31 {
		return fmt.Errorf("%w: version %d is out of range", ErrCertificate, s.Version)
	}
	return nil
}

// ParseCertificate reads a certificate of the given suite and verifies it with the root key that it
// carries. Whether that root is trusted is for the caller to say.
func ParseCertificate(suite Suite, b []byte) (*Certificate, error) {
	if !suite.Valid() {
		return nil, errUnknownSuite(suite)
	}
	keySize, sigSize := suite.VerifyingKeySize(), suite.SignatureSize()
	if len(b) < 4 || len(b) > MaxCertificateSize {
		return nil, fmt.Errorf("%w: its length is wrong", ErrCertificate)
	}
	n := int(binary.BigEndian.Uint32(b))
	if n < 0 || n > len(b) || 4+n+keySize+sigSize != len(b) {
		return nil, fmt.Errorf("%w: its length is wrong", ErrCertificate)
	}
	text, key, sig := b[4:4+n], b[4+n:4+n+keySize], b[4+n+keySize:]
	var body certificateBody
	if err := canonical.Unmarshal(text, &body); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	root, err := VerifyingKeyFromBytes(suite, key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	if body.Format != certificateFormat || body.Suite != suite || body.Root != root.Fingerprint().Hex() {
		return nil, fmt.Errorf("%w: format, suite or root do not fit", ErrCertificate)
	}
	subject := Subject{body.ID, body.Kind, body.Version}
	if err := subject.check(); err != nil {
		return nil, err
	}
	if body.IssuedAt < 0 || body.IssuedAt > maxTime {
		return nil, fmt.Errorf("%w: its time is out of range", ErrCertificate)
	}
	keys, err := ParseFingerprint(suite, body.Keys)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	if err := root.Verify(StatementCertificate, text, sig); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return &Certificate{suite, subject, keys, time.UnixMilli(body.IssuedAt).UTC(), root}, nil
}
