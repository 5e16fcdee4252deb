package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
)

const (
	// SettingFactorRoles names the setting of the vault that lists the roles which must have a second factor, as JSON.
	SettingFactorRoles = "second_factor_roles"

	// appIssuer is what an authenticator app shows beside the account's name.
	appIssuer = "Stonevault"
)

// FactorState is what there is to know of a person's second factor.
type FactorState struct {
	Enrolled   bool
	EnrolledAt time.Time // zero where there is none
	CodesLeft  int       // recovery codes that were not used
	Required   bool      // the person's role must have one
}

// confirmedFactor returns a person's factor if it counts as one.
func confirmedFactor(ctx context.Context, tx Tx, person string) (f Factor, ok bool, err error) {
	f, err = tx.Factor(ctx, person)
	if errors.Is(err, ErrNotFound) {
		return Factor{}, false, nil
	}
	return f, err == nil && !f.ConfirmedAt.IsZero(), err
}

// factorRequired tells whether a role must have a second factor.
func factorRequired(ctx context.Context, tx Tx, role string) (bool, error) {
	value, err := tx.Setting(ctx, SettingFactorRoles)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var roles []string
	if err := json.Unmarshal(value, &roles); err != nil {
		return false, fmt.Errorf("auth: the setting %s is not a list: %w", SettingFactorRoles, err)
	}
	return slices.Contains(roles, role), nil
}

// mustEnrol tells whether an account can do nothing before a second factor is set up.
func mustEnrol(ctx context.Context, tx Tx, a Account) (bool, error) {
	required, err := factorRequired(ctx, tx, a.Role)
	if err != nil || !required {
		return false, err
	}
	_, has, err := confirmedFactor(ctx, tx, a.Person)
	return !has, err
}

// useFactor takes the code of a person who has a second factor, in the transaction that lets him in, so that it never
// serves again. It returns how he is let in, and how many recovery codes are left where it was one.
func (s *Service) useFactor(ctx context.Context, tx Tx, person, code string) (method string, left int, err error) {
	f, has, err := confirmedFactor(ctx, tx, person)
	switch {
	case err != nil:
		return "", 0, err
	case !has:
		return byPassword, 0, nil
	case code == "":
		return "", 0, ErrSecondFactorRequired
	}
	secret, err := OpenTOTPSecret(s.sealer, person, f.Sealed)
	if err != nil {
		return "", 0, err
	}
	step, err := secret.Verify(code, s.now(), f.LastStep)
	if err == nil {
		f.LastStep = step
		return byTOTP, 0, tx.PutFactor(ctx, f)
	}
	if !errors.Is(err, ErrSecondFactor) {
		return "", 0, err
	}
	hashes, err := tx.RecoveryCodes(ctx, person)
	if err != nil {
		return "", 0, err
	}
	rest, err := UseRecoveryCode(hashes, code)
	if err != nil {
		return "", 0, err
	}
	return byRecoveryCode, len(rest), tx.PutRecoveryCodes(ctx, person, rest)
}

// Factor tells of a person's second factor, and never the secret.
func (s *Service) Factor(ctx context.Context, by Principal, person string) (state FactorState, err error) {
	err = s.store.ViewAuth(ctx, func(tx Tx) error {
		account, err := s.allowed(ctx, tx, by, access.SessionsSee, person)
		if err != nil {
			return err
		}
		f, has, err := confirmedFactor(ctx, tx, person)
		if err != nil {
			return err
		}
		codes, err := tx.RecoveryCodes(ctx, person)
		if err != nil {
			return err
		}
		required, err := factorRequired(ctx, tx, account.Role)
		state = FactorState{Enrolled: has, CodesLeft: len(codes), Required: required}
		if has {
			state.EnrolledAt = f.ConfirmedAt
		}
		return err
	})
	return state, wrapped("look up a second factor", err)
}

// BeginFactor draws the secret of an authenticator app for by, in the place of one that was not confirmed. It is no
// factor yet, and nothing that the audit log tells of. ErrEnrolled where there is one.
func (s *Service) BeginFactor(ctx context.Context, by Principal) (secret TOTPSecret, uri string, err error) {
	if secret, err = NewTOTPSecret(s.rand); err != nil {
		return TOTPSecret{}, "", err
	}
	sealed, err := secret.Seal(s.sealer, by.Person)
	if err != nil {
		return TOTPSecret{}, "", err
	}
	var account Account
	err = s.store.UpdateAuth(ctx, func(tx Tx) (err error) {
		if account, err = s.allowed(ctx, tx, by, access.FactorsEnrol, by.Person); err != nil {
			return err
		}
		if _, has, err := confirmedFactor(ctx, tx, by.Person); err != nil || has {
			return cmp.Or(err, ErrEnrolled)
		}
		return tx.PutFactor(ctx, Factor{Person: by.Person, Sealed: sealed, CreatedAt: s.now()})
	})
	if err != nil {
		return TOTPSecret{}, "", wrapped("begin a second factor", err)
	}
	uri, err = secret.URI(appIssuer, account.Name)
	return secret, uri, err
}

