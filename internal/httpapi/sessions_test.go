package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/api"
	"stonevault/internal/auth"
	"stonevault/internal/metadb/testdb"
	"stonevault/internal/vault"
)

// guest is somebody who is signed in and has an API token, made anew for every row.
type guest struct {
	name, id, session string
	access, api       string // tokens
	tokenID           string
}

var guests atomic.Int64

func (w *world) guest() guest {
	w.t.Helper()
	return w.newcomer(fmt.Sprintf("guest %d", guests.Add(1)), vault.RoleUser)
}

// newcomer is somebody new of a role; w.do takes the name, and the name with "'s token" for his API token.
func (w *world) newcomer(name string, role vault.Role) guest {
	w.t.Helper()
	ctx := context.Background()
	person, _, err := w.vault.CreatePerson(ctx, vault.Actor{}, name, role, passwordHash())
	if err != nil {
		w.t.Fatal(err)
	}
	grant, err := w.api.Auth.SignIn(ctx, auth.Credentials{Name: name, Password: password, Client: "phone", Address: "192.0.2.9"})
	if err != nil {
		w.t.Fatal(err)
	}
	all := []string{"files:read", "files:write", "audit:read", "admin"}
	text, token, err := w.api.Auth.CreateAPIToken(ctx, grant.Principal, "backup", all, time.Now().Add(time.Hour), "192.0.2.9")
	if err != nil {
		w.t.Fatal(err)
	}
	w.tokens[name], w.tokens[name+"'s token"] = grant.AccessToken, text.Text()
	return guest{name: name, id: string(person.ID), session: grant.Principal.Session, access: grant.AccessToken, api: text.Text(), tokenID: token.ID}
}

// group puts people into a group whose manager is the first.
func (w *world) group(people ...string) {
	w.t.Helper()
	raw, err := testdb.Raw(w.database())
	if err != nil {
		w.t.Fatal(err)
	}
	defer raw.Close()
	id := fmt.Sprintf("%032x", guests.Add(1))
	if _, err := raw.Exec(`INSERT INTO groups (id, name, name_key, created_at, updated_at) VALUES ($1, $1, $1, 0, 0)`, id); err != nil {
		w.t.Fatal(err)
	}
	for i, person := range people {
		if _, err := raw.Exec(`INSERT INTO group_members (grp, person, member, manager, since) VALUES ($1, $2, $3, $4, 0)`, id, person, min(i, 1), 1-min(i, 1)); err != nil {
			w.t.Fatal(err)
		}
	}
}

