package auth

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"io"
	"strings"
)

const (
	// RecoveryCodes is how many a person gets at once.
	RecoveryCodes = 10

	recoveryRandom  = 15 // bytes; 24 letters and digits
	recoveryGroup   = 6
	recoveryTyped   = 200 // bytes that are looked at, gaps included
	recoveryContext = "stonevault.v1/recovery-code\x00"
)

// RecoveryCode lets a person in once in the place of the second factor. It has 120 random bits, so that its
// SHA-256 may be kept (look-up secrets, NIST SP 800-63B-4, 3.1.2; below 112 bits they would need the
// cost of a password hash).
type RecoveryCode struct {
	redacted
	text string
}

// Text is the code in four groups of six, to be shown once.
func (c RecoveryCode) Text() string { return grouped(c.text, recoveryGroup, "-") }

// NewRecoveryCodes draws ten codes, and returns with them what is stored: the SHA-256 of each, 32 bytes.
// They take the place of all codes before.
func NewRecoveryCodes(rand io.Reader) (codes []RecoveryCode, hashes [][]byte, err error) {
	for range RecoveryCodes {
		b := make([]byte, recoveryRandom)
		if _, err := io.ReadFull(rand, b); err != nil {
			return nil, nil, fmt.Errorf("auth: no randomness: %w", err)
		}
		c := RecoveryCode{text: strings.ToLower(base32.StdEncoding.EncodeToString(b))}
		codes, hashes = append(codes, c), append(hashes, hashRecoveryCode(c.text))
	}
	return codes, hashes, nil
}

// UseRecoveryCode returns the hashes without that of code, to be stored in the transaction that lets the
// person in, or ErrSecondFactor where it has none there. Spaces, hyphens and letter case do not matter.
func UseRecoveryCode(hashes [][]byte, code string) (left [][]byte, err error) {
	text, err := parseRecoveryCode(code)
	if err != nil {
		return nil, err
	}
	hash := hashRecoveryCode(text)
	// Every hash is compared, so that the time taken does not tell which one it is.
	at := -1
	for i := range hashes {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hashes[i], hash), i, at)
	}
	if at < 0 {
		return nil, ErrSecondFactor
	}
	for i, h := range hashes {
		if i != at {
			left = append(left, bytes.Clone(h))
		}
	}
	return left, nil
}

// parseRecoveryCode returns the code's own characters.
func parseRecoveryCode(code string) (string, error) {
	if len(code) > recoveryTyped {
		return "", ErrSecondFactor
	}
	text := strings.ToLower(withoutSpaces(code))
	b, err := base32.StdEncoding.DecodeString(strings.ToUpper(text))
	if err != nil || len(b) != recoveryRandom || strings.ToLower(base32.StdEncoding.EncodeToString(b)) != text {
		return "", ErrSecondFactor
	}
	return text, nil
}

func hashRecoveryCode(text string) []byte {
	sum := sha256.Sum256([]byte(recoveryContext + text))
	return sum[:]
}
