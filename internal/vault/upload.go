package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"stonevault/audit"
	"stonevault/stone"
)

const (
	// uploadLifetime is how long an upload waits for its next bytes.
	uploadLifetime = 7 * 24 * time.Hour
	// maxUploads is how many uploads one person may have in progress.
	maxUploads = 1000
)

var (
	// ErrOffset is a piece that does not begin where the upload stands.
	ErrOffset = errors.New("the upload stands at another offset")
	// ErrBusy is an upload that another request is working on.
	ErrBusy = errors.New("another request is working on this")
	// ErrUploadTooLong is more content than was announced.
	ErrUploadTooLong = errors.New("more content came than was announced")
)

// UploadRequest announces a file that will come in pieces.
type UploadRequest struct {
	Path       string
	MediaType  string // empty to look at the content
	Class      string
	Mode       uint32
	ModifiedAt time.Time
	Size       int64 // bytes, or -1 where not yet known
	Replace    bool
}

// Append is a piece of an upload.
type Append struct {
	Offset int64
	Size   int64 // announces the whole length now, where it was not known; otherwise -1
	Body   io.Reader
	// Length is how many bytes Body announces, or 0 where it does not.
	Length int64
	// Check is called when Body has been read to its end; an error drops the piece. May be nil.
	Check func() error
	// Interrupt makes a Read of Body that waits return. It is called when the client seems gone and
	// another request wants the upload. May be nil.
	Interrupt func()
}

// BeginUpload announces a file.
func (v *Vault) BeginUpload(ctx context.Context, a Actor, r UploadRequest) (Upload, error) {
	p, err := v.newPut(a, PutRequest{
		Path: r.Path, Size: r.Size, MediaType: r.MediaType, Mode: r.Mode, ModifiedAt: r.ModifiedAt, Class: r.Class,
		MustNotExist: !r.Replace,
	})
	if err != nil {
		return Upload{}, err
	}
	if r.Size < -1 {
		return Upload{}, &InvalidError{"size", "is negative"}
	}
	now := millis(v.now())
	u := Upload{
		ID: p.fileID, Owner: a.Person, Path: joinPath(append(p.folders, p.name)...), MediaType: p.request.MediaType,
		Class: p.request.Class, Mode: p.request.Mode, ModifiedAt: millis(p.request.ModifiedAt), Replace: r.Replace,
		Suite: v.reign().suite, Size: r.Size, CreatedAt: now, ExpiresAt: now.Add(uploadLifetime),
	}
	if u.SealedKey, err = v.master.Seal(uploadContext(u.ID), p.key[:]); err != nil {
		return Upload{}, err
	}
	err = v.create(ctx, func(tx Tx) (any, error) {
		if err := p.plan(ctx, tx); err != nil {
			return nil, err
		}
		pending, err := tx.Uploads().OfPerson(ctx, a.Person)
		if err != nil {
			return nil, err
		}
		if len(pending) >= maxUploads {
			return nil, &InvalidError{"path", fmt.Sprintf("would be the %dth upload in progress; finish or cancel others first", maxUploads+1)}
		}
		if err := tx.Uploads().Insert(ctx, u); err != nil {
			return nil, err
		}
		return u, v.record(ctx, tx, audit.UploadBegun, &a, audit.Values{
			"file": u.ID.String(), "size": max(u.Size, 0), "size_known": u.Size >= 0,
		}, placeOf(u.Owner, u.Path))
	})
	return u, err
}

// uploadContext binds a sealed file key to its upload.
func uploadContext(id stone.FileID) string { return "stonevault.v1/upload/" + id.String() }

// Uploads lists one's uploads in progress, oldest first.
func (v *Vault) Uploads(ctx context.Context, a Actor) ([]Upload, error) {
	var all []Upload
	err := v.db.View(ctx, func(tx Tx) (err error) {
		all, err = tx.Uploads().OfPerson(ctx, a.Person)
		return err
	})
	return all, err
}

