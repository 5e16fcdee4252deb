package auth

import (
	"fmt"
	"io"
)

const hidden = "[redacted]"

// redacted is embedded in what must never show itself, whatever prints it.
type redacted struct{}

// String keeps the secret out of every log.
func (redacted) String() string { return hidden }

// GoString keeps the secret out of every log.
func (redacted) GoString() string { return hidden }

// Format keeps the secret out of every log: without it, verbs such as %d would reach the fields.
func (redacted) Format(w fmt.State, _ rune) { io.WriteString(w, hidden) }
