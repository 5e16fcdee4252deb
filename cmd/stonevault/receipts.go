package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"stonevault/audit"
	"stonevault/internal/client"
)

const receiptSuffix = ".tlog-proof"

// receiptDir is where receipts of one log are kept, each under the index of its event. Names of logs may hold anything
// that a path must not, so that the folder's name is a digest of it.
func (a *app) receiptDir(origin string) (string, error) {
	dir, err := home()
	sum := sha256.Sum256([]byte(origin))
	return filepath.Join(dir, "receipts", a.profile, hex.EncodeToString(sum[:8])), err
}

// keepReceipt keeps a receipt that was verified.
func (a *app) keepReceipt(origin string, index int64, text []byte) error {
	dir, err := a.receiptDir(origin)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fileError("make", dir, err)
	}
	return a.writePrivate(filepath.Join(dir, strconv.FormatInt(index, 10)+receiptSuffix), text)
}

// keptReceipts lists the files of receipts of one log that are kept.
func (a *app) keptReceipts(origin string) (paths []string, err error) {
	dir, err := a.receiptDir(origin)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fileError("read", dir, err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), receiptSuffix) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

// proven is a receipt that was verified.
type proven struct {
	index   int64
	event   audit.Event
	missing []audit.Slot
	head    audit.Checkpoint
}

// openReceipt verifies a receipt with the key of a log.
func openReceipt(key *audit.PublicKey, text []byte) (*proven, error) {
	r, err := audit.ParseReceipt(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFalse, err)
	}
	head, event, missing, err := r.Verify(key)
	switch _, unknown := audit.Define(r.Record.Leaf.Type, r.Record.Leaf.Version); {
	case err == nil:
		return &proven{r.Index, event, missing, head}, nil
	case errors.Is(err, audit.ErrEvent) && unknown != nil:
		return nil, fmt.Errorf("%w: a newer version of this program can read it: %w", errUnchecked, err)
	}
	return nil, fmt.Errorf("%w: %w", errFalse, err)
}

// receipts fetches the receipts of all files that were put, checks and keeps them. failed is why the rest was not put.
func (j *putJob) receipts(ctx context.Context, done []*putResult, failed error) error {
	var put []*putResult
	for _, d := range done {
		if d != nil && d.put {
			put = append(put, d)
		}
	}
	if len(put) == 0 {
		return nil
	}
	if slices.ContainsFunc(hopeless, func(end error) bool { return errors.Is(failed, end) }) {
		j.a.say("The receipts of what was put were not fetched; \"stonevault audit receipt\" fetches one later.")
		return nil
	}
	store, err := j.a.pinStore()
	if err != nil {
		return err
	}
	pin, _, err := store.load()
	if err != nil {
		return err
	}
	if pin == nil {
		return fmt.Errorf("the receipts %w: what was remembered of the audit log is gone", errUnchecked)
	}
	heads := make([]audit.Tree, len(put))
	err = each(ctx, len(put), j.f.jobs, func(ctx context.Context, i int) (err error) {
		if heads[i], err = j.receipt(ctx, pin, put[i]); err != nil {
			return fmt.Errorf("%s is stored, and its receipt %w", shown(put[i].Path), err)
		}
		return nil
	})
	heads = slices.DeleteFunc(heads, func(t audit.Tree) bool { return t == audit.Tree{} })
	if len(heads) == 0 {
		return err
	}
	// Receipts are believed by their signatures; that they are of one history has to be shown.
	followed := j.a.followHeads(ctx, j.c, j.profile, pin, heads...)
	if unanswered(followed) {
		followed = fmt.Errorf("that the receipts are of one history %w: %w", errUnchecked, followed)
	}
	return errors.Join(err, followed)
}

// receipt fetches, checks and keeps one receipt, and returns the head that it is of.
func (j *putJob) receipt(ctx context.Context, pin *client.Pin, f *putResult) (audit.Tree, error) {
	text, err := j.fetchReceipt(ctx, f)
	switch {
	case errors.Is(err, client.ErrOutOfScope):
		j.unseen.Do(func() { j.a.say("No receipts are kept: the API token lacks the scope audit:read.") })
		return audit.Tree{}, nil
	case errors.Is(err, client.ErrNotFound):
		return audit.Tree{}, fmt.Errorf("%w: the audit log does not have it", errFalse)
	case errors.Is(err, client.ErrLogRewritten):
		return audit.Tree{}, fmt.Errorf("%w: %w", errFalse, err)
	case unanswered(err):
		return audit.Tree{}, fmt.Errorf("%w: %w", errUnchecked, err)
	case err != nil:
		return audit.Tree{}, fmt.Errorf("could not be had: %w", err)
	}
	r, err := openReceipt(pin.Key, text)
	if err != nil {
		return audit.Tree{}, err
	}
	if err := saysPut(r, f); err != nil {
		return audit.Tree{}, err
	}
	f.Index = &r.index
	if err := j.a.keepReceipt(pin.Key.Origin(), r.index, text); err != nil {
		return audit.Tree{}, fmt.Errorf("could not be kept: %w", err)
	}
	return r.head.Tree, nil
}

func (j *putJob) fetchReceipt(ctx context.Context, f *putResult) ([]byte, error) {
	if f.Event == 0 { // the reply that named it was lost
		for event, err := range j.c.AuditEvents(ctx, client.EventQuery{Type: audit.FilePut.String(), File: f.FileID, Page: 1}) {
			if err != nil {
				return nil, err
			}
			f.Event = event.ID
			break
		}
	}
	if f.Event == 0 {
		return nil, client.ErrNotFound
	}
	return j.c.Receipt(ctx, f.Event, true)
}

// saysPut tells whether a receipt is of what was put.
func saysPut(r *proven, f *putResult) error {
	is := r.event.Operational
	if r.event.Type != audit.FilePut || is == nil {
		return fmt.Errorf("%w: it is of an event %s", errFalse, r.event.Type)
	}
	for _, field := range []struct {
		name string
		want any
	}{{"file", f.FileID}, {"document", f.ID}, {"version", int64(f.Version)}, {"size", f.Size}} {
		if is[field.name] != field.want {
			return fmt.Errorf("%w: it says %s %v, and put was %v", errFalse, field.name, is[field.name], field.want)
		}
	}
	if at, there := r.event.Subject["path"]; there && at != f.Path {
		return fmt.Errorf("%w: it is of %.255q", errFalse, at)
	}
	return nil
}
