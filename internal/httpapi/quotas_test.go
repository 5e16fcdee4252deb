package httpapi

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"stonevault/api"
	"stonevault/internal/vault"
)

// managed makes the owner a member of a group of the manager's, and returns the path of his quota.
func (s *scene) managed() string {
	s.t.Helper()
	s.group()
	return "/api/v1/people/" + string(s.as("owner").Person) + "/quota"
}

var quotaScenarios = []scenario{
	{"GET /api/v1/people/{person}/quota", "me", func(*scene) (string, any, []string) { return "/api/v1/people/me/quota", nil, nil },
		no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
			if q := decode[api.Quota](t, a); !q.Default || q.Bytes != nil || q.Files != nil || q.BytesUsed == 0 || q.FilesUsed == 0 {
				t.Errorf("%s", a.body)
			}
		}},
	{"GET /api/v1/people/{person}/quota", "the owner's", func(s *scene) (string, any, []string) { return s.managed(), nil, nil },
		no("unauthenticated"), no("not-found"), ok(200), ok(200), ok(200), nil},
	{"GET /api/v1/people/{person}/quota", "the admin's", func(s *scene) (string, any, []string) {
		return "/api/v1/people/" + string(s.as("admin").Person) + "/quota", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), ok(200), no("not-found"), nil},
	{"GET /api/v1/people/{person}/quota", "nobody's", func(s *scene) (string, any, []string) {
		return "/api/v1/people/" + strings.Repeat("0", 32) + "/quota", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("not-found"), nil},
	{"GET /api/v1/people/{person}/quota", "no id", func(s *scene) (string, any, []string) { return "/api/v1/people/ann/quota", nil, nil },
		no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("not-found"), nil},
	{"PUT /api/v1/people/{person}/quota", "the owner's", func(s *scene) (string, any, []string) {
		return s.managed(), `{"bytes":9007199254740991,"files":100000}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), ok(200), ok(200), no("forbidden"), nil},
	{"PUT /api/v1/people/{person}/quota", "to the setting", func(s *scene) (string, any, []string) {
		return s.managed(), `{"default":true}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), ok(200), ok(200), no("forbidden"), nil},
	{"PUT /api/v1/people/{person}/quota", "of a stranger", func(s *scene) (string, any, []string) {
		return "/api/v1/people/" + string(s.as("stranger").Person) + "/quota", `{}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("not-found"), ok(200), no("forbidden"), nil},
	{"PUT /api/v1/people/{person}/quota", "me", func(s *scene) (string, any, []string) { return "/api/v1/people/me/quota", `{}`, jsonBody },
		no("unauthenticated"), no("forbidden"), no("forbidden"), ok(200), no("forbidden"), nil},
	{"PUT /api/v1/people/{person}/quota", "negative", func(s *scene) (string, any, []string) { return s.managed(), `{"bytes":-1}`, jsonBody },
		no("unauthenticated"), no("forbidden"), no("invalid"), no("invalid"), no("forbidden"), nil},
	{"PUT /api/v1/people/{person}/quota", "a limit and the setting", func(s *scene) (string, any, []string) {
		return s.managed(), `{"files":1,"default":true}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("invalid"), no("invalid"), no("forbidden"), nil},
	{"PUT /api/v1/people/{person}/quota", "more than JSON has", func(s *scene) (string, any, []string) {
		return s.managed(), `{"bytes":9007199254740992}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("invalid"), no("invalid"), no("forbidden"), nil},
	{"GET /api/v1/groups/{group}/quota", "", func(s *scene) (string, any, []string) { return s.group() + "/quota", nil, nil },
		no("unauthenticated"), no("not-found"), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
			if q := decode[api.Quota](t, a); q.Default || q.Bytes != nil || q.FilesUsed == 0 {
				t.Errorf("%s", a.body)
			}
		}},
	{"PUT /api/v1/groups/{group}/quota", "", func(s *scene) (string, any, []string) {
		return s.group() + "/quota", `{"bytes":9007199254740991}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), ok(200), ok(200), no("forbidden"), nil},
	{"PUT /api/v1/groups/{group}/quota", "to the setting", func(s *scene) (string, any, []string) {
		return s.group() + "/quota", `{"default":true}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("invalid"), no("invalid"), no("forbidden"), nil},
}

// TestQuotas: what is refused says whose limit it is, before the body where its length is known.
func TestQuotas(t *testing.T) {
	w := newWorld(t)
	w.put("owner", "/a", make([]byte, 60_000))
	owner := "/api/v1/people/" + string(w.as("owner").Person) + "/quota"
	a := w.do("admin", "PUT", owner, `{"bytes":100000,"files":5}`, "Content-Type: application/json", "Prefer: wait")
	if q := decode[api.Quota](t, a); *q.Bytes != 100_000 || *q.Files != 5 || q.Default || q.BytesUsed != 60_000 || q.FilesUsed != 1 || q.Receipt == "" {
		t.Errorf("%s", a.body)
	}
	me := decode[api.Profile](t, w.do("owner", "GET", "/api/v1/me", nil))
	if *me.BytesUsed != 60_000 || *me.FilesUsed != 1 || *me.BytesLimit != 100_000 || *me.FilesLimit != 5 {
		t.Errorf("%+v", me)
	}
	for what, body := range map[string]any{
		"a known length": make([]byte, 50_000), "an unknown one": struct{ *strings.Reader }{strings.NewReader(strings.Repeat("x", 3<<20))},
	} {
		p := wantProblem(t, w.do("owner", "PUT", "/api/v1/content/b", body), "quota")
		if p.Detail != "Your quota allows 97.7 KiB; 58.6 KiB are used. Delete files with all their versions, or ask an administrator or a manager of your group for more." {
			t.Errorf("%s: %s", what, p.Detail)
		}
	}
	wantProblem(t, w.do("owner", "GET", "/api/v1/content/b", nil), "not-found")

	// A body that is refused by its length is never asked for.
	r, err := http.NewRequest("PUT", w.url+"/api/v1/content/b", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.token("owner"))
	r.Header.Set("Expect", "100-continue")
	r.Body, r.ContentLength = never{t}, 50_000
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%v, %v", res, err)
	}
	if err == nil {
		res.Body.Close()
	}

	// Uploads in pieces.
	path := "Upload-Metadata: path " + base64.StdEncoding.EncodeToString([]byte("/u"))
	wantProblem(t, w.do("owner", "POST", "/api/v1/uploads", nil, "Tus-Resumable: 1.0.0", "Upload-Length: 50000", path), "quota")
	a = w.do("owner", "POST", "/api/v1/uploads", nil, "Tus-Resumable: 1.0.0", "Upload-Length: 40000", path)
	at := a.Header.Get("Location")
	piece := []string{"Tus-Resumable: 1.0.0", "Content-Type: application/offset+octet-stream"}
	if a := w.do("owner", "PATCH", at, make([]byte, 30_000), append(piece, "Upload-Offset: 0")...); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	w.do("admin", "PUT", owner, `{"bytes":95000}`, jsonBody...)
	p := wantProblem(t, w.do("owner", "PATCH", at, make([]byte, 10_000), append(piece, "Upload-Offset: 30000")...), "quota")
	if !strings.Contains(p.Detail, "92.8 KiB; 58.6 KiB are used.") {
		t.Errorf("%s", p.Detail)
	}
	if a := w.do("owner", "HEAD", at, nil, "Tus-Resumable: 1.0.0"); a.StatusCode != 200 || a.Header.Get("Upload-Offset") != "30000" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	w.do("admin", "PUT", owner, `{"default":true}`, jsonBody...)
	if a := w.do("owner", "PATCH", at, make([]byte, 10_000), append(piece, "Upload-Offset: 30000")...); a.StatusCode != 204 || a.Header.Get("Stonevault-Id") == "" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}

	// A group's quota is named.
	g, err := w.vault.CreateGroup(context.Background(), w.as("manager"), "Finance")
	if err != nil {
		t.Fatal(err)
	}
	err = w.vault.PutMember(context.Background(), w.as("manager"), vault.Membership{Group: g.ID, Person: w.as("owner").Person, Member: true})
	if err != nil {
		t.Fatal(err)
	}
	w.do("manager", "PUT", "/api/v1/groups/"+string(g.ID)+"/quota", `{"files":2}`, jsonBody...)
	p = wantProblem(t, w.do("owner", "PUT", "/api/v1/content/c", "x"), "quota")
	if p.Detail != `The quota of the group "Finance" allows 2 files to its members together, and there are 2. Delete some, or ask a manager of the group for more.` {
		t.Errorf("%s", p.Detail)
	}
}

// never is a body that nobody may ask for.
type never struct{ t *testing.T }

func (n never) Read([]byte) (int, error) {
	n.t.Error("the body was asked for")
	return 0, http.ErrBodyNotAllowed
}
func (never) Close() error { return nil }
