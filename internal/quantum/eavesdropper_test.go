package quantum

import (
	"crypto/rand"
	"errors"
	"math"
	"slices"
	"testing"

	"stonevault/internal/access"
	"stonevault/internal/auditlog"
	"stonevault/qkd/bb84"
	"stonevault/qkd/kme"
)

var root = Asker{auditlog.Actor{Person: "root"}, access.Admin}

// TestEavesdrop has an admin put her between two people, whose sessions end with nothing in both directions, and take her away.
func TestEavesdrop(t *testing.T) {
	s, m := newService(t, rand.Reader)
	ctx := t.Context()
	for _, share := range []float64{0.5, 1, 1} {
		if err := s.Eavesdrop(ctx, root, [2]string{"bob", "ann"}, bb84.Intercept, share); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []kme.Pair{{Master: "ann", Slave: "bob"}, {Master: "bob", Slave: "ann"}} {
		var aborted *kme.Aborted
		if keys, _, err := s.Make(ctx, p, 1); !errors.As(err, &aborted) || keys != nil {
			t.Errorf("%v: %d keys, %v", p, len(keys), err)
		}
	}
	if keys, _, err := s.Make(ctx, kme.Pair{Master: "ann", Slave: "dora"}, 1); err != nil || len(keys) == 0 {
		t.Errorf("with somebody else: %v", err)
	}
	if err := s.StopEavesdropping(ctx, root, [2]string{"ann", "bob"}); err != nil {
		t.Fatal(err)
	}
	if err := s.StopEavesdropping(ctx, root, [2]string{"ann", "bob"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("she is gone already: %v", err)
	}
	if keys, _, err := s.Make(ctx, pair, 1); err != nil || len(keys) == 0 {
		t.Errorf("once she is gone: %v", err)
	}
	var want []string
	for _, said := range []string{"share=500000 what=on", "share=1000000 what=changed", "share=1000000 what=off"} {
		want = append(want, "quantum.eavesdropper attack=intercept "+said+"; person=root; name=name of ann person=ann;",
			"quantum.eavesdropper attack=intercept "+said+"; person=root; name=name of bob person=bob;")
	}
	if got := m.log.of("quantum.eavesdropper"); !slices.Equal(got, want) {
		t.Errorf("recorded: %q", got)
	}
}

func TestEavesdropRefused(t *testing.T) {
	s, m := newService(t, rand.Reader)
	pair := [2]string{"ann", "bob"}
	for field, wrong := range map[string]func() error{
		"other":  func() error { return s.Eavesdrop(t.Context(), root, [2]string{"ann", "ann"}, bb84.Intercept, 1) },
		"attack": func() error { return s.Eavesdrop(t.Context(), root, pair, bb84.NoAttack, 1) },
		"share":  func() error { return s.Eavesdrop(t.Context(), root, pair, bb84.Intercept, math.NaN()) },
	} {
		var invalid *InvalidError
		if err := wrong(); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, share := range []float64{0, -1, 1e-7, 1.0001, math.Inf(1)} {
		if err := s.Eavesdrop(t.Context(), root, pair, bb84.Intercept, share); err == nil {
			t.Errorf("a share of %v is taken", share)
		}
	}
	if err := s.Eavesdrop(t.Context(), root, [2]string{"ann", "carol"}, bb84.Intercept, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("with nobody: %v", err)
	}
	for _, role := range []access.Role{access.User, access.Manager, ""} {
		by := Asker{auditlog.Actor{Person: "ann"}, role}
		if err := s.Eavesdrop(t.Context(), by, pair, bb84.Intercept, 1); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v", role, err)
		}
		if err := s.StopEavesdropping(t.Context(), by, pair); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v", role, err)
		}
	}
	// Single photons leave nothing to split.
	s.setup.Protocol.Source = bb84.Single
	if err := s.Eavesdrop(t.Context(), root, pair, bb84.Splitting, 1); err == nil {
		t.Error("single photons are split")
	}
	if m.eve != nil || len(m.log.said) > 0 {
		t.Errorf("%+v, %q", m.eve, m.log.said)
	}
}
