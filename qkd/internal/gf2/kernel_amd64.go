package gf2

import "golang.org/x/sys/cpu"

// kernels lists the ways of this processor, the best first.
func kernels() (ks []kernel) {
	if !cpu.X86.HasPCLMULQDQ || !cpu.X86.HasSSE41 {
		return nil
	}
	if cpu.X86.HasAVX2 && hasVPCLMULQDQ() {
		ks = append(ks, kernel{"VPCLMULQDQ", correlateVPCLMULQDQ, hashPCLMULQDQ, addAVX2})
	}
	return append(ks, kernel{"PCLMULQDQ", correlatePCLMULQDQ, hashPCLMULQDQ, nil})
}

// hasVPCLMULQDQ asks the processor itself: the package cpu tells it only of those that have AVX-512. It is to be
// called where there is AVX2.
func hasVPCLMULQDQ() bool

//go:noescape
func correlateVPCLMULQDQ(c *Element, s, x *uint64, n, count int)

//go:noescape
func correlatePCLMULQDQ(c *Element, s, x *uint64, n, count int)

//go:noescape
func hashPCLMULQDQ(sum *Element, key *Element, blocks *uint64, count int)

//go:noescape
func addAVX2(sum, a, b *uint64, n int)
