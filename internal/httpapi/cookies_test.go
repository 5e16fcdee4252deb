package httpapi

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"stonevault/api"
)

const signInBody = `{"name":"owner","password":"` + password + `","client":"browser","cookies":true}`

// cookiesOf returns the cookies that a reply sets, by name.
func cookiesOf(a *answer) map[string]*http.Cookie {
	set := map[string]*http.Cookie{}
	for _, c := range a.Cookies() {
		set[c.Name] = c
	}
	return set
}

// What a browser gets depends on how it reaches the server, and neither script nor another site gets it.
func TestCookieAttributes(t *testing.T) {
	w := newWorld(t)
	for _, row := range []struct {
		host, proto, prefix string
	}{
		{"127.0.0.1:8080", "", ""},
		{"localhost", "", ""},
		{"LOCALHOST:8080", "", ""},
		{"[::1]:8080", "", ""},
		{"[::1]", "", ""},
		{"localhost", "https", "__Host-"},
		{"vault.example.org", "", "__Host-"},
		{"vault.example.org:8443", "", "__Host-"},
		{"192.0.2.1", "", "__Host-"},
		{"localhost.example.org", "", "__Host-"},
		{"127.0.0.1.example.org", "", "__Host-"},
	} {
		header := append([]string{"Host: " + row.host}, jsonBody...)
		if row.proto != "" {
			header = append(header, "X-Forwarded-Proto: "+row.proto)
		}
		a := w.do("anonymous", "POST", "/api/v1/sessions", signInBody, header...)
		s := decode[api.Session](t, a)
		if a.StatusCode != 200 || s.AccessToken != "" || s.Device != "" || s.RefreshToken != "" || s.TokenType != "" || s.Person.Name != "owner" ||
			time.Until(s.AccessExpiresAt) < 9*time.Minute {
			t.Errorf("%s: %d %s", row.host, a.StatusCode, a.body)
		}
		set := cookiesOf(a)
		if len(set) != 3 {
			t.Errorf("%s: %v", row.host, a.Header["Set-Cookie"])
			continue
		}
		for name, least := range map[string]int{"stonevault-access": 590, "stonevault-refresh": 30*24*3600 - 10, "stonevault-device": 365*24*3600 - 10} {
			c := set[row.prefix+name]
			if c == nil || c.Value == "" || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" ||
				c.Secure != (row.prefix != "") || c.MaxAge < least || c.MaxAge > least+10 {
				t.Errorf("%s: %v", row.host, a.Header["Set-Cookie"])
				continue
			}
			if strings.Contains(w.log.String(), c.Value) {
				t.Error("the log has a token")
			}
		}
	}
	r := httptest.NewRequest("GET", "https://localhost/", nil)
	r.TLS = &tls.ConnectionState{}
	if cookieName(r, "a") != "__Host-a" {
		t.Error("over TLS a cookie goes without its prefix")
	}
}

// Who a request comes from: the header where there is one, and otherwise the one cookie of the right name.
func TestCookieAuthentication(t *testing.T) {
	w := newWorld(t)
	owner, stranger := w.token("owner"), w.token("stranger")
	local, public := "Host: localhost", "Host: vault.example.org"
	for _, row := range []struct {
		name   string
		header []string
		who    string // "" is nobody
	}{
		{"cookie", []string{local, "Cookie: stonevault-access=" + owner}, "owner"},
		{"cookie among others", []string{local, "Cookie: a=b; stonevault-access=" + owner + "; c=d"}, "owner"},
		{"cookie of a public host", []string{public, "Cookie: __Host-stonevault-access=" + owner}, "owner"},
		{"without the prefix, which anybody on the way could have set", []string{public, "Cookie: stonevault-access=" + owner}, ""},
		{"with the prefix on loopback", []string{local, "Cookie: __Host-stonevault-access=" + owner}, ""},
		{"both", []string{public, "Cookie: stonevault-access=" + stranger + "; __Host-stonevault-access=" + owner}, "owner"},
		{"twice", []string{local, "Cookie: stonevault-access=" + owner + "; stonevault-access=" + owner}, ""},
		{"empty", []string{local, "Cookie: stonevault-access="}, ""},
		{"another case", []string{local, "Cookie: Stonevault-Access=" + owner}, ""},
		{"refresh cookie", []string{local, "Cookie: stonevault-refresh=" + owner}, ""},
		{"header and cookie", []string{local, "Authorization: Bearer " + stranger, "Cookie: stonevault-access=" + owner}, "stranger"},
		{"bad header and cookie", []string{local, "Authorization: Bearer x", "Cookie: stonevault-access=" + owner}, ""},
		{"empty header and cookie", []string{local, "Authorization: ", "Cookie: stonevault-access=" + owner}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := w.do("anonymous", "GET", "/api/v1/me", nil, row.header...)
			if row.who == "" {
				wantProblem(t, a, "unauthenticated")
			} else if me := decode[api.Profile](t, a); me.Name != row.who {
				t.Errorf("it is %s", a.body)
			}
		})
	}
}

