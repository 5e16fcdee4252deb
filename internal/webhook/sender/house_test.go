package sender

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
	"stonevault/internal/auditlog"
	"stonevault/internal/masterkey"
	"stonevault/internal/metadb"
	"stonevault/internal/metadb/testdb"
	"stonevault/internal/webhook"
)

// house is a database with an audit log and webhooks, which can be closed and opened again.
type house struct {
	t       *testing.T
	dir     string
	key     *masterkey.Key
	log     *logged
	private bool
	roots   *x509.CertPool

	mu sync.Mutex
	at time.Time // under mu

	db       *metadb.DB
	recorder *auditlog.Recorder
	service  *webhook.Service
	sender   *Sender
	wakes    atomic.Int64
}

type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *logged) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), log: &logged{}, private: true, at: time.Now()}
	var err error
	if h.key, err = masterkey.CreateFile(filepath.Join(h.dir, "master.key")); err != nil {
		t.Fatal(err)
	}
	h.open()
	t.Cleanup(func() { h.db.Close() })
	return h
}

func (h *house) now() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.at }

func (h *house) turn(d time.Duration) { h.mu.Lock(); h.at = h.at.Add(d); h.mu.Unlock() }

func (h *house) open() {
	h.t.Helper()
	check := func(err error) {
		h.t.Helper()
		if err != nil {
			h.t.Fatal(err)
		}
	}
	var err error
	h.db, err = testdb.Open(h.t.Context(), filepath.Join(h.dir, "meta.db"), "test")
	check(err)
	h.recorder = auditlog.NewRecorder(auditlog.Config{Database: h.db.Audit(), Master: h.key, Rand: rand.Reader, Now: h.now}, func() {})
	outbox := &webhook.Outbox{
		Vault: "vault-id", Rand: rand.Reader, Now: h.now, IsDownload: func(string, string) bool { return true },
		Wake: func() { h.wakes.Add(1); h.sender.Wake() },
	}
	h.recorder.Observe(func(ctx context.Context, store auditlog.Store, id int64, e audit.Event) error {
		return outbox.Announce(ctx, metadb.WebhooksIn(store), id, e)
	})
	h.service, err = webhook.New(webhook.Config{
		Store: h.db, Sealer: h.key, Audit: h.recorder, Outbox: outbox, Rand: rand.Reader, Now: h.now, Private: h.private,
	})
	check(err)
	h.sender = h.newSender(h.service)
	check(h.db.Audit().Update(h.t.Context(), func(store auditlog.Store) error {
		begun, err := h.recorder.Begun(h.t.Context(), store)
		if err == nil && !begun {
			_, err = h.recorder.Begin(h.t.Context(), store, auditlog.Beginning{Reason: "first"})
		}
		return err
	}))
}

func (h *house) newSender(q Queue) *Sender {
	s := New(Config{
		Queue: q, Now: h.now, Log: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Agent: "stonevault/test", Private: h.private, Roots: h.roots,
	})
	s.rest = time.Millisecond
	return s
}

// restart is a server that is killed and started again.
func (h *house) restart() {
	h.t.Helper()
	if err := h.db.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.open()
}

var admin = webhook.Asker{Role: access.Admin}

func (h *house) create(url string) webhook.Webhook {
	h.t.Helper()
	w, err := h.service.Create(h.t.Context(), admin, url, webhook.Kinds, true)
	if err != nil {
		h.t.Fatal(err)
	}
	return w
}

// happen records an event that webhooks are told of.
func (h *house) happen() (event int64) {
	h.t.Helper()
	event, err := h.recorder.Do(h.t.Context(), audit.Event{Type: audit.AccountChanged, Time: h.now(), Operational: audit.Values{"what": "role", "value": "admin", "by": "command"}})
	if err != nil {
		h.t.Fatal(err)
	}
	return event
}

// round tries what is due once, and waits for it.
func (h *house) round() {
	h.t.Helper()
	if err := h.sender.begin(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.sender.running.Wait()
}

func (h *house) deliveries(id string) []webhook.Delivery {
	h.t.Helper()
	list, _, err := h.service.Deliveries(h.t.Context(), admin, id, 1<<60, "", 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

func (h *house) only(id string) webhook.Delivery {
	h.t.Helper()
	list := h.deliveries(id)
	if len(list) != 1 {
		h.t.Fatalf("%d deliveries", len(list))
	}
	return list[0]
}

func (h *house) get(id string) webhook.Webhook {
	h.t.Helper()
	w, err := h.service.Get(h.t.Context(), admin, id)
	if err != nil {
		h.t.Fatal(err)
	}
	return w
}

// receiver is a real server that keeps what it got.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []received
	answer func(w http.ResponseWriter, r *http.Request, n int) // n is 1 at the first request; nil answers 204
}

type received struct {
	header http.Header
	body   []byte
}

func newReceiver(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, n int)) *receiver {
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (rec *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	rec.mu.Lock()
	rec.got = append(rec.got, received{r.Header, body})
	n := len(rec.got)
	rec.mu.Unlock()
	if rec.answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	rec.answer(w, r, n)
}

func (rec *receiver) all() []received {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return append([]received(nil), rec.got...)
}

func (r received) verify(s webhook.Secret, at time.Time) error {
	return webhook.Verify(s, r.header.Get("webhook-id"), r.header.Get("webhook-timestamp"), r.header.Get("webhook-signature"), r.body, at)
}

func status(code int) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(code) }
}

var errFull = errors.New("the disk is full")
