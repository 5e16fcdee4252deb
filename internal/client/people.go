package client

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strings"

	"stonevault/api"
)

// PeopleQuery asks for people. Empty fields ask for anybody.
type PeopleQuery struct {
	Name   string // part of the name
	Role   string
	Active *bool
	Group  string // the id of a group
	Sort   string // as the API takes it; empty is by name
}

// People yields those whom one may see, page after page as they are wanted.
func (c *Client) People(ctx context.Context, q PeopleQuery) iter.Seq2[api.PersonEntry, error] {
	limit := pageSize
	params := api.ListPeopleParams{
		Limit: &limit, NameContains: orNil(q.Name), Role: orNil(api.Role(q.Role)), Active: q.Active, Group: orNil(q.Group), Sort: orNil(q.Sort),
	}
	return listed(ctx, c, func(l *api.PersonList) ([]api.PersonEntry, string) { return l.Items, l.NextCursor },
		func(ctx context.Context, cursor *string, auth api.RequestEditorFn) (*http.Response, error) {
			params.Cursor = cursor
			return c.api.ListPeople(ctx, &params, auth)
		})
}

// FindPerson returns the id of whoever has this name; ErrNotFound where there is nobody of whom one may know.
func (c *Client) FindPerson(ctx context.Context, name string) (string, error) {
	found, err := ask[api.FoundPerson](ctx, c, "", func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.LookupPerson(ctx, &api.LookupPersonParams{Name: name}, auth)
	})
	switch {
	case err == nil:
		return found.ID, nil
	case !errors.Is(err, ErrNotFound):
		return "", err
	}
	for p, err := range c.People(ctx, PeopleQuery{Name: name}) { // those who are switched off are here alone
		if err != nil {
			return "", err
		}
		if strings.EqualFold(p.Name, name) {
			return p.ID, nil
		}
	}
	return "", ErrNotFound
}

// Person says what one may see of somebody.
func (c *Client) Person(ctx context.Context, person string) (*api.PersonEntry, error) {
	return ask[api.PersonEntry](ctx, c, "", func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.GetPerson(ctx, person, auth)
	})
}

// CreatePerson makes an account, with the link by which its person sets a password. An empty role is that of a user.
func (c *Client) CreatePerson(ctx context.Context, name, role string) (*api.PersonEntry, error) {
	p, err := document[api.PersonEntry](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.CreatePerson(ctx, nil, api.NewPerson{Name: name, Role: api.Role(role)}, auth)
	})
	if err != nil {
		return nil, err
	}
	p.Link = c.address(p.Link)
	return p, nil
}

// address completes a link of a server that cannot tell under which address it is reached.
func (c *Client) address(link string) string {
	if strings.HasPrefix(link, "/") {
		return c.options.Server + link
	}
	return link
}

// ChangePerson gives somebody another name or role, or switches the account on or off.
func (c *Client) ChangePerson(ctx context.Context, person string, change api.PersonChange) (*api.PersonEntry, error) {
	return document[api.PersonEntry](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.ChangePerson(ctx, person, nil, change, auth)
	})
}

// ResetPerson makes a link that sets somebody's password.
func (c *Client) ResetPerson(ctx context.Context, person string) (*api.ResetLink, error) {
	l, err := document[api.ResetLink](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.ResetPerson(ctx, person, nil, auth)
	})
	if err != nil {
		return nil, err
	}
	l.Link = c.address(l.Link)
	return l, nil
}

// ErasePerson erases an account with all of its files.
func (c *Client) ErasePerson(ctx context.Context, person string) error {
	return c.do(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.ErasePerson(ctx, person, nil, auth)
	})
}

// HandOver gives all files of somebody who is switched off to somebody else.
func (c *Client) HandOver(ctx context.Context, person, to string) (*api.HandOver, error) {
	return document[api.HandOver](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.HandOver(ctx, person, nil, api.HandOverRequest{To: to}, auth)
	})
}

// Invite makes a link by which somebody makes an account; group is empty for none, and days 0 for as long as the
// server does by itself.
func (c *Client) Invite(ctx context.Context, group string, days int) (*api.Invitation, error) {
	i, err := document[api.Invitation](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.Invite(ctx, nil, api.NewInvitation{Group: group, Days: days}, auth)
	})
	if err != nil {
		return nil, err
	}
	i.Link = c.address(i.Link)
	return i, nil
}

// Invitations yields those that were not used, the newest first.
func (c *Client) Invitations(ctx context.Context) iter.Seq2[api.Invitation, error] {
	limit, newest := pageSize, "-created_at"
	return listed(ctx, c, func(l *api.InvitationList) ([]api.Invitation, string) { return l.Items, l.NextCursor },
		func(ctx context.Context, cursor *string, auth api.RequestEditorFn) (*http.Response, error) {
			return c.api.ListInvitations(ctx, &api.ListInvitationsParams{Limit: &limit, Cursor: cursor, Sort: &newest}, auth)
		})
}

// WithdrawInvitation makes an invitation's link useless.
func (c *Client) WithdrawInvitation(ctx context.Context, id string) error {
	return c.do(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.WithdrawInvitation(ctx, id, nil, auth)
	})
}

// Settings are the vault's, with their ETag.
func (c *Client) Settings(ctx context.Context) (s *api.Settings, etag string, err error) {
	s, err = ask[api.Settings](ctx, c, "", func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
		resp, err := c.api.GetSettings(ctx, auth)
		if err == nil {
			etag = resp.Header.Get("ETag")
		}
		return resp, err
	})
	return s, etag, err
}

// ErrSettingsChanged is that somebody else has changed the settings meanwhile.
var ErrSettingsChanged = errors.New("somebody else has changed the settings at this moment; nothing was set. Look at them, and set it again")

// ChangeSettings replaces all of the settings, which have this ETag; ErrSettingsChanged where they have another.
func (c *Client) ChangeSettings(ctx context.Context, to *api.Settings, etag string) error {
	err := c.do(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.PutSettings(ctx, &api.PutSettingsParams{IfMatch: &etag}, *to, auth)
	})
	var p *Problem
	if errors.As(err, &p) && p.Status == http.StatusPreconditionFailed {
		return ErrSettingsChanged
	}
	return err
}
