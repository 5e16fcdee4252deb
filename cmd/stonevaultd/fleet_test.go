package main

import (
	crand "crypto/rand"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/internal/blob/s3test"
)

// fleet is several servers of one vault, each of which may be stopped and started.
type fleet struct {
	*many
	t       *testing.T
	data    []string
	servers []atomic.Pointer[process]
	all     []*process // those that have ended too
}

func newFleet(t *testing.T, m *many, n int) *fleet {
	f := &fleet{many: m, t: t, servers: make([]atomic.Pointer[process], n)}
	for i := range n {
		f.data = append(f.data, filepath.Join(t.TempDir(), "own"))
		f.start(i)
	}
	return f
}

func (f *fleet) start(i int) {
	p := start(f.t, f.data[i], f.flags...)
	f.servers[i].Store(p)
	f.all = append(f.all, p)
}

// internalErrors are the lines of a log that tell of errors that nobody has expected.
func internalErrors(log string) string {
	var lines []string
	for line := range strings.Lines(log) {
		if strings.Contains(line, "problem=internal") || strings.Contains(line, "problem=refused") || strings.Contains(line, "panic") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[:min(len(lines), 20)], "")
}

// TestFleet has clients work on three servers of one vault, each of their requests at any of them, while a server is
// killed, PostgreSQL is, Redis forgets everything, and the object store cannot be reached. What was acknowledged is there
// afterwards, what was refused said so, and the audit log is sound.
func TestFleet(t *testing.T) {
	clients, length, cut := 6, 16*time.Second, 2*time.Second
	if torture() {
		clients, length, cut = 16, time.Minute, 5*time.Second
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	m := newMany(t)
	proxy := s3test.Before(t, m.store)
	for i, flag := range m.flags {
		if flag == "--objects" {
			m.flags[i+1] = proxy.Address("vault")
		}
	}
	f := newFleet(t, m, 3)
	if r := run(t, testPassword+"\n", m.on(t, "admin", "create", "ann", "--password-stdin")...); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	reader, err := identity.Generate(crand.Reader, identity.SuiteHybrid)
	check(t, err)
	var writers []*writer
	var working sync.WaitGroup
	var broken atomic.Int64
	over := make(chan struct{})
	for i := range clients {
		w := newWriter(i, seed, reader)
		w.names, w.faulty = 200, true
		writers = append(writers, w)
		c := signIn(t, f.servers[i%3].Load().addr, "ann")
		working.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(i)+100))
			for {
				select {
				case <-over:
					return
				default:
				}
				c.addr = f.servers[random.IntN(3)].Load().addr
				if w.step(c) != nil {
					broken.Add(1)
					time.Sleep(50 * time.Millisecond)
				}
			}
		})
	}
	for _, event := range []struct {
		what string
		do   func()
	}{
		{"a server is killed", func() { f.servers[0].Load().kill(); time.Sleep(time.Second); f.start(0) }},
		{"PostgreSQL is killed", func() { m.postgres.Kill(); time.Sleep(time.Second); m.postgres.Again(t) }},
		{"Redis forgets everything", func() { m.redis.Command(t, "FLUSHALL") }},
		{"the object store is cut off", func() {
			proxy.Next(1<<30, func(*http.Request) bool { return true }, s3test.Cut)
			time.Sleep(cut)
			proxy.Clear()
		}},
	} {
		time.Sleep(length / 5)
		t.Log(event.what)
		event.do()
	}
	time.Sleep(length / 5)
	close(over)
	working.Wait()

	ann := signIn(t, f.servers[1].Load().addr, "ann")
	underWay, tookPlace, refused := 0, 0, map[string]int{}
	for i, w := range writers {
		ann.addr = f.servers[i%3].Load().addr
		took, of := w.settle(ann)
		underWay, tookPlace = underWay+of, tookPlace+took
		w.abandon(ann)
		for problem, n := range w.refused {
			refused[problem] += n
		}
	}
	for _, k := range kinds {
		if total(writers, k.name) == 0 && torture() {
			t.Errorf("no %s was acknowledged", k.name)
		}
	}
	for problem := range refused {
		if problem != "unavailable" && problem != "locked" && problem != "" { // a HEAD has no body
			t.Errorf("something was refused as %q", problem)
		}
	}
	for i := range f.servers {
		p := f.servers[i].Load()
		if code := p.stop(); code != 0 {
			t.Errorf("stopped with %d: %s", code, p.stderr)
		}
	}
	f.start(2) // which settles what is left
	if code := f.servers[2].Load().stop(); code != 0 {
		t.Error(f.servers[2].Load().stderr)
	}
	for _, verb := range []string{"doctor", "audit fsck"} {
		r := run(t, "", m.on(t, strings.Fields(verb)...)...)
		if r.code != 0 || strings.Contains(r.stdout, "warn  objects") || strings.Contains(r.stdout, "warn  intents") {
			t.Errorf("%s: %+v", verb, r)
		}
	}
	if t.Failed() {
		for _, p := range f.all {
			t.Logf("a server says:\n%s", internalErrors(p.stderr.String()))
		}
	}
	t.Logf("of changes under way %d, took place %d; connections broken: %d; refused: %v; acknowledged: %s", underWay, tookPlace, broken.Load(), refused, summary(writers))
}
