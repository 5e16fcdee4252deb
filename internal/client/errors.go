package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"stonevault/api"
)

var (
	// ErrNotSignedIn is a session that does not exist or has ended.
	ErrNotSignedIn = errors.New("not signed in; sign in with: stonevault login --server URL --user NAME")
	// ErrToken is an API token that is not good.
	ErrToken = errors.New("the API token is not good: it is mistyped, has ended or was revoked, or is of another vault; " +
		"make another one with: stonevault token create")
	// ErrSecondFactor is the right password of an account that has a second factor.
	ErrSecondFactor = errors.New("signing in takes a code of the second factor as well")
	// ErrWrongCode is another code than the second factor's, or one that was used.
	ErrWrongCode = errors.New("the code is wrong, or was used before")
	// ErrEnrolFirst is a session that may do nothing but set up a second factor.
	ErrEnrolFirst = errors.New("a second factor must be set up first")
	// ErrOutOfScope is what the API token may not do.
	ErrOutOfScope = errors.New("the API token is not for that")
	// ErrCredentials is a wrong name or password.
	ErrCredentials = errors.New("the name or the password is wrong")
	// ErrRefused is stored data that is not what was sealed.
	ErrRefused = errors.New("refused")
	// ErrNotFound is nothing that this person may see.
	ErrNotFound = errors.New("not found")
	// ErrExists is something in the way.
	ErrExists = errors.New("exists already")
	// ErrNotEmpty is a folder that cannot be removed by itself.
	ErrNotEmpty = errors.New("the folder is not empty")
	// ErrUnreachable is a server that could not be asked, or whose answer did not arrive.
	ErrUnreachable = errors.New("the server cannot be reached")
	// ErrChanged is a file, here or in the vault, that is no longer the one that a transfer began with.
	ErrChanged = errors.New("the file has changed")
	// ErrOtherVault is another vault at the address of the one that was seen first.
	ErrOtherVault = errors.New("this is not the vault that was here before")

	// errTokenEnded is an access token that is no longer good.
	errTokenEnded = errors.New("the access token is not good")
	// errWrongOffset is an upload that stands elsewhere.
	errWrongOffset = errors.New("the upload stands at another offset")
	// errLocked is an upload that another request works on.
	errLocked = errors.New("another request works on this upload")
	// errGone is an upload that the server does not know any more.
	errGone = errors.New("the server has forgotten this upload; it begins anew")
)

// sentinels reads the server's table of problems backwards.
var sentinels = map[string]error{
	"refused":                ErrRefused,
	"unauthenticated":        errTokenEnded,
	"bad-credentials":        ErrCredentials,
	"second-factor-required": ErrSecondFactor,
	"wrong-code":             ErrWrongCode,
	"enrol-first":            ErrEnrolFirst,
	"out-of-scope":           ErrOutOfScope,
	"session-ended":          ErrNotSignedIn,
	"not-found":              ErrNotFound,
	"no-event":               ErrNotFound,
	"audit-rewritten":        ErrLogRewritten, // by the server's own word
	"not-empty":              ErrNotEmpty,
	"locked":                 errLocked,
	"wrong-offset":           errWrongOffset,
	"exists":                 ErrExists,
	"precondition-failed":    ErrExists, // what is demanded of a put is that there be nothing
}

// Problem is a problem document (RFC 9457).
type Problem struct {
	Code      string // the last part of its type
	Status    int
	Detail    string
	RequestID string
	// RetryAfter is how long the server wants to be left alone; 0 where it does not say.
	RetryAfter time.Duration
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
	switch {
	case kind == "application/problem+json" && resp.Request.Method == http.MethodHead:
		doc = headProblem(resp)
	case kind == "application/problem+json" && json.Unmarshal(b, &doc) == nil && doc.Type != "":
	case resp.StatusCode >= http.StatusBadGateway && resp.StatusCode <= http.StatusGatewayTimeout:
		return fmt.Errorf("%w: what stands in front of it answers with status %d", ErrUnreachable, resp.StatusCode)
	default:
		return fmt.Errorf("%s is not the address of a Stonevault server: it answers with status %d",
			resp.Request.URL.Scheme+"://"+resp.Request.URL.Host, resp.StatusCode)
	}
	p := &Problem{Code: path.Base(doc.Type), Status: resp.StatusCode, Detail: doc.Detail, RequestID: doc.RequestID}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	if p.Detail == "" {
		p.Detail = doc.Title
	}
	if p.RetryAfter > 0 && p.Status == http.StatusTooManyRequests { // how long is said besides, and not as a header
		p.Detail = "There were too many requests, or too many sign-ins that failed"
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

// headCodes stand in for the bodies that replies to HEAD do not have.
var headCodes = map[int]string{
	http.StatusUnauthorized: "unauthenticated", http.StatusNotFound: "not-found", http.StatusGone: "not-found",
	http.StatusLocked: "locked", http.StatusServiceUnavailable: "not-ready",
}

func headProblem(resp *http.Response) api.Problem {
	code, ok := headCodes[resp.StatusCode]
	if !ok {
		code = "unknown"
	}
	return api.Problem{
		Type: "/problems/" + code, RequestID: resp.Header.Get("X-Request-Id"),
		Detail: fmt.Sprintf("The server answers with status %d, %s", resp.StatusCode, http.StatusText(resp.StatusCode)),
	}
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
	if err := untrusted(err); err != nil {
		return err
	}
	hint := ""
	var failed *net.OpError
	var system *os.SyscallError
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		hint = "; it may speak http alone, which is for one machine"
	case errors.As(err, &failed) && failed.Op == "remote error": // an alert of TLS
		hint = "; it may know no TLS 1.3 or no post-quantum key exchange, and --allow-classical goes without the latter"
	case errors.As(err, &failed) && failed.Op == "dial":
		hint = "; check the address, and that it is running"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = &plainError{"the connection ended in the middle", err}
	case errors.As(err, &system):
		err = &plainError{system.Err.Error(), err} // without the addresses
	}
	return fmt.Errorf("%w: %w%s", ErrUnreachable, err, hint)
}

// plainError is another error in fewer words.
type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }
