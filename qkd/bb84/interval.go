package bb84

import (
	"math"

	"stonevault/qkd/internal/portable"
)

// Interval is the confidence interval of C. J. Clopper and E. S. Pearson (Biometrika 26, 404, 1934) for a rate at which wrong
// of n bits were errors: in at least level, such as 0.95, of all experiments it covers the true rate. Without bits it is
// everything from 0 to 1.
func Interval(wrong, n int64, level float64) (low, high float64) {
	if n <= 0 || wrong < 0 || wrong > n || !(level > 0 && level < 1) {
		return 0, 1
	}
	tail := float64((1 - level) / 2)
	high = 1
	if wrong > 0 {
		low = solve(func(p float64) bool { return beta(p, float64(wrong), float64(n-wrong+1)) >= tail })
	}
	if wrong < n {
		high = solve(func(p float64) bool { return beta(p, float64(wrong+1), float64(n-wrong)) >= 1-tail })
	}
	return low, high
}

// solve returns where reached becomes true between 0 and 1.
func solve(reached func(float64) bool) float64 {
	low, high := 0.0, 1.0
	for range 60 {
		if middle := (low + high) / 2; reached(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// beta is the regularized incomplete beta function I_x(a, b), by the continued fraction 8.17.22 of the NIST Digital Library
// of Mathematical Functions, evaluated as W. J. Lentz does.
func beta(x, a, b float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	case x > (a+1)/(a+b+2):
		return 1 - beta(1-x, b, a)
	}
	logFront := portable.LogGamma(a+b) - portable.LogGamma(a) - portable.LogGamma(b) + float64(a*portable.Log(x)) + float64(b*portable.Log1p(-x))
	const tiny = 1e-300
	atLeast := func(v float64) float64 {
		if math.Abs(v) < tiny {
			return tiny
		}
		return v
	}
	c, d := 1.0, 1/atLeast(1-float64((a+b)*x)/(a+1))
	f := d
	for m := 1.0; m < 1e6; m++ {
		even := float64(m*(b-m)*x) / float64((a+2*m-1)*(a+2*m))
		odd := -float64((a+m)*(a+b+m)*x) / float64((a+2*m)*(a+2*m+1))
		f0 := f
		for _, step := range [2]float64{even, odd} {
			d = 1 / atLeast(1+float64(step*d))
			c = atLeast(1 + step/c)
			f = float64(f * float64(c*d))
		}
		if math.Abs(f-f0) < 1e-14*math.Abs(f) {
			break
		}
	}
	return float64(portable.Exp(logFront)*f) / a
}
