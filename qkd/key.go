package qkd

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"unicode"
	"unicode/utf8"
)

// KeyID names a key: a UUID (RFC 9562) of 16 bytes.
type KeyID [16]byte

// NewKeyID makes a UUID of version 4 from 16 random bytes.
func NewKeyID(random io.Reader) (id KeyID, err error) {
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return KeyID{}, fmt.Errorf("qkd: making a key id: %w", err)
	}
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id, nil
}

// String is the UUID's text: 36 characters, in lower case.
func (id KeyID) String() string {
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// ParseKeyID reads the text of a UUID of any version, in either case, and in no other form. ErrKeyID is anything else.
func ParseKeyID(text string) (id KeyID, err error) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return KeyID{}, ErrKeyID
	}
	digits := text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil {
		return KeyID{}, ErrKeyID
	}
	return id, nil
}

// Key is a key that was delivered. Secret has size/8 bytes.
type Key struct {
	ID     KeyID
	Secret []byte
}

const redacted = "[redacted]"

// Format never shows the secret, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, "key "+k.ID.String()+" "+redacted) }

// LogValue never shows the secret.
func (k Key) LogValue() slog.Value { return slog.StringValue("key " + k.ID.String() + " " + redacted) }

// MarshalJSON refuses: who sends a key does it on purpose.
func (Key) MarshalJSON() ([]byte, error) {
	return nil, errors.New("qkd: a key is not written as JSON by itself")
}

// MaxSAE is the length of the longest id of an SAE, in bytes.
const MaxSAE = 255

// ValidSAE tells whether a text can be the id of an SAE: 1 to MaxSAE bytes of UTF-8, without control characters and
// without white space but the space itself, which neither begins nor ends it. "." and ".." are none: they mean something
// else in a URL.
func ValidSAE(id string) bool {
	if id == "" || len(id) > MaxSAE || !utf8.ValidString(id) || id == "." || id == ".." || id[0] == ' ' || id[len(id)-1] == ' ' {
		return false
	}
	for _, r := range id {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
