// Package cachetest is the conformance suite of what keeps rate windows and short-lived state. It tests what
// package cache promises, on a clock that the tests set, and nothing of how an implementation keeps it.
package cachetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"stonevault/internal/cache"
)

// Store is the side of one-time values and leases.
type Store interface {
	Put(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Get(ctx context.Context, key string) ([]byte, error)
	Take(ctx context.Context, key string) ([]byte, error)
	Delete(ctx context.Context, key string) error
	Acquire(ctx context.Context, key string, ttl time.Duration) (cache.Lease, error)
	Renew(ctx context.Context, l cache.Lease, ttl time.Duration) error
	Release(ctx context.Context, l cache.Lease) error
}

// Kit is an implementation, empty.
type Kit struct {
	Limiter cache.Limiter
	Store   Store
	// SetClock sets the time of takes and leases.
	SetClock func(time.Time)
	// Pass lets time go by for values too, which an implementation may keep by a clock that cannot be set.
	Pass func(time.Duration)
}

// Run runs every test, each on a kit of its own from open.
func Run(t *testing.T, open func(t *testing.T) Kit) {
	tests := []struct {
		name string
		run  func(*testing.T, Kit)
	}{
		{"a window", testWindow},
		{"the formula", testFormula},
		{"retry after", testRetryAfter},
		{"every window", testEveryWindow},
		{"limits that change", testChangedLimit},
		{"a clock that steps back", testStepBack},
		{"keys apart", testKeysApart},
		{"hostile keys", testHostileKeys},
		{"bad takes", testBadTakes},
		{"ended contexts", testContexts},
		{"concurrent takes", testConcurrentTakes},
		{"values", testValues},
		{"values end", testValuesEnd},
		{"bad values", testBadValues},
		{"one of many takes a value", testTakeRace},
		{"leases", testLeases},
		{"leases end", testLeasesEnd},
		{"fencing", testFencing},
		{"one of many acquires a lease", testLeaseRace},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := open(t)
			k.SetClock(start)
			tt.run(t, k)
		})
	}
}

// start is where windows of a second, a minute and an hour begin.
var start = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// random is the same in each run.
func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 5)) }

func want(t *testing.T, err, want error, what string) {
	t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func take(t *testing.T, k Kit, key string, cost int64, w cache.Window) cache.Decision {
	t.Helper()
	d, err := k.Limiter.Take(t.Context(), key, cost, w)
	if err != nil {
		t.Fatalf("take %d of %v from %q: %v", cost, w, key, err)
	}
	return d
}
