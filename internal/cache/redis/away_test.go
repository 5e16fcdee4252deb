package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"stonevault/internal/cache"
	"stonevault/internal/cache/cachetest"
	"stonevault/internal/cache/memory"
	"stonevault/internal/cache/redistest"
)

const hour = time.Hour

var perHour = cache.Window{Limit: 2, Period: hour}

// everything asks for each operation, and returns what each said.
func everything(ctx context.Context, c *Client) map[string]error {
	errs := map[string]error{}
	s := c.Store()
	_, errs["limit"] = c.Limiter().Take(ctx, "test:all", 1, perHour)
	errs["put"] = s.Put(ctx, "test:all", nil, hour)
	_, errs["get"] = s.Get(ctx, "test:all")
	_, errs["take"] = s.Take(ctx, "test:all")
	errs["delete"] = s.Delete(ctx, "test:all")
	_, errs["acquire"] = s.Acquire(ctx, "test:all", hour)
	errs["renew"] = s.Renew(ctx, cache.Lease{Key: "test:all"}, hour)
	errs["release"] = s.Release(ctx, cache.Lease{Key: "test:all"})
	errs["ping"] = c.Ping(ctx)
	return errs
}

// eventually waits until Redis answers: the library tries a lost address again every second.
func eventually(t *testing.T, c *Client) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err := c.Ping(t.Context()); err == nil {
			return
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestKilled: a Redis that is gone is a refusal at once, and when it is back all goes on from nothing.
func TestKilled(t *testing.T) {
	s := redistest.Start(t)
	c := open(t, Options{Address: s.Address(), Timeout: time.Second})
	take := func() (cache.Decision, error) { return c.Limiter().Take(t.Context(), "test:a", 2, perHour) }
	if d, err := take(); err != nil || !d.Allowed {
		t.Fatalf("%+v, %v", d, err)
	}
	fallback := cache.NewFallback(c.Limiter(), memory.NewLimiter(memory.Options{}))
	if d, err := fallback.Take(t.Context(), "test:a", 2, perHour); err != nil || d.Allowed || fallback.Used() != 0 {
		t.Errorf("a fallback that is not needed: %+v, %v, used %d times", d, err, fallback.Used())
	}

	s.Kill()
	began := time.Now()
	for what, err := range everything(t.Context(), c) {
		if !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s, without Redis: %v", what, err)
		}
	}
	if took := time.Since(began); took > 9*1500*time.Millisecond {
		t.Errorf("nine refusals took %v, at a timeout of a second", took)
	}
	for i, allowed := range []bool{true, false} {
		if d, err := fallback.Take(t.Context(), "test:a", 2, perHour); err != nil || d.Allowed != allowed || fallback.Used() != int64(i+1) {
			t.Errorf("the fallback: %+v, %v, used %d times", d, err, fallback.Used())
		}
	}

	s.Again(t)
	eventually(t, c)
	if d, err := take(); err != nil || !d.Allowed {
		t.Errorf("after Redis came back: %+v, %v", d, err)
	}
	if d, err := fallback.Take(t.Context(), "test:a", 2, perHour); err != nil || d.Allowed || fallback.Used() != 2 {
		t.Errorf("the fallback after Redis came back: %+v, %v, used %d times", d, err, fallback.Used())
	}
}

