package auditlog_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/masterkey"
)

// benchHouse is on a disk, which a temporary directory need not be: set STONEVAULT_BENCH_DIR to choose it.
func benchHouse(b *testing.B) *house {
	b.Helper()
	dir, err := os.MkdirTemp(os.Getenv("STONEVAULT_BENCH_DIR"), "auditlog-bench")
	if err != nil {
		b.Fatal(err)
	}
	master, err := masterkey.CreateFile(filepath.Join(dir, "master.key"))
	if err != nil {
		b.Fatal(err)
	}
	h := &house{path: filepath.Join(dir, "vault.db")}
	h.Config = auditlog.Config{Master: master, Rand: rand.Reader, Now: func() time.Time { return start }}
	h.open(b)
	b.Cleanup(func() { h.db.Close(); os.RemoveAll(dir) })
	h.update(b, func(ctx context.Context, store auditlog.Store) error {
		_, err := h.recorder.Begin(ctx, store, auditlog.Beginning{Reason: "first"})
		return err
	})
	return h
}

// BenchmarkEvents records events, so many to a durable commit, and gives each batch its place and the head
// its signature before the next. An event has all three parts.
func BenchmarkEvents(b *testing.B) {
	for _, batch := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			h := benchHouse(b)
			events := puts(0, batch)
			b.ReportAllocs()
			for b.Loop() {
				h.record(b, events...)
				h.step(b)
			}
			b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkTogether records events in transactions of their own, from many goroutines at once, as requests do,
// while a sequencer runs beside them.
func BenchmarkTogether(b *testing.B) {
	h := benchHouse(b)
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { h.sequencer.Run(ctx) })
	e := put(1, 1, 2)
	b.SetParallelism(50)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			h.record(b, e)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	cancel()
	running.Wait()
}

// BenchmarkRecord is what an event adds to a transaction.
func BenchmarkRecord(b *testing.B) {
	h := benchHouse(b)
	e := put(1, 1, 2)
	err := h.Database.Update(b.Context(), func(store auditlog.Store) error {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := h.recorder.Record(b.Context(), store, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// fill adds a number of events to a log quickly: rows as they are kept, of leaves that commit to nothing.
func fill(b *testing.B, h *house, events int) {
	b.Helper()
	sealed := make([]byte, 300)
	for done := 0; done < events; {
		n := min(20_000, events-done)
		h.update(b, func(ctx context.Context, store auditlog.Store) error {
			for range n {
				leaf := audit.Leaf{Type: audit.FilePut, Version: 1, Time: start}
				for i := range leaf.Commitments {
					rand.Read(leaf.Commitments[i][:])
				}
				e := auditlog.Event{Index: auditlog.Pending, Leaf: leaf.Bytes()}
				e.Parts[audit.Operational].Sealed = sealed
				if _, err := store.InsertEvent(ctx, e); err != nil {
					return err
				}
			}
			return nil
		})
		h.step(b)
		done += n
	}
}

// BenchmarkProof makes proofs from a log of a million events.
func BenchmarkProof(b *testing.B) {
	h := benchHouse(b)
	fill(b, h, 1_000_000)
	size := head(b, h).Size
	for _, tt := range []struct {
		name string
		make func(i int64) error
	}{
		{"inclusion", func(i int64) error { _, err := h.reader.ReceiptAt(b.Context(), i, auditlog.ViewAll); return err }},
		{"consistency", func(i int64) error { _, _, err := h.reader.Consistency(b.Context(), i+1); return err }},
	} {
		b.Run(tt.name, func(b *testing.B) {
			var took []time.Duration
			for i := int64(0); b.Loop(); i++ {
				began := time.Now()
				if err := tt.make(i * 7919 % size); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds()), "p95-µs")
		})
	}
}

// BenchmarkFsck checks whole events, of which every part is opened.
func BenchmarkFsck(b *testing.B) {
	const events = 50_001
	h := benchHouse(b)
	for n := 1; n < events; n += 1000 {
		h.record(b, puts(n, 1000)...)
	}
	h.step(b)
	b.ResetTimer()
	for b.Loop() {
		r, err := h.reader.Fsck(b.Context())
		if err != nil || !r.OK() || r.Events != events {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
