package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"stonevault/internal/vault"
	"stonevault/stone"
)

// census compares what the database says of objects with the objects themselves. Both may change
// meanwhile, so whatever looks wrong is looked at again in a snapshot of its own.
type census struct {
	db      vault.Database
	objects vault.Objects

	owners    map[vault.PersonID]bool // those found, whose trees are gone through then
	versions  map[stone.FileID]bool   // already compared
	missing   []string                // sentences
	strangers []string                // names of objects that nothing refers to
}

// contents compares rows and objects.
func (d *doctor) contents(ctx context.Context) {
	const check = "objects"
	c := &census{
		db: d.store.db, objects: d.store.objects,
		owners: make(map[vault.PersonID]bool), versions: make(map[stone.FileID]bool),
	}
	if err := c.count(ctx); err != nil {
		d.say(check, levelFail, "they could not all be compared: %v", err)
		return
	}
	for _, m := range atMost(c.missing, "%d more objects are missing or damaged") {
		d.say(check, levelFail, "%s; restore it from a backup", m)
	}
	for _, s := range atMost(c.strangers, "%d more objects") {
		d.say(check, levelWarn, "no row refers to %s; keep it until you know why, since a restored database may be older than the objects", s)
	}
	if len(c.missing)+len(c.strangers) == 0 {
		d.say(check, levelOK, "versions of files: %d, each with a body of the right size and an envelope", len(c.versions))
	}
}

// atMost keeps a list readable.
func atMost(list []string, rest string) []string {
	const most = 20
	if len(list) <= most {
		return list
	}
	return append(list[:most:most], fmt.Sprintf(rest, len(list)-most))
}

// count goes from the objects to their rows, and from the people found there through all they have.
func (c *census) count(ctx context.Context) error {
	err := c.objects.Walk(ctx, func(name string, _ int64) error {
		text, _, _ := strings.Cut(name, ".")
		id, err := stone.ParseFileID(text)
		if err != nil {
			return err
		}
		return c.object(ctx, name, id)
	})
	if err != nil {
		return err
	}
	for owner := range c.owners {
		if err := c.folder(ctx, owner, ""); err != nil {
			return err
		}
	}
	return nil
}

// object asks what refers to an object.
func (c *census) object(ctx context.Context, name string, id stone.FileID) error {
	if c.versions[id] {
		return nil
	}
	var row vault.Version
	var known, pending bool
	err := c.db.View(ctx, func(tx vault.Tx) error {
		var err error
		row, err = tx.Versions().ByID(ctx, id)
		if known = err == nil; !errors.Is(err, vault.ErrNotFound) {
			return err
		}
		_, err = tx.Intents().ByID(ctx, id)
		if pending = err == nil; !errors.Is(err, vault.ErrNotFound) {
			return err
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case known:
		c.owners[row.Owner] = true
		return c.version(ctx, row)
	case pending:
		return nil
	}
	// Its file may have been removed since it was seen.
	if _, err := c.size(ctx, name); errors.Is(err, vault.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	c.strangers = append(c.strangers, name)
	return nil
}

// version compares a row with its two objects.
func (c *census) version(ctx context.Context, row vault.Version) error {
	if c.versions[row.FileID] {
		return nil
	}
	c.versions[row.FileID] = true
	body, envelope := row.FileID.String()+".body", row.FileID.String()+".env"
	var wrong []string
	for _, o := range []struct {
		name string
		fits func(size int64) bool
	}{
		{body, func(size int64) bool { return size == row.BodySize }},
		{envelope, func(size int64) bool { return size > 0 && size <= stone.MaxEnvelopeSize }},
	} {
		switch size, err := c.size(ctx, o.name); {
		case errors.Is(err, vault.ErrNotFound):
			wrong = append(wrong, fmt.Sprintf("%s is missing", o.name))
		case err != nil:
			return err
		case !o.fits(size):
			wrong = append(wrong, fmt.Sprintf("%s has %d bytes, which is not its size", o.name, size))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	err := c.db.View(ctx, func(tx vault.Tx) error {
		_, err := tx.Versions().ByID(ctx, row.FileID)
		return err
	})
	if errors.Is(err, vault.ErrNotFound) {
		delete(c.versions, row.FileID)
		return nil // removed meanwhile
	}
	c.missing = append(c.missing, wrong...)
	return err
}

func (c *census) size(ctx context.Context, name string) (int64, error) {
	o, err := c.objects.Open(ctx, name)
	if err != nil {
		return 0, err
	}
	defer o.Close()
	return o.Size(), nil
}

// folder goes through everything in a folder, page by page.
func (c *census) folder(ctx context.Context, owner vault.PersonID, folder vault.NodeID) error {
	const page = 500
	q := vault.ListQuery{Owner: owner, Folder: folder, Sort: []vault.SortKey{{Field: vault.SortName}}, Limit: page}
	for {
		var items []vault.Entry
		versions := make(map[vault.NodeID][]vault.Version)
		err := c.db.View(ctx, func(tx vault.Tx) (err error) {
			if items, err = tx.Nodes().List(ctx, q); err != nil {
				return err
			}
			for _, e := range items {
				if e.Node.Kind != vault.NodeFile {
					continue
				}
				if versions[e.Node.ID], err = tx.Versions().OfDocument(ctx, e.Node.ID); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, e := range items {
			if e.Node.Kind == vault.NodeFolder {
				if err := c.folder(ctx, owner, e.Node.ID); err != nil {
					return err
				}
			}
			for _, row := range versions[e.Node.ID] {
				if err := c.version(ctx, row); err != nil {
					return err
				}
			}
		}
		if len(items) < page {
			return nil
		}
		last := items[len(items)-1].Node
		q.After = []any{last.Name, string(last.ID)}
	}
}

// intents counts changes that are not finished.
func (d *doctor) intents(ctx context.Context) {
	const check, most = "intents", 1000
	var left []vault.Intent
	err := d.store.db.View(ctx, func(tx vault.Tx) (err error) {
		left, err = tx.Intents().Before(ctx, d.now(), most)
		return err
	})
	switch {
	case err != nil:
		d.say(check, levelFail, "%v", err)
	case len(left) == 0:
		d.say(check, levelOK, "no change is unfinished")
	case d.served:
		d.say(check, levelOK, "changes under way, or left to the server's collector: %d", len(left))
	default:
		d.say(check, levelWarn, "unfinished changes: %d; start the server, which finishes or undoes them", len(left))
	}
}

// temporary counts the files that interrupted uploads have left.
func (d *doctor) temporary() {
	const check = "temporary"
	var files int
	var size int64
	err := filepath.WalkDir(d.store.dir.Objects(), func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasPrefix(e.Name(), ".tmp-") {
			return ignoreMissing(err)
		}
		info, err := e.Info()
		if err == nil {
			files++
			size += info.Size()
		}
		return ignoreMissing(err)
	})
	switch {
	case err != nil:
		d.say(check, levelFail, "%v", err)
	case files == 0:
		d.say(check, levelOK, "there are no temporary files")
	case d.served:
		d.say(check, levelOK, "temporary files of the server: %d", files)
	default:
		d.say(check, levelWarn, "interrupted uploads have left %d files of %d MiB in all; start the server, which removes them", files, size>>20)
	}
}

// ignoreMissing drops the error of a file that has gone meanwhile.
func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
