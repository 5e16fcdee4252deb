package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"stonevault/api"
	"stonevault/internal/quantum"
	"stonevault/qkd/bb84"
	"stonevault/qkd/kme"
)

// quantumSession keeps a session of two people that ended with nothing.
func (w *world) quantumSession(master, slave string) string {
	w.t.Helper()
	s := quantum.Session{ID: fmt.Sprintf("%032x", guests.Add(1)), Master: quantum.Person{ID: master}, Slave: quantum.Person{ID: slave}, State: quantum.Failed,
		StartedAt: w.now(), EndedAt: w.now()}
	if err := w.db.UpdateQuantum(context.Background(), func(tx quantum.Tx) error { return tx.InsertSession(context.Background(), s) }); err != nil {
		w.t.Fatal(err)
	}
	return s.ID
}

// byAll is what everybody may who is signed in.
func byAll(route, name string, request func(*scene) (string, any, []string), all want, check func(*testing.T, *scene, *answer)) scenario {
	return scenario{route, name, request, no("unauthenticated"), all, all, all, all, check}
}

// byAdmin is what admins alone may about an eavesdropper.
func byAdmin(method, name string, pair func(*scene) string, body string, admin want) scenario {
	return scenario{method + " /api/v1/quantum/eavesdroppers/{person}/and/{other}", name, func(s *scene) (string, any, []string) {
		target := "/api/v1/quantum/eavesdroppers/" + pair(s)
		if body == "" {
			return target, nil, nil
		}
		return target, body, jsonBody
	}, no("unauthenticated"), no("forbidden"), no("forbidden"), admin, no("forbidden"), nil}
}

// simulated wants a reply to say what it is.
func simulated(t *testing.T, _ *scene, a *answer) {
	if !bytes.Contains(a.body, []byte(`"mode":"simulated"`)) {
		t.Errorf("it does not say that it is simulated: %.300s", a.body)
	}
}

// quantumTarget is a request without a body.
func quantumTarget(path string) func(*scene) (string, any, []string) {
	return func(*scene) (string, any, []string) { return "/api/v1/quantum/" + path, nil, nil }
}

// quantumBody is one with a body.
func quantumBody(path, body string) func(*scene) (string, any, []string) {
	return func(*scene) (string, any, []string) { return "/api/v1/quantum/" + path, body, jsonBody }
}

// idOf is the id of somebody.
func (w *world) idOf(name string) string {
	w.t.Helper()
	return decode[api.Profile](w.t, w.do(name, "GET", "/api/v1/me", nil)).ID
}

func (s *scene) ownersSession() string { return s.quantumSession(s.idOf("owner"), s.guest().id) }

