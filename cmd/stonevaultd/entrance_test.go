package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stonevault/internal/config"
	"stonevault/internal/front"
)

// secureServer is the program in this process, with TLS and metrics, and its log.
func secureServer(t testing.TB, change func(*config.Config)) (*Server, *output) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	s := newServer(t, data)
	s.Config.TLS.Generate = true
	s.Config.MetricsListen = "127.0.0.1:0"
	if change != nil {
		change(&s.Config)
	}
	logged := &output{}
	s.Log = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	check(t, s.Run(t.Context()))
	t.Cleanup(func() { closeServer(t, s) })
	return s, logged
}

// trusting is a client's TLS for a server that made its own certificate.
func trusting(t testing.TB, s *Server) *tls.Config {
	t.Helper()
	_, public := s.store.dir.MadeCertificate()
	text, err := os.ReadFile(public)
	check(t, err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) || bytes.Contains(text, []byte("PRIVATE")) {
		t.Fatalf("%s is not the certificate alone", public)
	}
	return &tls.Config{RootCAs: roots}
}

func metricsOf(t testing.TB, s *Server) string {
	t.Helper()
	r, err := http.Get("http://" + s.listeners[1].Addr().String())
	check(t, err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	check(t, err)
	return string(text)
}

// TestExchanges lets clients with all kinds of key exchange in or not, and finds each in log and metrics.
func TestExchanges(t *testing.T) {
	for _, require := range []bool{false, true} {
		s, logged := secureServer(t, func(c *config.Config) { c.TLS.RequirePostQuantum = require })
		for _, c := range []struct {
			client   *tls.Config
			exchange string // empty is refused always
			reason   string // why it is, where it is
		}{
			{client: &tls.Config{}, exchange: "X25519MLKEM768"},
			{client: &tls.Config{CurvePreferences: []tls.CurveID{tls.SecP384r1MLKEM1024}}, exchange: "SecP384r1MLKEM1024"},
			{client: &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}}, exchange: "X25519", reason: "classical"},
			{client: &tls.Config{MaxVersion: tls.VersionTLS12}, reason: "version"},
		} {
			logged.reset()
			before := metricsOf(t, s)
			c.client.RootCAs = trusting(t, s).RootCAs
			h := &http.Client{Transport: &http.Transport{TLSClientConfig: c.client}}
			r, err := h.Get("https://" + s.Addr() + "/api/v1/vault")
			if err == nil {
				r.Body.Close()
			}
			h.CloseIdleConnections()
			refused := c.exchange == "" || require && c.reason != ""
			after := metricsOf(t, s)
			var line, metric string
			if refused {
				line, metric = "a client was turned away", `stonevault_turned_away_total{reason="`+c.reason+`"}`
			} else {
				line, metric = "exchange="+c.exchange, `stonevault_tls_handshakes_total{exchange="`+c.exchange+`"}`
			}
			if refused != (err != nil) {
				t.Errorf("required %v, %s: %v", require, c.exchange, err)
			}
			waitFor(t, "the log", func() bool { return strings.Contains(logged.String(), line) })
			if !strings.Contains(logged.String(), "client=127.0.0.1") || refused != strings.Contains(logged.String(), "reason="+c.reason+"\n") {
				t.Errorf("the log says %s", logged)
			}
			if was, is := counted(before, metric), counted(after, metric); is != was+"1" && !(was == "0" && is == "1") {
				t.Errorf("required %v, %s was %q and is %q", require, metric, was, is)
			}
		}
		if !strings.Contains(metricsOf(t, s), "stonevault_tls_certificate_expires_seconds 1.") {
			t.Error("no metric of the certificate's end")
		}
	}
}

func (o *output) reset() { o.mu.Lock(); defer o.mu.Unlock(); o.b.Reset() }

// counted is a counter's value, or empty where it has not begun.
func counted(metrics, name string) string {
	for line := range strings.Lines(metrics) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// overTLS signs in by TLS, with HTTP/2 where h2 says so.
func overTLS(t testing.TB, s *Server, name string, h2 bool) *client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: trusting(t, s), ForceAttemptHTTP2: h2}
	c := &client{t: t, addr: s.Addr(), scheme: "https", http: &http.Client{Transport: transport}}
	t.Cleanup(c.http.CloseIdleConnections)
	c.signIn(name)
	return c
}

