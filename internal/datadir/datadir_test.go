package datadir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func at(t testing.TB, path string) Dir {
	t.Helper()
	d, err := At(path)
	check(t, err)
	return d
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put makes files, and directories where a name ends in "/".
func put(t testing.TB, dir string, files ...string) {
	t.Helper()
	check(t, os.MkdirAll(dir, 0o700))
	for _, f := range files {
		name, text, _ := strings.Cut(f, "=")
		path := filepath.Join(dir, name)
		check(t, os.MkdirAll(filepath.Dir(path), 0o700))
		if strings.HasSuffix(name, "/") {
			check(t, os.MkdirAll(path, 0o700))
			continue
		}
		check(t, os.WriteFile(path, []byte(text), 0o600))
	}
}

const good = `version={"layout":1,"program":"1.0"}`

func TestInspect(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []string
		want  State
		say   string // of the refusal
	}{
		{"nothing", nil, Empty, ""},
		{"a mount point", []string{"lost+found/"}, Empty, ""},
		{"a stamp alone", []string{good, "lock=12\n", "objects/", "master.salt=salt"}, Empty, ""},
		{"an empty database", []string{good, "stonevault.db=", "objects/"}, Empty, ""},
		{"empty folders of objects", []string{good, "objects/00/", "objects/ff/"}, Empty, ""},
		{"remains of a write", []string{".tmp-ABC=1"}, Empty, ""},
		{"a vault", []string{good, "stonevault.db=x", "objects/"}, InUse, ""},
		{"a vault in use", []string{good, "stonevault.db=x", "stonevault.db-wal=y", "stonevault.db-shm=z", "stonevault.db.before-2=w", "objects/00/1.body=b", "lock=1"}, InUse, ""},
		{"a vault and more", []string{good, "stonevault.db=x", "objects/", "notes.txt=n"}, InUse, ""},
		{"something else", []string{"b.txt=1", "a.txt=2"}, 0, "holds something else (a.txt)"},
		{"something else and a stamp", []string{good, "a.txt=2"}, 0, "holds something else (a.txt)"},
		{"a database without a stamp", []string{"stonevault.db=x", "objects/"}, 0, `no file "version"`},
		{"objects without a stamp", []string{"objects/00/1.body=b"}, 0, `no file "version"`},
		{"objects without a database", []string{good, "objects/00/1.body=b"}, 0, "no database"},
		{"a file among the objects", []string{good, "objects/file=b"}, 0, "no database"},
		{"objects and an empty database", []string{good, "objects/00/1.body=b", "stonevault.db="}, 0, "no database"},
		{"a database without objects", []string{good, "stonevault.db=x"}, 0, "no directory objects"},
		{"a newer one", []string{`version={"layout":2,"program":"9.9"}`, "stonevault.db=x", "objects/"}, 0, "layout 2, written by version 9.9"},
		{"a newer one of another shape", []string{`version={"layout":3,"program":"9.9","more":{}}`, "vault/x=1"}, 0, "layout 3, written by version 9.9"},
		{"no layout", []string{"version={}", "stonevault.db=x", "objects/"}, 0, `damaged file "version"`},
		{"layout 0", []string{`version={"layout":0}`}, 0, `damaged file "version"`},
		{"no JSON", []string{"version=1.0"}, 0, `damaged file "version"`},
		{"an empty stamp", []string{"version="}, 0, `damaged file "version"`},
		{"a huge stamp", []string{"version=" + strings.Repeat(" ", maxVersionFile) + `{"layout":1}`}, 0, `damaged file "version"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := at(t, filepath.Join(t.TempDir(), "data"))
			put(t, d.Path(), c.files...)
			got, err := d.Inspect()
			if c.say == "" {
				if err != nil || got != c.want {
					t.Errorf("state %d, %v", got, err)
				}
				return
			}
			var newer *NewerError
			var foreign *ForeignError
			if err == nil || !strings.Contains(err.Error(), c.say) || !errors.As(err, &newer) && !errors.As(err, &foreign) {
				t.Errorf("state %d, %v", got, err)
			}
		})
	}
	d := at(t, filepath.Join(t.TempDir(), "nowhere"))
	if got, err := d.Inspect(); got != Missing || err != nil {
		t.Errorf("a missing directory: %d, %v", got, err)
	}
	put(t, filepath.Dir(d.Path()), "nowhere=a file")
	if _, err := d.Inspect(); err == nil {
		t.Error("a file was taken for a directory")
	}
}

func TestAt(t *testing.T) {
	for _, path := range []string{"", string(filepath.Separator)} {
		if _, err := At(path); err == nil || !strings.Contains(err.Error(), "--data") {
			t.Errorf("%q: %v", path, err)
		}
	}
	d := at(t, filepath.Join("somewhere", "..", "data")+string(filepath.Separator))
	wd, err := os.Getwd()
	check(t, err)
	if want := filepath.Join(wd, "data"); d.Path() != want || d.DefaultKeyFile() != want+".master.key" {
		t.Errorf("%s, %s", d.Path(), d.DefaultKeyFile())
	}
}

func TestContains(t *testing.T) {
	root := t.TempDir()
	d := at(t, filepath.Join(root, "data"))
	put(t, d.Path(), "objects/")
	check(t, os.Symlink(d.Path(), filepath.Join(root, "link")))
	check(t, os.Symlink(filepath.Join(root, "elsewhere"), filepath.Join(d.Path(), "out")))
	put(t, root, "elsewhere/key=k")
	for path, want := range map[string]bool{
		"data":             true,
		"data/key":         true,
		"data/new/key":     true,
		"link/key":         true,
		"link/objects/key": true,
		"x/../data/key":    true,
		"data.master.key":  false,
		"data2/key":        false,
		"elsewhere/key":    false,
		"data/out/key":     false, // a link that leads out
		"data/../key":      false,
	} {
		if got, err := d.Contains(filepath.Join(root, path)); err != nil || got != want {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
	linked := at(t, filepath.Join(root, "link"))
	if got, err := linked.Contains(filepath.Join(root, "data", "key")); err != nil || !got {
		t.Errorf("by its own link: %v, %v", got, err)
	}
}

func TestStamp(t *testing.T) {
	d := at(t, t.TempDir())
	check(t, d.Stamp("1.2.3"))
	path := filepath.Join(d.Path(), versionName)
	text, err := os.ReadFile(path)
	if err != nil || string(text) != `{"layout":1,"program":"1.2.3"}`+"\n" {
		t.Fatalf("%q, %v", text, err)
	}
	before, err := os.Stat(path)
	check(t, err)
	check(t, d.Stamp("1.2.3"))
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Error("the same stamp was written again")
	}
	check(t, d.Stamp("1.2.4"))
	if state, err := d.Inspect(); state != Empty || err != nil {
		t.Errorf("%d, %v", state, err)
	}
}

func TestMake(t *testing.T) {
	d := at(t, filepath.Join(t.TempDir(), "a", "b"))
	undo, err := d.Make()
	check(t, err)
	if info, err := os.Stat(d.Path()); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	undo()
	if _, err := os.Stat(d.Path()); !os.IsNotExist(err) {
		t.Error("it was not removed")
	}
	undo, err = d.Make()
	check(t, err)
	put(t, d.Path(), "x=1")
	undo()
	again, err := d.Make()
	check(t, err)
	again()
	if _, err := os.Stat(filepath.Join(d.Path(), "x")); err != nil {
		t.Errorf("what was there is gone: %v", err)
	}
}

func TestSalt(t *testing.T) {
	d := at(t, t.TempDir())
	if _, err := d.Salt(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	made, err := d.CreateSalt(32)
	check(t, err)
	read, err := d.Salt()
	if err != nil || len(made) != 32 || !bytes.Equal(made, read) {
		t.Errorf("%x, %x, %v", made, read, err)
	}
}

func TestRemoveTemporary(t *testing.T) {
	root := t.TempDir()
	d := at(t, filepath.Join(root, "da*ta[1]"))
	put(t, d.Path(), ".tmp-A=1", ".tmp-B/x=1", "version=1", "objects/00/.tmp-C=1")
	put(t, filepath.Join(root, "dabta1"), ".tmp-D=1")
	scratch, err := d.Scratch()
	check(t, err)
	put(t, scratch, "copy=1")
	check(t, d.RemoveTemporary())
	left, err := os.ReadDir(d.Path())
	check(t, err)
	if len(left) != 2 || left[0].Name() != "objects" || left[1].Name() != "version" {
		t.Errorf("left are %v", left)
	}
	for _, path := range []string{filepath.Join(d.Path(), "objects", "00", ".tmp-C"), filepath.Join(root, "dabta1", ".tmp-D")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestLock(t *testing.T) {
	d := at(t, t.TempDir())
	if held, _, err := d.Locked(); held || err != nil {
		t.Fatal(held, err)
	}
	// A lock that was not claimed leaves nothing.
	l, err := d.Lock()
	check(t, err)
	check(t, l.Release())
	if left, err := os.ReadDir(d.Path()); err != nil || len(left) != 0 {
		t.Fatalf("left are %v, %v", left, err)
	}

	l, err = d.Lock()
	check(t, err)
	check(t, l.Claim())
	var inUse *InUseError
	if _, err := d.Lock(); !errors.As(err, &inUse) || inUse.PID != os.Getpid() || !strings.Contains(err.Error(), fmt.Sprintf("another process (%d) uses %s", os.Getpid(), d.Path())) {
		t.Fatalf("a second lock: %v", err)
	}
	if held, pid, err := d.Locked(); !held || pid != os.Getpid() || err != nil {
		t.Fatal(held, pid, err)
	}
	check(t, l.Release())
	if held, _, err := d.Locked(); held || err != nil {
		t.Fatal(held, err)
	}

	// One that was there is left as it was.
	path := filepath.Join(d.Path(), lockName)
	put(t, d.Path(), lockName+"=12345\n")
	l, err = d.Lock()
	check(t, err)
	check(t, l.Release())
	if text, err := os.ReadFile(path); err != nil || string(text) != "12345\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestLockOfKilled shows that a killed process leaves no lock behind.
func TestLockOfKilled(t *testing.T) {
	const variable = "DATADIR_TEST_LOCK"
	if path := os.Getenv(variable); path != "" {
		l, err := at(t, path).Lock()
		check(t, err)
		check(t, l.Claim())
		fmt.Println("locked")
		select {}
	}
	d := at(t, t.TempDir())
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockOfKilled$")
	cmd.Env = append(os.Environ(), variable+"="+d.Path())
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	said := make([]byte, len("locked"))
	if _, err := out.Read(said); err != nil || string(said) != "locked" {
		t.Fatalf("%q, %v", said, err)
	}
	var inUse *InUseError
	if _, err := d.Lock(); !errors.As(err, &inUse) || inUse.PID != cmd.Process.Pid {
		t.Fatalf("beside the other process: %v", err)
	}
	check(t, cmd.Process.Kill())
	cmd.Wait()
	l, err := d.Lock()
	check(t, err)
	check(t, l.Release())
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, text := range []string{"", "one", "another"} {
		check(t, WriteFile(path, []byte(text), 0o600))
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	put(t, dir, "d/x=1")
	if err := WriteFile(filepath.Join(dir, "d"), []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left are %v, %v", left, err)
	}
}
