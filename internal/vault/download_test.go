package vault_test

import (
	"io"
	"sync"
	"testing"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/vault"
)

// TestStopBesideDownloads: what is under way when a server ends has one end.
func TestStopBesideDownloads(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann")
	h.put(ann, "/a", randomBytes(3<<20))
	x, err := h.Export(ctx, ann, vault.Ref{Path: "/a"}, vault.ExportRequest{Passphrase: []byte("correct horse battery staple")})
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.Content(ctx, ann, vault.Ref{Path: "/a"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	on := make(chan struct{})
	forContent, forExport := &heldWriter{at: make(chan struct{}), on: on}, &heldWriter{at: make(chan struct{}), on: on}
	wg.Go(func() { c.Stream(ctx, forContent, 0, c.Size()); c.Close() })
	wg.Go(func() { x.Stream(ctx, forExport); x.Close() })
	<-forContent.at
	<-forExport.at
	wg.Go(func() { close(on) })
	if err := h.EndDownloads(ctx, true); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if err := h.EndDownloads(ctx, true); err != nil {
		t.Fatal(err)
	}
	n := 0
	all := kinds(h.events(auditlog.ViewAll))
	for _, kind := range all {
		if kind == audit.DownloadEnded.String() {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d ends of two downloads: %v", n, all)
	}
}

// heldWriter holds the first write until it is told to go on.
type heldWriter struct {
	at, on chan struct{}
	once   sync.Once
}

func (w *heldWriter) Write(b []byte) (int, error) {
	w.once.Do(func() { close(w.at); <-w.on })
	return len(b), nil
}

// TestJoinedDownloads: ranges join where one device goes on with a file, and neither where another address has the
// session nor where the same is fetched again and again.
func TestJoinedDownloads(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann")
	h.put(ann, "/a", randomBytes(100))
	elsewhere := ann
	elsewhere.Address = "203.0.113.9"
	fetch := func(a vault.Actor, offset, length int64) {
		t.Helper()
		c, err := h.Content(ctx, a, vault.Ref{Path: "/a"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Stream(ctx, io.Discard, offset, length); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, addresses ...string) {
		t.Helper()
		var begun []any
		for _, e := range h.events(auditlog.ViewAll) {
			if e.Type == audit.DownloadBegun {
				begun = append(begun, e.Actor["address"])
			}
		}
		if len(begun) != len(addresses) {
			t.Fatalf("%s: begun from %v, want %v", what, begun, addresses)
		}
		for i := range begun {
			if begun[i] != addresses[i] {
				t.Fatalf("%s: begun from %v, want %v", what, begun, addresses)
			}
		}
	}
	fetch(ann, 0, 20)
	fetch(ann, 20, 20)
	want("going on", ann.Address)
	fetch(elsewhere, 40, 20)
	want("from elsewhere", ann.Address, elsewhere.Address)
	fetch(ann, 0, 60)
	want("going on beside that", ann.Address, elsewhere.Address)
	fetch(ann, 0, 99)
	want("again", ann.Address, elsewhere.Address, ann.Address)
}
