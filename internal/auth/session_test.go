package auth

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/audit"
)

// gcmSealer seals with a key of its own, as the master key does.
type gcmSealer struct{ aead cipher.AEAD }

func newSealer(t testing.TB) gcmSealer {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return gcmSealer{aead}
}

func (s gcmSealer) Seal(context string, plaintext []byte) ([]byte, error) {
	return s.aead.Seal(nil, nil, plaintext, []byte(context)), nil
}

func (s gcmSealer) Open(context string, sealed []byte) ([]byte, error) {
	return s.aead.Open(nil, nil, sealed, []byte(context))
}

// clock is a clock that tests turn.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) turn(d time.Duration) {
	c.mu.Lock()
	c.t = c.t.Add(d)
	c.mu.Unlock()
}

type fixture struct {
	*Service
	store  *memory
	clock  *clock
	config Config
}

const annID, benID = "a0000000000000000000000000000001", "b0000000000000000000000000000002"

func newFixture(t testing.TB) *fixture {
	t.Helper()
	store, c := newMemory(), &clock{t: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	store.putAccount(Account{Person: annID, Name: "Ann", Role: "user", PasswordHash: goodHash(), Epoch: 1, Active: true})
	store.putAccount(Account{Person: benID, Name: "Ben", Role: "user", PasswordHash: goodHash(), Epoch: 1})
	f := &fixture{store: store, clock: c, config: Config{Store: store, Sealer: newSealer(t), Audit: &memoryRecorder{}, Tally: &memoryTally{}, Issuer: "vault-1", Now: c.now}}
	f.Service = f.open(t)
	return f
}

func (f *fixture) open(t testing.TB) *Service {
	t.Helper()
	s, err := New(t.Context(), f.config)
	if err != nil {
		t.Fatal(err)
	}
	f.store.heed = s.Heed
	return s
}

func (f *fixture) signIn(t testing.TB) Grant {
	t.Helper()
	g, err := f.SignIn(t.Context(), Credentials{Name: "ann", Password: goodPassword, Client: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// change rewrites Ann's account.
func (f *fixture) change(fn func(*Account)) {
	a := f.store.state.accounts[annID]
	fn(&a)
	f.store.putAccount(a)
}

// same compares principals, whose scopes Go does not compare.
func (p Principal) same(q Principal) bool { return reflect.DeepEqual(p, q) }

func TestSignIn(t *testing.T) {
	f := newFixture(t)
	for _, row := range []struct {
		name string
		c    Credentials
		want error
	}{
		{"right", Credentials{Name: "Ann", Password: goodPassword}, nil},
		{"another case", Credentials{Name: "ANN", Password: goodPassword}, nil},
		{"wrong password", Credentials{Name: "Ann", Password: goodPassword + "!"}, ErrCredentials},
		{"unknown name", Credentials{Name: "Zoe", Password: goodPassword}, ErrCredentials},
		{"switched off", Credentials{Name: "Ben", Password: goodPassword}, ErrCredentials},
		{"switched off, wrong password", Credentials{Name: "Ben", Password: "x"}, ErrCredentials},
	} {
		g, err := f.SignIn(t.Context(), row.c)
		if !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
			continue
		}
		if row.want != nil {
			if !reflect.DeepEqual(g, Grant{}) {
				t.Errorf("%s: a grant came with the error", row.name)
			}
			continue
		}
		p, err := f.Authenticate(t.Context(), g.AccessToken)
		if err != nil || !p.same(g.Principal) || p.Person != annID || p.Name != "Ann" || p.Role != "user" {
			t.Errorf("%s: recognised as %+v, %v", row.name, p, err)
		}
		if got := g.AccessExpiresAt.Sub(f.clock.now()); got != AccessTTL {
			t.Errorf("%s: the access token lives %v", row.name, got)
		}
		if got := g.RefreshExpiresAt.Sub(f.clock.now()); got != RefreshTTL {
			t.Errorf("%s: the refresh token lives %v", row.name, got)
		}
	}
	for _, row := range []struct {
		field string
		c     Credentials
	}{
		{"password", Credentials{Name: "Ann"}},
		{"password", Credentials{Name: "Ann", Password: strings.Repeat("a", 1025)}},
		{"password", Credentials{Name: "Ann", Password: "\xff"}},
		{"name", Credentials{Password: goodPassword}},
		{"name", Credentials{Name: strings.Repeat("a", 256), Password: goodPassword}},
		{"name", Credentials{Name: "a\x00", Password: goodPassword}},
		{"client", Credentials{Name: "Ann", Password: goodPassword, Client: "a\nb"}},
		{"client", Credentials{Name: "Ann", Password: goodPassword, Client: strings.Repeat("a", 201)}},
	} {
		_, err := f.SignIn(t.Context(), row.c)
		var invalid *InvalidError
		if !errors.As(err, &invalid) || invalid.Field != row.field {
			t.Errorf("%s: %v", row.field, err)
		}
	}
}

// An unknown name waits for its turn to hash as a known one does, so that time tells nothing.
func TestUnknownNameCostsAHash(t *testing.T) {
	f := newFixture(t)
	for range cap(f.verifier.slots) {
		f.verifier.slots <- struct{}{}
	}
	for _, name := range []string{"Ann", "Ben", "Zoe"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := f.SignIn(ctx, Credentials{Name: name, Password: goodPassword})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v without a turn", name, err)
		}
	}
}

// A password that is changed while the old one is being checked opens no session.
func TestSignInRacesReset(t *testing.T) {
	for name, change := range map[string]func(*Account){
		"password": func(a *Account) { a.PasswordHash = dummyHash },
		"epoch":    func(a *Account) { a.Epoch++ },
		"active":   func(a *Account) { a.Active = false },
	} {
		f := newFixture(t)
		for range cap(f.verifier.slots) {
			f.verifier.slots <- struct{}{}
		}
		done := make(chan error)
		go func() {
			_, err := f.SignIn(t.Context(), Credentials{Name: "Ann", Password: goodPassword})
			done <- err
		}()
		for f.verifier.waiting.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		f.store.mu.Lock()
		a := f.store.state.accounts[annID]
		change(&a)
		f.store.state.accounts[annID] = a
		f.store.mu.Unlock()
		<-f.verifier.slots
		if err := <-done; !errors.Is(err, ErrCredentials) {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(f.store.state.sessions); n != 0 {
			t.Errorf("%s: %d sessions were opened", name, n)
		}
	}
}

func TestRefreshRotates(t *testing.T) {
	f := newFixture(t)
	first := f.signIn(t)
	seen := map[string]bool{first.RefreshToken: true}
	token := first.RefreshToken
	for range 5 {
		f.clock.turn(29 * 24 * time.Hour)
		g, err := f.Refresh(t.Context(), token, "192.0.2.7")
		if err != nil {
			t.Fatal(err)
		}
		if seen[g.RefreshToken] || !g.Principal.same(first.Principal) {
			t.Fatalf("the successor is %+v", g)
		}
		if _, err := f.Authenticate(t.Context(), g.AccessToken); err != nil {
			t.Fatal(err)
		}
		token = g.RefreshToken
		seen[token] = true
	}
	f.clock.turn(RefreshTTL)
	if _, err := f.Refresh(t.Context(), token, "192.0.2.7"); !errors.Is(err, ErrSessionEnded) {
		t.Errorf("at its end: %v", err)
	}
	for _, r := range f.store.state.refresh {
		for text := range seen {
			if bytes.Contains(r.Hash, []byte(text)) || len(r.Hash) != 32 {
				t.Error("the store keeps more than the SHA-256 of a token")
			}
		}
	}
}

func TestRefreshReuse(t *testing.T) {
	for _, row := range []struct {
		name  string
		after time.Duration
		ends  bool
	}{
		{"at once", 0, false},
		{"just within the grace", RefreshGrace, false},
		{"just past the grace", RefreshGrace + time.Millisecond, true},
		{"a day later", 24 * time.Hour, true},
		{"the clock set back a day", -24 * time.Hour, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFixture(t)
			old := f.signIn(t)
			next, err := f.Refresh(t.Context(), old.RefreshToken, "192.0.2.7")
			if err != nil {
				t.Fatal(err)
			}
			f.clock.turn(row.after)
			again, err := f.Refresh(t.Context(), old.RefreshToken, "192.0.2.7")
			if !row.ends {
				if err != nil || again.RefreshToken == next.RefreshToken {
					t.Fatalf("a lost reply was not made good: %v", err)
				}
				for _, g := range []Grant{next, again} {
					if _, err := f.Refresh(t.Context(), g.RefreshToken, "192.0.2.7"); err != nil {
						t.Errorf("a successor does not work: %v", err)
					}
				}
				return
			}
			if !errors.Is(err, ErrReused) || !errors.Is(err, ErrSessionEnded) {
				t.Fatalf("reuse gave %v", err)
			}
			if _, err := f.Refresh(t.Context(), next.RefreshToken, "192.0.2.7"); !errors.Is(err, ErrSessionEnded) || errors.Is(err, ErrReused) {
				t.Errorf("the family lives on: %v", err)
			}
			f.clock.turn(-row.after)
			if _, err := f.Authenticate(t.Context(), next.AccessToken); !errors.Is(err, ErrUnauthenticated) {
				t.Errorf("an access token of the family lives on: %v", err)
			}
		})
	}
}

func TestRefreshRefusals(t *testing.T) {
	f := newFixture(t)
	good := f.signIn(t).RefreshToken
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(good, refreshPrefix))
	if err != nil || len(raw) != refreshRandom+8 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	changed := func(i int) string {
		b := bytes.Clone(raw)
		b[i] ^= 1
		return refreshPrefix + base64.RawURLEncoding.EncodeToString(b)
	}
	for name, token := range map[string]string{
		"empty":             "",
		"prefix alone":      refreshPrefix,
		"no prefix":         strings.TrimPrefix(good, refreshPrefix),
		"other prefix":      "svx_" + strings.TrimPrefix(good, refreshPrefix),
		"capitals":          strings.ToUpper(good),
		"cut":               good[:len(good)-1],
		"trailing":          good + "A",
		"padded":            good + "=",
		"white space":       good + " ",
		"line break within": good[:20] + "\n" + good[21:],
		"loose bits":        good[:len(good)-1] + "B",
		"first bit":         changed(0),
		"last random bit":   changed(refreshRandom - 1),
		"another epoch":     changed(refreshRandom + 7),
		"a megabyte":        refreshPrefix + strings.Repeat("A", 1<<20),
		"an access token":   f.signIn(t).AccessToken,
	} {
		if g, err := f.Refresh(t.Context(), token, "192.0.2.7"); !errors.Is(err, ErrSessionEnded) || errors.Is(err, ErrReused) {
			t.Errorf("%s: %v, %v", name, g, err)
		}
	}
	if _, err := f.Refresh(t.Context(), good, "192.0.2.7"); err != nil {
		t.Errorf("the true token was spoilt: %v", err)
	}
}

// What ends a session ends both kinds of tokens.
func TestEndings(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, f *fixture, g Grant){
		"sign-out": func(t *testing.T, f *fixture, g Grant) {
			for range 2 { // the second time is no error
				if err := f.SignOut(t.Context(), g.Principal, "192.0.2.7"); err != nil {
					t.Fatal(err)
				}
			}
		},
		"epoch raised": func(_ *testing.T, f *fixture, _ Grant) {
			f.change(func(a *Account) { a.Epoch++ })
			f.clock.turn(trustFor)
		},
		"switched off": func(_ *testing.T, f *fixture, _ Grant) {
			f.change(func(a *Account) { a.Active = false })
			f.clock.turn(trustFor)
		},
		"account removed": func(_ *testing.T, f *fixture, _ Grant) {
			delete(f.store.state.accounts, annID)
			f.clock.turn(trustFor)
		},
		"session expired and swept": func(t *testing.T, f *fixture, _ Grant) {
			f.clock.turn(RefreshTTL + time.Second)
			if err := f.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n, m := len(f.store.state.sessions), len(f.store.state.refresh); n+m != 0 {
				t.Errorf("%d sessions and %d tokens are left", n, m)
			}
		},
	} {
		f := newFixture(t)
		g := f.signIn(t)
		if _, err := f.Authenticate(t.Context(), g.AccessToken); err != nil {
			t.Fatal(err)
		}
		end(t, f, g)
		if _, err := f.Authenticate(t.Context(), g.AccessToken); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: the access token gives %v", name, err)
		}
		if _, err := f.Refresh(t.Context(), g.RefreshToken, "192.0.2.7"); !errors.Is(err, ErrSessionEnded) {
			t.Errorf("%s: the refresh token gives %v", name, err)
		}
	}
}