// TestHangs: a Redis that accepts and does not answer is a refusal after the timeout, and the caller's own deadline is
// the caller's.
func TestHangs(t *testing.T) {
	s := redistest.Start(t)
	c := open(t, Options{Address: s.Address(), Timeout: 300 * time.Millisecond})
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Command(t, "CLIENT", "PAUSE", "2000", "ALL")
	for _, ask := range []func() error{
		func() error { _, err := c.Limiter().Take(t.Context(), "test:a", 1, perHour); return err },
		func() error { _, err := c.Store().Get(t.Context(), "test:a"); return err }, // one that is tried twice
	} {
		began := time.Now()
		err := ask()
		took := time.Since(began)
		if !errors.Is(err, cache.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || took < 250*time.Millisecond || took > time.Second {
			t.Errorf("%v after %v, at a timeout of 300 ms", err, took)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.Limiter().Take(ctx, "test:a", 1, perHour)
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("the caller's own deadline: %v", err)
	}
	eventually(t, c)
	if err := c.Store().Put(t.Context(), "test:b", nil, hour); err != nil {
		t.Error(err)
	}
}

// TestFlushed: limits begin anew and leases are lost, and the one who does not know that yet is fenced off.
func TestFlushed(t *testing.T) {
	s := redistest.Start(t)
	c := open(t, Options{Address: s.Address()})
	ctx, store := t.Context(), c.Store()
	var thing cachetest.Fenced
	old, err := store.Acquire(ctx, "test:a", hour)
	if err != nil || !thing.Write(old, "old") {
		t.Fatal(err)
	}
	for i, allowed := range []bool{true, false} {
		if d, err := c.Limiter().Take(ctx, "test:a", 2, perHour); err != nil || d.Allowed != allowed {
			t.Fatalf("take %d: %+v, %v", i, d, err)
		}
	}
	if err := store.Put(ctx, "test:a", nil, hour); err != nil {
		t.Fatal(err)
	}

	s.Command(t, "FLUSHALL")
	if d, err := c.Limiter().Take(ctx, "test:a", 2, perHour); err != nil || !d.Allowed {
		t.Errorf("a limit after the flush: %+v, %v", d, err)
	}
	if _, err := store.Take(ctx, "test:a"); !errors.Is(err, cache.ErrNotFound) {
		t.Errorf("a value after the flush: %v", err)
	}
	next, err := store.Acquire(ctx, "test:a", hour)
	if err != nil {
		t.Fatal(err)
	}
	if !thing.Write(next, "next") || thing.Write(old, "old again") {
		t.Errorf("tokens %d and then %d do not fence", old.Fence, next.Fence)
	}
	if err := store.Renew(ctx, old, hour); !errors.Is(err, cache.ErrLost) {
		t.Errorf("renewing a lease that was flushed: %v", err)
	}
	if err := store.Release(ctx, old); !errors.Is(err, cache.ErrLost) {
		t.Errorf("releasing a lease that was flushed: %v", err)
	}
	if err := store.Renew(ctx, next, hour); err != nil {
		t.Errorf("the one who holds it: %v", err)
	}
}

// TestNoMemory: a Redis that may not evict refuses what would be new.
func TestNoMemory(t *testing.T) {
	s := redistest.Start(t)
	c := open(t, Options{Address: s.Address()})
	s.Command(t, "CONFIG", "SET", "maxmemory", "1")
	d, err := c.Limiter().Take(t.Context(), "test:a", 1, perHour)
	if !errors.Is(err, cache.ErrUnavailable) || d.Allowed {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := c.Store().Acquire(t.Context(), "test:a", hour); !errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("acquire: %v", err)
	}
}

// TestForeign: what somebody else has put under a name is no decision.
func TestForeign(t *testing.T) {
	c := open(t, Options{Address: redistest.Start(t).Address()})
	name, err := cache.NameOf("test:a")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "x", "1 2", "1 2 3 4", "-1 0 0"} {
		if err := c.redis.Set(t.Context(), c.name("window:3600000", name), text, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if d, err := c.Limiter().Take(t.Context(), "test:a", 1, perHour); !errors.Is(err, cache.ErrUnavailable) || d.Allowed {
			t.Errorf("%q: %+v, %v", text, d, err)
		}
	}
}

func TestPassword(t *testing.T) {
	s := redistest.Start(t, "--requirepass", "open-sesame")
	with := func(userinfo string) error {
		return open(t, Options{Address: strings.Replace(s.Address(), "//", "//"+userinfo+"@", 1)}).Ping(t.Context())
	}
	if err := with(":open-sesame"); err != nil {
		t.Error(err)
	}
	if err := with(":wrong-secret"); !errors.Is(err, cache.ErrUnavailable) || strings.Contains(err.Error(), "wrong-secret") {
		t.Errorf("a wrong password: %v", err)
	}
}

func TestTLS(t *testing.T) {
	s, authority := redistest.StartTLS(t)
	config := &tls.Config{RootCAs: authority}
	for what, err := range everything(t.Context(), open(t, Options{Address: s.TLSAddress(), TLS: config})) {
		if errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, o := range map[string]Options{
		"an authority that is not trusted": {Address: s.TLSAddress()},
		"another authority":                {Address: s.TLSAddress(), TLS: &tls.Config{RootCAs: x509.NewCertPool()}},
		"another name":                     {Address: s.TLSAddress(), TLS: &tls.Config{RootCAs: authority, ServerName: "redis.example"}},
	} {
		if err := open(t, o).Ping(t.Context()); !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := Open(Options{Address: s.Address(), TLS: config}); err == nil {
		t.Error("TLS for a plain address was accepted")
	}
}
