package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/once"
)

// who is the actor's part of an event.
func (a Actor) who() audit.Values {
	return auditlog.Actor{
		Person: string(a.Person), Name: a.Name, Session: a.Session, Client: a.Client, Address: a.Address,
	}.Values()
}

// change runs a transaction that records events.
func (v *Vault) change(ctx context.Context, fn func(Tx) error) error {
	return auditlog.InTransaction(ctx, v.db.Update, fn)
}

// create is change for what makes something. A request with a key is answered with what fn returns as made, and does it
// once.
func (v *Vault) create(ctx context.Context, fn func(Tx) (made any, err error)) error {
	return v.change(ctx, func(tx Tx) error {
		return once.Do(ctx, tx.Once(), func() (any, error) { return fn(tx) })
	})
}

// record writes an event into the transaction of the change that it is about. by is nil where the server acts
// by itself, subject where the event is about nobody.
func (v *Vault) record(ctx context.Context, tx Tx, t audit.Type, by *Actor, operational, subject audit.Values) error {
	e := audit.Event{Type: t, Time: v.now(), Operational: operational, Subject: subject}
	if by != nil {
		e.Actor = by.who()
	}
	_, err := v.audit.Record(ctx, tx.Audit(), e)
	return err
}

// recordRead records what somebody reads, in a transaction of its own. No row of that transaction needs the person,
// who may have been erased since the request began: nothing may come back then.
func (v *Vault) recordRead(ctx context.Context, t audit.Type, by Actor, operational audit.Values, e Entry) error {
	return v.change(ctx, func(tx Tx) error {
		_, err := v.audit.RecordLate(ctx, tx.Audit(), audit.Event{
			Type: t, Time: v.now(), Operational: operational, Actor: by.who(), Subject: placeOf(e.Node.Owner, e.Path),
		})
		return err
	})
}

func placeOf(owner PersonID, path string) audit.Values {
	return audit.Values{"person": string(owner), "path": path}
}

func accountOf(p Person) audit.Values {
	return audit.Values{"person": string(p.ID), "name": p.Name}
}

// sealedAs are the fields about a version's envelope; of a folder they are empty.
func sealedAs(v Version) audit.Values {
	if len(v.ManifestDigest) == 0 {
		return audit.Values{"file": "", "revision": 0, "manifest": ""}
	}
	return audit.Values{"file": v.FileID.String(), "revision": v.Revision, "manifest": hex.EncodeToString(v.ManifestDigest)}
}

// readOf are the fields about the version that was read.
func readOf(e Entry) audit.Values {
	return audit.Values{"file": e.Version.FileID.String(), "document": string(e.Node.ID), "version": e.Version.Number}
}

// and adds fields.
func and(fields audit.Values, further audit.Values) audit.Values {
	for name, value := range further {
		fields[name] = value
	}
	return fields
}

// recordPut records a version that becomes visible.
func (v *Vault) recordPut(ctx context.Context, tx Tx, a Actor, e Entry, by string) error {
	return v.record(ctx, tx, audit.FilePut, &a, and(sealedAs(e.Version), audit.Values{
		"document": string(e.Node.ID), "version": e.Version.Number, "size": e.Version.Size, "class": e.Version.Class, "by": by,
	}), placeOf(e.Node.Owner, e.Path))
}

// recordMove records that an entry got another name or place.
func (v *Vault) recordMove(ctx context.Context, tx Tx, a Actor, was, e Entry) error {
	return v.record(ctx, tx, audit.FileMoved, &a, and(sealedAs(e.Version), audit.Values{
		"node": string(e.Node.ID), "kind": string(e.Node.Kind),
	}), audit.Values{"person": string(e.Node.Owner), "from": was.Path, "to": e.Path})
}

