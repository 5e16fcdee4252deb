package bb84

import "golang.org/x/sys/cpu"

// hasExtract tells whether extract is there. A variable, so that tests try both ways.
var hasExtract = cpu.X86.HasBMI2

// extract writes, of each of count words, the bits that are 1 in its mask, to the lowest places.
//
//go:noescape
func extract(to, from, masks *uint64, count int)
