package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/datadir"
)

const witnessEvery = 2 * time.Second

// errSetBack is a database whose audit log is older than, or another than, the one that this machine has seen.
var errSetBack = errors.New("the audit log in the database is not the one that was signed here last")

// witness keeps the newest signed head beside the data directory. A database that was restored from a copy is
// noticed by it at the start, also where the whole directory was.
type witness struct {
	path   string
	reader *auditlog.Reader
	kept   []byte
}

// note keeps the newest head, if it is another. After a crash an older one may be kept, which accuses nobody.
func (w *witness) note(ctx context.Context) error {
	text, err := w.reader.Checkpoint(ctx)
	if errors.Is(err, auditlog.ErrNotFound) || err == nil && bytes.Equal(text, w.kept) {
		return nil
	}
	if err == nil {
		err = datadir.WriteFile(w.path, text, 0o600)
	}
	if err == nil {
		w.kept = text
	}
	return err
}

// check compares the database with the head that was kept. A file that is no head, as a crash may leave one,
// says nothing.
func (w *witness) check(ctx context.Context) error {
	text, err := os.ReadFile(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the newest head of the audit log: %w", err)
	}
	key, err := w.reader.PublicKey(ctx)
	if errors.Is(err, auditlog.ErrNoLog) {
		return fmt.Errorf("%w: it has none", errSetBack)
	}
	if err != nil {
		return err
	}
	origin, ok := originOf(string(text))
	switch {
	case !ok:
		return nil
	case origin != key.Origin():
		return w.checkRestarted(ctx, origin)
	}
	c, err := key.Open(text)
	if err != nil {
		return nil
	}
	w.kept = text
	proof, newest, err := w.reader.Consistency(ctx, c.Tree.Size)
	switch {
	case errors.Is(err, audit.ErrProof):
		return fmt.Errorf("%w: it has fewer events than the %d that were signed at %s", errSetBack, c.Tree.Size, c.Time.UTC().Format(time.RFC3339))
	case errors.Is(err, auditlog.ErrNotFound) && c.Tree.Size > 0:
		return fmt.Errorf("%w: it has none of the %d events that were signed", errSetBack, c.Tree.Size)
	case err != nil:
		return err
	}
	now, err := key.Open(newest)
	if err != nil {
		return err
	}
	if err := now.Tree.VerifyConsistency(c.Tree, proof); err != nil {
		return fmt.Errorf("%w: its first %d events are others", errSetBack, c.Tree.Size)
	}
	return nil
}

// originOf is the name of the log whose head a text is, going by its lines: whether it was signed, only that log's
// key could tell.
func originOf(text string) (origin string, ok bool) {
	lines := strings.Split(text, "\n")
	if len(lines) != 7 || lines[0] == "" || lines[3] != "" || lines[6] != "" {
		return "", false
	}
	by := "— " + lines[0] + " "
	return lines[0], strings.HasPrefix(lines[4], by) && strings.HasPrefix(lines[5], by)
}

// checkRestarted accepts a log that says to follow the one whose head was kept.
func (w *witness) checkRestarted(ctx context.Context, origin string) error {
	first, err := w.reader.ReceiptAt(ctx, 0, auditlog.ViewAll)
	if errors.Is(err, auditlog.ErrNotFound) {
		return fmt.Errorf("%w: it is another log than %.255q", errSetBack, origin)
	}
	if err != nil {
		return err
	}
	e, _, err := first.Record.Event()
	if err != nil {
		return err
	}
	previous, _ := e.Operational["previous_checkpoint"].(string)
	if before, _, _ := strings.Cut(previous, "\n"); before != origin {
		return fmt.Errorf("%w: it is another log than %.255q", errSetBack, origin)
	}
	return nil
}
