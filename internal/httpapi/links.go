package httpapi

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"

	"stonevault/api"
	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

// linkAddress is the address of a one-time link as whoever asked reaches this server. What stands behind # is sent to
// no server.
func linkAddress(r *http.Request, kind vault.LinkKind, link auth.LinkText) string {
	page := "/join#"
	if kind == vault.LinkReset {
		page = "/reset#"
	}
	return origin(r) + page + link.Text()
}

const (
	maxLinkText   = 64 // bytes of what may be a link
	maxPersonName = 64
)

// sized refuses a text that is empty or too long, before anything is made of it.
func sized(field, text string, most int) error {
	switch {
	case text == "":
		return invalid(field, "is empty")
	case len(text) > most:
		return invalid(field, "is longer than "+strconv.Itoa(most)+" bytes")
	}
	return nil
}

// linkHash reads a link that somebody shows. What is none is answered like one that is over.
func linkHash(text string) ([]byte, error) {
	if err := sized("link", text, maxLinkText); err != nil {
		return nil, err
	}
	link, ok := auth.ParseLinkText(text)
	if !ok {
		return nil, vault.ErrLinkOver
	}
	return link.Hash(), nil
}

// stranger is who acts without an account. What the device calls itself is not kept: nobody vouches for it, and what
// no person is named beside cannot be erased with one.
func (c *call) stranger() vault.Actor { return vault.Actor{Address: clientOf(c.r)} }

func (a *API) resetPerson(c *call) error {
	link, err := auth.NewLinkText(rand.Reader)
	if err != nil {
		return err
	}
	l, err := a.Vault.ResetPerson(c.r.Context(), c.actor(), personID(c), link.Hash())
	if err != nil {
		return err
	}
	out := api.ResetLink{Link: linkAddress(c.r, l.Kind, link), ExpiresAt: l.ExpiresAt.UTC()}
	_, out.Receipt = a.receiptOf(c)
	return writeJSON(c.w, http.StatusCreated, out)
}

func (a *API) invite(c *call) error {
	var in struct {
		Group string `json:"group"`
		Days  *int   `json:"days"`
	}
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	if in.Group != "" && !isID(in.Group) {
		return invalid("group", "must be 32 lower-case hex digits")
	}
	days := 0 // the usual ones
	if in.Days != nil {
		if days = *in.Days; days < 1 {
			return invalid("days", "is less than 1")
		}
	}
	link, err := auth.NewLinkText(rand.Reader)
	if err != nil {
		return err
	}
	i, err := a.Vault.Invite(c.r.Context(), c.actor(), vault.GroupID(in.Group), days, link.Hash())
	if err != nil {
		return err
	}
	out := invitationOf(i)
	out.Link = linkAddress(c.r, i.Link.Kind, link)
	_, out.Receipt = a.receiptOf(c)
	return writeJSON(c.w, http.StatusCreated, out)
}

func (a *API) invitations(c *call) error {
	q, err := readQuery(c.r, "limit", "cursor", "sort", "group")
	if err != nil {
		return err
	}
	r := vault.InvitationsRequest{Group: vault.GroupID(q["group"]), Sort: q["sort"], Cursor: q["cursor"]}
	if r.Limit, err = q.number("limit", 1, maxLimit); err != nil {
		return err
	}
	if _, ok := q["group"]; ok && !isID(q["group"]) {
		return invalid("group", "must be 32 lower-case hex digits")
	}
	items, next, err := a.Vault.Invitations(c.r.Context(), c.actor(), r)
	if err != nil {
		return err
	}
	out := api.InvitationList{Items: make([]api.Invitation, len(items)), NextCursor: next}
	for n, i := range items {
		out.Items[n] = invitationOf(i)
	}
	if next != "" {
		linkNext(c, q, next)
	}
	return writeJSON(c.w, http.StatusOK, out)
}

func (a *API) withdraw(c *call) error {
	id := c.r.PathValue("id")
	if !isID(id) {
		return invalid("id", "must be 32 lower-case hex digits")
	}
	if err := a.Vault.Withdraw(c.r.Context(), c.actor(), vault.LinkID(id)); err != nil {
		return err
	}
	return a.done(c)
}

func invitationOf(i vault.Invitation) api.Invitation {
	return api.Invitation{
		ID: string(i.Link.ID), Group: string(i.Link.Group), GroupName: i.GroupName, MadeBy: string(i.Link.MadeBy),
		MadeByName: i.MadeByName, CreatedAt: i.Link.CreatedAt.UTC(), ExpiresAt: i.Link.ExpiresAt.UTC(),
	}
}

func (a *API) lookAtLink(c *call) error {
	var in api.LinkLook
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	hash, err := linkHash(in.Link)
	if err != nil {
		return err
	}
	view, err := a.Vault.LookAtLink(c.r.Context(), hash)
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, api.Link{Kind: api.LinkKind(view.Kind), Name: view.Name, Group: view.Group, ExpiresAt: view.ExpiresAt.UTC()})
}

// join makes an account. Only who holds a link makes the server hash a password.
func (a *API) join(c *call) error {
	var in api.Join
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	if err := errors.Join(sized("name", in.Name, maxPersonName), sized("password", in.Password, auth.MaxPasswordBytes)); err != nil {
		return err
	}
	link, err := linkHash(in.Link)
	if err != nil {
		return err
	}
	ctx := c.r.Context()
	view, err := a.Vault.LookAtLink(ctx, link)
	if err != nil {
		return err
	}
	if view.Kind != vault.LinkInvitation {
		return vault.ErrLinkOver
	}
	hash, err := a.Auth.HashPassword(ctx, auth.Policy{Name: in.Name, SecondFactor: view.SecondFactor}, in.Password)
	if err != nil {
		return err
	}
	p, err := a.Vault.Join(ctx, c.stranger(), link, in.Name, hash)
	return a.welcome(c, p, err)
}

func (a *API) makeOwnAccount(c *call) error {
	var in api.Registration
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	if err := errors.Join(sized("name", in.Name, maxPersonName), sized("password", in.Password, auth.MaxPasswordBytes)); err != nil {
		return err
	}
	ctx := c.r.Context()
	secondFactor, err := a.Vault.Registration(ctx)
	if err != nil {
		return err
	}
	hash, err := a.Auth.HashPassword(ctx, auth.Policy{Name: in.Name, SecondFactor: secondFactor}, in.Password)
	if err != nil {
		return err
	}
	p, err := a.Vault.Register(ctx, c.stranger(), in.Name, hash)
	return a.welcome(c, p, err)
}

// welcome answers whoever has made an account.
func (a *API) welcome(c *call, p vault.Person, err error) error {
	if err != nil {
		return taken(err)
	}
	return writeJSON(c.w, http.StatusCreated, api.Person{ID: string(p.ID), Name: p.Name, Role: api.Role(p.Role)})
}

func (a *API) setPasswordByLink(c *call) error {
	var in api.LinkReset
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	if err := sized("password", in.Password, auth.MaxPasswordBytes); err != nil {
		return err
	}
	link, err := linkHash(in.Link)
	if err != nil {
		return err
	}
	ctx := c.r.Context()
	view, err := a.Vault.LookAtLink(ctx, link)
	if err != nil {
		return err
	}
	if view.Kind != vault.LinkReset {
		return vault.ErrLinkOver
	}
	hash, err := a.Auth.HashPassword(ctx, auth.Policy{Name: view.Name, SecondFactor: view.SecondFactor}, in.Password)
	if err != nil {
		return err
	}
	if _, err := a.Vault.SetPasswordByLink(ctx, c.stranger(), link, hash); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
