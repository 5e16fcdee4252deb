package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"stonevault/internal/masterkey"
	"stonevault/internal/metadb"
	"stonevault/internal/vault"
)

// bodies are the objects whose names end so, each with its time and its digest.
func bodies(t testing.TB, data string, ends ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	check(t, filepath.WalkDir(filepath.Join(data, "objects"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		for _, end := range ends {
			if strings.HasSuffix(path, end) {
				info, err := e.Info()
				check(t, err)
				b, err := os.ReadFile(path)
				check(t, err)
				found[e.Name()] = fmt.Sprintf("%v %x", info.ModTime(), sha256.Sum256(b))
			}
		}
		return nil
	}))
	return found
}

func openReadOnly(ctx context.Context, data string) (*metadb.DB, error) {
	return metadb.OpenSQLite(ctx, filepath.Join(data, "stonevault.db"), metadb.Options{ProgramVersion: builtVersion, ReadOnly: true})
}

// wantSame wants the objects that there were before as they were.
func wantSame(t testing.TB, before, after map[string]string) {
	t.Helper()
	for name, was := range before {
		if after[name] != was {
			t.Errorf("%s was %s and is %s", name, was, after[name])
		}
	}
}

// wantMaster wants the key file to be another one than before, alone, and everything to be under it.
func wantMaster(t testing.TB, data string, before []byte) []byte {
	t.Helper()
	now, err := os.ReadFile(data + ".master.key")
	check(t, err)
	if bytes.Equal(now, before) {
		t.Error("the master key is the old one")
	}
	if _, err := os.Lstat(data + ".master.key.next"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a further master key lies there: %v", err)
	}
	wantUnder(t, data, masterkey.Parse, string(now))
	r := run(t, "", "doctor", "--data", data)
	if r.code != 0 || !strings.Contains(r.stdout, "ok    key version") || strings.Contains(r.stdout, "warn  key version") {
		t.Errorf("doctor: %s%s", r.stdout, r.stderr)
	}
	return now
}

// wantUnder wants everything that is sealed to be under one key.
func wantUnder(t testing.TB, data string, parse func(string) (*masterkey.Key, error), text string) {
	t.Helper()
	key, err := parse(text)
	check(t, err)
	db, err := openReadOnly(t.Context(), data)
	check(t, err)
	defer db.Close()
	check(t, db.View(t.Context(), func(tx vault.Tx) error {
		for _, place := range vault.SealedPlaces {
			all, tagged, err := tx.MasterKeys().Count(t.Context(), place, key.Check()[:masterkey.TagSize])
			if err != nil || all != tagged {
				t.Errorf("%s: %d of %d values are under the new master key, %v", place, tagged, all, err)
			}
		}
		return nil
	}))
}

// TestSealContexts wants somebody to say how the values of each place are sealed: without it, the rotation would stop
// at the first of them.
func TestSealContexts(t *testing.T) {
	own := []vault.SealedPlace{vault.SealedSeeds, vault.SealedUploads, vault.SealedLogs, vault.SealedLogKeys}
	for _, place := range vault.SealedPlaces {
		if _, other := sealContexts[place]; other == slices.Contains(own, place) {
			t.Errorf("how values of %s are sealed is said by nobody, or by two", place)
		}
	}
}

