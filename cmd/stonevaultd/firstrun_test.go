package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stonevault/identity"
)

// setUp asks for the first admin over HTTP.
func (c *client) setUp(code, name, password string) reply {
	c.t.Helper()
	body, err := json.Marshal(map[string]string{"code": code, "name": name, "password": password})
	check(c.t, err)
	return c.must(c.do("POST", "/api/v1/setup", bytes.NewReader(body), http.Header{"Content-Type": {"application/json"}}))
}

func (c *client) setupNeeded() bool {
	c.t.Helper()
	var state struct{ Needed bool }
	check(c.t, json.Unmarshal(c.must(c.do("GET", "/api/v1/setup", nil, nil)).body, &state))
	return state.Needed
}

// TestFirstRun makes the first admin over HTTP, with the code that the real program has written, and
// confirms the recovery sheet.
func TestFirstRun(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(data, "setup-code")
	p := start(t, data)
	text, err := os.ReadFile(path)
	check(t, err)
	code := strings.TrimSpace(string(text))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || len(code) < 24 {
		t.Errorf("%v, %v, %d characters", info.Mode(), err, len(code))
	}
	if log := p.stderr.String(); !strings.Contains(log, "there is no admin yet; open the page") || !strings.Contains(log, "file="+path) ||
		!strings.Contains(log, "page=http://"+p.addr) || strings.Contains(log, code) {
		t.Errorf("the log says %s", log)
	}
	if r := run(t, "", "doctor", "--data", data); r.code != 0 || !strings.Contains(r.stdout, "ok    setup        a code for the first admin is in "+path) {
		t.Errorf("doctor: %+v", r)
	}
	c := &client{t: t, addr: p.addr, http: newHTTP(t)}
	if page := c.must(c.do("GET", "/", nil, nil)); !strings.Contains(string(page.body), "<!doctype html>") {
		t.Errorf("the page is %.100q", page.body)
	}
	if !c.setupNeeded() {
		t.Error("it does not wait for an admin")
	}
	if r := c.setUp("wrong", "ada", testPassword); r.problem() != "wrong-setup-code" {
		t.Errorf("a wrong code: %d %s", r.status, r.body)
	}
	// What fails for another reason leaves the code.
	if r := c.setUp(code, "ada", "short"); r.status != http.StatusUnprocessableEntity {
		t.Errorf("a short password: %d %s", r.status, r.body)
	}
	r := c.setUp(strings.ToUpper(code), "ada", testPassword)
	r.want(t, http.StatusCreated)
	var sheet struct {
		Secret string `json:"recovery_secret"`
		Root   string `json:"root_fingerprint_spoken"`
	}
	check(t, json.Unmarshal(r.body, &sheet))
	if _, err := identity.ParseSecret(sheet.Secret); err != nil || sheet.Root == "" {
		t.Errorf("%s, %v", r.body, err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the code is left: %v", err)
	}
	if r := c.setUp(code, "eve", testPassword); r.problem() != "setup-over" {
		t.Errorf("a second time: %d %s", r.status, r.body)
	}
	ada := signIn(t, p.addr, "ada")
	body, err := json.Marshal(map[string]string{"secret": sheet.Secret})
	check(t, err)
	ada.must(ada.do("POST", "/api/v1/setup/recovery", bytes.NewReader(body), http.Header{"Content-Type": {"application/json"}})).want(t, http.StatusNoContent)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
	if log := p.stderr.String(); strings.Contains(log, "SVSEC1") || strings.Contains(log, sheet.Secret) || strings.Contains(log, code) {
		t.Errorf("the log holds secrets: %s", log)
	}
	p = start(t, data)
	if _, err := os.Stat(path); !os.IsNotExist(err) || strings.Contains(p.stderr.String(), "level=WARN") {
		t.Errorf("the second start: %v, %s", err, p.stderr)
	}
}

// TestSetupCodeEnds shows every other end of a code: wrong tries, an admin made beside the server, a stop,
// and a kill.
func TestSetupCodeEnds(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := newServer(t, data)
	path := filepath.Join(data, "setup-code")
	read := func() string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	check(t, s.Run(t.Context()))
	first := read()
	c := &client{t: t, addr: s.Addr(), http: newHTTP(t)}
	for range 10 {
		c.setUp("wrong", "eve", testPassword).want(t, http.StatusForbidden)
	}
	if r := c.setUp(first, "ada", testPassword); r.problem() != "setup-over" || read() != "" {
		t.Errorf("after ten wrong ones: %d %s, and the file has %q", r.status, r.body, read())
	}
	closeServer(t, s)

	s = newServer(t, data)
	check(t, s.Run(t.Context()))
	second := read()
	closeServer(t, s)
	if second == "" || second == first || read() != "" {
		t.Errorf("%q, then %q, and after the stop %q", first, second, read())
	}

	p := start(t, data)
	third := read()
	p.kill()
	if third == "" || read() != third {
		t.Errorf("after a kill: %q", read())
	}
	if r := run(t, "", "doctor", "--data", data); !strings.Contains(r.stdout, "warn  setup        "+path+" is left over") {
		t.Errorf("doctor: %+v", r)
	}
	s = serveHere(t, data)
	fourth := read()
	if fourth == "" || fourth == third {
		t.Errorf("%q, then %q", third, fourth)
	}
	if r := run(t, testPassword, "admin", "create", "ada", "--password-stdin", "--data", data); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	c = &client{t: t, addr: s.Addr(), http: newHTTP(t)}
	if r := c.setUp(fourth, "eve", testPassword); r.problem() != "setup-over" || c.setupNeeded() {
		t.Errorf("beside an admin: %d %s", r.status, r.body)
	}
	s.endSetup(t.Context())
	if read() != "" {
		t.Error("the code is left beside an admin")
	}
}

// TestNothingShows puts a mark into everything that people send, and looks for it in the log.
func TestNothingShows(t *testing.T) {
	const mark = "CANARY"
	password := mark + " horse battery staple"
	data := filepath.Join(t.TempDir(), "data")
	logged := &output{}
	s := newServer(t, data)
	s.Log = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	check(t, s.Run(t.Context()))
	hash, err := hashPassword(mark+"person", password)
	check(t, err)
	_, _, err = s.store.vault.CreatePerson(t.Context(), atMachine, mark+"person", "user", hash)
	check(t, err)
	codeText, err := os.ReadFile(s.store.dir.SetupCode())
	check(t, err)
	c := &client{t: t, addr: s.Addr(), http: newHTTP(t)}
	json := func(pairs ...string) (*strings.Reader, http.Header) {
		var fields []string
		for i := 0; i < len(pairs); i += 2 {
			fields = append(fields, fmt.Sprintf("%q:%q", pairs[i], pairs[i+1]))
		}
		return strings.NewReader("{" + strings.Join(fields, ",") + "}"), http.Header{"Content-Type": {"application/json"}}
	}
	post := func(path string, pairs ...string) reply {
		t.Helper()
		body, header := json(pairs...)
		return c.must(c.do("POST", path, body, header))
	}
	post("/api/v1/sessions", "name", mark, "password", mark, "client", mark).want(t, http.StatusUnauthorized)
	post("/api/v1/sessions", mark, mark).want(t, http.StatusUnprocessableEntity)
	r := post("/api/v1/sessions", "name", mark+"person", "password", password, "client", mark)
	r.want(t, http.StatusOK)
	tokens := []string{between(t, string(r.body), `"access_token":"`, `"`), between(t, string(r.body), `"refresh_token":"`, `"`)}
	c.token = tokens[0]
	content := []byte(strings.Repeat(mark, 1000))
	folder := "/" + mark + " folder/" + mark + ".txt"
	header := http.Header{
		"Content-Type": {"text/" + mark}, "User-Agent": {mark}, "Referer": {"http://" + mark}, "X-Request-Id": {mark},
		"X-Forwarded-For": {mark}, "Forwarded": {"for=" + mark}, "Cookie": {mark + "=" + mark},
	}
	c.must(c.do("PUT", contentPath(folder), bytes.NewReader(content), header)).want(t, http.StatusCreated)
	c.must(c.get(folder)).want(t, http.StatusOK)
	c.must(c.get(folder+mark)).want(t, http.StatusNotFound)
	f, _, err := c.lookup(folder)
	check(t, err)
	c.must(c.do("GET", "/api/v1/files?folder="+url.QueryEscape("/"+mark+" folder")+"&name_contains="+mark, nil, nil)).want(t, http.StatusOK)
	c.must(c.do("GET", "/api/v1/files?"+mark+"="+mark, nil, nil)).want(t, http.StatusUnprocessableEntity)
	c.must(c.do("GET", "/"+mark+"/../"+mark+"?"+mark, nil, nil))
	c.must(c.do("GET", "/api/v1/"+mark, nil, nil)).want(t, http.StatusNotFound)
	c.must(c.do(mark, "/api/v1/me", nil, nil))
	post("/api/v1/sessions/refresh", "refresh_token", mark).want(t, http.StatusUnauthorized)
	post("/api/v1/folders", "path", "/"+mark+" another").want(t, http.StatusCreated)
	post("/api/v1/setup", "code", mark, "name", mark, "password", mark)
	post("/api/v1/setup/recovery", "secret", mark)
	post("/api/v1/uploads", "path", mark)
	// What is refused is logged with its reason.
	object := object(data, f.FileID, "body")
	text, err := os.ReadFile(object)
	check(t, err)
	text[len(text)/2] ^= 1
	check(t, os.WriteFile(object, text, 0o600))
	if r, err := c.get(folder); err == nil && r.status == http.StatusOK {
		t.Error("a damaged file came whole")
	}
	c.token = mark
	c.must(c.get(folder)).want(t, http.StatusUnauthorized)
	closeServer(t, s)
	log := logged.String()
	if n := strings.Count(log, "msg=request "); n < 15 || !strings.Contains(log, "problem=refused") {
		t.Errorf("the log has %d requests", n)
	}
	for what, secret := range map[string]string{
		"a mark": mark, "the password": password, "the access token": tokens[0], "its end": tokens[0][len(tokens[0])-20:],
		"the refresh token": tokens[1], "the setup code": strings.TrimSpace(string(codeText)),
	} {
		if at := strings.Index(log, secret); at >= 0 {
			t.Errorf("%s shows: %.300s", what, log[max(0, at-200):])
		}
	}
}