var quantumScenarios = []scenario{
	byAll("GET /api/v1/quantum/sessions", "", quantumTarget("sessions?limit=5"), ok(200), simulated),
	byAll("GET /api/v1/quantum/sessions", "a wrong cursor", quantumTarget("sessions?cursor=x"), no("invalid"), nil),
	byAll("GET /api/v1/quantum/sessions", "a cursor without a time", quantumTarget("sessions?cursor=x-"+noID), no("invalid"), nil),
	byAll("POST /api/v1/quantum/sessions", "nobody", quantumBody("sessions", `{"with":"nobody of this name"}`), no("not-found"), nil),
	byAll("POST /api/v1/quantum/sessions", "no name", quantumBody("sessions", `{}`), no("invalid"), nil),
	{"POST /api/v1/quantum/sessions", "oneself, as the stranger", quantumBody("sessions", `{"with":"Stranger"}`),
		no("unauthenticated"), no("invalid"), ok(201), ok(201), ok(201), func(t *testing.T, s *scene, a *answer) {
			made := decode[api.QuantumSession](t, a)
			if made.Mode != api.QuantumModeSimulated || made.State != "done" || made.From.Name != "owner" || made.To.Name != "stranger" ||
				!strings.HasSuffix(a.Header.Get("Location"), made.ID) {
				t.Errorf("%.300s", a.body)
			}
			var r bb84.Result
			if err := json.Unmarshal(made.Result, &r); err != nil || r.KeyBits == 0 || len(r.First) == 0 || len(r.Steps) == 0 {
				t.Errorf("%.300s: %v", a.body, err)
			}
		}},
	{"GET /api/v1/quantum/sessions/{id}", "of others", func(s *scene) (string, any, []string) {
		return "/api/v1/quantum/sessions/" + s.ownersSession(), nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), ok(200), ok(200), simulated},
	byAll("GET /api/v1/quantum/sessions/{id}", "none", quantumTarget("sessions/"+noID), no("not-found"), nil),
	byAll("GET /api/v1/quantum/sessions/{id}", "no id", quantumTarget("sessions/x"), no("not-found"), nil),
	byAll("GET /api/v1/quantum/pools", "", quantumTarget("pools"), ok(200), simulated),
	byAll("GET /api/v1/quantum/pools", "a wrong cursor", quantumTarget("pools?cursor=x-y"), no("invalid"), nil),
	byAll("GET /api/v1/quantum/pools", "a cursor of no text", quantumTarget("pools?cursor=%00-"+noID), no("invalid"), nil),
	byAll("GET /api/v1/quantum/sessions/{id}", "no text", quantumTarget("sessions/%00"), no("not-found"), nil),
	byAll("GET /api/v1/quantum/rates", "", quantumTarget("rates?source=single"), ok(200), simulated),
	byAll("GET /api/v1/quantum/rates", "no source", quantumTarget("rates?source=sun"), no("invalid"), nil),
	byAll("GET /api/v1/quantum/eavesdroppers", "", quantumTarget("eavesdroppers?limit=2"), ok(200), simulated),
	byAll("GET /api/v1/quantum/eavesdroppers", "a wrong cursor", quantumTarget("eavesdroppers?cursor=x-y"), no("invalid"), nil),
	byAll("GET /api/v1/quantum/eavesdroppers", "a cursor of no text", quantumTarget("eavesdroppers?cursor=%00-"+noID), no("invalid"), nil),
	byAdmin("PUT", "", func(s *scene) string { return s.idOf("owner") + "/and/" + s.guest().id }, `{"attack":"intercept","share":0.25}`, ok(204)),
	byAdmin("PUT", "oneself", func(*scene) string { return "me/and/me" }, `{"attack":"intercept","share":1}`, no("invalid")),
	byAdmin("PUT", "nobody", func(*scene) string { return "me/and/" + noID }, `{"attack":"intercept","share":1}`, no("not-found")),
	byAdmin("PUT", "no id", func(*scene) string { return "me/and/x" }, `{"attack":"intercept","share":1}`, no("not-found")),
	byAdmin("PUT", "no text", func(*scene) string { return "me/and/%00" }, `{"attack":"intercept","share":1}`, no("not-found")),
	byAdmin("PUT", "no attack", func(s *scene) string { return "me/and/" + s.guest().id }, `{"share":1}`, no("invalid")),
	byAdmin("PUT", "no such attack", func(s *scene) string { return "me/and/" + s.guest().id }, `{"attack":"laser","share":1}`, no("invalid")),
	byAdmin("PUT", "nothing of the pulses", func(s *scene) string { return "me/and/" + s.guest().id }, `{"attack":"pns","share":0}`, no("invalid")),
	byAdmin("PUT", "more than the pulses", func(s *scene) string { return "me/and/" + s.guest().id }, `{"attack":"pns","share":1.000001}`, no("invalid")),
	byAdmin("DELETE", "", func(s *scene) string {
		pair := s.idOf("owner") + "/and/" + s.guest().id
		s.do("admin", "PUT", "/api/v1/quantum/eavesdroppers/"+pair, `{"attack":"intercept","share":0.25}`, jsonBody...)
		return pair
	}, "", ok(204)),
	byAdmin("DELETE", "none", func(s *scene) string { return "me/and/" + s.guest().id }, "", no("not-found")),
	byAll("POST /api/v1/quantum/laboratory", "", quantumBody("laboratory", `{"distance_km":10,"eve":1,"pulses":1000000,"seed":"a"}`), ok(200),
		func(t *testing.T, s *scene, a *answer) {
			simulated(t, s, a)
			if r := decode[bb84.Result](t, a); !r.Aborted || len(r.First) == 0 || r.First[0].AliceBit == nil {
				t.Errorf("%.300s", a.body)
			}
		}),
	byAll("POST /api/v1/quantum/laboratory", "too many pulses", quantumBody("laboratory", `{"distance_km":10,"pulses":10000000000}`), no("invalid"), nil),
	byAll("POST /api/v1/quantum/laboratory", "an unknown attack", quantumBody("laboratory", `{"distance_km":10,"attack":"x"}`), no("invalid"), nil),
	byAll("POST /api/v1/quantum/laboratory", "an unknown preset", quantumBody("laboratory", `{"preset":"moon"}`), no("invalid"), nil),
}

