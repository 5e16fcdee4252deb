package auditlog

import (
	"context"
	"errors"
	"fmt"

	"stonevault/audit"
)

// Reader shows the current log. What it gives out of the tree, a signed head covers.
type Reader struct {
	config Config
	keys   *keyring
}

// NewReader makes a reader.
func NewReader(c Config) *Reader { return &Reader{c, newKeyring(c)} }

// snapshot is the current log as far as it is signed, in one transaction.
type snapshot struct {
	store  Store
	log    Log
	key    *audit.PublicKey
	signed audit.Checkpoint
	text   []byte // of the checkpoint
	tiles  tiles
	open   *opener
	sight  *sight
}

// view runs fn on the current log, for a viewer. ErrNotFound if nothing is signed yet.
func (r *Reader) view(ctx context.Context, viewer Viewer, fn func(s *snapshot) error) error {
	return r.config.Database.View(ctx, func(store Store) error {
		l, err := store.CurrentLog(ctx)
		if errors.Is(err, ErrNotFound) {
			return ErrNoLog
		}
		if err != nil {
			return err
		}
		key, err := r.keys.signing(l)
		if err != nil {
			return err
		}
		c, err := store.Checkpoint(ctx, l.ID)
		if err != nil {
			return err
		}
		s := &snapshot{
			store: store, log: l, key: key.Public(), text: c.Text, tiles: tiles{ctx, store, l.ID},
			open: r.keys.opener(ctx, store), sight: newSight(ctx, store, viewer),
		}
		if s.signed, err = s.key.Open(c.Text); err != nil {
			return fmt.Errorf("%w: %w", ErrRewritten, err)
		}
		return fn(s)
	})
}

// PublicKey is what the current log's checkpoints and receipts are verified with.
func (r *Reader) PublicKey(ctx context.Context) (key *audit.PublicKey, err error) {
	err = r.config.Database.View(ctx, func(store Store) error {
		l, err := store.CurrentLog(ctx)
		if errors.Is(err, ErrNotFound) {
			return ErrNoLog
		}
		if err != nil {
			return err
		}
		signing, err := r.keys.signing(l)
		if err == nil {
			key = signing.Public()
		}
		return err
	})
	return key, err
}

// Checkpoint is the newest signed head.
func (r *Reader) Checkpoint(ctx context.Context) (text []byte, err error) {
	err = r.view(ctx, Viewer{}, func(s *snapshot) error { text = s.text; return nil })
	return text, err
}

// Tile returns the bytes of a tile or, at audit.EntryLevel, of an entry bundle, of exactly its width.
// ErrNotFound if the signed tree isn't that far.
func (r *Reader) Tile(ctx context.Context, t audit.Tile) (data []byte, err error) {
	err = r.view(ctx, Viewer{}, func(s *snapshot) error {
		end := t.Index*audit.TileWidth + int64(t.Width) // nodes of its level that the tree must have
		for range max(t.Level, 0) {
			end *= audit.TileWidth
		}
		if end > s.signed.Tree.Size {
			return fmt.Errorf("%w: the tree has %d leaves, and %s takes %d", ErrNotFound, s.signed.Tree.Size, t.Path(), end)
		}
		if t.Level != audit.EntryLevel {
			read, err := s.tiles.ReadTiles([]audit.Tile{t})
			if err != nil {
				return damage(err)
			}
			data = read[0][:t.Width*audit.HashSize]
			return nil
		}
		from := t.Index * audit.TileWidth
		events, err := s.store.Events(ctx, s.log.ID, from, t.Width)
		if err != nil {
			return err
		}
		for i, e := range events {
			if e.Index != from+int64(i) {
				break
			}
			data = audit.AppendEntry(data, e.Leaf)
		}
		if len(data) != t.Width*(2+audit.LeafSize) {
			return fmt.Errorf("%w: an event of %s is missing", ErrRewritten, t.Path())
		}
		return nil
	})
	return data, err
}

// Consistency proves that the newest signed head continues the log of the first old events.
func (r *Reader) Consistency(ctx context.Context, old int64) (proof []audit.Hash, checkpoint []byte, err error) {
	err = r.view(ctx, Viewer{}, func(s *snapshot) error {
		checkpoint = s.text
		proof, err = s.signed.Tree.ProveConsistency(s.tiles, old)
		return damage(err)
	})
	return proof, checkpoint, err
}

// Receipt shows that an event is in the log, up to the newest signed head. id is the event's row. ErrUnsigned
// while no signed head covers it, and ErrNotFound where the viewer may not see it.
func (r *Reader) Receipt(ctx context.Context, id int64, viewer Viewer) (receipt *audit.Receipt, err error) {
	err = r.view(ctx, viewer, func(s *snapshot) error {
		e, err := s.store.Event(ctx, id)
		if err == nil {
			receipt, err = s.receipt(e)
		}
		return err
	})
	return receipt, err
}

// ReceiptAt is Receipt of the event with an index.
func (r *Reader) ReceiptAt(ctx context.Context, index int64, viewer Viewer) (receipt *audit.Receipt, err error) {
	err = r.view(ctx, viewer, func(s *snapshot) error {
		found, err := s.store.Events(ctx, s.log.ID, index, 1)
		if err == nil && (len(found) == 0 || found[0].Index != index) {
			err = ErrNotFound
		}
		if err == nil {
			receipt, err = s.receipt(found[0])
		}
		return err
	})
	return receipt, err
}

func (s *snapshot) receipt(e Event) (*audit.Receipt, error) {
	record, shown, err := s.open.record(e, s.sight)
	if err != nil {
		return nil, err
	}
	switch here := e.Log == s.log.ID; {
	case !shown.any:
		return nil, ErrNotFound
	case e.Index == Pending, here && e.Index >= s.signed.Tree.Size:
		return nil, ErrUnsigned
	case !here:
		return nil, ErrNotFound
	}
	proof, err := s.signed.Tree.ProveInclusion(s.tiles, e.Index)
	if err != nil {
		return nil, damage(err)
	}
	receipt := &audit.Receipt{Index: e.Index, Record: record, Proof: proof, Checkpoint: s.text}
	if err := s.signed.Tree.VerifyInclusion(e.Index, audit.LeafHash(e.Leaf), proof); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRewritten, err)
	}
	return receipt, nil
}
