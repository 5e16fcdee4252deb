package auditlog_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/auditlog"
)

func refusal(address, name string) audit.Event {
	return audit.Event{Type: audit.SessionRefused, Operational: audit.Values{"reason": "credentials"},
		Actor:   auditlog.Actor{Address: address, Client: "curl"}.Values(),
		Subject: audit.Values{"person": person(1), "name": name}}
}

// TestTally: of a flood from one network the first is recorded at once and the others by one event a minute;
// other networks and kinds have their own.
func TestTally(t *testing.T) {
	h := newHouse(t)
	now := start
	h.Now = func() time.Time { return now }
	h.parts(t)
	tally := auditlog.NewTally(h.recorder)
	h.account(t, 1, "ann")
	note := func(what string, e audit.Event) {
		t.Helper()
		if err := tally.Note(t.Context(), what, e); err != nil {
			t.Fatal(err)
		}
	}
	flush := func(all bool) {
		t.Helper()
		if err := tally.Flush(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	counts := func() (all []int64) {
		t.Helper()
		for _, e := range h.list(t, auditlog.Query{Limit: 100, Type: func(t audit.Type) bool { return t == audit.SessionRefused }}, auditlog.ViewAll) {
			all = append(all, e.Event.Operational["count"].(int64))
		}
		return all
	}
	want := func(what string, want ...int64) {
		t.Helper()
		got := counts()
		if len(got) != len(want) {
			t.Fatalf("%s: counts %v, want %v, the newest first", what, got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%s: counts %v, want %v, the newest first", what, got, want)
			}
		}
	}
	for range 50 {
		note("credentials", refusal("192.0.2.7", "ann"))
	}
	want("a flood", 1)
	note("credentials", refusal("192.0.2.250", "ben")) // the same network, another account
	note("credentials", refusal("198.51.100.1", "ann"))
	note("limit", refusal("192.0.2.7", "ann"))
	note("credentials", refusal("2001:db8:1:2::1", "ann"))
	note("credentials", refusal("2001:db8:1:ff::9", "ann"))
	want("other networks and kinds", 1, 1, 1, 1)
	flush(false)
	want("within the minute", 1, 1, 1, 1)
	now = now.Add(time.Minute)
	flush(false)
	if got := counts(); len(got) != 6 || got[0]+got[1] != 51 {
		t.Fatalf("after a minute: %v", got)
	}
	flooded := h.list(t, auditlog.Query{Limit: 2}, auditlog.ViewAll)
	for _, e := range flooded {
		if e.Event.Operational["count"].(int64) == 50 {
			if e.Event.Subject != nil || e.Event.Actor["address"] != "" || e.Event.Actor["client"] != "curl" || e.Event.Operational["since"] != start.UnixMilli() {
				t.Errorf("what 50 refusals of two accounts have in common: %+v", e.Event)
			}
		}
	}
	note("credentials", refusal("192.0.2.7", "ann"))
	note("credentials", refusal("192.0.2.7", "ann"))
	flush(true)
	if got := counts(); len(got) != 7 || got[0] != 2 {
		t.Errorf("at the end: %v", got)
	}
	if e := h.list(t, auditlog.Query{Limit: 1}, auditlog.ViewAll)[0]; e.Event.Subject["name"] != "ann" || e.Event.Actor["address"] != "192.0.2.7" {
		t.Errorf("two of one account: %+v", e.Event)
	}
	now = now.Add(2 * time.Minute)
	flush(false)
	flush(false)
	note("credentials", refusal("192.0.2.7", "ann"))
	if got := counts(); len(got) != 8 || got[0] != 1 {
		t.Errorf("after a pause: %v", got)
	}
}

// TestTallyFails: what cannot be written is an error, and is counted on until it can.
func TestTallyFails(t *testing.T) {
	h := newHouse(t)
	f := &faults{at: 1}
	h.faulty(t, f)
	tally := auditlog.NewTally(h.recorder)
	if err := tally.Note(t.Context(), "credentials", refusal("192.0.2.7", "ann")); !errors.Is(err, errInjected) {
		t.Errorf("the first: %v", err)
	}
	for range 2 {
		if err := tally.Note(t.Context(), "credentials", refusal("192.0.2.7", "ann")); err != nil {
			t.Fatal(err)
		}
	}
	f.at = f.step + 1
	if err := tally.Flush(t.Context(), true); !errors.Is(err, errInjected) {
		t.Errorf("flushing: %v", err)
	}
	if err := tally.Flush(t.Context(), true); err != nil {
		t.Error(err)
	}
	h.repaired(t)
	if list := h.list(t, auditlog.Query{Limit: 10}, auditlog.ViewAll); len(list) != 2 || list[0].Event.Operational["count"] != int64(3) {
		t.Errorf("%d events, the last %+v", len(list), list[0].Event)
	}
}

// account records that person n has an account, as all have had whom an event is about.
func (h *house) account(t testing.TB, n int, name string) {
	t.Helper()
	h.record(t, audit.Event{Type: audit.AccountCreated, Time: start, Operational: audit.Values{"role": "user", "by": "command"},
		Subject: audit.Values{"person": person(n), "name": name}})
}

// TestTallyAfterErasure: a refusal of a request that began before its person was erased brings nothing back.
func TestTallyAfterErasure(t *testing.T) {
	h := newHouse(t)
	h.account(t, 1, "ann")
	if _, err := h.erase(t, person(1), nil); err != nil {
		t.Fatal(err)
	}
	if err := auditlog.NewTally(h.recorder).Note(t.Context(), "credentials", refusal("192.0.2.7", "ann")); err != nil {
		t.Fatal(err)
	}
	h.view(t, func(ctx context.Context, store auditlog.Store) error {
		keys, err := store.KeysOf(ctx, person(1))
		if len(keys) > 0 {
			t.Error("an erased person has a key again")
		}
		return err
	})
	if e := h.list(t, auditlog.Query{Limit: 1}, auditlog.ViewAll)[0]; e.Event.Type != audit.SessionRefused || e.Event.Subject != nil {
		t.Errorf("what is left of the refusal: %+v", e.Event)
	}
}
