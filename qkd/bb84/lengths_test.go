package bb84

import (
	"errors"
	"math"
	"testing"
)

var strict = Security{Secret: 1e-10, Correct: 1e-15}

// published are the counts that the key lengths are checked at.
func published() DecoyCounts {
	return DecoyCounts{
		Mu: [3]float64{0.45, 0.15, 0}, P: [3]float64{0.6, 0.25, 0.15},
		NX: [3]float64{87620739, 12301579, 77682}, NZ: [3]float64{5476296, 768849, 4855}, MZ: [3]float64{140886, 22334, 2428},
		Leak: 20478902, Security: strict,
	}
}

func TestDecoyLength(t *testing.T) {
	c := published()
	r, err := c.Evaluate()
	if err != nil {
		t.Fatal(err)
	}
	if r.Length != 27876357 || math.Abs(r.SX0-207266.04) > 0.005 || math.Abs(r.SX1-62999043.24) > 0.005 || math.Abs(r.PhiX-0.038577179) > 5e-10 {
		t.Errorf("length %d, s_X0 %.2f, s_X1 %.2f, phi_X %.9f", r.Length, r.SX0, r.SX1, r.PhiX)
	}
}

// reference computes a decoy length in another way: with package math, one equation after the other, as they are printed.
func reference(c *DecoyCounts) float64 {
	ln := math.Log(21 / c.Secret)
	tau := func(n int) (sum float64) {
		for k, mu := range c.Mu {
			f, _ := math.Lgamma(float64(n + 1))
			sum += c.P[k] * math.Exp(-mu) * math.Pow(mu, float64(n)) / math.Exp(f)
		}
		return sum
	}
	bound := func(n [3]float64, k int, sign float64) float64 {
		return math.Exp(c.Mu[k]) / c.P[k] * (n[k] + sign*math.Sqrt((n[0]+n[1]+n[2])/2*ln))
	}
	m1, m2, m3 := c.Mu[0], c.Mu[1], c.Mu[2]
	s0 := func(n [3]float64) float64 {
		return math.Max(0, tau(0)*(m2*bound(n, 2, -1)-m3*bound(n, 1, 1))/(m2-m3))
	}
	s1 := func(n [3]float64) float64 {
		in := bound(n, 1, -1) - bound(n, 2, 1) - (m2*m2-m3*m3)/(m1*m1)*(bound(n, 0, 1)-s0(n)/tau(0))
		return math.Max(0, tau(1)*m1*in/(m1*(m2-m3)-m2*m2+m3*m3))
	}
	v := math.Max(0, tau(1)*(bound(c.MZ, 1, 1)-bound(c.MZ, 2, -1))/(m2-m3))
	single := 0.0
	if sx, sz := s1(c.NX), s1(c.NZ); sx > 0 && sz > 0 {
		b, phi := v/sz, 1.0
		if b == 0 {
			phi = 0
		} else if b < 1 {
			phi = b + math.Sqrt(math.Max(0, (sz+sx)*(1-b)*b/(sz*sx*math.Log(2))*math.Log2((sz+sx)/(sz*sx*(1-b)*b)*21*21/(c.Secret*c.Secret))))
		}
		if phi < 0.5 {
			single = sx * (1 + phi*math.Log2(math.Max(phi, 1e-300)) + (1-phi)*math.Log2(1-phi))
		}
	}
	return s0(c.NX) + single - c.Leak - 6*math.Log2(21/c.Secret) - math.Log2(2/c.Correct)
}

func TestDecoyLengthAgainstReference(t *testing.T) {
	random := &stream{r: Seeded(Seed("lengths")).Alice}
	positive := 0
	for range 20000 {
		c := published()
		size := math.Exp(-20 * random.unit())
		for k := range c.Mu {
			c.NX[k] = math.Floor(c.NX[k] * size * 2 * random.unit())
			c.NZ[k] = math.Floor(c.NZ[k] * size * 10 * random.unit())
			c.MZ[k] = math.Floor(c.NZ[k] * math.Exp(-8*random.unit()))
		}
		c.Mu = [3]float64{0.4 + 0.3*random.unit(), 0.1 + 0.2*random.unit(), 0.02 * random.unit()}
		c.P[0] = 0.1 + 0.8*random.unit()
		c.P[1] = (1 - c.P[0]) * random.unit()
		c.P[2] = 1 - c.P[0] - c.P[1]
		c.Leak = math.Floor((c.NX[0] + c.NX[1]) * 0.2 * random.unit())
		c.Secret = math.Pow(10, -1-15*random.unit())
		got, err := c.Evaluate()
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		want := reference(&c)
		if scale := 1 + c.NX[0] + c.NX[1] + c.NX[2] + got.SX0; math.Abs(got.Unfloored-want) > 1e-9*scale {
			t.Fatalf("%+v gives %v, want %v", c, got.Unfloored, want)
		}
		if got.Length != int64(math.Min(c.NX[0]+c.NX[1]+c.NX[2], math.Max(0, math.Floor(got.Unfloored)))) {
			t.Fatalf("%v bits are made %d", got.Unfloored, got.Length)
		}
		if got.Length > 0 {
			positive++
		}
	}
	if positive < 1000 {
		t.Errorf("only %d of the lengths are above 0", positive)
	}
}

