package distill

import "golang.org/x/sys/cpu"

// wideSwaps tells whether four words are swapped at once. A variable, so that tests try both ways.
var wideSwaps = cpu.X86.HasAVX2

// exchange exchanges those bits of a and b, four words for each of count, that are 1 in m.
//
//go:noescape
func exchange(a, b *uint64, m *byte, count int)

// exchangeColumns is swapColumns for four rows for each of count. m has the words of the first stage; those of the next
// one are so many bytes further.
//
//go:noescape
func exchangeColumns(words *uint64, m *byte, bytes, count int)
