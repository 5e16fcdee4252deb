package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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

func (s *scene) ownersSession() string {
	id := decode[api.Profile](s.t, s.do("owner", "GET", "/api/v1/me", nil)).ID
	return s.quantumSession(id, s.guest().id)
}

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
	byAll("GET /api/v1/quantum/rates", "", quantumTarget("rates?source=single"), ok(200), simulated),
	byAll("GET /api/v1/quantum/rates", "no source", quantumTarget("rates?source=sun"), no("invalid"), nil),
	byAll("POST /api/v1/quantum/laboratory", "", quantumBody("laboratory", `{"distance_km":10,"eve":1,"pulses":1000000,"seed":"a"}`), ok(200),
		func(t *testing.T, s *scene, a *answer) {
			simulated(t, s, a)
			if r := decode[bb84.Result](t, a); !r.Aborted || len(r.First) == 0 || r.First[0].AliceBit == nil {
				t.Errorf("%.300s", a.body)
			}
		}),
	byAll("POST /api/v1/quantum/laboratory", "too many pulses", quantumBody("laboratory", `{"distance_km":10,"pulses":10000000000}`), no("invalid"), nil),
	byAll("POST /api/v1/quantum/laboratory", "an unknown attack", quantumBody("laboratory", `{"distance_km":10,"attack":"x"}`), no("invalid"), nil),
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
