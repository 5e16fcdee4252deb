package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"

	"stonevault/internal/client"
)

// input is a file or pipe to read from its beginning to its end.
type input struct {
	file      *os.File
	name      string // base name; empty for a pipe
	size      int64  // -1 for a pipe
	mediaType string // as the first bytes say; empty where they do not
	attributes
}

// ReadAt reads a file anywhere.
func (in *input) ReadAt(p []byte, at int64) (int, error) { return in.file.ReadAt(p, at) }

// Unchanged tells whether a file is still what it was when it was opened.
func (in *input) Unchanged() error {
	info, err := in.file.Stat()
	switch {
	case err != nil:
		return err
	case info.Size() != in.size || !info.ModTime().Equal(in.modified):
		return client.ErrChanged
	}
	return nil
}

// openInput opens what is to be sealed or put. The caller closes it.
func (a *app) openInput(path string) (*input, error) {
	if path == pipeName {
		return &input{file: a.stdin, size: -1, attributes: attributes{0o644, a.now()}}, nil
	}
	f, info, err := openFile(path)
	if err != nil {
		return nil, err
	}
	in := &input{file: f, name: filepath.Base(path), size: -1, attributes: attributes{info.Mode().Perm(), info.ModTime()}}
	if runtime.GOOS == "windows" {
		in.mode = 0o644
	}
	if info.Mode().IsRegular() {
		in.size = info.Size()
		in.mediaType = sniff(f)
	}
	return in, nil
}

func (in *input) close() {
	if in.name != "" {
		in.file.Close()
	}
}

// sniff guesses a media type; what it cannot tell is empty.
func sniff(f *os.File) string {
	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF || n == 0 {
		return ""
	}
	if t := http.DetectContentType(head[:n]); t != "application/octet-stream" {
		return t
	}
	return ""
}

func openFile(path string) (*os.File, os.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fileError("read", path, err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder; pack it first, or name a file in it", shown(path))
	} else if err != nil {
		err = fileError("read", path, err)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// sealedInput is a stone to read at random.
type sealedInput struct {
	io.ReaderAt
	size  int64
	close func()
}

// openSealed opens a stone. What comes through a pipe is kept, as sealed as it came, in a temporary file
// without a name.
func (a *app) openSealed(path string) (*sealedInput, error) {
	f, at := a.stdin, int64(0)
	var info os.FileInfo
	var err error
	if path == pipeName {
		info, err = f.Stat()
		if err == nil && info.Mode().IsRegular() {
			at, err = f.Seek(0, io.SeekCurrent)
		}
	} else {
		f, info, err = openFile(path)
	}
	if err != nil {
		return nil, err
	}
	release := func() {
		if path != pipeName {
			f.Close()
		}
	}
	if info.Mode().IsRegular() {
		size := info.Size() - at
		if at == 0 {
			return &sealedInput{f, size, release}, nil
		}
		return &sealedInput{io.NewSectionReader(f, at, size), size, release}, nil
	}
	defer release()
	return a.spool(f)
}

func (a *app) spool(r io.Reader) (*sealedInput, error) {
	f, remove, err := a.temporary()
	if err != nil {
		return nil, fileError("write a temporary file in", os.TempDir(), err)
	}
	n, err := io.Copy(f, r)
	if err != nil {
		remove()
		return nil, fmt.Errorf("cannot keep the piped file in %s: %w; set TMPDIR to a folder with more room", shown(os.TempDir()), err)
	}
	return &sealedInput{f, n, remove}, nil
}

// temporary returns a private file that has no name, or one that remove takes away.
func (a *app) temporary() (f *os.File, remove func(), err error) {
	if f, err := unnamedFile(os.TempDir()); err == nil {
		return f, func() { f.Close() }, nil
	}
	if f, err = os.CreateTemp("", "stonevault.*.stone"); err != nil {
		return nil, nil, err
	}
	if os.Remove(f.Name()) == nil {
		return f, func() { f.Close() }, nil
	}
	discard := func() { f.Close(); os.Remove(f.Name()) } // Windows removes no open file
	forget := a.undo.add(discard)
	return f, func() { discard(); forget() }, nil
}
