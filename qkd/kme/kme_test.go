package kme_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/internal/masterkey"
	"stonevault/internal/metadb"
	"stonevault/internal/metadb/testdb"
	"stonevault/qkd"
	"stonevault/qkd/kme"
)

var ctx = context.Background()

var start = time.Date(2026, 11, 27, 8, 30, 0, 0, time.UTC)

// maker makes random keys, and counts.
type maker struct {
	mu       sync.Mutex
	yield    int // keys of a session; 0 for what is asked
	err      error
	asked    []int                // under mu
	made     [][kme.KeyBytes]byte // under mu
	block    chan struct{}        // what a session waits for, or nil
	running  atomic.Int32
	together atomic.Int32 // the most sessions that ran at once
}

func (m *maker) Make(ctx context.Context, _ kme.Pair, n int) ([][kme.KeyBytes]byte, string, error) {
	m.together.Store(max(m.together.Load(), m.running.Add(1)))
	defer m.running.Add(-1)
	if m.block != nil {
		select {
		case <-m.block:
		case <-ctx.Done():
			return nil, "", ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, n)
	if m.err != nil {
		return nil, "", m.err
	}
	if m.yield != 0 {
		n = max(m.yield, 0)
	}
	keys := make([][kme.KeyBytes]byte, n)
	for i := range keys {
		rand.Read(keys[i][:])
	}
	m.made = append(m.made, keys...)
	return keys, "session", nil
}

func (m *maker) sessions() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.asked)
}

// house is a pair of KMEs on a real database.
type house struct {
	*kme.KMEs
	t     testing.TB
	path  string
	db    *metadb.DB
	maker *maker
	now   time.Time
}

