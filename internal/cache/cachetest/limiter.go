package cachetest

import (
	"context"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/internal/cache"
)

const ms = time.Millisecond

// testWindow has numbers that were worked out by hand, for a limit of 10 in a second.
func testWindow(t *testing.T, k Kit) {
	w := cache.Window{Limit: 10, Period: time.Second}
	for i, c := range []struct {
		at, cost  int64 // at in milliseconds
		allowed   bool
		remaining int64
		retry     time.Duration
	}{
		{0, 0, true, 10, 0},
		{0, 4, true, 6, 0},
		{100, 7, false, 6, 1150 * ms},   // 4 × (1 − e) + 7 ≤ 10 from e = 0.25 of the next window on
		{999, 6, true, 0, 0},            // full
		{999, 0, true, 0, 0},            // looking is no take
		{999, 1, false, 0, 101 * ms},    // 10 × (1 − e) + 1 ≤ 10 from e = 0.1 on
		{1000, 1, false, 0, 100 * ms},   // all of the previous window counts
		{1099, 1, false, 0, 1 * ms},     // 9.01 + 1
		{1100, 1, true, 0, 0},           // 9 + 1
		{1500, 5, false, 4, 100 * ms},   // 5 + 1 + 5
		{1600, 5, true, 0, 0},           // 4 + 1 + 5
		{1600, 10, false, 0, 1400 * ms}, // only when nothing of the 6 weighs anything
		{3000, 10, true, 0, 0},
		{60_000, 1, true, 9, 0}, // long after
	} {
		k.SetClock(start.Add(time.Duration(c.at) * ms))
		got := take(t, k, "test:a", c.cost, w)
		if want := (cache.Decision{Allowed: c.allowed, Remaining: c.remaining, RetryAfter: c.retry, At: start.Add(time.Duration(c.at) * ms)}); got != want {
			t.Errorf("take %d, %d at %d ms:\ngot  %+v\nwant %+v", i, c.cost, c.at, got, want)
		}
	}
}

// model is the formula as it is written, in fractions, from a list of everything that was taken.
type model struct {
	period, limit int64
	taken         map[int64]int64 // by aligned window
}

// count is previous × (1 − e/P) + current at a moment.
func (m model) count(at int64) *big.Rat {
	index := at / m.period
	share := new(big.Rat).Sub(big.NewRat(1, 1), big.NewRat(at-index*m.period, m.period))
	return share.Mul(share, big.NewRat(m.taken[index-1], 1)).Add(share, big.NewRat(m.taken[index], 1))
}

func (m model) allows(at, cost int64) bool {
	sum := m.count(at)
	return sum.Add(sum, big.NewRat(cost, 1)).Cmp(big.NewRat(m.limit, 1)) <= 0
}

func (m model) take(at, cost int64) cache.Decision {
	d := cache.Decision{Allowed: m.allows(at, cost), At: time.UnixMilli(at).UTC()}
	if d.Allowed {
		m.taken[at/m.period] += cost
	} else {
		later := at
		for !m.allows(later, cost) {
			later++
		}
		d.RetryAfter = time.Duration(later-at) * ms
	}
	for m.allows(at, d.Remaining+1) {
		d.Remaining++
	}
	return d
}

func testFormula(t *testing.T, k Kit) {
	r := random(1)
	var allowed, refused int
	for round := range 40 {
		m := model{period: 1 + r.Int64N(40), limit: 1 + r.Int64N(30), taken: map[int64]int64{}}
		w, key := cache.Window{Limit: m.limit, Period: time.Duration(m.period) * ms}, fmt.Sprint("test:", round)
		at := start.UnixMilli()
		for range 40 {
			at += r.Int64N(1 + m.period/3)
			if r.IntN(20) == 0 {
				at += r.Int64N(3 * m.period)
			}
			cost := r.Int64N(1 + min(m.limit, 1+m.limit/2))
			k.SetClock(time.UnixMilli(at))
			got, want := take(t, k, key, cost, w), m.take(at, cost)
			if got != want {
				t.Fatalf("%v, %d at %d:\ngot  %+v\nwant %+v", w, cost, at, got, want)
			}
			if got.Allowed {
				allowed++
			} else {
				refused++
			}
		}
	}
	if allowed < 200 || refused < 200 {
		t.Errorf("%d takes were allowed and %d refused: too few of one kind", allowed, refused)
	}
}

