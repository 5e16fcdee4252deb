package auth

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"stonevault/audit"
)

const (
	// DeviceTTL is how long a device is known after it was last signed in from.
	DeviceTTL = 365 * 24 * time.Hour

	devicePrefix   = "svd_"
	deviceRandom   = 32
	maxDeviceBytes = 256
)

// How somebody signed in, as events have it.
const (
	byPassword     = "password"
	byTOTP         = "totp"
	byRecoveryCode = "recovery-code"
)

// check looks at the form of credentials, and returns the password as it is hashed.
func (c Credentials) check() (password string, err error) {
	if password, err = normalPassword(c.Password); err != nil {
		return "", err
	}
	for _, text := range []struct {
		field, value string
		least, most  int
	}{
		{"name", c.Name, 1, maxNameBytes}, {"client", c.Client, 0, maxClientBytes},
		{"code", c.Code, 0, recoveryTyped}, {"device", c.Device, 0, maxDeviceBytes},
	} {
		if err := checkText(text.field, text.value, text.least, text.most); err != nil {
			return "", err
		}
	}
	return password, nil
}

// SignIn opens a session. ErrCredentials is the answer to a wrong password, an unknown name and an account that is
// switched off, after the same work. A *TooManyError and ErrBusy come without any. Only who has the right password
// learns, by ErrSecondFactorRequired or ErrSecondFactor, that a code is wanted.
func (s *Service) SignIn(ctx context.Context, c Credentials) (Grant, error) {
	password, err := c.check()
	if err != nil {
		return Grant{}, err
	}
	try := attempt{name: NameKey(c.Name), device: deviceHash(c.Device), address: c.Address}
	var account Account
	err = s.store.UpdateAuth(ctx, func(tx Tx) (err error) {
		account, err = tx.AccountByNameKey(ctx, try.name)
		try.person = account.Person
		switch {
		case errors.Is(err, ErrNotFound):
			account, try.person = Account{}, nobody
		case err != nil:
			return err
		}
		return s.try(ctx, tx, try)
	})
	switch {
	case errors.Is(err, ErrTooMany):
		return Grant{}, s.refuse(ctx, c.Address, account, "limit", err)
	case err != nil:
		return Grant{}, fmt.Errorf("auth: look up an account: %w", err)
	}
	known, hash := account.Person != "", account.PasswordHash
	if !known || hash == "" { // who has yet to set a password signs in like nobody
		hash, known = dummyHash, false
	}
	right, err := s.verifier.verify(ctx, hash, password)
	if errors.Is(err, ErrBusy) {
		return Grant{}, s.refuse(ctx, c.Address, Account{}, "limit", errors.Join(err, s.giveBack(ctx, try)))
	}
	if err != nil {
		return Grant{}, err
	}
	if !right || !known || !account.Active {
		return Grant{}, s.refuse(ctx, c.Address, account, "credentials", ErrCredentials)
	}
	grant, err := s.open(ctx, c, try, account)
	switch {
	case errors.Is(err, ErrSecondFactorRequired):
		if err := s.giveBack(ctx, try); err != nil {
			return Grant{}, fmt.Errorf("auth: give a try back: %w", err)
		}
		return Grant{}, ErrSecondFactorRequired
	case errors.Is(err, ErrSecondFactor):
		return Grant{}, s.refuse(ctx, c.Address, account, "second-factor", ErrSecondFactor)
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrCredentials):
		return Grant{}, s.refuse(ctx, c.Address, account, "credentials", ErrCredentials)
	}
	return grant, err
}

// open opens a session for who has shown the password.
func (s *Service) open(ctx context.Context, c Credentials, try attempt, account Account) (Grant, error) {
	b := make([]byte, sessionIDBytes+deviceRandom)
	if _, err := io.ReadFull(s.rand, b); err != nil {
		return Grant{}, fmt.Errorf("auth: no randomness: %w", err)
	}
	now := s.now()
	session := Session{
		ID: hex.EncodeToString(b[:sessionIDBytes]), Person: account.Person, Client: c.Client, Address: c.Address,
		CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(RefreshTTL),
	}
	drawn := devicePrefix + base64.RawURLEncoding.EncodeToString(b[sessionIDBytes:])
	text, row, err := s.newRefresh(session, account.Epoch)
	if err != nil {
		return Grant{}, err
	}
	var device string // that is given out; this function may run again
	var who Principal
	err = s.change(ctx, func(tx Tx) error {
		// The password may have been changed while this one was being checked.
		again, err := tx.Account(ctx, account.Person)
		if err != nil {
			return err
		}
		if !again.Active || again.Epoch != account.Epoch || again.PasswordHash != account.PasswordHash {
			return ErrCredentials
		}
		by := actor(account, session, c.Address)
		method, left, err := s.useFactor(ctx, tx, account.Person, c.Code)
		if err != nil {
			return err
		}
		if err := try.succeeded(ctx, tx); err != nil {
			return err
		}
		device = ""
		known, err := tx.Device(ctx, account.Person, try.device)
		switch {
		case errors.Is(err, ErrNotFound):
			device = drawn
			known = Device{Person: account.Person, Hash: deviceHash(drawn), FirstAt: now}
		case err != nil:
			return err
		}
		known.LastAt, session.Device = now, known.Hash
		if err := tx.PutDevice(ctx, known); err != nil {
			return err
		}
		if err := tx.InsertSession(ctx, session); err != nil {
			return err
		}
		if err := tx.InsertRefresh(ctx, row); err != nil {
			return err
		}
		if who, err = s.principal(ctx, tx, again, session); err != nil {
			return err
		}
		if method == byRecoveryCode {
			err := s.record(ctx, tx, audit.FactorChanged, by, audit.Values{"what": "code-used", "codes_left": left}, account.values())
			if err != nil {
				return err
			}
		}
		return s.record(ctx, tx, audit.SessionOpened, by, audit.Values{"method": method, "new_device": device != ""}, nil)
	})
	if err != nil {
		return Grant{}, fmt.Errorf("auth: open a session: %w", err)
	}
	g, err := s.grant(ctx, who, session, text)
	g.Device = device
	return g, err
}
