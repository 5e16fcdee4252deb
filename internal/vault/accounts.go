package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"stonevault/audit"
	"stonevault/internal/access"
)

const maxDisplayName = 100 // bytes

// ErrNameTaken is a name that somebody has already.
var ErrNameTaken = fmt.Errorf("%w: somebody has this name; choose another one", ErrExists)

// PeopleRequest asks for a page of people.
type PeopleRequest struct {
	Filter PeopleFilter
	Sort   string // "-created_at,name"; by name where empty
	Cursor string // the next of the page before
	Limit  int    // 1 to 1,000; 100 where 0
}

var peopleListing = listing[PersonEntry]{
	[]listingField[PersonEntry]{
		{SortName, func(e PersonEntry) any { return e.Person.NameKey }},
		{SortCreatedAt, func(e PersonEntry) any { return e.Person.CreatedAt.UnixMilli() }},
		{SortRole, func(e PersonEntry) any { return string(e.Person.Role) }},
	},
	func(e PersonEntry) string { return string(e.Person.ID) },
}

// People returns a page of those whom the actor may see.
func (v *Vault) People(ctx context.Context, a Actor, r PeopleRequest) (items []PersonEntry, next string, err error) {
	keys, after, err := peopleListing.parse(r.Sort, r.Cursor)
	if err != nil {
		return nil, "", err
	}
	limit, err := pageLimit(r.Limit)
	if err != nil {
		return nil, "", err
	}
	if role := r.Filter.Role; role != "" && !role.valid() {
		return nil, "", &InvalidError{"role", "is not admin, manager or user"}
	}
	err = v.db.View(ctx, func(tx Tx) error {
		asker, err := asking(ctx, tx, a)
		if err != nil {
			return err
		}
		if g := r.Filter.Group; g != "" {
			if _, _, err := groupFor(ctx, tx, a, g, access.GroupsSee); err != nil {
				return err
			}
		}
		items, err = tx.People().List(ctx, PeopleQuery{Viewer: viewer(asker), Filter: r.Filter, Sort: keys, After: after, Limit: limit + 1})
		if err != nil {
			return err
		}
		if items, next, err = peopleListing.next(items, limit, r.Sort, keys); err != nil {
			return err
		}
		limits, err := settings(ctx, tx)
		for i := range items {
			if err == nil {
				err = items[i].complete(ctx, tx, asker, limits)
			}
		}
		return err
	})
	return items, next, err
}

// complete fills in what depends on who looks, and the limits of those who have none of their own.
func (e *PersonEntry) complete(ctx context.Context, tx Tx, asker Person, s Settings) error {
	to, err := relationsTo(ctx, tx, asker, e.Person)
	if err != nil {
		return err
	}
	e.Private = access.DecideAny(access.Role(asker.Role), access.QuotasSee, to...) == access.Allowed
	if !e.OwnLimits {
		e.BytesLimit, e.FilesLimit = s.DefaultBytes, s.DefaultFiles
	}
	return nil
}

func (v *Vault) personEntry(ctx context.Context, tx Tx, asker Person, id PersonID) (PersonEntry, error) {
	e, err := tx.People().Entry(ctx, viewer(asker), id)
	if err != nil {
		return e, err
	}
	s, err := settings(ctx, tx)
	if err != nil {
		return e, err
	}
	return e, e.complete(ctx, tx, asker, s)
}

// Person returns one person, as far as the actor may see.
func (v *Vault) Person(ctx context.Context, a Actor, id PersonID) (e PersonEntry, err error) {
	err = v.db.View(ctx, func(tx Tx) error {
		asker, _, err := personFor(ctx, tx, a, id, access.PeopleSee)
		if err != nil {
			return err
		}
		e, err = v.personEntry(ctx, tx, asker, id)
		return err
	})
	return e, err
}

// FindPerson finds somebody who is active by the exact name, to share with.
func (v *Vault) FindPerson(ctx context.Context, a Actor, name string) (Profile, error) {
	var found Profile
	err := v.db.View(ctx, func(tx Tx) error {
		asker, err := asking(ctx, tx, a)
		if err != nil {
			return err
		}
		if err := permit(access.Decide(access.Role(asker.Role), access.PeopleFind, access.Vault)); err != nil {
			return err
		}
		p, err := tx.People().ByNameKey(ctx, NameKey(name))
		if err != nil {
			return err
		}
		if !p.Active {
			return ErrNotFound
		}
		found, err = v.publicProfile(ctx, tx, p)
		return err
	})
	return found, err
}

