package etsi014_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/qkd"
	"stonevault/qkd/etsi014"
	"stonevault/qkd/kme"
)

var quiet = log.New(io.Discard, "", 0)

const notFound = "one or more keys specified are not found on KME"

// TestStatus looks at every field of clause 6.1.
func TestStatus(t *testing.T) {
	h := newHouse(t, false)
	h.ask("a", "POST", "b/enc_keys", "") // eight keys are made
	a := h.ask("a", "GET", "b/status", "")
	h.want(a, 200, "")
	var got map[string]any
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"source_KME_ID": "kme-a", "target_KME_ID": "kme-b", "master_SAE_ID": "a", "slave_SAE_ID": "b", "key_size": 256.0,
		"stored_key_count": 7.0, "max_key_count": 256.0, "max_key_per_request": 64.0, "max_key_size": 1024.0, "min_key_size": 64.0,
		"max_SAE_ID_count": 8.0,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	h.want(h.ask("a", "GET", escaped(strange)+"/status", ""), 200, "")
	h.want(h.ask("a", "GET", "b/status?x=1", ""), 400, "a GET request cannot have this parameter")
	h.want(h.ask("a", "GET", "nobody/status", ""), 400, "slave_SAE_ID names an SAE that is not known")
	h.want(h.ask("nobody", "GET", "b/status", ""), 401, "")
	h.want(h.ask("a", "POST", "b/status", "{}"), 405, "")
}

// TestKeys goes through what clauses 5.2, 5.3, 6.2, 6.3 and 6.4 allow.
func TestKeys(t *testing.T) {
	h := newHouse(t, false)
	// Each way to ask, and how many keys of how many bits it gets.
	for _, c := range []struct {
		method, path, body string
		number, size       int
	}{
		{"GET", "b/enc_keys", "", 1, 256},
		{"GET", "b/enc_keys?number=3", "", 3, 256},
		{"GET", "b/enc_keys?size=512", "", 1, 512},
		{"GET", "b/enc_keys?size=128&number=2", "", 2, 128},
		{"POST", "b/enc_keys", "", 1, 256},
		{"POST", "b/enc_keys", "{}", 1, 256},
		{"POST", "b/enc_keys", ` { "number" : 2 } `, 2, 256},
		{"POST", "b/enc_keys", `{"size":64}`, 1, 64},
		{"POST", "b/enc_keys", `{"number":64,"size":1024}`, 64, 1024},
		{"POST", "b/enc_keys", `{"number":2,"additional_slave_SAE_IDs":["c","d"]}`, 2, 256},
		{"POST", "b/enc_keys", `{"additional_slave_SAE_IDs":[],"extension_mandatory":[],"extension_optional":[]}`, 1, 256},
		{"POST", "b/enc_keys", `{"extension_optional":[{"a":1},{"b":{"c":[null]}}]}`, 1, 256},
		{"POST", escaped(strange) + "/enc_keys", ``, 1, 256},
	} {
		a := h.ask("a", c.method, c.path, c.body)
		got := h.keys(a)
		if len(got.Keys) != c.number || !strings.HasPrefix(a.body, `{"keys":[{"key_ID":"`) {
			t.Errorf("%s %s %s: %d keys", c.method, c.path, c.body, len(got.Keys))
		}
		var ids []string
		for _, k := range got.Keys {
			if key, err := base64.StdEncoding.Strict().DecodeString(k.Key); err != nil || 8*len(key) != c.size {
				t.Errorf("%s %s %s: a key of %d bits, %v", c.method, c.path, c.body, 8*len(key), err)
			}
			ids = append(ids, fmt.Sprintf(`{"key_ID":%q,"key_ID_extension":{"x":1}}`, k.ID))
		}
		slaves := []string{"b"}
		switch {
		case strings.Contains(c.path, "urn"):
			slaves = []string{strange}
		case strings.Contains(c.body, `["c"`):
			slaves = []string{"b", "c", "d"}
		}
		for _, slave := range slaves {
			again := h.keys(h.ask(slave, "POST", "a/dec_keys", `{"key_IDs":[`+strings.Join(ids, ",")+`],"key_IDs_extension":{}}`))
			if !slices.Equal(again.Keys, got.Keys) {
				t.Errorf("%s %s %s: %s gets other keys", c.method, c.path, c.body, slave)
			}
			h.want(h.ask(slave, "GET", "a/dec_keys?key_ID="+got.Keys[0].ID, ""), 400, notFound)
		}
	}
	one := h.keys(h.ask("a", "GET", "b/enc_keys", "")).Keys[0]
	if got := h.keys(h.ask("b", "GET", "a/dec_keys?key_ID="+strings.ToUpper(one.ID), "")); got.Keys[0] != one {
		t.Error("a GET gets another key")
	}
}

