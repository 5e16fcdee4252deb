package vault

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"stonevault/stone"
)

const (
	// walkPage is how many nodes are read at once on a walk.
	walkPage = 1000
	// findBudget is how many nodes one call of Find looks at, found or not.
	findBudget = 10_000
	// removeBatch is how many nodes one transaction removes.
	removeBatch = 100
	// findOrder marks cursors of Find.
	findOrder = "path"
)

// MadeFolder is a folder as MakeFolder leaves it.
type MadeFolder struct {
	Entry
	New bool // there was something to make
}

// MakeFolder makes a folder and those above it.
func (v *Vault) MakeFolder(ctx context.Context, a Actor, path string) (MadeFolder, error) {
	folders, name, err := parseFilePath(path)
	if err != nil {
		return MadeFolder{}, err
	}
	names := append(folders, name)
	var f MadeFolder
	err = v.create(ctx, func(tx Tx) (any, error) {
		parent, _, err := v.planFolders(ctx, tx, a.Person, names[:len(names)-1])
		if err != nil {
			return nil, err
		}
		there, err := existing(ctx, tx, a, parent, name)
		if err != nil {
			return nil, err
		}
		if there != nil && there.Node.Kind != NodeFolder {
			return nil, ErrExists
		}
		at, missing, err := v.planFolders(ctx, tx, a.Person, names)
		if err != nil {
			return nil, err
		}
		if err := v.makeFolders(ctx, tx, a, missing, names); err != nil {
			return nil, err
		}
		f = MadeFolder{Entry: Entry{Path: joinPath(names...)}, New: len(missing) > 0}
		f.Node, err = tx.Nodes().ByID(ctx, at)
		return f, err
	})
	return f, err
}

// Walk calls fn for a file, or for a folder (but not the root) and all that is below it, in path order:
// each folder's names by their bytes, a folder before what is in it. What changes meanwhile may be seen
// or not.
func (v *Vault) Walk(ctx context.Context, a Actor, from string, fn func(Entry) error) error {
	if from == "/" {
		return v.walk(ctx, a, "", "/", nil, fn)
	}
	e, err := v.Stat(ctx, a, Ref{Path: from})
	if err != nil {
		return err
	}
	if err := fn(e); err != nil || e.Node.Kind == NodeFile {
		return err
	}
	return v.walk(ctx, a, e.Node.ID, e.Path, nil, fn)
}

// walk visits what lies in a folder, behind the names of after.
func (v *Vault) walk(ctx context.Context, a Actor, folder NodeID, at string, after []string, fn func(Entry) error) error {
	q := ListQuery{Owner: a.Person, Folder: folder, Sort: []SortKey{{Field: SortName}}, Limit: walkPage}
	if len(after) > 0 {
		// The folder that the last visit was in goes on first.
		n, err := v.child(ctx, a, folder, after[0])
		switch {
		case err == nil && n.Kind == NodeFolder:
			if err := v.walk(ctx, a, n.ID, path.Join(at, n.Name), after[1:], fn); err != nil {
				return err
			}
		case err != nil && !isMissing(err):
			return err
		}
		// No id is larger than this one, so that the whole name is passed over.
		q.After = []any{after[0], "g"}
	}
	for {
		var page []Entry
		err := v.db.View(ctx, func(tx Tx) (err error) {
			page, err = tx.Nodes().List(ctx, q)
			return err
		})
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := ctx.Err(); err != nil {
				return err
			}
			e.Path = path.Join(at, e.Node.Name)
			if err := fn(e); err != nil {
				return err
			}
			if e.Node.Kind == NodeFolder {
				if err := v.walk(ctx, a, e.Node.ID, e.Path, nil, fn); err != nil {
					return err
				}
			}
		}
		if len(page) < q.Limit {
			return nil
		}
		last := page[len(page)-1].Node
		q.After = []any{last.Name, string(last.ID)}
	}
}

func (v *Vault) child(ctx context.Context, a Actor, folder NodeID, name string) (Node, error) {
	var n Node
	err := v.db.View(ctx, func(tx Tx) (err error) {
		n, err = tx.Nodes().Child(ctx, a.Person, folder, name)
		return err
	})
	return n, err
}

// errEnough ends a walk early.
var errEnough = errors.New("enough")

