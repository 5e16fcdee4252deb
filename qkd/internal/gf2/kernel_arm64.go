package gf2

import "golang.org/x/sys/cpu"

// kernels lists the ways of this processor, the best first.
func kernels() []kernel {
	if !cpu.ARM64.HasPMULL {
		return nil
	}
	return []kernel{{name: "PMULL", correlate: correlatePMULL, hash: hashPMULL}}
}

//go:noescape
func correlatePMULL(c *Element, s, x *uint64, n, count int)

//go:noescape
func hashPMULL(sum *Element, key *Element, blocks *uint64, count int)
