// Package memory keeps rate windows and short-lived state in the memory of one server, each behind one mutex.
//
// Invariants: it decides as internal/cache/redis does, bit for bit; it never keeps more keys than it was told. When as
// many are there, it drops those that have ended, and refuses new ones with cache.ErrFull if none has: to forget a
// counter that is alive would give whoever can make many keys a new limit. Keys that are there go on. So
// callers put strangers together by network, which bounds how many keys one of them can make.
//
// It outlives nothing, and two servers that use it don't know of each other.
package memory

import (
	"context"
	"sync"
	"time"

	"stonevault/internal/cache"
)

const (
	// DefaultKeys is how many keys a limiter keeps unless it is told. They take some 60 MB.
	DefaultKeys = 1 << 18
	// DefaultValues is how many values a store keeps unless it is told, and how many leases.
	DefaultValues = 1 << 16
)

// Options make a limiter or a store.
type Options struct {
	Now  func() time.Time // time.Now where it is nil; read in milliseconds
	Keys int              // the most that are kept; the default where it is 0
}

func (o Options) filled(keys int) Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Keys == 0 {
		o.Keys = keys
	}
	return o
}

// Limiter is a cache.Limiter. It may be used by many goroutines.
type Limiter struct {
	now func() time.Time

	mu      sync.Mutex
	windows *table[windowKey, counters] // under mu
}

type windowKey struct {
	digest [32]byte
	period int64
}

// NewLimiter makes a limiter that has counted nothing.
func NewLimiter(o Options) *Limiter {
	o = o.filled(DefaultKeys)
	return &Limiter{now: o.Now, windows: newTable[windowKey, counters](o.Keys)}
}

// Take decides and counts.
func (l *Limiter) Take(ctx context.Context, key string, cost int64, w cache.Window) (cache.Decision, error) {
	if err := ctx.Err(); err != nil {
		return cache.Decision{}, err
	}
	if err := w.Check(cost); err != nil {
		return cache.Decision{}, err
	}
	name, err := cache.NameOf(key)
	if err != nil {
		return cache.Decision{}, err
	}
	k := windowKey{name.Digest, w.Period.Milliseconds()}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now().UnixMilli() // under mu, so that takes are counted in the order of their times
	var c counters
	if kept := l.windows.get(k, now); kept != nil {
		c = kept.value
	}
	c, at := c.at(now, k.period)
	d := c.decide(now, at, cost, w.Limit, k.period)
	if d.Allowed && cost > 0 {
		c.current += cost
		if err := l.windows.set(k, c, now, (c.index+2)*k.period); err != nil {
			return cache.Decision{}, err
		}
	}
	return d, nil
}

// counters are those of an aligned window and of the one before it.
type counters struct {
	index             int64 // of the window since 1970
	previous, current int64
}

// at moves counters to the window that now lies in, and returns the moment that they count from there.
func (c counters) at(now, period int64) (counters, int64) {
	switch index := now / period; c.index - index {
	case 1: // the clock stepped back
		return c, c.index * period
	case 0:
		return c, now
	case -1:
		return counters{index, c.current, 0}, now
	default:
		return counters{index, 0, 0}, now
	}
}

// decide is the formula of package cache. The Lua of internal/cache/redis is its twin: a change here is one there.
func (c counters) decide(now, at, cost, limit, period int64) cache.Decision {
	elapsed := at - c.index*period
	room := limit*period - c.previous*(period-elapsed) - c.current*period
	d := cache.Decision{At: time.UnixMilli(at).UTC()}
	if cost*period <= room {
		d.Allowed, d.Remaining = true, (room-cost*period)/period
		return d
	}
	d.Remaining = max(room, 0) / period
	d.RetryAfter = time.Duration(at-now+c.wait(elapsed, cost, limit, period)) * time.Millisecond
	return d
}

// wait returns how many milliseconds after elapsed a take that is refused would be allowed. The previous
// window's share only falls, and current stays until it is the previous one itself.
func (c counters) wait(elapsed, cost, limit, period int64) int64 {
	if free := limit - cost - c.current; free > 0 && c.previous > 0 {
		// The smallest e with previous × (P − e) ≤ free × P; where it is not below P, the next window decides.
		if left := free * period / c.previous; left > 0 {
			return period - left - elapsed
		}
	}
	next := period - elapsed
	if c.current > 0 {
		next += max(0, period-(limit-cost)*period/c.current)
	}
	return next
}
