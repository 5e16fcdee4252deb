package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/text/unicode/norm"

	"stonevault/audit"
	"stonevault/internal/access"
)

// ErrLastManager is the one manager that a group has, whom somebody would dismiss, himself or another.
var ErrLastManager = fmt.Errorf("%w: the group would have no manager left", ErrConflict)

// NamesRequest asks for a page of a list that is in the order of names.
type NamesRequest struct {
	NameContains string
	Sort         string // "name", also where empty, or "-name"
	Cursor       string // Next of the page before
	Limit        int    // 1 to 1,000; 100 where 0
}

// query reads a request.
func (r NamesRequest) query() (NamesQuery, error) {
	q := NamesQuery{NameContains: r.NameContains, Descending: r.Sort == "-name", Limit: r.Limit}
	if r.Sort != "" && r.Sort != "name" && r.Sort != "-name" {
		return q, &InvalidError{"sort", "must be name or -name"}
	}
	if q.Limit == 0 {
		q.Limit = defaultLimit
	}
	if q.Limit < 1 || q.Limit > maxLimit {
		return q, &InvalidError{"limit", fmt.Sprintf("is not from 1 to %d", maxLimit)}
	}
	values, err := decodeCursor(r.Cursor, r.Sort)
	if err != nil || r.Cursor == "" {
		return q, err
	}
	if len(values) == 1 {
		q.After, _ = values[0].(string)
	}
	if q.After == "" {
		return q, errCursor()
	}
	return q, nil
}

// cutPage takes from a list, which was asked for one more than fits on a page, what fits, and returns the next
// page's cursor.
func cutPage[T any](r NamesRequest, items []T, limit int, key func(T) string) ([]T, string, error) {
	if len(items) <= limit {
		return items, "", nil
	}
	next, err := encodeCursor(r.Sort, []any{key(items[limit-1])})
	return items[:limit], next, err
}

// permit is a verdict as an error.
func permit(v access.Verdict) error {
	switch v {
	case access.Allowed:
		return nil
	case access.Forbidden:
		return ErrForbidden
	default:
		return ErrNotFound
	}
}

// asking is who asks, as the transaction has him: what the request's token says may be a moment old.
func asking(ctx context.Context, tx Tx, a Actor) (Person, error) {
	p, err := tx.People().ByID(ctx, a.Person)
	if isMissing(err) || err == nil && !p.Active {
		return Person{}, ErrForbidden
	}
	return p, err
}

// groupFor returns who asks, and a group on which he may do all of the actions.
func groupFor(ctx context.Context, tx Tx, a Actor, id GroupID, actions ...access.Action) (Person, GroupEntry, error) {
	p, err := asking(ctx, tx, a)
	if err != nil {
		return Person{}, GroupEntry{}, err
	}
	g, err := tx.Groups().ByID(ctx, id, p.ID)
	if err != nil {
		return Person{}, GroupEntry{}, err
	}
	g.Manager = g.Manager && access.Manages(access.Role(p.Role))
	return p, g, g.allows(p, actions...)
}

// allows tells whether a person, as whom g was looked up, may do all of the actions.
func (g GroupEntry) allows(p Person, actions ...access.Action) error {
	relations := access.ToGroup(access.Role(p.Role), g.Member, g.Manager)
	for _, action := range actions {
		if err := permit(access.DecideAny(access.Role(p.Role), action, relations...)); err != nil {
			return err
		}
	}
	return nil
}

// groupsOf returns what a person is in which groups. Whose role manages nothing is no manager, and does not see a group
// that he does not belong to.
func groupsOf(ctx context.Context, tx Tx, p Person) ([]InGroup, error) {
	in, err := tx.Groups().OfPerson(ctx, p.ID)
	if access.Manages(access.Role(p.Role)) {
		return in, err
	}
	in = slices.DeleteFunc(in, func(g InGroup) bool { return !g.Member })
	for i := range in {
		in[i].Manager = false
	}
	return in, err
}

