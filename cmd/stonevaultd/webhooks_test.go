package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/vault"
	"stonevault/internal/webhook"
)

// hookReceiver keeps what it got, and refuses what is not signed with the secret.
type hookReceiver struct {
	*httptest.Server
	mu     sync.Mutex
	secret webhook.Secret
	got    map[string][]string // bodies by id
	forged int
}

func newHookReceiver(t testing.TB) *hookReceiver {
	h := &hookReceiver{got: map[string][]string{}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hookReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	id := r.Header.Get(webhook.HeaderID)
	if webhook.Verify(h.secret, id, r.Header.Get(webhook.HeaderTimestamp), r.Header.Get(webhook.HeaderSignature), body, time.Now()) != nil {
		h.forged++
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	h.got[id] = append(h.got[id], string(body))
}

func (h *hookReceiver) await(t testing.TB, what string, until func(got map[string][]string) bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		h.mu.Lock()
		done := until(h.got)
		h.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// makeAdmin sets up a data directory with the admin "root", and "ann".
func makeAdmin(t testing.TB, data string) {
	t.Helper()
	s := newServer(t, data)
	check(t, s.Run(t.Context()))
	hash, err := testHash()
	check(t, err)
	_, _, err = s.store.vault.CreatePerson(t.Context(), atMachine, "root", vault.RoleAdmin, hash)
	check(t, err)
	makePerson(t, s, "ann")
	closeServer(t, s)
}

var jsonHeader = http.Header{"Content-Type": {"application/json"}}

func (h *hookReceiver) subscribe(t testing.TB, root *client) (id string) {
	t.Helper()
	r, err := root.do("POST", "/api/v1/webhooks", strings.NewReader(fmt.Sprintf(`{"url":"%s/hook","events":["sign-in.refused","download.refused","role.changed"]}`, h.URL)), jsonHeader)
	check(t, err)
	r.want(t, http.StatusCreated)
	var made struct{ ID, Secret string }
	check(t, json.Unmarshal(r.body, &made))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.secret, err = webhook.ParseSecret(made.Secret)
	check(t, err)
	return made.ID
}

// The server is killed while it sends: what was acknowledged arrives at least once, and all of what arrives is one of
// the messages that there are.
func TestWebhooksSurviveKills(t *testing.T) {
	kills := 5
	if torture() {
		kills = 100
	}
	data := filepath.Join(t.TempDir(), "data")
	makeAdmin(t, data)
	h := newHookReceiver(t)
	p := start(t, data, "--webhook-private")
	root := signIn(t, p.addr, "root")
	id := h.subscribe(t, root)
	acknowledged := map[string]bool{}
	var mu sync.Mutex
	for range kills {
		var senders sync.WaitGroup
		for range 4 {
			senders.Go(func() {
				for {
					r, err := root.do("POST", "/api/v1/webhooks/"+id+"/test", nil, nil)
					if err != nil {
						return // it was killed
					}
					var d struct{ ID string }
					if r.status != http.StatusAccepted || json.Unmarshal(r.body, &d) != nil {
						t.Errorf("status %d: %s", r.status, r.body)
						return
					}
					mu.Lock()
					acknowledged[d.ID] = true
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Duration(20+rand.IntN(200)) * time.Millisecond)
		p.kill()
		senders.Wait()
		p = start(t, data, "--webhook-private")
		root.addr = p.addr
	}
	if len(acknowledged) < kills {
		t.Fatalf("only %d messages were acknowledged", len(acknowledged))
	}
	h.await(t, "a message that was acknowledged", func(got map[string][]string) bool {
		for id := range acknowledged {
			if len(got[id]) == 0 {
				return false
			}
		}
		return true
	})
	twice := 0
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, bodies := range h.got {
		if len(bodies) > 1 {
			twice++
		}
		for _, body := range bodies {
			if body != bodies[0] {
				t.Errorf("one id, two messages: %s and %s", bodies[0], body)
			}
		}
	}
	if h.forged > 0 {
		t.Errorf("%d messages were not signed with the secret", h.forged)
	}
	t.Logf("%d kills, %d acknowledged, %d arrived, %d of them twice", kills, len(acknowledged), len(h.got), twice)
}

// What happens reaches the receiver: at the server, and by a command beside it.
func TestWebhooksAreTold(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	makeAdmin(t, data)
	h := newHookReceiver(t)
	p := start(t, data, "--webhook-private")
	root := signIn(t, p.addr, "root")
	h.subscribe(t, root)
	ann := signIn(t, p.addr, "ann")
	r, err := ann.do("GET", "/api/v1/files/0123456789abcdef0123456789abcdef/content", nil, nil)
	check(t, err)
	r.want(t, http.StatusNotFound)
	r, err = ann.do("POST", "/api/v1/sessions", strings.NewReader(`{"name":"ann","password":"canary-password","client":"canary-client"}`), jsonHeader)
	check(t, err)
	r.want(t, http.StatusUnauthorized)

	// A command that changes a role puts its event, and so the message, into the same database.
	o := &opener{config: settings(t, map[string]string{"data": data}), version: olderVersion, ask: noTerminal, now: time.Now, log: newServer(t, data).Log}
	beside, err := o.open(t.Context(), toChange)
	check(t, err)
	_, err = beside.recorder.Do(t.Context(), audit.Event{Type: audit.AccountChanged, Time: time.Now(), Operational: audit.Values{"what": "role", "value": "manager", "by": "command"}})
	check(t, err)
	check(t, beside.close())

	for _, kind := range []string{"download.refused", "sign-in.refused", "role.changed"} {
		h.await(t, kind, func(got map[string][]string) bool {
			for _, bodies := range got {
				if strings.Contains(bodies[0], `{"type":"`+kind+`"`) {
					return true
				}
			}
			return false
		})
	}
	h.mu.Lock()
	shown := fmt.Sprint(h.got)
	h.mu.Unlock()
	for _, word := range []string{"canary", "127.0.0.1", `"ann"`} {
		if strings.Contains(shown, word) {
			t.Errorf("the messages say %s: %s", word, shown)
		}
	}
	if code := p.stop(); code != 0 {
		t.Errorf("code %d: %s", code, p.stderr)
	}
	if log := p.stderr.String(); strings.Contains(log, "/hook") || strings.Contains(log, "whsec") {
		t.Errorf("the log says too much: %s", log)
	}
}
