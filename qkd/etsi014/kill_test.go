package etsi014_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/internal/masterkey"
	"stonevault/qkd"
	"stonevault/qkd/etsi014"
)

// serveVariable has this program serve the KMEs of a directory, in the place of its tests.
const serveVariable = "STONEVAULT_TEST_KME"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveVariable); dir != "" {
		if err := serveKMEs(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// serveKMEs serves until it is killed, or nobody reads its output any more.
func serveKMEs(dir string) error {
	master, err := masterkey.ReadFile(filepath.Join(dir, "master.key"))
	if err != nil {
		return err
	}
	_, kmes, err := openKMEs(filepath.Join(dir, "vault.db"), master, &randomKeys{})
	if err != nil {
		return err
	}
	own, err := tls.LoadX509KeyPair(filepath.Join(dir, "kme.pem"), filepath.Join(dir, "kme.pem"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(text)
	config, err := etsi014.ServerTLS(always(own), clients, false)
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	go func() { // a test that has ended leaves nothing behind
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return http.Serve(listener, &etsi014.Handler{Source: kmes.SAE, Identify: etsi014.CommonName.SAE})
}

func writePEM(t *testing.T, path string, blocks ...*pem.Block) {
	t.Helper()
	var b bytes.Buffer
	for _, block := range blocks {
		if err := pem.Encode(&b, block); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// books are what the SAEs have got. Whatever is in doubt is so because no answer came.
type books struct {
	t       *testing.T
	mu      sync.Mutex
	taken   map[qkd.KeyID]string // under mu; the keys that the master has got
	owner   map[string]qkd.KeyID // under mu; the same, the other way
	fetched map[qkd.KeyID]int    // under mu; how often the slave has got it
	doubts  int                  // under mu; requests without an answer
}

func (b *books) take(keys []qkd.Key, err error) (done bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.note(err)
		return false
	}
	for _, k := range keys {
		if id, twice := b.owner[string(k.Secret)]; twice {
			b.t.Errorf("the master gets key %s again as %s", id, k.ID)
		}
		if _, twice := b.taken[k.ID]; twice {
			b.t.Errorf("the master gets the id %s twice", k.ID)
		}
		b.taken[k.ID], b.owner[string(k.Secret)] = string(k.Secret), k.ID
	}
	return true
}

func (b *books) fetch(keys []qkd.Key, err error) (done bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.note(err)
		return errors.Is(err, qkd.ErrNotFound)
	}
	for _, k := range keys {
		if b.fetched[k.ID]++; b.fetched[k.ID] > 1 {
			b.t.Errorf("the slave gets key %s for the %d. time", k.ID, b.fetched[k.ID])
		}
		if b.taken[k.ID] != string(k.Secret) {
			b.t.Errorf("the slave gets another key %s than the master", k.ID)
		}
	}
	return true
}

// note is under mu.
func (b *books) note(err error) {
	switch {
	case errors.Is(err, etsi014.ErrUnreachable):
		b.doubts++
	case !errors.Is(err, qkd.ErrNotFound):
		b.t.Error(err)
	}
}

// TestKill kills the KMEs at random moments, as a loss of power would, while a master takes keys and the slave fetches
// each of them twice at once. Neither end ever gets a key twice, and both get the same; some are lost.
func TestKill(t *testing.T) {
	kills := 10
	if os.Getenv("STONEVAULT_TORTURE") == "1" {
		kills = 200
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir, ca := t.TempDir(), newAuthority(t)
	if _, err := masterkey.CreateFile(filepath.Join(dir, "master.key")); err != nil {
		t.Fatal(err)
	}
	own := ca.server()
	der, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, "kme.pem"), &pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]}, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	writePEM(t, filepath.Join(dir, "ca.pem"), &pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
	master, slave := ca.sae("a"), ca.sae("b")
	b := &books{t: t, taken: map[qkd.KeyID]string{}, owner: map[string]qkd.KeyID{}, fetched: map[qkd.KeyID]int{}}
	checked := map[qkd.KeyID]bool{}

	for round := range kills + 1 {
		url, kill := launchKMEs(t, dir)
		site := func(sae string, certificate tls.Certificate) *etsi014.Client {
			c, err := etsi014.NewClient(etsi014.Site{URL: url, SAE: sae, Certificate: always(certificate), Authorities: ca.pool})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			return c
		}
		a, to := site("a", master), site("b", slave)
		// What was got before the kill is gone, and what was not can still be got once.
		for id := range b.taken {
			if checked[id] {
				continue
			}
			checked[id] = true
			for range 2 {
				b.fetch(to.Fetch(ctx, "a", id))
			}
		}
		if t.Failed() || round == kills {
			kill()
			break
		}
		stop := make(chan struct{})
		var working sync.WaitGroup
		for range 3 {
			sizes := rand.New(rand.NewPCG(random.Uint64(), 1))
			working.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					keys, err := a.Take(ctx, "b", qkd.Request{Number: 1 + sizes.IntN(3)})
					if !b.take(keys, err) {
						return
					}
					ids := make([]qkd.KeyID, len(keys))
					for i, k := range keys {
						ids[i] = k.ID
					}
					var both sync.WaitGroup
					for range 2 {
						both.Go(func() { b.fetch(to.Fetch(ctx, "a", ids...)) })
					}
					both.Wait()
				}
			})
		}
		time.Sleep(time.Duration(random.IntN(150_000)) * time.Microsecond)
		kill()
		close(stop)
		working.Wait()
	}
	lost := 0
	for id := range b.taken {
		if b.fetched[id] == 0 {
			lost++
		}
	}
	if len(b.fetched) < kills || b.doubts < kills/2 {
		t.Errorf("%d keys fetched, %d requests without an answer: nothing was tested", len(b.fetched), b.doubts)
	}
	t.Logf("%d kills; %d keys taken, %d fetched, %d lost to the slave; %d requests without an answer", kills, len(b.taken), len(b.fetched), lost, b.doubts)
}

// launchKMEs starts this program as a KME, and returns its URL and what kills it.
func launchKMEs(t *testing.T, dir string) (url string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveVariable+"="+dir)
	var said bytes.Buffer
	cmd.Stderr = &said
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("the KMEs do not start: %v: %s", err, &said)
	}
	return "https://" + strings.TrimSpace(line), func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
}