// TestRotateMasterFile replaces a key file without a server and beside one, and after kills at each point where
// what lies there is of two keys.
func TestRotateMasterFile(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if r := run(t, "", "rotate", "master", "--data", data); r.code != 1 || !strings.Contains(r.stderr, "there is no vault") {
		t.Errorf("of nothing: %+v", r)
	}
	makeVault(t, data)
	before, err := os.ReadFile(data + ".master.key")
	check(t, err)

	// A command that was killed while it wrote the file, and one before it had announced it.
	write(t, data+".master.key.next", "svmk1")
	p := start(t, data)
	c := signIn(t, p.addr, "ann")
	c.must(c.put("/a", []byte("content"))).want(t, http.StatusCreated)
	check(t, os.Remove(data+".master.key.next"))
	_, err = masterkey.CreateFile(data + ".master.key.next")
	check(t, err)
	c.must(c.get("/a")).want(t, http.StatusOK)

	// Two at once: one of them goes away.
	first := command(t, "rotate", "master", "--data", data)
	said := &output{}
	first.Stderr = said
	check(t, first.Start())
	for !strings.Contains(said.String(), "the server begins") {
		time.Sleep(10 * time.Millisecond)
	}
	if r := run(t, "", "rotate", "master", "--data", data); r.code != 1 || !strings.Contains(r.stderr, "another stonevaultd rotate") {
		t.Errorf("a second command: %+v", r)
	}
	// Both are killed after the announcement; the server finds the key by itself.
	check(t, first.Process.Kill())
	first.Wait()
	p.kill()
	p = start(t, data)
	c = signIn(t, p.addr, "ann")
	for deadline := time.Now().Add(time.Minute); !strings.Contains(p.stderr.String(), "the master key was rotated"); {
		if time.Now().After(deadline) {
			t.Fatalf("the server does not rotate: %s", p.stderr)
		}
		c.must(c.get("/a")).want(t, http.StatusOK)
		time.Sleep(100 * time.Millisecond)
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if _, err := os.Lstat(data + ".master.key.next"); err != nil {
			break
		}
	}
	now := wantMaster(t, data, before)
	p.stop()

	// The key of before opens nothing any more, and the sentence says so.
	write(t, data+".old", string(before))
	if r := run(t, "", "admin", "create", "x", "--generate-password", "--data", data, "--master-key", "file:"+data+".old"); r.code != 1 || !strings.Contains(r.stderr, "another master key") {
		t.Errorf("with the old key: %+v", r)
	}
	r := run(t, "", "rotate", "master", "--data", data)
	if r.code != 0 || !strings.Contains(r.stderr, "keep a copy of it") {
		t.Fatalf("without a server: %+v", r)
	}
	wantMaster(t, data, now)
	p = start(t, data)
	c = signIn(t, p.addr, "ann")
	if r := c.must(c.get("/a")); string(r.body) != "content" {
		t.Errorf("the file is %q", r.body)
	}
	p.stop()
	wantSound(t, data)
}

// TestRotatePassphrase replaces a passphrase: the server, which nobody can ask for the new one, is handed the key.
func TestRotatePassphrase(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	old, next := filepath.Join(dir, "old"), filepath.Join(dir, "next")
	write(t, old, "the first passphrase\n")
	write(t, next, "quite another passphrase\n")
	by := func(path string, args ...string) []string {
		return append(args, "--data", data, "--master-key", "passphrase", "--master-passphrase-file", path)
	}
	r := run(t, testPassword, by(old, "admin", "create", "ann", "--password-stdin")...)
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	p := start(t, data, "--master-key", "passphrase", "--master-passphrase-file", old)
	c := signIn(t, p.addr, "ann")
	c.must(c.put("/a", []byte("content"))).want(t, http.StatusCreated)
	write(t, filepath.Join(dir, "short"), "short\n")
	for path, want := range map[string]string{filepath.Join(dir, "short"): "shorter than", "": "no terminal"} {
		args := by(old, "rotate", "master")
		if path != "" {
			args = append(args, "--master-passphrase-next-file", path)
		}
		if r := run(t, "", args...); r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%q: %+v", want, r)
		}
	}
	if r = run(t, "", append(by(old, "rotate", "master"), "--master-passphrase-next-file", next)...); r.code != 0 {
		t.Fatalf("%+v, and the server: %s", r, p.stderr)
	}
	c.must(c.get("/a")).want(t, http.StatusOK)
	p.stop()
	if r := run(t, "", by(old, "admin", "create", "x", "--generate-password")...); r.code != 1 || !strings.Contains(r.stderr, "not the passphrase") {
		t.Errorf("the old passphrase: %+v", r)
	}
	salt, err := os.ReadFile(filepath.Join(data, "master.salt"))
	check(t, err)
	wantUnder(t, data, func(text string) (*masterkey.Key, error) { return masterkey.FromPassphrase([]byte(text), salt) }, "quite another passphrase")
	if _, err := os.Lstat(filepath.Join(data, "master.salt.next")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a further salt lies there: %v", err)
	}
	db, err := openReadOnly(t.Context(), data)
	check(t, err)
	defer db.Close()
	check(t, db.View(t.Context(), func(tx vault.Tx) error {
		for _, name := range []string{settingOffers, settingHanded} {
			if _, err := tx.Settings().Get(t.Context(), name); !errors.Is(err, vault.ErrNotFound) {
				t.Errorf("%s is left: %v", name, err)
			}
		}
		return nil
	}))
	p = start(t, data, "--master-key", "passphrase", "--master-passphrase-file", next)
	c = signIn(t, p.addr, "ann")
	c.must(c.get("/a")).want(t, http.StatusOK)
	p.stop()
}

