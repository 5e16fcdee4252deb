package httpapi

import (
	"crypto/rand"
	"errors"
	"net/http"

	"stonevault/api"
	"stonevault/identity"
	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

func (a *API) setupState(c *call) error {
	admins, err := a.Vault.Admins(c.r.Context())
	if err != nil {
		return err
	}
	_, confirmed, err := a.Vault.RecoveryState(c.r.Context())
	if err != nil {
		return err
	}
	_, err = a.Vault.Registration(c.r.Context())
	if err != nil && !errors.Is(err, vault.ErrClosed) {
		return err
	}
	return writeJSON(c.w, http.StatusOK, api.SetupState{Needed: admins == 0, RecoveryConfirmed: confirmed, RegistrationOpen: err == nil})
}

// setUp makes the first admin. Only who has the code makes the server hash a password.
func (a *API) setUp(c *call) error {
	var in api.SetupRequest
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	if in.Code == "" {
		return invalid("code", "is empty")
	}
	if a.SetupCode == nil {
		return fail("setup-over", "")
	}
	ctx := c.r.Context()
	if admins, err := a.Vault.Admins(ctx); err != nil {
		return err
	} else if admins > 0 {
		return fail("setup-over", "")
	}
	var recovery *vault.Recovery
	err := a.SetupCode.Use(in.Code, func() error {
		hash, err := auth.Policy{Name: in.Name}.Hash(rand.Reader, in.Password)
		if err != nil {
			return err
		}
		_, recovery, err = a.Vault.CreateFirstAdmin(ctx, c.actor(), in.Name, hash)
		return err
	})
	if errors.Is(err, vault.ErrConflict) { // somebody made an admin at the server meanwhile
		return fail("setup-over", "")
	}
	if err != nil {
		return err
	}
	a.Log.Info("the first admin was made by the setup code", "request", c.w.id)
	about, err := a.Vault.About(ctx)
	if err != nil {
		return err
	}
	sheet := api.SetupSheet{RootFingerprint: about.RootFingerprint.Hex(), RootFingerprintSpoken: about.RootFingerprint.Spoken()}
	if recovery != nil {
		sheet.RecoverySecret = recovery.Secret.SecretSheet()
	}
	return writeJSON(c.w, http.StatusCreated, sheet)
}

// confirmRecovery notes that somebody holds the recovery secret. It is compared and not kept.
func (a *API) confirmRecovery(c *call) error {
	var in api.RecoveryConfirmation
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	if in.Secret == "" {
		return invalid("secret", "is empty")
	}
	secret, err := identity.ParseSecret(in.Secret)
	if err != nil {
		return invalid("secret", "is not a recovery secret: a character of it is wrong or missing")
	}
	if err := a.Vault.ConfirmRecovery(c.r.Context(), c.actor(), secret); errors.Is(err, vault.ErrWrongRecovery) {
		return invalid("secret", "is another vault's, or was replaced; look for the sheet with this vault's root fingerprint")
	} else if err != nil {
		return err
	}
	return a.done(c)
}
