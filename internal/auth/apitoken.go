package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"

	"stonevault/internal/access"
)

const (
	// MaxAPITokenLife is how long an API token lives at most.
	MaxAPITokenLife = 366 * 24 * time.Hour

	apiPrefix       = "svp_"
	apiRandom       = 32 // bytes
	apiDigits       = 43 // 62^43 is more than 2^256
	apiCheckDigits  = 6  // 62^6 is more than 2^32
	apiTokenBytes   = len(apiPrefix) + apiDigits + apiCheckDigits
	apiNameBytes    = 100
	apiUseRecording = time.Minute // last use is kept no finer, so that not every request writes
	base62          = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// ErrMistyped is an ErrUnauthenticated: a text that cannot be an API token, since its checksum is wrong. Who is
// told so learns nothing: everybody can compute the checksum.
var ErrMistyped = &mistypedError{}

type mistypedError struct{}

func (*mistypedError) Error() string { return "the API token is mistyped or cut off" }
func (*mistypedError) Unwrap() error { return ErrUnauthenticated }

// Scope is what an API token is for. What its owner may not do, no scope gives.
type Scope string

const (
	ScopeFilesRead  Scope = "files:read"
	ScopeFilesWrite Scope = "files:write"
	ScopeAuditRead  Scope = "audit:read"
	ScopeAdmin      Scope = "admin" // people, groups, quotas, settings, webhooks; no files, and no audit log
)

// AllScopes is the closed list.
var AllScopes = []Scope{ScopeFilesRead, ScopeFilesWrite, ScopeAuditRead, ScopeAdmin}

// Scopes are those of a token, sorted, each once.
type Scopes []Scope

// ParseScopes reads the names of one scope or more; otherwise an *InvalidError for the field "scopes".
func ParseScopes(names []string) (Scopes, error) {
	if len(names) == 0 {
		return nil, &InvalidError{"scopes", "is empty"}
	}
	var s Scopes
	for _, name := range names {
		switch {
		case !slices.Contains(AllScopes, Scope(name)):
			return nil, &InvalidError{"scopes", "holds an unknown scope; there are files:read, files:write, audit:read and admin"}
		case slices.Contains(s, Scope(name)):
			return nil, &InvalidError{"scopes", "holds a scope twice"}
		}
		s = append(s, Scope(name))
	}
	slices.Sort(s)
	return s, nil
}

// Allow tells whether a token with these scopes may be used for an action, if its owner may do it at all.
func (s Scopes) Allow(a access.Action) bool {
	sets, ok := scopesFor[a]
	return ok && len(s) > 0 && slices.ContainsFunc(sets, func(set []Scope) bool {
		return !slices.ContainsFunc(set, func(one Scope) bool { return !slices.Contains(s, one) })
	})
}

// APIToken is a program's key to the API, as it is kept: of the token itself, only the SHA-256.
type APIToken struct {
	ID         string
	Person     string
	Name       string // for its owner: what it is for
	Hash       []byte // 32 bytes
	Scopes     Scopes
	CreatedAt  time.Time
	ExpiresAt  time.Time
	LastUsedAt time.Time // to the minute; zero until it is used
	RevokedAt  time.Time // zero while in use
}

// APITokenText is the token itself, which is shown once and never kept.
type APITokenText struct {
	redacted
	text string
}

// Text is what a program sends: svp_, 43 characters for 32 random bytes, and 6 that check them, all of 0-9,
// A-Z and a-z. A scanner for leaked secrets looks for
//
//	svp_[0-9A-Za-z]{49}
//
// and drops what does not check: the last six characters are the CRC-32 (IEEE) of those before, prefix
// included, as a number to the base 62 with leading zeros.
func (t APITokenText) Text() string { return t.text }

// NewAPIToken draws a token for person. It fails with an *InvalidError where the name is empty, longer than 100
// bytes or has control characters, where there is no scope, and where expires is not after now or lies
// more than 366 days ahead.
func NewAPIToken(rand io.Reader, person, name string, scopes Scopes, now, expires time.Time) (APITokenText, APIToken, error) {
	if err := checkText("name", name, 1, apiNameBytes); err != nil {
		return APITokenText{}, APIToken{}, err
	}
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = string(s)
	}
	scopes, err := ParseScopes(names)
	switch {
	case err != nil:
		return APITokenText{}, APIToken{}, err
	case !expires.After(now):
		return APITokenText{}, APIToken{}, &InvalidError{"expires_at", "is not in the future"}
	case expires.Sub(now) > MaxAPITokenLife:
		return APITokenText{}, APIToken{}, &InvalidError{"expires_at", "is more than 366 days ahead"}
	}
	b := make([]byte, apiRandom+sessionIDBytes)
	if _, err := io.ReadFull(rand, b); err != nil {
		return APITokenText{}, APIToken{}, fmt.Errorf("auth: no randomness: %w", err)
	}
	text := apiPrefix + digits62(new(big.Int).SetBytes(b[:apiRandom]), apiDigits)
	text += apiChecksum(text)
	hash := sha256.Sum256([]byte(text))
	return APITokenText{text: text}, APIToken{
		ID: hex.EncodeToString(b[apiRandom:]), Person: person, Name: name, Hash: hash[:], Scopes: scopes,
		CreatedAt: now, ExpiresAt: expires,
	}, nil
}

// IsAPIToken tells whether a bearer token claims to be one of a program's, and not an access token.
func IsAPIToken(token string) bool { return strings.HasPrefix(token, apiPrefix) }

// ParseAPIToken returns the hash that a token is looked up by: ErrMistyped where its checksum is wrong, and
// ErrUnauthenticated where it is not of this form.
func ParseAPIToken(token string) (hash []byte, err error) {
	if len(token) > apiTokenBytes || !IsAPIToken(token) {
		return nil, ErrUnauthenticated
	}
	for _, c := range []byte(token[len(apiPrefix):]) {
		if strings.IndexByte(base62, c) < 0 {
			return nil, ErrUnauthenticated
		}
	}
	if len(token) < apiTokenBytes || apiChecksum(token[:apiTokenBytes-apiCheckDigits]) != token[apiTokenBytes-apiCheckDigits:] {
		return nil, ErrMistyped
	}
	sum := sha256.Sum256([]byte(token))
	return sum[:], nil
}

// Verify tells whether hash, from ParseAPIToken, is this token's and whether the token is good at now; otherwise
// ErrUnauthenticated, whatever the reason. Whether its owner's account is, is for the caller to see.
func (t APIToken) Verify(hash []byte, now time.Time) error {
	same := len(t.Hash) == sha256.Size && subtle.ConstantTimeCompare(t.Hash, hash) == 1
	if !same || !t.RevokedAt.IsZero() || !now.Before(t.ExpiresAt) || len(t.Scopes) == 0 {
		return ErrUnauthenticated
	}
	return nil
}

// Used returns the token as used at now, and whether that is news enough to be stored: a minute or more.
func (t APIToken) Used(now time.Time) (APIToken, bool) {
	if now.Sub(t.LastUsedAt) < apiUseRecording {
		return t, false
	}
	t.LastUsedAt = now.Truncate(apiUseRecording)
	return t, true
}

func apiChecksum(text string) string {
	return digits62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(text)))), apiCheckDigits)
}

// digits62 is n to the base 62 in so many digits.
func digits62(n *big.Int, digits int) string {
	text := make([]byte, digits)
	base, rest := big.NewInt(int64(len(base62))), new(big.Int)
	for i := digits - 1; i >= 0; i-- {
		n.QuoRem(n, base, rest)
		text[i] = base62[rest.Int64()]
	}
	return string(text)
}
