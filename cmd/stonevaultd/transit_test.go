package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stonevault/internal/masterkey"
	"stonevault/internal/masterkey/transittest"
	"stonevault/internal/vault"
)

// wrapped is a data directory whose master key a stand-in of transit wraps.
type wrapped struct {
	t         *testing.T
	transit   *transittest.Server
	data      string
	tokenFile string
	token     string
}

func newWrapped(t *testing.T) *wrapped {
	w := &wrapped{t: t, transit: transittest.Start(t), data: filepath.Join(t.TempDir(), "data"), tokenFile: filepath.Join(t.TempDir(), "token")}
	w.renewToken()
	return w
}

// renewToken has an agent write another token.
func (w *wrapped) renewToken() {
	w.token = w.transit.Token(0)
	write(w.t, w.tokenFile, w.token+"\n")
}

func (w *wrapped) key() string { return w.data + ".master.key" }

func (w *wrapped) flags() map[string]string {
	return map[string]string{
		"data": w.data, "master-key": "transit", "transit-address": w.transit.Address(), "transit-key": transittest.Key, "transit-token-file": w.tokenFile,
	}
}

// server is one that keeps its key for two seconds without transit.
func (w *wrapped) server() *Server {
	s := newServer(w.t, w.data)
	flags := w.flags()
	maps.Copy(flags, map[string]string{"listen": "127.0.0.1:0", "metrics-listen": "127.0.0.1:0", "master-key-cache": "2s"})
	s.Config = settings(w.t, flags)
	return s
}

func (w *wrapped) serve() *Server {
	w.t.Helper()
	s := w.server()
	check(w.t, s.Run(w.t.Context()))
	return s
}

// verb runs a command line in this process, with the flags of transit unless other ones are given.
func (w *wrapped) verb(line string, others ...string) result {
	w.t.Helper()
	args := append(strings.Fields(line), others...)
	if len(others) == 0 {
		for name, value := range w.flags() {
			args = append(args, "--"+name, value)
		}
	}
	var stdout, stderr bytes.Buffer
	a := &app{stdin: os.Stdin, stdout: &stdout, stderr: &stderr, now: time.Now}
	code := a.main(context.Background(), args)
	return result{code, stdout.String(), stderr.String()}
}

func (w *wrapped) expect(r result, code int, says string) {
	w.t.Helper()
	if r.code != code || !strings.Contains(r.stdout+r.stderr, says) {
		w.t.Errorf("code %d, want %d and %q: %s%s", r.code, code, says, r.stdout, r.stderr)
	}
}

// awaitStatus asks until the answer has a status, and returns how long that took and the answer.
func awaitStatus(t testing.TB, ask func() (reply, error), status int) (time.Duration, reply) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		r, err := ask()
		check(t, err)
		if r.status == status {
			return time.Since(began), r
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("status %d after %v, not %d: %.300s", r.status, time.Since(began), status, r.body)
		}
	}
}

