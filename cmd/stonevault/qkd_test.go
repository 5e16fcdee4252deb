package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"stonevault/qkd/bb84"
)

func TestEvaluateCounts(t *testing.T) {
	const security = `"leak": 938, "eps_sec": 1e-10, "eps_cor": 1e-15`
	const weak = `{"mu": [0.45, 0.15, 0], "p": [0.6, 0.25, 0.15], "n_x": [9e7, 1e7, 8e4], "n_z": [5e6, 8e5, 5e3], "m_z": [1e5, 2e4, 2e3], ` + security
	for _, c := range []struct{ text, want string }{ // want is part of the error; "" is none
		{`{"n": 1e4, "k": 1e4, "q": 0.01, ` + security + `}`, ""},
		{weak + `}`, ""},
		{``, "no JSON object"},
		{`[]`, "no JSON object"},
		{`{"n": 1`, "no JSON"},
		{`{"n": }`, "no JSON"},
		{`{} {}`, "something follows"},
		{`{}`, "n is missing without mu, for single photons"},
		{`{"N": 1e4, "k": 1e4, "q": 0.01, ` + security + `}`, "n is missing"},
		{`{"n": 1, "n": 2}`, "n is there twice"},
		{`{"n": null, "k": 1e4, "q": 0.01, ` + security + `}`, "n is a number, unlike null"},
		{`{"n": "1", "k": 1e4, "q": 0.01, ` + security + `}`, `n is a number, unlike "1"`},
		{`{"n": 1e999, "k": 1e4, "q": 0.01, ` + security + `}`, "n is a number"},
		{`{"n": -1, "k": 1e4, "q": 0.01, ` + security + `}`, "n is a number from 0 to 2^53, unlike -1"},
		{`{"n": 1e4, "k": 1e4, "q": 1.01, ` + security + `}`, "q is a number from 0 to 1"},
		{`{"n": 1e4, "k": 1e4, "q": 0.01, "f": 1, ` + security + `}`, "there is no f without mu"},
		{`{"n": 1e4, "k": 1e4, "q": 0.01, "leak": 1, "eps_sec": 0, "eps_cor": 1e-15}`, "eps_sec lies between 0 and 1"},
		{weak + `, "n": 1}`, "there is no n with mu, for weak pulses"},
		{strings.Replace(weak, "[0.45, 0.15, 0]", "[0.45, 0.15]", 1) + `}`, "mu is a list of three numbers"},
		{strings.Replace(weak, "[0.45, 0.15, 0]", "[0.45, 0.15, null]", 1) + `}`, "mu is a list of three numbers"},
		{strings.Replace(weak, "[0.45, 0.15, 0]", "[0.15, 0.45, 0]", 1) + `}`, "the strongest first"},
		{strings.Replace(weak, "[0.6, ", "[0.7, ", 1) + `}`, "p adds up to 1"},
		{strings.Replace(weak, "[1e5, 2e4, 2e3]", "[6e6, 2e4, 2e3]", 1) + `}`, "there are no more errors than detections"},
	} {
		_, err := evaluateCounts([]byte(c.text))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}

// FuzzEvaluateCounts checks that whatever is evaluated has a length and bounds that JSON can say.
func FuzzEvaluateCounts(f *testing.F) {
	f.Add([]byte(`{"n": 1e4, "k": 1e4, "q": 0.01, "leak": 938, "eps_sec": 1e-10, "eps_cor": 1e-15}`))
	f.Add([]byte(`{"mu": [0.45, 0.15, 0], "p": [0.6, 0.25, 0.15], "n_x": [9, 1, 8], "n_z": [5, 8, 5], "m_z": [1, 2, 0], "leak": 0, "eps_sec": 0.5, "eps_cor": 0.5}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		length, err := evaluateCounts(text)
		if err != nil {
			return
		}
		if _, err := json.Marshal(length); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		bits := int64(-1)
		switch l := length.(type) {
		case *bb84.DecoyLength:
			bits = l.Length
		case *bb84.SingleLength:
			bits = l.Length
		}
		if bits < 0 || bits > math.MaxInt64/2 {
			t.Errorf("%s gives %d bits", text, bits)
		}
	})
}
