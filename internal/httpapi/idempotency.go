package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"stonevault/internal/once"
)

// keying says what an Idempotency-Key does on a route
// (draft-ietf-httpapi-idempotency-key-header).
type keying string

const (
	// keepsAnswer is for what makes something: a retry with the same key gets the same answer.
	keepsAnswer keying = "keeps its answer"
	// showsSecret is for what shows a secret once. A kept answer would keep it.
	showsSecret keying = "shows a secret"
	// ofNobody is for what anybody may send: keys belong to a person.
	ofNobody keying = "of nobody"
	// makesNothing is for what a retry cannot make twice.
	makesNothing keying = "makes nothing"
)

// keyings has every POST of the table. Other methods have no need of keys, and do not look at one.
var keyings = map[string]keying{
	"POST /api/v1/folders":                        keepsAnswer,
	"POST /api/v1/groups":                         keepsAnswer,
	"POST /api/v1/uploads":                        keepsAnswer, // without content
	"POST /api/v1/webhooks/{webhook}/test":        keepsAnswer,
	"POST /api/v1/invitations":                    showsSecret,
	"POST /api/v1/me/factor":                      showsSecret,
	"POST /api/v1/me/factor/codes":                showsSecret,
	"POST /api/v1/me/factor/confirm":              showsSecret,
	"POST /api/v1/me/tokens":                      showsSecret,
	"POST /api/v1/people":                         showsSecret,
	"POST /api/v1/people/{person}/reset":          showsSecret,
	"POST /api/v1/webhooks":                       showsSecret,
	"POST /api/v1/webhooks/{webhook}/secret":      showsSecret,
	"POST /api/v1/links/join":                     ofNobody,
	"POST /api/v1/links/look":                     ofNobody,
	"POST /api/v1/links/reset":                    ofNobody,
	"POST /api/v1/registrations":                  ofNobody,
	"POST /api/v1/sessions":                       ofNobody,
	"POST /api/v1/sessions/refresh":               ofNobody,
	"POST /api/v1/setup":                          ofNobody,
	"POST /api/v1/files/{id}/export":              makesNothing,
	"POST /api/v1/files/{id}/verify":              makesNothing,
	"POST /api/v1/me/password":                    makesNothing,
	"POST /api/v1/people/{person}/factor/removal": makesNothing,
	"POST /api/v1/people/{person}/hand-over":      makesNothing, // goes on where it was stopped
	"POST /api/v1/setup/recovery":                 makesNothing,
	"POST /api/v1/quantum/sessions":               makesNothing, // but keys for the same pool
	"POST /api/v1/quantum/laboratory":             makesNothing,
}

// keyless says why a key is refused.
var keyless = map[keying]string{
	showsSecret:  "This answer shows a secret once, and is not kept to be shown again: send the request without Idempotency-Key.",
	ofNobody:     "A key belongs to a person, and this request to nobody: send it without Idempotency-Key.",
	makesNothing: "This request makes nothing that a retry could make twice: send it without Idempotency-Key.",
	"":           "This path takes no Idempotency-Key: send the request without it.",
}

// keyHeader is the header that a key comes in.
const keyHeader = "Idempotency-Key"

// maxKey is how many characters a key has at most.
const maxKey = 64

// keyFor reads the key of a request, or returns an empty one where there is none. What a route does nothing with is
// refused, so that nobody relies on it.
func keyFor(rt *route, r *http.Request) (string, error) {
	values := r.Header.Values(keyHeader)
	if len(values) == 0 || rt.method != http.MethodPost {
		return "", nil
	}
	if k := keyings[rt.method+" "+rt.name()]; k != keepsAnswer {
		return "", fail("bad-request", keyless[k])
	}
	if len(values) > 1 {
		return "", fail("bad-request", "Idempotency-Key is there more than once. Send one.")
	}
	key, ok := parseKey(strings.Trim(values[0], " \t"))
	if !ok || len(key) < 1 || len(key) > maxKey {
		return "", fail("bad-request", `Idempotency-Key must be 1 to `+strconv.Itoa(maxKey)+` printable ASCII characters in quotation marks, like "8e03978e-40d5-43e8-bc93-6894a57f9324", with a backslash before a quotation mark and before another backslash. Without quotation marks it has no spaces, commas, semicolons, backslashes or quotation marks.`)
	}
	return key, nil
}

