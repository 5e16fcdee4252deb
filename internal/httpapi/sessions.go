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
	g, err := a.Auth.SignIn(c.r.Context(), auth.Credentials{Name: in.Name, Password: in.Password, Client: in.Client})
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, sessionOf(g))
}

func (a *API) refresh(c *call) error {
	var in api.Refresh
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	if in.RefreshToken == "" {
		return invalid("refresh_token", "is empty")
	}
	g, err := a.Auth.Refresh(c.r.Context(), in.RefreshToken)
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, sessionOf(g))
}

func (a *API) signOut(c *call) error {
	if err := a.Auth.SignOut(c.r.Context(), c.who); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func sessionOf(g auth.Grant) api.Session {
	return api.Session{
		AccessToken: g.AccessToken, TokenType: api.SessionTokenTypeBearer, AccessExpiresAt: g.AccessExpiresAt.UTC(),
		RefreshToken: g.RefreshToken, RefreshExpiresAt: g.RefreshExpiresAt.UTC(),
		Person: api.Person{ID: g.Principal.Person, Name: g.Principal.Name, Role: api.Role(g.Principal.Role)},
	}
}
