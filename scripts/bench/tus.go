package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	uploads = "/api/v1/uploads"
	// tusPiece is what a client sends in one PATCH that sends a file in pieces.
	tusPiece = 64 << 20
)

// tusRequest sends a request of the protocol and returns the reply's header.
func (p *process) tusRequest(client *http.Client, method, path string, body io.Reader, size int64, header map[string]string) (http.Header, error) {
	req, err := http.NewRequest(method, p.url+path, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = size
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set("Tus-Resumable", "1.0.0")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s gives %s: %s", method, path, resp.Status, said)
	}
	return resp.Header, err
}

// upload creates an upload and sends the files, which are its pieces, one PATCH each.
func (p *process) upload(client *http.Client, path string, size int64, files ...string) error {
	created, err := p.tusRequest(client, http.MethodPost, uploads, nil, 0, map[string]string{
		"Upload-Length":   strconv.FormatInt(size, 10),
		"Upload-Metadata": "path " + base64.StdEncoding.EncodeToString([]byte(path)),
	})
	if err != nil {
		return err
	}
	var offset int64
	var reply http.Header
	for _, name := range files {
		if reply, offset, err = p.patch(client, created.Get("Location"), offset, name); err != nil {
			return err
		}
	}
	if offset != size || reply.Get("Stonevault-Id") == "" {
		return fmt.Errorf("the upload of %s ends at %d of %d bytes and is no file", path, offset, size)
	}
	return nil
}

// patch sends a file at an offset, and returns the one behind it.
func (p *process) patch(client *http.Client, location string, offset int64, name string) (http.Header, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	reply, err := p.tusRequest(client, http.MethodPatch, location, f, info.Size(), map[string]string{
		"Content-Type":  "application/offset+octet-stream",
		"Upload-Offset": strconv.FormatInt(offset, 10),
	})
	offset += info.Size()
	if err == nil && reply.Get("Upload-Offset") != strconv.FormatInt(offset, 10) {
		err = fmt.Errorf("%s is at %s and not at %d", location, reply.Get("Upload-Offset"), offset)
	}
	return reply, offset, err
}

// split copies a file into pieces, as files: net/http sends an *os.File in its own way, and the client's part is to
// cost the same whoever it sends to.
func split(name string, piece int64) (pieces []string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	for at := int64(0); at < info.Size(); at += piece {
		part := fmt.Sprintf("%s.%d", name, at)
		if err := store(part, io.NewSectionReader(f, at, piece), false); err != nil {
			return nil, err
		}
		pieces = append(pieces, part)
	}
	return pieces, nil
}

// wantSame compares what a server gives with a file.
func (p *process) wantSame(client *http.Client, path, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	req, err := http.NewRequest(http.MethodGet, p.url+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	sent, came := sha256.New(), sha256.New()
	if _, err := io.Copy(sent, f); err != nil {
		return err
	}
	if _, err := io.Copy(came, resp.Body); err != nil {
		return err
	}
	if !bytes.Equal(sent.Sum(nil), came.Sum(nil)) {
		return fmt.Errorf("%s, which gives %s, is not what was sent", path, resp.Status)
	}
	return nil
}

// tus compares transfers by tus, and downloads of what came by it, with those of a bare handler, for one client and
// for several that share the same total. The peak is that of the server above what it takes idle.
func tus(s settings) error {
	vault, err := vaultBelow(s, s.memory)
	if err != nil {
		return err
	}
	defer vault.stop()
	bare, err := startBare(vault.dir)
	if err != nil {
		return err
	}
	defer bare.stop()
	t := &tusBench{settings: s, dir: vault.dir, vault: vault, bare: bare, idle: map[*process]float64{}, signedIn: time.Now()}
	if t.idle[vault], err = vault.settle(http.DefaultClient); err != nil {
		return err
	}
	if t.idle[bare], err = bare.resident("VmRSS"); err != nil {
		return err
	}
	fmt.Printf("\n### Transfers by tus\n\nIdle: bare handler %.0f MiB, stonevaultd, signed in, %.0f MiB.\n", t.idle[bare], t.idle[vault])
	for _, clients := range []int{1, 4, 16} {
		if err := t.with(clients); err != nil {
			return err
		}
	}
	return nil
}

type tusBench struct {
	settings
	dir         string
	vault, bare *process
	idle        map[*process]float64 // MiB
	signedIn    time.Time
}

// with measures one number of clients.
func (t *tusBench) with(clients int) error {
	part := t.size / int64(clients)
	total := part * int64(clients)
	plain := filepath.Join(t.dir, "plain")
	if err := writeRandom(plain, part); err != nil {
		return err
	}
	pieces, err := split(plain, tusPiece)
	if err != nil {
		return err
	}
	defer func() {
		for _, name := range append(pieces, plain) {
			os.Remove(name)
		}
	}()
	client := &http.Client{Transport: &http.Transport{WriteBufferSize: 256 << 10, ReadBufferSize: 256 << 10, MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()

	if time.Since(t.signedIn) > 5*time.Minute { // a session lasts ten
		if err := t.vault.signIn(); err != nil {
			return err
		}
		if _, err := t.vault.settle(client); err != nil {
			return err
		}
		t.signedIn = time.Now()
	}
	measure := func(p *process, transfer func(i int) error) (sample, error) {
		start := time.Now()
		peak, err := p.peak(clients, transfer)
		return sample{time.Since(start).Seconds(), peak - t.idle[p]}, err
	}
	at := func(i int) string { return fmt.Sprintf("/t%d", i) }
	forget := func() error {
		return together(clients, func(i int) error { return t.vault.forget(client, at(i)) })
	}
	byTus := func(files ...string) func() (sample, error) {
		return func() (sample, error) {
			took, err := measure(t.vault, func(i int) error { return t.vault.upload(client, at(i), part, files...) })
			if err != nil {
				return took, err
			}
			return took, forget()
		}
	}

	what := fmt.Sprintf("%d × %d MiB, in memory; peak MiB above idle", clients, part>>20)
	err = compare("Upload by tus, "+what, t.runs, total,
		contender{"bare handler, PUT", func() (sample, error) {
			return measure(t.bare, func(i int) error { _, err := t.bare.put(client, at(i), plain); return err })
		}},
		contender{"stonevaultd, one PATCH", byTus(plain)},
		contender{"stonevaultd, PATCHes of 64 MiB", byTus(pieces...)})
	if err != nil {
		return err
	}
	if err := together(clients, func(i int) error { return t.vault.upload(client, at(i), part, pieces...) }); err != nil {
		return err
	}
	if err := t.vault.wantSame(client, content+at(clients-1), plain); err != nil {
		return err
	}
	get := func(p *process, prefix string) func() (sample, error) {
		return func() (sample, error) {
			return measure(p, func(i int) error {
				return p.do(context.Background(), client, http.MethodGet, prefix+at(i), nil, 0)
			})
		}
	}
	err = compare("Download of what came by tus, "+what, t.runs, total,
		contender{"bare handler", get(t.bare, "")},
		contender{"stonevaultd", get(t.vault, content)})
	if err != nil {
		return err
	}
	return forget()
}
