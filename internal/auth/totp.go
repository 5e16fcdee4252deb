package auth

import (
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"
)

const (
	totpSecretBytes = 20 // 160 bits, as RFC 4226, 4 recommends for HMAC-SHA-1
	totpPeriod      = 30 // seconds (RFC 6238, 4.1)
	totpDigits      = 6
	totpSkew        = 1 // steps before and after the clock's own (RFC 6238, 5.2)
	totpContext     = "stonevault.v1/totp/"
)

// ErrSecondFactor is a second factor that is wrong, was used before, or is not one.
var ErrSecondFactor = errors.New("wrong code, or one that has been used")

// TOTPSecret is what an authenticator app and the vault share: 160 bits, from which both make a code of six
// digits every 30 seconds by HMAC-SHA-1 (RFC 6238), the one kind that all apps know. It never shows itself.
type TOTPSecret struct {
	redacted
	key []byte
}

// NewTOTPSecret draws a secret. It becomes a factor when the person has entered a first code from it.
func NewTOTPSecret(rand io.Reader) (TOTPSecret, error) {
	key := make([]byte, totpSecretBytes)
	if _, err := io.ReadFull(rand, key); err != nil {
		return TOTPSecret{}, fmt.Errorf("auth: no randomness: %w", err)
	}
	return TOTPSecret{key: key}, nil
}

// Text is the secret in base32, in groups of four, for those who type it into their app.
func (s TOTPSecret) Text() string { return grouped(s.base32(), 4, " ") }

// URI is the otpauth:// address that an app reads from a QR code. issuer names the vault to the person, and
// may have no colon, which ends it there.
func (s TOTPSecret) URI(issuer, account string) (string, error) {
	if strings.Contains(issuer, ":") {
		return "", &InvalidError{"issuer", "holds a colon"}
	}
	if err := s.check(); err != nil {
		return "", err
	}
	key, err := totp.Generate(totp.GenerateOpts{
		Issuer: issuer, AccountName: account, Secret: s.key,
		Period: totpPeriod, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1,
	})
	if err != nil {
		return "", errors.New("auth: an authenticator's address needs an issuer and an account")
	}
	return key.URL(), nil
}

// Verify returns the step, 30 seconds long and counted from 1970, that code belongs to. It is that of now, the
// one before or the one after, and later than last, which is what an earlier Verify returned, or 0: who
// calls stores the step in the transaction that lets the person in, so that no code serves twice (RFC
// 6238, 5.2; NIST SP 800-63B-4, 3.1.4.2). Otherwise ErrSecondFactor. Spaces in code do not matter. A
// guess has three chances in a million: tries must be throttled.
func (s TOTPSecret) Verify(code string, now time.Time, last int64) (step int64, err error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	typed := withoutSpaces(code)
	if !sixDigits(typed) || now.Unix() < 0 {
		return 0, ErrSecondFactor
	}
	current := now.Unix() / totpPeriod
	secret := s.base32()
	// All steps are tried, whichever fits: the time taken tells nothing. The newest that fits is taken.
	for at := current - totpSkew; at <= current+totpSkew; at++ {
		want, err := hotp.GenerateCodeCustom(secret, uint64(at), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, errors.New("auth: a code could not be computed")
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(typed)) == 1 && at > last {
			step = at
		}
	}
	if step == 0 {
		return 0, ErrSecondFactor
	}
	return step, nil
}

// FactorContext is what a person's second factor is sealed for.
func FactorContext(person string) string { return totpContext + person }

// Seal keeps the secret under the master key, for this person alone.
func (s TOTPSecret) Seal(sealer Sealer, person string) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	sealed, err := sealer.Seal(FactorContext(person), s.key)
	if err != nil {
		return nil, fmt.Errorf("auth: seal a second factor: %w", err)
	}
	return sealed, nil
}

// OpenTOTPSecret opens what Seal made for the same person.
func OpenTOTPSecret(sealer Sealer, person string, sealed []byte) (TOTPSecret, error) {
	key, err := sealer.Open(FactorContext(person), sealed)
	if err != nil {
		return TOTPSecret{}, fmt.Errorf("auth: open a second factor: %w", err)
	}
	s := TOTPSecret{key: key}
	return s, s.check()
}

func (s TOTPSecret) base32() string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(s.key)
}

func (s TOTPSecret) check() error {
	if len(s.key) != totpSecretBytes {
		return fmt.Errorf("auth: a second factor has %d bytes", len(s.key))
	}
	return nil
}

func sixDigits(code string) bool {
	if len(code) != totpDigits {
		return false
	}
	for _, c := range []byte(code) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// grouped puts between after every size characters of ASCII text.
func grouped(text string, size int, between string) string {
	var groups []string
	for ; len(text) > size; text = text[size:] {
		groups = append(groups, text[:size])
	}
	return strings.Join(append(groups, text), between)
}

// withoutSpaces is a code as it was meant: people type what they see, with its gaps.
func withoutSpaces(code string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -\t\r\n", r) {
			return -1
		}
		return r
	}, code)
}
