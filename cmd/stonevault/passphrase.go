package main

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/term"
)

// errNoTerminal is a question that cannot be asked.
var errNoTerminal = errors.New("there is no terminal to ask on")

// maxSecret bounds a passphrase or password in bytes.
const maxSecret = 1024

// passphrase reads a secret from the first line of file, or asks for it on the terminal; twice where it
// is a new one.
func (a *app) passphrase(what, file string, fresh bool) ([]byte, error) {
	var secret []byte
	var err error
	if file != "" {
		secret, err = a.secretFromFile(file)
	} else {
		secret, err = a.ask(what, fresh)
	}
	switch {
	case errors.Is(err, errNoTerminal):
		return nil, misuse("--passphrase-file FILE", "the %s is needed and %v", what, err)
	case err != nil:
		return nil, err
	case len(secret) == 0:
		return nil, fmt.Errorf("the %s is empty; an empty one protects nothing", what)
	case len(secret) > maxSecret:
		return nil, fmt.Errorf("the %s is longer than %d bytes", what, maxSecret)
	}
	return secret, nil
}

func (a *app) secretFromFile(file string) ([]byte, error) {
	f := a.stdin
	if file != pipeName {
		var err error
		if f, err = os.Open(file); err != nil {
			return nil, fileError("read", file, err)
		}
		defer f.Close()
	}
	line, err := readLine(f)
	if err != nil {
		return nil, fileError("read", file, err)
	}
	return line, nil
}

// readLine reads one line, as far as a secret may be long and a little farther, and leaves what follows unread.
func readLine(r io.Reader) ([]byte, error) {
	var line []byte
	for next := make([]byte, 1); len(line) < maxSecret+3; {
		n, err := r.Read(next)
		if n == 1 && next[0] == '\n' || err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		line = append(line, next[:n]...)
	}
	return bytes.TrimSuffix(line, []byte("\r")), nil
}

// password is passphrase for verbs that read it from standard input where stdin says so, and else ask; example is
// what to type where nobody can be asked.
func (a *app) password(what string, stdin, fresh bool, example string) (string, error) {
	file := ""
	if stdin {
		file = pipeName
	}
	secret, err := a.passphrase(what, file, fresh)
	if errors.As(err, new(*usageError)) {
		err = misuse(example, "the %s is needed and %v", what, errNoTerminal)
	}
	return string(secret), err
}

func (a *app) ask(what string, fresh bool) ([]byte, error) {
	if a.noInput {
		return nil, errNoTerminal
	}
	tty, err := a.openTerminal()
	if err != nil {
		return nil, errNoTerminal
	}
	defer tty.close()
	secret, err := tty.askSecret(a, capital(what)+": ")
	if err != nil || !fresh {
		return secret, err
	}
	again, err := tty.askSecret(a, "The same again: ")
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(secret, again) != 1 {
		return nil, fmt.Errorf("the two do not match; try again")
	}
	return secret, nil
}

// terminal is where a person is asked, whatever standard input and error are connected to.
type terminal struct {
	in, out *os.File
	own     bool
}

func (a *app) openTerminal() (*terminal, error) {
	if runtime.GOOS == "windows" {
		in, err := os.OpenFile("CONIN$", os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		out, err := os.OpenFile("CONOUT$", os.O_RDWR, 0)
		if err != nil {
			in.Close()
			return nil, err
		}
		return &terminal{in, out, true}, nil
	}
	if f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); err == nil {
		return &terminal{f, f, true}, nil
	}
	if stderr, ok := a.stderr.(*os.File); ok && term.IsTerminal(int(a.stdin.Fd())) && term.IsTerminal(int(stderr.Fd())) {
		return &terminal{a.stdin, stderr, false}, nil
	}
	return nil, errNoTerminal
}

func (t *terminal) close() {
	if t.own {
		t.in.Close()
		if t.out != t.in {
			t.out.Close()
		}
	}
}

func (t *terminal) askSecret(a *app, prompt string) ([]byte, error) {
	fd := int(t.in.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return nil, errNoTerminal
	}
	forget := a.undo.add(func() { term.Restore(fd, state); fmt.Fprintln(t.out) })
	defer forget()
	fmt.Fprint(t.out, prompt)
	secret, err := term.ReadPassword(fd)
	fmt.Fprintln(t.out)
	if err == io.EOF {
		return nil, errors.New("nothing was typed")
	}
	return secret, err
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
