package access

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func allRelations() (all []Relation) {
	for r := range relations {
		all = append(all, r)
	}
	return all
}

// Every action that the source declares has one row, and every row a letter for each role and relation. A
// letter is there where, and only where, its column arises for the kind.
func TestTableIsComplete(t *testing.T) {
	source, err := os.ReadFile("table.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`\bAction = "([a-z.-]+)"`).FindAllSubmatch(source, -1)
	if len(declared) < 50 {
		t.Fatalf("found only %d actions in the source", len(declared))
	}
	all := Actions()
	for _, d := range declared {
		if !slices.Contains(all, Action(d[1])) {
			t.Errorf("%s has no row", d[1])
		}
	}
	if len(all) != len(declared) || len(rows) != len(all) {
		t.Errorf("%d actions, %d rows, %d of them different", len(declared), len(all), len(rows))
	}
	for _, kind := range Kinds {
		for _, row := range kind.Rows {
			if row.Does == "" || strings.HasSuffix(row.Does, ".") {
				t.Errorf("%s: says %q", row.Action, row.Does)
			}
			for role, letters := range map[Role]string{Admin: row.admin, Manager: row.manager, User: row.user} {
				if len(letters) != int(relations) || strings.Trim(letters, "ysfa-") != "" {
					t.Errorf("%s, %s: the letters are %q", row.Action, role, letters)
					continue
				}
				for _, r := range allRelations() {
					if letters[r] != '-' && kind.Meaning[r] == "" {
						t.Errorf("%s, %s: a verdict for %q, which means nothing for %s", row.Action, role, r, kind.Name)
					}
					if (letters[r] == '-') != (row.admin[r] == '-') {
						t.Errorf("%s: whether %q arises depends on the role", row.Action, r)
					}
				}
			}
		}
	}
}

// A refusal must not tell that a thing is there which the asker may not see, nor deny one that he sees.
func TestRefusalsTellNothing(t *testing.T) {
	for _, kind := range Kinds {
		if kind.See == "" {
			continue
		}
		for _, row := range kind.Rows {
			for _, role := range Roles {
				for _, r := range allRelations() {
					if r == Vault || row.admin[r] == '-' || kind.Meaning[r] == "" {
						continue
					}
					seen, got := Decide(role, kind.See, r), Decide(role, row.Action, r)
					if seen == Absent && rows[kind.See].admin[r] != '-' && got != Absent {
						t.Errorf("%s, %s, %s: %v, though he may not know that it is there", role, row.Action, r, got)
					}
					if seen == Allowed && got == Absent {
						t.Errorf("%s, %s, %s: answered as missing, though he sees it", role, row.Action, r)
					}
				}
			}
		}
	}
}

// What the roles promise, each over all of the table.
func TestPromises(t *testing.T) {
	for _, action := range Actions() {
		files := strings.HasPrefix(string(action), "files.") || strings.HasPrefix(string(action), "shares.") || action == UploadsUse
		for _, r := range allRelations() {
			admin, manager, user := Decide(Admin, action, r), Decide(Manager, action, r), Decide(User, action, r)
			if files && (admin != user || manager != user) {
				t.Errorf("%s, %s: a role gives something with files", action, r)
			}
			if files && (r == Managed || r == Else || r == Vault) && admin != Absent {
				t.Errorf("%s, %s: %v: files of others are none of anybody's business", action, r, admin)
			}
			if user == Allowed && manager != Allowed || manager == Allowed && admin != Allowed {
				t.Errorf("%s, %s: a lesser role may do more: %v, %v, %v", action, r, admin, manager, user)
			}
			if user == Allowed && (r == Managed || r == Else) {
				t.Errorf("%s, %s: allowed to users", action, r)
			}
			if manager == Allowed && r == Else {
				t.Errorf("%s: allowed to managers with what is somebody else's", action)
			}
		}
		for _, prefix := range []string{"accounts.", "settings.", "webhooks.", "recovery."} {
			if strings.HasPrefix(string(action), prefix) {
				for _, r := range allRelations() {
					if Decide(Manager, action, r) >= ByShare || Decide(User, action, r) >= ByShare {
						t.Errorf("%s, %s: allowed to others than admins", action, r)
					}
				}
			}
		}
	}
}

func TestDecide(t *testing.T) {
	for _, row := range []struct {
		role     Role
		action   Action
		relation Relation
		want     Verdict
	}{
		{Admin, FilesRead, Own, Allowed},
		{Admin, FilesRead, Else, Absent},
		{Admin, FilesRead, Managed, Absent},
		{Manager, FilesRead, Managed, Absent},
		{User, FilesRead, Shared, ByShare},
		{User, FilesRead, Member, ByShare},
		{User, FilesRead, Else, Absent},
		{Admin, AccountsHandOver, Else, Allowed},
		{Manager, AccountsHandOver, Managed, Forbidden},
		{Admin, AccountsCreate, Vault, Allowed},
		{Manager, AccountsCreate, Vault, Forbidden},
		{Manager, PeopleSee, Managed, Allowed},
		{Manager, PeopleSee, Else, Absent},
		{User, PeopleSee, Member, Allowed},
		{User, PeopleSee, Else, Absent},
		{Manager, QuotasChange, Managed, Allowed},
		{Manager, QuotasChange, Own, Forbidden},
		{Manager, SessionsEnd, Managed, Allowed},
		{Manager, PasswordChange, Managed, Forbidden},
		{Admin, PasswordChange, Else, Forbidden},
		{Admin, AuditSee, Vault, Allowed},
		{Manager, AuditSee, Managed, Allowed},
		{Manager, AuditSee, Else, Absent},
		{User, AuditSee, Own, Allowed},
		{User, AuditSee, Vault, Forbidden},
		{User, AuditTree, Vault, Allowed},
		{Manager, GroupsCreate, Vault, Allowed},
		{User, GroupsCreate, Vault, Forbidden},
		{User, GroupsChange, Managed, Absent},
		{User, SettingsChange, Vault, Forbidden},
		{"", FilesRead, Own, Absent},
		{"root", FilesRead, Own, Absent},
		{"Admin", SettingsSee, Vault, Absent},
		{Admin, "files.steal", Own, Absent},
		{Admin, "", Own, Absent},
		{Admin, FilesRead, relations, Absent},
		{Admin, FilesRead, 255, Absent},
	} {
		if got := Decide(row.role, row.action, row.relation); got != row.want {
			t.Errorf("%s, %s, %s: %v, want %v", row.role, row.action, row.relation, got, row.want)
		}
	}
}

func TestDecideAny(t *testing.T) {
	for _, row := range []struct {
		role      Role
		action    Action
		relations []Relation
		want      Verdict
	}{
		{Manager, GroupsChange, []Relation{Member, Managed}, Allowed},
		{Manager, GroupsChange, []Relation{Member}, Forbidden},
		{User, FilesRead, []Relation{Else, Member, Shared}, ByShare},
		{Manager, QuotasChange, []Relation{Managed, Own}, Forbidden}, // nobody manages himself
		{User, PeopleSee, []Relation{Else, Managed, Member}, Allowed},
		{Admin, PeopleSee, nil, Absent},
	} {
		if got := DecideAny(row.role, row.action, row.relations...); got != row.want {
			t.Errorf("%s, %s, %v: %v, want %v", row.role, row.action, row.relations, got, row.want)
		}
	}
}

func TestBest(t *testing.T) {
	for _, row := range []struct {
		role   Role
		action Action
		want   Verdict
	}{
		{User, FilesRead, Allowed},
		{User, SharesDecline, Allowed},
		{User, AccountsErase, Forbidden},
		{User, GroupsLeave, Allowed},
		{Manager, QuotasChange, Allowed},
		{Manager, SettingsChange, Forbidden},
		{Admin, SettingsChange, Allowed},
		{Admin, "files.steal", Absent},
		{Admin, "", Absent},
		{"", FilesRead, Absent},
	} {
		if got := Best(row.role, row.action); got != row.want {
			t.Errorf("%s, %s: %v, want %v", row.role, row.action, got, row.want)
		}
	}
}

func TestToPerson(t *testing.T) {
	for _, row := range []struct {
		asker, whose Role
		with         Acquaintance
		action       Action
		want         Verdict
	}{
		{Manager, User, Acquaintance{Manages: true}, SessionsEnd, Allowed},
		{Manager, Manager, Acquaintance{Manages: true, Together: true}, SessionsEnd, Allowed},
		{Manager, Admin, Acquaintance{Manages: true}, SessionsEnd, Forbidden},
		{Manager, Admin, Acquaintance{Manages: true}, PeopleSee, Allowed},
		{Manager, User, Acquaintance{Together: true}, SessionsEnd, Forbidden},
		{Manager, User, Acquaintance{}, SessionsEnd, Absent},
		{Manager, Manager, Acquaintance{Same: true, Manages: true, Together: true}, QuotasChange, Forbidden},
		{User, User, Acquaintance{Manages: true}, PeopleSee, Absent},
		{User, User, Acquaintance{Shares: true}, PeopleSee, Allowed},
		{User, User, Acquaintance{Together: true}, SessionsEnd, Forbidden},
		{User, Admin, Acquaintance{Manages: true}, PeopleSee, Absent},
		{Admin, User, Acquaintance{}, AccountsDeactivate, Allowed},
		{Admin, Admin, Acquaintance{Same: true}, AccountsErase, Forbidden},
	} {
		if got := DecideAny(row.asker, row.action, ToPerson(row.asker, row.whose, row.with)...); got != row.want {
			t.Errorf("%s to %s, %+v, %s: %v, want %v", row.asker, row.whose, row.with, row.action, got, row.want)
		}
	}
}

func TestTakesIn(t *testing.T) {
	for _, row := range []struct {
		asker, whose Role
		want         bool
	}{
		{Admin, Admin, true}, {Admin, User, true}, {Manager, Admin, false}, {Manager, Manager, true}, {Manager, User, true}, {"", Admin, false},
	} {
		if got := TakesIn(row.asker, row.whose); got != row.want {
			t.Errorf("%s takes %s in: %v", row.asker, row.whose, got)
		}
	}
}

func TestToGroup(t *testing.T) {
	for _, row := range []struct {
		asker           Role
		member, manager bool
		action          Action
		want            Verdict
	}{
		{Manager, false, true, GroupsMembers, Allowed},
		{Manager, false, true, GroupsLeave, Forbidden},
		{Manager, true, true, GroupsLeave, Allowed},
		{Manager, true, false, GroupsMembers, Forbidden},
		{Manager, true, false, GroupsQuotasSee, Allowed},
		{Manager, false, false, GroupsSee, Absent},
		{User, true, true, GroupsMembers, Forbidden}, // who was a manager once
		{User, false, true, GroupsSee, Absent},
		{User, true, false, GroupsLeave, Allowed},
		{Admin, false, false, GroupsDelete, Allowed},
		{Admin, false, false, GroupsJoin, Forbidden},
		{Admin, false, true, GroupsJoin, Allowed},
	} {
		if got := DecideAny(row.asker, row.action, ToGroup(row.asker, row.member, row.manager)...); got != row.want {
			t.Errorf("%s, member %v, manager %v, %s: %v, want %v", row.asker, row.member, row.manager, row.action, got, row.want)
		}
	}
}

func TestKeepsAdmin(t *testing.T) {
	admin, off := Standing{Admin, true}, Standing{Admin, false}
	for _, row := range []struct {
		name     string
		admins   int
		from, to Standing
		refused  bool
	}{
		{"the last one becomes a user", 1, admin, Standing{User, true}, true},
		{"the last one is switched off", 1, admin, off, true},
		{"the last one is erased", 1, admin, Standing{}, true},
		{"the last one stays", 1, admin, admin, false},
		{"one of two becomes a manager", 2, admin, Standing{Manager, true}, false},
		{"one of two is switched off", 2, admin, off, false},
		{"one that is off is erased", 1, off, Standing{}, false},
		{"one that is off becomes a user", 1, off, Standing{User, false}, false},
		{"a user is switched off", 1, Standing{User, true}, Standing{User, false}, false},
		{"a wrong count", 0, admin, off, true},
	} {
		if err := KeepsAdmin(row.admins, row.from, row.to); errors.Is(err, ErrLastAdmin) != row.refused {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestReferenceIsCommitted(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/roles.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != Reference() {
		t.Error("docs/reference/roles.md is not what the table says; run go generate ./internal/access")
	}
	for _, action := range Actions() {
		if !strings.Contains(string(page), "(`"+string(action)+"`)") {
			t.Errorf("the page has no line for %s", action)
		}
	}
}
