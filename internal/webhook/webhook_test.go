package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/auditlog"
)

var now = time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)

// The vector is of the reference implementation's tests.
func TestSignsAsStandardWebhooks(t *testing.T) {
	key, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := Secret{key}.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestVerify(t *testing.T) {
	s, err := newSecret(bytes.NewReader(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	other, _ := newSecret(bytes.NewReader(bytes.Repeat([]byte{8}, 32)))
	if again, err := ParseSecret(s.Reveal()); err != nil || !bytes.Equal(again.key, s.key) {
		t.Fatalf("%v", err)
	}
	body := []byte(`{"type":"test"}`)
	good, stamp := s.Sign("msg_1", now, body), Timestamp(now)
	for _, row := range []struct {
		name                 string
		secret               Secret
		id, stamp, signature string
		body                 string
		at                   time.Time
		want                 error
	}{
		{"as it was sent", s, "msg_1", stamp, good, string(body), now, nil},
		{"one of several signatures", s, "msg_1", stamp, "v1a,AAAA " + other.Sign("msg_1", now, body) + " " + good, string(body), now, nil},
		{"a little late", s, "msg_1", stamp, good, string(body), now.Add(5 * time.Minute), nil},
		{"too late", s, "msg_1", stamp, good, string(body), now.Add(5*time.Minute + time.Second), ErrTimestamp},
		{"from the future", s, "msg_1", stamp, good, string(body), now.Add(-5*time.Minute - time.Second), ErrTimestamp},
		{"another secret", other, "msg_1", stamp, good, string(body), now, ErrSignature},
		{"no secret", Secret{}, "msg_1", stamp, Secret{}.Sign("msg_1", now, body), string(body), now, ErrSignature},
		{"another id", s, "msg_2", stamp, good, string(body), now, ErrSignature},
		{"another time", s, "msg_1", Timestamp(now.Add(time.Second)), good, string(body), now, ErrSignature},
		{"a sum of id and time that is the same", s, "msg_1." + stamp[:1], stamp[1:], good, string(body), now, ErrSignature},
		{"another body", s, "msg_1", stamp, good, string(body) + " ", now, ErrSignature},
		{"no id", s, "", stamp, good, string(body), now, ErrSignature},
		{"no number", s, "msg_1", "x", good, string(body), now, ErrSignature},
		{"no signature", s, "msg_1", stamp, "", string(body), now, ErrSignature},
		{"an empty one", s, "msg_1", stamp, "v1,", string(body), now, ErrSignature},
		{"another scheme", s, "msg_1", stamp, "v2," + good[3:], string(body), now, ErrSignature},
		{"a part of it", s, "msg_1", stamp, good[:20], string(body), now, ErrSignature},
	} {
		if err := Verify(row.secret, row.id, row.stamp, row.signature, []byte(row.body), row.at); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
	}
	for _, text := range []string{"", "whsec_", s.Reveal()[6:], s.Reveal() + "A", "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 31))} {
		if _, err := ParseSecret(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestSecretsHide(t *testing.T) {
	s, _ := newSecret(bytes.NewReader(bytes.Repeat([]byte{7}, 32)))
	shown := fmt.Sprintf("%v %+v %#v %s %q %x %d %v", s, s, s, s, s, s, s, Webhook{Secret: s}.Secret)
	if strings.Contains(shown, "7") || strings.Contains(shown, s.Reveal()[6:]) {
		t.Error(shown)
	}
}

func TestSchedule(t *testing.T) {
	total := time.Duration(0)
	for tries := int64(1); ; tries++ {
		d, ok := pause(tries)
		if !ok {
			if tries != 8 || total < 23*time.Hour || total > 25*time.Hour {
				t.Errorf("given up after %d tries and %v", tries, total)
			}
			break
		}
		if total += d; d <= 0 {
			t.Errorf("no pause after %d tries", tries)
		}
	}
	if _, ok := pause(0); ok {
		t.Error("a pause before the first try")
	}
}

func TestReachable(t *testing.T) {
	for _, row := range []struct{ addresses, public, private string }{
		{"8.8.8.8 1.1.1.1 2606:4700::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 192.0.1.1 100.128.0.1 172.32.0.1", "yes", "yes"},
		{"127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 64:ff9b::127.0.0.1 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255 " +
			"::ffff:10.0.0.1 ::ffff:100.64.0.1 64:ff9b::10.0.0.1 64:ff9b::192.168.0.1 fc00::1 fd00::1 fec0::1", "no", "yes"},
		{"0.0.0.0 0.1.2.3 :: ::ffff:0.0.0.0 169.254.169.254 ::ffff:169.254.169.254 64:ff9b::169.254.169.254 fe80::1 fe80::1%eth0 224.0.0.1 239.1.1.1 ff02::1 255.255.255.255 " +
			"240.0.0.1 192.0.0.1 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 192.88.99.1 ::8.8.8.8 ::7f00:1 64:ff9b:1::10.0.0.1 2001::1 2001:db8::1 " +
			"2002:7f00:1::1 2002:a00:1::1 3fff::1 5f00::1 100::1 4000::1 8.8.8.8%x", "no", "no"},
	} {
		for text := range strings.FieldsSeq(row.addresses) {
			ip, _ := netip.ParseAddr(text) // one that cannot be is the zero Addr
			for private, want := range map[bool]string{false: row.public, true: row.private} {
				if got := Reachable(ip, private); got != (want == "yes") {
					t.Errorf("%s, private %v: %v", text, private, got)
				}
			}
		}
	}
}

func TestURLs(t *testing.T) {
	for _, row := range []struct {
		url             string
		public, private bool
	}{
		{"https://example.com/hook?token=x", true, true},
		{"https://example.com:8443", true, true},
		{"HTTPS://EXAMPLE.COM/", true, true},
		{"https://8.8.8.8/", true, true},
		{"https://[2606:4700::1]/", true, true},
		{"https://127.0.0.1/", false, true},
		{"https://10.0.0.1:99/a", false, true},
		{"https://[::1]/", false, true},
		{"https://[::ffff:127.0.0.1]/", false, true},
		{"https://localhost/", false, true},
		{"https://LOCALHOST./", false, true},
		{"http://localhost:8080/", false, true},
		{"http://127.0.0.1/", false, true},
		{"http://[::1]/", false, true},
		{"http://10.0.0.1/", false, false},
		{"http://example.com/", false, false},
		{"https://169.254.169.254/", false, false},
		{"https://0.0.0.0/", false, false},
		{"https://user@example.com/", false, false},
		{"https://user:pass@example.com/", false, false},
		{"https://@example.com/", false, false},
		{"https://example.com/#part", false, false},
		{"https://example.com/#", false, false},
		{"https:///path", false, false},
		{"https://:443/", false, false},
		{"https:example.com", false, false},
		{"//example.com/", false, false},
		{"ftp://example.com/", false, false},
		{"file:///etc/passwd", false, false},
		{"gopher://127.0.0.1/", false, false},
		{"https://exämple.com/", false, false},
		{"https://example.com/a b", false, false},
		{"https://example.com/\r\nX: y", false, false},
		{"https://[fe80::1%25eth0]/", false, false},
		{"https://" + strings.Repeat("a", 254) + "/", false, false},
		{"https://example.com/" + strings.Repeat("a", 2048), false, false},
		{"", false, false},
	} {
		for private, want := range map[bool]bool{false: row.public, true: row.private} {
			_, err := checkURL(row.url, private)
			var invalid *InvalidError
			if (err == nil) != want || err != nil && !errors.As(err, &invalid) {
				t.Errorf("%.60q, private %v: %v", row.url, private, err)
			}
		}
	}
}

// Each kind of event says what a message may hold, and nothing else of it.
func TestMessages(t *testing.T) {
	o := &Outbox{Vault: "vault-id", IsDownload: func(method, route string) bool { return method == "GET" && route == "/content" }}
	const ann, bob = "11111111111111111111111111111111", "22222222222222222222222222222222"
	by := auditlog.Actor{Person: ann, Name: "canary-name", Session: "canary-session", Client: "canary-client", Address: "203.0.113.9"}.Values()
	whose := audit.Values{"person": bob, "name": "canary-other"}
	since := now.Add(-time.Minute)
	repeated := func(v audit.Values) audit.Values {
		v["count"], v["since"] = int64(3), since.UnixMilli()
		return v
	}
	for _, row := range []struct {
		name string
		e    audit.Event
		want string // "" is no message
	}{
		{"a refused sign-in", audit.Event{Type: audit.SessionRefused, Operational: repeated(audit.Values{"reason": "credentials"}), Actor: by, Subject: whose},
			`{"type":"sign-in.refused","event":5,"time":"2026-11-27T09:00:00.000Z","vault":"vault-id","person":"` + bob + `","reason":"credentials","count":3,"since":"2026-11-27T08:59:00.000Z"}`},
		{"of nobody", audit.Event{Type: audit.SessionRefused, Operational: repeated(audit.Values{"reason": "limit"})},
			`{"type":"sign-in.refused","event":5,"time":"2026-11-27T09:00:00.000Z","vault":"vault-id","reason":"limit","count":3,"since":"2026-11-27T08:59:00.000Z"}`},
		{"a new device", audit.Event{Type: audit.SessionOpened, Operational: audit.Values{"method": "totp", "new_device": true}, Actor: by},
			`{"type":"device.new","event":5,"time":"2026-11-27T09:00:00.000Z","vault":"vault-id","person":"` + ann + `","method":"totp"}`},
		{"a known device", audit.Event{Type: audit.SessionOpened, Operational: audit.Values{"method": "password", "new_device": false}, Actor: by}, ""},
		{"another role", audit.Event{Type: audit.AccountChanged, Operational: audit.Values{"what": "role", "value": "admin", "by": "admin"}, Actor: by, Subject: whose},
			`{"type":"role.changed","event":5,"time":"2026-11-27T09:00:00.000Z","vault":"vault-id","person":"` + bob + `","by":"` + ann + `","role":"admin"}`},
		{"one's own role", audit.Event{Type: audit.AccountChanged, Operational: audit.Values{"what": "role", "value": "user", "by": "self"}, Actor: by, Subject: audit.Values{"person": ann}},
			`{"type":"role.changed","event":5,"time":"2026-11-27T09:00:00.000Z","vault":"vault-id","person":"` + ann + `","role":"user"}`},
		{"another name", audit.Event{Type: audit.AccountChanged, Operational: audit.Values{"what": "name", "value": "canary"}, Actor: by, Subject: whose}, ""},
		{"a refused download", audit.Event{Type: audit.AccessRefused, Operational: repeated(audit.Values{"method": "GET", "route": "/content", "status": 404}), Actor: by},
			`{"type":"download.refused","event":5,"time":"2026-11-27T09:00:00.000Z","vault":"vault-id","person":"` + ann + `","route":"GET /content","status":404,"count":3,"since":"2026-11-27T08:59:00.000Z"}`},
		{"a download too soon", audit.Event{Type: audit.AccessRefused, Operational: repeated(audit.Values{"method": "GET", "route": "/content", "status": 429}), Actor: by}, ""},
		{"another refusal", audit.Event{Type: audit.AccessRefused, Operational: repeated(audit.Values{"method": "PUT", "route": "/content", "status": 403}), Actor: by}, ""},
		{"a file", audit.Event{Type: audit.FilePut, Operational: audit.Values{"what": "role"}, Actor: by, Subject: audit.Values{"person": ann, "path": "/canary"}}, ""},
	} {
		row.e.Time = now
		m, ok := o.messageOf(5, row.e)
		got := ""
		if ok {
			got = string(m.encode())
		}
		if got != row.want {
			t.Errorf("%s:\n%s\nwant\n%s", row.name, got, row.want)
		}
		if ok && !json.Valid([]byte(got)) || strings.Contains(got, "canary") || strings.Contains(got, "203.0") {
			t.Errorf("%s: %s", row.name, got)
		}
	}
}

// crowded is a transaction in which so many deliveries of a webhook wait.
type crowded struct {
	Tx
	waiting  int64
	inserted int
	problem  string
}

func (c *crowded) Waiting(context.Context, string, int) (int64, error) { return c.waiting, nil }
func (c *crowded) Update(_ context.Context, w Row) error               { c.problem = w.Problem; return nil }
func (c *crowded) InsertDelivery(context.Context, Delivery) (int64, error) {
	c.inserted++
	return 1, nil
}

// More than 10,000 do not wait, but for a test.
func TestTooManyWait(t *testing.T) {
	for _, row := range []struct {
		waiting  int64
		kind     Kind
		inserted int
	}{{9_999, RoleChanged, 1}, {10_000, RoleChanged, 0}, {10_000, Test, 1}} {
		woken := 0
		o := &Outbox{Rand: rand.Reader, Now: func() time.Time { return now }, Wake: func() { woken++ }}
		tx := &crowded{waiting: row.waiting}
		if _, err := o.put(t.Context(), tx, Row{}, Message{Type: row.kind}); err != nil {
			t.Fatal(err)
		}
		if tx.inserted != row.inserted || woken != row.inserted || strings.Contains(tx.problem, "10,000 deliveries wait already") != (row.inserted == 0) {
			t.Errorf("%d wait, %s: %d kept, %d wakes, problem %q", row.waiting, row.kind, tx.inserted, woken, tx.problem)
		}
	}
}
