package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"stonevault/api"
)

// scene is what the scenarios act on: two files and a folder of the owner's, made anew for every row.
type scene struct {
	*world
	file, other api.File
	folder      api.File
}

var sceneBytes = []byte("what nobody else may see")

func (w *world) scene(t *testing.T) *scene {
	t.Helper()
	s := &scene{world: w}
	name := "/" + strings.ReplaceAll(t.Name(), "/", "-")
	if len(name) > 150 {
		name = name[:150]
	}
	s.file = w.put("owner", escaped(name)+"/file.txt", sceneBytes)
	s.other = w.put("owner", escaped(name)+"/other.txt", []byte("x"))
	a := w.do("owner", "GET", "/api/v1/files/lookup?path="+url.QueryEscape(name), nil)
	s.folder = decode[api.File](t, a)
	return s
}

func escaped(path string) string {
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// want is what one caller gets: a status, or a problem by its code.
type want struct {
	status  int
	problem string
}

func ok(status int) want     { return want{status: status} }
func no(problem string) want { return want{problem: problem} }

// scenario is a request and what each caller gets for it.
type scenario struct {
	route   string // method and path of the table
	name    string
	request func(s *scene) (target string, body any, header []string)
	// anonymous, stranger, manager and admin, owner
	anonymous, stranger, manager, admin, owner want
	check                                      func(t *testing.T, s *scene, a *answer) // of the owner's reply
}

// scenarios hold every endpoint to its answers for everybody. A file belongs to its owner alone: for
// managers and admins too it does not exist.
var scenarios = []scenario{
	{"POST /api/v1/sessions", "right password", func(*scene) (string, any, []string) {
		return "/api/v1/sessions", `{"name":"owner","password":"` + password + `","client":"laptop"}`, jsonBody
	}, ok(200), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
		session := decode[api.Session](t, a)
		if session.Person.Name != "owner" || session.Person.Role != api.RoleUser || session.TokenType != "Bearer" ||
			!strings.HasPrefix(session.RefreshToken, "svr_") || !session.RefreshExpiresAt.After(session.AccessExpiresAt) {
			t.Errorf("%s", a.body)
		}
	}},
	{"POST /api/v1/sessions", "wrong password", func(*scene) (string, any, []string) {
		return "/api/v1/sessions", `{"name":"owner","password":"wrong"}`, jsonBody
	}, no("bad-credentials"), no("bad-credentials"), no("bad-credentials"), no("bad-credentials"), no("bad-credentials"), nil},
	{"POST /api/v1/sessions", "unknown name", func(*scene) (string, any, []string) {
		return "/api/v1/sessions", `{"name":"nobody","password":"` + password + `"}`, jsonBody
	}, no("bad-credentials"), no("bad-credentials"), no("bad-credentials"), no("bad-credentials"), no("bad-credentials"), nil},
	{"POST /api/v1/sessions/refresh", "invented token", func(*scene) (string, any, []string) {
		return "/api/v1/sessions/refresh", `{"refresh_token":"svr_AAAA"}`, jsonBody
	}, no("session-ended"), no("session-ended"), no("session-ended"), no("session-ended"), no("session-ended"), nil},
	{"GET /api/v1/me", "", func(*scene) (string, any, []string) { return "/api/v1/me", nil, nil },
		no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, _ *scene, a *answer) {
			me := decode[api.Profile](t, a)
			if me.Name != "owner" || me.Role != api.RoleUser || me.Suite != 1 || len(me.Fingerprint) != 64 ||
				len(me.FingerprintSpoken) != 71 || !strings.HasPrefix(me.PublicKey, "svpub1") {
				t.Errorf("%s", a.body)
			}
		}},
	{"GET /api/v1/vault", "", func(*scene) (string, any, []string) { return "/api/v1/vault", nil, nil },
		ok(200), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, _ *scene, a *answer) {
			v := decode[api.Vault](t, a)
			if v.Version != "1.2.3-test" || v.Suite != 1 || len(v.RootFingerprint) != 64 || len(v.RootKey) == 0 || v.VaultID == "" {
				t.Errorf("%s", a.body)
			}
		}},

	{"PUT /api/v1/content/{path}", "create", func(s *scene) (string, any, []string) {
		return "/api/v1/content" + escaped(s.folder.Path) + "/new", sceneBytes, []string{"Stonevault-Mode: 0755", "Stonevault-Class: restricted", "Stonevault-Modified-At: 2001-02-03T04:05:06.789+01:00"}
	}, no("unauthenticated"), ok(201), ok(201), ok(201), ok(201), func(t *testing.T, s *scene, a *answer) {
		f := decode[api.File](t, a)
		if f.Path != s.folder.Path+"/new" || f.Name != "new" || f.Kind != api.KindFile || f.Size != int64(len(sceneBytes)) ||
			f.Version != 1 || f.Revision != 1 || f.Mode != "0755" || f.Class != api.ClassRestricted ||
			!strings.HasPrefix(f.MediaType, "text/plain") || f.ModifiedAt.Format("2006-01-02T15:04:05.000Z07:00") != "2001-02-03T03:05:06.789Z" {
			t.Errorf("%s", a.body)
		}
		if a.Header.Get("ETag") != f.Etag || a.Header.Get("Location") != "/api/v1/files/"+f.ID {
			t.Errorf("ETag %s, Location %s", a.Header.Get("ETag"), a.Header.Get("Location"))
		}
	}},
	{"PUT /api/v1/content/{path}", "at the owner's path", func(s *scene) (string, any, []string) {
		return "/api/v1/content" + escaped(s.file.Path), "changed", []string{"Content-Type: application/x-thing"}
	}, no("unauthenticated"), ok(201), ok(201), ok(201), ok(200), func(t *testing.T, s *scene, a *answer) {
		f := decode[api.File](t, a)
		if f.ID != s.file.ID || f.Version != 2 || f.FileID == s.file.FileID || f.MediaType != "application/x-thing" || f.Mode != "0644" {
			t.Errorf("%s", a.body)
		}
	}},
	{"PUT /api/v1/content/{path}", "not to replace", func(s *scene) (string, any, []string) {
		return "/api/v1/content" + escaped(s.file.Path), "changed", []string{"If-None-Match: *"}
	}, no("unauthenticated"), ok(201), ok(201), ok(201), no("precondition-failed"), nil},
	{"PUT /api/v1/content/{path}", "If-Match holds", func(s *scene) (string, any, []string) {
		return "/api/v1/content" + escaped(s.file.Path), "changed", []string{"If-Match: " + s.file.Etag}
	}, no("unauthenticated"), no("precondition-failed"), no("precondition-failed"), no("precondition-failed"), ok(200), nil},
	{"PUT /api/v1/content/{path}", "If-Match does not hold", func(s *scene) (string, any, []string) {
		return "/api/v1/content" + escaped(s.file.Path), "changed", []string{"If-Match: " + s.other.Etag}
	}, no("unauthenticated"), no("precondition-failed"), no("precondition-failed"), no("precondition-failed"), no("precondition-failed"), nil},
	{"PUT /api/v1/content/{path}", "over a folder", func(s *scene) (string, any, []string) {
		return "/api/v1/content" + escaped(s.folder.Path), "changed", nil
	}, no("unauthenticated"), ok(201), ok(201), ok(201), no("exists"), nil},
	{"PUT /api/v1/content/{path}", "through a file", func(s *scene) (string, any, []string) {
		return "/api/v1/content" + escaped(s.file.Path) + "/below", "changed", nil
	}, no("unauthenticated"), ok(201), ok(201), ok(201), no("invalid"), nil},

	{"GET /api/v1/content/{path}", "", func(s *scene) (string, any, []string) {
		return "/api/v1/content" + escaped(s.file.Path), nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(200), wantScene},
	{"GET /api/v1/content/{path}", "a version that is not there", func(s *scene) (string, any, []string) {
		return "/api/v1/content" + escaped(s.file.Path) + "?version=2", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("not-found"), nil},
	{"GET /api/v1/content/{path}", "a folder", func(s *scene) (string, any, []string) {
		return "/api/v1/content" + escaped(s.folder.Path), nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("invalid"), nil},
	{"HEAD /api/v1/content/{path}", "", func(s *scene) (string, any, []string) {
		return "/api/v1/content" + escaped(s.file.Path), nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(200), wantScene},
	{"GET /api/v1/files/{id}/content", "", func(s *scene) (string, any, []string) {
		return "/api/v1/files/" + s.file.ID + "/content?version=1", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(200), wantScene},
	{"HEAD /api/v1/files/{id}/content", "", func(s *scene) (string, any, []string) {
		return "/api/v1/files/" + s.file.ID + "/content", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(200), wantScene},

	{"GET /api/v1/files", "a folder of the owner's", func(s *scene) (string, any, []string) {
		return "/api/v1/files?folder=" + url.QueryEscape(s.folder.Path) + "&sort=-size", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(200), func(t *testing.T, s *scene, a *answer) {
		l := decode[api.FileList](t, a)
		if len(l.Items) != 2 || l.Items[0] != s.file || l.Items[1] != s.other || l.NextCursor != "" || a.Header.Get("Link") != "" {
			t.Errorf("%s", a.body)
		}
	}},
	{"GET /api/v1/files", "the root", func(*scene) (string, any, []string) { return "/api/v1/files", nil, nil },
		no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), nil},
	{"GET /api/v1/files/lookup", "a file", func(s *scene) (string, any, []string) {
		return "/api/v1/files/lookup?path=" + url.QueryEscape(s.file.Path), nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(200), wantFile},
	{"GET /api/v1/files/{id}", "a file", func(s *scene) (string, any, []string) { return "/api/v1/files/" + s.file.ID, nil, nil },
		no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(200), wantFile},
	{"GET /api/v1/files/{id}", "a folder", func(s *scene) (string, any, []string) { return "/api/v1/files/" + s.folder.ID, nil, nil },
		no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(200), func(t *testing.T, s *scene, a *answer) {
			if f := decode[api.File](t, a); f != s.folder || f.Kind != api.KindFolder || f.Size != 0 {
				t.Errorf("%s", a.body)
			}
			for _, name := range []string{"media_type", "modified_at", "version", "signer", "file_id"} {
				if bytes.Contains(a.body, []byte(`"`+name+`"`)) {
					t.Errorf("a folder has %s", name)
				}
			}
		}},
	{"GET /api/v1/files/{id}/versions", "", func(s *scene) (string, any, []string) {
		s.put("owner", escaped(s.file.Path), []byte("second"))
		return "/api/v1/files/" + s.file.ID + "/versions", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(200), func(t *testing.T, s *scene, a *answer) {
		l := decode[api.FileList](t, a)
		if len(l.Items) != 2 || l.Items[0].FileID != s.file.FileID || l.Items[0].Version != 1 || l.Items[1].Version != 2 || l.Items[1].Size != 6 {
			t.Errorf("%s", a.body)
		}
	}},
	{"GET /api/v1/files/{id}/versions", "of a folder", func(s *scene) (string, any, []string) {
		return "/api/v1/files/" + s.folder.ID + "/versions", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("invalid"), nil},
	{"POST /api/v1/files/{id}/verify", "", func(s *scene) (string, any, []string) {
		return "/api/v1/files/" + s.file.ID + "/verify", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(200), func(t *testing.T, s *scene, a *answer) {
		r := decode[api.VerifyReport](t, a)
		if !r.Ok || r.File != s.file || r.SegmentsChecked != 1 || r.BytesChecked != int64(len(sceneBytes)) ||
			r.Suite != 1 || r.Signer != s.file.Signer || r.Error != "" || !r.SealedAt.Equal(s.file.SealedAt) {
			t.Errorf("%s", a.body)
		}
	}},

	{"PATCH /api/v1/files/{id}", "rename", func(s *scene) (string, any, []string) {
		return "/api/v1/files/" + s.file.ID, `{"path":` + quote(s.folder.Path+"/sub/renamed") + `}`, jsonBody
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(200), func(t *testing.T, s *scene, a *answer) {
		f := decode[api.File](t, a)
		if f.ID != s.file.ID || f.Path != s.folder.Path+"/sub/renamed" || f.Revision != 2 || f.Etag == s.file.Etag || a.Header.Get("ETag") != f.Etag {
			t.Errorf("%s", a.body)
		}
		if got := s.do("owner", "GET", "/api/v1/content"+escaped(f.Path), nil); !bytes.Equal(got.body, sceneBytes) {
			t.Errorf("at its new path: %d %s", got.StatusCode, got.body)
		}
		wantProblem(t, s.do("owner", "GET", "/api/v1/content"+escaped(s.file.Path), nil), "not-found")
	}},
	{"PATCH /api/v1/files/{id}", "onto another", func(s *scene) (string, any, []string) {
		return "/api/v1/files/" + s.file.ID, `{"path":` + quote(s.other.Path) + `}`, jsonBody
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("exists"), nil},
	{"PATCH /api/v1/files/{id}", "with an old ETag", func(s *scene) (string, any, []string) {
		return "/api/v1/files/" + s.file.ID, `{"path":"/elsewhere"}`, append([]string{"If-Match: " + s.other.Etag}, jsonBody...)
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("precondition-failed"), nil},
	{"PATCH /api/v1/files/{id}", "a folder into itself", func(s *scene) (string, any, []string) {
		return "/api/v1/files/" + s.folder.ID, `{"path":` + quote(s.folder.Path+"/a/b") + `}`, jsonBody
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("invalid"), nil},

	{"DELETE /api/v1/files/{id}", "a file", func(s *scene) (string, any, []string) { return "/api/v1/files/" + s.file.ID, nil, nil },
		no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(204), func(t *testing.T, s *scene, a *answer) {
			if len(a.body) != 0 {
				t.Errorf("%s", a.body)
			}
			wantProblem(t, s.do("owner", "GET", "/api/v1/files/"+s.file.ID, nil), "not-found")
			wantProblem(t, s.do("owner", "DELETE", "/api/v1/files/"+s.file.ID, nil), "not-found")
		}},
	{"DELETE /api/v1/files/{id}", "with an old ETag", func(s *scene) (string, any, []string) {
		return "/api/v1/files/" + s.file.ID, nil, []string{"If-Match: " + s.other.Etag}
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("precondition-failed"), nil},
	{"DELETE /api/v1/files/{id}", "a folder with something in it", func(s *scene) (string, any, []string) {
		return "/api/v1/files/" + s.folder.ID, nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("not-empty"), nil},

	{"GET /api/v1/openapi.json", "", func(*scene) (string, any, []string) { return "/api/v1/openapi.json", nil, nil },
		ok(200), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, _ *scene, a *answer) {
			if !bytes.Equal(a.body, api.OpenAPI()) {
				t.Error("it is not the document in api")
			}
		}},
	{"GET /api/v1/docs", "", func(*scene) (string, any, []string) { return "/api/v1/docs", nil, nil },
		ok(200), ok(200), ok(200), ok(200), ok(200), wantPage("/api/v1/files/{id}/verify", "object-VerifyReport", "/problems/refused")},
	{"GET /problems/{code}", "known", func(*scene) (string, any, []string) { return "/problems/refused", nil, nil },
		ok(200), ok(200), ok(200), ok(200), ok(200), wantPage("not what was sealed")},
	{"GET /problems/{code}", "unknown", func(*scene) (string, any, []string) { return "/problems/sunshine", nil, nil },
		no("not-found"), no("not-found"), no("not-found"), no("not-found"), no("not-found"), nil},
	{"GET /livez", "", func(*scene) (string, any, []string) { return "/livez", nil, nil }, ok(200), ok(200), ok(200), ok(200), ok(200), nil},
	{"GET /readyz", "", func(*scene) (string, any, []string) { return "/readyz", nil, nil }, ok(200), ok(200), ok(200), ok(200), ok(200), nil},
	{"GET /", "", func(*scene) (string, any, []string) { return "/", nil, nil },
		ok(200), ok(200), ok(200), ok(200), ok(200), wantPage("/api/v1/docs")},
}

var jsonBody = []string{"Content-Type: application/json"}

func quote(s string) string { b, _ := json.Marshal(s); return string(b) }

func wantScene(t *testing.T, s *scene, a *answer) {
	if a.Request.Method == http.MethodGet && !bytes.Equal(a.body, sceneBytes) {
		t.Errorf("%s", a.body)
	}
	for name, value := range map[string]string{
		"ETag": s.file.Etag, "Stonevault-Signer": s.file.Signer, "Stonevault-Mode": "0644", "Stonevault-Class": "normal",
		"Accept-Ranges": "bytes", "Content-Type": "text/plain", "Content-Length": "24", "Cache-Control": "private, no-store",
		"Content-Disposition": `attachment; filename="file.txt"; filename*=UTF-8''file.txt`, "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "sandbox; default-src 'none'",
	} {
		if got := a.Header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

func wantFile(t *testing.T, s *scene, a *answer) {
	if f := decode[api.File](t, a); f != s.file || a.Header.Get("ETag") != f.Etag {
		t.Errorf("%s", a.body)
	}
}

func wantPage(words ...string) func(*testing.T, *scene, *answer) {
	return func(t *testing.T, _ *scene, a *answer) {
		if got := a.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
			t.Errorf("Content-Type %q", got)
		}
		if policy := a.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") {
			t.Errorf("policy %q", policy)
		}
		if bytes.Contains(a.body, []byte("<script")) || bytes.Contains(a.body, []byte("http://")) {
			t.Error("the page has a script or reaches outside")
		}
		for _, word := range words {
			if !bytes.Contains(a.body, []byte(word)) {
				t.Errorf("the page does not say %q", word)
			}
		}
	}
}

func TestScenarios(t *testing.T) {
	w := newWorld(t)
	covered := map[string]bool{}
	for _, row := range slices.Concat(scenarios, uploadScenarios, folderScenarios, exportScenarios, setupScenarios, auditScenarios, signInScenarios, webhookScenarios, groupScenarios, quotaScenarios, peopleScenarios, keyScenarios, quantumScenarios) {
		method, path, _ := strings.Cut(row.route, " ")
		covered[row.route] = true
		for who, want := range map[string]want{
			"anonymous": row.anonymous, "stranger": row.stranger, "manager": row.manager, "admin": row.admin, "owner": row.owner,
		} {
			t.Run(row.route+" "+row.name+" "+who, func(t *testing.T) {
				s := w.scene(t)
				target, body, header := row.request(s)
				a := w.do(who, method, target, body, header...)
				if a.err != nil {
					t.Errorf("the reply broke off: %v", a.err)
				}
				for _, name := range []string{"X-Request-Id", "Content-Security-Policy", "Referrer-Policy", "Cross-Origin-Resource-Policy", "Cache-Control"} {
					if a.Header.Get(name) == "" {
						t.Errorf("%s is missing", name)
					}
				}
				if want.problem != "" {
					wantProblem(t, a, want.problem)
					if who != "owner" && path != "/api/v1/sessions" && bytes.Contains(a.body, []byte(s.file.ID)) {
						t.Errorf("the answer names the owner's file: %s", a.body)
					}
					return
				}
				if a.StatusCode != want.status {
					t.Fatalf("status %d, want %d: %s", a.StatusCode, want.status, a.body)
				}
				if who == "owner" && row.check != nil {
					row.check(t, s, a)
				}
				if who != "owner" && bytes.Contains(a.body, sceneBytes) && row.owner.problem == "" && method == "GET" {
					t.Error("somebody else reads the owner's file")
				}
			})
		}
	}
	covered["DELETE /api/v1/sessions/current"] = true // TestSessions, since it ends the session
	for i := range routes {
		if name := routes[i].method + " " + routes[i].name(); !covered[name] {
			t.Errorf("%s has no scenario", name)
		}
	}
}

// A session's life over HTTP.
func TestSessions(t *testing.T) {
	w := newWorld(t)
	a := w.do("anonymous", "POST", "/api/v1/sessions", `{"name":"OWNER","password":"`+password+`"}`, jsonBody...)
	first := decode[api.Session](t, a)
	a = w.do("anonymous", "POST", "/api/v1/sessions/refresh", `{"refresh_token":"`+first.RefreshToken+`"}`, jsonBody...)
	next := decode[api.Session](t, a)
	if next.RefreshToken == first.RefreshToken || next.Person != first.Person {
		t.Errorf("%s", a.body)
	}
	w.tokens["session"] = next.AccessToken
	if a := w.do("session", "GET", "/api/v1/me", nil); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	wantProblem(t, w.do("anonymous", "DELETE", "/api/v1/sessions/current", nil), "unauthenticated")
	if a := w.do("session", "DELETE", "/api/v1/sessions/current", nil); a.StatusCode != 204 || len(a.body) != 0 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	wantProblem(t, w.do("session", "GET", "/api/v1/me", nil), "unauthenticated")
	wantProblem(t, w.do("anonymous", "POST", "/api/v1/sessions/refresh", `{"refresh_token":"`+next.RefreshToken+`"}`, jsonBody...), "session-ended")
	for _, secret := range []string{password, first.AccessToken, first.RefreshToken, next.AccessToken, next.RefreshToken} {
		if strings.Contains(w.log.String(), secret) {
			t.Error("the log has a secret")
		}
	}
}

// What a request may not show in the log: names, queries and content.
func TestLogHoldsNoNames(t *testing.T) {
	w := newWorld(t)
	w.put("owner", "/diary-of-a-whistleblower/page%201.txt", []byte("body-of-the-page"))
	w.do("owner", "GET", "/api/v1/content/diary-of-a-whistleblower/page%201.txt", nil)
	w.do("owner", "GET", "/api/v1/files?folder=/diary-of-a-whistleblower&name_contains=page", nil)
	w.do("stranger", "GET", "/api/v1/files/lookup?path=/diary-of-a-whistleblower", nil)
	w.do("stranger", "GET", "/api/v1/nothing-diary-of-a-whistleblower", nil)
	w.do("stranger", "DIARY-OF-A-WHISTLEBLOWER", "/api/v1/me", nil)
	log := w.log.String()
	for _, word := range []string{"diary", "DIARY", "page", "body-of", "Bearer"} {
		if strings.Contains(log, word) {
			t.Errorf("the log says %q:\n%s", word, log)
		}
	}
	for _, word := range []string{`route=/api/v1/content/{path} `, "status=201", "status=404", "received=16", "sent=16", "method=other"} {
		if !strings.Contains(log, word) {
			t.Errorf("the log does not say %q:\n%s", word, log)
		}
	}
}
