// Package canonical reads and writes JSON in the one spelling of RFC 8785 (JCS), so that what is signed
// has one form. It is not a general JSON codec: a text that could be written in any other way is refused.
package canonical

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/gowebpki/jcs"
)

// ErrNotCanonical is a text that is valid JSON in another spelling, or that has members which its
// reader does not know.
var ErrNotCanonical = errors.New("the JSON is not canonical, or has unknown members")

// Marshal encodes v.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // which would make a hostile text six times as long before it is compared
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("canonical JSON: %w", err)
	}
	return jcs.Transform(b.Bytes())
}

// AppendText writes s as a JSON string behind dst, for whoever writes many small objects and knows the order
// of their members: Marshal takes twenty times as long for one. s must be valid UTF-8.
func AppendText(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0 // of what is not written yet
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// Unmarshal reads text into v, a pointer to a struct without optional members. Encoding what was read
// must give the same bytes, which no unknown, repeated, reordered or respelled member survives. A null
// survives where v has a slice, a map or a pointer: their owners refuse it.
func Unmarshal(text []byte, v any) error {
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("JSON: %w", err)
	}
	again, err := Marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, text) {
		return ErrNotCanonical
	}
	return nil
}