// TestDelivery goes through who gets what, once.
func TestDelivery(t *testing.T) {
	h := newHouse(t, false)
	body := func(ids ...string) string {
		return `{"key_IDs":[{"key_ID":"` + strings.Join(ids, `"},{"key_ID":"`) + `"}]}`
	}
	c := h.keys(h.ask("a", "GET", "b/enc_keys?number=4", ""))
	var ids []string
	for _, k := range c.Keys {
		ids = append(ids, k.ID)
	}
	h.want(h.ask("c", "GET", "a/dec_keys?key_ID="+ids[0], ""), 401, "")
	h.want(h.ask("a", "GET", "a/dec_keys?key_ID="+ids[0], ""), 401, "")
	h.want(h.ask("nobody", "GET", "a/dec_keys?key_ID="+ids[0], ""), 401, "")
	h.want(h.ask("b", "GET", "c/dec_keys?key_ID="+ids[0], ""), 400, notFound) // of another master
	h.keys(h.ask("b", "GET", "a/dec_keys?key_ID="+ids[0], ""))
	h.want(h.ask("b", "GET", "a/dec_keys?key_ID="+ids[0], ""), 400, notFound)
	h.want(h.ask("c", "GET", "a/dec_keys?key_ID="+ids[0], ""), 401, "")

	// All or nothing.
	h.want(h.ask("b", "POST", "a/dec_keys", body(ids...)), 400, notFound)
	a := h.ask("b", "POST", "a/dec_keys", body(ids[1], ids[2], "00000000-0000-4000-8000-000000000000"))
	h.want(a, 400, notFound)
	if !strings.Contains(a.body, `"details":[{"key_ID":"00000000-0000-4000-8000-000000000000"}]`) {
		t.Errorf("it does not say which: %s", a.body)
	}
	foreign := h.keys(h.ask("a", "GET", "c/enc_keys", "")).Keys[0].ID
	h.want(h.ask("b", "POST", "a/dec_keys", body(ids[1], foreign)), 401, "")
	got := h.keys(h.ask("b", "POST", "a/dec_keys", body(ids[3], ids[1])))
	if got.Keys[0] != c.Keys[3] || got.Keys[1] != c.Keys[1] {
		t.Error("the keys are not in the order of their ids")
	}
	h.keys(h.ask("c", "GET", "a/dec_keys?key_ID="+foreign, ""))
}

