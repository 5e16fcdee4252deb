package etsi014

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"stonevault/qkd"
)

const (
	// maxRequest and maxReply bound bodies, in bytes.
	maxRequest = 64 << 10
	maxReply   = 4 << 20
	// maxNames bounds the ids of one request, whatever the KME says.
	maxNames = 1024
	// maxNumber bounds integers: what is larger is none that a KME means.
	maxNumber = 1<<31 - 1
)

// textMandatory is the standard's text.
const textMandatory = "not all extension_mandatory parameters are supported"

// members reads a JSON object that is all of data, as its members by their names. A name that is there twice is refused:
// readers differ in which of the two they take.
func members(data []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("this is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("this is no JSON object")
	}
	found := map[string]json.RawMessage{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, errors.New("this is no JSON object")
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, errors.New("this is no JSON object")
		}
		if _, twice := found[name.(string)]; twice {
			return nil, errors.New("a name is there twice")
		}
		found[name.(string)] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("this is no JSON object")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something comes after the JSON object")
	}
	return found, nil
}

// integer reads a number without sign, fraction or exponent.
func integer(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n > maxNumber || strconv.FormatUint(n, 10) != text {
		return 0, errors.New("this is no integer in range")
	}
	return int(n), nil
}

func text(data json.RawMessage) (s string, err error) {
	if len(data) == 0 || data[0] != '"' || json.Unmarshal(data, &s) != nil {
		return "", errors.New("this is no string")
	}
	return s, nil
}

// list reads an array of at most limit values.
func list(data json.RawMessage, limit int) (values []json.RawMessage, err error) {
	if len(data) == 0 || data[0] != '[' || json.Unmarshal(data, &values) != nil {
		return nil, errors.New("this is no array")
	}
	if len(values) > limit {
		return nil, fmt.Errorf("this has more than %d values", limit)
	}
	return values, nil
}

func object(data json.RawMessage) error {
	_, err := members(data)
	return err
}

func objects(data json.RawMessage) (values []json.RawMessage, err error) {
	values, err = list(data, maxNames)
	for _, v := range values {
		if err == nil {
			err = object(v)
		}
	}
	return values, err
}

// bad is a refusal of a request for one of its parameters.
func bad(message, name string, value any) error {
	return &qkd.Refusal{Kind: qkd.ErrBadRequest, Message: message, Details: []map[string]any{{name: value}}}
}

// badBody is a refusal of a body as a whole.
func badBody(err error) error {
	return &qkd.Refusal{Kind: qkd.ErrBadRequest, Message: "the body: " + err.Error()}
}

// parameter is a member that an object may have.
type parameter struct {
	name string
	read func(json.RawMessage) error
}

// parameters reads the members of an object, in the order of what it may have.
func parameters(data []byte, may ...parameter) error {
	found, err := members(data)
	if err != nil {
		return badBody(err)
	}
	for name := range found {
		if !slices.ContainsFunc(may, func(p parameter) bool { return p.name == name }) {
			return bad("a parameter is not known", "parameter", name)
		}
	}
	for _, p := range may {
		value, there := found[p.name]
		if !there {
			continue
		}
		if err := p.read(value); err != nil {
			return about(p.name, err)
		}
	}
	return nil
}

// about says of an error which parameter it is of, unless it says so itself.
func about(name string, err error) error {
	var said *qkd.Refusal
	if errors.As(err, &said) {
		return err
	}
	return bad(name+": "+err.Error(), "parameter", name)
}

// parseKeyRequest reads the body of a request for keys (clause 6.2). An empty one asks for what is usual.
func parseKeyRequest(body []byte) (r qkd.Request, err error) {
	if len(body) == 0 {
		return r, nil
	}
	err = parameters(body,
		parameter{"number", func(v json.RawMessage) (err error) { r.Number, err = number(string(v)); return err }},
		parameter{"size", func(v json.RawMessage) (err error) { r.Size, err = size(string(v)); return err }},
		parameter{"additional_slave_SAE_IDs", func(v json.RawMessage) (err error) { r.Additional, err = names(v); return err }},
		parameter{"extension_optional", func(v json.RawMessage) error { _, err := objects(v); return err }}, // may be ignored
		parameter{"extension_mandatory", func(v json.RawMessage) error {
			values, err := objects(v)
			if err == nil && len(values) > 0 {
				err = unsupported(values)
			}
			return err
		}},
	)
	if err != nil {
		return qkd.Request{}, err
	}
	return r, nil
}

