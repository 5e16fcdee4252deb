package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// AccessTTL is how long an access token lives.
	AccessTTL = 10 * time.Minute

	audience      = "stonevault-api"
	maxTokenBytes = 2048
	clockSkew     = 5 * time.Second // between servers of one vault

	keyBytes     = 32
	keyLife      = 30 * 24 * time.Hour // then another key signs
	keysFresh    = time.Minute         // how long this server trusts its copy of the keys when it signs
	keysRecheck  = 2 * time.Second     // at most this often does an unknown key id cause a look at the store
	keyIDBytes   = 8
	sealedPrefix = "stonevault.v1/token-key/"
)

// Sealer keeps a secret under the master key. context must be the same to open as it was to seal.
type Sealer interface {
	Seal(context string, plaintext []byte) ([]byte, error)
	Open(context string, sealed []byte) ([]byte, error)
}

// TokenKeyContext is what a token key is sealed for.
func TokenKeyContext(id string) string { return sealedPrefix + id }

// tokenSecret signs access tokens. It never shows itself.
type tokenSecret []byte

// Format keeps the secret out of every log, whatever the verb.
func (tokenSecret) Format(w fmt.State, verb rune) { redacted{}.Format(w, verb) }

type tokenKey struct {
	id        string
	secret    tokenSecret
	createdAt time.Time
	retiredAt time.Time
}

// verifies tells whether a token signed by k can still be alive.
func (k tokenKey) verifies(now time.Time) bool {
	return k.retiredAt.IsZero() || now.Before(k.retiredAt.Add(KeyOverlap))
}

// claims are what an access token says. Every one of them is required.
type claims struct {
	jwt.RegisteredClaims
	Session string `json:"sid"`
	Epoch   *int64 `json:"epoch"`
}

// Validate is called by the parser after the registered claims have been checked.
func (c *claims) Validate() error {
	// The parser comes here even where it has found exp to be missing.
	if c.Subject == "" || c.Session == "" || c.Epoch == nil || c.IssuedAt == nil || c.ExpiresAt == nil {
		return errors.New("a claim is missing")
	}
	if c.ExpiresAt.Sub(c.IssuedAt.Time) > AccessTTL {
		return errors.New("the token would live too long")
	}
	if len(c.Audience) != 1 || c.NotBefore != nil || c.ID != "" {
		return errors.New("a claim is not one of an access token")
	}
	return nil
}

// written tells whether part, the header or the payload of a token, holds the members of v, each once and in
// the form that sign gives them, in any order. encoding/json takes the last of two members, names in any
// case and ones that it does not know, and numbers and lists have many forms, so that two readers could
// read one token in two ways.
func written(part string, v any) bool {
	object, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return false
	}
	want, err := json.Marshal(v)
	if err != nil {
		return false
	}
	var got, wanted map[string]json.RawMessage
	if json.Unmarshal(object, &got) != nil || json.Unmarshal(want, &wanted) != nil {
		return false
	}
	// Whatever is there beside these members makes it longer.
	return len(object) == len(want) && maps.EqualFunc(got, wanted, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })
}

var _ jwt.ClaimsValidator = (*claims)(nil)

// tokens signs and verifies access tokens with the vault's keys.
type tokens struct {
	store  Store
	sealer Sealer
	issuer string
	now    func() time.Time
	rand   io.Reader
	parser *jwt.Parser

	mu       sync.Mutex // guards what follows
	keys     map[string]tokenKey
	signing  string // id of the key that signs
	loadedAt time.Time
}

func newTokens(c Config, now func() time.Time) *tokens {
	return &tokens{
		store: c.Store, sealer: c.Sealer, issuer: c.Issuer, now: now, rand: c.Rand,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithIssuer(c.Issuer), jwt.WithAudience(audience),
			jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
			jwt.WithTimeFunc(now), jwt.WithLeeway(clockSkew), jwt.WithStrictDecoding(),
		),
	}
}

// sign issues an access token and tells when it ends.
func (t *tokens) sign(ctx context.Context, person, session string, epoch int64) (string, time.Time, error) {
	key, err := t.signingKey(ctx)
	if err != nil {
		return "", time.Time{}, err
	}
	now := t.now().Truncate(time.Second)
	expires := now.Add(AccessTTL)
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, &claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: t.issuer, Subject: person, Audience: jwt.ClaimStrings{audience},
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires),
		},
		Session: session, Epoch: &epoch,
	})
	token.Header["kid"] = key.id
	signed, err := token.SignedString([]byte(key.secret))
	if err != nil {
		return "", time.Time{}, fmt.Errorf("auth: sign an access token: %w", err)
	}
	return signed, expires, nil
}

