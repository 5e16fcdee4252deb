package vault

import (
	"context"
	"errors"
	"fmt"
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
		holders, err = v.holdersOf(ctx, tx, was.Node.Owner)
		return err
	})
	if err != nil {
		return Entry{}, err
	}
	if e.Path == was.Path {
		return was, nil
	}
	var r *rewrite
	if e.Node.Kind == NodeFile {
		if state.rewrite != nil { // of a change that ends at this moment, or that failed to tidy up
			if err := v.settle(ctx, e.Version.FileID); err != nil {
				return Entry{}, err
			}
		}
		record := func(ctx context.Context, tx Tx, was, e Entry) error { return v.recordMove(ctx, tx, a, was, e) }
		r, err = v.rewrite(ctx, was, e, state, holders, func(stone.Metadata) stone.Metadata { return e.metadata() }, record)
		if v.overtaken(ctx, was, err) {
			return Entry{}, errReplan
		}
		if err != nil {
			return Entry{}, err
		}
		e = r.e
		held, unlock, err := v.lockFiles(ctx, e.Version.FileID)
		if err != nil {
			return Entry{}, err
		}
		defer unlock()
		ctx = held
	}
	if err := v.change(ctx, func(tx Tx) error { return v.commitMove(ctx, tx, a, was, e, folders, missing, r) }); err != nil {
		return Entry{}, err
	}
	if r == nil {
		return e, nil
	}
	return e, v.finishRewrite(ctx, r)
}

// commitMove checks that nothing has changed since the plan and commits it, for a file with an intent
// that holds its envelope.
func (v *Vault) commitMove(ctx context.Context, tx Tx, a Actor, was, e Entry, folders []string, missing []Node, r *rewrite) error {
	now, err := tx.Nodes().ByID(ctx, was.Node.ID)
	if err != nil {
		return err
	}
	if now != was.Node {
		return errReplan
	}
	if err := replanIfExists(v.makeFolders(ctx, tx, a, missing, folders)); err != nil {
		return err
	}
	if e.Node.Parent != "" && len(missing) == 0 {
		if err := v.checkParent(ctx, tx, e); err != nil {
			return err
		}
	}
	if e.Node.Kind == NodeFolder {
		if err := checkBelow(ctx, tx, e); err != nil {
			return err
		}
	}
	if err := tx.Nodes().Update(ctx, e.Node); errors.Is(err, ErrExists) {
		return ErrExists
	} else if err != nil {
		return err
	}
	if r == nil {
		return v.recordMove(ctx, tx, a, was, e)
	}
	return v.commitRewrite(ctx, tx, r)
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

// checkBelow refuses a folder's place where something in it would have a path that no request can name, and
// that no recovery would accept.
func checkBelow(ctx context.Context, tx Tx, folder Entry) error {
	names, length, err := tx.Nodes().Below(ctx, folder.Node.Owner, folder.Node.ID)
	if err != nil {
		return err
	}
	if len(folder.Path)+length > maxPath || strings.Count(folder.Path, "/")+names > maxDepth {
		return &InvalidError{"path", fmt.Sprintf("would make something in the folder longer than %d bytes or %d names", maxPath, maxDepth)}
	}
	return nil
}

func replanIfExists(err error) error {
	if errors.Is(err, ErrExists) {
		return errReplan
	}
	return err
}

// Delete removes a file with all its versions, or an empty folder.
func (v *Vault) Delete(ctx context.Context, a Actor, id NodeID, ifMatch string) error {
	var gone []stone.FileID
	err := v.change(ctx, func(tx Tx) error {
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
		gone, err = v.removeNode(ctx, tx, a, e.Node)
		return err
	})
	if err != nil {
		return err
	}
	v.settleAll(ctx, gone)
	return nil
}

// removeNode removes a file with its versions, or an empty folder, from the tree.
func (v *Vault) removeNode(ctx context.Context, tx Tx, a Actor, n Node) (gone []stone.FileID, err error) {
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
	if err := v.recordDeleted(ctx, tx, a, n, len(gone)); err != nil {
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
