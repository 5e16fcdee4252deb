package httpapi

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"stonevault/api"
	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

// enrol sets up somebody's second factor.
func (w *world) enrol(who string) (secret string, codes []string) {
	w.t.Helper()
	f := decode[api.FactorSecret](w.t, w.do(who, "POST", "/api/v1/me/factor", nil))
	uri, err := url.Parse(f.URI)
	if err != nil {
		w.t.Fatal(err)
	}
	secret = uri.Query().Get("secret")
	// The code of the step before is taken, so that the next one is left for signing in.
	code, err := totp.GenerateCode(secret, time.Now().Add(-20*time.Second))
	if err != nil {
		w.t.Fatal(err)
	}
	a := w.do(who, "POST", "/api/v1/me/factor/confirm", `{"code":"`+code+`"}`, jsonBody...)
	if codes = decode[api.RecoveryCodes](w.t, a).RecoveryCodes; len(codes) != auth.RecoveryCodes {
		w.t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	return secret, codes
}

func (w *world) setting(name, value string) {
	w.t.Helper()
	if err := w.db.Update(context.Background(), func(tx vault.Tx) error {
		return tx.Settings().Put(context.Background(), name, []byte(value))
	}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) signIn(body string) *answer {
	w.t.Helper()
	return w.do("anonymous", "POST", "/api/v1/sessions", body, jsonBody...)
}

// The life of a second factor over HTTP, with nothing of it in the log.
func TestFactorOverHTTP(t *testing.T) {
	w := newWorld(t)
	g := w.guest()
	wantProblem(t, w.do(g.name, "POST", "/api/v1/me/factor/confirm", `{"code":"123456"}`, jsonBody...), "not-found")
	secret, codes := w.enrol(g.name)
	plain := `{"name":"` + g.name + `","password":"` + password + `"`
	wantProblem(t, w.signIn(plain+`}`), "second-factor-required")
	wantProblem(t, w.signIn(plain+`,"code":"000000"}`), "wrong-code")
	wantProblem(t, w.signIn(`{"name":"`+g.name+`","password":"wrong","code":"`+codes[0]+`"}`), "bad-credentials")
	s := decode[api.Session](t, w.signIn(plain+`,"code":"`+codes[0]+`"}`))
	if s.AccessToken == "" || !strings.HasPrefix(s.Device, "svd_") || s.Enrol {
		t.Errorf("%+v", s)
	}
	wantProblem(t, w.signIn(plain+`,"code":"`+codes[0]+`","device":"`+s.Device+`"}`), "wrong-code")
	again := decode[api.Session](t, w.signIn(plain+`,"code":"`+codes[1]+`","device":"`+s.Device+`"}`))
	if again.AccessToken == "" || again.Device != "" {
		t.Errorf("a known device: %+v", again)
	}
	wantProblem(t, w.signIn(plain+`,"code":"x","device":"`+s.Device+`","cookies":true}`), "invalid")
	f := decode[api.Factor](t, w.do(g.name, "GET", "/api/v1/people/me/factor", nil))
	if !f.Enrolled || len(f.Methods) != 1 || f.Methods[0] != "totp" || f.EnrolledAt == nil || f.CodesLeft != 8 {
		t.Errorf("%+v", f)
	}
	wantProblem(t, w.do(g.name, "POST", "/api/v1/me/factor", nil), "exists")
	wantProblem(t, w.do(g.name, "POST", "/api/v1/me/factor/codes", `{"password":"wrong"}`, jsonBody...), "wrong-password")
	more := decode[api.RecoveryCodes](t, w.do(g.name, "POST", "/api/v1/me/factor/codes", `{"password":"`+password+`"}`, jsonBody...)).RecoveryCodes
	wantProblem(t, w.signIn(plain+`,"code":"`+codes[2]+`"}`), "wrong-code")
	wantProblem(t, w.do(g.name+"'s token", "POST", "/api/v1/me/factor/codes", `{"password":"`+password+`"}`, jsonBody...), "out-of-scope")
	if a := w.do(g.name, "POST", "/api/v1/people/me/factor/removal", `{"password":"`+password+`"}`, jsonBody...); a.StatusCode != 204 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := w.signIn(plain + `}`); a.StatusCode != 200 {
		t.Errorf("afterwards: %d %s", a.StatusCode, a.body)
	}
	for _, secret := range append(append(codes, more...), secret, s.Device, s.AccessToken, password) {
		if strings.Contains(w.log.String(), secret) {
			t.Error("the log has a secret")
		}
	}
}

// Who must set a second factor up first reaches nothing else, and then everything.
func TestEnrolFirst(t *testing.T) {
	w := newWorld(t)
	boss := w.newcomer("boss", vault.RoleAdmin)
	other := w.guest()
	w.setting(auth.SettingFactorRoles, `["admin"]`)
	s := decode[api.Session](t, w.signIn(`{"name":"boss","password":"`+password+`"}`))
	if !s.Enrol {
		t.Fatalf("%+v", s)
	}
	w.tokens["boss"] = s.AccessToken
	time.Sleep(500 * time.Millisecond) // for as long as the token was trusted without it
	allowed := 0
	for i := range routes {
		rt := &routes[i]
		if rt.action == anybody || rt.method == "DELETE" && rt.action == signedIn {
			continue
		}
		target := strings.NewReplacer("{person}", "me", "{path...}", "a").Replace(rt.pattern)
		for _, who := range []string{"boss", "boss's token"} {
			a := w.do(who, rt.method, target, nil)
			refused := strings.Contains(string(a.body), "/problems/enrol-first") || rt.method == "HEAD" && a.StatusCode == 403
			if refused == whileEnrolling[rt.method+" "+rt.pattern] {
				t.Errorf("%s: %s %s: %d %s", who, rt.method, target, a.StatusCode, a.body)
			}
			if !refused {
				allowed++
			}
		}
	}
	if allowed != 8 {
		t.Errorf("%d requests were let through", allowed)
	}
	wantProblem(t, w.do("boss", "GET", "/api/v1/people/"+other.id+"/factor", nil), "enrol-first")
	if a := w.do("boss", "GET", "/api/v1/people/"+boss.id+"/factor", nil); !strings.Contains(string(a.body), `"required":true`) {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	w.enrol("boss")
	for _, who := range []string{"boss", "boss's token"} {
		if a := w.do(who, "GET", "/api/v1/people/"+other.id+"/sessions", nil); a.StatusCode != 200 {
			t.Errorf("%s, enrolled: %d %s", who, a.StatusCode, a.body)
		}
	}
	if a := w.do(other.name, "GET", "/api/v1/files", nil); a.StatusCode != 200 {
		t.Errorf("somebody of another role: %d", a.StatusCode)
	}
}

// Too many tries are told how long to wait, and a browser that signed in before does not wait for others.
func TestTooManySignIns(t *testing.T) {
	w := newWorld(t)
	g := w.guest()
	first := w.signIn(`{"name":"` + g.name + `","password":"` + password + `","cookies":true}`)
	var device string
	for _, c := range first.Cookies() {
		if c.Name == "stonevault-device" {
			device = c.Value
		}
	}
	var details []string
	for _, name := range []string{g.name, "nobody here"} {
		// A slow machine takes longer for a try than the first waits are.
		var a *answer
		for range 20 {
			if a = w.signIn(`{"name":"` + name + `","password":"wrong"}`); a.StatusCode == 429 {
				break
			}
			wantProblem(t, a, "bad-credentials")
		}
		details = append(details, wantProblem(t, a, "too-many-requests").Detail)
		if wait, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || wait < 1 || wait > 3600 {
			t.Errorf("%s: Retry-After %q", name, a.Header.Get("Retry-After"))
		}
	}
	for i, detail := range details { // how long to wait is another thing each time
		details[i], _, _ = strings.Cut(detail, ": try again in ")
	}
	if details[0] != details[1] {
		t.Errorf("%q, and for a name that nobody has %q", details[0], details[1])
	}
	a := w.do("anonymous", "POST", "/api/v1/sessions", `{"name":"`+g.name+`","password":"`+password+`","cookies":true}`,
		append([]string{"Cookie: stonevault-device=" + device}, jsonBody...)...)
	if a.StatusCode != 200 || !strings.Contains(fmt.Sprint(a.Header["Set-Cookie"]), "stonevault-device="+device) {
		t.Errorf("from a known device: %d %s", a.StatusCode, a.body)
	}
	events := decode[api.AuditEventList](t, w.do("admin", "GET", "/api/v1/audit/events?type=session.refused", nil, "Prefer: wait"))
	reasons := fmt.Sprint(events)
	if !strings.Contains(reasons, "credentials") || !strings.Contains(reasons, "limit") {
		t.Errorf("%s", reasons)
	}
}

func TestPasswordChangeOverHTTP(t *testing.T) {
	const next = "six other words nobody ever wrote"
	w := newWorld(t)
	g := w.guest()
	other := decode[api.Session](t, w.signIn(`{"name":"`+g.name+`","password":"`+password+`"}`))
	w.tokens["elsewhere"] = other.AccessToken
	wantProblem(t, w.do(g.name+"'s token", "POST", "/api/v1/me/password", `{"current":"`+password+`","new":"`+next+`"}`, jsonBody...), "out-of-scope")
	if p := wantProblem(t, w.do(g.name, "POST", "/api/v1/me/password", `{"current":"`+password+`","new":"short"}`, jsonBody...), "invalid"); len(p.Errors) != 1 || p.Errors[0].Field != "new" {
		t.Errorf("%+v", p)
	}
	a := w.do(g.name, "POST", "/api/v1/me/password", `{"current":"`+password+`","new":"`+next+`"}`, append([]string{"Prefer: wait"}, jsonBody...)...)
	if receipt := decode[api.AuditReceipt](t, a); receipt.Receipt == "" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	wantProblem(t, w.do("elsewhere", "GET", "/api/v1/me", nil), "unauthenticated")
	for _, who := range []string{g.name, g.name + "'s token"} {
		if a := w.do(who, "GET", "/api/v1/me", nil); a.StatusCode != 200 {
			t.Errorf("%s: %d", who, a.StatusCode)
		}
	}
	wantProblem(t, w.signIn(`{"name":"`+g.name+`","password":"`+password+`"}`), "bad-credentials")
	if a := w.signIn(`{"name":"` + g.name + `","password":"` + next + `"}`); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if strings.Contains(w.log.String(), next) {
		t.Error("the log has a password")
	}
}
