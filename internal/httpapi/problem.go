package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"stonevault/api"
	"stonevault/internal/access"
	"stonevault/internal/auditlog"
	"stonevault/internal/auth"
	"stonevault/internal/once"
	"stonevault/internal/vault"
	"stonevault/internal/webhook"
	"stonevault/stone"
)

// kind is a row of the one table that says how what went wrong looks on HTTP.
type kind struct {
	code   string
	status int
	title  string
	about  string // what it means and what to do: the problem's page, and its detail where nothing better is known
	match  error  // the sentinel that it stands for, if there is one
	also   error  // another one
	retry  int    // seconds for Retry-After, where nothing better is known
}

// kinds is searched from the top: an error that wraps two sentinels is the first of them here.
var kinds = []kind{
	{code: "refused", status: http.StatusConflict, title: "Refused", match: vault.ErrRefused,
		about: "The stored data is not what was sealed: it was changed or damaged. Nothing that fails to verify is given out. Restore this file from a backup, and find out who could write to the storage."},
	{code: "unauthenticated", status: http.StatusUnauthorized, title: "Not signed in", match: auth.ErrUnauthenticated,
		about: "The request carries no access token that is good. Refresh the session, or sign in again."},
	{code: "bad-credentials", status: http.StatusUnauthorized, title: "Wrong name or password", match: auth.ErrCredentials,
		about: "The name or the password is wrong, or the account is switched off."},
	{code: "second-factor-required", status: http.StatusUnauthorized, title: "A code is wanted", match: auth.ErrSecondFactorRequired,
		about: "This account has a second factor. Send the same again with the six digits of the authenticator app, or with a recovery code."},
	{code: "wrong-code", status: http.StatusForbidden, title: "Wrong code", match: auth.ErrSecondFactor,
		about: "The code is wrong, too old, or was used before. Enter the one that the authenticator app shows now, or a recovery code that was not used."},
	{code: "wrong-password", status: http.StatusForbidden, title: "Wrong password", match: auth.ErrPassword,
		about: "This is not the password of who is signed in."},
	{code: "enrol-first", status: http.StatusForbidden, title: "A second factor is missing",
		about: "This person's role must have a second factor. Set one up, and then go on."},
	{code: "session-ended", status: http.StatusUnauthorized, title: "The session has ended", match: auth.ErrSessionEnded,
		about: "The refresh token has expired, was used before, or its session was ended. Sign in again."},
	{code: "wrong-setup-code", status: http.StatusForbidden, title: "Wrong setup code", match: auth.ErrSetupCode,
		about: "This is not the code that the server wrote when it started. Its log says where that is. After ten wrong codes the server must be started again."},
	{code: "setup-over", status: http.StatusConflict, title: "Nothing to set up", match: auth.ErrSetupOver,
		about: "The vault has an admin already, or ten wrong codes were given. In the first case, sign in; in the second, start the server again, and it writes another code."},
	{code: "busy", status: http.StatusServiceUnavailable, title: "Too busy", match: auth.ErrBusy, retry: 2,
		about: "Too many people are signing in at once. Try again in a moment."},
	{code: "precondition-failed", status: http.StatusPreconditionFailed, title: "Precondition failed", match: vault.ErrPrecondition,
		about: "This is not what If-Match or If-None-Match demands: somebody has changed it meanwhile, or it is there already. Look at what is there now, and decide again."},
	{code: "exists", status: http.StatusConflict, title: "Something is there already", match: vault.ErrExists,
		about: "There is a file or folder at this path already. Choose another path, or remove what is there."},
	{code: "not-empty", status: http.StatusConflict, title: "The folder is not empty", match: vault.ErrNotEmpty,
		about: "There is something in the folder. Remove or move what is in it first, or ask for everything to be removed."},
	{code: "wrong-offset", status: http.StatusConflict, title: "Another offset", match: vault.ErrOffset,
		about: "The upload does not stand where these bytes belong. Ask where it stands with HEAD, and go on from there."},
	{code: "locked", status: http.StatusLocked, title: "In use", match: vault.ErrBusy, retry: 2,
		about: "Another request is sending to this upload. Wait until it ends, or until its connection has been silent for some seconds."},
	{code: "upload-too-long", status: http.StatusRequestEntityTooLarge, title: "Longer than announced", match: vault.ErrUploadTooLong,
		about: "More bytes came than Upload-Length announced. Ask where the upload stands with HEAD, and send what is left of the file."},
	{code: "quota", status: http.StatusRequestEntityTooLarge, title: "The quota is used up", match: vault.ErrQuota,
		about: "A quota, one's own or that of a group, leaves no room for this; the detail says which. Of a resumable upload, what came before is kept and can go on once there is room; of anything else, nothing is. Delete files with all their versions, or ask whoever set the quota for more."},
	{code: "audit-rewritten", status: http.StatusInternalServerError, title: "The audit log was rewritten", match: auditlog.ErrRewritten,
		about: "The stored audit log is not the one that was signed. Keep your receipts, and tell the administrators, who find what was changed with: stonevaultd audit fsck."},
	{code: "last-manager", status: http.StatusConflict, title: "The last manager", match: vault.ErrLastManager,
		about: "The group would have no manager left. Name another manager first, or delete the group."},
	{code: "last-admin", status: http.StatusConflict, title: "The last admin", match: access.ErrLastAdmin,
		about: "The vault would have no admin left. Make somebody else an admin first."},
	{code: "still-active", status: http.StatusConflict, title: "The account is switched on", match: vault.ErrStillActive,
		about: "Files are handed over once their owner's account is switched off. Switch it off first."},
	{code: "link-over", status: http.StatusGone, title: "The link does not work any more", match: vault.ErrLinkOver,
		about: "This one-time link was used, was withdrawn, is too old, or was never made. Ask whoever gave it to you for another one."},
	{code: "closed", status: http.StatusForbidden, title: "Registration is closed", match: vault.ErrClosed,
		about: "Nobody may make an account for himself in this vault. Ask an administrator for an invitation."},
	{code: "traces-remain", status: http.StatusServiceUnavailable, title: "Erased, and not yet without traces", match: auditlog.ErrNotShredded, retry: 5,
		about: "The person is gone, but the database could not be written anew without traces: somebody else used it for long, or the disk has no room for a second copy. Ask for it again, or run at the server: stonevaultd admin scrub."},
	{code: "idempotency-key-reused", status: http.StatusUnprocessableEntity, title: "The key was used before", match: once.ErrReused,
		about: "This Idempotency-Key came with another request in the last 24 hours. A key is for one request and its retries: draw a new one."},
	{code: "request-in-progress", status: http.StatusConflict, title: "Under way", match: once.ErrInProgress, retry: 1,
		about: "A request with this Idempotency-Key is under way. Send the same again in a moment, to get its answer."},
	{code: "conflict", status: http.StatusConflict, title: "Changed meanwhile", match: vault.ErrConflict, also: once.ErrDone,
		about: "Somebody else changed the same thing at the same time, and nothing of this change was kept. Try again."},
	{code: "not-found", status: http.StatusNotFound, title: "Not found", match: vault.ErrNotFound, also: auth.ErrNotFound,
		about: "There is nothing here that this person may see."},
	{code: "no-event", status: http.StatusNotFound, title: "Not found", match: auditlog.ErrNotFound,
		about: "There is no such entry in the audit log that this person may see, or no signed head covers it yet: ask with Prefer: wait."},
	{code: "too-many-webhooks", status: http.StatusConflict, title: "Too many webhooks", match: webhook.ErrTooMany,
		about: "There are 50 webhooks, and no more than that may be. Delete one that nobody needs."},
	{code: "webhook-off", status: http.StatusConflict, title: "The webhook is switched off", match: webhook.ErrOff,
		about: "Nothing is sent to a webhook that is switched off. Switch it on, then try again."},
	{code: "forbidden", status: http.StatusForbidden, title: "Not allowed", match: vault.ErrForbidden, also: auth.ErrForbidden,
		about: "This person's role does not allow it. Ask an administrator of the vault."},
	{code: "out-of-scope", status: http.StatusForbidden, title: "Out of scope",
		about: "The API token is not for this. Make one with the scopes that it takes; what no scope gives needs somebody who is signed in."},
	{code: "no-space", status: http.StatusInsufficientStorage, title: "No space left", match: vault.ErrNoSpace,
		about: "The server's storage is full; nothing was kept. Make room on the server, then try again."},
	// Where a client is there to be told, what was cancelled is this server's: it lost its place among others.
	{code: "unavailable", status: http.StatusServiceUnavailable, title: "Not available at the moment", match: vault.ErrUnavailable, also: context.Canceled, retry: 5,
		about: "The server cannot reach its database, its store or what keeps its master key. Nothing is lost; try again in a moment. After a change, look first whether it was made: the answer to it may be what was lost."},
	{code: "timeout", status: http.StatusServiceUnavailable, title: "Took too long", match: context.DeadlineExceeded, retry: 5,
		about: "The server could not do it in time. Try again in a moment."},

	{code: "bad-request", status: http.StatusBadRequest, title: "The request cannot be read",
		about: "The request is not what HTTP or this interface asks for."},
	{code: "cross-origin", status: http.StatusForbidden, title: "Request of another site",
		about: "A browser sent this request on behalf of another site, which is not allowed here."},
	{code: "method-not-allowed", status: http.StatusMethodNotAllowed, title: "Method not allowed",
		about: "This path does not know the method. The Allow header names the ones it knows."},
	{code: "stalled", status: http.StatusRequestTimeout, title: "The body stood still",
		about: "No byte of the body arrived for 60 seconds. Of a resumable upload, what came without a checksum is kept; of anything else, nothing. Check the connection, then go on, or send it again."},
	{code: "too-large", status: http.StatusRequestEntityTooLarge, title: "Too large", match: stone.ErrTooLarge,
		about: "The body is larger than this path accepts: 64 KiB of JSON, 1 TiB of content."},
	{code: "unsupported-media-type", status: http.StatusUnsupportedMediaType, title: "Unsupported media type",
		about: "The body must be application/json in UTF-8, content without a Content-Encoding, or a piece of an upload as application/offset+octet-stream."},
	{code: "tus-version", status: http.StatusPreconditionFailed, title: "Another version of tus",
		about: "Uploads speak tus 1.0: the request must say Tus-Resumable: 1.0.0."},
	{code: "checksum-mismatch", status: 460, title: "Checksum Mismatch",
		about: "The bytes that came are not those of Upload-Checksum, and none of them was kept. Send them again."},
	{code: "range-not-satisfiable", status: http.StatusRequestedRangeNotSatisfiable, title: "Range not satisfiable",
		about: "No part of the range is in the file, the range cannot be read, or more is asked for than the file holds. Content-Range tells the file's size."},
	{code: "too-many-requests", status: http.StatusTooManyRequests, title: "Too many requests", match: auth.ErrTooMany,
		about: "There were too many requests, or too many tries to sign in that failed. Wait for as long as the answer says, then try again. A device that was signed in from before does not wait for the failures of others."},
	{code: "limits-unavailable", status: http.StatusServiceUnavailable, title: "Requests cannot be counted", retry: 5,
		about: "The server cannot reach what counts its requests, and lets none in uncounted. Try again in a moment; its log has the reason."},
	{code: "invalid", status: http.StatusUnprocessableEntity, title: "Values that cannot be accepted",
		about: "One value or more cannot be accepted; errors names each and says why."},
	{code: "not-ready", status: http.StatusServiceUnavailable, title: "Not ready", retry: 5,
		about: "The server is starting, stopping, or cannot reach its database or what keeps its master key."},
	{code: "internal", status: http.StatusInternalServerError, title: "Internal error",
		about: "Something went wrong that is not the caller's fault. The request id finds the cause in the server's log."},
}

