package identity

import (
	"crypto"
	"crypto/hpke"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"

	"github.com/cloudflare/circl/sign"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/cloudflare/circl/sign/mldsa/mldsa87"
)

// Suite is a fixed combination of algorithms. An identity has one, and one envelope never mixes two.
type Suite uint8

const (
	// SuiteHybrid is MLKEM1024-P384, HKDF-SHA384, ML-DSA-65 and SHA-256: the default.
	SuiteHybrid Suite = 1
	// SuiteCNSA is ML-KEM-1024, HKDF-SHA384, ML-DSA-87 and SHA-384, as CNSA 2.0 asks.
	SuiteCNSA Suite = 2
)

type suiteRow struct {
	name    string
	kem     hpke.KEM
	kemSeed int // bytes of the HPKE private key
	kemPub  int
	kemEnc  int
	scheme  sign.Scheme
	digest  crypto.Hash
	// signTo is ML-DSA.Sign, hedged with the operating system's randomness (FIPS 204, algorithm 2).
	signTo     func(sk sign.PrivateKey, message, context, sig []byte) error
	passphrase bool // passphrase grants allowed
}

var suites = map[Suite]suiteRow{
	SuiteHybrid: {
		name: "MLKEM1024-P384, ML-DSA-65, SHA-256", kem: hpke.MLKEM1024P384(), kemSeed: 32, kemPub: 1665, kemEnc: 1665,
		scheme: mldsa65.Scheme(), digest: crypto.SHA256, passphrase: true,
		signTo: func(sk sign.PrivateKey, message, context, sig []byte) error {
			return mldsa65.SignTo(sk.(*mldsa65.PrivateKey), message, context, true, sig)
		},
	},
	SuiteCNSA: {
		name: "ML-KEM-1024, ML-DSA-87, SHA-384", kem: hpke.MLKEM1024(), kemSeed: 64, kemPub: 1568, kemEnc: 1568,
		scheme: mldsa87.Scheme(), digest: crypto.SHA384,
		signTo: func(sk sign.PrivateKey, message, context, sig []byte) error {
			return mldsa87.SignTo(sk.(*mldsa87.PrivateKey), message, context, true, sig)
		},
	},
}

// Valid reports whether s is a suite of format version 1.
func (s Suite) Valid() bool { _, ok := suites[s]; return ok }

// String names the suite's algorithms.
func (s Suite) String() string {
	if row, ok := suites[s]; ok {
		return fmt.Sprintf("suite %d (%s)", uint8(s), row.name)
	}
	return fmt.Sprintf("suite %d (unknown)", uint8(s))
}

// Hash is the suite's digest: SHA-256 or SHA-384.
func (s Suite) Hash() crypto.Hash { return suites[s].digest }

// DigestSize is the digest's length in bytes: 32 or 48.
func (s Suite) DigestSize() int { return suites[s].digest.Size() }

// Digest hashes b with the suite's digest.
func (s Suite) Digest(b []byte) []byte {
	h := suites[s].digest.New()
	h.Write(b)
	return h.Sum(nil)
}

// EncapsulationSize is the length in bytes of the KEM's ciphertext.
func (s Suite) EncapsulationSize() int { return suites[s].kemEnc }

// SignatureSize is the length in bytes of a signature: 3,309 or 4,627.
func (s Suite) SignatureSize() int { return suites[s].scheme.SignatureSize() }

// PublicSize is the length in bytes of Public.Bytes.
func (s Suite) PublicSize() int { return suites[s].kemPub + s.VerifyingKeySize() }

// VerifyingKeySize is the length in bytes of VerifyingKey.Bytes: 1,952 or 2,592.
func (s Suite) VerifyingKeySize() int { return suites[s].scheme.PublicKeySize() }

// SeedsSize is the length in bytes of Identity.Seeds.
func (s Suite) SeedsSize() int { return suites[s].kemSeed + suites[s].scheme.SeedSize() }

// AllowsPassphrase reports whether a stone of this suite may be sealed under a passphrase.
func (s Suite) AllowsPassphrase() bool { return suites[s].passphrase }

// Fingerprint identifies a Public or a VerifyingKey: the suite's digest over a label, the suite and the
// keys, as raw bytes.
type Fingerprint string

// Hex returns lower-case hex digits, 64 or 96 of them.
func (f Fingerprint) Hex() string { return hex.EncodeToString([]byte(f)) }

// ParseFingerprint reads what Hex writes for a fingerprint of suite s.
func ParseFingerprint(s Suite, text string) (Fingerprint, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != s.DigestSize() || hex.EncodeToString(b) != text {
		return "", fmt.Errorf("identity: a fingerprint of suite %d has %d lower-case hex digits", s, 2*s.DigestSize())
	}
	return Fingerprint(b), nil
}

// Spoken returns the form that two people compare aloud: twelve groups of five decimal digits, the
// fingerprint as a big-endian integer modulo 10^60 (199 bits).
func (f Fingerprint) Spoken() string {
	n := new(big.Int).SetBytes([]byte(f))
	n.Mod(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(60), nil))
	digits := n.String()
	digits = strings.Repeat("0", 60-len(digits)) + digits
	groups := make([]string, 0, 12)
	for i := 0; i < len(digits); i += 5 {
		groups = append(groups, digits[i:i+5])
	}
	return strings.Join(groups, " ")
}
