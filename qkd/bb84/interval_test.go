package bb84

import (
	"math"
	"testing"
)

func TestInterval(t *testing.T) {
	for _, c := range []struct {
		wrong, n  int64
		low, high float64
	}{
		{0, 0, 0, 1},
		{0, 1, 0, 0.975},
		{1, 1, 0.025, 1},
		{0, 10, 0, 0.3084971},
		{1, 10, 0.0025286, 0.4450161},
		{5, 10, 0.1870860, 0.8129140},
		{10, 10, 0.6915029, 1},
		{8, 100, 0.0351719, 0.1515576},
		{-1, 10, 0, 1},
		{11, 10, 0, 1},
	} {
		low, high := Interval(c.wrong, c.n, 0.95)
		if math.Abs(low-c.low) > 1e-6 || math.Abs(high-c.high) > 1e-6 {
			t.Errorf("%d of %d: %.7f to %.7f, want %.7f to %.7f", c.wrong, c.n, low, high, c.low, c.high)
		}
	}
	if low, high := Interval(1, 10, math.NaN()); low != 0 || high != 1 {
		t.Errorf("without a level: %v to %v", low, high)
	}
}

// TestIntervalTails sums the binomial distribution up to what was seen, which must leave half of 5% on each side.
func TestIntervalTails(t *testing.T) {
	for _, c := range []struct{ wrong, n int64 }{{1, 7}, {3, 50}, {20, 60}, {111, 1000}, {2500, 10000}, {250, 100000}} {
		low, high := Interval(c.wrong, c.n, 0.95)
		above, below := 0.0, 0.0
		for i := range c.n + 1 {
			term := func(p float64) float64 {
				a, _ := math.Lgamma(float64(c.n + 1))
				b, _ := math.Lgamma(float64(i + 1))
				d, _ := math.Lgamma(float64(c.n - i + 1))
				return math.Exp(a - b - d + float64(i)*math.Log(p) + float64(c.n-i)*math.Log(1-p))
			}
			if i >= c.wrong {
				above += term(low)
			}
			if i <= c.wrong {
				below += term(high)
			}
		}
		if math.Abs(above-0.025) > 1e-7 || math.Abs(below-0.025) > 1e-7 {
			t.Errorf("%d of %d: tails of %v and %v", c.wrong, c.n, above, below)
		}
	}
}

// TestIntervalOfMany compares with the normal distribution where that is exact.
func TestIntervalOfMany(t *testing.T) {
	low, high := Interval(25_000_000, 100_000_000, 0.95)
	if want := 1.959964 * math.Sqrt(0.25*0.75/1e8); math.Abs((high-low)/2/want-1) > 1e-3 || math.Abs((high+low)/2-0.25) > 1e-7 {
		t.Errorf("%v to %v", low, high)
	}
}
