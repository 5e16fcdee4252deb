package httpapi

import (
	"net/http"

	"stonevault/api"
	"stonevault/internal/vault"
)

func (a *API) settings(c *call) error {
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	s, err := a.Vault.Settings(c.r.Context(), c.actor())
	if err != nil {
		return err
	}
	etag, err := s.ETag()
	if err != nil {
		return err
	}
	c.w.Header().Set("ETag", etag)
	out := api.Settings{
		Registration: api.SettingsRegistration(s.Registration), SecondFactorRoles: make([]api.Role, len(s.SecondFactorRoles)),
		DefaultBytes: s.DefaultBytes, DefaultFiles: s.DefaultFiles,
	}
	for i, role := range s.SecondFactorRoles {
		out.SecondFactorRoles[i] = api.Role(role)
	}
	return writeJSON(c.w, http.StatusOK, out)
}

func (a *API) changeSettings(c *call) error {
	ifMatch, err := single(c.r, "If-Match")
	if err != nil {
		return err
	}
	var in api.Settings
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	if in.SecondFactorRoles == nil {
		return invalid("second_factor_roles", "is missing; for nobody, give an empty list")
	}
	s := vault.Settings{
		Registration: string(in.Registration), SecondFactorRoles: make([]vault.Role, len(in.SecondFactorRoles)),
		DefaultBytes: in.DefaultBytes, DefaultFiles: in.DefaultFiles,
	}
	for i, role := range in.SecondFactorRoles {
		s.SecondFactorRoles[i] = vault.Role(role)
	}
	if err := a.Vault.ChangeSettings(c.r.Context(), c.actor(), s, ifMatch); err != nil {
		return err
	}
	return a.done(c)
}
