package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
	"stonevault/internal/auditlog"
	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

// admin makes an admin's account.
func (h *house) admin(name string) vault.Actor {
	h.t.Helper()
	p, _, err := h.CreatePerson(ctx, vault.Actor{}, name, vault.RoleAdmin, "hash")
	if err != nil {
		h.t.Fatal(err)
	}
	return vault.Actor{Person: p.ID, Role: p.Role, Name: p.Name, Session: "s", Client: "test", Address: "192.0.2.1"}
}

// row is the row of somebody's account.
func (h *house) row(id vault.PersonID) (p vault.Person) {
	h.t.Helper()
	err := h.db.View(ctx, func(tx vault.Tx) (err error) {
		p, err = tx.People().ByID(ctx, id)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func hash(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

func to[T any](v T) *T { return &v }

// recorded are the events of a type, as "operational subject's name".
func (h *house) recorded(t audit.Type) (lines []string) {
	h.t.Helper()
	for _, e := range h.events(auditlog.ViewAll) {
		if e.Type == t {
			lines = append(lines, fmt.Sprint(e.Operational, " ", e.Subject["name"]))
		}
	}
	return lines
}

func TestAddPerson(t *testing.T) {
	h := newHouse(t)
	root := h.admin("root")
	ann := h.person("ann")
	e, l, err := h.AddPerson(ctx, root, "ben", vault.RoleManager, hash(1))
	if err != nil {
		t.Fatal(err)
	}
	p := h.row(e.Person.ID)
	if p.PasswordHash != "" || p.Role != vault.RoleManager || !p.Active || !e.Private || len(e.Fingerprint) == 0 {
		t.Errorf("%+v", e)
	}
	if l.Kind != vault.LinkReset || l.Person != p.ID || l.MadeBy != root.Person || !l.ExpiresAt.Equal(h.clock().Add(7*24*time.Hour)) {
		t.Errorf("%+v", l)
	}
	for what, tt := range map[string]struct {
		by   vault.Actor
		name string
		role vault.Role
		want error
	}{
		"by a user":     {ann, "carl", vault.RoleUser, vault.ErrForbidden},
		"by nobody":     {vault.Actor{Person: "x"}, "carl", vault.RoleUser, vault.ErrForbidden},
		"a taken name":  {root, "BEN", vault.RoleUser, vault.ErrNameTaken},
		"no role":       {root, "carl", "king", nil},
		"no name":       {root, "", vault.RoleUser, nil},
		"the same link": {root, "carl", vault.RoleUser, vault.ErrExists},
	} {
		_, _, err := h.AddPerson(ctx, tt.by, tt.name, tt.role, hash(1))
		var invalid *vault.InvalidError
		if tt.want != nil && !errors.Is(err, tt.want) || tt.want == nil && !errors.As(err, &invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := h.recorded(audit.AccountCreated); got[len(got)-1] != "map[by:admin role:manager] ben" || len(got) != 3 {
		t.Errorf("%v", got)
	}
}

// A password by a link: once, in time, and by nobody else.
func TestLinks(t *testing.T) {
	h := newHouse(t)
	root := h.admin("root")
	_, first, err := h.AddPerson(ctx, root, "ben", vault.RoleUser, hash(1))
	if err != nil {
		t.Fatal(err)
	}
	over := func(what string, link []byte) {
		t.Helper()
		_, err := h.LookAtLink(ctx, link)
		_, err2 := h.Join(ctx, vault.Actor{}, link, "eve", "hash")
		_, err3 := h.SetPasswordByLink(ctx, vault.Actor{}, link, "hash")
		for _, err := range []error{err, err2, err3} {
			if !errors.Is(err, vault.ErrLinkOver) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	over("invented", hash(9))
	view, err := h.LookAtLink(ctx, hash(1))
	if err != nil || view.Kind != vault.LinkReset || view.Name != "ben" || view.SecondFactor {
		t.Errorf("%+v %v", view, err)
	}
	if _, err := h.Join(ctx, vault.Actor{}, hash(1), "eve", "hash"); !errors.Is(err, vault.ErrLinkOver) {
		t.Errorf("joining by a link that is none of that kind: %v", err)
	}
	// A new one ends the older one.
	second, err := h.ResetPerson(ctx, root, first.Person, hash(2))
	if err != nil || !second.ExpiresAt.Equal(first.ExpiresAt) {
		t.Errorf("%+v %v", second, err)
	}
	over("older", hash(1))
	if _, err := h.SetPasswordByLink(ctx, vault.Actor{Address: "192.0.2.9"}, hash(2), "hash of ben's"); err != nil {
		t.Fatal(err)
	}
	over("used", hash(2))
	if p := h.row(first.Person); p.PasswordHash != "hash of ben's" || p.Epoch != 2 {
		t.Errorf("%+v", p)
	}
	third, err := h.ResetPerson(ctx, root, first.Person, hash(3))
	if err != nil || !third.ExpiresAt.Equal(h.clock().Add(24*time.Hour)) {
		t.Errorf("%+v %v", third, err)
	}
	h.setNow(third.ExpiresAt.Add(-time.Millisecond))
	if _, err := h.LookAtLink(ctx, hash(3)); err != nil {
		t.Errorf("a moment before its end: %v", err)
	}
	h.setNow(third.ExpiresAt)
	over("too old", hash(3))
	if _, err := h.Collect(ctx); err != nil {
		t.Error(err)
	}
	err = h.db.View(ctx, func(tx vault.Tx) error { _, err := tx.Links().ByHash(ctx, hash(3)); return err })
	if !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("a link that is too old is kept: %v", err)
	}
	if got := len(h.recorded(audit.AccountReset)); got != 4 {
		t.Errorf("%v", h.recorded(audit.AccountReset))
	}
	if got := h.recorded(audit.AccountChanged); !slices.Equal(got, []string{"map[by:link value: what:password] ben"}) {
		t.Errorf("%v", got)
	}
	ben := vault.Actor{Person: first.Person, Role: vault.RoleUser}
	for _, by := range []vault.Actor{ben, {Person: root.Person}} { // nobody makes one for himself
		if _, err := h.ResetPerson(ctx, by, by.Person, hash(4)); !errors.Is(err, vault.ErrForbidden) {
			t.Errorf("%v", err)
		}
	}
	if _, err := h.ResetPerson(ctx, ben, root.Person, hash(4)); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("by a user for somebody whom he does not know: %v", err)
	}
}

// Of two who use one link at once, one succeeds.
func TestLinkRace(t *testing.T) {
	h := newHouse(t)
	root := h.admin("root")
	if _, err := h.Invite(ctx, root, "", 0, hash(1)); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	results := make([]error, 6)
	for i := range results {
		all.Go(func() { _, results[i] = h.Join(ctx, vault.Actor{}, hash(1), fmt.Sprintf("eve %d", i), "hash") })
	}
	all.Wait()
	joined := 0
	for _, err := range results {
		if err == nil {
			joined++
		} else if !errors.Is(err, vault.ErrLinkOver) {
			t.Error(err)
		}
	}
	if joined != 1 {
		t.Errorf("%d have joined", joined)
	}
}

func TestChangePerson(t *testing.T) {
	h := newHouse(t)
	root, ann, ben := h.admin("root"), h.person("ann"), h.person("ben")
	session := auth.Session{ID: "a", Person: string(ann.Person), CreatedAt: h.clock(), LastUsedAt: h.clock(), ExpiresAt: h.clock().Add(time.Hour)}
	err := h.db.UpdateAuth(ctx, func(tx auth.Tx) error { return tx.InsertSession(ctx, session) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.ResetPerson(ctx, root, ann.Person, hash(1)); err != nil {
		t.Fatal(err)
	}
	off := vault.PersonChange{Active: to(false)}
	for what, tt := range map[string]struct {
		by     vault.Actor
		id     vault.PersonID
		change vault.PersonChange
		want   error
	}{
		"a stranger":           {ann, ben.Person, off, vault.ErrNotFound},
		"oneself, as a user":   {ann, ann.Person, off, vault.ErrForbidden},
		"nobody":               {root, "00000000000000000000000000000000", off, vault.ErrNotFound},
		"the last admin":       {root, root.Person, off, access.ErrLastAdmin},
		"the last admin's":     {root, root.Person, vault.PersonChange{Role: to(vault.RoleUser)}, access.ErrLastAdmin},
		"a taken name":         {root, ann.Person, vault.PersonChange{Name: to("BEN")}, vault.ErrNameTaken},
		"with a role besides":  {root, ann.Person, vault.PersonChange{Name: to("BEN"), Role: to(vault.RoleAdmin)}, vault.ErrNameTaken},
		"oneself on, as admin": {root, root.Person, vault.PersonChange{Active: to(true)}, vault.ErrForbidden},
	} {
		if _, err := h.ChangePerson(ctx, tt.by, tt.id, tt.change); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, c := range []vault.PersonChange{{}, {Name: to("")}, {Role: to(vault.Role("king"))}, {Name: to(" x")}} {
		var invalid *vault.InvalidError
		if _, err := h.ChangePerson(ctx, root, ann.Person, c); !errors.As(err, &invalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	before := len(h.events(auditlog.ViewAll))
	e, err := h.ChangePerson(ctx, root, ann.Person, vault.PersonChange{Name: to("Anna"), Role: to(vault.RoleManager)})
	if err != nil || e.Person.Name != "Anna" || e.Person.NameKey != "anna" || e.Person.Role != vault.RoleManager || e.Person.Epoch != 2 {
		t.Errorf("%+v %v", e, err)
	}
	e, err = h.ChangePerson(ctx, root, ann.Person, off)
	if err != nil || e.Person.Active || e.Person.Epoch != 3 {
		t.Errorf("%+v %v", e, err)
	}
	if _, err = h.ChangePerson(ctx, root, ann.Person, off); err != nil { // again is no error, and no event
		t.Error(err)
	}
	if _, err := h.LookAtLink(ctx, hash(1)); !errors.Is(err, vault.ErrLinkOver) {
		t.Errorf("a link of somebody who was switched off: %v", err)
	}
	if _, err := h.FindPerson(ctx, ben, "anna"); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("found while off: %v", err)
	}
	if _, err := h.ChangeProfile(ctx, ann, "Ann"); !errors.Is(err, vault.ErrForbidden) {
		t.Errorf("acting while off: %v", err)
	}
	if e, err = h.ChangePerson(ctx, root, ann.Person, vault.PersonChange{Active: to(true)}); err != nil || !e.Person.Active || e.Person.Epoch != 4 {
		t.Errorf("%+v %v", e, err)
	}
	if p, err := h.FindPerson(ctx, ben, "ANNA"); err != nil || p.Person.ID != ann.Person || p.Public == nil {
		t.Errorf("%+v %v", p, err)
	}
	got := kinds(h.events(auditlog.ViewAll)[before:])
	want := []string{"account.changed", "account.changed", "session.ended", "account.changed", "account.changed"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := h.recorded(audit.SessionEnded); !slices.Equal(got, []string{"map[all:true reason:revoked] Anna"}) {
		t.Errorf("%v", got)
	}
}

// Two admins who demote, switch off or erase each other at once leave one.
func TestLastAdminRace(t *testing.T) {
	for what, change := range map[string]vault.PersonChange{
		"demoted": {Role: to(vault.RoleUser)}, "switched off": {Active: to(false)},
	} {
		t.Run(what, func(t *testing.T) {
			h := newHouse(t)
			admins := []vault.Actor{h.admin("one"), h.admin("two"), h.admin("three")}
			var all sync.WaitGroup
			for range 4 {
				for i, by := range admins {
					all.Go(func() {
						_, err := h.ChangePerson(ctx, by, admins[(i+1)%len(admins)].Person, change)
						if err != nil && !errors.Is(err, vault.ErrForbidden) && !errors.Is(err, vault.ErrNotFound) && !errors.Is(err, access.ErrLastAdmin) {
							t.Error(err)
						}
					})
				}
			}
			all.Wait()
			if n, err := h.Admins(ctx); n < 1 || n == len(admins) || err != nil {
				t.Errorf("%d admins are left, %v", n, err)
			}
		})
	}
}

func TestProfile(t *testing.T) {
	h := newHouse(t)
	h.admin("root")
	ann := h.person("ann")
	p, err := h.ChangeProfile(ctx, ann, "Ann O\u0308str")
	if err != nil || p.Person.DisplayName != "Ann \u00d6str" || h.row(ann.Person).DisplayName != "Ann \u00d6str" {
		t.Errorf("%+v %v", p.Person, err)
	}
	for _, name := range []string{" x", "x ", "a\nb", "\xff", strings.Repeat("x", 101)} {
		var invalid *vault.InvalidError
		if _, err := h.ChangeProfile(ctx, ann, name); !errors.As(err, &invalid) || invalid.Field != "display_name" {
			t.Errorf("%q: %v", name, err)
		}
	}
	if p, err = h.ChangeProfile(ctx, ann, ""); err != nil || p.Person.DisplayName != "" {
		t.Errorf("%+v %v", p.Person, err)
	}
	if got := len(h.recorded(audit.AccountChanged)); got != 2 {
		t.Errorf("%d events", got)
	}
}

func TestSettings(t *testing.T) {
	h := newHouse(t)
	root, ann := h.admin("root"), h.person("ann")
	s, err := h.Settings(ctx, root)
	if err != nil || s.Registration != "closed" || len(s.SecondFactorRoles) != 0 || s.DefaultBytes != nil || s.DefaultFiles != nil {
		t.Errorf("of a new vault: %+v %v", s, err)
	}
	if _, err := h.Register(ctx, vault.Actor{}, "eve", "hash"); !errors.Is(err, vault.ErrClosed) {
		t.Errorf("registering where it is closed: %v", err)
	}
	want := vault.Settings{Registration: "open", SecondFactorRoles: []vault.Role{"manager", "admin", "admin"}, DefaultBytes: to(int64(1000)), DefaultFiles: to(int64(0))}
	if err := h.ChangeSettings(ctx, root, want, ""); err != nil {
		t.Fatal(err)
	}
	stale, err := s.ETag() // of a new vault
	if err != nil {
		t.Fatal(err)
	}
	other := vault.Settings{Registration: "closed"}
	if err := h.ChangeSettings(ctx, root, other, stale); !errors.Is(err, vault.ErrPrecondition) {
		t.Errorf("over what somebody else set meanwhile: %v", err)
	}
	now, err := h.Settings(ctx, root)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := now.ETag()
	if err != nil || fresh == stale {
		t.Errorf("the ETag did not change: %s %v", fresh, err)
	}
	if err := h.ChangeSettings(ctx, root, want, `"x", `+fresh); err != nil { // again records nothing
		t.Fatal(err)
	}
	s, err = h.Settings(ctx, root)
	if err != nil || s.Registration != "open" || !slices.Equal(s.SecondFactorRoles, []vault.Role{"admin", "manager"}) || *s.DefaultBytes != 1000 || *s.DefaultFiles != 0 {
		t.Errorf("%+v %v", s, err)
	}
	got := h.recorded(audit.SettingsChanged)
	if !slices.Equal(got, []string{
		`map[name:registration value:"open"] <nil>`, `map[name:second_factor_roles value:["admin","manager"]] <nil>`,
		`map[name:default_bytes value:1000] <nil>`, `map[name:default_files value:0] <nil>`,
	}) {
		t.Errorf("%q", got)
	}
	if e, err := h.Person(ctx, root, ann.Person); err != nil || e.BytesLimit == nil || *e.BytesLimit != 1000 || *e.FilesLimit != 0 {
		t.Errorf("the limits of who has none of their own: %+v %v", e, err)
	}
	eve, err := h.Register(ctx, vault.Actor{Address: "192.0.2.9"}, "eve", "hash")
	if err != nil || eve.Role != vault.RoleUser || !eve.Active {
		t.Errorf("%+v %v", eve, err)
	}
	want.DefaultBytes = nil
	if err := h.ChangeSettings(ctx, root, want, ""); err != nil {
		t.Fatal(err)
	}
	if s, err = h.Settings(ctx, root); err != nil || s.DefaultBytes != nil {
		t.Errorf("%+v %v", s, err)
	}
	for what, s := range map[string]vault.Settings{
		"registration": {Registration: "ajar"}, "second_factor_roles": {Registration: "open", SecondFactorRoles: []vault.Role{"king"}},
		"default_bytes": {Registration: "open", DefaultBytes: to(int64(-1))}, "default_files": {Registration: "open", DefaultFiles: to(int64(audit.MaxCount + 1))},
	} {
		var invalid *vault.InvalidError
		if err := h.ChangeSettings(ctx, root, s, ""); !errors.As(err, &invalid) || invalid.Field != what {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := h.Settings(ctx, ann); !errors.Is(err, vault.ErrForbidden) {
		t.Errorf("a user sees them: %v", err)
	}
	if err := h.ChangeSettings(ctx, ann, want, ""); !errors.Is(err, vault.ErrForbidden) {
		t.Errorf("a user changes them: %v", err)
	}
}

// Who was switched off, or is no admin any more, must not come back by a link of his own making.
func TestLinksOfWhoLeaves(t *testing.T) {
	for what, change := range map[string]vault.PersonChange{"off": {Active: to(false)}, "demoted": {Role: to(vault.RoleUser)}} {
		h := newHouse(t)
		root, bad, ann := h.admin("root"), h.admin("bad"), h.person("ann")
		if _, err := h.Invite(ctx, bad, "", 30, hash(1)); err != nil {
			t.Fatal(err)
		}
		if _, err := h.ResetPerson(ctx, bad, ann.Person, hash(2)); err != nil {
			t.Fatal(err)
		}
		if _, err := h.ChangePerson(ctx, root, bad.Person, change); err != nil {
			t.Fatal(err)
		}
		for n := range byte(2) {
			if _, err := h.LookAtLink(ctx, hash(n+1)); !errors.Is(err, vault.ErrLinkOver) {
				t.Errorf("%s, link %d: %v", what, n+1, err)
			}
		}
		if got := h.recorded(audit.AccountInvited); len(got) != 2 || !strings.Contains(got[1], "what:withdrawn") {
			t.Errorf("%s: %q", what, got)
		}
	}
}

func TestErasePerson(t *testing.T) {
	h := newHouse(t)
	root, ann, ben := h.admin("root"), h.person("ann"), h.person("ben")
	h.put(ann, "/a", []byte("x"))
	for what, tt := range map[string]struct {
		by   vault.Actor
		id   vault.PersonID
		want error
	}{
		"by a user":       {ben, ann.Person, vault.ErrForbidden},
		"oneself":         {ann, ann.Person, vault.ErrForbidden},
		"an admin's self": {root, root.Person, vault.ErrForbidden},
		"nobody":          {root, "00000000000000000000000000000000", vault.ErrNotFound},
	} {
		if err := h.ErasePerson(ctx, tt.by, tt.id); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := h.ErasePerson(ctx, root, ann.Person); err != nil {
		t.Fatal(err)
	}
	if n := h.objectCount(); n != 0 {
		t.Errorf("%d objects are left", n)
	}
	if err := h.ErasePerson(ctx, root, ann.Person); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("again: %v", err)
	}
}

// Whoever manages a group no more has no invitation into it left, by which he could come back under another name. Those
// into his other groups stay, and those of others, and an admin's, who may invite into any group.
func TestInvitationsOfWhoIsDismissed(t *testing.T) {
	for name, dismissed := range map[string]func(h *house, by vault.Actor, g vault.GroupID, who vault.Actor) error{
		"removed": func(h *house, by vault.Actor, g vault.GroupID, who vault.Actor) error {
			return h.RemoveMember(ctx, by, g, who.Person)
		},
		"left": func(h *house, _ vault.Actor, g vault.GroupID, who vault.Actor) error {
			return h.RemoveMember(ctx, who, g, who.Person)
		},
		"a member alone": func(h *house, by vault.Actor, g vault.GroupID, who vault.Actor) error {
			return h.PutMember(ctx, by, vault.Membership{Group: g, Person: who.Person, Member: true})
		},
	} {
		h := newHouse(t)
		root, max, eve := h.admin("root"), h.of(vault.RoleManager, "max"), h.of(vault.RoleManager, "eve")
		g, other := h.group(max, "g"), h.group(eve, "other")
		h.join(root, g, eve, true, true)
		h.join(root, g, root, false, true)
		for n, by := range []struct {
			vault.Actor
			group vault.GroupID
		}{{eve, g}, {eve, other}, {max, g}, {root, g}} {
			if _, err := h.Invite(ctx, by.Actor, by.group, 30, hash(byte(n))); err != nil {
				t.Fatal(err)
			}
		}
		if err := dismissed(h, max, g, eve); err != nil {
			t.Fatal(name, err)
		}
		if err := h.RemoveMember(ctx, max, g, root.Person); err != nil {
			t.Fatal(name, err)
		}
		for n, want := range []error{vault.ErrLinkOver, nil, nil, nil} {
			if _, err := h.Join(ctx, vault.Actor{}, hash(byte(n)), fmt.Sprintf("newcomer %d", n), "hash"); !errors.Is(err, want) {
				t.Errorf("%s: invitation %d: %v", name, n, err)
			}
		}
		events := h.events(auditlog.ViewAll)
		if at := slices.IndexFunc(events, func(e audit.Event) bool {
			return e.Type == audit.AccountInvited && e.Operational["what"] == "withdrawn"
		}); at < 0 {
			t.Errorf("%s: it is not in the log", name)
		}
	}
}
