//go:build !amd64

package distill

const wideSwaps = false

func exchange(a, b *uint64, m *byte, count int)                { panic("distill: no wide swaps") }
func exchangeColumns(words *uint64, m *byte, bytes, count int) { panic("distill: no wide swaps") }
