package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"stonevault/internal/auditlog"
	"stonevault/stone"
)

// checkpointSegments is how many whole segments a long request seals before they are made durable.
const checkpointSegments = 8

// piece reads one request's content: no more than the upload has room for, and without its errors, so that
// what came before them is sealed.
type piece struct {
	src     io.Reader
	left    int64
	over    error // what is said of one byte more
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
			p.failed = p.over
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
	if err := v.certain(ctx, u.ID, u.Offset); err != nil {
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
	if errors.Is(err, auditlog.ErrKeyAway) {
		return nil, fmt.Errorf("vault: the key of upload %s: %w", u.ID, err)
	}
	if err != nil || len(raw) != len(stone.FileKey{}) {
		return nil, refused("the key of upload %s does not open: %w", u.ID, err)
	}
	key := stone.FileKey(raw)
	return &key, nil
}

func (v *Vault) bodyParams(u Upload, key *stone.FileKey) stone.BodyParams {
	return stone.BodyParams{
		Suite: u.Suite, FileID: u.ID, Key: key, Rand: v.rand, Compression: v.compression,
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
	sync := g.part.BeginSync()
	go func() {
		if err := sync(); err != nil {
			g.pending <- err
			return
		}
		err := g.v.db.Update(ctx, func(tx Tx) error {
			if next.Offset > was.Offset { // others may have come between
				if all, err := bounds(ctx, tx, next.Owner, next.ID); err != nil {
					return err
				} else if err := fits(all, next.Offset, false); err != nil {
					return err
				}
			}
			if len(rows) > 0 {
				if err := tx.Uploads().AddRows(ctx, next.ID, was.Segments, rows); err != nil {
					return err
				}
			}
			return tx.Uploads().Update(ctx, next, was.Offset)
		})
		if err != nil {
			g.v.doubtful.Store(next.ID, nil)
		}
		g.pending <- err
	}()
	return nil
}

// certain makes sure that an upload is what its row says. A commit that failed may come back with a restart
// until another one has succeeded, and must then find the part, and the objects that it became, as it left
// them: with other salts, what it committed would be of another sealing than what is there. So nothing of an
// upload in doubt is written before a commit that says that the failed one did not happen. What was another server's
// may always be in doubt. Where it stands elsewhere now than at an offset, unless that is -1, it is ErrOffset.
func (v *Vault) certain(ctx context.Context, id stone.FileID, offset int64) error {
	if _, doubt := v.doubtful.Load(id); !doubt && v.peers == nil {
		return nil
	}
	var stands int64
	err := v.db.Update(ctx, func(tx Tx) error {
		u, err := tx.Uploads().ByID(ctx, id)
		if err != nil {
			return err
		}
		stands = u.Offset
		return tx.Uploads().Update(ctx, u, u.Offset)
	})
	if err == nil {
		v.doubtful.Delete(id)
	}
	if err == nil && offset >= 0 && stands != offset {
		return ErrOffset
	}
	return err
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
