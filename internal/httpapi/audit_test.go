package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"stonevault/api"
	"stonevault/audit"
	"stonevault/internal/metadb/testdb"
)

// putEvent is the id of the event by which the scene's file was put.
func (s *scene) putEvent() int64 {
	s.t.Helper()
	list := s.events("owner", "type=file.put&file="+s.file.ID)
	if len(list) != 1 {
		s.t.Fatalf("%d events of the file", len(list))
	}
	return list[0].ID
}

func (w *world) events(who, query string) []api.AuditEvent {
	w.t.Helper()
	var all []api.AuditEvent
	for cursor := ""; ; {
		a := w.do(who, "GET", "/api/v1/audit/events?limit=1000&"+query+cursor, nil)
		if a.StatusCode != 200 {
			w.t.Fatalf("events: %d %s", a.StatusCode, a.body)
		}
		page := decode[api.AuditEventList](w.t, a)
		all = append(all, page.Items...)
		if page.NextCursor == "" {
			return all
		}
		if !strings.Contains(a.Header.Get("Link"), `rel="next"`) {
			w.t.Error("no Link to the next page")
		}
		cursor = "&cursor=" + page.NextCursor
	}
}

// await waits until a signed head covers an event, and returns its receipt.
func (w *world) await(who string, event int64) *audit.Receipt {
	w.t.Helper()
	a := w.do(who, "GET", fmt.Sprintf("/api/v1/audit/events/%d/receipt", event), nil, "Prefer: wait")
	if a.StatusCode != 200 || a.Header.Get("Preference-Applied") != "wait" {
		w.t.Fatalf("receipt: %d %s", a.StatusCode, a.body)
	}
	r, err := audit.ParseReceipt(a.body)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) auditKey() *audit.PublicKey {
	w.t.Helper()
	key, err := audit.ParsePublicKey(decode[api.AuditLog](w.t, w.do("owner", "GET", "/api/v1/audit", nil)).PublicKey)
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

func plain(target string) func(*scene) (string, any, []string) {
	return func(*scene) (string, any, []string) { return target, nil, nil }
}

// auditScenarios: an event is its actor's and its subject's, and admins see all; the tree is everybody's who
// is signed in.
var auditScenarios = []scenario{
	{"GET /api/v1/audit", "", plain("/api/v1/audit"), no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
		l := decode[api.AuditLog](t, a)
		if l.Log != 1 || !strings.HasPrefix(l.Origin, "stonevault/audit/") || l.Anchoring.Configured || l.BegunAt.IsZero() {
			t.Errorf("%s", a.body)
		}
	}},
	{"GET /api/v1/audit/events", "", plain("/api/v1/audit/events"), no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), nil},
	{"GET /api/v1/audit/events", "no such type", plain("/api/v1/audit/events?type=file"), no("unauthenticated"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"GET /api/v1/audit/events", "no cursor", plain("/api/v1/audit/events?cursor=x"), no("unauthenticated"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"GET /api/v1/audit/events", "no id", plain("/api/v1/audit/events?person=ann"), no("unauthenticated"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"GET /api/v1/audit/events", "no time", plain("/api/v1/audit/events?since=yesterday"), no("unauthenticated"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"GET /api/v1/audit/events/{event}", "", func(s *scene) (string, any, []string) {
		return fmt.Sprintf("/api/v1/audit/events/%d", s.putEvent()), nil, nil
	}, no("unauthenticated"), no("no-event"), no("no-event"), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
		e := decode[api.AuditEvent](t, a)
		if e.Type != "file.put" || e.Subject["path"] != s.file.Path || e.Actor["name"] != "owner" || e.Actor["client"] != "test" ||
			e.Actor["address"] != "127.0.0.1" || e.Operational["file"] != s.file.FileID || e.Operational["by"] != "put" {
			t.Errorf("%s", a.body)
		}
	}},
	{"GET /api/v1/audit/events/{event}", "missing", plain("/api/v1/audit/events/999999999"), no("unauthenticated"), no("no-event"), no("no-event"), no("no-event"), no("no-event"), nil},
	{"GET /api/v1/audit/events/{event}", "no number", plain("/api/v1/audit/events/one"), no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("not-found"), nil},
	{"GET /api/v1/audit/events/{event}/receipt", "", func(s *scene) (string, any, []string) {
		return fmt.Sprintf("/api/v1/audit/events/%d/receipt", s.putEvent()), nil, []string{"Prefer: wait=5"}
	}, no("unauthenticated"), no("no-event"), no("no-event"), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
		r, err := audit.ParseReceipt(a.body)
		if err != nil {
			t.Fatal(err)
		}
		if _, e, missing, err := r.Verify(s.auditKey()); err != nil || missing != nil || e.Subject["path"] != s.file.Path {
			t.Errorf("%+v, missing %v, %v", e, missing, err)
		}
	}},
	{"GET /api/v1/audit/receipts/{index}", "", func(s *scene) (string, any, []string) {
		return fmt.Sprintf("/api/v1/audit/receipts/%d", s.await("owner", s.putEvent()).Index), nil, nil
	}, no("unauthenticated"), no("no-event"), no("no-event"), ok(200), ok(200), nil},
	{"GET /api/v1/audit/receipts/{index}", "beyond the log", plain("/api/v1/audit/receipts/999999999"), no("unauthenticated"), no("no-event"), no("no-event"), no("no-event"), no("no-event"), nil},
	{"GET /api/v1/audit/records", "", func(s *scene) (string, any, []string) {
		return fmt.Sprintf("/api/v1/audit/records?limit=1&from=%d", s.await("owner", s.putEvent()).Index), nil, nil
	}, no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
		if l := decode[api.AuditRecordList](t, a); len(l.Items) != 1 || len(l.Items[0].Subject) == 0 || l.Items[0].Withheld != nil {
			t.Errorf("%s", a.body)
		}
		other := decode[api.AuditRecordList](t, s.do("stranger", "GET", strings.TrimPrefix(a.Request.URL.String(), s.url), nil))
		if e := other.Items[0]; len(e.Leaf) != audit.LeafSize || e.Subject != nil || e.Actor != nil || e.Operational != nil || len(e.Withheld) != 3 {
			t.Errorf("to a stranger: %+v", e)
		}
	}},
	{"GET /api/v1/audit/checkpoint", "", func(s *scene) (string, any, []string) {
		s.await("owner", s.putEvent())
		return "/api/v1/audit/checkpoint", nil, nil
	}, no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
		if c, err := s.auditKey().Open(a.body); err != nil || c.Tree.Size == 0 {
			t.Errorf("%+v, %v", c, err)
		}
	}},
	{"GET /api/v1/audit/tile/{path}", "", func(s *scene) (string, any, []string) {
		s.await("owner", s.putEvent())
		return "/api/v1/audit/tile/0/000.p/1", nil, nil
	}, no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
		entry := s.do("owner", "GET", "/api/v1/audit/tile/entries/000.p/1", nil)
		if leaf := audit.LeafHash(entry.body[2:]); !bytes.Equal(a.body, leaf[:]) {
			t.Errorf("tile %x, leaf %x", a.body, leaf)
		}
	}},
	{"GET /api/v1/audit/tile/{path}", "no tile", plain("/api/v1/audit/tile/0/..x"), no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("not-found"), nil},
	{"GET /api/v1/audit/tile/{path}", "beyond the log", plain("/api/v1/audit/tile/3/000"), no("unauthenticated"), no("no-event"), no("no-event"), no("no-event"), no("no-event"), nil},
	{"GET /api/v1/audit/consistency", "", func(s *scene) (string, any, []string) {
		s.await("owner", s.putEvent())
		return "/api/v1/audit/consistency?from=1", nil, nil
	}, no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
		l := decode[api.AuditConsistency](t, a)
		now, err := s.auditKey().Open([]byte(l.Checkpoint))
		if err != nil {
			t.Fatal(err)
		}
		proof := make([]audit.Hash, len(l.Proof))
		for i := range proof {
			proof[i] = audit.Hash(l.Proof[i])
		}
		first := s.do("owner", "GET", "/api/v1/audit/tile/0/000.p/1", nil)
		if err := now.Tree.VerifyConsistency(audit.Tree{Size: 1, Root: audit.Hash(first.body)}, proof); err != nil {
			t.Error(err)
		}
	}},
	{"GET /api/v1/audit/consistency", "beyond the log", plain("/api/v1/audit/consistency?from=999999999"), no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("not-found"), nil},
	{"GET /api/v1/audit/consistency", "from nowhere", plain("/api/v1/audit/consistency"), no("unauthenticated"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"GET /api/v1/audit/anchors", "", plain("/api/v1/audit/anchors"), no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
		if l := decode[api.AuditAnchorList](t, a); len(l.Items) != 0 {
			t.Errorf("%s", a.body)
		}
	}},
}

