package auditlog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"stonevault/audit"
)

// Reader shows the current log. What it gives out of the tree, a signed head covers.
type Reader struct {
	config Config
	keys   *keyring
}

// NewReader makes a reader.
func NewReader(c Config) *Reader { return &Reader{c, newKeyring(c)} }

// Show decides whether a reader may see a part: which slot of what kind of event, and of whom. person is
// empty for what no person's key protects. A nil Show shows nothing.
type Show func(t audit.Type, slot audit.Slot, person string) bool

// ShowAll is for administrators.
func ShowAll(audit.Type, audit.Slot, string) bool { return true }

// snapshot is the current log as far as it is signed, in one transaction.
type snapshot struct {
	store  Store
	log    Log
	key    *audit.PublicKey
	signed audit.Checkpoint
	text   []byte // of the checkpoint
	tiles  tiles
	open   *opener
}

// view runs fn on the current log. ErrNotFound if nothing is signed yet.
func (r *Reader) view(ctx context.Context, fn func(s *snapshot) error) error {
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
		s := &snapshot{store: store, log: l, key: key.Public(), text: c.Text, tiles: tiles{ctx, store, l.ID}, open: r.keys.opener(ctx, store)}
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
	err = r.view(ctx, func(s *snapshot) error { text = s.text; return nil })
	return text, err
}

// Tile returns the bytes of a tile or, at audit.EntryLevel, of an entry bundle, of exactly its width.
// ErrNotFound if the signed tree isn't that far.
func (r *Reader) Tile(ctx context.Context, t audit.Tile) (data []byte, err error) {
	err = r.view(ctx, func(s *snapshot) error {
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
	err = r.view(ctx, func(s *snapshot) error {
		checkpoint = s.text
		proof, err = s.signed.Tree.ProveConsistency(s.tiles, old)
		return damage(err)
	})
	return proof, checkpoint, err
}

// Receipt shows that an event is in the log, up to the newest signed head, with those of its parts that may
// be shown; without any it is the bare proof of inclusion. id is the event's row. ErrNotFound while no signed
// head covers it.
func (r *Reader) Receipt(ctx context.Context, id int64, show Show) (receipt *audit.Receipt, err error) {
	err = r.view(ctx, func(s *snapshot) error {
		e, err := s.store.Event(ctx, id)
		if err == nil {
			receipt, err = s.receipt(e, show)
		}
		return err
	})
	return receipt, err
}

// ReceiptAt is Receipt of the event with an index.
func (r *Reader) ReceiptAt(ctx context.Context, index int64, show Show) (receipt *audit.Receipt, err error) {
	err = r.view(ctx, func(s *snapshot) error {
		found, err := s.store.Events(ctx, s.log.ID, index, 1)
		if err == nil && (len(found) == 0 || found[0].Index != index) {
			err = ErrNotFound
		}
		if err == nil {
			receipt, err = s.receipt(found[0], show)
		}
		return err
	})
	return receipt, err
}

func (s *snapshot) receipt(e Event, show Show) (*audit.Receipt, error) {
	if e.Log != s.log.ID || e.Index >= s.signed.Tree.Size {
		return nil, fmt.Errorf("%w: no signed head covers the event yet", ErrNotFound)
	}
	record, _, err := s.open.record(e, show)
	if err != nil {
		return nil, err
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

// record opens what may be shown of an event. withheld are the parts that are there and were not shown.
func (o *opener) record(e Event, show Show) (r audit.Record, withheld []audit.Slot, err error) {
	if r.Leaf, err = audit.ParseLeaf(e.Leaf); err != nil {
		return r, nil, fmt.Errorf("%w: event %d: %w", ErrRewritten, e.Index, err)
	}
	for i, p := range e.Parts {
		if p.Sealed == nil {
			continue
		}
		slot := audit.Slot(i)
		k, err := o.key(p.Key)
		if err != nil {
			return r, nil, err
		}
		if k == nil {
			return r, nil, fmt.Errorf("%w: the key of the %s part of event %d is missing", ErrRewritten, slot, e.Index)
		}
		if show == nil || !show(r.Leaf.Type, slot, k.person) {
			withheld = append(withheld, slot)
			continue
		}
		if r.Openings[i], err = openPart(k.key, e.Leaf, slot, p.Sealed); err != nil {
			return r, nil, fmt.Errorf("%w: the %s part of event %d: %w", ErrRewritten, slot, e.Index, err)
		}
	}
	return r, withheld, nil
}

// Query asks for a page of events, the newest first.
type Query struct {
	Before int64  // the ID of the last event of the page before; 0 for the newest
	Person string // those with a part about this person; empty for all
	Limit  int
}

// Entry is an event as it is listed.
type Entry struct {
	ID       int64
	Log      int64 // 0 where Index is Pending
	Index    int64 // in its log, or Pending
	Event    audit.Event
	Withheld []audit.Slot // parts that are there and may not be shown
	Erased   []audit.Slot // parts that are gone; Fsck tells whether that was authorised
	Err      error        // ErrRewritten: the row was changed, and Event says nothing
}

// List returns a page of events, with those of older logs and those that have no index yet.
func (r *Reader) List(ctx context.Context, q Query, show Show) (page []Entry, err error) {
	err = r.config.Database.View(ctx, func(store Store) error {
		page = nil
		var key int64
		if q.Person != "" {
			keys, err := store.KeysOf(ctx, q.Person)
			if err != nil || len(keys) == 0 {
				return err
			}
			key = keys[0].Number
		}
		before := q.Before
		if before == 0 {
			before = audit.MaxCount
		}
		events, err := store.EventsBefore(ctx, before, key, q.Limit)
		if err != nil {
			return err
		}
		open := r.keys.opener(ctx, store)
		for _, e := range events {
			entry := Entry{ID: e.ID, Log: e.Log, Index: e.Index}
			record, withheld, err := open.record(e, show)
			if err == nil {
				entry.Withheld = withheld
				entry.Event, entry.Erased, err = record.Event()
				entry.Erased = slices.DeleteFunc(entry.Erased, func(slot audit.Slot) bool { return slices.Contains(withheld, slot) })
			}
			switch {
			case errors.Is(err, audit.ErrOpening), errors.Is(err, audit.ErrEvent):
				entry.Err = fmt.Errorf("%w: event %d: %w", ErrRewritten, e.Index, err)
			case errors.Is(err, ErrRewritten):
				entry.Err = err
			case err != nil:
				return err
			}
			page = append(page, entry)
		}
		return nil
	})
	return page, err
}
