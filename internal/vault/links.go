package vault

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
)

const (
	accountLinkLife = 7 * 24 * time.Hour // of a link by which the person of a new account sets the first password
	resetLinkLife   = 24 * time.Hour
	inviteDays      = 7
	maxInviteDays   = 30
)

var (
	// ErrLinkOver is a link that was used, withdrawn, invented, or that is too old. Which of them is said to nobody.
	ErrLinkOver = errors.New("the link does not work any more")
	// ErrClosed is a vault in which nobody makes an account for himself.
	ErrClosed = errors.New("nobody may make an account for himself here")
)

// LinkView is what a link is for, as it is shown to whoever holds it.
type LinkView struct {
	Kind         LinkKind
	Name         string // of the person whose password a LinkReset sets
	Group        string // name of the group of a LinkInvitation, or empty
	ExpiresAt    time.Time
	SecondFactor bool // the account has one, or must set one up first
}

// linkFor returns a link that still works.
func (v *Vault) linkFor(ctx context.Context, tx Tx, hash []byte, kinds ...LinkKind) (Link, error) {
	l, err := tx.Links().ByHash(ctx, hash)
	if isMissing(err) {
		return Link{}, ErrLinkOver
	}
	if err != nil {
		return Link{}, err
	}
	same := subtle.ConstantTimeCompare(l.Hash, hash) == 1
	if !same || !v.now().Before(l.ExpiresAt) || !slices.Contains(kinds, l.Kind) {
		return Link{}, ErrLinkOver
	}
	return l, nil
}

// LookAtLink tells whoever holds a link what it is for.
func (v *Vault) LookAtLink(ctx context.Context, hash []byte) (view LinkView, err error) {
	err = v.db.View(ctx, func(tx Tx) error {
		l, err := v.linkFor(ctx, tx, hash, LinkInvitation, LinkReset)
		if err != nil {
			return err
		}
		s, err := settings(ctx, tx)
		if err != nil {
			return err
		}
		view = LinkView{Kind: l.Kind, ExpiresAt: l.ExpiresAt, SecondFactor: s.needsFactor(RoleUser)}
		if l.Person != "" {
			e, err := tx.People().Entry(ctx, Viewer{}, l.Person)
			if err != nil {
				return err
			}
			view.Name, view.SecondFactor = e.Person.Name, e.SecondFactor || s.needsFactor(e.Person.Role)
		}
		if l.Group != "" {
			g, err := tx.Groups().ByID(ctx, l.Group, "")
			if err != nil {
				return err
			}
			view.Group = g.Name
		}
		return nil
	})
	return view, err
}

// Join makes a user's account by an invitation, which is over then.
func (v *Vault) Join(ctx context.Context, a Actor, hash []byte, name, passwordHash string) (Person, error) {
	var l Link
	p, _, err := v.createPerson(ctx, a, "invitation", name, RoleUser, passwordHash, founding{
		allowed: func(tx Tx) (err error) {
			if l, err = v.linkFor(ctx, tx, hash, LinkInvitation); err != nil {
				return err
			}
			return tx.Links().Delete(ctx, l.ID)
		},
		also: func(tx Tx, p Person) error {
			if err := v.recordInvitation(ctx, tx, a, l, "used", accountOf(p)); err != nil || l.Group == "" {
				return err
			}
			return v.putMember(ctx, tx, a, p, Membership{Group: l.Group, Person: p.ID, Member: true, Since: p.CreatedAt})
		},
	})
	return p, err
}

// Register makes a user's account for whoever asks, where the settings allow it.
func (v *Vault) Register(ctx context.Context, a Actor, name, passwordHash string) (Person, error) {
	p, _, err := v.createPerson(ctx, a, "registration", name, RoleUser, passwordHash, founding{allowed: func(tx Tx) error {
		s, err := settings(ctx, tx)
		if err == nil && s.Registration != registrationOpen {
			err = ErrClosed
		}
		return err
	}})
	return p, err
}

// Registration is ErrClosed where nobody may make an account for himself, and tells whether who does must set up a
// second factor.
func (v *Vault) Registration(ctx context.Context) (secondFactor bool, err error) {
	err = v.db.View(ctx, func(tx Tx) error {
		s, err := settings(ctx, tx)
		if err == nil && s.Registration != registrationOpen {
			err = ErrClosed
		}
		secondFactor = s.needsFactor(RoleUser)
		return err
	})
	return secondFactor, err
}

