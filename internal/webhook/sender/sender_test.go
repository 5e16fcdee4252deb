package sender

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
	"stonevault/internal/auditlog"
	"stonevault/internal/masterkey"
	"stonevault/internal/metadb/testdb"
	"stonevault/internal/webhook"
)

func TestDelivered(t *testing.T) {
	h := newHouse(t)
	rec := newReceiver(t, nil)
	w := h.create(rec.URL + "/hook?key=1")
	event := h.happen()
	d := h.only(w.ID)
	if d.State() != webhook.Waiting || h.wakes.Load() == 0 {
		t.Errorf("%+v, %d wakes", d, h.wakes.Load())
	}
	h.round()
	got := rec.all()
	if len(got) != 1 {
		t.Fatalf("%d requests", len(got))
	}
	if err := got[0].verify(w.Secret, h.now()); err != nil {
		t.Error(err)
	}
	other := h.create(rec.URL)
	if err := got[0].verify(other.Secret, h.now()); !errors.Is(err, webhook.ErrSignature) {
		t.Errorf("with another secret: %v", err)
	}
	var m webhook.Message
	if err := json.Unmarshal(got[0].body, &m); err != nil || m.Type != webhook.RoleChanged || m.Event != event || m.Vault != "vault-id" || m.Role != "admin" {
		t.Errorf("%s, %v", got[0].body, err)
	}
	if got[0].header.Get("Content-Type") != "application/json" || got[0].header.Get("User-Agent") != "stonevault/test" || got[0].header.Get("webhook-id") != d.Message {
		t.Errorf("%v", got[0].header)
	}
	d = h.only(w.ID)
	if d.State() != webhook.Delivered || d.Tries != 1 || d.Status != 204 || d.Event != event {
		t.Errorf("%+v", d)
	}
	h.round()
	if n := len(rec.all()); n != 1 {
		t.Errorf("sent %d times", n)
	}
	if delivered, failed, givenUp := h.sender.Tries(); delivered != 1 || failed != 0 || givenUp != 0 {
		t.Errorf("%d, %d, %d", delivered, failed, givenUp)
	}
}

// Who wants other events, or is switched off, is told nothing.
func TestSubscriptions(t *testing.T) {
	h := newHouse(t)
	rec := newReceiver(t, nil)
	other, err := h.service.Create(t.Context(), admin, rec.URL, []webhook.Kind{webhook.DeviceNew}, true)
	if err != nil {
		t.Fatal(err)
	}
	off, err := h.service.Create(t.Context(), admin, rec.URL, webhook.Kinds, false)
	if err != nil {
		t.Fatal(err)
	}
	h.happen()
	h.round()
	if len(h.deliveries(other.ID))+len(h.deliveries(off.ID))+len(rec.all()) != 0 {
		t.Error("somebody was told who need not be")
	}
	if _, err := h.service.Test(t.Context(), admin, off.ID); !errors.Is(err, webhook.ErrOff) {
		t.Errorf("a test of one that is off: %v", err)
	}
}

// A delivery is there with its event, or not at all.
func TestTogetherWithTheEvent(t *testing.T) {
	h := newHouse(t)
	w := h.create("https://example.com")
	broken := errors.New("broken")
	err := h.db.UpdateWebhooks(t.Context(), func(tx webhook.Tx) error {
		_, err := h.recorder.Record(t.Context(), tx.Audit(), audit.Event{Type: audit.AccountChanged, Time: h.now(), Operational: audit.Values{"what": "role", "value": "user", "by": "command"}})
		return errors.Join(err, broken)
	})
	if !errors.Is(err, broken) || len(h.deliveries(w.ID)) != 0 {
		t.Errorf("%v, %d deliveries", err, len(h.deliveries(w.ID)))
	}
}

