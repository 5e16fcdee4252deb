package etsi014_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/internal/masterkey"
	"stonevault/internal/metadb"
	"stonevault/qkd"
	"stonevault/qkd/etsi014"
	"stonevault/qkd/kme"
)

var ctx = context.Background()

// authority issues certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	pair := a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.cert, a.key = pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) issue(template *x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<62))
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// sae is the certificate of an SAE whose id is the common name.
func (a *authority) sae(id string) tls.Certificate {
	return a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: id}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func (a *authority) server() tls.Certificate {
	return a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "kme-a"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

// randomKeys makes keys that are random, as many as are asked for.
type randomKeys struct {
	mu   sync.Mutex
	err  error    // under mu
	made [][]byte // under mu
}

func (m *randomKeys) Make(_ context.Context, _ kme.Pair, n int) ([][kme.KeyBytes]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, "", m.err
	}
	keys := make([][kme.KeyBytes]byte, n)
	for i := range keys {
		rand.Read(keys[i][:])
		m.made = append(m.made, slices.Clone(keys[i][:]))
	}
	return keys, "session-1", nil
}

func (m *randomKeys) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// strange is an id of an SAE that a URL does not have as it is.
const strange = "urn:x/y?z#1 %2F ä"

func openKMEs(path string, master *masterkey.Key, maker kme.Maker) (*metadb.DB, *kme.KMEs, error) {
	db, err := metadb.OpenSQLite(ctx, path, metadb.Options{ProgramVersion: "1.0.0"})
	if err != nil {
		return nil, nil, err
	}
	kmes, err := kme.New(kme.Config{
		Source: "kme-a", Target: "kme-b", Store: db, Sealer: masterkey.NewRing(master), Maker: maker, Random: rand.Reader, Now: time.Now,
		Known: func(_ context.Context, id string) (bool, error) {
			return slices.Contains([]string{"a", "b", "c", "d", strange}, id), nil
		},
	})
	return db, kmes, err
}

// house is a Handler over KMEs over a database, behind mutual TLS.
type house struct {
	t       testing.TB
	ca      *authority
	maker   *randomKeys
	handler *etsi014.Handler
	url     string
	mu      sync.Mutex
	failed  []error // under mu
	clients map[string]*http.Client
}

func newHouse(t testing.TB, allow12 bool) *house {
	t.Helper()
	h := &house{t: t, ca: newAuthority(t), maker: &randomKeys{}, clients: map[string]*http.Client{}}
	_, master, err := masterkey.Generate()
	if err != nil {
		t.Fatal(err)
	}
	db, kmes, err := openKMEs(filepath.Join(t.TempDir(), "vault.db"), master, h.maker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h.handler = &etsi014.Handler{Source: kmes.SAE, Identify: etsi014.CommonName.SAE, Failed: func(_ *http.Request, _ etsi014.Call, err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.failed = append(h.failed, err)
	}}
	h.url = h.serve(h.handler, allow12)
	return h
}

// serve serves a handler by ServerTLS and returns its URL.
func (h *house) serve(handler http.Handler, allow12 bool) string {
	h.t.Helper()
	config, err := etsi014.ServerTLS(always(h.ca.server()), h.ca.pool, allow12)
	if err != nil {
		h.t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		h.t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ErrorLog: quiet}
	go server.Serve(listener)
	h.t.Cleanup(func() { server.Close() })
	return "https://" + listener.Addr().String()
}

// as is an HTTP client with the certificate of an SAE.
func (h *house) as(sae string) *http.Client {
	if h.clients[sae] == nil {
		h.clients[sae] = h.with(&tls.Config{Certificates: []tls.Certificate{h.ca.sae(sae)}})
	}
	return h.clients[sae]
}

func (h *house) with(config *tls.Config) *http.Client {
	config.RootCAs = h.ca.pool
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	h.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (h *house) site(sae string) etsi014.Site {
	return etsi014.Site{URL: h.url, SAE: sae, Certificate: always(h.ca.sae(sae)), Authorities: h.ca.pool}
}

func (h *house) client(sae string) *etsi014.Client {
	h.t.Helper()
	c, err := etsi014.NewClient(h.site(sae))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.Close)
	return c
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body string
}

func (h *house) ask(sae, method, path, body string, header ...string) answer {
	h.t.Helper()
	r, err := http.NewRequest(method, h.url+"/api/v1/keys/"+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := h.as(sae).Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	a := answer{response, string(b)}
	if a.Header.Get("Cache-Control") != "no-store" {
		h.t.Errorf("%s %s: Cache-Control is %q", method, path, a.Header.Get("Cache-Control"))
	}
	if media := a.Header.Get("Content-Type"); (media == "application/json") != (a.body != "") {
		h.t.Errorf("%s %s: %q with the Content-Type %q", method, path, a.body, media)
	}
	return a
}

// want wants a status, and for an error its message.
func (h *house) want(a answer, code int, message string) {
	h.t.Helper()
	if a.StatusCode != code {
		h.t.Fatalf("%s %s: %s %s, want %d", a.Request.Method, a.Request.URL, a.Status, a.body, code)
	}
	if code == http.StatusUnauthorized {
		if a.body != "" {
			h.t.Errorf("a 401 has the body %q", a.body)
		}
		return
	}
	if code == http.StatusOK {
		return
	}
	var e struct {
		Message *string
		Details []map[string]any
	}
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || e.Message == nil || message != "" && *e.Message != message {
		h.t.Errorf("%s %s: %s, %v; want %q", a.Request.Method, a.Request.URL, a.body, err, message)
	}
}

// container is a key container as a client that this project has not written would read it.
type container struct {
	Keys []struct {
		ID  string `json:"key_ID"`
		Key string `json:"key"`
	} `json:"keys"`
}

func (h *house) keys(a answer) container {
	h.t.Helper()
	h.want(a, http.StatusOK, "")
	var c container
	if err := json.Unmarshal([]byte(a.body), &c); err != nil {
		h.t.Fatal(err)
	}
	for _, k := range c.Keys {
		if _, err := qkd.ParseKeyID(k.ID); err != nil {
			h.t.Errorf("%q is no UUID", k.ID)
		}
	}
	return c
}

// always is one certificate for every handshake.
func always(c tls.Certificate) func() *tls.Certificate { return func() *tls.Certificate { return &c } }

func escaped(id string) string { return url.PathEscape(id) }
