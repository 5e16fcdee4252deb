package contract

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// The sizes that are tried in all pairs.
const everySize = 64

// campaign returns how much is tried: full when STONEVAULT_TORTURE is 1.
func campaign(t *testing.T, what string, part, full int) int {
	t.Helper()
	if os.Getenv("STONEVAULT_TORTURE") == "1" {
		part = full
	}
	t.Logf("%d %s; %d with STONEVAULT_TORTURE=1", part, what, full)
	return part
}

// agrees asks the contract and tlog whether first is a beginning of second. The log id has the head first.
// Where one of them has no answer, because tlog knows no proof from nothing and the contract no anchor that
// does not grow, want is the other's.
func agrees(t *testing.T, m *machine, id LogID, first, second Head, proof [][32]byte, want bool) {
	t.Helper()
	got := m.accepts(AnchorCall(id, second, proof))
	if got != want {
		t.Errorf("%d to %d with %d nodes: the contract says %v, want %v", first.Size, second.Size, len(proof), got, want)
	}
	if first.Size > 0 && first.Size < second.Size && tlogAccepts(first, second, proof) != got {
		t.Errorf("%d to %d with %d nodes: the contract says %v and tlog does not", first.Size, second.Size, len(proof), got)
	}
}

func TestEveryPairOfSizes(t *testing.T) {
	m, log := newMachine(t, "Osaka"), denseTree(everySize)
	for first := range int64(everySize + 1) {
		old := log.head(t, first)
		id := m.anchored(fmt.Sprint(first), old)
		for second := range int64(everySize + 1) {
			head := log.head(t, second)
			if second <= first {
				agrees(t, m, id, old, head, nil, false)
				agrees(t, m, id, old, head, log.proof(t, second, first), false)
				continue
			}
			agrees(t, m, id, old, head, log.proof(t, first, second), true)
		}
	}
}

// spoilt returns proofs that differ from p by a whole node.
func spoilt(p [][32]byte, root [32]byte) (all [][][32]byte) {
	for i := range p {
		all = append(all, slices.Delete(slices.Clone(p), i, i+1), slices.Insert(slices.Clone(p), i, p[i]))
		if i > 0 && p[i] != p[i-1] {
			swapped := slices.Clone(p)
			swapped[i], swapped[i-1] = p[i-1], p[i]
			all = append(all, swapped)
		}
	}
	for _, extra := range [][32]byte{{}, root} {
		all = append(all, slices.Insert(slices.Clone(p), 0, extra), append(slices.Clone(p), extra))
	}
	return all
}

func TestProofsWithANodeMoreLessOrElsewhere(t *testing.T) {
	m, log := newMachine(t, "Osaka"), denseTree(everySize)
	for first := range int64(everySize) {
		old := log.head(t, first)
		id := m.anchored(fmt.Sprint(first), old)
		for second := first + 1; second <= everySize; second++ {
			head := log.head(t, second)
			for _, p := range spoilt(log.proof(t, first, second), old.Root) {
				agrees(t, m, id, old, head, p, false)
			}
		}
	}
}

func TestProofsWithAFlippedBit(t *testing.T) {
	sizes := int64(campaign(t, "sizes", 8, 24))
	m, log := newMachine(t, "Osaka"), denseTree(sizes)
	for first := range sizes {
		old := log.head(t, first)
		id := m.anchored(fmt.Sprint(first), old)
		for second := first + 1; second <= sizes; second++ {
			head, proof := log.head(t, second), log.proof(t, first, second)
			for bit := range 256 * len(proof) {
				flip(proof, bit)
				agrees(t, m, id, old, head, proof, false)
				flip(proof, bit)
			}
			for bit := range 256 {
				root := [][32]byte{head.Root}
				flip(root, bit)
				// Nothing is proven of a first head, so that any root but zero is one.
				agrees(t, m, id, old, Head{head.Size, root[0]}, proof, first == 0)
			}
		}
	}
}

func flip(nodes [][32]byte, bit int) { nodes[bit/256][bit%256/8] ^= 1 << (bit % 8) }

