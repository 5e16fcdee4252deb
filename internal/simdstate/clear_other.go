//go:build !amd64

package simdstate

// Clear does nothing: only amd64 has upper halves to clear.
func Clear() {}
