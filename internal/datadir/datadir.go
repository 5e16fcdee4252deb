// Package datadir knows the directory that holds all of a server's data.
//
//	DIR/
//	  version          JSON: the layout's number and the program that wrote it
//	  lock             locked by the process that serves; its number is inside
//	  stonevault.db    metadata, with -wal and -shm beside it while it is open
//	  objects/         sealed files
//	  master.salt      only where the master key comes from a passphrase
//	  master.salt.next only while another passphrase takes its place
//	  lock-rotate      locked by the command that replaces a key
//	  setup-code       only while a server runs that has no admin
//	  reserve          room for the database on a full disk
//	  server           a random name of the directory, where several servers have one database
//	DIR.master.key     the master key: beside the directory, never in it
//	DIR.master.key.next  only while another one takes its place
//	DIR.audit        the newest signed head of the audit log, by which an older database is noticed
//	DIR.tls.pem        a certificate that the server has made, with its key
//	DIR.tls.crt        the same without the key
//
// Invariants: looking changes nothing; what a newer program has written is refused; a directory that
// holds something else is never taken for an empty one; at most one process holds the lock, and the
// operating system takes it back when that process ends, however it ends.
//
// The database, the objects or both may be elsewhere: then the rest is what one server of many has for itself.
//
// It does not know what the database and the objects mean.
package datadir

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Layout is the number of the layout above.
const Layout = 1

const (
	versionName  = "version"
	lockName     = "lock"
	databaseName = "stonevault.db"
	objectsName  = "objects"
	saltName     = "master.salt"
	nextSaltName = "master.salt.next"
	rotateName   = "lock-rotate"
	setupName    = "setup-code"
	reserveName  = "reserve"
	serverName   = "server"

	saltSize  = 32 // bytes, of the salt of a passphrase
	checkSize = 16 // of what tells its key

	maxVersionFile = 4096 // bytes
	serverIDSize   = 16   // bytes
	tmpPrefix      = ".tmp-"
)

// State is how far a directory has come.
type State int

const (
	// Missing is no directory at all.
	Missing State = iota
	// Empty is a directory without data: nothing has been sealed under any key.
	Empty
	// InUse is a directory with data.
	InUse
)

// NewerError refuses a directory that a newer program has laid out.
type NewerError struct {
	Path    string
	Layout  int
	Program string // its version
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("the data in %s has layout %d, written by version %s; use that version or a newer one", e.Path, e.Layout, e.Program)
}

// ForeignError refuses a directory that is not, or not wholly, a data directory.
type ForeignError struct {
	Path   string
	Reason string // the sentence after the path
}

func (e *ForeignError) Error() string { return e.Path + " " + e.Reason }

// Dir is a data directory.
type Dir struct {
	path      string
	elsewhere Elsewhere
}

// Elsewhere says what of a vault is not in its directory.
type Elsewhere struct{ Database, Objects bool }

// Without is the same directory of a vault that has something elsewhere.
func (d Dir) Without(e Elsewhere) Dir {
	d.elsewhere = e
	return d
}

// At names a data directory, which need not exist. The path is made absolute.
func At(path string) (Dir, error) {
	if path == "" {
		return Dir{}, errors.New("say where the data is: --data DIR")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return Dir{}, err
	}
	if filepath.Dir(path) == path {
		return Dir{}, fmt.Errorf("%s is the root of a file system; choose a directory below it with --data", path)
	}
	return Dir{path: path}, nil
}

// Path is the directory itself.
func (d Dir) Path() string { return d.path }

// Database is the path of the metadata.
func (d Dir) Database() string { return filepath.Join(d.path, databaseName) }

// Objects is the directory of sealed files.
func (d Dir) Objects() string { return filepath.Join(d.path, objectsName) }

// DefaultKeyFile is where the master key lies unless told otherwise.
func (d Dir) DefaultKeyFile() string { return d.path + ".master.key" }

// MadeCertificate is where the certificate lies that the server makes, with its key, and where without.
func (d Dir) MadeCertificate() (withKey, certificate string) {
	return d.path + ".tls.pem", d.path + ".tls.crt"
}

// AuditHead is where the newest signed head of the audit log is kept, beside the directory: who restores that
// from a copy must not restore this with it.
func (d Dir) AuditHead() string { return d.path + ".audit" }

// SetupCode is where the code is written that lets the first person in.
func (d Dir) SetupCode() string { return filepath.Join(d.path, setupName) }

// Contains tells whether path lies in the directory, by whatever links either is reached.
func (d Dir) Contains(path string) (bool, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return false, err
	}
	inside, file := resolve(d.path), resolve(path)
	return file == inside || strings.HasPrefix(file, inside+string(filepath.Separator)), nil
}

