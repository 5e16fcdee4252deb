package simdstate

import "golang.org/x/sys/cpu"

// Clear zeroes the upper halves of the vector registers. Call it after code that may have used them.
func Clear() {
	if cpu.X86.HasAVX {
		zeroUpper()
	}
}

func zeroUpper()

// dirtyUpper sets an upper half, and upperInUse tells whether any is not zero. For tests; they need AVX,
// and upperInUse a processor that reports it.
func dirtyUpper()
func upperInUse() bool
func reportsInUse() bool