// beside works on a vault until it is stopped: nothing may fail, and nothing may take long.
type beside struct {
	t       testing.TB
	done    atomic.Int64
	longest atomic.Int64
	stop    chan struct{}
	working sync.WaitGroup
}

func (b *beside) took(since time.Time) {
	d := int64(time.Since(since))
	for was := b.longest.Load(); d > was && !b.longest.CompareAndSwap(was, d); was = b.longest.Load() {
	}
	b.done.Add(1)
}

// work has readers and writers at it: people who read their own file, and one who replaces his.
func work(t testing.TB, addr string, names ...string) *beside { return workIn(t, addr, "", names...) }

func workIn(t testing.TB, addr, folder string, names ...string) *beside {
	t.Helper()
	b := &beside{t: t, stop: make(chan struct{})}
	for _, name := range names {
		c := signIn(t, addr, name)
		for _, writes := range []bool{true, false} {
			path := fmt.Sprintf("%s/work of %v", folder, writes)
			content := []byte("first")
			c.must(c.put(path, content)).want(t, http.StatusCreated, http.StatusOK)
			b.working.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-b.stop:
						return
					case <-time.After(20 * time.Millisecond):
					}
					since := time.Now()
					if writes {
						content = fmt.Appendf(nil, "content %d", i)
						if r, err := c.put(path, content); err != nil || r.status != http.StatusOK {
							t.Errorf("beside the rotation: put: %d, %v: %.200s", r.status, err, r.body)
						}
					}
					if r, err := c.get(path); err != nil || !bytes.Equal(r.body, content) {
						t.Errorf("beside the rotation: get: %d, %v: %.200s", r.status, err, r.body)
					}
					b.took(since)
				}
			})
		}
	}
	return b
}

func (b *beside) end() {
	b.t.Helper()
	close(b.stop)
	b.working.Wait()
	longest := time.Duration(b.longest.Load())
	b.t.Logf("beside it %d requests were answered, the slowest in %v", b.done.Load(), longest)
	if b.done.Load() == 0 || longest > 3*time.Second {
		b.t.Errorf("whoever worked beside it was disturbed")
	}
}

