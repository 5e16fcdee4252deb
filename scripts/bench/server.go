package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

const content = "/api/v1/content"

// server compares transfers with those of a bare handler, in memory and, synced, on disk.
func server(s settings) error {
	for _, place := range []struct {
		name, dir string
		bareArgs  []string
		downloads bool
	}{
		{"in memory", s.memory, nil, true},
		{"on disk, synced", s.disk, []string{"sync"}, false},
	} {
		if err := serverAt(s, place.name, place.dir, place.bareArgs, place.downloads); err != nil {
			return err
		}
	}
	return nil
}

func serverAt(s settings, name, parent string, bareArgs []string, downloads bool) error {
	dir, remove, err := scratch(parent)
	if err != nil {
		return err
	}
	defer remove()
	plainDir, removePlain, err := scratch(s.memory)
	if err != nil {
		return err
	}
	defer removePlain()
	plain := filepath.Join(plainDir, "plain")
	if err := writeRandom(plain, s.size); err != nil {
		return err
	}
	vault, err := startVault(s, dir)
	if err != nil {
		return err
	}
	defer vault.stop()
	bare, err := startBare(dir, bareArgs...)
	if err != nil {
		return err
	}
	defer bare.stop()
	client := &http.Client{Transport: &http.Transport{WriteBufferSize: 256 << 10, ReadBufferSize: 256 << 10}}
	err = compare("Upload, "+name, s.runs, s.size,
		contender{"bare handler", func() (sample, error) { return bare.put(client, "/file", plain) }},
		contender{"stonevaultd", func() (sample, error) {
			took, err := vault.put(client, content+"/file", plain)
			if err != nil {
				return took, err
			}
			return took, vault.forget(client, "/file")
		}})
	if err != nil || !downloads {
		return err
	}
	if _, err := vault.put(client, content+"/file", plain); err != nil {
		return err
	}
	return compare("Download, "+name, s.runs, s.size,
		contender{"bare handler", func() (sample, error) { return bare.get(client, "/file") }},
		contender{"stonevaultd", func() (sample, error) { return vault.get(client, content+"/file") }})
}

// memory shows how much more the server takes during transfers than when it is idle.
func memory(s settings) error {
	dir, remove, err := scratch(s.memory)
	if err != nil {
		return err
	}
	defer remove()
	plain := filepath.Join(dir, "plain")
	if err := writeRandom(plain, s.size); err != nil {
		return err
	}
	p, err := startVault(s, dir)
	if err != nil {
		return err
	}
	defer p.stop()
	client := &http.Client{}
	idle, err := p.settle(client)
	if err != nil {
		return err
	}
	fmt.Printf("\n### Memory of the server, %d MiB each\n\nIdle and signed in: %.0f MiB.\n\n| transfers | upload, MiB above idle | download, MiB above idle |\n|---|---|---|\n", s.size>>20, idle)
	for _, n := range []int{1, 2, 4, 8} {
		up, err := p.peak(n, func(i int) error {
			_, err := p.put(client, fmt.Sprintf("%s/m%d", content, i), plain)
			return err
		})
		if err != nil {
			return err
		}
		down, err := p.peak(n, func(i int) error {
			_, err := p.get(client, fmt.Sprintf("%s/m%d", content, i))
			return err
		})
		if err != nil {
			return err
		}
		fmt.Printf("| %d | %.0f | %.0f |\n", n, up-idle, down-idle)
		for i := range n {
			if err := p.forget(client, fmt.Sprintf("/m%d", i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// peak runs n transfers at once and returns the largest resident set on the way.
func (p *process) peak(n int, transfer func(i int) error) (float64, error) {
	if err := p.resetPeak(); err != nil {
		return 0, err
	}
	if err := together(n, transfer); err != nil {
		return 0, err
	}
	return p.resident("VmHWM")
}

// together runs work n times at once and returns the first error.
func together(n int, work func(i int) error) error {
	errs := make(chan error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs <- work(i) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// small puts and gets files of 4 KiB on disk.
func small(s settings) error {
	p, err := vaultBelow(s, s.disk)
	if err != nil {
		return err
	}
	defer p.stop()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: s.clients}}
	fmt.Printf("\n### Files of 4 KiB on disk, %d clients\n\n| | a second |\n|---|---|\n", s.clients)
	var stored atomic.Int64
	block := make([]byte, 4096)
	for _, verb := range []struct {
		name string
		do   func(i int64) error
	}{
		{"put, durable", func(i int64) error {
			stored.Add(1)
			return p.do(context.Background(), client, http.MethodPut, fmt.Sprintf("%s/small/%d", content, i), reader(block), int64(len(block)))
		}},
		{"get", func(i int64) error {
			return p.do(context.Background(), client, http.MethodGet, fmt.Sprintf("%s/small/%d", content, i%stored.Load()), nil, 0)
		}},
	} {
		var next atomic.Int64
		next.Store(-1)
		const span = 8 * time.Second
		start := time.Now()
		err := together(s.clients, func(int) error {
			for time.Since(start) < span {
				if err := verb.do(next.Add(1)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %.0f |\n", verb.name, float64(next.Load()+1)/time.Since(start).Seconds())
	}
	return nil
}

// reader reads b without telling net/http what it is, as a file would.
func reader(b []byte) io.Reader { return io.LimitReader(&repeat{b}, int64(len(b))) }

type repeat struct{ b []byte }

func (r *repeat) Read(p []byte) (int, error) { return copy(p, r.b), nil }