func TestSignOutOfSomebodyElse(t *testing.T) {
	f := newFixture(t)
	g := f.signIn(t)
	if err := f.SignOut(t.Context(), Principal{Person: benID, Session: g.Principal.Session}, "192.0.2.7"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Authenticate(t.Context(), g.AccessToken); err != nil {
		t.Errorf("somebody else ended the session: %v", err)
	}
}

// A session is looked up once in trustFor, not for every request, and never trusted longer.
func TestTrustIsShort(t *testing.T) {
	f := newFixture(t)
	g := f.signIn(t)
	authenticate := func() (Principal, error) { return f.Authenticate(t.Context(), g.AccessToken) }
	if _, err := authenticate(); err != nil {
		t.Fatal(err)
	}
	views := f.store.views
	for range 10 {
		if _, err := authenticate(); err != nil {
			t.Fatal(err)
		}
	}
	if f.store.views != views {
		t.Errorf("%d looks at the store where it trusts", f.store.views-views)
	}
	f.change(func(a *Account) { a.Role = "manager" })
	f.clock.turn(trustFor)
	if p, err := authenticate(); err != nil || p.Role != "manager" {
		t.Errorf("after that: %+v, %v", p, err)
	}
	for i := range trustLimit + 10 {
		f.trusted.remember(Principal{Token: fmt.Sprint(i)}, []byte(fmt.Sprint(i)), f.clock.now(), f.trusted.forgets)
	}
	if n := max(len(f.trusted.by), len(f.trusted.tokens)); n > trustLimit {
		t.Errorf("%d sessions are remembered", n)
	}
}

// What is about an account or about sessions has its person looked up again, and settings everybody; a read does not.
func TestHeed(t *testing.T) {
	about := func(t audit.Type, person string) audit.Event {
		return audit.Event{Type: t, Subject: audit.Values{"person": person}}
	}
	for name, row := range map[string]struct {
		event audit.Event
		looks bool
	}{
		"an account":              {about(audit.AccountChanged, annID), true},
		"a session":               {about(audit.SessionEnded, annID), true},
		"tokens":                  {about(audit.TokenRevoked, annID), true},
		"a factor":                {about(audit.FactorChanged, annID), true},
		"settings":                {audit.Event{Type: audit.SettingsChanged}, true},
		"somebody else's account": {about(audit.AccountChanged, benID), false},
		"nobody's":                {audit.Event{Type: audit.AccountInvited}, false},
		"a file":                  {about(audit.FilePut, annID), false},
		"a key":                   {about(audit.KeyPublished, annID), false},
	} {
		f := newFixture(t)
		g := f.signIn(t)
		if _, err := f.Authenticate(t.Context(), g.AccessToken); err != nil {
			t.Fatal(err)
		}
		f.change(func(a *Account) { a.Active = false })
		f.Heed(row.event)
		if _, err := f.Authenticate(t.Context(), g.AccessToken); errors.Is(err, ErrUnauthenticated) != row.looks {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A look-up that began before a sign-out must not bring the session back.
func TestTrustAfterSignOut(t *testing.T) {
	f := newFixture(t)
	g := f.signIn(t)
	before := f.trusted.forgets
	if err := f.SignOut(t.Context(), g.Principal, "192.0.2.7"); err != nil {
		t.Fatal(err)
	}
	f.trusted.remember(g.Principal, nil, f.clock.now(), before)
	if _, err := f.Authenticate(t.Context(), g.AccessToken); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("signed out, and still %v", err)
	}
}

// The reply to a refresh is lost in both ways that it can be; the session goes on.
func TestRefreshFaults(t *testing.T) {
	broken := errors.New("disk on fire")
	for name, set := range map[string]func(*memory, error){
		"failed and not kept": func(m *memory, err error) { m.failBefore = err },
		"failed but kept":     func(m *memory, err error) { m.failAfter = err },
	} {
		f := newFixture(t)
		g := f.signIn(t)
		set(f.store, broken)
		if _, err := f.Refresh(t.Context(), g.RefreshToken, "192.0.2.7"); !errors.Is(err, broken) || errors.Is(err, ErrSessionEnded) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := f.SignIn(t.Context(), Credentials{Name: "Ann", Password: goodPassword}); !errors.Is(err, broken) {
			t.Errorf("%s: signing in: %v", name, err)
		}
		if err := f.SignOut(t.Context(), Principal{Person: benID}, "192.0.2.7"); err != nil {
			t.Errorf("%s: a sign-out that has nothing to do: %v", name, err)
		}
		set(f.store, nil)
		f.clock.turn(RefreshGrace)
		if _, err := f.Refresh(t.Context(), g.RefreshToken, "192.0.2.7"); err != nil {
			t.Errorf("%s: trying again: %v", name, err)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	f := newFixture(t)
	g := f.signIn(t)
	c := Credentials{Name: "Ann", Password: goodPassword}
	for _, v := range []any{g, &g, c, &c, tokenSecret("secret secret secret")} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
			if text := fmt.Sprintf(verb, v); text != hidden {
				t.Errorf("%s of %T shows %s", verb, v, text)
			}
		}
	}
}
