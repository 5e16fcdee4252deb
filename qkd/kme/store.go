package kme

import (
	"context"
	"errors"
	"time"

	"stonevault/qkd"
)

// ErrNotFound is a row that is not there.
var ErrNotFound = errors.New("kme: there is no such row")

// Store keeps keys. A change that it reports as done is durable; transactions are serializable, and a function may be
// run more than once, the last time being the one that counts.
type Store interface {
	ViewQuantumKeys(ctx context.Context, fn func(Tx) error) error
	UpdateQuantumKeys(ctx context.Context, fn func(Tx) error) error
}

// Pooled is a key that nobody has got.
type Pooled struct {
	ID qkd.KeyID
	Pair
	Sealed  []byte
	Session string // that made it
	MadeAt  time.Time
}

// Delivered tells whom a key is for that its master has got. It never has the key.
type Delivered struct {
	ID      qkd.KeyID
	Master  string
	Slaves  []string // all that may fetch it, or have
	Session string
	At      time.Time
}

// Waiting is a key that one slave has not got.
type Waiting struct {
	ID qkd.KeyID
	Pair
	Sealed []byte
}

// Tx is one transaction. Times have milliseconds.
type Tx interface {
	// Pooled counts the keys in the pool of a pair.
	Pooled(ctx context.Context, p Pair) (int, error)
	InsertPooled(ctx context.Context, key Pooled) error
	// TakePooled removes n keys, or all where there are fewer, the oldest first, and returns them.
	TakePooled(ctx context.Context, p Pair, n int) ([]Pooled, error)

	// EmptyPools removes all keys that nobody has got, of all pairs, and what else the Maker keeps for later sessions.
	EmptyPools(ctx context.Context) error

	InsertDelivered(ctx context.Context, d Delivered) error
	Delivered(ctx context.Context, id qkd.KeyID) (Delivered, error) // or ErrNotFound
	InsertWaiting(ctx context.Context, w Waiting) error
	// TakeWaiting removes what waits for a slave and returns it, or ErrNotFound.
	TakeWaiting(ctx context.Context, id qkd.KeyID, slave string) (Waiting, error)

	// DeleteDelivered removes up to limit keys that were delivered to their master before a time, and tells how many there
	// were: with fetched those that all slaves have got, else those that still wait, with what waits.
	DeleteDelivered(ctx context.Context, before time.Time, fetched bool, limit int) (int64, error)
}
