package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/api"
	"stonevault/internal/auth"
	"stonevault/internal/metadb/testdb"
	"stonevault/internal/once"
)

// secretNames are the properties in which replies show secrets.
var secretNames = []string{"access_token", "refresh_token", "device", "token", "secret", "uri", "link", "recovery_codes", "recovery_secret"}

// TestKeyings: each POST says what it does with a key, the description says the same, and what shows a secret keeps no
// answer.
func TestKeyings(t *testing.T) {
	described := described(t)
	posts := map[string]bool{}
	for i := range routes {
		rt := &routes[i]
		name := rt.method + " " + rt.name()
		op := described[name]
		if rt.method != http.MethodPost {
			if op.keyed {
				t.Errorf("%s is described with a key, and takes none", name)
			}
			continue
		}
		posts[name] = true
		keying, ok := keyings[name]
		if !ok {
			t.Errorf("%s says nothing of Idempotency-Key; give it a row in keyings", name)
		}
		if (keying == ofNobody) != (rt.action == anybody) {
			t.Errorf("%s: a key is %q", name, keying)
		}
		if (keying == keepsAnswer) != op.keyed {
			t.Errorf("%s: a key is %q, and described: %v", name, keying, op.keyed)
		}
		if keying == keepsAnswer {
			for _, status := range []string{"400", "409", "422"} {
				if !slices.Contains(op.statuses, status) {
					t.Errorf("%s: %s is not described", name, status)
				}
			}
		} else if keyless[keying] == "" {
			t.Errorf("%s: nothing says why a key is refused", name)
		}
		for _, secret := range secretNames {
			if slices.Contains(op.shows, secret) && keying != showsSecret && keying != ofNobody {
				t.Errorf("%s shows %s, and a key is %q", name, secret, keying)
			}
		}
	}
	for name := range keyings {
		if !posts[name] {
			t.Errorf("%s is in keyings, and no POST", name)
		}
	}
	// What the test looks for is what there is.
	for _, name := range secretNames {
		if !slices.ContainsFunc(operations(t), func(op operation) bool { return slices.Contains(op.shows, name) }) {
			t.Errorf("no reply has %s", name)
		}
	}
}

// keyScenarios: whoever may send a request may send it with a key where one is taken. One that is refused is refused after
// the person was looked at.
var keyScenarios = []scenario{
	{"POST /api/v1/folders", "with a key", func(s *scene) (string, any, []string) {
		return "/api/v1/folders", `{"path":"` + s.folder.Path + `/new"}`, keyed(s)
	}, no("unauthenticated"), ok(201), ok(201), ok(201), ok(201), nil},
	{"POST /api/v1/folders", "with what is no key", func(s *scene) (string, any, []string) {
		return "/api/v1/folders", `{"path":"` + s.folder.Path + `/new"}`, append([]string{keyHeader + `: "`}, jsonBody...)
	}, no("unauthenticated"), no("bad-request"), no("bad-request"), no("bad-request"), no("bad-request"), nil},
	{"POST /api/v1/folders", "with the key of another request", func(s *scene) (string, any, []string) {
		for who := range people {
			s.do(who, "POST", "/api/v1/folders", `{"path":"`+s.folder.Path+`/first"}`, keyed(s)...)
		}
		return "/api/v1/folders", `{"path":"` + s.folder.Path + `/new"}`, keyed(s)
	}, no("unauthenticated"), no("idempotency-key-reused"), no("idempotency-key-reused"), no("idempotency-key-reused"), no("idempotency-key-reused"), nil},
	{"POST /api/v1/groups", "with a key", func(s *scene) (string, any, []string) {
		return "/api/v1/groups", `{"name":"keyed ` + s.file.ID + `"}`, keyed(s)
	}, no("unauthenticated"), no("forbidden"), ok(201), ok(201), no("forbidden"), nil},
	{"POST /api/v1/uploads", "with a key", func(s *scene) (string, any, []string) {
		return uploadsPath, nil, []string{tusHeader, "Upload-Length: 10", tusMeta("path", s.folder.Path+"/new"), keyHeader + ": " + s.file.ID}
	}, no("unauthenticated"), ok(201), ok(201), ok(201), ok(201), nil},
	byAdmins("POST /api/v1/webhooks/{webhook}/test", "with a key", func(s *scene) (string, any, []string) {
		return "/api/v1/webhooks/" + s.hook().ID + "/test", nil, []string{keyHeader + ": " + s.file.ID}
	}, ok(202)),
	byAdmins("POST /api/v1/webhooks", "with a key", func(s *scene) (string, any, []string) {
		return "/api/v1/webhooks", `{"url":"https://example.com/a","events":["device.new"]}`, keyed(s)
	}, no("bad-request")),
	{"POST /api/v1/me/tokens", "with a key", func(s *scene) (string, any, []string) {
		return "/api/v1/me/tokens", `{"name":"n","scopes":["files:read"],"expires_at":"` + formatTime(time.Now().Add(time.Hour)) + `"}`, keyed(s)
	}, no("unauthenticated"), no("bad-request"), no("bad-request"), no("bad-request"), no("bad-request"), nil},
	{"POST /api/v1/sessions", "with a key", func(s *scene) (string, any, []string) {
		return "/api/v1/sessions", `{"name":"owner","password":"` + password + `"}`, keyed(s)
	}, no("bad-request"), no("bad-request"), no("bad-request"), no("bad-request"), no("bad-request"), nil},
}

