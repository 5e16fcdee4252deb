package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Lengths in bytes.
const (
	HashSize   = tlog.HashSize
	SaltSize   = 32
	LeafSize   = headerSize + int(slotCount)*HashSize
	headerSize = 12

	leafVersion = 1
	maxTime     = 253402300799999 // the last millisecond of the year 9999, which RFC 3339 can still write
)

// Hash is a node of the tree: SHA-256 as RFC 6962 uses it. Its String is base64.
type Hash = tlog.Hash

var (
	// ErrLeaf is a byte string that is not a leaf.
	ErrLeaf = errors.New("not a leaf of the audit log")
	// ErrOpening is an opening that doesn't fit the leaf's commitment.
	ErrOpening = errors.New("the opening does not fit the commitment")
)

// Leaf is what the tree is made of. Nothing in it tells about a person.
//
//	0       1       2       3       4                           12          44      76        108
//	┌───────┬───────┴───────┬───────┬───────────────────────────┬───────────┬───────┬─────────┐
//	│ leaf  │ type          │ its   │ time, milliseconds u64    │ operation-│ actor │ subject │
//	│ vers. │ u16           │ vers. │                           │ al, 32    │ 32    │ 32      │
//	└───────┴───────────────┴───────┴───────────────────────────┴───────────┴───────┴─────────┘
type Leaf struct {
	Type        Type
	Version     uint8 // of the type's fields
	Time        time.Time
	Commitments [slotCount]Hash // by Slot; random where the slot is empty
}

// Bytes is the leaf as the tree hashes it.
func (l *Leaf) Bytes() []byte {
	b := make([]byte, 0, LeafSize)
	b = append(b, leafVersion)
	b = binary.BigEndian.AppendUint16(b, uint16(l.Type))
	b = append(b, l.Version)
	b = binary.BigEndian.AppendUint64(b, uint64(l.Time.UnixMilli()))
	for _, c := range l.Commitments {
		b = append(b, c[:]...)
	}
	return b
}

// ParseLeaf reads a leaf. It takes types that this program does not know: their events can be verified and
// not read.
func ParseLeaf(b []byte) (Leaf, error) {
	if len(b) != LeafSize {
		return Leaf{}, fmt.Errorf("%w: it has %d bytes, not %d", ErrLeaf, len(b), LeafSize)
	}
	l := Leaf{Type: Type(binary.BigEndian.Uint16(b[1:])), Version: b[3]}
	millis := binary.BigEndian.Uint64(b[4:])
	switch {
	case b[0] != leafVersion:
		return Leaf{}, fmt.Errorf("%w: its version is %d", ErrLeaf, b[0])
	case l.Type == 0 || l.Version == 0:
		return Leaf{}, fmt.Errorf("%w: its type is %d, version %d", ErrLeaf, uint16(l.Type), l.Version)
	case millis > maxTime:
		return Leaf{}, fmt.Errorf("%w: its time is after the year 9999", ErrLeaf)
	}
	l.Time = time.UnixMilli(int64(millis)).UTC()
	for i := range l.Commitments {
		copy(l.Commitments[i][:], b[headerSize+i*HashSize:])
	}
	return l, nil
}

// LeafHash is the hash of a leaf in the tree: SHA-256(0x00 ‖ leaf).
func LeafHash(leaf []byte) Hash {
	if len(leaf) != LeafSize {
		return tlog.RecordHash(leaf)
	}
	var b [1 + LeafSize]byte // on the stack
	copy(b[1:], leaf)
	return sha256.Sum256(b[:])
}

// Opening is a salt and what it hides. Who destroys it makes the commitment to it say nothing for ever.
//
//	0            32                                    32           33
//	┌────────────┬──────────────────┐     ┌────────────┬────────────┬──────────────────┐
//	│ salt       │ JSON             │     │ salt       │ filled u8  │ JSON             │
//	└────────────┴──────────────────┘     └────────────┴────────────┴──────────────────┘
//	 actor, subject                        operational
//
// Bit 0 of filled says that there is an actor, bit 1 that there is a subject, so that an opening that was
// taken away can be told from one that never was.
type Opening []byte

// String keeps what is in it out of every log.
func (Opening) String() string { return "[redacted]" }

// GoString keeps what is in it out of every log.
func (Opening) GoString() string { return "[redacted]" }

const (
	maxOpening   = SaltSize + 1 + MaxPayload
	usualOpening = 384 // what most take at most
)

var slotLabels = [slotCount][]byte{
	[]byte("stonevault.v1/audit/operational"), []byte("stonevault.v1/audit/actor"), []byte("stonevault.v1/audit/subject"),
}

// commitment is HMAC-SHA-256(salt, label ‖ the leaf before its commitments ‖ content). The header has a
// fixed length and no label begins another, so that no two inputs are alike. It is written out, since a key that
// serves once takes crypto/hmac longer to set up than the hashing takes.
func commitment(slot Slot, header []byte, o Opening) Hash {
	var pad [sha256.BlockSize]byte
	copy(pad[:], o[:SaltSize])
	for i := range pad {
		pad[i] ^= 0x36
	}
	text := append(make([]byte, 0, sha256.BlockSize+64+usualOpening), pad[:]...) // on the stack, if it isn't longer
	text = append(text, slotLabels[slot]...)
	text = append(text, header[:headerSize]...)
	text = append(text, o[SaltSize:]...)
	inner := sha256.Sum256(text)
	for i := range pad {
		pad[i] ^= 0x36 ^ 0x5c
	}
	return sha256.Sum256(append(append(text[:0], pad[:]...), inner[:]...))
}

