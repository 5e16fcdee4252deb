package quantum_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/internal/auditlog"
	"stonevault/internal/masterkey"
	"stonevault/internal/metadb"
	"stonevault/internal/metadb/metadbtest"
	"stonevault/internal/metadb/testdb"
	"stonevault/internal/quantum"
	"stonevault/internal/vault"
	"stonevault/qkd/kme"
)

// runVariable has this program run sessions in a directory, in the place of its tests.
const runVariable = "STONEVAULT_TEST_QUANTUM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(runVariable); dir != "" {
		if err := runSessions(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// telling is a store that tells of each secret once it was taken for good: what a session may use from then on.
type telling struct {
	*metadb.DB
	tell func(secret string)
}

type tellingTx struct {
	quantum.Tx
	taken *string
}

func (t telling) UpdateQuantum(ctx context.Context, fn func(quantum.Tx) error) error {
	taken := ""
	err := t.DB.UpdateQuantum(ctx, func(tx quantum.Tx) error {
		taken = ""
		return fn(tellingTx{tx, &taken})
	})
	if err == nil && taken != "" {
		t.tell(taken)
	}
	return err
}

func (t tellingTx) TakeSecret(ctx context.Context, a, b string) (quantum.Secret, error) {
	s, err := t.Tx.TakeSecret(ctx, a, b)
	if err == nil {
		*t.taken = fmt.Sprintf("%x", sha256.Sum256(s.Sealed)) // no two are sealed alike
	}
	return s, err
}

// person is the id of one of two people.
func person(n int) string { return string(metadbtest.Person(n).ID) }

// prepare makes a vault of two people.
func prepare(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	key, err := masterkey.CreateFile(filepath.Join(dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := testdb.Open(t.Context(), filepath.Join(dir, "vault.db"), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	recorder := auditlog.NewRecorder(auditlog.Config{Database: db.Audit(), Master: masterkey.NewRing(key), Rand: rand.Reader, Now: time.Now}, func() {})
	if err := errors.Join(db.Update(t.Context(), func(tx vault.Tx) error {
		return errors.Join(tx.People().Insert(t.Context(), metadbtest.Person(1)), tx.People().Insert(t.Context(), metadbtest.Person(2)))
	}), db.Audit().Update(t.Context(), func(store auditlog.Store) error {
		_, err := recorder.Begin(t.Context(), store, auditlog.Beginning{Reason: "first"})
		return err
	})); err != nil {
		t.Fatal(err)
	}
	return dir
}

// openService is a server's sessions.
func openService(dir string, tell func(string)) (*quantum.Service, *metadb.DB, error) {
	key, err := masterkey.ReadFile(filepath.Join(dir, "master.key"))
	if err != nil {
		return nil, nil, err
	}
	db, err := testdb.Open(context.Background(), filepath.Join(dir, "vault.db"), "test")
	if err != nil {
		return nil, nil, err
	}
	master := masterkey.NewRing(key)
	recorder := auditlog.NewRecorder(auditlog.Config{Database: db.Audit(), Master: master, Rand: rand.Reader, Now: time.Now}, func() {})
	s, err := quantum.New(quantum.Config{Store: telling{db, tell}, Audit: recorder, Tally: auditlog.NewTally(recorder), KMEs: kme.Config{
		Source: "a", Target: "b", Store: db, Sealer: master, Random: rand.Reader, Now: time.Now,
		Known: func(context.Context, string) (bool, error) { return true, nil },
	}})
	if err == nil {
		s.Shorten()
	}
	return s, db, err
}

// runSessions runs sessions in both directions until it is killed, or nobody reads its output any more.
func runSessions(dir string) error {
	s, _, err := openService(dir, func(secret string) { fmt.Println(secret) })
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for _, p := range []kme.Pair{{Master: person(1), Slave: person(2)}, {Master: person(2), Slave: person(1)}} {
		go func() {
			for {
				if _, _, err := s.Make(context.Background(), p, 1); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}
		}()
	}
	_, err = io.Copy(io.Discard, os.Stdin) // a test that has ended leaves nothing behind
	return err
}

// TestSecretsSurviveKills kills servers at random points while sessions run: no secret is used twice.
func TestSecretsSurviveKills(t *testing.T) {
	if !testdb.OnSQLite() {
		t.Skip("NOT RUN: what a kill leaves is about a file, and PostgreSQL keeps its own")
	}
	kills := 8
	if os.Getenv("STONEVAULT_TORTURE") == "1" {
		kills = 200
	}
	dir := prepare(t)
	used := map[string]bool{}
	for range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), runVariable+"="+dir)
		cmd.Stderr = os.Stderr
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stdout)
		if !lines.Scan() || lines.Text() != "ready" {
			t.Fatalf("the server says %q", lines.Text())
		}
		for left := mathrand.IntN(5); ; left-- { // so many secrets, and then it may be any moment
			if left == 0 {
				time.AfterFunc(time.Duration(mathrand.IntN(300))*time.Millisecond, func() { cmd.Process.Kill() })
			}
			if !lines.Scan() {
				break
			}
			if secret := lines.Text(); used[secret] {
				t.Errorf("%s is used twice", secret)
			} else {
				used[secret] = true
			}
		}
		stdin.Close()
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("the server ended by itself: %v", err)
		}
	}
	if len(used) == 0 {
		t.Error("no secret was used")
	}
	t.Logf("%d secrets were used", len(used))
}

// TestSecretsAtOnce has sessions of one pair run at several servers at once: no two have the same secret.
func TestSecretsAtOnce(t *testing.T) {
	dir := prepare(t)
	var mu sync.Mutex
	used := map[string]int{}
	var running sync.WaitGroup
	for n := range 3 {
		s, db, err := openService(dir, func(secret string) {
			mu.Lock()
			defer mu.Unlock()
			used[secret]++
		})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		p := kme.Pair{Master: person(1 + n%2), Slave: person(2 - n%2)}
		running.Go(func() {
			for range 5 {
				if _, _, err := s.Make(t.Context(), p, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	for secret, n := range used {
		if n != 1 {
			t.Errorf("%s is used %d times", secret, n)
		}
	}
	if len(used) == 0 {
		t.Error("no secret was used")
	}
}
