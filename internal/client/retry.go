package client

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"time"

	"stonevault/api"
)

const (
	firstPause   = 250 * time.Millisecond
	longestPause = 30 * time.Second
)

// attempts is one thing that is tried until it works: as long as its failures can pass by themselves, and its
// pauses without any progress between them add up to no more than the options' Patience.
type attempts struct {
	c      *Client
	what   string // a path, for whom it waits; may be empty
	tries  int
	waited time.Duration
}

func (c *Client) attempts(what string) *attempts { return &attempts{c: c, what: what} }

// progressed makes the next pause a short one.
func (a *attempts) progressed() { a.tries, a.waited = 0, 0 }

// wait returns when it is time to try again, or says why that is no use: err itself, or the end of ctx.
func (a *attempts) wait(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	patience := a.c.options.Patience
	if patience <= 0 || !passes(err) {
		return err
	}
	d := max(a.pause(), retryAfter(err))
	if a.waited+d > patience {
		return fmt.Errorf("given up after %s without progress: %w", a.waited.Round(time.Second), err)
	}
	a.tries++
	a.waited += d
	if a.c.options.Waiting != nil && !errors.Is(err, errWrongOffset) {
		a.c.options.Waiting(a.what, err, d)
	}
	return pause(ctx, d)
}

// pause doubles with every try and varies by half, so that the many who lost one server do not come back all at
// once.
func (a *attempts) pause() time.Duration {
	d := min(firstPause<<min(a.tries, 16), longestPause)
	return d/2 + rand.N(d/2)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// passing are the problems that go away by themselves.
var passing = []string{"locked", "wrong-offset", "conflict", "stalled", "busy", "not-ready", "unavailable", "timeout", "limits-unavailable", "request-in-progress"}

// passes tells whether a failure can be another's the next time.
func passes(err error) bool {
	var p *Problem
	if errors.As(err, &p) {
		return p.Status == http.StatusTooManyRequests || slices.Contains(passing, p.Code)
	}
	return errors.Is(err, errGone) || errors.Is(err, ErrUnreachable) && !misconfigured(err)
}

// misconfigured tells whether no connection can be made until somebody changes a setting.
func misconfigured(err error) bool {
	var failed *net.OpError
	return errors.Is(err, ErrUntrusted) || errors.Is(err, http.ErrSchemeMismatch) ||
		errors.As(err, &failed) && failed.Op == "remote error"
}

// retryAfter is how long the server wants to be left alone.
func retryAfter(err error) time.Duration {
	var p *Problem
	if errors.As(err, &p) {
		return min(p.RetryAfter, time.Minute)
	}
	return 0
}

// newKey draws a key for a request that makes something and may have to be sent again (Idempotency-Key): the server does
// it once, and answers alike each time.
func newKey() *string {
	key := `"` + crand.Text() + `"`
	return &key
}

// bounded makes a short request, which must be answered before a transfer would count as standing still.
func bounded[T any](ctx context.Context, c *Client, do func(context.Context) (T, error)) (T, error) {
	limited, cancel := context.WithTimeoutCause(ctx, c.options.StallAfter, errStalled)
	defer cancel()
	reply, err := do(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = unreachable(errStalled)
	}
	return reply, err
}

// again does what does the same however often it is done, until it works.
func again[T any](ctx context.Context, c *Client, what string, do func(context.Context) (T, error)) (T, error) {
	tries := c.attempts(what)
	for {
		reply, err := bounded(ctx, c, do)
		if err == nil {
			return reply, nil
		}
		if err := tries.wait(ctx, err); err != nil {
			var none T
			return none, err
		}
	}
}

// ask makes a request that does the same however often it is made, and whose reply is a T, until it works.
func ask[T any](ctx context.Context, c *Client, what string, send func(context.Context, api.RequestEditorFn) (*http.Response, error)) (*T, error) {
	return again(ctx, c, what, func(ctx context.Context) (*T, error) {
		return document[T](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) { return send(ctx, auth) })
	})
}

// askBytes is ask for a reply that is no JSON. One that is longer than limit comes with one byte too many, so that
// whoever reads it refuses it.
func askBytes(ctx context.Context, c *Client, limit int64, send func(context.Context, api.RequestEditorFn) (*http.Response, error)) ([]byte, error) {
	return again(ctx, c, "", func(ctx context.Context) ([]byte, error) {
		resp, err := c.call(ctx, func(auth api.RequestEditorFn) (*http.Response, error) { return send(ctx, auth) })
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
		if err != nil {
			return nil, unreachable(err)
		}
		return b, nil
	})
}
