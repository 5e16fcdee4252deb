package gf2

import "golang.org/x/sys/cpu"

// kernels lists the ways of this processor, the best first.
func kernels() (ks []kernel) {
	if !cpu.X86.HasPCLMULQDQ || !cpu.X86.HasSSE41 {
		return nil
	}
	if cpu.X86.HasAVX2 && hasVPCLMULQDQ() {
		ks = append(ks, kernel{
			name: "VPCLMULQDQ", correlate: correlateVPCLMULQDQ, hash: hashPCLMULQDQ, hashFours: hashFoursPCLMULQDQ, add: addAVX2,
			twist: twistVPCLMULQDQ, twistBack: twistBackVPCLMULQDQ, ends: endsVPCLMULQDQ, endsBack: endsBackVPCLMULQDQ, products: productsVPCLMULQDQ,
		})
	}
	return append(ks, kernel{name: "PCLMULQDQ", correlate: correlatePCLMULQDQ, hash: hashPCLMULQDQ, hashFours: hashFoursPCLMULQDQ})
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
func hashFoursPCLMULQDQ(sum *Element, powers *[4]Element, blocks *uint64, count int)

//go:noescape
func addAVX2(sum, a, b *uint64, n int)

//go:noescape
func twistVPCLMULQDQ(a, b *uint64, n int, w uint64)

//go:noescape
func twistBackVPCLMULQDQ(a, b *uint64, n int, w uint64)

//go:noescape
func endsVPCLMULQDQ(f, halves, quarters *uint64)

//go:noescape
func endsBackVPCLMULQDQ(f, halves, quarters *uint64)

//go:noescape
func productsVPCLMULQDQ(sum, a, b *uint64, n int)
