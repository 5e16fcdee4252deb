package memory

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/internal/cache"
	"stonevault/internal/cache/cachetest"
)

// clock is set by tests.
type clock struct{ at atomic.Int64 }

func (c *clock) Now() time.Time       { return time.UnixMicro(c.at.Load()) }
func (c *clock) Set(t time.Time)      { c.at.Store(t.UnixMicro()) }
func (c *clock) Pass(d time.Duration) { c.at.Add(d.Microseconds()) }

func TestConformance(t *testing.T) {
	cachetest.Run(t, func(*testing.T) cachetest.Kit {
		c := &clock{}
		o := Options{Now: c.Now}
		return cachetest.Kit{Limiter: NewLimiter(o), Store: NewStore(o), SetClock: c.Set, Pass: c.Pass}
	})
}

var start = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// TestFullLimiter: when all places are taken, keys that are there go on and new ones are refused, until one ends.
func TestFullLimiter(t *testing.T) {
	c := &clock{}
	c.Set(start)
	l := NewLimiter(Options{Now: c.Now, Keys: 3})
	take := func(key string, w cache.Window, allowed bool, want error) {
		t.Helper()
		d, err := l.Take(t.Context(), key, 1, w)
		if d.Allowed != allowed || !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: %+v, %v", key, d, err)
		}
	}
	second, hour := cache.Window{Limit: 2, Period: time.Second}, cache.Window{Limit: 2, Period: time.Hour}
	take("test:a", hour, true, nil)
	take("test:b", hour, true, nil)
	take("test:c", second, true, nil)
	take("test:d", second, false, cache.ErrFull)
	take("test:a", second, false, cache.ErrFull) // another period is another counter
	take("test:a", hour, true, nil)
	take("test:a", hour, false, nil)
	if d, err := l.Take(t.Context(), "test:d", 0, second); err != nil || d.Remaining != 2 {
		t.Errorf("looking takes no place: %+v, %v", d, err)
	}
	c.Pass(2*time.Second - time.Millisecond)
	take("test:d", second, false, cache.ErrFull)
	c.Pass(time.Millisecond) // c weighs nothing any more
	take("test:d", second, true, nil)
	take("test:c", second, false, cache.ErrFull)
}

func TestFullStore(t *testing.T) {
	c := &clock{}
	c.Set(start)
	s := NewStore(Options{Now: c.Now, Keys: 2})
	ctx := t.Context()
	for _, key := range []string{"test:a", "test:b"} {
		if err := s.Put(ctx, key, nil, time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Acquire(ctx, key, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(ctx, "test:c", nil, time.Minute); !errors.Is(err, cache.ErrFull) {
		t.Errorf("put: %v", err)
	}
	if _, err := s.Acquire(ctx, "test:c", time.Minute); !errors.Is(err, cache.ErrFull) {
		t.Errorf("acquire: %v", err)
	}
	if err := s.Put(ctx, "test:a", []byte("x"), time.Minute); err != nil {
		t.Errorf("put in place of another: %v", err)
	}
	if err := s.Delete(ctx, "test:a"); err != nil {
		t.Error(err)
	}
	if err := s.Put(ctx, "test:c", nil, time.Minute); err != nil {
		t.Errorf("put after one was deleted: %v", err)
	}
	c.Pass(time.Minute)
	if _, err := s.Acquire(ctx, "test:c", time.Minute); err != nil {
		t.Errorf("acquire after others ended: %v", err)
	}
}

// TestTable compares the table with a plain map.
func TestTable(t *testing.T) {
	const most = 20
	r := rand.New(rand.NewPCG(7, 7))
	table, model, now := newTable[int, int](most), map[int][2]int64{}, int64(0) // value, until
	full := 0
	for i := range 50_000 {
		now += r.Int64N(3)
		for k, v := range model {
			if v[1] <= now {
				delete(model, k)
			}
		}
		key := r.IntN(40)
		switch r.IntN(3) {
		case 0, 1:
			until := now + 1 + r.Int64N(60)
			_, there := model[key]
			err := table.set(key, i, now, until)
			if wantFull := !there && len(model) == most; wantFull != errors.Is(err, cache.ErrFull) {
				// An item that has ended and was not looked at since still has its place.
				t.Fatalf("%d: %v with %d items", i, err, len(model))
			}
			if err == nil {
				model[key] = [2]int64{int64(i), until}
			} else {
				full++
			}
		case 2:
			if found := table.get(key, now); found != nil {
				table.remove(found)
				if _, there := model[key]; !there {
					t.Fatalf("%d: %d is still there", i, key)
				}
				delete(model, key)
			}
		}
		found, want := table.get(key, now), model[key]
		if (found != nil) != (want[1] > 0) || found != nil && (int64(found.value) != want[0] || found.until != want[1]) {
			t.Fatalf("%d: %+v, want %v", i, found, want)
		}
		if len(table.items) > most || len(table.items) != len(table.ends) {
			t.Fatalf("%d: %d items, %d in the queue", i, len(table.items), len(table.ends))
		}
		for place, one := range table.ends {
			if one.place != place || place > 0 && table.ends[(place-1)/2].until > one.until {
				t.Fatalf("%d: the queue is not in order", i)
			}
		}
	}
	if full == 0 {
		t.Error("the table was never full")
	}
}

// TestSweep: a flood of keys that end at once leaves no more than those that are alive.
func TestSweep(t *testing.T) {
	c := &clock{}
	c.Set(start)
	l := NewLimiter(Options{Now: c.Now})
	w := cache.Window{Limit: 2, Period: 10 * time.Millisecond}
	for i := range 30_000 {
		if i%100 == 0 {
			c.Pass(time.Millisecond)
		}
		if _, err := l.Take(t.Context(), "test:"+strconv.Itoa(i), 1, w); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(l.windows.items); n > 2*20*100 { // two periods of a hundred a millisecond, twice
		t.Errorf("%d keys are kept", n)
	}
}

// TestMemory: what keys take, however long they are, is what the documentation says.
func TestMemory(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const keys = DefaultKeys / 8
	w := cache.Window{Limit: 2, Period: time.Hour}
	before := heap()
	l := NewLimiter(Options{Keys: keys})
	long := strings.Repeat("x", 1000)
	for i := range keys {
		if d, err := l.Take(t.Context(), fmt.Sprint("test:", i, long), 1, w); err != nil || !d.Allowed {
			t.Fatal(d, err)
		}
	}
	if _, err := l.Take(t.Context(), "test:one more", 1, w); !errors.Is(err, cache.ErrFull) {
		t.Errorf("one more: %v", err)
	}
	used := heap() - before
	t.Logf("a key takes %d bytes", used/keys)
	if used > 60_000_000/8 {
		t.Errorf("%d keys take %d bytes", keys, used)
	}
	runtime.KeepAlive(l)
}

func BenchmarkTake(b *testing.B) {
	l := NewLimiter(Options{})
	w := cache.Window{Limit: 1 << 30, Period: time.Minute}
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if d, err := l.Take(b.Context(), "test:"+strconv.Itoa(i%1000), 1, w); err != nil || !d.Allowed {
				b.Errorf("%+v, %v", d, err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "takes/s")
}
