package distill_test

import (
	"runtime"
	"syscall"
	"testing"
	"time"
)

// processorTime starts a clock that stops while other programs have the processor. It keeps the benchmark on its
// thread.
func processorTime(b *testing.B) (elapsed func() time.Duration) {
	runtime.LockOSThread()
	b.Cleanup(runtime.UnlockOSThread)
	used := func() time.Duration {
		const thread = 1 // RUSAGE_THREAD
		var r syscall.Rusage
		if err := syscall.Getrusage(thread, &r); err != nil {
			b.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	start := used()
	return func() time.Duration { return used() - start }
}
