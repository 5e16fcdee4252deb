package httpapi

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"stonevault/api"
	"stonevault/audit"
	"stonevault/internal/vault"
)

// firm is a manager with a group, a member who has put a file, an admin who belongs to the group too, and somebody who
// does not.
type firm struct {
	*world
	manager, member, admin, other guest
	group                         string
	file                          api.File
	put                           api.AuditEvent // as its owner sees it, in its place
}

func newFirm(t *testing.T) *firm {
	w := newWorld(t)
	f := &firm{world: w, manager: w.newcomer("Max", vault.RoleManager), member: w.newcomer("Mia", vault.RoleUser), admin: w.newcomer("Ada", vault.RoleAdmin), other: w.newcomer("Otto", vault.RoleUser)}
	f.group = decode[api.Group](t, w.do("Max", "POST", "/api/v1/groups", `{"name":"Team"}`, jsonBody...)).ID
	f.belongs(f.member, true)
	f.belongs(f.admin, true)
	f.file = w.put("Mia", "/secret/plan.txt", []byte("secret"))
	w.put("Ada", "/secret/of-ada.txt", []byte("secret"))
	w.put("Otto", "/secret/of-otto.txt", []byte("secret"))
	w.await("Mia", w.events("Mia", "type=file.put")[0].ID)
	f.put = w.events("Mia", "type=file.put")[0]
	return f
}

// belongs makes somebody a member of the group, or lets him go.
func (f *firm) belongs(who guest, member bool) {
	f.t.Helper()
	method, body := "DELETE", any(nil)
	if member {
		method, body = "PUT", `{"member":true,"manager":false}`
	}
	if a := f.do("admin", method, "/api/v1/groups/"+f.group+"/members/"+who.id, body, jsonBody...); a.StatusCode != 204 {
		f.t.Fatalf("%d %s", a.StatusCode, a.body)
	}
}

// of are the events of a type that somebody sees, as "actor's name, subject's name or path, what is withheld".
func (f *firm) of(who, kind string) (seen []string) {
	for _, e := range f.events(who, "type="+kind) {
		subject := e.Subject["name"]
		if path, ok := e.Subject["path"]; ok {
			subject = path
		}
		seen = append(seen, fmt.Sprintf("%v, %v, %v", e.Actor["name"], subject, e.Withheld))
	}
	slices.Sort(seen)
	return seen
}

// sees tells whether somebody sees the event of the member's file: in the list, alone, and as a receipt, or nowhere.
func (f *firm) sees(who string) bool {
	f.t.Helper()
	target := fmt.Sprintf("/api/v1/audit/events/%d", f.put.ID)
	alone, receipt := f.do(who, "GET", target, nil), f.do(who, "GET", target+"/receipt", nil, "Prefer: wait=5")
	at := f.do(who, "GET", fmt.Sprintf("/api/v1/audit/receipts/%d", *f.put.Index), nil)
	listed := slices.ContainsFunc(f.events(who, ""), func(e api.AuditEvent) bool { return e.ID == f.put.ID })
	if ok := alone.StatusCode == 200; listed != ok || (receipt.StatusCode == 200) != ok || (at.StatusCode == 200) != ok {
		f.t.Fatalf("%s: alone %d, receipt %d, by index %d, in the list %v", who, alone.StatusCode, receipt.StatusCode, at.StatusCode, listed)
	}
	record := decode[api.AuditRecordList](f.t, f.do(who, "GET", fmt.Sprintf("/api/v1/audit/records?limit=1&from=%d", *f.put.Index), nil)).Items[0]
	if (record.Actor != nil) != listed {
		f.t.Errorf("%s: the record is %+v", who, record)
	}
	if !listed {
		wantProblem(f.t, alone, "no-event")
		missing := f.do(who, "GET", "/api/v1/audit/events/1099511627776", nil)
		if shown(alone) != shown(missing) {
			f.t.Errorf("%s: answered with\n%s\nand what is missing with\n%s", who, shown(alone), shown(missing))
		}
	}
	return listed
}

