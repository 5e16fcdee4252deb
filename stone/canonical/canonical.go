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
