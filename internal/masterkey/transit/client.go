package transit

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxAnswer = 64 << 10 // bytes
	tries     = 3        // of one request
	firstRest = 200 * time.Millisecond
	// longestRest is how long a 429 or a 503 may have the next try wait; who says more is asked another time.
	longestRest = 3 * time.Second
	// shownWords is how much of the engine's own words an error repeats.
	shownWords = 200
)

var (
	// ErrUnreachable is an engine that did not answer, or not as the API does. It may answer another time.
	ErrUnreachable = errors.New("transit does not answer")
	// ErrRefused is an engine that answered, and says no.
	ErrRefused = errors.New("transit refuses")
)

// Secret reads a token or a secret id, each time anew: who renews it may have written another one.
type Secret func() (string, error)

// Options say where the engine is and who asks. Without a RoleID, Token is asked for; with one, SecretID is.
type Options struct {
	Address   string // https://HOST[:PORT], or http:// to this machine
	Mount     string // of the engine, such as transit
	Key       string // its name there
	Namespace string
	CAFile    string // PEM; empty is the system's authorities
	Token     Secret
	RoleID    string
	SecretID  Secret
	Timeout   time.Duration // of one try; 5 s where zero
	Now       func() time.Time
}

// Client asks one engine. It may be used by many goroutines.
type Client struct {
	base      *url.URL
	mount     string
	key       string
	namespace string
	http      *http.Client
	timeout   time.Duration
	now       func() time.Time
	who       *login
	exchange  atomic.Value // string: the key exchange of the last connection; empty without TLS
}

// CheckAddress accepts the address of an engine: https, or http to this machine.
func CheckAddress(text string) error {
	_, err := parseAddress(text)
	return err
}

func parseAddress(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("must be an address such as https://HOST:8200")
	}
	if u.Scheme == "http" && !ownMachine(u.Hostname()) {
		return nil, errors.New("would send the master key in clear to another machine; use https")
	}
	u.Path = ""
	return u, nil
}

func ownMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// New makes a client, and asks nothing yet.
func New(o Options) (*Client, error) {
	base, err := parseAddress(o.Address)
	if err != nil {
		return nil, fmt.Errorf("the address of transit %w", err)
	}
	if o.Mount == "" || o.Key == "" || o.RoleID == "" && o.Token == nil || o.RoleID != "" && o.SecretID == nil {
		return nil, errors.New("transit: the mount, the key, and a token or a role with its secret id are required")
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	// Each question is one of few in minutes: a connection of its own shows at once that somebody is away.
	t := &http.Transport{
		DialContext: (&net.Dialer{Timeout: o.Timeout}).DialContext, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13}, MaxResponseHeaderBytes: 64 << 10,
	}
	if o.CAFile != "" {
		text, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("the authorities of transit's certificate cannot be read: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("there is no certificate in %s; it takes PEM, which begins with -----BEGIN CERTIFICATE-----", o.CAFile)
		}
	}
	c := &Client{
		base: base, mount: strings.Trim(o.Mount, "/"), key: o.Key, namespace: o.Namespace, timeout: o.Timeout, now: o.Now,
		http: &http.Client{Transport: t, CheckRedirect: followOnce},
	}
	c.who = &login{client: c, read: o.Token, role: o.RoleID, secretID: o.SecretID}
	return c, nil
}

// followOnce lets a standby lead to the active server, as it does by 307, and nobody lead into clear text.
func followOnce(r *http.Request, via []*http.Request) error {
	if len(via) > 1 {
		return errors.New("it redirects again and again")
	}
	if r.URL.Scheme != "https" && !(via[0].URL.Scheme == "http" && ownMachine(r.URL.Hostname())) {
		return errors.New("it redirects to an address without TLS")
	}
	return nil
}

// String says which key of which engine it is.
func (c *Client) String() string { return "key " + c.key + " at " + c.base.String() }

// Exchange is the key exchange that the last connection agreed on; empty where there was none.
func (c *Client) Exchange() string {
	name, _ := c.exchange.Load().(string)
	return name
}

// Classical tells whether the last connection could be opened later by who recorded it and has a quantum computer.
func (c *Client) Classical() bool {
	return c.Exchange() != "" && !strings.Contains(c.Exchange(), "MLKEM")
}

