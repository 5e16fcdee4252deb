package httpapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"stonevault/internal/access"
	"stonevault/internal/auditlog"
	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

// call is one request on its way through a handler.
type call struct {
	w     *reply
	r     *http.Request
	route *route
	who   auth.Principal
	keyed bool // the request has an Idempotency-Key
}

func (c *call) actor() vault.Actor {
	who := c.whoActs()
	return vault.Actor{
		Person: vault.PersonID(who.Person), Role: vault.Role(c.who.Role),
		Name: who.Name, Session: who.Session, Client: who.Client, Address: who.Address,
	}
}

// ServeHTTP is where every request enters and every one is accounted for.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rep := &reply{ResponseWriter: w, control: http.NewResponseController(w), id: newRequestID(), route: "none",
		patience: a.times.patience, conn: ownConn(r)}
	started := a.Now()
	a.metrics.inFlight.Inc()
	setHeaders(rep.Header(), rep.id)
	defer func() {
		a.metrics.inFlight.Dec()
		a.account(rep, r, a.Now().Sub(started))
		if rep.abort {
			if rep.status != 0 && !rep.isOver() { // so that the caller sees a reply that broke off, and not a lost connection
				rep.control.Flush()
			}
			panic(http.ErrAbortHandler)
		}
	}()
	defer a.recover(rep, r)
	// A deadline that an earlier request on this connection has left behind must not hit this one. HTTP/2 has
	// one for each stream, which ends it also while nothing is written: there it begins with the reply.
	if r.ProtoMajor < 2 {
		rep.extendWrite()
	}
	rep.setRead(a.times.quick)

	uploads := isUploads(r.URL.Path)
	if uploads {
		rep.Header().Set("Tus-Resumable", tusVersion)
	}
	if err := a.origins.Check(r); err != nil {
		c := &call{w: rep, r: r}
		a.answer(rep, r, a.noteRefusal(&route{method: methodName(r.Method), pattern: "none"}, c, fail("cross-origin", "")))
		return
	}
	if uploads {
		var err error
		if r, err = overridden(r); err != nil {
			a.answer(rep, r, err)
			return
		}
	}
	// The mux answers an unclean path with a redirect; here no path has two names.
	if escaped := r.URL.EscapedPath(); !clean(escaped) {
		a.answer(rep, r, fail("not-found", `The path has an empty part, "." or "..".`))
		return
	}
	handler, pattern := a.mux.Handler(r)
	if pattern == "" && a.isPage(r) {
		rep.route = "page"
		a.Page.ServeHTTP(rep, r)
		return
	}
	if pattern == "" {
		m := &muted{header: http.Header{}}
		handler.ServeHTTP(m, r)
		code := "not-found"
		if allow := m.header.Get("Allow"); allow != "" {
			rep.Header().Set("Allow", allow)
			code = "method-not-allowed"
		}
		a.answer(rep, r, fail(code, ""))
		return
	}
	a.mux.ServeHTTP(rep, r)
}

// clean tells whether an escaped path is the one that the mux would make of it.
func clean(escaped string) bool {
	if !strings.HasPrefix(escaped, "/") {
		return false
	}
	return path.Clean(escaped) == escaped || escaped != "/" && path.Clean(escaped)+"/" == escaped
}

// serve applies what a row of the table says, and calls its handler.
func (a *API) serve(rt *route, w *reply, r *http.Request) {
	ctx := r.Context()
	if rt.pace == quick {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.times.quick)
		defer cancel()
	}
	ctx, w.recorded = auditlog.WithRecorded(ctx)
	c := &call{w: w, r: r.WithContext(ctx), route: rt}
	a.answer(w, r, a.noteRefusal(rt, c, a.admit(rt, c)))
}

// admit runs the handler if the request may reach it.
func (a *API) admit(rt *route, c *call) error {
	if err := a.limitAddress(a.classes[rt], c.r); err != nil {
		return err
	}
	if a.KeyReady != nil && a.classes[rt] != unlimited {
		if err := a.KeyReady(); err != nil {
			return err
		}
	}
	if rt.action != anybody {
		if err := a.recognise(c); err != nil {
			return err
		}
		if err := a.limit(c.r.Context(), a.classes[rt], byPerson, c.who.Person); err != nil {
			return err
		}
		if err := mayEnter(c); err != nil {
			return err
		}
	}
	key, err := keyFor(rt, c.r)
	if err != nil {
		return err
	}
	switch {
	case rt.body == 0 && c.r.ContentLength != 0:
		return fail("bad-request", "This path takes no body.")
	case c.r.ContentLength > rt.body:
		return fail("too-large", "")
	case rt.body == 0:
		// Without a body the server watches the connection while the handler runs, and would take a
		// deadline for the client's going away.
		c.w.setRead(0)
	default:
		c.r.Body = &pacedBody{reply: c.w, steady: rt.pace == steady, ReadCloser: http.MaxBytesReader(c.w, c.r.Body, rt.body)}
	}
	if rt.body > 0 && rt.pace == quick && rt.action != anybody {
		if err := a.takeBody(c); err != nil {
			return err
		}
	}
	handle := func() error { return rt.handle(a, c) }
	if key != "" {
		handle = func() error { return a.once(rt, c, key) }
	}
	if rt.pace == steady && rt.action != anybody {
		return a.watched(c, handle)
	}
	return handle()
}

