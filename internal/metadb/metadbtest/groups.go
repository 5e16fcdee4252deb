package metadbtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"stonevault/internal/vault"
)

// Group returns the n-th group.
func Group(n int) vault.Group {
	return vault.Group{ID: ID[vault.GroupID](1000 + n), Name: fmt.Sprintf("Team %d", n), NameKey: fmt.Sprintf("team %d", n),
		CreatedAt: start, UpdatedAt: start.Add(time.Second)}
}

// in is what a person is in a group.
func in(group, person int, member, manager bool) vault.Membership {
	return vault.Membership{Group: Group(group).ID, Person: Person(person).ID, Member: member, Manager: manager, Since: start}
}

// groups inserts groups 1 to n, and memberships.
func groups(t *testing.T, db Database, n int, members ...vault.Membership) {
	t.Helper()
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		for i := 1; i <= n; i++ {
			if err := tx.Groups().Insert(ctx, Group(i)); err != nil {
				return err
			}
		}
		for _, m := range members {
			if err := tx.Groups().Put(ctx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

func testGroups(t *testing.T, db Database) {
	people(t, db, 4)
	groups(t, db, 3, in(1, 1, false, true), in(1, 2, true, false), in(1, 3, true, true), in(2, 2, false, true))
	refused(t, db, "same id", vault.ErrExists, func(ctx context.Context, tx vault.Tx) error {
		g := Group(4)
		g.ID = Group(1).ID
		return tx.Groups().Insert(ctx, g)
	})
	refused(t, db, "same name", vault.ErrExists, func(ctx context.Context, tx vault.Tx) error {
		g := Group(4)
		g.NameKey = Group(1).NameKey
		return tx.Groups().Insert(ctx, g)
	})
	refused(t, db, "renamed to a taken name", vault.ErrExists, func(ctx context.Context, tx vault.Tx) error {
		g := Group(2)
		g.NameKey = Group(1).NameKey
		return tx.Groups().Update(ctx, g)
	})
	for what, fn := range map[string]func(context.Context, vault.Tx) error{
		"update of none":       func(ctx context.Context, tx vault.Tx) error { return tx.Groups().Update(ctx, Group(9)) },
		"deletion of none":     func(ctx context.Context, tx vault.Tx) error { return tx.Groups().Delete(ctx, Group(9).ID) },
		"membership in none":   func(ctx context.Context, tx vault.Tx) error { return tx.Groups().Put(ctx, in(9, 1, true, false)) },
		"membership of nobody": func(ctx context.Context, tx vault.Tx) error { return tx.Groups().Put(ctx, in(1, 9, true, false)) },
		"removal of who is not in": func(ctx context.Context, tx vault.Tx) error {
			return tx.Groups().Remove(ctx, Group(3).ID, Person(1).ID)
		},
	} {
		refused(t, db, what, vault.ErrNotFound, fn)
	}

	renamed := Group(2)
	renamed.Name, renamed.NameKey, renamed.UpdatedAt = "Älter", "älter", start.Add(time.Hour)
	later := in(1, 2, true, true)
	later.Since = start.Add(time.Minute)
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		if err := tx.Groups().Update(ctx, renamed); err != nil {
			return err
		}
		return tx.Groups().Put(ctx, later) // in the place of what he was
	})
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		for _, tt := range []struct {
			group vault.GroupID
			by    int
			want  vault.GroupEntry
		}{
			{Group(1).ID, 1, vault.GroupEntry{Group: Group(1), Members: 2, Managers: 3, Manager: true}},
			{Group(1).ID, 3, vault.GroupEntry{Group: Group(1), Members: 2, Managers: 3, Member: true, Manager: true}},
			{Group(1).ID, 4, vault.GroupEntry{Group: Group(1), Members: 2, Managers: 3}},
			{Group(2).ID, 2, vault.GroupEntry{Group: renamed, Managers: 1, Manager: true}},
			{Group(3).ID, 9, vault.GroupEntry{Group: Group(3)}},
		} {
			got, err := tx.Groups().ByID(ctx, tt.group, Person(tt.by).ID)
			if err != nil {
				return err
			}
			equal(t, fmt.Sprintf("group %s by %d", tt.group, tt.by), got, tt.want)
		}
		if _, err := tx.Groups().ByID(ctx, Group(9).ID, Person(1).ID); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("unknown group: %v", err)
		}
		got, err := tx.Groups().Membership(ctx, Group(1).ID, Person(2).ID)
		equal(t, "membership", got, later)
		if _, missing := tx.Groups().Membership(ctx, Group(2).ID, Person(1).ID); !errors.Is(missing, vault.ErrNotFound) {
			t.Errorf("membership of who is not in: %v", missing)
		}
		if err != nil {
			return err
		}
		of, err := tx.Groups().OfPerson(ctx, Person(2).ID)
		equal(t, "groups of a person, by name", of, []vault.InGroup{
			{Group: Group(1).ID, Name: "Team 1", Member: true, Manager: true}, {Group: Group(2).ID, Name: "Älter", Manager: true}})
		if err != nil {
			return err
		}
		for _, tt := range []struct {
			one, other        int
			manages, together bool
		}{
			{1, 2, true, false}, {2, 1, false, false}, {2, 3, true, true}, {3, 2, true, true}, {4, 2, false, false}, {1, 4, false, false},
		} {
			manages, together, err := tx.Groups().Acquainted(ctx, Person(tt.one).ID, Person(tt.other).ID)
			if err != nil || manages != tt.manages || together != tt.together {
				t.Errorf("%d and %d: manages %v, together %v, %v", tt.one, tt.other, manages, together, err)
			}
		}
		return nil
	})

	// A manager counts while he is active and his role lets him manage.
	managers := func(beside, want int) {
		t.Helper()
		view(t, db, func(ctx context.Context, tx vault.Tx) error {
			n, err := tx.Groups().OtherManagers(ctx, Group(1).ID, Person(beside).ID)
			if n != want {
				t.Errorf("managers beside %d: %d, want %d", beside, n, want)
			}
			return err
		})
	}
	change := func(n int, role vault.Role, active bool) {
		update(t, db, func(ctx context.Context, tx vault.Tx) error {
			p := Person(n)
			p.Role, p.Active = role, active
			return tx.People().Update(ctx, p)
		})
	}
	managers(4, 0)
	change(1, vault.RoleManager, true)
	change(2, vault.RoleAdmin, true)
	change(3, vault.RoleManager, false)
	managers(4, 2)
	managers(1, 1)

	// A group's identities outlive it; nothing else of it does.
	own := key(9)
	own.Kind, own.Group = vault.KindGroup, Group(1).ID
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.Identities().Insert(ctx, own) })
	refused(t, db, "same version of a group", vault.ErrExists, func(ctx context.Context, tx vault.Tx) error {
		k := key(10)
		k.Kind, k.Group = vault.KindGroup, Group(1).ID
		return tx.Identities().Insert(ctx, k)
	})
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		got, err := tx.Identities().OfGroup(ctx, Group(1).ID)
		equal(t, "identity of a group", got, own)
		if err != nil {
			return err
		}
		return errors.Join(tx.Identities().Retire(ctx, own.ID, start.Add(time.Hour)), tx.Groups().Delete(ctx, Group(1).ID))
	})
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		if _, err := tx.Identities().OfGroup(ctx, Group(1).ID); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("identity of a deleted group: %v", err)
		}
		got, err := tx.Identities().ByFingerprint(ctx, own.Fingerprint)
		own.RetiredAt = start.Add(time.Hour)
		equal(t, "retired identity of a group", got, own)
		if _, missing := tx.Groups().Membership(ctx, Group(1).ID, Person(2).ID); !errors.Is(missing, vault.ErrNotFound) {
			t.Errorf("membership in a deleted group: %v", missing)
		}
		return err
	})

	// Who is erased is in no group.
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.People().Erase(ctx, Person(2).ID) })
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		got, err := tx.Groups().ByID(ctx, Group(2).ID, Person(1).ID)
		equal(t, "group without its manager", got, vault.GroupEntry{Group: renamed})
		return err
	})
}