func TestDecoyEdges(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*DecoyCounts)
		check  func(DecoyLength) bool
	}{
		{"nothing at all", func(c *DecoyCounts) { c.NX, c.NZ, c.MZ, c.Leak = [3]float64{}, [3]float64{}, [3]float64{}, 0 },
			func(r DecoyLength) bool { return r.Length == 0 && r.SX0 == 0 && r.SX1 == 0 && r.PhiX == 0.5 }},
		{"no key bits", func(c *DecoyCounts) { c.NX = [3]float64{} }, func(r DecoyLength) bool { return r.Length == 0 && r.SX1 == 0 && r.PhiX == 0.5 }},
		{"no test bits", func(c *DecoyCounts) { c.NZ, c.MZ = [3]float64{}, [3]float64{} },
			func(r DecoyLength) bool { return r.Length == 0 && r.SZ1 == 0 && r.PhiX == 0.5 }},
		{"no errors", func(c *DecoyCounts) { c.MZ = [3]float64{} }, func(r DecoyLength) bool { return r.VZ1 == 0 && r.PhiX == 0 && r.Length > 42e6 }},
		{"vacuum errs more than decoys", func(c *DecoyCounts) { c.MZ = [3]float64{0, 0, 4855} },
			func(r DecoyLength) bool { return r.VZ1 == 0 && r.PhiX == 0 && r.Length > 0 }},
		{"all errors", func(c *DecoyCounts) { c.MZ = c.NZ }, func(r DecoyLength) bool { return r.Length == 0 && r.PhiX == 1 }},
		{"many errors", func(c *DecoyCounts) { c.MZ = [3]float64{2.6e6, 3.6e5, 2300} },
			func(r DecoyLength) bool { return r.Length == 0 && r.PhiX > 0.5 && r.PhiX <= 1 }},
		{"the vacuum outlives a phase error rate above 1/2", func(c *DecoyCounts) { c.MZ, c.NX[2], c.Leak = c.NZ, 1e6, 0 },
			func(r DecoyLength) bool {
				return r.Length == int64(r.SX0-6*math.Log2(21e10)-math.Log2(2e15)) && r.Length > 0
			}},
		{"decoys weaker than the vacuum", func(c *DecoyCounts) { c.NX[1] = 0 }, func(r DecoyLength) bool { return r.SX1 == 0 && r.Length == 0 }},
		{"too much leak", func(c *DecoyCounts) { c.Leak = 1e15 }, func(r DecoyLength) bool { return r.Length == 0 && r.Unfloored < -9e14 }},
		{"one key bit", func(c *DecoyCounts) { c.NX = [3]float64{1, 0, 0} }, func(r DecoyLength) bool { return r.Length == 0 && r.SX1 == 0 }},
	} {
		counts := published()
		c.change(&counts)
		r, err := counts.Evaluate()
		if err != nil || !c.check(r) {
			t.Errorf("%s: %+v, %v", c.name, r, err)
		}
	}
}

