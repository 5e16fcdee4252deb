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
	"stonevault/internal/metadb"
	"stonevault/internal/metadb/postgrestest"
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

// BenchmarkRecorded records events of three parts, so many to a durable commit, while a sequencer runs beside
// as in a server. The time ends when all have their place under a signed head.
func BenchmarkRecorded(b *testing.B) {
	for _, batch := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			h := benchHouse(b)
			ctx, cancel := context.WithCancel(b.Context())
			var running sync.WaitGroup
			running.Go(func() { h.sequencer.Run(ctx) })
			events := puts(0, batch)
			n := 0
			for b.Loop() {
				h.record(b, events...)
				n += batch
			}
			b.StartTimer() // Loop has stopped it
			cancel()
			running.Wait()
			h.step(b)
			b.StopTimer()
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
			if size := head(b, h).Size; size != int64(n)+1 {
				b.Errorf("the log has %d events, and %d were recorded", size, n)
			}
		})
	}
}

// BenchmarkEvents is harder: each batch has its place, and the head its signature, before the next begins.
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

// postgresHouse is on PostgreSQL, by TCP.
func postgresHouse(b *testing.B) *house {
	return houseAt(b, postgrestest.Start(b).NewDatabase(b))
}

// socketHouse is on PostgreSQL by the socket that it has for programs of the same machine.
func socketHouse(b *testing.B) *house {
	server := postgrestest.Start(b)
	return houseAt(b, server.BySocket(server.NewDatabase(b)))
}

