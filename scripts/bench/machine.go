package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
)

// machine shows what the primitives cost here, which bounds the lines that are not ratios.
func machine(s settings) error {
	dir, remove, err := scratch(s.disk)
	if err != nil {
		return err
	}
	defer remove()
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		return err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	public, secret, err := mldsa65.GenerateKey(nil)
	if err != nil {
		return err
	}
	mib, chunk := make([]byte, 1<<20), make([]byte, 16<<10, 16<<10+gcm.Overhead())
	message, sig := make([]byte, 1500), make([]byte, mldsa65.SignatureSize)
	if err := mldsa65.SignTo(secret, message, nil, true, sig); err != nil {
		return err
	}
	fmt.Print("\n### The machine\n\n| | µs | MB/s |\n|---|---|---|\n")
	for _, p := range []struct {
		name  string
		bytes int
		do    func() error
	}{
		{"SHA-256 of 1 MiB", len(mib), func() error { sha256.Sum256(mib); return nil }},
		{"AES-256-GCM of 16 KiB", len(chunk), func() error { gcm.Seal(chunk[:0], make([]byte, 12), chunk, nil); return nil }},
		{"ML-DSA-65, sign", 0, func() error { return mldsa65.SignTo(secret, message, nil, true, sig) }},
		{"ML-DSA-65, verify", 0, func() error {
			if !mldsa65.Verify(public, message, nil, sig) {
				return fmt.Errorf("the signature does not verify")
			}
			return nil
		}},
	} {
		var failed error
		r := testing.Benchmark(func(b *testing.B) {
			for b.Loop() {
				if err := p.do(); err != nil {
					failed = err
				}
			}
		})
		if failed != nil {
			return failed
		}
		speed := "–"
		if p.bytes > 0 {
			speed = fmt.Sprintf("%.0f", float64(p.bytes)*float64(r.N)/1e6/r.T.Seconds())
		}
		fmt.Printf("| %s | %.1f | %s |\n", p.name, float64(r.T.Nanoseconds())/1e3/float64(r.N), speed)
	}
	perSecond, err := syncedPairs(dir, s.clients)
	if err != nil {
		return err
	}
	fmt.Printf("\nTwo files of 4 KiB, each synced, and then their directory, by %d writers: %.0f a second.\n", s.clients, perSecond)
	return nil
}

// syncedPairs is what a file system allows a store that keeps a small file as two objects.
func syncedPairs(dir string, writers int) (float64, error) {
	block := make([]byte, 4<<10)
	var next atomic.Int64
	var failed error
	r := testing.Benchmark(func(b *testing.B) {
		var begun atomic.Int64
		err := together(writers, func(int) error {
			for begun.Add(1) <= int64(b.N) {
				n := next.Add(1)
				home := filepath.Join(dir, fmt.Sprintf("%02x", n%256))
				if err := os.MkdirAll(home, 0o700); err != nil {
					return err
				}
				for _, kind := range []string{"body", "env"} {
					if err := writeSynced(filepath.Join(home, fmt.Sprintf("%d.%s", n, kind)), block); err != nil {
						return err
					}
				}
				if err := syncDir(home); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			failed = err
		}
	})
	return float64(r.N) / r.T.Seconds(), failed
}

func writeSynced(name string, data []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}