// ConfirmFactor makes what BeginFactor drew a factor by a first code from it: ErrSecondFactor where that is wrong, and
// ErrNotFound where nothing was begun. The recovery codes that it returns are shown once.
func (s *Service) ConfirmFactor(ctx context.Context, by Principal, code, address string) ([]RecoveryCode, error) {
	codes, hashes, err := NewRecoveryCodes(s.rand)
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, func(tx Tx) error {
		account, err := s.allowed(ctx, tx, by, access.FactorsEnrol, by.Person)
		if err != nil {
			return err
		}
		f, err := tx.Factor(ctx, by.Person)
		if err != nil {
			return err
		}
		if !f.ConfirmedAt.IsZero() {
			return ErrEnrolled
		}
		secret, err := OpenTOTPSecret(s.sealer, by.Person, f.Sealed)
		if err != nil {
			return err
		}
		now := s.now()
		if f.LastStep, err = secret.Verify(code, now, f.LastStep); err != nil {
			return err
		}
		f.ConfirmedAt = now
		if err := tx.PutFactor(ctx, f); err != nil {
			return err
		}
		return s.putCodes(ctx, tx, by, account, "enrolled", hashes, address)
	})
	if err != nil {
		return nil, wrapped("confirm a second factor", err)
	}
	return codes, nil
}

func (s *Service) putCodes(ctx context.Context, tx Tx, by Principal, a Account, what string, hashes [][]byte, address string) error {
	if err := tx.PutRecoveryCodes(ctx, a.Person, hashes); err != nil {
		return err
	}
	return s.record(ctx, tx, audit.FactorChanged, by.actor(address), audit.Values{"what": what, "codes_left": len(hashes)}, a.values())
}

// DrawRecoveryCodes takes the password of by and draws ten codes in the place of all before. ErrNotFound where there
// is no second factor.
func (s *Service) DrawRecoveryCodes(ctx context.Context, by Principal, password, address string) ([]RecoveryCode, error) {
	codes, hashes, err := NewRecoveryCodes(s.rand)
	if err != nil {
		return nil, err
	}
	proven, err := s.prove(ctx, by, "password", password, address)
	if err == nil {
		err = s.change(ctx, func(tx Tx) error {
			account, err := s.stillProven(ctx, tx, by, access.FactorsEnrol, proven)
			if err != nil {
				return err
			}
			if _, has, err := confirmedFactor(ctx, tx, by.Person); err != nil || !has {
				return cmp.Or(err, ErrNotFound)
			}
			return s.putCodes(ctx, tx, by, account, "codes-drawn", hashes, address)
		})
	}
	if err != nil {
		return nil, wrapped("draw recovery codes", err)
	}
	return codes, nil
}

// RemoveFactor takes a person's second factor away, with the recovery codes. Of oneself it takes the password, which
// must be long enough to stand alone, unless the role must have a factor: then a new one has to be set up first.
func (s *Service) RemoveFactor(ctx context.Context, by Principal, person, password, address string) error {
	oneself := person == by.Person
	var proven Account
	var err error
	if oneself {
		if proven, err = s.prove(ctx, by, "password", password, address); err != nil {
			return wrapped("remove a second factor", err)
		}
	}
	err = s.change(ctx, func(tx Tx) error {
		account, err := s.allowed(ctx, tx, by, access.FactorsRemove, person)
		if err != nil {
			return err
		}
		if oneself {
			if err := standsAlone(ctx, tx, account, proven, password); err != nil {
				return err
			}
		}
		if _, has, err := confirmedFactor(ctx, tx, person); err != nil || !has {
			return cmp.Or(err, ErrNotFound)
		}
		if err := tx.DeleteFactor(ctx, person); err != nil {
			return err
		}
		return s.putCodes(ctx, tx, by, account, "removed", nil, address)
	})
	return wrapped("remove a second factor", err)
}

// standsAlone refuses to leave an account with a password that was accepted only beside a second factor.
func standsAlone(ctx context.Context, tx Tx, now, proven Account, password string) error {
	if now.PasswordHash != proven.PasswordHash {
		return ErrPassword
	}
	required, err := factorRequired(ctx, tx, now.Role)
	if err != nil || required {
		return err
	}
	normal, err := normalPassword(password)
	if err != nil {
		return err
	}
	if tooShort(normal, MinPasswordRunes) != "" {
		return &InvalidError{"password", fmt.Sprintf("has fewer than %d characters, too few without a second factor; change it first", MinPasswordRunes)}
	}
	return nil
}
