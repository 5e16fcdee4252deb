package main

import (
	"bufio"
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"stonevault/identity"
)

// faults are what a disk can do to the server. Without paths the calls fail wherever they lead.
var faults = []struct {
	name  string
	calls string
	paths func(data string) []string
	large bool // it takes large files to meet them
}{
	{"syncs", "fsync,fdatasync", nil, false},
	{"syncs of names", "fsync", fanOut, false},
	{"syncs of the database", "fsync,fdatasync", databaseFiles, true},
	{"writes to the database", "pwrite64,pwritev", databaseFiles, false},
	{"writes at an offset", "pwrite64,pwritev", nil, true},
	{"writes", "write,writev", nil, false}, // among them those to connections and the log
	{"names", "linkat,renameat,renameat2", nil, false},
	{"names that replace", "renameat", nil, false},
	{"names that do not replace", "renameat2", nil, false},
	{"opens", "openat", nil, false},
	{"opens of objects", "openat", objectDirs, false},
	{"new directories", "mkdirat", nil, false},
	{"removals", "unlinkat", nil, false},
	{"cuts", "ftruncate", nil, true},
	{"allocations", "fallocate", nil, true},
}

// whens say which of a thread's calls fail: one of them, every few, or all. The short campaign takes one of the
// first shortWhens, which are soon met, and one error for each fault; the long one takes all of both.
var whens = []string{"1", "2+3", "1+", "3", "2", "5", "9", "17", "7+5"}

const shortWhens = 4

func objectDirs(data string) []string {
	return append(fanOut(data), filepath.Join(data, "objects"))
}

func fanOut(data string) []string {
	var dirs []string
	for b := range 256 {
		dirs = append(dirs, filepath.Join(data, "objects", fmt.Sprintf("%02x", b)))
	}
	return dirs
}

func databaseFiles(data string) []string {
	path := filepath.Join(data, "stonevault.db")
	return []string{path, path + "-wal", path + "-shm"}
}

// TestInjectedErrors lets the system calls of a running server fail while clients work. What it acknowledges
// is there when it has started anew, what it refuses is refused as the server's own failure, and nothing is
// left over. The server goes on, or ends with a sentence.
func TestInjectedErrors(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is not there; scripts/install-test-packages installs it")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	reader, err := identity.Generate(crand.Reader, identity.SuiteHybrid)
	check(t, err)
	writers := make([]*writer, 3)
	for i := range writers {
		writers[i] = newWriter(i, seed, reader)
		writers[i].names = 40
	}
	work := &injection{data: data, writers: writers, random: random}
	for i, f := range faults {
		var paths []string
		if f.paths != nil {
			paths = f.paths(data)
		}
		for _, w := range writers {
			w.oneLarge = 12
			if f.large {
				w.oneLarge = 2
			}
		}
		pick := random.IntN(shortWhens)
		for j, errno := range []string{"EIO", "ENOSPC"} {
			for k, when := range whens {
				if !torture() && (k != pick || (i+j+int(seed%2))%2 == 0) {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", f.name, errno, when), func(t *testing.T) {
					work.run(t, f.calls, errno, when, paths)
				})
				if t.Failed() {
					return // the next one would find what this one has left
				}
			}
		}
	}
	if work.injected == 0 {
		t.Error("nothing failed")
	}
	t.Logf("%d errors injected, %d requests refused, acknowledged: %s", work.injected, work.refused, summary(writers))
}

// injection is a campaign of faults on one data directory.
type injection struct {
	data     string
	writers  []*writer
	random   *rand.Rand
	injected int
	refused  int
}