// SetPasswordByLink sets the password of a link's person, and ends the person's sessions and links. A second factor
// stays, so that who has stolen a link alone gets nowhere.
func (v *Vault) SetPasswordByLink(ctx context.Context, a Actor, hash []byte, passwordHash string) (p Person, err error) {
	err = v.change(ctx, func(tx Tx) error {
		l, err := v.linkFor(ctx, tx, hash, LinkReset)
		if err != nil {
			return err
		}
		if p, err = tx.People().ByID(ctx, l.Person); err != nil {
			return err
		}
		if err := tx.Links().DeleteOf(ctx, p.ID); err != nil {
			return err
		}
		p.PasswordHash, p.UpdatedAt = passwordHash, millis(v.now())
		p.Epoch++
		if err := tx.People().Update(ctx, p); err != nil {
			return err
		}
		if err := v.recordReset(ctx, tx, a, p, l, "used"); err != nil {
			return err
		}
		err = v.record(ctx, tx, audit.AccountChanged, &a, audit.Values{"what": "password", "value": "", "by": "link"}, accountOf(p))
		if err != nil {
			return err
		}
		return v.endSessions(ctx, tx, a, p, "password-changed")
	})
	return p, err
}

// ResetPerson makes a link of this hash that sets a person's password. Older ones of the person are over.
func (v *Vault) ResetPerson(ctx context.Context, a Actor, id PersonID, hash []byte) (l Link, err error) {
	err = v.change(ctx, func(tx Tx) error {
		_, p, err := personFor(ctx, tx, a, id, access.AccountsReset)
		if err != nil {
			return err
		}
		if err := tx.Links().DeleteOf(ctx, id); err != nil {
			return err
		}
		life := resetLinkLife
		if p.PasswordHash == "" {
			life = accountLinkLife
		}
		l, err = v.makeResetLink(ctx, tx, a, p, hash, life)
		return err
	})
	return l, err
}

func (v *Vault) makeResetLink(ctx context.Context, tx Tx, a Actor, p Person, hash []byte, life time.Duration) (Link, error) {
	now := millis(v.now())
	l := Link{ID: LinkID(v.newID()), Hash: hash, Kind: LinkReset, Person: p.ID, MadeBy: a.Person, CreatedAt: now, ExpiresAt: now.Add(life)}
	if err := tx.Links().Insert(ctx, l); err != nil {
		return l, err
	}
	return l, v.recordReset(ctx, tx, a, p, l, "created")
}

func (v *Vault) recordReset(ctx context.Context, tx Tx, a Actor, p Person, l Link, what string) error {
	return v.record(ctx, tx, audit.AccountReset, &a, audit.Values{"what": what, "expires": l.ExpiresAt.UnixMilli()}, accountOf(p))
}

func (v *Vault) recordInvitation(ctx context.Context, tx Tx, a Actor, l Link, what string, subject audit.Values) error {
	return v.record(ctx, tx, audit.AccountInvited, &a, audit.Values{
		"invitation": string(l.ID), "what": what, "group": string(l.Group), "expires": l.ExpiresAt.UnixMilli(),
	}, subject)
}

// mayInvite refuses whoever may not invite into a group, or, where that is empty, into the vault alone. A group that
// he may not know of is missing.
func mayInvite(ctx context.Context, tx Tx, a Actor, asker Person, group GroupID) (name string, err error) {
	if group == "" {
		return "", permit(access.Decide(access.Role(asker.Role), access.PeopleInvite, access.Vault))
	}
	_, g, err := groupFor(ctx, tx, a, group, access.GroupsSee)
	if err != nil {
		return "", err
	}
	to := append(access.ToGroup(access.Role(asker.Role), g.Member, g.Manager), access.Vault)
	return g.Name, permit(access.DecideAny(access.Role(asker.Role), access.PeopleInvite, to...))
}

// Invite makes a link of this hash by which somebody makes an account, in a group where that is not empty.
func (v *Vault) Invite(ctx context.Context, a Actor, group GroupID, days int, hash []byte) (i Invitation, err error) {
	if days == 0 {
		days = inviteDays
	}
	if days < 1 || days > maxInviteDays {
		return i, &InvalidError{"days", fmt.Sprintf("is not from 1 to %d", maxInviteDays)}
	}
	err = v.change(ctx, func(tx Tx) error {
		asker, err := asking(ctx, tx, a)
		if err != nil {
			return err
		}
		name, err := mayInvite(ctx, tx, a, asker, group)
		if err != nil {
			return err
		}
		now := millis(v.now())
		i = Invitation{GroupName: name, MadeByName: asker.Name, Link: Link{
			ID: LinkID(v.newID()), Hash: hash, Kind: LinkInvitation, Group: group, MadeBy: asker.ID,
			CreatedAt: now, ExpiresAt: now.AddDate(0, 0, days),
		}}
		if err := tx.Links().Insert(ctx, i.Link); err != nil {
			return err
		}
		return v.recordInvitation(ctx, tx, a, i.Link, "created", nil)
	})
	return i, err
}

