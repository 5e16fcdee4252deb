package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stonevault/api"
	"stonevault/internal/access"
	"stonevault/internal/metadb/testdb"
	"stonevault/internal/vault"
)

// circumstance is somebody who asks, and the somebody or something that he asks about, in one relation to him.
type circumstance struct {
	*world
	role     access.Role
	relation access.Relation
	asker    guest
	other    guest  // whose the things are: the asker's where they are his own, or nobody's in particular
	group    string // the one that the relation is about
	session  string // the name of the asker's session, while he asks with a token
}

// meet makes a circumstance of new people.
func (w *world) meet(role access.Role, relation access.Relation) *circumstance {
	w.t.Helper()
	s := &circumstance{world: w, role: role, relation: relation}
	s.asker = w.newcomer(fmt.Sprintf("%s %d", role, guests.Add(1)), vault.Role(role))
	if s.other = s.asker; relation != access.Own && relation != access.Vault {
		s.other = w.guest()
	}
	switch relation {
	case access.Managed:
		s.group = w.groupOf([]guest{s.asker}, []guest{s.other})
	case access.Member:
		s.group = w.groupOf(nil, []guest{s.asker, s.other})
	case access.Else:
		s.group = w.groupOf(nil, []guest{s.other})
	}
	return s
}

// groupOf makes a group.
func (w *world) groupOf(managers, members []guest) (id string) {
	w.t.Helper()
	raw, err := testdb.Raw(w.database())
	if err != nil {
		w.t.Fatal(err)
	}
	defer raw.Close()
	exec := func(query string, args ...any) {
		w.t.Helper()
		if _, err := raw.Exec(query, args...); err != nil {
			w.t.Fatal(err)
		}
	}
	id = decode[api.Group](w.t, w.do("admin", "POST", "/api/v1/groups", fmt.Sprintf(`{"name":"group %d"}`, guests.Add(1)), jsonBody...)).ID
	// Written here, since a user is made no manager, and may have been one before he became a user.
	for _, m := range managers {
		exec(`INSERT INTO group_members (grp, person, member, manager, since) VALUES ($1, $2, 0, 1, 0)`, id, m.id)
	}
	for _, m := range members {
		exec(`INSERT INTO group_members (grp, person, member, manager, since) VALUES ($1, $2, 1, 0, 0)`, id, m.id)
	}
	return id
}

// address says what a path variable stands for, and what stands for nothing.
type address struct {
	there   func(s *circumstance) string
	missing string
	only    []access.Relation // where it cannot be in other relations that its kind knows; nil where it can
}

const noID = "0123456789abcdef0123456789abcdef"

// addresses are those of every path variable, by the part of the path before it. A route with another one fails
// TestMatrix until it has a row here.
var addresses = map[string]address{
	"people/{person}":    {there: func(s *circumstance) string { return s.other.id }, missing: noID},
	"sessions/{session}": {there: func(s *circumstance) string { return s.other.session }, missing: noID},
	"tokens/{token}":     {there: func(s *circumstance) string { return s.other.tokenID }, missing: noID},
	"files/{id}":         {there: func(s *circumstance) string { return s.put(s.other.name, s.newPath(), sceneBytes).ID }, missing: noID},
	"content/{path}": {there: func(s *circumstance) string { return s.put(s.asker.name, s.newPath(), sceneBytes).Path[1:] }, missing: "nowhere",
		only: []access.Relation{access.Own}},
	"uploads/{id}": {there: func(s *circumstance) string {
		a := s.do(s.other.name, "POST", uploadsPath, nil, tusHeader, "Upload-Length: 24", tusMeta("path", s.newPath()))
		return strings.TrimPrefix(a.Header.Get("Location"), uploadsPath+"/")
	}, missing: noID},
	"events/{event}":         {there: func(s *circumstance) string { return strconv.FormatInt(s.event().ID, 10) }, missing: "1099511627776"},
	"receipts/{index}":       {there: func(s *circumstance) string { return strconv.FormatInt(*s.event().Index, 10) }, missing: "1099511627776"},
	"tile/{path}":            {there: func(*circumstance) string { return "0/000.p/1" }, missing: "3/000"},
	"groups/{group}":         {there: func(s *circumstance) string { return s.group }, missing: noID},
	"members/{person}":       {there: func(s *circumstance) string { return s.other.id }, missing: noID},
	"invitations/{id}":       {there: (*circumstance).invitation, missing: noID, only: []access.Relation{access.Managed}},
	"sessions/{id}":          {there: func(s *circumstance) string { return s.quantumSession(s.asker.id, s.guest().id) }, missing: noID},
	"eavesdroppers/{person}": {there: func(s *circumstance) string { return s.asker.id }, missing: noID},
	"and/{other}":            {there: func(s *circumstance) string { return s.idOf("owner") }, missing: noID},
	"webhooks/{webhook}":     {there: func(s *circumstance) string { return (&scene{world: s.world}).hook().ID }, missing: noID},
}