// run works on a server while its calls fail, and then looks what is there.
func (x *injection) run(t *testing.T, calls, errno, when string, paths []string) {
	p := start(t, x.data)
	ann := signIn(t, p.addr, "ann")
	ann.http.Timeout = 20 * time.Second
	for _, w := range x.writers {
		w.faulty, w.refused = true, map[string]int{}
	}
	trace := attach(t, p, calls, errno, when, paths)
	until := time.Now().Add(time.Second)
	var working sync.WaitGroup
	for _, w := range x.writers {
		working.Go(func() {
			for i := 0; i < 25 && time.Now().Before(until) && w.step(ann) == nil; i++ {
			}
		})
	}
	working.Wait()
	log := trace.detach()
	refused := map[string]int{}
	for _, w := range x.writers {
		w.faulty = false
		for problem, n := range w.refused {
			refused[problem] += n
			x.refused += n
		}
	}
	injected := checkTrace(t, log)
	x.injected += injected
	t.Logf("%d errors injected, requests refused: %v", injected, refused)
	// A database that could not sync takes no more until a restart, whatever the reason was.
	if errno == "ENOSPC" && !injectedInto(log, "fsync", "stonevault.db") {
		for problem := range refused {
			if problem != "no-space" && problem != "" {
				t.Errorf("the disk is full, and requests are refused with %v", refused)
			}
		}
	}

	// One that ends may still be about to; a first question finds out.
	ann.http.CloseIdleConnections()
	ended := false
	if _, err := ann.do("GET", "/livez", nil, nil); err != nil {
		select {
		case <-p.ended:
			ended = true
		case <-time.After(5 * time.Second):
		}
	}
	if ended {
		// The runtime does not live without its own wake-ups, which are written to a descriptor.
		if said := p.stderr.String(); !endsInSentence(said) && !strings.Contains(said, "netpollBreak write failed") {
			t.Errorf("the server ended without a sentence: %s", said)
		}
	} else {
		// Reads go on, whatever has become of writes, as long as they can be recorded.
		unsynced := injectedInto(log, "fsync", "stonevault.db") || injectedInto(log, "fdatasync", "stonevault.db")
		for _, w := range x.writers {
			for path, digest := range w.now {
				if !w.free(path) {
					continue
				}
				r := ann.must(ann.get(path))
				if unsynced && r.problem() == "internal" {
					continue
				}
				if r.status != http.StatusOK || digestOf(r.body) != digest {
					t.Errorf("%s was acknowledged, and reads otherwise: status %d, %.200s", path, r.status, r.body)
				}
			}
		}
		if x.random.IntN(2) == 0 {
			p.kill()
		} else if p.stop() != 0 && !endsInSentence(p.stderr.String()) {
			t.Errorf("the server stopped with an error and without a sentence: %s", p.stderr)
		}
	}
	before := p
	p = start(t, x.data)
	checkObjects(t, x.data)
	ann = signIn(t, p.addr, "ann")
	for _, w := range x.writers {
		w.settle(ann)
	}
	p.kill()
	wantHealthy(t, x.data)
	if t.Failed() {
		t.Errorf("the server said, with the faults:\n%s\nand after them:\n%s", complaints(before), complaints(p))
	}
}

// complaints are those lines of a server's log that tell of something wrong.
func complaints(p *process) string {
	var b strings.Builder
	for line := range strings.Lines(p.stderr.String()) {
		if strings.Contains(line, "level=INFO") && !regexp.MustCompile(`status=[45]`).MatchString(line) {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

// endsInSentence tells whether the last line is what the program says when it fails.
func endsInSentence(stderr string) bool {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	return strings.HasPrefix(lines[len(lines)-1], "stonevaultd: ")
}

// tracer is strace at work on a server.
type tracer struct {
	t    testing.TB
	cmd  *exec.Cmd
	path string
}

// attach lets a server's calls fail from now on. It skips the test where nobody may trace.
func attach(t testing.TB, p *process, calls, errno, when string, paths []string) *tracer {
	t.Helper()
	tr := &tracer{t: t, path: filepath.Join(t.TempDir(), "trace")}
	args := []string{
		"-f", "-y", "-s", "0", "-o", tr.path, "-p", strconv.Itoa(p.cmd.Process.Pid),
		"-e", "trace=" + calls + ",fsync,pwrite64,linkat,renameat,renameat2,ftruncate", "-e", "signal=none",
		"-e", "inject=" + calls + ":error=" + errno + ":when=" + when,
	}
	for _, path := range paths {
		args = append(args, "-P", path)
	}
	tr.cmd = exec.Command("strace", args...)
	said, err := tr.cmd.StderrPipe()
	check(t, err)
	check(t, tr.cmd.Start())
	t.Cleanup(func() { tr.cmd.Process.Kill() })
	var all strings.Builder
	for lines := bufio.NewScanner(said); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), " attached") {
			go func() { // it has more to say, and must not wait for a reader
				for lines.Scan() {
				}
			}()
			return tr
		}
	}
	tr.cmd.Wait()
	if strings.Contains(all.String(), "Operation not permitted") {
		t.Skipf("NOT RUN: a process may not be traced here: %s", all.String())
	}
	t.Fatalf("strace does not attach: %s", all.String())
	return nil
}

