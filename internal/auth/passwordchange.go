package auth

import (
	"context"
	"errors"
	"fmt"
	"io"

	"stonevault/audit"
	"stonevault/internal/access"
)

// prove shows that password is that of by, and returns the account with it. It goes through the same throttle as
// signing in, as from the device that the session was opened from. ErrPassword where it is wrong; field names it where
// it cannot be one.
func (s *Service) prove(ctx context.Context, by Principal, field, password, address string) (Account, error) {
	normal, err := normalPassword(password)
	if err != nil {
		return Account{}, inField(err, field)
	}
	var account Account
	var try attempt
	err = s.store.UpdateAuth(ctx, func(tx Tx) (err error) {
		if account, err = s.allowed(ctx, tx, by, access.PasswordChange, by.Person); err != nil {
			return err
		}
		session, err := tx.Session(ctx, by.Session)
		if err != nil {
			return err
		}
		try = attempt{name: NameKey(account.Name), person: account.Person, device: session.Device, address: address}
		if session.Device == nil {
			try.device = deviceHash("")
		}
		return s.try(ctx, tx, try)
	})
	switch {
	case errors.Is(err, ErrTooMany):
		return Account{}, s.refuse(ctx, address, account, "limit", err)
	case errors.Is(err, ErrNotFound): // the session, which has ended
		return Account{}, ErrUnauthenticated
	case err != nil:
		return Account{}, err
	}
	right, err := s.verifier.verify(ctx, account.PasswordHash, normal)
	switch {
	case errors.Is(err, ErrBusy):
		return Account{}, errors.Join(err, s.giveBack(ctx, try))
	case err != nil:
		return Account{}, err
	case !right:
		return Account{}, s.refuse(ctx, address, account, "credentials", ErrPassword)
	}
	err = s.store.UpdateAuth(ctx, func(tx Tx) error { return try.succeeded(ctx, tx) })
	return account, err
}

// stillProven is allowed for oneself, where the password is still the one that was proven.
func (s *Service) stillProven(ctx context.Context, tx Tx, by Principal, action access.Action, proven Account) (Account, error) {
	account, err := s.allowed(ctx, tx, by, action, by.Person)
	if err == nil && account.PasswordHash != proven.PasswordHash {
		err = ErrPassword
	}
	return account, err
}

// ChangePassword sets the password of by, who shows the one before, and ends all other sessions.
func (s *Service) ChangePassword(ctx context.Context, by Principal, current, next, address string) error {
	var policy Policy
	err := s.store.ViewAuth(ctx, func(tx Tx) (err error) {
		policy, err = s.policyOf(ctx, tx, by)
		return err
	})
	if err != nil {
		return wrapped("change a password", err)
	}
	// What cannot be a password costs no try.
	if err := policy.Check(next); err != nil {
		return inField(err, "new")
	}
	proven, err := s.prove(ctx, by, "current", current, address)
	if err != nil {
		return wrapped("change a password", err)
	}
	hash, err := s.verifier.newHash(ctx, s.rand, policy, next)
	if err != nil {
		return wrapped("change a password", inField(err, "new"))
	}
	err = s.change(ctx, func(tx Tx) error {
		account, err := s.stillProven(ctx, tx, by, access.PasswordChange, proven)
		if err != nil {
			return err
		}
		if err := tx.SetPassword(ctx, by.Person, hash, s.now()); err != nil {
			return err
		}
		if err := s.endSessions(ctx, tx, by, account, true, "password-changed", address); err != nil {
			return err
		}
		return s.record(ctx, tx, audit.AccountChanged, by.actor(address), audit.Values{"what": "password", "value": "", "by": "self"}, account.values())
	})
	return wrapped("change a password", err)
}

// policyOf is what a new password of by must satisfy.
func (s *Service) policyOf(ctx context.Context, tx Tx, by Principal) (Policy, error) {
	account, err := s.allowed(ctx, tx, by, access.PasswordChange, by.Person)
	if err != nil {
		return Policy{}, err
	}
	_, has, err := confirmedFactor(ctx, tx, by.Person)
	if err != nil {
		return Policy{}, err
	}
	required, err := factorRequired(ctx, tx, account.Role)
	return Policy{Name: account.Name, SecondFactor: has || required}, err
}

// newHash is Policy.Hash in its turn: a hash takes as much memory as a check does.
func (v *verifier) newHash(ctx context.Context, rand io.Reader, p Policy, password string) (string, error) {
	if err := v.acquire(ctx); err != nil {
		return "", err
	}
	defer func() { <-v.slots }()
	hash, err := p.Hash(rand, password)
	if err != nil {
		return "", fmt.Errorf("auth: hash a password: %w", err)
	}
	return hash, nil
}

// inField names the field of the request that a password was in.
func inField(err error, field string) error {
	var invalid *InvalidError
	if errors.As(err, &invalid) {
		return &InvalidError{field, invalid.Reason}
	}
	return err
}
