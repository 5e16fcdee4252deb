package sender

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"stonevault/internal/webhook"
)

const (
	patience  = 10 * time.Second // from the first packet to the reply's end
	maxReply  = 64 << 10
	maxHeader = 64 << 10
)

// errUnreachable is an address that messages must not be sent to. It does not say which: what names lead to inside is
// nobody's business.
var errUnreachable = errors.New("the address is not public")

// client posts messages.
type client struct {
	secure, clear *http.Client
	agent         string
	now           func() time.Time
}

// newClient makes a client that waits so long for a reply.
func newClient(c Config, patience time.Duration) *client {
	with := func(allowed func(netip.Addr) bool) *http.Client {
		dialer := &net.Dialer{Resolver: c.resolver, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if !allowed(at.Addr()) {
				return errUnreachable
			}
			return nil
		}}
		return &http.Client{
			Timeout:       patience,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots},
				// A connection that is kept would outlive what its address was checked for.
				DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
			},
		}
	}
	return &client{
		secure: with(func(ip netip.Addr) bool { return webhook.Reachable(ip, c.Private) }),
		// What nobody encrypts stays on this machine.
		clear: with(func(ip netip.Addr) bool { return c.Private && ip.Unmap().IsLoopback() && ip.Zone() == "" }),
		agent: c.Agent, now: c.Now,
	}
}

// send tries a delivery once. The error is ctx's: then nobody knows what came of it.
func (c *client) send(ctx context.Context, j webhook.Job) (webhook.Outcome, error) {
	failed := func(problem string) (webhook.Outcome, error) { return webhook.Outcome{Problem: problem}, nil }
	if j.Secret.IsZero() {
		return failed("the secret cannot be opened with this server's master key; draw a new one")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, j.URL, bytes.NewReader(j.Body))
	if err != nil {
		return failed("the address cannot be read; write it anew")
	}
	at := c.now()
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", c.agent)
	r.Header.Set(webhook.HeaderID, j.Message)
	r.Header.Set(webhook.HeaderTimestamp, webhook.Timestamp(at))
	r.Header.Set(webhook.HeaderSignature, j.Sign(at))
	by := c.clear
	if r.URL.Scheme == "https" {
		by = c.secure
	}
	reply, err := by.Do(r)
	switch {
	case err != nil && ctx.Err() != nil:
		return webhook.Outcome{}, ctx.Err()
	case err != nil:
		return failed(sentence(err))
	}
	defer reply.Body.Close()
	// What it says nobody reads, and that it cannot be read to its end changes nothing: the status has come.
	io.Copy(io.Discard, io.LimitReader(reply.Body, maxReply))
	return verdict(reply.StatusCode), nil
}

// verdict is what a status means.
func verdict(status int) webhook.Outcome {
	o := webhook.Outcome{Status: status}
	switch {
	case status >= 200 && status < 300:
	case status == http.StatusGone:
		o.Gone, o.Problem = true, "the receiver answered 410, which says that it wants no more"
	case status >= 300 && status < 400:
		o.Problem = "the receiver answered " + strconv.Itoa(status) + "; redirects are not followed, so give the webhook the address that it leads to"
	default:
		o.Problem = "the receiver answered " + strconv.Itoa(status)
	}
	return o
}

// sentence says why no reply came. It holds nothing of the address but the host.
func sentence(err error) string {
	var inside *url.Error // whose text has the whole address
	if errors.As(err, &inside) {
		err = inside.Err
	}
	var timeout interface{ Timeout() bool }
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errUnreachable):
		return "the receiver is not at a public address; the server sends there only where webhook_private is on"
	case errors.As(err, &name) && name.IsNotFound:
		return "there is no receiver of the name " + name.Name
	case errors.As(err, &certificate):
		return "the receiver's certificate cannot be trusted: " + certificate.Err.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens at the receiver's address"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "the receiver did not answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "the receiver broke off the connection"
	}
	return "the receiver could not be reached: " + strings.ToValidUTF8(err.Error(), "")
}