// AddPerson makes an account without a password, and a link of this hash by which its person sets one.
func (v *Vault) AddPerson(ctx context.Context, a Actor, name string, role Role, link []byte) (e PersonEntry, l Link, err error) {
	if !role.valid() {
		return e, l, &InvalidError{"role", "is not admin, manager or user"}
	}
	_, _, err = v.createPerson(ctx, a, "admin", name, role, "", founding{
		allowed: func(tx Tx) error {
			asker, err := asking(ctx, tx, a)
			if err != nil {
				return err
			}
			return permit(access.Decide(access.Role(asker.Role), access.AccountsCreate, access.Vault))
		},
		also: func(tx Tx, p Person) error {
			if l, err = v.makeResetLink(ctx, tx, a, p, link, accountLinkLife); err != nil {
				return err
			}
			asker, err := asking(ctx, tx, a)
			if err != nil {
				return err
			}
			e, err = v.personEntry(ctx, tx, asker, p.ID)
			return err
		},
	})
	return e, l, err
}

// PersonChange is what becomes of an account; nil stays as it is.
type PersonChange struct {
	Name   *string
	Role   *Role
	Active *bool
}

func (c PersonChange) actions() (needed []access.Action) {
	if c.Name != nil {
		needed = append(needed, access.AccountsRename)
	}
	if c.Role != nil {
		needed = append(needed, access.AccountsRole)
	}
	switch {
	case c.Active == nil:
	case *c.Active:
		needed = append(needed, access.AccountsReactivate)
	default:
		needed = append(needed, access.AccountsDeactivate)
	}
	return needed
}

func (c *PersonChange) check() error {
	if c.Name == nil && c.Role == nil && c.Active == nil {
		return &InvalidError{"active", "is missing, and name and role too; say what is to be changed"}
	}
	if c.Name != nil {
		name := norm.NFC.String(*c.Name)
		if err := checkPersonName(name); err != nil {
			return err
		}
		c.Name = &name
	}
	if c.Role != nil && !c.Role.valid() {
		return &InvalidError{"role", "is not admin, manager or user"}
	}
	return nil
}

// ChangePerson gives an account another name or role, or switches it on or off. Another role ends the person's
// sessions, so that nothing that was allowed before goes on.
func (v *Vault) ChangePerson(ctx context.Context, a Actor, id PersonID, c PersonChange) (e PersonEntry, err error) {
	if err := c.check(); err != nil {
		return e, err
	}
	err = v.change(ctx, func(tx Tx) error {
		asker, p, err := personFor(ctx, tx, a, id, c.actions()...)
		if err != nil {
			return err
		}
		if err := v.changePerson(ctx, tx, a, p, c); err != nil {
			return err
		}
		if asker.ID == p.ID { // whose new role counts from now on
			if asker, err = tx.People().ByID(ctx, p.ID); err != nil {
				return err
			}
		}
		e, err = v.personEntry(ctx, tx, asker, id)
		return err
	})
	return e, err
}