// AnyWindow has a period of a millisecond to 31 days, and a limit up to the largest that it may have.
func AnyWindow(r *rand.Rand) cache.Window {
	period := 1 + r.Int64N(min(1<<r.IntN(33), cache.Longest.Milliseconds()))
	most := int64(1<<51) / period
	limit := 1 + r.Int64N(1<<r.IntN(51))
	return cache.Window{Limit: min(limit, most), Period: time.Duration(period) * ms}
}

// testRetryAfter: what is refused is refused one millisecond before the time that was said, and allowed at that time.
func testRetryAfter(t *testing.T, k Kit) {
	r := random(2)
	tested := 0
	for round := 0; tested < 300; round++ {
		w, key := AnyWindow(r), fmt.Sprint("test:", round)
		now := start
		k.SetClock(now)
		for range 6 {
			cost := 1 + r.Int64N(w.Limit)
			d := take(t, k, key, cost, w)
			if !d.Allowed {
				tested++
				if d.RetryAfter <= 0 || d.RetryAfter%ms != 0 {
					t.Fatalf("%v: retry after %v", w, d.RetryAfter)
				}
				k.SetClock(now.Add(d.RetryAfter - ms))
				if before := take(t, k, key, cost, w); before.Allowed || before.RetryAfter != ms {
					t.Fatalf("%v, %d at %v: retry after %v, and a millisecond before %+v", w, cost, now, d.RetryAfter, before)
				}
				now = now.Add(d.RetryAfter)
				k.SetClock(now)
				if then := take(t, k, key, cost, w); !then.Allowed {
					t.Fatalf("%v, %d: retry after %v, and then %+v", w, cost, d.RetryAfter, then)
				}
			}
			now = now.Add(time.Duration(r.Int64N(w.Period.Milliseconds()+1)) * ms / 2).Truncate(ms)
			k.SetClock(now)
		}
	}
}

// Taken is an allowed take.
type Taken struct{ At, Cost int64 } // At in milliseconds

// CheckWindows looks at all windows of the period that all may have touched: aligned ones have at most the
// limit, and those that begin e later at most limit × (1 + (e−1)/period). It returns the fullest of the others.
func CheckWindows(t testing.TB, w cache.Window, all []Taken) (fullest int64) {
	t.Helper()
	period := w.Period.Milliseconds()
	byTime, first, last := map[int64]int64{}, int64(1<<62), int64(0)
	for _, a := range all {
		byTime[a.At] += a.Cost
		first, last = min(first, a.At), max(last, a.At)
	}
	var sum int64
	for begin := first - period; begin <= last; begin++ {
		// of [begin, begin + period)
		sum += byTime[begin+period-1] - byTime[begin-1]
		e := begin % period
		switch {
		case e == 0 && sum > w.Limit:
			t.Errorf("%v: %d were taken in the aligned window at %d", w, sum, begin)
		case e > 0 && (sum-w.Limit)*period > w.Limit*(e-1), sum >= 2*w.Limit:
			t.Errorf("%v: %d were taken in the window at %d, %d after an aligned one", w, sum, begin, e)
		}
		if e != 0 {
			fullest = max(fullest, sum)
		}
	}
	return fullest
}

// testEveryWindow takes as much as it gets, all at the worst times, which reaches nearly twice the limit.
func testEveryWindow(t *testing.T, k Kit) {
	r := random(3)
	w := cache.Window{Limit: 50, Period: 40 * ms}
	var random, worst []Taken
	for at := start.UnixMilli(); at < start.UnixMilli()+800; at++ {
		k.SetClock(time.UnixMilli(at))
		if r.IntN(3) > 0 {
			if cost := 1 + r.Int64N(10); take(t, k, "test:random", cost, w).Allowed {
				random = append(random, Taken{at, cost})
			}
		}
		if at%80 >= 39 { // the last moment of one window, and all of the next
			for take(t, k, "test:worst", 1, w).Allowed {
				worst = append(worst, Taken{at, 1})
			}
		}
	}
	CheckWindows(t, w, random)
	if got := CheckWindows(t, w, worst); got != 97 { // 50 × (1 + 38/40), rounded down
		t.Errorf("the fullest window has %d, want 97", got)
	}
}

