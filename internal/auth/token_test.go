package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"stonevault/audit"
	"stonevault/internal/auditlog"
)

// forge writes a JWT by hand, so that it can be wrong in any way.
func forge(t testing.TB, header, payload any, sum func() hash.Hash, key []byte) string {
	t.Helper()
	part := func(v any) string {
		b, ok := v.([]byte)
		if !ok {
			var err error
			if b, err = json.Marshal(v); err != nil {
				t.Fatal(err)
			}
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(header) + "." + part(payload)
	mac := hmac.New(sum, key)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

type object = map[string]any

// with is o with some members changed; nil removes one.
func with(o object, changes object) object {
	o = maps.Clone(o)
	for k, v := range changes {
		if v == nil {
			delete(o, k)
		} else {
			o[k] = v
		}
	}
	return o
}

func TestForgedTokens(t *testing.T) {
	f := newFixture(t)
	g := f.signIn(t)
	kid := f.tokens.signing
	secret := []byte(f.tokens.keys[kid].secret)
	now := f.clock.now().Unix()
	header := object{"alg": "HS256", "typ": "JWT", "kid": kid}
	payload := object{
		"iss": "vault-1", "aud": []string{audience}, "sub": annID, "sid": g.Principal.Session,
		"epoch": 1, "iat": now, "exp": now + 600,
	}
	hs256 := func(h, p any) string { return forge(t, h, p, sha256.New, secret) }
	if _, err := f.Authenticate(t.Context(), hs256(header, payload)); err != nil {
		t.Fatalf("the pattern of all forgeries is not good itself: %v", err)
	}
	good := g.AccessToken
	parts := strings.Split(good, ".")
	unsigned := func(h object) string {
		text := forge(t, h, payload, sha256.New, secret)
		return text[:strings.LastIndex(text, ".")+1]
	}
	public, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	es256 := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims(payload))
	es256.Header["kid"] = kid
	es256Token, err := es256.SignedString(public)
	if err != nil {
		t.Fatal(err)
	}
	raw := func(s string) []byte { return []byte(s) }
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	lastBit := signature[31] ^ 1
	rows := map[string]string{
		"empty":                       "",
		"no dots":                     "abc",
		"two parts":                   parts[0] + "." + parts[1],
		"four parts":                  good + "." + parts[2],
		"five parts, as a JWE":        good + "." + parts[1] + "." + parts[2],
		"empty parts":                 "..",
		"alg none":                    unsigned(with(header, object{"alg": "none"})),
		"alg None":                    unsigned(with(header, object{"alg": "None"})),
		"alg NONE, still signed":      hs256(with(header, object{"alg": "NONE"}), payload),
		"alg empty":                   hs256(with(header, object{"alg": ""}), payload),
		"alg absent":                  hs256(with(header, object{"alg": nil}), payload),
		"alg a number":                hs256(with(header, object{"alg": 256}), payload),
		"HS512 with the right key":    forge(t, with(header, object{"alg": "HS512"}), payload, sha512.New, secret),
		"HS384 with the right key":    forge(t, with(header, object{"alg": "HS384"}), payload, sha512.New384, secret),
		"RS256 in the header only":    hs256(with(header, object{"alg": "RS256"}), payload),
		"ES256 with a stranger's key": es256Token,
		"wrong key":                   forge(t, header, payload, sha256.New, make([]byte, 32)),
		"empty key":                   forge(t, header, payload, sha256.New, nil),
		"key id as the key":           forge(t, header, payload, sha256.New, raw(kid)),
		"no signature":                parts[0] + "." + parts[1] + ".",
		"signature cut":               good[:len(good)-2],
		"signature bit":               parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(append(signature[:31:31], lastBit)),
		"loose bits in the signature": looseBits(good),
		"padded":                      good + "=",
		"trailing data":               good + "A",
		"trailing line break":         good + "\n",
		"leading space":               " " + good,
		"line break within":           good[:10] + "\n" + good[10:],
		"another payload":             parts[0] + "." + strings.Split(hs256(header, with(payload, object{"sub": benID})), ".")[1] + "." + parts[2],
		"kid absent":                  hs256(with(header, object{"kid": nil}), payload),
		"kid empty":                   hs256(with(header, object{"kid": ""}), payload),
		"kid unknown":                 hs256(with(header, object{"kid": "0000000000000000"}), payload),
		"kid a path":                  hs256(with(header, object{"kid": "../../../../dev/null"}), payload),
		"kid SQL":                     hs256(with(header, object{"kid": "' OR 1=1 --"}), payload),
		"kid a list":                  hs256(with(header, object{"kid": []string{kid}}), payload),
		"kid long":                    hs256(with(header, object{"kid": strings.Repeat("k", 4096)}), payload),
		"typ at+jwt":                  hs256(with(header, object{"typ": "at+jwt"}), payload),
		"typ absent":                  hs256(with(header, object{"typ": nil}), payload),
		"crit":                        hs256(with(header, object{"crit": []string{"exp"}}), payload),
		"jwk in the header":           hs256(with(header, object{"jwk": object{"kty": "oct", "k": "AAAA"}}), payload),
		"jku in the header":           hs256(with(header, object{"jku": "https://evil.example/keys"}), payload),
		"header not an object":        hs256([]byte(`["HS256"]`), payload),
		"header trailing data":        hs256([]byte(`{"alg":"HS256","typ":"JWT","kid":"`+kid+`"}{}`), payload),
		"payload not an object":       hs256(header, []byte(`"hello"`)),
		"payload null":                hs256(header, []byte(`null`)),
		"payload not JSON":            hs256(header, []byte(`{`)),
		"no exp":                      hs256(header, with(payload, object{"exp": nil})),
		"exp zero":                    hs256(header, with(payload, object{"exp": 0})),
		"exp past":                    hs256(header, with(payload, object{"exp": now - 6})),
		"exp a text":                  hs256(header, with(payload, object{"exp": "tomorrow"})),
		"nbf to come":                 hs256(header, with(payload, object{"nbf": now + 60})),
		"iat to come":                 hs256(header, with(payload, object{"iat": now + 60})),
		"no iat":                      hs256(header, with(payload, object{"iat": nil})),
		"no iss":                      hs256(header, with(payload, object{"iss": nil})),
		"another vault's iss":         hs256(header, with(payload, object{"iss": "vault-2"})),
		"no aud":                      hs256(header, with(payload, object{"aud": nil})),
		"another aud":                 hs256(header, with(payload, object{"aud": "stonevault-web"})),
		"aud empty":                   hs256(header, with(payload, object{"aud": []string{}})),
		"no sub":                      hs256(header, with(payload, object{"sub": nil})),
		"another's sub":               hs256(header, with(payload, object{"sub": benID})),
		"no sid":                      hs256(header, with(payload, object{"sid": nil})),
		"unknown sid":                 hs256(header, with(payload, object{"sid": "00"})),
		"no epoch":                    hs256(header, with(payload, object{"epoch": nil})),
		"epoch before":                hs256(header, with(payload, object{"epoch": 0})),
		"epoch after":                 hs256(header, with(payload, object{"epoch": 2})),
		"epoch a text":                hs256(header, with(payload, object{"epoch": "1"})),
		"the refresh token":           g.RefreshToken,
		"too long":                    hs256(header, with(payload, object{"x": strings.Repeat("x", maxTokenBytes)})),
	}
	for name, token := range rows {
		if token == good {
			t.Errorf("%s: the row changes nothing", name)
		}
		f.clock.turn(trustFor) // nothing may be saved by what was trusted a moment ago …
		if p, err := f.Authenticate(t.Context(), token); !errors.Is(err, ErrUnauthenticated) || !p.same(Principal{}) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		f.clock.turn(-trustFor)
		if _, err := f.Authenticate(t.Context(), good); err != nil { // … nor, when something is
			t.Fatal(err)
		}
		if p, err := f.Authenticate(t.Context(), token); !errors.Is(err, ErrUnauthenticated) || !p.same(Principal{}) {
			t.Errorf("%s, with the session trusted: %+v, %v", name, p, err)
		}
	}
}

// looseBits changes only the bits of the last character that base64 does not use.
func looseBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[i^1])
}

