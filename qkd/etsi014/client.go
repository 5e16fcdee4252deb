package etsi014

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
	"net/http"
	"net/url"
	"strings"
	"time"

	"stonevault/qkd"
)

var (
	// ErrUnreachable is a KME that did not answer: there is no connection, the certificates do not fit, or it took too long.
	// Keys that were asked for may be lost.
	ErrUnreachable = errors.New("the key-management entity does not answer")
	// ErrProtocol is an answer that is none by ETSI GS QKD 014, or not to what was asked.
	ErrProtocol = errors.New("the key-management entity gives an answer that cannot be used")
)

// Site is one end of a QKD link: a KME, and the SAE that this program is there.
type Site struct {
	URL         string                  // of the KME: https://host[:port], with what stands before /api/v1/keys, if anything
	SAE         string                  // the id of this SAE
	Certificate func() *tls.Certificate // asked for at each connection, so that it may change
	Authorities *x509.CertPool          // that the KME's certificate must come from
	ServerName  string                  // in the KME's certificate; empty for the host of the URL
	AllowTLS12  bool                    // else TLS 1.3 is demanded
	Timeout     time.Duration           // of a request as a whole; 0 is 30 s
}

const defaultTimeout = 30 * time.Second

// Client gets keys at one site. It is a qkd.Source, and may be used by many goroutines. A request is sent once: whether it
// had an effect is not known where no answer came, and to repeat it would cost further keys.
type Client struct {
	site Site
	base *url.URL
	http *http.Client
}

var _ qkd.Source = (*Client)(nil)

// NewClient checks a site. It connects to nothing.
func NewClient(site Site) (*Client, error) {
	base, err := url.Parse(site.URL)
	switch {
	case err != nil || base.Scheme != "https" || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("etsi014: the URL of a KME is https://host[:port]")
	case !qkd.ValidSAE(site.SAE):
		return nil, errors.New("etsi014: a site needs the id of its SAE")
	case site.Certificate == nil || site.Authorities == nil:
		return nil, errors.New("etsi014: a site needs a certificate, its key, and the authorities of its KME")
	case site.Timeout < 0:
		return nil, errors.New("etsi014: a timeout is negative")
	}
	if site.Timeout == 0 {
		site.Timeout = defaultTimeout
	}
	c := &Client{site: site, base: base, http: &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: site.Authorities, ServerName: site.ServerName, MinVersion: oldest(site.AllowTLS12),
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return site.Certificate(), nil }},
			ForceAttemptHTTP2: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10, MaxConnsPerHost: 16, IdleConnTimeout: time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       site.Timeout,
	}}
	return c, nil
}

// Close ends connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks for the state of the keys for a slave.
func (c *Client) Status(ctx context.Context, slave string) (qkd.Status, error) {
	body, err := c.ask(ctx, http.MethodGet, slave, "status", nil)
	if err != nil {
		return qkd.Status{}, err
	}
	s, err := parseStatus(body)
	if err == nil && (s.Slave != slave || s.Master != c.site.SAE) {
		err = fmt.Errorf("it is about the SAEs %q and %q", s.Master, s.Slave)
	}
	if err != nil {
		return qkd.Status{}, fmt.Errorf("%w: the status: %w", ErrProtocol, err)
	}
	return s, nil
}

// Take takes keys for a slave and perhaps others. Where the request leaves their size open, the KME chooses it, the same
// for all.
func (c *Client) Take(ctx context.Context, slave string, r qkd.Request) ([]qkd.Key, error) {
	if r.Number < 0 || r.Size < 0 || r.Number > maxNames {
		return nil, fmt.Errorf("%w: %d keys of %d bits", qkd.ErrBadRequest, r.Number, r.Size)
	}
	keys, err := c.keys(ctx, slave, "enc_keys", keyRequest(r))
	if err == nil {
		err = checkTaken(keys, r)
	}
	if err != nil {
		return nil, err
	}
	return keys, nil
}

