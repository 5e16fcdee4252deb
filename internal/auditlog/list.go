package auditlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"stonevault/audit"
)

const (
	// listPage is how many rows a list reads at once, listMore how many where these were not enough, and listBudget how
	// many it looks at in one call.
	listPage   = 500
	listMore   = 2_500
	listBudget = 10_000
	// listReach is among how many events, of all, those of a manager's people are looked for in one call.
	listReach = 500_000
)

// Query asks for a page of events, the newest first. Zero fields do not narrow it.
type Query struct {
	Before int64  // those recorded before the one with this id: Page.Next of the page before
	After  int64  // those recorded after it
	Person string // those with a part about this person: of others than the viewer and those whom he manages, none
	Type   func(audit.Type) bool
	About  string // those whose operational part names this id
	Since  time.Time
	Until  time.Time // exclusive
	Limit  int
}

// Entry is an event as it is listed.
type Entry struct {
	ID     int64
	Log    int64 // 0 where Index is Pending
	Index  int64 // in its log, or Pending until a signed head of the current log covers it
	Event  audit.Event
	Erased []audit.Slot // parts that are gone; Fsck tells whether that was authorised
	// Withheld are parts that are there and not shown: Event does not have them.
	Withheld []audit.Slot
	Err      error // ErrRewritten: the row was changed, and Event says nothing
}

// Page is a part of a list. Next is 0 at the end; a page may be short, or empty, and have a next one.
type Page struct {
	Entries []Entry
	Next    int64
}

// List returns a page of those events that the viewer may see, with those of older logs and those that have no
// index yet.
func (r *Reader) List(ctx context.Context, q Query, viewer Viewer) (page Page, err error) {
	err = r.config.Database.View(ctx, func(store Store) error {
		page = Page{}
		before := q.Before
		if before == 0 {
			before = audit.MaxCount
		}
		sight := newSight(ctx, store, viewer)
		read, err := source(ctx, store, q, before, sight)
		if err != nil || read == nil {
			return err
		}
		signed, err := signedPart(ctx, store)
		if err != nil {
			return err
		}
		l := &listing{q: q, sight: sight, open: r.keys.opener(ctx, store), signed: signed, page: &page}
		for looked, n := 0, listPage; looked < listBudget; looked, n = looked+n, listMore {
			events, end, err := read(before, n)
			if err != nil {
				return err
			}
			for _, e := range events {
				before = e.ID
				if done, err := l.take(e); done || err != nil {
					return err
				}
			}
			if len(events) < n {
				page.Next = end
				return nil
			}
		}
		page.Next = before
		return nil
	})
	return page, err
}

// reading returns the events before one, the newest first and at most so many. Where there are fewer, end is where the
// next call of List begins, or 0.
type reading func(before int64, most int) (events []Event, end int64, err error)

// source is where the events of a list come from: those of one person, those of a manager's people and groups, or all.
// It is nil where the viewer may see none.
func source(ctx context.Context, store Store, q Query, before int64, s *sight) (reading, error) {
	person := q.Person
	if v := s.viewer; !v.Everything && person != v.Person {
		manages, err := s.manages()
		if err == nil && person != "" {
			manages, err = s.managesPerson(person)
		}
		switch {
		case err != nil:
			return nil, err
		case person != "" && !manages:
			return nil, nil
		case person == "" && manages:
			return managedEvents(ctx, store, q, before, v.Person)
		case person == "":
			person = v.Person
		}
	} else if !v.Everything && person == "" {
		return nil, nil
	}
	var key int64
	if person != "" {
		keys, err := store.KeysOf(ctx, person)
		if err != nil || len(keys) == 0 {
			return nil, err
		}
		key = keys[0].Number
	}
	return func(before int64, most int) (events []Event, end int64, err error) {
		events, err = store.EventsBefore(ctx, before, key, most)
		return events, 0, err
	}, nil
}

// managedEvents reads what a manager may see of the newest listReach events before one.
func managedEvents(ctx context.Context, store Store, q Query, before int64, manager string) (reading, error) {
	newest, err := store.EventsBefore(ctx, before, 0, 1)
	if err != nil || len(newest) == 0 {
		return nil, err
	}
	from, end := newest[0].ID-listReach+1, int64(0)
	if from > q.After+1 {
		end = from
	} else {
		from = q.After + 1
	}
	return func(before int64, most int) (events []Event, _ int64, err error) {
		events, err = store.EventsManaged(ctx, manager, from, before, most)
		return events, end, err
	}, nil
}

// listing is a List on its way.
type listing struct {
	q      Query
	sight  *sight
	open   *opener
	signed extent
	page   *Page
}

// extent is how many events of the current log a signed head covers. A place in the log that nobody can be
// shown yet is not told.
type extent struct{ log, size int64 }

func signedPart(ctx context.Context, store Store) (x extent, err error) {
	l, err := store.CurrentLog(ctx)
	if err == nil {
		x.log = l.ID
		var c Checkpoint
		c, err = store.Checkpoint(ctx, l.ID)
		x.size = c.Size
	}
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return x, err
}

func (x extent) place(e *Entry) {
	if e.Log == x.log && e.Index >= x.size {
		e.Log, e.Index = 0, Pending
	}
}