// invitation is one into the group, or into none.
func (s *circumstance) invitation() string {
	body := "{}"
	if s.group != "" {
		body = text(map[string]any{"group": s.group})
	}
	return decode[api.Invitation](s.t, s.do("admin", "POST", "/api/v1/invitations", body, jsonBody...)).ID
}

func (w *world) newPath() string { return fmt.Sprintf("/file-%d", guests.Add(1)) }

// event is the first of the other's own that a signed head covers.
func (s *circumstance) event() (e api.AuditEvent) {
	s.t.Helper()
	s.eventually(func() bool {
		for _, e = range slices.Backward(s.events(s.other.name, "")) {
			if e.Index != nil {
				return true
			}
		}
		return false
	})
	return e
}

// wholes are the relations of routes that name nothing, where they are not what their kind says: everybody gets a list
// of what he may see.
var wholes = map[string]access.Relation{
	"GET /api/v1/people": access.Own, "GET /api/v1/audit/events": access.Own, "GET /api/v1/audit/records": access.Own, "GET /api/v1/groups": access.Member,
	"GET /api/v1/invitations": access.Managed,
}

// reach are the relations in which things of a kind can be to somebody, as long as nothing can be shared; the last is
// that of routes that name nothing.
var reach = map[string][]access.Relation{
	"People":              {access.Own, access.Managed, access.Member, access.Else, access.Vault},
	"Groups":              {access.Managed, access.Member, access.Else, access.Vault},
	"Files and folders":   {access.Managed, access.Else, access.Own},
	"Uploads in progress": {access.Else, access.Own},
	"The audit log":       {access.Own, access.Managed, access.Else, access.Vault},
	"The vault":           {access.Vault},
}

// actions are what routes do at the addresses of this test, where their rows name another action.
var actions = map[string]access.Action{
	"DELETE /api/v1/groups/{group}/members/{person}": access.GroupsMembers, // somebody else
}

// actionOf is what a route does.
func actionOf(rt *route) access.Action {
	if action, ok := actions[rt.method+" "+rt.name()]; ok {
		return action
	}
	return rt.action
}

// kindOfAction is the kind of thing that an action is about.
func kindOfAction(action access.Action) string {
	for _, kind := range access.Kinds {
		if slices.ContainsFunc(kind.Rows, func(r access.Row) bool { return r.Action == action }) {
			return kind.Name
		}
	}
	return ""
}

var variable = regexp.MustCompile(`([a-z-]+)/(\{[a-z]+\})`)

// relationsOf are the relations in which a route can be asked about something.
func relationsOf(t testing.TB, rt *route) []access.Relation {
	t.Helper()
	kind := reach[kindOfAction(rt.action)]
	if rt.action == anybody || rt.action == signedIn {
		return []access.Relation{access.Own}
	}
	if len(kind) == 0 {
		t.Fatalf("%s %s: %s is of no kind that this test knows", rt.method, rt.name(), rt.action)
	}
	found := variable.FindAllString(rt.name(), -1)
	if len(found) != strings.Count(rt.name(), "{") {
		t.Fatalf("%s %s has a variable that stands behind none of its parts", rt.method, rt.name())
	}
	if len(found) == 0 {
		if whole, ok := wholes[rt.method+" "+rt.name()]; ok {
			return []access.Relation{whole}
		}
		if rt.name() == "/api/v1/me" || strings.HasPrefix(rt.name(), "/api/v1/me/") {
			return []access.Relation{access.Own}
		}
		return kind[len(kind)-1:]
	}
	for _, v := range found {
		at, ok := addresses[v]
		if !ok {
			t.Fatalf("%s %s: nothing is known of %s; give it a row in addresses", rt.method, rt.name(), v)
		}
		if at.only != nil {
			return at.only
		}
	}
	if kindOfAction(rt.action) != "Files and folders" && kindOfAction(rt.action) != "Uploads in progress" && len(kind) > 1 && rt.action != access.AuditTree {
		return kind[:len(kind)-1] // a thing is not the vault as a whole
	}
	if rt.action == access.AuditTree {
		return []access.Relation{access.Vault}
	}
	return kind
}

// favourable is a circumstance in which an admin may do what a route does, if there is one.
func (w *world) favourable(t testing.TB, rt *route) *circumstance {
	t.Helper()
	all := relationsOf(t, rt)
	for _, relation := range all {
		if access.Decide(access.Admin, rt.action, relation) == access.Allowed {
			return w.meet(access.Admin, relation)
		}
	}
	return w.meet(access.Admin, all[0])
}

// queries are what routes need after their path.
var queries = map[string]func(s *circumstance) string{
	"GET /api/v1/files/lookup": func(s *circumstance) string {
		return "path=" + url.QueryEscape(s.put(s.asker.name, s.newPath(), sceneBytes).Path)
	},
	"GET /api/v1/archive": func(s *circumstance) string {
		return "path=" + url.QueryEscape(s.put(s.asker.name, s.newPath(), sceneBytes).Path)
	},
	"GET /api/v1/people/lookup":     func(s *circumstance) string { return "name=" + url.QueryEscape(s.asker.name) },
	"GET /api/v1/audit/consistency": func(*circumstance) string { return "from=1" },
}

