package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabriel-vasile/mimetype"

	"stonevault/stone"
)

const (
	// uploadLifetime is how long an upload waits for its next bytes.
	uploadLifetime = 7 * 24 * time.Hour
	// checkpointSegments is how many whole segments a long request seals before they are made durable.
	checkpointSegments = 8
	// silence is how long a request may read nothing before another one may take its upload over, and
	// takeover how long that one waits for it to end.
	silence  = 5 * time.Second
	takeover = 20 * time.Second
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
		Size: r.Size, CreatedAt: now, ExpiresAt: now.Add(uploadLifetime),
	}
	if u.SealedKey, err = v.master.Seal(uploadContext(u.ID), p.key[:]); err != nil {
		return Upload{}, err
	}
	err = v.db.Update(ctx, func(tx Tx) error {
		if err := p.plan(ctx, tx); err != nil {
			return err
		}
		return tx.Uploads().Insert(ctx, u)
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
	s, err := v.sittings.begin(ctx, id, v.now, nil)
	if err != nil {
		return u, nil // whoever works on it completes it
	}
	defer s.end()
	if _, err = v.complete(ctx, a, id); isMissing(err) {
		err = nil // completed meanwhile
	}
	return u, err
}

func (v *Vault) upload(ctx context.Context, a Actor, id stone.FileID) (Upload, error) {
	var u Upload
	err := v.db.View(ctx, func(tx Tx) (err error) {
		u, err = tx.Uploads().ByID(ctx, id)
		return err
	})
	if err == nil && (u.Owner != a.Person || !v.now().Before(u.ExpiresAt)) {
		return Upload{}, ErrNotFound
	}
	return u, err
}

// AppendUpload takes a piece of an upload. What was read of it before it broke off is kept, unless it has
// a Check. The entry is there once the last byte has come.
func (v *Vault) AppendUpload(ctx context.Context, a Actor, id stone.FileID, r Append) (Upload, *Entry, error) {
	if _, err := v.upload(ctx, a, id); isMissing(err) {
		u, e, err := v.uploaded(ctx, a, id)
		if err == nil && r.Offset != u.Offset {
			err = ErrOffset
		}
		return u, e, err
	} else if err != nil {
		return Upload{}, nil, err
	}
	s, err := v.sittings.begin(ctx, id, v.now, r.Interrupt)
	if err != nil {
		return Upload{}, nil, err
	}
	defer s.end()
	// The client may go, and its request's context with it; what it sent is kept all the same.
	ctx = context.WithoutCancel(ctx)
	u, err := v.upload(ctx, a, id)
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
	g, err := v.grow(ctx, u)
	if err != nil {
		return u, nil, err
	}
	g.now.Size = max(u.Size, r.Size)
	broken := g.append(ctx, &piece{src: r.Body, left: g.room(), sitting: s, now: v.now}, r.Check)
	err = errors.Join(broken, g.part.Close())
	if err != nil || g.durable.Size != g.durable.Offset {
		return g.durable, nil, err
	}
	e, err := v.complete(ctx, a, id)
	return g.durable, e, err
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
	s, err := v.sittings.begin(ctx, id, v.now, nil)
	if err != nil {
		return err
	}
	defer s.end()
	return v.dropUpload(context.WithoutCancel(ctx), id)
}

// dropUpload removes objects first: the row is what tells of them.
func (v *Vault) dropUpload(ctx context.Context, id stone.FileID) error {
	var known bool
	err := v.db.View(ctx, func(tx Tx) error {
		_, err := tx.Uploads().ByID(ctx, id)
		known = err == nil
		if isMissing(err) {
			return nil
		}
		return err
	})
	if err != nil || !known {
		return err // where the row is gone the upload has become a file
	}
	for _, name := range []string{envelopeName(id), bodyName(id)} {
		if err := v.objects.Delete(ctx, name); err != nil {
			return err
		}
	}
	if err := v.parts.DeletePart(ctx, id); err != nil {
		return err
	}
	return v.db.Update(ctx, func(tx Tx) error { return tx.Uploads().Delete(ctx, id) })
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
		s, err := v.sittings.begin(ctx, u.ID, v.now, nil)
		if errors.Is(err, ErrBusy) {
			continue
		}
		if err == nil {
			err = v.dropUpload(ctx, u.ID)
			s.end()
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		done++
	}
	return done, errors.Join(failed...)
}

// piece reads one request's content: no more than the upload has room for, and without its errors, so that
// what came before them is sealed.
type piece struct {
	src     io.Reader
	left    int64
	sitting *sitting
	now     func() time.Time
	failed  error
}

func (p *piece) Read(b []byte) (int, error) {
	if p.failed != nil {
		return 0, io.EOF
	}
	if p.left == 0 {
		var more [1]byte
		if n, err := io.ReadFull(p.src, more[:]); n > 0 {
			p.failed = ErrUploadTooLong
		} else if err != io.EOF {
			p.failed = err
		}
		return 0, io.EOF
	}
	n, err := p.src.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	if n > 0 {
		p.sitting.heard.Store(p.now().UnixMilli())
	}
	if err != nil && err != io.EOF {
		p.failed, err = err, io.EOF
	}
	return n, err
}

// growth is an upload under one request's hands.
type growth struct {
	v       *Vault
	builder *stone.Builder
	part    Part
	first   []byte // plaintext of the segment that the upload stopped in

	now     Upload // what has been sealed
	rows    []byte // of whole segments since the last checkpoint began
	durable Upload // what has been committed
	pending chan error
	waiting Upload // what the checkpoint in pending, or the last one, commits
}

func (v *Vault) grow(ctx context.Context, u Upload) (*growth, error) {
	key, err := v.uploadKey(u)
	if err != nil {
		return nil, err
	}
	g := &growth{v: v, now: u, durable: u, waiting: u}
	if g.builder, err = stone.NewBuilder(v.bodyParams(u, key)); err != nil {
		return nil, err
	}
	if len(u.Provisional) > 0 {
		row, sealed := g.split(u.Provisional)
		if g.first, err = g.builder.Reopen(u.Segments, row, sealed); err != nil {
			return nil, hide(err)
		}
	}
	if g.part, err = v.parts.OpenPart(ctx, u.ID, u.Part); isMissing(err) {
		return nil, refused("the part of upload %s is missing or shorter than it was", u.ID)
	} else if err != nil {
		return nil, err
	}
	if u.Part == 0 {
		n, err := g.part.Write(g.builder.Preamble())
		if err != nil {
			return nil, errors.Join(err, g.part.Close())
		}
		g.now.Part = int64(n)
	}
	return g, nil
}

func (v *Vault) uploadKey(u Upload) (*stone.FileKey, error) {
	raw, err := v.master.Open(uploadContext(u.ID), u.SealedKey)
	if err != nil || len(raw) != len(stone.FileKey{}) {
		return nil, refused("the key of upload %s does not open: %w", u.ID, err)
	}
	key := stone.FileKey(raw)
	return &key, nil
}

func (v *Vault) bodyParams(u Upload, key *stone.FileKey) stone.BodyParams {
	return stone.BodyParams{
		Suite: v.suite, FileID: u.ID, Key: key, Rand: v.rand, Compression: v.compression,
		MediaType: u.MediaType, Class: stone.Class(u.Class),
	}
}

func (g *growth) split(provisional []byte) (row, sealed []byte) {
	n := min(g.builder.RowSize(), len(provisional))
	return provisional[:n], provisional[n:]
}

// room is how much content the upload still takes.
func (g *growth) room() int64 {
	if g.now.Size < 0 {
		return stone.MaxSegments*stone.SegmentSize - g.now.Offset
	}
	return g.now.Size - g.now.Offset
}

// append seals a piece and makes it durable. The error is the piece's own, or that of keeping it.
func (g *growth) append(ctx context.Context, p *piece, check func() error) error {
	first := g.first
	g.first = nil
	err := g.seal(ctx, io.MultiReader(bytes.NewReader(first), p), check == nil, int64(len(first)))
	switch {
	case err != nil:
	case errors.Is(p.failed, ErrUploadTooLong):
		err = p.failed
	case check != nil:
		if err = p.failed; err == nil {
			err = check()
		}
	}
	if err == nil && g.now.Offset == g.now.Size {
		err = g.pad(ctx)
	}
	if err == nil {
		err = g.checkpoint(ctx)
	}
	if err == nil {
		err = p.failed
	}
	return errors.Join(err, g.settle())
}

// seal appends what src holds; again bytes at its beginning have been counted before.
func (g *growth) seal(ctx context.Context, src io.Reader, checkpoints bool, again int64) error {
	g.now.Offset -= again
	g.now.Provisional = nil
	_, err := g.builder.Append(ctx, g.now.Segments, src, func(sealed, row []byte) error {
		plain, length, err := g.builder.Lengths(row)
		if err != nil {
			return err
		}
		g.now.Offset += plain
		if plain < stone.SegmentSize {
			g.now.Provisional = append(bytes.Clone(row), sealed...)
			return nil
		}
		if _, err := g.part.Write(sealed); err != nil {
			return err
		}
		g.now.Part += length
		g.now.Segments++
		g.rows = append(g.rows, row...)
		// The end is left to the last checkpoint, which knows whether more came than was announced.
		if !checkpoints || g.now.Offset == g.now.Size || g.now.Segments-g.waiting.Segments < checkpointSegments {
			return nil
		}
		return g.begin(ctx)
	})
	return err
}

// pad adds the zeros of a restricted body, which are not counted as content.
func (g *growth) pad(ctx context.Context) error {
	zeros := g.builder.Padding(g.now.Size)
	if zeros == 0 {
		return nil
	}
	var first []byte
	if len(g.now.Provisional) > 0 {
		row, sealed := g.split(g.now.Provisional)
		var err error
		if first, err = g.builder.Reopen(g.now.Segments, row, sealed); err != nil {
			return hide(err)
		}
	}
	err := g.seal(ctx, io.MultiReader(bytes.NewReader(first), io.LimitReader(zero{}, zeros)), false, int64(len(first)))
	g.now.Offset = g.now.Size
	return err
}

type zero struct{}

func (zero) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// begin starts a checkpoint of what has been sealed, after the one before it has ended. Sealing goes on
// meanwhile.
func (g *growth) begin(ctx context.Context) error {
	if err := g.settle(); err != nil {
		return err
	}
	if g.now.Offset == g.durable.Offset && g.now.Size == g.durable.Size && g.now.Part == g.durable.Part {
		return nil
	}
	next, rows, was := g.now, g.rows, g.durable
	next.ExpiresAt = millis(g.v.now().Add(uploadLifetime))
	g.rows, g.waiting = nil, next
	g.pending = make(chan error, 1)
	go func() {
		if err := g.part.Sync(); err != nil {
			g.pending <- err
			return
		}
		g.pending <- g.v.db.Update(ctx, func(tx Tx) error {
			if len(rows) > 0 {
				if err := tx.Uploads().AddRows(ctx, next.ID, was.Segments, rows); err != nil {
					return err
				}
			}
			return tx.Uploads().Update(ctx, next, was.Offset)
		})
	}()
	return nil
}

// settle waits for the checkpoint that is under way.
func (g *growth) settle() error {
	if g.pending == nil {
		return nil
	}
	err := <-g.pending
	g.pending = nil
	if err == nil {
		g.durable = g.waiting
	}
	return err
}

// checkpoint makes all that has been sealed durable.
func (g *growth) checkpoint(ctx context.Context) error {
	if err := g.begin(ctx); err != nil {
		return err
	}
	return g.settle()
}

// complete makes a file of an upload that has all its content. Every step of it may have been done
// before.
func (v *Vault) complete(ctx context.Context, a Actor, id stone.FileID) (*Entry, error) {
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
	p.fileID = id
	p.settled = func(ctx context.Context, tx Tx) error { return tx.Uploads().Delete(ctx, id) }
	if p.key, err = v.uploadKey(u); err != nil {
		return nil, err
	}
	if err := v.db.View(ctx, func(tx Tx) error { return p.plan(ctx, tx) }); err != nil {
		return nil, err
	}
	c, err := v.closeBody(ctx, u, p, rows)
	if err != nil {
		return nil, err
	}
	p.sealed = millis(v.now())
	if err := p.finish(ctx, c); err != nil {
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
		return commit, p.sniff(func() ([]byte, error) { return v.sniffObject(ctx, b, u, rows) })
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

func (v *Vault) sniffObject(ctx context.Context, b *stone.Builder, u Upload, rows []byte) ([]byte, error) {
	o, err := v.objects.Open(ctx, bodyName(u.ID))
	if err != nil {
		return nil, fmt.Errorf("vault: body of upload %s: %w", u.ID, err)
	}
	defer o.Close()
	return readSegment(b, rows[:b.RowSize()], o)
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

// sittings lets one request at a time work on an upload.
type sittings struct {
	mu   sync.Mutex
	held map[stone.FileID]*sitting
}

// sitting is one request at work.
type sitting struct {
	all       *sittings
	id        stone.FileID
	heard     atomic.Int64 // when it last read something, Unix milliseconds
	interrupt func()
	ended     chan struct{}
}

// begin waits for a sitting that has gone silent to end, after interrupting it, and is ErrBusy beside one
// that has not.
func (s *sittings) begin(ctx context.Context, id stone.FileID, now func() time.Time, interrupt func()) (*sitting, error) {
	limit := time.NewTimer(takeover)
	defer limit.Stop()
	for {
		s.mu.Lock()
		other := s.held[id]
		if other == nil {
			mine := &sitting{all: s, id: id, interrupt: interrupt, ended: make(chan struct{})}
			mine.heard.Store(now().UnixMilli())
			if s.held == nil {
				s.held = make(map[stone.FileID]*sitting)
			}
			s.held[id] = mine
			s.mu.Unlock()
			return mine, nil
		}
		s.mu.Unlock()
		if now().Sub(time.UnixMilli(other.heard.Load())) < silence {
			return nil, ErrBusy
		}
		if other.interrupt != nil {
			other.interrupt()
		}
		select {
		case <-other.ended:
		case <-limit.C:
			return nil, ErrBusy
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *sitting) end() {
	s.all.mu.Lock()
	delete(s.all.held, s.id)
	s.all.mu.Unlock()
	close(s.ended)
}
