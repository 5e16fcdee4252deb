package vault

import (
	"context"
	"errors"
	"slices"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
	"stonevault/internal/auditlog"
	"stonevault/stone"
)

// eraseGrace is how long an account is switched off before it is erased: by then no server takes its tokens any
// more, which each trusts for less than a second, and so none records anything more about the person.
const eraseGrace = 2 * time.Second

// settingTraces is "1" from the moment that a person is gone until the database was written anew without traces.
const settingTraces = "erased_traces"

// ErrLastAdmin is the one admin that a vault has, who must stay.
var ErrLastAdmin = access.ErrLastAdmin

// Erasure is what became of a person.
type Erasure struct {
	Files   int // documents, with all their versions
	Folders int
	Uploads int  // that had not ended
	Parts   int  // of events of the audit log
	Resumed bool // there was no such person, and an erasure that had been stopped at its end has been finished
	gone    []stone.FileID
}

// Erase removes a person: files, uploads, sessions, keys, the account, and what the audit log says about the
// person. That it happened stays, and so does everything that is about others. It works in several
// transactions; where it is stopped, calling it again goes on. a is who does it.
//
// The objects of the files are removed by SettleErasure, or by the collector.
func (v *Vault) Erase(ctx context.Context, a Actor, name string) (Erasure, error) {
	return v.erase(ctx, a, func(tx Tx) (Person, error) { return tx.People().ByNameKey(ctx, NameKey(name)) })
}

// ErasePerson is Erase for who may do so at the server, with what is left of the files as objects.
func (v *Vault) ErasePerson(ctx context.Context, a Actor, id PersonID) error {
	done, err := v.erase(ctx, a, func(tx Tx) (Person, error) {
		// Where somebody is gone already, there is nobody left to have a relation to.
		asker, err := asking(ctx, tx, a)
		if err == nil {
			err = permit(access.Best(access.Role(asker.Role), access.AccountsErase))
		}
		if err != nil {
			return Person{}, err
		}
		_, p, err := personFor(ctx, tx, a, id, access.AccountsErase)
		return p, err
	})
	v.settleAll(ctx, done.gone)
	return err
}

func (v *Vault) erase(ctx context.Context, a Actor, find func(Tx) (Person, error)) (Erasure, error) {
	p, err := v.switchOff(ctx, a, find)
	if isMissing(err) {
		traces, failed := v.traces(ctx)
		if failed == nil && traces {
			return Erasure{Resumed: true}, v.Scrub(ctx)
		}
		return Erasure{}, errors.Join(err, failed)
	}
	if err != nil {
		return Erasure{}, err
	}
	var done Erasure
	select {
	case <-time.After(eraseGrace):
	case <-ctx.Done():
		return done, ctx.Err()
	}
	for range planAttempts {
		if err := v.eraseFiles(ctx, a, p.ID, &done); err != nil {
			return done, err
		}
		err := v.eraseAccount(ctx, a, p, &done)
		if !errors.Is(err, errReplan) { // what was under way may have come to an end meanwhile
			return done, err
		}
	}
	return done, errReplan
}

// traces tells whether an erasure was stopped before the database was written anew.
func (v *Vault) traces(ctx context.Context) (traces bool, err error) {
	err = v.db.View(ctx, func(tx Tx) error {
		text, err := tx.Settings().Get(ctx, settingTraces)
		if isMissing(err) {
			return nil
		}
		traces = string(text) == "1"
		return err
	})
	return traces, err
}

// Scrub writes the database anew, so that nothing of what was erased is left in its files.
func (v *Vault) Scrub(ctx context.Context) error {
	if err := v.db.Shred(ctx, func(Tx) error { return nil }); err != nil {
		return err
	}
	return v.noTraces(ctx)
}

func (v *Vault) noTraces(ctx context.Context) error {
	return v.db.Update(ctx, func(tx Tx) error { return tx.Settings().Put(ctx, settingTraces, []byte("0")) })
}

// SettleErasure removes what is left of the files as objects. Only the process that holds the data directory
// may call it; without it the collector does the same.
func (v *Vault) SettleErasure(ctx context.Context, done Erasure) { v.settleAll(ctx, done.gone) }

// switchOff keeps the person from adding anything.
func (v *Vault) switchOff(ctx context.Context, a Actor, find func(Tx) (Person, error)) (p Person, err error) {
	err = v.change(ctx, func(tx Tx) error {
		if p, err = find(tx); err != nil {
			return err
		}
		if p.ID == a.Person {
			return auditlog.ErrSelf
		}
		off := false
		return v.changePerson(ctx, tx, a, p, PersonChange{Active: &off})
	})
	return p, err
}

// eraseFiles removes everything in somebody's tree, and what is on its way there.
func (v *Vault) eraseFiles(ctx context.Context, a Actor, owner PersonID, done *Erasure) error {
	uploads, err := v.Uploads(ctx, Actor{Person: owner})
	if err != nil {
		return err
	}
	for _, u := range uploads {
		if err := v.dropUpload(ctx, &a, u.ID, "cancelled"); err != nil {
			return err
		}
		done.Uploads++
	}
	var ids []NodeID
	files, folders := 0, 0
	err = v.walk(ctx, Actor{Person: owner}, "", "/", nil, func(e Entry) error {
		ids = append(ids, e.Node.ID)
		if e.Node.Kind == NodeFolder {
			folders++
		} else {
			files++
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Reverse(ids) // what is in a folder goes before the folder
	gone, err := v.removeNodes(ctx, a, ids, func(context.Context, Tx, Node) (bool, error) { return true, nil })
	done.gone = append(done.gone, gone...)
	done.Files, done.Folders = done.Files+files, done.Folders+folders
	return err
}

// eraseAccount removes what is left in one transaction. errReplan where there are files again.
func (v *Vault) eraseAccount(ctx context.Context, a Actor, p Person, done *Erasure) error {
	var erased auditlog.Erased
	err := auditlog.InTransaction(ctx, v.db.Shred, func(tx Tx) error {
		full, err := tx.Nodes().HasChildren(ctx, p.ID, "")
		if err != nil {
			return err
		}
		uploads, err := tx.Uploads().OfPerson(ctx, p.ID)
		if err != nil {
			return err
		}
		if full || len(uploads) > 0 {
			return errReplan
		}
		row, err := tx.Identities().Current(ctx, KindPerson, p.ID)
		if err != nil {
			return err
		}
		if err := v.recordKey(ctx, tx, audit.KeyRetired, &a, row, p); err != nil {
			return err
		}
		if err := v.leaveAll(ctx, tx, a, p); err != nil {
			return err
		}
		if err := tx.People().Erase(ctx, p.ID); err != nil {
			return err
		}
		if err := v.noteDestroyed(ctx, tx); err != nil {
			return err
		}
		// Of a hand-over that was not brought to its end: it has the person's name.
		if err := tx.Settings().Delete(ctx, settingHandOver(p.ID)); err != nil {
			return err
		}
		if erased, err = v.audit.Erase(ctx, tx.Audit(), string(p.ID), a.who()); err != nil {
			return err
		}
		return tx.Settings().Put(ctx, settingTraces, []byte("1"))
	})
	if err == nil {
		err = v.noTraces(ctx)
	}
	v.audit.Forget(erased)
	v.keys.forget()
	done.Parts = erased.Parts
	return err
}
