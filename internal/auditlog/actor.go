package auditlog

import (
	"context"
	"sync"
	"unicode/utf8"

	"stonevault/audit"
)

// Actor is who acts, as events have it. An empty Person is somebody at the machine itself, or somebody
// unknown; an empty Address is the machine.
type Actor struct {
	Person, Name, Session string
	Client                string // what the device or the program calls itself
	Address               string
}

// Values are the actor's part of an event. What is longer than a field is cut.
func (a Actor) Values() audit.Values {
	return audit.Values{
		"person": a.Person, "name": cut(a.Name, 255), "session": cut(a.Session, 32), "client": cut(a.Client, 200), "address": cut(a.Address, 64),
	}
}

// cut shortens a text to so many bytes, at the end of a character, and makes it valid UTF-8.
func cut(text string, most int) string {
	b := make([]byte, 0, min(len(text), most))
	for _, r := range text {
		if len(b)+utf8.RuneLen(r) > most {
			break
		}
		b = utf8.AppendRune(b, r)
	}
	return string(b)
}

// Recorded knows the last of the events that a request leads to. Its methods may be called on nil, which
// knows none.
type Recorded struct {
	mu      sync.Mutex
	attempt int64 // under mu; the last of the transaction that runs, or 0
	last    int64 // under mu; the last that was committed, or 0
}

type recordedKey struct{}

// WithRecorded returns a context that knows this for one request, whose transactions that record come one
// after the other.
func WithRecorded(ctx context.Context) (context.Context, *Recorded) {
	r := new(Recorded)
	return context.WithValue(ctx, recordedKey{}, r), r
}

func recordedIn(ctx context.Context) *Recorded {
	r, _ := ctx.Value(recordedKey{}).(*Recorded)
	return r
}

// Last is the id of the last event, or 0.
func (r *Recorded) Last() int64 {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// Recall makes an event the last, of a request that is answered as it was before.
func (r *Recorded) Recall(id int64) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = id
}

// Attempted is the last event that the transaction which runs has recorded, or 0: once it is committed, the last of ctx.
func Attempted(ctx context.Context) int64 {
	r := recordedIn(ctx)
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.attempt
}

func (r *Recorded) add(id int64) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempt = id
}

// end keeps what the attempt has recorded, if it was committed.
func (r *Recorded) end(committed bool) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if committed && r.attempt != 0 {
		r.last = r.attempt
	}
	r.attempt = 0
}

// InTransaction runs a transaction that records. update is the database's; a transaction that runs again
// forgets what it recorded before, whose ids others may have got.
func InTransaction[Tx any](ctx context.Context, update func(context.Context, func(Tx) error) error, fn func(Tx) error) error {
	r := recordedIn(ctx)
	err := update(ctx, func(tx Tx) error {
		r.end(false)
		return fn(tx)
	})
	r.end(err == nil)
	return err
}
