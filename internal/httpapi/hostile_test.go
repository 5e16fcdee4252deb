package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"stonevault/api"
	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

// raw sends bytes and reads one reply.
func raw(t testing.TB, w *world, request string) *answer {
	t.Helper()
	conn := dial(t, w)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return readReply(t, bufio.NewReader(conn))
}

func dial(t testing.TB, w *world) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn
}

func readReply(t testing.TB, r *bufio.Reader) *answer {
	t.Helper()
	res, err := http.ReadResponse(r, &http.Request{Method: "GET"})
	if err != nil {
		t.Fatal(err)
	}
	a := &answer{Response: res}
	a.body, a.err = io.ReadAll(res.Body)
	return a
}

func TestHostileJSON(t *testing.T) {
	w := newWorld(t)
	f := w.put("owner", "/f", []byte("x"))
	long := strings.Repeat("a", jsonLimit)
	for _, row := range []struct {
		name, body, problem, field string
	}{
		{"empty", ``, "bad-request", ""},
		{"white space", ` `, "bad-request", ""},
		{"null", `null`, "bad-request", ""},
		{"a number", `1`, "bad-request", ""},
		{"a list", `[{"path":"/g"}]`, "bad-request", ""},
		{"a string", `"path"`, "bad-request", ""},
		{"cut", `{"path":"/g"`, "bad-request", ""},
		{"no value", `{"path":}`, "bad-request", ""},
		{"single quotes", `{'path':'/g'}`, "bad-request", ""},
		{"trailing comma", `{"path":"/g",}`, "bad-request", ""},
		{"comment", `{"path":"/g"/**/}`, "bad-request", ""},
		{"two values", `{"path":"/g"}{"path":"/h"}`, "bad-request", ""},
		{"trailing word", `{"path":"/g"} x`, "bad-request", ""},
		{"NUL after", "{\"path\":\"/g\"}\x00", "bad-request", ""},
		{"byte order mark", "\ufeff{\"path\":\"/g\"}", "bad-request", ""},
		{"invalid UTF-8 in a value", "{\"path\":\"/\xff\"}", "bad-request", ""},
		{"invalid UTF-8 in a name", "{\"pa\xffth\":\"/g\"}", "bad-request", ""},
		{"UTF-16", "\xff\xfe{\x00", "bad-request", ""},
		{"deep nesting", strings.Repeat("[", 10000), "bad-request", ""},
		{"deep nesting in a value", `{"path":` + strings.Repeat("[", 10000), "invalid", "path"},
		{"missing", `{}`, "invalid", "path"},
		{"null value", `{"path":null}`, "invalid", "path"},
		{"number value", `{"path":1}`, "invalid", "path"},
		{"huge number", `{"path":1e999999}`, "bad-request", ""},
		{"boolean value", `{"path":true}`, "invalid", "path"},
		{"list value", `{"path":["/g"]}`, "invalid", "path"},
		{"object value", `{"path":{"path":"/g"}}`, "invalid", "path"},
		{"unknown field", `{"path":"/g","owner":"admin"}`, "invalid", "owner"},
		{"another case", `{"PATH":"/g"}`, "invalid", "PATH"},
		{"Kelvin sign", "{\"path\":\"/g\",\"\u212a\":\"\"}", "invalid", "\u212a"},
		{"twice", `{"path":"/g","path":"/h"}`, "invalid", "path"},
		{"twice by escape", `{"path":"/g","\u0070ath":"/h"}`, "invalid", "path"},
		{"empty name", `{"":"/g"}`, "invalid", ""},
		{"empty path", `{"path":""}`, "invalid", "path"},
		{"relative path", `{"path":"g"}`, "invalid", "path"},
		{"the root", `{"path":"/"}`, "invalid", "path"},
		{"dots", `{"path":"/../g"}`, "invalid", "path"},
		{"NUL", `{"path":"/g\u0000"}`, "invalid", "path"},
		{"64 KiB and one byte", `{"path":"` + long[:jsonLimit-11] + `" }`, "too-large", ""},
		{"64 KiB", `{"path":"` + long[:jsonLimit-11] + `"}`, "invalid", "path"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, chunked := range []bool{false, true} {
				var body any = row.body
				if chunked { // the limit holds without a Content-Length too
					body = io.MultiReader(strings.NewReader(row.body))
				}
				p := wantProblem(t, w.do("owner", "PATCH", "/api/v1/files/"+f.ID, body, jsonBody...), row.problem)
				if row.problem == "invalid" && len(p.Errors) == 1 && p.Errors[0].Field != row.field {
					t.Errorf("the field is %q, want %q", p.Errors[0].Field, row.field)
				}
			}
		})
	}
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/json/x", "multipart/form-data; boundary=x"} {
		header := []string{"Content-Type: " + contentType}
		if contentType == "" {
			header = nil
		}
		wantProblem(t, w.do("owner", "PATCH", "/api/v1/files/"+f.ID, `{"path":"/g"}`, header...), "unsupported-media-type")
	}
	for _, row := range []struct{ target, body, field string }{
		{"/api/v1/sessions", `{"name":"owner"}`, "password"},
		{"/api/v1/sessions", `{"name":"owner","password":""}`, "password"},
		{"/api/v1/sessions", `{"password":"` + password + `"}`, "name"},
		{"/api/v1/sessions", `{"name":"owner","password":"` + strings.Repeat("p", 1025) + `"}`, "password"},
		{"/api/v1/sessions", `{"name":"owner","password":7}`, "password"},
		{"/api/v1/sessions", `{"name":"` + strings.Repeat("n", 256) + `","password":"x"}`, "name"},
		{"/api/v1/sessions", `{"name":"owner","password":"x","client":"a\u0007"}`, "client"},
		{"/api/v1/sessions", `{"name":"owner","password":"x","role":"admin"}`, "role"},
		{"/api/v1/sessions/refresh", `{}`, "refresh_token"},
		{"/api/v1/sessions/refresh", `{"refresh_token":["svr_"]}`, "refresh_token"},
	} {
		p := wantProblem(t, w.do("anonymous", "POST", row.target, row.body, jsonBody...), "invalid")
		if len(p.Errors) != 1 || p.Errors[0].Field != row.field {
			t.Errorf("%.60s: %+v, want %s", row.body, p.Errors, row.field)
		}
	}
	if a := w.do("owner", "PATCH", "/api/v1/files/"+f.ID, ` {"path" : "\u002fg"} `, "Content-Type: Application/JSON; charset=UTF-8"); a.StatusCode != 200 {
		t.Errorf("a sound body after all of these: %d %s", a.StatusCode, a.body)
	}
}