func houseAt(b *testing.B, address string) *house {
	b.Helper()
	db, err := metadb.OpenPostgres(b.Context(), address, metadb.Options{ProgramVersion: "1.0.0"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	h := &house{db: db}
	master, err := masterkey.CreateFile(filepath.Join(b.TempDir(), "master.key"))
	if err != nil {
		b.Fatal(err)
	}
	h.Config = auditlog.Config{Database: db.Audit(), Master: master, Rand: rand.Reader, Now: func() time.Time { return start }}
	h.parts(b)
	h.update(b, func(ctx context.Context, store auditlog.Store) error {
		_, err := h.recorder.Begin(ctx, store, auditlog.Beginning{Reason: "first"})
		return err
	})
	return h
}

// BenchmarkWriters has 16 writers record events in transactions of their own, on both databases, while a sequencer runs
// beside them. The time ends when all have their place under a signed head.
func BenchmarkWriters(b *testing.B) {
	const writers, people = 16, 100
	for _, on := range []struct {
		name string
		open func(b *testing.B) *house
	}{
		{"sqlite", benchHouse}, {"postgres/tcp", postgresHouse}, {"postgres/socket", socketHouse},
	} {
		b.Run(on.name, func(b *testing.B) {
			h := on.open(b)
			for i := range people { // whoever has an account has a key
				h.record(b, put(i, 1+i, 2))
			}
			ctx, cancel := context.WithCancel(b.Context())
			var running, writing sync.WaitGroup
			running.Go(func() { h.sequencer.Run(ctx) })
			left := make(chan int, b.N)
			for i := range b.N {
				left <- i
			}
			close(left)
			b.ResetTimer()
			for range writers {
				writing.Go(func() {
					for i := range left {
						h.record(b, put(i, 1+i%people, 2))
					}
				})
			}
			writing.Wait()
			recorded := b.Elapsed()
			cancel()
			running.Wait()
			h.step(b)
			b.ReportMetric(float64(b.N)/recorded.Seconds(), "recorded/s")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
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

// million is how many events the log of BenchmarkMillion has.
const million = 1_000_000

// fill brings a log to a million events of three parts each, about so many people. Most rows are copies of others:
// each has to be read, opened and held against its leaf like any other, and recording them all would take longer
// than what is measured.
func fill(b *testing.B, h *house, people int) {
	b.Helper()
	const distinct = 10_000
	events := make([]audit.Event, distinct)
	for i := range events {
		events[i] = put(i, 1+i%people, 1+i*7%people)
	}
	h.record(b, events...)
	raw := h.raw(b)
	for have := distinct + 1; have < million; { // with the event that begins the log
		n := min(distinct, million-have)
		_, err := raw.Exec(`INSERT INTO audit_events (leaf, operational, actor_key, actor, subject_key, subject)
			SELECT leaf, operational, actor_key, actor, subject_key, subject FROM audit_events WHERE id BETWEEN 2 AND $1`, n+1)
		if err != nil {
			b.Fatal(err)
		}
		have += n
	}
	h.step(b)
	if size := head(b, h).Size; size != million {
		b.Fatalf("the log has %d events", size)
	}
}

// BenchmarkMillion is of a log of a million events: proofs from it, and a check of all of it.
func BenchmarkMillion(b *testing.B) {
	h := benchHouse(b)
	fill(b, h, 500)
	for _, tt := range []struct {
		name string
		run  func(i int64) error
	}{
		{"inclusion", func(i int64) error { _, err := h.reader.ReceiptAt(b.Context(), i, auditlog.ViewAll); return err }},
		{"consistency", func(i int64) error { _, _, err := h.reader.Consistency(b.Context(), i+1); return err }},
		{"fsck", func(int64) error {
			r, err := h.reader.Fsck(b.Context())
			if err == nil && (!r.OK() || r.Events != million || r.Intact != million || r.Unchecked != 0) {
				err = fmt.Errorf("%+v", r)
			}
			return err
		}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			var took []time.Duration
			for i := int64(0); b.Loop(); i++ {
				began := time.Now()
				if err := tt.run(i * 7919 % million); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
		})
	}
}

// BenchmarkManager is of a log of a million events about 10,000 people: what a manager of all of them reads, and one
// of ten whose events are the oldest.
func BenchmarkManager(b *testing.B) {
	h := benchHouse(b)
	const people = 10_000
	fill(b, h, people)
	raw := h.raw(b)
	exec := func(text string, args ...any) {
		if _, err := raw.Exec(text, args...); err != nil {
			b.Fatal(err)
		}
	}
	const all, few = people + 1, people + 2
	exec("BEGIN")
	for n := 1; n <= few; n++ {
		role := "user"
		if n > people {
			role = "manager"
		}
		exec(account(n, role))
		if n <= people {
			exec(inGroup(1, n, 1, 0))
		}
	}
	exec(inGroup(1, all, 0, 1))
	exec(inGroup(2, few, 0, 1))
	for n := 1; n <= 10; n++ {
		exec(inGroup(2, n, 1, 0))
	}
	// In the newer events, others take the places of the ten.
	exec(`UPDATE audit_events SET actor_key = actor_key + 1000 WHERE id > 100000 AND actor_key IN (SELECT number FROM audit_keys WHERE person <= $1 AND person <> '')`, person(10))
	exec(`UPDATE audit_events SET subject_key = subject_key + 1000 WHERE id > 100000 AND subject_key IN (SELECT number FROM audit_keys WHERE person <= $1 AND person <> '')`, person(10))
	exec("COMMIT")
	none := func(t audit.Type) bool { return t == audit.ServerStopped }
	for _, tt := range []struct {
		name    string
		manager int
		q       auditlog.Query
		want    int
	}{
		{"10000 people", all, auditlog.Query{}, 100},
		{"10000 people, in the middle", all, auditlog.Query{Before: million / 2}, 100},
		{"10000 people, one of them", all, auditlog.Query{Person: person(77)}, 100},
		{"10000 people, nothing fits", all, auditlog.Query{Type: none}, 0},
		{"10000 people, what is new", all, auditlog.Query{After: million - 5}, 5},
		{"10 people, nothing near", few, auditlog.Query{}, 0},
		{"10 people, the oldest", few, auditlog.Query{Before: 200_000}, 100},
	} {
		b.Run(tt.name, func(b *testing.B) {
			tt.q.Limit = 100
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				page, err := h.reader.List(b.Context(), tt.q, auditlog.Viewer{Person: person(tt.manager), Manager: true})
				if err != nil || len(page.Entries) != tt.want {
					b.Fatal(len(page.Entries), err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
		})
	}
}
