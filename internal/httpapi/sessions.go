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
	g, err := a.Auth.SignIn(c.r.Context(), auth.Credentials{Name: in.Name, Password: in.Password, Client: in.Client, Address: clientOf(c.r)})
	if err != nil {
		return err
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
	}
	if cookies {
		a.setCookies(c, g)
	} else {
		s.AccessToken, s.TokenType, s.RefreshToken = g.AccessToken, api.SessionTokenTypeBearer, g.RefreshToken
	}
	return writeJSON(c.w, http.StatusOK, s)
}
