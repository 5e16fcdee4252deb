//go:build !linux

package bb84

import (
	"testing"
	"time"
)

// processorTime is the time that passes, where that of a thread is not to be had.
func processorTime(*testing.B) (elapsed func() time.Duration) {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}
