package metadbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

// company is eight people: 1 and 2 are members of a group that 3 manages, and 4 does both; 5 and 6 are members of
// another, which 1 manages; 7 and 8 are in none.
func company(t *testing.T, db Database) {
	t.Helper()
	people(t, db, 8)
	groups(t, db, 2, in(1, 1, true, false), in(1, 2, true, false), in(1, 3, false, true), in(1, 4, true, true),
		in(2, 5, true, false), in(2, 6, true, false), in(2, 1, false, true))
}

// walkPeople reads a whole list page by page, and returns the numbers of those in it.
func walkPeople(t *testing.T, db Database, q vault.PeopleQuery, key func(vault.Person) []any) (found []string) {
	t.Helper()
	for range 100 {
		var page []vault.PersonEntry
		view(t, db, func(ctx context.Context, tx vault.Tx) (err error) {
			page, err = tx.People().List(ctx, q)
			return err
		})
		for _, e := range page {
			found = append(found, strings.TrimLeft(string(e.Person.ID), "0"))
		}
		if len(page) < q.Limit {
			return found
		}
		last := page[len(page)-1].Person
		q.After = append(key(last), string(last.ID))
	}
	t.Fatal("the list does not end")
	return nil
}

func testPeopleLists(t *testing.T, db Database) {
	company(t, db)
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		for n, change := range map[int]func(*vault.Person){
			2: func(p *vault.Person) { p.Role, p.Name, p.NameKey = vault.RoleManager, "Zoe", "zoe" },
			5: func(p *vault.Person) { p.Role, p.CreatedAt = vault.RoleAdmin, start.Add(-time.Hour) },
			7: func(p *vault.Person) { p.Active, p.CreatedAt = false, start.Add(time.Hour) },
			8: func(p *vault.Person) { p.Name, p.NameKey = "50%_Off", "50%_off" },
		} {
			p := Person(n)
			change(&p)
			if err := tx.People().Update(ctx, p); err != nil {
				return err
			}
		}
		return nil
	})
	byName := func(p vault.Person) []any { return []any{p.NameKey} }
	name := []vault.SortKey{{Field: vault.SortName}}
	everything := vault.Viewer{All: true}
	as := func(n int, manages bool) vault.Viewer { return vault.Viewer{Person: Person(n).ID, Manages: manages} }
	off := false
	for _, tt := range []struct {
		what   string
		viewer vault.Viewer
		filter vault.PeopleFilter
		sort   []vault.SortKey
		key    func(vault.Person) []any
		want   string
	}{
		{"all", everything, vault.PeopleFilter{}, name, byName, "8 1 3 4 5 6 7 2"},
		{"backwards", everything, vault.PeopleFilter{}, []vault.SortKey{{Field: vault.SortName, Descending: true}}, byName, "2 7 6 5 4 3 1 8"},
		{"by time", everything, vault.PeopleFilter{}, []vault.SortKey{{Field: vault.SortCreatedAt}},
			func(p vault.Person) []any { return []any{p.CreatedAt.UnixMilli()} }, "5 1 2 3 4 6 8 7"},
		{"by role, the last first", everything, vault.PeopleFilter{}, []vault.SortKey{{Field: vault.SortRole, Descending: true}, {Field: vault.SortName}},
			func(p vault.Person) []any { return []any{string(p.Role), p.NameKey} }, "8 1 3 4 6 7 2 5"},
		{"of a role", everything, vault.PeopleFilter{Role: vault.RoleManager}, name, byName, "2"},
		{"switched off", everything, vault.PeopleFilter{Active: &off}, name, byName, "7"},
		{"of a group, with its managers", everything, vault.PeopleFilter{Group: Group(1).ID}, name, byName, "1 3 4 2"},
		{"by a part of the name", everything, vault.PeopleFilter{NameContains: "%_o"}, name, byName, "8"},
		{"in either case", everything, vault.PeopleFilter{NameContains: "ZO"}, name, byName, "2"},
		{"fellow members and oneself", as(2, true), vault.PeopleFilter{}, name, byName, "1 4 2"},
		{"who manages and belongs", as(1, true), vault.PeopleFilter{}, name, byName, "1 4 5 6 2"},
		{"who has become a user", as(1, false), vault.PeopleFilter{}, name, byName, "1 4 2"},
		{"who manages alone", as(3, true), vault.PeopleFilter{}, name, byName, "1 3 4 2"},
		{"who is in no group", as(7, true), vault.PeopleFilter{}, name, byName, "7"},
		{"filtered as well", as(1, true), vault.PeopleFilter{Role: vault.RoleAdmin}, name, byName, "5"},
	} {
		for _, limit := range []int{1, 3, 100} {
			got := walkPeople(t, db, vault.PeopleQuery{Viewer: tt.viewer, Filter: tt.filter, Sort: tt.sort, Limit: limit}, tt.key)
			equal(t, fmt.Sprintf("%s, in pages of %d", tt.what, limit), strings.Join(got, " "), tt.want)
		}
	}
	for what, q := range map[string]vault.PeopleQuery{
		"no limit":       {Viewer: everything, Sort: name},
		"an alien field": {Viewer: everything, Sort: []vault.SortKey{{Field: vault.SortSize}}, Limit: 1},
		"a short cursor": {Viewer: everything, Sort: name, After: []any{"x"}, Limit: 1},
		"a long name":    {Viewer: everything, Sort: name, Filter: vault.PeopleFilter{NameContains: strings.Repeat("x", 256)}, Limit: 1},
	} {
		err := db.View(t.Context(), func(tx vault.Tx) error { _, err := tx.People().List(t.Context(), q); return err })
		var invalid *vault.InvalidError
		if !errors.As(err, &invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func testPersonEntry(t *testing.T, db Database) {
	company(t, db)
	own := key(9)
	own.Kind, own.Person, own.Version = vault.KindPerson, Person(1).ID, 1
	n, v := File(1, Person(1).ID, "", "a")
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.Identities().Insert(ctx, own), InsertFile(ctx, tx, n, v))
	})
	named := Person(1)
	named.DisplayName, named.PasswordHash = "Ana the First", ""
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.People().Update(ctx, named) })
	one := vault.InGroup{Group: Group(1).ID, Name: Group(1).Name, Member: true}
	two := vault.InGroup{Group: Group(2).ID, Name: Group(2).Name, Manager: true}
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		for _, tt := range []struct {
			what   string
			viewer vault.Viewer
			groups []vault.InGroup
		}{
			{"who sees everything", vault.Viewer{All: true}, []vault.InGroup{one, two}},
			{"oneself", vault.Viewer{Person: Person(1).ID}, []vault.InGroup{one, two}},
			{"a fellow member", vault.Viewer{Person: Person(2).ID}, []vault.InGroup{one}},
			{"a member of the other group", vault.Viewer{Person: Person(5).ID}, []vault.InGroup{two}},
			{"its manager", vault.Viewer{Person: Person(3).ID, Manages: true}, []vault.InGroup{one}},
			{"a manager who has become a user", vault.Viewer{Person: Person(3).ID}, nil},
			{"a stranger", vault.Viewer{Person: Person(8).ID, Manages: true}, nil},
		} {
			got, err := tx.People().Entry(ctx, tt.viewer, named.ID)
			if err != nil {
				return err
			}
			equal(t, tt.what, got, vault.PersonEntry{Person: named, Fingerprint: own.Fingerprint, Groups: tt.groups, Bytes: v.Size, Files: 1})
		}
		if _, err := tx.People().Entry(ctx, vault.Viewer{All: true}, ID[vault.PersonID](99)); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("of nobody: %v", err)
		}
		return nil
	})
}

