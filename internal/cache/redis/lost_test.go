package redis

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/internal/cache"
	"stonevault/internal/cache/redistest"
)

// lossy stands before servers and, when told, ends a connection instead of passing on the next reply.
type lossy struct {
	losing atomic.Int32 // how many replies
}

// before returns host and port of a place that passes on to a server.
func (p *lossy) before(t *testing.T, s *redistest.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	behind := strings.TrimSuffix(strings.TrimPrefix(s.Address(), "redis://"), "/0")
	go func() {
		for {
			front, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(front, behind)
		}
	}()
	return l.Addr().String()
}

func (p *lossy) pass(front net.Conn, behind string) {
	defer front.Close()
	back, err := net.Dial("tcp", behind)
	if err != nil {
		return
	}
	defer back.Close()
	go io.Copy(back, front) // ends with either
	reply := make([]byte, 64<<10)
	for {
		n, err := back.Read(reply)
		if err != nil || p.losing.Add(-1) >= 0 {
			return
		}
		if _, err := front.Write(reply[:n]); err != nil {
			return
		}
	}
}

// TestLostReplies: what was done and not answered is repeated where that does no harm, and is unknown to the caller where
// it would.
func TestLostReplies(t *testing.T) {
	var p lossy
	testLostReplies(t, &p, open(t, Options{Address: "redis://" + p.before(t, redistest.Start(t))}))
}

// TestLostRepliesOfCluster: the library would repeat a command of a cluster where it does not of a server.
func TestLostRepliesOfCluster(t *testing.T) {
	var p lossy
	all := redistest.StartCluster(t)
	var seeds []string
	for _, node := range all.Nodes {
		seed := p.before(t, node)
		_, port, _ := strings.Cut(seed, ":")
		node.Command(t, "CONFIG", "SET", "cluster-announce-port", port)
		seeds = append(seeds, seed)
	}
	c := open(t, Options{Address: "redis+cluster://" + strings.Join(seeds, ",")})
	for _, node := range all.Nodes { // each has heard of it
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			known := node.Command(t, "CLUSTER", "NODES")
			if !slices.ContainsFunc(seeds, func(seed string) bool { return !strings.Contains(known, seed+"@") }) {
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("%v: %s", seeds, known)
			}
		}
	}
	c.lost = func() {} // what is asked in the background would lose its reply instead
	testLostReplies(t, &p, c)
}

func testLostReplies(t *testing.T, p *lossy, c *Client) {
	ctx, s := t.Context(), c.Store()
	lose := func() {
		t.Helper()
		if err := c.Ping(ctx); err != nil { // so that there is a connection whose replies are those of commands
			t.Fatal(err)
		}
		p.losing.Store(1)
	}
	unknown := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s, whose reply was lost: %v", what, err)
		}
	}
	// The scripts are known before, or the lost reply would be that there is none.
	first, err := s.Acquire(ctx, "test:first", time.Hour)
	if err != nil || s.Renew(ctx, first, time.Hour) != nil {
		t.Fatal(err)
	}
	if _, err := c.Limiter().Take(ctx, "test:a", 0, perHour); err != nil {
		t.Fatal(err)
	}
	before, err := s.Acquire(ctx, "test:a", time.Hour) // on the server of what follows
	if err != nil || s.Renew(ctx, before, time.Hour) != nil || s.Release(ctx, before) != nil {
		t.Fatal(err)
	}

	lose()
	_, err = c.Limiter().Take(ctx, "test:a", 1, perHour)
	unknown("a take", err)
	if d, err := c.Limiter().Take(ctx, "test:a", 0, perHour); err != nil || d.Remaining != 1 {
		t.Errorf("a take whose reply was lost, of 2: %+v, %v", d, err)
	}

	lose()
	unknown("put", s.Put(ctx, "test:a", []byte("x"), time.Hour))
	lose()
	if got, err := s.Get(ctx, "test:a"); err != nil || string(got) != "x" {
		t.Errorf("get, whose reply was lost: %q, %v", got, err)
	}
	lose()
	_, err = s.Take(ctx, "test:a")
	unknown("taking a value", err)
	if _, err := s.Take(ctx, "test:a"); !errors.Is(err, cache.ErrNotFound) {
		t.Errorf("a value that was taken, whose reply was lost: %v", err)
	}

	lose()
	held, err := s.Acquire(ctx, "test:a", time.Hour)
	if err != nil {
		t.Fatalf("acquire, whose reply was lost: %v", err)
	}
	lose()
	if err := s.Renew(ctx, held, time.Hour); err != nil {
		t.Errorf("renew, whose reply was lost: %v", err)
	}
	lose()
	unknown("release", s.Release(ctx, held))
	if _, err := s.Acquire(ctx, "test:a", time.Hour); err != nil {
		t.Errorf("after a release whose reply was lost: %v", err)
	}
	p.losing.Store(2)
	_, err = s.Get(ctx, "test:a")
	unknown("get, twice", err)
}