// TestEavesdropper puts her between two people, where each session ends with nothing whoever asks for it, and takes her away.
func TestEavesdropper(t *testing.T) {
	w := newWorld(t)
	owner, stranger := w.idOf("owner"), w.idOf("stranger")
	const at = "/api/v1/quantum/eavesdroppers"
	pair := at + "/" + stranger + "/and/" + owner
	session := func(who, with string) (s api.QuantumSession, r bb84.Result) {
		t.Helper()
		s = decode[api.QuantumSession](t, w.do(who, "POST", "/api/v1/quantum/sessions", `{"with":"`+with+`"}`, jsonBody...))
		if err := json.Unmarshal(s.Result, &r); err != nil || s.Mode != api.QuantumModeSimulated {
			t.Fatal(err)
		}
		return s, r
	}
	put := func(body string) {
		t.Helper()
		if a := w.do("admin", "PUT", pair, body, jsonBody...); a.StatusCode != 204 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
	}
	for _, body := range []string{`{"attack":"intercept","share":0.5}`, `{"attack":"intercept","share":1}`, `{"attack":"intercept","share":1}`} {
		put(body)
	}
	for _, who := range [][2]string{{"owner", "stranger"}, {"stranger", "owner"}} {
		s, r := session(who[0], who[1])
		if s.State != "aborted" || r.Reason != bb84.TooManyErrors || math.Abs(r.QBER-0.262) > 0.005 || // e + (1 − 2e)/4
			r.KeyBits != 0 || r.Setup.Eve.Attack != bb84.Intercept || r.Setup.Eve.Fraction != 1 {
			t.Errorf("%s: %s, %.300s", who, s.State, s.Result)
		}
	}
	s, undisturbed := session("owner", "manager")
	if s.State != "done" || undisturbed.Eve != nil {
		t.Errorf("somebody else: %s, %+v", s.State, undisturbed.Eve)
	}
	// Over 10 km most pulses of one photon pass, and the key is made of those.
	put(`{"attack":"pns","share":1}`)
	if s, r := session("owner", "stranger"); s.State != "done" || r.Eve == nil || r.Eve.Certain == 0 || r.Errors > undisturbed.Errors*11/10 {
		t.Errorf("where pulses are split: %s, %d errors, and %d without; %+v", s.State, r.Errors, undisturbed.Errors, r.Eve)
	}
	for who, want := range map[string]int{"owner": 1, "stranger": 1, "manager": 0, "admin": 1} {
		list := decode[api.QuantumEavesdropperList](t, w.do(who, "GET", at, nil)).Items
		if len(list) != want || want == 1 && (list[0].Attack != "pns" || list[0].Share != 1 || list[0].By.Name != "admin" || list[0].Person.ID != min(owner, stranger)) {
			t.Errorf("%s sees %+v", who, list)
		}
	}
	if a := w.do("admin", "DELETE", at+"/"+owner+"/and/"+stranger, nil); a.StatusCode != 204 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if s, r := session("owner", "stranger"); s.State != "done" || r.KeyBits == 0 {
		t.Errorf("once she is gone: %s", s.State)
	}
	// Each of the two sees the sessions, and others do not.
	for who, want := range map[string]int{"owner": 5, "stranger": 4, "manager": 1, "admin": 5} {
		if n := len(w.events(who, "type=quantum.session")); n != want {
			t.Errorf("%s sees %d sessions in the audit log, want %d", who, n, want)
		}
	}
	// Each of the two sees what was done, and what did nothing is no event.
	for _, who := range []string{"owner", "stranger"} {
		var said []string
		for _, e := range w.events(who, "type=quantum.eavesdropper") {
			if e.Actor["name"] != "admin" || e.Subject["name"] != who {
				t.Errorf("%s: %+v", who, e)
			}
			said = append(said, fmt.Sprint(e.Operational["what"], " ", e.Operational["attack"], " ", e.Operational["share"]))
		}
		if want := []string{"on intercept 500000", "changed intercept 1e+06", "changed pns 1e+06", "off pns 1e+06"}; !slices.Equal(said, want) {
			slices.Reverse(said)
			if !slices.Equal(said, want) {
				t.Errorf("%s: %q", who, said)
			}
		}
	}
}

