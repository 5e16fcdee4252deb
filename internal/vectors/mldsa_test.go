package vectors

import (
	"bytes"
	"crypto/sha3"
	"fmt"
	"testing"

	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"
	"github.com/cloudflare/circl/sign"
	"github.com/cloudflare/circl/sign/mldsa/mldsa44"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/cloudflare/circl/sign/mldsa/mldsa87"
)

// A parameterSet is ML-DSA at one strength, as made by the library in use and by the oracle.
type parameterSet struct {
	circl  sign.Scheme
	oracle mldsa.Parameters
	// hedged signs with fresh randomness, which circl's Scheme doesn't.
	hedged func(seed, message []byte, context string) ([]byte, error)
}

var parameterSets = map[string]parameterSet{
	"ML-DSA-44": {mldsa44.Scheme(), mldsa.MLDSA44(), func(seed, message []byte, context string) ([]byte, error) {
		_, key := mldsa44.NewKeyFromSeed((*[32]byte)(seed))
		sig := make([]byte, mldsa44.SignatureSize)
		return sig, mldsa44.SignTo(key, message, []byte(context), true, sig)
	}},
	"ML-DSA-65": {mldsa65.Scheme(), mldsa.MLDSA65(), func(seed, message []byte, context string) ([]byte, error) {
		_, key := mldsa65.NewKeyFromSeed((*[32]byte)(seed))
		sig := make([]byte, mldsa65.SignatureSize)
		return sig, mldsa65.SignTo(key, message, []byte(context), true, sig)
	}},
	"ML-DSA-87": {mldsa87.Scheme(), mldsa.MLDSA87(), func(seed, message []byte, context string) ([]byte, error) {
		_, key := mldsa87.NewKeyFromSeed((*[32]byte)(seed))
		sig := make([]byte, mldsa87.SignatureSize)
		return sig, mldsa87.SignTo(key, message, []byte(context), true, sig)
	}},
}

// refusal makes an error of a panic: circl's Scheme refuses seeds and contexts of a wrong length so.
func refusal[T any](f func() T) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("refused: %v", r)
		}
	}()
	return f(), nil
}

// signBoth signs with the library and with the oracle, which must agree to the byte.
func (p parameterSet) signBoth(seed, message []byte, context string) ([]byte, error) {
	sig, err := refusal(func() []byte {
		_, key := p.circl.DeriveKey(seed)
		return p.circl.Sign(key, message, &sign.SignatureOpts{Context: context})
	})
	key, oracleErr := mldsa.NewPrivateKey(p.oracle, seed)
	var oracleSig []byte
	if oracleErr == nil {
		oracleSig, oracleErr = key.SignDeterministic(message, &mldsa.Options{Context: context})
	}
	if (err == nil) != (oracleErr == nil) || !bytes.Equal(sig, oracleSig) {
		return nil, fmt.Errorf("library and oracle differ: %v, %v", err, oracleErr)
	}
	return sig, err
}

// verifyBoth verifies with the library and with the oracle, which must agree.
func (p parameterSet) verifyBoth(public, message, sig []byte, context string) (bool, error) {
	var holds, oracleHolds bool
	if key, err := p.circl.UnmarshalBinaryPublicKey(public); err == nil {
		holds = p.circl.Verify(key, message, sig, &sign.SignatureOpts{Context: context})
	}
	if key, err := mldsa.NewPublicKey(p.oracle, public); err == nil {
		oracleHolds = mldsa.Verify(key, message, sig, &mldsa.Options{Context: context}) == nil
	}
	if holds != oracleHolds {
		return false, fmt.Errorf("library says %t, oracle says %t", holds, oracleHolds)
	}
	return holds, nil
}

const inSchemes = "sign/schemes/testdata/wycheproof/"

func TestWycheproofMLDSASign(t *testing.T) {
	for _, file := range []struct {
		set  string
		from source
		path string
	}{
		{"ML-DSA-65", inShared, "wycheproof/mldsa_65_sign_seed_test.json"},
		{"ML-DSA-44", inModule, inSchemes + "mldsa_44_sign_seed_test.json.gz"},
		{"ML-DSA-65", inModule, inSchemes + "mldsa_65_seed_sign_test.json.gz"},
		{"ML-DSA-87", inModule, inSchemes + "mldsa_87_sign_seed_test.json.gz"},
	} {
		t.Run(file.set+" "+file.from.name, func(t *testing.T) {
			var f wycheproof[struct {
				PrivateSeed, PublicKey Hex
				Tests                  []struct {
					outcome
					Msg, Ctx, Mu, Rnd, Sig Hex
				}
			}]
			decode(t, file.from.read(t, file.path), &f)
			set := parameterSets[file.set]
			var c tally
			for _, g := range f.TestGroups {
				for _, v := range g.Tests {
					switch {
					case v.Msg == nil: // the message is known by its digest mu alone
						c.skip("the message is given as mu, which circl does not take; run with the oracle alone", 1)
						key, err := mldsa.NewPrivateKey(set.oracle, g.PrivateSeed)
						if err != nil {
							t.Fatal(err)
						}
						sig, err := key.SignDeterministic(v.Mu, mldsacrypto.MLDSAMu)
						v.judge(t, new(tally), sig, v.Sig, err)
					case v.Rnd != nil:
						c.skip("the randomness of signing is given, which no API takes; verified only", 1)
						if holds, err := set.verifyBoth(g.PublicKey, v.Msg, v.Sig, string(v.Ctx)); !holds || err != nil {
							t.Errorf("test %d: %t, %v", v.ID, holds, err)
						}
					default:
						sig, err := set.signBoth(g.PrivateSeed, v.Msg, string(v.Ctx))
						v.judge(t, &c, sig, v.Sig, err)
					}
				}
			}
			complete(t, &c, f.NumberOfTests)
		})
	}
}

