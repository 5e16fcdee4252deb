package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/internal/cache"
	"stonevault/internal/cache/cachetest"
	"stonevault/internal/cache/redistest"
)

func TestConformanceBySentinel(t *testing.T) {
	s := redistest.StartSentinel(t, redistest.SentinelOptions{})
	cachetest.Run(t, func(t *testing.T) cachetest.Kit {
		s.Primary.Command(t, "FLUSHALL")
		c, set := onClock(t, s.Address())
		return cachetest.Kit{Limiter: c.Limiter(), Store: c.Store(), SetClock: set,
			Pass: func(d time.Duration) { time.Sleep(d + 20*time.Millisecond) }}
	})
}

// failedOver waits until operations go on, and says how long that took.
func failedOver(t *testing.T, c *Client) {
	t.Helper()
	began := time.Now()
	for {
		_, err := c.Limiter().Take(t.Context(), "other:a", 1, perHour)
		took := time.Since(began)
		switch {
		case err == nil:
			t.Logf("operations went on after %v", took)
			return
		case !errors.Is(err, cache.ErrUnavailable):
			t.Fatal(err)
		case took > time.Minute:
			t.Fatalf("after %v: %v", took, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestFailover: a limit, a value and a lease that the replica has got stay what they were, and nothing is let in meanwhile.
func TestFailover(t *testing.T) {
	s := redistest.StartSentinel(t, redistest.SentinelOptions{})
	c := open(t, Options{Address: s.Address()})
	ctx, store := t.Context(), c.Store()
	if d, err := c.Limiter().Take(ctx, "test:a", 2, perHour); err != nil || !d.Allowed {
		t.Fatalf("%+v, %v", d, err)
	}
	if err := store.Put(ctx, "test:a", []byte("x"), hour); err != nil {
		t.Fatal(err)
	}
	held, err := store.Acquire(ctx, "test:a", hour)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Identity(ctx, "a"); err != nil || got != "a" {
		t.Errorf("identity: %q, %v", got, err)
	}
	s.Replicated(t)

	s.Primary.Kill()
	for what, err := range everything(ctx, c) {
		if !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s, without a primary: %v", what, err)
		}
	}
	failedOver(t, c)
	if d, err := c.Limiter().Take(ctx, "test:a", 1, perHour); err != nil || d.Allowed {
		t.Errorf("a limit that was reached before: %+v, %v", d, err)
	}
	if got, err := store.Take(ctx, "test:a"); err != nil || string(got) != "x" {
		t.Errorf("a value: %q, %v", got, err)
	}
	if _, err := store.Acquire(ctx, "test:a", hour); !errors.Is(err, cache.ErrHeld) {
		t.Errorf("acquiring what is held: %v", err)
	}
	if err := store.Release(ctx, held); err != nil {
		t.Errorf("a lease: %v", err)
	}
	if next, err := store.Acquire(ctx, "test:a", hour); err != nil || next.Fence <= held.Fence {
		t.Errorf("%+v after %+v, %v", next, held, err)
	}
	if got, err := c.Identity(ctx, "b"); err != nil || got != "a" {
		t.Errorf("identity: %q, %v", got, err)
	}

	// The former primary comes back, empty, and is made a replica. It must not take the place of the other one again, which now
	// has all there is.
	s.Patient(t)
	s.Primary.Again(t)
	s.ReplicaOf(t, s.Primary, s.Replica)
	if d, err := c.Limiter().Take(ctx, "test:a", 1, perHour); err != nil || d.Allowed {
		t.Errorf("after the former primary came back: %+v, %v", d, err)
	}
}

// TestPrimaryChanges: a change that somebody has ordered is followed soon, though the former primary would still take
// writes.
func TestPrimaryChanges(t *testing.T) {
	s := redistest.StartSentinel(t, redistest.SentinelOptions{})
	c := open(t, Options{Address: s.Address()})
	if err := c.Store().Put(t.Context(), "test:a", []byte("x"), hour); err != nil {
		t.Fatal(err)
	}
	s.Replicated(t)
	s.Command(t, "SENTINEL", "FAILOVER", redistest.PrimaryName)
	s.Promoted(t)
	for end := time.Now().Add(2 * glanceEvery); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err := c.Ping(t.Context()); err != nil && !errors.Is(err, cache.ErrUnavailable) {
			t.Error(err)
		}
	}
	if got, err := c.Store().Take(t.Context(), "test:a"); err != nil || string(got) != "x" {
		t.Errorf("a value: %q, %v", got, err)
	}
	if left := s.Replica.Command(t, "DBSIZE"); left != "0" {
		t.Errorf("the value was taken elsewhere: the primary has %s", left)
	}
}

// TestPrimaryHangs: one that breaks no connection is left all the same, with all connections to it at once.
func TestPrimaryHangs(t *testing.T) {
	s := redistest.StartSentinel(t, redistest.SentinelOptions{})
	c := open(t, Options{Address: s.Address(), Timeout: 500 * time.Millisecond})
	var askers sync.WaitGroup
	s.Primary.Command(t, "CLIENT", "PAUSE", "200", "ALL") // so that each asker needs a connection of its own
	for range 15 {
		askers.Go(func() { c.Store().Get(t.Context(), "test:a") })
	}
	askers.Wait()
	s.Primary.Suspend(t)
	s.Promoted(t)
	var failed int
	for range 20 {
		if err := c.Store().Put(t.Context(), "test:a", nil, hour); err != nil {
			failed++
		}
	}
	if failed > 9 { // not as many as there are connections to the one that hangs; each takes its time to fail
		t.Errorf("%d of 20 operations failed after the change", failed)
	}
}

// hanging is the address of somebody who accepts and says nothing.
func hanging(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// TestSentinelsAway: one of several is enough, and without any nothing is let in.
func TestSentinelsAway(t *testing.T) {
	s := redistest.StartSentinel(t, redistest.SentinelOptions{Password: "open-sesame"})
	c := open(t, Options{Address: strings.Replace(s.Address(), "@", "@"+hanging(t)+",127.0.0.1:1,", 1)})
	began := time.Now()
	for what, err := range everything(t.Context(), c) {
		if errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Errorf("beside a sentinel that hangs, nine operations took %v", took)
	}

	s.Kill()
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("a connection that was there before: %v", err)
	}
	late := open(t, Options{Address: s.Address()})
	if err := late.Ping(t.Context()); !errors.Is(err, cache.ErrUnavailable) || strings.Contains(err.Error(), "open-sesame") {
		t.Errorf("no sentinel: %v", err)
	}
	s.Again(t)
	eventually(t, late)
}

func TestSentinelPasswords(t *testing.T) {
	s := redistest.StartSentinel(t, redistest.SentinelOptions{Password: "open-sesame", Own: "the-watch-word"})
	if err := open(t, Options{Address: s.Address()}).Ping(t.Context()); err != nil {
		t.Error(err)
	}
	for _, c := range []struct{ what, old, new, want string }{
		{"a wrong password of the server", "open-sesame", "wrong-secret", "WRONGPASS"},
		{"a wrong password of the sentinel", "the-watch-word", "wrong-secret", "WRONGPASS"},
		{"no password of the sentinel", "?sentinel_password=the-watch-word", "", "NOAUTH"},
		{"another name", "/" + redistest.PrimaryName, "/other", "knows no primary of that name"},
	} {
		err := open(t, Options{Address: strings.Replace(s.Address(), c.old, c.new, 1)}).Ping(t.Context())
		if !errors.Is(err, cache.ErrUnavailable) || !strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sesame") || strings.Contains(err.Error(), "watch") {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestTLSBySentinel(t *testing.T) {
	s := redistest.StartSentinel(t, redistest.SentinelOptions{TLS: true})
	for what, err := range everything(t.Context(), open(t, Options{Address: s.Address(), TLS: &tls.Config{RootCAs: s.Authority}})) {
		if errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, o := range map[string]Options{
		"an authority that is not trusted": {Address: s.Address()},
		"another authority":                {Address: s.Address(), TLS: &tls.Config{RootCAs: x509.NewCertPool()}},
	} {
		if err := open(t, o).Ping(t.Context()); !errors.Is(err, cache.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
