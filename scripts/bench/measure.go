package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// sample is one run.
type sample struct {
	seconds float64
	mib     float64 // largest resident set
}

// command runs a program to its end.
func command(stdin io.Reader, name string, args ...string) (sample, error) {
	cmd := exec.Command(name, args...)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &said, &said
	start := time.Now()
	err := cmd.Run()
	s := sample{seconds: time.Since(start).Seconds()}
	if err != nil {
		return s, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, said.String())
	}
	s.mib = float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024
	return s, nil
}

// contender is one side of a comparison.
type contender struct {
	name string
	run  func() (sample, error)
}

// compare runs the contenders in turn, so that what else the machine does falls on all of them, and
// prints their medians. The ratio is to the first, which is the peer.
func compare(title string, runs int, bytes int64, contenders ...contender) error {
	samples := make([][]sample, len(contenders))
	for i := range runs + 1 {
		for c := range contenders {
			s, err := contenders[c].run()
			if err != nil {
				return err
			}
			if i > 0 { // the first warms caches
				samples[c] = append(samples[c], s)
			}
		}
	}
	fmt.Printf("\n### %s\n\n| | median s | MB/s | time ratio | throughput ratio | peak MiB |\n|---|---|---|---|---|---|\n", title)
	for c := range contenders {
		var ratios []float64
		for i := range samples[c] {
			ratios = append(ratios, samples[c][i].seconds/samples[0][i].seconds)
		}
		ratio := median(ratios)
		s := medianSample(samples[c])
		peak := "–" // a server's is measured by itself
		if s.mib > 0 {
			peak = fmt.Sprintf("%.0f", s.mib)
		}
		fmt.Printf("| %s | %.3f | %.0f | %.2f | %.2f | %s |\n", contenders[c].name, s.seconds, float64(bytes)/1e6/s.seconds, ratio, 1/ratio, peak)
	}
	return nil
}

func medianSample(samples []sample) sample {
	var seconds, mib []float64
	for _, s := range samples {
		seconds = append(seconds, s.seconds)
		mib = append(mib, s.mib)
	}
	return sample{median(seconds), slices.Max(mib)}
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// scratch makes a directory below parent that the returned function removes.
func scratch(parent string) (string, func(), error) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp(parent, "stonevault-bench-")
	return dir, func() { os.RemoveAll(dir) }, err
}

// writeRandom fills a file with random bytes.
func writeRandom(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyN(f, rand.Reader, size)
	return err
}

// writeText fills a file with Go's own sources, over and over.
func writeText(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	for written := int64(0); written < size; {
		err := filepath.WalkDir(filepath.Join(strings.TrimSpace(string(root)), "src"), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			n, err := f.Write(b[:min(int64(len(b)), size-written)])
			if written += int64(n); err == nil && written >= size {
				return fs.SkipAll
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func same(a, b string) error {
	_, err := command(nil, "cmp", a, b)
	return err
}
