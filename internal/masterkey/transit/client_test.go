package transit

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stonevault/internal/masterkey/transittest"
)

func fixed(text string) Secret { return func() (string, error) { return text, nil } }

// options are those of a client of the stand-in.
func options(s *transittest.Server) Options {
	return Options{
		Address: s.Address(), Mount: transittest.Mount, Key: transittest.Key, Token: fixed(transittest.Root), Timeout: time.Second,
	}
}

func client(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var aKey = []byte("svmk1-the-text-of-a-key-file")

func wrap(t testing.TB, c *Client) Wrapped {
	t.Helper()
	w, err := c.Wrap(t.Context(), aKey)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// opens tells whether a client opens what was wrapped.
func opens(c *Client, w Wrapped) error {
	text, err := c.Unwrap(context.Background(), w)
	if err == nil && !bytes.Equal(text, aKey) {
		return fmt.Errorf("it opens as %q", text)
	}
	return err
}

func TestWrap(t *testing.T) {
	s := transittest.Start(t)
	s.Make("team/transit", "derived", "chacha20-poly1305", true)
	s.Make("transit", "other", "aes256-gcm96", false)
	for _, c := range []struct{ mount, key, prefix string }{
		{"transit", "stonevault", "svmkt1 vault:v1:"}, {"/team/transit/", "derived", "svmkt1 derived vault:v1:"},
	} {
		o := options(s)
		o.Mount, o.Key = c.mount, c.key
		tr := client(t, o)
		w := wrap(t, tr)
		if !strings.HasPrefix(w.String(), c.prefix) || w.Version() != 1 || strings.Contains(w.String(), string(aKey)) {
			t.Errorf("%s is wrapped as %s", c.key, w)
		}
		read, err := ParseWrapped(w.String() + "\n")
		if err != nil || read != w {
			t.Errorf("%+v is read as %+v, %v", w, read, err)
		}
		if err := opens(tr, read); err != nil {
			t.Error(err)
		}
		o.Mount, o.Key = "transit", "other"
		if err := opens(client(t, o), w); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "message authentication failed") {
			t.Errorf("another key opens it: %v", err)
		}
	}
}

// TestVersions: what an old version has wrapped opens until that is forbidden, and is wrapped anew by the newest.
func TestVersions(t *testing.T) {
	s := transittest.Start(t)
	c := client(t, options(s))
	first := wrap(t, c)
	s.Rotate()
	if err := opens(c, first); err != nil {
		t.Error(err)
	}
	second := wrap(t, c)
	info, err := c.Describe(t.Context())
	if err != nil || second.Version() != 2 || info != (KeyInfo{"aes256-gcm96", false, 2, 1}) {
		t.Errorf("version %d, %+v, %v", second.Version(), info, err)
	}
	s.Forbid(2)
	if err := opens(c, first); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "too old") {
		t.Errorf("a version that is forbidden: %v", err)
	}
	if err := opens(c, second); err != nil {
		t.Error(err)
	}
}

func TestWrapRefuses(t *testing.T) {
	s := transittest.Start(t)
	for _, kind := range []string{"rsa-4096", "aes128-gcm96", "ed25519", "managed_key"} {
		s.Make("transit", "weak", kind, false)
		o := options(s)
		o.Key = "weak"
		if _, err := client(t, o).Wrap(t.Context(), aKey); err == nil || !strings.Contains(err.Error(), "must not wrap a master key") || s.Asked("encrypt") > 0 {
			t.Errorf("%s: %v, %d", kind, err, s.Asked("encrypt"))
		}
	}
	s.Change(func(s *transittest.Server) { s.NoRead = true })
	if _, err := client(t, options(s)).Wrap(t.Context(), aKey); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "allow read on transit/keys/stonevault") {
		t.Errorf("a key that must not be read: %v", err)
	}
	s.Change(func(s *transittest.Server) { s.NoRead, s.NoDecrypt = false, true })
	if _, err := client(t, options(s)).Wrap(t.Context(), aKey); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "does not open again") {
		t.Errorf("a key that must not decrypt: %v", err)
	}
}

