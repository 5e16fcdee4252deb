package etsi014

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"stonevault/qkd"
)

// Handler is the key delivery API of a KME. It must be served with TLS that demands and verifies client certificates,
// as ServerTLS has it: without a verified certificate every request gets 401.
type Handler struct {
	// Source is what an SAE has of the KME. Whether there is such an SAE is the Source's to say, by qkd.ErrUnauthorised.
	Source func(sae string) qkd.Source
	// Identify is the id of the SAE that a verified certificate belongs to, for instance Field.SAE.
	Identify func(*x509.Certificate) (string, error)
	// Admit may refuse a request, for instance by *Busy, before more of it is looked at than whose it is. The SAE is empty where
	// the certificate is of none. It may be nil.
	Admit func(r *http.Request, c Call) error
	// Failed is told why a request got 503 without a reason in it, or 401, and whose it was. It may be nil. No error has a key in
	// it.
	Failed func(r *http.Request, c Call, err error)
}

// Call says who asks about whom. What was not found out is empty.
type Call struct{ SAE, Peer string }

const prefix = "/api/v1/keys/"

// call is one request to one of the three methods.
type call struct {
	source qkd.Source
	peer   string // the SAE in the URL
	query  url.Values
	body   []byte
	post   bool
}

// methods are the last parts of the URLs, each with whether it may be a POST and what it does.
var methods = map[string]struct {
	post bool
	do   func(ctx context.Context, c call) (any, error)
}{
	"status":   {false, status},
	"enc_keys": {true, encKeys},
	"dec_keys": {true, decKeys},
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	peer, name, found := route(r.URL.EscapedPath())
	who := Call{Peer: peer}
	var err error
	who.SAE, err = h.caller(r)
	if busy := h.admit(r, who); busy != nil {
		err = busy
	}
	if err != nil {
		h.fail(w, r, who, err)
		return
	}
	method, known := methods[name]
	if !found || !known {
		write(w, http.StatusNotFound, errorReply{Message: "there is no such resource"})
		return
	}
	if r.Method != http.MethodGet && !(method.post && r.Method == http.MethodPost) {
		allow := http.MethodGet
		if method.post {
			allow += ", " + http.MethodPost
		}
		w.Header().Set("Allow", allow)
		write(w, http.StatusMethodNotAllowed, errorReply{Message: "this method is not allowed here"})
		return
	}
	c := call{source: h.Source(who.SAE), peer: peer, post: r.Method == http.MethodPost}
	if c.query, c.body, err = content(w, r); err != nil {
		h.fail(w, r, who, err)
		return
	}
	reply, err := method.do(r.Context(), c)
	if err != nil {
		h.fail(w, r, who, err)
		return
	}
	write(w, http.StatusOK, reply)
}

func (h *Handler) admit(r *http.Request, c Call) error {
	if h.Admit == nil {
		return nil
	}
	return h.Admit(r, c)
}

// Busy is a request that comes too early. It is answered with 503.
type Busy struct {
	Message string
	Wait    time.Duration // rounded up to seconds for Retry-After
}

func (b *Busy) Error() string { return b.Message }

// caller is the SAE that asks.
func (h *Handler) caller(r *http.Request) (string, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return "", errors.Join(qkd.ErrUnauthorised, errors.New("etsi014: there is no verified certificate"))
	}
	id, err := h.Identify(r.TLS.PeerCertificates[0])
	if err == nil && !qkd.ValidSAE(id) {
		err = errors.New("etsi014: the certificate's field is no id of an SAE")
	}
	if err != nil {
		return "", errors.Join(qkd.ErrUnauthorised, err)
	}
	return id, nil
}

// route takes a path apart. An id may have any character, percent-encoded.
func route(escaped string) (peer, method string, ok bool) {
	rest, ok := strings.CutPrefix(escaped, prefix)
	if !ok {
		return "", "", false
	}
	peer, method, ok = strings.Cut(rest, "/")
	if !ok {
		return "", "", false
	}
	peer, err := url.PathUnescape(peer)
	return peer, method, err == nil && peer != ""
}

// content reads what a request says: a GET by its query, a POST by its body, and neither by the other.
func content(w http.ResponseWriter, r *http.Request) (query url.Values, body []byte, err error) {
	if query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return nil, nil, bad("the query cannot be read", "parameter", "")
	}
	for name, values := range query {
		if len(values) > 1 {
			return nil, nil, bad("a parameter is there twice", "parameter", name)
		}
	}
	if r.Method == http.MethodPost && len(query) > 0 {
		return nil, nil, bad("a POST request has its parameters in its body", "parameter", r.URL.RawQuery)
	}
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return nil, nil, badBody(errors.New("this is longer than " + strconv.Itoa(maxRequest) + " bytes"))
	case err != nil:
		return nil, nil, badBody(errors.New("it could not be read to its end"))
	case r.Method == http.MethodGet && len(body) > 0:
		return nil, nil, badBody(errors.New("a GET request has none"))
	}
	if kind := r.Header.Get("Content-Type"); kind != "" && len(body) > 0 {
		media, params, err := mime.ParseMediaType(kind)
		if charset, said := params["charset"]; err != nil || media != "application/json" || said && !strings.EqualFold(charset, "utf-8") {
			return nil, nil, badBody(errors.New("this is not application/json in UTF-8"))
		}
	}
	return query, body, nil
}

