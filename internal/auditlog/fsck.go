package auditlog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime"
	"slices"

	"stonevault/audit"
)

// Report is what Fsck found.
type Report struct {
	*audit.Report
	Unsigned int64 // events at the end that no signed head covers yet; nothing vouches for them
	Pending  bool  // there are events without an index
	// Displaced says that the head which the next events would be added to is not that of the signed log.
	Displaced bool
}

// OK tells whether nothing is wrong.
func (r *Report) OK() bool { return r.Report.OK() && !r.Displaced }

// fsckPage is how many events are read, and opened, at once.
const fsckPage = 1000

// fsckTiles is how many tiles are read at once.
const fsckTiles = 64

// Fsck reads the whole current log and says what is wrong with it. heads are further ones that are known to be
// the log's: pins and anchors. It takes its time, in one snapshot; the server may go on.
func (r *Reader) Fsck(ctx context.Context, heads ...audit.Tree) (report *Report, err error) {
	err = r.view(ctx, Viewer{}, func(s *snapshot) error {
		checkpoints, err := s.store.Checkpoints(ctx, s.log.ID)
		if err != nil {
			return err
		}
		heads := slices.Clone(heads)
		largest := s.signed.Tree.Size
		for _, c := range checkpoints {
			opened, err := s.key.Open(c.Text)
			if err != nil {
				return fmt.Errorf("%w: the checkpoint of %d events: %w", ErrRewritten, c.Size, err)
			}
			heads = append(heads, opened.Tree)
		}
		for _, h := range heads {
			largest = max(largest, h.Size)
		}
		head, err := s.store.Head(ctx, s.log.ID)
		if err != nil {
			return err
		}
		pending, err := s.store.PendingEvents(ctx, 1)
		if err != nil {
			return err
		}
		report = &Report{
			Unsigned: max(0, head.Size-largest), Pending: len(pending) > 0,
			Displaced: head.Size < s.signed.Tree.Size || head.Size == s.signed.Tree.Size && head != s.signed.Tree,
		}
		if report.Unsigned > 0 { // a sequencer was between its commit and its signature
			heads = append(heads, head)
		}
		report.Report, err = audit.Fsck(audit.StoredLog{
			Heads: heads, Rows: s.rows(ctx), Tiles: s.allTiles(ctx), Tasks: runtime.GOMAXPROCS(0),
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}

// rows opens all events of the log: while some pages are opened, the next is read.
func (s *snapshot) rows(ctx context.Context) iter.Seq2[audit.Row, error] {
	return func(yield func(audit.Row, error) bool) {
		var opening []chan []audit.Row // each is given one page, also where nobody takes it
		for from, more := int64(math.MinInt64), true; more || len(opening) > 0; {
			if more && len(opening) < runtime.GOMAXPROCS(0) {
				events, err := s.store.Events(ctx, s.log.ID, from, fsckPage)
				var keys map[int64]*readKey
				if err == nil {
					keys, err = s.keysOf(events)
				}
				if err != nil {
					yield(audit.Row{}, err)
					return
				}
				if more = len(events) == fsckPage; len(events) > 0 {
					from = events[len(events)-1].Index + 1
				}
				page := make(chan []audit.Row, 1)
				go func() { page <- openRows(events, keys) }()
				opening = append(opening, page)
				continue
			}
			for _, row := range <-opening[0] {
				if !yield(row, nil) {
					return
				}
			}
			opening = opening[1:]
		}
	}
}

// keysOf brings the keys of a page from the transaction, which one goroutine alone may use.
func (s *snapshot) keysOf(events []Event) (map[int64]*readKey, error) {
	keys := map[int64]*readKey{}
	for _, e := range events {
		for _, p := range e.Parts {
			if _, known := keys[p.Key]; p.Sealed == nil || known {
				continue
			}
			k, err := s.open.key(p.Key)
			if err != nil && !errors.Is(err, ErrRewritten) {
				return nil, err
			}
			keys[p.Key] = k
		}
	}
	return keys, nil
}

// openRows opens what there are keys for. What doesn't open is given as it lies there, which fits no leaf.
func openRows(events []Event, keys map[int64]*readKey) []audit.Row {
	rows := make([]audit.Row, len(events))
	for i, e := range events {
		rows[i] = audit.Row{Index: e.Index, Leaf: e.Leaf}
		for slot, p := range e.Parts {
			if p.Sealed == nil {
				continue
			}
			part := &rows[i].Parts[slot]
			err := error(ErrNotFound)
			if k := keys[p.Key]; k != nil {
				part.Opening, err = openPart(k.key, e.Leaf, audit.Slot(slot), p.Sealed)
			}
			if err != nil {
				part.Opening = audit.Opening(p.Sealed)
			}
		}
	}
	return rows
}

// allTiles goes through the stored tiles.
func (s *snapshot) allTiles(ctx context.Context) iter.Seq2[audit.TileData, error] {
	return func(yield func(audit.TileData, error) bool) {
		for level, index := math.MinInt, int64(math.MinInt64); ; {
			page, err := s.store.TilesAfter(ctx, s.log.ID, level, index, fsckTiles)
			if err != nil {
				yield(audit.TileData{}, err)
				return
			}
			for _, t := range page {
				if !yield(t, nil) {
					return
				}
				level, index = t.Level, t.Index
			}
			if len(page) < fsckTiles {
				return
			}
		}
	}
}