// keyed are the headers of JSON with a key of the scene's own.
func keyed(s *scene) []string {
	return append([]string{keyHeader + `: "` + s.file.ID + `"`}, jsonBody...)
}

func TestParseKey(t *testing.T) {
	for value, want := range map[string]string{
		`"8e03978e-40d5-43e8-bc93-6894a57f9324"`: "8e03978e-40d5-43e8-bc93-6894a57f9324", `8e03978e-40d5-43e8-bc93-6894a57f9324`: "8e03978e-40d5-43e8-bc93-6894a57f9324",
		`"a b,c;d"`: "a b,c;d", `"a\"b\\c"`: `a"b\c`, `a`: "a", `"~"`: "~", "a=b/c+d==": "a=b/c+d==",
	} {
		if got, ok := parseKey(value); !ok || got != want {
			t.Errorf("%s: %q, %v", value, got, ok)
		}
	}
	for _, value := range badKeys {
		if got, ok := parseKey(value); ok && len(got) >= 1 && len(got) <= maxKey {
			t.Errorf("%q is taken as %q", value, got)
		}
	}
}

// badKeys are no keys.
var badKeys = []string{
	"", `""`, `"`, `"a`, `a"`, `"a"b`, `"a";b=1`, `"a", "b"`, `"a\b"`, `"a\`, `"a\"`, "a b", "a,b", "a;b", `a\b`, "\xe9", "\"\xc3\xa9\"", "\"a\tb\"",
	strings.Repeat("a", maxKey+1), `"` + strings.Repeat("a", maxKey+1) + `"`, `"` + strings.Repeat("a", 60000) + `"`,
}

// TestBadKeys: what is no key is refused wherever one is taken, any key where none is, and nothing changes.
func TestBadKeys(t *testing.T) {
	w := newWorld(t)
	count := 0
	for _, op := range operations(t) {
		if !strings.HasPrefix(op.name, "POST ") {
			continue
		}
		t.Run(op.name, func(t *testing.T) {
			s := w.favourable(t, routeOf(t, op.name))
			r := s.requestOf(t, routeOf(t, op.name))
			body := s.keyedBody(op)
			before := w.rowsOf()
			keys := badKeys
			if keyings[op.name] != keepsAnswer {
				keys = []string{`"sound"`, "sound", ""}
			}
			send := func(header ...string) {
				t.Helper()
				count++
				p := wantProblem(t, w.do(s.asker.name, r.method, r.target, body, slices.Concat(r.header, jsonFor(op), header)...), "bad-request")
				if !strings.Contains(p.Detail, "Idempotency-Key") {
					t.Errorf("%.200q: %s", header, p.Detail)
				}
			}
			for _, key := range keys {
				send(keyHeader + ": " + key)
			}
			send(keyHeader+": one", keyHeader+": two")
			if after := w.rowsOf(); after != before {
				t.Errorf("something changed: %.1000q", differences(before, after))
			}
		})
	}
	if count < 100 {
		t.Errorf("only %d keys were tried", count)
	}
}

// keyedBody is a sound body of an operation that is sent with a key, or nil.
func (s *circumstance) keyedBody(op operation) any {
	if op.body == nil {
		return nil
	}
	return text(s.body(op))
}

func jsonFor(op operation) []string {
	if op.body == nil {
		return nil
	}
	return jsonBody
}