func FuzzReadJSON(f *testing.F) {
	f.Add([]byte(`{"name":"a","password":"b","client":"c"}`))
	f.Add([]byte(`{"name":"a","NAME":"b"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := http.NewRequest("POST", "/", bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		var in api.SignIn
		if err := readJSON(r, &in); err != nil {
			if classify(err).kind.code == "internal" {
				t.Errorf("%q gives %v", b, err)
			}
			return
		}
		if bytes.Count(b, []byte("name")) == 0 && in.Name != "" && !bytes.Contains(b, []byte(`\u`)) {
			t.Errorf("%q gives a name", b)
		}
	})
}

func TestHostileQueries(t *testing.T) {
	w := newWorld(t)
	f := w.put("owner", "/f", []byte("x"))
	w.put("owner", "/g", []byte("x"))
	sorted := decode[api.FileList](t, w.do("owner", "GET", "/api/v1/files?limit=1&sort=-size", nil))
	for _, row := range []struct{ target, problem, field string }{
		{"/api/v1/files?limit=0", "invalid", "limit"},
		{"/api/v1/files?limit=1001", "invalid", "limit"},
		{"/api/v1/files?limit=-1", "invalid", "limit"},
		{"/api/v1/files?limit=+5", "invalid", "limit"},
		{"/api/v1/files?limit=05", "invalid", "limit"},
		{"/api/v1/files?limit=1e2", "invalid", "limit"},
		{"/api/v1/files?limit=", "invalid", "limit"},
		{"/api/v1/files?limit=99999999999999999999", "invalid", "limit"},
		{"/api/v1/files?limit=1&limit=2", "invalid", "limit"},
		{"/api/v1/files?sort=owner", "invalid", "sort"},
		{"/api/v1/files?sort=name;DROP%20TABLE%20nodes", "bad-request", ""},
		{"/api/v1/files?sort=name%3BDROP%20TABLE%20nodes", "invalid", "sort"},
		{"/api/v1/files?sort=name,name", "invalid", "sort"},
		{"/api/v1/files?sort=--name", "invalid", "sort"},
		{"/api/v1/files?kind=link", "invalid", "kind"},
		{"/api/v1/files?cursor=x", "invalid", "cursor"},
		{"/api/v1/files?cursor=!!!", "invalid", "cursor"},
		{"/api/v1/files?cursor=" + strings.Repeat("A", 5000), "invalid", "cursor"},
		{"/api/v1/files?cursor=e30", "invalid", "cursor"},
		{"/api/v1/files?cursor=" + sorted.NextCursor, "invalid", "cursor"}, // of another order
		{"/api/v1/files?sort=-size&cursor=" + sorted.NextCursor + "A", "invalid", "cursor"},
		{"/api/v1/files?folder=f", "invalid", "path"},
		{"/api/v1/files?folder=/%FF", "invalid", "folder"},
		{"/api/v1/files?folder=/f", "not-found", ""},
		{"/api/v1/files?folder=/nothing", "not-found", ""},
		{"/api/v1/files?owner=admin", "invalid", "owner"},
		{"/api/v1/files?limit=%zz", "bad-request", ""},
		{"/api/v1/files?a=1;b=2", "bad-request", ""},
		{"/api/v1/files/lookup", "invalid", "path"},
		{"/api/v1/files/lookup?path=", "invalid", "path"},
		{"/api/v1/files/lookup?path=/", "invalid", "path"},
		{"/api/v1/files/lookup?path=/f&path=/g", "invalid", "path"},
		{"/api/v1/files/" + f.ID + "?version=0", "invalid", "version"},
		{"/api/v1/files/" + f.ID + "?version=-1", "invalid", "version"},
		{"/api/v1/files/" + f.ID + "?version=2147483648", "invalid", "version"},
		{"/api/v1/files/" + f.ID + "?version=2147483647", "not-found", ""},
		{"/api/v1/files/" + f.ID + "?path=/g", "invalid", "path"},
		{"/api/v1/files/" + f.ID + "/versions?version=1", "invalid", "version"},
		{"/api/v1/content/f?version=one", "invalid", "version"},
		{"/api/v1/content/f?id=" + f.ID, "invalid", "id"},
	} {
		t.Run(row.target, func(t *testing.T) {
			p := wantProblem(t, w.do("owner", "GET", row.target, nil), row.problem)
			if row.field != "" && (len(p.Errors) != 1 || p.Errors[0].Field != row.field) {
				t.Errorf("%+v, want %s", p.Errors, row.field)
			}
		})
	}
}

func TestHostilePutHeaders(t *testing.T) {
	w := newWorld(t)
	for _, row := range []struct{ header, problem, field string }{
		{"Stonevault-Mode: 0888", "invalid", "Stonevault-Mode"},
		{"Stonevault-Mode: 1777", "invalid", "Stonevault-Mode"},
		{"Stonevault-Mode: 4755", "invalid", "Stonevault-Mode"},
		{"Stonevault-Mode: 00644", "invalid", "Stonevault-Mode"},
		{"Stonevault-Mode: 7", "invalid", "Stonevault-Mode"},
		{"Stonevault-Mode: -644", "invalid", "Stonevault-Mode"},
		{"Stonevault-Mode: +644", "invalid", "Stonevault-Mode"},
		{"Stonevault-Mode: 0o644", "invalid", "Stonevault-Mode"},
		{"Stonevault-Class: secret", "invalid", "Stonevault-Class"},
		{"Stonevault-Class: Normal", "invalid", "Stonevault-Class"},
		{"Stonevault-Modified-At: yesterday", "invalid", "Stonevault-Modified-At"},
		{"Stonevault-Modified-At: 2026-11-21", "invalid", "Stonevault-Modified-At"},
		{"Stonevault-Modified-At: 2026-02-30T00:00:00Z", "invalid", "Stonevault-Modified-At"},
		{"If-None-Match: \"a\"", "invalid", "If-None-Match"},
		{"If-Match: \"a\"", "precondition-failed", ""},
		{"If-Match: *", "precondition-failed", ""},
		{"Content-Type: not a type", "invalid", "Content-Type"},
		{"Content-Type: text/plain; charset", "invalid", "Content-Type"},
		{"Content-Encoding: gzip", "unsupported-media-type", ""},
		{"Content-Range: bytes 0-0/5", "bad-request", ""},
	} {
		t.Run(row.header, func(t *testing.T) {
			p := wantProblem(t, w.do("owner", "PUT", "/api/v1/content/f", "x", row.header), row.problem)
			if row.field != "" && (len(p.Errors) != 1 || p.Errors[0].Field != row.field) {
				t.Errorf("%+v, want %s", p.Errors, row.field)
			}
		})
	}
	wantProblem(t, w.do("owner", "PUT", "/api/v1/content/f", "x", "Stonevault-Mode: 0644", "Stonevault-Mode: 0600"), "invalid")
	wantProblem(t, w.do("owner", "PUT", "/api/v1/content/f?mode=0644", "x"), "invalid")
	wantProblem(t, w.do("owner", "GET", "/api/v1/content/f", nil), "not-found")
}

func TestBearer(t *testing.T) {
	w := newWorld(t)
	good := w.token("owner")
	w.tokens["none"] = ""
	for _, row := range []struct {
		header []string
		status int
	}{
		{[]string{"Authorization: Bearer " + good}, 200},
		{[]string{"Authorization: bearer " + good}, 200},
		{nil, 401},
		{[]string{"Authorization: " + good}, 401},
		{[]string{"Authorization: Bearer"}, 401},
		{[]string{"Authorization: Bearer  " + good}, 401},
		{[]string{"Authorization: Basic b3duZXI6cGFzc3dvcmQ="}, 401},
		{[]string{"Authorization: Bearer " + good, "Authorization: Bearer " + good}, 401},
		{[]string{"Authorization: Bearer " + good + " x"}, 401},
		{[]string{"Authorization: Bearer " + good[:len(good)-4]}, 401},
		{[]string{"Cookie: token=" + good}, 401},
	} {
		a := w.do("none", "GET", "/api/v1/me", nil, row.header...)
		if a.StatusCode != row.status {
			t.Errorf("%.30q: %d, want %d", row.header, a.StatusCode, row.status)
		}
		if row.status == 401 {
			wantProblem(t, a, "unauthenticated")
			if a.Header.Get("WWW-Authenticate") != `Bearer realm="stonevault"` {
				t.Errorf("WWW-Authenticate %q", a.Header.Get("WWW-Authenticate"))
			}
		}
	}
	wantProblem(t, w.do("none", "GET", "/api/v1/me?access_token="+good, nil), "unauthenticated")
}

// With Expect: 100-continue a refusal comes before the body, and a sound request is told to go on.
func TestExpectContinue(t *testing.T) {
	w := newWorld(t)
	w.put("owner", "/there", []byte("x"))
	owner := "Authorization: Bearer " + w.token("owner") + "\r\n"
	for _, row := range []struct {
		name, path, header, problem string
	}{
		{"not signed in", "f", "Content-Length: 5\r\n", "unauthenticated"},
		{"replaces", "there", owner + "If-None-Match: *\r\nContent-Length: 5\r\n", "precondition-failed"},
		{"If-Match", "there", owner + "If-Match: \"x\"\r\nContent-Length: 5\r\n", "precondition-failed"},
		{"too large", "f", owner + fmt.Sprintf("Content-Length: %d\r\n", contentLimit+1), "too-large"},
		{"bad name", "a%00b", owner + "Content-Length: 5\r\n", "invalid"},
		{"bad header", "f", owner + "Stonevault-Mode: x\r\nContent-Length: 5\r\n", "invalid"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := raw(t, w, "PUT /api/v1/content/"+row.path+" HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"+row.header+"\r\n")
			if a.StatusCode == http.StatusContinue {
				t.Fatal("the body was asked for")
			}
			wantProblem(t, a, row.problem)
		})
	}
	conn := dial(t, w)
	fmt.Fprintf(conn, "PUT /api/v1/content/f HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n%sContent-Length: 5\r\n\r\n", owner)
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
		t.Fatalf("%q %v", line, err)
	}
	r.ReadString('\n')
	io.WriteString(conn, "hello")
	if a := readReply(t, r); a.StatusCode != http.StatusCreated {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// A body that stands still is given up and nothing of it is kept; one that is slow is not.
func TestStalledBody(t *testing.T) {
	w := newWorld(t)
	w.api.times.patience = 300 * time.Millisecond
	head := "PUT /api/v1/content/f HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + w.token("owner") + "\r\nContent-Length: 10\r\n\r\n"
	conn := dial(t, w)
	io.WriteString(conn, head+"hello")
	wantProblem(t, readReply(t, bufio.NewReader(conn)), "stalled")
	wantProblem(t, w.do("owner", "GET", "/api/v1/content/f", nil), "not-found")

	conn = dial(t, w)
	io.WriteString(conn, head)
	for range 10 {
		time.Sleep(100 * time.Millisecond)
		io.WriteString(conn, "x")
	}
	if a := readReply(t, bufio.NewReader(conn)); a.StatusCode != http.StatusCreated {
		t.Errorf("slow but steady: %d %s", a.StatusCode, a.body)
	}

	// JSON has a limit in all, and a refused upload does not wait for its body.
	w.api.times.quick = 300 * time.Millisecond
	started := time.Now()
	wantProblem(t, raw(t, w, "POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"), "stalled")
	if took := time.Since(started); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A connection stays good after a long request: no deadline of one request hits the next.
func TestDeadlinesEndWithTheirRequest(t *testing.T) {
	w := newWorld(t)
	w.put("owner", "/f", []byte("x"))
	w.api.times = deadlines{quick: 200 * time.Millisecond, patience: 200 * time.Millisecond}
	conn := dial(t, w)
	r := bufio.NewReader(conn)
	auth := "Host: x\r\nAuthorization: Bearer " + w.token("owner") + "\r\n"
	for i, request := range []string{
		"PUT /api/v1/content/g HTTP/1.1\r\n" + auth + "Content-Length: 1\r\n\r\nx",
		"GET /api/v1/content/f HTTP/1.1\r\n" + auth + "\r\n",
		"DELETE /api/v1/files/00000000000000000000000000000000 HTTP/1.1\r\n" + auth + "\r\n",
		"GET /api/v1/content/g HTTP/1.1\r\n" + auth + "\r\n",
		"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		io.WriteString(conn, request)
		if a := readReply(t, r); a.StatusCode >= 500 || a.err != nil {
			t.Errorf("request %d: %d %v", i, a.StatusCode, a.err)
		}
		time.Sleep(400 * time.Millisecond)
	}
}

// A body that breaks off leaves nothing, chunked or not.
func TestBrokenBody(t *testing.T) {
	w := newWorld(t)
	auth := "Host: x\r\nAuthorization: Bearer " + w.token("owner") + "\r\n"
	for i, request := range []string{
		"PUT /api/v1/content/f HTTP/1.1\r\n" + auth + "Content-Length: 10\r\n\r\nhello",
		"PUT /api/v1/content/f HTTP/1.1\r\n" + auth + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"PUT /api/v1/content/f HTTP/1.1\r\n" + auth + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
	} {
		conn := dial(t, w)
		io.WriteString(conn, request)
		conn.(*net.TCPConn).CloseWrite()
		if a := readReply(t, bufio.NewReader(conn)); a.StatusCode < 400 {
			t.Errorf("request %d: %d", i, a.StatusCode)
		}
		wantProblem(t, w.do("owner", "GET", "/api/v1/content/f", nil), "not-found")
	}
	wantProblem(t, w.do("owner", "GET", "/api/v1/me", "a body where none belongs"), "bad-request")
	// The client's own reader fails midway.
	r, _ := http.NewRequest("PUT", w.url+"/api/v1/content/f", io.MultiReader(bytes.NewReader(noise(3*segment)), iotest.ErrReader(errors.New("cut"))))
	r.Header.Set("Authorization", "Bearer "+w.token("owner"))
	if res, err := http.DefaultClient.Do(r); err == nil {
		res.Body.Close()
		t.Errorf("status %d", res.StatusCode)
	}
	wantProblem(t, w.do("owner", "GET", "/api/v1/content/f", nil), "not-found")
}

// A stored file that is not what was sealed: the answer is a problem where nothing has been sent, and
// otherwise a body that never ends cleanly; what came before the break is genuine.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	body := noise(3*segment + 5)
	for _, row := range []struct {
		name   string
		object string
		offset int64
		ranges string
		status int // of the reply; 409 comes whole
	}{
		{"envelope", ".env", 100, "", 409},
		{"envelope's end", ".env", -1, "", 409},
		{"preamble", ".body", 0, "", 409},
		{"first segment", ".body", 1000, "", 409},
		{"index", ".body", -1, "", 409},
		{"third segment", ".body", 2*segment + segment/2, "", 200},
		{"third segment, range before it", ".body", 2*segment + segment/2, "bytes=0-9", 206},
		{"third segment, range in it", ".body", 2*segment + segment/2, fmt.Sprintf("bytes=%d-", 2*segment+100), 409},
		{"third segment, range into it", ".body", 2*segment + segment/2, fmt.Sprintf("bytes=%d-", segment), 206},
		{"third segment, parts before and in it", ".body", 2*segment + segment/2, fmt.Sprintf("bytes=0-9,%d-", 2*segment+100), 206},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := w.put("owner", "/"+strings.ReplaceAll(row.name, " ", "-"), body)
			target := "/api/v1/files/" + f.ID
			w.flip(f.FileID+row.object, row.offset)
			var header []string
			if row.ranges != "" {
				header = []string{"Range: " + row.ranges}
			}
			a := w.do("owner", "GET", target+"/content", nil, header...)
			sound := row.ranges == "bytes=0-9"
			switch {
			case row.status == 409:
				p := wantProblem(t, a, "refused")
				if strings.Contains(p.Detail, "digest") || strings.Contains(p.Detail, "segment") {
					t.Errorf("a stranger learns what exactly did not hold: %s", p.Detail)
				}
			case a.StatusCode != row.status:
				t.Errorf("status %d, want %d: %.200s", a.StatusCode, row.status, a.body)
			case sound && (a.err != nil || !bytes.Equal(a.body, body[:10])):
				t.Errorf("a part that is sound: %v", a.err)
			case !sound && a.err == nil:
				t.Errorf("the body ends cleanly after %d bytes", len(a.body))
			case !sound && a.Header.Get("Content-Type") == "text/plain" && !bytes.Contains(body, a.body):
				t.Error("something was sent that is not in the file")
			}
			if !strings.HasPrefix(row.object, ".env") && row.offset > 0 {
				if a := w.do("owner", "HEAD", target+"/content", nil); a.StatusCode != 200 {
					t.Errorf("HEAD: %d", a.StatusCode)
				}
			}
			report := decode[api.VerifyReport](t, w.do("owner", "POST", target+"/verify", nil))
			if report.Ok || report.Error == "" || report.Signer != "" || report.BytesChecked >= f.Size {
				t.Errorf("the report is %+v", report)
			}
			if !strings.Contains(w.log.String(), a.Header.Get("X-Request-Id")) {
				t.Error("the log does not know the request")
			}
		})
	}
	// A missing object is damage too, and removing what is damaged is possible.
	f := w.put("owner", "/gone", body)
	if err := os.Remove(w.object(f.FileID + ".body")); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, w.do("owner", "GET", "/api/v1/content/gone", nil), "refused")
	if a := w.do("owner", "DELETE", "/api/v1/files/"+f.ID, nil); a.StatusCode != 204 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// failing is a vault whose answers are what a row says.
type failing struct {
	Vault
	err error
}

func (f failing) Put(_ context.Context, _ vault.Actor, r vault.PutRequest) (vault.Entry, bool, error) {
	return vault.Entry{}, false, f.err
}

func (f failing) Stat(context.Context, vault.Actor, vault.Ref) (vault.Entry, error) {
	if f.err == nil {
		panic("impossible")
	}
	return vault.Entry{}, f.err
}

// What cannot be brought about from outside: every sentinel has its problem.
func TestSentinels(t *testing.T) {
	w := newWorld(t)
	sound := w.api.Vault
	for _, row := range []struct {
		err     error
		problem string
	}{
		{vault.ErrNoSpace, "no-space"},
		{fmt.Errorf("put: %w", vault.ErrNoSpace), "no-space"},
		{errors.Join(vault.ErrNoSpace, errors.New("and the collector failed")), "no-space"},
		{vault.ErrConflict, "conflict"},
		{vault.ErrForbidden, "forbidden"},
		{auth.ErrBusy, "busy"},
		{fmt.Errorf("%w (%w)", vault.ErrRefused, vault.ErrNotFound), "refused"},
		{context.DeadlineExceeded, "timeout"}, {context.Canceled, "unavailable"},
		{errors.New("SQL logic error near owner's secret"), "internal"},
		{nil, "internal"}, // a panic
	} {
		w.api.Vault = failing{sound, row.err}
		a := w.do("owner", "GET", "/api/v1/files/lookup?path=/f", nil)
		p := wantProblem(t, a, row.problem)
		if strings.Contains(string(a.body), "secret") || strings.Contains(string(a.body), "impossible") {
			t.Errorf("%v: a stranger reads %s", row.err, a.body)
		}
		if row.problem == "internal" && !strings.Contains(w.log.String(), p.RequestID) {
			t.Errorf("%v: not in the log", row.err)
		}
		if slices.Contains([]string{"busy", "timeout", "unavailable"}, row.problem) != (a.Header.Get("Retry-After") != "") {
			t.Errorf("%v: Retry-After %q", row.err, a.Header.Get("Retry-After"))
		}
	}
	w.api.Vault = failing{sound, vault.ErrNoSpace}
	wantProblem(t, w.do("owner", "PUT", "/api/v1/content/f", noise(100)), "no-space")
	w.api.Vault = sound
	if a := w.do("owner", "PUT", "/api/v1/content/f", "x"); a.StatusCode != 201 {
		t.Errorf("afterwards: %d", a.StatusCode)
	}
}

func TestNewRefusesGaps(t *testing.T) {
	w := newWorld(t)
	full := w.api.Config
	for name, change := range map[string]func(*Config){
		"vault": func(c *Config) { c.Vault = nil }, "auth": func(c *Config) { c.Auth = nil }, "version": func(c *Config) { c.Version = "" },
		"ready": func(c *Config) { c.Ready = nil }, "log": func(c *Config) { c.Log = (*slog.Logger)(nil) },
	} {
		c := full
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("an API without %s", name)
		}
	}
	if a, b := newRequestID(), newRequestID(); a == b || len(a) != 16 {
		t.Errorf("request ids %s and %s", a, b)
	}
}