func kindOf(code string) *kind {
	for i := range kinds {
		if kinds[i].code == code {
			return &kinds[i]
		}
	}
	return nil
}

func (k *kind) uri() string { return "/problems/" + k.code }

// failure is an error that already knows its kind.
type failure struct {
	kind   *kind
	detail string
	fields []api.FieldError
	cause  error         // for the log alone
	size   int64         // of the file, where a range of it was asked for in vain
	retry  time.Duration // until the same request would be answered; 0 where that is not known
}

func (f *failure) Error() string {
	if f.cause != nil {
		return f.kind.code + ": " + f.cause.Error()
	}
	return f.kind.code + ": " + f.detail
}

func (f *failure) Unwrap() error { return f.cause }

func fail(code, detail string) *failure { return &failure{kind: kindOf(code), detail: detail} }

func invalid(field, reason string) *failure {
	return &failure{kind: kindOf("invalid"), fields: []api.FieldError{{Field: field, Reason: reason}}}
}

// classify finds the kind of any error. What is in no table is internal, and its text stays here.
func classify(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	var quota *vault.QuotaError
	for i := range kinds {
		if k := &kinds[i]; k.match != nil && (errors.Is(err, k.match) || k.also != nil && errors.Is(err, k.also)) {
			f := &failure{kind: k, cause: err, retry: waitOf(err)}
			if k.match == vault.ErrQuota && errors.As(err, &quota) {
				f.detail = quota.Error()
			}
			return f
		}
	}
	var value *vault.InvalidError
	var credential *auth.InvalidError
	var hook *webhook.InvalidError
	switch {
	case errors.As(err, &hook):
		return invalid(hook.Field, hook.Reason)
	case errors.Is(err, webhook.ErrNotFound):
		return &failure{kind: kindOf("not-found"), cause: err}
	case errors.Is(err, webhook.ErrForbidden):
		return &failure{kind: kindOf("forbidden"), cause: err}
	case errors.As(err, &value):
		return invalid(value.Field, value.Reason)
	case errors.As(err, &credential):
		return invalid(credential.Field, credential.Reason)
	}
	return &failure{kind: kindOf("internal"), cause: err}
}

