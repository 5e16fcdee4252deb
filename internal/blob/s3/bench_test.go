package s3

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"stonevault/internal/blob/blobtest"
	"stonevault/internal/blob/local"
	"stonevault/internal/blob/s3test"
	"stonevault/internal/vault"
)

// BenchmarkStores puts and gets objects of 4 KiB and of 64 MiB, by one goroutine and by eight: in an S3 server on this
// machine, and in a directory. Both are below STONEVAULT_TEST_S3_DIR where that is set. The server does not sync what it
// writes, so that puts are not compared like with like.
func BenchmarkStores(b *testing.B) {
	dir, err := os.MkdirTemp(os.Getenv("STONEVAULT_TEST_S3_DIR"), "stonevault-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	files, err := local.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { files.Close() })
	for _, store := range []struct {
		name    string
		objects vault.Objects
	}{{"s3", open(b, s3test.Start(b).Address("vault"))}, {"local", files}} {
		for _, size := range []int{4 << 10, 64 << 20} {
			for _, workers := range []int{1, 8} {
				b.Run(fmt.Sprintf("%s/%dKiB/workers=%d", store.name, size>>10, workers), func(b *testing.B) {
					benchmark(b, store.objects, blobtest.Bytes(size, 1), workers)
				})
			}
		}
	}
}

func benchmark(b *testing.B, objects vault.Objects, data []byte, workers int) {
	var mu sync.Mutex
	var names []string
	b.Run("put", func(b *testing.B) {
		each(b, len(data), workers, func() error {
			name := blobtest.NewName("body")
			w, err := objects.Create(b.Context(), name, int64(len(data)))
			if err != nil {
				return err
			}
			defer w.Abort()
			for at := 0; at < len(data); at += 1 << 20 {
				if _, err := w.Write(data[at:min(at+1<<20, len(data))]); err != nil {
					return err
				}
			}
			if err := w.Commit(); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			names = append(names, name)
			return nil
		})
	})
	var next atomic.Int64
	b.Run("get", func(b *testing.B) {
		each(b, len(data), workers, func() error {
			o, err := objects.Open(b.Context(), names[int(next.Add(1))%len(names)])
			if err != nil {
				return err
			}
			defer o.Close()
			piece := make([]byte, min(1<<20, len(data)))
			for at := 0; at < len(data); at += len(piece) {
				if n, err := o.ReadAt(piece, int64(at)); n < len(piece) {
					return err
				}
			}
			return nil
		})
	})
	for _, name := range names {
		if err := objects.Delete(b.Context(), name); err != nil {
			b.Fatal(err)
		}
	}
}

// each does something b.N times, by so many workers.
func each(b *testing.B, size, workers int, do func() error) {
	b.SetBytes(int64(size))
	b.ResetTimer()
	var count atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for count.Add(1) <= int64(b.N) {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}