// detach lets the calls succeed again and returns what was traced, one whole call in each line.
func (tr *tracer) detach() []string {
	tr.t.Helper()
	tr.cmd.Process.Signal(syscall.SIGINT) // it has gone already where the server has
	tr.cmd.Wait()
	b, err := os.ReadFile(tr.path)
	check(tr.t, err)
	var calls []string
	begun := map[string]string{} // by thread
	for line := range strings.Lines(string(b)) {
		thread, call, _ := strings.Cut(strings.TrimSpace(line), " ")
		call = strings.TrimSpace(call)
		if head, cut := strings.CutSuffix(call, "<unfinished ...>"); cut {
			begun[thread] = head
			continue
		}
		if _, tail, resumed := strings.Cut(call, "resumed>"); resumed {
			call = begun[thread] + tail
		}
		calls = append(calls, call)
	}
	return calls
}

// injectedInto tells whether a call on a file has failed by injection.
func injectedInto(calls []string, name, file string) bool {
	return slices.ContainsFunc(calls, func(call string) bool {
		return strings.HasPrefix(call, name+"(") && strings.Contains(call, file) && strings.Contains(call, "(INJECTED)")
	})
}

// naming are the calls that give a file a name.
var naming = map[string]bool{"linkat": true, "renameat": true, "renameat2": true}

var (
	temporaryName = regexp.MustCompile(`\.tmp-[A-Z2-7]+`)
	partName      = regexp.MustCompile(`[0-9a-f]{32}\.part`)
)

// checkTrace looks for what no later reading would show, since the pages are in memory all the same: a file
// gets its lasting name after a write or sync of it has failed, or the database is written on after a commit
// whose sync has failed. It returns the number of injected errors.
func checkTrace(t testing.TB, calls []string) (injected int) {
	t.Helper()
	failed := map[string]bool{} // names of files
	wal := ""                   // the last call on it
	unsafe := false
	for _, call := range calls {
		name, _, _ := strings.Cut(call, "(")
		succeeded := !strings.Contains(call, " = -1 ")
		onWAL := strings.Contains(call, "stonevault.db-wal>")
		if strings.Contains(call, "(INJECTED)") {
			injected++
			switch name {
			case "write", "pwrite64", "fsync":
				for _, kind := range []*regexp.Regexp{temporaryName, partName} {
					if file := kind.FindString(call); file != "" {
						failed[file] = true
					}
				}
			}
			if name == "fsync" && onWAL && wal == "pwrite64" { // otherwise it is of a checkpoint, which is made again
				unsafe = true
			}
		}
		switch {
		case name == "ftruncate" && succeeded:
			delete(failed, partName.FindString(call)) // it is at a length that was synced before
		case naming[name] && succeeded:
			for _, kind := range []*regexp.Regexp{temporaryName, partName} {
				if file := kind.FindString(call); failed[file] {
					t.Errorf("%s is given a name after it has failed: %s", file, call)
				}
			}
		case name == "pwrite64" && onWAL && unsafe && succeeded:
			t.Errorf("the database is written after a commit has failed to sync: %s", call)
			return injected
		}
		if onWAL {
			wal = name
		}
	}
	return injected
}