// waitOf is how long an error asks to wait, if it does.
func waitOf(err error) time.Duration {
	var many *auth.TooManyError
	if !errors.As(err, &many) {
		return 0
	}
	return many.Wait
}

// document is what the caller sees of f.
func (f *failure) document(requestID string) api.Problem {
	p := api.Problem{
		Type: f.kind.uri(), Title: f.kind.title, Status: f.kind.status, Detail: f.detail, RequestID: requestID, Errors: f.fields,
	}
	if p.Detail == "" && len(f.fields) == 1 {
		p.Detail = f.fields[0].Field + " " + f.fields[0].Reason + "."
	}
	if seconds := f.seconds(); p.Detail == "" && f.kind.code == "too-many-requests" && seconds > 0 {
		p.Detail = "Too many requests: try again in " + inWords(seconds) + "."
		if errors.Is(f.cause, auth.ErrTooMany) {
			p.Detail = "Too many tries that failed: try again in " + inWords(seconds) + "."
		}
	}
	if p.Detail == "" {
		p.Detail = f.kind.about
	}
	return p
}

// seconds are after how many of them to come again, or 0. Rounded up: who comes back then is not refused for the rest of a
// second.
func (f *failure) seconds() int64 {
	return max(int64((f.retry+time.Second-1)/time.Second), int64(f.kind.retry))
}

// inWords is a wait as a person would say it: from two minutes on in minutes, from two hours on in hours, rounded up.
func inWords(seconds int64) string {
	n, unit := seconds, "second"
	for _, larger := range []string{"minute", "hour"} {
		if n >= 120 {
			n, unit = (n+59)/60, larger
		}
	}
	if n != 1 {
		unit += "s"
	}
	return strconv.FormatInt(n, 10) + " " + unit
}

// writeProblem answers with f. Nothing may have been sent yet.
func writeProblem(w http.ResponseWriter, f *failure, requestID string) {
	h := w.Header()
	for _, name := range contentHeaders {
		h.Del(name)
	}
	b, err := json.Marshal(f.document(requestID))
	if err != nil {
		panic(err) // strings and numbers
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store")
	if f.kind.code == "unauthenticated" {
		h.Set("WWW-Authenticate", `Bearer realm="stonevault"`)
	}
	if f.kind.status == http.StatusRequestedRangeNotSatisfiable {
		h.Set("Content-Range", "bytes */"+strconv.FormatInt(f.size, 10))
	}
	if seconds := f.seconds(); seconds > 0 {
		h.Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	w.WriteHeader(f.kind.status)
	w.Write(b) // who has gone away cannot be told
}
