package main

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
	"stonevault/internal/auditlog"
	"stonevault/internal/quantum"
	"stonevault/internal/vault"
	"stonevault/qkd"
	"stonevault/qkd/bb84"
	"stonevault/qkd/etsi014"
	"stonevault/qkd/kme"
)

// quantumAuthority issues certificates for a KME and its programs, which are files.
type quantumAuthority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newQuantumAuthority(t testing.TB) *quantumAuthority {
	a := &quantumAuthority{t: t}
	c := a.issue("authority", x509.ExtKeyUsageAny)
	a.cert, a.key = c.Leaf, c.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

func (a *quantumAuthority) issue(name string, use x509.ExtKeyUsage) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(a.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{use}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage, template.IPAddresses = true, true, x509.KeyUsageCertSign, nil
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	check(a.t, err)
	leaf, err := x509.ParseCertificate(der)
	check(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *quantumAuthority) write(path string, c tls.Certificate) {
	a.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	check(a.t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
	write(a.t, path, string(append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)))
}

// client is the one of a program that gets keys for a person.
func (a *quantumAuthority) client(s *Server, id string) *etsi014.Client {
	a.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	certificate := a.issue(id, x509.ExtKeyUsageClientAuth)
	c, err := etsi014.NewClient(etsi014.Site{URL: "https://" + s.quantum.listener.Addr().String(), SAE: id, Authorities: pool,
		Certificate: func() *tls.Certificate { return &certificate }})
	check(a.t, err)
	a.t.Cleanup(c.Close)
	return c
}

// quantumServer is a server with two people that hands out keys.
func quantumServer(t testing.TB, flags map[string]string) (s *Server, a *quantumAuthority, ann, bob string) {
	t.Helper()
	dir := t.TempDir()
	a = newQuantumAuthority(t)
	a.write(filepath.Join(dir, "kme.pem"), a.issue("kme", x509.ExtKeyUsageServerAuth))
	write(t, filepath.Join(dir, "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})))
	all := map[string]string{"data": filepath.Join(dir, "data"), "listen": "127.0.0.1:0", "qkd-listen": "127.0.0.1:0",
		"qkd-tls-cert": filepath.Join(dir, "kme.pem"), "qkd-tls-key": filepath.Join(dir, "kme.pem"), "qkd-client-ca": filepath.Join(dir, "ca.pem")}
	for name, value := range flags {
		all[name] = value
	}
	s = newServer(t, all["data"])
	s.Config = settings(t, all)
	check(t, s.Run(t.Context()))
	t.Cleanup(func() { closeServer(t, s) })
	return s, a, newPersonID(t, s, "ann"), newPersonID(t, s, "bob")
}

// newPersonID makes a person and returns the id.
func newPersonID(t testing.TB, s *Server, name string) (id string) {
	t.Helper()
	makePerson(t, s, name)
	check(t, s.store.db.View(t.Context(), func(tx vault.Tx) error {
		p, err := tx.People().ByNameKey(t.Context(), name)
		id = string(p.ID)
		return err
	}))
	return id
}

// TestProgramsAskTooOften wants a 503 that says when to come again, and an event, and other people's programs at the same
// address not to be kept from anything.
func TestProgramsAskTooOften(t *testing.T) {
	s, a, ann, bob := quantumServer(t, map[string]string{"limit-qkd": "2"})
	program := a.client(s, ann)
	for range 2 {
		if _, err := program.Status(t.Context(), bob); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{a.issue(ann, x509.ExtKeyUsageClientAuth)}}}}
	defer web.CloseIdleConnections()
	reply, err := web.Get("https://" + s.quantum.listener.Addr().String() + "/api/v1/keys/" + bob + "/status")
	check(t, err)
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	check(t, err)
	wait, err := strconv.Atoi(reply.Header.Get("Retry-After"))
	if reply.StatusCode != http.StatusServiceUnavailable || string(body) != `{"message":"Too many requests"}` || err != nil || wait < 1 || wait > 90 {
		t.Errorf("%d, %q, %s", reply.StatusCode, reply.Header.Get("Retry-After"), body)
	}
	if _, err := a.client(s, bob).Status(t.Context(), ann); err != nil {
		t.Errorf("somebody else's program: %v", err)
	}
	page, err := s.store.reader.List(t.Context(), auditlog.Query{Limit: 100}, auditlog.ViewAll)
	check(t, err)
	if !slices.ContainsFunc(page.Entries, func(e auditlog.Entry) bool {
		return e.Event.Type == audit.QuantumRefused && e.Event.Operational["reason"] == "limit" && e.Event.Actor["address"] == "127.0.0.1"
	}) {
		t.Error("it is not recorded")
	}
}

// someKeys makes keys in the place of sessions.
type someKeys struct{}

func (someKeys) Make(_ context.Context, _ kme.Pair, n int) ([][kme.KeyBytes]byte, string, error) {
	keys := make([][kme.KeyBytes]byte, n)
	for i := range keys {
		rand.Read(keys[i][:])
	}
	return keys, "", nil
}

// withSomeKeys are the server's KMEs, filled by someKeys.
func withSomeKeys(t testing.TB, s *Server) *kme.KMEs {
	t.Helper()
	c := kmeConfig(s.store, s.Config, s.Now)
	c.Maker = someKeys{}
	k, err := kme.New(c)
	check(t, err)
	return k
}

// TestQuantumKeys has programs of two people get the same key, and those of nobody none.
func TestQuantumKeys(t *testing.T) {
	s, a, ann, bob := quantumServer(t, nil)
	ctx := t.Context()
	annsProgram, bobsProgram := a.client(s, ann), a.client(s, bob)
	status, err := annsProgram.Status(ctx, bob)
	if err != nil || status.SourceKME != kmeSource || status.TargetKME != kmeTarget || status.Stored != 0 {
		t.Errorf("%+v, %v", status, err)
	}
	keys, err := annsProgram.Take(ctx, bob, qkd.Request{}) // runs a session, which fills the pool
	check(t, err)
	if status, err = annsProgram.Status(ctx, bob); err != nil || status.Stored != status.MaxStored-1 {
		t.Errorf("after a session: %+v, %v", status, err)
	}
	if kept, err := s.quantum.sessions.Sessions(ctx, quantum.Asker{Actor: auditlog.Actor{Person: bob}}, nil, 10); err != nil || len(kept) != 1 || kept[0].State != quantum.Done || kept[0].Master.Name != "ann" {
		t.Errorf("sessions: %+v, %v", kept, err)
	}
	if _, err := a.client(s, "ann").Status(ctx, bob); !errors.Is(err, qkd.ErrUnauthorised) { // a name is no id
		t.Errorf("a program of nobody: %v", err)
	}
	fetched, err := bobsProgram.Fetch(ctx, ann, keys[0].ID)
	if err != nil || string(fetched[0].Secret) != string(keys[0].Secret) {
		t.Errorf("%v", err)
	}
	if _, err := bobsProgram.Fetch(ctx, ann, keys[0].ID); !errors.Is(err, qkd.ErrNotFound) {
		t.Errorf("again: %v", err)
	}
	// A program that fetches what is Bob's gets nothing. All of it is recorded, for each whom it is about.
	keys, err = annsProgram.Take(ctx, bob, qkd.Request{Number: 2})
	check(t, err)
	eve := newPersonID(t, s, "eve")
	if _, err := a.client(s, eve).Fetch(ctx, ann, keys[0].ID); !errors.Is(err, qkd.ErrUnauthorised) {
		t.Errorf("somebody else's program: %v", err)
	}
	var said []string
	page, err := s.store.reader.List(ctx, auditlog.Query{Limit: 100}, auditlog.Viewer{Person: ann})
	check(t, err)
	for _, e := range slices.Backward(page.Entries) {
		if kind, ok := strings.CutPrefix(e.Event.Type.String(), "quantum."); ok {
			said = append(said, fmt.Sprint(kind, " ", cmp.Or(e.Event.Operational["what"], e.Event.Operational["reason"]), " ", e.Event.Operational["keys"], " by ", e.Event.Actor["name"], ", ", e.Event.Subject["name"], " at ", e.Event.Actor["address"]))
		}
	}
	if want := []string{"session none ", "delivered taken 1 by ann, bob at 127.0.0.1", "delivered fetched 1 by bob, ann at 127.0.0.1",
		"delivered taken 2 by ann, bob at 127.0.0.1", "refused foreign <nil> by eve, ann at 127.0.0.1"}; !slices.EqualFunc(said, want, strings.HasPrefix) {
		t.Errorf("%q", said)
	}
	// While somebody listens an empty pool stays empty.
	check(t, s.quantum.sessions.Eavesdrop(ctx, quantum.Asker{Role: access.Admin}, [2]string{ann, bob}, bb84.Intercept, 1))
	var refused *qkd.Refusal
	if _, err := bobsProgram.Take(ctx, ann, qkd.Request{}); !errors.Is(err, qkd.ErrNoKeys) || !errors.As(err, &refused) || !strings.Contains(refused.Message, "of the compared bits differ") {
		t.Errorf("with an eavesdropper: %v", err)
	}
	check(t, s.quantum.sessions.StopEavesdropping(ctx, quantum.Asker{Role: access.Admin}, [2]string{ann, bob}))
	if _, err := bobsProgram.Take(ctx, ann, qkd.Request{}); err != nil {
		t.Errorf("once she is gone: %v", err)
	}
	// Who is switched off gets none, and nobody gets any for them.
	keys, err = annsProgram.Take(ctx, bob, qkd.Request{})
	check(t, err)
	check(t, s.store.db.Update(ctx, func(tx vault.Tx) error {
		p, err := tx.People().ByID(ctx, vault.PersonID(bob))
		if err != nil {
			return err
		}
		p.Active = false
		return tx.People().Update(ctx, p)
	}))
	if _, err := bobsProgram.Fetch(ctx, ann, keys[0].ID); !errors.Is(err, qkd.ErrUnauthorised) {
		t.Errorf("a person who is switched off: %v", err)
	}
	if _, err := annsProgram.Take(ctx, bob, qkd.Request{}); !errors.Is(err, qkd.ErrBadRequest) {
		t.Errorf("for a person who is switched off: %v", err)
	}
}

// TestQuantumExpiry destroys what waits too long.
func TestQuantumExpiry(t *testing.T) {
	s, a, ann, bob := quantumServer(t, map[string]string{"qkd-keep": "1ms"})
	keys, err := withSomeKeys(t, s).SAE(ann).Take(t.Context(), bob, qkd.Request{})
	check(t, err)
	time.Sleep(5 * time.Millisecond)
	s.expireQuantum(t.Context())
	if _, err := a.client(s, bob).Fetch(t.Context(), ann, keys[0].ID); !errors.Is(err, qkd.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// TestQuantumRefused: what would be no safe place to hand out keys stops the start, and nothing is there then.
func TestQuantumRefused(t *testing.T) {
	dir := t.TempDir()
	a := newQuantumAuthority(t)
	good := filepath.Join(dir, "kme.pem")
	a.write(good, a.issue("kme", x509.ExtKeyUsageServerAuth))
	write(t, filepath.Join(dir, "empty"), "no certificate\n")
	for what, c := range map[string]struct{ cert, ca, want string }{
		"no authorities":       {good, filepath.Join(dir, "none"), "--qkd-client-ca"},
		"authorities of none":  {good, filepath.Join(dir, "empty"), "--qkd-client-ca"},
		"no certificate":       {filepath.Join(dir, "none"), good, "--qkd-tls-cert"},
		"a certificate not so": {filepath.Join(dir, "empty"), good, "--qkd-tls-cert"},
	} {
		data := filepath.Join(dir, "refused")
		r := run(t, "", "serve", "--data", data, "--listen", "127.0.0.1:0", "--qkd-listen", "127.0.0.1:0",
			"--qkd-tls-cert", c.cert, "--qkd-tls-key", c.cert, "--qkd-client-ca", c.ca)
		if r.code != 1 || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%s: %+v", what, r)
		}
		if matches, _ := filepath.Glob(data + "*"); len(matches) != 0 {
			t.Errorf("%s: %q is there", what, matches)
		}
	}
}

// TestQuantumSites tries sites of hardware, for which the server's own KMEs stand in.
func TestQuantumSites(t *testing.T) {
	s, a, ann, bob := quantumServer(t, nil)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})))
	table := func(name, sae, url string) string {
		a.write(filepath.Join(dir, name+".pem"), a.issue(sae, x509.ExtKeyUsageClientAuth))
		return "[[site]]\nname = \"" + name + "\"\nurl = \"" + url + "\"\nsae = \"" + sae + "\"\ncertificate = \"" + name + ".pem\"\nkey = \"" + name +
			".pem\"\nca = \"ca.pem\"\ntimeout = \"5s\"\n"
	}
	url := "https://" + s.quantum.listener.Addr().String()
	_, err := withSomeKeys(t, s).SAE(ann).Take(t.Context(), bob, qkd.Request{})
	check(t, err)
	file := filepath.Join(dir, "sites.toml")
	write(t, file, table("vienna", ann, url)+table("graz", bob, url))
	want := `from    to      keys  at most  bits  between
vienna  graz    7     256      256   stonevault-kme-1, stonevault-kme-2
graz    vienna  0     256      256   stonevault-kme-1, stonevault-kme-2
`
	if r := run(t, "", "qkd", "sites", "--qkd-sites", file); r.code != 0 || r.stdout != want || r.stderr != "" {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct{ name, text, want string }{
		{"one that is not there", table("vienna", ann, url) + table("graz", bob, "https://127.0.0.1:1"), "graz to vienna: the key-management entity does not answer"},
		{"one whose certificate is another's", table("vienna", ann, url) + strings.Replace(table("graz", bob, url), `"graz.pem"`, `"vienna.pem"`, 2), "graz to vienna: "},
		{"one alone", table("vienna", ann, url), "one site alone"},
		{"no certificate", strings.Replace(table("vienna", ann, url), `"vienna.pem"`, `"none.pem"`, 1), "none.pem"},
		{"no TLS", table("vienna", ann, "http://127.0.0.1:1"), "https://"},
		{"another key", table("vienna", ann, url) + "password = \"x\"\n", "password"},
	} {
		other := filepath.Join(dir, "other.toml")
		write(t, other, c.text)
		if r := run(t, "", "qkd", "sites", "--qkd-sites", other); r.code != 1 || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
	if r := run(t, "", "qkd", "sites"); r.code != 1 || !strings.Contains(r.stderr, "--qkd-sites") {
		t.Errorf("without a file: %+v", r)
	}
	if r := run(t, "", "serve", "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--qkd-sites", filepath.Join(dir, "none")); r.code != 1 || !strings.Contains(r.stderr, "--qkd-sites") {
		t.Errorf("a server without its file: %+v", r)
	}
}
