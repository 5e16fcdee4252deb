package anchor

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"
)

func write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadKey(t *testing.T) {
	private := newPrivate(t)
	digits := hex.EncodeToString(crypto.FromECDSA(private))
	address := crypto.PubkeyToAddress(private.PublicKey)

	store := keystore.NewKeyStore(t.TempDir(), 2, 1) // weak and quick
	account, err := store.ImportECDSA(private, "a passphrase")
	if err != nil {
		t.Fatal(err)
	}
	sealed := account.URL.Path
	passphrase := func(text string) string { return write(t, "passphrase", text, 0o600) }
	encrypted, err := os.ReadFile(sealed)
	if err != nil {
		t.Fatal(err)
	}

	for name, c := range map[string]struct {
		path, passphrase string
		ok               bool
	}{
		"raw":                      {write(t, "k", digits, 0o600), "", true},
		"raw with a newline":       {write(t, "k", digits+"\n", 0o600), "", true},
		"raw with CR LF":           {write(t, "k", digits+"\r\n", 0o400), "", true},
		"raw with 0x":              {write(t, "k", "0x"+digits+"\n", 0o600), "", true},
		"raw in capitals":          {write(t, "k", strings.ToUpper(digits), 0o600), "", true},
		"raw, one digit less":      {write(t, "k", digits[1:], 0o600), "", false},
		"raw, one byte less":       {write(t, "k", digits[2:], 0o600), "", false},
		"raw, one byte more":       {write(t, "k", digits+"00", 0o600), "", false},
		"raw with spaces":          {write(t, "k", " "+digits, 0o600), "", false},
		"raw of zeros":             {write(t, "k", strings.Repeat("0", 64), 0o600), "", false},
		"raw beyond the order":     {write(t, "k", strings.Repeat("f", 64), 0o600), "", false},
		"empty":                    {write(t, "k", "", 0o600), "", false},
		"missing":                  {filepath.Join(t.TempDir(), "k"), "", false},
		"a folder":                 {t.TempDir(), "", false},
		"too long":                 {write(t, "k", strings.Repeat("0", maxKeyFile+1), 0o600), "", false},
		"keystore":                 {sealed, passphrase("a passphrase"), true},
		"keystore and a newline":   {sealed, passphrase("a passphrase\n"), true},
		"keystore and a line more": {sealed, passphrase("a passphrase\r\nanother line"), true},
		"an empty passphrase":      {sealed, passphrase("\na passphrase"), false},
		"keystore read by others":  {write(t, "k", string(encrypted), 0o644), passphrase("a passphrase"), true},
		"another passphrase":       {sealed, passphrase("a passphras"), false},
		"no passphrase":            {sealed, "", false},
		"a missing passphrase":     {sealed, filepath.Join(t.TempDir(), "p"), false},
		"a damaged keystore":       {write(t, "k", string(encrypted[:len(encrypted)/2]), 0o600), passphrase("a passphrase"), false},
	} {
		k, err := LoadKey(c.path, c.passphrase)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err != nil {
			if text := err.Error(); strings.Contains(text, digits[:16]) || strings.Contains(text, "a passphras") {
				t.Errorf("%s: the error tells a secret: %v", name, err)
			}
			continue
		}
		if k.Address() != address {
			t.Errorf("%s: the address is %v", name, k.Address())
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			if got := fmt.Sprintf(verb, k); got != "[redacted]" {
				t.Errorf("%s prints %s", verb, got)
			}
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o610, 0o601} {
		if _, err := LoadKey(write(t, "k", digits, mode), ""); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("a key of mode %o: %v", mode, err)
		}
		if _, err := LoadKey(sealed, write(t, "p", "a passphrase", mode)); !errors.Is(err, ErrKey) {
			t.Errorf("a passphrase of mode %o: %v", mode, err)
		}
	}
}

func FuzzRawKey(f *testing.F) {
	f.Add([]byte("0x" + strings.Repeat("1", 64) + "\r\n"))
	f.Add([]byte(strings.Repeat("f", 64)))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := parseRawKey(text)
		if err != nil {
			return
		}
		again, err := parseRawKey([]byte(hex.EncodeToString(crypto.FromECDSA(k))))
		if err != nil || !again.Equal(k) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func TestRaised(t *testing.T) {
	for x, want := range map[int64]int64{0: 1, 1: 2, 7: 8, 8: 9, 9: 11, 15: 17, 16: 18, 17: 20, 1000: 1125, 30 * params.GWei: 33750000000} {
		if got := raised(big.NewInt(x)); got.Int64() != want {
			t.Errorf("%d is raised to %v, not %d", x, got, want)
		}
	}
}

// FuzzFees holds all fees to the rules: never above the ceiling, the tip never above the fee, a replacement an
// eighth above what it replaces in both, so over the 10% that nodes ask for.
func FuzzFees(f *testing.F) {
	const g = params.GWei
	f.Add(uint64(30*g), uint64(25*g), uint64(25*g), uint64(500*g), uint64(90*g), uint64(70*g))
	f.Add(uint64(0), uint64(0), uint64(1), uint64(1), uint64(0), uint64(0))
	f.Add(uint64(499*g), uint64(600*g), uint64(1*g), uint64(500*g), uint64(499*g), uint64(1))
	f.Fuzz(func(t *testing.T, base, tip, minTip, ceiling, laterBase, laterTip uint64) {
		n := func(x uint64) *big.Int { return new(big.Int).SetUint64(x) }
		minTip = max(minTip, 1)
		p := feePolicy{n(minTip), n(max(ceiling, minTip))}
		check := func(got fees) {
			t.Helper()
			if got.max.Cmp(p.ceiling) > 0 || got.tip.Cmp(got.max) > 0 || got.tip.Cmp(p.minTip) < 0 {
				t.Fatalf("%v and %v, by %v to %v", got.tip, got.max, p.minTip, p.ceiling)
			}
		}
		old, err := p.first(feeMarket{n(base), n(tip)})
		if err != nil {
			if !errors.Is(err, ErrFee) || new(big.Int).Add(n(base), p.minTip).Cmp(p.ceiling) <= 0 {
				t.Fatal(err)
			}
			return
		}
		check(old)
		if old.max.Cmp(n(base)) < 0 {
			t.Fatalf("%v does not pay %d", old.max, base)
		}
		for range 40 {
			next, err := p.replace(old, feeMarket{n(laterBase), n(laterTip)})
			if err != nil {
				if !errors.Is(err, ErrFee) || raised(old.max).Cmp(p.ceiling) <= 0 {
					t.Fatal(err)
				}
				return
			}
			check(next)
			for _, pair := range [][2]*big.Int{{old.tip, next.tip}, {old.max, next.max}} {
				if new(big.Int).Mul(pair[1], big.NewInt(8)).Cmp(new(big.Int).Mul(pair[0], big.NewInt(9))) < 0 || pair[1].Cmp(pair[0]) <= 0 {
					t.Fatalf("%v is replaced by %v", pair[0], pair[1])
				}
			}
			old = next
		}
	})
}
