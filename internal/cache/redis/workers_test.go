package redis

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"stonevault/internal/cache"
	"stonevault/internal/cache/cachetest"
	"stonevault/internal/cache/redistest"
)

// workerVariable makes this test binary a process of workers: its value is the address of Redis.
const workerVariable = "STONEVAULT_CACHE_TEST_WORKERS"

const (
	processes = 3
	workers   = 50 // in all processes together
	working   = 3 * time.Second
)

// workWindows are contended all the time: workers ask for far more than they allow.
var workWindows = []cache.Window{
	{Limit: 20, Period: 50 * time.Millisecond},
	{Limit: 100, Period: 300 * time.Millisecond},
	{Limit: 150, Period: time.Second},
}

// report is what a process says at its end: what it took, by window.
type report struct {
	Asked int64
	Taken [][]cachetest.Taken
	Error string
}

// work is a process of workers. It says when it is ready, begins when it is told, and reports.
func work() {
	c, err := Open(Options{Address: os.Getenv(workerVariable), Timeout: 10 * time.Second})
	if err == nil {
		err = c.Ping(context.Background())
	}
	var n int
	fmt.Println("ready")
	fmt.Scan(&n)
	all := report{Taken: make([][]cachetest.Taken, len(workWindows))}
	if err != nil {
		all.Error = err.Error()
		n = 0
	}
	var mu sync.Mutex
	var running sync.WaitGroup
	end := time.Now().Add(working)
	for range n {
		running.Go(func() {
			for time.Now().Before(end) {
				i, cost := rand.IntN(len(workWindows)), 1+rand.Int64N(3)
				d, err := c.Limiter().Take(context.Background(), fmt.Sprint("test:", i), cost, workWindows[i])
				mu.Lock()
				all.Asked++
				if err != nil {
					all.Error = err.Error()
				} else if d.Allowed {
					all.Taken[i] = append(all.Taken[i], cachetest.Taken{At: d.At.UnixMilli(), Cost: cost})
				}
				mu.Unlock()
			}
		})
	}
	running.Wait()
	json.NewEncoder(os.Stdout).Encode(all)
}

// TestProcesses: 50 workers over three processes and one Redis never take more than the limit in an aligned window,
// nor twice the limit in any other, by the times at which Redis counted. They do take nearly all of it.
func TestProcesses(t *testing.T) {
	address := redistest.Start(t).Address()
	type process struct {
		cmd *exec.Cmd
		in  io.WriteCloser
		out *bufio.Reader
	}
	var all [processes]process
	for i := range all {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), workerVariable+"="+address)
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		all[i] = process{cmd, in, bufio.NewReader(out)}
	}
	for _, p := range all {
		if line, err := p.out.ReadString('\n'); line != "ready\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	for i, p := range all {
		fmt.Fprintln(p.in, (workers+i)/processes)
	}
	var asked int64
	taken := make([][]cachetest.Taken, len(workWindows))
	for i, p := range all {
		var r report
		if err := json.NewDecoder(p.out).Decode(&r); err != nil || r.Error != "" {
			t.Fatalf("process %d: %s, %v", i, r.Error, err)
		}
		asked += r.Asked
		for w := range taken {
			if len(r.Taken[w]) == 0 {
				t.Errorf("process %d got nothing of %v", i, workWindows[w])
			}
			taken[w] = append(taken[w], r.Taken[w]...)
		}
	}
	for i, w := range workWindows {
		var cost int64
		for _, one := range taken[i] {
			cost += one.Cost
		}
		fullest := cachetest.CheckWindows(t, w, taken[i])
		share := float64(cost) / (float64(w.Limit) * float64(working) / float64(w.Period))
		t.Logf("%d in %v: %d took %d, %.2f of what the limit would be; the fullest window that is not aligned has %d", w.Limit, w.Period, len(taken[i]), cost, share, fullest)
		if share < 0.5 {
			t.Errorf("%v: only %.2f of what the limit allows was taken", w, share)
		}
	}
	t.Logf("%d takes were asked for", asked)
}
