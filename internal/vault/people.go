package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"stonevault/audit"
	"stonevault/identity"
)

const maxPersonName = 64 // bytes

// NameKey is the form in which account names are compared.
func NameKey(name string) string { return cases.Fold().String(norm.NFC.String(name)) }

func checkPersonName(name string) error {
	switch {
	case name == "" || len(name) > maxPersonName:
		return &InvalidError{"name", fmt.Sprintf("must have 1 to %d bytes", maxPersonName)}
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return &InvalidError{"name", "has characters that cannot be shown"}
	case strings.TrimSpace(name) != name:
		return &InvalidError{"name", "begins or ends with a space"}
	}
	return nil
}

// Recovery is the identity that opens every file of a vault, printed once.
type Recovery struct {
	Secret          *identity.Identity
	RootFingerprint identity.Fingerprint
}

// CreatePerson makes an account with a managed identity. The first one makes the recovery identity too,
// which is returned then and never again.
func (v *Vault) CreatePerson(ctx context.Context, a Actor, name string, role Role, passwordHash string) (Person, *Recovery, error) {
	by := "command"
	if a.Person != "" {
		by = "admin"
	}
	return v.createPerson(ctx, a, by, name, role, passwordHash, founding{})
}

// CreateFirstAdmin is CreatePerson, on the page, for an admin where there is none; ErrConflict where there is one.
func (v *Vault) CreateFirstAdmin(ctx context.Context, a Actor, name, passwordHash string) (Person, *Recovery, error) {
	return v.createPerson(ctx, a, "page", name, RoleAdmin, passwordHash, founding{allowed: func(tx Tx) error {
		admins, err := tx.People().Count(ctx, RoleAdmin)
		if err == nil && admins > 0 {
			err = fmt.Errorf("%w: there is an admin", ErrConflict)
		}
		return err
	}})
}

// founding is what goes into the transaction that makes an account: what must allow it, and what is done with it.
// Either may be nil.
type founding struct {
	allowed func(Tx) error
	also    func(Tx, Person) error
}

func (v *Vault) createPerson(ctx context.Context, a Actor, by, name string, role Role, passwordHash string, f founding) (Person, *Recovery, error) {
	name = norm.NFC.String(name)
	if err := checkPersonName(name); err != nil {
		return Person{}, nil, err
	}
	now := millis(v.now())
	p := Person{
		ID: PersonID(v.newID()), Name: name, NameKey: NameKey(name), Role: role, PasswordHash: passwordHash,
		Epoch: 1, Active: true, CreatedAt: now, UpdatedAt: now,
	}
	_, own, err := v.newIdentity(KindPerson, p.ID)
	if err != nil {
		return Person{}, nil, err
	}
	secret, err := identity.Generate(v.rand, v.reign().suite)
	if err != nil {
		return Person{}, nil, err
	}
	recovery, err := v.certify(KindRecovery, "", 1, secret.Public())
	if err != nil {
		return Person{}, nil, err
	}
	var made *Recovery
	err = v.change(ctx, func(tx Tx) error {
		made = nil
		if f.allowed != nil {
			if err := f.allowed(tx); err != nil {
				return err
			}
		}
		if _, err := tx.People().ByNameKey(ctx, p.NameKey); !isMissing(err) {
			return errors.Join(ErrNameTaken, err)
		}
		_, err := tx.Identities().Current(ctx, KindRecovery, "")
		if isMissing(err) {
			made = &Recovery{secret, v.reign().print}
			if err = v.insertKey(ctx, tx, recovery); err == nil {
				err = v.recordKey(ctx, tx, audit.KeyPublished, &a, recovery, Person{})
			}
		}
		if err != nil {
			return err
		}
		if err := tx.People().Insert(ctx, p); err != nil {
			return err
		}
		if err := v.insertKey(ctx, tx, own); err != nil {
			return err
		}
		if err := v.recordKey(ctx, tx, audit.KeyPublished, &a, own, p); err != nil {
			return err
		}
		err = v.record(ctx, tx, audit.AccountCreated, &a, audit.Values{"role": string(role), "by": by}, accountOf(p))
		if err == nil && f.also != nil {
			err = f.also(tx, p)
		}
		return err
	})
	if err != nil {
		return Person{}, nil, err
	}
	return p, made, nil
}