// resolve follows the links of as much of a path as exists.
func resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	return filepath.Join(resolve(parent), filepath.Base(path))
}

// stamp is the content of the file "version".
type stamp struct {
	Layout  int    `json:"layout"`
	Program string `json:"program"`
}

// Inspect looks at the directory and changes nothing.
func (d Dir) Inspect() (State, error) {
	entries, err := os.ReadDir(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return Missing, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look at the data directory: %w", err)
	}
	var foreign []string
	stamped, database, objects := false, false, false
	for _, e := range entries {
		name := e.Name()
		switch {
		case name == versionName:
			stamped = true
		case name == objectsName:
			if objects, err = d.hasObjects(); err != nil {
				return 0, err
			}
		case name == databaseName:
			info, err := e.Info()
			if err != nil {
				return 0, fmt.Errorf("look at the data directory: %w", err)
			}
			database = info.Size() > 0
		case name == lockName, name == rotateName, name == saltName, name == nextSaltName, name == serverName, name == setupName, name == "lost+found",
			strings.HasPrefix(name, tmpPrefix), strings.HasPrefix(name, databaseName):
		default:
			foreign = append(foreign, name)
		}
	}
	if stamped {
		if err := d.checkStamp(); err != nil {
			return 0, err
		}
	}
	used := database || objects
	switch {
	case database && d.elsewhere.Database:
		return 0, &ForeignError{d.path, "holds a database, and the settings name another; choose another directory with --data, or leave out --database"}
	case objects && d.elsewhere.Objects:
		return 0, &ForeignError{d.path, "holds sealed files, and the settings name another place for them; choose another directory with --data, or leave out --objects"}
	case used && !stamped:
		return 0, &ForeignError{d.path, `holds data but no file "version", so it is not whole; restore all of it, or choose another directory with --data`}
	case !used && len(foreign) > 0:
		slices.Sort(foreign)
		return 0, &ForeignError{d.path, fmt.Sprintf("holds something else (%s); choose an empty directory with --data", foreign[0])}
	case !used:
		return Empty, nil
	}
	if info, err := os.Stat(d.Objects()); !d.elsewhere.Objects && (err != nil || !info.IsDir()) {
		return 0, &ForeignError{d.path, "holds a database but no directory " + objectsName + "; mount it, or put it back from a backup"}
	}
	if !database && !d.elsewhere.Database {
		return 0, &ForeignError{d.path, "holds sealed files but no database; put " + databaseName + " back from a backup"}
	}
	return InUse, nil
}

// hasObjects tells whether anything lies below objects/.
func (d Dir) hasObjects() (bool, error) {
	fans, err := os.ReadDir(d.Objects())
	if err != nil {
		return false, fmt.Errorf("look at the data directory: %w", err)
	}
	for _, fan := range fans {
		if !fan.IsDir() {
			return true, nil
		}
		below, err := os.ReadDir(filepath.Join(d.Objects(), fan.Name()))
		if err != nil {
			return false, fmt.Errorf("look at the data directory: %w", err)
		}
		if len(below) > 0 {
			return true, nil
		}
	}
	return false, nil
}

func (d Dir) checkStamp() error {
	f, err := os.Open(filepath.Join(d.path, versionName))
	if err != nil {
		return fmt.Errorf("look at the data directory: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxVersionFile))
	if err != nil {
		return fmt.Errorf("look at the data directory: %w", err)
	}
	var s stamp
	if err := json.Unmarshal(text, &s); err != nil || s.Layout < 1 {
		return &ForeignError{d.path, `has a damaged file "version"; restore it from a backup`}
	}
	if s.Layout > Layout {
		return &NewerError{d.path, s.Layout, s.Program}
	}
	return nil
}

// Stamp writes the file "version", durably, unless it says the same already.
func (d Dir) Stamp(program string) error {
	text, err := json.Marshal(stamp{Layout, program})
	if err != nil {
		return err
	}
	text = append(text, '\n')
	path := filepath.Join(d.path, versionName)
	if was, err := os.ReadFile(path); err == nil && string(was) == string(text) {
		return nil
	}
	return WriteFile(path, text, 0o600)
}

// Make makes the directory, for its owner alone, and its name durable. undo removes it again if it was
// not there before and holds nothing.
func (d Dir) Make() (undo func(), err error) {
	undo = func() {}
	if err := os.MkdirAll(filepath.Dir(d.path), 0o700); err != nil {
		return undo, fmt.Errorf("make the data directory: %w", err)
	}
	err = os.Mkdir(d.path, 0o700)
	switch {
	case err == nil:
		undo = func() { _ = os.Remove(d.path) } // fails where something has come into it, as it shall
	case !errors.Is(err, fs.ErrExist):
		return undo, fmt.Errorf("make the data directory: %w", err)
	}
	if err := syncDir(filepath.Dir(d.path)); err != nil {
		undo()
		return func() {}, fmt.Errorf("make the data directory: %w", err)
	}
	return undo, nil
}

// Scratch makes a directory for temporary files, in here so that they are as safe as the data.
func (d Dir) Scratch() (string, error) {
	path := filepath.Join(d.path, tmpPrefix+rand.Text())
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", fmt.Errorf("make a temporary directory: %w", err)
	}
	return path, nil
}

// RemoveTemporary removes what a killed process has left of this package's own writing. Call it with the
// lock held.
func (d Dir) RemoveTemporary() error {
	entries, err := os.ReadDir(d.path)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tmpPrefix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(d.path, e.Name())))
		}
	}
	return err
}