// names reads ids of SAEs.
func names(data json.RawMessage) (ids []string, err error) {
	values, err := list(data, maxNames)
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		id, err := text(v)
		if err == nil && !qkd.ValidSAE(id) {
			err = errors.New("this is no id of an SAE")
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// unsupported names the mandatory extensions of a request, of which none is known.
func unsupported(values []json.RawMessage) error {
	refusal := &qkd.Refusal{Kind: qkd.ErrBadRequest, Message: textMandatory}
	for _, v := range values {
		found, _ := members(v)
		for name := range found {
			refusal.Details = append(refusal.Details, map[string]any{"extension_mandatory_unsupported": name})
		}
	}
	return refusal
}

func number(text string) (int, error) {
	n, err := integer(text)
	if err == nil && n == 0 {
		err = errors.New("this is 0")
	}
	return n, err
}

func size(text string) (int, error) {
	n, err := integer(text)
	switch {
	case err != nil:
		return 0, err
	case n%8 != 0:
		return 0, bad(qkd.TextSize, "size", n)
	case n == 0:
		return 0, errors.New("this is 0")
	}
	return n, nil
}

// parseKeyIDs reads the body of a request for keys by their ids (clause 6.4).
func parseKeyIDs(body []byte) (ids []qkd.KeyID, err error) {
	err = parameters(body,
		parameter{"key_IDs", func(v json.RawMessage) error {
			values, err := list(v, maxNames)
			for _, v := range values {
				if err := parameters(v,
					parameter{"key_ID", func(v json.RawMessage) error {
						id, err := keyID(v)
						ids = append(ids, id)
						return err
					}},
					parameter{"key_ID_extension", object}, // for future use
				); err != nil {
					return err
				}
			}
			if err == nil && len(ids) != len(values) {
				err = errors.New("an entry has no key_ID")
			}
			return err
		}},
		parameter{"key_IDs_extension", object}, // for future use
	)
	if err == nil && len(ids) == 0 {
		err = bad("key_IDs shall have at least one key_ID", "parameter", "key_IDs")
	}
	if err != nil {
		return nil, err
	}
	return ids, nil
}

func keyID(v json.RawMessage) (qkd.KeyID, error) {
	s, err := text(v)
	if err != nil {
		return qkd.KeyID{}, err
	}
	return qkd.ParseKeyID(s)
}

// The formats that a KME writes (clauses 6.1, 6.3 and 6.5). key is base64 with padding, which encoding/json makes of
// bytes.
type (
	statusReply struct {
		SourceKME     string `json:"source_KME_ID"`
		TargetKME     string `json:"target_KME_ID"`
		Master        string `json:"master_SAE_ID"`
		Slave         string `json:"slave_SAE_ID"`
		KeySize       int    `json:"key_size"`
		Stored        int    `json:"stored_key_count"`
		MaxStored     int    `json:"max_key_count"`
		MaxPerRequest int    `json:"max_key_per_request"`
		MaxKeySize    int    `json:"max_key_size"`
		MinKeySize    int    `json:"min_key_size"`
		MaxSAEs       int    `json:"max_SAE_ID_count"`
	}
	keyReply struct {
		ID  string `json:"key_ID"`
		Key []byte `json:"key"`
	}
	containerReply struct {
		Keys []keyReply `json:"keys"`
	}
	errorReply struct {
		Message string           `json:"message"`
		Details []map[string]any `json:"details,omitempty"`
	}
	keyRequest struct {
		Number     int      `json:"number,omitempty"`
		Size       int      `json:"size,omitempty"`
		Additional []string `json:"additional_slave_SAE_IDs,omitempty"`
	}
	keyIDRequest struct {
		ID string `json:"key_ID"`
	}
	keyIDsRequest struct {
		IDs []keyIDRequest `json:"key_IDs"`
	}
)