// headers are what routes need before their body.
var headers = map[string][]string{
	"POST /api/v1/uploads":        {tusHeader, "Upload-Length: 24", "Content-Type: " + tusMediaType, tusMeta("path", "/made by an upload")},
	"HEAD /api/v1/uploads/{id}":   {tusHeader},
	"PATCH /api/v1/uploads/{id}":  {tusHeader, "Upload-Offset: 0", "Content-Type: " + tusMediaType},
	"DELETE /api/v1/uploads/{id}": {tusHeader},
}

// preparations are what has to be there before a route makes sense.
var preparations = map[string]func(s *circumstance){
	"POST /api/v1/me/factor/confirm": func(s *circumstance) { s.do(s.asker.name, "POST", "/api/v1/me/factor", nil) },
	"DELETE /api/v1/quantum/eavesdroppers/{person}/and/{other}": func(s *circumstance) {
		s.do("admin", "PUT", "/api/v1/quantum/eavesdroppers/"+s.asker.id+"/and/"+s.idOf("owner"), `{"attack":"pns","share":1}`, jsonBody...)
	},
	"POST /api/v1/registrations": func(s *circumstance) {
		s.do("admin", "PUT", "/api/v1/settings", `{"registration":"open","second_factor_roles":[]}`, jsonBody...)
	},
}

// values are what bodies need that no schema says.
var values = map[string]func(s *circumstance) map[string]any{
	"POST /api/v1/people/{person}/hand-over": func(s *circumstance) map[string]any { return map[string]any{"to": s.guest().id} },
	"POST /api/v1/quantum/sessions":          func(s *circumstance) map[string]any { return map[string]any{"with": s.guest().name} },
	"PUT /api/v1/quantum/eavesdroppers/{person}/and/{other}": func(*circumstance) map[string]any {
		return map[string]any{"attack": "intercept", "share": 0.5}
	},
	"POST /api/v1/quantum/laboratory": func(*circumstance) map[string]any {
		return map[string]any{"pulses": 1000, "source": "decoy", "attack": "pns", "distance_km": 1, "eve": 0.5}
	},
	"POST /api/v1/links/look": func(s *circumstance) map[string]any {
		return map[string]any{"link": s.link("/api/v1/invitations", "{}")}
	},
	"POST /api/v1/links/join": func(s *circumstance) map[string]any {
		return map[string]any{"link": s.link("/api/v1/invitations", "{}"), "password": newPassword}
	},
	"POST /api/v1/links/reset": func(s *circumstance) map[string]any {
		return map[string]any{"link": s.link("/api/v1/people/"+s.guest().id+"/reset", ""), "password": newPassword}
	},
	// Nobody of this test has a second factor.
	"PUT /api/v1/settings":       func(*circumstance) map[string]any { return map[string]any{"second_factor_roles": []string{}} },
	"POST /api/v1/registrations": func(*circumstance) map[string]any { return map[string]any{"password": newPassword} },
}

// link asks for a one-time link, as an admin, and returns its secret.
func (s *circumstance) link(path, body string) string {
	s.t.Helper()
	var made struct{ Link string }
	a := s.do("admin", "POST", path, body, jsonBody...)
	if err := json.Unmarshal(a.body, &made); err != nil || made.Link == "" {
		s.t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
	}
	_, secret, _ := strings.Cut(made.Link, "#")
	if secret == "" {
		secret = made.Link
	}
	return secret
}

// body is a sound one of an operation.
func (s *circumstance) body(op operation) map[string]any {
	body := sampleBody(*op.body)
	if own, ok := values[op.name]; ok {
		maps.Copy(body, own(s))
	}
	return body
}

// request is a sound request of a route, to things that are there.
func (s *circumstance) request(t testing.TB, rt *route) (method, target string, header []string) {
	t.Helper()
	return s.requestTo(t, rt, func(a address) string { return a.there(s) })
}

func (s *circumstance) requestTo(t testing.TB, rt *route, what func(address) string) (method, target string, header []string) {
	t.Helper()
	name := rt.method + " " + rt.name()
	target = variable.ReplaceAllStringFunc(rt.name(), func(found string) string {
		a, ok := addresses[found]
		if !ok {
			t.Fatalf("%s: nothing is known of %s; give it a row in addresses", name, found)
		}
		part, _, _ := strings.Cut(found, "/")
		return part + "/" + escaped(what(a))
	})
	if prepare, ok := preparations[name]; ok {
		prepare(s)
	}
	if q, ok := queries[name]; ok {
		target += "?" + q(s)
	}
	return rt.method, target, headers[name]
}

// routeOf finds a route by method and path.
func routeOf(t testing.TB, name string) *route {
	t.Helper()
	for i := range routes {
		if routes[i].method+" "+routes[i].name() == name {
			return &routes[i]
		}
	}
	t.Fatalf("%s is no route", name)
	return nil
}