// TestManagersAudit: a manager sees what the people of his groups do, as long as they are his, and not what their files
// are called.
func TestManagersAudit(t *testing.T) {
	f := newFirm(t)
	for who, want := range map[string]bool{"Max": true, "Mia": true, "Otto": false, "manager": false, "admin": true} {
		if got := f.sees(who); got != want {
			t.Errorf("%s sees it: %v", who, got)
		}
	}
	if got := f.of("Max", "file.put"); !slices.Equal(got, []string{"Mia, <nil>, [subject]"}) {
		t.Errorf("files: %q", got)
	}
	if got := f.of("Max", "member.changed"); !slices.Equal(got, []string{"Max, Max, []", "admin, Ada, []", "admin, Mia, []"}) {
		t.Errorf("members: %q", got)
	}
	if got := f.of("Max", "session.opened"); !slices.Equal(got, []string{"Max, <nil>, []", "Mia, <nil>, []"}) {
		t.Errorf("sign-ins: %q", got)
	}
	all := f.do("Max", "GET", "/api/v1/audit/events?limit=1000", nil)
	if body := string(all.body); all.StatusCode != 200 || strings.Contains(body, "secret") || strings.Contains(body, f.other.id) {
		t.Errorf("the list: %d %s", all.StatusCode, body)
	}

	// What is shown of the file's event is proven, and nothing else is in the proof.
	e := decode[api.AuditEvent](t, f.do("Max", "GET", fmt.Sprintf("/api/v1/audit/events/%d", f.put.ID), nil))
	r := f.await("Max", f.put.ID)
	_, proven, missing, err := r.Verify(f.auditKey())
	if err != nil || !slices.Equal(missing, []audit.Slot{audit.Subject}) || proven.Subject != nil || r.Record.Openings[audit.Subject] != nil {
		t.Errorf("the receipt: %+v, missing %v, %v", proven, missing, err)
	}
	if e.Subject != nil || len(e.Erased) != 0 || e.Actor["name"] != "Mia" || e.Actor["address"] != "127.0.0.1" || e.Operational["size"] != 6.0 || proven.Actor["name"] != "Mia" {
		t.Errorf("the event: %+v", e)
	}

	// Filters.
	count := func(who, query string) int { return len(f.events(who, query)) }
	if n := count("Max", "person="+f.member.id); n == 0 || n != count("Mia", "") {
		t.Errorf("%d events of the member, of %d", n, count("Mia", ""))
	}
	if count("Max", "file="+f.file.ID) == 0 {
		t.Error("a member's file finds nothing")
	}
	for what, query := range map[string]string{"an admin of the group": "person=" + f.admin.id, "a stranger": "person=" + f.other.id, "nobody": "person=" + noID} {
		if a := f.do("Max", "GET", "/api/v1/audit/events?"+query, nil); string(a.body) != `{"items":[]}` {
			t.Errorf("%s: %s", what, a.body)
		}
	}
	if !slices.Equal(f.of("Max's token", "file.put"), f.of("Max", "file.put")) {
		t.Error("an API token that may read the audit log sees something else")
	}
}

// TestManagersAuditEnds: what a manager sees is what he manages now.
func TestManagersAuditEnds(t *testing.T) {
	f := newFirm(t)
	change := func(who guest, body string) {
		t.Helper()
		if a := f.do("admin", "PATCH", "/api/v1/people/"+who.id, body, jsonBody...); a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
	}
	f.belongs(f.member, false)
	if f.sees("Max") {
		t.Error("seen after the member has left")
	}
	if got := f.of("Max", "member.removed"); !slices.Equal(got, []string{"admin, Mia, []"}) {
		t.Errorf("that somebody left his group, he sees: %q", got)
	}
	f.belongs(f.member, true)
	if !f.sees("Max") {
		t.Error("not seen after the member has come back")
	}
	change(f.member, `{"role":"admin"}`)
	if f.sees("Max") {
		t.Error("seen after the member has become an admin")
	}
	change(f.member, `{"role":"user"}`)
	change(f.member, `{"active":false}`)
	if f.do("Max", "GET", fmt.Sprintf("/api/v1/audit/events/%d", f.put.ID), nil).StatusCode != 200 {
		t.Error("not seen after the member was switched off")
	}
	change(f.member, `{"active":true}`)

	// Somebody else manages the group now.
	if a := f.do("admin", "PUT", "/api/v1/groups/"+f.group+"/members/"+string(f.as("manager").Person), `{"member":false,"manager":true}`, jsonBody...); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if a := f.do("admin", "PUT", "/api/v1/groups/"+f.group+"/members/"+f.manager.id, `{"member":true,"manager":false}`, jsonBody...); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if f.sees("Max") || !f.sees("manager") {
		t.Error("seen by who managed the group, or not by who does")
	}
	if got := f.of("Max", "group.created"); !slices.Equal(got, []string{"Max, <nil>, []"}) {
		t.Errorf("what he did himself: %q", got)
	}
	if got := f.of("manager", "group.created"); !slices.Equal(got, []string{"Max, <nil>, []"}) {
		t.Errorf("the beginning of the group: %q", got)
	}
	if got := f.of("Otto", "group."); got != nil {
		t.Errorf("a stranger: %q", got)
	}
}