// Groups returns a page of the groups that the actor knows.
func (v *Vault) Groups(ctx context.Context, a Actor, r NamesRequest) (items []GroupEntry, next string, err error) {
	q, err := r.query()
	if err != nil {
		return nil, "", err
	}
	limit := q.Limit
	q.Limit++
	err = v.db.View(ctx, func(tx Tx) error {
		p, err := asking(ctx, tx, a)
		if err != nil {
			return err
		}
		manages, scope := access.Manages(access.Role(p.Role)), GroupsBelongedTo
		switch {
		case access.Decide(access.Role(p.Role), access.GroupsSee, access.Vault) == access.Allowed:
			scope = GroupsAll
		case manages:
			scope = GroupsOwn
		}
		items, err = tx.Groups().List(ctx, p.ID, scope, q)
		for i := range items {
			items[i].Manager = items[i].Manager && manages
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return cutPage(r, items, limit, func(g GroupEntry) string { return g.NameKey })
}

// Group returns a group.
func (v *Vault) Group(ctx context.Context, a Actor, id GroupID) (g GroupEntry, err error) {
	err = v.db.View(ctx, func(tx Tx) error {
		_, g, err = groupFor(ctx, tx, a, id, access.GroupsSee)
		return err
	})
	return g, err
}

// Members returns a page of who is in a group.
func (v *Vault) Members(ctx context.Context, a Actor, id GroupID, r NamesRequest) (items []MemberEntry, next string, err error) {
	q, err := r.query()
	if err != nil {
		return nil, "", err
	}
	limit := q.Limit
	q.Limit++
	err = v.db.View(ctx, func(tx Tx) error {
		if _, _, err := groupFor(ctx, tx, a, id, access.GroupsSee); err != nil {
			return err
		}
		items, err = tx.Groups().Members(ctx, id, q)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return cutPage(r, items, limit, func(m MemberEntry) string { return NameKey(m.Name) })
}

// CreateGroup makes a group with a managed identity. The actor is its manager.
func (v *Vault) CreateGroup(ctx context.Context, a Actor, name string) (GroupEntry, error) {
	name = norm.NFC.String(name)
	if err := checkPersonName(name); err != nil {
		return GroupEntry{}, err
	}
	now := millis(v.now())
	g := Group{ID: GroupID(v.newID()), Name: name, NameKey: NameKey(name), CreatedAt: now, UpdatedAt: now}
	_, own, err := v.newManaged(Identity{Kind: KindGroup, Group: g.ID, Version: 1})
	if err != nil {
		return GroupEntry{}, err
	}
	made := GroupEntry{Group: g, Managers: 1, Manager: true}
	err = v.create(ctx, func(tx Tx) (any, error) {
		p, err := asking(ctx, tx, a)
		if err != nil {
			return nil, err
		}
		if err := permit(access.Decide(access.Role(p.Role), access.GroupsCreate, access.Vault)); err != nil {
			return nil, err
		}
		if err := errors.Join(tx.Groups().Insert(ctx, g), v.insertKey(ctx, tx, own)); err != nil {
			return nil, err
		}
		if err := v.recordKey(ctx, tx, audit.KeyPublished, &a, own, Person{}); err != nil {
			return nil, err
		}
		if err := v.record(ctx, tx, audit.GroupCreated, &a, audit.Values{"group": string(g.ID), "name": g.Name}, nil); err != nil {
			return nil, err
		}
		return made, v.putMember(ctx, tx, a, p, Membership{Group: g.ID, Person: p.ID, Manager: true, Since: now})
	})
	return made, err
}

// RenameGroup gives a group another name.
func (v *Vault) RenameGroup(ctx context.Context, a Actor, id GroupID, name string) (GroupEntry, error) {
	name = norm.NFC.String(name)
	if err := checkPersonName(name); err != nil {
		return GroupEntry{}, err
	}
	var g GroupEntry
	err := v.change(ctx, func(tx Tx) (err error) {
		if _, g, err = groupFor(ctx, tx, a, id, access.GroupsChange); err != nil || g.Name == name {
			return err
		}
		g.Name, g.NameKey, g.UpdatedAt = name, NameKey(name), millis(v.now())
		if err := tx.Groups().Update(ctx, g.Group); err != nil {
			return err
		}
		return v.record(ctx, tx, audit.GroupChanged, &a, audit.Values{"group": string(id), "name": name}, nil)
	})
	return g, err
}

// DeleteGroup removes a group. Its identity is retired and stays.
func (v *Vault) DeleteGroup(ctx context.Context, a Actor, id GroupID) error {
	return v.change(ctx, func(tx Tx) error {
		if _, _, err := groupFor(ctx, tx, a, id, access.GroupsDelete); err != nil {
			return err
		}
		row, err := tx.Identities().OfGroup(ctx, id)
		if err != nil {
			return mustBeThere("identity of group "+string(id), err)
		}
		if err := tx.Identities().Retire(ctx, row.ID, millis(v.now())); err != nil {
			return err
		}
		if err := tx.Groups().Delete(ctx, id); err != nil {
			return err
		}
		if err := v.recordKey(ctx, tx, audit.KeyRetired, &a, row, Person{}); err != nil {
			return err
		}
		return v.record(ctx, tx, audit.GroupDeleted, &a, audit.Values{"group": string(id)}, nil)
	})
}

// PutMember says what a person is in a group: a member, a manager or both.
func (v *Vault) PutMember(ctx context.Context, a Actor, m Membership) error {
	if !m.Member && !m.Manager {
		return &InvalidError{"member", "is false, and manager too; remove the person instead"}
	}
	return v.change(ctx, func(tx Tx) error {
		asker, g, err := groupFor(ctx, tx, a, m.Group, access.GroupsSee)
		if err != nil {
			return err
		}
		was, err := tx.Groups().Membership(ctx, m.Group, m.Person)
		if err != nil && !isMissing(err) {
			return err
		}
		if err := g.allows(asker, putActions(asker.ID, was, m)...); err != nil {
			return err
		}
		p, err := known(ctx, tx, asker, m.Person)
		if err != nil {
			return err
		}
		switch {
		case was.Member == m.Member && was.Manager == m.Manager:
			return nil
		case m.Member && !was.Member && p.ID != asker.ID && !access.TakesIn(access.Role(asker.Role), access.Role(p.Role)):
			return &InvalidError{"member", "is not for this person, who is an admin; ask an admin to add him"}
		case m.Manager && !was.Manager && !access.Manages(access.Role(p.Role)):
			return &InvalidError{"manager", "is not for this person, whose role is user; an admin makes him a manager first"}
		case was.Manager && !m.Manager:
			if err := v.dismiss(ctx, tx, a, p, m.Group); err != nil {
				return err
			}
		}
		if m.Since = was.Since; m.Since.IsZero() {
			m.Since = millis(v.now())
		}
		return v.putMember(ctx, tx, a, p, m)
	})
}

// putActions are what somebody does who makes of one membership another.
func putActions(asker PersonID, was, m Membership) (actions []access.Action) {
	self := m.Person == asker
	switch {
	case !self:
		actions = append(actions, access.GroupsMembers)
	case m.Member && !was.Member:
		actions = append(actions, access.GroupsJoin)
	case was.Member && !m.Member:
		actions = append(actions, access.GroupsLeave)
	}
	if m.Manager != was.Manager {
		actions = append(actions, access.GroupsManagers)
	}
	return actions
}

// known returns a person whom the asker may see, or find by name, as everybody may find who is active. Everybody else
// is answered like nobody.
func known(ctx context.Context, tx Tx, asker Person, id PersonID) (Person, error) {
	p, err := tx.People().ByID(ctx, id)
	if err != nil || p.Active {
		return p, err
	}
	to, err := relationsTo(ctx, tx, asker, p)
	if err == nil && access.DecideAny(access.Role(asker.Role), access.PeopleSee, to...) != access.Allowed {
		err = ErrNotFound
	}
	return p, err
}

// relationsTo returns what a person is to the asker. Nobody shares anything yet.
func relationsTo(ctx context.Context, tx Tx, asker, p Person) ([]access.Relation, error) {
	manages, together, err := tx.Groups().Acquainted(ctx, asker.ID, p.ID)
	return access.ToPerson(access.Role(asker.Role), access.Role(p.Role), access.Acquaintance{
		Same: asker.ID == p.ID, Manages: manages, Together: together,
	}), err
}

// staysManaged refuses to take the last manager from a group, whoever asks. Who is switched off or a user manages
// nothing, and so may always go.
func staysManaged(ctx context.Context, tx Tx, p Person, id GroupID) error {
	if !p.Active || !access.Manages(access.Role(p.Role)) {
		return nil
	}
	n, err := tx.Groups().OtherManagers(ctx, id, p.ID)
	if err == nil && n == 0 {
		err = ErrLastManager
	}
	return err
}

// dismiss does what goes before a manager of a group is none any more.
func (v *Vault) dismiss(ctx context.Context, tx Tx, a Actor, p Person, id GroupID) error {
	if err := staysManaged(ctx, tx, p, id); err != nil {
		return err
	}
	return v.withdrawInvitations(ctx, tx, a, p, id)
}

// RemoveMember takes a person out of a group, whatever he was in it; himself, he leaves.
func (v *Vault) RemoveMember(ctx context.Context, a Actor, id GroupID, person PersonID) error {
	return v.change(ctx, func(tx Tx) error {
		asker, g, err := groupFor(ctx, tx, a, id, access.GroupsSee)
		if err != nil {
			return err
		}
		was, err := tx.Groups().Membership(ctx, id, person)
		if err != nil && !isMissing(err) {
			return err
		}
		actions, reason := []access.Action{access.GroupsMembers}, "removed"
		switch {
		case person == asker.ID && !was.Member && was.Manager:
			actions, reason = []access.Action{access.GroupsManagers}, "left"
		case person == asker.ID:
			actions, reason = []access.Action{access.GroupsLeave}, "left"
		case was.Manager:
			actions = append(actions, access.GroupsManagers)
		}
		if failed := g.allows(asker, actions...); failed != nil {
			return failed
		}
		if err != nil { // nobody who is in the group
			return err
		}
		p, err := tx.People().ByID(ctx, person)
		if err != nil {
			return err
		}
		if was.Manager {
			if err := v.dismiss(ctx, tx, a, p, id); err != nil {
				return err
			}
		}
		return v.removeMember(ctx, tx, a, p, id, reason)
	})
}

// putMember keeps what a person is in a group, and records it.
func (v *Vault) putMember(ctx context.Context, tx Tx, a Actor, p Person, m Membership) error {
	if err := tx.Groups().Put(ctx, m); err != nil {
		return err
	}
	return v.record(ctx, tx, audit.MemberChanged, &a,
		audit.Values{"group": string(m.Group), "member": m.Member, "manager": m.Manager}, accountOf(p))
}

func (v *Vault) removeMember(ctx context.Context, tx Tx, a Actor, p Person, id GroupID, reason string) error {
	if err := tx.Groups().Remove(ctx, id, p.ID); err != nil {
		return err
	}
	return v.record(ctx, tx, audit.MemberRemoved, &a, audit.Values{"group": string(id), "reason": reason}, accountOf(p))
}

// leaveAll takes a person out of all groups, for he is erased.
func (v *Vault) leaveAll(ctx context.Context, tx Tx, a Actor, p Person) error {
	in, err := tx.Groups().OfPerson(ctx, p.ID)
	if err != nil {
		return err
	}
	for _, g := range in {
		if err := v.removeMember(ctx, tx, a, p, g.Group, "erased"); err != nil {
			return err
		}
	}
	return nil
}
