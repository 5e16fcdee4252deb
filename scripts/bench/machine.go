package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"stonevault/identity"
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
	signer, err := identity.Generate(rand.Reader, identity.SuiteHybrid)
	if err != nil {
		return err
	}
	mib, chunk, message := make([]byte, 1<<20), make([]byte, 16<<10, 16<<10+gcm.Overhead()), make([]byte, 1500)
	sig, err := signer.Sign(identity.StatementManifest, message)
	if err != nil {
		return err
	}
	fmt.Print("\n### The machine\n\n| on one core | µs | MB/s |\n|---|---|---|\n")
	for _, p := range []struct {
		name  string
		bytes int
		do    func() error
	}{
		{"SHA-256 of 1 MiB", len(mib), func() error { sha256.Sum256(mib); return nil }},
		{"AES-256-GCM of 16 KiB", len(chunk), func() error { gcm.Seal(chunk[:0], make([]byte, 12), chunk, nil); return nil }},
		{"ML-DSA-65, sign", 0, func() error { _, err := signer.Sign(identity.StatementManifest, message); return err }},
		{"ML-DSA-65, verify", 0, func() error { return signer.Public().Verify(identity.StatementManifest, message, sig) }},
	} {
		n, took, err := forSecond(p.do)
		if err != nil {
			return err
		}
		speed := "–"
		if p.bytes > 0 {
			speed = fmt.Sprintf("%.0f", float64(p.bytes)*float64(n)/1e6/took.Seconds())
		}
		fmt.Printf("| %s | %.1f | %s |\n", p.name, took.Seconds()*1e6/float64(n), speed)
	}
	perSecond, err := syncedPairs(dir, s.clients)
	if err != nil {
		return err
	}
	fmt.Printf("\nTwo files of 4 KiB, each synced, and then their directory, by %d writers: %.0f a second.\n", s.clients, perSecond)
	return nil
}

// forSecond repeats do for a second and tells how often it ran.
func forSecond(do func() error) (n int64, took time.Duration, err error) {
	start := time.Now()
	for took < time.Second {
		if err := do(); err != nil {
			return n, took, err
		}
		n, took = n+1, time.Since(start)
	}
	return n, took, nil
}

// syncedPairs is what a file system allows a store that keeps a small file as two objects.
func syncedPairs(dir string, writers int) (float64, error) {
	block := make([]byte, 4<<10)
	var next atomic.Int64
	one := func() error {
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
		return syncDir(home)
	}
	start := time.Now()
	err := together(writers, func(int) error {
		_, _, err := forSecond(one)
		return err
	})
	return float64(next.Load()) / time.Since(start).Seconds(), err
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
