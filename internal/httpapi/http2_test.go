package httpapi

import (
	"bytes"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// overHTTP2 serves a world's interface by TLS and HTTP/2, with deadlines that a test can wait for.
func overHTTP2(t *testing.T, times deadlines) (w *world, send func(method, path string, body io.Reader) (*http.Response, error)) {
	w = newWorld(t)
	w.api.times = times
	token := w.token("owner")
	server := httptest.NewUnstartedServer(w.api)
	server.EnableHTTP2 = true
	Limits(server.Config)
	server.StartTLS()
	t.Cleanup(server.Close)
	return w, func(method, path string, body io.Reader) (*http.Response, error) {
		r, err := http.NewRequest(method, server.URL+path, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := server.Client().Do(r)
		if err == nil && resp.ProtoMajor != 2 {
			t.Fatalf("it speaks %s", resp.Proto)
		}
		return resp, err
	}
}

// trickle hands out a byte at a time, each after a while.
type trickle struct {
	left  int
	after time.Duration
}

func (s *trickle) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(s.after)
	s.left--
	p[0] = 'x'
	return 1, nil
}

// A timer of HTTP/2 ends a stream by itself, also one on which nothing is being written: neither a slow upload
// nor a slow download may meet it, and a body that stands still must.
func TestHTTP2Deadlines(t *testing.T) {
	const patience = 1500 * time.Millisecond
	_, send := overHTTP2(t, deadlines{quick: 30 * time.Second, patience: patience})
	resp, err := send("PUT", "/api/v1/content/slow.txt", &trickle{left: 8, after: patience / 3})
	if err != nil {
		t.Fatalf("a slow upload: %v", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Errorf("a slow upload: status %d", resp.StatusCode)
	}

	content := make([]byte, 24<<20) // more than is under way at once
	rand.Read(content)
	resp, err = send("PUT", "/api/v1/content/large.bin", bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	resp, err = send("GET", "/api/v1/content/large.bin", nil)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for range 6 {
		time.Sleep(patience / 3)
		if _, err := io.CopyN(&got, resp.Body, 4<<20); err != nil {
			t.Fatalf("a slow download: %v", err)
		}
	}
	resp.Body.Close()
	if !bytes.Equal(got.Bytes(), content) {
		t.Error("a slow download brought something else")
	}

	// Beside one that goes on.
	other := make(chan error, 1)
	go func() {
		resp, err := send("PUT", "/api/v1/content/beside.txt", &trickle{left: 12, after: patience / 3})
		if err == nil {
			resp.Body.Close()
		}
		other <- err
	}()
	stands, end := io.Pipe()
	defer end.Close()
	go end.Write([]byte("begun"))
	resp, err = send("PUT", "/api/v1/content/stands.txt", stands)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout || !bytes.Contains(body, []byte("/problems/stalled")) {
		t.Errorf("a body that stands still: status %d, %s, %v", resp.StatusCode, body, err)
	}
	if err := <-other; err != nil {
		t.Errorf("beside it: %v", err)
	}

	// Who does not read is left.
	resp, err = send("GET", "/api/v1/content/large.bin", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	time.Sleep(3 * patience)
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("%d bytes waited for somebody who did not read", n)
	}
}
