package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/internal/auth"
	"stonevault/internal/cache"
	"stonevault/internal/cache/memory"
)

// limited is a world whose requests are counted, by a clock that stands still until it is moved.
type limited struct {
	*world
	clock atomic.Int64 // milliseconds since 1970
}

func newLimited(t *testing.T, limits RequestLimits) *limited {
	l := &limited{world: newWorld(t)}
	for name := range people {
		l.token(name)
	}
	l.clock.Store(time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC).UnixMilli())
	l.api.Limiter = memory.NewLimiter(memory.Options{Now: func() time.Time { return time.UnixMilli(l.clock.Load()) }})
	l.api.RequestLimits = limits
	return l
}

func (l *limited) pass(d time.Duration) { l.clock.Add(d.Milliseconds()) }

// from sends a request that comes from an address.
func (l *limited) from(address, who, method, target, body string, header ...string) *answer {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	r.RemoteAddr = address
	if token := l.token(who); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	rec := httptest.NewRecorder()
	l.api.ServeHTTP(rec, r)
	res := rec.Result()
	res.Request = r
	b, err := io.ReadAll(res.Body)
	return &answer{Response: res, body: b, err: err}
}

// wantTooMany checks a refusal and when it says to come again.
func wantTooMany(t *testing.T, a *answer, retryAfter string) {
	t.Helper()
	p := wantProblem(t, a, "too-many-requests")
	if got := a.Header.Get("Retry-After"); got != retryAfter {
		t.Errorf("Retry-After: %q, want %s", got, retryAfter)
	}
	if seconds, _ := strconv.ParseInt(retryAfter, 10, 64); p.Detail != "Too many requests: try again in "+inWords(seconds)+"." {
		t.Errorf("%s", p.Detail)
	}
}

func TestWaitInWords(t *testing.T) {
	for seconds, want := range map[int64]string{
		1: "1 second", 2: "2 seconds", 12: "12 seconds", 119: "119 seconds", 120: "2 minutes", 121: "3 minutes", 3600: "60 minutes",
		7140: "119 minutes", 7141: "2 hours", 7200: "2 hours", 7201: "3 hours",
	} {
		if got := inWords(seconds); got != want {
			t.Errorf("%d seconds are %s, want %s", seconds, got, want)
		}
	}
	// Every 429 says how long, and none sends a person to a header.
	for _, err := range []error{&auth.TooManyError{Wait: 90 * time.Second}, fmt.Errorf("%w", &auth.TooManyError{Wait: time.Millisecond})} {
		p := classify(err).document("x")
		if want := "Too many tries that failed: try again in "; p.Status != 429 || !strings.HasPrefix(p.Detail, want) || !strings.HasSuffix(p.Detail, " seconds.") && !strings.HasSuffix(p.Detail, " 1 second.") {
			t.Errorf("%+v", p)
		}
	}
	for i := range kinds {
		if strings.Contains(kinds[i].about, "Retry-After") {
			t.Errorf("%s names a header: %s", kinds[i].code, kinds[i].about)
		}
	}
}

// Each class has a counter of its own, for each address and for each person.
func TestRequestLimits(t *testing.T) {
	l := newLimited(t, RequestLimits{SignIn: 1, Read: 2, Write: 3, Transfer: 4, Simulate: 5})
	for i, c := range []struct {
		limit  int
		method string
		target string
		body   string
		header []string
	}{
		{1, "POST", "/api/v1/sessions", `{"name":"owner","password":"wrong"}`, jsonBody},
		{2, "GET", "/api/v1/files", "", nil},
		{3, "POST", "/api/v1/folders", `{"path":"/a"}`, jsonBody},
		{4, "PUT", "/api/v1/content/b", "x", nil},
		{5, "POST", "/api/v1/quantum/laboratory", `{"pulses":1000}`, jsonBody},
	} {
		address, another := fmt.Sprintf("192.0.2.%d:1", i), fmt.Sprintf("198.51.100.%d:1", i)
		for range c.limit {
			if a := l.from(address, "owner", c.method, c.target, c.body, c.header...); a.StatusCode == http.StatusTooManyRequests {
				t.Fatalf("%s within the limit: %s", c.target, a.body)
			}
		}
		// One more than the limit may come when so much of the full minute weighs nothing: after 1/limit of the next.
		retry := strconv.Itoa(60 + 60/c.limit)
		wantTooMany(t, l.from(address, "owner", c.method, c.target, c.body, c.header...), retry)
		if c.limit == 1 {
			continue // nobody is known before signing in
		}
		// The person is counted wherever the requests come from, and others are not.
		wantTooMany(t, l.from(another, "owner", c.method, c.target, c.body, c.header...), retry)
		if a := l.from(another, "stranger", c.method, c.target, c.body, c.header...); a.StatusCode >= 300 {
			t.Errorf("somebody else at another address: %d %s", a.StatusCode, a.body)
		}
	}
	l.pass(60*time.Second + 29_001*time.Millisecond)
	wantTooMany(t, l.from("192.0.2.1:1", "owner", "GET", "/api/v1/files", ""), "1") // rounded up
	l.pass(999 * time.Millisecond)
	if a := l.from("192.0.2.1:1", "owner", "GET", "/api/v1/files", ""); a.StatusCode != 200 {
		t.Errorf("when it was said: %d %s", a.StatusCode, a.body)
	}
}