func testChangedLimit(t *testing.T, k Kit) {
	large, small := cache.Window{Limit: 100, Period: time.Second}, cache.Window{Limit: 10, Period: time.Second}
	if d := take(t, k, "test:a", 80, large); !d.Allowed || d.Remaining != 20 {
		t.Errorf("%+v", d)
	}
	d := take(t, k, "test:a", 0, small)
	// 80 × (1 − e) ≤ 10 from e = 0.875 of the next window on.
	if d.Allowed || d.Remaining != 0 || d.RetryAfter != 1875*ms {
		t.Errorf("a smaller limit: %+v", d)
	}
	if d := take(t, k, "test:a", 20, large); !d.Allowed || d.Remaining != 0 {
		t.Errorf("the larger one again: %+v", d)
	}
	// Both counters above the limit: only what follows them decides.
	k.SetClock(start.Add(time.Second))
	if d := take(t, k, "test:a", 10, small); d.Allowed || d.RetryAfter != time.Second {
		t.Errorf("after a full window: %+v", d)
	}
}

func testStepBack(t *testing.T, k Kit) {
	w := cache.Window{Limit: 10, Period: time.Second}
	take(t, k, "test:a", 8, w)
	k.SetClock(start.Add(-300 * ms))
	// Counted at the beginning of the window it has seen; 2 are free there. 8 × (1 − e) + 3 ≤ 10 in the one after.
	if d := take(t, k, "test:a", 3, w); d.Allowed || d.Remaining != 2 || !d.At.Equal(start) || d.RetryAfter != 1425*ms {
		t.Errorf("a window back: %+v", d)
	}
	if d := take(t, k, "test:a", 2, w); !d.Allowed || !d.At.Equal(start) {
		t.Errorf("what is free there: %+v", d)
	}
	k.SetClock(start)
	if d := take(t, k, "test:a", 1, w); d.Allowed {
		t.Errorf("the clock is right again: %+v", d)
	}
	k.SetClock(start.Add(-time.Minute))
	if d := take(t, k, "test:a", 10, w); !d.Allowed {
		t.Errorf("a minute back, which begins anew: %+v", d)
	}
}

func testKeysApart(t *testing.T, k Kit) {
	second, minute := cache.Window{Limit: 1, Period: time.Second}, cache.Window{Limit: 1, Period: time.Minute}
	for _, c := range []struct {
		key string
		w   cache.Window
	}{{"test:a", second}, {"test:b", second}, {"test:", second}, {"test2:a", second}, {"test:a", minute}, {"test:A", second}} {
		if d := take(t, k, c.key, 1, c.w); !d.Allowed {
			t.Errorf("the first of %q in %v: %+v", c.key, c.w.Period, d)
		}
		if d := take(t, k, c.key, 1, c.w); d.Allowed {
			t.Errorf("the second of %q in %v: %+v", c.key, c.w.Period, d)
		}
	}
}

var hostile = []string{
	"test:", "test::", "test:{a}", "test:{b}", "test:}{", "test:a b\r\nFLUSHALL\r\n", "test:\x00", "test:\xff\xfe", "test:' .. x .. '",
	"test:" + strings.Repeat("a", 1<<20), "test:" + strings.Repeat("a", 1<<20+1),
}

func testHostileKeys(t *testing.T, k Kit) {
	w := cache.Window{Limit: 1, Period: time.Hour}
	for i, key := range hostile {
		if a, b := take(t, k, key, 1, w), take(t, k, key, 1, w); !a.Allowed || b.Allowed {
			t.Errorf("takes of hostile key %d: %+v, %+v", i, a, b)
		}
		want(t, k.Store.Put(t.Context(), key, []byte{byte(i)}, time.Hour), nil, "put")
		if _, err := k.Store.Acquire(t.Context(), key, time.Hour); err != nil {
			t.Errorf("acquire hostile key %d: %v", i, err)
		}
	}
	for i, key := range hostile {
		if got, err := k.Store.Take(t.Context(), key); err != nil || len(got) != 1 || got[0] != byte(i) {
			t.Errorf("the value of hostile key %d: %v, %v", i, got, err)
		}
	}
}

