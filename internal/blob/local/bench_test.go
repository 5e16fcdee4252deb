package local

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"stonevault/internal/blob/blobtest"
)

// benchDir is where benchmarks write: STONEVAULT_BENCH_DIR, so that a disk and a memory file system can
// be compared, or else a temporary directory.
func benchDir(b *testing.B) string {
	parent := os.Getenv("STONEVAULT_BENCH_DIR")
	if parent == "" {
		return b.TempDir()
	}
	dir, err := os.MkdirTemp(parent, "stonevault-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// BenchmarkLarge writes 1 GiB durably, here and by a plain file with one fsync.
func BenchmarkLarge(b *testing.B) {
	const total = 1 << 30
	src := make([]byte, 1<<20)
	rand.Read(src)
	fill := func(b *testing.B, w io.Writer) {
		for range total / len(src) {
			if _, err := w.Write(src); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("store", func(b *testing.B) {
		s := open(b, benchDir(b))
		b.SetBytes(total)
		b.ReportAllocs()
		for b.Loop() {
			name := blobtest.NewName("body")
			w, err := s.Create(b.Context(), name, total)
			if err != nil {
				b.Fatal(err)
			}
			fill(b, w)
			if err := w.Commit(); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			s.Delete(b.Context(), name)
			b.StartTimer()
		}
	})
	b.Run("plain", func(b *testing.B) {
		path := filepath.Join(benchDir(b), "plain")
		b.SetBytes(total)
		b.ReportAllocs()
		for b.Loop() {
			f, err := os.Create(path)
			if err != nil {
				b.Fatal(err)
			}
			fill(b, f)
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
			f.Close()
			b.StopTimer()
			os.Remove(path)
			b.StartTimer()
		}
	})
}

// BenchmarkSmall creates objects of 4 KiB, each durable before the next of its goroutine.
func BenchmarkSmall(b *testing.B) {
	data := blobtest.Bytes(4096, 1)
	for _, writers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := open(b, benchDir(b))
			for i := range 256 { // their making is a cost of the first day only
				if err := s.makeDir(fmt.Sprintf("%02x", i)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			var next atomic.Int64
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for next.Add(1) <= int64(b.N) {
						w, err := s.Create(b.Context(), blobtest.NewName("body"), int64(len(data)))
						if err == nil {
							_, err = w.Write(data)
						}
						if err == nil {
							err = w.Commit()
						}
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "objects/s")
		})
	}
}

// BenchmarkRead reads an object of 256 MiB that is in the page cache, in pieces of a segment.
func BenchmarkRead(b *testing.B) {
	const total = 256 << 20
	s := open(b, benchDir(b))
	name := blobtest.NewName("body")
	w, err := s.Create(b.Context(), name, total)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(w, bytes.NewReader(make([]byte, total))); err != nil {
		b.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 1<<20)
	b.SetBytes(total)
	for b.Loop() {
		o, err := s.Open(b.Context(), name)
		if err != nil {
			b.Fatal(err)
		}
		for off := int64(0); off < total; off += int64(len(p)) {
			if _, err := o.ReadAt(p, off); err != nil {
				b.Fatal(err)
			}
		}
		o.Close()
	}
}
