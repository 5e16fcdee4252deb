package etsi014_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/qkd"
	"stonevault/qkd/etsi014"
	"stonevault/qkd/kme"
)

// TestClient takes keys at one site and fetches them at another.
func TestClient(t *testing.T) {
	h := newHouse(t, false)
	a, b, c := h.client("a"), h.client("b"), h.client("c")
	s, err := a.Status(ctx, "b")
	if want := (qkd.Status{SourceKME: "kme-a", TargetKME: "kme-b", Master: "a", Slave: "b", KeySize: 256, MaxStored: 256, MaxPerRequest: 64,
		MinKeySize: 64, MaxKeySize: 1024, MaxSAEs: 8}); err != nil || s != want {
		t.Errorf("%+v, %v", s, err)
	}
	take := func(slave string, r qkd.Request, number, size int) []qkd.Key {
		t.Helper()
		keys, err := a.Take(ctx, slave, r)
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) != number || slices.ContainsFunc(keys, func(k qkd.Key) bool { return 8*len(k.Secret) != size }) {
			t.Errorf("%v of %+v", keys, r)
		}
		return keys
	}
	fetch := func(by *etsi014.Client, want error, keys ...qkd.Key) {
		t.Helper()
		ids := make([]qkd.KeyID, len(keys))
		for i, k := range keys {
			ids[i] = k.ID
		}
		got, err := by.Fetch(ctx, "a", ids...)
		if !errors.Is(err, want) || err == nil && !slices.EqualFunc(got, keys, func(a, b qkd.Key) bool { return a.ID == b.ID && string(a.Secret) == string(b.Secret) }) {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	}
	one := take("b", qkd.Request{}, 1, 256)
	fetch(c, qkd.ErrUnauthorised, one...)
	fetch(b, nil, one...)
	fetch(b, qkd.ErrNotFound, one...)
	many := take("b", qkd.Request{Number: 3, Size: 320, Additional: []string{"c"}}, 3, 320)
	slices.Reverse(many)
	fetch(b, nil, many...)
	fetch(c, nil, many...)
	take(strange, qkd.Request{}, 1, 256)
	if s, err := h.client(strange).Status(ctx, "a"); err != nil || s.Master != strange {
		t.Errorf("%+v, %v", s, err)
	}

	var refusal *qkd.Refusal
	if _, err := a.Take(ctx, "b", qkd.Request{Size: 2048}); !errors.Is(err, qkd.ErrBadRequest) || !errors.As(err, &refusal) ||
		refusal.Message != "size shall be 64 to 1024" || refusal.Details[0]["size"] != 2048.0 {
		t.Errorf("%v", err)
	}
	h.maker.fail(&kme.Aborted{Reason: "the QBER is 25 %"})
	if _, err := a.Take(ctx, "b", qkd.Request{Number: 64}); !errors.Is(err, qkd.ErrNoKeys) || !strings.Contains(err.Error(), "the QBER is 25 %") {
		t.Errorf("%v", err)
	}
	if _, err := h.client("nobody").Status(ctx, "b"); !errors.Is(err, qkd.ErrUnauthorised) {
		t.Errorf("%v", err)
	}
	for what, err := range map[string]error{
		"no slave":            func() error { _, err := a.Take(ctx, "", qkd.Request{}); return err }(),
		"a slave that is up":  func() error { _, err := a.Status(ctx, ".."); return err }(),
		"fewer than no keys":  func() error { _, err := a.Take(ctx, "b", qkd.Request{Number: -1}); return err }(),
		"far too many keys":   func() error { _, err := a.Take(ctx, "b", qkd.Request{Number: 1 << 20}); return err }(),
		"no ids":              func() error { _, err := a.Fetch(ctx, "b"); return err }(),
		"more ids than there": func() error { _, err := a.Fetch(ctx, "b", make([]qkd.KeyID, 2000)...); return err }(),
	} {
		if !errors.Is(err, qkd.ErrBadRequest) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestSites(t *testing.T) {
	ca := newAuthority(t)
	good := etsi014.Site{URL: "https://kme.example:8443/base/", SAE: "a", Certificate: always(ca.sae("a")), Authorities: ca.pool}
	if _, err := etsi014.NewClient(good); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*etsi014.Site){
		"no URL":               func(s *etsi014.Site) { s.URL = "" },
		"no TLS":               func(s *etsi014.Site) { s.URL = "http://kme.example" },
		"a password":           func(s *etsi014.Site) { s.URL = "https://a:b@kme.example" },
		"a query":              func(s *etsi014.Site) { s.URL = "https://kme.example?x" },
		"no host":              func(s *etsi014.Site) { s.URL = "https:///x" },
		"no SAE":               func(s *etsi014.Site) { s.SAE = "" },
		"no certificate":       func(s *etsi014.Site) { s.Certificate = nil },
		"no authorities":       func(s *etsi014.Site) { s.Authorities = nil },
		"a time that has gone": func(s *etsi014.Site) { s.Timeout = -1 },
	} {
		site := good
		change(&site)
		if _, err := etsi014.NewClient(site); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

// TestUnreachable: a KME that is not there, is another one, or does not end its answer.
func TestUnreachable(t *testing.T) {
	h := newHouse(t, false)
	other := newAuthority(t)
	hang := make(chan struct{})
	slow := h.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"keys":[`)
		w.(http.Flusher).Flush()
		<-hang
	}), false)
	defer close(hang)
	for what, change := range map[string]func(*etsi014.Site){
		"not there":                  func(s *etsi014.Site) { s.URL = "https://127.0.0.1:1" },
		"of another authority":       func(s *etsi014.Site) { s.Authorities = other.pool },
		"with another name":          func(s *etsi014.Site) { s.ServerName = "kme.example" },
		"that does not know us":      func(s *etsi014.Site) { s.Certificate = always(other.sae("a")) },
		"that does not come to rest": func(s *etsi014.Site) { s.URL, s.Timeout = slow, 50*time.Millisecond },
	} {
		site := h.site("a")
		change(&site)
		c, err := etsi014.NewClient(site)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Take(ctx, "b", qkd.Request{}); !errors.Is(err, etsi014.ErrUnreachable) {
			t.Errorf("a KME %s: %v", what, err)
		}
		c.Close()
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := h.client("a").Take(ended, "b", qkd.Request{}); !errors.Is(err, etsi014.ErrUnreachable) || !errors.Is(err, context.Canceled) {
		t.Errorf("a request that was given up: %v", err)
	}
}

// TestOldKME speaks TLS 1.2 where that is allowed.
func TestOldKME(t *testing.T) {
	h := newHouse(t, true)
	old, err := etsi014.ServerTLS(always(h.ca.server()), h.ca.pool, true)
	if err != nil {
		t.Fatal(err)
	}
	old.MaxVersion = tls.VersionTLS12
	listener, err := tls.Listen("tcp", "127.0.0.1:0", old)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h.handler, ErrorLog: quiet}
	go server.Serve(listener)
	defer server.Close()
	for allow, want := range map[bool]error{true: nil, false: etsi014.ErrUnreachable} {
		site := h.site("a")
		site.URL, site.AllowTLS12 = "https://"+listener.Addr().String(), allow
		c, err := etsi014.NewClient(site)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Status(ctx, "b"); !errors.Is(err, want) {
			t.Errorf("allowed %v: %v", allow, err)
		}
		c.Close()
	}
}

const (
	id1, id2 = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
	secret   = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=" // 32 bytes
)

func key(id string) string { return `{"key_ID":"` + id + `","key":"` + secret + `"}` }

// TestHostileKME has a KME answer with all that is none, or not what was asked.
func TestHostileKME(t *testing.T) {
	h := newHouse(t, false)
	const status = `{"source_KME_ID":"x","target_KME_ID":"y","master_SAE_ID":"a","slave_SAE_ID":"b","key_size":256,"stored_key_count":1,` +
		`"max_key_count":9,"max_key_per_request":9,"max_key_size":256,"min_key_size":256,"max_SAE_ID_count":0,"status_extension":{"x":1},"new":[]}`
	var code int
	var media, body string
	var hits atomic.Int32
	h.url = h.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		w.Header().Set("Content-Type", media)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
		io.WriteString(w, body)
	}), false)
	c := h.client("a")
	take := func() error { _, err := c.Take(ctx, "b", qkd.Request{Number: 2, Size: 256}); return err }
	takeOne := func() error { _, err := c.Take(ctx, "b", qkd.Request{}); return err }
	fetch := func() error {
		one, _ := qkd.ParseKeyID(id1)
		two, _ := qkd.ParseKeyID(id2)
		keys, err := c.Fetch(ctx, "b", one, two)
		if err == nil && (keys[0].ID != one || keys[1].ID != two) {
			t.Error("the keys are not in the order of their ids")
		}
		return err
	}
	state := func() error { _, err := c.Status(ctx, "b"); return err }
	two := key(id1) + "," + key(id2)
	for _, r := range []struct {
		what string
		do   func() error
		code int
		body string
		want error
	}{
		{"two keys", take, 200, `{"keys":[` + two + `]}`, nil},
		{"two keys as the table writes them", take, 200, `{"Keys":[` + two + `],"key_container_extension":{}}`, nil},
		{"extensions", fetch, 200, `{"keys":[{"key_ID":"` + id2 + `","key":"` + secret + `","key_extension":{},"key_ID_extension":{}},` + key(id1) + `]}`, nil},
		{"both spellings", take, 200, `{"Keys":[` + two + `],"keys":[` + two + `]}`, etsi014.ErrProtocol},
		{"one key", take, 200, `{"keys":[` + key(id1) + `]}`, etsi014.ErrProtocol},
		{"one key", fetch, 200, `{"keys":[` + key(id1) + `]}`, etsi014.ErrProtocol},
		{"no key", takeOne, 200, `{"keys":[]}`, etsi014.ErrProtocol},
		{"three keys", fetch, 200, `{"keys":[` + two + `,` + key("00000000-0000-4000-8000-000000000003") + `]}`, etsi014.ErrProtocol},
		{"one id twice", take, 200, `{"keys":[` + key(id1) + `,` + key(id1) + `]}`, etsi014.ErrProtocol},
		{"one id twice", fetch, 200, `{"keys":[` + key(id1) + `,` + key(id1) + `]}`, etsi014.ErrProtocol},
		{"another id", fetch, 200, `{"keys":[` + key(id1) + `,` + key("00000000-0000-4000-8000-000000000003") + `]}`, etsi014.ErrProtocol},
		{"a short key", take, 200, `{"keys":[` + key(id1) + `,{"key_ID":"` + id2 + `","key":"c2Vj"}]}`, etsi014.ErrProtocol},
		{"an empty key", takeOne, 200, `{"keys":[{"key_ID":"` + id2 + `","key":""}]}`, etsi014.ErrProtocol},
		{"no base64", take, 200, `{"keys":[` + key(id1) + `,{"key_ID":"` + id2 + `","key":"` + secret[1:] + `"}]}`, etsi014.ErrProtocol},
		{"no id", takeOne, 200, `{"keys":[{"key":"` + secret + `"}]}`, etsi014.ErrProtocol},
		{"no UUID", takeOne, 200, `{"keys":[{"key_ID":"1","key":"` + secret + `"}]}`, etsi014.ErrProtocol},
		{"no keys", take, 200, `{}`, etsi014.ErrProtocol},
		{"keys of null", take, 200, `{"keys":null}`, etsi014.ErrProtocol},
		{"no JSON", take, 200, secret, etsi014.ErrProtocol},
		{"nothing", take, 200, ``, etsi014.ErrProtocol},
		{"a page", take, 200, `<html>`, etsi014.ErrProtocol},
		{"far too much", take, 200, strings.Repeat(" ", 5<<20), etsi014.ErrProtocol},
		{"a redirect", take, 307, `{"keys":[` + two + `]}`, etsi014.ErrProtocol},
		{"a redirect", state, 301, status, etsi014.ErrProtocol},
		{"not found", take, 404, `{"message":"x"}`, etsi014.ErrProtocol},
		{"an error inside", take, 500, ``, etsi014.ErrProtocol},
		{"accepted", take, 202, `{"keys":[` + two + `]}`, etsi014.ErrProtocol},
		{"unauthorised", take, 401, ``, qkd.ErrUnauthorised},
		{"a 400 without a message", take, 400, ``, qkd.ErrBadRequest},
		{"a 400 with no object", take, 400, `"x"`, qkd.ErrBadRequest},
		{"not there", fetch, 400, `{"message":"One or more keys specified are not found on KME."}`, qkd.ErrNotFound},
		{"none now", take, 503, `{"message":"the link is down","details":[{"link":1},2,{"x":[]}]}`, qkd.ErrNoKeys},
		{"a status", state, 200, status, nil},
		{"the status of others", state, 200, strings.Replace(status, `"b"`, `"c"`, 1), etsi014.ErrProtocol},
		{"a status with a hole", state, 200, strings.Replace(status, `"max_key_count":9,`, ``, 1), etsi014.ErrProtocol},
		{"a status with a fraction", state, 200, strings.Replace(status, `:256`, `:256.5`, 1), etsi014.ErrProtocol},
		{"a status of no bytes", state, 200, strings.Replace(status, `:256`, `:255`, 1), etsi014.ErrProtocol},
		{"a status with a number too large", state, 200, strings.Replace(status, `:9`, `:9999999999`, 1), etsi014.ErrProtocol},
		{"a status twice", state, 200, strings.Replace(status, `"key_size":256`, `"key_size":256,"key_size":8`, 1), etsi014.ErrProtocol},
	} {
		code, media, body = r.code, "application/json; charset=utf-8", r.body
		hits.Store(0)
		err := r.do()
		if !errors.Is(err, r.want) {
			t.Errorf("%s: %v, want %v", r.what, err, r.want)
		}
		if hits.Load() != 1 {
			t.Errorf("%s: %d requests", r.what, hits.Load())
		}
		if err != nil && (strings.Contains(err.Error(), "c2Vj") || strings.Contains(err.Error(), "secr")) {
			t.Errorf("%s: the error has a key: %v", r.what, err)
		}
	}
	code, media, body = 200, "text/html", `{"keys":[`+two+`]}`
	if err := take(); !errors.Is(err, etsi014.ErrProtocol) {
		t.Errorf("another media type: %v", err)
	}
	code, media, body = 503, "application/json", `{"message":"\u001b[31mred\n`+strings.Repeat("x", 5000)+`"}`
	if err := take(); !errors.Is(err, qkd.ErrNoKeys) || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 1200 {
		t.Errorf("a message for a terminal: %d bytes, %.80q", len(err.Error()), err.Error())
	}
}

// TestFields finds the id of an SAE in each field of a certificate.
func TestFields(t *testing.T) {
	h := newHouse(t, false)
	uri, err := url.Parse("urn:example:sae:a")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		field    string
		template x509.Certificate
		want     string
	}{
		{"uri", x509.Certificate{URIs: []*url.URL{uri}}, "urn:example:sae:a"},
		{"uri", x509.Certificate{DNSNames: []string{"a.example"}}, ""},
		{"uri", x509.Certificate{URIs: []*url.URL{uri, uri}}, ""},
		{"dns", x509.Certificate{DNSNames: []string{"a.example"}}, "a.example"},
		{"dns", x509.Certificate{DNSNames: []string{"a.example", "b.example"}}, ""},
		{"dns", x509.Certificate{URIs: []*url.URL{uri}}, ""},
		{"cn", x509.Certificate{URIs: []*url.URL{uri}}, ""},
	} {
		field, err := etsi014.ParseField(c.field)
		if err != nil {
			t.Fatal(err)
		}
		got, err := field.SAE(h.ca.issue(&c.template).Leaf)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s of %+v: %q, %v", c.field, c.template.DNSNames, got, err)
		}
	}
	if _, err := etsi014.ParseField("email"); err == nil {
		t.Error("a field that is none")
	}
}