func TestRetries(t *testing.T) {
	h := newHouse(t)
	rec := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, n int) {
		if n <= 2 {
			w.WriteHeader(500)
		}
	})
	w := h.create(rec.URL)
	h.happen()
	h.round()
	d := h.only(w.ID)
	if d.State() != webhook.Waiting || d.Tries != 1 || d.Status != 500 || d.Problem != "the receiver answered 500" || h.get(w.ID).Problem != d.Problem {
		t.Errorf("%+v, %+v", d, h.get(w.ID))
	}
	h.turn(4 * time.Second)
	h.round()
	if n := len(rec.all()); n != 1 {
		t.Fatalf("tried again before its time: %d", n)
	}
	h.turn(time.Second)
	h.round()
	h.turn(29 * time.Second)
	h.round()
	if n := len(rec.all()); n != 2 {
		t.Fatalf("tried %d times", n)
	}
	h.turn(time.Second)
	h.round()
	d = h.only(w.ID)
	if d.State() != webhook.Delivered || d.Tries != 3 || d.Problem != "" || h.get(w.ID).Problem != "" || h.get(w.ID).Waiting != 0 {
		t.Errorf("%+v, %+v", d, h.get(w.ID))
	}
	stamps := map[string]bool{}
	for i, r := range rec.all() {
		if r.header.Get("webhook-id") != d.Message || !bytes.Equal(r.body, d.Body) {
			t.Errorf("try %d is of another message: %v", i, r.header)
		}
		stamps[r.header.Get("webhook-timestamp")] = true
	}
	if err := rec.all()[2].verify(w.Secret, h.now()); err != nil || len(stamps) != 3 {
		t.Errorf("%v, stamps %v", err, stamps)
	}
}

func TestRefusedConnection(t *testing.T) {
	h := newHouse(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	w := h.create("http://" + address)
	h.happen()
	h.round()
	if d := h.only(w.ID); d.State() != webhook.Waiting || d.Status != 0 || d.Problem != "nobody listens at the receiver's address" {
		t.Errorf("%+v", d)
	}
	if l, err = net.Listen("tcp", address); err != nil {
		t.Skip("somebody else took the port")
	}
	var got atomic.Int64
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got.Add(1) })}
	go server.Serve(l)
	defer server.Close()
	h.turn(5 * time.Second)
	h.round()
	if d := h.only(w.ID); d.State() != webhook.Delivered || got.Load() != 1 {
		t.Errorf("%+v", d)
	}
}

// A receiver that is away for a day loses what was for it, and its webhook says so and stays on.
func TestGivenUp(t *testing.T) {
	h := newHouse(t)
	rec := newReceiver(t, status(503))
	w := h.create(rec.URL)
	h.happen()
	began := h.now()
	for h.only(w.ID).State() == webhook.Waiting {
		if next := h.only(w.ID).NextAt; next.After(h.now()) {
			h.turn(next.Sub(h.now()))
		}
		h.round()
		h.restart()
	}
	d := h.only(w.ID)
	if age := h.now().Sub(began); age < 23*time.Hour || age > 25*time.Hour || d.State() != webhook.GivenUp || d.Tries != 8 || len(rec.all()) != 8 {
		t.Errorf("after %v: %+v, %d requests", age, d, len(rec.all()))
	}
	if got := h.get(w.ID); !got.Active || got.Problem != "the receiver answered 503" {
		t.Errorf("%+v", got)
	}
	h.turn(7*24*time.Hour - time.Minute)
	if err := h.service.Sweep(t.Context()); err != nil || len(h.deliveries(w.ID)) != 1 {
		t.Errorf("removed too early: %v", err)
	}
	h.turn(2 * time.Minute)
	if err := h.service.Sweep(t.Context()); err != nil || len(h.deliveries(w.ID)) != 0 {
		t.Errorf("not removed: %v", err)
	}
}