// A proof is good for its own two sizes alone.
func TestEveryProofForEveryPairOfSizes(t *testing.T) {
	const sizes = 12
	m, log := newMachine(t, "Osaka"), denseTree(sizes)
	for first := range int64(sizes) {
		old := log.head(t, first)
		id := m.anchored(fmt.Sprint(first), old)
		for second := first + 1; second <= sizes; second++ {
			head, own := log.head(t, second), log.proof(t, first, second)
			for a := range int64(sizes) {
				for b := a + 1; b <= sizes; b++ {
					other := log.proof(t, a, b)
					// Some are the same nodes: two trees that end in one subtree have the same neighbours.
					agrees(t, m, id, old, head, other, slices.Equal(other, own))
				}
			}
		}
	}
}

// Once a head is anchored, a log that differs from it anywhere below its size has no proof, not even
// the one that its own tree makes.
func TestForks(t *testing.T) {
	const size = 24
	m, log := newMachine(t, "Osaka"), denseTree(2*size)
	id := m.anchored("log", log.head(t, size))
	for differs := range int64(size) {
		fork := newTree(slices.DeleteFunc(slices.Clone(log.distinct), func(i int64) bool { return i == differs })...)
		for second := int64(size + 1); second <= 2*size; second++ {
			if !tlogAccepts(fork.head(t, size), fork.head(t, second), fork.proof(t, size, second)) {
				t.Fatal("the fork is no log by itself")
			}
			agrees(t, m, id, log.head(t, size), fork.head(t, second), fork.proof(t, size, second), false)
			agrees(t, m, id, log.head(t, size), fork.head(t, second), log.proof(t, size, second), false)
		}
	}
}

func TestLargeLogs(t *testing.T) {
	const seed = 20 // any; the same each time, so that a failure can be looked at
	r := rand.New(rand.NewPCG(seed, seed))
	m := newMachine(t, "Osaka")
	for i := range campaign(t, "pairs of sizes", 30, 600) {
		first, second := randomPair(r, 62)
		log := newTree(0, first-1, first, second-1, r.Int64N(second), r.Int64N(second))
		old, head, proof := log.head(t, first), log.head(t, second), log.proof(t, first, second)
		id := m.anchored(fmt.Sprint(i), old)
		agrees(t, m, id, old, head, proof, true)
		for _, p := range spoilt(proof, old.Root) {
			agrees(t, m, id, old, head, p, false)
		}
		for range 16 {
			bit := r.IntN(256 * len(proof))
			flip(proof, bit)
			agrees(t, m, id, old, head, proof, false)
			flip(proof, bit)
		}
	}
}

// tlog counts in int64. Above 2^63 the contract's own arithmetic is all there is to be tested: the largest
// size is taken, and a proof longer than any log needs ends rather than runs on.
func TestLargestSize(t *testing.T) {
	const largest = 1<<64 - 1
	m := newMachine(t, "Osaka")
	id := m.anchored("log", Head{largest - 1, [32]byte{1}})
	for nodes := range 130 {
		if m.accepts(AnchorCall(id, Head{largest, [32]byte{2}}, make([][32]byte, nodes))) {
			t.Errorf("a proof of %d zeros is accepted", nodes)
		}
	}
	m.must(anchorer, AnchorCall(m.create("another"), Head{largest, [32]byte{1}}, nil))
}

// FuzzProof changes tlog's proof, sizes and root in any way, and asks both.
func FuzzProof(f *testing.F) {
	f.Add(uint64(7), uint64(13), uint64(0), []byte(nil), byte(0))
	f.Add(uint64(8), uint64(16), uint64(1), []byte{0, 0, 1}, byte(1))
	f.Add(uint64(1)<<40-1, uint64(1)<<40, uint64(0), []byte{31: 1}, byte(2))
	m, logs := newMachine(f, "Osaka"), 0
	f.Fuzz(func(t *testing.T, a, b, claimed uint64, changes []byte, nodes byte) {
		m.tb = t
		const most = 1 << 62
		first := int64(min(a, b)%most + 1)
		second := first + int64(max(a, b)%most)%(most-first+1)
		if second == first {
			return
		}
		log := newTree(0, first-1, first, second-1)
		old, head, proof := log.head(t, first), log.head(t, second), log.proof(t, first, second)
		head.Size = (head.Size + claimed) % most
		proof = append(proof, make([][32]byte, nodes%4)...)
		proof = proof[:max(0, len(proof)-int(nodes/4%4))]
		for i, c := range changes[:min(len(changes), 32*len(proof))] {
			proof[i/32][i%32] ^= c
		}
		logs++
		id := m.anchored(fmt.Sprint(logs), old)
		agrees(t, m, id, old, head, proof, old.Size < head.Size && tlogAccepts(old, head, proof))
	})
}
