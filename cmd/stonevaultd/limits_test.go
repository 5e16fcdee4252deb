package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/internal/cache/redistest"
)

// cacheFile is a file with the address of a Redis.
func cacheFile(t testing.TB, address string) string {
	path := filepath.Join(t.TempDir(), "cache")
	write(t, path, address+"\n")
	return path
}

func (c *client) status(path string) string {
	c.t.Helper()
	r := c.must(c.do("GET", path, nil, nil))
	if r.status != http.StatusOK {
		return fmt.Sprint(r.status, " ", r.problem(), " ", r.header.Get("Retry-After"))
	}
	return "200"
}

// within waits until a request is answered so.
func (c *client) within(path, want string) {
	c.t.Helper()
	got := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got = c.status(path); got == want {
			return
		}
	}
	c.t.Errorf("%s: %s, want %s", path, got, want)
}

// TestSharedLimits: 50 workers at three servers with one Redis get no more than the limit in a minute, and twice that
// where their time is in two of them.
func TestSharedLimits(t *testing.T) {
	const servers, workers, each, limit = 3, 50, 20, 300
	file := cacheFile(t, redistest.Start(t).Address())
	var all [servers]*process
	for i := range all {
		data := filepath.Join(t.TempDir(), "data")
		all[i] = start(t, data, "--cache-file", file, "--limit-read", fmt.Sprint(limit))
	}
	var mu sync.Mutex
	statuses := map[int]int{}
	began := time.Now()
	var running sync.WaitGroup
	for i := range workers {
		c := &client{t: t, addr: all[i%servers].addr, http: newHTTP(t)}
		running.Go(func() {
			for range each {
				r, err := c.do("GET", "/api/v1/vault", nil, nil)
				mu.Lock()
				if err != nil {
					t.Error(err)
				}
				statuses[r.status]++
				mu.Unlock()
			}
		})
	}
	running.Wait()
	most, ended := limit, time.Now()
	for _, p := range all {
		if p.stop(); !strings.Contains(p.stderr.String(), "requests are counted in Redis") {
			t.Errorf("the start does not say where requests are counted: %s", p.stderr)
		}
	}
	if began.Truncate(time.Minute) != ended.Truncate(time.Minute) {
		most *= 2
	}
	if got := statuses[200]; got < limit || got > most || got+statuses[429] != workers*each {
		t.Errorf("%v, where %d to %d may be answered", statuses, limit, most)
	}
}

// TestRedisGone kills Redis below two servers, of which one has a fallback, and starts it again.
func TestRedisGone(t *testing.T) {
	redis := redistest.Start(t)
	file := cacheFile(t, redis.Address())
	const path = "/api/v1/vault"
	strict := start(t, filepath.Join(t.TempDir(), "data"), "--cache-file", file, "--log-level", "debug")
	lenient := start(t, filepath.Join(t.TempDir(), "data"), "--cache-file", file, "--cache-fallback", "memory", "--limit-read", "5")
	closed, open := &client{t: t, addr: strict.addr, http: newHTTP(t)}, &client{t: t, addr: lenient.addr, http: newHTTP(t)}
	for _, c := range []*client{closed, open} {
		for _, path := range []string{path, "/readyz"} {
			if got := c.status(path); got != "200" {
				t.Errorf("%s with Redis: %s", path, got)
			}
		}
	}
	redis.Kill()
	began := time.Now()
	if got := closed.status(path); got != "503 limits-unavailable 5" {
		t.Errorf("without Redis: %s", got)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the refusal took %v", took)
	}
	if got := closed.status("/readyz"); got != "503 not-ready 5" {
		t.Errorf("readiness without Redis: %s", got)
	}
	if got := closed.status("/livez"); got != "200" {
		t.Errorf("alive without Redis: %s", got)
	}
	// The memory counts from zero, and counts.
	for i, want := range []string{"200", "200", "200", "200", "200", "429"} {
		if got := open.status(path); !strings.HasPrefix(got, want) {
			t.Errorf("request %d with a fallback: %s, want %s", i, got, want)
		}
	}
	if got := open.status("/readyz"); got != "200" {
		t.Errorf("readiness with a fallback: %s", got)
	}
	for _, c := range []struct {
		more []string
		code int
		say  string
	}{
		{nil, 1, "the Redis of --cache-file does not answer"},
		{[]string{"--cache-fallback", "memory"}, 0, "Redis cannot be reached; until it can be, requests are counted in memory"},
	} {
		p, addrFile := launch(t, filepath.Join(t.TempDir(), "data"), append([]string{"--cache-file", file}, c.more...)...)
		if c.code == 0 {
			p.await(addrFile)
			p.stop()
		}
		<-p.ended
		if code := p.cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(p.stderr.String(), c.say) {
			t.Errorf("start %v without Redis: %d %s", c.more, code, p.stderr)
		}
	}
	redis.Again(t)
	closed.within(path, "200")
	closed.within("/readyz", "200")
	open.within(path, "200")
}

// TestCacheIsASecret: the password of a Redis is nowhere to be seen, and a wrong one is an error at the start.
func TestCacheIsASecret(t *testing.T) {
	const password = "canary-of-redis"
	address := redistest.Start(t, "--requirepass", password).Address()
	right := cacheFile(t, strings.Replace(address, "redis://", "redis://:"+password+"@", 1))
	wrong := cacheFile(t, strings.Replace(address, "redis://", "redis://:"+password+"-not@", 1))
	p := start(t, filepath.Join(t.TempDir(), "data"), "--cache-file", right, "--log-level", "debug")
	c := &client{t: t, addr: p.addr, http: newHTTP(t)}
	if got := c.status("/api/v1/vault"); got != "200" {
		t.Errorf("with the password: %s", got)
	}
	p.stop()
	r := run(t, "", "serve", "--data", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0", "--cache-file", wrong)
	if r.code != 1 || !strings.Contains(r.stderr, "does not answer") {
		t.Errorf("with another password: %+v", r)
	}
	shown := run(t, "", "config", "show", "--cache-file", right)
	if shown.code != 0 || !strings.Contains(shown.stdout, "[redacted]") {
		t.Errorf("the settings: %+v", shown)
	}
	for _, text := range []string{p.stderr.String(), r.stderr, r.stdout, shown.stdout, shown.stderr} {
		if strings.Contains(text, password) {
			t.Errorf("the password shows: %s", text)
		}
	}
}
