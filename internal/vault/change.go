package vault

import (
	"context"
	"errors"
	"strings"

	"stonevault/stone"
)

// Move gives a file or folder another name or place. A file's envelope is written anew, with the next
// revision; a folder's move touches the database alone.
func (v *Vault) Move(ctx context.Context, a Actor, id NodeID, r MoveRequest) (Entry, error) {
	folders, name, err := parseFilePath(r.Path)
	if err != nil {
		return Entry{}, err
	}
	for range planAttempts {
		e, err := v.move(ctx, a, id, folders, name, r.IfMatch)
		if !errors.Is(err, errReplan) {
			return e, err
		}
	}
	return Entry{}, errReplan
}

// move plans in one transaction, seals, and commits in another that refuses an overtaken plan.
func (v *Vault) move(ctx context.Context, a Actor, id NodeID, folders []string, name, ifMatch string) (Entry, error) {
	var was, e Entry
	var state keyState
	var holders holders
	var missing []Node
	err := v.db.View(ctx, func(tx Tx) error {
		var err error
		if was, err = entry(ctx, tx, a, Ref{Node: id}); err != nil {
			return err
		}
		if ifMatch != "" && !was.matches(ifMatch) {
			return ErrPrecondition
		}
		e = was
		e.Path, e.Node.Name = joinPath(append(folders[:len(folders):len(folders)], name)...), name
		if was.Node.Kind == NodeFolder && strings.HasPrefix(e.Path+"/", was.Path+"/") && e.Path != was.Path {
			return &InvalidError{"path", "lies inside the folder that is to be moved"}
		}
		if e.Node.Parent, missing, err = v.planFolders(ctx, tx, a.Person, folders); err != nil {
			return err
		}
		if len(missing) == 0 {
			there, err := existing(ctx, tx, a, e.Node.Parent, name)
			if err != nil {
				return err
			}
			if there != nil && there.Node.ID != id {
				return ErrExists
			}
		}
		e.Node.UpdatedAt = millis(v.now())
		if e.Node.Kind != NodeFile {
			return nil
		}
		if state, err = v.keyState(ctx, tx, was); err != nil {
			return err
		}
		holders, err = currentHolders(ctx, tx, was.Node.Owner)
		return err
	})
	if err != nil {
		return Entry{}, err
	}
	if e.Path == was.Path {
		return was, nil
	}
	var before, envelope []byte
	if e.Node.Kind == NodeFile {
		metadata := func(stone.Metadata) stone.Metadata { return e.metadata() }
		if before, envelope, err = v.rewrite(ctx, was, &e, state, holders, metadata); err != nil {
			return Entry{}, err
		}
		defer v.files.lock(e.Version.FileID)()
	}
	if err := v.db.Update(ctx, func(tx Tx) error { return v.commitMove(ctx, tx, was, e, missing, envelope) }); err != nil {
		return Entry{}, err
	}
	if envelope == nil {
		return e, nil
	}
	return e, v.finishRewrite(ctx, was, e, before, envelope)
}

// rewrite seals the next revision of a file's envelope: the same body and key, for and by the present
// holders, with what metadata makes of the former. It sets what e's row has of it, and returns the envelope
// of before too.
func (v *Vault) rewrite(ctx context.Context, was Entry, e *Entry, s keyState, h holders, metadata func(stone.Metadata) stone.Metadata) (before, after []byte, err error) {
	if before, err = v.envelope(ctx, was.Version.FileID, s); err != nil {
		return nil, nil, err
	}
	u, err := v.unlockRaw(was, s, before)
	if err != nil {
		return nil, nil, err
	}
	signer, err := v.secret(h.owner)
	if err != nil {
		return nil, nil, err
	}
	grants, err := v.grants(h, u.FileID, u.Key())
	if err != nil {
		return nil, nil, err
	}
	e.Version.Revision, e.Version.Signer = was.Version.Revision+1, h.owner.Fingerprint
	after, err = stone.SealEnvelope(stone.EnvelopeParams{
		Body: u.Body(), Key: u.Key(), Revision: e.Version.Revision, Previous: u.ManifestDigest(), Time: millis(v.now()),
		Signer: signer, Certificate: h.owner.Certificate, Grants: grants, Metadata: metadata(u.Metadata), Rand: v.rand,
	})
	if err != nil {
		return nil, nil, err
	}
	e.Version.ManifestDigest, err = stone.ManifestDigest(after)
	return before, after, err
}

// commitMove checks that nothing has changed since the plan and commits it, for a file with an intent
// that holds its envelope.
func (v *Vault) commitMove(ctx context.Context, tx Tx, was, e Entry, missing []Node, envelope []byte) error {
	now, err := tx.Nodes().ByID(ctx, was.Node.ID)
	if err != nil {
		return err
	}
	if now != was.Node {
		return errReplan
	}
	for _, n := range missing {
		if err := replanIfExists(tx.Nodes().Insert(ctx, n)); err != nil {
			return err
		}
	}
	if e.Node.Parent != "" && len(missing) == 0 {
		if err := v.checkParent(ctx, tx, e); err != nil {
			return err
		}
	}
	if err := tx.Nodes().Update(ctx, e.Node); errors.Is(err, ErrExists) {
		return ErrExists
	} else if err != nil {
		return err
	}
	if envelope == nil {
		return nil
	}
	return v.commitRewrite(ctx, tx, was, e, envelope)
}

