package vectors

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"hash"
	"testing"
)

// wycheproof is the form that all of its files share: groups of tests with parameters in common.
type wycheproof[Group any] struct {
	NumberOfTests int     `json:"numberOfTests"`
	TestGroups    []Group `json:"testGroups"`
}

// outcome is how a test must end: "valid" with what is expected, "invalid" with an error, "acceptable"
// with either.
type outcome struct {
	ID     int    `json:"tcId"`
	Result string `json:"result"`
}

// judge compares what came out with the outcome, and counts.
func (o outcome) judge(t *testing.T, c *tally, got, want []byte, err error) {
	t.Helper()
	c.ran++
	switch {
	case o.Result == "valid" && err != nil:
		t.Errorf("test %d: refused: %v", o.ID, err)
	case o.Result == "invalid" && err == nil:
		t.Errorf("test %d: accepted", o.ID)
	case o.Result != "valid" && o.Result != "invalid" && o.Result != "acceptable":
		t.Errorf("test %d: unknown result %q", o.ID, o.Result)
	case o.Result != "invalid" && err == nil && !bytes.Equal(got, want):
		t.Errorf("test %d: got %x, want %x", o.ID, got, want)
	}
}

// complete fails when the loop did not see every test that the file counts.
func complete(t *testing.T, c *tally, numberOfTests int) {
	t.Helper()
	seen := c.ran
	for _, n := range c.skipped {
		seen += n
	}
	if seen != numberOfTests {
		t.Errorf("%d tests of %d were seen", seen, numberOfTests)
	}
	c.report(t)
}

func TestWycheproofAESGCM(t *testing.T) {
	var f wycheproof[struct {
		Tests []struct {
			outcome
			Key, IV, AAD, Msg, CT, Tag Hex
		}
	}]
	decode(t, Shared(t, "wycheproof/aes_gcm_test.json"), &f)
	var c tally
	for _, g := range f.TestGroups {
		for _, v := range g.Tests {
			block, err := aes.NewCipher(v.Key)
			if err != nil {
				t.Fatalf("test %d: %v", v.ID, err)
			}
			sealed := append(bytes.Clone(v.CT), v.Tag...)
			gcm, err := cipher.NewGCMWithNonceSize(block, len(v.IV))
			var opened []byte
			if err == nil {
				if opened, err = gcm.Open(nil, v.IV, sealed, v.AAD); err == nil {
					if again := gcm.Seal(nil, v.IV, v.Msg, v.AAD); !bytes.Equal(again, sealed) {
						t.Errorf("test %d: sealed to %x", v.ID, again)
					}
				}
			}
			v.judge(t, &c, opened, v.Msg, err)
		}
	}
	complete(t, &c, f.NumberOfTests)
}

func TestWycheproofHKDF(t *testing.T) {
	for name, h := range map[string]func() hash.Hash{"sha256": sha256.New, "sha512": sha512.New} {
		t.Run(name, func(t *testing.T) {
			var f wycheproof[struct {
				Tests []struct {
					outcome
					IKM, Salt, Info, OKM Hex
					Size                 int
				}
			}]
			decode(t, Shared(t, "wycheproof/hkdf_"+name+"_test.json"), &f)
			var c tally
			for _, g := range f.TestGroups {
				for _, v := range g.Tests {
					okm, err := hkdf.Key(h, v.IKM, v.Salt, string(v.Info), v.Size)
					v.judge(t, &c, okm, v.OKM, err)
				}
			}
			complete(t, &c, f.NumberOfTests)
		})
	}
}

