package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/internal/vault"
	"stonevault/stone"
)

func TestRotateIdentityArguments(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 1, "say whose keys"},
		{[]string{"nobody"}, 1, `no account "nobody"`},
		{[]string{"--group", "0123"}, 1, `no group with the id "0123"`},
		{[]string{"ann", "--vault"}, 0, "Envelopes rewritten: 0"},
		{[]string{"--all"}, 0, "Envelopes rewritten: 0"},
	} {
		r := run(t, "", append([]string{"rotate", "identity", "--data", data}, tt.args...)...)
		if r.code != tt.code || !strings.Contains(r.stderr, tt.want) {
			t.Errorf("%v: %+v, want %q", tt.args, r, tt.want)
		}
	}
	wantSound(t, data)
}

// keysOf are the keys of a person, the newest last, and whether their seeds are kept.
func keysOf(t testing.TB, data, name string) (keys []identity.Fingerprint, seeds []bool) {
	t.Helper()
	db, err := openReadOnly(t.Context(), data)
	check(t, err)
	defer db.Close()
	check(t, db.View(t.Context(), func(tx vault.Tx) error {
		p, err := tx.People().ByNameKey(t.Context(), name)
		if err != nil {
			return err
		}
		now, err := tx.Identities().Current(t.Context(), vault.KindPerson, p.ID)
		if err != nil {
			return err
		}
		outlived, err := tx.Identities().Outlived(t.Context())
		for _, row := range outlived {
			if row.Person == p.ID {
				keys, seeds = append(keys, row.Fingerprint), append(seeds, true)
			}
		}
		keys, seeds = append(keys, now.Fingerprint), append(seeds, len(now.WrappedSeeds) > 0)
		return err
	}))
	return keys, seeds
}

// envelopesFor counts the envelopes that have a grant to a key.
func envelopesFor(t testing.TB, s *Server, f identity.Fingerprint) (n int) {
	t.Helper()
	check(t, s.store.objects.Walk(t.Context(), func(name string, _ int64) error {
		if !strings.HasSuffix(name, ".env") {
			return nil
		}
		o, err := s.store.objects.Open(t.Context(), name)
		if err != nil {
			return err
		}
		defer o.Close()
		b := make([]byte, o.Size())
		if _, err := o.ReadAt(b, 0); err != nil {
			return err
		}
		e, err := stone.ParseEnvelope(b)
		if err == nil && e.GrantTo(f) != nil {
			n++
		}
		return err
	}))
	return n
}