// TestEavesdropperLists pages through them.
func TestEavesdropperLists(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		if a := w.do("admin", "PUT", "/api/v1/quantum/eavesdroppers/"+w.guest().id+"/and/me", `{"attack":"breidbart","share":0.001}`, jsonBody...); a.StatusCode != 204 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
	}
	seen := map[string]bool{}
	for next := "/api/v1/quantum/eavesdroppers?limit=2"; next != ""; {
		page := decode[api.QuantumEavesdropperList](t, w.do("admin", "GET", next, nil))
		for _, e := range page.Items {
			seen[e.Person.ID+e.Other.ID] = e.Share == 0.001
		}
		if next = ""; page.NextCursor != "" {
			next = "/api/v1/quantum/eavesdroppers?limit=2&cursor=" + page.NextCursor
		}
	}
	if len(seen) != 3 {
		t.Errorf("%v", seen)
	}
}

// TestQuantumLists pages through sessions and pools, each person seeing his own.
func TestQuantumLists(t *testing.T) {
	w := newWorld(t)
	id := map[string]string{}
	for name := range people {
		id[name] = decode[api.Profile](t, w.do(name, "GET", "/api/v1/me", nil)).ID
	}
	for range 3 {
		w.quantumSession(id["owner"], id["stranger"])
	}
	w.quantumSession(id["manager"], id["admin"])
	if err := w.db.UpdateQuantumKeys(t.Context(), func(tx kme.Tx) error {
		for i, p := range []kme.Pair{{Master: id["owner"], Slave: id["stranger"]}, {Master: id["stranger"], Slave: id["owner"]}, {Master: id["manager"], Slave: id["admin"]}} {
			if err := tx.InsertPooled(t.Context(), kme.Pooled{ID: [16]byte{byte(i)}, Pair: p, Sealed: []byte{1}, MadeAt: w.now()}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for who, want := range map[string][2]int{"owner": {3, 2}, "stranger": {3, 2}, "manager": {1, 1}, "admin": {4, 3}} {
		sessions, pools := map[string]bool{}, map[string]bool{}
		for next := "/api/v1/quantum/sessions?limit=2"; next != ""; {
			page := decode[api.QuantumSessionList](t, w.do(who, "GET", next, nil))
			for _, s := range page.Items {
				sessions[s.ID] = true
			}
			if next = ""; page.NextCursor != "" {
				next = "/api/v1/quantum/sessions?limit=2&cursor=" + page.NextCursor
			}
		}
		for next := "/api/v1/quantum/pools?limit=1"; next != ""; {
			page := decode[api.QuantumPoolList](t, w.do(who, "GET", next, nil))
			for _, p := range page.Items {
				pools[p.From.Name+p.To.Name] = p.Keys == 1
			}
			if next = ""; page.NextCursor != "" {
				next = "/api/v1/quantum/pools?limit=1&cursor=" + page.NextCursor
			}
		}
		if len(sessions) != want[0] || len(pools) != want[1] {
			t.Errorf("%s sees %d sessions and %d pools, want %v", who, len(sessions), len(pools), want)
		}
	}
}
