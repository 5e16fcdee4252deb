package httpapi

import (
	"testing"

	"stonevault/api"
	"stonevault/internal/vault"
)

// A manager takes somebody in without asking, and manages him from then on; the person has it in his own log, with who
// did it, leaves by himself, and is nobody to the manager again.
func TestTakenIn(t *testing.T) {
	w := newWorld(t)
	boss, worker, chief := w.newcomer("boss", vault.RoleManager), w.newcomer("worker", vault.RoleUser), w.newcomer("chief", vault.RoleAdmin)
	file := w.put("worker", "/diary", []byte("mine"))
	g := decode[api.Group](t, w.do("boss", "POST", "/api/v1/groups", `{"name":"Letters"}`, jsonBody...))
	member := func(p guest) string { return "/api/v1/groups/" + g.ID + "/members/" + p.id }
	put := func(who string, p guest) *answer {
		return w.do(who, "PUT", member(p), `{"member":true,"manager":false}`, jsonBody...)
	}
	type try struct{ method, path, body string }
	managing := func(p guest) []try {
		at := "/api/v1/people/" + p.id
		return []try{
			{"GET", at + "/sessions", ""}, {"GET", at + "/tokens", ""}, {"GET", at + "/factor", ""}, {"GET", at + "/quota", ""},
			{"PUT", at + "/quota", `{"bytes":1000000}`}, {"DELETE", at + "/tokens/" + p.tokenID, ""}, {"DELETE", at + "/sessions/" + p.session, ""},
		}
	}
	never := func(p guest) []try {
		at := "/api/v1/people/" + p.id
		return []try{
			{"POST", at + "/factor/removal", "{}"}, {"POST", at + "/reset", ""}, {"DELETE", at, ""},
			{"PATCH", at, `{"role":"manager"}`}, {"PATCH", at, `{"name":"other"}`}, {"PATCH", at, `{"active":false}`},
			{"POST", at + "/hand-over", `{"to":"` + boss.id + `"}`},
		}
	}
	ask := func(r try) *answer {
		if r.body == "" {
			return w.do("boss", r.method, r.path, nil)
		}
		return w.do("boss", r.method, r.path, r.body, jsonBody...)
	}
	for _, r := range append(managing(worker), never(worker)...) {
		if a := ask(r); a.StatusCode != 404 && a.StatusCode != 403 { // 403 where a role may do it with nobody
			t.Errorf("before: %s %s: %d %s", r.method, r.path, a.StatusCode, a.body)
		}
	}

	if a := put("boss", worker); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	events := w.events("worker", "type=member.changed")
	if len(events) != 1 || events[0].Operational["group"] != g.ID || events[0].Operational["member"] != true || events[0].Subject["person"] != worker.id || events[0].Actor["name"] != "boss" {
		t.Errorf("the person's own log: %+v", events)
	}
	for _, r := range never(worker) {
		wantProblem(t, ask(r), "forbidden")
	}
	wantProblem(t, w.do("boss", "GET", "/api/v1/files/"+file.ID, nil), "not-found")
	wantProblem(t, w.do("boss", "GET", "/api/v1/files/"+file.ID+"/content", nil), "not-found")
	for _, r := range managing(worker) {
		if a := ask(r); a.StatusCode >= 300 {
			t.Errorf("%s %s: %d %s", r.method, r.path, a.StatusCode, a.body)
		}
	}

	// It was his session that the manager ended last; he comes back and leaves.
	delete(w.tokens, "worker")
	if a := w.do("worker", "DELETE", "/api/v1/groups/"+g.ID+"/members/me", nil); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if events := w.events("worker", "type=member.removed"); len(events) != 1 || events[0].Operational["reason"] != "left" {
		t.Errorf("%+v", events)
	}
	wantProblem(t, w.do("boss", "GET", "/api/v1/people/"+worker.id+"/sessions", nil), "not-found")

	// An admin is added by admins, and is nobody's to manage.
	wantProblem(t, put("boss", chief), "invalid")
	if a := put("admin", chief); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	for _, r := range append(managing(chief), never(chief)...) {
		wantProblem(t, ask(r), "forbidden")
	}
	if a := w.do("chief", "DELETE", "/api/v1/groups/"+g.ID+"/members/me", nil); a.StatusCode != 204 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}
