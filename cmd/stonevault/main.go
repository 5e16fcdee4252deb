// Command stonevault is the client: it puts files into a vault and gets them back, and it seals and
// opens files with no server at all.
//
// What it promises: a file appears at an output's name only when all of it has been verified and is
// durable; plaintext reaches no disk but the one it was asked for; standard output is data, standard
// error is words; secrets are never arguments and never printed. It keeps no keys of a vault and decides
// nothing that a server must decide.
//
// There is one file for each verb. Exit codes are the table in exit.go.
package main

//go:generate go run . docs --markdown ../../docs/reference/cli
//go:generate sh -c "go run . qkd rate --svg > ../../docs/reference/qkd-rate.svg"

import (
	"context"
	"crypto/rand"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// version is set by the linker.
var version = "unknown"

// grace is how long an interrupted verb may take to stop by itself. One that waits for a pipe or for a
// key on the terminal never does.
const grace = 300 * time.Millisecond

func main() {
	a := &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, rand: rand.Reader, now: time.Now,
		umask: setUmask(0o077), // files stay private until they are finished
	}
	os.Exit(a.main(os.Args[1:]))
}

// main runs one command line and returns the exit code.
func (a *app) main(args []string) int {
	// What nohup or a shell has switched off stays off.
	signals := slices.DeleteFunc([]os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}, signal.Ignored)
	ctx, stop := context.Background(), func() {}
	if len(signals) > 0 { // none would mean all there are
		ctx, stop = signal.NotifyContext(ctx, signals...)
	}
	defer stop()
	done := make(chan error, 1)
	go func() { done <- a.execute(ctx, args) }()
	select {
	case err := <-done:
		return a.report(err)
	case <-ctx.Done():
	}
	stop() // so that a second Ctrl-C ends the process at once
	select {
	case err := <-done:
		if err == nil {
			return 0 // it was already finished
		}
	case <-time.After(grace):
	}
	a.undo.run()
	return a.report(errInterrupted)
}
