package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// pipeName stands for standard input or output.
const pipeName = "-"

// output is a file in the making, or a stream. A file has no name, or a temporary one in the same folder,
// until commit gives it its own; abort leaves nothing. A stream gets what is written as it comes.
type output struct {
	a      *app
	file   *os.File
	target string
	temp   string // the temporary name, or empty where the file has none
	forget func() // takes the temporary name off the undo list
	force  bool
	stream bool
	ended  bool
}

// attributes are what a file keeps of the one that it came from.
type attributes struct {
	mode     fs.FileMode // permission bits
	modified time.Time
}

// createOutput begins a file that will replace nothing unless force says so. An existing target that is
// no regular file, such as /dev/null or a named pipe, is a stream.
func (a *app) createOutput(target string, force bool) (*output, error) {
	o := &output{a: a, target: target, force: force, forget: func() {}}
	if target == pipeName || target == "/dev/stdout" { // which --force must not replace
		o.file, o.stream = a.stdout, true
		return o, nil
	}
	info, err := os.Stat(target)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a folder; name a file in it", shown(target))
	case err == nil && !info.Mode().IsRegular():
		if o.file, err = os.OpenFile(target, os.O_WRONLY, 0); err != nil {
			return nil, fileError("write", target, err)
		}
		o.stream = true
		return o, nil
	}
	if _, err := os.Lstat(target); err == nil && !force {
		return nil, existsError(target)
	}
	if err := o.openUnnamed(); err == nil {
		return o, nil
	} else if !errors.Is(err, errors.ErrUnsupported) {
		return nil, fileError("write", target, err)
	}
	return o, o.openNamed()
}

func existsError(target string) error {
	return fmt.Errorf("%s exists: %w; add --force to replace it", shown(target), fs.ErrExist)
}

// openNamed begins the file under a temporary name.
func (o *output) openNamed() error {
	f, err := os.CreateTemp(filepath.Dir(o.target), ".stonevault.*.partial")
	if err != nil {
		return fileError("write", o.target, err)
	}
	o.file, o.temp = f, f.Name()
	o.forget = o.a.undo.add(func() { f.Close(); os.Remove(f.Name()) })
	return nil
}

// writer is the file itself, so that whoever copies finds the fast ways of the system.
func (o *output) writer() io.Writer { return o.file }

// commit makes what was written durable and gives it its name.
func (o *output) commit(keep attributes) error {
	if o.stream {
		o.ended = true
		if o.file == o.a.stdout {
			return nil
		}
		return o.file.Close()
	}
	if err := o.finish(keep); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return existsError(o.target)
		}
		return fileError("write", o.target, err)
	}
	o.ended = true
	o.forget()
	return nil
}

func (o *output) finish(keep attributes) error {
	if runtime.GOOS != "windows" { // which has no permission bits
		if err := o.file.Chmod(keep.mode&0o777&^o.a.umask | 0o600); err != nil {
			return err
		}
	}
	if err := setModified(o.file, keep.modified); err != nil {
		return err
	}
	if err := o.file.Sync(); err != nil {
		return err
	}
	if err := o.publish(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(o.target))
}

// publishNamed gives a file with a temporary name its own.
func (o *output) publishNamed() error {
	if err := o.file.Close(); err != nil {
		return err
	}
	if o.force {
		return os.Rename(o.temp, o.target)
	}
	return renameNew(o.temp, o.target)
}

// abort leaves nothing of a file that was not committed. It does nothing after commit.
func (o *output) abort() {
	if o.ended || o.file == o.a.stdout {
		return
	}
	o.ended = true
	o.file.Close()
	if o.temp != "" {
		os.Remove(o.temp)
		o.forget()
	}
}

// linkNew is renameNew for file systems that cannot rename without replacing.
func linkNew(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return err
	}
	return os.Remove(from)
}