// TestHTTP2 streams both ways by one HTTP/2 connection: large contents, slow ones, many at once, and ones that
// are refused or break off.
func TestHTTP2(t *testing.T) {
	s, logged := secureServer(t, nil)
	makePerson(t, s, "ann")
	ann := overTLS(t, s, "ann", true)
	content := make([]byte, 9<<20+123)
	rand.Read(content)
	want := sha256.Sum256(content)
	if r := ann.must(ann.put("/large.bin", content)); r.status != http.StatusCreated {
		t.Fatalf("status %d: %.300s", r.status, r.body)
	}
	res, err := ann.send("GET", contentPath("/large.bin"), nil, nil)
	check(t, err)
	defer res.Body.Close()
	if res.ProtoMajor != 2 || res.TLS == nil || res.TLS.CurveID != tls.X25519MLKEM768 {
		t.Errorf("it speaks %s, %v", res.Proto, res.TLS)
	}
	if got, err := io.ReadAll(res.Body); err != nil || sha256.Sum256(got) != want {
		t.Errorf("%d bytes, %v", len(got), err)
	}

	// A download and an upload that feed each other: neither ends before the other has begun.
	down, err := ann.send("GET", contentPath("/large.bin"), nil, nil)
	check(t, err)
	defer down.Body.Close()
	if r := ann.must(ann.do("PUT", contentPath("/copy.bin"), &slow{r: down.Body}, nil)); r.status != http.StatusCreated {
		t.Fatalf("status %d: %.300s", r.status, r.body)
	}
	if r := ann.must(ann.get("/copy.bin")); sha256.Sum256(r.body) != want {
		t.Errorf("the copy has %d bytes and is another", len(r.body))
	}
	if r := ann.must(ann.do("GET", contentPath("/copy.bin"), nil, http.Header{"Range": {"bytes=9000000-9000099"}})); r.status != http.StatusPartialContent || !bytes.Equal(r.body, content[9000000:9000100]) {
		t.Errorf("status %d, %d bytes", r.status, len(r.body))
	}

	// A body that breaks off leaves nothing, and the connection goes on.
	broken := io.MultiReader(bytes.NewReader(content[:3<<20]), brokenReader{})
	if _, err := ann.do("PUT", contentPath("/broken.bin"), broken, nil); err == nil {
		t.Error("a broken upload ended well")
	}
	ann.must(ann.get("/broken.bin")).want(t, http.StatusNotFound)

	// What is refused while it comes is answered at once, over a stream of which the rest is not read.
	r, err := ann.do("PUT", contentPath("/large.bin"), bytes.NewReader(content), http.Header{"If-None-Match": {"*"}})
	if err != nil || r.status != http.StatusPreconditionFailed {
		t.Errorf("status %d, %v", r.status, err)
	}

	// A download that fails to verify breaks off, and takes no other stream with it.
	f, _, err := ann.lookup("/copy.bin")
	check(t, err)
	path := object(s.store.dir.Path(), f.FileID, "body")
	damaged, err := os.ReadFile(path)
	check(t, err)
	damaged[len(damaged)/2] ^= 1
	check(t, os.WriteFile(path, damaged, 0o600))
	if r, err := ann.get("/copy.bin"); err == nil && r.status == http.StatusOK {
		t.Errorf("%d damaged bytes came whole", len(r.body))
	}
	if r := ann.must(ann.get("/large.bin")); sha256.Sum256(r.body) != want {
		t.Error("the connection does not go on")
	}
	if n := strings.Count(logged.String(), "exchange=X25519MLKEM768"); n < 10 {
		t.Errorf("%d requests have their key exchange in the log", n)
	}
	if got := counted(metricsOf(t, s), `stonevault_tls_handshakes_total{exchange="X25519MLKEM768"}`); got != "1" {
		t.Errorf("%s handshakes, want 1 for all of it", got)
	}
}

// slow hands out small pieces.
type slow struct{ r io.Reader }

func (s *slow) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), 64<<10)]) }

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestMadeCertificate keeps a certificate for as long as it will do.
func TestMadeCertificate(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	withKey, public := data+".tls.pem", data+".tls.crt"
	begin := func(names ...string) (fingerprint string, log string) {
		t.Helper()
		s := newServer(t, data)
		s.Config.TLS = config.TLS{Generate: true, Names: names}
		logged := &output{}
		s.Log = slog.New(slog.NewTextHandler(logged, nil))
		check(t, s.Run(t.Context()))
		defer closeServer(t, s)
		for _, name := range append(names, "localhost", "127.0.0.1") {
			c, err := tls.Dial("tcp", s.Addr(), &tls.Config{RootCAs: trusting(t, s).RootCAs, ServerName: name})
			check(t, err)
			c.Close()
		}
		return front.Fingerprint(s.entrance.certificates.Leaf()), logged.String()
	}
	first, log := begin()
	if info, err := os.Stat(withKey); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(public)
	check(t, err)
	if !strings.Contains(log, "a certificate was made") || !strings.Contains(log, "fingerprint="+first) || bytes.Contains(text, []byte("PRIVATE")) {
		t.Errorf("the log says %s", log)
	}
	again, log := begin()
	if again != first || strings.Contains(log, "was made") || !strings.Contains(log, "fingerprint="+first) {
		t.Errorf("%s and then %s: %s", first, again, log)
	}
	named, log := begin("vault.example.org", "192.0.2.7")
	if named == first || !strings.Contains(log, "was made") {
		t.Errorf("%s and then %s: %s", first, named, log)
	}
	if fewer, _ := begin(); fewer != named {
		t.Errorf("one for fewer names was made")
	}
	write(t, withKey, "rubbish")
	before := fingerprint(t, filepath.Dir(data))
	s := newServer(t, data)
	s.Config.TLS.Generate = true
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "is damaged") || !strings.Contains(err.Error(), "remove it, and another certificate is made") {
		t.Errorf("rubbish: %v", err)
	}
	if fingerprint(t, filepath.Dir(data)) != before {
		t.Error("something has changed")
	}
}

