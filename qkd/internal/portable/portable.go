// Package portable has the few functions of mathematics that the simulation needs, so written that each gives the same
// bits on every platform. Those of package math do not: some are assembly on one architecture, and the compiler fuses
// x*y + z into one rounding where the processor can. Here every product that is added to something is converted
// explicitly, which the language says prevents it.
//
// Errors are below three units in the last place, except where a function says otherwise. It is no replacement for
// package math: ranges that probabilities and counts do not reach are not cared for beyond giving NaN or an infinity.
package portable

import "math"

// From FreeBSD's e_log.c and e_exp.c, as in package math.
const (
	ln2Hi = 6.93147180369123816490e-01
	ln2Lo = 1.90821492927058770002e-10
	log2e = 1.44269504088896338700e+00
)

// Log is the natural logarithm. Log(0) is -Inf, that of a negative number NaN.
func Log(x float64) float64 {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 1):
		return x
	case x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	}
	f, exponent := math.Frexp(x)
	if f < math.Sqrt2/2 {
		f *= 2
		exponent--
	}
	f--
	k := float64(exponent)
	s := f / (2 + f)
	s2 := float64(s * s)
	s4 := float64(s2 * s2)
	t1 := float64(s2 * horner(s4, 1.479819860511658591e-01, 1.818357216161805012e-01, 2.857142874366239149e-01, 6.666666666666735130e-01))
	t2 := float64(s4 * horner(s4, 1.531383769920937332e-01, 2.222219843214978396e-01, 3.999999999940941908e-01))
	half := float64(0.5 * float64(f*f))
	rest := float64(s*(half+(t1+t2))) + float64(k*ln2Lo)
	return float64(k*ln2Hi) - ((half - rest) - f)
}

// Log2 is the logarithm to base 2; that of a power of two is exact.
func Log2(x float64) float64 {
	f, exponent := math.Frexp(x)
	if f < math.Sqrt2/2 {
		f *= 2
		exponent--
	}
	return float64(exponent) + Log(f)/math.Ln2
}

// Log1p is the logarithm of 1+x, also where x is far below 1.
func Log1p(x float64) float64 {
	sum := 1 + x
	switch {
	case sum == 1:
		return x
	case math.IsInf(sum, 1) || !(sum > 0):
		return Log(sum)
	}
	return Log(sum) * (x / (sum - 1))
}

// Exp is e to the power of x.
func Exp(x float64) float64 {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 1):
		return x
	case x > 7.09782712893383973096e+02:
		return math.Inf(1)
	case x < -7.45133219101941108420e+02:
		return 0
	}
	k := math.Floor(float64(log2e*x) + 0.5)
	hi := x - float64(k*ln2Hi)
	lo := float64(k * ln2Lo)
	r := hi - lo
	t := float64(r * r)
	c := r - float64(t*horner(t, 4.13813679705723846039e-08, -1.65339022054652515390e-06, 6.61375632143793436117e-05, -2.77777777770155933842e-03, 1.66666666666666019037e-01))
	y := 1 - ((lo - float64(r*c)/(2-c)) - hi)
	return math.Ldexp(y, int(k))
}

// Pow10 is 10 to the power of x. The relative error grows with x, to 1e-14 at 100.
func Pow10(x float64) float64 { return Exp(float64(x * math.Ln10)) }

// Power is x to the power of n, for n of 0 or more.
func Power(x float64, n int) float64 {
	result := 1.0
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			result *= x
		}
		x *= x
	}
	return result
}

// horner evaluates a polynomial; the coefficient of the highest power comes first.
func horner(x float64, coefficients ...float64) float64 {
	sum := 0.0
	for _, c := range coefficients {
		sum = float64(sum*x) + c
	}
	return sum
}

// LogGamma is the logarithm of the gamma function for x > 0, to a relative error of 1e-14 or an absolute one of 1e-14,
// whichever is more: Stirling's series from 10 on, and the recurrence below.
func LogGamma(x float64) float64 {
	if !(x > 0) {
		return math.NaN()
	}
	shift := 1.0
	for ; x < 10; x++ {
		shift *= x
	}
	inverse := 1 / x
	series := inverse * horner(float64(inverse*inverse), -691.0/360360, 1.0/1188, -1.0/1680, 1.0/1260, -1.0/360, 1.0/12)
	const halfLogTwoPi = 0.91893853320467274178
	return float64((x-0.5)*Log(x)) - x + halfLogTwoPi + float64(series) - Log(shift)
}

// Entropy is the binary entropy -x·log2(x) - (1-x)·log2(1-x) in bits, for x from 0 to 1; NaN elsewhere.
func Entropy(x float64) float64 {
	switch {
	case x == 0 || x == 1:
		return 0
	case !(x > 0 && x < 1):
		return math.NaN()
	}
	return (-float64(x*Log(x)) - float64((1-x)*Log1p(-x))) / math.Ln2
}
