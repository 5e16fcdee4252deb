package httpapi

import (
	"net/url"
	"strings"
	"testing"

	"stonevault/api"
	"stonevault/internal/vault"
)

// What ends somebody's access is heeded by the first request after its reply, although the request before was good and
// is remembered. The tokens that go on are looked at too.
func TestHeededAtOnce(t *testing.T) {
	w := newWorld(t)
	type ends struct{ session, token bool }
	person := func(g guest) string { return "/api/v1/people/" + g.id }
	for name, row := range map[string]struct {
		end  func(g guest) *answer
		ends ends
	}{
		"switched off": {func(g guest) *answer {
			return w.do("admin", "PATCH", person(g), `{"active":false}`, jsonBody...)
		}, ends{true, true}},
		"another role": {func(g guest) *answer {
			return w.do("admin", "PATCH", person(g), `{"role":"manager"}`, jsonBody...)
		}, ends{true, false}},
		"one session": {func(g guest) *answer {
			return w.do("admin", "DELETE", person(g)+"/sessions/"+g.session, nil)
		}, ends{true, false}},
		"all sessions": {func(g guest) *answer { return w.do("admin", "DELETE", person(g)+"/sessions", nil) }, ends{true, false}},
		"signed out":   {func(g guest) *answer { return w.do(g.name, "DELETE", "/api/v1/sessions/current", nil) }, ends{true, false}},
		"one token": {func(g guest) *answer {
			return w.do("admin", "DELETE", person(g)+"/tokens/"+g.tokenID, nil)
		}, ends{false, true}},
		"a reset link": {func(g guest) *answer {
			link := w.resetLink(g.id)
			return w.do("anonymous", "POST", "/api/v1/links/reset", `{"link":"`+link+`","password":"`+newPassword+`"}`, jsonBody...)
		}, ends{true, false}},
		"a reset at the server": {func(g guest) *answer {
			if _, err := w.vault.ResetPassword(t.Context(), vault.Actor{}, g.name, passwordHash()); err != nil {
				t.Error(err)
			}
			return nil
		}, ends{true, false}},
		"erased": {func(g guest) *answer { return w.do("admin", "DELETE", person(g), nil) }, ends{true, true}},
	} {
		g := w.guest()
		good := func(who string) bool {
			status := w.do(who, "GET", "/api/v1/audit/events?limit=1", nil).StatusCode
			if status != 200 && status != 401 {
				t.Errorf("%s: %d", name, status)
			}
			return status == 200
		}
		if !good(g.name) || !good(g.name+"'s token") {
			t.Fatalf("%s: nothing to end", name)
		}
		if a := row.end(g); a != nil && a.StatusCode >= 300 {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
		if row.ends.session && name != "erased" {
			a := w.do("admin", "GET", person(g)+"/sessions", nil)
			if list := decode[api.SessionList](t, a); len(list.Items) > 0 {
				t.Errorf("%s: listed still: %s", name, a.body)
			}
		}
		if got := (ends{!good(g.name), !good(g.name + "'s token")}); got != row.ends {
			t.Errorf("%s: ended %+v, want %+v", name, got, row.ends)
		}
	}
}

// Settings are about everybody: who must have a second factor from now on is held to it at once.
func TestSettingsAreHeededAtOnce(t *testing.T) {
	w := newWorld(t)
	g := w.guest()
	if a := w.do(g.name, "GET", "/api/v1/files", nil); a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	a := w.do("admin", "PUT", "/api/v1/settings", `{"registration":"closed","second_factor_roles":["user"]}`, jsonBody...)
	if a.StatusCode >= 300 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	wantProblem(t, w.do(g.name, "GET", "/api/v1/files", nil), "enrol-first")
	f := decode[api.FactorSecret](t, w.do(g.name, "POST", "/api/v1/me/factor", nil))
	if _, err := url.Parse(f.URI); err != nil || !strings.HasPrefix(f.URI, "otpauth:") {
		t.Fatal(f.URI, err)
	}
}
