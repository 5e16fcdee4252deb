package main

import (
	"bytes"
	"database/sql"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// canaries are secrets by what they are.
type canaries map[string]string

// plant remembers a secret.
func (c canaries) plant(t testing.TB, what, secret string) string {
	t.Helper()
	if len(secret) < 10 {
		t.Fatalf("%s is %q, too short to look for", what, secret)
	}
	c[what] = secret
	return secret
}

// spellings are how a secret may be written, and the bytes that it stands for.
func spellings(secret string) [][]byte {
	b := []byte(secret)
	all := [][]byte{}
	bare := secret[strings.LastIndex(secret, "_")+1:]
	for _, decode := range []func(string) ([]byte, error){base64.RawURLEncoding.DecodeString, base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString} {
		if raw, err := decode(bare); err == nil && len(raw) >= 16 {
			all = append(all, raw)
		}
	}
	return append(all,
		b, []byte(hex.EncodeToString(b)), []byte(base64.StdEncoding.EncodeToString(b)), []byte(base64.RawURLEncoding.EncodeToString(b)),
		[]byte(url.QueryEscape(secret)), []byte(url.PathEscape(secret)), []byte(strings.Trim(strconv.Quote(secret), `"`)))
}

// noSecret is kept as it is, so that a search which finds nothing at all shows.
const noSecret = "https://example.com/not-a-secret"

// find looks for every secret in what was left somewhere.
func (c canaries) find(t *testing.T, where string, left []byte) {
	t.Helper()
	for what, secret := range c {
		for _, spelling := range spellings(secret) {
			if i := bytes.Index(left, spelling); i >= 0 {
				t.Errorf("%s is in %s: %q", what, where, left[max(0, i-60):min(len(left), i+len(spelling)+20)])
			}
		}
	}
}

// json asks, and reads the reply's text values, by their names.
func (c *client) json(method, path string, body map[string]any, header http.Header) map[string]any {
	c.t.Helper()
	h := http.Header{"Content-Type": {"application/json"}}
	for name, values := range header {
		h[name] = values
	}
	var content io.Reader
	if body == nil {
		h.Del("Content-Type")
	} else {
		b, err := json.Marshal(body)
		check(c.t, err)
		content = bytes.NewReader(b)
	}
	r := c.must(c.do(method, path, content, h))
	if r.status >= 300 {
		c.t.Fatalf("%s %s: %d %s", method, path, r.status, r.body)
	}
	all := map[string]any{}
	if len(r.body) > 0 {
		check(c.t, json.Unmarshal(r.body, &all))
	}
	return all
}

func textOf(t testing.TB, all map[string]any, name string) string {
	t.Helper()
	text, ok := all[name].(string)
	if !ok {
		t.Fatalf("no %s in %v", name, all)
	}
	return text
}

var shownSecret = regexp.MustCompile(`SVSEC1-[A-Z0-9-]+`)

// TestCanaries plants secrets of every kind in a real server that logs everything, and looks for them in its log, in its
// database with the write-ahead log, in all other files of its directory while it runs and after, and in its temporary
// directory. URLs are in the log as routes, so that a secret in one would be found there if it were logged.
func TestCanaries(t *testing.T) {
	_, err := binary() // before its directory would be one of this test's
	check(t, err)
	root := t.TempDir()
	data, temporary := filepath.Join(root, "data"), filepath.Join(root, "tmp")
	check(t, os.Mkdir(temporary, 0o700))
	t.Setenv("TMPDIR", temporary)
	birds := canaries{}

	p := start(t, data, "--log-level", "debug")
	code, err := os.ReadFile(filepath.Join(data, "setup-code"))
	check(t, err)
	setupCode := birds.plant(t, "the setup code", strings.TrimSpace(string(code)))
	c := &client{t: t, addr: p.addr, http: newHTTP(t)}
	const password = "canary-one: seven green lanterns count owls"
	birds.plant(t, "a password", password)
	birds.plant(t, "a wrong password", "canary-two: nine blue lanterns count crows")
	birds.plant(t, "a wrong setup code", "CANARY-THREE-AAAA-BBBB-CCCC")
	c.setUp(birds["a wrong setup code"], "ada", password)
	made := c.setUp(setupCode, "ada", password)
	made.want(t, http.StatusCreated)
	if found := recoverySecrets(made.body); found != "" {
		birds.plant(t, "the recovery secret", found)
	} else {
		t.Errorf("setting up shows no recovery secret: %s", made.body)
	}

	sign := func(password string) reply {
		b, err := json.Marshal(map[string]any{"name": "ada", "password": password, "client": "test"})
		check(t, err)
		return c.must(c.do("POST", "/api/v1/sessions", bytes.NewReader(b), http.Header{"Content-Type": {"application/json"}}))
	}
	sign(birds["a wrong password"]).want(t, http.StatusUnauthorized)
	session := map[string]any{}
	check(t, json.Unmarshal(sign(password).body, &session))
	birds.plant(t, "an access token", textOf(t, session, "access_token"))
	birds.plant(t, "a used refresh token", textOf(t, session, "refresh_token"))
	if device, ok := session["device"].(string); ok {
		birds.plant(t, "a device's secret", device)
	}
	session = c.json("POST", "/api/v1/sessions/refresh", map[string]any{"refresh_token": birds["a used refresh token"]}, nil)
	birds.plant(t, "the next access token", textOf(t, session, "access_token"))
	birds.plant(t, "the next refresh token", textOf(t, session, "refresh_token"))
	c.token = birds["the next access token"]

	// In cookies.
	b, err := json.Marshal(map[string]any{"name": "ada", "password": password, "cookies": true})
	check(t, err)
	browser := &client{t: t, addr: p.addr, http: newHTTP(t)}
	r := browser.must(browser.do("POST", "/api/v1/sessions", bytes.NewReader(b), http.Header{"Content-Type": {"application/json"}}))
	r.want(t, http.StatusOK)
	for _, cookie := range (&http.Response{Header: r.header}).Cookies() {
		birds.plant(t, "the cookie "+cookie.Name, cookie.Value)
	}

	// Tokens of programs, one of them revoked, and one that was never given.
	for _, name := range []string{"one", "two"} {
		token := c.json("POST", "/api/v1/me/tokens", map[string]any{
			"name": name, "scopes": []string{"files:read"}, "expires_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		}, nil)
		birds.plant(t, "API token "+name, textOf(t, token, "token"))
		if name == "two" {
			c.json("DELETE", "/api/v1/people/me/tokens/"+textOf(t, token, "id"), nil, nil)
		}
	}
	program := &client{t: t, addr: p.addr, http: newHTTP(t), token: birds["API token one"]}
	program.must(program.do("GET", "/api/v1/files", nil, nil)).want(t, http.StatusOK)
	program.token = birds.plant(t, "an invented token", "svp_canaryFourCanaryFourCanaryFourCanaryFourCanary")
	program.must(program.do("GET", "/api/v1/files", nil, nil)).want(t, http.StatusUnauthorized)

	// A second factor, begun and not confirmed.
	factor := c.json("POST", "/api/v1/me/factor", nil, nil)
	birds.plant(t, "the secret of a second factor", textOf(t, factor, "secret"))
	link := c.json("POST", "/api/v1/invitations", map[string]any{}, nil)
	_, secret, _ := strings.Cut(textOf(t, link, "link"), "#")
	birds.plant(t, "the secret of an invitation", secret)
	birds.plant(t, "an invented link", "svl_canaryNineCanaryNineCanaryNineCanaryNineCan")
	b, err = json.Marshal(map[string]any{"link": birds["an invented link"]})
	check(t, err)
	c.must(c.do("POST", "/api/v1/links/look", bytes.NewReader(b), http.Header{"Content-Type": {"application/json"}}))
	// Nothing that shows a secret is made with a key, and of a key a digest is kept.
	key := http.Header{"Idempotency-Key": {birds.plant(t, "a key of requests", "canary-ten-of-one-request")}}
	for path, body := range map[string]map[string]any{
		"/api/v1/invitations": {}, "/api/v1/webhooks": {"url": noSecret, "events": []string{"role.changed"}}, "/api/v1/people": {"name": "bob"},
		"/api/v1/me/tokens": {"name": "three", "scopes": []string{"files:read"}, "expires_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)},
	} {
		b, err := json.Marshal(body)
		check(t, err)
		c.must(c.do("POST", path, bytes.NewReader(b), http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": key["Idempotency-Key"]})).want(t, http.StatusBadRequest)
	}
	for range 2 {
		c.json("POST", "/api/v1/folders", map[string]any{"path": "/kept"}, key)
		c.json("POST", "/api/v1/groups", map[string]any{"name": "kept"}, key)
	}
	hook := c.json("POST", "/api/v1/webhooks", map[string]any{"url": noSecret, "events": []string{"role.changed"}, "active": false}, nil)
	birds.plant(t, "the secret of a webhook", textOf(t, hook, "secret"))

	// Content: whole, in pieces that are left lying, replaced, deleted, exported under a passphrase.
	content := func(n int) []byte {
		return []byte(birds.plant(t, fmt.Sprintf("content %d", n), fmt.Sprintf("canary of content number %d, which nobody may find", n)))
	}
	for n := range 3 {
		c.must(c.put("/letter", content(n))).want(t, http.StatusCreated, http.StatusOK)
	}
	c.must(c.get("/letter")).want(t, http.StatusOK)
	c.must(c.put("/gone", content(3))).want(t, http.StatusCreated)
	gone, _, err := c.lookup("/gone")
	check(t, err)
	c.json("DELETE", "/api/v1/files/"+gone.ID, nil, nil)
	piece := content(4)
	r = c.must(c.do("POST", "/api/v1/uploads", bytes.NewReader(piece), http.Header{
		"Tus-Resumable": {"1.0.0"}, "Upload-Length": {"100000"}, "Content-Type": {"application/offset+octet-stream"},
		"Upload-Metadata": {"path " + base64.StdEncoding.EncodeToString([]byte("/unfinished"))},
	}))
	r.want(t, http.StatusCreated)
	letter, _, err := c.lookup("/letter")
	check(t, err)
	b, err = json.Marshal(map[string]any{"passphrase": birds.plant(t, "the passphrase of an export", "canary-five of an exported stone")})
	check(t, err)
	c.must(c.do("POST", "/api/v1/files/"+letter.ID+"/export", bytes.NewReader(b), http.Header{"Content-Type": {"application/json"}})).want(t, http.StatusOK)

	// The key of everything, and secrets where they do not belong.
	master, err := os.ReadFile(data + ".master.key")
	check(t, err)
	birds.plant(t, "the master key", strings.TrimSpace(string(master)))
	for _, path := range []string{"/api/v1/files?folder=%2F" + url.QueryEscape(birds.plant(t, "a secret in a query", "canary-six-in-a-query")), "/" + birds.plant(t, "a secret in a path", "canary-seven-in-a-path"),
		"/api/v1/sessions?password=" + url.QueryEscape(password)} {
		c.must(c.do("GET", path, nil, nil))
	}
	c.must(c.do("GET", "/api/v1/me", nil, http.Header{"User-Agent": {"test"}, "Referer": {"https://example.com/" + birds.plant(t, "a secret in a header", "canary-eight-in-a-header")}}))

	if len(birds) < 20 {
		t.Fatalf("only %d secrets were planted", len(birds))
	}
	t.Logf("%d secrets were planted", len(birds))
	birds.look(t, "while it runs", data, temporary)
	dump(t, birds, data)
	p.stop()
	birds.look(t, "after it has stopped", data, temporary)
	birds.find(t, "the log", []byte(p.stderr.String()))
	birds.find(t, "the output", []byte(p.stdout.String()))
}

// recoverySecrets finds the recovery secret in the reply to setting up.
func recoverySecrets(body []byte) string { return shownSecret.FindString(string(body)) }

// look looks into every file of the directories, as it lies on the disk.
func (c canaries) look(t *testing.T, when string, dirs ...string) {
	t.Helper()
	files, found := 0, false
	for _, dir := range dirs {
		check(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			found = found || bytes.Contains(b, []byte(noSecret))
			c.find(t, strings.TrimPrefix(path, filepath.Dir(dirs[0]))+" "+when, b)
			return nil
		}))
	}
	if files < 5 || !found {
		t.Errorf("only %d files were looked into, or not the database: %v", files, found)
	}
}

// dump looks into every value of the database, the ones that are still in the write-ahead log included.
func dump(t *testing.T, c canaries, data string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+url.PathEscape(filepath.Join(data, "stonevault.db"))+"?_pragma=busy_timeout(10000)&_pragma=query_only(1)")
	check(t, err)
	defer db.Close()
	each := func(query string, fn func(values []any)) {
		t.Helper()
		rows, err := db.Query(query)
		check(t, err)
		defer rows.Close()
		names, err := rows.Columns()
		check(t, err)
		for rows.Next() {
			values, into := make([]any, len(names)), make([]any, len(names))
			for i := range values {
				into[i] = &values[i]
			}
			check(t, rows.Scan(into...))
			fn(values)
		}
		check(t, rows.Err())
	}
	var tables []string
	each(`SELECT name FROM sqlite_master WHERE type = 'table'`, func(values []any) { tables = append(tables, fmt.Sprint(values[0])) })
	rows, found := 0, false
	for _, table := range tables {
		each(`SELECT * FROM "`+table+`"`, func(values []any) {
			rows++
			for _, v := range values {
				switch v := v.(type) {
				case []byte:
					c.find(t, "table "+table, v)
				case string:
					found = found || v == noSecret
					c.find(t, "table "+table, []byte(v))
				}
			}
		})
	}
	if rows < 50 || !found {
		t.Errorf("the database has only %d rows in %d tables, or not the webhook: %v", rows, len(tables), found)
	}
}
