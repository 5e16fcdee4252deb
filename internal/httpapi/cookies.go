package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"stonevault/internal/auth"
)

// A browser's session is in two cookies that no script can read and no other site can send (SameSite), and a third
// one says for a year which device it is. What other sites of the same domain could send is turned away by
// http.CrossOriginProtection.
const (
	accessCookie  = "stonevault-access"
	refreshCookie = "stonevault-refresh"
	deviceCookie  = "stonevault-device"
)

// inClear tells whether a browser reaches this server on its own machine without TLS. There alone cookies go
// without Secure, which not every browser keeps then. A proxy that ends TLS on the same machine is known
// by the host that it was asked for, or says https.
func inClear(r *http.Request) bool {
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		return false
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// origin is the scheme and the host under which whoever asks reaches this server, or "" where that is not known. Only
// a proxy that is trusted can have said https here, and the host is the caller's own word, to whom alone it is said.
func origin(r *http.Request) string {
	switch {
	case r.Host == "":
		return ""
	case inClear(r):
		return "http://" + r.Host
	}
	return "https://" + r.Host
}

// cookieName is what a cookie is called. The prefix makes browsers refuse it from any other host and over
// plain HTTP (RFC 6265bis, section 4.1.3.2).
func cookieName(r *http.Request, name string) string {
	if inClear(r) {
		return name
	}
	return "__Host-" + name
}

// cookie returns the value of the one cookie of a name, or "".
func cookie(r *http.Request, name string) string {
	if found := r.CookiesNamed(cookieName(r, name)); len(found) == 1 {
		return found[0].Value
	}
	return ""
}

func setCookie(c *call, name, value string, age time.Duration) {
	seconds := int(age / time.Second)
	if seconds <= 0 {
		seconds = -1 // removes it
	}
	http.SetCookie(c.w, &http.Cookie{
		Name: cookieName(c.r, name), Value: value, Path: "/", MaxAge: seconds,
		Secure: !inClear(c.r), HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

func (a *API) setCookies(c *call, g auth.Grant) {
	now := a.Now()
	setCookie(c, accessCookie, g.AccessToken, g.AccessExpiresAt.Sub(now))
	setCookie(c, refreshCookie, g.RefreshToken, g.RefreshExpiresAt.Sub(now))
}

func dropCookies(c *call) {
	setCookie(c, accessCookie, "", 0)
	setCookie(c, refreshCookie, "", 0)
}

// accessToken returns the access token of a request. Where there is an Authorization header, cookies
// do not matter.
func accessToken(r *http.Request) (string, error) {
	if hasAuthorization(r) {
		return bearer(r)
	}
	// An API token is for programs: no browser was ever given one to keep.
	if token := cookie(r, accessCookie); token != "" && !auth.IsAPIToken(token) {
		return token, nil
	}
	return "", auth.ErrUnauthenticated
}

func hasAuthorization(r *http.Request) bool { return len(r.Header.Values("Authorization")) > 0 }
