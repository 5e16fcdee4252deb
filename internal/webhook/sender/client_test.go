package sender

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/internal/webhook"
)

func rawKey(t *testing.T, s webhook.Secret) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s.Reveal()[6:])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func job(t *testing.T, url string) webhook.Job {
	t.Helper()
	s, err := webhook.ParseSecret("whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return webhook.Job{Delivery: webhook.Delivery{Message: "msg_1", Body: []byte("{}")}, URL: url, Secret: s}
}

func try(t *testing.T, c Config, patience time.Duration, url string) webhook.Outcome {
	t.Helper()
	c.Now = time.Now
	o, err := newClient(c, patience).send(t.Context(), job(t, url))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func wantProblem(t *testing.T, o webhook.Outcome, part string) {
	t.Helper()
	if o.Problem == "" || !strings.Contains(o.Problem, part) {
		t.Errorf("%+v, want %q", o, part)
	}
}

func TestHangs(t *testing.T) {
	rec := newReceiver(t, func(_ http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() })
	wantProblem(t, try(t, Config{Private: true}, 100*time.Millisecond, rec.URL), "did not answer in time")

	// One that sends a header, and then a byte now and then, has the same time in all.
	drip := newReceiver(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		for r.Context().Err() == nil {
			io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	})
	began := time.Now()
	if o := try(t, Config{Private: true}, 200*time.Millisecond, drip.URL); o.Problem != "" || o.Status != 200 {
		t.Errorf("%+v", o)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}

	// One that accepts and says nothing, not even TLS.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, scheme := range []string{"http://", "https://"} {
		wantProblem(t, try(t, Config{Private: true}, 100*time.Millisecond, scheme+l.Addr().String()), "did not answer in time")
	}
}

func TestRedirects(t *testing.T) {
	target := newReceiver(t, nil)
	for _, code := range []int{301, 302, 303, 307, 308} {
		rec := newReceiver(t, func(w http.ResponseWriter, r *http.Request, _ int) { http.Redirect(w, r, target.URL, code) })
		o := try(t, Config{Private: true}, patience, rec.URL)
		wantProblem(t, o, "redirects are not followed")
		if o.Status != code {
			t.Errorf("%+v", o)
		}
	}
	if n := len(target.all()); n != 0 {
		t.Errorf("followed %d times", n)
	}
}

// Of 1 GB, what fits into buffers on the way is taken and no more.
func TestLongReply(t *testing.T) {
	var wrote atomic.Int64
	rec := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Content-Length", "1000000000")
		chunk := make([]byte, 1<<20)
		for range 1000 {
			n, err := w.Write(chunk)
			if wrote.Add(int64(n)); err != nil {
				return
			}
		}
	})
	if o := try(t, Config{Private: true}, patience, rec.URL); o.Problem != "" || o.Status != 200 {
		t.Errorf("%+v", o)
	}
	rec.Close() // waits for the handler
	if n := wrote.Load(); n > 32<<20 {
		t.Errorf("%d bytes were taken", n)
	}
	header := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ int) { w.Header().Set("X", strings.Repeat("x", 1<<20)) })
	wantProblem(t, try(t, Config{Private: true}, patience, header.URL), "could not be reached")
}

func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	server.Config.ErrorLog = nil
	wantProblem(t, try(t, Config{Private: true}, patience, server.URL), "certificate cannot be trusted")
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	if o := try(t, Config{Private: true, Roots: roots}, patience, server.URL); o.Problem != "" || o.Status != 200 {
		t.Errorf("%+v", o)
	}
	plain := newReceiver(t, nil)
	wantProblem(t, try(t, Config{Private: true}, patience, strings.Replace(plain.URL, "http:", "https:", 1)), "could not be reached")
}

// What is private is not dialled, however it is written.
func TestPrivateAddresses(t *testing.T) {
	rec := newReceiver(t, nil)
	_, port, err := net.SplitHostPort(rec.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "[::]", "127.1", "2130706433", "0x7f000001", "017700000001", "169.254.169.254", "10.0.0.1"} {
		for _, scheme := range []string{"http://", "https://"} {
			if o := try(t, Config{}, time.Second, scheme+host+":"+port); o.Problem == "" || o.Status != 0 {
				t.Errorf("%s%s: %+v", scheme, host, o)
			}
		}
	}
	wantProblem(t, try(t, Config{}, patience, "https://127.0.0.1:"+port), "not at a public address")
	for _, url := range []string{"http://0.0.0.0:" + port, "https://0.0.0.0:" + port, "http://169.254.169.254/", "http://10.0.0.1/", "http://8.8.8.8/"} {
		wantProblem(t, try(t, Config{Private: true}, time.Second, url), "not at a public address")
	}
	if n := len(rec.all()); n != 0 {
		t.Errorf("%d requests came", n)
	}
}

// The environment names no proxy for this.
func TestNoProxy(t *testing.T) {
	proxy := newReceiver(t, nil)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	rec := newReceiver(t, nil)
	if o := try(t, Config{Private: true}, patience, rec.URL); o.Problem != "" || len(rec.all()) != 1 || len(proxy.all()) != 0 {
		t.Errorf("%+v", o)
	}
}

// A name that leads to a public address when it is looked at and to a private one when it is dialled gains nothing.
func TestRebinding(t *testing.T) {
	rec := newReceiver(t, nil)
	_, port, err := net.SplitHostPort(rec.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	resolver := answers(t, func() [4]byte {
		if asked.Add(1) == 1 {
			return [4]byte{192, 0, 2, 1}
		}
		return [4]byte{127, 0, 0, 1}
	})
	if ips, err := resolver.LookupHost(t.Context(), "rebind.example."); err != nil || len(ips) == 0 || ips[0] != "192.0.2.1" {
		t.Fatal(ips, err)
	}
	wantProblem(t, try(t, Config{resolver: resolver}, patience, "https://rebind.example.:"+port), "not at a public address")
	if asked.Load() < 2 || len(rec.all()) != 0 {
		t.Errorf("asked %d times, %d requests", asked.Load(), len(rec.all()))
	}
	if o := try(t, Config{resolver: resolver, Private: true}, patience, "http://rebind.example.:"+port); o.Problem != "" {
		t.Errorf("where it is allowed: %+v", o)
	}
}

// answers is a resolver that asks a name server of this test's, which gives one address for every name.
func answers(t *testing.T, address func() [4]byte) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			end := 12
			for end < n && b[end] != 0 {
				end += int(b[end]) + 1
			}
			question := b[12 : end+5]
			reply := append([]byte{b[0], b[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
			if binary.BigEndian.Uint16(b[end+1:]) == 1 { // A
				reply[7] = 1
				ip := address()
				reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ip[0], ip[1], ip[2], ip[3])
			}
			conn.WriteTo(reply, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}
