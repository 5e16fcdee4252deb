package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

var bigGiB = flag.Int64("big-gib", 10, "size in GiB of the file of the range measurement")

// rangeRequests is how often each range is asked for.
const rangeRequests = 200

// ends is noise that remembers its first and last byte, so that a range can be checked without the file.
type ends struct {
	noise       *rand.ChaCha8
	first, last byte
	begun       bool
}

func newEnds(seed byte) *ends { return &ends{noise: rand.NewChaCha8([32]byte{seed})} }

func (e *ends) Read(p []byte) (int, error) {
	n, err := e.noise.Read(p)
	if n > 0 {
		if !e.begun {
			e.first, e.begun = p[0], true
		}
		e.last = p[n-1]
	}
	return n, err
}

// firstByte asks for a range of one byte and tells how long it took to come.
func (p *process) firstByte(client *http.Client, path, ranges string, want byte) (ms float64, err error) {
	req, err := http.NewRequest(http.MethodGet, p.url+path, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set("Range", ranges)
	start := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var b [1]byte
	_, err = io.ReadFull(resp.Body, b[:])
	ms = float64(time.Since(start).Microseconds()) / 1000
	if err != nil || resp.StatusCode != http.StatusPartialContent || resp.ContentLength != 1 || b[0] != want {
		return 0, fmt.Errorf("%s of %s gives %s, %d bytes, %#x and not %#x (%v)", ranges, path, resp.Status, resp.ContentLength, b[0], want, err)
	}
	_, err = io.Copy(io.Discard, resp.Body) // to its end, so that the connection is used again
	return ms, err
}

// settle gets a small file until the collector has run many times, and returns the resident set of the idle server.
// The 64 MiB that hashing a password took are garbage by then, and stay resident until there is as much of it again:
// as a part of what is idle they would hide as much of what transfers take.
func (p *process) settle(client *http.Client) (float64, error) {
	const path, size = content + "/settle", 4 << 10
	if err := p.do(context.Background(), client, http.MethodPut, path, io.LimitReader(newEnds(0), size), size); err != nil {
		return 0, err
	}
	for range 4000 {
		if err := p.do(context.Background(), client, http.MethodGet, path, nil, 0); err != nil {
			return 0, err
		}
	}
	if err := p.forget(client, "/settle"); err != nil {
		return 0, err
	}
	time.Sleep(2 * time.Second)
	return p.resident("VmRSS")
}

// rangeStart shows that the end of a large file is as near as that of a small one, and what memory that takes. A file
// of one whole segment stands between them, because a segment is opened whole, however little of it is asked for.
func rangeStart(s settings) error {
	p, err := vaultBelow(s, s.disk)
	if err != nil {
		return err
	}
	defer p.stop()
	signedIn := time.Now()
	client := &http.Client{Transport: &http.Transport{WriteBufferSize: 256 << 10}}
	idle, err := p.settle(client)
	if err != nil {
		return err
	}
	files := []struct {
		name string
		path string
		size int64
		ends *ends
		peak float64
	}{
		{name: "4 KiB", path: content + "/range0", size: 4 << 10},
		{name: "1 MiB", path: content + "/range1", size: 1 << 20},
		{name: fmt.Sprintf("%d GiB", *bigGiB), path: content + "/range2", size: *bigGiB << 30},
	}
	// They are generated on the way: only the vault's own copy is on the disk.
	for i := range files {
		f := &files[i]
		f.ends = newEnds(byte(i))
		f.peak, err = p.peak(1, func(int) error {
			return p.do(context.Background(), client, http.MethodPut, f.path, io.LimitReader(f.ends, f.size), f.size)
		})
		if err != nil {
			return err
		}
	}
	small, segment, big := files[0], files[1], files[2]
	if time.Since(signedIn) > 5*time.Minute { // a session lasts ten
		if err := p.signIn(); err != nil {
			return err
		}
		if _, err := p.settle(client); err != nil {
			return err
		}
	}
	places := []struct {
		file, path, byte, ranges string
		want                     byte
		ms                       []float64
	}{
		{small.name, small.path, "last", "bytes=-1", small.ends.last, nil},
		{segment.name, segment.path, "last", "bytes=-1", segment.ends.last, nil},
		{big.name, big.path, "first", "bytes=0-0", big.ends.first, nil},
		{big.name, big.path, "last", "bytes=-1", big.ends.last, nil},
	}
	during, err := p.peak(1, func(int) error {
		const warm = 10
		for n := range rangeRequests + warm {
			for i := range places {
				at := &places[i]
				ms, err := p.firstByte(client, at.path, at.ranges, at.want)
				if err != nil {
					return err
				}
				if n >= warm {
					at.ms = append(at.ms, ms)
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Printf("\n### Time to a range of one byte, on disk, %d requests each\n\n", rangeRequests)
	fmt.Print("| file | byte | median ms | 95th percentile ms | ratio of medians |\n|---|---|---|---|---|\n")
	for _, at := range places {
		slices.Sort(at.ms)
		fmt.Printf("| %s | %s | %.2f | %.2f | %.2f |\n", at.file, at.byte, median(at.ms), at.ms[len(at.ms)*95/100], median(at.ms)/median(places[0].ms))
	}
	fmt.Print("\n| memory of the server | MiB | above idle |\n|---|---|---|\n")
	for _, m := range []struct {
		when string
		mib  float64
	}{{"idle and signed in", idle}, {"upload of " + big.name + ", peak", big.peak}, {"those ranges, peak", during}} {
		fmt.Printf("| %s | %.0f | %.0f |\n", m.when, m.mib, m.mib-idle)
	}
	return nil
}
