package httpapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"stonevault/api"
	"stonevault/audit"
	"stonevault/identity"
	"stonevault/internal/auditlog"
	"stonevault/internal/auth"
	"stonevault/internal/masterkey"
	"stonevault/internal/metadb"
	"stonevault/internal/metadb/testdb"
	"stonevault/internal/once"
	"stonevault/internal/quantum"
	"stonevault/internal/vault"
	"stonevault/internal/webhook"
	"stonevault/qkd/kme"
)

const password = "correct horse battery staple"

// passwordHash is password's with the least cost that is accepted, so that tests need not wait.
var passwordHash = sync.OnceValue(func() string {
	salt, b64 := []byte("sixteen bytes ok"), base64.RawStdEncoding
	sum := argon2.IDKey([]byte(password), salt, 1, 8<<10, 1, 32)
	return "$argon2id$v=19$m=8192,t=1,p=1$" + b64.EncodeToString(salt) + "$" + b64.EncodeToString(sum)
})

// world is a real server on a real port, with a real vault behind it.
type world struct {
	t        testing.TB
	api      *API
	vault    *vault.Vault
	audit    auditlog.Config
	tally    *auditlog.Tally
	webhooks *webhook.Service
	db       *metadb.DB
	dir      string
	objects  string // directory
	url      string
	log      *logged
	tokens   map[string]string // by name; "" has none
	notUp    error             // what readiness says
	ahead    atomic.Int64      // how far the vault's clock is, in nanoseconds

	code     *auth.SetupCode
	codeGone atomic.Bool
}

// logged keeps what was logged.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *logged) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// people are who calls: a stranger has an account and nothing to do with the owner's files.
var people = map[string]vault.Role{"owner": vault.RoleUser, "stranger": vault.RoleUser, "manager": vault.RoleManager, "admin": vault.RoleAdmin}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := newEmptyWorld(t)
	for name, role := range people {
		if _, _, err := w.vault.CreatePerson(context.Background(), vault.Actor{}, name, role, passwordHash()); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// database is the path that testdb knows the metadata by.
func (w *world) database() string { return filepath.Join(w.dir, "meta.db") }

// newEmptyWorld has no accounts.
func newEmptyWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	w := &world{t: t, log: &logged{}, dir: dir, objects: filepath.Join(dir, "objects"), tokens: map[string]string{"anonymous": ""}}
	logger := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	w.db, err = testdb.Open(ctx, w.database(), "test")
	check(err)
	t.Cleanup(func() { w.db.Close() })
	store := w.openObjects()
	member, limiter := w.openShared()
	key, err := masterkey.CreateFile(filepath.Join(dir, "master.key"))
	check(err)
	master := masterkey.NewRing(key)
	w.audit = auditlog.Config{Database: w.db.Audit(), Master: master, Rand: rand.Reader, Now: time.Now}
	sequencer := auditlog.NewSequencer(w.audit, func(err error) { t.Error(err) })
	recorder := auditlog.NewRecorder(w.audit, sequencer.Wake)
	w.tally = auditlog.NewTally(recorder)
	outbox := &webhook.Outbox{Vault: "vault-id", Rand: rand.Reader, Now: time.Now, IsDownload: IsDownload, Wake: func() {}}
	var service *auth.Service
	recorder.Observe(func(ctx context.Context, store auditlog.Store, id int64, e audit.Event) error {
		if service != nil {
			metadb.AfterCommit(store, func() { service.Heed(e) })
		}
		return outbox.Announce(ctx, metadb.WebhooksIn(store), id, e)
	})
	w.webhooks, err = webhook.New(webhook.Config{Store: w.db, Sealer: master, Audit: recorder, Outbox: outbox, Rand: rand.Reader, Now: time.Now})
	check(err)
	sessions, err := quantum.New(quantum.Config{Store: w.db, Audit: recorder, Tally: w.tally, KMEs: kme.Config{
		Source: "kme-1", Target: "kme-2", Store: w.db, Sealer: master, Random: rand.Reader, Now: w.now,
		Known: func(context.Context, string) (bool, error) { return true, nil },
	}})
	check(err)
	w.vault, err = vault.Open(ctx, vault.Config{
		Database: w.db, Objects: store, Parts: store, Master: master, Audit: recorder, Suite: identity.SuiteHybrid, Log: logger,
		Now: w.now, Peers: member,
	})
	check(err)
	service, err = auth.New(ctx, auth.Config{Store: w.db, Sealer: master, Audit: recorder, Tally: w.tally, Issuer: "test", Now: time.Now})
	check(err)
	w.code, err = auth.NewSetupCode(rand.Reader, func() { w.codeGone.Store(true) })
	check(err)
	w.api, err = New(Config{
		SetupCode: w.code,
		Vault:     w.vault, Auth: service, AuditLog: auditlog.NewReader(w.audit), AwaitEvent: sequencer.Wait, Tally: w.tally, Webhooks: w.webhooks, Quantum: sessions, Answers: once.NewKeeper(w.db, w.now), Version: "1.2.3-test", Log: logger, Now: time.Now,
		Ready: func(context.Context) error { return w.notUp }, Limiter: limiter,
	})
	check(err)

	jobs, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { sequencer.Run(jobs) })
	t.Cleanup(func() { // before the database is closed
		stop()
		running.Wait()
		w.vault.EndDownloads(ctx, true)
	})

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := &http.Server{Handler: w.api, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn)}
	Limits(server)
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	w.url = "http://" + listener.Addr().String()
	return w
}

