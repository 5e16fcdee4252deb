package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stonevault/internal/vault"
	"stonevault/stone"
)

// census compares what the database says of objects and parts with those themselves. All of them may change
// meanwhile, so whatever looks wrong is looked at again in a snapshot of its own.
type census struct {
	db      vault.Database
	objects vault.Objects
	parts   vault.Parts

	versions  map[stone.FileID]bool // already compared
	uploads   int
	missing   []string // sentences
	strangers []string // names of objects that nothing refers to
	orphans   []string // ids of parts that no upload refers to
}

// contents compares rows, objects and parts.
func (d *doctor) contents(ctx context.Context) {
	c := &census{
		db: d.store.db, objects: d.store.objects, parts: d.store.objects, versions: make(map[stone.FileID]bool),
	}
	const files = "objects"
	if err := errors.Join(c.rows(ctx), c.files(ctx)); err != nil {
		d.say(files, levelFail, "they could not all be compared: %v", err)
		return
	}
	for _, m := range atMost(c.missing, "%d more objects are missing or damaged") {
		d.say(files, levelFail, "%s; restore it from a backup", m)
	}
	for _, s := range atMost(c.strangers, "%d more objects") {
		d.say(files, levelWarn, "no row refers to %s; keep it until you know why, since a restored database may be older than the objects", s)
	}
	if len(c.missing)+len(c.strangers) == 0 {
		d.say(files, levelOK, "versions of files: %d, each with a body of the right size and an envelope", len(c.versions))
	}

	const uploads = "uploads"
	c.missing = nil
	if err := errors.Join(c.pending(ctx), c.leftParts(ctx)); err != nil {
		d.say(uploads, levelFail, "they could not all be compared: %v", err)
		return
	}
	for _, m := range atMost(c.missing, "%d more uploads have lost what had come") {
		d.say(uploads, levelFail, "%s, so that it cannot go on; it must be cancelled and begun again", m)
	}
	for _, id := range atMost(c.orphans, "%d more parts") {
		switch {
		case d.served:
			d.say(uploads, levelOK, "no upload refers to %s.part; the server's collector removes it", id)
		default:
			d.say(uploads, levelWarn, "no upload refers to %s.part; start the server, which removes it", id)
		}
	}
	if len(c.missing)+len(c.orphans) == 0 {
		d.say(uploads, levelOK, "uploads that are not finished: %d, each with what has come of it", c.uploads)
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

// rows compares every version with its objects, page by page.
func (c *census) rows(ctx context.Context) error {
	const page = 1000
	var last stone.FileID
	for {
		var rows []vault.Version
		err := c.db.View(ctx, func(tx vault.Tx) (err error) {
			rows, err = tx.Versions().After(ctx, last, page)
			return err
		})
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := c.version(ctx, row); err != nil {
				return err
			}
			last = row.FileID
		}
		if len(rows) < page {
			return nil
		}
	}
}

// files looks for the row of every object.
func (c *census) files(ctx context.Context) error {
	return c.objects.Walk(ctx, func(name string, _ int64) error {
		text, _, _ := strings.Cut(name, ".")
		id, err := stone.ParseFileID(text)
		if err != nil || c.versions[id] {
			return err
		}
		return c.object(ctx, name, id)
	})
}

// object asks what refers to an object of no version that was known when the rows were read.
func (c *census) object(ctx context.Context, name string, id stone.FileID) error {
	var row vault.Version
	var known, pending bool
	err := c.db.View(ctx, func(tx vault.Tx) error {
		var err error
		row, err = tx.Versions().ByID(ctx, id)
		if known = err == nil; !errors.Is(err, vault.ErrNotFound) {
			return err
		}
		_, err = tx.Intents().ByID(ctx, id)
		if errors.Is(err, vault.ErrNotFound) {
			_, err = tx.Uploads().ByID(ctx, id) // one whose last byte has come
		}
		if pending = err == nil; !errors.Is(err, vault.ErrNotFound) {
			return err
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case known:
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

// pending compares every upload with its part.
func (c *census) pending(ctx context.Context) error {
	sizes, err := c.partSizes(ctx)
	if err != nil {
		return err
	}
	var rows []vault.Upload
	err = c.db.View(ctx, func(tx vault.Tx) (err error) {
		rows, err = tx.Uploads().Expired(ctx, time.Unix(1<<40, 0), math.MaxInt32)
		return err
	})
	if err != nil {
		return err
	}
	c.uploads = len(rows)
	for _, row := range rows {
		if size, ok := sizes[row.ID]; ok && size >= row.Part || row.Part == 0 {
			continue
		}
		// It may have been finished, cancelled or begun since the parts were seen.
		now, err := c.partSizes(ctx)
		if err != nil {
			return err
		}
		size, there := now[row.ID]
		if _, err := c.size(ctx, row.ID.String()+".body"); err == nil || size >= row.Part {
			continue
		} else if !errors.Is(err, vault.ErrNotFound) {
			return err
		}
		err = c.db.View(ctx, func(tx vault.Tx) error { _, err := tx.Uploads().ByID(ctx, row.ID); return err })
		switch {
		case errors.Is(err, vault.ErrNotFound):
		case err != nil:
			return err
		case there:
			c.missing = append(c.missing, fmt.Sprintf("of an upload, %s.part has %d bytes and not the %d that were acknowledged", row.ID, size, row.Part))
		default:
			c.missing = append(c.missing, fmt.Sprintf("of an upload, %s.part is missing", row.ID))
		}
	}
	return nil
}

func (c *census) partSizes(ctx context.Context) (map[stone.FileID]int64, error) {
	sizes := make(map[stone.FileID]int64)
	err := c.parts.WalkParts(ctx, func(id stone.FileID, size int64) error {
		sizes[id] = size
		return nil
	})
	return sizes, err
}

// leftParts looks for parts without an upload. One that has just lost its upload is about to go.
func (c *census) leftParts(ctx context.Context) error {
	sizes, err := c.partSizes(ctx)
	if err != nil {
		return err
	}
	for id := range sizes {
		err := c.db.View(ctx, func(tx vault.Tx) error { _, err := tx.Uploads().ByID(ctx, id); return err })
		switch {
		case errors.Is(err, vault.ErrNotFound):
			c.orphans = append(c.orphans, id.String())
		case err != nil:
			return err
		}
	}
	if len(c.orphans) == 0 {
		return nil
	}
	if sizes, err = c.partSizes(ctx); err != nil {
		return err
	}
	c.orphans = slices.DeleteFunc(c.orphans, func(text string) bool {
		id, err := stone.ParseFileID(text)
		_, there := sizes[id]
		return err != nil || !there
	})
	slices.Sort(c.orphans)
	return nil
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
	if d.store.sharesObjects() {
		return
	}
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
