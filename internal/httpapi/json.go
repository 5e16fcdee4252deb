package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// readJSON reads the one flat object that a body of this interface is. It is stricter than encoding/json,
// which takes a name twice, in any case, and null for anything.
func readJSON(r *http.Request, into any) error {
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset, ok := params["charset"]; err != nil || mediaType != "application/json" || ok && !strings.EqualFold(charset, "utf-8") {
		return fail("unsupported-media-type", "The body must be application/json in UTF-8.")
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyFailure(err)
	}
	if !utf8.Valid(b) {
		return fail("bad-request", "The body is not valid UTF-8.")
	}
	if err := checkFlat(b); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return invalid(wrong.Field, "must not be a JSON "+wrong.Value)
		}
		// encoding/json has no type for this one.
		if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			if name, err := strconv.Unquote(name); err == nil {
				return invalid(name, "is not known")
			}
		}
		return fail("bad-request", "The body is not the JSON object that this path takes.")
	}
	return nil
}

// checkFlat accepts one object whose names are distinct and lower-case, and whose values are scalars or lists
// of strings.
func checkFlat(b []byte) error {
	malformed := fail("bad-request", "The body is not one JSON object.")
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return malformed
	}
	var seen []string
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return malformed
		}
		value, err := d.Token()
		if err != nil {
			return malformed
		}
		nested := value == json.Delim('{')
		if value == json.Delim('[') {
			for d.More() && !nested {
				element, err := d.Token()
				if err != nil {
					return malformed
				}
				_, text := element.(string)
				nested = !text
			}
			if !nested {
				if _, err := d.Token(); err != nil {
					return malformed
				}
			}
		}
		switch {
		case strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" || name == "":
			return invalid(name, "is not known")
		case slices.Contains(seen, name):
			return invalid(name, "is there twice")
		case nested:
			return invalid(name, "must be one value, or a list of text")
		case value == nil:
			return invalid(name, "must not be null")
		}
		seen = append(seen, name)
	}
	if t, err := d.Token(); err != nil || t != json.Delim('}') {
		return malformed
	}
	if _, err := d.Token(); err != io.EOF {
		return malformed
	}
	return nil
}

// bodyFailure tells why a body could not be read.
func bodyFailure(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return fail("too-large", "")
	case isTimeout(err):
		return fail("stalled", "")
	}
	f := fail("bad-request", "The body broke off.")
	f.cause = err
	return f
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	w.Write(b)
	return nil
}

// query is a request's query, of known names, each there once.
type query map[string]string

func readQuery(r *http.Request, known ...string) (query, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fail("bad-request", "The query is not a list of name=value, joined by & and percent-encoded.")
	}
	q := query{}
	for name, v := range values {
		switch {
		case !slices.Contains(known, name):
			return nil, invalid(name, "is not known")
		case len(v) > 1:
			return nil, invalid(name, "is there more than once")
		case !utf8.ValidString(v[0]):
			return nil, invalid(name, "is not valid UTF-8")
		}
		q[name] = v[0]
	}
	return q, nil
}

// number reads a whole number in decimal, or returns 0 where there is none.
func (q query) number(name string, least, most int) (int, error) {
	text, ok := q[name]
	if !ok {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most || strconv.Itoa(n) != text {
		return 0, invalid(name, "must be a whole number from "+strconv.Itoa(least)+" to "+strconv.Itoa(most))
	}
	return n, nil
}