// An address is all of IPv4 and the /64 of IPv6, and what comes from it is refused before anything is looked at.
func TestAddressLimits(t *testing.T) {
	l := newLimited(t, RequestLimits{SignIn: 1, Read: 1, Write: 1, Transfer: 1})
	for _, c := range []struct {
		first, second string
		same          bool
	}{
		{"192.0.2.1:1", "192.0.2.1:2", true},
		{"192.0.2.2:1", "192.0.2.3:1", false},
		{"[::ffff:192.0.2.4]:1", "192.0.2.4:1", true},
		{"[2001:db8:1:1::1]:1", "[2001:db8:1:1:ffff::2]:1", true},
		{"[2001:db8:2:1::1]:1", "[2001:db8:2:2::1]:1", false},
		{"[fe80::1%eth0]:1", "[fe80::2%eth1]:1", true},
		{"somewhere", "elsewhere", true},
	} {
		if a := l.from(c.first, "anonymous", "GET", "/api/v1/vault", ""); a.StatusCode != 200 {
			t.Fatalf("%s: %d %s", c.first, a.StatusCode, a.body)
		}
		if a := l.from(c.second, "anonymous", "GET", "/api/v1/vault", ""); (a.StatusCode == http.StatusTooManyRequests) != c.same {
			t.Errorf("%s after %s: %d", c.second, c.first, a.StatusCode)
		}
		// Neither the token nor the body would be good.
		if c.same {
			for _, target := range []string{"/api/v1/me", "/api/v1/files?x=y"} {
				wantProblem(t, l.from(c.second, "anonymous", "GET", target, "", "Authorization: Bearer x"), "too-many-requests")
			}
		}
	}
	wantProblem(t, l.from("192.0.2.9:1", "anonymous", "POST", "/api/v1/sessions", "{", "Content-Type: text/plain"), "unsupported-media-type")
	wantProblem(t, l.from("192.0.2.9:1", "anonymous", "POST", "/api/v1/sessions", "{", "Content-Type: text/plain"), "too-many-requests")
	for range 3 {
		for _, target := range []string{"/livez", "/readyz", "/problems/too-many-requests", "/api/v1/docs", "/api/v1/openapi.json", "/"} {
			if a := l.from("192.0.2.1:1", "anonymous", "GET", target, ""); a.StatusCode != 200 {
				t.Errorf("%s: %d", target, a.StatusCode)
			}
		}
	}
}

// Programs that get quantum keys have a class of their own, under their address and under their SAE.
func TestProgramLimits(t *testing.T) {
	l := newLimited(t, RequestLimits{Read: 1, Deliver: 2})
	admit := func(address, sae string) (wait time.Duration, why string) {
		t.Helper()
		wait, why, err := l.api.AdmitProgram(t.Context(), address, sae)
		if err != nil {
			t.Error(err)
		}
		return wait, why
	}
	for _, c := range []struct {
		address, sae string
		wait         time.Duration
	}{
		{"192.0.2.1", "", 0}, {"192.0.2.1", "ann", 0}, {"192.0.2.1", "", 0}, {"192.0.2.1", "", 90 * time.Second},
		{"192.0.2.2", "ann", 0}, {"192.0.2.2", "ann", 90 * time.Second}, {"192.0.2.2", "bob", 0}, {"192.0.2.2", "", 0},
	} {
		if wait, why := admit(c.address, c.sae); wait != c.wait || (why == "") != (wait == 0) {
			t.Errorf("%+v: %v, %q", c, wait, why)
		}
	}
	l.api.Limiter = uncounting{cache.ErrUnavailable}
	if wait, why, err := l.api.AdmitProgram(t.Context(), "192.0.2.1", ""); wait != 5*time.Second || why == "" || !errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("%v, %q, %v", wait, why, err)
	}
	l.api.Limiter = uncounting{cache.ErrInvalid}
	if wait, _, err := l.api.AdmitProgram(t.Context(), "192.0.2.1", ""); wait != 0 || !errors.Is(err, cache.ErrInvalid) {
		t.Errorf("%v, %v", wait, err)
	}
}