// TestBadRequests is what is refused: each with the standard's text, or one of ours.
func TestBadRequests(t *testing.T) {
	h := newHouse(t, false)
	const multiple, mandatory = "size shall be a multiple of 8", "not all extension_mandatory parameters are supported"
	id := h.keys(h.ask("a", "GET", "b/enc_keys", "")).Keys[0].ID
	h.keys(h.ask("a", "GET", "b/enc_keys?number=7", "")) // the pool is empty
	before := len(h.maker.made)
	for _, c := range []struct {
		sae, method, path, body, message string // empty: any
	}{
		{"a", "GET", "b/enc_keys?size=100", "", multiple},
		{"a", "POST", "b/enc_keys", `{"size":1}`, multiple},
		{"a", "POST", "b/enc_keys", `{"number":65,"size":2047}`, multiple},
		{"a", "POST", "b/enc_keys", `{"size":1032}`, "size shall be 64 to 1024"},
		{"a", "POST", "b/enc_keys", `{"size":8}`, "size shall be 64 to 1024"},
		{"a", "POST", "b/enc_keys", `{"size":0}`, ""},
		{"a", "POST", "b/enc_keys", `{"size":-256}`, ""},
		{"a", "POST", "b/enc_keys", `{"size":256.0}`, ""},
		{"a", "POST", "b/enc_keys", `{"size":2.56e2}`, ""},
		{"a", "POST", "b/enc_keys", `{"size":"256"}`, ""},
		{"a", "POST", "b/enc_keys", `{"size":null}`, ""},
		{"a", "POST", "b/enc_keys", `{"size":99999999999999999999}`, ""},
		{"a", "POST", "b/enc_keys", `{"number":0}`, ""},
		{"a", "POST", "b/enc_keys", `{"number":-1}`, ""},
		{"a", "POST", "b/enc_keys", `{"number":true}`, ""},
		{"a", "POST", "b/enc_keys", `{"number":65}`, "number shall be 1 to 64"},
		{"a", "POST", "b/enc_keys", `{"Number":1}`, "a parameter is not known"},
		{"a", "POST", "b/enc_keys", `{"number":1,"number":2}`, "the body: a name is there twice"},
		{"a", "POST", "b/enc_keys", `{"extension_mandatory":[{"abc_route_type":"direct"}]}`, mandatory},
		{"a", "POST", "b/enc_keys", `{"extension_mandatory":[{}]}`, mandatory},
		{"a", "POST", "b/enc_keys", `{"extension_mandatory":{"a":1}}`, ""},
		{"a", "POST", "b/enc_keys", `{"extension_mandatory":["a"]}`, ""},
		{"a", "POST", "b/enc_keys", `{"extension_optional":[1]}`, ""},
		{"a", "POST", "b/enc_keys", `{"extension_optional":[{"a":1,"a":2}]}`, ""},
		{"a", "POST", "b/enc_keys", `{"additional_slave_SAE_IDs":"c"}`, ""},
		{"a", "POST", "b/enc_keys", `{"additional_slave_SAE_IDs":[1]}`, ""},
		{"a", "POST", "b/enc_keys", `{"additional_slave_SAE_IDs":[""]}`, ""},
		{"a", "POST", "b/enc_keys", `{"additional_slave_SAE_IDs":["b"]}`, "an SAE is named twice"},
		{"a", "POST", "b/enc_keys", `{"additional_slave_SAE_IDs":["nobody"]}`, "additional_slave_SAE_IDs names an SAE that is not known"},
		{"a", "POST", "b/enc_keys", `{"additional_slave_SAE_IDs":["1","2","3","4","5","6","7","8","9"]}`, "additional_slave_SAE_IDs shall be at most 8"},
		{"a", "POST", "b/enc_keys", `[]`, ""},
		{"a", "POST", "b/enc_keys", `{`, ""},
		{"a", "POST", "b/enc_keys", `{}{}`, ""},
		{"a", "POST", "b/enc_keys", `{}}`, ""},
		{"a", "POST", "b/enc_keys", "{\"number\":1,\"\xff\":2}", "the body: this is not UTF-8"},
		{"a", "POST", "b/enc_keys", `{"extension_optional":[{"a":"` + strings.Repeat("x", 70_000) + `"}]}`, "the body: this is longer than 65536 bytes"},
		{"a", "POST", "b/enc_keys?number=2", `{}`, ""},
		{"a", "GET", "b/enc_keys?number=1&number=2", "", "a parameter is there twice"},
		{"a", "GET", "b/enc_keys?number=", "", ""},
		{"a", "GET", "b/enc_keys?number=0", "", ""},
		{"a", "GET", "b/enc_keys?number=+1", "", ""},
		{"a", "GET", "b/enc_keys?number=01", "", ""},
		{"a", "GET", "b/enc_keys?number=%zz", "", ""},
		{"a", "GET", "b/enc_keys?extension_mandatory=x", "", "a GET request cannot have this parameter"},
		{"a", "GET", "b/enc_keys?additional_slave_SAE_IDs=c", "", "a GET request cannot have this parameter"},
		{"a", "GET", "b/enc_keys", `{"number":2}`, "the body: a GET request has none"},
		{"a", "GET", "a/enc_keys", "", "slave_SAE_ID shall be another SAE than the one that asks"},
		{"a", "GET", "nobody/enc_keys", "", "slave_SAE_ID names an SAE that is not known"},
		{"b", "GET", "a/dec_keys", "", ""},
		{"b", "GET", "a/dec_keys?key_ID=" + id + "&key_ID=" + id, "", "a parameter is there twice"},
		{"b", "GET", "a/dec_keys?key_ID=" + id + "&key_ID_extension=x", "", "a GET request cannot have this parameter"},
		{"b", "GET", "a/dec_keys?key_ID=" + id[1:], "", "key_ID: this is not a key id"},
		{"b", "POST", "a/dec_keys", ``, ""},
		{"b", "POST", "a/dec_keys", `{}`, "key_IDs shall have at least one key_ID"},
		{"b", "POST", "a/dec_keys", `{"key_IDs":[]}`, "key_IDs shall have at least one key_ID"},
		{"b", "POST", "a/dec_keys", `{"key_IDs":["` + id + `"]}`, ""},
		{"b", "POST", "a/dec_keys", `{"key_IDs":[{}]}`, "key_IDs: an entry has no key_ID"},
		{"b", "POST", "a/dec_keys", `{"key_IDs":[{"key_ID":1}]}`, ""},
		{"b", "POST", "a/dec_keys", `{"key_IDs":[{"key_ID":"` + id + `"},{"key_ID":"` + id + `"}]}`, "a key_ID is there twice"},
		{"b", "POST", "a/dec_keys", `{"key_IDs":[{"key_ID":"` + id + `","key_ID_extension":1}]}`, ""},
		{"b", "POST", "a/dec_keys", `{"key_IDs":[{"key_ID":"` + id + `","more":1}]}`, "a parameter is not known"},
		{"b", "POST", "a/dec_keys", `{"key_IDs":[` + strings.Repeat(`{"key_ID":"`+id+`"},`, 1024) + `{"key_ID":"` + id + `"}]}`, ""},
		{"b", "POST", "a/dec_keys?key_ID=" + id, `{}`, ""},
	} {
		a := h.ask(c.sae, c.method, c.path, c.body)
		h.want(a, 400, c.message)
		if strings.Contains(a.body, `"details":`) && !strings.Contains(a.body, `"details":[{"`) {
			t.Errorf("%s %s: %s", c.method, c.path, a.body)
		}
	}
	a := h.ask("a", "POST", "b/enc_keys", `{"extension_mandatory":[{"abc_route_type":"direct"}]}`)
	if want := `{"message":"` + mandatory + `","details":[{"extension_mandatory_unsupported":"abc_route_type"}]}`; a.body != want {
		t.Errorf("%s, want %s", a.body, want)
	}
	h.want(h.ask("a", "POST", "b/enc_keys", `number=1`, "Content-Type", "application/x-www-form-urlencoded"), 400, "")
	h.want(h.ask("a", "POST", "b/enc_keys", `{}`, "Content-Type", "application/json; charset=iso-8859-1"), 400, "")
	if len(h.maker.made) != before {
		t.Error("a session ran for a request that is refused")
	}
	h.keys(h.ask("b", "POST", "a/dec_keys", `{"key_IDs":[{"key_ID":"`+id+`"}]}`, "Content-Type", "application/json; charset=UTF-8")) // the key is still there
}

