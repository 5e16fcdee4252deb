package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"stonevault/api"
	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

// slow is a request whose caller was let in, and whose body is still to come.
type slow struct {
	*world
	conn net.Conn
	in   *bufio.Reader
	body string
}

// slowly sends a request up to its body, once the server waits for that.
func (w *world) slowly(who, method, target, body string, header ...string) *slow {
	w.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	header = append(header, "Host: vault", "Authorization: Bearer "+w.token(who), "Content-Type: application/json", "Expect: 100-continue", fmt.Sprintf("Content-Length: %d", len(body)))
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\n%s\r\n\r\n", method, target, strings.Join(header, "\r\n"))
	s := &slow{world: w, conn: conn, in: bufio.NewReader(conn), body: body}
	// The server says so once the first of the body is read.
	line, err := s.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		w.t.Fatalf("%s %s: %q, %v", method, target, line, err)
	}
	if _, err := s.in.ReadString('\n'); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// end sends the body, and returns the status of the answer.
func (s *slow) end() int {
	s.t.Helper()
	fmt.Fprint(s.conn, s.body)
	res, err := http.ReadResponse(s.in, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// Whoever is signed out while his body is on its way gets nothing done: not on any route that takes a body at once.
func TestSignedOutBeforeTheBody(t *testing.T) {
	w := newWorld(t)
	for _, rt := range routes {
		if rt.pace != quick || rt.body == 0 || rt.action == anybody {
			continue
		}
		g := w.newcomer("slow "+rt.method+" "+rt.name(), vault.RoleAdmin)
		target := strings.NewReplacer("{person}", g.id, "{group}", g.id, "{id}", g.id, "{webhook}", g.id).Replace(rt.pattern)
		s := w.slowly(g.name, rt.method, target, `{}`)
		if a := w.do("admin", "DELETE", "/api/v1/people/"+g.id+"/sessions/"+g.session, nil); a.StatusCode != 204 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		if status := s.end(); status != 401 {
			t.Errorf("%s %s: %d", rt.method, target, status)
		}
	}
}

// What somebody began who could, and ended who can't, leaves nothing: no token of a stolen session, no webhook of a
// former admin, nothing of who was switched off, and nobody's answer is given again.
func TestOverBeforeTheBody(t *testing.T) {
	w := newWorld(t)
	key := "Idempotency-Key: before-the-body"
	for name, row := range map[string]struct {
		token                bool // of an API token
		method, target, body string
		header               []string
		end                  string // PATCH of the person, or nothing for the password
		status               int
		left                 func(g guest) bool // tells whether anything is left
	}{
		"an API token, once the password is another": {
			method: "POST", target: "/api/v1/me/tokens", body: `{"name":"for later","scopes":["admin"],"expires_at":"` + w.now().AddDate(0, 1, 0).UTC().Format("2006-01-02T15:04:05Z") + `"}`,
			status: 401, left: func(g guest) bool {
				a := w.do("admin", "GET", "/api/v1/people/"+g.id+"/tokens", nil)
				return len(decode[api.APITokenList](t, a).Items) != 1
			},
		},
		"a webhook, once the token's owner is a user": {
			token: true, method: "POST", target: "/api/v1/webhooks", body: `{"url":"https://example.org/hook","events":["role.changed"]}`, end: `{"role":"user"}`,
			status: 403, left: func(guest) bool {
				return len(decode[api.WebhookList](t, w.do("admin", "GET", "/api/v1/webhooks", nil)).Items) > 0
			},
		},
		"a folder, once its owner is switched off": {
			method: "POST", target: "/api/v1/folders", body: `{"path":"/late"}`, end: `{"active":false}`,
			status: 401, left: func(g guest) bool {
				page, err := w.vault.List(t.Context(), vault.Actor{Person: vault.PersonID(g.id)}, vault.ListRequest{Folder: "/"})
				return err != nil || len(page.Items) != 1
			},
		},
		"an answer that was given, once its owner is switched off": {
			method: "POST", target: "/api/v1/folders", body: `{"path":"/kept"}`, header: []string{key}, end: `{"active":false}`,
			status: 401, left: func(guest) bool { return false },
		},
	} {
		g := w.newcomer(name, vault.RoleAdmin)
		if a := w.do(name, "POST", "/api/v1/folders", `{"path":"/kept"}`, append(jsonBody, key)...); a.StatusCode != 201 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		who := name
		if row.token {
			who += "'s token"
		}
		s := w.slowly(who, row.method, row.target, row.body, row.header...)
		if row.end == "" {
			// Its owner signs in somewhere else.
			grant, err := w.api.Auth.SignIn(t.Context(), auth.Credentials{Name: name, Password: password, Client: "desk"})
			if err != nil {
				t.Fatal(err)
			}
			w.tokens["the owner"] = grant.AccessToken
			a := w.do("the owner", "POST", "/api/v1/me/password", `{"current":"`+password+`","new":"`+newPassword+`"}`, jsonBody...)
			if a.StatusCode != 204 {
				t.Fatalf("%s: %d %s", name, a.StatusCode, a.body)
			}
		} else if a := w.do("admin", "PATCH", "/api/v1/people/"+g.id, row.end, jsonBody...); a.StatusCode != 200 {
			t.Fatalf("%s: %d %s", name, a.StatusCode, a.body)
		}
		if status := s.end(); status != row.status {
			t.Errorf("%s: %d, want %d", name, status, row.status)
		}
		if row.left(g) {
			t.Errorf("%s: something is left", name)
		}
	}
}

// Whoever is signed out while he waits for a receipt does not get it.
func TestSignedOutWhileWaiting(t *testing.T) {
	w := newWorld(t)
	g := w.newcomer("waits", vault.RoleAdmin)
	event := w.events(g.name, "")[0].ID
	await := w.api.AwaitEvent
	w.api.AwaitEvent = func(ctx context.Context, id int64) (int64, error) {
		if a := w.do("admin", "DELETE", "/api/v1/people/"+g.id+"/sessions/"+g.session, nil); a.StatusCode != 204 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		return await(ctx, id)
	}
	wantProblem(t, w.do(g.name, "GET", fmt.Sprintf("/api/v1/audit/events/%d/receipt", event), nil, "Prefer: wait=5"), "unauthenticated")
}
