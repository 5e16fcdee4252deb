package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"stonevault/api"
)

// signInServer answers sign-ins, and remembers what it was asked.
func signInServer(t *testing.T, answer func(w http.ResponseWriter, asked api.SignIn)) (string, *[]api.SignIn) {
	t.Helper()
	var all []api.SignIn
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked api.SignIn
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		all = append(all, asked)
		answer(w, asked)
	}))
	t.Cleanup(s.Close)
	return s.URL, &all
}

func opened(w http.ResponseWriter, device string, enrol bool) {
	json.NewEncoder(w).Encode(api.Session{
		AccessToken: "access", RefreshToken: "svr_1", AccessExpiresAt: time.Now().Add(time.Minute), TokenType: "Bearer",
		Person: api.Person{Name: "Ann", Role: api.RoleUser}, Device: device, Enrol: enrol,
	})
}

// A device is known by what it was given, each account's on its own, and each server's alone.
func TestSignInFromKnownDevice(t *testing.T) {
	number := 0
	answer := func(w http.ResponseWriter, asked api.SignIn) {
		device := ""
		if asked.Device == "" {
			number++
			device = fmt.Sprint("svd_", strings.ToLower(asked.Name), number)
		}
		opened(w, device, false)
	}
	server, asked := signInServer(t, answer)
	other, askedOther := signInServer(t, answer)
	sessions, kept := new(memorySecrets), new(memorySecrets)
	signIn := func(server, name string) {
		t.Helper()
		c := newClient(t, server, sessions)
		c.options.Devices = kept
		if _, _, err := c.SignIn(t.Context(), Credentials{Name: name, Password: "secret", Client: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"ann", "Ann", "bob", "ANN", "bob"} {
		signIn(server, name)
	}
	for i, want := range []string{"", "svd_ann1", "", "svd_ann1", "svd_bob2"} {
		if got := (*asked)[i].Device; got != want {
			t.Errorf("sign-in %d shows the device %q, want %q", i, got, want)
		}
	}
	signIn(other, "ann")
	if got := (*askedOther)[0].Device; got != "" {
		t.Errorf("another server was shown %q", got)
	}
	kept.set([]byte("damaged"))
	signIn(server, "ann")
	if got := (*asked)[len(*asked)-1].Device; got != "" {
		t.Errorf("what is damaged was shown as %q", got)
	}
}

// Signing out forgets the session, and not the device.
func TestSignOutKeepsDevice(t *testing.T) {
	server, _ := signInServer(t, func(w http.ResponseWriter, _ api.SignIn) { opened(w, "svd_1", false) })
	sessions, kept := new(memorySecrets), new(memorySecrets)
	c := newClient(t, server, sessions)
	c.options.Devices = kept
	if _, _, err := c.SignIn(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	if err := c.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sessions.secret() != nil || !strings.Contains(string(kept.secret()), "svd_1") {
		t.Errorf("kept are the session %q and the device %q", sessions.secret(), kept.secret())
	}
}

func TestSignInProblems(t *testing.T) {
	for _, row := range []struct {
		code   string
		status int
		want   error
	}{
		{"bad-credentials", http.StatusUnauthorized, ErrCredentials},
		{"second-factor-required", http.StatusUnauthorized, ErrSecondFactor},
		{"wrong-code", http.StatusForbidden, ErrWrongCode},
	} {
		server, asked := signInServer(t, func(w http.ResponseWriter, _ api.SignIn) { problem(w, row.status, row.code) })
		s := new(memorySecrets)
		_, _, err := newClient(t, server, s).SignIn(t.Context(), ann)
		if !errors.Is(err, row.want) || s.secret() != nil || len(*asked) != 1 {
			t.Errorf("%s: %v after %d requests, and %q is kept", row.code, err, len(*asked), s.secret())
		}
	}
	server, _ := signInServer(t, func(w http.ResponseWriter, _ api.SignIn) {
		w.Header().Set("Retry-After", "240")
		problem(w, http.StatusTooManyRequests, "too-many-requests")
	})
	_, _, err := newClient(t, server, new(memorySecrets)).SignIn(t.Context(), ann)
	var p *Problem
	if !errors.As(err, &p) || p.RetryAfter != 4*time.Minute || !strings.HasPrefix(p.Error(), "There were too many requests") {
		t.Errorf("throttled: %v, %+v", err, p)
	}
	server, _ = signInServer(t, func(w http.ResponseWriter, _ api.SignIn) { opened(w, "", true) })
	if _, enrol, err := newClient(t, server, new(memorySecrets)).SignIn(t.Context(), ann); err != nil || !enrol {
		t.Errorf("a session that must enrol first: %v, %v", enrol, err)
	}
}

// An API token is sent in the place of a session, which stays as it is, and is never exchanged.
func TestAPIToken(t *testing.T) {
	v, c, s := signedIn(t)
	before := string(s.secret())
	c.options.Token = "svp_good"
	v.mu.Lock()
	v.access = "svp_good"
	v.mu.Unlock()
	if _, err := c.Me(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.options.Token = "svp_revoked"
	if _, err := c.Me(t.Context()); !errors.Is(err, ErrToken) {
		t.Errorf("a token that is not good: %v", err)
	}
	if v.refreshes != 1 || string(s.secret()) != before {
		t.Errorf("the session was touched: %d of them", v.refreshes)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", c.options, c.options, c.options.Token, c.options.Token); strings.Contains(text, "svp_") {
		t.Errorf("the token shows itself: %s", text)
	}
	if text := fmt.Sprintf("%v %+v %#v", ann, &ann, ann); strings.Contains(text, "secret") {
		t.Errorf("the password shows itself: %s", text)
	}
}