func TestMethodsAndPaths(t *testing.T) {
	h := newHouse(t, false)
	id := h.keys(h.ask("a", "GET", "b/enc_keys", "")).Keys[0].ID
	for path, allow := range map[string]string{"b/status": "GET", "b/enc_keys": "GET, POST", "a/dec_keys?key_ID=" + id: "GET, POST"} {
		for _, method := range []string{"HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
			r, err := http.NewRequest(method, h.url+"/api/v1/keys/"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := h.as("b").Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != 405 || response.Header.Get("Allow") != allow {
				t.Errorf("%s %s: %s, Allow %q", method, path, response.Status, response.Header.Get("Allow"))
			}
		}
	}
	for _, path := range []string{"", "b", "b/", "/enc_keys", "b/enc_keys/", "b/c/enc_keys", "b/enc_keys/x", "b/keys", "b//enc_keys", "%zz/enc_keys"} {
		if path == "%zz/enc_keys" {
			continue // no client sends it
		}
		h.want(h.ask("a", "GET", path, ""), 404, "")
	}
	h.keys(h.ask("b", "GET", "a/dec_keys?key_ID="+id, "")) // HEAD has not taken it
}

// TestServerSide: a session that aborts says why, and what fails inside says nothing.
func TestServerSide(t *testing.T) {
	h := newHouse(t, false)
	h.maker.fail(&kme.Aborted{Session: "s9", Reason: "the QBER is 25.1 %"})
	a := h.ask("a", "GET", "b/enc_keys", "")
	h.want(a, 503, "the session ended without a key: the QBER is 25.1 %")
	if !strings.Contains(a.body, `"details":[{"reason":"the QBER is 25.1 %","session":"s9"}]`) || len(h.failed) != 0 {
		t.Errorf("%s, %v", a.body, h.failed)
	}
	h.maker.fail(errors.New("secret of the house"))
	a = h.ask("a", "GET", "b/enc_keys", "")
	h.want(a, 503, "the KME cannot answer now")
	if strings.Contains(a.body, "secret") || len(h.failed) != 1 || !strings.Contains(h.failed[0].Error(), "secret of the house") {
		t.Errorf("%s, %v", a.body, h.failed)
	}
	if _, err := h.client("a").Take(ctx, "b", qkd.Request{}); !errors.Is(err, qkd.ErrNoKeys) {
		t.Errorf("the client: %v", err)
	}
}

// TestCertificates: who has none, another authority's, an old one or one for servers has no connection; who has one
// without an id, or with two, has no SAE.
func TestCertificates(t *testing.T) {
	h := newHouse(t, false)
	expired := &x509.Certificate{Subject: pkix.Name{CommonName: "a"}, NotAfter: time.Now().Add(-time.Minute), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	server := &x509.Certificate{Subject: pkix.Name{CommonName: "a"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for what, config := range map[string]*tls.Config{
		"no certificate":         {},
		"of another authority":   {Certificates: []tls.Certificate{newAuthority(t).sae("a")}},
		"an expired certificate": {Certificates: []tls.Certificate{h.ca.issue(expired)}},
		"one for a server":       {Certificates: []tls.Certificate{h.ca.issue(server)}},
		"TLS 1.2":                {Certificates: []tls.Certificate{h.ca.sae("a")}, MaxVersion: tls.VersionTLS12},
	} {
		if response, err := h.with(config).Get(h.url + "/api/v1/keys/b/status"); err == nil {
			t.Errorf("%s: %s", what, response.Status)
		}
	}
	for what, template := range map[string]*x509.Certificate{
		"no name":     {DNSNames: []string{"a"}},
		"two names":   {Subject: pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: []int{2, 5, 4, 3}, Value: "b"}, {Type: []int{2, 5, 4, 3}, Value: "a"}}}},
		"a bad name":  {Subject: pkix.Name{CommonName: "a\n"}},
		"not anybody": {Subject: pkix.Name{CommonName: "nobody"}},
	} {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		client := h.with(&tls.Config{Certificates: []tls.Certificate{h.ca.issue(template)}})
		response, err := client.Get(h.url + "/api/v1/keys/b/status")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != 401 || len(body) != 0 || response.ContentLength != 0 {
			t.Errorf("%s: %s %q", what, response.Status, body)
		}
	}
	// Without TLS there is nobody, whatever a proxy may say.
	w := &recorder{header: http.Header{}}
	r, _ := http.NewRequest("GET", "/api/v1/keys/b/status", nil)
	h.handler.ServeHTTP(w, r)
	if w.code != 401 || w.Len() != 0 {
		t.Errorf("without TLS: %d %s", w.code, &w.Buffer)
	}
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{h.ca.sae("a").Leaf}} // not verified
	h.handler.ServeHTTP(w, r)
	if w.code != 401 || w.Len() != 0 {
		t.Errorf("with a certificate that nobody verified: %d %s", w.code, &w.Buffer)
	}
}

