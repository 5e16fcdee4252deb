package bb84

import (
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
	t.Logf("%+v", r)
	if r.Length != 27876357 || math.Abs(r.SX0-207266.04) > 0.005 || math.Abs(r.SX1-62999043.24) > 0.005 || math.Abs(r.PhiX-0.038577179) > 5e-10 {
		t.Errorf("length %d, s_X0 %.2f, s_X1 %.2f, phi_X %.9f", r.Length, r.SX0, r.SX1, r.PhiX)
	}
}

func TestSingleLength(t *testing.T) {
	for _, c := range []struct {
		n, k, q, leak float64
		want          int64
	}{
		{1e4, 1e4, 0.01, 938, 4927},
		{1e5, 2e4, 0.02, 16408, 51419},
		{0, 1e4, 0, 0, 0},
		{1e4, 0, 0, 0, 0},
		{1e4, 1e4, 0.5, 0, 0},
		{1e4, 1e4, 1, 0, 0},
	} {
		s := SingleCounts{N: c.n, K: c.k, Q: c.q, Leak: c.leak, Security: strict}
		r, err := s.Evaluate()
		if err != nil || r.Length != c.want {
			t.Errorf("%+v gives %+v, %v; want a length of %d", s, r, err, c.want)
		}
	}
}
