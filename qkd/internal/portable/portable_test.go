package portable

import (
	"math"
	"testing"
)

func near(got, want, tolerance float64) bool {
	return got == want || math.IsNaN(got) && math.IsNaN(want) || math.Abs(got-want) <= tolerance*max(1e-300, math.Abs(want))
}

// TestAgainstMath compares with package math, whose errors are below one unit in the last place.
func TestAgainstMath(t *testing.T) {
	const ulp = 4.5e-16
	for i := range 20000 {
		x := math.Exp(float64(i)/100 - 100) // 4e-44 to 3e43
		if got, want := Log(x), math.Log(x); !near(got, want, ulp) {
			t.Fatalf("Log(%g) is %g, want %g", x, got, want)
		}
		if got, want := Log2(x), math.Log(x)/math.Ln2; !near(got, want, 3*ulp) {
			t.Fatalf("Log2(%g) is %g, want %g", x, got, want)
		}
		if got, want := Log1p(x), math.Log1p(x); !near(got, want, 2*ulp) {
			t.Fatalf("Log1p(%g) is %g, want %g", x, got, want)
		}
		y := float64(i)/20 - 500
		if got, want := Exp(y), math.Exp(y); !near(got, want, ulp) {
			t.Fatalf("Exp(%g) is %g, want %g", y, got, want)
		}
		z := float64(i+1) / 20001
		if got, want := Log1p(-z), math.Log1p(-z); !near(got, want, 2*ulp) {
			t.Fatalf("Log1p(%g) is %g, want %g", -z, got, want)
		}
		if got, want := LogGamma(float64(i+1)/10), first(math.Lgamma(float64(i+1)/10)); math.Abs(got-want) > 1e-14*max(1, math.Abs(want)) {
			t.Fatalf("LogGamma(%g) is %g, want %g", float64(i+1)/10, got, want)
		}
		if got, want := Pow10(y/50), math.Pow(10, y/50); !near(got, want, 1e-14) {
			t.Fatalf("Pow10(%g) is %g, want %g", y/50, got, want)
		}
	}
}

func first(x float64, _ int) float64 { return x }

func TestEdges(t *testing.T) {
	for _, c := range []struct {
		what      string
		got, want float64
	}{
		{"Log(0)", Log(0), math.Inf(-1)},
		{"Log(1)", Log(1), 0},
		{"Log(-1)", Log(-1), math.NaN()},
		{"Log(Inf)", Log(math.Inf(1)), math.Inf(1)},
		{"Log2(0)", Log2(0), math.Inf(-1)},
		{"Log2(1/1024)", Log2(1.0 / 1024), -10},
		{"Log2(2^60)", Log2(1 << 60), 60},
		{"Log1p(-1)", Log1p(-1), math.Inf(-1)},
		{"Log1p(-2)", Log1p(-2), math.NaN()},
		{"Log1p(1e-20)", Log1p(1e-20), 1e-20},
		{"Log1p(Inf)", Log1p(math.Inf(1)), math.Inf(1)},
		{"Exp(0)", Exp(0), 1},
		{"Exp(-Inf)", Exp(math.Inf(-1)), 0},
		{"Exp(710)", Exp(710), math.Inf(1)},
		{"Exp(NaN)", Exp(math.NaN()), math.NaN()},
		{"Power(0, 0)", Power(0, 0), 1},
		{"Power(0, 3)", Power(0, 3), 0},
		{"Power(3, 5)", Power(3, 5), 243},
		{"LogGamma(0)", LogGamma(0), math.NaN()},
		{"LogGamma(11)", LogGamma(11), math.Log(3628800)},
		{"Entropy(0)", Entropy(0), 0},
		{"Entropy(1)", Entropy(1), 0},
		{"Entropy(0.5)", Entropy(0.5), 1},
		{"Entropy(-0.1)", Entropy(-0.1), math.NaN()},
		{"Entropy(1.1)", Entropy(1.1), math.NaN()},
		{"Entropy(NaN)", Entropy(math.NaN()), math.NaN()},
		{"Entropy(0.11)", Entropy(0.11), 0.499915958164528},
		{"Entropy(1e-9)", Entropy(1e-9), 3.1340047e-8},
	} {
		if !near(c.got, c.want, 1e-7) {
			t.Errorf("%s is %g, want %g", c.what, c.got, c.want)
		}
	}
}

// TestTheSameBits pins results: they are part of every golden run.
func TestTheSameBits(t *testing.T) {
	sum := uint64(0)
	for i := 1; i < 2000; i++ {
		x := float64(i) / 2000
		for _, y := range []float64{Log(x), Log1p(-x), Exp(-20 * x), Exp(x), Log2(x), LogGamma(100 * x), Entropy(x), Pow10(-2 * x), Power(x, 7)} {
			sum = sum*0x9e3779b97f4a7c15 + math.Float64bits(y)
		}
	}
	if want := uint64(0x5a09ddb0de036666); sum != want {
		t.Errorf("the results have the digest %#x, want %#x", sum, want)
	}
}
