package transit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/internal/auditlog"
	"stonevault/internal/masterkey"
	"stonevault/internal/masterkey/transittest"
	"stonevault/internal/vault"
)

const place = "stonevault.v1/test"

// house is a wrapped key, and a clock that stands still until it is moved.
type house struct {
	t      *testing.T
	server *transittest.Server
	client *Client
	path   string
	log    bytes.Buffer
	clock  atomic.Int64 // nanoseconds past the start
	lost   atomic.Int64
	holder *Holder
	sealed []byte
	start  time.Time
}

func (h *house) now() time.Time       { return h.start.Add(time.Duration(h.clock.Load())) }
func (h *house) pass(d time.Duration) { h.clock.Add(int64(d)) }

func newHouse(t *testing.T) *house {
	h := &house{t: t, server: transittest.Start(t), path: filepath.Join(t.TempDir(), "key"), start: time.Now()}
	o := options(h.server)
	o.Now = h.now
	h.client = client(t, o)
	text, _, err := masterkey.Generate()
	if err != nil {
		t.Fatal(err)
	}
	h.put(h.wrapped(text))
	if h.holder, err = h.hold(); err != nil {
		t.Fatal(err)
	}
	h.holder.OnLoss(func() { h.lost.Add(1) })
	if h.sealed, err = h.holder.Key().Seal(place, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) wrapped(text string) string {
	h.t.Helper()
	w, err := h.client.Wrap(h.t.Context(), []byte(text))
	if err != nil {
		h.t.Fatal(err)
	}
	return w.String()
}

func (h *house) put(text string) {
	h.t.Helper()
	if err := os.WriteFile(h.path, []byte(text+"\n"), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) hold() (*Holder, error) {
	return Hold(h.t.Context(), h.client, h.path, time.Hour)
}

func (h *house) logger() *slog.Logger { return slog.New(slog.NewTextHandler(&h.log, nil)) }
func (h *house) renew()               { h.holder.renew(h.t.Context(), h.logger()) }

// opens checks that the key is there, and that it is ErrAway to all who ask where it is not.
func (h *house) opens(what string, want bool) {
	h.t.Helper()
	h.holder.expire(h.logger()) // as Run does each second
	plain, err := h.holder.Key().Open(place, h.sealed)
	_, errSeal := h.holder.Key().Seal(place, nil)
	errs := []error{err, errSeal, h.holder.Ready()}
	for _, err := range errs {
		away := errors.Is(err, ErrAway) && errors.Is(err, vault.ErrUnavailable) && errors.Is(err, auditlog.ErrKeyAway)
		if want && err != nil || !want && !away {
			h.t.Fatalf("%s: %v", what, errs)
		}
	}
	if want && string(plain) != "secret" {
		h.t.Errorf("%s: it opens as %q", what, plain)
	}
	if h.holder.State().Held != want {
		h.t.Errorf("%s: %+v", what, h.holder.State())
	}
}

// TestAbsence: the key is used for the set time, not for longer, and comes back by itself.
func TestAbsence(t *testing.T) {
	h := newHouse(t)
	h.pass(50 * time.Minute)
	h.renew()
	if s := h.holder.State(); !s.Renewed.Equal(h.now()) || !s.Until.Equal(h.now().Add(time.Hour)) {
		t.Errorf("after a renewal: %+v", s)
	}
	h.pass(50 * time.Minute)
	h.opens("within an hour of the last answer", true)

	h.server.Break(transittest.Down)
	h.renew()
	h.opens("while it cannot be asked", true)
	if h.lost.Load() != 0 {
		t.Error("it was given up before its time")
	}
	h.pass(10 * time.Minute)
	if err := h.holder.Ready(); !errors.Is(err, ErrAway) {
		t.Errorf("at the very end of the time: %v", err)
	}
	h.opens("when the time is over", false)
	h.renew()
	h.opens("after that", false)
	if h.lost.Load() == 0 {
		t.Error("nobody was told to forget what was opened")
	}
	lost := h.lost.Load()
	h.renew()
	if h.lost.Load() == lost {
		t.Error("what was opened in the last moment is not forgotten")
	}
	if s := h.holder.State(); s.Failed != (Failures{Unreachable: 3}) {
		t.Errorf("%+v", s)
	}

	h.server.Break(nil)
	h.renew()
	h.opens("when it is back", true)
	for _, said := range []string{"could not be renewed", "was given up", "can be used again"} {
		if n := strings.Count(h.log.String(), said); n != 1 {
			t.Errorf("the log says %d times that it %s", n, said)
		}
	}
}

// TestRefusal: a no ends it at once.
func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		name string
		no   func(h *house)
	}{
		{"the policy", func(h *house) { h.server.Change(func(s *transittest.Server) { s.NoDecrypt = true }) }},
		{"the token", func(h *house) { h.server.Revoke() }},
		{"the key", func(h *house) { h.server.Delete() }},
		{"the version", func(h *house) { h.server.Rotate(); h.server.Forbid(2) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			c.no(h)
			h.opens("before it is asked", true)
			h.renew()
			h.opens("after", false)
			if s := h.holder.State(); s.Failed != (Failures{Refused: 1}) || h.lost.Load() == 0 {
				t.Errorf("%+v", s)
			}
			if _, err := h.hold(); !errors.Is(err, ErrRefused) {
				t.Errorf("a start: %v", err)
			}
		})
	}
}