func testEndSessions(t *testing.T, db Database) {
	people(t, db, 2)
	session := func(id string, person int, expires time.Duration) auth.Session {
		return auth.Session{ID: id, Person: string(Person(person).ID), CreatedAt: start, LastUsedAt: start, ExpiresAt: start.Add(expires)}
	}
	err := db.UpdateAuth(t.Context(), func(tx auth.Tx) error {
		return errors.Join(tx.InsertSession(t.Context(), session("a", 1, time.Hour)), tx.InsertSession(t.Context(), session("b", 1, time.Hour)),
			tx.InsertSession(t.Context(), session("old", 1, time.Minute)), tx.InsertSession(t.Context(), session("other", 2, time.Hour)))
	})
	if err != nil {
		t.Fatal(err)
	}
	at := start.Add(2 * time.Minute)
	for _, want := range []int{2, 0} {
		update(t, db, func(ctx context.Context, tx vault.Tx) error {
			n, err := tx.People().EndSessions(ctx, Person(1).ID, at)
			equal(t, "sessions that ended", n, want)
			return err
		})
	}
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		n, err := tx.People().RevokeTokens(ctx, Person(1).ID, at)
		equal(t, "tokens of somebody who has none", n, 0)
		return err
	})
	for id, ended := range map[string]bool{"a": true, "b": true, "old": false, "other": false} {
		err := db.ViewAuth(t.Context(), func(tx auth.Tx) error {
			s, err := tx.Session(t.Context(), id)
			equal(t, "session "+id+" ended", s.RevokedAt.Equal(at), ended)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Link returns the n-th link, a reset of the first person.
func Link(n int) vault.Link {
	return vault.Link{ID: ID[vault.LinkID](n), Hash: bytes.Repeat([]byte{byte(n)}, 32), Kind: vault.LinkReset, Person: Person(1).ID,
		MadeBy: Person(2).ID, CreatedAt: start.Add(time.Duration(n) * time.Minute), ExpiresAt: start.Add(time.Duration(100-n) * time.Minute)}
}

func invitation(n int, group vault.GroupID) vault.Link {
	l := Link(n)
	l.Kind, l.Person, l.Group = vault.LinkInvitation, "", group
	return l
}

func testLinks(t *testing.T, db Database) {
	company(t, db)
	machine := invitation(5, "")
	machine.MadeBy = ""
	all := []vault.Link{Link(1), Link(2), invitation(3, ""), invitation(4, Group(1).ID), machine, invitation(6, Group(2).ID)}
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		for _, l := range all {
			if err := tx.Links().Insert(ctx, l); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		for _, want := range all {
			got, err := tx.Links().ByHash(ctx, want.Hash)
			equal(t, "by hash", got, want)
			again, err2 := tx.Links().ByID(ctx, want.ID)
			equal(t, "by id", again, want)
			if err := errors.Join(err, err2); err != nil {
				return err
			}
		}
		made, err := tx.Links().MadeBy(ctx, Person(2).ID)
		equal(t, "made by somebody", len(made), 5)
		if _, missing := tx.Links().ByHash(ctx, bytes.Repeat([]byte{9}, 32)); !errors.Is(missing, vault.ErrNotFound) {
			t.Errorf("an unknown hash: %v", missing)
		}
		if _, missing := tx.Links().ByID(ctx, ID[vault.LinkID](9)); !errors.Is(missing, vault.ErrNotFound) {
			t.Errorf("an unknown id: %v", missing)
		}
		return err
	})
	for what, tt := range map[string]struct {
		want   error
		change func(*vault.Link)
	}{
		"the same hash":           {vault.ErrExists, func(l *vault.Link) { l.Hash = all[0].Hash }},
		"the same id":             {vault.ErrExists, func(l *vault.Link) { l.ID = all[0].ID }},
		"for nobody":              {vault.ErrNotFound, func(l *vault.Link) { l.Person = ID[vault.PersonID](99) }},
		"into no group":           {vault.ErrNotFound, func(l *vault.Link) { *l = invitation(7, Group(99).ID) }},
		"made by nobody's number": {vault.ErrNotFound, func(l *vault.Link) { l.MadeBy = ID[vault.PersonID](99) }},
	} {
		refused(t, db, what, tt.want, func(ctx context.Context, tx vault.Tx) error {
			l := Link(7)
			tt.change(&l)
			return tx.Links().Insert(ctx, l)
		})
	}
	refused(t, db, "taking away what is not there", vault.ErrNotFound, func(ctx context.Context, tx vault.Tx) error {
		return tx.Links().Delete(ctx, ID[vault.LinkID](9))
	})
	testInvitationLists(t, db)

	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.Links().Delete(ctx, all[2].ID), tx.Links().DeleteOf(ctx, Person(1).ID), tx.Links().DeleteOf(ctx, Person(8).ID),
			tx.Links().DeleteExpired(ctx, all[4].ExpiresAt))
	})
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		for i, l := range all {
			_, err := tx.Links().ByID(ctx, l.ID)
			if left := i == 3; left != (err == nil) {
				t.Errorf("link %d: %v", i+1, err)
			}
		}
		return nil
	})
}

