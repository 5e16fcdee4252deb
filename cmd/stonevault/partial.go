package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"stonevault/internal/client"
	"stonevault/internal/keyring"
)

const (
	partialSuffix = ".stonevault-partial"
	// partialCheckpoint is how many bytes may arrive before they are made durable and noted, and partialPause how
	// long it must be since the last time.
	partialCheckpoint = 8 << 20
	partialPause      = time.Second
)

// partial is the part of a file that has arrived, under a hidden name beside the file's own, so that it outlives
// this run of the program. A note says of which file it is, and how much of it is durable: what is behind that is
// not trusted after a new start, because a power cut may have left zeros there.
//
// One process at a time has it, by a lock. A nil partial keeps nothing.
type partial struct {
	a    *app
	note *note
	path string
	now  downloadNote
	file *os.File // nil until there is one
	out  *output  // nil until it is written to
	at   int64    // how much has been written

	begun   int64 // where the last checkpoint began, and when
	when    time.Time
	pending bool // a checkpoint is under way, or its result has not been looked at
	done    chan error
}

// downloadNote says of which file a part is.
type downloadNote struct {
	Server  string `json:"server"`
	User    string `json:"user"`
	Path    string `json:"path"`
	Local   string `json:"local"`
	ETag    string `json:"etag"`
	Size    int64  `json:"size"`
	Durable int64  `json:"durable"`
}

// openPartial finds what has arrived before.
func (a *app) openPartial(p *profile, item getItem) (*partial, error) {
	abs, err := filepath.Abs(item.local)
	if err != nil {
		return nil, err
	}
	n, err := a.note("download", p.Server, p.User, item.path, abs)
	if err != nil {
		return nil, err
	}
	part := &partial{a: a, note: n, path: partialPath(item.local), done: make(chan error, 1)}
	part.now = downloadNote{Server: p.Server, User: p.User, Path: item.path, Local: abs}
	var was downloadNote
	if !n.read(&was) {
		return part, nil
	}
	f, err := openOwn(part.path)
	if err != nil {
		return part, nil // it is gone, or another process has it
	}
	info, err := f.Stat()
	if err != nil || was.ETag == "" || was.Durable <= 0 || was.Durable > was.Size || info.Size() < was.Durable {
		f.Close()
		return part, nil
	}
	part.file, part.now = f, was
	part.at = min(was.Durable, was.Size-1) // a range has at least one byte
	return part, nil
}

// partialPath hides a name and marks it as ours.
func partialPath(local string) string {
	dir, name := filepath.Split(local)
	if hidden := "." + name + partialSuffix; len(hidden) <= 255 {
		return filepath.Join(dir, hidden)
	}
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(dir, "."+hex.EncodeToString(sum[:16])+partialSuffix)
}

var errNotOurs = errors.New("it is not this account's own private file, or another process has it")

// openOwn opens a partial file that nobody else can have put there, read or hold: in a folder that others write to,
// they could put a link of that name.
func openOwn(path string) (*os.File, error) {
	before, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() || !isOwn(before) {
		return nil, errNotOurs
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	is, err := f.Stat()
	if err == nil && os.SameFile(before, is) {
		var locked bool
		if locked, err = keyring.TryLock(f); err == nil && locked {
			// Who had it may have given it its name meanwhile.
			if now, err := os.Lstat(path); err == nil && os.SameFile(now, is) {
				return f, nil
			}
		}
	}
	f.Close()
	return nil, errNotOurs
}

// createOwn begins a partial file in the place of any that is left over.
func createOwn(path string) (*os.File, error) {
	if old, err := openOwn(path); err == nil {
		err = os.Remove(path)
		old.Close()
		if err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if locked, err := keyring.TryLock(f); err != nil || !locked {
		f.Close()
		os.Remove(path)
		return nil, errNotOurs
	}
	return f, nil
}

// position is where to go on, or nil.
func (p *partial) position() *client.Position {
	if p == nil || p.file == nil {
		return nil
	}
	return &client.Position{ETag: p.now.ETag, Size: p.now.Size, At: p.at}
}

// begin makes the part the file of an output, from the position on, and says whether it did: small files, and
// folders where a part cannot be kept, have none.
func (p *partial) begin(d *client.Download, out *output) bool {
	if p == nil || d.Size < client.ResumeFrom {
		return false
	}
	if p.file == nil {
		f, err := createOwn(p.path)
		if err != nil {
			return false
		}
		p.file, p.at = f, 0
	}
	err := p.file.Truncate(p.at)
	if err == nil {
		_, err = p.file.Seek(p.at, io.SeekStart)
	}
	if err != nil {
		p.discard()
		return false
	}
	p.now.ETag, p.now.Size = d.ETag, d.Size
	p.begun, p.when = p.at, p.a.now()
	p.out = out
	out.adopt(p.file, p.path)
	return true
}

// Write appends what arrives, and begins a checkpoint now and then.
func (p *partial) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	p.at += int64(n)
	if err != nil {
		return n, fileError("write", p.path, err)
	}
	if p.at-p.begun < partialCheckpoint || p.a.now().Sub(p.when) < partialPause {
		return n, nil
	}
	if p.pending && len(p.done) == 0 {
		return n, nil // the disk is slower than the network
	}
	if err := p.settle(); err != nil {
		return n, fileError("write", p.path, err)
	}
	p.begun, p.when, p.pending = p.at, p.a.now(), true
	go func(at int64) { p.done <- p.checkpoint(at) }(p.at)
	return n, nil
}

// checkpoint makes what has arrived durable, and then says so.
func (p *partial) checkpoint(at int64) error {
	if err := p.file.Sync(); err != nil {
		return err
	}
	now := p.now
	now.Durable = at
	p.note.write(now)
	return nil
}

// settle waits for a checkpoint that is under way. Its error must not be lost: the system tells of it only once.
func (p *partial) settle() error {
	if p == nil || !p.pending {
		return nil
	}
	p.pending = false
	return <-p.done
}

// keep decides, when a transfer has failed, whether what arrived stays for the next time.
func (p *partial) keep(err error) bool {
	if p == nil || p.out == nil {
		return false
	}
	if p.settle() != nil || !interrupted(err) || p.at == 0 || p.checkpoint(p.at) != nil {
		p.discard()
		return false
	}
	p.out.ended = true
	return true
}

// interrupted tells whether a transfer failed for a reason that says nothing about the file.
func interrupted(err error) bool {
	if errors.Is(err, client.ErrRefused) || errors.Is(err, client.ErrNotFound) {
		return false
	}
	return errors.Is(err, client.ErrUnreachable) || errors.Is(err, client.ErrNotSignedIn) || errors.Is(err, context.Canceled) ||
		errors.As(err, new(*client.Problem))
}

// discard throws away what has arrived.
func (p *partial) discard() {
	if p == nil || p.file == nil {
		return
	}
	p.settle()
	p.note.forget()
	if runtime.GOOS == "windows" { // which removes no open file
		p.file.Close()
	}
	os.Remove(p.path)
	p.file.Close()
	p.file, p.at = nil, 0
}

// finish is for a file that has its own name now.
func (p *partial) finish() {
	if p != nil && p.out != nil {
		p.note.forget()
	}
}

// close lets go of what arrived before and was not used.
func (p *partial) close() {
	if p != nil && p.file != nil {
		p.file.Close()
	}
}

// adopt makes a file of that name what commit publishes.
func (o *output) adopt(f *os.File, name string) {
	o.abort()
	*o = output{a: o.a, target: o.target, force: o.force, forget: func() {}, file: f, temp: name}
}
