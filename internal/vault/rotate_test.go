package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// beginRotation makes the next recovery identity of the house's vault.
func (h *house) beginRotation() *identity.Identity {
	h.t.Helper()
	next, err := h.NewRecovery()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.BeginRotation(ctx, vault.Actor{}, next); err != nil {
		h.t.Fatal(err)
	}
	return next.Secret
}

// rotate runs a rotation to its end.
func (h *house) rotate() vault.Rotation {
	h.t.Helper()
	state, err := h.Rotate(ctx, vault.RotateRecovery, nil)
	if err != nil || state.Running {
		h.t.Fatalf("Rotate: %+v, %v", state, err)
	}
	return state
}

// checkGrants wants every envelope to be for two, of whom one is the recovery identity.
func (h *house) checkGrants(recovery *identity.Identity) {
	h.t.Helper()
	err := h.objects.Walk(ctx, func(name string, _ int64) error {
		if !strings.HasSuffix(name, ".env") {
			return nil
		}
		e, err := stone.ParseEnvelope(h.object(name))
		if err != nil {
			return err
		}
		if len(e.Grants) != 2 || e.GrantTo(recovery.Public().Fingerprint()) == nil {
			h.t.Errorf("%s, revision %d, is for others", name, e.Revision)
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestRotate(t *testing.T) {
	l := newLost(t, 2)
	l.fill(100)
	if err := l.ConfirmRecovery(ctx, vault.Actor{}, l.secret); err != nil {
		t.Fatal(err)
	}
	if state, err := l.Rotate(ctx, vault.RotateRecovery, nil); err != nil || state != (vault.Rotation{}) {
		t.Errorf("without a rotation: %+v, %v", state, err)
	}
	// An earlier version keeps its name, and a file states where it lies now, also if folders were renamed.
	a := l.people[0]
	l.keep(a, "/early", []byte("1"), "")
	l.keep(a, "/early", []byte("2"), "")
	l.move(a, "/early", "/sub/late")
	l.move(a, "/sub", "/below")
	delete(l.want, key(a, "/below"))
	l.want[key(a, "/below/late")] = l.want[key(a, "/sub/late")]
	delete(l.want, key(a, "/sub/late"))

	next := l.beginRotation()
	if _, confirmed, err := l.RecoveryState(ctx); err != nil || confirmed {
		t.Errorf("the new sheet is confirmed already: %v", err)
	}
	again, err := l.NewRecovery()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.BeginRotation(ctx, vault.Actor{}, again); !errors.Is(err, vault.ErrRotating) {
		t.Errorf("another one meanwhile: %v, want ErrRotating", err)
	}
	state := l.rotate()
	if n := l.objectCount() / 2; state.Total != n || state.Done != n || state.Failed != 0 {
		t.Errorf("%+v of %d envelopes", state, n)
	}
	l.checkGrants(next)
	l.check(l.house)
	if err := l.ConfirmRecovery(ctx, vault.Actor{}, l.secret); !errors.Is(err, vault.ErrWrongRecovery) {
		t.Errorf("the old sheet: %v, want ErrWrongRecovery", err)
	}
	if err := l.ConfirmRecovery(ctx, vault.Actor{}, next); err != nil {
		t.Errorf("the new sheet: %v", err)
	}
	before := state
	if state := l.rotate(); state != before {
		t.Errorf("once more: %+v", state)
	}
	x := l.beginRotation() // a second one
	l.rotate()
	l.checkGrants(x)
	l.db.Close()

	var none *vault.RootsError
	if _, err := l.survey().Trust(nil); !errors.As(err, &none) || len(none.Found) != 0 {
		t.Errorf("the old sheet recovers something: %v", err)
	}
	l.secret = x
	s := l.survey()
	root, err := s.Trust(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := newPlace(t)
	rebuild(h, s, root)
	if len(s.Refused()) != 0 {
		t.Errorf("refused are %v", s.Refused())
	}
	l.check(h)
	// A recovered vault rotates like any other.
	last := h.beginRotation()
	h.rotate()
	h.checkGrants(last)
	l.check(h)
}

// TestRotateDamaged goes on past envelopes that do not verify.
func TestRotateDamaged(t *testing.T) {
	h := newHouse(t)
	a := h.person("ada")
	good, bad := h.put(a, "/good", []byte("x")), h.put(a, "/bad", []byte("y"))
	name := bad.Version.FileID.String() + ".env"
	env := h.object(name)
	env[100] ^= 1
	h.replaceBody(name, env)
	other := h.put(a, "/swapped", []byte("z"))
	h.replaceBody(other.Version.FileID.String()+".env", h.object(good.Version.FileID.String()+".env"))
	next := h.beginRotation()
	if state := h.rotate(); state.Done != 1 || state.Failed != 2 || state.Total != 3 {
		t.Errorf("%+v", state)
	}
	if !bytes.Equal(h.object(name), env) {
		t.Error("what does not verify was changed")
	}
	e, err := stone.ParseEnvelope(h.object(good.Version.FileID.String() + ".env"))
	if err != nil || e.GrantTo(next.Public().Fingerprint()) == nil || e.Revision != 2 {
		t.Errorf("the good one: %v", err)
	}
}

// TestRotateBesides rotates while people put, replace, move and delete.
func TestRotateBesides(t *testing.T) {
	h := newHouse(t)
	a := h.person("ada")
	content := func(i int) []byte { return fmt.Appendf(nil, "content %d", i) }
	for i := range 60 {
		h.put(a, fmt.Sprintf("/%d", i), content(i))
	}
	// An upload that was on its way when the rotation began, and ends after it.
	body := &pausedReader{content: []byte("late"), reached: make(chan struct{}), goOn: make(chan struct{})}
	late := make(chan error, 1)
	go func() {
		_, _, err := h.Put(ctx, a, vault.PutRequest{Path: "/late", Body: body, Size: -1, Mode: 0o600})
		late <- err
	}()
	<-body.reached

	stop := make(chan struct{})
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 3))
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				path := fmt.Sprintf("/%d", 20*n+random.IntN(20))
				e, err := h.Stat(ctx, a, vault.Ref{Path: path})
				switch {
				case errors.Is(err, vault.ErrNotFound) || random.IntN(4) == 0:
					_, _, err = h.Put(ctx, a, request(path, content(i)))
				case random.IntN(3) == 0:
					err = h.Delete(ctx, a, e.Node.ID, "")
				case err == nil:
					if _, err = h.Move(ctx, a, e.Node.ID, vault.MoveRequest{Path: fmt.Sprintf("/moved/%d/%d", n, i)}); err == nil {
						_, err = h.Move(ctx, a, e.Node.ID, vault.MoveRequest{Path: path})
					}
				}
				if err != nil && !errors.Is(err, vault.ErrConflict) {
					t.Errorf("beside the rotation: %v", err)
				}
				if _, err := h.Collect(ctx); err != nil {
					t.Errorf("Collect: %v", err)
				}
			}
		})
	}
	var next *identity.Identity
	for range 3 {
		next = h.beginRotation()
		h.tick(time.Second)
		h.rotate()
	}
	close(stop)
	wg.Wait()
	close(body.goOn)
	if err := <-late; err != nil {
		t.Fatal(err)
	}
	h.mustGet(a, "/late", []byte("late"))
	if _, err := h.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	h.checkGrants(next)
	page, err := h.List(ctx, a, vault.ListRequest{Folder: "/", Limit: 1000, Filter: vault.ListFilter{Kind: vault.NodeFile}})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Items {
		if report, err := h.Verify(ctx, a, vault.Ref{Node: e.Node.ID}); err != nil || !report.OK {
			t.Errorf("%s: %+v, %v", e.Path, report, err)
		}
	}
}

