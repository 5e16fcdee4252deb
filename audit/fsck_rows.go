package audit

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// difference is a place where the rows and the log differ. row is unknown where there is none, truth where
// nothing tells it any more.
type difference struct {
	at         int64
	row, truth Hash
}

// shift says that from row at on, a row is that of event at+by.
type shift struct{ at, by int64 }

// rowNames is how the rows of a log fit its events. Leaf hashes are unique, since salts are, so that a hash
// says which event a row once was.
type rowNames struct {
	rowAt   map[Hash]int64  // where a displaced or strange row stands
	eventOf map[Hash]int64  // which event a hash is
	hashOf  map[int64]Hash  // and back
	lost    map[int64]int64 // event → how many from it on have no row anywhere

	shifts  []shift
	moved   map[int64]int64 // row → event
	changed map[int64]bool  // events whose row is another
	gone    []Finding       // ranges of events without a row
}

func newRowNames(all []difference, size int64) *rowNames {
	n := &rowNames{
		rowAt: map[Hash]int64{}, eventOf: map[Hash]int64{}, hashOf: map[int64]Hash{}, lost: map[int64]int64{},
		moved: map[int64]int64{}, changed: map[int64]bool{},
	}
	for _, d := range all {
		if d.row != (Hash{}) {
			n.rowAt[d.row] = d.at
		}
		if d.truth != (Hash{}) {
			n.eventOf[d.truth], n.hashOf[d.at] = d.at, d.truth
		}
	}
	for _, d := range slices.Backward(all) {
		if _, found := n.rowAt[d.truth]; !found && d.at < size {
			n.lost[d.at] = 1 + n.lost[d.at+1]
		}
	}
	return n
}

// nameRows says what was done to the rows where they differ from the log.
func (f *fsck) nameRows() {
	all := f.differences()
	names := newRowNames(all, f.head.Size)
	f.names = names
	// From the first tile on that is not kept, a row's event can't be looked up: places alone are named.
	limit := int64(math.MaxInt64)
	for n := range f.differing {
		limit = min(limit, n*TileWidth)
	}
	var by, last int64 // a row at stands for event at+by
	for _, d := range all {
		if d.at != last+1 && by != 0 {
			by = 0
			names.shifts = append(names.shifts, shift{d.at, by})
		}
		last = d.at
		expected := d.at + by
		event, known := names.eventOf[d.row]
		switch {
		case max(d.at, expected) >= limit && d.at < f.head.Size:
			kind := EventChanged
			if d.row == (Hash{}) {
				kind = EventRemoved
			}
			f.span(kind, d.at, d.at)
			f.wrong[d.at], names.changed[d.at] = true, true
		case d.row == Hash{}:
			if names.lost[expected] > 0 {
				f.span(EventRemoved, expected, expected)
			}
		case !known && names.lost[expected] > 0:
			f.span(EventChanged, expected, expected)
			f.wrong[d.at], names.changed[expected] = true, true
		case !known:
			f.report.add(Finding{Kind: EventInserted, Event: d.at})
			f.wrong[d.at] = true
			by--
			names.shifts = append(names.shifts, shift{d.at + 1, by})
		case event == expected:
		case event > expected && names.lost[expected] >= event-expected:
			f.span(EventCutOut, expected, event-1)
			by = event - d.at
			names.shifts = append(names.shifts, shift{d.at, by})
		default:
			names.moved[d.at] = event
			if other, ok := names.rowAt[names.hashOf[expected]]; !ok || other != event-by {
				f.report.add(Finding{Kind: EventMoved, Event: event, To: d.at})
			} else if expected < event {
				f.report.add(Finding{Kind: EventsSwapped, Event: expected, To: event})
			}
		}
	}
	f.flushRange()
}

// differences lists all places where the rows differ from what was settled, in order.
func (f *fsck) differences() (all []difference) {
	for _, n := range slices.Sorted(maps.Keys(f.kept)) {
		t := f.kept[n]
		if t.rows == t.truth && !slices.Contains(t.truth[:t.width], Hash{}) {
			continue
		}
		for i := range t.width {
			if t.rows[i] != t.truth[i] || t.truth[i] == (Hash{}) {
				all = append(all, difference{n*TileWidth + int64(i), t.rows[i], t.truth[i]})
			}
		}
	}
	for _, row := range f.beyond {
		all = append(all, difference{at: row.at, row: row.hash})
	}
	return all
}

// span says something of events in a row as one finding.
func (f *fsck) span(kind FindingKind, from, to int64) {
	if f.pending.Kind == kind && f.pending.To == from-1 {
		f.pending.To = to
		return
	}
	f.flushRange()
	f.pending = Finding{Kind: kind, Event: from, To: to}
}

func (f *fsck) flushRange() {
	p := f.pending
	f.pending = Finding{}
	switch p.Kind {
	case "":
		return
	case EventRemoved, EventCutOut:
		f.names.gone = append(f.names.gone, p)
	}
	if p.Kind == EventRemoved && p.To == f.head.Size-1 {
		p.Kind = TailDropped
	}
	f.report.add(p)
}

// event is which event the row at this index is.
func (n *rowNames) event(at int64) int64 {
	if event, ok := n.moved[at]; ok {
		return event
	}
	i, exact := slices.BinarySearchFunc(n.shifts, at, func(s shift, at int64) int { return cmp.Compare(s.at, at) })
	for exact && i+1 < len(n.shifts) && n.shifts[i+1].at == at {
		i++
	}
	if !exact {
		i--
	}
	if i < 0 {
		return at
	}
	return at + n.shifts[i].by
}

// isGone tells whether an event's row is missing.
func (n *rowNames) isGone(event int64) bool {
	return slices.ContainsFunc(n.gone, func(g Finding) bool { return g.Event <= event && event <= g.To })
}

// settleParts names the parts that are wrong, and holds those that are gone against the erasures. What a
// row that is not the log's says counts for nothing.
func (f *fsck) settleParts() {
	for _, fault := range f.partFaults {
		if !f.wrong[fault.Event] {
			fault.Event = f.names.event(fault.Event)
			f.report.add(fault)
		}
	}
	authority := map[int64]int64{} // part → erasing event
	for _, e := range f.erasures {
		if f.wrong[e.event] {
			continue
		}
		event := f.names.event(e.event)
		if index, _ := Part(e.parts[len(e.parts)-1]); index >= event {
			f.report.add(Finding{Kind: BadErasure, Event: event})
			continue
		}
		for _, part := range e.parts {
			authority[part] = event
		}
	}
	erased := map[int64]int64{} // erasing event → parts
	for _, part := range f.missing {
		index, slot := Part(part)
		if f.wrong[index] {
			continue
		}
		index = f.names.event(index)
		part = PartNumber(index, slot)
		if by, ok := authority[part]; ok {
			erased[by]++
			delete(authority, part)
		} else {
			f.report.add(Finding{Kind: PartMissing, Event: index, Slot: slot})
		}
	}
	for _, part := range f.absent {
		index, slot := Part(part)
		delete(authority, PartNumber(f.names.event(index), slot))
	}
	for _, event := range slices.Sorted(maps.Keys(erased)) {
		f.report.Erasures = append(f.report.Erasures, Erasure{event, erased[event]})
	}
	for _, part := range slices.Sorted(maps.Keys(authority)) {
		index, slot := Part(part)
		if !f.names.changed[index] && !f.names.isGone(index) {
			f.report.add(Finding{Kind: PartNotErased, Event: index, Slot: slot, To: authority[part]})
		}
	}
}