// TestEventsOfFiles goes through the life of a file. Each change is one event, in order, whose header names the
// event, and whose receipt comes with the reply where that is asked for.
func TestEventsOfFiles(t *testing.T) {
	w := newWorld(t)
	key := w.auditKey()
	receipt := func(what string, a *answer, text string) audit.Event {
		t.Helper()
		r, err := audit.ParseReceipt([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v; reply %s", what, err, a.body)
		}
		c, e, missing, err := r.Verify(key)
		if err != nil || missing != nil || c.Tree.Size <= r.Index {
			t.Fatalf("%s: missing %v, %v", what, missing, err)
		}
		if id, err := strconv.ParseInt(a.Header.Get("Stonevault-Event"), 10, 64); err != nil || id <= 0 {
			t.Errorf("%s: Stonevault-Event %q", what, a.Header.Get("Stonevault-Event"))
		} else if again := w.await("owner", id); again.Index != r.Index {
			t.Errorf("%s: the header names event %d of the log, the receipt %d", what, again.Index, r.Index)
		}
		if a.Header.Get("Preference-Applied") != "wait" {
			t.Errorf("%s: Preference-Applied %q", what, a.Header.Get("Preference-Applied"))
		}
		return e
	}
	const wait = "Prefer: respond-async, wait=5"

	a := w.do("owner", "POST", "/api/v1/folders", `{"path":"/deep/folder"}`, append(jsonBody, wait)...)
	if e := receipt("folder", a, decode[api.File](t, a).Receipt); e.Type != audit.FolderCreated || e.Subject["path"] != "/deep/folder" {
		t.Errorf("folder: %+v", e)
	}
	a = w.do("owner", "PUT", "/api/v1/content/deep/folder/a", "hello", wait)
	file := decode[api.File](t, a)
	if e := receipt("put", a, file.Receipt); e.Type != audit.FilePut || e.Operational["version"] != int64(1) || e.Operational["size"] != int64(5) {
		t.Errorf("put: %+v", e)
	}
	a = w.do("owner", "PATCH", "/api/v1/files/"+file.ID, `{"path":"/new/b"}`, append(jsonBody, wait)...)
	moved := decode[api.File](t, a)
	if e := receipt("move", a, moved.Receipt); e.Type != audit.FileMoved || e.Subject["from"] != "/deep/folder/a" || e.Subject["to"] != "/new/b" || e.Operational["revision"] != int64(2) {
		t.Errorf("move: %+v", e)
	}
	a = w.do("owner", "POST", "/api/v1/files/"+file.ID+"/verify", nil, wait)
	if e := receipt("verify", a, decode[api.VerifyReport](t, a).Receipt); e.Type != audit.FileVerified || e.Operational["ok"] != true {
		t.Errorf("verify: %+v", e)
	}
	a = w.do("owner", "GET", "/api/v1/files/"+file.ID+"/content", nil)
	if string(a.body) != "hello" || a.Header.Get("Stonevault-Event") == "" {
		t.Errorf("download: %q, event %q", a.body, a.Header.Get("Stonevault-Event"))
	}
	w.do("owner", "GET", "/api/v1/archive?path=/new", nil)
	w.do("owner", "POST", "/api/v1/files/"+file.ID+"/export", `{"passphrase":"correct horse battery staple"}`, jsonBody...)
	w.do("owner", "HEAD", "/api/v1/files/"+file.ID+"/content", nil)
	a = w.do("owner", "DELETE", "/api/v1/files/"+file.ID, nil, wait)
	if a.StatusCode != 200 {
		t.Fatalf("delete: %d %s", a.StatusCode, a.body)
	}
	if e := receipt("delete", a, decode[api.AuditReceipt](t, a).Receipt); e.Type != audit.FileDeleted || e.Subject["path"] != "/new/b" || e.Operational["versions"] != int64(1) {
		t.Errorf("delete: %+v", e)
	}
	w.eventually(func() bool { return len(w.events("owner", "type=download.ended")) == 3 })
	var names []string
	for _, e := range slices.Backward(w.events("owner", "")) {
		if strings.HasPrefix(e.Type, "file.") || strings.HasPrefix(e.Type, "folder.") || e.Type == "download.begun" {
			names = append(names, e.Type)
		}
	}
	want := []string{"folder.created", "folder.created", "file.put", "folder.created", "file.moved", "file.verified", "download.begun", "download.begun", "file.exported", "file.deleted"}
	if !slices.Equal(names, want) {
		t.Errorf("events %v, want %v", names, want)
	}
	if others := w.events("stranger", ""); len(others) != 3 { // made, with its keys, and signed in
		t.Errorf("a stranger sees %d events: %+v", len(others), others)
	}
}

// eventually waits until something that follows a reply has happened.
func (w *world) eventually(done func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("it did not happen")
		}
	}
}

