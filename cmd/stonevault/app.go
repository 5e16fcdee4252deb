package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// app is one run of the program: its streams and the flags that every verb has.
type app struct {
	stdin  *os.File
	stdout *os.File
	stderr io.Writer
	rand   io.Reader
	now    func() time.Time
	umask  fs.FileMode // of the person; the process's own keeps everything private

	quiet   bool
	noInput bool
	profile string
	// tokenFile holds the API token to use in the place of a session; empty for none.
	tokenFile string

	patience time.Duration // how long a transfer waits for a network or server that fails
	drawn    *progress     // the bars that are on the terminal; nil where there are none
	tidied   sync.Once     // old notes are removed once

	started bool // a verb's own code runs: an error is no longer one of usage
	undo    undoList
}

// execute runs the verb that args name.
func (a *app) execute(ctx context.Context, args []string) error {
	root := newRoot(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !a.started {
		return asUsage(err, cmd.CommandPath()+" --help")
	}
	return err
}

// say writes a sentence for people.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		a.words(format+"\n", args...)
	}
}

// warn writes a sentence that --quiet does not silence.
func (a *app) warn(format string, args ...any) {
	a.words("stonevault: warning: "+format+"\n", args...)
}

// words go above the bars.
func (a *app) words(format string, args ...any) {
	text := fmt.Appendf(nil, format, args...)
	if a.drawn == nil || !a.drawn.above(text) {
		a.stderr.Write(text)
	}
}

// undoList holds what must be undone when the process is interrupted: temporary files to remove, a
// terminal to set right. It may be used by many goroutines.
type undoList struct {
	mu   sync.Mutex
	next int
	fns  map[int]func()
}

// add registers fn and returns what unregisters it.
func (u *undoList) add(fn func()) (remove func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.fns == nil {
		u.fns = make(map[int]func())
	}
	id := u.next
	u.next++
	u.fns[id] = fn
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.fns, id)
	}
}

// run does and forgets everything. It keeps the lock, so that whoever would add more waits for the
// process to end.
func (u *undoList) run() {
	u.mu.Lock()
	for _, fn := range u.fns {
		fn()
	}
}