func TestParseWrapped(t *testing.T) {
	for _, text := range []string{
		"", "svmkt1", "svmkt1 ", "svmk1WlpaWlpa", "vault:v1:AAAA", "svmkt2 vault:v1:AAAA", "svmkt1 vault:v0:AAAA", "svmkt1 vault:v01:AAAA",
		"svmkt1 vault:v1:", "svmkt1 vault:v1:AA-A", "svmkt1 other vault:v1:AAAA", "svmkt1 derived vault:v1:AAAA x", "svmkt1 vault:v1:AAAA vault:v1:AAAA",
		"svmkt1 vault:v1:A=A=", "svmkt1 vault:v9999999999:AAAA", "svmkt1 vault:v1:" + strings.Repeat("A", maxText),
	} {
		if _, err := ParseWrapped(text); !errors.Is(err, ErrNotWrapped) {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

// TestAnswers goes through what an engine, or something in between, may answer: a no is a no, all else may pass.
func TestAnswers(t *testing.T) {
	s := transittest.Start(t)
	c := client(t, options(s))
	w := wrap(t, c)
	const js = "application/json"
	huge := `{"data":{"plaintext":"` + strings.Repeat("A", maxAnswer) + `"}}`
	for _, a := range []struct {
		name  string
		fault transittest.Fault
		want  error
		says  string
	}{
		{"down", transittest.Down, ErrUnreachable, ""},
		{"403", transittest.Refuse(403, "permission denied"), ErrRefused, "permission denied"},
		{"403 of a proxy", transittest.Say(403, "text/html", "<h1>no</h1>"), ErrRefused, "status 403"},
		{"400", transittest.Refuse(400, "encryption key not found"), ErrRefused, "encryption key not found"},
		{"400 of a proxy", transittest.Say(400, "text/html", "<h1>bad</h1>"), ErrUnreachable, "status 400"},
		{"404", transittest.Refuse(404), ErrRefused, "status 404"},
		{"404 of a proxy", transittest.Say(404, js, `{"message":"no route"}`), ErrUnreachable, "status 404"},
		{"412", transittest.Refuse(412, "required index state not present"), ErrUnreachable, "required index"},
		{"429", transittest.Refuse(429, "request path quota exceeded"), ErrUnreachable, "quota exceeded"},
		{"500", transittest.Refuse(500, "internal error"), ErrUnreachable, "internal error"},
		{"sealed", transittest.Refuse(503, "Vault is sealed"), ErrUnreachable, "Vault is sealed"},
		{"502 of a proxy", transittest.Say(502, "text/html", "<h1>bad gateway</h1>"), ErrUnreachable, "status 502"},
		{"no content", transittest.Say(204, js, ""), ErrUnreachable, "status 204"},
		{"a page", transittest.Say(200, "text/html", "<h1>hello</h1>"), ErrUnreachable, "not what it documents"},
		{"no JSON", transittest.Say(200, js, "{"), ErrUnreachable, "not what it documents"},
		{"two answers", transittest.Say(200, js, `{"data":{"plaintext":"AAAA"}}{}`), ErrUnreachable, "not what it documents"},
		{"no data", transittest.Say(200, js, `{}`), ErrUnreachable, "has no data"},
		{"no plaintext", transittest.Say(200, js, `{"data":{}}`), ErrUnreachable, "no plaintext"},
		{"no base64", transittest.Say(200, js, `{"data":{"plaintext":"?"}}`), ErrUnreachable, "not what it documents"},
		{"a number", transittest.Say(200, js, `{"data":{"plaintext":1}}`), ErrUnreachable, "not what it documents"},
		{"huge", transittest.Say(200, js, huge), ErrUnreachable, "longer than"},
		{"huge words", transittest.Refuse(400, strings.Repeat("no ", 4000)), ErrRefused, "no no no"},
		{"words that no terminal should see", transittest.Refuse(400, "a\x1b[31mb\nc"), ErrRefused, ": a [31mb c)"},
		{"words with the token", transittest.Refuse(403, "bad token "+transittest.Root), ErrRefused, "left out"},
		{"an endless redirect", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
			return true
		}, ErrUnreachable, "again and again"},
		{"a redirect into clear text", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://vault.example/v1/", http.StatusTemporaryRedirect)
			return true
		}, ErrUnreachable, "without TLS"},
	} {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			s := transittest.Start(t)
			s.Break(a.fault)
			err := opens(client(t, options(s)), w)
			if !errors.Is(err, a.want) || !strings.Contains(err.Error(), a.says) {
				t.Fatalf("%v", err)
			}
			if errors.Is(err, ErrRefused) == errors.Is(err, ErrUnreachable) || len(err.Error()) > 2*shownWords+100 || strings.Contains(err.Error(), transittest.Root) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestTries: what may pass is asked again a few times, a refusal is not, and nobody waits without an end.
func TestTries(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(n int) transittest.Fault // nil answers
		asked int
		ok    bool
	}{
		{"twice", func(n int) transittest.Fault { return [...]transittest.Fault{transittest.Down, nil}[n-1] }, 2, true},
		{"three times", func(int) transittest.Fault { return transittest.Refuse(500) }, 3, false},
		{"refused", func(int) transittest.Fault { return transittest.Refuse(400, "no") }, 1, false},
		{"soon", func(n int) transittest.Fault {
			return [...]transittest.Fault{func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Retry-After", "1")
				return transittest.Refuse(429)(w, r)
			}, nil}[n-1]
		}, 2, true},
		{"much later", func(int) transittest.Fault {
			return func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Retry-After", "600")
				return transittest.Refuse(429)(w, r)
			}
		}, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := transittest.Start(t)
			tr := client(t, options(s))
			w := wrap(t, tr)
			asked := 0
			s.Break(func(rw http.ResponseWriter, r *http.Request) bool {
				asked++
				fault := c.fault(asked)
				return fault != nil && fault(rw, r)
			})
			if err := opens(tr, w); (err == nil) != c.ok || asked != c.asked {
				t.Errorf("asked %d times: %v", asked, err)
			}
		})
	}
}