// opens tells whether o is what the leaf is committed to.
func opens(leaf []byte, slot Slot, o Opening) bool {
	if len(o) < SaltSize || len(o) > maxOpening {
		return false
	}
	want, got := leaf[headerSize+int(slot)*HashSize:][:HashSize], commitment(slot, leaf, o)
	return hmac.Equal(got[:], want)
}

// filled reads from an operational opening which personal slots the event has.
func filled(o Opening) (actor, subject, ok bool) {
	if len(o) < SaltSize+1 || o[SaltSize] > 3 {
		return false, false, false
	}
	return o[SaltSize]&1 != 0, o[SaltSize]&2 != 0, true
}

// Record is an event in the form that is kept: Leaf for ever, Openings until they are erased. An opening
// is nil where the slot is empty, was erased, or is withheld from who reads.
type Record struct {
	Leaf     Leaf
	Openings [slotCount]Opening // by Slot
}

// Commit makes the record of an event, with salts from rand. ErrEvent if the event is not one of its type.
func (e Event) Commit(rand io.Reader) (Record, error) {
	d, err := define(e.Type, e.Version)
	if err != nil {
		return Record{}, err
	}
	millis := e.Time.UnixMilli()
	if millis < 0 || millis > maxTime {
		return Record{}, fmt.Errorf("%w: its time is outside 1970 to 9999", ErrEvent)
	}
	r := Record{Leaf: Leaf{Type: e.Type, Version: d.Version, Time: time.UnixMilli(millis).UTC()}}
	var random [slotCount * SaltSize]byte
	if _, err := io.ReadFull(rand, random[:]); err != nil {
		return Record{}, fmt.Errorf("audit: no randomness: %w", err)
	}
	header := r.Leaf.Bytes()
	for i, v := range e.values() {
		slot, salt := Slot(i), random[i*SaltSize:][:SaltSize]
		if *v == nil && slot != Operational {
			copy(r.Leaf.Commitments[i][:], salt)
			continue
		}
		if d.Fields[i] == nil && slot != Operational {
			return Record{}, fmt.Errorf("%w: %s has no %s", ErrEvent, d.Name, slot)
		}
		o := append(make([]byte, 0, usualOpening), salt...)
		if slot == Operational {
			var mask byte
			if e.Actor != nil {
				mask |= 1
			}
			if e.Subject != nil {
				mask |= 2
			}
			o = append(o, mask)
		}
		if r.Openings[i], err = encode(o, d.members[i], *v); err != nil {
			return Record{}, fmt.Errorf("%s, %s: %w", d.Name, slot, err)
		}
		r.Leaf.Commitments[i] = commitment(slot, header, r.Openings[i])
	}
	return r, nil
}

// Event reads a record. missing are the slots that the event has and whose openings are not there; without
// the operational opening that one alone is listed. ErrOpening if an opening was changed, ErrEvent if what it
// hides is not what its type says, or its type is not known here.
func (r Record) Event() (e Event, missing []Slot, err error) {
	e = Event{Type: r.Leaf.Type, Version: r.Leaf.Version, Time: r.Leaf.Time}
	leaf := r.Leaf.Bytes()
	for i, o := range r.Openings {
		if o != nil && !opens(leaf, Slot(i), o) {
			return e, nil, fmt.Errorf("%w: %s", ErrOpening, Slot(i))
		}
	}
	if e.Version == 0 {
		return e, nil, fmt.Errorf("%w: the version of its type is 0", ErrLeaf)
	}
	d, err := Define(e.Type, e.Version)
	if err != nil {
		return e, nil, err
	}
	expected := [slotCount]bool{Operational: true}
	if o := r.Openings[Operational]; o != nil {
		var ok bool
		if expected[Actor], expected[Subject], ok = filled(o); !ok {
			return e, nil, fmt.Errorf("%w: it doesn't say which slots it has", ErrEvent)
		}
	}
	for i, v := range e.values() {
		slot, o := Slot(i), r.Openings[i]
		switch {
		case o == nil && expected[i]:
			missing = append(missing, slot)
			continue
		case o == nil:
			continue
		case r.Openings[Operational] != nil && !expected[i], slot != Operational && d.Fields[i] == nil:
			return e, nil, fmt.Errorf("%w: it has no %s", ErrEvent, slot)
		}
		content := o[SaltSize:]
		if slot == Operational {
			content = content[1:]
		}
		if *v, err = decode(d.Fields[i], content); err != nil {
			return e, nil, fmt.Errorf("%s, %s: %w", d.Name, slot, err)
		}
	}
	return e, missing, nil
}

// PartNumber names one personal opening in a PartList: twice the event's index, plus one for the subject.
func PartNumber(index int64, slot Slot) int64 { return 2*index + int64(slot-Actor) }

// Part is the event and the slot that a PartNumber names.
func Part(number int64) (index int64, slot Slot) { return number / 2, Actor + Slot(number%2) }
