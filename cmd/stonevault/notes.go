package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"stonevault/internal/client"
)

// noteAge is how old a note becomes before it is thrown away; the server has long forgotten its upload then.
const noteAge = 30 * 24 * time.Hour

// note is a small file in the client's own folder, by which a transfer is found again after a new start. It holds
// names, and nothing secret. Losing it costs what had been transferred, and never a wrong byte.
type note struct {
	a    *app
	path string
}

// note returns the note of a transfer that these words name.
func (a *app) note(words ...string) (*note, error) {
	dir, err := home()
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "transfers")
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", words))
	a.tidied.Do(func() { tidy(dir, a.now()) })
	return &note{a, filepath.Join(dir, hex.EncodeToString(sum[:16])+".json")}, nil
}

// tidy removes old notes.
func tidy(dir string, now time.Time) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // there is none yet
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > noteAge {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// read tells whether there is a note. A damaged one is none.
func (n *note) read(v any) bool {
	b, err := os.ReadFile(n.path)
	return err == nil && json.Unmarshal(b, v) == nil
}

// write replaces the note. Where that fails the transfer goes on, and begins anew after a new start.
func (n *note) write(v any) {
	b, err := json.Marshal(v)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(n.path), 0o700)
	}
	if err == nil {
		err = replaceFile(n.path, b)
	}
	if err != nil {
		n.a.warn("a transfer that is interrupted would begin anew: %v", fileError("write", n.path, err))
	}
}

func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), strings.TrimSuffix(filepath.Base(path), ".json")+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func (n *note) forget() { os.Remove(n.path) }

// uploadNote says which upload a file is being sent by.
type uploadNote struct {
	Server   string    `json:"server"`
	User     string    `json:"user"`
	Path     string    `json:"path"`
	Local    string    `json:"local"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	Mode     uint32    `json:"mode"`
	Class    string    `json:"class"`
	Replace  bool      `json:"replace"`
	ID       string    `json:"id"`
}

// uploadMemory keeps the note of one upload.
type uploadMemory struct {
	note *note
	now  uploadNote
}

var _ client.Memory = (*uploadMemory)(nil)

func (a *app) uploadMemory(p *profile, local string, u *client.Upload) (*uploadMemory, error) {
	abs, err := filepath.Abs(local)
	if err != nil {
		return nil, err
	}
	n, err := a.note("upload", p.Server, p.User, u.Path, abs)
	if err != nil {
		return nil, err
	}
	return &uploadMemory{n, uploadNote{
		Server: p.Server, User: p.User, Path: u.Path, Local: abs,
		Size: u.Size, Modified: u.ModifiedAt.UTC().Round(0), Mode: u.Mode, Class: u.Class, Replace: u.Replace,
	}}, nil
}

// Load returns the upload that the file was sent by before. It is stale where the file has changed since.
func (m *uploadMemory) Load() (id string, stale bool) {
	var was uploadNote
	if !m.note.read(&was) {
		return "", false
	}
	id, was.ID = was.ID, ""
	now := m.now
	same := was.Modified.Equal(now.Modified)
	was.Modified, now.Modified = time.Time{}, time.Time{}
	return id, !same || was != now
}

// Save remembers an upload.
func (m *uploadMemory) Save(id string) {
	if was, stale := m.Load(); was == id && !stale {
		return
	}
	now := m.now
	now.ID = id
	m.note.write(now)
}

// Forget is for an upload that is over.
func (m *uploadMemory) Forget() { m.note.forget() }
