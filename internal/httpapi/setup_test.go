package httpapi

import (
	"strings"
	"sync"
	"testing"

	"stonevault/api"
	"stonevault/identity"
)

var setupScenarios = []scenario{
	{"GET /api/v1/setup", "", func(*scene) (string, any, []string) { return "/api/v1/setup", nil, nil },
		ok(200), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, _ *scene, a *answer) {
			if s := decode[api.SetupState](t, a); s.Needed || s.RecoveryConfirmed {
				t.Errorf("%s", a.body)
			}
		}},
	{"POST /api/v1/setup", "when there is an admin", func(s *scene) (string, any, []string) {
		return "/api/v1/setup", `{"code":"` + s.code.Text() + `","name":"eve","password":"` + password + `"}`, jsonBody
	}, no("setup-over"), no("setup-over"), no("setup-over"), no("setup-over"), no("setup-over"), nil},
	{"POST /api/v1/setup/recovery", "something else", func(*scene) (string, any, []string) {
		return "/api/v1/setup/recovery", `{"secret":"SVSEC1"}`, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), no("invalid"), no("forbidden"), nil},
}

func (w *world) setUp(code, name, secret string) *answer {
	w.t.Helper()
	return w.do("anonymous", "POST", "/api/v1/setup", `{"code":`+quote(code)+`,"name":`+quote(name)+`,"password":`+quote(secret)+`}`, jsonBody...)
}

// The first run: a code, an admin, a sheet, and its confirmation.
func TestSetup(t *testing.T) {
	w := newEmptyWorld(t)
	state := func() api.SetupState {
		return decode[api.SetupState](t, w.do("anonymous", "GET", "/api/v1/setup", nil))
	}
	if s := state(); !s.Needed || s.RecoveryConfirmed {
		t.Errorf("%+v", s)
	}
	// Mistakes of who has the code cost nothing.
	for range 12 {
		wantProblem(t, w.setUp(w.code.Text(), "ann", "too short"), "invalid")
	}
	wantProblem(t, w.setUp(w.code.Text(), " ann", password), "invalid")
	wantProblem(t, w.setUp(w.code.Text(), "", password), "invalid")
	wantProblem(t, w.setUp("", "ann", password), "invalid")
	wantProblem(t, w.do("anonymous", "POST", "/api/v1/setup", `{"code":"x","name":"ann","password":"x","role":"admin"}`, jsonBody...), "invalid")
	wantProblem(t, w.do("anonymous", "POST", "/api/v1/setup", `{"code":`+quote(w.code.Text())+`,"name":"ann","password":"`+password+`"}`,
		append([]string{"Sec-Fetch-Site: cross-site"}, jsonBody...)...), "cross-origin")
	wantProblem(t, w.setUp("wrong", "eve", password), "wrong-setup-code")
	if s := state(); !s.Needed || w.codeGone.Load() {
		t.Errorf("%+v, code gone %v", s, w.codeGone.Load())
	}

	a := w.setUp(strings.ToUpper(w.code.Text()), "ann", password)
	sheet := decode[api.SetupSheet](t, a)
	about := decode[api.Vault](t, w.do("anonymous", "GET", "/api/v1/vault", nil))
	if a.StatusCode != 201 || sheet.RootFingerprint != about.RootFingerprint || sheet.RootFingerprintSpoken != about.RootFingerprintSpoken ||
		a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	secret, err := identity.ParseSecret(sheet.RecoverySecret)
	if err != nil {
		t.Fatal(err)
	}
	if s := state(); s.Needed || s.RecoveryConfirmed || !w.codeGone.Load() {
		t.Errorf("%+v, code gone %v", s, w.codeGone.Load())
	}
	wantProblem(t, w.setUp(w.code.Text(), "eve", password), "setup-over")

	me := decode[api.Profile](t, w.do("ann", "GET", "/api/v1/me", nil))
	if me.Name != "ann" || me.Role != api.RoleAdmin {
		t.Errorf("%+v", me)
	}
	other, err := identity.Generate(zeros{}, identity.SuiteHybrid)
	if err != nil {
		t.Fatal(err)
	}
	confirm := func(text string) *answer {
		return w.do("ann", "POST", "/api/v1/setup/recovery", `{"secret":`+quote(text)+`}`, jsonBody...)
	}
	for _, wrong := range []string{"", "x", sheet.RecoverySecret[:len(sheet.RecoverySecret)-1], other.SecretSheet()} {
		p := wantProblem(t, confirm(wrong), "invalid")
		if len(p.Errors) != 1 || p.Errors[0].Field != "secret" || state().RecoveryConfirmed {
			t.Errorf("%+v", p)
		}
	}
	for range 2 { // again is no error
		if a := confirm(strings.ReplaceAll(strings.ToLower(sheet.RecoverySecret), "-", "\n")); a.StatusCode != 204 || !state().RecoveryConfirmed {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
	for _, word := range []string{secret.SecretText(), sheet.RecoverySecret, sheet.RecoverySecret[:11], w.code.Text(), password} {
		if strings.Contains(w.log.String(), word) {
			t.Error("the log has a secret")
		}
	}
}

// zeros is a source of randomness for an identity that nobody keeps anything for.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestSetupGuesses(t *testing.T) {
	w := newEmptyWorld(t)
	for range 10 {
		wantProblem(t, w.setUp("aaaaaa-aaaaaa-aaaaaa-aaaaaa", "eve", password), "wrong-setup-code")
	}
	wantProblem(t, w.setUp(w.code.Text(), "ann", password), "setup-over")
	if s := decode[api.SetupState](t, w.do("anonymous", "GET", "/api/v1/setup", nil)); !s.Needed || !w.codeGone.Load() {
		t.Errorf("%+v, code gone %v", s, w.codeGone.Load())
	}
	// A server that was started without a code lets nobody in either.
	w.api.SetupCode = nil
	wantProblem(t, w.setUp(w.code.Text(), "ann", password), "setup-over")
}

// Of two who come at once with the right code, one becomes the admin.
func TestSetupRace(t *testing.T) {
	w := newEmptyWorld(t)
	var all sync.WaitGroup
	answers := make([]*answer, 4)
	for i := range answers {
		all.Go(func() { answers[i] = w.setUp(w.code.Text(), "ann"+string(rune('0'+i)), password) })
	}
	all.Wait()
	made := 0
	for _, a := range answers {
		if a.StatusCode == 201 {
			made++
		} else {
			wantProblem(t, a, "setup-over")
		}
	}
	if n, err := w.vault.Admins(t.Context()); made != 1 || n != 1 || err != nil {
		t.Errorf("%d were told that they are, and there are %d admins, %v", made, n, err)
	}
}
