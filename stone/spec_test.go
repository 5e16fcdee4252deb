package stone_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"stonevault/identity"
	"stonevault/stone"
)

// TestSpecification opens what the package seals with the opener that was written from the text.
func TestSpecification(t *testing.T) {
	for _, suite := range []identity.Suite{identity.SuiteHybrid, identity.SuiteCNSA} {
		alice, bob := newIdentity(t, suite), newIdentity(t, suite)
		for _, class := range []stone.Class{stone.ClassNormal, stone.ClassRestricted} {
			for kind, content := range contents {
				for _, size := range []int{0, 1, 16383, 16384, 32769, stone.SegmentSize, stone.SegmentSize + 1, 3*stone.SegmentSize + 17} {
					plain := content(size)
					name := fmt.Sprintf("suite %d/%s/%s/%d", suite, class, kind, size)
					sealed := sealBytes(t, plain, stone.SealParams{
						Recipients: []*identity.WrappingKey{wrappingKey(t, alice), wrappingKey(t, bob)}, Signer: alice,
						Metadata: stone.Metadata{Name: "näme <&>.txt", Path: "/a\tb/näme <&>.txt", Class: class, Mode: 0o755},
					})
					s, err := specOpen(sealed, specKeys{suite: byte(suite), seeds: bob.Seeds()})
					if err != nil {
						t.Errorf("%s: %v", name, err)
						continue
					}
					if !bytes.Equal(s.plain, plain) || s.metadata["name"] != "näme <&>.txt" || s.metadata["mode"] != int64(0o755) {
						t.Errorf("%s: came back different", name)
					}
					raw := 0
					for _, r := range s.rows {
						if r.encoding == 0 {
							raw++
						}
					}
					if (kind == "random" || class == stone.ClassRestricted) && raw != len(s.rows) || kind == "text" && class == stone.ClassNormal && size > 1000 && raw > 1 {
						t.Errorf("%s: %d of %d segments are raw", name, raw, len(s.rows))
					}
					_, err = specOpen(sealed, specKeys{suite: byte(suite), seeds: newIdentity(t, suite).Seeds()})
					var end *specError
					if !errors.As(err, &end) || end.step != 8 || end.outcome != "no-grant" {
						t.Errorf("%s: a stranger gets %v", name, err)
					}
				}
			}
		}
	}
}

// TestSpelledOut checks the bytes that section 6.2 spells out.
func TestSpelledOut(t *testing.T) {
	print := bytes.Repeat([]byte{0xf0}, 32)
	info := prefixed([]byte("stonevault.v1"), []byte{1}, []byte("hpke"), print)
	want := "0000000d73746f6e657661756c742e763100000001010000000468706b6500000020" + hex.EncodeToString(print)
	if hex.EncodeToString(info) != want || len(info) != 66 {
		t.Errorf("info is %x", info)
	}
	ctx := prefixed(info, make([]byte, 16))
	if hex.EncodeToString(ctx[:4]) != "00000042" || hex.EncodeToString(ctx[70:74]) != "00000010" || len(ctx) != 90 {
		t.Errorf("ctx is %x", ctx)
	}
}

// TestPadme has the numbers of the paper's figure and the bounds of its theorem.
func TestPadme(t *testing.T) {
	for n, want := range map[int64]int64{0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 7: 7, 8: 8, 9: 10, 10: 10, 15: 16, 16: 16, 17: 18, 99: 104, 1000: 1024, 1024: 1024, 1025: 1088, 1 << 40: 1 << 40, 1<<40 - 1: 1 << 40} {
		if got := specPadme(n); got != want {
			t.Errorf("Padmé of %d is %d, not %d", n, got, want)
		}
	}
	alice := newIdentity(t, identity.SuiteHybrid)
	for _, n := range []int64{0, 1, 2, 9, 99, 1000, 1025, stone.SegmentSize - 1, stone.SegmentSize, stone.SegmentSize + 1} {
		p := specPadme(n)
		if p < n || float64(p-n) > 0.12*float64(n) {
			t.Errorf("Padmé of %d is %d", n, p)
		}
		sealed := sealBytes(t, make([]byte, n), stone.SealParams{Recipients: []*identity.WrappingKey{wrappingKey(t, alice)}, Signer: alice, Metadata: stone.Metadata{Class: stone.ClassRestricted}})
		s, err := specOpen(sealed, specKeys{suite: 1, seeds: alice.Seeds()})
		if err != nil {
			t.Fatal(err)
		}
		total := int64(0)
		for _, r := range s.rows {
			total += int64(r.plain)
		}
		if total != p {
			t.Errorf("%d restricted bytes were padded to %d, not %d", n, total, p)
		}
	}
}