// Zero is no limit, also where there is no room to count.
func TestNoLimits(t *testing.T) {
	l := newLimited(t, RequestLimits{Read: 1})
	for range 5 {
		if a := l.from("192.0.2.1:1", "owner", "PUT", "/api/v1/content/a", "x"); a.StatusCode >= 300 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
}

// uncounting is a limiter that cannot count.
type uncounting struct{ err error }

func (f uncounting) Take(context.Context, string, int64, cache.Window) (cache.Decision, error) {
	return cache.Decision{}, f.err
}

// What cannot be counted is refused, and nothing is done.
func TestUncountedRequests(t *testing.T) {
	l := newLimited(t, RequestLimits{SignIn: 10, Read: 10, Write: 10, Transfer: 10})
	for _, c := range []struct {
		err     error
		problem string
		retry   string
	}{
		{fmt.Errorf("%w: dial tcp 10.1.2.3:6379", cache.ErrUnavailable), "limits-unavailable", "5"},
		{cache.ErrFull, "limits-unavailable", "5"},
		{cache.ErrInvalid, "internal", ""},
	} {
		l.api.Limiter = uncounting{c.err}
		a := l.from("192.0.2.1:1", "owner", "PUT", "/api/v1/content/a", "x")
		wantProblem(t, a, c.problem)
		if a.Header.Get("Retry-After") != c.retry || bytes.Contains(a.body, []byte("10.1.2.3")) {
			t.Errorf("%v %s", a.Header, a.body)
		}
	}
	l.api.Limiter = cache.NewFallback(uncounting{cache.ErrUnavailable}, memory.NewLimiter(memory.Options{}))
	wantProblem(t, l.from("192.0.2.1:1", "owner", "GET", "/api/v1/content/a", ""), "not-found")
	if !strings.Contains(l.log.String(), "10.1.2.3") {
		t.Error("the log does not say what could not be reached")
	}
	if n := l.metric(t, `stonevault_limited_total{class="transfer",kind="unavailable"}`); n != "2" {
		t.Errorf("the metrics say that %q requests could not be counted", n)
	}
}

// metric is a value of the metrics, by its name and labels.
func (w *world) metric(t *testing.T, name string) string {
	t.Helper()
	rec := httptest.NewRecorder()
	w.api.Metrics().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(rec.Body.String()) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Refusals are counted, and recorded once and then once a minute.
func TestLimitsAreRecorded(t *testing.T) {
	l := newLimited(t, RequestLimits{Read: 2})
	for range 10 {
		l.from("192.0.2.1:1", "owner", "GET", "/api/v1/files", "")
	}
	for range 5 {
		l.from("198.51.100.1:1", "owner", "GET", "/api/v1/files", "")
	}
	for kind, want := range map[string]string{"address": "11", "person": "2"} {
		if got := l.metric(t, fmt.Sprintf("stonevault_limited_total{class=%q,kind=%q}", "read", kind)); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
	if err := l.tally.Flush(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	l.api.RequestLimits = RequestLimits{}
	var counts []string
	for _, e := range l.events("admin", "type=access.refused") {
		if e.Operational["status"] == float64(429) && e.Operational["route"] == "/api/v1/files" {
			counts = append(counts, fmt.Sprint(e.Actor["address"], " ", e.Actor["name"], " ", e.Operational["count"]))
		}
	}
	if len(counts) != 4 {
		t.Errorf("%q", counts)
	}
}

// Every route has a class, and what is said of routes by their names is said of ones that are there.
func TestClasses(t *testing.T) {
	names := map[string]bool{}
	numbers := RequestLimits{1, 2, 3, 4, 5, 6}
	for i := range routes {
		rt := &routes[i]
		name := rt.method + " " + rt.name()
		names[name] = true
		if said, ok := classes[name]; numbers.of(rt.class()) == 0 && (!ok || said != unlimited) {
			t.Errorf("%s is not limited", name)
		}
	}
	for name := range classes {
		if !names[name] {
			t.Errorf("%s is no route", name)
		}
	}
	for name, want := range map[string]class{
		"POST /api/v1/sessions": secretive, "POST /api/v1/setup": secretive, "POST /api/v1/sessions/refresh": writing, "DELETE /api/v1/sessions/current": writing,
		"GET /api/v1/me": reading, "GET /api/v1/vault": reading, "GET /api/v1/files": reading, "HEAD /api/v1/uploads/{id}": reading, "OPTIONS /api/v1/uploads": reading,
		"PUT /api/v1/content/{path}": transferring, "HEAD /api/v1/content/{path}": transferring, "POST /api/v1/files/{id}/verify": transferring, "GET /api/v1/archive": transferring,
		"POST /api/v1/files/{id}/export": transferring, "POST /api/v1/uploads": transferring, "PATCH /api/v1/uploads/{id}": transferring,
		"PATCH /api/v1/files/{id}": writing, "DELETE /api/v1/files/{id}": writing, "POST /api/v1/folders": writing, "DELETE /api/v1/uploads/{id}": writing,
		"POST /api/v1/quantum/sessions": simulating, "POST /api/v1/quantum/laboratory": simulating, "GET /api/v1/quantum/sessions": reading,
		"PUT /api/v1/quantum/eavesdroppers/{person}/and/{other}": writing,
	} {
		method, path, _ := strings.Cut(name, " ")
		i := slices.IndexFunc(routes, func(rt route) bool { return rt.method == method && rt.name() == path })
		if got := routes[i].class(); got != want {
			t.Errorf("%s has the class %q, want %q", name, got, want)
		}
	}
}
