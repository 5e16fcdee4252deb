package etsi014

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"stonevault/qkd"
)

const anID = "bc490419-7d60-487f-adc1-4ddcc177c139"

// isRefusal tells whether an error is one that an SAE is told as a 400.
func isRefusal(err error) bool {
	var said *qkd.Refusal
	return errors.As(err, &said) && said.Message != "" && errors.Is(err, qkd.ErrBadRequest)
}

// FuzzKeyRequest: what is taken is in range and says the same when it is written; what is not is a 400.
func FuzzKeyRequest(f *testing.F) {
	for _, body := range []string{"", "{}", `{"number":3,"size":256,"additional_slave_SAE_IDs":["a","ä"]}`, `{"extension_mandatory":[{"a":1}]}`,
		`{"extension_optional":[{"a":{"b":[]}}]}`, `{"size":1}`, `{"number":0}`, `{"number":1,"number":2}`, `[]`, `{"size":1e2}`, `{}}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parseKeyRequest(body)
		if err != nil {
			if !isRefusal(err) {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if r.Number < 0 || r.Number > maxNumber || r.Size < 0 || r.Size%8 != 0 || len(r.Additional) > maxNames {
			t.Errorf("%q: %+v", body, r)
		}
		again, err := json.Marshal(keyRequest(r))
		if err != nil {
			t.Fatal(err)
		}
		other, err := parseKeyRequest(again)
		if err != nil || other.Number != r.Number || other.Size != r.Size || strings.Join(other.Additional, "\n") != strings.Join(r.Additional, "\n") {
			t.Errorf("%q: %+v is written as %s: %+v, %v", body, r, again, other, err)
		}
	})
}

func FuzzKeyIDs(f *testing.F) {
	for _, body := range []string{"", "{}", `{"key_IDs":[{"key_ID":"` + anID + `"}]}`, `{"key_IDs":[{"key_ID":"` + anID + `","key_ID_extension":{}}],"key_IDs_extension":{}}`,
		`{"key_IDs":[{}]}`, `{"key_IDs":[]}`, `{"key_IDs":null}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		ids, err := parseKeyIDs(body)
		if err != nil && (ids != nil || !isRefusal(err)) || err == nil && (len(ids) == 0 || len(ids) > maxNames) {
			t.Fatalf("%q: %v, %v", body, ids, err)
		}
		for _, id := range ids {
			if !strings.Contains(strings.ToLower(string(body)), id.String()) && !strings.Contains(string(body), `\u`) {
				t.Errorf("%q: %s", body, id)
			}
		}
	})
}

// FuzzQuery reads URLs as the handler does.
func FuzzQuery(f *testing.F) {
	for _, u := range []string{"b/enc_keys?number=1&size=256", "b/dec_keys?key_ID=" + anID, "a%2Fb/status", "%zz/status", "b/enc_keys?number=1;size=2", "/enc_keys", "b/enc_keys?number=1&number=1"} {
		f.Add(u)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path, rawQuery, _ := strings.Cut(text, "?")
		if peer, method, ok := route(prefix + path); ok && (peer == "" || strings.Contains(method, "/") && methods[method].do != nil) {
			t.Errorf("%q: %q %q", text, peer, method)
		}
		query, err := url.ParseQuery(rawQuery)
		if err != nil {
			return
		}
		if r, err := queryKeyRequest(query); err != nil && !isRefusal(err) || err == nil && (r.Size%8 != 0 || r.Number < 0) {
			t.Errorf("%q: %+v, %v", text, r, err)
		}
		if ids, err := queryKeyID(query); err != nil && !isRefusal(err) || err == nil && len(ids) != 1 {
			t.Errorf("%q: %v, %v", text, ids, err)
		}
	})
}

// FuzzReplies reads one text as each reply of a KME.
func FuzzReplies(f *testing.F) {
	for _, body := range []string{
		`{"keys":[{"key_ID":"` + anID + `","key":"c2VjcmV0","key_extension":{}}]}`, `{"Keys":[]}`, `{"keys":[{"key_ID":"` + anID + `","key":"c2VjcmV0\n"}]}`,
		`{"message":"m","details":[{"a":1}]}`, `{"message":1}`, `{"details":{}}`, `[]`, ``,
		`{"source_KME_ID":"x","target_KME_ID":"y","master_SAE_ID":"a","slave_SAE_ID":"b","key_size":256,"stored_key_count":1,"max_key_count":9,` +
			`"max_key_per_request":9,"max_key_size":256,"min_key_size":256,"max_SAE_ID_count":0}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := parseContainer(body)
		if err != nil && keys != nil {
			t.Errorf("%q: keys beside %v", body, err)
		}
		var c containerReply
		for _, k := range keys {
			if len(k.Secret) == 0 {
				t.Errorf("%q: an empty key", body)
			}
			c.Keys = append(c.Keys, keyReply{k.ID.String(), k.Secret})
		}
		if len(keys) > 0 {
			again, _ := json.Marshal(c)
			if other, err := parseContainer(again); err != nil || len(other) != len(keys) || string(other[0].Secret) != string(keys[0].Secret) {
				t.Errorf("%q is written as %s: %v", body, again, err)
			}
		}
		if s, err := parseStatus(body); err != nil && s != (qkd.Status{}) || err == nil && (s.KeySize <= 0 || s.Stored < 0 || s.Master == "") {
			t.Errorf("%q: %+v, %v", body, s, err)
		}
		e := parseError(body)
		if len(e.Message) > maxMessage+len("…") || strings.ContainsAny(e.Message, "\n\r\x1b\x00") {
			t.Errorf("%q: %q", body, e.Message)
		}
	})
}