// ResetPassword replaces a person's password, and ends the person's sessions and links.
func (v *Vault) ResetPassword(ctx context.Context, a Actor, name, passwordHash string) (Person, error) {
	var p Person
	err := v.change(ctx, func(tx Tx) error {
		var err error
		if p, err = tx.People().ByNameKey(ctx, NameKey(name)); err != nil {
			return err
		}
		p.PasswordHash, p.UpdatedAt = passwordHash, millis(v.now())
		p.Epoch++
		if err := tx.People().Update(ctx, p); err != nil {
			return err
		}
		if err := tx.Links().DeleteOf(ctx, p.ID); err != nil {
			return err
		}
		if err := v.endSessions(ctx, tx, a, p, "password-changed"); err != nil {
			return err
		}
		return v.record(ctx, tx, audit.AccountChanged, &a, audit.Values{"what": "password", "value": "", "by": "command"}, accountOf(p))
	})
	return p, err
}

// Admins counts the active admins.
func (v *Vault) Admins(ctx context.Context) (n int, err error) {
	err = v.db.View(ctx, func(tx Tx) error {
		n, err = tx.People().Count(ctx, RoleAdmin)
		return err
	})
	return n, err
}

// Me tells a person about himself.
func (v *Vault) Me(ctx context.Context, a Actor) (Profile, error) {
	var profile Profile
	err := v.db.View(ctx, func(tx Tx) error {
		p, err := tx.People().ByID(ctx, a.Person)
		if err != nil {
			return err
		}
		profile, err = v.profile(ctx, tx, p)
		return err
	})
	return profile, err
}

// profile is what a person knows about himself.
func (v *Vault) profile(ctx context.Context, tx Tx, p Person) (Profile, error) {
	profile, err := v.publicProfile(ctx, tx, p)
	if err != nil {
		return Profile{}, err
	}
	if profile.Groups, err = groupsOf(ctx, tx, p); err != nil {
		return Profile{}, err
	}
	profile.Quota, err = ownBound(ctx, tx, p.ID)
	return profile, err
}

// publicProfile is a person with the keys in use, whose certificate holds.
func (v *Vault) publicProfile(ctx context.Context, tx Tx, p Person) (Profile, error) {
	row, err := tx.Identities().Current(ctx, KindPerson, p.ID)
	if err != nil {
		return Profile{}, err
	}
	if err := errors.Join(v.knowRoots(ctx, tx, row), v.checkCertificate(row)); err != nil {
		return Profile{}, err
	}
	public, err := v.keys.public.Public(row.Suite, row.Public)
	if err != nil || public.Fingerprint() != row.Fingerprint {
		return Profile{}, errors.Join(refused("the row of identity %s does not fit its keys", row.ID), err)
	}
	return Profile{Person: p, Suite: row.Suite, Fingerprint: row.Fingerprint, Public: public}, nil
}

// RecoveryState tells whether there is a recovery identity, and whether somebody has confirmed that its
// secret is kept.
func (v *Vault) RecoveryState(ctx context.Context) (exists, confirmed bool, err error) {
	err = v.db.View(ctx, func(tx Tx) error {
		exists, confirmed = false, false
		row, err := tx.Identities().Current(ctx, KindRecovery, "")
		if isMissing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		exists = true
		_, err = tx.Settings().Get(ctx, settingConfirmed(row))
		if err != nil && !isMissing(err) {
			return err
		}
		confirmed = err == nil
		return nil
	})
	return exists, confirmed, err
}

// settingConfirmed names what says that somebody holds the secret of this recovery identity.
func settingConfirmed(recovery Identity) string {
	if recovery.Version == 1 {
		return "recovery_confirmed"
	}
	return fmt.Sprintf("recovery_confirmed/%d", recovery.Version)
}

// ErrWrongRecovery is a secret that is not the vault's recovery secret.
var ErrWrongRecovery = errors.New("this is not the recovery secret of this vault")

// ConfirmRecovery notes that somebody holds the recovery secret, who shows it by giving it.
func (v *Vault) ConfirmRecovery(ctx context.Context, a Actor, secret *identity.Identity) error {
	return v.change(ctx, func(tx Tx) error {
		row, err := tx.Identities().Current(ctx, KindRecovery, "")
		if err != nil {
			return err
		}
		if secret.Suite() != row.Suite || secret.Public().Fingerprint() != row.Fingerprint {
			return ErrWrongRecovery
		}
		return v.confirm(ctx, tx, &a, row)
	})
}

func (v *Vault) confirm(ctx context.Context, tx Tx, by *Actor, recovery Identity) error {
	err := v.record(ctx, tx, audit.RecoveryConfirmed, by, audit.Values{"version": recovery.Version, "fingerprint": recovery.Fingerprint.Hex()}, nil)
	if err != nil {
		return err
	}
	return tx.Settings().Put(ctx, settingConfirmed(recovery), []byte(millis(v.now()).Format("2006-01-02T15:04:05Z")))
}