// recordDeleted records that a node with so many versions goes.
func (v *Vault) recordDeleted(ctx context.Context, tx Tx, a Actor, n Node, versions int) error {
	path, err := pathOf(ctx, tx, n)
	if err != nil && !errors.Is(err, ErrRefused) { // what cannot be read can still be removed
		return err
	}
	return v.record(ctx, tx, audit.FileDeleted, &a, audit.Values{"node": string(n.ID), "kind": string(n.Kind), "versions": versions},
		placeOf(n.Owner, path))
}

// recordResealed records another envelope of a version that is otherwise as it was. by is nil where the server acts by
// itself.
func (v *Vault) recordResealed(ctx context.Context, tx Tx, by *Actor, version Version, reason string, place audit.Values) error {
	return v.record(ctx, tx, audit.FileResealed, by, and(sealedAs(version), audit.Values{"reason": reason}), place)
}

// makeFolders inserts folders, the last of those that names name, and records each.
func (v *Vault) makeFolders(ctx context.Context, tx Tx, a Actor, missing []Node, names []string) error {
	for i, n := range missing {
		if err := tx.Nodes().Insert(ctx, n); err != nil {
			return err
		}
		path := joinPath(names[:len(names)-len(missing)+i+1]...)
		if err := v.record(ctx, tx, audit.FolderCreated, &a, audit.Values{"node": string(n.ID)}, placeOf(n.Owner, path)); err != nil {
			return err
		}
	}
	return nil
}

// recordKey records that a public key comes into use, or goes out of it. of is whose it is, the zero Person for
// the vault's own.
func (v *Vault) recordKey(ctx context.Context, tx Tx, t audit.Type, by *Actor, row Identity, of Person) error {
	var subject audit.Values
	if of.ID != "" {
		subject = accountOf(of)
	}
	return v.record(ctx, tx, t, by, audit.Values{
		"kind": string(row.Kind), "identity": string(row.ID), "version": row.Version, "suite": int64(row.Suite), "fingerprint": row.Fingerprint.Hex(),
	}, subject)
}

// beginLog begins an audit log, and publishes its key and all that are in use.
func (v *Vault) beginLog(ctx context.Context, tx Tx, by *Actor, b auditlog.Beginning) error {
	l, err := v.audit.Begin(ctx, tx.Audit(), b)
	if err != nil {
		return err
	}
	fingerprint := sha256.Sum256([]byte(l.Public))
	err = v.record(ctx, tx, audit.KeyPublished, by, audit.Values{
		"kind": "log", "identity": l.Origin[strings.LastIndex(l.Origin, "/")+1:], "version": l.ID, "suite": 0,
		"fingerprint": hex.EncodeToString(fingerprint[:]),
	}, nil)
	if err != nil {
		return err
	}
	rows, err := tx.Identities().InUse(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		var of Person
		if row.Kind == KindPerson {
			if of, err = tx.People().ByID(ctx, row.Person); err != nil {
				return err
			}
		}
		if err := v.recordKey(ctx, tx, audit.KeyPublished, by, row, of); err != nil {
			return err
		}
	}
	return nil
}

// ensureLog begins the audit log of a vault that was made before there was one.
func (v *Vault) ensureLog(ctx context.Context) error {
	begun := false
	err := v.db.View(ctx, func(tx Tx) (err error) {
		begun, err = v.audit.Begun(ctx, tx.Audit())
		return err
	})
	if err != nil || begun {
		return err
	}
	return v.db.Update(ctx, func(tx Tx) error {
		return v.beginLog(ctx, tx, nil, auditlog.Beginning{Reason: "first"})
	})
}

// RestartLog begins another audit log, because the database was restored from a backup: the old one's history
// cannot go on from there, since others have seen more of it. by is who says so.
func (v *Vault) RestartLog(ctx context.Context, by Actor, previousAnchor string) error {
	return v.change(ctx, func(tx Tx) error {
		// What lies in a pool now may have been delivered since this database was copied, and a secret may have been used.
		if err := tx.QuantumKeys().EmptyPools(ctx); err != nil {
			return err
		}
		return v.beginLog(ctx, tx, &by, auditlog.Beginning{Reason: "restored", PreviousAnchor: previousAnchor})
	})
}
