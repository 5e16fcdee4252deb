package httpapi

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"stonevault/internal/access"
	"stonevault/internal/auth"
)

// unsound are routes for which nothing sound can be made up, and the problems that they may answer with where the table
// allows them.
var unsound = map[string][]string{
	"POST /api/v1/setup/recovery":                 {"invalid"},
	"POST /api/v1/me/factor/confirm":              {"wrong-code"},
	"POST /api/v1/me/factor/codes":                {"not-found"}, // there is no factor
	"POST /api/v1/people/{person}/factor/removal": {"not-found"},
}

// keys are with what somebody asks: his session, or API tokens with one scope each.
var keys = append([]auth.Scope{""}, auth.AllScopes...)

// TestMatrix asks every route of the table, as every role, about things in every relation, with a session and with API
// tokens of every scope, and holds the answers to the table of access: what is absent is answered like what is missing,
// to the byte; what is forbidden with 403; and what is allowed is done. Nobody is let in without a token.
func TestMatrix(t *testing.T) {
	w := newWorld(t)
	shared := map[string]*circumstance{} // for what changes nothing
	operations := described(t)
	for i := range routes {
		rt := &routes[i]
		if rt.action == anybody {
			continue
		}
		name := rt.method + " " + rt.name()
		op := operations[name]
		t.Run(name, func(t *testing.T) {
			for _, role := range access.Roles {
				for i, relation := range relationsOf(t, rt) {
					for _, scope := range keys {
						if i > 0 && blindly(rt, role, scope) {
							continue // one relation is like the next
						}
						at := fmt.Sprint(role, ", ", relation, ", ", scope)
						want := verdictOf(rt, role, relation, scope)
						var s *circumstance
						if rt.method == http.MethodGet || rt.method == http.MethodHead || want != access.Allowed {
							if s = shared[fmt.Sprint(role, relation)]; s == nil {
								s = w.meet(role, relation)
								shared[fmt.Sprint(role, relation)] = s
							}
						} else {
							s = w.meet(role, relation)
						}
						s.hold(t, at, rt, op, scope, want)
					}
				}
			}
			s := w.meet(access.User, relationsOf(t, rt)[0])
			there, missing := s.requestOf(t, rt), s.missing(t, rt)
			s.asker.name = "anonymous"
			for _, r := range []asked{there, missing} {
				wantProblem(t, s.ask(t, rt, op, r), "unauthenticated")
			}
		})
	}
}

// blindly tells whether a refusal comes before anything is looked at: it is for the role or the token, whatever the
// thing is.
func blindly(rt *route, role access.Role, scope auth.Scope) bool {
	return rt.action == signedIn || access.Best(role, rt.action) < access.ByShare || scope != "" && !(auth.Scopes{scope}).Allow(rt.action)
}

// verdictOf is what the table says, of a session or a token with one scope.
func verdictOf(rt *route, role access.Role, relation access.Relation, scope auth.Scope) access.Verdict {
	switch {
	case rt.action == signedIn && scope != "":
		return access.Forbidden
	case rt.action == signedIn:
		return access.Allowed
	case access.Best(role, rt.action) < access.ByShare:
		return access.Best(role, rt.action)
	case scope != "" && !(auth.Scopes{scope}).Allow(rt.action):
		return access.Forbidden
	}
	return access.DecideAny(role, actionOf(rt), relationTo(rt, role, relation)...)
}

// relationTo is all that a thing is to somebody in a circumstance.
func relationTo(rt *route, role access.Role, relation access.Relation) []access.Relation {
	switch {
	case relation == access.Own || relation == access.Vault:
		return []access.Relation{relation}
	case kindOfAction(rt.action) == "People":
		return access.ToPerson(role, access.User, access.Acquaintance{Manages: relation == access.Managed, Together: relation == access.Member})
	}
	return []access.Relation{relation, access.Else}
}

// hold asks, and compares with a verdict.
func (s *circumstance) hold(t *testing.T, at string, rt *route, op operation, scope auth.Scope, want access.Verdict) {
	t.Helper()
	there, missing := s.requestOf(t, rt), s.missing(t, rt)
	if scope != "" {
		s.as(t, scope)
		defer s.asSession()
	}
	a := s.ask(t, rt, op, there)
	var refusal int
	switch want {
	case access.Allowed:
		for _, problem := range unsound[rt.method+" "+rt.name()] {
			if bytes.Contains(a.body, []byte(quote("/problems/"+problem))) {
				return
			}
		}
		if slices.Contains([]int{400, 401, 403, 404, 415, 422}, a.StatusCode) || a.StatusCode >= 500 {
			t.Errorf("%s: it is allowed, and the answer is %d %s", at, a.StatusCode, a.body)
		}
		return
	case access.Forbidden:
		refusal = http.StatusForbidden
	default:
		refusal = http.StatusNotFound
	}
	if a.StatusCode != refusal {
		t.Errorf("%s: it is %s, and the answer is %d %.300s", at, want, a.StatusCode, a.body)
	}
	if want == access.Absent || blindly(rt, s.role, scope) {
		if b := s.ask(t, rt, op, missing); shown(a) != shown(b) {
			t.Errorf("%s: it is answered with\n%s\nand what is missing with\n%s", at, shown(a), shown(b))
		}
	}
}

// asked is a request but for its body.
type asked struct {
	method, target string
	header         []string
}

func (s *circumstance) requestOf(t testing.TB, rt *route) asked {
	t.Helper()
	method, target, header := s.request(t, rt)
	return asked{method, target, header}
}

func (s *circumstance) missing(t testing.TB, rt *route) asked {
	t.Helper()
	method, target, header := s.requestTo(t, rt, func(a address) string { return a.missing })
	return asked{method, target, header}
}

func (s *circumstance) ask(t testing.TB, rt *route, op operation, r asked) *answer {
	t.Helper()
	if op.body == nil {
		if rt.body > 0 {
			return s.do(s.asker.name, r.method, r.target, sceneBytes, r.header...)
		}
		return s.do(s.asker.name, r.method, r.target, nil, r.header...)
	}
	return s.do(s.asker.name, r.method, r.target, text(s.body(op)), slices.Concat(r.header, jsonBody)...)
}

// as lets the asker ask with a token of one scope.
func (s *circumstance) as(t testing.TB, scope auth.Scope) {
	t.Helper()
	name := s.asker.name + " " + string(scope)
	if _, ok := s.tokens[name]; !ok {
		made := decode[struct {
			ID        string    `json:"id"`
			Name      string    `json:"name"`
			Scopes    []string  `json:"scopes"`
			CreatedAt time.Time `json:"created_at"`
			ExpiresAt time.Time `json:"expires_at"`
			Token     string    `json:"token"`
		}](t, s.do(s.asker.name, "POST", "/api/v1/me/tokens",
			text(map[string]any{"name": name, "scopes": []auth.Scope{scope}, "expires_at": formatTime(time.Now().Add(time.Hour))}), jsonBody...))
		s.tokens[name] = made.Token
	}
	s.session, s.asker.name = s.asker.name, name
}

func (s *circumstance) asSession() { s.asker.name = s.session }

// shown is all of a reply but what differs from one request to the next.
func shown(a *answer) string {
	id := a.Header.Get("X-Request-Id")
	var b strings.Builder
	fmt.Fprintln(&b, a.StatusCode)
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		if name != "X-Request-Id" && name != "Date" {
			fmt.Fprintln(&b, name, a.Header[name])
		}
	}
	b.Write(bytes.ReplaceAll(a.body, []byte(id), []byte("id")))
	return b.String()
}