// changePerson does what ChangePerson says, and records it.
func (v *Vault) changePerson(ctx context.Context, tx Tx, a Actor, was Person, c PersonChange) error {
	p := was
	if c.Name != nil {
		p.Name, p.NameKey = *c.Name, NameKey(*c.Name)
	}
	if c.Role != nil {
		p.Role = *c.Role
	}
	if c.Active != nil {
		p.Active = *c.Active
	}
	if p == was {
		return nil
	}
	if p.NameKey != was.NameKey {
		if _, err := tx.People().ByNameKey(ctx, p.NameKey); !isMissing(err) {
			return errors.Join(ErrNameTaken, err)
		}
	}
	if err := v.keepsAdmin(ctx, tx, was, p); err != nil {
		return err
	}
	p.UpdatedAt = millis(v.now())
	again := p.Role != was.Role || p.Active != was.Active
	if again {
		p.Epoch++
	}
	if err := tx.People().Update(ctx, p); err != nil {
		return err
	}
	for _, change := range []struct {
		what, value string
		changed     bool
	}{
		{"name", "", p.Name != was.Name},
		{"role", string(p.Role), p.Role != was.Role},
		{"active", fmt.Sprint(p.Active), p.Active != was.Active},
	} {
		if !change.changed {
			continue
		}
		err := v.record(ctx, tx, audit.AccountChanged, &a, audit.Values{"what": change.what, "value": change.value, "by": madeBy(a)}, accountOf(p))
		if err != nil {
			return err
		}
	}
	switch {
	case !p.Active && was.Active:
		return v.shutOut(ctx, tx, a, p)
	case again:
		return errors.Join(v.endSessions(ctx, tx, a, p, "revoked"), v.withdrawLinksBy(ctx, tx, a, p))
	}
	return nil
}

// madeBy says in events who changed an account that is not his own.
func madeBy(a Actor) string {
	if a.Person == "" {
		return "command"
	}
	return "admin"
}

// keepsAdmin refuses a change that takes away the last active admin.
func (v *Vault) keepsAdmin(ctx context.Context, tx Tx, was, p Person) error {
	admins, err := tx.People().Count(ctx, RoleAdmin)
	if err != nil {
		return err
	}
	return access.KeepsAdmin(admins, standing(was), standing(p))
}

func standing(p Person) access.Standing {
	return access.Standing{Role: access.Role(p.Role), Active: p.Active}
}

// shutOut ends everything by which a person who was switched off could still act.
func (v *Vault) shutOut(ctx context.Context, tx Tx, a Actor, p Person) error {
	if err := v.endSessions(ctx, tx, a, p, "deactivated"); err != nil {
		return err
	}
	if n, err := tx.People().RevokeTokens(ctx, p.ID, millis(v.now())); err != nil {
		return err
	} else if n > 0 {
		err := v.record(ctx, tx, audit.TokenRevoked, &a, audit.Values{"token": "", "all": true, "reason": "deactivated"}, accountOf(p))
		if err != nil {
			return err
		}
	}
	if err := tx.Links().DeleteOf(ctx, p.ID); err != nil {
		return err
	}
	return v.withdrawLinksBy(ctx, tx, a, p)
}

func (v *Vault) endSessions(ctx context.Context, tx Tx, a Actor, p Person, reason string) error {
	n, err := tx.People().EndSessions(ctx, p.ID, millis(v.now()))
	if err != nil || n == 0 {
		return err
	}
	return v.record(ctx, tx, audit.SessionEnded, &a, audit.Values{"reason": reason, "all": true}, accountOf(p))
}

// ChangeProfile says what the actor wants to be called.
func (v *Vault) ChangeProfile(ctx context.Context, a Actor, displayName string) (Profile, error) {
	displayName = norm.NFC.String(displayName)
	switch {
	case len(displayName) > maxDisplayName:
		return Profile{}, &InvalidError{"display_name", fmt.Sprintf("is longer than %d bytes", maxDisplayName)}
	case !utf8.ValidString(displayName) || strings.ContainsFunc(displayName, func(r rune) bool { return !unicode.IsPrint(r) }):
		return Profile{}, &InvalidError{"display_name", "has characters that cannot be shown"}
	case strings.TrimSpace(displayName) != displayName:
		return Profile{}, &InvalidError{"display_name", "begins or ends with a space"}
	}
	var profile Profile
	err := v.change(ctx, func(tx Tx) error {
		p, _, err := personFor(ctx, tx, a, a.Person, access.ProfileChange)
		if err != nil {
			return err
		}
		if p.DisplayName != displayName {
			p.DisplayName, p.UpdatedAt = displayName, millis(v.now())
			if err := tx.People().Update(ctx, p); err != nil {
				return err
			}
			err := v.record(ctx, tx, audit.AccountChanged, &a, audit.Values{"what": "profile", "value": "", "by": "self"}, accountOf(p))
			if err != nil {
				return err
			}
		}
		profile, err = v.profile(ctx, tx, p)
		return err
	})
	return profile, err
}