func testInvitationLists(t *testing.T, db Database) {
	at := start.Add(94 * time.Minute) // when the sixth is over
	for _, tt := range []struct {
		what   string
		viewer vault.Viewer
		group  vault.GroupID
		field  vault.SortField
		desc   bool
		at     time.Time
		want   string
	}{
		{"all", vault.Viewer{All: true}, "", vault.SortCreatedAt, false, start, "3 4 5 6"},
		{"by their end", vault.Viewer{All: true}, "", vault.SortExpiresAt, false, start, "6 5 4 3"},
		{"backwards", vault.Viewer{All: true}, "", vault.SortExpiresAt, true, start, "3 4 5 6"},
		{"into a group", vault.Viewer{All: true}, Group(1).ID, vault.SortCreatedAt, false, start, "4"},
		{"that are not over", vault.Viewer{All: true}, "", vault.SortCreatedAt, false, at, "3 4 5"},
		{"of a manager", vault.Viewer{Person: Person(1).ID, Manages: true}, "", vault.SortCreatedAt, false, start, "6"},
		{"of who has become a user", vault.Viewer{Person: Person(1).ID}, "", vault.SortCreatedAt, false, start, ""},
	} {
		for _, limit := range []int{1, 2, 10} {
			q := vault.InvitationQuery{Viewer: tt.viewer, At: tt.at, Group: tt.group, Sort: []vault.SortKey{{Field: tt.field, Descending: tt.desc}}, Limit: limit}
			var got []string
			for more := true; more; {
				view(t, db, func(ctx context.Context, tx vault.Tx) error {
					page, err := tx.Links().Invitations(ctx, q)
					for _, i := range page {
						got = append(got, strings.TrimLeft(string(i.Link.ID), "0"))
						if i.Link.MadeBy != "" && i.MadeByName != Person(2).Name || (i.GroupName != "") != (i.Link.Group != "") {
							t.Errorf("%s: %+v", tt.what, i)
						}
						value := map[vault.SortField]any{vault.SortCreatedAt: i.Link.CreatedAt.UnixMilli(), vault.SortExpiresAt: i.Link.ExpiresAt.UnixMilli()}
						q.After = []any{value[tt.field], string(i.Link.ID)}
					}
					more = len(page) == limit
					return err
				})
			}
			equal(t, fmt.Sprintf("%s, in pages of %d", tt.what, limit), strings.Join(got, " "), tt.want)
			if !slices.Equal(got, slices.Compact(slices.Clone(got))) {
				t.Errorf("%s: something is there twice", tt.what)
			}
		}
	}
}
