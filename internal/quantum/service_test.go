package quantum

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"stonevault/qkd/bb84"
	"stonevault/qkd/distill"
	"stonevault/qkd/kme"
)

var pair = kme.Pair{Master: "ann", Slave: "bob"}

// TestMake wants a session to fill a pool with keys that differ, and another session to make others.
func TestMake(t *testing.T) {
	s, m := newService(t, rand.Reader)
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
		var r bb84.Result
		kept, err := m.Session(t.Context(), session)
		if err != nil || kept.State != Done || json.Unmarshal(kept.Result, &r) != nil || r.Mode != bb84.Simulated || r.KeyBits == 0 || len(r.First) == 0 {
			t.Errorf("%+v is kept, %v", kept, err)
		}
		for _, p := range r.First {
			if p.Use == "key" && (p.AliceBit != nil || p.BobBit != nil || p.EveBit != nil) {
				t.Errorf("a bit of the key is kept: %+v", p)
			}
		}
	}
}

// TestMakeAborted wants no key and a reason where somebody listens.
func TestMakeAborted(t *testing.T) {
	s, m := newService(t, rand.Reader)
	m.eve = &Eavesdropper{People: [2]Person{{ID: "ann"}, {ID: "bob"}}, Attack: bb84.Intercept, Share: wholeShare}
	keys, session, err := s.Make(t.Context(), pair, 1)
	var aborted *kme.Aborted
	if !errors.As(err, &aborted) || aborted.Session != session || session == "" || aborted.Reason == "" || keys != nil {
		t.Errorf("%d keys, %q, %v", len(keys), session, err)
	}
	if kept := m.sessions[0]; kept.State != Aborted || len(kept.Result) == 0 || kept.EndedAt != start {
		t.Errorf("%s is kept, %.200s", kept.State, kept.Result)
	}
	// Who asks for it gets it as it is, and no error.
	if v, err := s.Start(t.Context(), asker("ann"), "bob"); err != nil || v.State != Aborted || m.pooled != 0 {
		t.Errorf("%s, %d keys, %v", v.State, m.pooled, err)
	}
}

func TestMakeFails(t *testing.T) {
	broken := errors.New("broken")
	none, _ := newService(t, iotest.ErrReader(broken))
	if _, _, err := none.Make(t.Context(), pair, 1); !errors.Is(err, broken) {
		t.Errorf("no randomness: %v", err)
	}
	short, m := newService(t, io.MultiReader(bytes.NewReader(make([]byte, 100)), iotest.ErrReader(broken)))
	if _, _, err := short.Make(t.Context(), pair, 1); !errors.Is(err, broken) || m.sessions[0].State != Failed {
		t.Errorf("randomness that ends: %v, %+v", err, m.sessions)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	s, m := newService(t, rand.Reader)
	if _, _, err := s.Make(ctx, pair, 1); !errors.Is(err, broken) || len(m.sessions) != 0 {
		t.Errorf("a context that has ended: %v, %+v", err, m.sessions)
	}
	m.fail = errors.New("erased meanwhile")
	if keys, _, err := s.Make(t.Context(), pair, 1); !errors.Is(err, m.fail) || keys != nil {
		t.Errorf("a session that cannot be kept: %d keys, %v", len(keys), err)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a service without parts")
	}
}

// TestSlots has a session wait while as many run as may, and end with its context.
func TestSlots(t *testing.T) {
	s, _ := newService(t, rand.Reader)
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
