package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// Longest is the longest period of a window and the longest that a value or a lease is kept.
	Longest = 31 * 24 * time.Hour
	// MaxValue is the length of the longest value in bytes.
	MaxValue = 4 << 10
	// maxSpace is the length of the longest namespace.
	maxSpace = 32
	// maxProduct is the largest limit times period. Three of them are added up, which must stay below 2^53.
	maxProduct = 1 << 51
)

var (
	// ErrUnavailable is a server that cannot be asked. Whether something happened there is unknown.
	ErrUnavailable = errors.New("cache: the server for limits and short-lived state cannot be reached")
	// ErrFull refuses a new key where as many are kept as may be. Those that are kept go on.
	ErrFull = errors.New("cache: there is no room for another key")
	// ErrNotFound is a value that is not there: never put, taken, deleted or too old.
	ErrNotFound = errors.New("cache: no such value")
	// ErrHeld is a lease that somebody else holds.
	ErrHeld = errors.New("cache: somebody else holds the lease")
	// ErrLost is a lease that its owner does not hold any more.
	ErrLost = errors.New("cache: the lease is lost")
	// ErrCost is a cost above the limit, which no waiting would allow.
	ErrCost = errors.New("cache: the cost is above the limit")
	// ErrInvalid is an argument that cannot be meant.
	ErrInvalid = errors.New("cache: invalid")
)

// Window is how much may be taken in a period.
type Window struct {
	Limit  int64         // 1 or more
	Period time.Duration // whole milliseconds, up to Longest
}

// Decision is the answer to a take.
type Decision struct {
	Allowed   bool
	Remaining int64 // the largest cost that would be allowed at the same moment, after this take
	// RetryAfter is how long to wait until the same take would be allowed if nothing else came; 0 where it
	// was. It is a whole number of milliseconds.
	RetryAfter time.Duration
	At         time.Time // what it was counted at, by the clock that decided
}

// Limiter counts what is taken of a key.
//
// Take counts cost, 0 or more, unless that is too much at this moment; a cost of 0 only looks. A key
// has a counter for each period; the limit may be another one each time.
type Limiter interface {
	Take(ctx context.Context, key string, cost int64, w Window) (Decision, error)
}

// Lease is held until its time is over or it is released.
type Lease struct {
	Key   string
	Owner string // a random text; who knows it may renew and release
	Fence int64  // larger than that of every earlier lease of the key
}

// Check refuses windows and costs that cannot be counted exactly.
func (w Window) Check(cost int64) error {
	switch {
	case w.Period < time.Millisecond || w.Period > Longest || w.Period%time.Millisecond != 0:
		return fmt.Errorf("%w period %v: not a number of milliseconds from 1 to 31 days", ErrInvalid, w.Period)
	case w.Limit < 1 || w.Limit > maxProduct/w.Period.Milliseconds():
		return fmt.Errorf("%w limit %d: not from 1 to %d, which is the most in %v",
			ErrInvalid, w.Limit, maxProduct/w.Period.Milliseconds(), w.Period)
	case cost < 0:
		return fmt.Errorf("%w cost %d: below 0", ErrInvalid, cost)
	case cost > w.Limit:
		return fmt.Errorf("%w (%d, %d)", ErrCost, cost, w.Limit)
	}
	return nil
}

// CheckTTL refuses a time to live that is no whole number of milliseconds from 1 to Longest.
func CheckTTL(ttl time.Duration) error {
	if ttl < time.Millisecond || ttl > Longest || ttl%time.Millisecond != 0 {
		return fmt.Errorf("%w time to live %v: not a number of milliseconds from 1 to 31 days", ErrInvalid, ttl)
	}
	return nil
}

// CheckValue refuses values longer than MaxValue.
func CheckValue(value []byte) error {
	if len(value) > MaxValue {
		return fmt.Errorf("%w value of %d bytes: longer than %d", ErrInvalid, len(value), MaxValue)
	}
	return nil
}

// Name is what is kept of a key: its length does not depend on the key, and nothing in it is what a stranger chose.
type Name struct {
	Space  string   // as it stands in the key
	Digest [32]byte // SHA-256 of the key, namespace included
}

// NameOf names a key. A key is a namespace, a colon, and any bytes: "signin:192.0.2.7". A namespace is 1 to 32 of the
// characters a to z, 0 to 9 and -, and is the program's, never a stranger's.
func NameOf(key string) (Name, error) {
	space, _, ok := strings.Cut(key, ":")
	if !ok || space == "" || len(space) > maxSpace || strings.Trim(space, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return Name{}, fmt.Errorf("%w key: it does not begin with a namespace and a colon", ErrInvalid)
	}
	// A copy, since the key may be a piece of something large.
	return Name{strings.Clone(space), sha256.Sum256([]byte(key))}, nil
}
