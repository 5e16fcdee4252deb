package vault_test

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"testing"

	"stonevault/internal/vault"
)

// BenchmarkSmall puts and gets files of 4 KiB by eight goroutines. STONEVAULT_BENCH_DIR, through TMPDIR,
// says on which disk.
func BenchmarkSmall(b *testing.B) {
	if dir := os.Getenv("STONEVAULT_BENCH_DIR"); dir != "" {
		b.Setenv("TMPDIR", dir)
	}
	h := newHouse(b)
	ada := h.person("ada")
	content := randomBytes(4096)
	var n atomic.Int64
	b.Run("put", func(b *testing.B) {
		b.SetParallelism(4)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, _, err := h.Put(ctx, ada, request(fmt.Sprintf("/small/%d", n.Add(1)), content)); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("get", func(b *testing.B) {
		b.SetParallelism(4)
		var i atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				c, err := h.Content(ctx, ada, vault.Ref{Path: fmt.Sprintf("/small/%d", 1+i.Add(1)%n.Load())})
				if err != nil {
					b.Fatal(err)
				}
				if err := c.Stream(ctx, io.Discard, 0, c.Size()); err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
		})
	})
}

// BenchmarkLarge puts and gets one file of 256 MiB.
func BenchmarkLarge(b *testing.B) {
	if dir := os.Getenv("STONEVAULT_BENCH_DIR"); dir != "" {
		b.Setenv("TMPDIR", dir)
	}
	h := newHouse(b)
	ada := h.person("ada")
	content := randomBytes(256 << 20)
	b.Run("put", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			e := h.put(ada, "/large", content)
			b.StopTimer()
			if err := h.Delete(ctx, ada, e.Node.ID, ""); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
	h.put(ada, "/large", content)
	b.Run("get", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			c, err := h.Content(ctx, ada, vault.Ref{Path: "/large"})
			if err != nil {
				b.Fatal(err)
			}
			if err := c.Stream(ctx, io.Discard, 0, c.Size()); err != nil {
				b.Fatal(err)
			}
			c.Close()
		}
	})
}
