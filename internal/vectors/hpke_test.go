package vectors

import (
	"bytes"
	"crypto/hpke"
	"fmt"
	"testing"
)

type hpkeVector struct {
	Mode                        int
	KEM                         uint16 `json:"kem_id"`
	KDF                         uint16 `json:"kdf_id"`
	AEAD                        uint16 `json:"aead_id"`
	Info, IkmR, SkRm, PkRm, Enc Hex
	Encryptions                 []struct{ AAD, CT, Nonce, PT Hex }
	Exports                     []struct {
		Context Hex `json:"exporter_context"`
		L       int
		Value   Hex `json:"exported_value"`
	}
}

func (v hpkeVector) name() string {
	return fmt.Sprintf("KEM %#04x KDF %#04x AEAD %#04x", v.KEM, v.KDF, v.AEAD)
}

// suite returns what Go has for the vector's ids, or an error that names what it has not.
func (v hpkeVector) suite() (kem hpke.KEM, kdf hpke.KDF, aead hpke.AEAD, err error) {
	if kem, err = hpke.NewKEM(v.KEM); err != nil {
		return nil, nil, nil, fmt.Errorf("crypto/hpke has no KEM %#04x", v.KEM)
	}
	if kdf, err = hpke.NewKDF(v.KDF); err != nil {
		return nil, nil, nil, fmt.Errorf("crypto/hpke has no KDF %#04x", v.KDF)
	}
	if aead, err = hpke.NewAEAD(v.AEAD); err != nil {
		return nil, nil, nil, fmt.Errorf("crypto/hpke has no AEAD %#04x", v.AEAD)
	}
	return kem, kdf, aead, nil
}

// TestHPKE opens what the vectors sealed. Sealing takes no randomness from callers, so that way is
// checked by a round trip with the vectors' keys.
func TestHPKE(t *testing.T) {
	var file []hpkeVector
	decode(t, Shared(t, "hpke/hpke-pq-04.json"), &file)
	var c tally
	kems := make(map[uint16]int)
	for _, v := range file {
		kem, kdf, aead, err := v.suite()
		if err != nil {
			c.skip(v.name()+": "+err.Error(), 1)
			continue
		}
		c.ran++
		kems[v.KEM]++
		t.Run(v.name(), func(t *testing.T) {
			if v.Mode != 0 || len(v.Encryptions) == 0 || len(v.Exports) == 0 {
				t.Fatalf("mode %d, %d encryptions, %d exports", v.Mode, len(v.Encryptions), len(v.Exports))
			}
			derived, err := kem.DeriveKeyPair(v.IkmR)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := derived.Bytes(); err != nil || !bytes.Equal(b, v.SkRm) {
				t.Errorf("derived another private key: %v", err)
			}
			private, err := kem.NewPrivateKey(v.SkRm)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(private.PublicKey().Bytes(), v.PkRm) {
				t.Error("another public key")
			}
			r, err := hpke.NewRecipient(v.Enc, private, kdf, aead, v.Info)
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range v.Encryptions {
				if _, err := r.Open(append(bytes.Clone(e.AAD), 0), e.CT); err == nil {
					t.Errorf("encryption %d opened with other data", i)
				}
				if pt, err := r.Open(e.AAD, e.CT); err != nil || !bytes.Equal(pt, e.PT) {
					t.Errorf("encryption %d: %x, %v", i, pt, err)
				}
			}
			for i, e := range v.Exports {
				if got, err := r.Export(string(e.Context), e.L); err != nil || !bytes.Equal(got, e.Value) {
					t.Errorf("export %d: %x, %v", i, got, err)
				}
			}

			public, err := kem.NewPublicKey(v.PkRm)
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := hpke.Seal(public, kdf, aead, v.Info, []byte("sealed here"))
			if err != nil {
				t.Fatal(err)
			}
			if pt, err := hpke.Open(private, kdf, aead, v.Info, sealed); err != nil || string(pt) != "sealed here" {
				t.Errorf("round trip: %q, %v", pt, err)
			}
		})
	}
	for _, inUse := range []uint16{0x0042, 0x0051} {
		if kems[inUse] == 0 {
			t.Errorf("no vector for KEM %#04x, which Stonevault uses, was run", inUse)
		}
	}
	c.report(t)
}
