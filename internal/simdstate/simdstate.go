// Package simdstate gives back what vector code has left behind in the processor.
//
// circl's ML-DSA (v1.6.5) runs AVX2 code that does not end with VZEROUPPER. On Intel processors every
// legacy SSE instruction that follows on the same thread then depends on the upper halves of its
// registers, until something clears them: SHA-256, whose instructions are such, was measured at 14 MB/s
// after a signature and at 1,440 MB/s after a signature and Clear.
//
// Clear changes no value that Go code can see. It is only for speed, and nothing but.
package simdstate
