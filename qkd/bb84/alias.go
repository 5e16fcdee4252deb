package bb84

import "math/bits"

// alias draws from a discrete distribution in constant time (A. J. Walker, ACM Trans. Math. Softw. 3, 253, 1977; M. D. Vose,
// IEEE Trans. Softw. Eng. 17, 972, 1991).
type alias struct {
	keep  []uint64 // out of 2^64, with which probability a column gives itself
	other []uint16
}

// newAlias takes at most 2^16 weights of 0 or more, which need not add up to 1.
func newAlias(weights []float64) *alias {
	n := len(weights)
	a := &alias{keep: make([]uint64, n), other: make([]uint16, n)}
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	share := make([]float64, n)
	var small, large []int
	for i, w := range weights {
		share[i] = w / sum * float64(n)
		a.other[i] = uint16(i)
		if share[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a.keep[s], a.other[s] = threshold(share[s]), uint16(l)
		share[l] -= 1 - share[s]
		if share[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, i := range append(small, large...) {
		a.keep[i], a.other[i] = ^uint64(0), uint16(i)
	}
	return a
}

// threshold is the number below which a random 64-bit integer falls with probability p.
func threshold(p float64) uint64 {
	switch {
	case !(p > 0):
		return 0
	case p >= 1:
		return ^uint64(0)
	}
	return uint64(p*(1<<63)) << 1
}

// draw makes two random integers an index. The second decides between a column and its other.
func (a *alias) draw(column, coin uint64) int {
	i, _ := bits.Mul64(column, uint64(len(a.keep)))
	if coin < a.keep[i] {
		return int(i)
	}
	return int(a.other[i])
}