func TestAccessTokenLife(t *testing.T) {
	f := newFixture(t)
	g := f.signIn(t)
	for _, row := range []struct {
		after time.Duration
		good  bool
	}{
		{0, true},
		{AccessTTL - time.Second, true},
		{AccessTTL + clockSkew - time.Second, true},
		{AccessTTL + clockSkew, false},
		{24 * time.Hour, false},
		{-clockSkew, true},
		{-clockSkew - time.Second, false},
	} {
		f.clock.turn(row.after)
		if _, err := f.Authenticate(t.Context(), g.AccessToken); (err == nil) != row.good {
			t.Errorf("after %v: %v", row.after, err)
		}
		f.clock.turn(-row.after)
	}
}

func TestKeyRotation(t *testing.T) {
	f := newFixture(t)
	other := f.open(t) // a second server on the same store
	old := f.tokens.signing
	if other.tokens.signing != old {
		t.Fatal("the second server made a key of its own")
	}
	f.clock.turn(keyLife - 5*time.Minute)
	before := f.signIn(t)
	if f.tokens.signing != old {
		t.Fatal("the key was replaced early")
	}
	f.clock.turn(5 * time.Minute)
	after := f.signIn(t)
	if f.tokens.signing == old {
		t.Fatal("the key was not replaced after its life")
	}
	for _, s := range []*Service{f.Service, other, f.open(t)} {
		for _, g := range []Grant{before, after} {
			if _, err := s.Authenticate(t.Context(), g.AccessToken); err != nil {
				t.Errorf("around the rotation: %v", err)
			}
		}
	}
	if g, err := other.Refresh(t.Context(), after.RefreshToken, "192.0.2.7"); err != nil {
		t.Error(err)
	} else if other.tokens.signing != f.tokens.signing {
		t.Error("the second server still signs with the old key")
	} else if _, err := f.Authenticate(t.Context(), g.AccessToken); err != nil {
		t.Error(err)
	}
	if k := f.store.state.tokens[old]; k.RetiredAt.IsZero() {
		t.Error("the old key was not retired")
	}
	// Once no token of its time can be alive, the old key verifies nothing, even on paper.
	f.clock.turn(AccessTTL + keysFresh + clockSkew)
	if _, err := f.tokens.verifyingKey(t.Context(), old); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("the retired key: %v", err)
	}
}

