package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"stonevault/api"
	"stonevault/internal/access"
	"stonevault/internal/auditlog"
	"stonevault/internal/webhook"
)

var webhookAdmin = webhook.Asker{Actor: auditlog.Actor{Client: "test"}, Role: access.Admin}

// hook makes a webhook with a test waiting.
func (s *scene) hook() (w webhook.Webhook) {
	s.t.Helper()
	ctx := context.Background()
	all, err := s.webhooks.List(ctx, webhookAdmin)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, w := range all { // of the rows before
		if err := s.webhooks.Delete(ctx, webhookAdmin, w.ID); err != nil {
			s.t.Fatal(err)
		}
	}
	w, err = s.webhooks.Create(ctx, webhookAdmin, "https://example.com/hook", []webhook.Kind{webhook.RoleChanged}, true)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.webhooks.Test(ctx, webhookAdmin, w.ID); err != nil {
		s.t.Fatal(err)
	}
	return w
}

const noWebhook = "/api/v1/webhooks/0123456789abcdef0123456789abcdef"

// byAdmins is what is for admins alone.
func byAdmins(route, name string, request func(*scene) (string, any, []string), admin want) scenario {
	return scenario{route, name, request, no("unauthenticated"), no("forbidden"), no("forbidden"), admin, no("forbidden"), nil}
}

var webhookScenarios = []scenario{
	byAdmins("GET /api/v1/webhooks", "", func(s *scene) (string, any, []string) { s.hook(); return "/api/v1/webhooks", nil, nil }, ok(200)),
	byAdmins("GET /api/v1/webhooks", "a query", func(*scene) (string, any, []string) { return "/api/v1/webhooks?x=1", nil, nil }, no("invalid")),
	byAdmins("POST /api/v1/webhooks", "", func(s *scene) (string, any, []string) {
		s.hook() // there are never many
		return "/api/v1/webhooks", `{"url":"https://example.com/a","events":["device.new"]}`, jsonBody
	}, ok(201)),
	byAdmins("POST /api/v1/webhooks", "a private address", func(*scene) (string, any, []string) {
		return "/api/v1/webhooks", `{"url":"https://127.0.0.1/","events":["device.new"]}`, jsonBody
	}, no("invalid")),
	byAdmins("GET /api/v1/webhooks/{webhook}", "", func(s *scene) (string, any, []string) { return "/api/v1/webhooks/" + s.hook().ID, nil, nil }, ok(200)),
	byAdmins("GET /api/v1/webhooks/{webhook}", "none", func(*scene) (string, any, []string) { return noWebhook, nil, nil }, no("not-found")),
	byAdmins("GET /api/v1/webhooks/{webhook}", "no id", func(*scene) (string, any, []string) { return "/api/v1/webhooks/x", nil, nil }, no("not-found")),
	byAdmins("PATCH /api/v1/webhooks/{webhook}", "", func(s *scene) (string, any, []string) {
		return "/api/v1/webhooks/" + s.hook().ID, `{"active":false}`, jsonBody
	}, ok(200)),
	byAdmins("PATCH /api/v1/webhooks/{webhook}", "none", func(*scene) (string, any, []string) { return noWebhook, `{"active":false}`, jsonBody }, no("not-found")),
	byAdmins("DELETE /api/v1/webhooks/{webhook}", "", func(s *scene) (string, any, []string) { return "/api/v1/webhooks/" + s.hook().ID, nil, nil }, ok(204)),
	byAdmins("DELETE /api/v1/webhooks/{webhook}", "none", func(*scene) (string, any, []string) { return noWebhook, nil, nil }, no("not-found")),
	byAdmins("POST /api/v1/webhooks/{webhook}/secret", "", func(s *scene) (string, any, []string) {
		return "/api/v1/webhooks/" + s.hook().ID + "/secret", nil, nil
	}, ok(200)),
	byAdmins("POST /api/v1/webhooks/{webhook}/secret", "none", func(*scene) (string, any, []string) { return noWebhook + "/secret", nil, nil }, no("not-found")),
	byAdmins("POST /api/v1/webhooks/{webhook}/test", "", func(s *scene) (string, any, []string) {
		return "/api/v1/webhooks/" + s.hook().ID + "/test", nil, nil
	}, ok(202)),
	byAdmins("POST /api/v1/webhooks/{webhook}/test", "none", func(*scene) (string, any, []string) { return noWebhook + "/test", nil, nil }, no("not-found")),
	byAdmins("GET /api/v1/webhooks/{webhook}/deliveries", "", func(s *scene) (string, any, []string) {
		return "/api/v1/webhooks/" + s.hook().ID + "/deliveries?state=waiting&limit=5", nil, nil
	}, ok(200)),
	byAdmins("GET /api/v1/webhooks/{webhook}/deliveries", "none", func(*scene) (string, any, []string) { return noWebhook + "/deliveries", nil, nil }, no("not-found")),
	byAdmins("GET /api/v1/webhooks/{webhook}/deliveries", "a wrong state", func(s *scene) (string, any, []string) {
		return "/api/v1/webhooks/" + s.hook().ID + "/deliveries?state=ended", nil, nil
	}, no("invalid")),
}