// Upload tells where an upload stands. One that is complete, and was stopped before it became a file,
// becomes one now; one that has become a file is told of as long as that is there, since the reply that
// said so may have been lost.
func (v *Vault) Upload(ctx context.Context, a Actor, id stone.FileID) (Upload, error) {
	u, err := v.upload(ctx, a, id)
	if isMissing(err) {
		u, _, err = v.uploaded(ctx, a, id)
		return u, err
	}
	if err != nil || u.Offset != u.Size {
		return u, err
	}
	// Whoever works on it may fail, and to be told that all has come is to be told that there is a file: ErrBusy it is.
	now, _, err := v.AppendUpload(ctx, a, id, Append{Offset: u.Offset, Size: -1, Body: strings.NewReader("")})
	return now, err
}

func (v *Vault) upload(ctx context.Context, a Actor, id stone.FileID) (u Upload, err error) {
	err = v.db.View(ctx, func(tx Tx) error {
		u, err = v.uploadOf(ctx, tx, a, id)
		return err
	})
	return u, err
}

func (v *Vault) uploadOf(ctx context.Context, tx Tx, a Actor, id stone.FileID) (Upload, error) {
	u, err := tx.Uploads().ByID(ctx, id)
	if err == nil && (u.Owner != a.Person || !v.now().Before(u.ExpiresAt)) {
		return Upload{}, ErrNotFound
	}
	return u, err
}

// uploadRoom is an upload with how much of it fits in all, and what is said of one byte more.
func (v *Vault) uploadRoom(ctx context.Context, a Actor, id stone.FileID) (u Upload, room int64, full, err error) {
	err = v.db.View(ctx, func(tx Tx) error {
		if u, err = v.uploadOf(ctx, tx, a, id); err != nil {
			return err
		}
		all, err := bounds(ctx, tx, u.Owner, u.ID)
		room, full = narrowest(all)
		return err
	})
	return u, room, full, err
}

// AppendUpload takes a piece of an upload. What was read of it before it broke off is kept, unless it has
// a Check. The entry is there once the last byte has come.
func (v *Vault) AppendUpload(ctx context.Context, a Actor, id stone.FileID, r Append) (Upload, *Entry, error) {
	if _, err := v.upload(ctx, a, id); isMissing(err) {
		return v.appendUploaded(ctx, a, id, r)
	} else if err != nil {
		return Upload{}, nil, err
	}
	s, ctx, end, err := v.sit(ctx, id, r.Interrupt)
	if err != nil {
		return Upload{}, nil, err
	}
	defer end()
	u, room, full, err := v.uploadRoom(ctx, a, id)
	if isMissing(err) { // completed meanwhile
		return v.appendUploaded(ctx, a, id, r)
	}
	if err != nil {
		return Upload{}, nil, err
	}
	if u.Offset != r.Offset {
		return u, nil, ErrOffset
	}
	if r.Size >= 0 {
		switch {
		case u.Size >= 0 && u.Size != r.Size:
			return u, nil, &InvalidError{"size", "was announced before as another"}
		case r.Size < u.Offset || r.Size > stone.MaxSegments*stone.SegmentSize:
			return u, nil, &InvalidError{"size", "is less than has come already, or more than 1 TiB"}
		}
	}
	if u.Offset == u.Size && u.Part > 0 {
		// All of it has come, padding included; what is left is to make a file of it.
		var more [1]byte
		if n, _ := io.ReadFull(r.Body, more[:]); n > 0 {
			return u, nil, ErrUploadTooLong
		}
		e, err := v.complete(ctx, a, id)
		return u, e, err
	}
	if r.Size > room || r.Length > max(room-u.Offset, 0) {
		return u, nil, full
	}
	g, err := v.grow(ctx, u)
	if err != nil {
		return u, nil, err
	}
	g.now.Size = max(u.Size, r.Size)
	p := &piece{src: r.Body, left: g.room(), over: ErrUploadTooLong, sitting: s, now: v.now}
	if left := max(room-u.Offset, 0); left < p.left {
		p.left, p.over = left, full
	}
	broken := g.append(ctx, p, r.Check)
	err = errors.Join(broken, g.part.Close())
	if err != nil || g.durable.Size != g.durable.Offset {
		return g.durable, nil, err
	}
	e, err := v.complete(ctx, a, id)
	return g.durable, e, err
}

// appendUploaded answers a piece of an upload that has become a file.
func (v *Vault) appendUploaded(ctx context.Context, a Actor, id stone.FileID, r Append) (Upload, *Entry, error) {
	u, e, err := v.uploaded(ctx, a, id)
	if err == nil && r.Offset != u.Offset {
		err = ErrOffset
	}
	return u, e, err
}