// badKeys have no namespace.
var badKeys = []string{"", "a", ":", ":a", "Test:a", "te st:a", "tést:a", "{test}:a", strings.Repeat("a", 33) + ":a"}

func testBadTakes(t *testing.T, k Kit) {
	good := cache.Window{Limit: 5, Period: time.Second}
	try := func(key string, cost int64, w cache.Window, expected error) {
		t.Helper()
		d, err := k.Limiter.Take(t.Context(), key, cost, w)
		want(t, err, expected, fmt.Sprintf("take %d of %v from %q", cost, w, key))
		if d != (cache.Decision{}) {
			t.Errorf("a decision beside an error: %+v", d)
		}
	}
	for _, key := range badKeys {
		try(key, 1, good, cache.ErrInvalid)
	}
	try("test:a", -1, good, cache.ErrInvalid)
	try("test:a", 6, good, cache.ErrCost)
	for _, w := range []cache.Window{
		{}, {Limit: 1}, {Period: time.Second}, {Limit: -1, Period: time.Second}, {Limit: 1, Period: -time.Second},
		{Limit: 1, Period: time.Millisecond / 2}, {Limit: 1, Period: time.Second + 1}, {Limit: 1, Period: cache.Longest + ms},
		{Limit: 1<<51 + 1, Period: ms}, {Limit: 1 << 62, Period: time.Hour},
	} {
		try("test:a", 0, w, cache.ErrInvalid)
	}
	for _, w := range []cache.Window{{Limit: 1 << 51, Period: ms}, {Limit: 1 << 19, Period: cache.Longest}} {
		if d := take(t, k, "test:large", w.Limit, w); !d.Allowed || d.Remaining != 0 {
			t.Errorf("all of %v: %+v", w, d)
		}
		if d := take(t, k, "test:large", w.Limit, w); d.Allowed {
			t.Errorf("all of %v, twice: %+v", w, d)
		}
	}
	if d := take(t, k, "test:a", 0, good); d.Remaining != 5 {
		t.Errorf("bad takes were counted: %+v", d)
	}
}

func testContexts(t *testing.T, k Kit) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := cache.Window{Limit: 1, Period: time.Hour}
	_, err := k.Limiter.Take(ctx, "test:a", 1, w)
	want(t, err, context.Canceled, "take")
	want(t, k.Store.Put(ctx, "test:a", nil, time.Hour), context.Canceled, "put")
	_, err = k.Store.Get(ctx, "test:a")
	want(t, err, context.Canceled, "get")
	_, err = k.Store.Take(ctx, "test:a")
	want(t, err, context.Canceled, "take a value")
	want(t, k.Store.Delete(ctx, "test:a"), context.Canceled, "delete")
	_, err = k.Store.Acquire(ctx, "test:a", time.Hour)
	want(t, err, context.Canceled, "acquire")
	want(t, k.Store.Renew(ctx, cache.Lease{Key: "test:a"}, time.Hour), context.Canceled, "renew")
	want(t, k.Store.Release(ctx, cache.Lease{Key: "test:a"}), context.Canceled, "release")
	if d := take(t, k, "test:a", 1, w); !d.Allowed {
		t.Errorf("a take whose context had ended was counted: %+v", d)
	}
}

func testConcurrentTakes(t *testing.T, k Kit) {
	w := cache.Window{Limit: 100, Period: time.Hour}
	var mu sync.Mutex
	var allowed int
	remaining := map[int64]int{}
	var workers sync.WaitGroup
	for range 50 {
		workers.Go(func() {
			for range 10 {
				d, err := k.Limiter.Take(t.Context(), "test:a", 1, w)
				mu.Lock()
				if err != nil {
					t.Error(err)
				} else if d.Allowed {
					allowed++
					remaining[d.Remaining]++
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	if allowed != 100 || len(remaining) != 100 {
		t.Errorf("%d of 500 takes were allowed, which saw %d states; want 100", allowed, len(remaining))
	}
}