func newHouse(t testing.TB, change func(*kme.Config)) *house {
	t.Helper()
	h := &house{t: t, path: filepath.Join(t.TempDir(), "vault.db"), maker: &maker{}, now: start}
	var err error
	if h.db, err = testdb.Open(ctx, h.path, "1.0.0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() })
	_, key, err := masterkey.Generate()
	if err != nil {
		t.Fatal(err)
	}
	c := kme.Config{
		Source: "kme-a", Target: "kme-b", Store: h.db, Sealer: masterkey.NewRing(key), Maker: h.maker, Random: rand.Reader,
		Known: func(_ context.Context, sae string) (bool, error) {
			return slices.Contains([]string{"a", "b", "c", "d"}, sae), nil
		},
		Now: func() time.Time { return h.now },
	}
	if change != nil {
		change(&c)
	}
	if h.KMEs, err = kme.New(c); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) take(master, slave string, r qkd.Request) []qkd.Key {
	h.t.Helper()
	keys, err := h.SAE(master).Take(ctx, slave, r)
	if err != nil {
		h.t.Fatal(err)
	}
	return keys
}

func (h *house) fetch(slave, master string, want error, keys ...qkd.Key) {
	h.t.Helper()
	ids := make([]qkd.KeyID, len(keys))
	for i, k := range keys {
		ids[i] = k.ID
	}
	got, err := h.SAE(slave).Fetch(ctx, master, ids...)
	if !errors.Is(err, want) {
		h.t.Fatalf("%s fetches: %v, want %v", slave, err, want)
	}
	if want != nil {
		if got != nil {
			h.t.Errorf("%s gets keys beside an error", slave)
		}
		return
	}
	if !slices.EqualFunc(got, keys, func(a, b qkd.Key) bool { return a.ID == b.ID && bytes.Equal(a.Secret, b.Secret) }) {
		h.t.Errorf("%s gets other keys than %s", slave, master)
	}
}

func (h *house) stored(want int) {
	h.t.Helper()
	s, err := h.SAE("a").Status(ctx, "b")
	if err != nil || s.Stored != want {
		h.t.Errorf("%d keys are stored, want %d; %v", s.Stored, want, err)
	}
}

func TestDelivery(t *testing.T) {
	h := newHouse(t, nil)
	s, err := h.SAE("a").Status(ctx, "b")
	if want := (qkd.Status{SourceKME: "kme-a", TargetKME: "kme-b", Master: "a", Slave: "b", KeySize: 256, MaxStored: 256, MaxPerRequest: 64,
		MinKeySize: 64, MaxKeySize: 1024, MaxSAEs: 8}); err != nil || s != want {
		t.Errorf("%+v, %v", s, err)
	}
	one := h.take("a", "b", qkd.Request{})
	if len(one) != 1 || len(one[0].Secret) != 32 || !slices.Equal(h.maker.asked, []int{8}) {
		t.Errorf("%v after sessions of %v", one, h.maker.asked)
	}
	h.stored(7)
	h.fetch("b", "a", nil, one...)
	h.fetch("b", "a", qkd.ErrNotFound, one...)

	// The reverse pair has a pool of its own.
	h.take("b", "a", qkd.Request{})
	h.stored(7)
	if h.maker.sessions() != 2 {
		t.Error("the reverse pair had a key")
	}
	five := h.take("a", "b", qkd.Request{Number: 5})
	slices.Reverse(five)
	h.fetch("b", "a", nil, five[:2]...)
	h.fetch("b", "a", qkd.ErrNotFound, five...) // the first two are gone
	h.fetch("b", "a", nil, five[2:]...)
	h.stored(2)
	ten := h.take("a", "b", qkd.Request{Number: 10})
	if last := h.maker.asked[2]; last != 10 {
		t.Errorf("%d keys were asked of the session", last)
	}
	h.stored(2)
	// No key was given out twice, under whatever id.
	seen := map[string]bool{}
	for _, k := range slices.Concat(one, five, ten) {
		if seen[string(k.Secret)] || seen[k.ID.String()] {
			t.Error("a key was taken twice")
		}
		seen[string(k.Secret)], seen[k.ID.String()] = true, true
	}
}

func TestSizes(t *testing.T) {
	h := newHouse(t, nil)
	for _, size := range []int{64, 128, 248, 256, 264, 512, 1000, 1024} {
		keys := h.take("a", "b", qkd.Request{Number: 2, Size: size})
		if len(keys) != 2 {
			t.Fatalf("%d keys", len(keys))
		}
		for _, key := range keys {
			if 8*len(key.Secret) != size || cap(key.Secret) != len(key.Secret) {
				t.Errorf("a key has %d bits, and not %d", 8*len(key.Secret), size)
			}
			for at := 0; at < len(key.Secret); at += kme.KeyBytes {
				part := key.Secret[at:min(at+kme.KeyBytes, len(key.Secret))]
				i := slices.IndexFunc(h.maker.made, func(k [kme.KeyBytes]byte) bool { return bytes.HasPrefix(k[:], part) })
				if i < 0 {
					t.Fatalf("bits from %d on of a key of %d are of no key that was made, or of one that was used", 8*at, size)
				}
				h.maker.made = slices.Delete(h.maker.made, i, i+1)
			}
		}
		h.fetch("b", "a", nil, keys...)
	}
}

func TestAdditionalSlaves(t *testing.T) {
	h := newHouse(t, nil)
	keys := h.take("a", "b", qkd.Request{Number: 2, Additional: []string{"c"}})
	h.fetch("d", "a", qkd.ErrUnauthorised, keys...)
	h.fetch("a", "a", qkd.ErrUnauthorised, keys...)
	h.fetch("stranger", "a", qkd.ErrUnauthorised, keys...)
	h.fetch("b", "a", nil, keys[:1]...)
	h.fetch("b", "a", qkd.ErrNotFound, keys[:1]...) // though it still waits for c
	h.fetch("b", "a", qkd.ErrNotFound, keys...)
	h.fetch("b", "c", qkd.ErrNotFound, keys[1:]...) // of another master
	h.fetch("c", "a", nil, keys...)
	h.fetch("c", "a", qkd.ErrNotFound, keys...)
	h.fetch("b", "a", nil, keys[1:]...)
	h.fetch("d", "a", qkd.ErrUnauthorised, keys...) // also when nothing waits any more
	other := h.take("a", "c", qkd.Request{})
	h.fetch("b", "a", qkd.ErrUnauthorised, append(h.take("a", "b", qkd.Request{}), other...)...)
	h.fetch("c", "a", nil, other...)
}

func TestRefusals(t *testing.T) {
	h := newHouse(t, nil)
	for what, c := range map[string]struct {
		master, slave string
		request       qkd.Request
		want          error
		message       string
	}{
		"a stranger":               {"x", "b", qkd.Request{}, qkd.ErrUnauthorised, ""},
		"nobody":                   {"", "b", qkd.Request{}, qkd.ErrUnauthorised, ""},
		"a slave that is none":     {"a", "x", qkd.Request{}, qkd.ErrBadRequest, "slave_SAE_ID names an SAE that is not known"},
		"itself":                   {"a", "a", qkd.Request{}, qkd.ErrBadRequest, "slave_SAE_ID shall be another SAE than the one that asks"},
		"too many":                 {"a", "b", qkd.Request{Number: 65}, qkd.ErrBadRequest, "number shall be 1 to 64"},
		"fewer than none":          {"a", "b", qkd.Request{Number: -1}, qkd.ErrBadRequest, "number shall be 1 to 64"},
		"half bytes":               {"a", "b", qkd.Request{Size: 260}, qkd.ErrBadRequest, "size shall be a multiple of 8"},
		"half bytes, too large":    {"a", "b", qkd.Request{Size: 99999}, qkd.ErrBadRequest, "size shall be a multiple of 8"},
		"too small":                {"a", "b", qkd.Request{Size: 56}, qkd.ErrBadRequest, "size shall be 64 to 1024"},
		"negative":                 {"a", "b", qkd.Request{Size: -8}, qkd.ErrBadRequest, "size shall be 64 to 1024"},
		"too large":                {"a", "b", qkd.Request{Size: 1032}, qkd.ErrBadRequest, "size shall be 64 to 1024"},
		"too many slaves":          {"a", "b", qkd.Request{Additional: slices.Repeat([]string{"c"}, 9)}, qkd.ErrBadRequest, "additional_slave_SAE_IDs shall be at most 8"},
		"a slave twice":            {"a", "b", qkd.Request{Additional: []string{"c", "c"}}, qkd.ErrBadRequest, "an SAE is named twice"},
		"the slave again":          {"a", "b", qkd.Request{Additional: []string{"b"}}, qkd.ErrBadRequest, "an SAE is named twice"},
		"the master as a slave":    {"a", "b", qkd.Request{Additional: []string{"a"}}, qkd.ErrBadRequest, "an SAE is named twice"},
		"a further slave unknown":  {"a", "b", qkd.Request{Additional: []string{"x"}}, qkd.ErrBadRequest, "additional_slave_SAE_IDs names an SAE that is not known"},
		"a further slave, no name": {"a", "b", qkd.Request{Additional: []string{""}}, qkd.ErrBadRequest, "an id of an SAE is none"},
	} {
		keys, err := h.SAE(c.master).Take(ctx, c.slave, c.request)
		var refusal *qkd.Refusal
		if !errors.Is(err, c.want) || keys != nil || c.message != "" && (!errors.As(err, &refusal) || refusal.Message != c.message || len(refusal.Details) == 0) {
			t.Errorf("%s: %v, %v", what, keys, err)
		}
	}
	if _, err := h.SAE("x").Status(ctx, "b"); !errors.Is(err, qkd.ErrUnauthorised) {
		t.Errorf("the status for a stranger: %v", err)
	}
	if _, err := h.SAE("a").Status(ctx, "x"); !errors.Is(err, qkd.ErrBadRequest) {
		t.Errorf("the status about a stranger: %v", err)
	}
	if h.maker.sessions() != 0 {
		t.Error("a session ran for a request that is refused")
	}
	h.fetch("b", "a", qkd.ErrBadRequest)
	key := h.take("a", "b", qkd.Request{})[0]
	h.fetch("b", "a", qkd.ErrBadRequest, key, key)
	h.fetch("b", "a", qkd.ErrBadRequest, make([]qkd.Key, 65)...)
	h.fetch("b", "a", qkd.ErrNotFound, key, qkd.Key{})
	h.fetch("b", "a", nil, key)
}

func TestConfig(t *testing.T) {
	good := newHouse(t, nil).Config
	for what, change := range map[string]func(*kme.Config){
		"no store":             func(c *kme.Config) { c.Store = nil },
		"no maker":             func(c *kme.Config) { c.Maker = nil },
		"one KME":              func(c *kme.Config) { c.Target = c.Source },
		"a KME without an id":  func(c *kme.Config) { c.Source = "" },
		"a size of half bytes": func(c *kme.Config) { c.Limits.MinSize = 65 },
		"no 256 bits":          func(c *kme.Config) { c.Limits.MaxSize = 128 },
		"too small a pool":     func(c *kme.Config) { c.Limits.MaxStored = 255 },
		"a negative age":       func(c *kme.Config) { c.Limits.KeepFor = -1 },
		"too many for a pool":  func(c *kme.Config) { c.Limits.MaxPerRequest = 65 },
	} {
		c := good
		change(&c)
		if _, err := kme.New(c); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestSessions(t *testing.T) {
	h := newHouse(t, func(c *kme.Config) {
		c.Limits = kme.Limits{MaxSize: 256, MaxPerRequest: 4, MaxStored: 6, PerSession: 3}
	})
	h.maker.err = &kme.Aborted{Session: "s1", Reason: "the QBER is 25 %"}
	_, err := h.SAE("a").Take(ctx, "b", qkd.Request{})
	var refusal *qkd.Refusal
	if !errors.Is(err, qkd.ErrNoKeys) || !errors.As(err, &refusal) || refusal.Message != "the session ended without a key: the QBER is 25 %" ||
		refusal.Details[0]["session"] != "s1" {
		t.Errorf("an aborted session: %v", err)
	}
	broken := errors.New("broken")
	h.maker.err = broken
	if _, err := h.SAE("a").Take(ctx, "b", qkd.Request{}); !errors.Is(err, broken) || errors.Is(err, qkd.ErrNoKeys) {
		t.Errorf("a session that fails: %v", err)
	}
	h.maker.err, h.maker.yield = nil, -1
	if _, err := h.SAE("a").Take(ctx, "b", qkd.Request{}); !errors.Is(err, qkd.ErrNoKeys) {
		t.Errorf("a session without keys: %v", err)
	}
	h.stored(0)
	h.maker.yield, h.maker.asked = 1, nil // four sessions for four keys
	h.fetch("b", "a", nil, h.take("a", "b", qkd.Request{Number: 4})...)
	if !slices.Equal(h.maker.asked, []int{4, 4, 4, 4}) {
		t.Errorf("asked were %v", h.maker.asked)
	}
	h.maker.yield = 100 // more than the pool holds
	h.take("a", "b", qkd.Request{Number: 4})
	h.stored(2)

	// What a session leaves when the next one aborts stays.
	h.take("a", "b", qkd.Request{Number: 2})
	h.maker.yield = 3
	h.take("a", "b", qkd.Request{Number: 1})
	h.maker.err = &kme.Aborted{Reason: "again"}
	if _, err := h.SAE("a").Take(ctx, "b", qkd.Request{Number: 4}); !errors.Is(err, qkd.ErrNoKeys) {
		t.Errorf("too few keys: %v", err)
	}
	h.stored(2)
}

// TestOneSessionAtATime has many ask for an empty pool: one session of the pair runs at a time, and what it leaves
// serves those that wait. Another pair's runs beside it.
func TestOneSessionAtATime(t *testing.T) {
	h := newHouse(t, nil)
	h.maker.block = make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { h.take("a", "b", qkd.Request{}) })
	}
	for h.maker.running.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	late, cancel := context.WithCancel(ctx)
	gaveUp := make(chan error)
	go func() {
		_, err := h.SAE("a").Take(late, "b", qkd.Request{})
		gaveUp <- err
	}()
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("one who gave up: %v", err)
	}
	if n := h.maker.together.Load(); n != 1 {
		t.Errorf("%d sessions of one pair at once", n)
	}
	wg.Go(func() { h.take("a", "c", qkd.Request{}) })
	for h.maker.running.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	close(h.maker.block)
	wg.Wait()
	if n := h.maker.together.Load(); n != 2 {
		t.Errorf("%d sessions of two pairs at once", n)
	}
	if n := h.maker.sessions(); n < 2 || n > 3 { // eight keys of the first session are enough for eight who wait
		t.Errorf("%d sessions ran", n)
	}
}

