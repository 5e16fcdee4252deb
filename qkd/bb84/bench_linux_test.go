package bb84

import (
	"syscall"
	"testing"
	"time"
)

// processorTime starts a clock that stops while other programs have the processor.
func processorTime(b *testing.B) (elapsed func() time.Duration) {
	used := func() time.Duration {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	start := used()
	return func() time.Duration { return used() - start }
}
