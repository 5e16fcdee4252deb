package vault_test

import (
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