var signInScenarios = []scenario{
	{"GET /api/v1/people/{person}/sessions", "a stranger's", func(s *scene) (string, any, []string) {
		return "/api/v1/people/" + s.guest().id + "/sessions", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), ok(200), no("not-found"), nil},
	{"GET /api/v1/people/{person}/sessions", "one's own", func(*scene) (string, any, []string) {
		return "/api/v1/people/me/sessions?limit=1000", nil, nil
	}, no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
		current := 0
		for _, e := range decode[api.SessionList](t, a).Items {
			if e.Client == "" && e.Address == "" || !e.ExpiresAt.After(e.CreatedAt) {
				t.Errorf("%+v", e)
			}
			if e.Current {
				current++
			}
		}
		if current != 1 {
			t.Errorf("%d current sessions: %s", current, a.body)
		}
	}},
	{"GET /api/v1/people/{person}/sessions", "no id", func(*scene) (string, any, []string) {
		return "/api/v1/people/ME/sessions", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("not-found"), nil},
	{"DELETE /api/v1/people/{person}/sessions", "a stranger's", func(s *scene) (string, any, []string) {
		return "/api/v1/people/" + s.guest().id + "/sessions", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), ok(204), no("not-found"), nil},
	{"DELETE /api/v1/people/{person}/sessions", "one's other ones", func(s *scene) (string, any, []string) {
		return "/api/v1/people/me/sessions?keep=current", nil, nil
	}, no("unauthenticated"), ok(204), ok(204), ok(204), ok(204), nil},
	{"DELETE /api/v1/people/{person}/sessions", "keeping nobody knows what", func(s *scene) (string, any, []string) {
		return "/api/v1/people/me/sessions?keep=all", nil, nil
	}, no("unauthenticated"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"DELETE /api/v1/people/{person}/sessions/{session}", "a stranger's", func(s *scene) (string, any, []string) {
		g := s.guest()
		return "/api/v1/people/" + g.id + "/sessions/" + g.session, nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), ok(204), no("not-found"), nil},
	{"DELETE /api/v1/people/{person}/sessions/{session}", "as one's own", func(s *scene) (string, any, []string) {
		return "/api/v1/people/me/sessions/" + s.guest().session, nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("not-found"), nil},
	{"GET /api/v1/people/{person}/tokens", "a stranger's", func(s *scene) (string, any, []string) {
		return "/api/v1/people/" + s.guest().id + "/tokens", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), ok(200), no("not-found"), nil},
	{"POST /api/v1/me/password", "with a wrong one", func(*scene) (string, any, []string) {
		return "/api/v1/me/password", `{"current":"not the password","new":"six other words nobody ever wrote"}`, jsonBody
	}, no("unauthenticated"), no("wrong-password"), no("wrong-password"), no("wrong-password"), no("wrong-password"), nil},
	{"POST /api/v1/me/password", "a weak one", func(*scene) (string, any, []string) {
		return "/api/v1/me/password", `{"current":"` + password + `","new":"stonevaultstonevault"}`, jsonBody
	}, no("unauthenticated"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"GET /api/v1/people/{person}/factor", "a stranger's", func(s *scene) (string, any, []string) {
		return "/api/v1/people/" + s.guest().id + "/factor", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), ok(200), no("not-found"), nil},
	{"GET /api/v1/people/{person}/factor", "one's own", func(*scene) (string, any, []string) {
		return "/api/v1/people/me/factor", nil, nil
	}, no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, _ *scene, a *answer) {
		if f := decode[api.Factor](t, a); f.Enrolled || f.Methods == nil || f.EnrolledAt != nil || f.CodesLeft != 0 || f.Required {
			t.Errorf("%s", a.body)
		}
	}},
	{"POST /api/v1/me/factor", "", func(*scene) (string, any, []string) { return "/api/v1/me/factor", nil, nil },
		no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
			f := decode[api.FactorSecret](t, a)
			if !strings.HasPrefix(f.URI, "otpauth://totp/Stonevault:owner?") || len(f.Secret) != 39 || strings.Contains(s.log.String(), f.Secret) {
				t.Errorf("%s", a.body)
			}
		}},
	{"POST /api/v1/me/factor/confirm", "a wrong code", func(*scene) (string, any, []string) {
		return "/api/v1/me/factor/confirm", `{"code":"nonsense"}`, jsonBody
	}, no("unauthenticated"), no("wrong-code"), no("wrong-code"), no("wrong-code"), no("wrong-code"), nil},
	{"POST /api/v1/me/factor/codes", "without a factor", func(*scene) (string, any, []string) {
		return "/api/v1/me/factor/codes", `{"password":"` + password + `"}`, jsonBody
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("not-found"), nil},
	{"POST /api/v1/people/{person}/factor/removal", "a stranger's", func(s *scene) (string, any, []string) {
		g := s.guest()
		s.enrol(g.name)
		return "/api/v1/people/" + g.id + "/factor/removal", `{}`, jsonBody
	}, no("unauthenticated"), no("not-found"), no("not-found"), ok(204), no("not-found"), nil},
	{"POST /api/v1/people/{person}/factor/removal", "one's own, without the password", func(*scene) (string, any, []string) {
		return "/api/v1/people/me/factor/removal", `{}`, jsonBody
	}, no("unauthenticated"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"POST /api/v1/me/tokens", "", func(*scene) (string, any, []string) {
		return "/api/v1/me/tokens", `{"name":"backup","scopes":["files:read"],"expires_at":"` + formatTime(time.Now().Add(time.Hour)) + `"}`, jsonBody
	}, no("unauthenticated"), ok(201), ok(201), ok(201), ok(201), func(t *testing.T, s *scene, a *answer) {
		made := decode[api.NewAPIToken](t, a)
		if !strings.HasPrefix(made.Token, "svp_") || made.Name != "backup" || len(made.Scopes) != 1 || a.Header.Get("Stonevault-Event") == "" {
			t.Errorf("%s", a.body)
		}
		s.tokens["program"] = made.Token
		if got := s.do("program", "GET", "/api/v1/content"+escaped(s.file.Path), nil); string(got.body) != string(sceneBytes) {
			t.Errorf("reading with it: %d %s", got.StatusCode, got.body)
		}
		wantProblem(t, s.do("program", "PUT", "/api/v1/content"+escaped(s.file.Path), "x"), "out-of-scope")
		if strings.Contains(s.log.String(), made.Token) {
			t.Error("the log has the token")
		}
	}},
	{"POST /api/v1/me/tokens", "for longer than a year", func(*scene) (string, any, []string) {
		return "/api/v1/me/tokens", `{"name":"backup","scopes":["files:read"],"expires_at":"2999-01-01T00:00:00Z"}`, jsonBody
	}, no("unauthenticated"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"DELETE /api/v1/people/{person}/tokens/{token}", "a stranger's", func(s *scene) (string, any, []string) {
		g := s.guest()
		return "/api/v1/people/" + g.id + "/tokens/" + g.tokenID, nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), ok(204), no("not-found"), nil},
}

// A manager reaches the people of his groups, and what he ends is over at once.
func TestManagerEndsSessions(t *testing.T) {
	w := newWorld(t)
	boss, worker, chief := w.newcomer("boss", vault.RoleManager), w.newcomer("worker", vault.RoleUser), w.newcomer("chief", vault.RoleAdmin)
	w.group(boss.id, worker.id, chief.id)
	list := decode[api.SessionList](t, w.do("boss", "GET", "/api/v1/people/"+worker.id+"/sessions", nil))
	if len(list.Items) != 1 || list.Items[0].ID != worker.session || list.Items[0].Client != "phone" || list.Items[0].Address != "192.0.2.9" || list.Items[0].Current {
		t.Errorf("%+v", list)
	}
	tokens := decode[api.APITokenList](t, w.do("boss", "GET", "/api/v1/people/"+worker.id+"/tokens", nil))
	if len(tokens.Items) != 1 || tokens.Items[0].ID != worker.tokenID || tokens.Items[0].LastUsedAt != nil {
		t.Errorf("%+v", tokens)
	}
	for _, path := range []string{"/sessions", "/tokens"} {
		wantProblem(t, w.do("boss", "GET", "/api/v1/people/"+chief.id+path, nil), "forbidden")
		wantProblem(t, w.do("worker", "GET", "/api/v1/people/"+chief.id+path, nil), "forbidden")
		wantProblem(t, w.do("worker", "GET", "/api/v1/people/"+boss.id+path, nil), "not-found")
	}
	for who, path := range map[string]string{
		"worker":         "/api/v1/people/" + worker.id + "/sessions/" + worker.session,
		"worker's token": "/api/v1/people/" + worker.id + "/tokens/" + worker.tokenID,
	} {
		if a := w.do(who, "GET", "/api/v1/me", nil); a.StatusCode != 200 {
			t.Errorf("%s before: %d", who, a.StatusCode)
		}
		if a := w.do("boss", "DELETE", path, nil); a.StatusCode != 204 || a.Header.Get("Stonevault-Event") == "" {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
		wantProblem(t, w.do(who, "GET", "/api/v1/me", nil), "unauthenticated")
		wantProblem(t, w.do("boss", "DELETE", path, nil), "not-found")
	}
	// With a receipt, where that is asked for.
	a := w.do("boss", "DELETE", "/api/v1/people/me/sessions?keep=current", nil, "Prefer: wait")
	if receipt := decode[api.AuditReceipt](t, a); receipt.Receipt == "" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// What a program may do with every scope there is: neither sign out nor make more of itself.
func TestAPITokenOverHTTP(t *testing.T) {
	w := newWorld(t)
	g := w.guest()
	program := g.name + "'s token"
	for path, status := range map[string]int{
		"/api/v1/me": 200, "/api/v1/files": 200, "/api/v1/audit/events": 200, "/api/v1/people/me/sessions": 200, "/api/v1/people/me/tokens": 200,
	} {
		if a := w.do(program, "GET", path, nil); a.StatusCode != status {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	wantProblem(t, w.do(program, "DELETE", "/api/v1/sessions/current", nil), "out-of-scope")
	wantProblem(t, w.do(program, "POST", "/api/v1/me/tokens", `{"name":"x","scopes":["admin"],"expires_at":"2027-01-01T00:00:00Z"}`, jsonBody...), "out-of-scope")
	wantProblem(t, w.do(program, "DELETE", "/api/v1/people/me/sessions?keep=current", nil), "invalid")
	// In a cookie it is nothing, and after "Basic" neither.
	for _, name := range []string{"stonevault-access", "__Host-stonevault-access"} {
		wantProblem(t, w.do("anonymous", "GET", "/api/v1/me", nil, "Cookie: "+name+"="+g.api), "unauthenticated")
	}
	wantProblem(t, w.do("anonymous", "GET", "/api/v1/me", nil, "Authorization: Basic "+g.api), "unauthenticated")
	wantProblem(t, w.do("anonymous", "GET", "/api/v1/me", nil, "Authorization: Bearer "+g.api[:len(g.api)-1]), "unauthenticated")
	// Its events name the token.
	w.do(program, "PUT", "/api/v1/content/f", "x")
	events := decode[api.AuditEventList](t, w.do(g.name, "GET", "/api/v1/audit/events?type=file.put", nil, "Prefer: wait"))
	if len(events.Items) != 1 || !strings.Contains(fmt.Sprint(events.Items[0]), g.tokenID) {
		t.Errorf("%+v", events)
	}
	// An admin's token of a scope that is not for accounts does not reach other people's sessions.
	admin := w.newcomer("root", vault.RoleAdmin)
	text, _, err := w.api.Auth.CreateAPIToken(t.Context(), mustKnow(t, w, admin.access), "x", []string{"files:read"}, time.Now().Add(time.Hour), "")
	if err != nil {
		t.Fatal(err)
	}
	w.tokens["reader"] = text.Text()
	wantProblem(t, w.do("reader", "GET", "/api/v1/people/"+g.id+"/sessions", nil), "out-of-scope")
}

func mustKnow(t *testing.T, w *world, token string) auth.Principal {
	t.Helper()
	p, err := w.api.Auth.Authenticate(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Pages of sessions follow one another.
func TestSessionListPages(t *testing.T) {
	w := newWorld(t)
	g := w.guest()
	for range 4 {
		w.do("anonymous", "POST", "/api/v1/sessions", `{"name":"`+g.name+`","password":"`+password+`","client":"x"}`, jsonBody...)
	}
	seen, path := map[string]bool{}, "/api/v1/people/me/sessions?limit=2"
	for pages := 0; path != ""; pages++ {
		a := w.do(g.name, "GET", path, nil)
		list := decode[api.SessionList](t, a)
		for _, e := range list.Items {
			seen[e.ID] = true
		}
		path = strings.TrimSuffix(strings.TrimPrefix(a.Header.Get("Link"), "<"), `>; rel="next"`)
		if (path == "") != (list.NextCursor == "") || pages > 3 {
			t.Fatalf("Link %q, cursor %q", a.Header.Get("Link"), list.NextCursor)
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d sessions", len(seen))
	}
	for _, query := range []string{"cursor=x", "limit=0", "limit=1001", "sort=name"} {
		wantProblem(t, w.do(g.name, "GET", "/api/v1/people/me/sessions?"+query, nil), "invalid")
	}
}

// Whoever ends the session that a browser's cookies hold, loses the cookies with it.
func TestEndingDropsCookies(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/api/v1/people/me/sessions", "/api/v1/people/me/sessions/current"} {
		a := w.do("anonymous", "POST", "/api/v1/sessions", `{"name":"owner","password":"`+password+`","cookies":true}`, jsonBody...)
		var jar []string
		for _, c := range a.Cookies() {
			jar = append(jar, c.Name+"="+c.Value)
		}
		with := "Cookie: " + strings.Join(jar, "; ")
		for _, e := range decode[api.SessionList](t, w.do("anonymous", "GET", "/api/v1/people/me/sessions", nil, with)).Items {
			if e.Current {
				path = strings.Replace(path, "current", e.ID, 1)
			}
		}
		a = w.do("anonymous", "DELETE", path, nil, with)
		dropped := 0
		for _, c := range a.Cookies() {
			if c.MaxAge < 0 {
				dropped++
			}
		}
		if a.StatusCode != http.StatusNoContent || dropped != 2 {
			t.Errorf("%s: %d, %d cookies dropped", path, a.StatusCode, dropped)
		}
	}
}
