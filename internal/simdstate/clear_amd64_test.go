package simdstate

import (
	"runtime"
	"testing"

	"golang.org/x/sys/cpu"
)

func TestClear(t *testing.T) {
	if !cpu.X86.HasAVX2 || !reportsInUse() {
		t.Skip("this processor has no AVX2, or does not tell what state is in use")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	dirtyUpper()
	if !upperInUse() {
		t.Skip("this machine reports no upper half in use where one is")
	}
	Clear()
	if upperInUse() {
		t.Error("an upper half is still in use")
	}
}