// TestCertificateFiles serves with a certificate from files, which change while the server runs.
func TestCertificateFiles(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	put := func(name string, at time.Time) {
		t.Helper()
		withKey, certificate, err := front.Generate([]string{name}, at)
		check(t, err)
		check(t, os.WriteFile(certFile, certificate, 0o644))
		check(t, os.WriteFile(keyFile, withKey, 0o600))
	}
	put("one.example", time.Now())
	s, logged := secureServer(t, func(c *config.Config) { c.TLS = config.TLS{CertFile: certFile, KeyFile: keyFile} })
	serves := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", s.Addr(), &tls.Config{InsecureSkipVerify: true})
		check(t, err)
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].DNSNames[0]
	}
	if got := serves(); got != "one.example" {
		t.Errorf("it serves %s", got)
	}
	for _, step := range []struct {
		change      func()
		serves, say string
	}{
		{func() { put("two.example", time.Now()) }, "two.example", "there is a new certificate"},
		{func() { write(t, keyFile, "rubbish") }, "two.example", "cannot be used, and the one before stays"},
		{func() {}, "two.example", ""},
		{func() { put("old.example", time.Now().Add(-1000*24*time.Hour)) }, "two.example", "has expired"},
		{func() { put("three.example", time.Now()) }, "three.example", "there is a new certificate"},
	} {
		logged.reset()
		step.change()
		s.reloadCertificate(t.Context())
		if got := serves(); got != step.serves || !strings.Contains(logged.String(), step.say) || step.say == "" && strings.Contains(logged.String(), "certificate") {
			t.Errorf("it serves %s and says %s", got, logged)
		}
	}
	put("old.example", time.Now().Add(-1000*24*time.Hour))
	_, logged = secureServer(t, func(c *config.Config) { c.TLS = config.TLS{CertFile: certFile, KeyFile: keyFile} })
	if !strings.Contains(logged.String(), "the certificate has expired") {
		t.Errorf("the log says %s", logged)
	}
	put("soon.example", time.Now().Add(-390*24*time.Hour))
	_, logged = secureServer(t, func(c *config.Config) { c.TLS = config.TLS{CertFile: certFile, KeyFile: keyFile} })
	if !strings.Contains(logged.String(), "the certificate expires soon") {
		t.Errorf("the log says %s", logged)
	}
}

// TestClientAddresses asks through a proxy and beside it, with headers that say another address.
func TestClientAddresses(t *testing.T) {
	forged := http.Header{"X-Forwarded-For": {"198.51.100.66"}, "Forwarded": {"for=198.51.100.66"}, "X-Real-Ip": {"198.51.100.66"}}
	for _, c := range []struct {
		name    string
		trusted string
		proxied bool
		want    string
	}{
		{"straight, nobody is trusted", "", false, "client=127.0.0.1"},
		{"by a proxy that nobody trusts", "", true, "client=127.0.0.1"},
		{"by a proxy, of which another is trusted", "10.0.0.0/8", true, "client=127.0.0.1"},
		{"by a trusted proxy", "127.0.0.1/32", true, "client=203.0.113.5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, logged := secureServer(t, func(f *config.Config) {
				f.TLS = config.TLS{}
				f.Proxy = config.Proxy{Header: "X-Forwarded-For"}
				if c.trusted != "" {
					f.Proxy.Trusted = []netip.Prefix{netip.MustParsePrefix(c.trusted)}
				}
			})
			addr := s.Addr()
			if c.proxied {
				addr = proxy(t, s.Addr(), "203.0.113.5")
			}
			asking := &client{t: t, addr: addr, http: newHTTP(t)}
			asking.must(asking.do("GET", "/api/v1/vault", nil, forged)).want(t, http.StatusOK)
			waitFor(t, "the log", func() bool { return strings.Contains(logged.String(), "route=/api/v1/vault") })
			if text := logged.String(); !strings.Contains(text, c.want) || strings.Contains(text, "198.51.100.66") {
				t.Errorf("the log says %s", text)
			}
		})
	}
}

