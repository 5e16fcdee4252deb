package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"stonevault/internal/access"
	"stonevault/internal/cache"
)

// class is what requests are counted together as.
type class string

const (
	// unlimited is for what costs nothing and what watches the server.
	unlimited class = ""
	// secretive requests try a secret that a person has chosen, or begin with one.
	secretive class = "sign-in"
	// reading requests look at what is there.
	reading class = "read"
	// writing requests change something, and carry no content.
	writing class = "write"
	// transferring requests carry content, or have it read.
	transferring class = "transfer"
	// simulating requests have a session of quantum keys simulated, which takes about a second of a processor.
	simulating class = "quantum"
	// delivering requests are programs' that get quantum keys. They come in by an entrance of their own.
	delivering class = "qkd"
)

// classes are those of routes that are not what their method, action and body say.
var classes = map[string]class{
	"POST /api/v1/sessions/refresh":               writing, // a token that nobody can guess
	"POST /api/v1/me/password":                    secretive,
	"POST /api/v1/me/factor/codes":                secretive,
	"POST /api/v1/people/{person}/factor/removal": secretive,
	"POST /api/v1/quantum/sessions":               simulating,
	"POST /api/v1/quantum/laboratory":             simulating,
	"GET /api/v1/openapi.json":                    unlimited,
	"GET /api/v1/docs":                            unlimited,
	"GET /problems/{code}":                        unlimited,
	"GET /livez":                                  unlimited,
	"GET /readyz":                                 unlimited,
	"GET /":                                       unlimited,
}

// class is what the route's requests are counted as.
func (r *route) class() class {
	if c, ok := classes[r.method+" "+r.name()]; ok {
		return c
	}
	switch r.action {
	case access.FilesRead, access.FilesVerify, access.FilesExport:
		return transferring
	}
	switch {
	case r.body > exportLimit:
		return transferring
	case r.method == "GET" || r.method == "HEAD" || r.method == "OPTIONS":
		return reading
	case r.action == anybody:
		return secretive
	}
	return writing
}

// RequestLimits are the most requests of each class that an address, and a person, may make in a minute; 0 is no limit.
// Quantum keys are counted by address and SAE.
type RequestLimits struct{ SignIn, Read, Write, Transfer, Simulate, Deliver int64 }

// limitPeriod is what the limits are counted in.
const limitPeriod = time.Minute

func (l RequestLimits) of(c class) int64 {
	switch c {
	case secretive:
		return l.SignIn
	case reading:
		return l.Read
	case writing:
		return l.Write
	case transferring:
		return l.Transfer
	case simulating:
		return l.Simulate
	case delivering:
		return l.Deliver
	}
	return 0
}

// limitKind says whose requests are counted.
type limitKind string

const (
	byAddress limitKind = "address"
	byPerson  limitKind = "person"
	bySAE     limitKind = "sae"
)

// limitAddress counts the request under where it comes from, before anything is done for it.
func (a *API) limitAddress(c class, r *http.Request) error {
	return a.limit(r.Context(), c, byAddress, networkOf(clientOf(r)))
}

// AdmitProgram counts a request of a program that gets quantum keys: under where it comes from while sae is empty, else under
// the SAE. It returns how long the program shall wait, in whole seconds, and a sentence that says why; 0 where it may go on.
func (a *API) AdmitProgram(ctx context.Context, address, sae string) (wait time.Duration, why string, err error) {
	kind, key := byAddress, networkOf(address)
	if sae != "" {
		kind, key = bySAE, sae
	}
	var f *failure
	if err := a.limit(ctx, delivering, kind, key); !errors.As(err, &f) {
		return 0, "", err
	}
	return time.Duration(f.seconds()) * time.Second, f.kind.title, f.cause
}

// limit takes one request of a class from what a key may make, and refuses it where that is used up. What cannot be
// counted is refused too.
func (a *API) limit(ctx context.Context, c class, kind limitKind, key string) error {
	most := a.RequestLimits.of(c)
	if a.Limiter == nil || most == 0 {
		return nil
	}
	d, err := a.Limiter.Take(ctx, "requests-"+string(c)+"-"+string(kind)+":"+key, 1, cache.Window{Limit: most, Period: limitPeriod})
	switch {
	case errors.Is(err, cache.ErrUnavailable), errors.Is(err, cache.ErrFull):
		a.metrics.limited.WithLabelValues(string(c), "unavailable").Inc()
		f := fail("limits-unavailable", "")
		f.cause = err
		return f
	case err != nil:
		return err
	case !d.Allowed:
		a.metrics.limited.WithLabelValues(string(c), string(kind)).Inc()
		f := fail("too-many-requests", "")
		f.retry = d.RetryAfter
		return f
	}
	return nil
}

// networkOf is what an address is counted as: all of an IPv4 address, and the /64 of an IPv6 one, since whoever has one
// address of that has all of them.
func networkOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return "unknown"
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}
