package redis

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"stonevault/internal/cache"
	"stonevault/internal/cache/cachetest"
	"stonevault/internal/cache/memory"
	"stonevault/internal/cache/redistest"
)

// setTime begins scripts that are run on a clock of the test's, which is a key: nothing outside of tests can set
// the time. What is stored lasts, however fast that clock goes.
const setTime = `
local micros = tonumber(redis.call('GET', 'clock'))
local now = (micros - math.fmod(micros, 1000)) / 1000
local slack = 86400000
`

func TestMain(m *testing.M) {
	if os.Getenv(workerVariable) != "" {
		work()
		return
	}
	os.Exit(m.Run())
}

func open(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// onClock opens a client whose time is set by the function that it returns.
func onClock(t testing.TB, address string) (*Client, func(time.Time)) {
	t.Helper()
	c := open(t, Options{Address: address, Timeout: 10 * time.Second})
	c.scripts = newScripts(setTime)
	return c, func(now time.Time) {
		t.Helper()
		if err := c.redis.Set(t.Context(), "clock", now.UnixMicro(), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConformance(t *testing.T) {
	s := redistest.Start(t)
	cachetest.Run(t, func(t *testing.T) cachetest.Kit {
		s.Command(t, "FLUSHALL")
		c, set := onClock(t, s.Address())
		// Values are kept by Redis's own clock, which only waiting moves.
		return cachetest.Kit{Limiter: c.Limiter(), Store: c.Store(), SetClock: set,
			Pass: func(d time.Duration) { time.Sleep(d + 20*time.Millisecond) }}
	})
}

// TestSameDecisions: memory and Redis decide alike on a random trace of 10,000 takes, whose times are often those at
// which something changes: the ends of windows, and the moment that a refusal named, or the one before it.
func TestSameDecisions(t *testing.T) {
	c, set := onClock(t, redistest.Start(t).Address())
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	now := time.UnixMilli(1_795_000_000_000 + r.Int64N(1e9))
	ours, theirs := memory.NewLimiter(memory.Options{Now: func() time.Time { return now }}), c.Limiter()
	var allowed, refused, later int
	for round := range 100 {
		w := cachetest.AnyWindow(r)
		period := w.Period.Milliseconds()
		var refusal struct {
			key  string
			cost int64
			at   time.Time // when it would be allowed
		}
		for i := range 100 {
			key, cost := fmt.Sprintf("test:%d %d", round, r.IntN(2)), 1+r.Int64N(w.Limit>>r.IntN(4)+1)
			cost = min(cost, w.Limit)
			switch r.IntN(8) {
			case 0:
				now = now.Add(time.Duration(period-now.UnixMilli()%period-r.Int64N(2)) * time.Millisecond)
			case 1, 2:
				now = now.Add(time.Duration(r.Int64N(period/8+1)) * time.Millisecond)
			case 3:
				cost = 0
			case 4, 5:
				if refusal.at.After(now) { // what was refused, again
					key, cost, now = refusal.key, refusal.cost, refusal.at.Add(-time.Duration(r.Int64N(2))*time.Millisecond)
					later++
				}
			}
			set(now)
			a, errA := ours.Take(t.Context(), key, cost, w)
			b, errB := theirs.Take(t.Context(), key, cost, w)
			if errA != nil || errB != nil || a != b {
				t.Fatalf("seed %d, take %d of round %d: %d of %v from %s at %d\nmemory %+v, %v\nRedis  %+v, %v",
					seed, i, round, cost, w, key, now.UnixMilli(), a, errA, b, errB)
			}
			if a.Allowed {
				allowed++
			} else {
				refused++
				refusal.key, refusal.cost, refusal.at = key, cost, now.Add(a.RetryAfter)
			}
		}
	}
	if allowed < 1000 || refused < 1000 || later < 500 {
		t.Errorf("seed %d: %d takes were allowed, %d refused and %d tried at the time that was said: too few of one kind", seed, allowed, refused, later)
	}
	t.Logf("%d allowed, %d refused, %d tried at the time that was said", allowed, refused, later)
}

// TestServerTime: on the clock of Redis itself, what was refused is allowed after the time that was said.
func TestServerTime(t *testing.T) {
	l := open(t, Options{Address: redistest.Start(t).Address()}).Limiter()
	w := cache.Window{Limit: 3, Period: 200 * time.Millisecond}
	for range 5 {
		d, err := l.Take(t.Context(), "test:a", 2, w)
		if err != nil {
			t.Fatal(err)
		}
		if off := time.Since(d.At); off < -time.Second || off > time.Second {
			t.Fatalf("counted at %v", d.At)
		}
		if d.Allowed {
			continue
		}
		time.Sleep(time.Until(d.At.Add(d.RetryAfter)))
		if d, err = l.Take(t.Context(), "test:a", 2, w); err != nil || !d.Allowed {
			t.Errorf("at the time that was said: %+v, %v", d, err)
		}
	}
}

// TestStored: names have nothing of a key but its namespace, one hash tag, and an end, and are gone after it.
func TestStored(t *testing.T) {
	s := redistest.Start(t)
	c := open(t, Options{Address: s.Address(), Prefix: "vault-1:"})
	secret := "{x}:somebody@example.org " + strings.Repeat("y", 10_000)
	w := cache.Window{Limit: 5, Period: 50 * time.Millisecond}
	if _, err := c.Limiter().Take(t.Context(), "test:"+secret, 1, w); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Limiter().Take(t.Context(), "look:"+secret, 0, w); err != nil {
		t.Fatal(err)
	}
	if err := c.Store().Put(t.Context(), "test:"+secret, []byte("v"), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Store().Acquire(t.Context(), "test:"+secret, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	names, err := c.redis.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 3 { // the look wrote nothing
		t.Errorf("%d names: %q", len(names), names)
	}
	for _, name := range names {
		ends, err := c.redis.PTTL(t.Context(), name).Result()
		if err != nil || ends <= 0 && ends != -2 || ends > time.Hour+time.Second {
			t.Errorf("%s ends in %v, %v", name, ends, err)
		}
		if !strings.HasPrefix(name, "vault-1:") || !strings.Contains(name, ":test:{") || len(name) > 100 ||
			strings.Contains(name, "example") || strings.Count(name, "{") != 1 || !strings.HasSuffix(name, "}") {
			t.Errorf("a name: %s", name)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if left := s.Command(t, "DBSIZE"); left == "1" { // the lease's token
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("%s names are left", left)
		}
	}
}

// TestScriptsLost: scripts are sent again to a Redis that does not know them.
func TestScriptsLost(t *testing.T) {
	s := redistest.Start(t)
	l := open(t, Options{Address: s.Address()}).Limiter()
	for i := range 3 {
		d, err := l.Take(t.Context(), "test:a", 1, cache.Window{Limit: 10, Period: time.Hour})
		if err != nil || !d.Allowed {
			t.Fatalf("take %d: %+v, %v", i, d, err)
		}
		s.Command(t, "SCRIPT", "FLUSH")
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct{ address, want string }{ // want is part of the error; "" is none
		{"redis://localhost", ""},
		{"redis://localhost/3", ""},
		{"rediss://user:secret@redis.example:6380/0", ""},
		{"redis+sentinel://localhost/vault", ""},
		{"rediss+sentinel://user:secret@a:1,[::1]:2,c/vault/3?sentinel_password=secret", ""},
		{"redis+cluster://a", ""},
		{"rediss+cluster://user:secret@a:1,b:2/", ""},
		{"", "begins with something else"},
		{"localhost:6379", "begins with something else"},
		{"unix:///run/redis.sock", "begins with something else"},
		{"redis:///0", "names no host"},
		{"redis://:secret@host:port", "cannot be read"},
		{"redis://:secret@host/x", "no number of a database"},
		{"redis://:secret@host/-1", "no number of a database"},
		{"rediss://:secret@host?skip_verify=true", "has settings"},
		{"redis://:secret@host#x", "has settings"},
		{"redis://:secret@host?a=%zz", "cannot be read"},
		{"redis://:secret@host?sentinel_password=secret", "has settings"},
		{"redis://:secret@a,b", "several hosts"},
		{"redis+sentinel://:secret@a", "by which name"},
		{"redis+sentinel://:secret@a//0", "by which name"},
		{"redis+sentinel://:secret@a,,b/vault", "names no host"},
		{"redis+sentinel://:secret@a,b:port/vault", "cannot be read"},
		{"redis+sentinel://:secret@a/vault/x", "no number of a database"},
		{"redis+sentinel://:secret@a/vault/0/1", "no number of a database"},
		{"rediss+sentinel://:secret@a/vault?skip_verify=true", "has settings"},
		{"redis+cluster://:secret@a/0", "a cluster has no databases"},
		{"redis+cluster://:secret@a?sentinel_password=secret", "has settings"},
		{"redis+cluster://:sec%ret@a", "cannot be read"},
		{"redis+other://a", "begins with something else"},
	} {
		client, err := Open(Options{Address: c.address})
		if err == nil {
			client.Close()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: %v, want %q", c.address, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error has the password: %v", c.address, err)
		}
	}
	if _, err := Open(Options{Address: "redis://localhost", Prefix: "a{b}"}); err == nil {
		t.Error("a prefix that chooses a slot was accepted")
	}
}

// TestParse: what stands in an address is used as it was meant.
func TestParse(t *testing.T) {
	for text, want := range map[string]address{
		"redis://h":             {hosts: []string{"h:6379"}},
		"rediss://u:p%40@h:1/3": {tls: true, hosts: []string{"h:1"}, user: "u", password: "p@", database: 3},
		"redis+sentinel://:p,@a,[::1]:2/my%20vault/4?sentinel_password=s%26t": {kind: bySentinel, hosts: []string{"a:26379", "[::1]:2"},
			password: "p,", primary: "my vault", database: 4, sentinelPassword: "s&t"},
		"rediss+cluster://a,b:1": {kind: cluster, tls: true, hosts: []string{"a:6379", "b:1"}},
	} {
		if got, err := parse(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	l := open(b, Options{Address: redistest.Start(b).Address()}).Limiter()
	w := cache.Window{Limit: 1 << 30, Period: time.Minute}
	b.SetParallelism(16)
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
