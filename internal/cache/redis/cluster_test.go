package redis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"stonevault/internal/cache"
	"stonevault/internal/cache/cachetest"
	"stonevault/internal/cache/redistest"
)

func TestConformanceOfCluster(t *testing.T) {
	all := redistest.StartCluster(t)
	cachetest.Run(t, func(t *testing.T) cachetest.Kit {
		all.Flush(t)
		c := open(t, Options{Address: all.Address(), Timeout: 10 * time.Second})
		return cachetest.Kit{Limiter: c.Limiter(), Store: c.Store(),
			// A key of its own would be in a slot of its own, so that the time is in the scripts.
			SetClock: func(now time.Time) {
				c.scripts = newScripts(strings.Replace(setTime, "redis.call('GET', 'clock')", strconv.FormatInt(now.UnixMicro(), 10), 1))
			},
			Pass: func(d time.Duration) { time.Sleep(d + 20*time.Millisecond) }}
	})
}

// at is where a value of a key is kept.
func at(t *testing.T, c *Client, key string) string {
	t.Helper()
	name, err := cache.NameOf(key)
	if err != nil {
		t.Fatal(err)
	}
	return c.name("value", name)
}

// TestNodeKilled: what the slots of a lost node hold is unavailable, and the rest goes on.
func TestNodeKilled(t *testing.T) {
	all := redistest.StartCluster(t)
	c := open(t, Options{Address: all.Address()})
	for what, err := range everything(t.Context(), c) {
		if errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got, err := c.Identity(t.Context(), "a"); err != nil || got != "a" {
		t.Errorf("identity: %q, %v", got, err)
	}
	const keys = 60
	ofKey := func(i int) string { return fmt.Sprint("test:", i) }
	for i := range keys {
		if err := c.Store().Put(t.Context(), ofKey(i), []byte{1}, hour); err != nil {
			t.Fatal(err)
		}
	}
	var away []bool
	for i := range keys {
		slot, err := strconv.Atoi(all.Nodes[1].Command(t, "CLUSTER", "KEYSLOT", at(t, c, ofKey(i))))
		if err != nil {
			t.Fatal(err)
		}
		away = append(away, slot < 16384/3)
	}

	all.Nodes[0].Kill()
	check := func() (unavailable int) {
		t.Helper()
		for i := range keys {
			began := time.Now()
			_, get := c.Store().Get(t.Context(), ofKey(i))
			_, take := c.Limiter().Take(t.Context(), ofKey(i), 1, perHour)
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("two operations took %v, at a timeout of a second", took)
			}
			switch {
			case away[i] && errors.Is(get, cache.ErrUnavailable) && errors.Is(take, cache.ErrUnavailable):
				unavailable++
			case away[i] || get != nil || take != nil:
				t.Errorf("key %d, away %v: %v, %v", i, away[i], get, take)
			}
		}
		return unavailable
	}
	if n := check(); n < 5 || n > keys-5 {
		t.Errorf("%d of %d keys are unavailable", n, keys)
	}
	if err := c.Ping(t.Context()); !errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("ping, without a node: %v", err)
	}
	time.Sleep(3 * time.Second) // the others know it too
	check()
	if err := c.Ping(t.Context()); !errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("ping, later: %v", err)
	}

	all.Nodes[0].Again(t)
	all.Settle(t)
	eventually(t, c)
	for i := range keys {
		_, err := c.Store().Get(t.Context(), ofKey(i))
		if away[i] && !errors.Is(err, cache.ErrNotFound) || !away[i] && err != nil {
			t.Errorf("key %d, which was away %v, when all are back: %v", i, away[i], err)
		}
	}
}

// TestSlotMoves: an operation is done once, by the node that has the slot now, also while it is on its way.
func TestSlotMoves(t *testing.T) {
	all := redistest.StartCluster(t)
	c := open(t, Options{Address: all.Address()})
	w := cache.Window{Limit: 10, Period: hour}
	take := func(key string, want int64) {
		t.Helper()
		if d, err := c.Limiter().Take(t.Context(), key, 1, w); err != nil || !d.Allowed || d.Remaining != want {
			t.Errorf("%+v, %v; want %d to be left", d, err, want)
		}
	}
	var key, slot string
	for i := 0; slot == ""; i++ {
		key = fmt.Sprint("test:", i)
		s := all.Nodes[0].Command(t, "CLUSTER", "KEYSLOT", at(t, c, key))
		if n, err := strconv.Atoi(s); err != nil {
			t.Fatal(err)
		} else if n < 16384/3 {
			slot = s
		}
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	from, to := all.Nodes[0], all.Nodes[1]
	fromID, toID := from.Command(t, "CLUSTER", "MYID"), to.Command(t, "CLUSTER", "MYID")
	to.Command(t, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromID)
	from.Command(t, "CLUSTER", "SETSLOT", slot, "MIGRATING", toID)
	take(key, 9)
	take(key, 8)
	if n := from.Command(t, "CLUSTER", "COUNTKEYSINSLOT", slot); n != "0" {
		t.Errorf("%s keys on the node that gives its slot away", n)
	}
	to.Command(t, "CLUSTER", "SETSLOT", slot, "NODE", toID)
	from.Command(t, "CLUSTER", "SETSLOT", slot, "NODE", toID)
	take(key, 7)
	all.Settle(t)
	take(key, 6)
}

// TestPingOfCluster is for all slots.
func TestPingOfCluster(t *testing.T) {
	refused := func(what string, c *Client, want string) {
		t.Helper()
		if err := c.Ping(t.Context()); !errors.Is(err, cache.ErrUnavailable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", what, err, want)
		}
	}
	s := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
	c := open(t, Options{Address: strings.TrimSuffix(strings.Replace(s.Address(), "redis", "redis+cluster", 1), "/0")})
	refused("no slots", c, "serves no slots")
	s.Command(t, "CLUSTER", "ADDSLOTSRANGE", "0", "16382")
	refused("all but one", c, "does not serve all slots")
	s.Command(t, "CLUSTER", "ADDSLOTS", "16383")
	eventually(t, c)
	alone := redistest.Start(t)
	refused("no cluster", open(t, Options{Address: strings.TrimSuffix(strings.Replace(alone.Address(), "redis", "redis+cluster", 1), "/0")}), "cluster support disabled")
}

func TestTLSOfCluster(t *testing.T) {
	s, authority := redistest.StartTLS(t, "--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-announce-ip", "127.0.0.1")
	s.Command(t, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	address := strings.TrimSuffix(strings.Replace(s.TLSAddress(), "rediss", "rediss+cluster", 1), "/0")
	c := open(t, Options{Address: address, TLS: &tls.Config{RootCAs: authority}})
	eventually(t, c)
	for what, err := range everything(t.Context(), c) {
		if errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := open(t, Options{Address: address}).Ping(t.Context()); !errors.Is(err, cache.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an authority that is not trusted: %v", err)
	}
}
