package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

const (
	setupRandom = 15 // bytes; 24 letters and digits
	setupGroup  = 6
	setupTries  = 10
)

var (
	// ErrSetupCode is a setup code that is not the one.
	ErrSetupCode = errors.New("wrong setup code")
	// ErrSetupOver says that no code works any more.
	ErrSetupOver = errors.New("the setup code is used up")
)

// SetupCode lets one person in before there is an account. Who can read it where the server wrote it runs
// the server. It serves once, and is gone after ten wrong tries.
type SetupCode struct {
	redacted

	text string
	gone func()

	mu    sync.Mutex // held while the code is in use, so that nobody else uses it meanwhile; guards tries
	tries int        // left; 0 once it is gone
}

// NewSetupCode draws a code. gone is called once, when it no longer works, and may be nil.
func NewSetupCode(rand io.Reader, gone func()) (*SetupCode, error) {
	b := make([]byte, setupRandom)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, fmt.Errorf("auth: no randomness: %w", err)
	}
	return &SetupCode{text: strings.ToLower(base32.StdEncoding.EncodeToString(b)), gone: gone, tries: setupTries}, nil
}

// Text is the code in groups, to be written where nobody reads it but who runs the server.
func (c *SetupCode) Text() string { return grouped(c.text, setupGroup, "-") }

// Use runs fn if code is the right one; spaces, hyphens and letter case do not matter. The code is used up when
// fn returns nil, and another try is free where it does not. Otherwise ErrSetupCode, or ErrSetupOver.
func (c *SetupCode) Use(code string, fn func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tries == 0 {
		return ErrSetupOver
	}
	typed := strings.ToLower(withoutSpaces(code))
	// Digests have one length, so that comparing them tells nothing of the code's.
	got, want := sha256.Sum256([]byte(typed)), sha256.Sum256([]byte(c.text))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		c.tries--
		if c.tries == 0 {
			c.end()
		}
		return ErrSetupCode
	}
	if err := fn(); err != nil {
		return err
	}
	c.tries = 0
	c.end()
	return nil
}

func (c *SetupCode) end() {
	if c.gone != nil {
		c.gone()
	}
}
