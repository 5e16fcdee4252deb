package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The headers of a message, as Standard Webhooks 1.0 names them.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

const (
	secretPrefix = "whsec_"
	secretBytes  = 32
	scheme       = "v1," // HMAC-SHA-256
	// tolerance is how far a receiver's clock and the message's may be apart.
	tolerance = 5 * time.Minute
)

var (
	// ErrSignature is a message that was not signed with the secret, or not as it is now.
	ErrSignature = errors.New("the message is not signed with this webhook's secret")
	// ErrTimestamp is a message that was sent too long ago, or by a clock that is wrong.
	ErrTimestamp = errors.New("the message is not of these five minutes")

	errSecret = errors.New("this is no secret of a webhook: whsec_ and 32 bytes in base64")
)

const hidden = "[redacted]"

// Secret signs the messages of one webhook. It never shows itself, but by Reveal.
type Secret struct{ key []byte }

// String keeps the secret out of every log.
func (Secret) String() string { return hidden }

// GoString keeps the secret out of every log.
func (Secret) GoString() string { return hidden }

// Format keeps the secret out of every log, whatever the verb.
func (Secret) Format(w fmt.State, _ rune) { io.WriteString(w, hidden) }

// Reveal is the secret as text, for the one who asked for it.
func (s Secret) Reveal() string { return secretPrefix + base64.StdEncoding.EncodeToString(s.key) }

// IsZero tells whether there is none.
func (s Secret) IsZero() bool { return len(s.key) == 0 }

func newSecret(rand io.Reader) (Secret, error) {
	key := make([]byte, secretBytes)
	if _, err := io.ReadFull(rand, key); err != nil {
		return Secret{}, fmt.Errorf("webhook: no randomness: %w", err)
	}
	return Secret{key}, nil
}

// ParseSecret reads what Reveal wrote.
func ParseSecret(text string) (Secret, error) {
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(key) != secretBytes {
		return Secret{}, errSecret
	}
	return Secret{key}, nil
}

// Sign returns the signature header of a message that is sent at a time.
func (s Secret) Sign(id string, at time.Time, body []byte) string {
	return scheme + base64.StdEncoding.EncodeToString(s.mac(id, Timestamp(at), body))
}

// Timestamp is a time as its header has it.
func Timestamp(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

func (s Secret) mac(id, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	io.WriteString(h, id+"."+timestamp+".")
	h.Write(body)
	return h.Sum(nil)
}

// Verify is for receivers: whether a message, by its three headers and its body as it came, was signed with the
// secret less than five minutes ago. A message may come more than once, always with the same id.
func Verify(s Secret, id, timestamp, signatures string, body []byte, now time.Time) error {
	if s.IsZero() || id == "" {
		return ErrSignature
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return ErrSignature
	}
	want := s.mac(id, timestamp, body)
	good := false
	for text := range strings.SplitSeq(signatures, " ") {
		encoded, ok := strings.CutPrefix(text, scheme)
		got, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if ok && err == nil && hmac.Equal(got, want) {
			good = true
		}
	}
	if !good {
		return ErrSignature
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return ErrTimestamp
	}
	return nil
}
