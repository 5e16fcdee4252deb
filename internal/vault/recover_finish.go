package vault

import (
	"context"
	"fmt"

	"golang.org/x/text/unicode/norm"

	"stonevault/audit"
)

// NewAccount is an account of a vault that is opened for use.
type NewAccount struct {
	Owner        PersonID // empty for one that owns nothing yet
	Name         string
	Role         Role
	PasswordHash string
}

// Finish opens the vault for use: it gives every owner's account its name, role and password, makes the
// accounts that own nothing yet, and notes that the recovery secret is kept, since it was used.
func (b *Rebuilt) Finish(ctx context.Context, a Actor, accounts []NewAccount) error {
	if err := b.checkAccounts(accounts); err != nil {
		return err
	}
	v := b.Vault
	fresh := make(map[string]Identity) // by name
	ids := make(map[string]PersonID)
	for _, a := range accounts {
		if a.Owner != "" {
			continue
		}
		id := PersonID(v.newID())
		_, own, err := v.newIdentity(KindPerson, id)
		if err != nil {
			return err
		}
		fresh[a.Name], ids[a.Name] = own, id
	}
	return v.change(ctx, func(tx Tx) error {
		for _, given := range accounts {
			p, err := v.finishAccount(ctx, tx, given, ids[given.Name], fresh[given.Name])
			if err != nil {
				return err
			}
			err = v.record(ctx, tx, audit.AccountCreated, &a, audit.Values{"role": string(p.Role), "by": "recovery"}, accountOf(p))
			if err != nil {
				return err
			}
		}
		recovery, err := tx.Identities().Current(ctx, KindRecovery, "")
		if err != nil {
			return err
		}
		if err := v.confirm(ctx, tx, &a, recovery); err != nil {
			return err
		}
		err = v.record(ctx, tx, audit.VaultRecovered, &a, audit.Values{
			"documents": b.Report.Files, "versions": b.Report.Versions, "refused": len(b.survey.Refused()), "root": b.Report.Root.Hex(),
		}, nil)
		if err != nil {
			return err
		}
		return tx.Settings().Put(ctx, settingRecovering, nil)
	})
}

// finishAccount gives an owner's account its name, role and password, or makes one with fresh keys.
func (v *Vault) finishAccount(ctx context.Context, tx Tx, given NewAccount, id PersonID, fresh Identity) (Person, error) {
	now, name := millis(v.now()), norm.NFC.String(given.Name)
	p := Person{ID: id, CreatedAt: now, Epoch: 1}
	if given.Owner != "" {
		var err error
		if p, err = tx.People().ByID(ctx, given.Owner); err != nil {
			return p, err
		}
	}
	p.Name, p.NameKey, p.Role, p.PasswordHash, p.Active, p.UpdatedAt = name, NameKey(name), given.Role, given.PasswordHash, true, now
	if given.Owner != "" {
		return p, tx.People().Update(ctx, p)
	}
	if err := tx.People().Insert(ctx, p); err != nil {
		return p, err
	}
	if err := v.insertKey(ctx, tx, fresh); err != nil {
		return p, err
	}
	return p, v.recordKey(ctx, tx, audit.KeyPublished, nil, fresh, p)
}

// checkAccounts wants an account for every owner, and names that can be told apart.
func (b *Rebuilt) checkAccounts(accounts []NewAccount) error {
	missing := make(map[PersonID]bool)
	for _, o := range b.Report.Owners {
		missing[o.ID] = true
	}
	for _, a := range accounts {
		delete(missing, a.Owner)
	}
	for id := range missing {
		return fmt.Errorf("vault: the owner %s has no account", id)
	}
	return CheckAccountNames(accounts)
}

// CheckAccountNames refuses names that no account can have, or two have.
func CheckAccountNames(accounts []NewAccount) error {
	seen := make(map[string]bool)
	for _, a := range accounts {
		name := norm.NFC.String(a.Name)
		if err := checkPersonName(name); err != nil {
			return err
		}
		if seen[NameKey(name)] {
			return fmt.Errorf("%w: two accounts would be named %q", ErrExists, name)
		}
		seen[NameKey(name)] = true
	}
	return nil
}