func TestGone(t *testing.T) {
	h := newHouse(t)
	rec := newReceiver(t, status(410))
	w := h.create(rec.URL)
	for range 5 {
		h.happen()
	}
	h.round()
	got := h.get(w.ID)
	if got.Active || got.Waiting != 0 || !strings.Contains(got.Problem, "410") {
		t.Errorf("%+v", got)
	}
	for _, d := range h.deliveries(w.ID) {
		if d.State() != webhook.GivenUp || !strings.Contains(d.Problem, "410") {
			t.Errorf("%+v", d)
		}
	}
	n := len(rec.all())
	h.happen()
	h.turn(time.Hour)
	h.round()
	if len(rec.all()) != n || n > perWebhook || len(h.deliveries(w.ID)) != 5 {
		t.Errorf("sent %d times, and %d after it was switched off", n, len(rec.all()))
	}
}

// What waits when a webhook is switched off or deleted is not sent, nor kept from ending by a try under way.
func TestSwitchedOffMeanwhile(t *testing.T) {
	h := newHouse(t)
	var during func()
	rec := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		during()
		w.WriteHeader(500)
	})
	w := h.create(rec.URL)
	off := false
	during = func() {
		if _, err := h.service.Change(context.Background(), admin, w.ID, webhook.Change{Active: &off}); err != nil {
			t.Error(err)
		}
	}
	h.happen()
	h.round()
	if d := h.only(w.ID); d.State() != webhook.GivenUp || d.Problem != "the webhook was switched off" {
		t.Errorf("%+v", d)
	}
	on := true
	if _, err := h.service.Change(t.Context(), admin, w.ID, webhook.Change{Active: &on}); err != nil {
		t.Fatal(err)
	}
	during = func() {
		if err := h.service.Delete(context.Background(), admin, w.ID); err != nil {
			t.Error(err)
		}
	}
	h.happen()
	h.round()
	if _, err := h.service.Get(t.Context(), admin, w.ID); !errors.Is(err, webhook.ErrNotFound) {
		t.Error(err)
	}
}

// A server may be killed at each of these points: the message is sent at least once, and each time by the same id.
func TestKilled(t *testing.T) {
	for _, row := range []struct {
		point string
		sent  int
	}{{"before it was sent", 1}, {"while the receiver has it", 2}, {"before it was kept that it arrived", 2}, {"after that", 1}} {
		t.Run(row.point, func(t *testing.T) {
			h := newHouse(t)
			ctx, kill := context.WithCancel(t.Context())
			defer kill()
			rec := newReceiver(t, func(w http.ResponseWriter, r *http.Request, n int) {
				if n == 1 && row.point == "while the receiver has it" {
					kill()
					<-r.Context().Done()
				}
			})
			w := h.create(rec.URL)
			h.happen()
			if row.point == "before it was kept that it arrived" {
				h.sender.queue = &failingQueue{Queue: h.service, fails: func() error { kill(); return errFull }}
			}
			if row.point != "before it was sent" {
				if err := h.sender.begin(ctx); err != nil {
					t.Fatal(err)
				}
				h.sender.running.Wait()
			}
			h.restart()
			h.round()
			d := h.only(w.ID)
			if d.State() != webhook.Delivered || len(rec.all()) != row.sent {
				t.Errorf("%+v, sent %d times", d, len(rec.all()))
			}
			for _, r := range rec.all() {
				if r.header.Get("webhook-id") != d.Message || r.verify(w.Secret, h.now()) != nil {
					t.Errorf("%v", r.header)
				}
			}
		})
	}
}

type failingQueue struct {
	Queue
	fails func() error // nil where it works again
}

func (q *failingQueue) Settle(ctx context.Context, j webhook.Job, o webhook.Outcome) (webhook.State, error) {
	if err := q.fails(); err != nil {
		return "", err
	}
	return q.Queue.Settle(ctx, j, o)
}

// While an outcome cannot be kept, nothing is sent again.
func TestDatabaseAway(t *testing.T) {
	h := newHouse(t)
	rec := newReceiver(t, nil)
	w := h.create(rec.URL)
	h.happen()
	var n atomic.Int64
	h.sender.queue = &failingQueue{Queue: h.service, fails: func() error {
		if err := h.sender.begin(context.Background()); err != nil {
			t.Error(err)
		}
		if n.Add(1) < 10 {
			return errFull
		}
		return nil
	}}
	h.round()
	if d := h.only(w.ID); d.State() != webhook.Delivered || len(rec.all()) != 1 || n.Load() != 10 {
		t.Errorf("%+v, sent %d times, tried to keep %d times", d, len(rec.all()), n.Load())
	}
}