// TestDownloads: ranges that follow one another are one download, which is complete once every byte has left;
// one that stops is broken off after a while.
func TestDownloads(t *testing.T) {
	w := newWorld(t)
	content := bytes.Repeat([]byte("0123456789"), 10_000)
	file := w.put("owner", "/f", content)
	target := "/api/v1/files/" + file.ID + "/content"
	ended := func() []api.AuditEvent { return w.events("owner", "type=download.ended&file="+file.ID) }
	begun := func() []api.AuditEvent { return w.events("owner", "type=download.begun&file="+file.ID) }
	for _, r := range []string{"0-39999", "60000-", "40000-59999"} {
		if a := w.do("owner", "GET", target, nil, "Range: bytes="+r); a.StatusCode != 206 {
			t.Fatal(a.StatusCode)
		}
	}
	w.eventually(func() bool { return len(ended()) == 1 })
	if b, e := begun(), ended()[0]; len(b) != 1 || e.Operational["outcome"] != "complete" || e.Operational["bytes"] != float64(len(content)) ||
		e.Operational["download"] != b[0].Operational["download"] {
		t.Errorf("three ranges: %d begun, %+v", len(b), e)
	}
	for range 2 { // whole ones are downloads by themselves
		w.do("owner", "GET", target, nil)
	}
	w.eventually(func() bool { return len(ended()) == 3 })
	if n := len(begun()); n != 3 {
		t.Errorf("%d downloads began", n)
	}
	w.do("owner", "GET", target, nil, "Range: bytes=10-19")
	if err := w.vault.EndDownloads(context.Background(), false); err != nil || len(ended()) != 3 {
		t.Errorf("within a while: %d ended, %v", len(ended()), err)
	}
	w.ahead.Store(int64(time.Minute))
	if err := w.vault.EndDownloads(context.Background(), false); err != nil {
		t.Fatal(err)
	}
	if e := ended(); len(e) != 4 || e[0].Operational["outcome"] != "broken-off" || e[0].Operational["bytes"] != float64(10) {
		t.Errorf("one that stopped: %d ended, %+v", len(e), e[0])
	}
}

