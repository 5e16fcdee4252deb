package front

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// generated writes a certificate for names, with its key, and returns its path.
func generated(t testing.TB, dir string, names ...string) string {
	t.Helper()
	withKey, _, err := Generate(names, time.Now())
	check(t, err)
	path := filepath.Join(dir, "pair.pem")
	check(t, os.WriteFile(path, withKey, 0o600))
	return path
}

func certificates(t testing.TB) *Certificates {
	t.Helper()
	path := generated(t, t.TempDir(), "vault.example.org")
	c, err := LoadCertificates(path, path, time.Now)
	check(t, err)
	return c
}

// TestGroups lets clients of all kinds in, or not, and looks at what is told of them.
func TestGroups(t *testing.T) {
	certs := certificates(t)
	for _, c := range []struct {
		name    string
		require bool
		client  *tls.Config
		group   tls.CurveID // 0 is refused
		why     Refusal
	}{
		{name: "a modern client", group: tls.X25519MLKEM768},
		{name: "a modern client where it is required", require: true, group: tls.X25519MLKEM768},
		{name: "the larger group alone", require: true, client: &tls.Config{CurvePreferences: []tls.CurveID{tls.SecP384r1MLKEM1024}}, group: tls.SecP384r1MLKEM1024},
		{name: "the group with P-256 alone", require: true, client: &tls.Config{CurvePreferences: []tls.CurveID{tls.SecP256r1MLKEM768}}, group: tls.SecP256r1MLKEM768},
		{name: "a client that would rather be classical", client: &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519, tls.SecP384r1MLKEM1024}}, group: tls.SecP384r1MLKEM1024},
		{name: "X25519 alone", client: &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}}, group: tls.X25519},
		{name: "P-521 alone", client: &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP521}}, group: tls.CurveP521},
		{name: "X25519 alone where more is required", require: true, client: &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}}, why: RefusedClassical},
		{name: "every classical group where more is required", require: true, client: &tls.Config{CurvePreferences: classical}, why: RefusedClassical},
		{name: "TLS 1.2", client: &tls.Config{MaxVersion: tls.VersionTLS12}, why: RefusedVersion},
		{name: "TLS 1.2 where more is required", require: true, client: &tls.Config{MaxVersion: tls.VersionTLS12}, why: RefusedVersion},
	} {
		t.Run(c.name, func(t *testing.T) {
			var agreed []tls.CurveID
			var refused []Refusal
			config, err := Config(certs, c.require, Watch{
				Agreed: func(g tls.CurveID) { agreed = append(agreed, g) },
				Refused: func(who net.Addr, why Refusal) {
					if who == nil {
						t.Error("nobody was refused")
					}
					refused = append(refused, why)
				},
			})
			check(t, err)
			near, far := net.Pipe()
			ended := make(chan error, 1)
			go func() {
				server := tls.Server(far, config)
				err := server.Handshake()
				if err == nil {
					_, err = server.Write([]byte("hello"))
				}
				ended <- errors.Join(err, far.Close())
			}()
			if c.client == nil {
				c.client = &tls.Config{}
			}
			c.client.InsecureSkipVerify = true
			client := tls.Client(near, c.client)
			text, clientErr := io.ReadAll(client)
			serverErr := <-ended
			if c.group == 0 {
				if clientErr == nil || serverErr == nil || len(agreed) != 0 || len(refused) != 1 || refused[0] != c.why || c.why.About() == "" {
					t.Errorf("%v, %v, agreed %v, refused %v", clientErr, serverErr, agreed, refused)
				}
				return
			}
			if clientErr != nil || serverErr != nil || string(text) != "hello" {
				t.Fatalf("%q, %v, %v", text, clientErr, serverErr)
			}
			if client.ConnectionState().CurveID != c.group || len(agreed) != 1 || agreed[0] != c.group || len(refused) != 0 {
				t.Errorf("%v, agreed %v, refused %v", client.ConnectionState().CurveID, agreed, refused)
			}
			if PostQuantum(c.group) != strings.Contains(c.group.String(), "MLKEM") {
				t.Errorf("%v", c.group)
			}
		})
	}
}