// Find returns one page of what lies below a folder and fits the filter, in path order. A page may be
// short, or empty, and have a next one.
func (v *Vault) Find(ctx context.Context, a Actor, r ListRequest) (Page, error) {
	if r.Folder == "" {
		r.Folder = "/"
	}
	if r.Sort != "" {
		return Page{}, &InvalidError{"sort", "does not go with a search, which is in path order"}
	}
	if err := r.check(); err != nil {
		return Page{}, err
	}
	names, err := ParsePath(r.Folder)
	if err != nil {
		return Page{}, err
	}
	after, err := parseFindCursor(r.Cursor)
	if err != nil {
		return Page{}, err
	}
	var folder NodeID
	err = v.db.View(ctx, func(tx Tx) (err error) {
		folder, err = folderAt(ctx, tx, a.Person, names)
		return err
	})
	if err != nil {
		return Page{}, err
	}
	var page Page
	var last Entry
	seen := 0
	err = v.walk(ctx, a, folder, joinPath(names...), after, func(e Entry) error {
		if len(page.Items) == r.Limit || seen == findBudget {
			return errEnough
		}
		seen++
		last = e
		if r.Filter.fits(e.Node) {
			page.Items = append(page.Items, e)
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		below := strings.TrimPrefix(last.Path, strings.TrimSuffix(joinPath(names...), "/"))
		page.Next, err = encodeCursor(findOrder, anySlice(strings.Split(below[1:], "/")))
	}
	return page, err
}

func anySlice(names []string) []any {
	values := make([]any, len(names))
	for i, name := range names {
		values[i] = name
	}
	return values
}

// parseFindCursor returns the names, from the searched folder on, of what was seen last.
func parseFindCursor(text string) ([]string, error) {
	values, err := decodeCursor(text, findOrder)
	if err != nil || values == nil {
		return nil, err
	}
	names := make([]string, 0, len(values))
	for _, value := range values {
		name, ok := value.(string)
		if !ok || checkName(name) != nil {
			return nil, errCursor()
		}
		names = append(names, name)
	}
	if len(names) == 0 || len(names) > maxDepth {
		return nil, errCursor()
	}
	return names, nil
}

// fits evaluates a filter as the database does for lists.
func (f ListFilter) fits(n Node) bool {
	return (f.Kind == "" || f.Kind == n.Kind) &&
		(f.NameContains == "" || strings.Contains(lowerASCII(n.Name), lowerASCII(f.NameContains))) &&
		(f.MediaType == "" || f.MediaType == n.MediaType ||
			strings.HasSuffix(f.MediaType, "/") && strings.HasPrefix(n.MediaType, f.MediaType))
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// within tells whether a node is a folder, or lies in it at any depth.
func within(ctx context.Context, tx Tx, n Node, folder NodeID) (bool, error) {
	for n.ID != folder {
		if n.Parent == "" {
			return false, nil
		}
		var err error
		if n, err = tx.Nodes().ByID(ctx, n.Parent); err != nil {
			return false, err
		}
	}
	return true, nil
}

// DeleteAll removes a file, or a folder with all that is in it. It works in several transactions; where it
// is stopped, what is left is whole.
func (v *Vault) DeleteAll(ctx context.Context, a Actor, top NodeID, ifMatch string) error {
	e, err := v.Stat(ctx, a, Ref{Node: top})
	if err != nil {
		return err
	}
	if e.Node.Kind == NodeFile {
		return v.Delete(ctx, a, top, ifMatch)
	}
	if ifMatch != "" && !e.matches(ifMatch) {
		return ErrPrecondition
	}
	ids := []NodeID{top}
	err = v.walk(ctx, a, top, e.Path, nil, func(e Entry) error {
		ids = append(ids, e.Node.ID)
		return nil
	})
	if err != nil {
		return err
	}
	slices.Reverse(ids) // what is in a folder goes before the folder
	gone, err := v.removeNodes(ctx, a, ids, func(ctx context.Context, tx Tx, n Node) (bool, error) {
		if n.Owner != a.Person {
			return false, nil
		}
		return within(ctx, tx, n, top) // or moved out meanwhile
	})
	v.settleAll(ctx, gone)
	return err
}

// removeNodes removes nodes, the innermost first, that are there and that still belong to what is removed. It
// works in several transactions; gone are the files of those that were committed.
func (v *Vault) removeNodes(ctx context.Context, a Actor, ids []NodeID, still func(context.Context, Tx, Node) (bool, error)) (gone []stone.FileID, err error) {
	for batch := range slices.Chunk(ids, removeBatch) {
		var files []stone.FileID
		err := v.change(ctx, func(tx Tx) error {
			files = nil
			for _, id := range batch {
				n, err := tx.Nodes().ByID(ctx, id)
				if isMissing(err) {
					continue // removed meanwhile
				}
				if err != nil {
					return err
				}
				if belongs, err := still(ctx, tx, n); err != nil {
					return err
				} else if !belongs {
					continue
				}
				more, err := v.removeNode(ctx, tx, a, n)
				if err != nil {
					return fmt.Errorf("%s: %w", n.Name, err)
				}
				files = append(files, more...)
			}
			return nil
		})
		if err != nil {
			return gone, err
		}
		gone = append(gone, files...)
	}
	return gone, nil
}
