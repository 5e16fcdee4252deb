// Package client is what the command line needs around the generated API client: a session that
// refreshes itself, sentences for problems, and contents that stream, resume and never end early in
// silence.
//
// Invariants: a token goes to the server that it was made for and nowhere else, over TLS 1.3 with a
// post-quantum key exchange unless the caller gave another word; Get returns nil only when all bytes that
// the server announced have been written. The package keeps no secret itself: Secrets does. It draws no
// progress bars and knows no terminal.
package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"stonevault/api"
)

// Secrets keeps the session between runs; *keyring.Secret is one.
type Secrets interface {
	Load() ([]byte, error)
	// Update replaces the secret under a lock that other processes heed; nil is none.
	Update(ctx context.Context, fn func(old []byte) ([]byte, error)) error
	// Replace stores without reading first.
	Replace(ctx context.Context, secret []byte) error
}

// Token is a program's API token. It never shows itself.
type Token string

// String never shows the token.
func (Token) String() string { return "[redacted]" }

// GoString never shows the token.
func (Token) GoString() string { return "[redacted]" }

// Options say which server, and how.
type Options struct {
	Server string // as CheckServer returns it
	// AllowClassical accepts a TLS key exchange that a quantum computer could undo.
	AllowClassical bool
	Trust          Trust
	UserAgent      string
	Secrets        Secrets
	// Devices keeps by what a server knows this device, beside the session and longer than that. May be nil.
	Devices Secrets
	// Token is used in the place of a session, where there is one.
	Token Token
	Now   func() time.Time
	// StallAfter ends a transfer that has stood still for so long; 0 is one minute.
	StallAfter time.Duration
	// Patience is how long a transfer that makes no progress waits, pauses added up, to be taken up again after
	// failures that can pass; 0 gives up at the first one.
	Patience time.Duration
	// Waiting is told why a transfer waits, and for how long; what is its path, or empty. It may be called by
	// many goroutines. May be nil.
	Waiting func(what string, err error, d time.Duration)
}

// Client talks to one server as one person. It may be used by many goroutines.
type Client struct {
	options Options
	api     *api.Client

	mu      sync.Mutex // guards session
	session *session   // nil until it has been loaded
}

// maxDocument bounds a JSON reply in bytes.
const maxDocument = 16 << 20

// CheckServer returns the address of a server in the one form that is kept. Without TLS it must be
// this machine, unless insecure says otherwise.
func CheckServer(server string, insecure bool) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", &ServerError{server, "is no address of a server; it looks like https://vault.example.org"}
	}
	if u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", &ServerError{server, "has more in it than a server; give https:// and the host alone"}
	}
	if u.Scheme == "http" && !insecure && !isLoopback(u.Hostname()) {
		return "", &ServerError{server, "would send everything unprotected; use https://, or say --allow-insecure-http if the network itself is protected"}
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

// ServerError is an address that cannot be used.
type ServerError struct{ Server, Reason string }

func (e *ServerError) Error() string { return e.Server + " " + e.Reason }

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// New makes a client; it connects to nothing yet.
func New(o Options) (*Client, error) {
	if o.StallAfter == 0 {
		o.StallAfter = time.Minute
	}
	secure, err := o.Trust.config(o.AllowClassical)
	if err != nil {
		return nil, err
	}
	generated, err := api.NewClient(o.Server, api.WithHTTPClient(&http.Client{
		Transport: transport(secure),
		// A redirect would carry the token to wherever it points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}))
	if err != nil {
		return nil, err
	}
	c := &Client{options: o, api: generated}
	generated.RequestEditors = append(generated.RequestEditors, func(_ context.Context, r *http.Request) error {
		r.Header.Set("User-Agent", o.UserAgent)
		return nil
	})
	return c, nil
}

// hybridGroups are the key exchanges of TLS 1.3 that combine ML-KEM with an elliptic curve.
var hybridGroups = []tls.CurveID{tls.X25519MLKEM768, tls.SecP384r1MLKEM1024, tls.SecP256r1MLKEM768}

// copySize is how much of a content moves at once.
const copySize = 256 << 10

func transport(secure *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	// HTTP/1.1 only: each transfer has a connection of its own, with the kernel's flow control.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       secure,
		TLSHandshakeTimeout:   10 * time.Second,
		Protocols:             protocols,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       time.Minute,
		ExpectContinueTimeout: 2 * time.Second,
		DisableCompression:    true, // lengths must be those of the content
	}
}

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, copySize); return &b }}

// call makes a request with an access token, and once more with a new one where the server says that it
// was not good. send must be able to run twice.
func (c *Client) call(ctx context.Context, send func(api.RequestEditorFn) (*http.Response, error)) (*http.Response, error) {
	token, err := c.token(ctx, "")
	if err != nil {
		return nil, err
	}
	resp, err := send(bearer(token))
	if err = check(resp, err); !errors.Is(err, errTokenEnded) {
		return resp, err
	}
	if token, err = c.token(ctx, token); err != nil {
		return nil, err
	}
	resp, err = send(bearer(token))
	return resp, check(resp, err)
}

func bearer(token string) api.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}

// decode reads a JSON reply and ends it.
func decode(resp *http.Response, into any) error {
	defer resp.Body.Close()
	body := io.LimitReader(resp.Body, maxDocument)
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("the server's reply cannot be read: %w: %w", ErrUnreachable, err)
	}
	io.Copy(io.Discard, body) // so that the connection can be used again
	return nil
}

// document makes a call whose reply is a T.
func document[T any](ctx context.Context, c *Client, send func(api.RequestEditorFn) (*http.Response, error)) (*T, error) {
	resp, err := c.call(ctx, send)
	if err != nil {
		return nil, err
	}
	reply := new(T)
	return reply, decode(resp, reply)
}