// What a server is told while it stops is not sent again by the next.
func TestAnsweredWhileStopping(t *testing.T) {
	h := newHouse(t)
	ctx, stop := context.WithCancel(t.Context())
	rec := newReceiver(t, nil)
	w := h.create(rec.URL)
	h.happen()
	h.sender.queue = &failingQueue{Queue: h.service, fails: func() error { stop(); return nil }}
	if err := h.sender.begin(ctx); err != nil {
		t.Fatal(err)
	}
	h.sender.running.Wait()
	if d := h.only(w.ID); d.State() != webhook.Delivered {
		t.Errorf("%+v", d)
	}
}

// Run by itself sends within moments, and one receiver that hangs holds up nobody else.
func TestRun(t *testing.T) {
	h := newHouse(t)
	free := make(chan struct{})
	slow := newReceiver(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		select {
		case <-free:
		case <-r.Context().Done():
		}
	})
	quick := newReceiver(t, nil)
	first, second := h.create(slow.URL), h.create(quick.URL)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { h.sender.Run(ctx); close(done) }()
	const events = 20
	began := time.Now()
	for range events {
		h.happen()
	}
	wait(t, func() bool { return len(quick.all()) == events })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if n := len(slow.all()); n != perWebhook {
		t.Errorf("%d under way to the slow one", n)
	}
	close(free)
	wait(t, func() bool { return h.get(first.ID).Waiting == 0 && h.get(second.ID).Waiting == 0 })
	stop()
	<-done
	ids := map[string]bool{}
	for _, r := range slow.all() {
		ids[r.header.Get("webhook-id")] = true
	}
	if len(ids) != events || len(slow.all()) != events || len(quick.all()) != events {
		t.Errorf("%d messages in %d and %d requests", len(ids), len(slow.all()), len(quick.all()))
	}
}

func wait(t *testing.T, until func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !until(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it took too long")
		}
	}
}

func TestTestMessage(t *testing.T) {
	h := newHouse(t)
	rec := newReceiver(t, status(404))
	w := h.create(rec.URL)
	d, err := h.service.Test(t.Context(), admin, w.ID)
	if err != nil || d.Kind != webhook.Test || d.Event != 0 {
		t.Fatalf("%+v, %v", d, err)
	}
	h.round()
	if got := h.only(w.ID); got.Message != d.Message || got.State() != webhook.GivenUp || got.Tries != 1 || got.Problem != "the receiver answered 404" {
		t.Errorf("%+v", got)
	}
	if body := string(rec.all()[0].body); !strings.HasPrefix(body, `{"type":"test","time":"`) || !strings.HasSuffix(body, `Z","vault":"vault-id"}`) {
		t.Error(body)
	}
}

