package etsi014

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"stonevault/qkd"
)

// maxMessage is how much of a KME's text is passed on, in bytes.
const maxMessage = 1024

// parseStatus reads a status (clause 6.1). What is not known in it is passed over.
func parseStatus(body []byte) (s qkd.Status, err error) {
	found, err := members(body)
	if err != nil {
		return s, err
	}
	for name, to := range map[string]*string{
		"source_KME_ID": &s.SourceKME, "target_KME_ID": &s.TargetKME, "master_SAE_ID": &s.Master, "slave_SAE_ID": &s.Slave,
	} {
		if *to, err = text(found[name]); err == nil && !qkd.ValidSAE(*to) {
			err = errors.New("this is no id")
		}
		if err != nil {
			return qkd.Status{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	for name, to := range map[string]*int{
		"key_size": &s.KeySize, "stored_key_count": &s.Stored, "max_key_count": &s.MaxStored, "max_key_per_request": &s.MaxPerRequest,
		"max_key_size": &s.MaxKeySize, "min_key_size": &s.MinKeySize, "max_SAE_ID_count": &s.MaxSAEs,
	} {
		if *to, err = integer(string(found[name])); err != nil {
			return qkd.Status{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if s.KeySize == 0 || s.KeySize%8 != 0 {
		return qkd.Status{}, errors.New("key_size is no multiple of 8")
	}
	return s, nil
}

// parseContainer reads keys (clause 6.3), as they stand there. The standard's table has Keys and its example keys.
func parseContainer(body []byte) (keys []qkd.Key, err error) {
	found, err := members(body)
	if err != nil {
		return nil, err
	}
	values, upper := found["Keys"]
	if lower, both := found["keys"]; both {
		if upper {
			return nil, errors.New("keys and Keys are both there")
		}
		values = lower
	}
	entries, err := list(values, maxNames)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	for _, entry := range entries {
		key, err := parseKey(entry)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// parseKey says nothing in its errors of what it has read: it may be a key.
func parseKey(entry json.RawMessage) (key qkd.Key, err error) {
	found, err := members(entry)
	if err != nil {
		return key, fmt.Errorf("keys: %w", err)
	}
	if key.ID, err = keyID(found["key_ID"]); err != nil {
		return qkd.Key{}, fmt.Errorf("key_ID: %w", err)
	}
	secret, err := text(found["key"])
	if err != nil {
		return qkd.Key{}, fmt.Errorf("key: %w", err)
	}
	if key.Secret, err = base64.StdEncoding.Strict().DecodeString(secret); err != nil || len(key.Secret) == 0 || strings.ContainsAny(secret, "\r\n") {
		return qkd.Key{}, errors.New("key: this is not base64")
	}
	return key, nil
}

// parseError reads what a KME says in place of keys (clause 6.5), as far as it can be read.
func parseError(body []byte) errorReply {
	var e errorReply
	found, err := members(body)
	if err != nil {
		return e
	}
	e.Message, _ = text(found["message"])
	e.Message = printable(e.Message)
	if details, err := list(found["details"], maxNames); err == nil {
		for _, d := range details {
			var detail map[string]any
			if len(d) <= maxMessage && json.Unmarshal(d, &detail) == nil && detail != nil {
				e.Details = append(e.Details, detail)
			}
		}
	}
	return e
}

// printable is a text of somebody else's as it may be shown on a terminal or in a log.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return strings.TrimSpace(s)
}
