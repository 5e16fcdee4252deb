package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// heldBody is a request's body whose last byte waits.
type heldBody struct {
	first []byte
	wait  chan struct{}
	last  bool
}

func (b *heldBody) Read(p []byte) (int, error) {
	if len(b.first) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	if b.last {
		return 0, io.EOF
	}
	<-b.wait
	b.last = true
	p[0] = 'z'
	return 1, nil
}

// TestEraseBesideRequests: what was under way when a person was erased, and what is refused of it afterwards,
// brings nothing of the person back into the log.
func TestEraseBesideRequests(t *testing.T) {
	data := withLog(t, 1)
	p := start(t, data)
	bob := signIn(t, p.addr, "bob")
	big := bytes.Repeat([]byte("canary-content "), 1<<20)
	bob.must(bob.put("/canary-file", big)).want(t, http.StatusCreated)
	begun := bob.must(bob.do("POST", "/api/v1/uploads", nil, tusBegin("/canary-upload", 11)))
	begun.want(t, http.StatusCreated)
	location := begun.header.Get("Location")

	hold := make(chan struct{})
	var under sync.WaitGroup
	send := func(method, path string, body io.Reader, header http.Header) {
		under.Go(func() {
			r, err := bob.do(method, path, body, header)
			t.Logf("%s %s: %d %.200s %v", method, path, r.status, r.body, err)
		})
	}
	send("PATCH", location, &heldBody{first: []byte("0123456789"), wait: hold}, tusPiece(0))
	send("PUT", contentPath("/canary-put"), &heldBody{first: []byte("0123456789"), wait: hold}, nil)
	slow, err := bob.send("GET", contentPath("/canary-file"), nil, nil)
	check(t, err)
	if _, err := io.ReadFull(slow.Body, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if r := run(t, "", "admin", "erase", "bob", "--yes", "--data", data); r.code != 0 {
		t.Fatalf("exit %d: %s", r.code, r.stderr)
	}
	close(hold)
	under.Wait()
	io.Copy(io.Discard, slow.Body)
	slow.Body.Close()
	if code := p.stop(); code != 0 {
		t.Fatalf("exit %d: %s", code, p.stderr)
	}
	for _, e := range eventsOf(t, data) {
		text, err := json.Marshal(e.Event)
		check(t, err)
		if strings.Contains(string(text), "canary") || strings.Contains(string(text), `"bob"`) {
			t.Errorf("the log says %s of %s", e.Event.Type, text)
		}
	}
	files, err := filepath.Glob(filepath.Join(data, "stonevault.db*"))
	check(t, err)
	for _, name := range files {
		b, err := os.ReadFile(name)
		check(t, err)
		if bytes.Contains(b, []byte("canary")) {
			t.Errorf("%s holds a canary", name)
		}
	}
	if strings.Contains(p.stderr.String(), "canary") {
		t.Error("the server's log holds a canary")
	}
	wantSound(t, data)
}