// commitRewrite refuses an envelope that is not the next one of the file as it is, or that comes while
// another is still on its way to its place.
func (v *Vault) commitRewrite(ctx context.Context, tx Tx, was, e Entry, envelope []byte) error {
	if err := tx.Versions().Update(ctx, e.Version, was.Version.Revision); errors.Is(err, ErrConflict) {
		return errReplan
	} else if err != nil {
		return err
	}
	return replanIfExists(tx.Intents().Insert(ctx, Intent{
		FileID: e.Version.FileID, Kind: IntentRewrite, Envelope: envelope, CreatedAt: v.now(),
	}))
}

// checkParent makes sure that the target folder is still there and, for a folder, is not inside itself.
func (v *Vault) checkParent(ctx context.Context, tx Tx, e Entry) error {
	for at := e.Node.Parent; at != ""; {
		if at == e.Node.ID {
			return &InvalidError{"path", "lies inside the folder that is to be moved"}
		}
		n, err := tx.Nodes().ByID(ctx, at)
		if isMissing(err) {
			return errReplan
		}
		if err != nil {
			return err
		}
		at = n.Parent
	}
	return nil
}

func replanIfExists(err error) error {
	if errors.Is(err, ErrExists) {
		return errReplan
	}
	return err
}

// finishRewrite puts a committed envelope in its place. A failure there may have put it in place all the
// same, so that taking the change back means to put the former envelope there, now or by the collector;
// until then readers use the one in the intent.
func (v *Vault) finishRewrite(ctx context.Context, was, e Entry, before, envelope []byte) error {
	ctx = context.WithoutCancel(ctx)
	id := e.Version.FileID
	failed := v.objects.Replace(ctx, envelopeName(id), envelope)
	if failed == nil {
		if err := v.dropIntent(ctx, id, IntentRewrite); err != nil {
			v.log.WarnContext(ctx, "a finished intent is left to the collector", "file_id", id.String(), "error", err)
		}
		return nil
	}
	undo := v.db.Update(ctx, func(tx Tx) error {
		// What has been built on the change meanwhile is not taken back with it.
		if now, err := tx.Nodes().ByID(ctx, was.Node.ID); err != nil {
			return err
		} else if now != e.Node {
			return errReplan
		}
		if err := tx.Nodes().Update(ctx, was.Node); err != nil {
			return err
		}
		if err := tx.Versions().Update(ctx, was.Version, e.Version.Revision); err != nil {
			return err
		}
		if err := tx.Intents().Delete(ctx, id); err != nil {
			return err
		}
		return tx.Intents().Insert(ctx, Intent{FileID: id, Kind: IntentRewrite, Envelope: before, CreatedAt: v.now()})
	})
	if undo != nil {
		v.log.ErrorContext(ctx, "an envelope waits to be put in its place", "file_id", id.String(), "error", errors.Join(failed, undo))
		return nil
	}
	return failed
}

// Delete removes a file with all its versions, or an empty folder.
func (v *Vault) Delete(ctx context.Context, a Actor, id NodeID, ifMatch string) error {
	var gone []stone.FileID
	err := v.db.Update(ctx, func(tx Tx) error {
		gone = nil
		e, err := entry(ctx, tx, a, Ref{Node: id})
		if err != nil && !errors.Is(err, ErrRefused) {
			return err
		}
		if err != nil { // what cannot be read can still be removed
			if e.Node, err = node(ctx, tx, a, Ref{Node: id}); err != nil {
				return err
			}
		}
		if ifMatch != "" && !e.matches(ifMatch) {
			return ErrPrecondition
		}
		gone, err = v.removeNode(ctx, tx, e.Node)
		return err
	})
	if err != nil {
		return err
	}
	v.settleAll(ctx, gone)
	return nil
}

// removeNode removes a file with its versions, or an empty folder, from the tree.
func (v *Vault) removeNode(ctx context.Context, tx Tx, n Node) (gone []stone.FileID, err error) {
	if n.Kind == NodeFolder {
		full, err := tx.Nodes().HasChildren(ctx, n.Owner, n.ID)
		if err != nil {
			return nil, err
		}
		if full {
			return nil, ErrNotEmpty
		}
	} else if gone, err = v.deleteVersions(ctx, tx, n.ID); err != nil {
		return nil, err
	}
	return gone, tx.Nodes().Delete(ctx, n.ID)
}

// settleAll removes the objects of files that are gone. What fails is left to the collector.
func (v *Vault) settleAll(ctx context.Context, gone []stone.FileID) {
	for _, id := range gone {
		if err := v.settle(context.WithoutCancel(ctx), id); err != nil {
			v.log.WarnContext(ctx, "a removed file's objects are left to the collector", "file_id", id.String(), "error", err)
		}
	}
}

// deleteVersions removes the rows of a document's versions and notes that their objects must go.
func (v *Vault) deleteVersions(ctx context.Context, tx Tx, document NodeID) ([]stone.FileID, error) {
	all, err := tx.Versions().OfDocument(ctx, document)
	if err != nil {
		return nil, err
	}
	var gone []stone.FileID
	for _, version := range all {
		gone = append(gone, version.FileID)
		if err := tx.Intents().Delete(ctx, version.FileID); err != nil {
			return nil, err
		}
		intent := Intent{FileID: version.FileID, Kind: IntentDelete, CreatedAt: v.now()}
		if err := tx.Intents().Insert(ctx, intent); err != nil {
			return nil, err
		}
	}
	return gone, tx.Versions().DeleteOfDocument(ctx, document)
}
