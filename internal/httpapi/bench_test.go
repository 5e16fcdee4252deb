package httpapi

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
)

func (w *world) transfer(b *testing.B, client *http.Client, method, target string, body []byte) {
	r, err := http.NewRequest(method, w.url+target, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.tokens["owner"])
	res, err := client.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err != nil || res.StatusCode >= 300 {
		b.Fatalf("%d after %d bytes: %v", res.StatusCode, n, err)
	}
}

// resumable sends body as an upload in one piece.
func (w *world) resumable(b *testing.B, client *http.Client, path string, body []byte) {
	location := w.begin(path, int64(len(body)), "replace", "true")
	r, err := http.NewRequest("PATCH", w.url+location, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.tokens["owner"])
	r.Header.Set("Tus-Resumable", tusVersion)
	r.Header.Set("Content-Type", tusMediaType)
	r.Header.Set("Upload-Offset", "0")
	res, err := client.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent || res.Header.Get("Stonevault-Id") == "" {
		b.Fatalf("%d %v", res.StatusCode, res.Header)
	}
}

// What the layers from the connection to the vault cost together, client included.
func BenchmarkTransfer(b *testing.B) {
	w := newWorld(b)
	w.token("owner")
	for _, size := range []int{4 << 10, 64 << 20} {
		body := noise(size)
		target := fmt.Sprintf("/api/v1/content/bench/%d", size)
		w.put("owner", fmt.Sprintf("/bench/%d", size), body)
		for _, method := range []string{"PUT", "PATCH", "GET"} {
			b.Run(fmt.Sprintf("%s/%d", method, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
				var n atomic.Int64
				one := func() {
					switch method {
					case "GET":
						w.transfer(b, client, method, target, nil)
					case "PUT":
						w.transfer(b, client, method, fmt.Sprintf("%s-%d", target, n.Add(1)), body)
					case "PATCH":
						w.resumable(b, client, fmt.Sprintf("/bench/%d-%d", size, n.Add(1)), body)
					}
				}
				if size > 1<<20 {
					for b.Loop() {
						one()
					}
					return
				}
				b.SetParallelism(4)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						one()
					}
				})
			})
		}
	}
}
