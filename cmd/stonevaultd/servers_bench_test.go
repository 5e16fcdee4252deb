package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkServers puts and gets files on both kinds of parts: SQLite with a directory, and PostgreSQL, S3 and Redis with
// one server and with three, all of them on this machine.
func BenchmarkServers(b *testing.B) {
	for _, parts := range []struct {
		name  string
		start func(b *testing.B) []*client
	}{
		{"one machine", embedded},
		{"PostgreSQL, S3, Redis, 1 server", func(b *testing.B) []*client { return shared(b, 1) }},
		{"PostgreSQL, S3, Redis, 3 servers", func(b *testing.B) []*client { return shared(b, 3) }},
	} {
		for _, size := range []struct {
			name    string
			bytes   int
			clients int
		}{{"4 KiB", 4 << 10, 16}, {"64 MiB", 64 << 20, 1}} {
			b.Run(parts.name+"/put "+size.name, func(b *testing.B) { benchTransfers(b, parts.start(b), size.bytes, size.clients, true) })
			b.Run(parts.name+"/get "+size.name, func(b *testing.B) { benchTransfers(b, parts.start(b), size.bytes, size.clients, false) })
		}
	}
}

// unlimited is for clients that all have one address.
var unlimited = []string{"--limit-sign-in", "0", "--limit-read", "0", "--limit-write", "0", "--limit-transfer", "0", "--limit-quantum", "0", "--limit-qkd", "0"}

func embedded(b *testing.B) []*client {
	data := filepath.Join(b.TempDir(), "data")
	makeVault(b, data)
	return []*client{signIn(b, start(b, data, unlimited...).addr, "ann")}
}

func shared(b *testing.B, n int) (clients []*client) {
	m := newMany(b)
	for range n {
		p := start(b, filepath.Join(b.TempDir(), "own"), append(m.flags, unlimited...)...)
		if len(clients) == 0 {
			if r := run(b, testPassword+"\n", m.on(b, "admin", "create", "ann", "--password-stdin")...); r.code != 0 {
				b.Fatalf("%+v", r)
			}
		}
		clients = append(clients, signIn(b, p.addr, "ann"))
	}
	return clients
}

// benchTransfers has so many clients each make one request after another, at the servers in turn.
func benchTransfers(b *testing.B, at []*client, size, clients int, put bool) {
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(content)
	for _, c := range at {
		c.http.Transport.(*http.Transport).MaxIdleConnsPerHost = clients
	}
	if !put {
		for i := range clients {
			c := at[0]
			c.must(c.put(fmt.Sprintf("/%d", i), content)).want(b, http.StatusCreated)
		}
	}
	var next atomic.Int64
	var all sync.WaitGroup
	b.SetBytes(int64(size))
	b.ResetTimer()
	for i := range clients {
		all.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				c := at[int(n)%len(at)]
				if put {
					c.must(c.do("PUT", contentPath(fmt.Sprintf("/%d/%d", i, n)), bytes.NewReader(content), nil)).want(b, http.StatusCreated)
				} else if r := c.must(c.get(fmt.Sprintf("/%d", i))); len(r.body) != size {
					b.Errorf("%d, %d bytes: %s", r.status, len(r.body), strings.TrimSpace(string(r.body[:min(len(r.body), 100)])))
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