type recorder struct {
	header http.Header
	code   int
	bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(c int)   { r.code = c }

func TestTLS12(t *testing.T) {
	h := newHouse(t, true)
	client := h.with(&tls.Config{Certificates: []tls.Certificate{h.ca.sae("a")}, MaxVersion: tls.VersionTLS12})
	response, err := client.Get(h.url + "/api/v1/keys/b/status")
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%v, %v", response, err)
	}
	response.Body.Close()
	if response, err := h.with(&tls.Config{MaxVersion: tls.VersionTLS12}).Get(h.url + "/api/v1/keys/b/status"); err == nil {
		t.Errorf("without a certificate: %s", response.Status)
	}
	if _, err := etsi014.ServerTLS(nil, h.ca.pool, false); err == nil {
		t.Error("a server without a certificate")
	}
	if _, err := etsi014.ServerTLS(always(h.ca.server()), nil, false); err == nil {
		t.Error("a server that would take any client")
	}
}

// TestOnceAmongMany has a hundred fetch one key at once, over connections of their own.
func TestOnceAmongMany(t *testing.T) {
	h := newHouse(t, false)
	key := h.keys(h.ask("a", "GET", "b/enc_keys", "")).Keys[0]
	certificate := h.ca.sae("b")
	codes := make(chan string, 100)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			client := h.with(&tls.Config{Certificates: []tls.Certificate{certificate}})
			response, err := client.Get(h.url + "/api/v1/keys/a/dec_keys?key_ID=" + key.ID)
			if err != nil {
				codes <- err.Error()
				return
			}
			defer response.Body.Close()
			body, _ := io.ReadAll(response.Body)
			if response.StatusCode == 200 && !bytes.Contains(body, []byte(key.Key)) {
				codes <- "another key"
				return
			}
			codes <- response.Status
		})
	}
	wg.Wait()
	close(codes)
	count := map[string]int{}
	for code := range codes {
		count[code]++
	}
	if count["200 OK"] != 1 || count["400 Bad Request"] != 99 {
		t.Errorf("%v", count)
	}
}
