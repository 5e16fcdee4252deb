package httpapi

import (
	"errors"
	"net/http"

	"stonevault/api"
	"stonevault/internal/auth"
)

func (a *API) factor(c *call) error {
	f, err := a.Auth.Factor(c.r.Context(), c.who, personIn(c))
	if err != nil {
		return err
	}
	out := api.Factor{Enrolled: f.Enrolled, Methods: []api.FactorMethod{}, EnrolledAt: orNil(f.EnrolledAt), CodesLeft: f.CodesLeft, Required: f.Required}
	if f.Enrolled {
		out.Methods = append(out.Methods, "totp")
	}
	return writeJSON(c.w, http.StatusOK, out)
}

func (a *API) beginFactor(c *call) error {
	secret, uri, err := a.Auth.BeginFactor(c.r.Context(), c.who)
	if err != nil {
		return enrolled(err)
	}
	return writeJSON(c.w, http.StatusOK, api.FactorSecret{Secret: secret.Text(), URI: uri})
}

func (a *API) confirmFactor(c *call) error {
	var in api.FactorCode
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	if in.Code == "" {
		return invalid("code", "is empty")
	}
	codes, err := a.Auth.ConfirmFactor(c.r.Context(), c.who, in.Code, clientOf(c.r))
	if err != nil {
		return enrolled(err)
	}
	return sendCodes(c, codes)
}

// enrolled says what is in the way where there is a second factor already.
func enrolled(err error) error {
	if errors.Is(err, auth.ErrEnrolled) {
		return fail("exists", "There is a second factor already. Remove it first, then set up another one.")
	}
	return err
}

func (a *API) drawRecoveryCodes(c *call) error {
	var in api.Password
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	codes, err := a.Auth.DrawRecoveryCodes(c.r.Context(), c.who, in.Password, clientOf(c.r))
	if err != nil {
		return err
	}
	return sendCodes(c, codes)
}

func sendCodes(c *call, codes []auth.RecoveryCode) error {
	out := api.RecoveryCodes{RecoveryCodes: make([]string, len(codes))}
	for i, code := range codes {
		out.RecoveryCodes[i] = code.Text()
	}
	return writeJSON(c.w, http.StatusOK, out)
}

func (a *API) removeFactor(c *call) error {
	var in api.FactorRemoval
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	if err := a.Auth.RemoveFactor(c.r.Context(), c.who, personIn(c), in.Password, clientOf(c.r)); err != nil {
		return err
	}
	return a.done(c)
}
