package auditlog

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"stonevault/audit"
)

// Recorder writes events into the transactions of those who make the changes. It may be used by many
// goroutines.
type Recorder struct {
	config  Config
	keys    *keyring
	wake    func()
	observe Observer // or nil
}

// Observer is told of each event in the transaction that records it, so that what it writes there is there with the
// event or not at all. When it fails the transaction fails.
type Observer func(ctx context.Context, store Store, id int64, e audit.Event) error

// NewRecorder makes a recorder. wake is called for each event, inside its transaction: give it
// Sequencer.Wake, or a function that does nothing.
func NewRecorder(c Config, wake func()) *Recorder {
	return &Recorder{config: c, keys: newKeyring(c), wake: wake}
}

// ForgetKeys drops what was opened with the master key, which must not be used any more.
func (r *Recorder) ForgetKeys() { r.keys.forgetAll() }

// Observe sets the observer, before the first event.
func (r *Recorder) Observe(o Observer) { r.observe = o }

// Record writes an event into a transaction, and returns the id of its row, which is the event's once the
// transaction is committed. Whose keys it is sealed under, the event says itself: each slot's "person", and
// the log's own where that is empty. When Record fails the transaction must fail.
func (r *Recorder) Record(ctx context.Context, store Store, e audit.Event) (id int64, err error) {
	record, err := e.Commit(r.config.Rand)
	if err != nil {
		return 0, err
	}
	persons := [slotCount]string{}
	for slot, v := range map[audit.Slot]audit.Values{audit.Actor: e.Actor, audit.Subject: e.Subject} {
		persons[slot], _ = v["person"].(string)
	}
	keys, err := r.sealing(ctx, store, persons)
	if err != nil {
		return 0, err
	}
	row := Event{Index: Pending, Leaf: record.Leaf.Bytes(), Group: groupOf(e)}
	for i, o := range record.Openings {
		if o == nil {
			continue
		}
		key := keys[i]
		secret, err := r.keys.open(key)
		if err != nil {
			return 0, err
		}
		if key.Person != "" {
			row.Parts[i].Key = key.Number
		}
		if row.Parts[i].Sealed, err = sealPart(secret, row.Leaf, audit.Slot(i), o); err != nil {
			return 0, err
		}
	}
	if id, err = store.InsertEvent(ctx, row); err != nil {
		return 0, fmt.Errorf("auditlog: recording %s: %w", e.Type, err)
	}
	if r.observe != nil {
		if err := r.observe(ctx, store, id, e); err != nil {
			return 0, fmt.Errorf("auditlog: telling of %s: %w", e.Type, err)
		}
	}
	recordedIn(ctx).add(id)
	r.wake()
	return id, nil
}

// RecordLate is Record for what may come after a person's erasure, since no row of its transaction is the person's.
// Whoever has an account has a key since that was made; where that is gone, the person was erased meanwhile, and
// is left out.
func (r *Recorder) RecordLate(ctx context.Context, store Store, e audit.Event) (id int64, err error) {
	for _, part := range []*audit.Values{&e.Actor, &e.Subject} {
		person, _ := (*part)["person"].(string)
		if person == "" {
			continue
		}
		keys, err := store.KeysOf(ctx, person)
		if err != nil {
			return 0, err
		}
		if len(keys) == 0 {
			*part = nil
		}
	}
	return r.Record(ctx, store, e)
}

// Do records an event in a transaction of its own.
func (r *Recorder) Do(ctx context.Context, e audit.Event) (id int64, err error) {
	err = InTransaction(ctx, r.config.Database.Update, func(store Store) error {
		id, err = r.Record(ctx, store, e)
		return err
	})
	return id, err
}

// sealing finds the keys of the persons of each slot, and makes those that are not there yet. It asks the
// transaction each time: only there is known which key a person has now.
func (r *Recorder) sealing(ctx context.Context, store KeyStore, persons [slotCount]string) (keys [slotCount]Key, err error) {
	distinct := slices.Compact(slices.Sorted(slices.Values(persons[:])))
	found, err := store.KeysOf(ctx, distinct...)
	if err != nil {
		return keys, err
	}
	for slot, person := range persons {
		at := slices.IndexFunc(found, func(k Key) bool { return k.Person == person })
		if at < 0 {
			if person == "" {
				return keys, ErrNoLog
			}
			made, err := r.keys.create(ctx, store, person)
			if err != nil {
				return keys, err
			}
			at, found = len(found), append(found, made)
		}
		keys[slot] = found[at]
	}
	return keys, nil
}

// Begun tells whether there is a log.
func (r *Recorder) Begun(ctx context.Context, store LogStore) (bool, error) {
	_, err := store.CurrentLog(ctx)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Beginning is why a log begins. Where there was one before, its newest checkpoint becomes part of the new
// one's first event by itself.
type Beginning struct {
	Reason         string // "first", "restored" or "recovered"
	PreviousAnchor string // where the log before was last anchored, or empty
}

// Begin begins a log in a transaction, with its first event in its place. Events that have no place yet will be
// the new log's, as all that follow.
func (r *Recorder) Begin(ctx context.Context, store Store, b Beginning) (l Log, err error) {
	var previous []byte
	before, err := store.CurrentLog(ctx)
	switch {
	case errors.Is(err, ErrNotFound):
		if _, err := r.keys.create(ctx, store, ""); err != nil {
			return l, err
		}
	case err != nil:
		return l, err
	case b.Reason == "first":
		return l, ErrBegun
	default:
		if previous, err = r.lastHead(ctx, store, before); err != nil {
			return l, err
		}
	}
	var random [16]byte
	if _, err := io.ReadFull(r.config.Rand, random[:]); err != nil {
		return l, fmt.Errorf("auditlog: no randomness: %w", err)
	}
	l = Log{ID: before.ID + 1, Origin: "stonevault/audit/" + hex.EncodeToString(random[:]), BegunAt: r.config.Now()}
	key, err := audit.NewSigningKey(r.config.Rand, l.Origin)
	if err != nil {
		return l, err
	}
	l.Public = key.Public().Text()
	if l.SealedSeed, err = r.config.Master.Seal(SeedContext(l), key.Seed()); err != nil {
		return l, err
	}
	if err := store.InsertLog(ctx, l); err != nil {
		return l, err
	}
	id, err := r.Record(ctx, store, audit.Event{Type: audit.LogBegun, Time: r.config.Now(), Operational: audit.Values{
		"origin": l.Origin, "reason": b.Reason, "previous_checkpoint": string(previous), "previous_anchor": b.PreviousAnchor,
	}})
	if err != nil {
		return l, err
	}
	first, err := store.Event(ctx, id)
	if err != nil {
		return l, err
	}
	return l, place(ctx, store, l, []Leaf{{id, first.Leaf}})
}

// lastHead is the newest head of a log, or nothing where it has none that verifies: no log can follow such a one.
func (r *Recorder) lastHead(ctx context.Context, store Store, l Log) ([]byte, error) {
	c, err := store.Checkpoint(ctx, l.ID)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	key, err := r.keys.signing(l)
	if errors.Is(err, ErrRewritten) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := key.Public().Open(c.Text); err != nil {
		return nil, nil
	}
	return c.Text, nil
}
