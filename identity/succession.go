package identity

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"stonevault/stone/canonical"
)

// ErrSuccession is a succession that is malformed or does not verify.
var ErrSuccession = errors.New("identity: the statement about the vault's next root does not hold")

const (
	successionFormat = "stonevault.v1/succession"
	// MaxSuccessionSize bounds an encoded succession in bytes.
	MaxSuccessionSize = 16 * 1024
)

// Succession is a statement by a vault's root that another root takes its place. Whoever trusts the one may go on with
// the other, of whatever suite.
type Succession struct {
	Vault    string    // the vault's id
	IssuedAt time.Time // UTC, milliseconds
	From, To *VerifyingKey
}

// successionBody is the signed text, canonical JSON (RFC 8785).
type successionBody struct {
	Format   string `json:"format"`
	IssuedAt int64  `json:"issued_at"`
	Root     string `json:"root"`
	Suite    Suite  `json:"suite"` // of the next root
	To       string `json:"to"`    // its key, base64url without padding
	Vault    string `json:"vault"`
}

// NewSuccession lets from say that to takes its place. Its encoding:
//
//	suite     u8    of from
//	length    u32   of body
//	body            canonical JSON
//	root            from's verifying key
//	signature       over body, StatementSuccession
func NewSuccession(from *SigningKey, to *VerifyingKey, vault string, at time.Time) ([]byte, error) {
	if err := (Subject{ID: vault, Kind: "vault", Version: 1}).check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSuccession, err)
	}
	if ms := at.UnixMilli(); ms < 0 || ms > maxTime {
		return nil, fmt.Errorf("%w: its time lies before 1970 or too far ahead", ErrSuccession)
	}
	body, err := canonical.Marshal(successionBody{
		Format: successionFormat, IssuedAt: at.UnixMilli(), Root: from.Verifying().Fingerprint().Hex(), Suite: to.suite,
		To: base64.RawURLEncoding.EncodeToString(to.bytes), Vault: vault,
	})
	if err != nil {
		return nil, err
	}
	sig, err := from.Sign(StatementSuccession, body)
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint32([]byte{byte(from.public.suite)}, uint32(len(body)))
	b = append(b, body...)
	b = append(b, from.public.bytes...)
	return append(b, sig...), nil
}

// ParseSuccession reads a succession and verifies it with the key of the former root that it carries. Whether that one
// is trusted is for the caller to say.
func ParseSuccession(b []byte) (*Succession, error) {
	if len(b) < 5 || len(b) > MaxSuccessionSize || !Suite(b[0]).Valid() {
		return nil, fmt.Errorf("%w: its length or suite is wrong", ErrSuccession)
	}
	suite, n, rest := Suite(b[0]), int64(binary.BigEndian.Uint32(b[1:])), b[5:]
	keySize := suite.VerifyingKeySize()
	if n+int64(keySize+suite.SignatureSize()) != int64(len(rest)) {
		return nil, fmt.Errorf("%w: its length is wrong", ErrSuccession)
	}
	text, key, sig := rest[:n], rest[n:n+int64(keySize)], rest[n+int64(keySize):]
	var body successionBody
	if err := canonical.Unmarshal(text, &body); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSuccession, err)
	}
	from, err := VerifyingKeyFromBytes(suite, key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSuccession, err)
	}
	if err := from.Verify(StatementSuccession, text, sig); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSuccession, err)
	}
	if body.Format != successionFormat || body.Root != from.Fingerprint().Hex() {
		return nil, fmt.Errorf("%w: format or root do not fit", ErrSuccession)
	}
	if err := (Subject{ID: body.Vault, Kind: "vault", Version: 1}).check(); err != nil || body.IssuedAt < 0 || body.IssuedAt > maxTime {
		return nil, fmt.Errorf("%w: its vault or time is out of range", ErrSuccession)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(body.To)
	if err != nil || base64.RawURLEncoding.EncodeToString(raw) != body.To {
		return nil, fmt.Errorf("%w: the next root's key is not base64url", ErrSuccession)
	}
	to, err := VerifyingKeyFromBytes(body.Suite, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSuccession, err)
	}
	return &Succession{body.Vault, time.UnixMilli(body.IssuedAt).UTC(), from, to}, nil
}

// FollowRoots goes from a root that is trusted, by its fingerprint in hex, along successions of one vault to the root
// that is to be trusted in its place. It is an error if they do not lead there; steps are those that were taken.
func FollowRoots(from, to, vault string, successions [][]byte) (steps []*Succession, err error) {
	at := from
	for _, b := range successions {
		if at == to {
			break
		}
		s, err := ParseSuccession(b)
		if err != nil {
			return nil, err
		}
		if s.Vault != vault {
			return nil, fmt.Errorf("%w: it is another vault's", ErrSuccession)
		}
		if s.From.Fingerprint().Hex() == at {
			at = s.To.Fingerprint().Hex()
			steps = append(steps, s)
		}
	}
	if at != to {
		return nil, fmt.Errorf("%w: none leads from the known root to the present one", ErrSuccession)
	}
	return steps, nil
}