// now is the vault's clock.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// token signs a person in, once.
func (w *world) token(name string) string {
	w.t.Helper()
	if token, ok := w.tokens[name]; ok {
		return token
	}
	grant, err := w.api.Auth.SignIn(context.Background(), auth.Credentials{Name: name, Password: password, Client: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.tokens[name] = grant.AccessToken
	return grant.AccessToken
}

// answer is a reply that has been read to its end, however that was.
type answer struct {
	*http.Response
	body []byte
	err  error // of reading the body
}

// chunked is a body that is sent without a Content-Length.
type chunked string

// do sends a request as somebody. Header lines are "Name: value". Whoever sends more than the server wants may find the
// connection closed before he has read why, on a machine that has much to do: then a text is sent again.
func (w *world) do(who, method, target string, body any, header ...string) *answer {
	w.t.Helper()
	for try := 1; ; try++ {
		a, err := w.try(who, method, target, body, header)
		if err == nil {
			return a
		}
		_, isReader := body.(io.Reader)
		if closed := errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET); !closed || isReader || try == 3 {
			w.t.Fatalf("%s %s: %v", method, target, err)
		}
	}
}

func (w *world) try(who, method, target string, body any, header []string) (*answer, error) {
	w.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	case chunked:
		reader = io.MultiReader(strings.NewReader(string(b)))
	case []byte:
		reader = bytes.NewReader(b)
	case io.Reader:
		reader = b
	}
	r, err := http.NewRequest(method, w.url+target, reader)
	if err != nil {
		w.t.Fatal(err)
	}
	if token := w.token(who); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for _, line := range header {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			w.t.Fatalf("header %q", line)
		}
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	// No redirect is ever followed: the server gives none.
	res, err := (&http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       time.Minute,
	}).Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	a := &answer{Response: res}
	a.body, a.err = io.ReadAll(res.Body)
	return a, nil
}

func (w *world) put(who, path string, body []byte) api.File {
	w.t.Helper()
	a := w.do(who, "PUT", "/api/v1/content"+path, body, "Content-Type: text/plain")
	if a.StatusCode != http.StatusCreated && a.StatusCode != http.StatusOK {
		w.t.Fatalf("put %s: %d %s", path, a.StatusCode, a.body)
	}
	return decode[api.File](w.t, a)
}

func decode[T any](t testing.TB, a *answer) T {
	t.Helper()
	var v T
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%d %s: %v", a.StatusCode, a.body, err)
	}
	return v
}

// wantProblem checks that a reply is a whole problem document of one kind, and returns it.
func wantProblem(t testing.TB, a *answer, code string) api.Problem {
	t.Helper()
	k := kindOf(code)
	if k == nil {
		t.Fatalf("there is no problem %q", code)
	}
	if a.StatusCode != k.status {
		t.Errorf("status %d, want %d (%s); body %s", a.StatusCode, k.status, code, a.body)
		return api.Problem{}
	}
	if a.Request.Method == http.MethodHead {
		return api.Problem{}
	}
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q; body %s", got, a.body)
		return api.Problem{}
	}
	p := decode[api.Problem](t, a)
	if p.Type != "/problems/"+code || p.Status != k.status || p.Title == "" || p.Detail == "" {
		t.Errorf("the problem is %+v, want %s", p, code)
	}
	if p.RequestID == "" || p.RequestID != a.Header.Get("X-Request-Id") {
		t.Errorf("request id %q, header %q", p.RequestID, a.Header.Get("X-Request-Id"))
	}
	if code == "invalid" && len(p.Errors) == 0 {
		t.Error("a value is invalid, and none is named")
	}
	for _, name := range contentHeaders {
		if name != "Content-Range" && a.Header.Get(name) != "" {
			t.Errorf("a problem carries %s: %s", name, a.Header.Get(name))
		}
	}
	return p
}

// object finds the file of a stored object.
func (w *world) object(name string) string {
	w.t.Helper()
	var found string
	err := filepath.WalkDir(w.objects, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == name {
			found = path
		}
		return err
	})
	if err != nil || found == "" {
		w.t.Fatalf("object %s: %v", name, errors.Join(err, os.ErrNotExist))
	}
	return found
}

// flip changes one bit of a stored object; a negative offset counts from the end.
func (w *world) flip(name string, offset int64) {
	w.t.Helper()
	path := w.object(name)
	b, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if offset < 0 {
		offset += int64(len(b))
	}
	b[offset] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		w.t.Fatal(err)
	}
}
