package httpapi

import (
	"net/http"

	"stonevault/api"
	"stonevault/internal/auth"
)

func (a *API) signIn(c *call) error {
	var in api.SignIn
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	device := in.Device
	switch {
	case in.Cookies && device != "":
		return invalid("device", "does not go with cookies")
	case in.Cookies:
		device = cookie(c.r, deviceCookie)
	}
	g, err := a.Auth.SignIn(c.r.Context(), auth.Credentials{
		Name: in.Name, Password: in.Password, Code: in.Code, Client: in.Client, Device: device, Address: clientOf(c.r),
	})
	if err != nil {
		return err
	}
	if in.Cookies {
		if g.Device != "" {
			device = g.Device
		}
		setCookie(c, deviceCookie, device, auth.DeviceTTL)
	}
	return a.sendSession(c, g, in.Cookies)
}

func (a *API) refresh(c *call) error {
	var in api.Refresh
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	token := in.RefreshToken
	switch {
	case in.Cookies && token != "":
		return invalid("refresh_token", "does not go with cookies")
	case in.Cookies:
		token = cookie(c.r, refreshCookie)
	case token == "":
		return invalid("refresh_token", "is empty")
	}
	g, err := a.Auth.Refresh(c.r.Context(), token, clientOf(c.r))
	if err != nil {
		if in.Cookies && classify(err).kind.code == "session-ended" {
			dropCookies(c)
		}
		return err
	}
	return a.sendSession(c, g, in.Cookies)
}

func (a *API) signOut(c *call) error {
	if err := a.Auth.SignOut(c.r.Context(), c.who, clientOf(c.r)); err != nil {
		return err
	}
	if !hasAuthorization(c.r) {
		dropCookies(c)
	}
	return a.done(c)
}

// sendSession answers with a session, whose tokens are in the body or in cookies, and never in both.
func (a *API) sendSession(c *call, g auth.Grant, cookies bool) error {
	s := api.Session{
		AccessExpiresAt: g.AccessExpiresAt.UTC(), RefreshExpiresAt: g.RefreshExpiresAt.UTC(),
		Person: api.Person{ID: g.Principal.Person, Name: g.Principal.Name, Role: api.Role(g.Principal.Role)},
		Enrol:  g.Principal.Enrol,
	}
	if cookies {
		a.setCookies(c, g)
	} else {
		s.AccessToken, s.TokenType, s.RefreshToken, s.Device = g.AccessToken, api.SessionTokenTypeBearer, g.RefreshToken, g.Device
	}
	return writeJSON(c.w, http.StatusOK, s)
}

func (a *API) changePassword(c *call) error {
	var in api.PasswordChange
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	if err := a.Auth.ChangePassword(c.r.Context(), c.who, in.Current, in.New, clientOf(c.r)); err != nil {
		return err
	}
	return a.done(c)
}

// personIn is whom a path is about: the caller himself where it says "me". A text that is no id finds nobody.
func personIn(c *call) string {
	if person := c.r.PathValue("person"); person != "me" {
		return person
	}
	return c.who.Person
}

// pageIn reads which page of a list is asked for.
func pageIn(c *call) (query, auth.PageRequest, error) {
	q, err := readQuery(c.r, "limit", "cursor")
	if err != nil {
		return nil, auth.PageRequest{}, err
	}
	limit, err := q.number("limit", 1, maxLimit)
	return q, auth.PageRequest{Limit: limit, Cursor: q["cursor"]}, err
}

func (a *API) listSessions(c *call) error {
	q, r, err := pageIn(c)
	if err != nil {
		return err
	}
	page, err := a.Auth.Sessions(c.r.Context(), c.who, personIn(c), r)
	if err != nil {
		return err
	}
	list := api.SessionList{Items: []api.SessionEntry{}, NextCursor: page.Next}
	for _, s := range page.Items {
		list.Items = append(list.Items, api.SessionEntry{
			ID: s.ID, Client: s.Client, Address: s.Address, CreatedAt: s.CreatedAt, LastUsedAt: s.LastUsedAt,
			ExpiresAt: s.ExpiresAt, Current: s.ID == c.who.Session,
		})
	}
	if page.Next != "" {
		linkNext(c, q, page.Next)
	}
	return writeJSON(c.w, http.StatusOK, list)
}

func (a *API) endSession(c *call) error {
	person, session := personIn(c), c.r.PathValue("session")
	if err := a.Auth.EndSession(c.r.Context(), c.who, person, session, clientOf(c.r)); err != nil {
		return err
	}
	if session == c.who.Session && !hasAuthorization(c.r) {
		dropCookies(c)
	}
	return a.done(c)
}

func (a *API) endSessions(c *call) error {
	q, err := readQuery(c.r, "keep")
	if err != nil {
		return err
	}
	keep, said := q["keep"]
	if said && keep != "current" {
		return invalid("keep", `must be "current", or not there`)
	}
	person := personIn(c)
	if err := a.Auth.EndSessions(c.r.Context(), c.who, person, said, clientOf(c.r)); err != nil {
		return err
	}
	if !said && person == c.who.Person && !hasAuthorization(c.r) {
		dropCookies(c)
	}
	return a.done(c)
}
