package cache

import (
	"context"
	"errors"
	"sync/atomic"
)

// Fallback asks a second limiter wherever the first is unavailable. It weakens limits, so that it is only used where an
// operator has said that people shall get in while Redis is gone: with the second in memory each of N servers
// counts for itself, which allows N times the limit, from zero; and what was allowed meanwhile is unknown to the
// first when it is back. Without it, a server refuses what it cannot count.
//
// There is none for one-time values and leases: two that do not know of each other would give a value twice.
type Fallback struct {
	first, second Limiter
	used          atomic.Int64
}

// NewFallback makes a limiter that asks first, and second where first cannot be reached.
func NewFallback(first, second Limiter) *Fallback { return &Fallback{first: first, second: second} }

// Take asks the first limiter. Only ErrUnavailable leads to the second; a refusal is final, and so is the end of ctx.
func (f *Fallback) Take(ctx context.Context, key string, cost int64, w Window) (Decision, error) {
	d, err := f.first.Take(ctx, key, cost, w)
	if !errors.Is(err, ErrUnavailable) {
		return d, err
	}
	f.used.Add(1)
	return f.second.Take(ctx, key, cost, w)
}

// Used is how many takes the second limiter was asked for.
func (f *Fallback) Used() int64 { return f.used.Load() }
