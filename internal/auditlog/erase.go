package auditlog

import (
	"context"
	"slices"

	"stonevault/audit"
)

// Erased says what an erasure has done.
type Erased struct {
	Parts  int     // of the current log, by the authority of Events
	Events []int64 // rows of person.erased

	key int64
}

// Erase destroys the key of a person and everything that was sealed under it, and records that by whom it was
// done, in a transaction whose database overwrites what it removes (Database.Shred). So nobody can read those
// parts again, and everybody can see that they were there. by is the actor of the event; nil is nobody known.
// Where there is nothing of the person, it does nothing.
//
// Events and their erasure come into the tree together: all that waits for a place gets it first, since a
// part is listed by its index. Parts of older logs are destroyed as well, and no event of this log can list
// them. Forget must follow once the transaction has ended.
func (r *Recorder) Erase(ctx context.Context, store Store, person string, by audit.Values) (done Erased, err error) {
	switch {
	case person == "":
		return done, ErrNotFound
	case by["person"] == person:
		return done, ErrSelf
	}
	keys, err := store.KeysOf(ctx, person)
	if err != nil || len(keys) == 0 {
		return done, err
	}
	done.key = keys[0].Number
	if err := placeAll(ctx, store); err != nil {
		return done, err
	}
	l, err := store.CurrentLog(ctx)
	if err != nil {
		return done, err
	}
	parts, err := store.PartsUnder(ctx, l.ID, done.key)
	if err != nil {
		return done, err
	}
	done.Parts = len(parts)
	pieces := (len(parts) + audit.MaxParts - 1) / audit.MaxParts
	piece := 0
	for list := range slices.Chunk(parts, audit.MaxParts) {
		piece++
		id, err := r.Record(ctx, store, audit.Event{Type: audit.PersonErased, Time: r.config.Now(), Actor: by,
			Operational: audit.Values{"parts": list, "piece": piece, "pieces": pieces}})
		if err != nil {
			return done, err
		}
		done.Events = append(done.Events, id)
	}
	if err := store.EraseKey(ctx, done.key); err != nil {
		return done, err
	}
	return done, placeAll(ctx, store)
}

// Forget drops what this process remembers of an erased key.
func (r *Recorder) Forget(done Erased) { r.keys.forget(done.key) }

// placeAll gives every event its place that has none.
func placeAll(ctx context.Context, store Store) error {
	for {
		placed, err := placePending(ctx, store)
		if err != nil || placed < batchSize {
			return err
		}
	}
}
