package auth

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The secret and the times of RFC 6238, appendix B, whose eight digits end in these six.
var rfcSecret = TOTPSecret{key: []byte("12345678901234567890")}

var rfcCodes = []struct {
	at   int64
	code string
}{
	{59, "287082"}, {1111111109, "081804"}, {1111111111, "050471"},
	{1234567890, "005924"}, {2000000000, "279037"}, {20000000000, "353130"},
}

func TestTOTPVectors(t *testing.T) {
	for _, row := range rfcCodes {
		step, err := rfcSecret.Verify(row.code, time.Unix(row.at, 0), 0)
		if err != nil || step != row.at/30 {
			t.Errorf("at %d: step %d, %v", row.at, step, err)
		}
	}
}

func TestTOTPWindow(t *testing.T) {
	const at, code = 1234567890, "005924" // the first second of its step
	for _, row := range []struct {
		name   string
		offset int64
		last   int64
		code   string
		good   bool
	}{
		{"at once", 0, 0, code, true},
		{"a second early", -1, 0, code, true},
		{"a step early", -30, 0, code, true},
		{"more than a step early", -31, 0, code, false},
		{"at its end", 29, 0, code, true},
		{"a step late", 59, 0, code, true},
		{"more than a step late", 60, 0, code, false},
		{"used", 0, at / 30, code, false},
		{"used, a step late", 30, at / 30, code, false},
		{"after a later one was used", 30, at/30 + 1, code, false},
		{"after the one before was used", 0, at/30 - 1, code, true},
		{"with a gap", 0, 0, " 005 924\n", true},
		{"wrong", 0, 0, "005925", false},
		{"empty", 0, 0, "", false},
		{"five digits", 0, 0, "05924", false},
		{"seven digits", 0, 0, "0005924", false},
		{"eight digits", 0, 0, "89005924", false},
		{"a sign", 0, 0, "+05924", false},
		{"other digits", 0, 0, "٠٠٥٩٢٤", false},
		{"long", 0, 0, strings.Repeat("005924", 1000), false},
		{"before 1970", -2 * at, 0, code, false},
	} {
		step, err := rfcSecret.Verify(row.code, time.Unix(at+row.offset, 0), row.last)
		if row.good && (err != nil || step != at/30) || !row.good && (!errors.Is(err, ErrSecondFactor) || step != 0) {
			t.Errorf("%s: step %d, %v", row.name, step, err)
		}
	}
}

// What was accepted is fed back, and serves no second time, whatever the clock does.
func TestTOTPServesOnce(t *testing.T) {
	at := time.Unix(1234567890, 0)
	last, err := rfcSecret.Verify("005924", at, 0)
	if err != nil {
		t.Fatal(err)
	}
	for d := -2 * time.Hour; d <= 2*time.Hour; d += 15 * time.Second {
		if step, err := rfcSecret.Verify("005924", at.Add(d), last); err == nil {
			t.Errorf("after %v again, as step %d", d, step)
		}
	}
}

func TestTOTPAddress(t *testing.T) {
	s, err := NewTOTPSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range []string{"Ann", "Zoë & Co:1/2?#%", "日本"} {
		text, err := s.URI("Vault of Ann", account)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/Vault of Ann:"+account || q.Get("issuer") != "Vault of Ann" ||
			q.Get("algorithm") != "SHA1" || q.Get("digits") != "6" || q.Get("period") != "30" || q.Get("secret") != strings.ReplaceAll(s.Text(), " ", "") {
			t.Errorf("%s", u.Path)
		}
	}
	if len(strings.ReplaceAll(s.Text(), " ", "")) != 32 {
		t.Errorf("the text has %d characters", len(s.Text()))
	}
	for _, row := range [][2]string{{"", "Ann"}, {"Vault", ""}, {"Vault:8443", "Ann"}} {
		if _, err := s.URI(row[0], row[1]); err == nil || strings.Contains(err.Error(), s.base32()) {
			t.Errorf("%q: %v", row, err)
		}
	}
}

func TestTOTPIsSealed(t *testing.T) {
	s, err := NewTOTPSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sealer := newSealer(t)
	sealed, err := s.Seal(sealer, annID)
	if err != nil || bytes.Contains(sealed, s.key) {
		t.Fatalf("%v", err)
	}
	if got, err := OpenTOTPSecret(sealer, annID, sealed); err != nil || !bytes.Equal(got.key, s.key) {
		t.Errorf("%v", err)
	}
	for name, open := range map[string]func() (TOTPSecret, error){
		"as somebody else's": func() (TOTPSecret, error) { return OpenTOTPSecret(sealer, benID, sealed) },
		"by another key":     func() (TOTPSecret, error) { return OpenTOTPSecret(newSealer(t), annID, sealed) },
		"too short": func() (TOTPSecret, error) {
			short, _ := sealer.Seal(totpContext+annID, s.key[:10])
			return OpenTOTPSecret(sealer, annID, short)
		},
	} {
		if _, err := open(); err == nil {
			t.Errorf("opened %s", name)
		}
	}
	if _, err := (TOTPSecret{key: []byte("short")}).Seal(sealer, annID); err == nil {
		t.Error("sealed a secret of five bytes")
	}
	if _, err := (TOTPSecret{}).Verify("000000", time.Unix(1e9, 0), 0); err == nil || errors.Is(err, ErrSecondFactor) {
		t.Errorf("without a secret: %v", err)
	}
	if _, err := NewTOTPSecret(strings.NewReader("short")); err == nil {
		t.Error("drew a secret without randomness")
	}
}

// shows tells whether any way of formatting v shows one of the secrets.
func shows(v any, secrets ...string) string {
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, text := range []string{fmt.Sprintf(format, v), fmt.Sprintf(format, []any{v})} {
			for _, secret := range secrets {
				if strings.Contains(text, secret) {
					return format
				}
			}
		}
	}
	encoded, err := json.Marshal(v)
	for _, secret := range secrets {
		if err != nil || bytes.Contains(encoded, []byte(secret)) {
			return "JSON"
		}
	}
	return ""
}

func TestSecondFactorsShowNothing(t *testing.T) {
	if format := shows(rfcSecret, string(rfcSecret.key), fmt.Sprintf("%x", rfcSecret.key), "49 50 51", rfcSecret.base32()); format != "" {
		t.Errorf("%s shows the secret", format)
	}
	codes, _, err := NewRecoveryCodes(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if format := shows(codes[0], codes[0].text, codes[0].Text(), fmt.Sprintf("%x", codes[0].text)); format != "" {
		t.Errorf("%s shows a recovery code", format)
	}
}

func FuzzTOTP(f *testing.F) {
	for _, row := range rfcCodes {
		f.Add(row.code, row.at, int64(0))
	}
	f.Add("٠٠٥٩٢٤", int64(-1), int64(1<<62))
	f.Fuzz(func(t *testing.T, code string, at, last int64) {
		step, err := rfcSecret.Verify(code, time.Unix(at, 0), last)
		switch {
		case err != nil && !errors.Is(err, ErrSecondFactor):
			t.Error(err)
		case err == nil && (step <= last || step < at/30-1 || step > at/30+1):
			t.Errorf("%q at %d after %d: step %d", code, at, last, step)
		}
	})
}
