package quantum

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"stonevault/qkd/bb84"
	"stonevault/qkd/distill"
	"stonevault/qkd/kme"
)

var pair = kme.Pair{Master: "ann", Slave: "bob"}

func newService(t testing.TB, random io.Reader) *Service {
	t.Helper()
	s, err := New(Config{Random: random})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestMake wants a session to fill a pool with keys that differ, and another session to make others.
func TestMake(t *testing.T) {
	s := newService(t, rand.Reader)
	seen := map[[kme.KeyBytes]byte]bool{{}: true} // none is all zeros
	sessions := map[string]bool{}
	for range 2 {
		keys, session, err := s.Make(t.Context(), pair, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) < kme.DefaultLimits.MaxStored || len(session) != 32 || sessions[session] {
			t.Errorf("%d keys of session %q", len(keys), session)
		}
		sessions[session] = true
		for _, k := range keys {
			if seen[k] {
				t.Fatalf("%x is there twice", k)
			}
			seen[k] = true
		}
	}
}

// TestMakeAborted wants no key and a reason where somebody listens.
func TestMakeAborted(t *testing.T) {
	s := newService(t, rand.Reader)
	s.setup.Eve = bb84.Eve{Attack: bb84.Intercept, Fraction: 1}
	keys, session, err := s.Make(t.Context(), pair, 1)
	var aborted *kme.Aborted
	if !errors.As(err, &aborted) || aborted.Session != session || session == "" || aborted.Reason == "" || keys != nil {
		t.Errorf("%d keys, %q, %v", len(keys), session, err)
	}
}

func TestMakeFails(t *testing.T) {
	broken := errors.New("broken")
	if _, _, err := newService(t, iotest.ErrReader(broken)).Make(t.Context(), pair, 1); !errors.Is(err, broken) {
		t.Errorf("no randomness: %v", err)
	}
	short := newService(t, io.MultiReader(bytes.NewReader(make([]byte, 100)), iotest.ErrReader(broken)))
	if _, _, err := short.Make(t.Context(), pair, 1); !errors.Is(err, broken) {
		t.Errorf("randomness that ends: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if _, _, err := newService(t, rand.Reader).Make(ctx, pair, 1); !errors.Is(err, broken) {
		t.Errorf("a context that has ended: %v", err)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a service without randomness")
	}
}

// TestSlots has a session wait while as many run as may, and end with its context.
func TestSlots(t *testing.T) {
	s := newService(t, rand.Reader)
	for range atOnce {
		s.slots <- struct{}{}
	}
	ended := errors.New("ended")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error)
	go func() {
		_, _, err := s.Make(ctx, pair, 1)
		done <- err
	}()
	cancel(ended)
	if err := <-done; !errors.Is(err, ended) {
		t.Errorf("a session that waited: %v", err)
	}
	<-s.slots
	if _, _, err := s.Make(t.Context(), pair, 1); err != nil {
		t.Errorf("a session with a slot: %v", err)
	}
	if len(s.slots) != atOnce-1 {
		t.Errorf("%d slots are taken", len(s.slots))
	}
}

// TestCut wants each key to be 256 bits of its own, in order, and no key of fewer.
func TestCut(t *testing.T) {
	for _, c := range []struct{ bits, keys int }{{0, 0}, {1, 0}, {255, 0}, {256, 1}, {257, 1}, {511, 1}, {512, 2}, {1000, 3}} {
		secret, err := distill.ReadBits(rand.Reader, c.bits)
		if err != nil {
			t.Fatal(err)
		}
		whole := secret.Bytes()
		keys := cut(secret)
		if len(keys) != c.keys {
			t.Errorf("%d bits: %d keys", c.bits, len(keys))
		}
		for i, k := range keys {
			if !bytes.Equal(k[:], whole[i*kme.KeyBytes:(i+1)*kme.KeyBytes]) {
				t.Errorf("%d bits: key %d is made of others", c.bits, i)
			}
		}
	}
}
