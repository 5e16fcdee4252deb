package transit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	filePrefix = "svmkt1"
	derivedTag = "derived"
	maxText    = 32 << 10 // bytes of a wrapped key

	// boundTo is the associated data of what is wrapped, and the context where the key is a derived one: transit
	// opens it for no other use of the same key.
	boundTo = "stonevault.v1/master-key"
)

// ErrNotWrapped is a text that is no wrapped key.
var ErrNotWrapped = errors.New("this is not a master key that transit has wrapped")

// sound are the types of keys that may wrap: authenticated, and with 256 bits, as all else above the files has.
var sound = []string{"aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"}

var ciphertexts = regexp.MustCompile(`^vault:v([1-9][0-9]{0,8}):[A-Za-z0-9+/]+={0,2}$`)

// Wrapped is the text of a key file as transit has encrypted it.
type Wrapped struct {
	ciphertext string
	derived    bool // by a key that is derived from the context
}

// ParseWrapped reads what String writes.
func ParseWrapped(text string) (Wrapped, error) {
	fields := strings.Fields(text)
	if len(text) > maxText || len(fields) < 2 || len(fields) > 3 || fields[0] != filePrefix {
		return Wrapped{}, ErrNotWrapped
	}
	w := Wrapped{ciphertext: fields[len(fields)-1], derived: len(fields) == 3}
	if w.derived && fields[1] != derivedTag || !ciphertexts.MatchString(w.ciphertext) {
		return Wrapped{}, ErrNotWrapped
	}
	return w, nil
}

// String is the wrapped key as a file has it.
func (w Wrapped) String() string {
	if w.derived {
		return filePrefix + " " + derivedTag + " " + w.ciphertext
	}
	return filePrefix + " " + w.ciphertext
}

// Version is that of transit's key.
func (w Wrapped) Version() int {
	n, _ := strconv.Atoi(ciphertexts.FindStringSubmatch(w.ciphertext)[1])
	return n
}

// KeyInfo is what transit tells of its key.
type KeyInfo struct {
	Type    string
	Derived bool
	Latest  int // version
	Oldest  int // version that is still decrypted
}

// Describe asks about transit's key.
func (c *Client) Describe(ctx context.Context) (KeyInfo, error) {
	var answer struct {
		Data *struct {
			Type    string `json:"type"`
			Derived bool   `json:"derived"`
			Latest  int    `json:"latest_version"`
			Oldest  int    `json:"min_decryption_version"`
		} `json:"data"`
	}
	if err := c.ask(ctx, http.MethodGet, c.path("keys"), nil, &answer); err != nil {
		return KeyInfo{}, err
	}
	if d := answer.Data; d != nil && d.Type != "" && d.Latest > 0 {
		return KeyInfo{d.Type, d.Derived, d.Latest, d.Oldest}, nil
	}
	return KeyInfo{}, fmt.Errorf("%w as the API does: keys is not what it documents", ErrUnreachable)
}

// path is that of one of the engine's endpoints for the key.
func (c *Client) path(endpoint string) string {
	parts := strings.Split(c.mount, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/") + "/" + endpoint + "/" + url.PathEscape(c.key)
}

// crypt is what encrypt and decrypt are sent and answer; bytes are base64 in it.
type crypt struct {
	Plaintext  []byte `json:"plaintext,omitempty"`
	Ciphertext string `json:"ciphertext,omitempty"`
	Associated []byte `json:"associated_data,omitempty"`
	Context    []byte `json:"context,omitempty"`
}

func (c *Client) crypt(ctx context.Context, endpoint string, sent crypt, derived bool) (crypt, error) {
	sent.Associated = []byte(boundTo)
	if derived {
		sent.Context = []byte(boundTo)
	}
	var answer struct {
		Data *crypt `json:"data"`
	}
	if err := c.ask(ctx, http.MethodPost, c.path(endpoint), sent, &answer); err != nil {
		return crypt{}, err
	}
	if answer.Data == nil {
		return crypt{}, fmt.Errorf("%w as the API does: %s has no data", ErrUnreachable, endpoint)
	}
	return *answer.Data, nil
}

// Wrap has the text of a key file encrypted by the newest version of transit's key, and makes sure that it can be
// decrypted again.
func (c *Client) Wrap(ctx context.Context, text []byte) (Wrapped, error) {
	info, err := c.Describe(ctx)
	if errors.Is(err, ErrRefused) {
		return Wrapped{}, fmt.Errorf("what kind of key it is must be known: %w; allow read on %s", err, c.path("keys"))
	}
	if err != nil {
		return Wrapped{}, err
	}
	if !slices.Contains(sound, info.Type) {
		return Wrapped{}, fmt.Errorf("%s has type %s, which must not wrap a master key; make one of type %s", c, info.Type, sound[0])
	}
	answer, err := c.crypt(ctx, "encrypt", crypt{Plaintext: text}, info.Derived)
	if err != nil {
		return Wrapped{}, err
	}
	w := Wrapped{answer.Ciphertext, info.Derived}
	if _, err := ParseWrapped(w.String()); err != nil {
		return Wrapped{}, fmt.Errorf("%w as the API does: encrypt is not what it documents", ErrUnreachable)
	}
	again, err := c.Unwrap(ctx, w)
	defer clear(again)
	if err != nil {
		return Wrapped{}, fmt.Errorf("what was wrapped does not open again: %w", err)
	}
	if !bytes.Equal(again, text) {
		return Wrapped{}, fmt.Errorf("%w as the API does: what was wrapped opens as something else", ErrUnreachable)
	}
	return w, nil
}

// Unwrap has a wrapped key decrypted. Whoever gets the text clears it.
func (c *Client) Unwrap(ctx context.Context, w Wrapped) ([]byte, error) {
	answer, err := c.crypt(ctx, "decrypt", crypt{Ciphertext: w.ciphertext}, w.derived)
	if err != nil {
		return nil, err
	}
	if len(answer.Plaintext) == 0 {
		return nil, fmt.Errorf("%w as the API does: decrypt has no plaintext", ErrUnreachable)
	}
	return answer.Plaintext, nil
}