func TestDecoyRefuses(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, change := range map[string]func(*DecoyCounts){
		"NaN in mu": func(c *DecoyCounts) { c.Mu[2] = nan }, "NaN in p": func(c *DecoyCounts) { c.P[1] = nan },
		"NaN in n_x": func(c *DecoyCounts) { c.NX[0] = nan }, "NaN in n_z": func(c *DecoyCounts) { c.NZ[0] = nan }, "NaN in m_z": func(c *DecoyCounts) { c.MZ[0] = nan },
		"NaN leak": func(c *DecoyCounts) { c.Leak = nan }, "NaN eps_sec": func(c *DecoyCounts) { c.Secret = nan }, "NaN eps_cor": func(c *DecoyCounts) { c.Correct = nan },
		"endless n_x": func(c *DecoyCounts) { c.NX[0] = inf }, "endless leak": func(c *DecoyCounts) { c.Leak = inf },
		"negative n_x": func(c *DecoyCounts) { c.NX[1] = -1 }, "negative leak": func(c *DecoyCounts) { c.Leak = -1 }, "negative mu": func(c *DecoyCounts) { c.Mu[2] = -0.1 },
		"eps 0": func(c *DecoyCounts) { c.Secret = 0 }, "eps 1": func(c *DecoyCounts) { c.Correct = 1 },
		"p 0": func(c *DecoyCounts) { c.P = [3]float64{0.6, 0.4, 0} }, "sum of p": func(c *DecoyCounts) { c.P[0] = 0.61 },
		"equal decoys": func(c *DecoyCounts) { c.Mu = [3]float64{0.45, 0.1, 0.1} }, "a weak signal": func(c *DecoyCounts) { c.Mu = [3]float64{0.2, 0.15, 0.05} },
		"bright": func(c *DecoyCounts) { c.Mu[0] = 1000 }, "more errors than detections": func(c *DecoyCounts) { c.MZ[2] = 5000 },
	} {
		c := published()
		change(&c)
		if r, err := c.Evaluate(); !errors.Is(err, ErrCounts) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestSingleLength(t *testing.T) {
	for _, c := range []struct {
		n, k, q, leak float64
		want          int64
	}{
		{1e4, 1e4, 0.01, 938, 4927},
		{1e5, 2e4, 0.02, 16408, 51419},
		{0, 0, 0, 0, 0},
		{0, 1e4, 0, 0, 0},
		{1e4, 0, 0, 0, 0},
		{1, 1, 0, 0, 0},
		{1e4, 1e4, 0.5, 0, 0},
		{1e4, 1e4, 0.45, 0, 0}, // with µ above 1/2
		{1e4, 1e4, 1, 0, 0},
		{1e4, 1e4, 0.01, 1e9, 0},
		{1e12, 1e12, 0, 0, 999870246686}, // µ = 6.987e-6
	} {
		s := SingleCounts{N: c.n, K: c.k, Q: c.q, Leak: c.leak, Security: strict}
		r, err := s.Evaluate()
		if err != nil || r.Length != c.want {
			t.Errorf("%+v gives %+v, %v; want a length of %d", s, r, err, c.want)
		}
	}
	// What a 256-bit key needs, with f_EC 1.16 and as many test bits as are best.
	for _, c := range []struct{ q, sifted float64 }{{0, 2300}, {0.01, 3050}, {0.03, 5300}, {0.05, 10400}, {0.08, 68600}} {
		best := 0.0
		for k := 0.05; k < 0.95; k += 0.005 {
			n := c.sifted * (1 - k)
			h := 0.0
			if c.q > 0 {
				h = -c.q*math.Log2(c.q) - (1-c.q)*math.Log2(1-c.q)
			}
			s := SingleCounts{N: n, K: c.sifted * k, Q: c.q, Leak: 1.16 * n * h, Security: strict}
			r, err := s.Evaluate()
			if err != nil {
				t.Fatal(err)
			}
			best = math.Max(best, r.Unfloored)
		}
		if best < 235 || best > 290 {
			t.Errorf("%v sifted bits at %v give %v secret ones, want about 256", c.sifted, c.q, best)
		}
	}
}

func TestSingleRefuses(t *testing.T) {
	nan := math.NaN()
	for _, s := range []SingleCounts{
		{N: nan, K: 1, Security: strict}, {N: 1, K: nan, Security: strict}, {N: 1, K: 1, Q: nan, Security: strict}, {N: 1, K: 1, Leak: nan, Security: strict},
		{N: -1, K: 1, Security: strict}, {N: 1, K: -1, Security: strict}, {N: 1, K: 1, Q: -0.1, Security: strict}, {N: 1, K: 1, Q: 1.1, Security: strict},
		{N: 1, K: 1, Leak: -1, Security: strict}, {N: math.Inf(1), K: 1, Security: strict}, {N: 1, K: 1}, {N: 1, K: 1, Security: Security{0.5, nan}},
	} {
		if r, err := s.Evaluate(); !errors.Is(err, ErrCounts) {
			t.Errorf("%+v: %+v, %v", s, r, err)
		}
	}
}