// TestRotateIdentityOfMany gives a person with many files another key while people work: no body is touched, and it
// takes 90 seconds at most. Then it is done again, and killed again and again, server and command.
func TestRotateIdentityOfMany(t *testing.T) {
	files, kills := 500, 5
	if torture() {
		files, kills = 10_000, 100
	}
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	s := newServer(t, data)
	check(t, s.Run(t.Context()))
	hash, err := testHash()
	check(t, err)
	eve, _, err := s.store.vault.CreatePerson(t.Context(), atMachine, "eve", vault.RoleUser, hash)
	check(t, err)
	content := func(i int) string { return fmt.Sprintf("content of file %d", i) }
	var making sync.WaitGroup
	for worker := range 8 {
		making.Go(func() {
			for i := worker; i < files; i += 8 {
				_, _, err := s.store.vault.Put(t.Context(), vault.Actor{Person: eve.ID, Name: eve.Name}, vault.PutRequest{Path: fmt.Sprintf("/%d", i), Body: strings.NewReader(content(i)), Size: -1, Mode: 0o600})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	making.Wait()
	closeServer(t, s)
	before := bodies(t, data, ".body")
	keys, _ := keysOf(t, data, "eve")

	p := start(t, data)
	workers := work(t, p.addr, "ann", "eve")
	since := time.Now()
	said := patiently(t, "rotate", "identity", "eve", "--data", data)
	took := time.Since(since)
	workers.end()
	t.Logf("%d envelopes: %v; %s", files, took, lastLine(said))
	if took > 90*time.Second {
		t.Errorf("it took %v", took)
	}
	now, _ := keysOf(t, data, "eve")
	if len(now) != 1 || now[0] == keys[0] {
		t.Errorf("of %v there are now %v", keys, now)
	}
	c := signIn(t, p.addr, "eve")
	if r := c.must(c.get("/7")); string(r.body) != content(7) {
		t.Errorf("the file is %q", r.body)
	}
	p.stop()
	wantSame(t, before, bodies(t, data, ".body"))

	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	whose := [][]string{{"eve"}, {"--all"}}
	for range kills {
		args := append([]string{"rotate", "identity", "--data", data}, whose[random.IntN(len(whose))]...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(2500))*time.Millisecond)
		with := command(t, args...)
		if random.IntN(2) == 0 { // the command works by itself
			check(t, with.Start())
			go func() { <-ctx.Done(); with.Process.Kill() }()
			with.Wait()
		} else {
			p, _ := launch(t, data)
			check(t, with.Start())
			<-ctx.Done()
			if random.IntN(2) == 0 {
				with.Process.Kill()
				time.Sleep(time.Duration(random.IntN(3500)) * time.Millisecond)
			}
			p.kill()
			with.Process.Kill()
			with.Wait()
		}
		cancel()
		p := start(t, data)
		c := signIn(t, p.addr, "eve")
		for range 10 {
			i := random.IntN(files)
			if r := c.must(c.get(fmt.Sprintf("/%d", i))); r.status != http.StatusOK || string(r.body) != content(i) {
				t.Fatalf("file %d is %q; the server says %s", i, r.body, p.stderr)
			}
		}
		p.kill()
	}
	patiently(t, "rotate", "identity", "--all", "--data", data) // first ends what is under way
	p = start(t, data)
	p.stop()
	checkObjects(t, data)
	wantSame(t, before, bodies(t, data, ".body"))
	wantSound(t, data)
	last, seeds := keysOf(t, data, "eve")
	if len(last) != 1 || !seeds[0] {
		t.Errorf("there are %d keys, with seeds %v", len(last), seeds)
	}
	s = serveHere(t, data)
	if n := envelopesFor(t, s, last[0]); n < files {
		t.Errorf("%d envelopes of %d are for the key in use", n, files)
	}
	if n := envelopesFor(t, s, keys[0]); n != 0 {
		t.Errorf("%d envelopes are for the first key", n)
	}
}

// TestRotateWhatSigns replaces the keys of tokens and webhooks beside a server: sessions go on.
func TestRotateWhatSigns(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	if r := run(t, testPassword, "admin", "create", "root", "--password-stdin", "--role", "admin", "--data", data); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	p := start(t, data)
	c := signIn(t, p.addr, "root")
	hook := c.json("POST", "/api/v1/webhooks", map[string]any{"url": "https://hooks.example.com/x", "events": []string{"role.changed"}, "active": false}, nil)
	old := textOf(t, hook, "secret")
	r := run(t, "", "rotate", "webhooks", "--data", data)
	if line := strings.Fields(r.stdout); r.code != 0 || len(line) != 3 || line[0] != textOf(t, hook, "id") || line[1] != "hooks.example.com" ||
		!strings.HasPrefix(line[2], "whsec_") || line[2] == old {
		t.Errorf("webhooks: %+v", r)
	}
	if r := run(t, "", "rotate", "tokens", "--data", data); r.code != 0 || !strings.Contains(r.stderr, "Another key signs") {
		t.Errorf("tokens: %+v", r)
	}
	c.must(c.do("GET", "/api/v1/me", nil, nil)).want(t, http.StatusOK)
	c = signIn(t, p.addr, "root")
	c.must(c.do("GET", "/api/v1/me", nil, nil)).want(t, http.StatusOK)
	if r := run(t, "", "rotate", "master", "--data", data); r.code != 0 { // the former secret is sealed too
		t.Errorf("master: %+v", r)
	}
	p.stop()
	wantSound(t, data)
	a := &app{stdout: broken{}, stderr: &output{}, now: time.Now}
	if code := a.main(t.Context(), []string{"rotate", "webhooks", "--data", data}); code != 1 {
		t.Errorf("without paper: exit code %d", code)
	}
}
