package vectors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// acvpFile is one of the pair that ACVP writes: the prompt, or the expected results.
type acvpFile struct {
	TestGroups []struct {
		ParameterSet string
		Function     string // encapsulation or decapsulation
		Tests        []json.RawMessage
	}
}

// acvpCase holds a test's fields from both files.
type acvpCase struct {
	ID                    int `json:"tcId"`
	Seed, PK, SK          Hex // ML-DSA
	D, Z, M, EK, DK, C, K Hex // ML-KEM
}

const (
	otherSet = "of a parameter set that Stonevault does not use"
	expanded = "of private keys that come expanded, while crypto/mlkem takes seeds alone"
)

// acvpFiles says what is run of a file, by parameter set and function, or why it is not.
var acvpFiles = []struct {
	name   string
	folder string // in circl's source
	run    map[string]func(acvpCase) error
	skip   map[string]string
}{
	{
		name: "ML-KEM-keyGen-FIPS203", folder: "kem/mlkem/testdata",
		run: map[string]func(acvpCase) error{
			"ML-KEM-1024": func(v acvpCase) error {
				ek, err := encapsulationKey(slices.Concat(v.D, v.Z), v.DK)
				return same(ek, v.EK, err)
			},
		},
		skip: map[string]string{"ML-KEM-512": otherSet, "ML-KEM-768": otherSet},
	},
	{
		name: "ML-KEM-encapDecap-FIPS203", folder: "kem/mlkem/testdata",
		run: map[string]func(acvpCase) error{
			"ML-KEM-1024 encapsulation": func(v acvpCase) error {
				secret, ciphertext, err := encapsulate(v.EK, v.M)
				return same(slices.Concat(secret, ciphertext), slices.Concat(v.K, v.C), err)
			},
		},
		skip: map[string]string{
			"ML-KEM-512 encapsulation": otherSet, "ML-KEM-768 encapsulation": otherSet,
			"ML-KEM-512 decapsulation": otherSet, "ML-KEM-768 decapsulation": otherSet,
			"ML-KEM-1024 decapsulation": expanded,
		},
	},
	{
		name: "ML-DSA-keyGen-FIPS204", folder: "sign/mldsa/testdata",
		run: map[string]func(acvpCase) error{
			"ML-DSA-44": mldsaKeyGen, "ML-DSA-65": mldsaKeyGen, "ML-DSA-87": mldsaKeyGen,
		},
	},
}

func mldsaKeyGen(v acvpCase) error {
	for _, set := range parameterSets {
		if set.circl.PublicKeySize() != len(v.PK) {
			continue
		}
		public, private := set.circl.DeriveKey(v.Seed)
		pk, err := public.MarshalBinary()
		if err := same(pk, v.PK, err); err != nil {
			return err
		}
		sk, err := private.MarshalBinary()
		return same(sk, v.SK, err)
	}
	return fmt.Errorf("no parameter set has public keys of %d bytes", len(v.PK))
}

func same(got, want []byte, err error) error {
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("got %x, want %x", got, want)
	}
	return err
}

// acvpModule and acvpShared read a prompt and its expected results.
func acvpModule(t *testing.T, folder, name string) (prompt, expected []byte) {
	path := folder + "/" + name
	return inModule.read(t, path+"/prompt.json.gz"), inModule.read(t, path+"/expectedResults.json.gz")
}

func acvpShared(t *testing.T, name string) (prompt, expected []byte) {
	return Shared(t, "acvp/"+name+"_prompt.json"), Shared(t, "acvp/"+name+"_expectedResults.json")
}

func TestACVP(t *testing.T) {
	for _, f := range acvpFiles {
		t.Run(f.name, func(t *testing.T) {
			check := func(t *testing.T, rawPrompt, rawExpected []byte) {
				var prompt, expected acvpFile
				decode(t, rawPrompt, &prompt)
				decode(t, rawExpected, &expected)
				var c tally
				for i, g := range prompt.TestGroups {
					kind := strings.TrimSpace(g.ParameterSet + " " + g.Function)
					if reason, ok := f.skip[kind]; ok {
						c.skip(reason, len(g.Tests))
						continue
					}
					run, ok := f.run[kind]
					if !ok {
						t.Fatalf("group %q is neither run nor skipped", kind)
					}
					for j := range g.Tests {
						var v acvpCase
						decode(t, g.Tests[j], &v)
						asked := v.ID
						decode(t, expected.TestGroups[i].Tests[j], &v)
						if v.ID != asked {
							t.Fatalf("the result of test %d stands at %d", v.ID, asked)
						}
						c.ran++
						if err := run(v); err != nil {
							t.Errorf("%s, test %d: %v", kind, v.ID, err)
						}
					}
				}
				c.report(t)
			}
			prompt, expected := acvpModule(t, f.folder, f.name)
			check(t, prompt, expected)
			t.Run("published", func(t *testing.T) {
				p, e := acvpShared(t, f.name)
				if bytes.Equal(p, prompt) && bytes.Equal(e, expected) {
					t.Log("byte for byte the files in circl's source, which ran")
					return
				}
				check(t, p, e)
			})
		})
	}
}

// TestACVPInternal is for signatures, which ACVP asks of FIPS 204's internal interface. circl does not
// export that, so its own tests run them, inside its packages as they are compiled here.
func TestACVPInternal(t *testing.T) {
	sets := []string{"mldsa44", "mldsa65", "mldsa87"}
	args := []string{"test", "-v", "-run", "^TestACVP$"}
	for _, set := range sets {
		args = append(args, "github.com/cloudflare/circl/sign/mldsa/"+set)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = Root(t)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, part := range []string{"sigGen", "sigVer"} {
		t.Run(part, func(t *testing.T) {
			name := "ML-DSA-" + part + "-FIPS204"
			prompt, expected := acvpModule(t, "sign/mldsa/testdata", name)
			var f acvpFile
			decode(t, prompt, &f)
			var c tally
			for _, g := range f.TestGroups {
				c.ran += len(g.Tests)
			}
			if n := bytes.Count(out, []byte("--- PASS: TestACVP/"+part+" ")); n != len(sets) {
				t.Errorf("passed for %d parameter sets of %d:\n%s", n, len(sets), out)
			}
			c.report(t)
			t.Run("published", func(t *testing.T) {
				if p, e := acvpShared(t, name); !bytes.Equal(p, prompt) || !bytes.Equal(e, expected) {
					t.Error("the published files are not those in circl's source, so they did not run")
				}
			})
		})
	}
}