// proxy passes requests on to a server as of a client, behind what the request says itself. It returns its address.
func proxy(t testing.TB, to, client string) string {
	t.Helper()
	p := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: to})
		for _, name := range []string{"Forwarded", "X-Real-Ip"} {
			r.Out.Header[name] = r.In.Header[name]
		}
		r.Out.Header["X-Forwarded-For"] = append(r.In.Header["X-Forwarded-For"], client)
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	server := &http.Server{Handler: p}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

// TestBeyondLoopback serves other machines: in clear for a proxy alone, and with TLS for everybody.
func TestBeyondLoopback(t *testing.T) {
	other := otherAddress(t)
	get := func(s *Server, scheme string) (string, error) {
		_, port, err := net.SplitHostPort(s.Addr())
		check(t, err)
		h := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
		r, err := h.Get(scheme + "://" + net.JoinHostPort(other, port) + "/livez")
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		return string(text), err
	}
	serve := func(p config.Proxy, generate bool) (*Server, *output) {
		return secureServer(t, func(c *config.Config) {
			p.Header = "X-Forwarded-For"
			c.Listen, c.Proxy, c.TLS = "0.0.0.0:0", p, config.TLS{Generate: generate}
		})
	}
	trust := func(prefix string) config.Proxy {
		return config.Proxy{Trusted: []netip.Prefix{netip.MustParsePrefix(prefix)}, HasTLS: true}
	}
	s, logged := serve(trust("203.0.113.0/24"), false)
	if text, err := get(s, "http"); err == nil {
		t.Errorf("a stranger in clear got %q", text)
	}
	if text := logged.String(); !strings.Contains(text, "a client was turned away: it is no trusted proxy") || !strings.Contains(text, "client="+other) {
		t.Errorf("the log says %s", text)
	}
	if got := counted(metricsOf(t, s), `stonevault_turned_away_total{reason="peer"}`); got != "1" {
		t.Errorf("%s were turned away", got)
	}
	s, _ = serve(trust(other+"/32"), false)
	if text, err := get(s, "http"); err != nil || text != "alive\n" {
		t.Errorf("a trusted proxy got %q, %v", text, err)
	}
	s, _ = serve(config.Proxy{}, true)
	if text, err := get(s, "https"); err != nil || text != "alive\n" {
		t.Errorf("by TLS: %q, %v", text, err)
	}

	// What the settings cannot know: a name that leads elsewhere than it should.
	if l, err := listen(context.Background(), other+":0", "--listen", true); err == nil || !strings.Contains(err.Error(), "reaches other machines and needs TLS") {
		t.Errorf("%v, %v", l, err)
	}
}

// otherAddress is one of this machine that is not loopback.
func otherAddress(t testing.TB) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	check(t, err)
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr().String()
		}
	}
	t.Skip("NOT RUN: this machine has no address but loopback; give it one, such as by: ip addr add 192.168.77.1/32 dev lo")
	return ""
}

// TestStrictTransport asks by a name, by an address, and in clear.
func TestStrictTransport(t *testing.T) {
	s, _ := secureServer(t, func(c *config.Config) { c.TLS.Names = []string{"vault.example.org"} })
	transport := &http.Transport{TLSClientConfig: trusting(t, s), DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Addr())
	}}
	t.Cleanup(transport.CloseIdleConnections)
	for host, want := range map[string]string{"vault.example.org": "max-age=31536000", "localhost": "", "127.0.0.1": ""} {
		r, err := (&http.Client{Transport: transport}).Get("https://" + host + "/")
		check(t, err)
		r.Body.Close()
		if got := r.Header.Get("Strict-Transport-Security"); got != want {
			t.Errorf("%s: %q", host, got)
		}
	}
}

// TestFingerprintIsOpenSSLs keeps to the form that other programs show.
func TestFingerprintIsOpenSSLs(t *testing.T) {
	s, _ := secureServer(t, nil)
	c, err := tls.Dial("tcp", s.Addr(), trusting(t, s))
	check(t, err)
	defer c.Close()
	sum := sha256.Sum256(c.ConnectionState().PeerCertificates[0].Raw)
	if got := front.Fingerprint(s.entrance.certificates.Leaf()); got != hex.EncodeToString(sum[:]) {
		t.Errorf("%s", got)
	}
}