func checkTaken(keys []qkd.Key, r qkd.Request) error {
	if len(keys) != max(r.Number, 1) {
		return fmt.Errorf("%w: it has %d keys, and %d were asked for", ErrProtocol, len(keys), max(r.Number, 1))
	}
	size := r.Size
	if size == 0 {
		size = 8 * len(keys[0].Secret)
	}
	seen := map[qkd.KeyID]bool{}
	for _, k := range keys {
		if 8*len(k.Secret) != size {
			return fmt.Errorf("%w: a key has %d bits, and not %d", ErrProtocol, 8*len(k.Secret), size)
		}
		if seen[k.ID] {
			return fmt.Errorf("%w: two keys have one id", ErrProtocol)
		}
		seen[k.ID] = true
	}
	return nil
}

// Fetch fetches keys that a master took, in the order of their ids.
func (c *Client) Fetch(ctx context.Context, master string, ids ...qkd.KeyID) ([]qkd.Key, error) {
	if len(ids) == 0 || len(ids) > maxNames {
		return nil, fmt.Errorf("%w: %d keys", qkd.ErrBadRequest, len(ids))
	}
	var request keyIDsRequest
	for _, id := range ids {
		request.IDs = append(request.IDs, keyIDRequest{id.String()})
	}
	keys, err := c.keys(ctx, master, "dec_keys", request)
	if err != nil {
		return nil, err
	}
	by := make(map[qkd.KeyID]qkd.Key, len(keys))
	for _, k := range keys {
		by[k.ID] = k
	}
	ordered := make([]qkd.Key, 0, len(ids))
	for _, id := range ids {
		if k, there := by[id]; there {
			ordered = append(ordered, k)
		}
	}
	if len(ordered) != len(ids) || len(keys) != len(ids) || len(by) != len(ids) {
		return nil, fmt.Errorf("%w: it has other keys than were asked for", ErrProtocol)
	}
	return ordered, nil
}

func (c *Client) keys(ctx context.Context, peer, method string, request any) ([]qkd.Key, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	reply, err := c.ask(ctx, http.MethodPost, peer, method, body)
	if err != nil {
		return nil, err
	}
	defer clear(reply)
	keys, err := parseContainer(reply)
	if err != nil {
		return nil, fmt.Errorf("%w: the keys: %w", ErrProtocol, err)
	}
	return keys, nil
}

// ask sends one request and returns the body of a 200.
func (c *Client) ask(ctx context.Context, verb, peer, method string, body []byte) ([]byte, error) {
	if !qkd.ValidSAE(peer) {
		return nil, fmt.Errorf("%w: %q is no id of an SAE", qkd.ErrBadRequest, peer)
	}
	at := strings.TrimSuffix(c.base.String(), "/") + prefix + url.PathEscape(peer) + "/" + method
	request, err := http.NewRequestWithContext(ctx, verb, at, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("etsi014: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	if verb == http.MethodPost {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer response.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(response.Body, maxReply+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w to its end: %w", ErrUnreachable, err)
	case len(reply) > maxReply:
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrProtocol, maxReply)
	case response.StatusCode != http.StatusOK:
		return nil, refusal(response.StatusCode, reply)
	}
	if media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, fmt.Errorf("%w: it is not application/json", ErrProtocol)
	}
	return reply, nil
}

// refusal is what an answer other than 200 means.
func refusal(code int, body []byte) error {
	said := parseError(body)
	r := &qkd.Refusal{Message: said.Message, Details: said.Details}
	switch code {
	case http.StatusUnauthorized:
		return qkd.ErrUnauthorised
	case http.StatusBadRequest:
		r.Kind = qkd.ErrBadRequest
		if strings.EqualFold(strings.TrimRight(said.Message, ". "), qkd.TextNotFound) {
			r.Kind = qkd.ErrNotFound
		}
	case http.StatusServiceUnavailable:
		r.Kind = qkd.ErrNoKeys
	default:
		return fmt.Errorf("%w: HTTP status %d: %s", ErrProtocol, code, said.Message)
	}
	if r.Message == "" {
		r.Message = "it gives no reason"
	}
	return r
}
