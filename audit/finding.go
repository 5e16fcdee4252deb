package audit

import "fmt"

// FindingKind is a way in which a stored log can be wrong.
type FindingKind string

const (
	EventChanged   FindingKind = "event-changed"
	EventRemoved   FindingKind = "event-removed"    // its row is missing
	EventCutOut    FindingKind = "event-cut-out"    // its row is missing, and those behind were renumbered
	TailDropped    FindingKind = "tail-dropped"     // the rows at the end are missing
	EventInserted  FindingKind = "event-inserted"   // a row that the log never had
	EventsSwapped  FindingKind = "events-swapped"   // two rows have changed places
	EventMoved     FindingKind = "event-moved"      // a row is at another event's place
	EventRewritten FindingKind = "events-rewritten" // rows and their tile agree, against what the levels above say
	EventRepeated  FindingKind = "event-repeated"   // a second row of the same index
	LeafMalformed  FindingKind = "leaf-malformed"

	TileChanged    FindingKind = "tile-changed"
	TileMissing    FindingKind = "tile-missing"
	TileLength     FindingKind = "tile-length"
	TileUnexpected FindingKind = "tile-unexpected" // the tree has no such tile, or it came twice

	PartChanged    FindingKind = "part-changed"    // an opening that doesn't fit its commitment
	PartMissing    FindingKind = "part-missing"    // and no event authorises that
	PartUnexpected FindingKind = "part-unexpected" // an opening of an empty slot
	PartNotErased  FindingKind = "part-not-erased" // although an event says that it was
	BadErasure     FindingKind = "bad-erasure"     // an erasure that cannot be read, or lists later events

	HeadDiffers FindingKind = "head-differs" // rows and tiles don't give a root that was signed
)

// Finding is one thing that is wrong. Which fields count depends on Kind; the others are zero.
type Finding struct {
	Kind  FindingKind `json:"kind"`
	Event int64       `json:"event"`          // the event's true index, the first of several; for an inserted row its place
	To    int64       `json:"to"`             // the last of several events, the other of two, the place of a moved one, the erasing event
	Slot  Slot        `json:"slot,omitempty"` // of a part
	Tile  string      `json:"tile,omitempty"` // its path
	Entry int         `json:"entry"`          // the first wrong hash in the tile
	Count int         `json:"count"`          // wrong hashes in the tile, or its bytes
	Size  int64       `json:"size,omitempty"` // of the head that differs
}

// findingText says each kind as a sentence.
var findingText = map[FindingKind]func(*Finding) string{
	EventChanged:   func(f *Finding) string { return f.events() + " changed" },
	EventRemoved:   func(f *Finding) string { return f.events() + " removed" },
	EventCutOut:    func(f *Finding) string { return f.events() + " removed, and those behind renumbered" },
	TailDropped:    func(f *Finding) string { return f.events() + " removed from the end" },
	EventInserted:  func(f *Finding) string { return fmt.Sprintf("a row that the log never had stands at %d", f.Event) },
	EventsSwapped:  func(f *Finding) string { return fmt.Sprintf("events %d and %d have changed places", f.Event, f.To) },
	EventMoved:     func(f *Finding) string { return fmt.Sprintf("event %d stands at %d", f.Event, f.To) },
	EventRewritten: func(f *Finding) string { return f.events() + " rewritten together with their tile" },
	EventRepeated:  func(f *Finding) string { return fmt.Sprintf("there are two rows of event %d", f.Event) },
	LeafMalformed:  func(f *Finding) string { return fmt.Sprintf("the leaf of event %d is none of this version", f.Event) },

	TileChanged: func(f *Finding) string {
		return fmt.Sprintf("%s was changed: %d of its hashes, the first is number %d", f.Tile, f.Count, f.Entry)
	},
	TileMissing:    func(f *Finding) string { return f.Tile + " is missing" },
	TileLength:     func(f *Finding) string { return fmt.Sprintf("%s has %d bytes", f.Tile, f.Count) },
	TileUnexpected: func(f *Finding) string { return f.Tile + " is none of this tree, or is there twice" },

	PartChanged: func(f *Finding) string { return fmt.Sprintf("the %s part of event %d was changed", f.Slot, f.Event) },
	PartMissing: func(f *Finding) string {
		return fmt.Sprintf("the %s part of event %d is missing, and no erasure allows it", f.Slot, f.Event)
	},
	PartUnexpected: func(f *Finding) string {
		return fmt.Sprintf("event %d has no %s, and a part of it is there", f.Event, f.Slot)
	},
	PartNotErased: func(f *Finding) string {
		return fmt.Sprintf("event %d lists the %s part of event %d as erased, and it is not", f.To, f.Slot, f.Event)
	},
	BadErasure: func(f *Finding) string {
		return fmt.Sprintf("the erasure at event %d can't be read, or lists later events", f.Event)
	},

	HeadDiffers: func(f *Finding) string {
		return fmt.Sprintf("the stored log doesn't give the signed root of its first %d events", f.Size)
	},
}

// String says the finding as a sentence without its final stop.
func (f Finding) String() string { return findingText[f.Kind](&f) }

func (f *Finding) events() string {
	if f.To > f.Event {
		return fmt.Sprintf("events %d to %d were", f.Event, f.To)
	}
	return fmt.Sprintf("event %d was", f.Event)
}

// Report is what Fsck found.
type Report struct {
	Head      Tree      // the largest of the signed heads
	Intact    int64     // the largest signed size whose root the stored log gives
	Events    int64     // rows that were read
	Tiles     int64     // tiles that were read
	Erasures  []Erasure // parts that are gone, each authorised by an event
	Unchecked int64     // parts that are there and that the caller couldn't open
	Findings  []Finding // at most MaxFindings
	Found     int64     // all of them
}

// Erasure says how many parts are gone by the authority of one event.
type Erasure struct {
	Event int64 `json:"event"`
	Parts int64 `json:"parts"`
}

// String says it as a sentence without its final stop.
func (e Erasure) String() string {
	parts := fmt.Sprintf("%d personal parts", e.Parts)
	if e.Parts == 1 {
		parts = "1 personal part"
	}
	return fmt.Sprintf("%s erased, authorised by event %d", parts, e.Event)
}

// MaxFindings is how many findings a report lists.
const MaxFindings = 1000

// OK tells whether nothing is wrong. Unchecked parts are for the caller to judge.
func (r *Report) OK() bool { return r.Found == 0 }

func (r *Report) add(f Finding) {
	if r.Found++; len(r.Findings) < MaxFindings {
		r.Findings = append(r.Findings, f)
	}
}
