package s3test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Fault is what happens to a request.
type Fault func(w http.ResponseWriter, r *http.Request, forward func() (*http.Response, error))

// Proxy passes requests on to a server, but for those that something is to happen to.
type Proxy struct {
	host string

	mu    sync.Mutex
	rules []*rule
}

type rule struct {
	match func(*http.Request) bool
	left  int
	fault Fault
}

// Before starts a proxy in front of a server.
func Before(t testing.TB, s *Server) *Proxy {
	t.Helper()
	p := &Proxy{}
	transport := &http.Transport{DisableCompression: true}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forward := func() (*http.Response, error) {
			out := r.Clone(r.Context())
			out.URL = &url.URL{Scheme: "http", Host: s.Host(), Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
			out.RequestURI = "" // and the host stays, which is signed
			return transport.RoundTrip(out)
		}
		p.fault(r)(w, r, forward)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
	})
	p.host = server.Listener.Addr().String()
	return p
}

// Address is what clients are told.
func (p *Proxy) Address(prefix string) string { return address(prefix, p.host) }

// Next lets something happen to the next n requests that match. Rules of before go first.
func (p *Proxy) Next(n int, match func(*http.Request) bool, fault Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, &rule{match, n, fault})
}

// Clear forgets all rules, and tells how many requests they still waited for.
func (p *Proxy) Clear() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := 0
	for _, r := range p.rules {
		left += r.left
	}
	p.rules = nil
	return left
}

func (p *Proxy) fault(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, rule := range p.rules {
		if rule.left > 0 && rule.match(r) {
			rule.left--
			return rule.fault
		}
	}
	return Pass
}

// Pass lets a request through.
func Pass(w http.ResponseWriter, r *http.Request, forward func() (*http.Response, error)) {
	pass(w, forward, -1)
}

func pass(w http.ResponseWriter, forward func() (*http.Response, error), most int64) {
	reply, err := forward()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer reply.Body.Close()
	for name, values := range reply.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(reply.StatusCode)
	body := io.Reader(reply.Body)
	if most >= 0 {
		body = io.LimitReader(body, most)
	}
	if _, err := io.Copy(w, body); err != nil || most >= 0 {
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// Cut breaks the connection before the server sees the request.
func Cut(http.ResponseWriter, *http.Request, func() (*http.Response, error)) {
	panic(http.ErrAbortHandler)
}

// LoseReply breaks the connection when the server has done its work.
func LoseReply(_ http.ResponseWriter, _ *http.Request, forward func() (*http.Response, error)) {
	if reply, err := forward(); err == nil {
		io.Copy(io.Discard, reply.Body)
		reply.Body.Close()
	}
	panic(http.ErrAbortHandler)
}

// CutReply breaks the connection after so many bytes of the reply's body.
func CutReply(bytes int64) Fault {
	return func(w http.ResponseWriter, _ *http.Request, forward func() (*http.Response, error)) {
		pass(w, forward, bytes)
	}
}

// Answer answers in the server's place.
func Answer(status int, code string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ func() (*http.Response, error)) {
		io.Copy(io.Discard, r.Body)
		body := "<Error><Code>" + code + "</Code><Message>a test says so</Message></Error>"
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// Delay waits before it lets a request through.
func Delay(d time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, forward func() (*http.Response, error)) {
		body, err := io.ReadAll(r.Body) // until then, nobody notices that the client has gone
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		select {
		case <-time.After(d):
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
		pass(w, forward, -1)
	}
}

// Unconditional answers like a server that does not know conditions, and replaces what is there.
func Unconditional(w http.ResponseWriter, r *http.Request, forward func() (*http.Response, error)) {
	reply, err := forward()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusPreconditionFailed {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("ETag", `"0"`)
	io.WriteString(w, "<CompleteMultipartUploadResult><Bucket>"+Bucket+"</Bucket><Key>a</Key><ETag>0</ETag></CompleteMultipartUploadResult>")
}