// take adds an event that fits, and tells whether that was the last one to look at.
func (l *listing) take(e Event) (done bool, err error) {
	if e.ID <= l.q.After {
		return true, nil
	}
	leaf, err := audit.ParseLeaf(e.Leaf)
	if err == nil {
		switch at := leaf.Time; {
		case l.q.Type != nil && !l.q.Type(leaf.Type):
			return false, nil
		case !l.q.Since.IsZero() && at.Before(l.q.Since), !l.q.Until.IsZero() && !at.Before(l.q.Until):
			return false, nil
		}
	}
	entry, seen, err := l.open.entry(e, l.sight)
	if err == nil && entry.Err != nil {
		seen, err = l.open.takesPart(e, l.sight)
	}
	if err != nil || !seen {
		return false, err
	}
	if l.q.About != "" && entry.Err == nil && !names(entry.Event.Operational, l.q.About) {
		return false, nil
	}
	if len(l.page.Entries) == l.q.Limit {
		l.page.Next = l.page.Entries[l.q.Limit-1].ID
		return true, nil
	}
	l.signed.place(&entry)
	l.page.Entries = append(l.page.Entries, entry)
	return false, nil
}

// names tells whether one of the values is this id.
func names(values audit.Values, id string) bool {
	for _, v := range values {
		if v == id {
			return true
		}
	}
	return false
}

// entry opens an event for a list. What was changed is listed as that, to whom is not looked at.
func (o *opener) entry(e Event, s *sight) (entry Entry, seen bool, err error) {
	entry = Entry{ID: e.ID, Log: e.Log, Index: e.Index}
	record, shown, err := o.record(e, s)
	if err == nil && shown.any {
		entry.Withheld = shown.withheld
		entry.Event, entry.Erased, err = record.Event()
		entry.Erased = slices.DeleteFunc(entry.Erased, func(slot audit.Slot) bool { return slices.Contains(shown.withheld, slot) })
	}
	switch {
	case errors.Is(err, audit.ErrOpening), errors.Is(err, audit.ErrEvent):
		entry.Err = fmt.Errorf("%w: event %d: %w", ErrRewritten, e.Index, err)
	case errors.Is(err, ErrRewritten):
		entry.Err = err
	case err != nil:
		return entry, false, err
	}
	return entry, shown.any, nil
}

// Find returns one event by its id, or ErrNotFound, also where the viewer may not see it.
func (r *Reader) Find(ctx context.Context, id int64, viewer Viewer) (entry Entry, err error) {
	err = r.config.Database.View(ctx, func(store Store) error {
		e, err := store.Event(ctx, id)
		if err != nil {
			return err
		}
		var seen bool
		entry, seen, err = r.keys.opener(ctx, store).entry(e, newSight(ctx, store, viewer))
		// Whose a damaged event is, nobody can tell.
		if err == nil && !viewer.Everything && (!seen || entry.Err != nil) {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		signed, err := signedPart(ctx, store)
		signed.place(&entry)
		return err
	})
	return entry, err
}

// Listed is a leaf of the current log with what a viewer may see of it.
type Listed struct {
	Index    int64
	Leaf     []byte
	Openings [slotCount]audit.Opening
	Withheld []audit.Slot // parts that are there and not shown
}

// Records returns leaves in order, from an index on, as far as the newest signed head, whose size it tells too.
// They are given as they lie there: who reads them holds them against the head.
func (r *Reader) Records(ctx context.Context, from int64, limit int, viewer Viewer) (list []Listed, size int64, err error) {
	err = r.view(ctx, viewer, func(s *snapshot) error {
		list, size = nil, s.signed.Tree.Size
		events, err := s.store.Events(ctx, s.log.ID, from, limit)
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.Index >= size {
				break
			}
			one := Listed{Index: e.Index, Leaf: e.Leaf}
			record, shown, err := s.open.record(e, s.sight)
			switch {
			case errors.Is(err, ErrRewritten) && viewer.Everything:
				one.Openings = asStored(e)
			case errors.Is(err, ErrRewritten):
				one.Withheld = partsOf(e)
			case err != nil:
				return err
			}
			if err == nil {
				one.Openings, one.Withheld = record.Openings, shown.withheld
			}
			list = append(list, one)
		}
		return nil
	})
	return list, size, err
}

// partsOf are the parts that a row has.
func partsOf(e Event) (slots []audit.Slot) {
	for i, p := range e.Parts {
		if p.Sealed != nil {
			slots = append(slots, audit.Slot(i))
		}
	}
	return slots
}

// asStored gives the parts of a damaged row as they lie there, which fits no leaf.
func asStored(e Event) (openings [slotCount]audit.Opening) {
	for i, p := range e.Parts {
		openings[i] = slices.Clone(audit.Opening(p.Sealed))
	}
	return openings
}

// Summary is the current log and its newest signed head.
type Summary struct {
	Log        Log
	Checkpoint audit.Checkpoint // the zero value before the first
	Text       []byte           // of the checkpoint
}

// Summary tells what log this is, also beside ErrRewritten.
func (r *Reader) Summary(ctx context.Context) (summary Summary, err error) {
	err = r.view(ctx, Viewer{}, func(s *snapshot) error {
		summary = Summary{Log: s.log, Checkpoint: s.signed, Text: s.text}
		return nil
	})
	rewritten := errors.Is(err, ErrRewritten)
	if !rewritten && !errors.Is(err, ErrNotFound) {
		return summary, err
	}
	failed := r.config.Database.View(ctx, func(store Store) (err error) {
		summary.Log, err = store.CurrentLog(ctx)
		return err
	})
	if rewritten {
		return summary, errors.Join(err, failed)
	}
	return summary, failed
}