// recognise finds out who asks.
func (a *API) recognise(c *call) error {
	token, err := accessToken(c.r)
	if err == nil {
		c.who, err = a.Auth.Authenticate(c.r.Context(), token)
	}
	return err
}

// mayEnter refuses what the caller may not even try.
func mayEnter(c *call) error {
	rt := c.route
	if c.who.Enrol && !(whileEnrolling[rt.method+" "+rt.pattern] && (c.r.PathValue("person") == "" || personIn(c) == c.who.Person)) {
		return fail("enrol-first", "")
	}
	return mayTry(rt.action, c.who)
}

// takeBody reads the body of a quick request, and then looks again at who asks: a body may be sent so slowly that its
// caller was signed out, or got another role, before its end.
func (a *API) takeBody(c *call) error {
	body, err := io.ReadAll(c.r.Body)
	if err != nil {
		return bodyFailure(err)
	}
	c.r.Body = io.NopCloser(bytes.NewReader(body))
	return a.standsStill(c)
}

// standsStill refuses a caller who was let in, and who would not be any more.
func (a *API) standsStill(c *call) error {
	if err := a.recognise(c); err != nil {
		return err
	}
	return mayEnter(c)
}

// mayTry refuses what the caller's role may do with nothing at all, and what his API token is not for. What the thing
// is to the caller, and so whether this one is allowed, the use case sees.
func mayTry(action access.Action, who auth.Principal) error {
	if action == signedIn {
		return inScope(action, who)
	}
	switch access.Best(access.Role(who.Role), action) {
	case access.Absent:
		return fail("not-found", "")
	case access.Forbidden:
		return fail("forbidden", "")
	}
	return inScope(action, who)
}

// inScope refuses an API token what its scopes do not allow. Routes about the session that asks are for sessions.
func inScope(action access.Action, who auth.Principal) error {
	if who.Token == "" || action != signedIn && who.Scopes.Allow(action) {
		return nil
	}
	return fail("out-of-scope", "")
}

// bearer returns the one access token of a request.
func bearer(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", auth.ErrUnauthenticated
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", auth.ErrUnauthenticated
	}
	return token, nil
}

// answer ends a request whose handler returned err.
func (a *API) answer(w *reply, r *http.Request, err error) {
	if err == nil {
		return
	}
	if w.broken != nil { // nobody listens any more
		w.problem, w.abort = "client-gone", true
		return
	}
	f := classify(err)
	w.problem = f.kind.code
	gone := r.Context().Err() != nil
	switch {
	case f.kind.code == "internal" && !gone, f.kind.code == "refused":
		a.Log.Error("request failed", "request", w.id, "route", w.route, "problem", f.kind.code, "error", err)
	case f.kind.status >= 500 && !gone:
		a.Log.Warn("request failed", "request", w.id, "route", w.route, "problem", f.kind.code, "error", err)
	}
	if w.status != 0 || gone && errors.Is(err, context.Canceled) {
		// A reply that has begun can only break off, and nobody hears one who has gone.
		w.abort = true
		return
	}
	if r.ContentLength != 0 {
		// The server drains what is left of a small body before it answers: not for long, and not at all
		// where nothing more comes.
		drain := 5 * time.Second
		if w.bodyBroken {
			drain = time.Nanosecond
		}
		w.setRead(drain)
	}
	writeProblem(w, f, w.id)
}

// recover turns a panic into an answer; it is logged with its stack.
func (a *API) recover(w *reply, r *http.Request) {
	v := recover()
	switch {
	case v == nil:
	case v == http.ErrAbortHandler:
		w.abort = true
	default:
		a.Log.Error("handler panicked", "request", w.id, "route", w.route, "panic", v, "stack", string(debug.Stack()))
		a.answer(w, r, fail("internal", ""))
	}
}

func (a *API) account(w *reply, r *http.Request, took time.Duration) {
	if w.status == 0 && !w.abort {
		w.status = http.StatusOK // what net/http sends when nobody said anything
	}
	a.metrics.observe(w, r.Method, took)
	level := slog.LevelInfo
	if w.route == "/livez" || w.route == "/readyz" {
		level = slog.LevelDebug
	}
	a.Log.Log(context.WithoutCancel(r.Context()), level, "request",
		"request", w.id, "method", methodName(r.Method), "route", w.route, "status", w.status,
		"problem", w.problem, "received", w.received, "sent", w.sent, "broken", w.abort,
		"took", took.Round(time.Microsecond), "client", clientOf(r), "exchange", keyExchange(r))
}