// ask makes a request as whoever is logged in, and once more with another token where that one is refused.
func (c *Client) ask(ctx context.Context, method, path string, body, answer any) error {
	token, err := c.who.token(ctx, "")
	if err != nil {
		return err
	}
	err = c.request(ctx, method, path, token, body, answer)
	var no *refusal
	if !errors.As(err, &no) || no.status != http.StatusForbidden {
		return err
	}
	another, errAnother := c.who.token(ctx, token)
	switch {
	case errAnother != nil:
		return errAnother
	case another == token:
		return err
	}
	return c.request(ctx, method, path, another, body, answer)
}

// request tries until there is an answer, a few times at most.
func (c *Client) request(ctx context.Context, method, path, token string, body, answer any) error {
	text, err := encode(body)
	if err != nil {
		return err
	}
	rest := firstRest
	for try := 1; ; try++ {
		wait, err := c.try(ctx, method, path, token, text, answer)
		if err == nil || !errors.Is(err, ErrUnreachable) || try == tries || ctx.Err() != nil || wait > longestRest {
			return err
		}
		select {
		case <-time.After(max(wait, rest)):
			rest *= 4
		case <-ctx.Done():
			return err
		}
	}
}

func encode(body any) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	return json.Marshal(body)
}

// try makes one request. It returns also how long the answer asks to wait before the next.
func (c *Client) try(ctx context.Context, method, path, token string, body []byte, answer any) (wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, c.base.String()+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("transit: the mount or the key has a name that is no part of an address")
	}
	r.Header.Set("X-Vault-Request", "true") // which a proxy of theirs may demand
	if token != "" {
		r.Header.Set("X-Vault-Token", token)
	}
	if c.namespace != "" {
		r.Header.Set("X-Vault-Namespace", c.namespace)
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(r)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the address, which the caller names
		}
		return 0, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer res.Body.Close()
	if res.TLS != nil {
		c.exchange.Store(res.TLS.CurveID.String())
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	defer clear(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w: its answer broke off: %w", ErrUnreachable, err)
	case len(text) > maxAnswer:
		return 0, fmt.Errorf("%w: its answer is longer than %d bytes", ErrUnreachable, maxAnswer)
	case res.StatusCode != http.StatusOK:
		seconds, _ := strconv.ParseUint(res.Header.Get("Retry-After"), 10, 16)
		return time.Duration(seconds) * time.Second, judge(res, text, token, body)
	case !isJSON(res) || json.Unmarshal(text, answer) != nil:
		return 0, fmt.Errorf("%w as the API does: %s is not what it documents", ErrUnreachable, path[:strings.LastIndexByte(path, '/')])
	}
	return 0, nil
}

func isJSON(res *http.Response) bool {
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// refusal is an answer that says no.
type refusal struct {
	status int
	words  string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%v (status %d%s)", ErrRefused, r.status, r.words)
}
func (r *refusal) Unwrap() error { return ErrRefused }

// judge says what an answer that is no success means. 400, 403 and 404 are a no where they are in the form that the
// API documents, and 403 in any; all else may pass, and so may what something in between has said.
func judge(res *http.Response, text []byte, sent string, body []byte) error {
	var said struct {
		Errors *[]string `json:"errors"`
	}
	documented := isJSON(res) && json.Unmarshal(text, &said) == nil && said.Errors != nil
	words := ""
	if documented {
		words = wordsOf(*said.Errors, sent, body)
	}
	switch s := res.StatusCode; {
	case s == http.StatusForbidden, documented && (s == http.StatusBadRequest || s == http.StatusNotFound):
		return &refusal{s, words}
	default:
		return fmt.Errorf("%w: it has status %d%s", ErrUnreachable, s, words)
	}
}

// wordsOf are the engine's own words, in short, printable, and without what must not be repeated.
func wordsOf(said []string, token string, body []byte) string {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, strings.Join(said, "; "))
	text = strings.Join(strings.Fields(text), " ")
	var fields map[string]any
	secrets := []string{token}
	if json.Unmarshal(body, &fields) == nil {
		for _, v := range fields {
			if s, ok := v.(string); ok {
				secrets = append(secrets, s)
			}
		}
	}
	for _, s := range secrets {
		if len(s) > 3 && strings.Contains(text, s) {
			return ": its words repeat what was sent, and are left out"
		}
	}
	if text == "" {
		return ""
	}
	return ": " + text[:min(len(text), shownWords)]
}
