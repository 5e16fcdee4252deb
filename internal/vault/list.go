package vault

import (
	"context"
	"fmt"
	"path"
)

// List returns one page of a folder.
func (v *Vault) List(ctx context.Context, a Actor, r ListRequest) (Page, error) {
	if r.Folder == "" {
		r.Folder = "/"
	}
	names, err := ParsePath(r.Folder)
	if err != nil {
		return Page{}, err
	}
	if err := r.check(); err != nil {
		return Page{}, err
	}
	keys, after, err := entries.parse(r.Sort, r.Cursor)
	if err != nil {
		return Page{}, err
	}
	q := ListQuery{Owner: a.Person, Filter: r.Filter, Sort: keys, After: after, Limit: r.Limit + 1}
	var page Page
	err = v.db.View(ctx, func(tx Tx) error {
		if q.Folder, err = folderAt(ctx, tx, a.Person, names); err != nil {
			return err
		}
		page.Items, err = tx.Nodes().List(ctx, q)
		return err
	})
	if err != nil {
		return Page{}, err
	}
	if page.Items, page.Next, err = entries.next(page.Items, r.Limit, r.Sort, keys); err != nil {
		return Page{}, err
	}
	folder := joinPath(names...)
	for i := range page.Items {
		page.Items[i].Path = path.Join(folder, page.Items[i].Node.Name)
	}
	return page, nil
}

// check sets the default limit and refuses what no list can do.
func (r *ListRequest) check() (err error) {
	if r.Limit, err = pageLimit(r.Limit); err != nil {
		return err
	}
	if k := r.Filter.Kind; k != "" && k != NodeFolder && k != NodeFile {
		return &InvalidError{"kind", "is neither folder nor file"}
	}
	switch {
	case len(r.Filter.NameContains) > maxName:
		return &InvalidError{"name_contains", fmt.Sprintf("is longer than %d bytes", maxName)}
	case len(r.Filter.MediaType) > maxName:
		return &InvalidError{"media_type", fmt.Sprintf("is longer than %d bytes", maxName)}
	}
	return nil
}

// Stat returns what the database says of a file or folder. Only Content and Verify check it.
func (v *Vault) Stat(ctx context.Context, a Actor, ref Ref) (Entry, error) {
	var e Entry
	err := v.db.View(ctx, func(tx Tx) (err error) {
		e, err = entry(ctx, tx, a, ref)
		return err
	})
	return e, err
}

// Versions lists a document's versions, oldest first.
func (v *Vault) Versions(ctx context.Context, a Actor, id NodeID) ([]Entry, error) {
	var found []Entry
	err := v.db.View(ctx, func(tx Tx) error {
		found = nil
		e, err := entry(ctx, tx, a, Ref{Node: id})
		if err != nil {
			return err
		}
		if e.Node.Kind != NodeFile {
			return &InvalidError{"id", "is a folder; only files have versions"}
		}
		all, err := tx.Versions().OfDocument(ctx, id)
		for _, version := range all {
			e.Version = version
			found = append(found, e)
		}
		return err
	})
	return found, err
}
