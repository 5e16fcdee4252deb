package vault

import (
	"context"
	"fmt"
	"slices"
)

// folderAt finds the folder with the given names, or ErrNotFound.
func folderAt(ctx context.Context, tx Tx, owner PersonID, names []string) (NodeID, error) {
	var at NodeID
	for _, name := range names {
		n, err := tx.Nodes().Child(ctx, owner, at, name)
		if err != nil {
			return "", err
		}
		if n.Kind != NodeFolder {
			return "", fmt.Errorf("%w: %q is a file, not a folder", ErrNotFound, name)
		}
		at = n.ID
	}
	return at, nil
}

// planFolders finds the folder with the given names. What is missing of it is returned as nodes still to
// be inserted.
func (v *Vault) planFolders(ctx context.Context, tx Tx, owner PersonID, names []string) (NodeID, []Node, error) {
	var at NodeID
	var missing []Node
	for i, name := range names {
		if len(missing) == 0 {
			n, err := tx.Nodes().Child(ctx, owner, at, name)
			switch {
			case err == nil && n.Kind != NodeFolder:
				return "", nil, &InvalidError{"path", fmt.Sprintf("goes through %q, which is a file", joinPath(names[:i+1]...))}
			case err == nil:
				at = n.ID
				continue
			case !isMissing(err):
				return "", nil, err
			}
		}
		now := millis(v.now())
		n := Node{ID: NodeID(v.newID()), Owner: owner, Parent: at, Name: name, Kind: NodeFolder, CreatedAt: now, UpdatedAt: now}
		missing = append(missing, n)
		at = n.ID
	}
	return at, missing, nil
}

// pathOf finds the absolute path of a node.
func pathOf(ctx context.Context, tx Tx, n Node) (string, error) {
	names := []string{n.Name}
	for at := n.Parent; at != ""; {
		folder, err := tx.Nodes().ByID(ctx, at)
		if err != nil {
			return "", mustBeThere("folder "+string(at), err)
		}
		if folder.Owner != n.Owner || folder.Kind != NodeFolder || len(names) > maxDepth {
			return "", refused("the folders above node %s are not a path", n.ID)
		}
		names = append(names, folder.Name)
		at = folder.Parent
	}
	slices.Reverse(names)
	return joinPath(names...), nil
}

// entry finds what a Ref names, with the version that it asks for. Somebody else's is ErrNotFound.
func entry(ctx context.Context, tx Tx, a Actor, ref Ref) (Entry, error) {
	n, err := node(ctx, tx, a, ref)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Node: n}
	if e.Path, err = pathOf(ctx, tx, n); err != nil {
		return Entry{}, err
	}
	if n.Kind == NodeFolder {
		if ref.Version != 0 {
			return Entry{}, ErrNotFound
		}
		return e, nil
	}
	if ref.Version == 0 {
		e.Version, err = current(ctx, tx, n)
		return e, err
	}
	all, err := tx.Versions().OfDocument(ctx, n.ID)
	if err != nil {
		return Entry{}, err
	}
	i := slices.IndexFunc(all, func(v Version) bool { return v.Number == ref.Version })
	if i < 0 {
		return Entry{}, ErrNotFound
	}
	e.Version = all[i]
	return e, nil
}

func node(ctx context.Context, tx Tx, a Actor, ref Ref) (Node, error) {
	if ref.Node != "" {
		n, err := tx.Nodes().ByID(ctx, ref.Node)
		if err == nil && n.Owner != a.Person {
			return Node{}, ErrNotFound
		}
		return n, err
	}
	folders, name, err := parseFilePath(ref.Path)
	if err != nil {
		return Node{}, err
	}
	parent, err := folderAt(ctx, tx, a.Person, folders)
	if err != nil {
		return Node{}, err
	}
	return tx.Nodes().Child(ctx, a.Person, parent, name)
}

// existing is entry where absence is an answer.
func existing(ctx context.Context, tx Tx, a Actor, parent NodeID, name string) (*Entry, error) {
	n, err := tx.Nodes().Child(ctx, a.Person, parent, name)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e := &Entry{Node: n}
	if n.Kind == NodeFile {
		e.Version, err = current(ctx, tx, n)
	}
	return e, err
}

// current finds a document's current version, which is the one with the highest number: a node that says
// another has been rolled back.
func current(ctx context.Context, tx Tx, n Node) (Version, error) {
	v, err := tx.Versions().Latest(ctx, n.ID)
	if isMissing(err) || err == nil && v.FileID != n.Current {
		return Version{}, refused("version %s is not the latest of document %s", n.Current, n.ID)
	}
	return v, err
}
