package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(testMain{m}, map[string]func(){"stonevault": main, "totp": showCode})
}

// TestScripts runs testdata/*.txtar: at least one for each verb.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"content": content, "flip": flip, "status": status, "empty": empty, "line": lineCommand, "server": newServerCommand(), "link": useLink,
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("STONEVAULT_HOME", filepath.Join(env.WorkDir, "home"))
			return nil
		},
	})
}

// TestEveryVerbHasAScript keeps the promise of one script for each verb.
func TestEveryVerbHasAScript(t *testing.T) {
	for _, cmd := range newRoot(&app{}).Commands() {
		if cmd.Hidden {
			continue
		}
		if _, err := os.Stat(filepath.Join("testdata", cmd.Name()+".txtar")); err != nil {
			t.Errorf("the verb %s has no script: %v", cmd.Name(), err)
		}
	}
}

// content writes bytes that do not compress: content SIZE FILE.
func content(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: content SIZE FILE")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o644))
}

// flip changes one bit of a file: flip FILE OFFSET, from the end where negative.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// status runs a command and compares its exit code: status CODE COMMAND ARG…. Standard input, output and
// error are those of exec.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE COMMAND ARG…")
	}
	script := "\"$@\"; code=$?; [ $code = " + args[0] + " ] || { echo \"exit code $code, not " + args[0] + "\" >&2; exit 1; }"
	ts.Check(ts.Exec("sh", append([]string{"-c", script, "sh"}, args[1:]...)...))
}

// empty checks that a folder holds nothing, not even hidden files: empty DIR.
func empty(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: empty DIR")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, e := range entries {
		ts.Fatalf("%s holds %s", args[0], e.Name())
	}
}