// only refuses a query that has another parameter than these.
func only(query url.Values, names ...string) error {
	for name := range query {
		if !slices.Contains(names, name) {
			return bad("a GET request cannot have this parameter", "parameter", name)
		}
	}
	return nil
}

func status(ctx context.Context, c call) (any, error) {
	if err := only(c.query); err != nil {
		return nil, err
	}
	s, err := c.source.Status(ctx, c.peer)
	return statusReply{
		SourceKME: s.SourceKME, TargetKME: s.TargetKME, Master: s.Master, Slave: s.Slave, KeySize: s.KeySize, Stored: s.Stored,
		MaxStored: s.MaxStored, MaxPerRequest: s.MaxPerRequest, MaxKeySize: s.MaxKeySize, MinKeySize: s.MinKeySize, MaxSAEs: s.MaxSAEs,
	}, err
}

func encKeys(ctx context.Context, c call) (any, error) {
	var request qkd.Request
	var err error
	if c.post {
		request, err = parseKeyRequest(c.body)
	} else {
		request, err = queryKeyRequest(c.query)
	}
	if err != nil {
		return nil, err
	}
	keys, err := c.source.Take(ctx, c.peer, request)
	return container(keys), err
}

func queryKeyRequest(query url.Values) (r qkd.Request, err error) {
	if err := only(query, "number", "size"); err != nil {
		return r, err
	}
	for _, p := range []struct {
		name string
		read func(string) (int, error)
		to   *int
	}{{"number", number, &r.Number}, {"size", size, &r.Size}} {
		if !query.Has(p.name) {
			continue
		}
		if *p.to, err = p.read(query.Get(p.name)); err != nil {
			return qkd.Request{}, about(p.name, err)
		}
	}
	return r, nil
}

func decKeys(ctx context.Context, c call) (any, error) {
	var ids []qkd.KeyID
	var err error
	if c.post {
		ids, err = parseKeyIDs(c.body)
	} else {
		ids, err = queryKeyID(c.query)
	}
	if err != nil {
		return nil, err
	}
	keys, err := c.source.Fetch(ctx, c.peer, ids...)
	return container(keys), err
}

func queryKeyID(query url.Values) ([]qkd.KeyID, error) {
	if err := only(query, "key_ID"); err != nil {
		return nil, err
	}
	id, err := qkd.ParseKeyID(query.Get("key_ID"))
	if err != nil {
		return nil, about("key_ID", err)
	}
	return []qkd.KeyID{id}, nil
}

func container(keys []qkd.Key) containerReply {
	c := containerReply{Keys: make([]keyReply, len(keys))}
	for i, k := range keys {
		c.Keys[i] = keyReply{k.ID.String(), k.Secret}
	}
	return c
}

// kinds are the answers to errors. What is in none is an error on the server's side, and its reason is not for the SAE.
var kinds = []struct {
	err    error
	status int
	text   string // where the error has no message
}{
	{qkd.ErrUnauthorised, http.StatusUnauthorized, ""},
	{qkd.ErrBadRequest, http.StatusBadRequest, "the request cannot be met"},
	{qkd.ErrNotFound, http.StatusBadRequest, qkd.TextNotFound},
	{qkd.ErrNoKeys, http.StatusServiceUnavailable, "there are no keys now"},
}

func (h *Handler) fail(w http.ResponseWriter, r *http.Request, c Call, err error) {
	reply, code := errorReply{Message: "the KME cannot answer now"}, http.StatusServiceUnavailable
	known := false
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			reply.Message, code, known = k.text, k.status, true
			break
		}
	}
	var busy *Busy
	if errors.As(err, &busy) {
		reply.Message, known = busy.Message, true
		w.Header().Set("Retry-After", strconv.FormatInt(int64((busy.Wait+time.Second-1)/time.Second), 10))
	}
	var said *qkd.Refusal
	if known && errors.As(err, &said) {
		reply = errorReply{said.Message, said.Details}
	}
	if (!known || code == http.StatusUnauthorized) && h.Failed != nil {
		h.Failed(r, c, err)
	}
	if code == http.StatusUnauthorized {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(code)
		return
	}
	write(w, code, reply)
}

func write(w http.ResponseWriter, code int, reply any) {
	body, err := json.Marshal(reply)
	if err != nil {
		panic(err) // the replies are of this package
	}
	defer clear(body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	w.Write(body)
}