func testGroupLists(t *testing.T, db Database) {
	people(t, db, 7)
	members := []vault.Membership{in(2, 1, true, false), in(4, 1, false, true), in(5, 1, true, true)}
	for n := 2; n <= 7; n++ {
		members = append(members, in(1, n, n%2 == 0, n%2 == 1))
	}
	groups(t, db, 7, members...)
	pages := func(descending bool, contains string, limit int, list func(context.Context, vault.Tx, vault.NamesQuery) ([]string, error)) (all []string) {
		t.Helper()
		q := vault.NamesQuery{NameContains: contains, Descending: descending, Limit: limit}
		for range 20 {
			var page []string
			view(t, db, func(ctx context.Context, tx vault.Tx) (err error) {
				page, err = list(ctx, tx, q)
				return err
			})
			if len(page) == 0 {
				return all
			}
			if len(page) > limit {
				t.Fatalf("%d rows on a page of %d", len(page), limit)
			}
			all = append(all, page...)
			q.After = page[len(page)-1]
		}
		t.Fatal("the list does not end")
		return nil
	}
	listed := func(scope vault.GroupScope) func(context.Context, vault.Tx, vault.NamesQuery) ([]string, error) {
		return func(ctx context.Context, tx vault.Tx, q vault.NamesQuery) (keys []string, err error) {
			items, err := tx.Groups().List(ctx, Person(1).ID, scope, q)
			for _, g := range items {
				keys = append(keys, g.NameKey)
			}
			return keys, err
		}
	}
	inGroup := func(ctx context.Context, tx vault.Tx, q vault.NamesQuery) (keys []string, err error) {
		items, err := tx.Groups().Members(ctx, Group(1).ID, q)
		for _, m := range items {
			keys = append(keys, fmt.Sprintf("ana %s", m.Name[len("Ana "):]))
		}
		return keys, err
	}
	for _, limit := range []int{1, 2, 3, 100} {
		for _, tt := range []struct {
			what     string
			contains string
			list     func(context.Context, vault.Tx, vault.NamesQuery) ([]string, error)
			want     []string
		}{
			{"all groups", "", listed(vault.GroupsAll), []string{"team 1", "team 2", "team 3", "team 4", "team 5", "team 6", "team 7"}},
			{"own groups", "", listed(vault.GroupsOwn), []string{"team 2", "team 4", "team 5"}},
			{"groups belonged to", "", listed(vault.GroupsBelongedTo), []string{"team 2", "team 5"}},
			{"groups by name", "EAM 4", listed(vault.GroupsAll), []string{"team 4"}},
			{"a pattern is none", "%", listed(vault.GroupsAll), nil},
			{"members", "", inGroup, []string{"ana 2", "ana 3", "ana 4", "ana 5", "ana 6", "ana 7"}},
			{"members by name", "a 6", inGroup, []string{"ana 6"}},
		} {
			equal(t, fmt.Sprintf("%s, %d a page", tt.what, limit), pages(false, tt.contains, limit, tt.list), tt.want)
			slices.Reverse(tt.want)
			equal(t, fmt.Sprintf("%s, %d a page, descending", tt.what, limit), pages(true, tt.contains, limit, tt.list), tt.want)
		}
	}
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		items, err := tx.Groups().Members(ctx, Group(1).ID, vault.NamesQuery{Limit: 2})
		equal(t, "members", items, []vault.MemberEntry{{Membership: in(1, 2, true, false), Name: "Ana 2"}, {Membership: in(1, 3, false, true), Name: "Ana 3"}})
		return err
	})
	for _, q := range []vault.NamesQuery{{}, {Limit: -1}, {Limit: 1, NameContains: string(make([]byte, 256))}} {
		err := db.View(t.Context(), func(tx vault.Tx) error {
			_, err := tx.Groups().List(t.Context(), Person(1).ID, vault.GroupsAll, q)
			return err
		})
		var invalid *vault.InvalidError
		if !errors.As(err, &invalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}
