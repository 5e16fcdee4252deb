package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"

	"stonevault/api"
)

var (
	// ErrNotSignedIn is a session that does not exist or has ended.
	ErrNotSignedIn = errors.New("not signed in; sign in with: stonevault login --server URL --user NAME")
	// ErrCredentials is a wrong name or password.
	ErrCredentials = errors.New("the name or the password is wrong")
	// ErrRefused is stored data that is not what was sealed.
	ErrRefused = errors.New("refused")
	// ErrNotFound is nothing that this person may see.
	ErrNotFound = errors.New("not found")
	// ErrExists is something in the way.
	ErrExists = errors.New("exists already")
	// ErrUnreachable is a server that could not be asked, or whose answer did not arrive.
	ErrUnreachable = errors.New("the server cannot be reached")
	// ErrOtherVault is another vault at the address of the one that was seen first.
	ErrOtherVault = errors.New("this is not the vault that was here before")

	// errTokenEnded is an access token that is no longer good.
	errTokenEnded = errors.New("the access token is not good")
)

// sentinels reads the server's table of problems backwards.
var sentinels = map[string]error{
	"refused":             ErrRefused,
	"unauthenticated":     errTokenEnded,
	"bad-credentials":     ErrCredentials,
	"session-ended":       ErrNotSignedIn,
	"not-found":           ErrNotFound,
	"exists":              ErrExists,
	"precondition-failed": ErrExists, // all that is ever demanded is that there be nothing
}

// Problem is a problem document (RFC 9457).
type Problem struct {
	Code      string // the last part of its type
	Status    int
	Detail    string
	RequestID string
}

func (p *Problem) Error() string {
	return fmt.Sprintf("%s (request %s)", strings.TrimSuffix(p.Detail, "."), p.RequestID)
}

// Is finds the sentinel that the problem stands for.
func (p *Problem) Is(target error) bool { return sentinels[p.Code] == target && target != nil }

// check makes an error of every reply that is no success, and says what a failed connection means.
func check(resp *http.Response, err error) error {
	switch {
	case err != nil:
		return unreachable(err)
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	if err != nil {
		return unreachable(err)
	}
	var doc api.Problem
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind != "application/problem+json" || json.Unmarshal(b, &doc) != nil || doc.Type == "" {
		return fmt.Errorf("%s is not the address of a Stonevault server: it answers with status %d",
			resp.Request.URL.Scheme+"://"+resp.Request.URL.Host, resp.StatusCode)
	}
	p := &Problem{Code: path.Base(doc.Type), Status: resp.StatusCode, Detail: doc.Detail, RequestID: doc.RequestID}
	if p.Detail == "" {
		p.Detail = doc.Title
	}
	if len(doc.Errors) > 1 {
		var each []string
		for _, f := range doc.Errors {
			each = append(each, f.Field+" "+f.Reason)
		}
		p.Detail = strings.Join(each, "; ")
	}
	return p
}

// unreachable says what went wrong with a connection, without the method and address that the standard
// library puts in front.
func unreachable(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
		return err
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	hint := ""
	var failed *net.OpError
	switch {
	case errors.As(err, new(*tls.CertificateVerificationError)):
		hint = "; install the certificate of its authority on this machine"
	case errors.Is(err, http.ErrSchemeMismatch):
		hint = "; it may speak http alone, which is for one machine"
	case errors.As(err, &failed) && failed.Op == "remote error": // an alert of TLS
		hint = "; it may know no TLS 1.3 or no post-quantum key exchange, and --allow-classical goes without the latter"
	case errors.As(err, &failed) && failed.Op == "dial":
		hint = "; check the address, and that it is running"
	}
	return fmt.Errorf("%w: %w%s", ErrUnreachable, err, hint)
}
