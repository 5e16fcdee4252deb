package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

// watchEvery is how often a steady request asks whether its caller still stands.
const watchEvery = 500 * time.Millisecond

// unknownFor is how long a request goes on whose caller cannot be asked about: a store that is started anew must not
// break off every transfer, and one that is away for long may have heard of a dismissal.
const unknownFor = 10 * time.Second

// errUnknown ends a request of which it could not be told for too long whether its caller still stands.
var errUnknown = fmt.Errorf("%w: whether the caller may go on could not be told", vault.ErrUnavailable)

// errShutOut ends a request whose caller was signed out or switched off while it was under way.
var errShutOut = errors.New("httpapi: the caller was shut out while the request was under way")

// watched runs a steady request, and breaks it off once its caller no longer stands: its context ends, its body cannot
// be read any more, and of a reply that has begun nothing more leaves.
func (a *API) watched(c *call, handle func() error) error {
	ctx, cancel := context.WithCancelCause(c.r.Context())
	defer cancel(nil)
	c.r = c.r.WithContext(ctx)
	body, _ := c.r.Body.(*pacedBody)
	ended, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		for known := time.Now(); ; {
			select {
			case <-ended:
				return
			case <-ticker.C:
			}
			why := errShutOut
			switch err := a.Auth.Stands(ctx, c.who); {
			case err == nil:
				known = time.Now()
				continue
			case ctx.Err() != nil:
				continue
			case !errors.Is(err, auth.ErrUnauthenticated) && time.Since(known) < unknownFor:
				continue
			case !errors.Is(err, auth.ErrUnauthenticated):
				why = errUnknown
			}
			cancel(why)
			if body != nil {
				body.interrupt()
			}
			c.w.shutOut()
			return
		}
	}()
	// Also where the handler panics, nothing may touch the connection any more once the request has ended.
	defer func() {
		close(ended)
		<-stopped
	}()
	err := handle()
	if err == nil || c.w.status != 0 {
		return err
	}
	switch context.Cause(ctx) {
	case errShutOut:
		return errors.Join(auth.ErrUnauthenticated, errShutOut)
	case errUnknown:
		return errUnknown
	}
	return err
}

// shutOut lets nothing more leave of a reply that has begun, and none begin but a problem.
func (w *reply) shutOut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	if w.begun {
		if w.conn != nil {
			w.conn.SetLinger(0) // what the kernel has of the reply yet does not leave when the connection is closed
		}
		w.control.SetWriteDeadline(time.Now().Add(-time.Second)) // last: the handler may end by it, and close the connection
	}
}

// connKey is what a request's connection is known by in its context.
type connKey struct{}

// ownConn is the TCP connection that a request has for itself, or nil.
func ownConn(r *http.Request) *net.TCPConn {
	if r.ProtoMajor != 1 {
		return nil
	}
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	tcp, _ := conn.(*net.TCPConn)
	return tcp
}

// begin tells whether a reply of this status may begin.
func (w *reply) begin(status int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over && status < http.StatusBadRequest {
		return false
	}
	w.begun = true
	return true
}

func (w *reply) isOver() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}