// crowd makes many people with a file each, in this process.
func crowd(t testing.TB, data string, n int) {
	t.Helper()
	s := newServer(t, data)
	check(t, s.Run(t.Context()))
	hash, err := testHash()
	check(t, err)
	var making sync.WaitGroup
	for worker := range 8 {
		making.Go(func() {
			for i := worker; i < n; i += 8 {
				p, _, err := s.store.vault.CreatePerson(t.Context(), atMachine, fmt.Sprintf("person %d", i), vault.RoleUser, hash)
				if err == nil && i%10 == 0 {
					_, _, err = s.store.vault.Put(t.Context(), vault.Actor{Person: p.ID, Name: p.Name}, vault.PutRequest{Path: "/f", Body: strings.NewReader("content"), Size: 7, Mode: 0o600})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	making.Wait()
	closeServer(t, s)
}

// TestRotateMasterOfMany replaces the master key over many identities, while people work: no object is touched, and
// it takes 90 seconds at most. Then it is killed again and again, server and command.
func TestRotateMasterOfMany(t *testing.T) {
	people, kills := 500, 5
	if torture() {
		people, kills = 10_000, 100
	}
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	crowd(t, data, people)
	objects := bodies(t, data, ".body", ".env")
	before, err := os.ReadFile(data + ".master.key")
	check(t, err)

	p := start(t, data)
	workers := work(t, p.addr, "ann", "bob")
	since := time.Now()
	said := patiently(t, "rotate", "master", "--data", data)
	took := time.Since(since)
	workers.end()
	t.Logf("%d identities: %v; %s", people, took, lastLine(said))
	if took > 90*time.Second {
		t.Errorf("it took %v", took)
	}
	before = wantMaster(t, data, before)
	p.stop()
	wantSame(t, objects, bodies(t, data, ".body", ".env"))

	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	ended := 0
	for range kills {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(2500))*time.Millisecond)
		if random.IntN(2) == 0 { // the command works by itself
			alone := command(t, "rotate", "master", "--data", data)
			check(t, alone.Start())
			go func() { <-ctx.Done(); alone.Process.Kill() }()
			alone.Wait()
		} else {
			p, _ := launch(t, data)
			with := command(t, "rotate", "master", "--data", data)
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
		c := signIn(t, p.addr, "ann")
		c.must(c.get("/work of true")).want(t, http.StatusOK)
		c = signIn(t, p.addr, fmt.Sprintf("person %d", 10*random.IntN(people/10)))
		if r := c.must(c.get("/f")); string(r.body) != "content" {
			t.Fatalf("the file is %q; the server says %s", r.body, p.stderr)
		}
		p.kill()
		if now, err := os.ReadFile(data + ".master.key"); err == nil && !bytes.Equal(now, before) {
			before = now
			ended++
		}
	}
	patiently(t, "rotate", "master", "--data", data)
	p = start(t, data)
	p.stop()
	wantMaster(t, data, nil)
	wantSame(t, objects, bodies(t, data, ".body", ".env"))
	wantSound(t, data)
	t.Logf("%d kills, and new keys that came into use: %d", kills, ended)
}

// patiently is run for what may take longer than a minute, and must succeed. It returns what was said.
func patiently(t testing.TB, args ...string) string {
	t.Helper()
	cmd, said := command(t, args...), &output{}
	cmd.Stderr = said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v: %s", args, err, said)
	}
	return said.String()
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// TestRotateOfServers replaces the master key and a person's key under three servers whose key files are their own.
func TestRotateOfServers(t *testing.T) {
	m := newMany(t)
	var servers []*process
	var keys []string
	var dirs [][]string
	for i := range 3 {
		key := filepath.Join(t.TempDir(), "key")
		if i > 0 {
			check(t, copyFile(keys[0], key))
		}
		keys = append(keys, key)
		flags := append(slices.Clone(m.flags[:len(m.flags)-1]), "file:"+key)
		dirs = append(dirs, append([]string{filepath.Join(t.TempDir(), "own")}, flags...))
		servers = append(servers, start(t, dirs[i][0], flags...))
	}
	m.flags[len(m.flags)-1] = "file:" + keys[0]
	if r := run(t, testPassword+"\n", m.on(t, "admin", "create", "ann", "--password-stdin")...); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	var workers []*beside
	ann := signIn(t, servers[0].addr, "ann")
	ann.must(ann.put("/a", []byte("content"))).want(t, http.StatusCreated)
	for i, s := range servers {
		workers = append(workers, workIn(t, s.addr, fmt.Sprintf("/at %d", i), "ann"))
	}
	before, err := os.ReadFile(keys[0])
	check(t, err)
	for _, verb := range [][]string{{"rotate", "master"}, {"rotate", "identity", "ann"}} {
		if r := run(t, "", m.on(t, verb...)...); r.code != 0 {
			t.Errorf("%v: %+v", verb, r)
		}
	}
	for _, w := range workers {
		w.end()
	}
	now, err := os.ReadFile(keys[0])
	check(t, err)
	if bytes.Equal(before, now) {
		t.Error("the key file is the one of before")
	}
	for i, s := range servers {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			its, err := os.ReadFile(keys[i])
			check(t, err)
			if bytes.Equal(its, now) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("server %d has another key file: %s", i, s.stderr)
			}
		}
		check(t, s.cmd.Process.Signal(syscall.SIGTERM))
		<-s.ended
		again := start(t, dirs[i][0], dirs[i][1:]...)
		c := signIn(t, again.addr, "ann")
		if r := c.must(c.get("/a")); string(r.body) != "content" {
			t.Errorf("at server %d: %d, %q", i, r.status, r.body)
		}
	}
	for _, verb := range []string{"doctor", "audit fsck"} {
		if r := run(t, "", m.on(t, strings.Fields(verb)...)...); r.code != 0 {
			t.Errorf("%s: %+v", verb, r)
		}
	}
}
