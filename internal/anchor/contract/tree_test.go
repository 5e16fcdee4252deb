package contract

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is a log of any size up to 2^62. Its leaves are all alike but for some, so that of the complete
// subtrees only those above them have to be computed; tlog does the rest.
type tree struct {
	distinct []int64 // ascending
	alike    [63]tlog.Hash
	known    map[[2]int64]tlog.Hash
}

func newTree(distinct ...int64) *tree {
	slices.Sort(distinct)
	t := &tree{distinct: distinct, known: map[[2]int64]tlog.Hash{}}
	t.alike[0] = tlog.RecordHash([]byte("alike"))
	for i := range t.alike[1:] {
		t.alike[i+1] = tlog.NodeHash(t.alike[i], t.alike[i])
	}
	return t
}

// denseTree has n leaves that all differ.
func denseTree(n int64) *tree {
	var all []int64
	for i := range n {
		all = append(all, i)
	}
	return newTree(all...)
}

func (t *tree) subtree(level int, n int64) (h tlog.Hash) {
	i, _ := slices.BinarySearch(t.distinct, n<<level)
	if i == len(t.distinct) || t.distinct[i]>>level != n {
		return t.alike[level]
	}
	if level == 0 {
		return tlog.RecordHash(binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	at := [2]int64{int64(level), n}
	h, ok := t.known[at]
	if !ok {
		h = tlog.NodeHash(t.subtree(level-1, 2*n), t.subtree(level-1, 2*n+1))
		t.known[at] = h
	}
	return h
}

// ReadHashes makes t a tlog.HashReader.
func (t *tree) ReadHashes(indexes []int64) (hashes []tlog.Hash, err error) {
	for _, i := range indexes {
		hashes = append(hashes, t.subtree(tlog.SplitStoredHashIndex(i)))
	}
	return hashes, nil
}

func (t *tree) head(tb testing.TB, size int64) Head {
	tb.Helper()
	root, err := tlog.TreeHash(size, t)
	if err != nil {
		tb.Fatal(err)
	}
	return Head{uint64(size), root}
}

// proof is tlog's from first to second; from the empty tree, which tlog does not take, the empty one.
func (t *tree) proof(tb testing.TB, first, second int64) (p [][32]byte) {
	tb.Helper()
	if first == 0 {
		return nil
	}
	hashes, err := tlog.ProveTree(second, first, t)
	if err != nil {
		tb.Fatal(err)
	}
	for _, h := range hashes {
		p = append(p, h)
	}
	return p
}

// tlogAccepts is tlog's word on a proof, for 0 < first <= second.
func tlogAccepts(first, second Head, proof [][32]byte) bool {
	var p tlog.TreeProof
	for _, h := range proof {
		p = append(p, h)
	}
	return tlog.CheckTree(p, int64(second.Size), second.Root, int64(first.Size), first.Root) == nil
}

// randomPair returns two sizes of up to as many bits, small ones as often as large ones.
func randomPair(r *rand.Rand, bits int) (first, second int64) {
	second = 2 + r.Int64N(1<<(1+r.IntN(bits))-1)
	first = 1 + r.Int64N(second-1)
	return first, second
}