// keptRoutes are those that keep their answers.
func keptRoutes() (names []string) {
	for name, keying := range keyings {
		if keying == keepsAnswer {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// same is all of a reply that a retry gives again.
func same(a *answer) string {
	var b strings.Builder
	fmt.Fprintln(&b, a.StatusCode)
	for _, name := range []string{"Content-Type", "Content-Length", "Location", "ETag", "Upload-Offset", "Upload-Expires", "Stonevault-Event"} {
		fmt.Fprintln(&b, name, a.Header[http.CanonicalHeaderKey(name)])
	}
	b.Write(a.body)
	return b.String()
}

// TestRetries sends a request of every route that keeps its answer again: the answer is the same, and nothing is done.
func TestRetries(t *testing.T) {
	w := newWorld(t)
	operations := described(t)
	for _, name := range keptRoutes() {
		t.Run(name, func(t *testing.T) {
			rt, op := routeOf(t, name), operations[name]
			s := w.favourable(t, rt)
			r, body := s.requestOf(t, rt), s.keyedBody(op)
			key := keyHeader + `: "` + t.Name() + `"`
			ask := func(who, target string, body any, header ...string) *answer {
				t.Helper()
				return w.do(who, r.method, target, body, slices.Concat(r.header, jsonFor(op), header)...)
			}
			scope := auth.AllScopes[slices.IndexFunc(auth.AllScopes, func(one auth.Scope) bool { return auth.Scopes{one}.Allow(rt.action) })]
			s.as(t, scope)
			program := s.asker.name
			s.asSession()
			before := w.rowsOf()
			first := ask(s.asker.name, r.target, body, key)
			if first.StatusCode < 200 || first.StatusCode > 299 {
				t.Fatalf("%d %s", first.StatusCode, first.body)
			}
			made := w.rowsOf()
			if made == before {
				t.Fatal("nothing was made")
			}
			events := len(s.events(s.asker.name, ""))
			bare := keyHeader + ": " + t.Name() // the same key, as most clients write it
			for _, header := range [][]string{{key}, {bare}, {key, "User-Agent: another"}} {
				if a := ask(s.asker.name, r.target, body, header...); same(a) != same(first) {
					t.Errorf("a retry with %q is answered with\n%s\nand not with\n%s", header, same(a), same(first))
				}
			}
			if a := ask(program, r.target, body, key); same(a) != same(first) {
				t.Errorf("an API token of the same person's is answered with\n%s", same(a))
			}
			if now := w.rowsOf(); now != made {
				t.Errorf("retries changed %.1000q", differences(made, now))
			}
			if n := len(s.events(s.asker.name, "")); n != events {
				t.Errorf("retries recorded %d events", n-events)
			}

			// Another request with the key: another query, another body or another announcement.
			wantProblem(t, ask(s.asker.name, r.target+"?x=1", body, key), "idempotency-key-reused")
			switch {
			case op.body != nil:
				wantProblem(t, ask(s.asker.name, r.target, body.(string)+" ", key), "idempotency-key-reused")
			case rt.body > 0:
				header := slices.Concat([]string{tusHeader, "Upload-Length: 25"}, r.header[2:], []string{key})
				wantProblem(t, w.do(s.asker.name, r.method, r.target, nil, header...), "idempotency-key-reused")
			}
			if now := w.rowsOf(); now != made {
				t.Errorf("another request changed %.1000q", differences(made, now))
			}

			// A key is a person's own: somebody else's request with it is another one.
			if a := ask("admin", r.target, body, key); same(a) == same(first) {
				t.Error("somebody else got the answer")
			}
			// After a day, the answer is forgotten.
			w.ahead.Add(int64(once.KeepFor))
			defer w.ahead.Add(-int64(once.KeepFor))
			if a := ask(s.asker.name, r.target, body, key); same(a) == same(first) {
				t.Error("the answer is given after a day")
			}
		})
	}
	if len(keptRoutes()) < 4 {
		t.Error("routes are missing")
	}
}

// A retry gets a receipt where it asks for one, also where the first did not.
func TestRetryWithReceipt(t *testing.T) {
	w := newWorld(t)
	send := func(header ...string) *answer {
		return w.do("owner", "POST", "/api/v1/folders", `{"path":"/a"}`, slices.Concat(jsonBody, []string{keyHeader + ": k"}, header)...)
	}
	first := decode[api.File](t, send())
	a := send("Prefer: wait")
	again := decode[api.File](t, a)
	if again.Receipt == "" || a.Header.Get("Preference-Applied") != "wait" || again.ID != first.ID {
		t.Errorf("%s", a.body)
	}
	if again.Receipt = ""; again != first {
		t.Errorf("%+v, want %+v", again, first)
	}
	if b := send("Prefer: wait"); same(b) != same(a) {
		t.Errorf("%s, and before %s", same(b), same(a))
	}
}

// A refusal is not kept: the retry tries again.
func TestRefusalsAreTriedAgain(t *testing.T) {
	w := newWorld(t)
	send := func() *answer {
		return w.do("admin", "POST", "/api/v1/groups", `{"name":"one"}`, append([]string{keyHeader + ": k"}, jsonBody...)...)
	}
	there := decode[api.Group](t, w.do("manager", "POST", "/api/v1/groups", `{"name":"one"}`, jsonBody...))
	wantProblem(t, send(), "exists")
	wantProblem(t, send(), "exists")
	if a := w.do("admin", "DELETE", "/api/v1/groups/"+there.ID, nil); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if a := send(); a.StatusCode != 201 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// What is made and what is answered are one transaction: where the answer cannot be kept, nothing is made, and the retry
// makes it.
func TestAnswerAndChangeAreOne(t *testing.T) {
	if !testdb.OnSQLite() {
		t.Skip("NOT RUN: the fault is a trigger in SQLite's language")
	}
	w := newWorld(t)
	operations := described(t)
	raw, err := testdb.Raw(w.database())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	exec := func(query string) {
		t.Helper()
		if _, err := raw.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range keptRoutes() {
		t.Run(name, func(t *testing.T) {
			rt, op := routeOf(t, name), operations[name]
			s := w.favourable(t, rt)
			r, body := s.requestOf(t, rt), s.keyedBody(op)
			send := func() *answer {
				return w.do(s.asker.name, r.method, r.target, body, slices.Concat(r.header, jsonFor(op), []string{keyHeader + ": k"})...)
			}
			before, events := w.rowsOf(), len(s.events(s.asker.name, ""))
			exec(`CREATE TRIGGER fault BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'a fault'); END`)
			wantProblem(t, send(), "internal")
			exec(`DROP TRIGGER fault`)
			if after := w.rowsOf(); after != before || len(s.events(s.asker.name, "")) != events {
				t.Errorf("without an answer, there is %.1000q", differences(before, after))
			}
			if a := send(); a.StatusCode < 200 || a.StatusCode > 299 {
				t.Errorf("the retry: %d %s", a.StatusCode, a.body)
			}
		})
	}
}

// Fifty requests with one key at once make one thing.
func TestConcurrentRetries(t *testing.T) {
	w := newWorld(t)
	w.token("admin")
	send := func() *answer {
		return w.do("admin", "POST", uploadsPath, nil, tusHeader, "Upload-Length: 7", tusMeta("path", "/one"), keyHeader+": k")
	}
	answers := make([]*answer, 50)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = send() })
	}
	all.Wait()
	last, done := send(), 0
	if last.StatusCode != 201 {
		t.Fatalf("%d %s", last.StatusCode, last.body)
	}
	for _, a := range answers {
		if a.StatusCode == http.StatusConflict {
			wantProblem(t, a, "request-in-progress")
			if a.Header.Get("Retry-After") != "1" {
				t.Errorf("%v", a.Header)
			}
			continue
		}
		if done++; same(a) != same(last) {
			t.Errorf("one was answered with\n%s\nand another with\n%s", same(a), same(last))
		}
	}
	if done == 0 {
		t.Error("nobody was told")
	}
	if l := decode[api.UploadList](t, w.do("admin", "GET", uploadsPath, nil)); len(l.Items) != 1 {
		t.Errorf("there are %d uploads", len(l.Items))
	}
	t.Logf("%d of 50 got the answer at once", done)
}

// While the first is under way, its retry is told so, and another request that it came too late.
func TestRequestInProgress(t *testing.T) {
	w := newWorld(t)
	profile := decode[api.Profile](t, w.do("owner", "GET", "/api/v1/me", nil))
	route, body := "POST /api/v1/folders", `{"path":"/a"}`
	r, err := http.NewRequest("POST", "/api/v1/folders", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, end, err := w.api.Answers.Begin(profile.ID, route, "k", digest(r, []byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	send := func(body string) *answer {
		return w.do("owner", "POST", "/api/v1/folders", body, append([]string{keyHeader + ": k"}, jsonBody...)...)
	}
	wantProblem(t, send(body), "request-in-progress")
	wantProblem(t, send(`{"path":"/b"}`), "idempotency-key-reused")
	end()
	if a := send(body); a.StatusCode != 201 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// With a key, an upload is announced without its content.
func TestKeyedUploads(t *testing.T) {
	w := newWorld(t)
	header := []string{tusHeader, tusMeta("path", "/a"), keyHeader + ": k"}
	for what, a := range map[string]*answer{
		"with content":   w.do("owner", "POST", uploadsPath, "content", append(header, "Upload-Length: 7", "Content-Type: "+tusMediaType)...),
		"of an unknown":  w.do("owner", "POST", uploadsPath, struct{ *strings.Reader }{strings.NewReader("content")}, append(header, "Upload-Length: 7", "Content-Type: "+tusMediaType)...),
		"an empty file":  w.do("owner", "POST", uploadsPath, nil, append(header, "Upload-Length: 0")...),
		"two of the key": w.do("owner", "POST", uploadsPath, nil, append(header, keyHeader+": k", "Upload-Length: 7")...),
	} {
		if p := wantProblem(t, a, "bad-request"); !strings.Contains(p.Detail, "Idempotency-Key") {
			t.Errorf("%s: %s", what, p.Detail)
		}
	}
	// A length that comes later is fine, and a PATCH that a POST stands for needs no key.
	a := w.do("owner", "POST", uploadsPath, nil, append(header, "Upload-Defer-Length: 1")...)
	if a.StatusCode != 201 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	a = w.do("owner", "POST", a.Header.Get("Location"), "content", tusHeader, "X-HTTP-Method-Override: PATCH", "Upload-Offset: 0", "Upload-Length: 7", "Content-Type: "+tusMediaType, keyHeader+": k")
	if a.StatusCode != 204 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// Old answers are swept, and go with their person.
func TestAnswersGo(t *testing.T) {
	w := newWorld(t)
	g := w.guest()
	send := func(who, key string) {
		t.Helper()
		if a := w.do(who, "POST", "/api/v1/folders", `{"path":"/`+key+`"}`, append([]string{keyHeader + ": " + key}, jsonBody...)...); a.StatusCode != 201 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
	}
	count := func() int { return strings.Count("\n"+w.rowsOf(), "\nanswers ") }
	send(g.name, "a")
	send(g.name, "b")
	send("owner", "a")
	if n := count(); n != 3 {
		t.Fatalf("%d answers are kept", n)
	}
	if a := w.do("admin", "DELETE", "/api/v1/people/"+g.id, nil); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if n := count(); n != 1 {
		t.Errorf("%d answers are left, and one person is", n)
	}
	w.ahead.Add(int64(once.KeepFor - time.Minute))
	for _, want := range []int{1, 0} {
		if err := w.api.Answers.Sweep(t.Context()); err != nil || count() != want {
			t.Errorf("%d answers, want %d; %v", count(), want, err)
		}
		w.ahead.Add(int64(2 * time.Minute))
	}
}

// overtaken is a store in which somebody else is faster, once.
type overtaken struct {
	once.Store
	other func()
}

func (s *overtaken) ViewOnce(ctx context.Context, fn func(once.Tx) error) error {
	err := s.Store.ViewOnce(ctx, fn)
	if other := s.other; other != nil {
		s.other = nil
		other()
	}
	return err
}

// Where another server answers the same request in between, its answer is given.
func TestRetryAtAnotherServer(t *testing.T) {
	w := newWorld(t)
	body, header := `{"name":"one"}`, append([]string{keyHeader + ": k"}, jsonBody...)
	var first *answer
	config := w.api.Config
	config.Answers = once.NewKeeper(&overtaken{w.db, func() { first = w.do("admin", "POST", "/api/v1/groups", body, header...) }}, w.now)
	second, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(second)
	defer server.Close()
	w.token("admin")
	a := (&world{t: t, api: w.api, url: server.URL, tokens: w.tokens}).do("admin", "POST", "/api/v1/groups", body, header...)
	if first == nil || first.StatusCode != 201 || same(a) != same(first) {
		t.Errorf("%d %s; the other server answered %+v", a.StatusCode, a.body, first)
	}
}
