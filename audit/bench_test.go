package audit_test

import (
	"crypto/rand"
	"testing"

	"stonevault/audit"
)

// BenchmarkCommit makes the record of an event with all its parts.
func BenchmarkCommit(b *testing.B) {
	e := put(1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Commit(rand.Reader); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppend adds batches of 100 to a log of a million leaves.
func BenchmarkAppend(b *testing.B) {
	l := million(b)
	batch := make([]audit.Hash, 100)
	b.ReportAllocs()
	for b.Loop() {
		for i := range batch {
			batch[i][0]++
		}
		l.addLeaves(b, batch...)
	}
	b.ReportMetric(float64(len(batch)*b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkInclusion proves events of a log of a million, from tiles in memory.
func BenchmarkInclusion(b *testing.B) {
	l := million(b)
	index := int64(0)
	for b.Loop() {
		index = (index + 7919) % l.tree.Size
		if _, err := l.tree.ProveInclusion(l, index); err != nil {
			b.Fatal(err)
		}
	}
}

func million(b *testing.B) *storedLog {
	l := newLog()
	leaves := make([]audit.Hash, 1<<16)
	for range 16 {
		for i := range leaves {
			l.rand.Read(leaves[i][:])
		}
		l.addLeaves(b, leaves...)
	}
	return l
}

// BenchmarkCheckpoint signs and opens heads.
func BenchmarkCheckpoint(b *testing.B) {
	k := newKey(b)
	note := sign(b, k, aTree)
	b.Run("sign", func(b *testing.B) {
		for b.Loop() {
			sign(b, k, aTree)
		}
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, err := k.Public().Open(note); err != nil {
				b.Fatal(err)
			}
		}
	})
}