// A stranger who invents key ids cannot make the server read its store for each.
func TestUnknownKeysAreCheap(t *testing.T) {
	f := newFixture(t)
	f.clock.turn(keysRecheck)
	views := f.store.views
	for i := range 100 {
		token := forge(t, object{"alg": "HS256", "typ": "JWT", "kid": string(rune('a' + i))}, object{}, sha256.New, nil)
		if _, err := f.Authenticate(t.Context(), token); !errors.Is(err, ErrUnauthenticated) {
			t.Fatal(err)
		}
	}
	if n := f.store.views - views; n > 1 {
		t.Errorf("%d looks at the store", n)
	}
}

type brokenStore struct {
	*memory
	err error
}

func (b brokenStore) ViewAuth(context.Context, func(Tx) error) error { return b.err }

// What cannot be checked is an error of the server, not "not signed in", and never a success.
func TestStoreFailure(t *testing.T) {
	f := newFixture(t)
	g := f.signIn(t)
	broken := errors.New("disk on fire")
	f.Service.store, f.tokens.store = brokenStore{f.store, broken}, brokenStore{f.store, broken}
	if _, err := f.Authenticate(t.Context(), g.AccessToken); !errors.Is(err, broken) || errors.Is(err, ErrUnauthenticated) {
		t.Errorf("session: %v", err)
	}
	f.tokens.keys, f.tokens.loadedAt = nil, time.Time{}
	if _, err := f.Authenticate(t.Context(), g.AccessToken); !errors.Is(err, broken) || errors.Is(err, ErrUnauthenticated) {
		t.Errorf("key: %v", err)
	}
	if _, err := f.SignIn(t.Context(), Credentials{Name: "Ann", Password: goodPassword}); !errors.Is(err, broken) {
		t.Errorf("signing in: %v", err)
	}
}

