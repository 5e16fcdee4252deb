package vault_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/vault"
)

// of makes an account with a role.
func (h *house) of(role vault.Role, name string) vault.Actor {
	h.t.Helper()
	p, _, err := h.CreatePerson(ctx, vault.Actor{}, name, role, "hash")
	if err != nil {
		h.t.Fatal(err)
	}
	return vault.Actor{Person: p.ID, Role: p.Role, Name: p.Name, Session: "s", Client: "test", Address: "192.0.2.7"}
}

func (h *house) group(a vault.Actor, name string) vault.GroupID {
	h.t.Helper()
	g, err := h.CreateGroup(ctx, a, name)
	if err != nil {
		h.t.Fatal(err)
	}
	return g.ID
}

func (h *house) join(by vault.Actor, id vault.GroupID, who vault.Actor, member, manager bool) {
	h.t.Helper()
	if err := h.PutMember(ctx, by, vault.Membership{Group: id, Person: who.Person, Member: member, Manager: manager}); err != nil {
		h.t.Fatal(err)
	}
}

// alter changes an account behind the vault's back.
func (h *house) alter(who vault.Actor, change func(*vault.Person)) {
	h.t.Helper()
	err := h.db.Update(ctx, func(tx vault.Tx) error {
		p, err := tx.People().ByID(ctx, who.Person)
		if err != nil {
			return err
		}
		change(&p)
		return tx.People().Update(ctx, p)
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func nobody(n int) vault.PersonID { return vault.PersonID(fmt.Sprintf("%032x", n)) }

// TestGroupRights goes through who may do what with a group, with each relation that there is.
func TestGroupRights(t *testing.T) {
	h := newHouse(t)
	who := map[string]vault.Actor{
		"admin":    h.of(vault.RoleAdmin, "admin"),
		"manager":  h.of(vault.RoleManager, "manager"),  // of the group
		"demoted":  h.of(vault.RoleManager, "demoted"),  // was a manager of it, and is a user now
		"member":   h.person("member"),                  // of it
		"head":     h.of(vault.RoleManager, "head"),     // a manager of another, who belongs to this one
		"outsider": h.of(vault.RoleManager, "outsider"), // a manager of another
		"stranger": h.person("stranger"),
	}
	target := h.person("target")
	yes, no, none := error(nil), vault.ErrForbidden, vault.ErrNotFound
	for _, row := range []struct {
		what string
		do   func(vault.Actor, vault.GroupID) error
		want map[string]error
	}{
		{"see", func(a vault.Actor, id vault.GroupID) error { _, err := h.Group(ctx, a, id); return err },
			map[string]error{"admin": yes, "manager": yes, "demoted": none, "member": yes, "head": yes, "outsider": none, "stranger": none}},
		{"see members", func(a vault.Actor, id vault.GroupID) error {
			_, _, err := h.Members(ctx, a, id, vault.NamesRequest{})
			return err
		}, map[string]error{"admin": yes, "manager": yes, "demoted": none, "member": yes, "head": yes, "outsider": none, "stranger": none}},
		{"rename", func(a vault.Actor, id vault.GroupID) error { _, err := h.RenameGroup(ctx, a, id, "other"); return err },
			map[string]error{"admin": yes, "manager": yes, "demoted": none, "member": no, "head": no, "outsider": none, "stranger": none}},
		{"delete", func(a vault.Actor, id vault.GroupID) error { return h.DeleteGroup(ctx, a, id) },
			map[string]error{"admin": yes, "manager": yes, "demoted": none, "member": no, "head": no, "outsider": none, "stranger": none}},
		{"add somebody", func(a vault.Actor, id vault.GroupID) error {
			return h.PutMember(ctx, a, vault.Membership{Group: id, Person: target.Person, Member: true})
		}, map[string]error{"admin": yes, "manager": yes, "demoted": none, "member": no, "head": no, "outsider": none, "stranger": none}},
		{"add nobody", func(a vault.Actor, id vault.GroupID) error {
			return h.PutMember(ctx, a, vault.Membership{Group: id, Person: nobody(1), Member: true})
		}, map[string]error{"admin": none, "manager": none, "demoted": none, "member": no, "head": no, "outsider": none, "stranger": none}},
		{"name a manager", func(a vault.Actor, id vault.GroupID) error {
			return h.PutMember(ctx, a, vault.Membership{Group: id, Person: who["outsider"].Person, Manager: true})
		}, map[string]error{"admin": yes, "manager": yes, "demoted": none, "member": no, "head": no, "stranger": none}},
		{"dismiss a manager", func(a vault.Actor, id vault.GroupID) error { return h.RemoveMember(ctx, a, id, who["demoted"].Person) },
			map[string]error{"admin": yes, "manager": yes, "demoted": none, "member": no, "head": no, "outsider": none, "stranger": none}},
		{"remove a member", func(a vault.Actor, id vault.GroupID) error { return h.RemoveMember(ctx, a, id, who["member"].Person) },
			map[string]error{"admin": yes, "manager": yes, "demoted": none, "head": no, "outsider": none, "stranger": none}},
		{"remove who is not in it", func(a vault.Actor, id vault.GroupID) error { return h.RemoveMember(ctx, a, id, target.Person) },
			map[string]error{"admin": none, "manager": none, "demoted": none, "member": no, "head": no, "outsider": none, "stranger": none}},
		{"join", func(a vault.Actor, id vault.GroupID) error {
			return h.PutMember(ctx, a, vault.Membership{Group: id, Person: a.Person, Member: true, Manager: a.Person == who["manager"].Person})
		}, map[string]error{"admin": no, "manager": yes, "demoted": none, "outsider": none, "stranger": none}},
		{"become its manager", func(a vault.Actor, id vault.GroupID) error {
			return h.PutMember(ctx, a, vault.Membership{Group: id, Person: a.Person, Manager: true})
		}, map[string]error{"admin": yes, "demoted": none, "member": no, "head": no, "outsider": none, "stranger": none}},
		{"leave", func(a vault.Actor, id vault.GroupID) error { return h.RemoveMember(ctx, a, id, a.Person) },
			map[string]error{"admin": no, "manager": vault.ErrLastManager, "demoted": none, "member": yes, "head": yes, "outsider": none, "stranger": none}},
	} {
		for name, want := range row.want {
			id := h.group(who["manager"], "the group of "+name+" "+strings.ReplaceAll(row.what, " ", "-"))
			h.alter(who["demoted"], func(p *vault.Person) { p.Role = vault.RoleManager })
			h.join(who["manager"], id, who["demoted"], false, true)
			h.join(who["manager"], id, who["member"], true, false)
			h.join(who["manager"], id, who["head"], true, false)
			h.alter(who["demoted"], func(p *vault.Person) { p.Role = vault.RoleUser })
			if row.what == "rename" { // no two groups have one name
				row.do = func(a vault.Actor, id vault.GroupID) error {
					_, err := h.RenameGroup(ctx, a, id, "other "+a.Name)
					return err
				}
			}
			if err := row.do(who[name], id); !errors.Is(err, want) {
				t.Errorf("%s may %s: %v, want %v", name, row.what, err, want)
			}
			// What is not there is answered as what somebody may not know of.
			if err := row.do(who[name], vault.GroupID(nobody(9))); !errors.Is(err, none) {
				t.Errorf("%s may %s a group that is not there: %v", name, row.what, err)
			}
		}
	}
	if _, err := h.CreateGroup(ctx, who["stranger"], "mine"); !errors.Is(err, no) {
		t.Errorf("a user makes a group: %v", err)
	}
	h.alter(who["outsider"], func(p *vault.Person) { p.Active = false })
	if _, err := h.CreateGroup(ctx, who["outsider"], "mine"); !errors.Is(err, no) {
		t.Errorf("who is switched off makes a group: %v", err)
	}
}

// TestGroup is the life of a group, its restart included, and what is recorded of it.
func TestGroup(t *testing.T) {
	h := newHouse(t)
	h.of(vault.RoleAdmin, "root")
	mia, ada, ben := h.of(vault.RoleManager, "Mia"), h.person("Ada"), h.person("ben")
	for _, name := range []string{"", " x", strings.Repeat("x", 65), "a\x00b"} {
		var invalid *vault.InvalidError
		if _, err := h.CreateGroup(ctx, mia, name); !errors.As(err, &invalid) || invalid.Field != "name" {
			t.Errorf("a group of the name %q: %v", name, err)
		}
	}
	g, err := h.CreateGroup(ctx, mia, "Finance")
	if err != nil || g.Managers != 1 || g.Members != 0 || !g.Manager || g.Member || len(g.ID) != 32 {
		t.Fatalf("%+v, %v", g, err)
	}
	if _, err := h.CreateGroup(ctx, mia, "fINANCE"); !errors.Is(err, vault.ErrExists) {
		t.Errorf("two groups of one name: %v", err)
	}
	h.join(mia, g.ID, ada, true, false)
	h.join(mia, g.ID, ada, true, false) // nothing new
	h.join(mia, g.ID, ben, true, false)
	var invalid *vault.InvalidError
	if err := h.PutMember(ctx, mia, vault.Membership{Group: g.ID, Person: ben.Person, Member: true, Manager: true}); !errors.As(err, &invalid) || invalid.Field != "manager" {
		t.Errorf("a user manages a group: %v", err)
	}
	if err := h.PutMember(ctx, mia, vault.Membership{Group: g.ID, Person: ben.Person}); !errors.As(err, &invalid) {
		t.Errorf("a membership that is none: %v", err)
	}
	if _, err := h.RenameGroup(ctx, mia, g.ID, "Money"); err != nil {
		t.Fatal(err)
	}
	h.reopen()
	members, next, err := h.Members(ctx, ada, g.ID, vault.NamesRequest{})
	var lines []string
	for _, m := range members {
		lines = append(lines, fmt.Sprintln(m.Name, m.Member, m.Manager, m.Since.Equal(h.clock())))
	}
	if want := []string{"Ada true false true\n", "ben true false true\n", "Mia false true true\n"}; err != nil || next != "" || !slices.Equal(lines, want) {
		t.Errorf("members: %q, %v", lines, err)
	}
	if p, err := h.Me(ctx, ada); err != nil || len(p.Groups) != 1 || p.Groups[0] != (vault.InGroup{Group: g.ID, Name: "Money", Member: true}) {
		t.Errorf("groups of ada: %+v, %v", p.Groups, err)
	}
	if err := h.RemoveMember(ctx, mia, g.ID, ben.Person); err != nil {
		t.Fatal(err)
	}
	if err := h.RemoveMember(ctx, ada, g.ID, ada.Person); err != nil {
		t.Fatal(err)
	}
	var row vault.Identity
	if err := h.db.View(ctx, func(tx vault.Tx) (err error) { row, err = tx.Identities().OfGroup(ctx, g.ID); return err }); err != nil || len(row.Certificate) == 0 || len(row.WrappedSeeds) == 0 {
		t.Fatalf("%+v, %v", row, err)
	}
	if complaints, err := h.db.Check(ctx); err != nil || len(complaints) > 0 {
		t.Errorf("%q, %v", complaints, err)
	}
	if err := h.DeleteGroup(ctx, mia, g.ID); err != nil {
		t.Fatal(err)
	}
	if complaints, err := h.db.Check(ctx); err != nil || len(complaints) > 0 {
		t.Errorf("%q, %v", complaints, err)
	}
	if _, err := h.Group(ctx, mia, g.ID); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("a deleted group: %v", err)
	}
	if _, err := h.CreateGroup(ctx, mia, "money"); err != nil {
		t.Errorf("a name that was taken: %v", err)
	}

	var said []string
	for _, e := range h.events(auditlog.Viewer{Everything: true}) {
		if group, _ := e.Operational["group"].(string); group == string(g.ID) || e.Operational["identity"] == string(row.ID) {
			line := e.Type.String()
			for _, name := range []string{"kind", "name", "member", "manager", "reason"} {
				if value, ok := e.Operational[name]; ok {
					line += fmt.Sprint(" ", value)
				}
			}
			if e.Subject["name"] != nil {
				line += " of " + e.Subject["name"].(string)
			}
			if e.Actor["name"] != "" {
				line += " by " + e.Actor["name"].(string)
			}
			said = append(said, line)
		}
	}
	want := []string{
		"key.published group by Mia", "group.created Finance by Mia", "member.changed false true of Mia by Mia",
		"member.changed true false of Ada by Mia", "member.changed true false of ben by Mia", "group.changed Money by Mia",
		"member.removed removed of ben by Mia", "member.removed left of Ada by Ada", "key.retired group by Mia", "group.deleted by Mia",
	}
	if !slices.Equal(said, want) {
		t.Errorf("events:\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
}

func TestGroupLists(t *testing.T) {
	h := newHouse(t)
	root, mia, ada := h.of(vault.RoleAdmin, "root"), h.of(vault.RoleManager, "mia"), h.person("ada")
	for _, name := range []string{"delta", "Alpha", "charlie", "Bravo", "echo"} {
		id := h.group(root, name)
		if name < "a" { // Alpha and Bravo
			h.join(root, id, ada, true, false)
			h.join(root, id, mia, name == "Bravo", true)
		}
	}
	all := []string{"Alpha", "Bravo", "charlie", "delta", "echo"}
	for _, tt := range []struct {
		who      vault.Actor
		contains string
		want     []string
	}{
		{root, "", all}, {root, "A", []string{"Alpha", "Bravo", "charlie", "delta"}}, {mia, "", all[:2]}, {ada, "", all[:2]}, {ada, "char", nil},
	} {
		for _, sort := range []string{"", "name", "-name"} {
			for _, limit := range []int{0, 1, 2} {
				r, got := vault.NamesRequest{NameContains: tt.contains, Sort: sort, Limit: limit}, []string(nil)
				for {
					items, next, err := h.Groups(ctx, tt.who, r)
					if err != nil {
						t.Fatal(err)
					}
					for _, g := range items {
						got = append(got, g.Name)
						if g.Manager != (tt.who == root || tt.who == mia) {
							t.Errorf("%s of %s: %+v", g.Name, tt.who.Name, g)
						}
					}
					if r.Cursor = next; next == "" {
						break
					}
				}
				want := slices.Clone(tt.want)
				if sort == "-name" {
					slices.Reverse(want)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s, %+v: %q, want %q", tt.who.Name, r, got, want)
				}
			}
		}
	}
	_, next, err := h.Groups(ctx, root, vault.NamesRequest{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	for field, r := range map[string]vault.NamesRequest{
		"sort": {Sort: "size"}, "limit": {Limit: 1001}, "cursor": {Cursor: next, Sort: "-name"}, "name_contains": {NameContains: strings.Repeat("x", 256)},
	} {
		var invalid *vault.InvalidError
		if _, _, err := h.Groups(ctx, root, r); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%+v: %v", r, err)
		}
	}
	// Who is a user by now manages nothing, and sees what he belongs to alone.
	h.alter(mia, func(p *vault.Person) { p.Role = vault.RoleUser })
	items, _, err := h.Groups(ctx, mia, vault.NamesRequest{})
	if err != nil || len(items) != 1 || items[0].Name != "Bravo" || items[0].Manager || !items[0].Member {
		t.Errorf("%+v, %v", items, err)
	}
	if p, err := h.Me(ctx, mia); err != nil || len(p.Groups) != 1 || p.Groups[0].Manager || !p.Groups[0].Member {
		t.Errorf("%+v, %v", p.Groups, err)
	}
}

// TestLastManager: nobody takes the last manager from a group, not himself, not an admin, and not an admin who is it.
func TestLastManager(t *testing.T) {
	h := newHouse(t)
	root, mia, max := h.of(vault.RoleAdmin, "root"), h.of(vault.RoleManager, "mia"), h.of(vault.RoleManager, "max")
	id := h.group(mia, "g")
	dismiss := func(by, who vault.Actor) error {
		return h.PutMember(ctx, by, vault.Membership{Group: id, Person: who.Person, Member: true})
	}
	h.join(mia, id, mia, true, true)
	for _, err := range []error{dismiss(mia, mia), h.RemoveMember(ctx, mia, id, mia.Person)} {
		if !errors.Is(err, vault.ErrLastManager) {
			t.Errorf("the last manager goes: %v", err)
		}
	}
	h.join(mia, id, max, false, true)
	h.alter(max, func(p *vault.Person) { p.Active = false }) // who can do nothing is no other manager
	if err := dismiss(mia, mia); !errors.Is(err, vault.ErrLastManager) {
		t.Errorf("beside one who is switched off: %v", err)
	}
	h.alter(max, func(p *vault.Person) { p.Active, p.Role = true, vault.RoleUser })
	if err := dismiss(mia, mia); !errors.Is(err, vault.ErrLastManager) {
		t.Errorf("beside one who is a user: %v", err)
	}
	h.alter(max, func(p *vault.Person) { p.Role = vault.RoleManager })
	if err := dismiss(mia, mia); err != nil {
		t.Errorf("beside another: %v", err)
	}
	if g, err := h.Group(ctx, mia, id); err != nil || !g.Member || g.Manager || g.Managers != 1 {
		t.Errorf("%+v, %v", g, err)
	}
	for _, err := range []error{dismiss(root, max), h.RemoveMember(ctx, root, id, max.Person)} {
		if !errors.Is(err, vault.ErrLastManager) {
			t.Errorf("an admin takes the last manager away: %v", err)
		}
	}
	h.join(root, id, root, false, true)
	h.join(root, id, root, true, true)
	if err := h.RemoveMember(ctx, root, id, max.Person); err != nil {
		t.Errorf("beside the admin: %v", err)
	}
	for _, err := range []error{dismiss(root, root), h.RemoveMember(ctx, root, id, root.Person)} {
		if !errors.Is(err, vault.ErrLastManager) {
			t.Errorf("an admin who is the last manager goes: %v", err)
		}
	}
	// He may still stop to belong to it, and whoever is switched off or a user counts for nothing.
	h.join(root, id, root, false, true)
	h.join(root, id, max, true, true)
	h.alter(max, func(p *vault.Person) { p.Active = false })
	if err := h.RemoveMember(ctx, root, id, max.Person); err != nil {
		t.Errorf("one who is switched off: %v", err)
	}
	if g, err := h.Group(ctx, root, id); err != nil || g.Managers != 1 || g.Members != 1 {
		t.Errorf("%+v, %v", g, err)
	}
}

// TestManagersDismissEachOther: of two at the same moment one is left.
func TestManagersDismissEachOther(t *testing.T) {
	h := newHouse(t)
	root, mia, max := h.of(vault.RoleAdmin, "root"), h.of(vault.RoleManager, "mia"), h.of(vault.RoleManager, "max")
	for n := range 20 {
		id := h.group(mia, fmt.Sprint("g", n))
		h.join(mia, id, max, true, true)
		self := n%2 == 0 // or each himself
		var failed [2]error
		var both sync.WaitGroup
		for i, pair := range [][2]vault.Actor{{mia, max}, {max, mia}} {
			both.Go(func() {
				who := pair[1]
				if self {
					who = pair[0]
				}
				failed[i] = h.RemoveMember(ctx, pair[0], id, who.Person)
			})
		}
		both.Wait()
		want := vault.ErrNotFound // to whom the group is none any more
		if self {
			want = vault.ErrLastManager
		}
		if (failed[0] == nil) == (failed[1] == nil) || !errors.Is(errors.Join(failed[:]...), want) {
			t.Errorf("itself %v: %v", self, failed)
		}
		if g, err := h.Group(ctx, root, id); err != nil || g.Managers != 1 {
			t.Errorf("%+v, %v", g, err)
		}
	}
}

// TestWhoCanBeAdded: whoever could be found by name, or is known; the rest is nobody.
func TestWhoCanBeAdded(t *testing.T) {
	h := newHouse(t)
	root, mia := h.of(vault.RoleAdmin, "root"), h.of(vault.RoleManager, "mia")
	known, unknown := h.person("known"), h.person("unknown")
	first, second := h.group(mia, "first"), h.group(mia, "second")
	h.join(mia, first, known, true, false)
	for _, who := range []vault.Actor{known, unknown} {
		h.alter(who, func(p *vault.Person) { p.Active = false })
	}
	add := func(by vault.Actor, who vault.PersonID) error {
		return h.PutMember(ctx, by, vault.Membership{Group: second, Person: who, Member: true})
	}
	if err := add(mia, known.Person); err != nil {
		t.Errorf("somebody known: %v", err)
	}
	for _, who := range []vault.PersonID{unknown.Person, nobody(3)} {
		if err := add(mia, who); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("%s: %v", who, err)
		}
	}
	if err := add(root, unknown.Person); err != nil {
		t.Errorf("by an admin: %v", err)
	}
	// A group's quota binds its members: no manager binds an admin by it.
	chief := h.of(vault.RoleAdmin, "chief")
	var invalid *vault.InvalidError
	if err := add(mia, chief.Person); !errors.As(err, &invalid) || invalid.Field != "member" {
		t.Errorf("a manager adds an admin: %v", err)
	}
	h.join(mia, second, chief, false, true) // to manage a group binds nobody
	if err := h.PutMember(ctx, mia, vault.Membership{Group: second, Person: chief.Person, Member: true, Manager: true}); !errors.As(err, &invalid) {
		t.Errorf("a manager adds an admin who manages: %v", err)
	}
	if err := h.PutMember(ctx, chief, vault.Membership{Group: second, Person: chief.Person, Member: true, Manager: true}); err != nil {
		t.Errorf("an admin who manages adds himself: %v", err)
	}
	if err := add(root, chief.Person); err != nil {
		t.Errorf("an admin by an admin: %v", err)
	}
}

// TestErasedLeaveGroups: whoever is erased is in no group, and each group's log says why.
func TestErasedLeaveGroups(t *testing.T) {
	h := newHouse(t)
	root, mia := h.of(vault.RoleAdmin, "root"), h.of(vault.RoleManager, "mia")
	id := h.group(mia, "g")
	h.join(mia, id, mia, true, true)
	if _, err := h.Erase(ctx, root, "mia"); err != nil {
		t.Fatal(err)
	}
	if g, err := h.Group(ctx, root, id); err != nil || g.Members != 0 || g.Managers != 0 {
		t.Errorf("%+v, %v", g, err)
	}
	found := false
	for _, e := range h.events(auditlog.Viewer{Everything: true}) {
		if e.Type == audit.MemberRemoved {
			found = e.Operational["group"] == string(id) && e.Operational["reason"] == "erased" && e.Subject == nil && e.Actor["name"] == "root"
		}
	}
	if !found {
		t.Error("the log does not say that she was erased")
	}
	if err := h.DeleteGroup(ctx, root, id); err != nil {
		t.Errorf("an admin cares for a group without a manager: %v", err)
	}
}
