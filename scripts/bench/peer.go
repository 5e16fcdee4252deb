package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// peers are what Stonevault is measured beside, as programs of their own.
var peers = map[string]func(args []string) error{
	"http": serveBare,
	"zstd": compressAlone,
}

// serveBare is a net/http handler that writes a PUT body to a file and answers GET with http.ServeFile.
// With "sync" it syncs file and directory before it answers. It prints its address.
func serveBare(args []string) error {
	dir, sync := args[0], slices.Contains(args, "sync")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := filepath.Join(dir, filepath.Base(r.URL.Path))
		if r.Method != http.MethodPut {
			http.ServeFile(w, r, name)
			return
		}
		if err := store(name, r.Body, sync); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
}

func store(name string, body io.Reader, sync bool) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, body); err != nil || !sync {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// compressAlone compresses a file MiB by MiB on all cores, as a stone's segments are, and nothing else.
func compressAlone(args []string) error {
	in, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(args[1])
	if err != nil {
		return err
	}
	defer out.Close()
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(1<<20), zstd.WithSingleSegment(true))
	if err != nil {
		return err
	}
	order := make(chan chan []byte, runtime.NumCPU())
	read := make(chan error, 1)
	go func() {
		defer close(order)
		for {
			plain := make([]byte, 1<<20)
			n, err := io.ReadFull(in, plain)
			if n > 0 {
				done := make(chan []byte, 1)
				order <- done
				go func() { done <- e.EncodeAll(plain[:n], make([]byte, 0, n)) }()
			}
			if err != nil {
				if err == io.EOF || err == io.ErrUnexpectedEOF {
					err = nil
				}
				read <- err
				return
			}
		}
	}()
	for done := range order {
		if _, err := out.Write(<-done); err != nil {
			return err
		}
	}
	return <-read
}
