package httpapi

import (
	"crypto/rand"
	"net/url"
	"strings"
	"testing"
	"time"

	"stonevault/api"
	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

// link makes a one-time link behind the interface's back, and returns its text.
func (w *world) link(make func(hash []byte) error) string {
	w.t.Helper()
	link, err := auth.NewLinkText(rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := make(link.Hash()); err != nil {
		w.t.Fatal(err)
	}
	return link.Text()
}

func (w *world) invitation() (link string, id vault.LinkID) {
	w.t.Helper()
	link = w.link(func(hash []byte) error {
		i, err := w.vault.Invite(w.t.Context(), w.as("admin"), "", 0, hash)
		id = i.Link.ID
		return err
	})
	return link, id
}

func (w *world) resetLink(id string) string {
	w.t.Helper()
	return w.link(func(hash []byte) error {
		_, err := w.vault.ResetPerson(w.t.Context(), w.as("admin"), vault.PersonID(id), hash)
		return err
	})
}

const newPassword = "six quite random words for you"

var peopleScenarios = []scenario{
	{"PATCH /api/v1/me", "", func(*scene) (string, any, []string) {
		return "/api/v1/me", `{"display_name":"Öner"}`, jsonBody
	}, no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
		if me := decode[api.Profile](t, a); me.DisplayName != "Öner" || me.Name != "owner" {
			t.Errorf("%s", a.body)
		}
	}},
	{"PATCH /api/v1/me", "nothing", func(*scene) (string, any, []string) {
		return "/api/v1/me", `{}`, jsonBody
	}, no("unauthenticated"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"GET /api/v1/people", "", func(*scene) (string, any, []string) {
		return "/api/v1/people?sort=-created_at,name&limit=1000&active=true&name_contains=OWNER&role=user", nil, nil
	}, no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, _ *scene, a *answer) {
		list := decode[api.PersonList](t, a)
		if len(list.Items) != 1 || list.Items[0].Name != "owner" || list.Items[0].BytesUsed == nil || list.NextCursor != "" {
			t.Errorf("%.1000s", a.body)
		}
	}},
	{"GET /api/v1/people", "of a group that is none of his", func(*scene) (string, any, []string) {
		return "/api/v1/people?group=00000000000000000000000000000000", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("not-found"), nil},
	{"GET /api/v1/people", "in no order", func(*scene) (string, any, []string) {
		return "/api/v1/people?sort=size", nil, nil
	}, no("unauthenticated"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"GET /api/v1/people/lookup", "", func(s *scene) (string, any, []string) {
		return "/api/v1/people/lookup?name=" + url.QueryEscape(strings.ToUpper(s.guest().name)), nil, nil
	}, no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, _ *scene, a *answer) {
		if p := decode[api.FoundPerson](t, a); len(p.Fingerprint) != 64 || !strings.HasPrefix(p.PublicKey, "svpub1") {
			t.Errorf("%s", a.body)
		}
	}},
	{"GET /api/v1/people/lookup", "a part of a name", func(s *scene) (string, any, []string) {
		return "/api/v1/people/lookup?name=guest", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("not-found"), nil},
	{"POST /api/v1/people", "", func(s *scene) (string, any, []string) {
		return "/api/v1/people", `{"name":"` + s.guest().name + ` junior"}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), ok(201), no("forbidden"), nil},
	{"POST /api/v1/people", "a taken name", func(s *scene) (string, any, []string) {
		return "/api/v1/people", `{"name":"` + s.guest().name + `"}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), no("exists"), no("forbidden"), nil},
	{"GET /api/v1/people/{person}", "a stranger", func(s *scene) (string, any, []string) {
		return "/api/v1/people/" + s.guest().id, nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), ok(200), no("not-found"), nil},
	{"GET /api/v1/people/{person}", "oneself", func(s *scene) (string, any, []string) {
		return "/api/v1/people/me", nil, nil
	}, no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, _ *scene, a *answer) {
		p := decode[api.PersonEntry](t, a)
		if p.Name != "owner" || !p.Active || !*p.PasswordSet || *p.SecondFactor || *p.FilesUsed < 2 || p.BytesLimit != nil || len(p.Fingerprint) != 64 {
			t.Errorf("%s", a.body)
		}
	}},
	{"PATCH /api/v1/people/{person}", "a stranger", func(s *scene) (string, any, []string) {
		return "/api/v1/people/" + s.guest().id, `{"role":"manager"}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), ok(200), no("forbidden"), nil},
	{"PATCH /api/v1/people/{person}", "oneself to be an admin", func(s *scene) (string, any, []string) {
		return "/api/v1/people/me", `{"role":"admin"}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), ok(200), no("forbidden"), nil},
	{"PATCH /api/v1/people/{person}", "the last admin", func(s *scene) (string, any, []string) {
		return "/api/v1/people/me", `{"active":false}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), no("last-admin"), no("forbidden"), nil},
	{"DELETE /api/v1/people/{person}", "nobody", func(s *scene) (string, any, []string) {
		return "/api/v1/people/00000000000000000000000000000000", nil, nil
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), no("not-found"), no("forbidden"), nil},
	{"DELETE /api/v1/people/{person}", "oneself", func(s *scene) (string, any, []string) {
		return "/api/v1/people/me", nil, nil
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), no("forbidden"), no("forbidden"), nil},
	{"POST /api/v1/people/{person}/hand-over", "a stranger's who is active", func(s *scene) (string, any, []string) {
		return "/api/v1/people/" + s.guest().id + "/hand-over", `{"to":"` + s.guest().id + `"}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), no("still-active"), no("forbidden"), nil},
	{"POST /api/v1/people/{person}/hand-over", "one's own", func(s *scene) (string, any, []string) {
		return "/api/v1/people/me/hand-over", `{"to":"` + s.guest().id + `"}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), no("forbidden"), no("forbidden"), nil},
	{"POST /api/v1/people/{person}/reset", "a stranger", func(s *scene) (string, any, []string) {
		return "/api/v1/people/" + s.guest().id + "/reset", nil, nil
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), ok(201), no("forbidden"), nil},
	{"POST /api/v1/people/{person}/reset", "oneself", func(s *scene) (string, any, []string) {
		return "/api/v1/people/me/reset", nil, nil
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), no("forbidden"), no("forbidden"), nil},
	{"GET /api/v1/invitations", "", func(s *scene) (string, any, []string) {
		return "/api/v1/invitations?sort=-expires_at", nil, nil
	}, no("unauthenticated"), no("forbidden"), ok(200), ok(200), no("forbidden"), nil},
	{"POST /api/v1/invitations", "", func(s *scene) (string, any, []string) {
		return "/api/v1/invitations", `{"days":3}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), ok(201), no("forbidden"), nil},
	{"POST /api/v1/invitations", "into a group that is none of his", func(s *scene) (string, any, []string) {
		return "/api/v1/invitations", `{"group":"00000000000000000000000000000000"}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("not-found"), no("not-found"), no("forbidden"), nil},
	{"POST /api/v1/invitations", "for too long", func(s *scene) (string, any, []string) {
		return "/api/v1/invitations", `{"days":31}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("invalid"), no("invalid"), no("forbidden"), nil},
	{"DELETE /api/v1/invitations/{id}", "", func(s *scene) (string, any, []string) {
		_, id := s.invitation()
		return "/api/v1/invitations/" + string(id), nil, nil
	}, no("unauthenticated"), no("forbidden"), no("not-found"), ok(204), no("forbidden"), nil},
	{"POST /api/v1/links/look", "", func(s *scene) (string, any, []string) {
		link, _ := s.invitation()
		return "/api/v1/links/look", `{"link":"` + link + `"}`, jsonBody
	}, ok(200), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, _ *scene, a *answer) {
		if l := decode[api.Link](t, a); l.Kind != api.LinkKindInvitation || l.Name != "" || l.Group != "" || !l.ExpiresAt.After(time.Now()) {
			t.Errorf("%s", a.body)
		}
	}},
	{"POST /api/v1/links/look", "invented", func(s *scene) (string, any, []string) {
		return "/api/v1/links/look", `{"link":"svl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, jsonBody
	}, no("link-over"), no("link-over"), no("link-over"), no("link-over"), no("link-over"), nil},
	{"POST /api/v1/links/join", "", func(s *scene) (string, any, []string) {
		link, _ := s.invitation()
		return "/api/v1/links/join", `{"link":"` + link + `","name":"` + s.guest().name + ` joins","password":"` + newPassword + `"}`, jsonBody
	}, ok(201), ok(201), ok(201), ok(201), ok(201), func(t *testing.T, _ *scene, a *answer) {
		if p := decode[api.Person](t, a); p.Role != api.RoleUser || !strings.HasSuffix(p.Name, " joins") {
			t.Errorf("%s", a.body)
		}
	}},
	{"POST /api/v1/links/join", "with a weak password", func(s *scene) (string, any, []string) {
		link, _ := s.invitation()
		return "/api/v1/links/join", `{"link":"` + link + `","name":"x","password":"password"}`, jsonBody
	}, no("invalid"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"POST /api/v1/links/reset", "", func(s *scene) (string, any, []string) {
		return "/api/v1/links/reset", `{"link":"` + s.resetLink(s.guest().id) + `","password":"` + newPassword + `"}`, jsonBody
	}, ok(204), ok(204), ok(204), ok(204), ok(204), nil},
	{"POST /api/v1/registrations", "where it is closed", func(s *scene) (string, any, []string) {
		return "/api/v1/registrations", `{"name":"x","password":"` + newPassword + `"}`, jsonBody
	}, no("closed"), no("closed"), no("closed"), no("closed"), no("closed"), nil},
	{"GET /api/v1/settings", "", func(s *scene) (string, any, []string) {
		return "/api/v1/settings", nil, nil
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), ok(200), no("forbidden"), nil},
	{"PUT /api/v1/settings", "", func(s *scene) (string, any, []string) {
		return "/api/v1/settings", `{"registration":"closed","second_factor_roles":[],"default_bytes":1000000000000}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), ok(204), no("forbidden"), nil},
	{"PUT /api/v1/settings", "a part of them", func(s *scene) (string, any, []string) {
		return "/api/v1/settings", `{"registration":"closed"}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), no("invalid"), no("forbidden"), nil},
}

// linkText is what stands behind # in a link's address.
func linkText(t *testing.T, link, prefix string) string {
	t.Helper()
	text, ok := strings.CutPrefix(link, prefix)
	if !ok || !strings.HasPrefix(text, "svl_") {
		t.Fatalf("the link %q does not begin with %q", link, prefix)
	}
	return text
}

// An account's life: made without a password, joined by a link, changed, switched off and erased.
func TestAccountOverHTTP(t *testing.T) {
	w := newWorld(t)
	a := w.do("admin", "POST", "/api/v1/people", `{"name":"Ann","role":"manager"}`, append([]string{"Prefer: wait"}, jsonBody...)...)
	made := decode[api.PersonEntry](t, a)
	if a.StatusCode != 201 || made.Role != api.RoleManager || *made.PasswordSet || made.Receipt == "" || a.Header.Get("Location") != "/api/v1/people/"+made.ID ||
		a.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	link := linkText(t, made.Link, w.url+"/reset#")
	for _, secret := range []string{"", password} { // nobody signs in without a password
		a := w.do("anonymous", "POST", "/api/v1/sessions", `{"name":"ann","password":`+quote(secret)+`}`, jsonBody...)
		if secret == "" {
			wantProblem(t, a, "invalid")
		} else {
			wantProblem(t, a, "bad-credentials")
		}
	}
	if l := decode[api.Link](t, w.do("anonymous", "POST", "/api/v1/links/look", `{"link":"`+link+`"}`, jsonBody...)); l.Kind != api.LinkKindReset || l.Name != "Ann" {
		t.Errorf("%+v", l)
	}
	p := wantProblem(t, w.do("anonymous", "POST", "/api/v1/links/reset", `{"link":"`+link+`","password":"ann ann ann ann ann"}`, jsonBody...), "invalid")
	if len(p.Errors) != 1 || p.Errors[0].Field != "password" {
		t.Errorf("%+v", p)
	}
	wantProblem(t, w.do("anonymous", "POST", "/api/v1/links/join", `{"link":"`+link+`","name":"eve","password":"`+newPassword+`"}`, jsonBody...), "link-over")
	if a := w.do("anonymous", "POST", "/api/v1/links/reset", `{"link":"`+link+`","password":"`+password+`"}`, jsonBody...); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	for _, path := range []string{"look", "reset"} {
		body := `{"link":"` + link + `","password":"` + password + `"}`
		if path == "look" {
			body = `{"link":"` + link + `"}`
		}
		used := wantProblem(t, w.do("anonymous", "POST", "/api/v1/links/"+path, body, jsonBody...), "link-over")
		invented := wantProblem(t, w.do("anonymous", "POST", "/api/v1/links/"+path, strings.Replace(body, link, "nonsense", 1), jsonBody...), "link-over")
		if used.Detail != invented.Detail {
			t.Errorf("a used link is told from an invented one: %q, %q", used.Detail, invented.Detail)
		}
	}
	w.put("Ann", "/hers", []byte("x"))
	if a := w.do("Ann", "PATCH", "/api/v1/me", `{"display_name":"Ann O."}`, jsonBody...); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	path := "/api/v1/people/" + made.ID
	a = w.do("admin", "PATCH", path, `{"name":"Anna","role":"user"}`, jsonBody...)
	if e := decode[api.PersonEntry](t, a); e.Name != "Anna" || e.Role != api.RoleUser || e.DisplayName != "Ann O." || *e.FilesUsed != 1 || a.Header.Get("Stonevault-Event") == "" {
		t.Errorf("%s", a.body)
	}
	wantProblem(t, w.do("admin", "PATCH", path, `{"name":"Owner"}`, jsonBody...), "exists")
	wantProblem(t, w.do("admin", "PATCH", path, `{}`, jsonBody...), "invalid")
	wantProblem(t, w.do("admin", "PATCH", path, `{"role":"king"}`, jsonBody...), "invalid")
	wantProblem(t, w.do("admin", "PATCH", path, `{"active":null}`, jsonBody...), "invalid")
	if a := w.do("admin", "PATCH", path, `{"active":false}`, jsonBody...); decode[api.PersonEntry](t, a).Active {
		t.Errorf("%s", a.body)
	}
	wantProblem(t, w.do("Ann", "GET", "/api/v1/me", nil), "unauthenticated")
	wantProblem(t, w.do("anonymous", "POST", "/api/v1/sessions", `{"name":"anna","password":"`+password+`"}`, jsonBody...), "bad-credentials")
	wantProblem(t, w.do("owner", "GET", "/api/v1/people/lookup?name=anna", nil), "not-found")
	if a := w.do("admin", "DELETE", path, nil); a.StatusCode != 204 || a.Header.Get("Stonevault-Event") == "" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	wantProblem(t, w.do("admin", "GET", path, nil), "not-found")
	for _, secret := range []string{link, password, newPassword} {
		if strings.Contains(w.log.String(), secret) {
			t.Error("the log has a secret")
		}
	}
}

// What a manager may do with whom: his group's people, and not the admin among them.
func TestManagersPeople(t *testing.T) {
	w := newWorld(t)
	boss, worker, chief, other := w.newcomer("boss", vault.RoleManager), w.newcomer("worker", vault.RoleUser), w.newcomer("chief", vault.RoleAdmin), w.guest()
	w.group(boss.id, worker.id, chief.id)
	names := func(who, query string) string {
		var names []string
		for _, e := range decode[api.PersonList](t, w.do(who, "GET", "/api/v1/people"+query, nil)).Items {
			names = append(names, e.Name)
		}
		return strings.Join(names, " ")
	}
	for who, want := range map[string]string{"boss": "boss chief worker", "worker": "chief worker"} {
		if got := names(who, ""); got != want {
			t.Errorf("%s sees %q, want %q", who, got, want)
		}
	}
	e := decode[api.PersonEntry](t, w.do("boss", "GET", "/api/v1/people/"+worker.id, nil))
	if e.BytesUsed == nil || len(e.Groups) != 1 || !e.Groups[0].Member {
		t.Errorf("%+v", e)
	}
	if e := decode[api.PersonEntry](t, w.do("boss", "GET", "/api/v1/people/"+chief.id, nil)); e.BytesUsed != nil || e.SecondFactor != nil || e.PasswordSet != nil {
		t.Errorf("of an admin a manager sees too much: %+v", e)
	}
	if e := decode[api.PersonEntry](t, w.do("worker", "GET", "/api/v1/people/"+chief.id, nil)); e.BytesUsed != nil {
		t.Errorf("of a fellow member one sees too much: %+v", e)
	}
	wantProblem(t, w.do("boss", "GET", "/api/v1/people/"+other.id, nil), "not-found")
	for _, id := range []string{worker.id, chief.id} {
		wantProblem(t, w.do("boss", "PATCH", "/api/v1/people/"+id, `{"active":false}`, jsonBody...), "forbidden")
		wantProblem(t, w.do("boss", "POST", "/api/v1/people/"+id+"/reset", nil), "forbidden")
		wantProblem(t, w.do("boss", "DELETE", "/api/v1/people/"+id, nil), "forbidden")
	}
	group := "?group=" + e.Groups[0].ID
	if got := names("worker", group+"&role=admin"); got != "chief" {
		t.Errorf("%q", got)
	}
	wantProblem(t, w.do(other.name, "GET", "/api/v1/people"+group, nil), "not-found")

	// An invitation into the group.
	a := w.do("boss", "POST", "/api/v1/invitations", `{"group":"`+e.Groups[0].ID+`","days":1}`, jsonBody...)
	made := decode[api.Invitation](t, a)
	link := linkText(t, made.Link, w.url+"/join#")
	wantProblem(t, w.do("worker", "POST", "/api/v1/invitations", `{"group":"`+e.Groups[0].ID+`"}`, jsonBody...), "forbidden")
	wantProblem(t, w.do("manager", "DELETE", "/api/v1/invitations/"+made.ID, nil), "not-found")
	list := decode[api.InvitationList](t, w.do("boss", "GET", "/api/v1/invitations", nil))
	if len(list.Items) != 1 || list.Items[0].ID != made.ID || list.Items[0].Link != "" || list.Items[0].MadeByName != "boss" || list.Items[0].GroupName != e.Groups[0].Name {
		t.Errorf("%+v", list)
	}
	if list := decode[api.InvitationList](t, w.do("manager", "GET", "/api/v1/invitations", nil)); len(list.Items) != 0 {
		t.Errorf("another manager sees %+v", list)
	}
	a = w.do("anonymous", "POST", "/api/v1/links/join", `{"link":"`+link+`","name":"newbie","password":"`+password+`"}`, jsonBody...)
	newbie := decode[api.Person](t, a)
	if a.StatusCode != 201 || names("newbie", "") != "chief newbie worker" {
		t.Errorf("%d %s, and sees %q", a.StatusCode, a.body, names("newbie", ""))
	}
	if list := decode[api.InvitationList](t, w.do("admin", "GET", "/api/v1/invitations", nil)); len(list.Items) != 0 {
		t.Errorf("after its use: %+v", list)
	}
	if e := decode[api.PersonEntry](t, w.do("boss", "GET", "/api/v1/people/"+newbie.ID, nil)); !e.Groups[0].Member || e.Groups[0].Manager {
		t.Errorf("%+v", e)
	}
}

func TestRegistrationOverHTTP(t *testing.T) {
	w := newWorld(t)
	open := func() bool {
		return decode[api.SetupState](t, w.do("anonymous", "GET", "/api/v1/setup", nil)).RegistrationOpen
	}
	if open() {
		t.Error("open before anybody opened it")
	}
	settings := `{"registration":"open","second_factor_roles":["manager"],"default_files":7}`
	if a := w.do("admin", "PUT", "/api/v1/settings", settings, jsonBody...); a.StatusCode != 204 || a.Header.Get("Stonevault-Event") == "" {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if !open() {
		t.Error("strangers are not told that they may make accounts")
	}
	now := w.do("admin", "GET", "/api/v1/settings", nil)
	s := decode[api.Settings](t, now)
	for _, row := range []struct {
		etag string
		want int
	}{{`"0123"`, 412}, {now.Header.Get("ETag"), 204}, {"*", 204}} {
		if a := w.do("admin", "PUT", "/api/v1/settings", settings, append(jsonBody, "If-Match: "+row.etag)...); a.StatusCode != row.want {
			t.Errorf("If-Match %s: %d %s", row.etag, a.StatusCode, a.body)
		}
	}
	if s.Registration != api.SettingsRegistrationOpen || len(s.SecondFactorRoles) != 1 || s.DefaultBytes != nil || *s.DefaultFiles != 7 {
		t.Errorf("%+v", s)
	}
	a := w.do("anonymous", "POST", "/api/v1/registrations", `{"name":"Eve","password":"`+password+`"}`, jsonBody...)
	if p := decode[api.Person](t, a); a.StatusCode != 201 || p.Role != api.RoleUser {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if e := decode[api.PersonEntry](t, w.do("Eve", "GET", "/api/v1/people/me", nil)); *e.FilesLimit != 7 {
		t.Errorf("%+v", e)
	}
	wantProblem(t, w.do("anonymous", "POST", "/api/v1/registrations", `{"name":"eve","password":"`+password+`"}`, jsonBody...), "exists")
	wantProblem(t, w.do("anonymous", "POST", "/api/v1/registrations", `{"name":"adam","password":"short"}`, jsonBody...), "invalid")
	wantProblem(t, w.do("anonymous", "POST", "/api/v1/registrations", `{"name":"adam","password":"`+password+`","role":"admin"}`, jsonBody...), "invalid")
}

// The address in a link is the one under which the asker reaches the server.
func TestLinkAddress(t *testing.T) {
	w := newWorld(t)
	for header, want := range map[string]string{
		"Host: vault.example":      "https://vault.example/join#",
		"Host: vault.example:8443": "https://vault.example:8443/join#",
		"Host: localhost:8080":     "http://localhost:8080/join#",
		"X-Forwarded-Host: evil.example\r\nForwarded: host=evil.example": w.url + "/join#",
	} {
		a := w.do("admin", "POST", "/api/v1/invitations", `{}`, append(strings.Split(header, "\r\n"), jsonBody...)...)
		linkText(t, decode[api.Invitation](t, a).Link, want)
	}
}

// Who leaves: switched off, the files handed over, erased.
func TestHandOverOverHTTP(t *testing.T) {
	w := newWorld(t)
	leaver, heir := w.guest(), w.guest()
	w.put(leaver.name, "/plans/a.txt", sceneBytes)
	path := "/api/v1/people/" + leaver.id
	if a := w.do("admin", "PATCH", path, `{"active":false}`, jsonBody...); a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	wantProblem(t, w.do(leaver.name, "GET", "/api/v1/me", nil), "unauthenticated")
	wantProblem(t, w.do(leaver.name+"'s token", "GET", "/api/v1/me", nil), "unauthenticated")
	for _, to := range []string{"me", leaver.id, strings.Repeat("0", 32)} {
		wantProblem(t, w.do("admin", "POST", path+"/hand-over", `{"to":"`+to+`"}`, jsonBody...), "invalid")
	}
	a := w.do("admin", "POST", path+"/hand-over", `{"to":"`+heir.id+`"}`, append([]string{"Prefer: wait"}, jsonBody...)...)
	done := decode[api.HandOver](t, a)
	if a.StatusCode != 200 || done.Folder != "/"+leaver.name || done.Documents != 1 || done.Bytes != int64(len(sceneBytes)) || done.Receipt == "" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := w.do(heir.name, "GET", "/api/v1/content"+escaped(done.Folder)+"/plans/a.txt", nil); string(a.body) != string(sceneBytes) {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	wantProblem(t, w.do("admin", "GET", "/api/v1/content"+escaped(done.Folder)+"/plans/a.txt", nil), "not-found")
}
