package main

import (
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"stonevault/internal/auditlog"
	"stonevault/internal/blob/transfer"
	"stonevault/internal/datadir"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// versionsPage is how many rows are looked through at once for missing objects.
const versionsPage = 500

// copyObjects copies sealed files, and compares all of them with each other and with their rows.
func (c *copying) copyObjects(ctx context.Context) (bool, error) {
	expected := int64(0)
	for _, t := range c.report.Tables {
		if t.Name == "versions" {
			expected = 2 * t.Rows
		}
	}
	config := transfer.Config{
		From: c.source.objects, Fresh: c.fresh, Known: c.known,
		Progress: func(r transfer.Result) {
			c.say("sealed files copied and compared: %d of %d objects, %s", r.Objects, expected, size(r.Bytes))
		},
	}
	if !c.oneStore {
		config.To = c.target.objects
	}
	done, err := transfer.Objects(ctx, config)
	if err != nil {
		return false, err
	}
	c.report.Objects, c.report.Bytes, c.report.Copied, c.report.Removed = done.Objects, done.Bytes, done.Copied, done.Removed
	for _, f := range done.Faults {
		c.report.Problems = append(c.report.Problems, problem{f.Name, f.Reason})
	}
	for _, name := range done.Differing {
		c.report.Problems = append(c.report.Problems, problem{name, "the target does not give back what was written"})
	}
	if done.Rows < expected {
		if err := c.missing(ctx); err != nil {
			return false, err
		}
	}
	return len(done.Differing) == 0, nil
}

// known is what the rows say of an object. Where a rewritten envelope is on its way, either of two is right.
func (c *copying) known(ctx context.Context, name string) (k transfer.Known, err error) {
	text, _, _ := strings.Cut(name, ".")
	id, err := stone.ParseFileID(text)
	if err != nil {
		return k, err
	}
	err = c.target.db.View(ctx, func(tx vault.Tx) error {
		k = transfer.Known{}
		row, err := tx.Versions().ByID(ctx, id)
		if errors.Is(err, vault.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		k = transfer.Known{Row: true, BodySize: row.BodySize, Manifest: row.ManifestDigest}
		switch _, err := tx.Intents().ByID(ctx, id); {
		case err == nil:
			k.Manifest = nil
		case !errors.Is(err, vault.ErrNotFound):
			return err
		}
		return nil
	})
	return k, err
}

// missing looks for rows whose objects are not there.
func (c *copying) missing(ctx context.Context) error {
	var after stone.FileID
	for {
		var rows []vault.Version
		if err := c.target.db.View(ctx, func(tx vault.Tx) (err error) {
			rows, err = tx.Versions().After(ctx, after, versionsPage)
			return err
		}); err != nil {
			return err
		}
		for _, row := range rows {
			after = row.FileID
			for _, kind := range []string{".body", ".env"} {
				name := row.FileID.String() + kind
				o, err := c.source.objects.Open(ctx, name)
				switch {
				case err == nil:
					o.Close()
				case errors.Is(err, vault.ErrNotFound):
					c.report.Problems = append(c.report.Problems, problem{name, "it is missing; restore it from a backup"})
				default:
					return err
				}
			}
		}
		if len(rows) < versionsPage {
			return nil
		}
	}
}

// copyUploads copies what has come of uploads that have not ended.
func (c *copying) copyUploads(ctx context.Context) error {
	var rows []vault.Upload
	if err := c.target.db.View(ctx, func(tx vault.Tx) (err error) {
		rows, err = tx.Uploads().Expired(ctx, time.Unix(1<<40, 0), math.MaxInt32)
		return err
	}); err != nil {
		return err
	}
	c.report.Uploads = len(rows)
	c.report.Dropped, c.report.dropped = []string{}, nil
	if c.oneStore {
		return nil
	}
	done, err := transfer.Parts(ctx, c.source.objects, c.target.objects, rows)
	if err != nil {
		return err
	}
	for _, id := range done.Dropped {
		c.report.dropped = append(c.report.dropped, id)
		c.report.Dropped = append(c.report.Dropped, id.String())
	}
	for _, id := range done.Missing {
		c.report.Problems = append(c.report.Problems, problem{id.String() + ".part", "the upload has lost what had come; cancel it and begin again"})
	}
	return nil
}

// compareLogs checks the audit log of the target, and that it has the source's root. It tells whether it has.
func (c *copying) compareLogs(ctx context.Context) (bool, error) {
	kept := &witness{path: c.source.dir.AuditHead(), reader: c.source.reader}
	if err := kept.check(ctx); err != nil {
		return false, err
	}
	from, err := c.source.reader.Summary(ctx)
	if errors.Is(err, auditlog.ErrNoLog) || errors.Is(err, auditlog.ErrRewritten) {
		c.report.Problems = append(c.report.Problems, problem{"the audit log", err.Error()})
		return true, nil
	}
	if err != nil {
		return false, err
	}
	head := kept.kept
	if head == nil {
		head = from.Text
	}
	if head != nil {
		if err := datadir.WriteFile(c.target.dir.AuditHead(), head, 0o600); err != nil {
			return false, err
		}
	}
	to, err := c.target.reader.Summary(ctx)
	if err != nil {
		return false, err
	}
	tree := from.Checkpoint.Tree
	c.report.Audit = &logReport{Origin: from.Log.Origin, Size: tree.Size, Root: tree.Root.String()}
	if to.Log.Origin != from.Log.Origin || to.Checkpoint.Tree != tree {
		c.report.Problems = append(c.report.Problems, problem{"the audit log", "it has another root on the target"})
		return false, nil
	}
	checked, err := (&readableLog{c.target.dir, c.target.reader}).fsck(ctx)
	if err != nil {
		return false, err
	}
	c.report.Audit.Events, c.report.Audit.OK = checked.Events, checked.OK
	if !checked.OK {
		// It was so before: every row is the source's.
		c.report.Problems = append(c.report.Problems, problem{"the audit log", "it is not what was signed; see: stonevaultd audit fsck"})
	}
	return true, nil
}