// clientOf is the address of who asks, without the port.
func clientOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "unknown"
	}
	return host
}

// keyExchange is how the keys of a request's connection were agreed on.
func keyExchange(r *http.Request) string {
	if r.TLS == nil {
		return "none"
	}
	return r.TLS.CurveID.String()
}

// methodName keeps what a stranger makes up out of logs and metrics.
func methodName(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return m
	}
	return "other"
}

// setHeaders puts on every reply what no reply may lack.
func setHeaders(h http.Header, id string) {
	h.Set("X-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

func newRequestID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// muted takes what the mux says of a request that has no route.
type muted struct{ header http.Header }

func (m *muted) Header() http.Header         { return m.header }
func (m *muted) WriteHeader(int)             {}
func (m *muted) Write(b []byte) (int, error) { return len(b), nil }

// reply is a ResponseWriter that knows what was sent, and lets nobody hold a connection by not reading.
type reply struct {
	http.ResponseWriter
	control  *http.ResponseController
	id       string
	patience time.Duration
	route    string // its name, or "none"
	recorded *auditlog.Recorded

	status     int // 0 until the header is sent
	problem    string
	sent       int64
	received   int64
	bodyBroken bool  // reading the request's body failed
	abort      bool  // the reply must not end cleanly
	broken     error // why writing failed

	writeSet time.Time // when the deadline for writing was set

	conn  *net.TCPConn // the request's own, or nil
	mu    sync.Mutex   // guards what follows, and with it the deadline for writing
	begun bool         // the header is on its way
	over  bool         // nothing but a problem may leave
}

func (w *reply) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *reply) WriteHeader(status int) {
	if w.status != 0 || status < 200 {
		return
	}
	if !w.begin(status) {
		w.broken, w.abort = errShutOut, true
		return
	}
	w.status = status
	if event := w.recorded.Last(); event > 0 && status < 400 {
		w.Header().Set("Stonevault-Event", strconv.FormatInt(event, 10))
	}
	w.extendWrite()
	w.ResponseWriter.WriteHeader(status)
}

// piece is how much must be taken within patience; smaller than a segment, for slow lines.
const piece = 256 << 10

func (w *reply) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.status == 0 {
		return 0, w.broken
	}
	total := 0
	for {
		w.extendWrite()
		n, err := w.ResponseWriter.Write(b[:min(len(b), piece)])
		total, b = total+n, b[n:]
		w.sent += int64(n)
		if err != nil {
			w.broken = err
		}
		if err != nil || len(b) == 0 {
			return total, err
		}
	}
}

// extendWrite sets the deadline for writing, seldom enough to cost nothing. Not every ResponseWriter has one:
// httptest's has none, and the server's connections always do.
func (w *reply) extendWrite() {
	now := time.Now()
	if now.Sub(w.writeSet) <= w.patience/60 {
		return
	}
	w.writeSet = now
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over || w.status >= http.StatusBadRequest {
		w.control.SetWriteDeadline(now.Add(w.patience))
	}
}

// setRead sets the deadline for reading; 0 takes it away.
func (w *reply) setRead(d time.Duration) {
	var at time.Time
	if d > 0 {
		at = time.Now().Add(d)
	}
	w.control.SetReadDeadline(at)
}

// pacedBody reads a body. A steady one may take as long as bytes come.
type pacedBody struct {
	io.ReadCloser
	reply  *reply
	steady bool
	set    time.Time
	err    error // what ended the body, but io.EOF

	mu   sync.Mutex // guards over, and with it the deadline
	over bool       // the deadline is no longer this body's to set
}

func (b *pacedBody) Read(p []byte) (int, error) {
	if now := time.Now(); b.steady && now.Sub(b.set) > b.reply.patience/60 {
		b.set = now
		b.deadline(b.reply.patience)
	}
	n, err := b.ReadCloser.Read(p)
	b.reply.received += int64(n)
	switch {
	case err == io.EOF:
		b.deadline(0) // from here on the server watches the connection, as in admit
	case err != nil:
		b.err, b.reply.bodyBroken = err, true
	}
	return n, err
}

func (b *pacedBody) deadline(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		b.reply.setRead(d)
	}
}

// interrupt ends a Read that waits, and all later ones. Others may call it, at any time: after finish it
// does nothing, so that it never hits the connection's next request.
func (b *pacedBody) interrupt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		b.over = true
		b.reply.setRead(time.Nanosecond)
	}
}

func (b *pacedBody) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
}