// verify checks a token as far as that is possible without its session (RFC 7519, 7.2, and RFC 8725). It takes
// nothing but what sign writes: one algorithm, one type, a key of the vault's, and these claims.
func (t *tokens) verify(ctx context.Context, token string) (*claims, error) {
	// encoding/base64 skips line breaks, even where it is strict.
	if token == "" || len(token) > maxTokenBytes || strings.ContainsAny(token, "\r\n") {
		return nil, ErrUnauthenticated
	}
	var storeErr error
	var c claims
	parsed, err := t.parser.ParseWithClaims(token, &c, func(parsed *jwt.Token) (any, error) {
		// The header is the one that sign writes: a further member could mean anything.
		kid, ok := parsed.Header["kid"].(string)
		if !ok || len(parsed.Header) != 3 || parsed.Header["typ"] != "JWT" {
			return nil, ErrUnauthenticated
		}
		key, err := t.verifyingKey(ctx, kid)
		if err != nil {
			if !errors.Is(err, ErrUnauthenticated) {
				storeErr = err
			}
			return nil, err
		}
		return []byte(key.secret), nil
	})
	switch {
	case storeErr != nil:
		return nil, storeErr
	case err != nil:
		return nil, ErrUnauthenticated
	}
	if parts := strings.Split(token, "."); !written(parts[0], parsed.Header) || !written(parts[1], &c) {
		return nil, ErrUnauthenticated
	}
	return &c, nil
}

func (t *tokens) signingKey(ctx context.Context) (tokenKey, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if age := now.Sub(t.loadedAt); age < 0 || age >= keysFresh {
		if err := t.load(ctx, now); err != nil {
			return tokenKey{}, err
		}
	}
	if key, ok := t.keys[t.signing]; ok && now.Sub(key.createdAt) < keyLife {
		return key, nil
	}
	if err := t.rotate(ctx, now); err != nil {
		return tokenKey{}, err
	}
	key, ok := t.keys[t.signing]
	if !ok {
		return tokenKey{}, errors.New("auth: the store has no token key just after one was made")
	}
	return key, nil
}

func (t *tokens) verifyingKey(ctx context.Context, kid string) (tokenKey, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	key, ok := t.keys[kid]
	// Another server may have made the key a moment ago; a stranger's invention costs one look at most.
	if age := now.Sub(t.loadedAt); !ok && (age < 0 || age >= keysRecheck) {
		if err := t.load(ctx, now); err != nil {
			return tokenKey{}, err
		}
		key, ok = t.keys[kid]
	}
	if !ok || !key.verifies(now) {
		return tokenKey{}, ErrUnauthenticated
	}
	return key, nil
}

// load reads the keys that still matter. t.mu is held.
func (t *tokens) load(ctx context.Context, now time.Time) error {
	var rows []TokenKey
	err := t.store.ViewAuth(ctx, func(tx Tx) (err error) {
		rows, err = tx.TokenKeys(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("auth: read the token keys: %w", err)
	}
	keys, signing := map[string]tokenKey{}, ""
	for _, row := range rows {
		key := tokenKey{id: row.ID, createdAt: row.CreatedAt, retiredAt: row.RetiredAt}
		if !key.verifies(now) {
			continue
		}
		secret, err := t.sealer.Open(TokenKeyContext(row.ID), row.Sealed)
		if err != nil {
			return fmt.Errorf("auth: open token key %s: %w", row.ID, err)
		}
		if len(secret) != keyBytes {
			return fmt.Errorf("auth: token key %s has %d bytes", row.ID, len(secret))
		}
		key.secret = secret
		keys[row.ID] = key
		if signing == "" && row.RetiredAt.IsZero() {
			signing = row.ID
		}
	}
	t.keys, t.signing, t.loadedAt = keys, signing, now
	return nil
}

// rotate makes a new key and retires the old ones, unless another server has just done so. t.mu is held.
func (t *tokens) rotate(ctx context.Context, now time.Time) error {
	_, row, err := newTokenKey(t.rand, t.sealer, now)
	if err != nil {
		return err
	}
	err = t.store.UpdateAuth(ctx, func(tx Tx) error {
		rows, err := tx.TokenKeys(ctx)
		if err != nil {
			return err
		}
		for _, old := range rows {
			if old.RetiredAt.IsZero() && now.Sub(old.CreatedAt) < keyLife {
				return nil
			}
		}
		return replaceTokenKey(ctx, tx, row)
	})
	if err != nil {
		return fmt.Errorf("auth: keep a token key: %w", err)
	}
	return t.load(ctx, now)
}
