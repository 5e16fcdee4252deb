package distill

import "math"

// Efficiency returns f_EC = leak/(n·h(q)), how much was disclosed for each bit that Shannon's limit asks for; h is
// the binary entropy. It is +Inf or NaN where that limit is 0. It is for people: logarithms differ between platforms in
// their last bits.
func Efficiency(leak, n int, q float64) float64 {
	return float64(leak) / (float64(n) * entropy(q))
}

// entropy is h(q) = −q·log2(q) − (1−q)·log2(1−q), with h(0) = h(1) = 0.
func entropy(q float64) float64 {
	if q == 0 || q == 1 {
		return 0
	}
	return -float64(q*math.Log2(q)) - float64((1-q)*math.Log2(1-q))
}
