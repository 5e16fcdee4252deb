package once

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

// Store runs transactions; its semantics are those of vault.Database.
type Store interface {
	ViewOnce(ctx context.Context, fn func(Tx) error) error
	UpdateOnce(ctx context.Context, fn func(Tx) error) error
}

// Keeper knows which requests with a key were answered, and which are under way. It may be used by many goroutines.
type Keeper struct {
	store Store
	now   func() time.Time

	mu    sync.Mutex
	under map[place][sha256.Size]byte // under mu; the requests under way
}

// place is what a key is kept under.
type place struct {
	person string
	key    [sha256.Size]byte
}

// NewKeeper makes a keeper.
func NewKeeper(store Store, now func() time.Time) *Keeper {
	return &Keeper{
		store: store, under: map[place][sha256.Size]byte{},
		now: func() time.Time { return time.UnixMilli(now().UnixMilli()).UTC() },
	}
}

// Begin takes up a person's request to a route with a key. request tells it from others. ErrInProgress is one that is
// under way, ErrReused a key of another. end must be called once the request is answered.
func (k *Keeper) Begin(person, route, key string, request [sha256.Size]byte) (r *Request, end func(), err error) {
	r = &Request{person: person, key: sha256.Sum256([]byte(route + "\x00" + key)), request: request, now: k.now}
	at := place{r.person, r.key}
	k.mu.Lock()
	defer k.mu.Unlock()
	if other, ok := k.under[at]; ok {
		if other != request {
			return nil, nil, ErrReused
		}
		return nil, nil, ErrInProgress
	}
	k.under[at] = request
	return r, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.under, at)
	}, nil
}

// Answer is what a request was answered with before: ErrNotFound where it was not, ErrReused where another one was.
func (k *Keeper) Answer(ctx context.Context, r *Request) (a Answer, err error) {
	err = k.store.ViewOnce(ctx, func(tx Tx) error {
		kept, err := tx.Answer(ctx, r.person, r.key)
		if err != nil {
			return err
		}
		a, err = r.check(kept)
		return err
	})
	return a, err
}

// sweepBatch is how many answers go at once, so few that nobody's change waits for it.
const sweepBatch = 500

// Sweep removes the answers that are too old to be given. A server calls it every now and then.
func (k *Keeper) Sweep(ctx context.Context) error {
	for removed := int64(sweepBatch); removed == sweepBatch; {
		err := k.store.UpdateOnce(ctx, func(tx Tx) (err error) {
			removed, err = tx.DeleteAnswers(ctx, k.now().Add(-KeepFor), sweepBatch)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