// A webhook's life over HTTP, each step of which is in the audit log.
func TestWebhooks(t *testing.T) {
	w := newWorld(t)
	const list = "/api/v1/webhooks"
	a := w.do("admin", "POST", list, `{"url":"https://hooks.example.com/canary-path","events":["role.changed","sign-in.refused"],"active":false}`, append([]string{"Prefer: wait"}, jsonBody...)...)
	made := decode[api.Webhook](t, a)
	if a.StatusCode != 201 || a.Header.Get("Location") != list+"/"+made.ID || made.Active || made.Receipt == "" || made.Waiting != 0 ||
		!slices.Equal(made.Events, []api.WebhookEvent{"sign-in.refused", "role.changed"}) {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if _, err := webhook.ParseSecret(made.Secret); err != nil {
		t.Error(err)
	}
	wantProblem(t, w.do("admin", "POST", list+"/"+made.ID+"/test", nil), "webhook-off")
	a = w.do("admin", "PATCH", list+"/"+made.ID, `{"active":true,"url":"https://other.example.com/","events":["sign-in.refused","download.refused"]}`, jsonBody...)
	changed := decode[api.Webhook](t, a)
	if a.StatusCode != 200 || !changed.Active || changed.URL != "https://other.example.com/" || changed.Secret != "" || a.Header.Get("Stonevault-Event") == "" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	renewed := decode[api.Webhook](t, w.do("admin", "POST", list+"/"+made.ID+"/secret", nil))
	if _, err := webhook.ParseSecret(renewed.Secret); err != nil || renewed.Secret == made.Secret {
		t.Errorf("%+v, %v", renewed, err)
	}
	all := decode[api.WebhookList](t, w.do("admin", "GET", list, nil))
	if len(all.Items) != 1 || all.Items[0].ID != made.ID || all.Items[0].Secret != "" {
		t.Errorf("%+v", all)
	}

	// What is refused is told of, in words that name nobody and nothing.
	f := w.put("owner", "/canary-file", []byte("x"))
	wantProblem(t, w.do("stranger", "GET", "/api/v1/files/"+f.ID+"/content", nil), "not-found")
	wantProblem(t, w.do("stranger", "GET", "/api/v1/files/"+f.ID, nil), "not-found")
	wantProblem(t, w.do("anonymous", "POST", "/api/v1/sessions", `{"name":"owner","password":"canary-password"}`, jsonBody...), "bad-credentials")
	decode[api.WebhookDelivery](t, w.do("admin", "POST", list+"/"+made.ID+"/test", nil))
	deliveries := list + "/" + made.ID + "/deliveries"
	a = w.do("admin", "GET", deliveries+"?limit=2", nil)
	page := decode[api.WebhookDeliveryList](t, a)
	if len(page.Items) != 2 || page.NextCursor == "" || !strings.Contains(a.Header.Get("Link"), "cursor="+page.NextCursor) {
		t.Fatalf("%s", a.body)
	}
	rest := decode[api.WebhookDeliveryList](t, w.do("admin", "GET", deliveries+"?limit=2&cursor="+page.NextCursor, nil))
	var types []string
	for _, d := range append(page.Items, rest.Items...) {
		types = append(types, d.Type)
		if d.State != "waiting" || d.Tries != 0 || d.NextAt.IsZero() || (d.Event == 0) != (d.Type == "test") || !strings.HasPrefix(d.ID, "msg_") {
			t.Errorf("%+v", d)
		}
	}
	if !slices.Equal(types, []string{"test", "sign-in.refused", "download.refused"}) || rest.NextCursor != "" {
		t.Errorf("%v %+v", types, rest)
	}
	var bodies string
	err := w.db.ViewWebhooks(t.Context(), func(tx webhook.Tx) error {
		due, err := tx.Deliveries(t.Context(), made.ID, 1<<60, "", 10)
		for _, d := range due {
			bodies += string(d.Body)
		}
		return err
	})
	if err != nil || strings.Contains(bodies, "canary") || strings.Contains(bodies, "127.0.0.1") || strings.Contains(bodies, "stranger") ||
		!strings.Contains(bodies, `"route":"GET /api/v1/files/{id}/content","status":404,"count":1`) {
		t.Errorf("%s, %v", bodies, err)
	}

	if a := w.do("admin", "DELETE", list+"/"+made.ID, nil); a.StatusCode != 204 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	wantProblem(t, w.do("admin", "GET", deliveries, nil), "not-found")
	events := decode[api.AuditEventList](t, w.do("admin", "GET", "/api/v1/audit/events?type=webhook.changed", nil))
	var steps []string
	for _, e := range events.Items {
		steps = append(steps, fmt.Sprint(e.Operational["what"], " ", e.Operational["host"], " ", e.Operational["active"], " ", e.Actor["name"]))
		if b, _ := json.Marshal(e); strings.Contains(string(b), "canary") || strings.Contains(string(b), made.Secret[6:]) {
			t.Errorf("the log says too much: %s", b)
		}
	}
	want := []string{"deleted other.example.com false admin", "secret other.example.com true admin", "changed other.example.com true admin", "created hooks.example.com false admin"}
	if !slices.Equal(steps, want) {
		t.Errorf("%q", steps)
	}
	for _, secret := range []string{made.Secret[6:], renewed.Secret[6:], "canary"} {
		if strings.Contains(w.log.String(), secret) {
			t.Error("the server's log says too much")
		}
	}
}

func TestWebhookValues(t *testing.T) {
	w := newWorld(t)
	made := decode[api.Webhook](t, w.do("admin", "POST", "/api/v1/webhooks", `{"url":"https://example.com/","events":["device.new"]}`, jsonBody...))
	for _, row := range []struct{ body, field string }{
		{`{"url":"https://example.com/","events":[]}`, "events"},
		{`{"url":"https://example.com/","events":["test"]}`, "events"},
		{`{"url":"https://example.com/","events":["device.new","device.new"]}`, "events"},
		{`{"url":"https://example.com/","events":"device.new"}`, "events"},
		{`{"url":"https://example.com/","events":[1]}`, "events"},
		{`{"url":"http://example.com/","events":["device.new"]}`, "url"},
		{`{"url":"https://u:p@example.com/","events":["device.new"]}`, "url"},
		{`{"url":"https://[::ffff:10.0.0.1]/","events":["device.new"]}`, "url"},
		{`{"url":"","events":["device.new"]}`, "url"},
		{`{"url":"https://example.com/","events":["device.new"],"secret":"x"}`, "secret"},
		{`{"url":"https://example.com/","events":["device.new"],"active":"yes"}`, "active"},
	} {
		for _, to := range []struct{ method, target string }{{"POST", "/api/v1/webhooks"}, {"PATCH", "/api/v1/webhooks/" + made.ID}} {
			p := wantProblem(t, w.do("admin", to.method, to.target, row.body, jsonBody...), "invalid")
			if len(p.Errors) != 1 || p.Errors[0].Field != row.field {
				t.Errorf("%s %s: %+v, want %s", to.method, row.body, p.Errors, row.field)
			}
		}
	}
	wantProblem(t, w.do("admin", "PATCH", "/api/v1/webhooks/"+made.ID, `{}`, jsonBody...), "invalid")
	if got := decode[api.Webhook](t, w.do("admin", "GET", "/api/v1/webhooks/"+made.ID, nil)); got.URL != made.URL || !got.UpdatedAt.Equal(made.UpdatedAt) {
		t.Errorf("changed by what was refused: %+v", got)
	}
	for i := range 50 {
		a := w.do("admin", "POST", "/api/v1/webhooks", `{"url":"https://example.com/","events":["device.new"]}`, jsonBody...)
		if i < 49 && a.StatusCode != http.StatusCreated {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		if i == 49 {
			wantProblem(t, a, "too-many-webhooks")
		}
	}
}

// Content that is asked for in vain is told of by whatever name it was asked for: the first at once, and then how many
// there were. What came too soon is not told of.
func TestRefusedDownloads(t *testing.T) {
	l := newLimited(t, RequestLimits{Transfer: 7})
	made := decode[api.Webhook](t, l.do("admin", "POST", "/api/v1/webhooks", `{"url":"https://example.com/","events":["download.refused"]}`, jsonBody...))
	ask := func(target string) *answer {
		return l.from("192.0.2.1:1", "owner", "GET", target, "")
	}
	for range 2 {
		wantProblem(t, ask("/api/v1/content/nowhere"), "not-found")
		wantProblem(t, ask("/api/v1/files/"+noID+"/content"), "not-found")
		wantProblem(t, ask("/api/v1/archive?path=/nowhere"), "not-found")
	}
	wantProblem(t, ask("/api/v1/content/x%00y"), "invalid") // is no address
	for range 2 {
		wantProblem(t, ask("/api/v1/content/nowhere"), "too-many-requests")
	}
	if err := l.tally.Flush(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	var told []string
	err := l.db.ViewWebhooks(t.Context(), func(tx webhook.Tx) error {
		all, err := tx.Deliveries(t.Context(), made.ID, 1<<60, "", 100)
		for _, d := range all {
			var m webhook.Message
			if err := json.Unmarshal(d.Body, &m); err != nil {
				return err
			}
			told = append(told, fmt.Sprint(m.Route, " ", m.Status, " ", m.Count))
		}
		return err
	})
	slices.Sort(told)
	want := []string{
		"GET /api/v1/archive 404 1", "GET /api/v1/archive 404 1", "GET /api/v1/content/{path} 404 1", "GET /api/v1/content/{path} 404 1",
		"GET /api/v1/files/{id}/content 404 1", "GET /api/v1/files/{id}/content 404 1",
	}
	if err != nil || !slices.Equal(told, want) {
		t.Errorf("%q, %v", told, err)
	}
	// The log keeps what came too soon.
	events := string(l.do("admin", "GET", "/api/v1/audit/events?type=access.refused", nil).body)
	if !strings.Contains(events, `"status":429`) || !strings.Contains(events, `"route":"/api/v1/content/{path}"`) {
		t.Errorf("%s", events)
	}
}

func TestIsDownload(t *testing.T) {
	for name, want := range map[string]bool{
		"GET /api/v1/content/{path}": true, "HEAD /api/v1/files/{id}/content": true, "GET /api/v1/archive": true, "POST /api/v1/files/{id}/export": true,
		"PUT /api/v1/content/{path}": false, "GET /api/v1/files/{id}": false, "GET /nothing": false,
	} {
		method, route, _ := strings.Cut(name, " ")
		if IsDownload(method, route) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}
