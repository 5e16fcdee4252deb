package cachetest

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"time"

	"stonevault/internal/cache"
)

func testValues(t *testing.T, k Kit) {
	ctx, s := t.Context(), k.Store
	is := func(key, expected string) {
		t.Helper()
		if got, err := s.Get(ctx, key); err != nil || string(got) != expected {
			t.Errorf("%s: got %q, %v; want %q", key, got, err, expected)
		}
	}
	none := func(key string) {
		t.Helper()
		_, err := s.Get(ctx, key)
		want(t, err, cache.ErrNotFound, "get "+key)
		_, err = s.Take(ctx, key)
		want(t, err, cache.ErrNotFound, "take "+key)
	}
	none("test:a")
	want(t, s.Delete(ctx, "test:a"), nil, "delete what is not there")

	value := []byte("one\x00\r\n\xff")
	want(t, s.Put(ctx, "test:a", value, time.Hour), nil, "put")
	want(t, s.Put(ctx, "test2:a", []byte("other"), time.Hour), nil, "put in another namespace")
	value[0] = 'X' // the caller's own
	is("test:a", "one\x00\r\n\xff")
	got, _ := s.Get(ctx, "test:a")
	got[0] = 'X'
	is("test:a", "one\x00\r\n\xff")
	want(t, s.Put(ctx, "test:a", []byte("two"), time.Hour), nil, "put again")
	is("test:a", "two")
	if got, err := s.Take(ctx, "test:a"); err != nil || string(got) != "two" {
		t.Errorf("take: %q, %v", got, err)
	}
	none("test:a")
	is("test2:a", "other")
	want(t, s.Delete(ctx, "test2:a"), nil, "delete")
	none("test2:a")

	want(t, s.Put(ctx, "test:empty", nil, time.Hour), nil, "put nothing")
	is("test:empty", "")
	large := bytes.Repeat([]byte{0xa5}, cache.MaxValue)
	want(t, s.Put(ctx, "test:large", large, time.Hour), nil, "put the longest")
	is("test:large", string(large))
}

func testValuesEnd(t *testing.T, k Kit) {
	ctx, s := t.Context(), k.Store
	const short = 100 * ms
	want(t, s.Put(ctx, "test:long", []byte("x"), time.Hour), nil, "put")
	want(t, s.Put(ctx, "test:longer", []byte("x"), short), nil, "put")
	want(t, s.Put(ctx, "test:longer", []byte("x"), time.Hour), nil, "put again, for longer")
	want(t, s.Put(ctx, "test:shorter", []byte("x"), time.Hour), nil, "put")
	want(t, s.Put(ctx, "test:shorter", []byte("x"), short), nil, "put again, for less")
	want(t, s.Put(ctx, "test:short", []byte("x"), short), nil, "put")
	k.Pass(short)
	for key, expected := range map[string]error{
		"test:long": nil, "test:longer": nil, "test:shorter": cache.ErrNotFound, "test:short": cache.ErrNotFound,
	} {
		_, err := s.Get(ctx, key)
		want(t, err, expected, "get "+key)
	}
	_, err := s.Take(ctx, "test:short")
	want(t, err, cache.ErrNotFound, "take what has ended")
}

func testBadValues(t *testing.T, k Kit) {
	ctx, s := t.Context(), k.Store
	for _, key := range badKeys {
		want(t, s.Put(ctx, key, nil, time.Hour), cache.ErrInvalid, "put")
		_, err := s.Get(ctx, key)
		want(t, err, cache.ErrInvalid, "get")
		_, err = s.Take(ctx, key)
		want(t, err, cache.ErrInvalid, "take")
		want(t, s.Delete(ctx, key), cache.ErrInvalid, "delete")
		_, err = s.Acquire(ctx, key, time.Hour)
		want(t, err, cache.ErrInvalid, "acquire")
		want(t, s.Renew(ctx, cache.Lease{Key: key}, time.Hour), cache.ErrInvalid, "renew")
		want(t, s.Release(ctx, cache.Lease{Key: key}), cache.ErrInvalid, "release")
	}
	want(t, s.Put(ctx, "test:a", make([]byte, cache.MaxValue+1), time.Hour), cache.ErrInvalid, "too long")
	for _, ttl := range []time.Duration{-time.Second, 0, ms / 2, time.Second + 1, cache.Longest + ms} {
		want(t, s.Put(ctx, "test:a", nil, ttl), cache.ErrInvalid, "put for "+ttl.String())
		_, err := s.Acquire(ctx, "test:a", ttl)
		want(t, err, cache.ErrInvalid, "acquire for "+ttl.String())
		want(t, s.Renew(ctx, cache.Lease{Key: "test:a"}, ttl), cache.ErrInvalid, "renew for "+ttl.String())
	}
	want(t, s.Put(ctx, "test:a", nil, cache.Longest), nil, "put for the longest")
	_, err := s.Acquire(ctx, "test:a", cache.Longest)
	want(t, err, nil, "acquire for the longest")
}

// race runs n at once and returns what did not fail; others have to fail with expected.
func race[T any](t *testing.T, n int, expected error, fn func() (T, error)) (won []T) {
	t.Helper()
	var mu sync.Mutex
	var racers sync.WaitGroup
	begin := make(chan struct{})
	for range n {
		racers.Go(func() {
			<-begin
			got, err := fn()
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, got)
			} else if !errors.Is(err, expected) {
				t.Errorf("a racer: %v", err)
			}
		})
	}
	close(begin)
	racers.Wait()
	return won
}