// TestSwitchedOff refuses to begin where the environment leaves post-quantum key exchanges out.
func TestSwitchedOff(t *testing.T) {
	if os.Getenv("FRONT_TEST_SWITCHED_OFF") != "" {
		for _, require := range []bool{false, true} {
			if _, err := Config(certificates(t), require, Watch{}); err == nil {
				t.Error("it begins")
			} else if !require && !strings.Contains(err.Error(), "unset GODEBUG") {
				t.Error(err)
			}
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSwitchedOff$", "-test.v")
	cmd.Env = append(os.Environ(), "FRONT_TEST_SWITCHED_OFF=1", "GODEBUG=tlsmlkem=0")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS: TestSwitchedOff") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestReload(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	now := time.Now()
	put := func(path string, text []byte) { t.Helper(); check(t, os.WriteFile(path, text, 0o600)) }
	one, oneCert, err := Generate([]string{"one.example"}, now)
	check(t, err)
	two, twoCert, err := Generate([]string{"two.example"}, now)
	check(t, err)
	old, oldCert, err := Generate([]string{"old.example"}, now.Add(-2*generatedFor))
	check(t, err)
	put(certFile, oneCert)
	put(keyFile, one)
	c, err := LoadCertificates(certFile, keyFile, time.Now)
	check(t, err)
	for _, step := range []struct {
		name    string
		change  func()
		changed bool
		say     string
		serves  string
	}{
		{"nothing", func() {}, false, "", "one.example"},
		{"the same again", func() { put(certFile, append(oneCert, '\n')) }, false, "", "one.example"},
		{"a certificate without its key", func() { put(certFile, twoCert) }, false, "are no certificate and its key in PEM", "one.example"},
		{"still", func() {}, false, "", "one.example"},
		{"its key as well", func() { put(keyFile, two) }, true, "", "two.example"},
		{"rubbish", func() { put(certFile, []byte("rubbish")) }, false, "are no certificate", "two.example"},
		{"nothing at all", func() { put(certFile, nil) }, false, "are no certificate", "two.example"},
		{"too much", func() { put(certFile, make([]byte, maxPEM+1)) }, false, "is longer than", "two.example"},
		{"no file", func() { check(t, os.Remove(certFile)) }, false, "cannot be read: no such file", "two.example"},
		{"still no file", func() {}, false, "", "two.example"},
		{"a key for everybody", func() { put(certFile, oneCert); put(keyFile, one); check(t, os.Chmod(keyFile, 0o644)) }, false, "everybody on this machine can read the private key", "two.example"},
		{"a key for a group", func() { check(t, os.Chmod(keyFile, 0o640)) }, true, "", "one.example"},
		{"one that is over", func() { put(certFile, oldCert); put(keyFile, old) }, false, "has expired", "one.example"},
		{"the first again", func() { put(certFile, oneCert); put(keyFile, one) }, false, "", "one.example"},
	} {
		step.change()
		changed, err := c.Reload()
		if changed != step.changed || (err == nil) != (step.say == "") || err != nil && !strings.Contains(err.Error(), step.say) {
			t.Errorf("%s: %v, %v", step.name, changed, err)
		}
		if err != nil && strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: %v", step.name, err)
		}
		if err := c.Leaf().VerifyHostname(step.serves); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
	}
	put(certFile, []byte("rubbish"))
	if _, err := LoadCertificates(certFile, keyFile, time.Now); err == nil {
		t.Error("rubbish was loaded")
	}
}

func TestGenerate(t *testing.T) {
	now := time.Now()
	names := []string{"Vault.example.org", "192.0.2.7", "::1", "localhost"}
	withKey, certificate, err := Generate(names, now)
	check(t, err)
	if strings.Contains(string(certificate), "PRIVATE") {
		t.Fatal("the key is in what may be given away")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certificate) {
		t.Fatal("it is no certificate")
	}
	pair, err := tls.X509KeyPair(withKey, withKey)
	check(t, err)
	for _, name := range names {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := NamesOf(pair.Leaf); strings.Join(got, " ") != "vault.example.org localhost 192.0.2.7 ::1" {
		t.Errorf("%v", got)
	}
	if len(Fingerprint(pair.Leaf)) != 64 || pair.Leaf.IsCA {
		t.Errorf("%s, authority %v", Fingerprint(pair.Leaf), pair.Leaf.IsCA)
	}
	for _, c := range []struct {
		name  string
		text  []byte
		names []string
		at    time.Time
		want  bool
	}{
		{"itself", withKey, names, now, true},
		{"fewer names", withKey, names[:1], now, true},
		{"another name", withKey, []string{"other.example"}, now, false},
		{"another address", withKey, []string{"192.0.2.8"}, now, false},
		{"before it is to be renewed", withKey, names, now.Add(generatedFor - renewBefore - time.Hour), true},
		{"when it is to be renewed", withKey, names, now.Add(generatedFor - renewBefore + time.Hour), false},
		{"before it begins", withKey, names, now.Add(-2 * time.Hour), false},
	} {
		if got, err := Serves(c.text, c.names, c.at); got != c.want || err != nil {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	for _, text := range [][]byte{nil, certificate} {
		if got, err := Serves(text, names, now); got || err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestStrict(t *testing.T) {
	h := Strict(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, c := range []struct {
		url  string
		want string
	}{
		{"https://vault.example.org/", strictFor}, {"https://vault.example.org:8443/", strictFor},
		{"http://vault.example.org/", ""}, {"https://localhost/", ""}, {"https://LOCALHOST:8443/", ""}, {"https://a.localhost/", ""},
		{"https://127.0.0.1/", ""}, {"https://192.0.2.7:8443/", ""}, {"https://[::1]/", ""}, {"https://[2001:db8::1]:8443/", ""},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", c.url, nil))
		if got := w.Header().Get("Strict-Transport-Security"); got != c.want {
			t.Errorf("%s: %q", c.url, got)
		}
	}
}
