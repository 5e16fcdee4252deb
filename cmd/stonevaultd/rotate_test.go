package main

import (
	"bytes"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/internal/blob/local"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// checkRecoverable wants every envelope to open with one secret and not with the other.
func checkRecoverable(t testing.TB, data, with, without string) int {
	t.Helper()
	yes, err := identity.ParseSecret(with)
	check(t, err)
	no, err := identity.ParseSecret(without)
	check(t, err)
	n := 0
	eachEnvelope(t, data, func(e *stone.Envelope) {
		n++
		if _, err := e.KeyFor(yes); err != nil {
			t.Errorf("%s does not open with the new sheet: %v", e.FileID, err)
		}
		if e.GrantTo(no.Public().Fingerprint()) != nil {
			t.Errorf("%s opens with the old sheet", e.FileID)
		}
	})
	return n
}

func eachEnvelope(t testing.TB, data string, fn func(*stone.Envelope)) {
	t.Helper()
	objects, err := local.Open(filepath.Join(data, "objects"))
	check(t, err)
	defer objects.Close()
	check(t, objects.Walk(t.Context(), func(name string, _ int64) error {
		if !strings.HasSuffix(name, ".env") {
			return nil
		}
		o, err := objects.Open(t.Context(), name)
		check(t, err)
		defer o.Close()
		b := make([]byte, o.Size())
		if _, err := o.ReadAt(b, 0); err != nil {
			return err
		}
		e, err := stone.ParseEnvelope(b)
		check(t, err)
		fn(e)
		return nil
	}))
}

// TestRotateRecovery rotates without a server, and beside one that people use and that is killed.
func TestRotateRecovery(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if r := run(t, "", "rotate", "recovery", "--data", data); r.code != 1 || !strings.Contains(r.stderr, "there is no vault") {
		t.Errorf("of nothing: %+v", r)
	}
	r := run(t, testPassword, "admin", "create", "ann", "--password-stdin", "--data", data)
	first := sheetSecret(t, r.stdout)
	p := start(t, data)
	c := signIn(t, p.addr, "ann")
	for i := range 60 {
		c.must(c.put(fmt.Sprintf("/%d", i), []byte("content"))).want(t, http.StatusCreated)
	}
	p.stop()

	r = run(t, "", "rotate", "recovery", "--data", data)
	if r.code != 0 || !strings.Contains(r.stderr, "Envelopes rewritten: 60.") {
		t.Fatalf("without a server: %+v", r)
	}
	second := sheetSecret(t, r.stdout)
	if n := checkRecoverable(t, data, second, first); n != 60 {
		t.Errorf("there are %d envelopes", n)
	}
	if r := run(t, first, "recovery", "confirm", "--secret-stdin", "--data", data); r.code != 1 || !strings.Contains(r.stderr, "this is not the recovery secret") {
		t.Errorf("the old sheet: %+v", r)
	}
	if r := run(t, second, "recovery", "confirm", "--secret-stdin", "--data", data); r.code != 0 {
		t.Errorf("the new sheet: %+v", r)
	}

	p = start(t, data)
	c = signIn(t, p.addr, "ann")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := c.put(fmt.Sprintf("/%d", i%70), bytes.Repeat([]byte("x"), i)); err != nil {
				return // killed
			}
		}
	})
	rotate := command(t, "rotate", "recovery", "--data", data)
	stdout, stderr := &output{}, &output{}
	rotate.Stdout, rotate.Stderr = stdout, stderr
	check(t, rotate.Start())
	// The server is killed before it has looked, or while it works; then the command does it by itself.
	time.Sleep(rotateEvery / 2)
	p.kill()
	check(t, rotate.Wait())
	close(stop)
	wg.Wait()
	third := sheetSecret(t, stdout.String())
	if !strings.Contains(stderr.String(), "the server") || !strings.Contains(stderr.String(), "Envelopes rewritten") {
		t.Errorf("it said %s", stderr)
	}

	p = start(t, data) // settles what the kill left
	r = run(t, "", "rotate", "recovery", "--data", data)
	if r.code != 0 {
		t.Fatalf("beside a server: %+v", r)
	}
	if !strings.Contains(p.stderr.String(), "the recovery secret was rotated") {
		t.Errorf("the server's log: %s", p.stderr)
	}
	fourth := sheetSecret(t, r.stdout)
	p.stop()
	if n := checkRecoverable(t, data, fourth, third); n < 60 {
		t.Errorf("there are %d envelopes", n)
	}
	checkObjects(t, data)
}

// TestRotateNeedsPaper changes nothing where the sheet cannot be printed.
func TestRotateNeedsPaper(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	a := &app{stdout: broken{}, stderr: &output{}, now: time.Now}
	if code := a.main(t.Context(), []string{"rotate", "recovery", "--data", data}); code != 1 {
		t.Errorf("exit code %d", code)
	}
	s := newServer(t, data)
	check(t, s.Run(t.Context()))
	defer closeServer(t, s)
	if state, err := s.store.vault.RotationState(t.Context(), vault.RotateRecovery); err != nil || state.Running {
		t.Errorf("a rotation has begun: %+v, %v", state, err)
	}
}