func TestOnceAmongMany(t *testing.T) {
	h := newHouse(t, nil)
	key := h.take("a", "b", qkd.Request{})[0]
	var fetched, refused atomic.Int32
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			keys, err := h.SAE("b").Fetch(ctx, "a", key.ID)
			switch {
			case err == nil && bytes.Equal(keys[0].Secret, key.Secret):
				fetched.Add(1)
			case errors.Is(err, qkd.ErrNotFound):
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if fetched.Load() != 1 || refused.Load() != 99 {
		t.Errorf("fetched %d times, refused %d times", fetched.Load(), refused.Load())
	}
}

func TestExpire(t *testing.T) {
	h := newHouse(t, func(c *kme.Config) { c.Limits.KeepFor = 24 * time.Hour })
	expire := func(want int64) {
		t.Helper()
		if n, err := h.Expire(ctx); n != want || err != nil {
			t.Errorf("%d keys expired, want %d; %v", n, want, err)
		}
	}
	keys := h.take("a", "b", qkd.Request{Number: 2, Additional: []string{"c"}})
	h.fetch("b", "a", nil, keys...)
	h.fetch("c", "a", nil, keys[:1]...)
	h.now = start.Add(24 * time.Hour)
	expire(0)
	h.now = h.now.Add(time.Second)
	expire(1)
	h.fetch("c", "a", qkd.ErrNotFound, keys[1:]...)
	h.fetch("d", "a", qkd.ErrUnauthorised, keys[:1]...)
	h.now = start.Add(31 * 24 * time.Hour) // and then nothing is known of it
	expire(0)
	h.fetch("d", "a", qkd.ErrNotFound, keys[:1]...)

	forever := newHouse(t, nil)
	keys = forever.take("a", "b", qkd.Request{})
	forever.now = start.AddDate(50, 0, 0)
	if n, err := forever.Expire(ctx); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	forever.fetch("b", "a", nil, keys...)
}

// BenchmarkDelivery takes a key and fetches it, over a database on disk.
func BenchmarkDelivery(b *testing.B) {
	h := newHouse(b, nil)
	for b.Loop() {
		keys, err := h.SAE("a").Take(ctx, "b", qkd.Request{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := h.SAE("b").Fetch(ctx, "a", keys[0].ID); err != nil {
			b.Fatal(err)
		}
	}
}

// TestCeasesWhileASessionRuns has an SAE cease to be one while keys are made for it: they are delivered to nobody, and none of
// them is kept.
func TestCeasesWhileASessionRuns(t *testing.T) {
	for _, c := range []struct {
		ceases string
		want   error
		ask    func(h *house) error
	}{
		{"a", qkd.ErrUnauthorised, func(h *house) error { _, err := h.SAE("a").Take(ctx, "b", qkd.Request{}); return err }},
		{"b", qkd.ErrBadRequest, func(h *house) error { _, err := h.SAE("a").Take(ctx, "b", qkd.Request{}); return err }},
		{"c", qkd.ErrBadRequest, func(h *house) error {
			_, err := h.SAE("a").Take(ctx, "b", qkd.Request{Additional: []string{"c"}})
			return err
		}},
		{"a", qkd.ErrUnauthorised, func(h *house) error { _, err := h.Fill(ctx, kme.Pair{Master: "a", Slave: "b"}); return err }},
		{"b", qkd.ErrBadRequest, func(h *house) error { _, err := h.Fill(ctx, kme.Pair{Master: "a", Slave: "b"}); return err }},
	} {
		var h *house
		h = newHouse(t, func(config *kme.Config) {
			known := config.Known
			config.Known = func(ctx context.Context, sae string) (bool, error) {
				if sae == c.ceases && h.maker.sessions() > 0 {
					return false, nil
				}
				return known(ctx, sae)
			}
		})
		if err := c.ask(h); !errors.Is(err, c.want) || h.maker.sessions() != 1 {
			t.Errorf("%s: %v after %d sessions", c.ceases, err, h.maker.sessions())
		}
		var left int
		if err := h.db.ViewQuantumKeys(ctx, func(tx kme.Tx) (err error) { left, err = tx.Pooled(ctx, kme.Pair{Master: "a", Slave: "b"}); return err }); err != nil || left != 0 {
			t.Errorf("%s: %d keys are kept, %v", c.ceases, left, err)
		}
	}
}
