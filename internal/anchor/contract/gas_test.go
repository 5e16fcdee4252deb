package contract

import (
	"fmt"
	"testing"
)

// mostGas is what an anchor of a log of up to 2^20 events may cost.
const mostGas = 65_000

// The worst proof of a log of up to 2^k events leads from 2^k - 1 to 2^k: it has the most nodes, k + 1, and
// no other makes as many hashes (docs/spec/anchor.md, section 6).
func TestGas(t *testing.T) {
	for _, fork := range forks {
		t.Run(fork, func(t *testing.T) {
			m := newMachine(t, fork)
			for k := 1; k <= 40; k++ {
				size := int64(1) << k
				log := newTree(0, size/2, size-2, size-1)
				id := m.create(fmt.Sprint(k))
				first := m.most(AnchorCall(id, log.head(t, size-1), nil))
				worst := m.most(AnchorCall(id, log.head(t, size), log.proof(t, size-1, size)))
				t.Logf("2^%d events: the first anchor costs %d gas, the worst %d", k, first, worst)
				if k <= 20 && max(first, worst) > mostGas {
					t.Errorf("an anchor of a log of 2^%d events costs %d gas; %d is the most", k, max(first, worst), mostGas)
				}
			}
		})
	}
}

// No proof costs more than the one that TestGas takes for the worst, over all pairs of sizes where that can be tried.
func TestWorstProof(t *testing.T) {
	for _, fork := range forks {
		m := newMachine(t, fork)
		const size = 64
		log := denseTree(size)
		costs := func(first, second int64) uint64 {
			id := m.anchored(fmt.Sprint(first, second), log.head(t, first))
			return m.most(AnchorCall(id, log.head(t, second), log.proof(t, first, second)))
		}
		worst := costs(size-1, size)
		for first := int64(1); first < size; first++ {
			for second := first + 1; second <= size; second++ {
				if first == size-1 {
					continue
				}
				if gas := costs(first, second); gas >= worst {
					t.Errorf("%s: %d to %d costs %d gas, %d to %d %d", fork, first, second, gas, size-1, size, worst)
				}
			}
		}
	}
}

// most makes an anchor and returns what it could cost if its hashes were others. A byte of zero is cheaper
// than others, by 12 gas, or by 30 where the floor of EIP-7623 decides.
func (m *machine) most(call []byte) uint64 {
	m.tb.Helper()
	_, gas, err := m.send(anchorer, call)
	if err != nil {
		m.tb.Fatal(err)
	}
	const id, root, nodes = 0, 2, 5 // the words that are hashes
	for i, b := range call[4:] {
		if word := i / 32; b == 0 && (word == id || word == root || word >= nodes) {
			gas += 30
		}
	}
	return gas
}