func testTakeRace(t *testing.T, k Kit) {
	for range 10 {
		want(t, k.Store.Put(t.Context(), "test:a", []byte("x"), time.Hour), nil, "put")
		won := race(t, 100, cache.ErrNotFound, func() ([]byte, error) { return k.Store.Take(t.Context(), "test:a") })
		if len(won) != 1 || string(won[0]) != "x" {
			t.Fatalf("%d of 100 racers took the value, %q", len(won), won)
		}
	}
}

func acquire(t *testing.T, k Kit, key string, ttl time.Duration) cache.Lease {
	t.Helper()
	l, err := k.Store.Acquire(t.Context(), key, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func testLeases(t *testing.T, k Kit) {
	ctx, s := t.Context(), k.Store
	a := acquire(t, k, "test:a", time.Hour)
	if a.Key != "test:a" || len(a.Owner) < 26 || a.Fence <= 0 {
		t.Errorf("%+v", a)
	}
	_, err := s.Acquire(ctx, "test:a", time.Hour)
	want(t, err, cache.ErrHeld, "acquire what is held")
	if b := acquire(t, k, "test:b", time.Hour); b.Owner == a.Owner {
		t.Errorf("two leases with one owner: %+v, %+v", a, b)
	}
	want(t, s.Renew(ctx, a, time.Hour), nil, "renew")

	// The fencing token is no right, and neither is the key.
	for _, other := range []cache.Lease{
		{Key: "test:a", Fence: a.Fence}, {Key: "test:a", Owner: "x", Fence: a.Fence}, {Key: "test:b", Owner: a.Owner}, {Key: "test:none", Owner: a.Owner},
	} {
		want(t, s.Renew(ctx, other, time.Hour), cache.ErrLost, "somebody else renews")
		want(t, s.Release(ctx, other), cache.ErrLost, "somebody else releases")
	}
	// A value under the same key is another matter.
	want(t, s.Delete(ctx, "test:a"), nil, "delete the value")
	_, err = s.Acquire(ctx, "test:a", time.Hour)
	want(t, err, cache.ErrHeld, "acquire after others tried")

	want(t, s.Release(ctx, a), nil, "release")
	want(t, s.Release(ctx, a), cache.ErrLost, "release again")
	want(t, s.Renew(ctx, a, time.Hour), cache.ErrLost, "renew what was released")
	if next := acquire(t, k, "test:a", time.Hour); next.Fence <= a.Fence || next.Owner == a.Owner {
		t.Errorf("after %+v came %+v", a, next)
	}
}

func testLeasesEnd(t *testing.T, k Kit) {
	ctx, s := t.Context(), k.Store
	a := acquire(t, k, "test:a", time.Second)
	k.SetClock(start.Add(time.Second - ms))
	_, err := s.Acquire(ctx, "test:a", time.Second)
	want(t, err, cache.ErrHeld, "acquire at the last moment")
	want(t, s.Renew(ctx, a, time.Second), nil, "renew at the last moment")
	k.SetClock(start.Add(2*time.Second - 2*ms))
	_, err = s.Acquire(ctx, "test:a", time.Second)
	want(t, err, cache.ErrHeld, "acquire what was renewed")
	k.SetClock(start.Add(2*time.Second - ms))
	want(t, s.Renew(ctx, a, time.Second), cache.ErrLost, "renew what has ended")
	want(t, s.Release(ctx, a), cache.ErrLost, "release what has ended")
	b := acquire(t, k, "test:a", time.Second)
	want(t, s.Renew(ctx, a, time.Second), cache.ErrLost, "renew what somebody else has")
	want(t, s.Release(ctx, a), cache.ErrLost, "release what somebody else has")
	want(t, s.Renew(ctx, b, time.Second), nil, "renew after the former owner tried to release")
}

// Fenced is a thing that leases protect: it refuses who comes with a smaller token than it has seen.
type Fenced struct {
	seen    int64
	written string
}

// Write tells whether it was taken.
func (f *Fenced) Write(l cache.Lease, what string) bool {
	if l.Fence < f.seen {
		return false
	}
	f.seen, f.written = l.Fence, what
	return true
}

// testFencing: a holder that has slept through the end of its lease cannot overwrite what the next one wrote.
func testFencing(t *testing.T, k Kit) {
	var thing Fenced
	slow := acquire(t, k, "test:a", time.Second)
	if !thing.Write(slow, "slow 1") {
		t.Error("the holder may not write")
	}
	k.SetClock(start.Add(time.Second))
	next := acquire(t, k, "test:a", time.Second)
	if !thing.Write(next, "next") || thing.Write(slow, "slow 2") || thing.written != "next" {
		t.Errorf("after %+v and %+v: %+v", slow, next, thing)
	}
	// The token grows however fast leases follow each other, and whatever the clock does.
	last := next
	want(t, k.Store.Release(t.Context(), last), nil, "release")
	for i := range 50 {
		if i == 20 {
			k.SetClock(start.Add(-time.Minute))
		}
		l := acquire(t, k, "test:a", time.Second)
		if l.Fence <= last.Fence {
			t.Fatalf("lease %d: %d after %d", i, l.Fence, last.Fence)
		}
		want(t, k.Store.Release(t.Context(), l), nil, "release")
		last = l
	}
}

func testLeaseRace(t *testing.T, k Kit) {
	var last int64
	for range 10 {
		won := race(t, 100, cache.ErrHeld, func() (cache.Lease, error) { return k.Store.Acquire(t.Context(), "test:a", time.Hour) })
		if len(won) != 1 || won[0].Fence <= last {
			t.Fatalf("%d of 100 racers hold the lease after token %d: %+v", len(won), last, won)
		}
		last = won[0].Fence
		if n := len(race(t, 20, cache.ErrLost, func() (struct{}, error) { return struct{}{}, k.Store.Release(t.Context(), won[0]) })); n != 1 {
			t.Fatalf("%d releases of one lease", n)
		}
	}
}