func TestWycheproofMLDSAVerify(t *testing.T) {
	for _, file := range []struct {
		set  string
		from source
		path string
	}{
		{"ML-DSA-65", inShared, "wycheproof/mldsa_65_verify_test.json"},
		{"ML-DSA-44", inModule, inSchemes + "mldsa_44_verify_test.json.gz"},
		{"ML-DSA-65", inModule, inSchemes + "mldsa_65_verify_test.json.gz"},
		{"ML-DSA-87", inModule, inSchemes + "mldsa_87_verify_test.json.gz"},
	} {
		t.Run(file.set+" "+file.from.name, func(t *testing.T) {
			var f wycheproof[struct {
				PublicKey Hex
				Tests     []struct {
					outcome
					Msg, Ctx, Sig Hex
				}
			}]
			decode(t, file.from.read(t, file.path), &f)
			set := parameterSets[file.set]
			var c tally
			for _, g := range f.TestGroups {
				for _, v := range g.Tests {
					c.ran++
					holds, err := set.verifyBoth(g.PublicKey, v.Msg, v.Sig, string(v.Ctx))
					if err != nil || holds != (v.Result == "valid") {
						t.Errorf("test %d is %s: %t, %v", v.ID, v.Result, holds, err)
					}
				}
			}
			complete(t, &c, f.NumberOfTests)
		})
	}
}

// TestMLDSAOracle lets the library and the oracle sign and verify for each other.
func TestMLDSAOracle(t *testing.T) {
	contexts := []string{"", "stonevault.v1/manifest", string(make([]byte, 255))}
	for name, set := range parameterSets {
		t.Run(name, func(t *testing.T) {
			for i := range 12 {
				seed, message := pseudorandom(name+" seed", i, 32), pseudorandom(name+" message", i, i*i*50)
				context := contexts[i%len(contexts)]
				public, _ := set.circl.DeriveKey(seed)
				encoded, err := public.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				key, err := mldsa.NewPrivateKey(set.oracle, seed)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(encoded, key.PublicKey().Bytes()) {
					t.Fatalf("%d: another public key", i)
				}

				deterministic, err := set.signBoth(seed, message, context)
				if err != nil {
					t.Fatalf("%d: %v", i, err)
				}
				library, err := set.hedged(seed, message, context)
				if err != nil {
					t.Fatal(err)
				}
				oracle, err := key.Sign(nil, message, &mldsa.Options{Context: context})
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Equal(library, deterministic) || bytes.Equal(oracle, deterministic) {
					t.Errorf("%d: signing with randomness was deterministic", i)
				}
				for by, sig := range map[string][]byte{"both": deterministic, "library": library, "oracle": oracle} {
					if holds, err := set.verifyBoth(encoded, message, sig, context); !holds || err != nil {
						t.Errorf("%d, signed by %s: %t, %v", i, by, holds, err)
					}
					if holds, err := set.verifyBoth(encoded, message, sig, context+"x"); holds || err != nil {
						t.Errorf("%d, signed by %s, another context: %t, %v", i, by, holds, err)
					}
					flipped := bytes.Clone(sig)
					flipped[(i*997+len(by))%len(sig)] ^= 1 << (i % 8)
					if holds, err := set.verifyBoth(encoded, message, flipped, context); holds || err != nil {
						t.Errorf("%d, signed by %s, a bit flipped: %t, %v", i, by, holds, err)
					}
				}
			}
		})
	}
}

// TestCCTVMLDSAMessages signs the messages that CCTV chose because they need many different numbers of
// rejected tries. The file has no signatures; the oracle's are taken.
func TestCCTVMLDSAMessages(t *testing.T) {
	var messages []string
	decode(t, Shared(t, "cctv/ML-DSA_benchmark_ML-DSA-65.json"), &messages)
	set, seed := parameterSets["ML-DSA-65"], make([]byte, 32)
	public, _ := set.circl.DeriveKey(seed)
	encoded, err := public.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var c tally
	for _, m := range messages {
		c.ran++
		sig, err := set.signBoth(seed, []byte(m), "")
		if err != nil {
			t.Fatalf("%s: %v", m, err)
		}
		if holds, err := set.verifyBoth(encoded, []byte(m), sig, ""); !holds || err != nil {
			t.Errorf("%s: %t, %v", m, holds, err)
		}
	}
	c.report(t)
}

// pseudorandom returns n bytes that are the same on every run.
func pseudorandom(label string, i, n int) []byte {
	return sha3.SumSHAKE256(fmt.Appendf(nil, "%s %d", label, i), n)
}