// TestEventBeforeFirstByte: where a download cannot be recorded, no byte of it leaves.
func TestEventBeforeFirstByte(t *testing.T) {
	w := newWorld(t)
	file := w.put("owner", "/f", []byte("nobody may have this unseen"))
	w.exec("UPDATE audit_keys SET person = '0123456789abcdef0123456789abcdef' WHERE person = ''") // without it nothing is sealed
	for _, target := range []string{"/api/v1/files/" + file.ID + "/content", "/api/v1/archive?path=/f"} {
		a := w.do("owner", "GET", target, nil)
		if bytes.Contains(a.body, []byte("unseen")) {
			t.Errorf("%s: content left", target)
		}
	}
}

// exec does to the database what no program of ours does.
func (w *world) exec(text string) {
	w.t.Helper()
	db, err := testdb.Raw(w.database())
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(text); err != nil {
		w.t.Fatal(err)
	}
}

// TestRefusals: what is refused is recorded once at once and then counted, with who and where, and without what
// was asked for.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	file := w.put("owner", "/f", []byte("x"))
	for range 5 {
		wantProblem(t, w.do("stranger", "GET", "/api/v1/files/"+file.ID, nil), "not-found")
		wantProblem(t, w.do("stranger", "POST", "/api/v1/setup/recovery", `{"secret":"x"}`, jsonBody...), "forbidden")
		wantProblem(t, w.do("anonymous", "GET", "/api/v1/me", nil, "Authorization: Bearer x.y.z"), "unauthenticated")
		wantProblem(t, w.do("anonymous", "GET", "/api/v1/me", nil), "unauthenticated")
		wantProblem(t, w.do("anonymous", "POST", "/api/v1/sessions", `{"name":"owner","password":"wrong"}`, jsonBody...), "bad-credentials")
	}
	count := func(kind string) map[string]float64 {
		counts := map[string]float64{}
		for _, e := range w.events("admin", "type="+kind) {
			what := fmt.Sprint(e.Operational["route"], " ", e.Operational["status"], e.Operational["reason"], " by ", e.Actor["name"])
			counts[what] += e.Operational["count"].(float64)
		}
		return counts
	}
	want := func(kind string, want map[string]float64) {
		t.Helper()
		if got := count(kind); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
	access := map[string]float64{
		"/api/v1/files/{id} 404 <nil> by stranger": 1, "/api/v1/setup/recovery 403 <nil> by stranger": 1, "/api/v1/me 401 <nil> by ": 1,
	}
	want("access.refused", access)
	want("session.refused", map[string]float64{"<nil> <nil>credentials by ": 1})
	if err := w.tally.Flush(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	for what := range access {
		access[what] = 5
	}
	want("access.refused", access)
	want("session.refused", map[string]float64{"<nil> <nil>credentials by ": 5})
	for _, e := range w.events("admin", "type=access.refused") {
		if strings.Contains(fmt.Sprint(e), file.ID) || e.Actor["address"] != "127.0.0.1" {
			t.Errorf("%+v", e)
		}
	}
	// A wrong setup code.
	empty := newEmptyWorld(t)
	wantProblem(t, empty.do("anonymous", "POST", "/api/v1/setup", `{"code":"x","name":"a","password":"`+password+`"}`, jsonBody...), "wrong-setup-code")
	const admin = "first"
	if a := empty.setUp(empty.code.Text(), admin, password); a.StatusCode != http.StatusCreated {
		t.Fatalf("set up: %d %s", a.StatusCode, a.body)
	}
	if list := empty.events(admin, "type=setup.refused"); len(list) != 1 || list[0].Operational["count"] != float64(1) {
		t.Errorf("setup codes: %+v", list)
	}
	made := empty.events(admin, "type=account.created")
	if len(made) != 1 || made[0].Operational["by"] != "page" || made[0].Operational["role"] != "admin" || made[0].Subject["name"] != admin {
		t.Errorf("accounts: %+v", made)
	}
	if keys := empty.events(admin, "type=key.published"); len(keys) != 5 { // log, root, vault, recovery, person
		t.Errorf("%d keys: %+v", len(keys), keys)
	}
}

// TestFollow: with after, only what is newer comes.
func TestFollow(t *testing.T) {
	w := newWorld(t)
	w.put("owner", "/a", []byte("x"))
	last := w.events("owner", "")[0].ID
	if list := w.events("owner", "after="+strconv.FormatInt(last, 10)); len(list) != 0 {
		t.Errorf("%d events are newer than the newest", len(list))
	}
	w.put("owner", "/b", []byte("x"))
	if list := w.events("owner", "after="+strconv.FormatInt(last, 10)); len(list) != 1 || list[0].Subject["path"] != "/b" {
		t.Errorf("%+v", list)
	}
}
