package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

// soon is how long a transfer may go on after its caller was shut out: a second, and what a busy machine adds.
const soon = 3 * time.Second

// shutOuts are the ways in which somebody loses what he had.
var shutOuts = map[string]func(w *world, g guest) *answer{
	"switched off": func(w *world, g guest) *answer {
		return w.do("admin", "PATCH", "/api/v1/people/"+g.id, `{"active":false}`, jsonBody...)
	},
	"signed out everywhere": func(w *world, g guest) *answer {
		return w.do("admin", "DELETE", "/api/v1/people/"+g.id+"/sessions", nil)
	},
	"another role": func(w *world, g guest) *answer {
		return w.do("admin", "PATCH", "/api/v1/people/"+g.id, `{"role":"manager"}`, jsonBody...)
	},
}

// A download that is under way ends with its caller's rights, and the log says that it was broken off.
func TestDownloadIsBrokenOff(t *testing.T) {
	w := newWorld(t)
	for what, shutOut := range shutOuts {
		t.Run(what, func(t *testing.T) {
			g := w.guest()
			content := bytes.Repeat([]byte("0123456789abcdef"), 4<<20) // more than any buffer on the way takes
			w.put(g.name, "/big", content)
			conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.(*net.TCPConn).SetReadBuffer(64 << 10)
			fmt.Fprintf(conn, "GET /api/v1/content/big HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", g.access)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || res.StatusCode != 200 {
				t.Fatal(res, err)
			}
			if _, err := io.CopyN(io.Discard, res.Body, 1<<20); err != nil {
				t.Fatal(err)
			}
			if a := shutOut(w, g); a.StatusCode >= 300 {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			began := time.Now()
			w.eventuallyLogged(t, soon, `route=/api/v1/content/{path} status=200 problem=client-gone`)
			n, err := io.Copy(io.Discard, res.Body) // what was in buffers
			// What this side's kernel had taken arrives, and nothing of what waited at the server.
			if !errors.Is(err, syscall.ECONNRESET) || n > 1<<20 {
				t.Errorf("%d bytes more have left, %v", n, err)
			}
			t.Logf("broken off after %v, %d bytes were in buffers", time.Since(began).Round(time.Millisecond), n)
			if err := w.vault.EndDownloads(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			events := w.events("admin", "type=download.ended&person="+g.id)
			if len(events) != 1 || events[0].Operational["outcome"] != "broken-off" {
				t.Errorf("%+v", events)
			}
		})
	}
}

// eventuallyLogged waits for a line, which it takes out of the log.
func (w *world) eventuallyLogged(t *testing.T, limit time.Duration, text string) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		w.log.mu.Lock()
		before, after, found := bytes.Cut(w.log.b.Bytes(), []byte(text))
		if found {
			rest := append(bytes.Clone(before), after...)
			w.log.b.Reset()
			w.log.b.Write(rest)
		}
		w.log.mu.Unlock()
		if found {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no %q within %v", text, limit)
		}
	}
}

// An upload that is under way ends too, is answered as one without a session is, where the client still listens, and
// becomes no file.
func TestUploadIsBrokenOff(t *testing.T) {
	w := newWorld(t)
	for what, shutOut := range shutOuts {
		t.Run(what, func(t *testing.T) {
			g := w.guest()
			read, write := io.Pipe()
			defer write.Close()
			go func() {
				for {
					if _, err := write.Write(make([]byte, 1000)); err != nil {
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			}()
			r, err := http.NewRequest("PUT", w.url+"/api/v1/content/slow", read)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+g.access)
			done := make(chan int, 1)
			go func() {
				res, err := http.DefaultClient.Do(r)
				if err != nil { // the connection was closed while the client was sending
					done <- 0
					return
				}
				res.Body.Close()
				done <- res.StatusCode
			}()
			time.Sleep(300 * time.Millisecond)
			select {
			case status := <-done:
				t.Fatalf("it ended before: %d", status)
			default:
			}
			if a := shutOut(w, g); a.StatusCode >= 300 {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			began := time.Now()
			select {
			case status := <-done:
				if status != 0 && status != http.StatusUnauthorized {
					t.Errorf("status %d", status)
				}
			case <-time.After(soon):
				t.Fatal("it goes on")
			}
			t.Logf("broken off after %v", time.Since(began).Round(time.Millisecond))
			w.eventuallyLogged(t, soon, `route=/api/v1/content/{path} status=401 problem=unauthenticated`)
			if e := w.events("admin", "type=file.put&person="+g.id); len(e) != 0 {
				t.Errorf("a file was kept: %+v", e)
			}
		})
	}
}

// Who stands is left alone, however long it takes.
func TestSteadyRequestGoesOn(t *testing.T) {
	w := newWorld(t)
	read, write := io.Pipe()
	go func() {
		for range 15 {
			write.Write([]byte("x"))
			time.Sleep(100 * time.Millisecond)
		}
		write.Close()
	}()
	if a := w.do("owner", "PUT", "/api/v1/content/slow", read); a.StatusCode != 201 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// unasked is a service that cannot tell who stands.
type unasked struct{ Auth }

func (unasked) Stands(context.Context, auth.Principal) error { return vault.ErrUnavailable }

// Where it cannot be told whether a caller still stands, a request goes on for some seconds and then ends, as one that may
// be tried again.
func TestCallersThatCannotBeAskedAbout(t *testing.T) {
	w := newWorld(t)
	g := w.guest()
	w.api.Auth = unasked{w.api.Auth}
	upload := func(pause time.Duration) *answer {
		r, to := io.Pipe()
		go func() {
			to.Write([]byte("first "))
			time.Sleep(pause)
			to.Write([]byte("last"))
			to.Close()
		}()
		return w.do(g.name, "PUT", "/api/v1/content/slow", r)
	}
	if a := upload(3 * watchEvery); a.StatusCode != 201 {
		t.Errorf("for a moment: %d %s", a.StatusCode, a.body)
	}
	if a := upload(unknownFor + 4*watchEvery); a.StatusCode != 503 || !strings.Contains(string(a.body), "unavailable") {
		t.Errorf("for long: %d %s", a.StatusCode, a.body)
	}
}
