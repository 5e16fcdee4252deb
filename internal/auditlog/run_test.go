package auditlog_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"stonevault/internal/auditlog"
)

// covered waits until a signed head has so many events.
func (h *house) covered(t *testing.T, events int64) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		_, _, err := h.reader.Consistency(t.Context(), events) // fails while the log is smaller
		if err == nil {
			return
		}
	}
	t.Fatalf("after a minute, no signed head has %d events", events)
}

// TestRun: what is recorded comes into the log by itself, also from another program and after a failure, and
// what a stop has left comes first.
func TestRun(t *testing.T) {
	h := newHouse(t)
	h.record(t, puts(1, 9)...)
	f := &faults{}
	var mu sync.Mutex
	var failures []error
	sequencer := auditlog.NewSequencer(auditlog.Config{Database: faultyDatabase{h.Database, f}, Master: h.Master, Rand: h.Rand, Now: h.Now}, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failures = append(failures, err)
	})
	here := auditlog.NewRecorder(h.Config, sequencer.Wake)
	elsewhere := h.recorder // wakes another sequencer, which doesn't run
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { sequencer.Run(ctx) })
	h.covered(t, 10)
	for i, r := range []*auditlog.Recorder{here, elsewhere, here} {
		h.recorder = r
		h.record(t, put(i, 1, 2))
		h.covered(t, int64(11+i))
	}

	f.mu.Lock()
	f.at = f.step + 3
	f.mu.Unlock()
	h.record(t, put(4, 1, 2))
	h.covered(t, 14)
	cancel()
	running.Wait()
	if len(failures) != 1 || !errors.Is(failures[0], errInjected) {
		t.Errorf("failures %v, want the one that was injected", failures)
	}
	h.repaired(t)
	h.sound(t, 14)
}
