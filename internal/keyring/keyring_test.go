package keyring

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	system "github.com/zalando/go-keyring"
)

// set makes fn the next value.
func set(value string) func([]byte) ([]byte, error) {
	return func([]byte) ([]byte, error) { return []byte(value), nil }
}

func mustLoad(t *testing.T, s *Secret, want string) {
	t.Helper()
	if got, err := s.Load(); err != nil || string(got) != want {
		t.Fatalf("Load: %q, %v; want %q", got, err, want)
	}
}

func TestFile(t *testing.T) {
	var told []string
	ring := &Keyring{Dir: filepath.Join(t.TempDir(), "new", "home"), InFile: func(path string) { told = append(told, path) }}
	s, ctx := ring.Secret("default"), context.Background()
	if _, err := s.Load(); !errors.Is(err, ErrNotFound) {
		t.Fatalf("Load before anything was kept: %v", err)
	}
	for _, value := range []string{"one", "two", ""} {
		if err := s.Update(ctx, set(value)); err != nil {
			t.Fatal(err)
		}
		mustLoad(t, s, value)
	}
	if len(told) != 1 || told[0] != s.path(fileSuffix) {
		t.Errorf("told of %q, want the file, once", told)
	}
	info, err := os.Stat(s.path(fileSuffix))
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v", info.Mode())
	}
	failure := errors.New("no")
	if err := s.Update(ctx, func(old []byte) ([]byte, error) { return []byte("three"), failure }); !errors.Is(err, failure) {
		t.Fatal(err)
	}
	mustLoad(t, s, "")
	if err := s.Update(ctx, func([]byte) ([]byte, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(); !errors.Is(err, ErrNotFound) {
		t.Fatalf("Load after removal: %v", err)
	}
	left, err := os.ReadDir(ring.Dir)
	if err != nil || len(left) != 1 || left[0].Name() != "default"+lockSuffix {
		t.Errorf("removal leaves %v, %v; want the lock alone", left, err)
	}
}

func TestSystem(t *testing.T) {
	system.MockInit() // a store in memory: the machine's own is somebody's
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
	dir, ctx := t.TempDir(), context.Background()
	attended := (&Keyring{Dir: dir, Attended: true}).Secret("a")
	alone := (&Keyring{Dir: dir}).Secret("a")
	if err := attended.Update(ctx, set("secret")); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, attended, "secret")
	if _, err := os.Stat(attended.path(fileSuffix)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the secret is in a file as well: %v", err)
	}
	for name, err := range map[string]error{
		"load": func() error { _, err := alone.Load(); return err }(),
		"update": alone.Update(ctx, func(old []byte) ([]byte, error) {
			t.Error("update without anybody there goes on")
			return old, nil
		}),
	} {
		if !errors.Is(err, ErrUnattended) {
			t.Errorf("%s with nobody there: %v", name, err)
		}
	}
	mustLoad(t, attended, "secret")
	// Another directory is another secret.
	if _, err := (&Keyring{Dir: t.TempDir(), Attended: true}).Secret("a").Load(); !errors.Is(err, ErrNotFound) {
		t.Errorf("the secret of another directory: %v", err)
	}
	// Who cannot read the old one can still replace it, by a file.
	if err := alone.Replace(ctx, []byte("other")); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, alone, "other")
	mustLoad(t, attended, "other")
	if err := attended.Update(ctx, func([]byte) ([]byte, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := attended.Load(); !errors.Is(err, ErrNotFound) {
		t.Fatalf("Load after removal: %v", err)
	}
}

func TestSystemFails(t *testing.T) {
	system.MockInitWithError(errors.New("no store"))
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
	s := (&Keyring{Dir: t.TempDir(), Attended: true}).Secret("a")
	if err := s.Update(context.Background(), set("secret")); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, s, "secret")
}

const countTo = 25

// TestManyProcesses lets several processes count up in one secret: none may overwrite another's step.
func TestManyProcesses(t *testing.T) {
	if dir := os.Getenv("KEYRING_TEST_DIR"); dir != "" {
		count(t, dir)
		return
	}
	dir := t.TempDir()
	var running []*exec.Cmd
	const processes = 4
	for range processes {
		cmd := exec.Command(os.Args[0], "-test.run=^TestManyProcesses$")
		cmd.Env = append(os.Environ(), "KEYRING_TEST_DIR="+dir)
		cmd.Stdout, cmd.Stderr = new(bytes.Buffer), os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, cmd)
	}
	for _, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, cmd.Stdout)
		}
	}
	mustLoad(t, (&Keyring{Dir: dir}).Secret("counter"), strconv.Itoa(processes*countTo))
}

func count(t *testing.T, dir string) {
	s := (&Keyring{Dir: dir}).Secret("counter")
	for range countTo {
		err := s.Update(context.Background(), func(old []byte) ([]byte, error) {
			n := 0
			if old != nil {
				var err error
				if n, err = strconv.Atoi(string(old)); err != nil {
					return nil, err
				}
			}
			return []byte(strconv.Itoa(n + 1)), nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestLockEndsWithContext(t *testing.T) {
	s := (&Keyring{Dir: t.TempDir()}).Secret("a")
	ctx, cancel := context.WithTimeout(context.Background(), 5*lockPoll)
	defer cancel()
	err := s.Update(context.Background(), func([]byte) ([]byte, error) {
		begun := time.Now()
		if err := s.Update(ctx, set("inner")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a lock that is held: %v after %v", err, time.Since(begun))
		}
		return []byte("outer"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	mustLoad(t, s, "outer")
}
