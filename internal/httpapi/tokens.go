package httpapi

import (
	"net/http"
	"time"

	"stonevault/api"
	"stonevault/internal/auth"
)

func (a *API) createToken(c *call) error {
	// The scopes are read as text, so that an unknown one is named as such.
	var in struct {
		Name      string   `json:"name"`
		Scopes    []string `json:"scopes"`
		ExpiresAt string   `json:"expires_at"`
	}
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	expires, err := parseModifiedAt("expires_at", in.ExpiresAt)
	if err != nil {
		return err
	}
	text, t, err := a.Auth.CreateAPIToken(c.r.Context(), c.who, in.Name, in.Scopes, expires, clientOf(c.r))
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusCreated, api.NewAPIToken{
		ID: t.ID, Name: t.Name, Scopes: scopesOf(t), CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, Token: text.Text(),
	})
}

func (a *API) listTokens(c *call) error {
	q, r, err := pageIn(c)
	if err != nil {
		return err
	}
	page, err := a.Auth.APITokens(c.r.Context(), c.who, personIn(c), r)
	if err != nil {
		return err
	}
	list := api.APITokenList{Items: []api.APIToken{}, NextCursor: page.Next}
	for _, t := range page.Items {
		list.Items = append(list.Items, api.APIToken{
			ID: t.ID, Name: t.Name, Scopes: scopesOf(t), CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, LastUsedAt: orNil(t.LastUsedAt),
		})
	}
	if page.Next != "" {
		linkNext(c, q, page.Next)
	}
	return writeJSON(c.w, http.StatusOK, list)
}

func (a *API) revokeToken(c *call) error {
	if err := a.Auth.RevokeAPIToken(c.r.Context(), c.who, personIn(c), c.r.PathValue("token"), clientOf(c.r)); err != nil {
		return err
	}
	return a.done(c)
}

func scopesOf(t auth.APIToken) []api.Scope {
	scopes := make([]api.Scope, len(t.Scopes))
	for i, s := range t.Scopes {
		scopes[i] = api.Scope(s)
	}
	return scopes
}

// orNil is a time that is absent where it is zero.
func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
