package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/gabriel-vasile/mimetype"

	"stonevault/stone"
)

// complete makes a file of an upload that has all its content. Every step of it may have been done
// before.
func (v *Vault) complete(ctx context.Context, a Actor, id stone.FileID) (*Entry, error) {
	if err := v.certain(ctx, id, -1); err != nil {
		return nil, err
	}
	var u Upload
	var rows []byte
	err := v.db.View(ctx, func(tx Tx) (err error) {
		if u, err = tx.Uploads().ByID(ctx, id); err == nil {
			rows, err = tx.Uploads().Rows(ctx, id)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	p, err := v.newPut(a, PutRequest{
		Path: u.Path, Size: u.Size, MediaType: u.MediaType, Mode: u.Mode, ModifiedAt: u.ModifiedAt, Class: u.Class,
		MustNotExist: !u.Replace,
	})
	if err != nil {
		return nil, err
	}
	p.fileID, p.by = id, "upload"
	p.settled = func(ctx context.Context, tx Tx) error {
		if _, err := tx.Uploads().ByID(ctx, id); err != nil {
			return err // another server has dropped it
		}
		return tx.Uploads().Delete(ctx, id)
	}
	if p.key, err = v.uploadKey(u); err != nil {
		return nil, err
	}
	if err := v.db.View(ctx, func(tx Tx) error { return p.plan(ctx, tx) }); err != nil {
		return nil, err
	}
	commitBody, err := v.closeBody(ctx, u, p, rows)
	if err != nil {
		return nil, err
	}
	p.sealed = millis(v.now())
	err = p.finish(ctx, func() error {
		done := make(chan error, 1)
		go func() { done <- commitBody() }()
		// An earlier attempt may have left an envelope.
		err := v.objects.Replace(ctx, envelopeName(id), p.envelope)
		return errors.Join(<-done, err)
	})
	if err != nil {
		v.doubtful.Store(id, nil)
		return nil, err
	}
	return &p.entry, nil
}

// closeBody appends the last segment and the index to a part, describes the body in p, and returns what
// makes the part an object.
func (v *Vault) closeBody(ctx context.Context, u Upload, p *put, rows []byte) (commit func() error, err error) {
	b, err := stone.NewBuilder(v.bodyParams(u, p.key))
	if err != nil {
		return nil, err
	}
	var last, sealed []byte
	switch {
	case len(u.Provisional) > 0:
		n := min(b.RowSize(), len(u.Provisional))
		last, sealed = u.Provisional[:n], u.Provisional[n:]
	case u.Segments == 0: // an empty file has one empty segment
		_, err := b.Append(ctx, 0, bytes.NewReader(nil), func(s, row []byte) error {
			last, sealed = bytes.Clone(row), bytes.Clone(s)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(rows) != u.Segments*b.RowSize() {
		return nil, refused("the rows of upload %s are %d bytes long", u.ID, len(rows))
	}
	rows = append(rows, last...)
	if p.body, err = b.Finish(rows, u.Size); err != nil {
		return nil, hide(err)
	}
	commit = func() error { return v.parts.FinishPart(ctx, u.ID, bodyName(u.ID)) }
	part, err := v.parts.OpenPart(ctx, u.ID, u.Part)
	if isMissing(err) {
		// It has become an object before; the media type was not kept then.
		object, err := v.objects.Open(ctx, bodyName(u.ID))
		if isMissing(err) {
			return nil, refused("the part of upload %s is missing or shorter than it was", u.ID)
		}
		if err != nil {
			return nil, err
		}
		err = p.sniff(func() ([]byte, error) { return readSegment(b, rows[:b.RowSize()], object) })
		return commit, errors.Join(err, object.Close())
	}
	if err != nil {
		return nil, err
	}
	err = p.sniff(func() ([]byte, error) { return sniffSegment(b, rows, part, u, last, sealed) })
	for _, piece := range [][]byte{sealed, rows} {
		if err == nil && len(piece) > 0 {
			_, err = part.Write(piece)
		}
	}
	if u.Part == 0 && err == nil {
		err = errors.New("vault: a complete upload without a preamble")
	}
	if err == nil {
		err = part.Sync()
	}
	return commit, errors.Join(err, part.Close())
}

// sniff guesses the media type from the first segment where nobody has stated one.
func (p *put) sniff(first func() ([]byte, error)) error {
	if p.request.MediaType != "" {
		return nil
	}
	plain, err := first()
	if err != nil {
		return hide(err)
	}
	p.request.MediaType = mimetype.Detect(plain[:min(len(plain), sniffed)]).String()
	return nil
}

func sniffSegment(b *stone.Builder, rows []byte, part io.ReaderAt, u Upload, last, sealed []byte) ([]byte, error) {
	if u.Segments == 0 {
		return b.Reopen(0, last, sealed)
	}
	return readSegment(b, rows[:b.RowSize()], part)
}

// readSegment opens segment 0 of a body.
func readSegment(b *stone.Builder, row []byte, body io.ReaderAt) ([]byte, error) {
	_, length, err := b.Lengths(row)
	if err != nil {
		return nil, err
	}
	sealed := make([]byte, length)
	if n, err := body.ReadAt(sealed, stone.PreambleSize); n < len(sealed) {
		return nil, fmt.Errorf("vault: read segment: %w", err)
	}
	return b.Reopen(0, row, sealed)
}
