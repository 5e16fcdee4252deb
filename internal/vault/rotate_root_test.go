package vault_test

import (
	"bytes"
	"context"
	rand2 "crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"stonevault/audit"
	"stonevault/identity"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// deposed begins a change of roots, and returns the one that is to follow.
func (h *house) deposed(suite identity.Suite) *vault.NextRoot {
	h.t.Helper()
	next, err := h.NewRoot(ctx, suite)
	if err == nil {
		err = h.BeginRootRotation(ctx, vault.Actor{}, next)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return next
}

// rerooted rotates to the end.
func (h *house) rerooted() vault.Rotation {
	h.t.Helper()
	state, err := h.Rotate(ctx, vault.RotateRoot, nil)
	if err != nil || state.Running {
		h.t.Fatalf("Rotate: %+v, %v", state, err)
	}
	return state
}

// bodies has the digest of every body.
func (h *house) bodies() map[string][32]byte {
	h.t.Helper()
	all := make(map[string][32]byte)
	err := h.objects.Walk(ctx, func(name string, _ int64) error {
		if strings.HasSuffix(name, ".body") {
			all[name] = sha256.Sum256(h.object(name))
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// underRoot wants every envelope to be of a suite, certified by a root, and to have a grant that the secret opens.
func (h *house) underRoot(root identity.Fingerprint, suite identity.Suite, recovery *identity.Identity) {
	h.t.Helper()
	err := h.objects.Walk(ctx, func(name string, _ int64) error {
		if !strings.HasSuffix(name, ".env") {
			return nil
		}
		e, err := stone.ParseEnvelope(h.object(name))
		if err != nil {
			return err
		}
		if e.Suite != suite || e.Certificate == nil || e.Certificate.Root.Fingerprint() != root {
			h.t.Errorf("%s, revision %d, is of suite %d, or certified by another root", name, e.Revision, e.Suite)
		}
		key, err := e.KeyFor(recovery)
		if err == nil {
			_, err = e.Unlock(key)
		}
		if err != nil || len(e.Grants) != 2 {
			h.t.Errorf("%s: the recovery secret does not open it: %v", name, err)
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// TestRotateRoot replaces the root: by one of the same suite, of another, and back, each time with files of every age.
func TestRotateRoot(t *testing.T) {
	for _, suites := range [][]identity.Suite{{1, 1, 1}, {1, 2, 1}, {2, 1}} {
		t.Run(strings.Join(strings.Fields(fmt.Sprintf("%d", suites)), "-"), func(t *testing.T) {
			h := newHouseOf(t, suites[0])
			first, recovery, err := h.CreatePerson(ctx, vault.Actor{}, "root", vault.RoleAdmin, "hash")
			if err != nil {
				t.Fatal(err)
			}
			root := vault.Actor{Person: first.ID, Role: first.Role, Name: first.Name}
			h.group(root, "crew")
			a, secret := h.person("ada"), recovery.Secret
			h.put(root, "/mine", []byte("of root"))
			large := randomBytes(3<<20 + 17)
			h.put(a, "/large", large)
			for _, suite := range suites[1:] {
				secret = h.replaceRoot(a, suite, secret, large)
			}
			other := h.config
			if h.Vault, err = vault.Open(ctx, other); err != nil {
				t.Fatal(err)
			}
			h.mustGet(a, "/large", large)
			h.mustGet(root, "/mine", []byte("of root"))
		})
	}
}

// replaceRoot replaces the root, looks at everything, and returns the recovery identity.
func (h *house) replaceRoot(a vault.Actor, suite identity.Suite, secret *identity.Identity, large []byte) *identity.Identity {
	t := h.t
	t.Helper()
	beside, err := vault.Open(ctx, h.config) // another server, which nobody tells anything
	if err != nil {
		t.Fatal(err)
	}
	before, err := h.About(ctx)
	if err != nil {
		t.Fatal(err)
	}
	events := len(h.recorded(audit.KeyRotated))
	path := func(n int) string { return fmt.Sprintf("/%d/%d", events, n) }
	for n := range 3 {
		h.put(a, path(n), fmt.Appendf(nil, "content %d", n))
	}
	up := h.begin(a, fmt.Sprintf("/%d/up", events), int64(len(large)), stone.ClassNormal)
	if err := h.goOn(a, up.ID, large[:len(large)/2]); err != nil {
		t.Fatal(err)
	}
	bodies := h.bodies()

	next := h.deposed(suite)
	if (next.Recovery != nil) != (suite != before.Suite) {
		t.Fatalf("from suite %d to %d: another recovery identity: %v", before.Suite, suite, next.Recovery != nil)
	}
	if next.Recovery != nil {
		secret = next.Recovery.Secret
	}
	if h.seeds(before.RootFingerprint) {
		t.Error("the seed of the former root is kept")
	}
	if err := h.BeginRootRotation(ctx, vault.Actor{}, next); err != nil {
		t.Errorf("once more, after a lost answer: %v", err)
	}
	if third, err := h.NewRoot(ctx, suite); err != nil || !errors.Is(h.BeginRootRotation(ctx, vault.Actor{}, third), vault.ErrRotating) {
		t.Errorf("another one, meanwhile: %v", err)
	}
	now, err := h.About(ctx)
	if err != nil || now.RootFingerprint != next.Fingerprint || now.Suite != suite {
		t.Fatalf("%+v, %v", now, err)
	}

	// Everybody goes on, at both servers, before anything is rewritten.
	h.mustGet(a, path(0), []byte("content 0"))
	h.put(a, path(3), []byte("content 3"))
	if _, _, err := beside.Put(ctx, a, request(path(4), []byte("content 4"))); err != nil {
		t.Error(err)
	}
	if _, _, err := beside.CreatePerson(ctx, vault.Actor{}, fmt.Sprintf("late%d", events), vault.RoleUser, "hash"); err != nil && !errors.Is(err, vault.ErrUnavailable) {
		t.Error(err)
	}
	if _, _, err := beside.CreatePerson(ctx, vault.Actor{}, fmt.Sprintf("later%d", events), vault.RoleUser, "hash"); err != nil {
		t.Errorf("the second try: %v", err)
	}
	e, err := h.Stat(ctx, a, vault.Ref{Path: path(1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Move(ctx, a, e.Node.ID, vault.MoveRequest{Path: path(11)}); err != nil {
		t.Error(err)
	}

	// It is interrupted, and goes on.
	stopped, stop := context.WithCancel(ctx)
	seen := 0
	_, err = h.Rotate(stopped, vault.RotateRoot, func(vault.Rotation) {
		if seen++; seen == 2 {
			stop()
		}
	})
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if state := h.rerooted(); state.Failed != 0 {
		t.Errorf("%+v", state)
	}
	h.underRoot(next.Fingerprint, suite, secret)
	for name, sum := range bodies {
		if h.bodies()[name] != sum {
			t.Errorf("%s was rewritten", name)
		}
	}

	// An envelope of before is one of a stranger now.
	h.mustGet(a, path(11), []byte("content 1"))
	if got, err := h.get(a, vault.Ref{Path: path(4)}); err != nil || string(got) != "content 4" {
		t.Errorf("%q, %v", got, err)
	}
	if err := h.goOn(a, up.ID, large); err != nil {
		t.Errorf("an upload from before: %v", err)
	}
	h.mustGet(a, up.Path, large)
	h.mustGet(a, "/large", large)
	if c, err := beside.Content(ctx, a, vault.Ref{Path: "/large"}); err != nil {
		t.Errorf("at the other server: %v", err)
	} else {
		c.Close()
	}
	if report, err := h.Verify(ctx, a, vault.Ref{Path: "/large"}); err != nil || !report.OK || report.Suite != suite {
		t.Errorf("%+v, %v", report, err)
	}

	// Whoever trusted the former root comes to this one, and to no other.
	about, err := beside.About(ctx)
	if err != nil || about.RootFingerprint != next.Fingerprint {
		t.Errorf("the other server says %+v, %v", about, err)
	}
	statements := about.Successions
	if steps, err := identity.FollowRoots(before.RootFingerprint.Hex(), next.Fingerprint.Hex(), now.VaultID, statements); err != nil || len(steps) != 1 {
		t.Errorf("%d steps, %v", len(steps), err)
	}
	if _, err := identity.FollowRoots(next.Fingerprint.Hex(), before.RootFingerprint.Hex(), now.VaultID, statements); !errors.Is(err, identity.ErrSuccession) {
		t.Errorf("back: %v", err)
	}
	what := map[bool]string{true: "root", false: "suite"}[suite == before.Suite]
	var ends int
	for _, event := range h.recorded(audit.KeyRotated)[events:] {
		if strings.Contains(event, "what:"+what) {
			ends++
		}
	}
	if ends != 2 {
		t.Errorf("%d events say that the %s was replaced: %v", ends, what, h.recorded(audit.KeyRotated)[events:])
	}
	return secret
}

// TestRotateRootOfAStranger: keys that the former root has certified are refused, once it has gone.
func TestRotateRootOfAStranger(t *testing.T) {
	h := newHouse(t)
	a := h.person("ada")
	name := h.put(a, "/a", []byte("a")).Version.FileID.String() + ".env"
	old := h.object(name)
	h.deposed(identity.SuiteHybrid)
	h.mustGet(a, "/a", []byte("a"))
	h.rerooted()
	h.mustGet(a, "/a", []byte("a"))
	now := h.object(name)
	h.replaceBody(name, old)
	if _, err := h.get(a, vault.Ref{Path: "/a"}); !errors.Is(err, vault.ErrRefused) {
		t.Errorf("the envelope of before: %v", err)
	}
	h.replaceBody(name, now)
	h.mustGet(a, "/a", []byte("a"))
}

// TestRotateRootDamaged: where an envelope does not verify, the former root stays, until it has been restored.
func TestRotateRootDamaged(t *testing.T) {
	h := newHouse(t)
	a := h.person("ada")
	h.put(a, "/good", []byte("x"))
	bad := h.put(a, "/bad", []byte("y")).Version.FileID.String() + ".env"
	sound := h.object(bad)
	env := bytes.Clone(sound)
	env[100] ^= 1
	h.replaceBody(bad, env)
	h.deposed(identity.SuiteHybrid)
	if state := h.rerooted(); state.Failed != 1 {
		t.Errorf("%+v", state)
	}
	h.replaceBody(bad, sound)
	h.mustGet(a, "/bad", []byte("y"))
	h.deposed(identity.SuiteHybrid)
	if state := h.rerooted(); state.Failed != 0 {
		t.Errorf("%+v", state)
	}
	h.mustGet(a, "/bad", []byte("y"))
	h.replaceBody(bad, sound)
	if _, err := h.get(a, vault.Ref{Path: "/bad"}); !errors.Is(err, vault.ErrRefused) {
		t.Errorf("the envelope of before: %v", err)
	}
}

// TestRotateRootBesides goes from root to root, and from suite to suite, while people work at two servers.
func TestRotateRootBesides(t *testing.T) {
	h := newHouse(t)
	people := []vault.Actor{h.person("ada"), h.person("ben"), h.person("cyd")}
	beside, err := vault.Open(ctx, h.config)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i, a := range people {
		at := []*vault.Vault{h.Vault, beside}[i%2]
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 11))
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				path, content := fmt.Sprintf("/%d", random.IntN(10)), fmt.Appendf(nil, "%d of %d", n, i)
				_, _, err := at.Put(ctx, a, request(path, content))
				if err == nil {
					var c *vault.Content
					if c, err = at.Content(ctx, a, vault.Ref{Path: path}); err == nil {
						var out bytes.Buffer
						if err = c.Stream(ctx, &out, 0, c.Size()); err == nil && !bytes.Equal(out.Bytes(), content) {
							t.Errorf("%s is %q", path, out.Bytes())
						}
						c.Close()
					}
				}
				if err != nil {
					t.Errorf("beside the rotation: %v", err)
				}
			}
		})
	}
	var next *vault.NextRoot
	var secret *identity.Identity
	suites := []identity.Suite{2, 2, 1}
	for _, suite := range suites {
		next = h.deposed(suite)
		if next.Recovery != nil {
			secret = next.Recovery.Secret
		}
		for state := (vault.Rotation{Running: true}); state.Running; {
			if state, err = h.Rotate(ctx, vault.RotateRoot, nil); err != nil || state.Failed > 0 {
				t.Fatalf("%+v, %v", state, err)
			}
		}
	}
	close(stop)
	wg.Wait()
	h.reopen()
	if _, err := h.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	h.underRoot(next.Fingerprint, suites[len(suites)-1], secret)
}

// TestRotateRootFaults lets every step that writes fail in turn, both ways, and goes on.
func TestRotateRootFaults(t *testing.T) {
	for _, suite := range []identity.Suite{1, 2} {
		for _, after := range []bool{false, true} {
			for at := 1; ; at++ {
				f := &faults{at: at, after: after}
				h := newHouse(t)
				_, recovery, err := h.CreatePerson(ctx, vault.Actor{}, "root", vault.RoleAdmin, "hash")
				if err != nil {
					t.Fatal(err)
				}
				a := h.person("ada")
				for i := range 2 {
					h.put(a, "/a", []byte{byte(i)})
				}
				sound := h.config
				h.config.Database, h.config.Objects = faultyDatabase{h.db, f}, faultyObjects{h.objects, f}
				reopenUncounted(h, f)
				next, err := h.NewRoot(ctx, suite)
				if err == nil {
					if err = h.BeginRootRotation(ctx, vault.Actor{}, next); err == nil {
						_, err = h.Rotate(ctx, vault.RotateRoot, nil)
					}
				}
				ended := f.count() < at
				if ended && err != nil {
					t.Errorf("without a fault: %v", err)
				}
				// In the process that has failed, for which it may be the next step that does.
				got, getErr := h.get(a, vault.Ref{Path: "/a"})
				if errors.Is(getErr, errInjected) {
					got, getErr = h.get(a, vault.Ref{Path: "/a"})
				}
				if getErr != nil || !bytes.Equal(got, []byte{1}) {
					t.Errorf("step %d: afterwards: %q, %v", at, got, getErr)
				}
				h.config = sound
				h.reopen()
				if about, err := h.About(ctx); err != nil || about.RootFingerprint != next.Fingerprint {
					next = h.deposed(suite)
				}
				h.rerooted()
				if _, err := h.Collect(ctx); err != nil {
					t.Fatal(err)
				}
				secret := recovery.Secret
				if next.Recovery != nil {
					secret = next.Recovery.Secret
				}
				h.underRoot(next.Fingerprint, suite, secret)
				for version := 1; version <= 2; version++ {
					if got, err := h.get(a, vault.Ref{Path: "/a", Version: version}); err != nil || !bytes.Equal(got, []byte{byte(version - 1)}) {
						t.Errorf("step %d: version %d: %q, %v", at, version, got, err)
					}
				}
				if ended {
					break
				}
			}
		}
	}
}

// TestRecoverBetweenRoots: the database is lost while the root is being replaced, and both roots are named.
func TestRecoverBetweenRoots(t *testing.T) {
	h := newHouse(t)
	p, recovery, err := h.CreatePerson(ctx, vault.Actor{}, "ada", vault.RoleAdmin, "hash")
	if err != nil {
		t.Fatal(err)
	}
	a := vault.Actor{Person: p.ID, Role: p.Role, Name: p.Name}
	h.put(a, "/before", []byte("before"))
	former := recovery.RootFingerprint
	next := h.deposed(identity.SuiteHybrid)
	if err := h.BeginPersonRotation(ctx, vault.Actor{}, "ada"); err != nil {
		t.Fatal(err)
	}
	h.put(a, "/after", []byte("after"))
	for _, c := range []struct {
		trusted []identity.Fingerprint
		files   int
	}{{nil, -1}, {[]identity.Fingerprint{former}, 1}, {[]identity.Fingerprint{next.Fingerprint}, 1}, {[]identity.Fingerprint{former, next.Fingerprint}, 2}} {
		s, err := vault.NewSurvey(ctx, h.objects, recovery.Secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.trusted) == 0 {
			var several *vault.RootsError
			if _, err := s.Trust(nil); !errors.As(err, &several) || len(several.Found) != 2 {
				t.Errorf("none named: %v", err)
			}
			continue
		}
		root, err := s.Trust(func(f identity.Fingerprint) bool { return slices.Contains(c.trusted, f) })
		if err != nil {
			t.Fatal(err)
		}
		b := rebuild(newPlace(t), s, root)
		if b.Report.Files != c.files || len(s.Refused()) != 2-c.files {
			t.Errorf("%d roots: %d files, %d refused", len(c.trusted), b.Report.Files, len(s.Refused()))
		}
	}
}

// TestRotateRootUnheard: a server that has not heard of the next root goes on with the rotation. It must not take the one
// that it knows for the one that everybody is to be certified by.
func TestRotateRootUnheard(t *testing.T) {
	for _, suite := range []identity.Suite{1, 2} {
		for _, kind := range []vault.RotationKind{vault.RotateRoot, vault.RotateIdentity} {
			h := newHouse(t)
			p, recovery, err := h.CreatePerson(ctx, vault.Actor{}, "ada", vault.RoleAdmin, "hash")
			if err != nil {
				t.Fatal(err)
			}
			a := vault.Actor{Person: p.ID, Role: p.Role, Name: p.Name}
			h.put(a, "/a", []byte("a"))
			beside, err := vault.Open(ctx, h.config)
			if err != nil {
				t.Fatal(err)
			}
			next, secret := h.deposed(suite), recovery.Secret
			if next.Recovery != nil {
				secret = next.Recovery.Secret
			}
			if state, err := beside.Rotate(ctx, kind, nil); err != nil || state.Running {
				t.Fatalf("%+v, %v", state, err)
			}
			h.underRoot(next.Fingerprint, suite, secret)
			h.mustGet(a, "/a", []byte("a"))
			h.put(a, "/b", []byte("b"))
			h.reopen()
			h.mustGet(a, "/b", []byte("b"))
		}
	}
}

// TestFormerRootsAreSigned: whoever writes to the database alone has nobody trust another root.
func TestFormerRootsAreSigned(t *testing.T) {
	h := newHouse(t)
	a := h.person("ada")
	h.put(a, "/a", []byte("a"))
	stranger, err := identity.GenerateSigningKey(rand2.Reader, identity.SuiteHybrid)
	if err != nil {
		t.Fatal(err)
	}
	mine := stranger.Verifying().Fingerprint().Hex()
	genuine := h.deposed(identity.SuiteHybrid)
	var signed []byte
	err = h.db.View(ctx, func(tx vault.Tx) (err error) {
		signed, err = tx.Settings().Get(ctx, "former_roots")
		return err
	})
	if err != nil || !bytes.Contains(signed, []byte(`"roots"`)) {
		t.Fatalf("%s, %v", signed, err)
	}
	for what, text := range map[string]string{
		"a plain list":      fmt.Sprintf(`[%q]`, mine),
		"an unsigned one":   fmt.Sprintf(`{"roots":[%q]}`, mine),
		"another signature": strings.Replace(string(signed), `"roots":["`, fmt.Sprintf(`"roots":[%q,"`, mine), 1),
	} {
		err := h.db.Update(ctx, func(tx vault.Tx) error { return tx.Settings().Put(ctx, "former_roots", []byte(text)) })
		if err != nil {
			t.Fatal(err)
		}
		if err := h.FollowRoot(ctx); err == nil {
			t.Errorf("%s is believed", what)
		}
		if _, err := vault.Open(ctx, h.config); err == nil {
			t.Errorf("with %s a vault opens", what)
		}
	}
	if err := h.db.Update(ctx, func(tx vault.Tx) error { return tx.Settings().Put(ctx, "former_roots", signed) }); err != nil {
		t.Fatal(err)
	}
	h.rerooted()

	// The list of before is of no use under the root after the next one.
	next := h.deposed(identity.SuiteHybrid)
	h.rerooted()
	if err := h.db.Update(ctx, func(tx vault.Tx) error { return tx.Settings().Put(ctx, "former_roots", signed) }); err != nil {
		t.Fatal(err)
	}
	if err := h.FollowRoot(ctx); err == nil || genuine.Fingerprint == next.Fingerprint {
		t.Error("the list of another root is believed")
	}
}

// blindDatabase cannot be read from, once it is told so.
type blindDatabase struct {
	vault.Database
	blind *bool
}

func (d blindDatabase) View(ctx context.Context, fn func(vault.Tx) error) error {
	if *d.blind {
		return errInjected
	}
	return d.Database.View(ctx, fn)
}

func (d blindDatabase) Update(ctx context.Context, fn func(vault.Tx) error) error {
	err := d.Database.Update(ctx, fn)
	*d.blind = err == nil
	return err
}

// TestRotateRootBlind: what was committed is not called void because it cannot be read.
func TestRotateRootBlind(t *testing.T) {
	h := newHouse(t)
	h.person("ada")
	var blind bool
	sound := h.config
	h.config.Database = blindDatabase{h.db, &blind}
	h.reopen()
	blind = false
	next, err := h.NewRoot(ctx, identity.SuiteCNSA)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.BeginRootRotation(ctx, vault.Actor{}, next); err != nil {
		t.Errorf("it was committed: %v", err)
	}
	h.config = sound
	h.reopen()
	if about, err := h.About(ctx); err != nil || about.RootFingerprint != next.Fingerprint {
		t.Errorf("%+v, %v", about, err)
	}
	h.rerooted()
}
