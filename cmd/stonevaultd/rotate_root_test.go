package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/stone"
)

// TestRotateRoot replaces the root without a server, and beside one that people use and that is killed.
func TestRotateRoot(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if r := run(t, "", "rotate", "root", "--data", data); r.code != 1 || !strings.Contains(r.stderr, "there is no vault") {
		t.Errorf("of nothing: %+v", r)
	}
	first := sheetSecret(t, run(t, testPassword, "admin", "create", "ann", "--password-stdin", "--data", data).stdout)
	p := start(t, data)
	c := signIn(t, p.addr, "ann")
	for i := range 40 {
		c.must(c.put(fmt.Sprintf("/%d", i), []byte("content"))).want(t, http.StatusCreated)
	}
	p.stop()
	before := bodies(t, data, ".body")

	r := run(t, "", "rotate", "root", "--data", data)
	if r.code != 0 || !strings.Contains(r.stderr, "Envelopes rewritten: 40.") || strings.Contains(r.stdout, "SVSEC1") {
		t.Fatalf("without a server: %+v", r)
	}
	if r := run(t, first, "recovery", "confirm", "--secret-stdin", "--data", data); r.code != 0 {
		t.Errorf("the sheet from before: %+v", r)
	}
	if r := run(t, "", "rotate", "suite", "1", "--data", data); r.code != 0 || !strings.Contains(r.stderr, "of suite 1 already") {
		t.Errorf("to the suite that it is of: %+v", r)
	}
	if r := run(t, "", "rotate", "suite", "3", "--data", data); r.code != 1 || !strings.Contains(r.stderr, "no suite") {
		t.Errorf("to no suite: %+v", r)
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
			if _, err := c.put(fmt.Sprintf("/new/%d", i%10), []byte("x")); err != nil {
				return // killed
			}
		}
	})
	rotate := command(t, "rotate", "suite", "2", "--data", data)
	stdout, stderr := &output{}, &output{}
	rotate.Stdout, rotate.Stderr = stdout, stderr
	check(t, rotate.Start())
	time.Sleep(rotateEvery / 2)
	p.kill()
	check(t, rotate.Wait())
	close(stop)
	wg.Wait()
	second := sheetSecret(t, stdout.String())

	p = start(t, data) // settles what the kill left
	r = run(t, "", "rotate", "root", "--data", data)
	if r.code != 0 || !strings.Contains(p.stderr.String(), "the root was rotated") {
		t.Fatalf("beside a server: %+v\n%s", r, p.stderr)
	}
	c = signIn(t, p.addr, "ann")
	for i := range 40 {
		c.must(c.get(fmt.Sprintf("/%d", i))).want(t, http.StatusOK)
	}
	p.stop()
	if n := checkRecoverable(t, data, second, first); n < 40 {
		t.Errorf("there are %d envelopes", n)
	}
	envelopes, contents := make(map[identity.Suite]int), make(map[identity.Suite]int)
	eachEnvelope(t, data, func(e *stone.Envelope) {
		envelopes[e.Suite]++
		contents[e.BodySuite]++
	})
	if len(envelopes) != 1 || envelopes[identity.SuiteCNSA] < 40 || contents[identity.SuiteHybrid] < 40 {
		t.Errorf("envelopes by suite: %v, bodies: %v", envelopes, contents)
	}
	wantSame(t, before, bodies(t, data, ".body"))
	if r := run(t, second, "recovery", "confirm", "--secret-stdin", "--data", data); r.code != 0 {
		t.Errorf("the sheet of the new suite: %+v", r)
	}
	if r := run(t, "", "posture", "--data", data); r.code != 0 || !strings.Contains(r.stdout, "100.0 %  suite 2") {
		t.Errorf("%+v", r)
	}
	checkObjects(t, data)
	wantSound(t, data)
}