// A secret is shown once: not in lists, events, messages, logs or the database, and neither is what the address says
// beside the host.
func TestSecretsStay(t *testing.T) {
	h := newHouse(t)
	rec := newReceiver(t, status(500))
	w := h.create(rec.URL + "/canary-path?token=canary-token")
	secrets := []string{w.Secret.Reveal()[6:]}
	renewed, err := h.service.Renew(t.Context(), admin, w.ID)
	if err != nil || renewed.Secret.Reveal() == w.Secret.Reveal() {
		t.Fatal(err)
	}
	secrets = append(secrets, renewed.Secret.Reveal()[6:])
	h.happen()
	h.round()
	got := rec.all()[0]
	if got.verify(renewed.Secret, h.now()) != nil || !errors.Is(got.verify(w.Secret, h.now()), webhook.ErrSignature) {
		t.Error("the message is not signed with the newest secret")
	}
	dead := h.create("http://127.0.0.1:1/canary-path?token=canary-token")
	h.happen()
	h.round()
	list, err := h.service.List(t.Context(), admin)
	if err != nil || len(list) != 2 {
		t.Fatal(err)
	}
	for _, w := range list {
		if !w.Secret.IsZero() {
			t.Error("a list has a secret")
		}
	}
	shown := fmt.Sprintf("%+v %+v %+v %s", h.deliveries(w.ID), h.deliveries(dead.ID), got.body, h.log)
	if strings.Contains(shown, "canary") {
		t.Errorf("more of the address than its host: %s", shown)
	}
	if err := h.db.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(h.dir, "meta.db*"))
	if err != nil || testdb.OnSQLite() && len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		shown += string(b)
	}
	for _, text := range secrets {
		parsed, err := webhook.ParseSecret("whsec_" + text)
		if err != nil || strings.Contains(shown, text) || strings.Contains(shown, rawKey(t, parsed)) {
			t.Errorf("a secret shows: %v", err)
		}
	}
}

// TestKeyAway: while the master key cannot be used nothing is sent, and no try is counted.
func TestKeyAway(t *testing.T) {
	h := newHouse(t)
	h.create("http://127.0.0.1:9/hook")
	h.happen()
	h.key.Suspend(auditlog.ErrKeyAway)
	if jobs, err := h.service.Due(t.Context(), 10); !errors.Is(err, auditlog.ErrKeyAway) || len(jobs) > 0 {
		t.Errorf("%d deliveries, %v", len(jobs), err)
	}
	same, err := masterkey.ReadFile(filepath.Join(h.dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.key.Resume(same); err != nil {
		t.Fatal(err)
	}
	if jobs, err := h.service.Due(t.Context(), 10); err != nil || len(jobs) != 1 || jobs[0].Tries != 0 {
		t.Errorf("%d deliveries, %v", len(jobs), err)
	}
}

// TestRotatedSecrets: for a day messages are signed with both secrets, then with the new one; a new secret by request ends
// the one before at once; and nothing changes where the new one could not be shown.
func TestRotatedSecrets(t *testing.T) {
	h := newHouse(t)
	rec := newReceiver(t, nil)
	w := h.create(rec.URL)
	var now webhook.Secret
	rotate := func() {
		t.Helper()
		if err := h.service.Rotate(t.Context(), admin, func(shown webhook.Webhook) error { now = shown.Secret; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	signedBy := func(what string, good ...webhook.Secret) {
		t.Helper()
		h.happen()
		h.round()
		got := rec.all()
		last := got[len(got)-1]
		for _, s := range good {
			if err := last.verify(s, h.now()); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if n := len(strings.Fields(last.header.Get("webhook-signature"))); n != len(good) {
			t.Errorf("%s: %d signatures, want %d", what, n, len(good))
		}
	}
	if err := h.service.Rotate(t.Context(), admin, func(webhook.Webhook) error { return errors.New("no paper") }); err == nil {
		t.Error("a secret that was not shown is used")
	}
	signedBy("before", w.Secret)
	rotate()
	first := now
	signedBy("rotated", first, w.Secret)
	rotate()
	second := now
	h.restart()
	signedBy("rotated twice", second, first, w.Secret)
	h.turn(webhook.Overlap)
	signedBy("a day later", second)
	if err := h.service.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	rotate()
	renewed, err := h.service.Renew(t.Context(), admin, w.ID)
	if err != nil {
		t.Fatal(err)
	}
	signedBy("drawn by request", renewed.Secret)
	for range 5 {
		rotate()
	}
	h.happen()
	h.round()
	if got := rec.all(); len(strings.Fields(got[len(got)-1].header.Get("webhook-signature"))) != 4 {
		t.Errorf("after five more: %s", got[len(got)-1].header.Get("webhook-signature"))
	}
	if err := h.service.Rotate(t.Context(), webhook.Asker{Role: access.User}, nil); !errors.Is(err, webhook.ErrForbidden) {
		t.Errorf("by a user: %v", err)
	}
}
