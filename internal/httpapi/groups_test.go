package httpapi

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"stonevault/api"
	"stonevault/internal/vault"
)

// as is a person as the vault knows him.
func (w *world) as(name string) vault.Actor {
	w.t.Helper()
	me := decode[api.Profile](w.t, w.do(name, "GET", "/api/v1/me", nil))
	return vault.Actor{Person: vault.PersonID(me.ID), Role: vault.Role(me.Role), Name: me.Name}
}

// group makes a group that the manager manages, and that the owner of the files belongs to.
func (s *scene) group() string {
	s.t.Helper()
	g, err := s.vault.CreateGroup(context.Background(), s.as("manager"), "group of "+s.file.ID[:20])
	if err != nil {
		s.t.Fatal(err)
	}
	err = s.vault.PutMember(context.Background(), s.as("manager"), vault.Membership{Group: g.ID, Person: s.as("owner").Person, Member: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return "/api/v1/groups/" + string(g.ID)
}

const nowhere = "/api/v1/groups/00000000000000000000000000000000"

// groupScenarios: the manager manages the group, the owner of the files is a member of it.
var groupScenarios = []scenario{
	{"GET /api/v1/groups", "", func(s *scene) (string, any, []string) { s.group(); return "/api/v1/groups?limit=1000", nil, nil },
		no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
			list := decode[api.GroupList](t, a)
			for _, g := range list.Items {
				if !g.Member || g.Manager || g.Members != 1 || g.Managers != 1 {
					t.Errorf("%+v", g)
				}
			}
			if len(list.Items) == 0 || list.NextCursor != "" {
				t.Errorf("%s", a.body)
			}
		}},
	{"GET /api/v1/groups", "unknown sort", func(s *scene) (string, any, []string) { return "/api/v1/groups?sort=members", nil, nil },
		no("unauthenticated"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"POST /api/v1/groups", "", func(s *scene) (string, any, []string) {
		return "/api/v1/groups", `{"name":"new ` + s.file.ID + `"}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), ok(201), ok(201), no("forbidden"), nil},
	{"POST /api/v1/groups", "a name that is taken", func(s *scene) (string, any, []string) {
		s.group()
		return "/api/v1/groups", `{"name":"GROUP OF ` + s.file.ID[:20] + `"}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("exists"), no("exists"), no("forbidden"), nil},
	{"POST /api/v1/groups", "no name", func(s *scene) (string, any, []string) { return "/api/v1/groups", `{}`, jsonBody },
		no("unauthenticated"), no("forbidden"), no("invalid"), no("invalid"), no("forbidden"), nil},
	{"GET /api/v1/groups/{group}", "", func(s *scene) (string, any, []string) { return s.group(), nil, nil },
		no("unauthenticated"), no("not-found"), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
			if g := decode[api.Group](t, a); !g.Member || g.Manager || g.Members != 1 || g.Managers != 1 || g.CreatedAt.IsZero() {
				t.Errorf("%+v", g)
			}
		}},
	{"GET /api/v1/groups/{group}", "none", func(s *scene) (string, any, []string) { return nowhere, nil, nil },
		no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("not-found"), nil},
	{"GET /api/v1/groups/{group}", "no id", func(s *scene) (string, any, []string) { return "/api/v1/groups/finance", nil, nil },
		no("unauthenticated"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"PATCH /api/v1/groups/{group}", "", func(s *scene) (string, any, []string) {
		return s.group(), `{"name":"renamed ` + s.file.ID + `"}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), ok(200), ok(200), no("forbidden"), nil},
	{"PATCH /api/v1/groups/{group}", "none", func(s *scene) (string, any, []string) { return nowhere, `{"name":"x"}`, jsonBody },
		no("unauthenticated"), no("forbidden"), no("not-found"), no("not-found"), no("forbidden"), nil},
	{"DELETE /api/v1/groups/{group}", "", func(s *scene) (string, any, []string) { return s.group(), nil, nil },
		no("unauthenticated"), no("forbidden"), ok(204), ok(204), no("forbidden"), nil},
	{"GET /api/v1/groups/{group}/members", "", func(s *scene) (string, any, []string) { return s.group() + "/members", nil, nil },
		no("unauthenticated"), no("not-found"), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
			list := decode[api.MemberList](t, a)
			if len(list.Items) != 2 || list.Items[0].Name != "manager" || !list.Items[0].Manager || list.Items[1].Name != "owner" || !list.Items[1].Member {
				t.Errorf("%s", a.body)
			}
		}},
	{"GET /api/v1/groups/{group}/members", "a page", func(s *scene) (string, any, []string) { return s.group() + "/members?limit=1&sort=-name", nil, nil },
		no("unauthenticated"), no("not-found"), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
			list := decode[api.MemberList](t, a)
			if len(list.Items) != 1 || list.Items[0].Name != "owner" || !strings.Contains(a.Header.Get("Link"), "cursor="+list.NextCursor) {
				t.Errorf("%s %s", a.body, a.Header.Get("Link"))
			}
		}},
	{"PUT /api/v1/groups/{group}/members/{person}", "", func(s *scene) (string, any, []string) {
		p, _, err := s.vault.CreatePerson(context.Background(), vault.Actor{}, "new "+s.file.ID, vault.RoleUser, passwordHash())
		if err != nil {
			s.t.Fatal(err)
		}
		return s.group() + "/members/" + string(p.ID), `{"member":true,"manager":false}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), ok(204), ok(204), no("forbidden"), nil},
	{"PUT /api/v1/groups/{group}/members/{person}", "nobody", func(s *scene) (string, any, []string) {
		return s.group() + "/members/" + strings.Repeat("0", 32), `{"member":true,"manager":false}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("not-found"), no("not-found"), no("forbidden"), nil},
	{"PUT /api/v1/groups/{group}/members/{person}", "me", func(s *scene) (string, any, []string) {
		return s.group() + "/members/me", `{"member":true,"manager":true}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), ok(204), no("forbidden"), no("forbidden"), nil},
	{"PUT /api/v1/groups/{group}/members/{person}", "half", func(s *scene) (string, any, []string) {
		return s.group() + "/members/me", `{"member":true}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("invalid"), no("invalid"), no("forbidden"), nil},
	{"PUT /api/v1/groups/{group}/members/{person}", "neither", func(s *scene) (string, any, []string) {
		return s.group() + "/members/me", `{"member":false,"manager":false}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("invalid"), no("invalid"), no("forbidden"), nil},
	{"PUT /api/v1/groups/{group}/members/{person}", "the last manager, not any more", func(s *scene) (string, any, []string) {
		return s.group() + "/members/" + string(s.as("manager").Person), `{"member":true,"manager":false}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("last-manager"), no("last-manager"), no("forbidden"), nil},
	{"DELETE /api/v1/groups/{group}/members/{person}", "a member", func(s *scene) (string, any, []string) {
		return s.group() + "/members/" + string(s.as("owner").Person), nil, nil
	}, no("unauthenticated"), no("not-found"), ok(204), ok(204), ok(204), nil},
	{"DELETE /api/v1/groups/{group}/members/{person}", "me", func(s *scene) (string, any, []string) { return s.group() + "/members/me", nil, nil },
		no("unauthenticated"), no("not-found"), no("last-manager"), no("forbidden"), ok(204), nil},
	{"DELETE /api/v1/groups/{group}/members/{person}", "the manager", func(s *scene) (string, any, []string) {
		return s.group() + "/members/" + string(s.as("manager").Person), nil, nil
	}, no("unauthenticated"), no("not-found"), no("last-manager"), no("last-manager"), no("forbidden"), nil},
	{"DELETE /api/v1/groups/{group}/members/{person}", "who is not in it", func(s *scene) (string, any, []string) {
		return s.group() + "/members/" + string(s.as("stranger").Person), nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("forbidden"), nil},
}

// A group over HTTP, with receipts where they are asked for, and in one's profile.
func TestGroups(t *testing.T) {
	w := newWorld(t)
	a := w.do("manager", "POST", "/api/v1/groups", `{"name":"Finance"}`, "Content-Type: application/json", "Prefer: wait")
	g := decode[api.Group](t, a)
	if a.StatusCode != 201 || a.Header.Get("Location") != "/api/v1/groups/"+g.ID || g.Receipt == "" || a.Header.Get("Preference-Applied") != "wait" {
		t.Errorf("%d %v %s", a.StatusCode, a.Header, a.body)
	}
	owner := string(w.as("owner").Person)
	a = w.do("manager", "PUT", "/api/v1/groups/"+g.ID+"/members/"+owner, `{"member":true,"manager":false}`, "Content-Type: application/json", "Prefer: wait")
	if receipt := decode[api.AuditReceipt](t, a); a.StatusCode != 200 || receipt.Receipt == "" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	me := decode[api.Profile](t, w.do("owner", "GET", "/api/v1/me", nil))
	if want := []api.InGroup{{ID: g.ID, Name: "Finance", Member: true}}; fmt.Sprint(me.Groups) != fmt.Sprint(want) {
		t.Errorf("%+v", me.Groups)
	}
	if a := w.do("stranger", "GET", "/api/v1/me", nil); strings.Contains(string(a.body), `"groups"`) {
		t.Errorf("%s", a.body)
	}
	for n := range 5 {
		w.do("manager", "POST", "/api/v1/groups", fmt.Sprintf(`{"name":"more %d"}`, n), jsonBody...)
	}
	var seen []string
	for target := "/api/v1/groups?limit=2&name_contains=more"; target != ""; {
		a := w.do("manager", "GET", target, nil)
		page := decode[api.GroupList](t, a)
		for _, g := range page.Items {
			seen = append(seen, g.Name)
		}
		link := a.Header.Get("Link")
		if target = ""; link != "" {
			target = link[1:strings.Index(link, ">")]
		}
	}
	if got := strings.Join(seen, ","); got != "more 0,more 1,more 2,more 3,more 4" {
		t.Errorf("%s", got)
	}
	// That somebody asks for a group that is none to him is recorded.
	wantProblem(t, w.do("stranger", "GET", "/api/v1/groups/"+g.ID, nil), "not-found")
	a = w.do("admin", "GET", "/api/v1/audit/events?type=access.refused", nil)
	if !strings.Contains(string(a.body), "/api/v1/groups/{group}") {
		t.Errorf("%s", a.body)
	}
}
