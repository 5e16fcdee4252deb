package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"stonevault/api"
	"stonevault/audit"
	"stonevault/internal/access"
	"stonevault/internal/auditlog"
	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

const (
	// A caller who waits for the audit log does so for the first, unless it says how long, up to the second.
	usualWait = 10 * time.Second
	maxWait   = 20 * time.Second
)

// preferredWait reads Prefer (RFC 7240): how long the caller waits for its event to be in the audit log, or 0.
func preferredWait(r *http.Request) time.Duration {
	for _, value := range r.Header.Values("Prefer") {
		for preference := range strings.SplitSeq(value, ",") {
			preference, _, _ = strings.Cut(preference, ";")
			name, seconds, given := strings.Cut(strings.TrimSpace(preference), "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			n, err := strconv.Atoi(strings.Trim(strings.TrimSpace(seconds), `"`))
			switch {
			case !given:
				return usualWait
			case err != nil || n < 1:
				return 0
			}
			return min(time.Duration(n)*time.Second, maxWait)
		}
	}
	return 0
}

// awaitEvent waits until a signed head covers an event.
func (a *API) awaitEvent(c *call, id int64, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(c.r.Context(), wait)
	defer cancel()
	if _, err := a.AwaitEvent(ctx, id); err != nil {
		return err
	}
	c.w.Header().Set("Preference-Applied", "wait")
	return nil
}

// receiptOf returns the receipt of what the request changed, if it asked for one. That it cannot be had in time
// takes nothing of the change back, and is no failure.
func (a *API) receiptOf(c *call) (event int64, receipt string) {
	event, wait := c.w.recorded.Last(), preferredWait(c.r)
	if event == 0 || wait == 0 {
		return event, ""
	}
	err := a.awaitEvent(c, event, wait)
	if err == nil {
		var r *audit.Receipt
		if r, err = a.AuditLog.Receipt(c.r.Context(), event, c.viewer()); err == nil {
			return event, string(r.Marshal())
		}
	}
	a.Log.Warn("a receipt could not be given with the reply", "request", c.w.id, "route", c.w.route, "error", err)
	c.w.Header().Del("Preference-Applied")
	return event, ""
}

// changed answers a request that changed something, with its receipt where that was asked for.
func (a *API) changed(c *call, status int, f api.File) error {
	_, f.Receipt = a.receiptOf(c)
	return writeJSON(c.w, status, f)
}

// done is changed for what has no reply of its own.
func (a *API) done(c *call) error {
	if event, receipt := a.receiptOf(c); receipt != "" {
		return writeJSON(c.w, http.StatusOK, api.AuditReceipt{Event: event, Receipt: receipt})
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// isRefusal tells which problems the audit log keeps. Of the address of a file, a group, a person or an event, also that there is
// none: to whom it does not belong, it is answered and recorded like one that does not exist. Content that is asked for and not
// there is kept by whatever name it was asked for.
func isRefusal(rt *route, r *http.Request, f *failure, err error) bool {
	switch f.kind.code {
	case "too-many-requests":
		return !errors.Is(err, auth.ErrTooMany) // a sign-in that is refused has an event of its own
	case "forbidden", "out-of-scope", "enrol-first", "refused", "session-ended", "cross-origin", "link-over", "closed":
		return true
	case "unauthenticated":
		return len(r.Header.Values("Authorization")) > 0 || cookie(r, accessCookie) != ""
	case "not-found":
		return rt.action == access.FilesRead || strings.Contains(rt.pattern, "{id}") || strings.Contains(rt.pattern, "{group}") || strings.Contains(rt.pattern, "{person}")
	case "no-event":
		return !errors.Is(err, auditlog.ErrUnsigned) && (strings.Contains(rt.pattern, "{event}") || strings.Contains(rt.pattern, "{index}"))
	}
	return false
}

// noteRefusal records that a request was refused, and returns what it is answered with: where that cannot be
// recorded, the reason why.
func (a *API) noteRefusal(rt *route, c *call, err error) error {
	if err == nil {
		return nil
	}
	who := c.whoActs()
	if who.Person == "" {
		who.Client = "" // nobody vouches for it, and what no person is named beside cannot be erased
	}
	e := audit.Event{Type: audit.AccessRefused, Actor: who.Values()}
	what := ""
	switch f := classify(err); {
	case errors.Is(err, auth.ErrSetupCode):
		e.Type = audit.SetupRefused
	case isRefusal(rt, c.r, f, err):
		what = rt.method + " " + rt.name() + " " + f.kind.code
		e.Operational = audit.Values{"method": rt.method, "route": rt.name(), "status": f.kind.status}
	default:
		return err
	}
	if failed := a.Tally.Note(context.WithoutCancel(c.r.Context()), what, e); failed != nil {
		a.Log.Error("a refusal could not be recorded", "request", c.w.id, "route", c.w.route, "error", failed)
		if errors.Is(failed, vault.ErrNoSpace) {
			return failed
		}
		return errors.Join(fail("internal", ""), failed)
	}
	return err
}

// whoActs is the caller, as events have it.
func (c *call) whoActs() auditlog.Actor {
	client := c.who.Client
	if client == "" {
		client = c.r.UserAgent()
	}
	session := c.who.Session
	if session == "" {
		session = c.who.Token // an API token stands where the session would
	}
	return auditlog.Actor{Person: c.who.Person, Name: c.who.Name, Session: session, Client: client, Address: clientOf(c.r)}
}