// Salt returns what is kept beside a passphrase's key; fs.ErrNotExist where there is none.
func (d Dir) Salt() ([]byte, error) {
	salt, err := os.ReadFile(filepath.Join(d.path, saltName))
	if err != nil {
		return nil, fmt.Errorf("read the salt of the passphrase: %w", err)
	}
	return salt, nil
}

// CreateSalt makes a salt of n random bytes. Call it with the lock held.
func (d Dir) CreateSalt(n int) ([]byte, error) {
	salt := make([]byte, n)
	rand.Read(salt)
	if err := WriteFile(filepath.Join(d.path, saltName), salt, 0o600); err != nil {
		return nil, fmt.Errorf("write the salt of the passphrase: %w", err)
	}
	return salt, nil
}

// PutSalt keeps the salt of another directory, for the same passphrase. Call it with the lock held.
func (d Dir) PutSalt(salt []byte) error {
	if err := WriteFile(filepath.Join(d.path, saltName), salt, 0o600); err != nil {
		return fmt.Errorf("write the salt of the passphrase: %w", err)
	}
	return nil
}

// ServerID is a random name of the directory, of 32 hex digits, which is made where there is none. Call it with the lock
// held.
func (d Dir) ServerID() (string, error) {
	id, err := d.KnownServerID()
	if err != nil || id != "" {
		return id, err
	}
	b := make([]byte, serverIDSize)
	rand.Read(b)
	id = hex.EncodeToString(b)
	return id, WriteFile(filepath.Join(d.path, serverName), []byte(id+"\n"), 0o600)
}

// KnownServerID is ServerID, or empty where there is none yet.
func (d Dir) KnownServerID() (string, error) {
	text, err := os.ReadFile(filepath.Join(d.path, serverName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the name of the data directory: %w", err)
	}
	if id := strings.TrimSpace(string(text)); len(id) == 2*serverIDSize {
		return id, nil
	}
	return "", nil
}

// NextSalt returns the salt of a passphrase that is to take the place of the one in use, with the check of its key;
// fs.ErrNotExist where there is none.
func (d Dir) NextSalt() (salt, check []byte, err error) {
	b, err := os.ReadFile(filepath.Join(d.path, nextSaltName))
	if err != nil {
		return nil, nil, fmt.Errorf("read the salt of the next passphrase: %w", err)
	}
	if len(b) != saltSize+checkSize {
		return nil, nil, &ForeignError{d.path, "has a damaged file " + nextSaltName + "; restore it from a backup"}
	}
	return b[:saltSize], b[saltSize:], nil
}

// KeepNextSalt writes what NextSalt returns, durably.
func (d Dir) KeepNextSalt(salt, check []byte) error {
	if err := WriteFile(filepath.Join(d.path, nextSaltName), slices.Concat(salt, check), 0o600); err != nil {
		return fmt.Errorf("write the salt of the next passphrase: %w", err)
	}
	return nil
}

// UseNextSalt has the next salt take the place of the one in use, which is gone then.
func (d Dir) UseNextSalt() error {
	salt, _, err := d.NextSalt()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // somebody else has done it
	}
	if err != nil {
		return err
	}
	if err := WriteFile(filepath.Join(d.path, saltName), salt, 0o600); err != nil {
		return fmt.Errorf("write the salt of the passphrase: %w", err)
	}
	if err := os.Remove(filepath.Join(d.path, nextSaltName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(d.path)
}

// WriteFile puts text at path, whole and durably, in place of what was there.
func WriteFile(path string, text []byte, mode fs.FileMode) error {
	tmp := filepath.Join(filepath.Dir(path), tmpPrefix+rand.Text())
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return syncDir(filepath.Dir(path))
}