// TestFileChanges: the file is read each time, since it may be wrapped anew; another key in it is not taken.
func TestFileChanges(t *testing.T) {
	h := newHouse(t)
	before, err := os.ReadFile(h.path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := ReadFile(h.path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := h.client.Unwrap(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	h.server.Rotate()
	h.put(h.wrapped(string(text)))
	h.server.Forbid(2)
	h.renew()
	h.opens("wrapped anew", true)
	if h.holder.State().Failed != (Failures{}) {
		t.Errorf("%+v", h.holder.State())
	}

	other, _, err := masterkey.Generate()
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(){
		"another key":      func() { h.put(h.wrapped(other)) },
		"no key inside":    func() { h.put(h.wrapped("something else")) },
		"a key in clear":   func() { h.put(other) },
		"nothing":          func() { os.Remove(h.path) },
		"rights for all":   func() { h.put(string(before)); os.Chmod(h.path, 0o644) },
		"another key, old": func() { os.Remove(h.path); h.put(h.wrapped(other)) },
	} {
		change()
		h.renew()
		h.opens(what, true)
		if h.holder.State().Renewed != h.start {
			t.Errorf("%s counts as a renewal", what)
		}
	}
	h.pass(time.Hour)
	h.renew()
	h.opens("another key, after the time", false)
	os.Remove(h.path)
	h.put(h.wrapped(string(text)))
	h.renew()
	h.opens("the right one again", true)
}

// TestClocks: neither a clock that is set back nor a machine that sleeps lets the key live longer.
func TestClocks(t *testing.T) {
	h := newHouse(t)
	// Asleep, the clock that nobody sets stands still, and the wall's goes on.
	awake := h.holder.now
	h.holder.now = func() time.Time { return h.start.Round(0).Add(2 * time.Hour) }
	if err := h.holder.Ready(); !errors.Is(err, ErrAway) {
		t.Errorf("after a sleep of two hours: %v", err)
	}
	h.holder.now = func() time.Time { return h.start.Round(0).Add(-time.Hour) }
	h.opens("set back", true)
	h.holder.now = awake
	h.pass(time.Hour)
	h.opens("after an hour", false)
}

func TestClose(t *testing.T) {
	h := newHouse(t)
	check := h.holder.Key().Check()
	h.holder.Close()
	h.opens("closed", false)
	if len(check) == 0 || !bytes.Equal(check, h.holder.Key().Check()) {
		t.Error("the check went with the key")
	}
}

// TestRun keeps a key with a short life by a real clock, while others use it, and through an absence.
func TestRun(t *testing.T) {
	h := newHouse(t)
	var err error
	if h.holder, err = Hold(t.Context(), client(t, options(h.server)), h.path, 400*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { h.holder.Run(ctx, slog.New(slog.DiscardHandler)) })
	var wrong atomic.Int64
	for range 4 {
		running.Go(func() {
			for ctx.Err() == nil {
				if plain, err := h.holder.Key().Open(place, h.sealed); err == nil && string(plain) != "secret" || err != nil && !errors.Is(err, ErrAway) {
					wrong.Add(1)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	await := func(what string, held bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); h.holder.State().Held != held; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v", what, h.holder.State())
			}
		}
	}
	time.Sleep(time.Second)
	await("renewed again and again", true)
	if n := h.server.Asked("decrypt"); n < 4 {
		t.Errorf("asked %d times in a second", n)
	}
	for what, fault := range map[string]transittest.Fault{"down": transittest.Down, "slow": transittest.Hang(time.Minute)} {
		h.server.Break(fault)
		began := time.Now()
		await(what, false)
		if took := time.Since(began); took < 200*time.Millisecond || took > 10*time.Second {
			t.Errorf("%s: given up after %v, at a life of 400 ms", what, took)
		}
		h.server.Break(nil)
		await("back", true)
	}
	stop()
	running.Wait()
	if wrong.Load() > 0 {
		t.Errorf("%d wrong answers", wrong.Load())
	}
}
