package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"stonevault/audit"
	"stonevault/identity"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// renewed rotates the identities that have begun to, to the end.
func (h *house) renewed() vault.Rotation {
	h.t.Helper()
	state, err := h.Rotate(ctx, vault.RotateIdentity, nil)
	if err != nil || state.Running {
		h.t.Fatalf("Rotate: %+v, %v", state, err)
	}
	return state
}

// fingerprintOf is that of a person's key in use.
func (h *house) fingerprintOf(a vault.Actor) identity.Fingerprint {
	h.t.Helper()
	p, err := h.Me(ctx, a)
	if err != nil {
		h.t.Fatal(err)
	}
	return p.Fingerprint
}

// seeds tells whether the seeds of a key are kept.
func (h *house) seeds(f identity.Fingerprint) (kept bool) {
	h.t.Helper()
	err := h.db.View(ctx, func(tx vault.Tx) error {
		row, err := tx.Identities().ByFingerprint(ctx, f)
		kept = len(row.WrappedSeeds) > 0
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return kept
}

// grantsTo counts the envelopes that have a grant to a key.
func (h *house) grantsTo(f identity.Fingerprint) (n int) {
	h.t.Helper()
	err := h.objects.Walk(ctx, func(name string, _ int64) error {
		if !strings.HasSuffix(name, ".env") {
			return nil
		}
		e, err := stone.ParseEnvelope(h.object(name))
		if err == nil && e.GrantTo(f) != nil {
			n++
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

func TestRotateIdentity(t *testing.T) {
	h := newHouse(t)
	root := h.admin("root")
	a, b := h.person("ada"), h.person("ben")
	group := h.group(root, "crew")
	for i := range 20 {
		h.put(a, fmt.Sprintf("/%d", i), fmt.Appendf(nil, "content %d", i))
	}
	h.put(a, "/0", []byte("again"))
	h.put(b, "/b", []byte("of ben"))
	up := h.begin(a, "/up", 10, stone.ClassNormal)
	old, other := h.fingerprintOf(a), h.fingerprintOf(b)
	if err := h.BeginPersonRotation(ctx, vault.Actor{}, "nobody"); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("of nobody: %v", err)
	}
	if err := h.BeginPersonRotation(ctx, vault.Actor{}, "Ada"); err != nil {
		t.Fatal(err)
	}
	now := h.fingerprintOf(a)
	if now == old || !h.seeds(old) {
		t.Error("she has no other key, or her old one cannot be read with")
	}
	h.mustGet(a, "/1", []byte("content 1")) // with the old key
	h.put(a, "/new", []byte("new"))
	if h.grantsTo(now) != 1 {
		t.Errorf("%d envelopes are for the new key", h.grantsTo(now))
	}
	moved, err := h.Stat(ctx, a, vault.Ref{Path: "/2"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Move(ctx, a, moved.Node.ID, vault.MoveRequest{Path: "/two"}); err != nil {
		t.Fatal(err)
	}
	if state := h.renewed(); state.Done != 20 || state.Total != 20 || state.Failed != 0 {
		t.Errorf("%+v", state)
	}
	if h.seeds(old) || h.grantsTo(old) != 0 {
		t.Errorf("the old key has seeds, or %d envelopes are for it", h.grantsTo(old))
	}
	h.reopen()
	h.mustGet(a, "/1", []byte("content 1"))
	h.mustGet(a, "/two", []byte("content 2"))
	if got, err := h.get(a, vault.Ref{Path: "/0", Version: 1}); err != nil || string(got) != "content 0" {
		t.Errorf("an earlier version: %q, %v", got, err)
	}
	if err := h.goOn(a, up.ID, []byte("0123456789")); err != nil {
		t.Errorf("an upload from before: %v", err)
	}
	if h.fingerprintOf(b) != other || h.grantsTo(other) != 1 {
		t.Error("somebody else has another key")
	}
	for event, want := range map[audit.Type]int{audit.KeyRotated: 2, audit.KeyDestroyed: 1, audit.KeyRetired: 1} {
		if got := h.recorded(event); len(got) != want || !strings.Contains(got[0], "ada") {
			t.Errorf("%s: recorded were %v", event, got)
		}
	}

	// All of them, the group and the vault too.
	if err := h.BeginGroupRotation(ctx, vault.Actor{}, "0123"); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("of no group: %v", err)
	}
	if err := errors.Join(h.BeginGroupRotation(ctx, vault.Actor{}, group), h.BeginOwnRotation(ctx, vault.Actor{}), h.BeginRotationOfAll(ctx, vault.Actor{})); err != nil {
		t.Fatal(err)
	}
	h.renewed()
	if h.seeds(now) || h.seeds(other) || h.grantsTo(now) != 0 || h.grantsTo(other) != 0 {
		t.Error("an old key is still there")
	}
	h.mustGet(a, "/1", []byte("content 1"))
	h.mustGet(a, "/up", []byte("0123456789"))
	h.mustGet(b, "/b", []byte("of ben"))
	err = h.db.View(ctx, func(tx vault.Tx) error {
		g, err := tx.Identities().OfGroup(ctx, group)
		if err != nil || g.Version < 2 {
			t.Errorf("the group's key has version %d", g.Version)
		}
		v, err := tx.Identities().Current(ctx, vault.KindVault, "")
		if err != nil || v.Version < 2 {
			t.Errorf("the vault's key has version %d, %v", v.Version, err)
		}
		left, err := tx.Identities().Outlived(ctx)
		if len(left) != 0 {
			t.Errorf("%d old keys are left", len(left))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRotateIdentityDamaged keeps the seeds that an envelope which does not verify may need.
func TestRotateIdentityDamaged(t *testing.T) {
	h := newHouse(t)
	a := h.person("ada")
	h.put(a, "/good", []byte("x"))
	bad := h.put(a, "/bad", []byte("y")).Version.FileID.String() + ".env"
	sound := h.object(bad)
	env := bytes.Clone(sound)
	env[100] ^= 1
	h.replaceBody(bad, env)
	old := h.fingerprintOf(a)
	if err := h.BeginPersonRotation(ctx, vault.Actor{}, "ada"); err != nil {
		t.Fatal(err)
	}
	if state := h.renewed(); state.Done != 1 || state.Failed != 1 || !h.seeds(old) {
		t.Errorf("%+v, seeds %v", state, h.seeds(old))
	}
	h.replaceBody(bad, sound) // restored from a backup
	h.mustGet(a, "/bad", []byte("y"))
	if err := h.BeginPersonRotation(ctx, vault.Actor{}, "ada"); err != nil {
		t.Fatal(err)
	}
	if state := h.renewed(); state.Failed != 0 || h.seeds(old) {
		t.Errorf("%+v, seeds %v", state, h.seeds(old))
	}
	h.mustGet(a, "/bad", []byte("y"))
}

// TestRotateIdentityBesides gives everybody other keys again and again while they put, move, read and hand over.
func TestRotateIdentityBesides(t *testing.T) {
	h := newHouse(t)
	people := []vault.Actor{h.person("ada"), h.person("ben"), h.person("cyd")}
	for i, a := range people {
		for n := range 15 {
			h.put(a, fmt.Sprintf("/%d", n), fmt.Appendf(nil, "%d", i))
		}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i, a := range people {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 7))
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				path := fmt.Sprintf("/%d", random.IntN(15))
				content := fmt.Appendf(nil, "%d of %d", n, i)
				_, _, err := h.Put(ctx, a, request(path, content))
				if err == nil {
					var got []byte
					if got, err = h.get(a, vault.Ref{Path: path}); err == nil && !bytes.Equal(got, content) {
						t.Errorf("%s is %q", path, got)
					}
				}
				if e, statErr := h.Stat(ctx, a, vault.Ref{Path: path}); err == nil && statErr == nil && n%3 == 0 {
					if _, err = h.Move(ctx, a, e.Node.ID, vault.MoveRequest{Path: "/moved"}); err == nil {
						_, err = h.Move(ctx, a, e.Node.ID, vault.MoveRequest{Path: path})
					}
				}
				if err != nil {
					t.Errorf("beside the rotation: %v", err)
				}
			}
		})
	}
	for range 3 {
		if err := h.BeginRotationOfAll(ctx, vault.Actor{}); err != nil {
			t.Fatal(err)
		}
		for state := (vault.Rotation{Running: true}); state.Running; {
			var err error
			if state, err = h.Rotate(ctx, vault.RotateIdentity, nil); err != nil || state.Failed > 0 {
				t.Fatalf("%+v, %v", state, err)
			}
		}
	}
	close(stop)
	wg.Wait()
	h.reopen()
	for i, a := range people {
		if n := h.grantsTo(h.fingerprintOf(a)); n < 15 {
			t.Errorf("person %d: %d envelopes are for the key in use", i, n)
		}
		page, err := h.List(ctx, a, vault.ListRequest{Folder: "/", Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			if report, err := h.Verify(ctx, a, vault.Ref{Node: e.Node.ID}); err != nil || !report.OK {
				t.Errorf("%s: %+v, %v", e.Path, report, err)
			}
		}
	}
}

// TestRotateIdentityFaults lets every step that writes fail in turn, both ways, and goes on.
func TestRotateIdentityFaults(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			f := &faults{at: at, after: after}
			h := newHouse(t)
			a := h.person("ada")
			for i := range 3 {
				h.put(a, "/a", []byte{byte(i)})
			}
			h.put(a, "/b", []byte("b"))
			old := h.fingerprintOf(a)
			sound := h.config
			h.config.Database, h.config.Objects = faultyDatabase{h.db, f}, faultyObjects{h.objects, f}
			reopenUncounted(h, f)
			err := h.BeginPersonRotation(ctx, vault.Actor{}, "ada")
			if err == nil {
				_, err = h.Rotate(ctx, vault.RotateIdentity, nil)
			}
			ended := f.count() < at
			if ended && err != nil {
				t.Errorf("without a fault: %v", err)
			}
			h.config = sound
			h.reopen()
			if h.fingerprintOf(a) == old {
				if err := h.BeginPersonRotation(ctx, vault.Actor{}, "ada"); err != nil {
					t.Fatal(err)
				}
			}
			h.renewed()
			if _, err := h.Collect(ctx); err != nil {
				t.Fatal(err)
			}
			if h.seeds(old) || h.grantsTo(old) != 0 {
				t.Errorf("step %d: the old key has seeds, or %d envelopes are for it", at, h.grantsTo(old))
			}
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