func TestHangs(t *testing.T) {
	s := transittest.Start(t)
	o := options(s)
	o.Timeout = 100 * time.Millisecond
	c := client(t, o)
	w := wrap(t, c)
	s.Break(transittest.Hang(time.Minute))
	began := time.Now()
	if err := opens(c, w); !errors.Is(err, ErrUnreachable) || time.Since(began) > 30*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	o.Timeout = time.Minute
	c = client(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began = time.Now()
	if _, err := c.Unwrap(ctx, w); err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("%v after %v, at a deadline of 50 ms", err, time.Since(began))
	}
}

func TestAddresses(t *testing.T) {
	for _, good := range []string{"https://vault.example:8200", "https://10.0.0.1/", "http://127.0.0.1:8200", "http://localhost:8200", "http://[::1]:8200"} {
		if err := CheckAddress(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, says := range map[string]string{
		"http://vault.example:8200": "in clear", "http://10.0.0.1": "in clear", "http://localhost.example": "in clear",
		"https://user:secret@vault.example": "must be an address", "https://vault.example/v1": "must be an address", "vault.example:8200": "must be",
		"https://vault.example?token=secret": "must be an address", "https://": "must be", "unix:///run/vault.sock": "must be",
	} {
		if err := CheckAddress(bad); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestTLS(t *testing.T) {
	s := transittest.StartTLS(t)
	o := options(s)
	if _, err := client(t, o).Wrap(t.Context(), aKey); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
	o.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a file that is missing: %v", err)
	}
	for _, text := range []string{"nothing", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate()}))} {
		if err := os.WriteFile(o.CAFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := New(o)
		if text == "nothing" {
			if err == nil || !strings.Contains(err.Error(), "no certificate in") {
				t.Errorf("a file without a certificate: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := opens(c, wrap(t, c)); err != nil || c.Exchange() != "X25519MLKEM768" || c.Classical() {
			t.Errorf("%v, by %q", err, c.Exchange())
		}
	}
	// A standby leads to the active server by 307.
	standby := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, s.Address()+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer standby.Close()
	o.Address = standby.URL
	c := client(t, o)
	if err := opens(c, wrap(t, c)); err != nil {
		t.Error(err)
	}
}

func TestNamespace(t *testing.T) {
	s := transittest.Start(t)
	s.Change(func(s *transittest.Server) { s.Namespace = "team/a" })
	o := options(s)
	if _, err := client(t, o).Wrap(t.Context(), aKey); !errors.Is(err, ErrRefused) {
		t.Errorf("without the namespace: %v", err)
	}
	o.Namespace = "team/a"
	wrap(t, client(t, o))
}

// TestTokens: a token is read each time, and one that is refused is read again before that counts.
func TestTokens(t *testing.T) {
	s := transittest.Start(t)
	first := s.Token(0)
	var given []string
	o := options(s)
	o.Token = func() (string, error) {
		token := given[0]
		if len(given) > 1 {
			given = given[1:]
		}
		return token, nil
	}
	c := client(t, o)
	given = []string{first}
	w := wrap(t, c)
	s.Revoke(first)
	second := s.Token(0)
	given = []string{first, second}
	if err := opens(c, w); err != nil {
		t.Errorf("a token that was renewed meanwhile: %v", err)
	}
	s.Revoke(second)
	if err := opens(c, w); !errors.Is(err, ErrRefused) {
		t.Errorf("a token that was revoked: %v", err)
	}
	for _, bad := range []string{"", "two words", "a\r\nX-Other: b", "é", strings.Repeat("a", maxToken+1)} {
		given = []string{bad}
		if err := opens(c, w); !errors.Is(err, ErrUnreachable) || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("the token %.20q: %v", bad, err)
		}
	}
	o.Token = func() (string, error) { return "", os.ErrNotExist }
	if err := opens(client(t, o), w); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "the token cannot be read") {
		t.Errorf("a token that is gone: %v", err)
	}
}

// TestAppRole logs in, renews, logs in anew where that cannot be, and is refused where the role is.
func TestAppRole(t *testing.T) {
	s := transittest.Start(t)
	s.Change(func(s *transittest.Server) { s.Lease = time.Hour })
	now := time.Now()
	o := options(s)
	o.Token, o.RoleID, o.SecretID, o.Now = nil, transittest.RoleID, fixed(transittest.SecretID), func() time.Time { return now }
	c := client(t, o)
	w := wrap(t, c)
	expect := func(what string, logins, renewals int) {
		t.Helper()
		if err := opens(c, w); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if s.Asked("login") != logins || s.Asked("renew-self") != renewals {
			t.Errorf("%s: %d logins and %d renewals, not %d and %d", what, s.Asked("login"), s.Asked("renew-self"), logins, renewals)
		}
	}
	expect("at first", 1, 0)
	now = now.Add(39 * time.Minute)
	expect("before two thirds of the time", 1, 0)
	now = now.Add(2 * time.Minute)
	expect("after", 1, 1)
	now = now.Add(2 * time.Hour)
	expect("when it is over", 2, 1)
	s.Change(func(s *transittest.Server) { s.NoRenewal = true })
	now = now.Add(41 * time.Minute)
	expect("where it cannot be renewed", 3, 2)
	s.Revoke()
	expect("revoked, while the role is not", 4, 2)
	s.Change(func(s *transittest.Server) { s.NoDecrypt = true })
	if err := opens(c, w); !errors.Is(err, ErrRefused) {
		t.Errorf("a policy that refuses: %v", err)
	}
	s.Change(func(s *transittest.Server) { s.NoDecrypt, s.NoRole = false, true })
	s.Revoke()
	err := opens(c, w)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "logging in") || !strings.Contains(err.Error(), "invalid role or secret ID") {
		t.Errorf("a role that is gone: %v", err)
	}
	s.Change(func(s *transittest.Server) { s.NoRole, s.Lease = false, 0 })
	logins := s.Asked("login")
	expect("a token that never ends", logins+1, 2)
	now = now.Add(10000 * time.Hour)
	expect("much later", logins+1, 2)

	for _, bad := range []string{`{}`, `{"auth":null}`, `{"auth":{"client_token":""}}`, `{"auth":{"client_token":"a\nb"}}`, `{"auth":{"client_token":"a","lease_duration":-1}}`} {
		s.Break(transittest.Say(200, "application/json", bad))
		if err := opens(client(t, o), w); !errors.Is(err, ErrUnreachable) {
			t.Errorf("a login with %s: %v", bad, err)
		}
	}
	s.Break(transittest.Refuse(400, "no such secret "+transittest.SecretID))
	if err := opens(client(t, o), w); !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), transittest.SecretID) {
		t.Errorf("words with the secret id: %v", err)
	}
}

// TestRenewalAway: a token that has not ended is used on while the engine cannot renew it.
func TestRenewalAway(t *testing.T) {
	s := transittest.Start(t)
	s.Change(func(s *transittest.Server) { s.Lease = time.Hour })
	now := time.Now()
	o := options(s)
	o.Token, o.RoleID, o.SecretID, o.Now = nil, transittest.RoleID, fixed(transittest.SecretID), func() time.Time { return now }
	c := client(t, o)
	w := wrap(t, c)
	now = now.Add(50 * time.Minute)
	s.Break(func(w http.ResponseWriter, r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, "renew-self") && transittest.Refuse(500)(w, r)
	})
	if err := opens(c, w); err != nil || s.Asked("login") != 1 {
		t.Errorf("%v, %d logins", err, s.Asked("login"))
	}
}