// TestTransitAbsence: a server works on without transit for the set time, refuses everything after it, and goes on by
// itself; a refusal stops it at once; a start without transit changes nothing.
func TestTransitAbsence(t *testing.T) {
	w := newWrapped(t)
	s := w.serve()
	closed := false
	defer func() {
		if !closed {
			s.Close(context.Background())
		}
	}()
	text, err := masterkey.ReadText(w.key())
	check(t, err)
	if _, err := masterkey.Parse(text); !errors.Is(err, masterkey.ErrMalformed) || !strings.HasPrefix(text, "svmkt1 vault:v1:") {
		t.Fatalf("the key file holds %q", text)
	}
	makePerson(t, s, "ann")
	ann := signIn(t, s.Addr(), "ann")
	ann.must(ann.put("/letter", []byte("kept"))).want(t, http.StatusCreated)
	get := func() (reply, error) { return ann.get("/letter") }
	metrics := &client{t: t, addr: s.listeners[1].Addr().String(), http: newHTTP(t)}
	held := func(want string) {
		t.Helper()
		r := metrics.must(metrics.do("GET", "/metrics", nil, nil))
		if !strings.Contains(string(r.body), "\nstonevault_master_key_held "+want+"\n") {
			t.Errorf("the metrics do not say that %s key is held", want)
		}
	}
	n := 0
	works := func() {
		t.Helper()
		awaitStatus(t, func() (reply, error) { return ann.do("GET", "/readyz", nil, nil) }, http.StatusOK)
		if _, r := awaitStatus(t, get, http.StatusOK); string(r.body) != "kept" {
			t.Fatalf("it got %.300s", r.body)
		}
		n++
		awaitStatus(t, func() (reply, error) { return ann.put(fmt.Sprintf("/more-%d", n), []byte("more")) }, http.StatusCreated)
		held("1")
	}
	stands := func() {
		t.Helper()
		for _, path := range []string{contentPath("/letter"), "/api/v1/files?folder=/", "/api/v1/me", "/api/v1/vault", "/readyz"} {
			if r := ann.must(ann.do("GET", path, nil, nil)); r.status != http.StatusServiceUnavailable {
				t.Errorf("%s: %d %.300s", path, r.status, r.body)
			}
		}
		if r := ann.must(ann.put("/new", []byte("new"))); r.problem() != "unavailable" || r.header.Get("Retry-After") == "" || strings.Contains(string(r.body), w.transit.Address()) {
			t.Errorf("a put: %d %.300s", r.status, r.body)
		}
		if r := ann.must(ann.do("POST", "/api/v1/sessions", strings.NewReader(`{"name":"ann","password":"x"}`), http.Header{"Content-Type": {"application/json"}})); r.problem() != "unavailable" {
			t.Errorf("a sign-in: %d %.300s", r.status, r.body)
		}
		ann.must(ann.do("GET", "/livez", nil, nil)).want(t, http.StatusOK)
		sealed := func() error { _, err := s.store.key.Open("x", nil); return err }
		for deadline := time.Now().Add(2 * time.Second); !errors.Is(sealed(), vault.ErrUnavailable); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the key is still in memory: %v", sealed())
			}
		}
		held("0")
	}
	works()

	w.transit.Break(transittest.Down)
	if took, _ := awaitStatus(t, get, http.StatusServiceUnavailable); took < 100*time.Millisecond || took > 10*time.Second {
		t.Errorf("without transit it went on for %v, at a set time of 2 s", took)
	}
	stands()
	w.transit.Break(nil)
	works()

	w.transit.Revoke(w.token)
	awaitStatus(t, get, http.StatusServiceUnavailable)
	if r := metrics.must(metrics.do("GET", "/metrics", nil, nil)); strings.Contains(string(r.body), `stonevault_master_key_failures_total{reason="refused"} 0`) {
		t.Error("it was not the refusal that ended it")
	}
	stands()
	w.renewToken()
	works()

	check(t, s.Close(t.Context()))
	closed = true
	w.transit.Break(transittest.Refuse(503, "Vault is sealed"))
	before := fingerprint(t, filepath.Dir(w.data))
	err = w.server().Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "is wrapped by key stonevault at "+w.transit.Address()+", without which nothing here can be opened, and transit does not answer") ||
		!strings.Contains(err.Error(), "Vault is sealed") || !strings.Contains(err.Error(), "start again when it answers") || strings.Contains(err.Error(), w.token) {
		t.Errorf("a start without transit: %v", err)
	}
	if fingerprint(t, filepath.Dir(w.data)) != before {
		t.Error("a refused start has changed something")
	}
	w.expect(w.verb("doctor"), 1, "transit does not answer")
	w.transit.Break(nil)
	s = w.serve()
	closed = false
	ann = signIn(t, s.Addr(), "ann")
	if r := ann.must(ann.get("/letter")); string(r.body) != "kept" {
		t.Errorf("after a restart: %d %.300s", r.status, r.body)
	}
	check(t, s.Close(t.Context()))
	closed = true
}