// parseKey reads a string of RFC 8941 without parameters, or what most clients send in its place: the same without
// quotation marks, as long as that has nothing in it which would mean something else there.
func parseKey(value string) (key string, ok bool) {
	quoted, isString := strings.CutPrefix(value, `"`)
	if !isString {
		return value, printable(value) && !strings.ContainsAny(value, ` ",;\`)
	}
	var b strings.Builder
	for i := 0; i < len(quoted); i++ {
		switch c := quoted[i]; c {
		case '"':
			return b.String(), i == len(quoted)-1 && printable(b.String())
		case '\\':
			if i++; i == len(quoted) || quoted[i] != '"' && quoted[i] != '\\' {
				return "", false
			}
			b.WriteByte(quoted[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// printable tells whether a text is printable ASCII alone.
func printable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// told are the headers that say what a request is to make, where its body does not.
var told = []string{"Upload-Length", "Upload-Defer-Length", "Upload-Metadata"}

// digest tells a request from others: by its method, its path with the query, the headers that say what is to be made,
// and its body.
func digest(r *http.Request, body []byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	add := func(part []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	add([]byte(r.Method))
	add([]byte(r.URL.RequestURI()))
	for _, name := range told {
		add([]byte(strings.Join(r.Header.Values(name), "\n")))
	}
	add(body)
	h.Sum(sum[:0])
	return sum
}

// once runs a handler of a request with a key, or gives the answer again that it gave before.
func (a *API) once(rt *route, c *call, key string) error {
	if rt.body == contentLimit && c.r.ContentLength != 0 {
		return fail("bad-request", "With Idempotency-Key, an upload is announced alone: send its content afterwards, with PATCH.")
	}
	body, err := io.ReadAll(c.r.Body)
	if err != nil {
		return bodyFailure(err)
	}
	r, end, err := a.Answers.Begin(c.who.Person, rt.method+" "+rt.name(), key, digest(c.r, body))
	if err != nil {
		return err
	}
	defer end()
	if done, err := a.repeat(c, r); done || err != nil {
		return err
	}
	c.r = c.r.WithContext(once.With(c.r.Context(), r))
	c.r.Body, c.keyed = io.NopCloser(bytes.NewReader(body)), true
	err = rt.handle(a, c)
	if errors.Is(err, once.ErrDone) { // by another server, between the two looks
		if done, failed := a.repeat(c, r); done || failed != nil {
			return failed
		}
	}
	return err
}

// repeat gives the answer again that a request was answered with, if there is one.
func (a *API) repeat(c *call, r *once.Request) (done bool, err error) {
	answer, err := a.Answers.Answer(c.r.Context(), r)
	switch {
	case errors.Is(err, once.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	c.w.recorded.Recall(answer.Event)
	return true, a.give(c, answer)
}

// makes runs what makes a T, and answers with it. With a key, answer is called in the transaction too.
func makes[T any](a *API, c *call, answer func(made T) (once.Answer, error), do func(context.Context) (T, error)) error {
	ctx := c.r.Context()
	once.Answering(ctx, answer)
	made, err := do(ctx)
	if err != nil {
		return err
	}
	out, err := answer(made)
	if err != nil {
		return err
	}
	return a.give(c, out)
}

// jsonAnswer is an answer whose body is a JSON object.
func jsonAnswer(status int, v any, header map[string]string) (once.Answer, error) {
	body, err := json.Marshal(v)
	return once.Answer{Status: status, Header: header, Body: body}, err
}

// give answers, with the receipt where that was asked for. A kept answer has none: it may be asked for by a retry alone.
func (a *API) give(c *call, answer once.Answer) error {
	h, body := c.w.Header(), answer.Body
	if len(body) > 0 {
		if _, receipt := a.receiptOf(c); receipt != "" {
			text, err := json.Marshal(receipt)
			if err != nil {
				return err
			}
			body = append(append(append(bytes.TrimSuffix(bytes.Clone(body), []byte("}")), `,"receipt":`...), text...), '}')
		}
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	for name, value := range answer.Header {
		h.Set(name, value)
	}
	c.w.WriteHeader(answer.Status)
	if len(body) > 0 {
		c.w.Write(body) // who has gone away cannot be told
	}
	return nil
}
