package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

const (
	linkPrefix = "svl_"
	linkRandom = 32 // bytes
)

// LinkText is the secret of a one-time link, which is shown once and never kept.
type LinkText struct {
	redacted
	text string
}

// Text is what stands behind the # of a link's address: svl_ and 32 random bytes in base64url.
func (t LinkText) Text() string { return t.text }

// Hash is what a link is kept and looked up by.
func (t LinkText) Hash() []byte {
	sum := sha256.Sum256([]byte(t.text))
	return sum[:]
}

// NewLinkText draws a link.
func NewLinkText(rand io.Reader) (LinkText, error) {
	b := make([]byte, linkRandom)
	if _, err := io.ReadFull(rand, b); err != nil {
		return LinkText{}, fmt.Errorf("auth: no randomness: %w", err)
	}
	return LinkText{text: linkPrefix + base64.RawURLEncoding.EncodeToString(b)}, nil
}

// ParseLinkText reads what somebody shows. What no link looks like is false; whether there is such a link, only its
// hash tells.
func ParseLinkText(text string) (LinkText, bool) {
	rest, ok := strings.CutPrefix(text, linkPrefix)
	if !ok || len(rest) != base64.RawURLEncoding.EncodedLen(linkRandom) {
		return LinkText{}, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(b) != linkRandom {
		return LinkText{}, false
	}
	return LinkText{text: text}, true
}