// TestTransitFirstStart: a vault is not begun where its key cannot be wrapped, and nothing is left of the try.
func TestTransitFirstStart(t *testing.T) {
	w := newWrapped(t)
	for says, change := range map[string]func(s *transittest.Server){
		"permission denied":                     func(s *transittest.Server) { s.NoDecrypt = true },
		"allow read on transit/keys/stonevault": func(s *transittest.Server) { s.NoDecrypt, s.NoRead = false, true },
		"transit refuses (status 404)":          func(s *transittest.Server) { s.NoRead, s.NoDecrypt, s.Namespace = false, false, "elsewhere" },
	} {
		w.transit.Change(change)
		before := fingerprint(t, filepath.Dir(w.data))
		if err := w.server().Run(t.Context()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
		if fingerprint(t, filepath.Dir(w.data)) != before {
			t.Errorf("something is left of a try that ended with %q", says)
		}
		w.transit.Change(func(s *transittest.Server) { s.Namespace, s.NoRead, s.NoDecrypt = "", false, false })
	}
}

// TestKeyWraps takes the key of a vault from a file into transit, through a rotation there, and back.
func TestKeyWraps(t *testing.T) {
	w := newWrapped(t)
	makeVault(t, w.data)
	plain, err := os.ReadFile(w.key())
	check(t, err)
	opens := func(how ...string) {
		t.Helper()
		w.expect(w.verb("doctor", how...), 0, "the master key opens it")
	}
	inFile := []string{"--data", w.data}

	if err := w.server().Run(t.Context()); err == nil || !strings.Contains(err.Error(), "have it wrapped with stonevaultd key wrap") {
		t.Errorf("transit for a key in clear: %v", err)
	}
	w.expect(w.verb("key unwrap"), 1, "it is left as it is")
	w.expect(w.verb("key wrap", inFile...), 1, "say how the server reaches transit")
	w.expect(w.verb("key wrap"), 0, "is wrapped by key stonevault at "+w.transit.Address())
	text, err := os.ReadFile(w.key())
	check(t, err)
	if bytes.Contains(text, bytes.TrimSpace(plain)[6:20]) {
		t.Errorf("wrapped, the file holds %s", text)
	}
	opens()
	w.expect(w.verb("doctor", inFile...), 1, "is wrapped by transit; start with --master-key transit")
	w.expect(w.verb("key wrap"), 1, "is wrapped already")

	s := w.serve()
	ann := signIn(t, s.Addr(), "ann")
	for _, verb := range []string{"key wrap", "key unwrap"} {
		w.expect(w.verb(verb), 1, "a server uses "+w.data+"; stop it first")
	}
	w.transit.Rotate()
	w.expect(w.verb("doctor"), 0, "wrapped by version 1 of key stonevault at "+w.transit.Address()+", which answers and has version 2; wrap it anew with: ")
	w.transit.Change(func(s *transittest.Server) { s.NoRead = true })
	w.expect(w.verb("doctor"), 0, "whether that is the newest version, this server may not ask")
	w.transit.Change(func(s *transittest.Server) { s.NoRead = false })
	w.expect(w.verb("key rewrap"), 0, "was wrapped by version 1 of key stonevault at "+w.transit.Address()+", and is by version 2.")
	w.transit.Forbid(2)
	renewed := w.transit.Asked("decrypt")
	for deadline := time.Now().Add(10 * time.Second); w.transit.Asked("decrypt") < renewed+3 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
	}
	ann.must(ann.put("/after", []byte("a rotation"))).want(t, http.StatusCreated)
	check(t, s.Close(t.Context()))
	w.expect(w.verb("doctor"), 0, "wrapped by the newest version of key stonevault")

	w.expect(w.verb("key unwrap"), 0, "is in clear; keep a copy of it away from copies of the data")
	if text, err := os.ReadFile(w.key()); err != nil || !bytes.Equal(text, plain) {
		t.Errorf("unwrapped, it is another key: %v", err)
	}
	opens(inFile...)
}

// TestTransitHint: what the program tells people to type has what it needs.
func TestTransitHint(t *testing.T) {
	w := newWrapped(t)
	s := w.server()
	line := s.Config
	dir, err := placesOf(line, "")
	check(t, err)
	want := fmt.Sprintf(" doctor --data %s --master-key transit --transit-address %s --transit-key stonevault --transit-token-file %s", w.data, w.transit.Address(), w.tokenFile)
	if got := hint(line, dir.dir, "doctor"); !strings.HasSuffix(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
}
