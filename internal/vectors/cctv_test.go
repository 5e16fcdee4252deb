package vectors

import (
	"bytes"
	"crypto/mlkem"
	"crypto/sha3"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// fields reads a file of lines "name = hex digits"; lines of another form show intermediate values.
func fields(t *testing.T, raw []byte) map[string][]byte {
	t.Helper()
	m := make(map[string][]byte)
	for line := range strings.Lines(string(raw)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if b, err := hex.DecodeString(value); ok && err == nil {
			m[name] = b
		}
	}
	return m
}

// TestCCTVMLKEM encapsulates to the files' public keys, and where the keys are those of the final FIPS 203
// also goes the way from the seed. Intermediate values crypto/mlkem does not show.
func TestCCTVMLKEM(t *testing.T) {
	for _, name := range []string{"intermediate", "unluckysample"} {
		t.Run(name, func(t *testing.T) {
			v := fields(t, Shared(t, "cctv/ML-KEM_"+name+"_ML-KEM-1024.txt"))
			for _, field := range []string{"d", "z", "ek", "dk", "m", "K", "c"} {
				if len(v[field]) == 0 {
					t.Fatalf("the file has no %s", field)
				}
			}
			secret, ciphertext, err := encapsulate(v["ek"], v["m"])
			if err := same(slices.Concat(secret, ciphertext), slices.Concat(v["K"], v["c"]), err); err != nil {
				t.Error(err)
			}

			// The draft made rho, which ends a public key, from d alone; the standard also hashes the rank.
			if rho := sha3.Sum512(v["d"]); bytes.HasSuffix(v["ek"], rho[:32]) {
				t.Skip("NOT RUN: key generation and decapsulation: the file's keys were made by the rules of the draft of " +
					"FIPS 203 (C2SP/CCTV issue 12), and the private key comes expanded; encapsulation ran")
			}
			seed := slices.Concat(v["d"], v["z"])
			ek, err := encapsulationKey(seed, v["dk"])
			if err := same(ek, v["ek"], err); err != nil {
				t.Fatal(err)
			}
			key, err := mlkem.NewDecapsulationKey1024(seed)
			if err != nil {
				t.Fatal(err)
			}
			secret, err = key.Decapsulate(v["c"])
			if err := same(secret, v["K"], err); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("strcmp", func(t *testing.T) {
		Shared(t, "cctv/ML-KEM_strcmp_ML-KEM-1024.txt")
		t.Skip("NOT RUN: 1: the private key comes expanded, and crypto/mlkem takes seeds alone; " +
			"TestWycheproofMLKEMDecapsulation has the same case from its seed")
	})
}

// TestCCTVModulus offers public keys with a coefficient that is not reduced: none may be taken.
func TestCCTVModulus(t *testing.T) {
	var c tally
	for line := range bytes.Lines(gunzip(t, Shared(t, "cctv/ML-KEM_modulus_ML-KEM-1024.txt.gz"))) {
		ek, err := hex.DecodeString(string(bytes.TrimSpace(line)))
		if err != nil || len(ek) != mlkem.EncapsulationKeySize1024 {
			t.Fatalf("line %d: %d bytes, %v", c.ran+1, len(ek), err)
		}
		c.ran++
		if _, err := mlkem.NewEncapsulationKey1024(ek); err == nil {
			t.Errorf("line %d was accepted", c.ran)
		}
	}
	c.report(t)
}