func TestWycheproofECDH(t *testing.T) {
	var f wycheproof[struct {
		Tests []struct {
			outcome
			Public          Hex
			Private, Shared oddHex
		}
	}]
	decode(t, Shared(t, "wycheproof/ecdh_secp384r1_ecpoint_test.json"), &f)
	var c tally
	for _, g := range f.TestGroups {
		for _, v := range g.Tests {
			// The file writes private keys as integers, with a leading zero byte or without small ones.
			scalar := bytes.TrimLeft(v.Private, "\x00")
			private, err := ecdh.P384().NewPrivateKey(append(make([]byte, 48-len(scalar)), scalar...))
			if err != nil {
				t.Fatalf("test %d: %v", v.ID, err)
			}
			var secret []byte
			public, err := ecdh.P384().NewPublicKey(v.Public)
			if err == nil {
				secret, err = private.ECDH(public)
			}
			v.judge(t, &c, secret, v.Shared, err)
		}
	}
	complete(t, &c, f.NumberOfTests)
}

// oddHex is hex of an integer, perhaps with an odd number of digits.
type oddHex []byte

func (h *oddHex) UnmarshalText(b []byte) error {
	if len(b)%2 == 1 {
		b = append([]byte("0"), b...)
	}
	return (*Hex)(h).UnmarshalText(b)
}

func TestWycheproofMLKEMDecapsulation(t *testing.T) {
	var f wycheproof[struct {
		ParameterSet string
		Tests        []struct {
			outcome
			Seed, EK, C, K Hex
		}
	}]
	decode(t, Shared(t, "wycheproof/mlkem_1024_test.json"), &f)
	var c tally
	for _, g := range f.TestGroups {
		for _, v := range g.Tests {
			var secret []byte
			dk, err := mlkem.NewDecapsulationKey1024(v.Seed)
			if err == nil {
				if ek := dk.EncapsulationKey().Bytes(); !bytes.Equal(ek, v.EK) {
					t.Errorf("test %d: another encapsulation key", v.ID)
				}
				secret, err = dk.Decapsulate(v.C)
			}
			v.judge(t, &c, secret, v.K, err)
		}
	}
	complete(t, &c, f.NumberOfTests)
}

func TestWycheproofMLKEMEncapsulation(t *testing.T) {
	var f wycheproof[struct {
		Tests []struct {
			outcome
			M, EK, C, K Hex
		}
	}]
	decode(t, Shared(t, "wycheproof/mlkem_1024_encaps_test.json"), &f)
	var c tally
	for _, g := range f.TestGroups {
		for _, v := range g.Tests {
			secret, ciphertext, err := encapsulate(v.EK, v.M)
			v.judge(t, &c, append(secret, ciphertext...), append(bytes.Clone(v.K), v.C...), err)
		}
	}
	complete(t, &c, f.NumberOfTests)
}

func encapsulate(ek, m []byte) (secret, ciphertext []byte, err error) {
	key, err := mlkem.NewEncapsulationKey1024(ek)
	if err != nil {
		return nil, nil, err
	}
	return mlkemtest.Encapsulate1024(key, m)
}

func TestWycheproofMLKEMKeyGeneration(t *testing.T) {
	var f wycheproof[struct {
		Tests []struct {
			outcome
			Seed, EK, DK Hex
		}
	}]
	decode(t, Shared(t, "wycheproof/mlkem_1024_keygen_seed_test.json"), &f)
	var c tally
	for _, g := range f.TestGroups {
		for _, v := range g.Tests {
			ek, err := encapsulationKey(v.Seed, v.DK)
			v.judge(t, &c, ek, v.EK, err)
		}
	}
	complete(t, &c, f.NumberOfTests)
}

// encapsulationKey makes the public half of a seed. crypto/mlkem has no form for the expanded private key
// dkPKE ‖ ek ‖ H(ek) ‖ z, so that of it only ek and z are compared.
func encapsulationKey(seed, expanded []byte) ([]byte, error) {
	dk, err := mlkem.NewDecapsulationKey1024(seed)
	if err != nil {
		return nil, err
	}
	ek := dk.EncapsulationKey().Bytes()
	const dkPKE = 12 * 256 / 8 * 4
	if len(expanded) != dkPKE+len(ek)+64 || !bytes.Equal(expanded[dkPKE:dkPKE+len(ek)], ek) ||
		!bytes.Equal(expanded[len(expanded)-32:], seed[32:]) {
		return nil, errors.New("the expanded key holds another public key or z")
	}
	return ek, nil
}
