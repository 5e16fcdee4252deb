package auth

import (
	"errors"
	"slices"
	"testing"
	"time"

	"stonevault/audit"
)

// kinds lists the types of events.
func kinds(events []audit.Event) (names []string) {
	for _, e := range events {
		names = append(names, e.Type.String())
	}
	return names
}

// TestEvents: each change of a session is one event beside it, by whom it was and from where.
func TestEvents(t *testing.T) {
	f := newFixture(t)
	g, err := f.SignIn(t.Context(), Credentials{Name: "ann", Password: goodPassword, Client: "laptop", Address: "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	next, err := f.Refresh(t.Context(), g.RefreshToken, "192.0.2.8")
	if err != nil {
		t.Fatal(err)
	}
	f.clock.turn(time.Minute)
	if _, err := f.Refresh(t.Context(), g.RefreshToken, "198.51.100.1"); !errors.Is(err, ErrReused) {
		t.Fatal(err)
	}
	other := f.signIn(t)
	for range 2 { // the second changes nothing
		if err := f.SignOut(t.Context(), other.Principal, "192.0.2.9"); err != nil {
			t.Fatal(err)
		}
	}
	events := f.store.recorded()
	want := []string{"session.opened", "token.reused", "session.ended", "session.opened", "session.ended"}
	if !slices.Equal(kinds(events), want) {
		t.Fatalf("events %v, want %v", kinds(events), want)
	}
	opened, reused, ended, out := events[0], events[1], events[2], events[4]
	if opened.Actor["person"] != annID || opened.Actor["session"] != g.Principal.Session || opened.Actor["client"] != "laptop" || opened.Actor["address"] != "192.0.2.7" {
		t.Errorf("who signed in: %v", opened.Actor)
	}
	if reused.Operational["session"] != next.Principal.Session || reused.Actor["person"] != "" || reused.Actor["address"] != "198.51.100.1" || reused.Subject["person"] != annID {
		t.Errorf("who used a token twice: %+v", reused)
	}
	if ended.Operational["reason"] != "token-reused" || ended.Subject["name"] != "Ann" {
		t.Errorf("what that ended: %+v", ended)
	}
	if out.Operational["reason"] != "signed-out" || out.Actor["address"] != "192.0.2.9" || out.Subject["person"] != annID {
		t.Errorf("who signed out: %+v", out)
	}
}

// TestRefusalsAreTallied: a failed sign-in is told of with the account, where there is one of that name, and
// never with the name that was typed. What cannot be recorded gets no answer about passwords.
func TestRefusalsAreTallied(t *testing.T) {
	f := newFixture(t)
	tally := f.config.Tally.(*memoryTally)
	const typed = "my password by mistake"
	for _, c := range []Credentials{{Name: "ann", Password: "not the password, surely"}, {Name: typed, Password: goodPassword}, {Name: "ben", Password: goodPassword}} {
		c.Address = "192.0.2.7"
		if _, err := f.SignIn(t.Context(), c); !errors.Is(err, ErrCredentials) {
			t.Fatal(err)
		}
	}
	var whose []any
	for _, e := range tally.notes {
		for _, values := range []audit.Values{e.Operational, e.Actor, e.Subject} {
			for name, v := range values {
				if v == typed {
					t.Errorf("%s holds what was typed", name)
				}
			}
		}
		if e.Type != audit.SessionRefused || e.Operational["reason"] != "credentials" || e.Actor["address"] != "192.0.2.7" {
			t.Errorf("%+v", e)
		}
		whose = append(whose, e.Subject["person"])
	}
	if !slices.Equal(whose, []any{annID, nil, benID}) {
		t.Errorf("whose accounts: %v", whose)
	}
	tally.fails = errors.New("disk full")
	if _, err := f.SignIn(t.Context(), Credentials{Name: "ann", Password: "not the password, surely"}); !errors.Is(err, tally.fails) || errors.Is(err, ErrCredentials) {
		t.Errorf("a refusal that cannot be recorded: %v", err)
	}
}

// TestUnrecordedChangesNothing: without its event no session begins or ends.
func TestUnrecordedChangesNothing(t *testing.T) {
	f := newFixture(t)
	g := f.signIn(t)
	recorder := f.config.Audit.(*memoryRecorder)
	recorder.fails = errors.New("disk full")
	if _, err := f.SignIn(t.Context(), Credentials{Name: "ann", Password: goodPassword}); !errors.Is(err, recorder.fails) {
		t.Errorf("signing in: %v", err)
	}
	if err := f.SignOut(t.Context(), g.Principal, ""); !errors.Is(err, recorder.fails) {
		t.Errorf("signing out: %v", err)
	}
	if n := len(f.store.state.sessions); n != 1 {
		t.Errorf("%d sessions", n)
	}
	f.clock.turn(2 * time.Second)
	if _, err := f.Authenticate(t.Context(), g.AccessToken); err != nil {
		t.Errorf("the session that could not be ended: %v", err)
	}
}
