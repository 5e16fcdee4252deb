package distill

import (
	"errors"
	"fmt"
	"math"
)

// Variant is a form of Cascade: how many passes it has, how long their blocks are, and whether the parities of
// parts of blocks are used when a later pass corrects a bit in them. The names are those of J. Martinez-Mateo,
// C. Pacher, M. Peev, A. Ciurana and V. Martin, "Demystifying the information reconciliation protocol Cascade"
// (2014), table 1.
type Variant int

// With all of them, what was answered once is not asked again, which the paper's count allows.
const (
	Original Variant = iota // G. Brassard and L. Salvail (1993): 0.73/q, doubled with each of 4 passes
	Option3                 // 1/q, 2/q, then halves: 16 passes
	Option4                 // as Option3, with parts of blocks
	Option7                 // the power of two that follows 1/q, four times it, then halves: 14 passes, parts
	Option8                 // powers of two by log2(1/q), 4096, then halves: 14 passes, parts
)

// variants is the one place that says how they differ. first to third are the lengths of the blocks of passes 1
// to 3 at an error rate q > 0; from the first nil on they are half the key, or longestHalf.
var variants = [...]struct {
	name                 string
	passes               int
	parts                bool
	doubling             bool // each block twice as long as in the pass before, instead of halves
	shuffled             int  // how many passes have an order that is more than halves at random; the first one is among them
	first, second, third func(q float64) float64
}{
	Original: {"original", 4, false, true, 4, atLeast(0.73), nil, nil},
	Option3:  {"option3", 16, false, false, 2, atLeast(1), times(2, atLeast(1)), nil},
	Option4:  {"option4", 16, true, false, 2, atLeast(1), times(2, atLeast(1)), nil},
	Option7:  {"option7", 14, true, false, 2, powerOfTwo, times(4, powerOfTwo), nil},
	Option8:  {"option8", 14, true, false, 3, option8First, option8Second, func(float64) float64 { return 4096 }},
}

func atLeast(c float64) func(q float64) float64 {
	return func(q float64) float64 { return math.Ceil(c / q) }
}

func times(c float64, f func(q float64) float64) func(q float64) float64 {
	return func(q float64) float64 { return c * f(q) }
}

// Powers of two are compared and not computed by logarithms, which platforms round differently.

// powerOfTwo is 2^⌈log2(1/q)⌉.
func powerOfTwo(q float64) float64 {
	return smallestPower(func(k float64) bool { return k*q >= 1 })
}

// option8First is 2^⌈α⌉ with α = log2(1/q) − 1/2: the smallest k with k·q·√2 ≥ 1.
func option8First(q float64) float64 {
	return smallestPower(func(k float64) bool { return 2*(k*q*(k*q)) >= 1 })
}

// option8Second is 2^⌈(α+12)/2⌉: the smallest k with k²/2^12 ≥ 2^α.
func option8Second(q float64) float64 {
	return smallestPower(func(k float64) bool { k = k * k / 4096; return 2*(k*q*(k*q)) >= 1 })
}

func smallestPower(enough func(k float64) bool) float64 {
	k := 1.0
	for !enough(k) && k < maxBits {
		k *= 2
	}
	return k
}

// longestHalf is where halves of the key are divided further: an odd number of errors in a block is found, and of the few that
// are left in a long key there would be an even number too often.
const longestHalf = 1 << 15

// maxBits is the longest string that can be reconciled.
const maxBits = 1 << 30

// ErrParameters is a variant, an error rate or a length for which there is no Cascade.
var ErrParameters = errors.New("distill: wrong parameters")

func (v Variant) String() string {
	if v < 0 || int(v) >= len(variants) {
		return fmt.Sprintf("variant(%d)", int(v))
	}
	return variants[v].name
}

// ParseVariant is the opposite of String.
func ParseVariant(name string) (Variant, error) {
	for v := range variants {
		if variants[v].name == name {
			return Variant(v), nil
		}
	}
	return 0, fmt.Errorf("%w: no variant %q", ErrParameters, name)
}

// Passes returns how many passes a variant has.
func (v Variant) Passes() int { return variants[v].passes }

// shuffles tells whether a pass, counted from 0, has an order of its own; those after that only divide the bits into halves.
func (v Variant) shuffles(pass int) bool { return pass < variants[v].shuffled }

// blockLength returns the length of the blocks of a pass, counted from 0, of n bits: at least 1, and at most n.
func (v Variant) blockLength(pass, n int, q float64) int {
	row := &variants[v]
	half := float64((n + 1) / 2)
	var k float64
	switch f := [...]func(float64) float64{row.first, row.second, row.third}; {
	case row.doubling:
		k = math.Ldexp(row.first(q), pass)
	case pass < len(f) && f[pass] != nil:
		k = f[pass](q)
	default:
		k = min(half, longestHalf)
	}
	if pass > 0 {
		// A later pass of one block would ask for nothing that is not known.
		k = min(k, half)
	}
	return int(max(1, min(k, float64(n)))) // q = 0 gives an infinite k
}

func checkParameters(v Variant, n int, q float64) error {
	switch {
	case v < 0 || int(v) >= len(variants):
		return fmt.Errorf("%w: %v", ErrParameters, v)
	case n > maxBits:
		return fmt.Errorf("%w: %d bits are more than %d", ErrParameters, n, maxBits)
	case !(q >= 0 && q <= 0.5):
		return fmt.Errorf("%w: an error rate of %v is not within 0 and 1/2", ErrParameters, q)
	}
	return nil
}