// InvitationsRequest asks for a page of invitations.
type InvitationsRequest struct {
	Group  GroupID
	Sort   string // "created_at", also where empty, or "expires_at", or one of them after "-"
	Cursor string // the next of the page before
	Limit  int    // 1 to 1,000; 100 where 0
}

var invitationListing = listing[Invitation]{
	[]listingField[Invitation]{
		{SortCreatedAt, func(i Invitation) any { return i.Link.CreatedAt.UnixMilli() }},
		{SortExpiresAt, func(i Invitation) any { return i.Link.ExpiresAt.UnixMilli() }},
	},
	func(i Invitation) string { return string(i.Link.ID) },
}

// Invitations returns a page of those that wait: all of them for admins, and for managers those into their groups.
func (v *Vault) Invitations(ctx context.Context, a Actor, r InvitationsRequest) (items []Invitation, next string, err error) {
	keys, after, err := invitationListing.parse(r.Sort, r.Cursor)
	if err != nil {
		return nil, "", err
	}
	limit, err := pageLimit(r.Limit)
	if err != nil {
		return nil, "", err
	}
	err = v.db.View(ctx, func(tx Tx) error {
		asker, err := asking(ctx, tx, a)
		if err != nil {
			return err
		}
		if err := permit(access.Best(access.Role(asker.Role), access.PeopleInvite)); err != nil {
			return err
		}
		if r.Group != "" {
			if _, err := mayInvite(ctx, tx, a, asker, r.Group); err != nil {
				return err
			}
		}
		items, err = tx.Links().Invitations(ctx, InvitationQuery{
			Viewer: viewer(asker), At: millis(v.now()), Group: r.Group, Sort: keys, After: after, Limit: limit + 1,
		})
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return invitationListing.next(items, limit, r.Sort, keys)
}

// Withdraw takes an invitation back. Whoever may not make it is told that there is none.
func (v *Vault) Withdraw(ctx context.Context, a Actor, id LinkID) error {
	return v.change(ctx, func(tx Tx) error {
		asker, err := asking(ctx, tx, a)
		if err != nil {
			return err
		}
		l, err := tx.Links().ByID(ctx, id)
		if err != nil {
			return err
		}
		if _, err := mayInvite(ctx, tx, a, asker, l.Group); errors.Is(err, ErrForbidden) {
			return ErrNotFound
		} else if err != nil {
			return err
		}
		if l.Kind != LinkInvitation || !v.now().Before(l.ExpiresAt) {
			return ErrNotFound
		}
		return v.withdraw(ctx, tx, a, l)
	})
}

func (v *Vault) withdraw(ctx context.Context, tx Tx, a Actor, l Link) error {
	if err := tx.Links().Delete(ctx, l.ID); err != nil || l.Kind != LinkInvitation {
		return err
	}
	return v.recordInvitation(ctx, tx, a, l, "withdrawn", nil)
}

// withdrawLinksBy ends the links that a person has made, who may have kept them and may not have made them now.
func (v *Vault) withdrawLinksBy(ctx context.Context, tx Tx, a Actor, p Person) error {
	made, err := tx.Links().MadeBy(ctx, p.ID)
	for _, l := range made {
		if err == nil {
			err = v.withdraw(ctx, tx, a, l)
		}
	}
	return err
}

// withdrawInvitations ends the invitations into a group of somebody who manages it no more: with one that he has kept,
// he could come back under another name. Whoever may invite into any group may make them now as well.
func (v *Vault) withdrawInvitations(ctx context.Context, tx Tx, a Actor, p Person, group GroupID) error {
	if access.Decide(access.Role(p.Role), access.PeopleInvite, access.Vault) == access.Allowed {
		return nil
	}
	made, err := tx.Links().MadeBy(ctx, p.ID)
	for _, l := range made {
		if err == nil && l.Group == group {
			err = v.withdraw(ctx, tx, a, l)
		}
	}
	return err
}