// Another site's page cannot act with a browser's cookies, nor sign it in.
func TestCookiesAndOtherSites(t *testing.T) {
	w := newWorld(t)
	f := w.put("owner", "/f", []byte("x"))
	local, own := "Host: localhost", "Cookie: stonevault-access="+w.token("owner")
	for _, other := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example", "Origin: null", "Origin: http://localhost:81"} {
		wantProblem(t, w.do("anonymous", "POST", "/api/v1/sessions", signInBody, append([]string{local, other}, jsonBody...)...), "cross-origin")
		wantProblem(t, w.do("anonymous", "POST", "/api/v1/sessions/refresh", `{"cookies":true}`, append([]string{local, other}, jsonBody...)...), "cross-origin")
		wantProblem(t, w.do("anonymous", "DELETE", "/api/v1/sessions/current", nil, local, own, other), "cross-origin")
		wantProblem(t, w.do("anonymous", "PUT", "/api/v1/content/g", "x", local, own, other), "cross-origin")
		wantProblem(t, w.do("anonymous", "DELETE", "/api/v1/files/"+f.ID, nil, local, own, other), "cross-origin")
		wantProblem(t, w.do("anonymous", "POST", uploadsPath, nil, local, own, other, tusHeader, "Upload-Length: 0", tusMeta("path", "/g")), "cross-origin")
	}
	for _, same := range []string{"Sec-Fetch-Site: same-origin", "Origin: http://localhost"} {
		if a := w.do("anonymous", "PUT", "/api/v1/content/g", "x", local, own, same); a.StatusCode/100 != 2 {
			t.Errorf("%s: %d %s", same, a.StatusCode, a.body)
		}
	}
}

// A browser's session, from its beginning to its end.
func TestCookieSession(t *testing.T) {
	w := newWorld(t)
	local := append([]string{"Host: localhost"}, jsonBody...)
	with := func(a *answer, names ...string) []string {
		var pairs []string
		for _, name := range names {
			pairs = append(pairs, name+"="+cookiesOf(a)[name].Value)
		}
		return append([]string{"Cookie: " + strings.Join(pairs, "; ")}, local...)
	}
	first := w.do("anonymous", "POST", "/api/v1/sessions", signInBody, local...)
	next := w.do("anonymous", "POST", "/api/v1/sessions/refresh", `{"cookies":true}`, with(first, refreshCookie)...)
	s := decode[api.Session](t, next)
	if next.StatusCode != 200 || s.AccessToken+s.RefreshToken != "" || len(cookiesOf(next)) != 2 ||
		cookiesOf(next)[refreshCookie].Value == cookiesOf(first)[refreshCookie].Value {
		t.Errorf("%d %s %v", next.StatusCode, next.body, next.Header)
	}
	for _, row := range []struct {
		body, problem string
		header        []string
	}{
		{`{}`, "invalid", with(next, refreshCookie)},
		{`{"cookies":false}`, "invalid", with(next, refreshCookie)},
		{`{"cookies":true,"refresh_token":"svr_AAAA"}`, "invalid", with(next, refreshCookie)},
		{`{"cookies":"true"}`, "invalid", with(next, refreshCookie)},
		{`{"cookies":true}`, "session-ended", local},
		{`{"cookies":true}`, "session-ended", append([]string{"Cookie: stonevault-refresh=svr_AAAA"}, local...)},
		{`{"cookies":true}`, "session-ended", append([]string{"Cookie: __Host-stonevault-refresh=" + cookiesOf(next)[refreshCookie].Value}, local...)},
	} {
		a := w.do("anonymous", "POST", "/api/v1/sessions/refresh", row.body, row.header...)
		wantProblem(t, a, row.problem)
		if (row.problem == "session-ended") != (len(cookiesOf(a)) == 2) {
			t.Errorf("%s: %v", row.body, a.Header)
		}
	}
	if a := w.do("anonymous", "GET", "/api/v1/me", nil, with(next, accessCookie)...); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	a := w.do("anonymous", "DELETE", "/api/v1/sessions/current", nil, with(next, accessCookie, refreshCookie)...)
	if set := cookiesOf(a); a.StatusCode != 204 || len(set) != 2 {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	} else {
		for _, c := range set {
			if c.MaxAge >= 0 || c.Value != "" || c.Path != "/" || !c.HttpOnly {
				t.Errorf("%v does not remove", c)
			}
		}
	}
	wantProblem(t, w.do("anonymous", "GET", "/api/v1/me", nil, with(next, accessCookie)...), "unauthenticated")
	wantProblem(t, w.do("anonymous", "POST", "/api/v1/sessions/refresh", `{"cookies":true}`, with(next, refreshCookie)...), "session-ended")

	// Signing out of a program's session leaves the browser's alone.
	if a := w.do("owner", "DELETE", "/api/v1/sessions/current", nil, with(next, accessCookie)...); a.StatusCode != 204 || len(a.Cookies()) != 0 {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
}
