package bb84

import (
	"context"
	"testing"
	"time"
)

func simulate(t testing.TB, s Setup, seed string) *Session {
	t.Helper()
	session, err := Simulate(context.Background(), s, Seeded(Seed(seed)), Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func TestX(t *testing.T) {
	for _, p := range Presets() {
		then := time.Now()
		s := simulate(t, setup(t, p.Name, func(s *Setup) { s.Pulses /= 4 }), "x")
		for _, st := range s.Result.Steps {
			t.Log(p.Name, st)
		}
		r := s.Result
		t.Log(s.Result.Setup.Protocol)
		t.Log(time.Since(then), r.Reason, r.Detected, r.SecretBits, r.QBER, r.QBERLow, r.QBERHigh, r.FEC)
	}
}