// TestRotateFaults lets every step that writes fail in turn, both ways, and goes on.
func TestRotateFaults(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			f := &faults{at: at, after: after}
			h := newHouse(t)
			a := h.person("ada")
			for i := range 3 {
				h.put(a, "/a", []byte{byte(i)})
			}
			h.put(a, "/b", []byte("b"))
			next := h.beginRotation()
			sound := h.config
			h.config.Database, h.config.Objects = faultyDatabase{h.db, f}, faultyObjects{h.objects, f}
			reopenUncounted(h, f)
			state, err := h.Rotate(ctx, vault.RotateRecovery, nil)
			ended := f.count() < at
			if ended && (err != nil || state.Running) {
				t.Errorf("Rotate: %+v, %v", state, err)
			}
			h.config = sound
			h.reopen()
			if now, stateErr := h.RotationState(ctx, vault.RotateRecovery); stateErr != nil || err != nil && !now.Running && !after {
				t.Errorf("step %d failed with %v, and the rotation counts as done: %+v, %v", at, err, now, stateErr)
			}
			h.rotate()
			if _, err := h.Collect(ctx); err != nil {
				t.Fatal(err)
			}
			h.checkGrants(next)
			for version := 1; version <= 3; version++ {
				if got, err := h.get(a, vault.Ref{Path: "/a", Version: version}); err != nil || !bytes.Equal(got, []byte{byte(version - 1)}) {
					t.Errorf("step %d: version %d: %q, %v", at, version, got, err)
				}
			}
			h.mustGet(a, "/b", []byte("b"))
			if ended {
				break
			}
		}
	}
}