// uploaded describes an upload that has become a file of a's.
func (v *Vault) uploaded(ctx context.Context, a Actor, id stone.FileID) (Upload, *Entry, error) {
	var e Entry
	err := v.db.View(ctx, func(tx Tx) error {
		version, err := tx.Versions().ByID(ctx, id)
		if err != nil {
			return err
		}
		if version.Owner != a.Person {
			return ErrNotFound
		}
		e, err = entry(ctx, tx, a, Ref{Node: version.Document, Version: version.Number})
		return err
	})
	if err != nil {
		return Upload{}, nil, err
	}
	return Upload{
		ID: id, Owner: a.Person, Path: e.Path, MediaType: e.Version.MediaType, Class: e.Version.Class, Mode: e.Version.Mode,
		ModifiedAt: e.Version.ModifiedAt, Size: e.Version.Size, Offset: e.Version.Size,
		CreatedAt: e.Version.SealedAt, ExpiresAt: millis(v.now().Add(uploadLifetime)),
	}, &e, nil
}

// CancelUpload forgets an upload and removes what came of it.
func (v *Vault) CancelUpload(ctx context.Context, a Actor, id stone.FileID) error {
	if _, err := v.upload(ctx, a, id); err != nil {
		return err
	}
	_, ctx, end, err := v.sit(ctx, id, nil)
	if err != nil {
		return err
	}
	defer end()
	return v.dropUpload(ctx, &a, id, "cancelled")
}

// dropUpload removes the row first, and the key with it: a row without its part would be an upload that
// stands somewhere and cannot go on. What cannot be removed then is left to the collector.
func (v *Vault) dropUpload(ctx context.Context, by *Actor, id stone.FileID, reason string) error {
	err := v.change(ctx, func(tx Tx) error {
		u, err := tx.Uploads().ByID(ctx, id)
		if err != nil {
			return err
		}
		if u.Offset == u.Size { // it may have been stopped on its way to a file
			intent := Intent{FileID: id, Kind: IntentDelete, CreatedAt: v.now()}
			if err := tx.Intents().Insert(ctx, intent); err != nil {
				return err
			}
		}
		err = v.record(ctx, tx, audit.UploadEnded, by, audit.Values{"file": id.String(), "offset": u.Offset, "reason": reason}, placeOf(u.Owner, u.Path))
		if err != nil {
			return err
		}
		return tx.Uploads().Delete(ctx, id)
	})
	if isMissing(err) {
		return nil // it has become a file
	}
	if err != nil {
		return err
	}
	v.doubtful.Delete(id)
	if err := errors.Join(v.settle(ctx, id), v.parts.DeletePart(ctx, id)); err != nil {
		v.log.WarnContext(ctx, "what came of a dropped upload is left to the collector", "upload", id.String(), "error", err)
	}
	return nil
}

// collectParts removes parts that no upload's row names. Unlike an object, a part is of no use without its
// row, which has its key and comes before it.
func (v *Vault) collectParts(ctx context.Context) error {
	var orphans []stone.FileID
	err := v.parts.WalkParts(ctx, func(id stone.FileID, _ int64) error {
		return v.db.View(ctx, func(tx Tx) error {
			_, err := tx.Uploads().ByID(ctx, id)
			if isMissing(err) {
				orphans = append(orphans, id)
				return nil
			}
			return err
		})
	})
	for _, id := range orphans {
		err = errors.Join(err, v.parts.DeletePart(ctx, id))
	}
	return err
}

// collectUploads removes expired uploads.
func (v *Vault) collectUploads(ctx context.Context) (int, error) {
	var expired []Upload
	err := v.db.View(ctx, func(tx Tx) (err error) {
		expired, err = tx.Uploads().Expired(ctx, v.now(), collectBatch)
		return err
	})
	if err != nil {
		return 0, err
	}
	done := 0
	var failed []error
	for _, u := range expired {
		_, held, end, err := v.sit(ctx, u.ID, nil)
		if errors.Is(err, ErrBusy) {
			continue
		}
		if err == nil {
			err = v.dropUpload(held, nil, u.ID, "expired")
			end()
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		done++
	}
	return done, errors.Join(failed...)
}