func TestNewRefusesForeignKeys(t *testing.T) {
	f := newFixture(t)
	sealed := f.store.state.tokens[f.tokens.signing]
	for name, change := range map[string]func(*Config, *TokenKey){
		"another master key": func(c *Config, _ *TokenKey) { c.Sealer = newSealer(t) },
		"a flipped bit":      func(_ *Config, k *TokenKey) { k.Sealed = append([]byte{k.Sealed[0] ^ 1}, k.Sealed[1:]...) },
		"under another id":   func(_ *Config, k *TokenKey) { k.ID = "0123456789abcdef" },
		"a short key": func(c *Config, k *TokenKey) {
			k.Sealed, _ = c.Sealer.Seal(sealedPrefix+k.ID, make([]byte, 16))
		},
		"no store":  func(c *Config, _ *TokenKey) { c.Store = nil },
		"no sealer": func(c *Config, _ *TokenKey) { c.Sealer = nil },
		"no issuer": func(c *Config, _ *TokenKey) { c.Issuer = "" },
		"no audit":  func(c *Config, _ *TokenKey) { c.Audit = nil },
		"no tally":  func(c *Config, _ *TokenKey) { c.Tally = nil },
		"no clock":  func(c *Config, _ *TokenKey) { c.Now = nil },
	} {
		config, key := f.config, sealed
		change(&config, &key)
		f.store.state.tokens = map[string]TokenKey{key.ID: key}
		if _, err := New(t.Context(), config); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if n := len(f.store.state.tokens); n != 1 {
			t.Errorf("%s: %d keys are there afterwards: nothing may be made over existing data", name, n)
		}
	}
}

func FuzzAuthenticate(f *testing.F) {
	fx := newFixture(f)
	g := fx.signIn(f)
	f.Add(g.AccessToken)
	f.Add(strings.Replace(g.AccessToken, ".", "..", 1))
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := fx.Authenticate(context.Background(), token); err == nil && token != g.AccessToken {
			t.Errorf("accepted %q", token)
		}
	})
}

// TestRotateTokenKeys: a replaced key verifies what it has signed, every session goes on, and then the key is destroyed.
func TestRotateTokenKeys(t *testing.T) {
	f := newFixture(t)
	other := f.open(t)
	before, old := f.signIn(t), f.tokens.signing
	config := f.config
	config.Rand = rand.Reader
	if err := RotateTokenKeys(t.Context(), config, auditlog.Actor{Client: "test"}); err != nil {
		t.Fatal(err)
	}
	f.clock.turn(keysFresh)
	after := f.signIn(t)
	if f.tokens.signing == old {
		t.Fatal("the old key still signs")
	}
	for _, s := range []*Service{f.Service, other, f.open(t)} {
		for _, g := range []Grant{before, after} {
			if _, err := s.Authenticate(t.Context(), g.AccessToken); err != nil {
				t.Errorf("around the rotation: %v", err)
			}
		}
	}
	if err := f.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, there := f.store.state.tokens[old]; !there {
		t.Error("the old key is destroyed while its tokens may be alive")
	}
	f.clock.turn(KeyOverlap)
	if err := f.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, there := f.store.state.tokens[old]; there || len(f.store.state.tokens) != 1 {
		t.Errorf("%d keys are left", len(f.store.state.tokens))
	}
	if _, err := other.Refresh(t.Context(), before.RefreshToken, "192.0.2.7"); err != nil {
		t.Errorf("the session does not go on: %v", err)
	}
	var states []any
	for _, e := range f.store.state.events {
		if e.Type == audit.KeyRotated {
			states = append(states, e.Operational["state"])
		}
	}
	if len(states) != 2 || states[0] != "begun" || states[1] != "done" {
		t.Errorf("recorded were %v", states)
	}
}
