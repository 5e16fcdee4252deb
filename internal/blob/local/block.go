package local

import (
	"sync"
	"unsafe"
)

const (
	// blockSize is the unit of direct writes; a half and a quarter of it measured slower.
	blockSize = 1 << 20
	// alignment satisfies direct I/O on every common device, in memory, offset and length.
	alignment = 4096
)

// block is memory for one direct write. Only writers of large objects take any.
type block [blockSize]byte

var blocks = sync.Pool{New: func() any { return newBlock() }}

// newBlock returns a block at an aligned address. The runtime places memory of this size on a page
// boundary but does not promise it.
func newBlock() *block {
	b := new(block)
	if misaligned(b) == 0 {
		return b
	}
	slack := make([]byte, blockSize+alignment)
	skip := alignment - uintptr(unsafe.Pointer(unsafe.SliceData(slack)))%alignment
	return (*block)(slack[skip:])
}

func misaligned(b *block) uintptr { return uintptr(unsafe.Pointer(b)) % alignment }

func alignUp(n int64) int64 { return (n + alignment - 1) &^ (alignment - 1) }
