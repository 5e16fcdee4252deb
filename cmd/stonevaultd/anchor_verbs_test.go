package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"stonevault/internal/anchor"
	"stonevault/internal/anchor/anviltest"
	"stonevault/internal/auditlog"
)

// TestAnchorKey makes keys by the command, and refuses what would lose or weaken one.
func TestAnchorKey(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	r := run(t, "", "anchor", "newkey", at("a.json"), "--passphrase-file", at("a.pass"))
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	k, err := anchor.LoadKey(at("a.json"), at("a.pass"))
	if err != nil || k.Address().Hex()+"\n" != r.stdout {
		t.Errorf("the key is of %v, %v; it said %q", k.Address(), err, r.stdout)
	}
	for _, name := range []string{"a.json", "a.pass"} {
		if info, err := os.Stat(at(name)); err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if text, err := os.ReadFile(at("a.pass")); err != nil || strings.Contains(r.stdout+r.stderr, strings.TrimSpace(string(text))) {
		t.Errorf("the passphrase shows, or %v", err)
	}
	write(t, at("short"), "too short\n")
	write(t, at("open"), testPassword+"\n")
	check(t, os.Chmod(at("open"), 0o644))
	before := fingerprint(t, root)
	for _, c := range []struct {
		args []string
		say  string
	}{
		{[]string{at("a.json"), "--passphrase-file", at("a.pass")}, "there is " + at("a.json") + " already"},
		{[]string{at("b.json"), "--passphrase-file", at("short")}, "shorter than 15 characters"},
		{[]string{at("b.json"), "--passphrase-file", at("open")}, "chmod 600"},
		{[]string{at("b.json")}, "there is no terminal to ask for the passphrase; name a file for it with --passphrase-file"},
		{nil, "name the file"},
	} {
		if c.say == "chmod 600" && runtime.GOOS == "windows" {
			continue
		}
		if r := run(t, "", append([]string{"anchor", "newkey"}, c.args...)...); r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, c.say) {
			t.Errorf("newkey %q: %+v", c.args, r)
		}
	}
	if fingerprint(t, root) != before {
		t.Error("a refusal left something behind")
	}
}

// TestAnchorMisuse: command lines that make no sense are told what to do, and change nothing.
func TestAnchorMisuse(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	data := filepath.Join(root, "data")
	makeVault(t, data)
	h := &anchorHouse{t: t, root: root, data: data}
	address := h.newKey("k")
	key, pass := h.path("k.json"), h.path("k.pass")
	write(t, h.path("empty"), "\n# nothing\n")
	before := fingerprint(t, root)
	deploy := []string{"deploy", "--data", data, "--chain", "amoy", "--rpc", "http://127.0.0.1:1", "--key", key, "--key-passphrase-file", pass}
	with := func(more ...string) []string { return append(append([]string{}, deploy...), more...) }
	for _, c := range []struct {
		args []string
		say  string
	}{
		{nil, "newkey, deploy, status or now"},
		{[]string{"then"}, `"then" is no verb of anchor; use newkey, deploy, status or now`},
		{[]string{"status", "--data", data}, "anchoring is not configured here"},
		{[]string{"now", "--data", data}, "stonevaultd anchor deploy"},
		{[]string{"status", "--data", data, "--anchor-chain", "amoy"}, "--anchor-chain says where the audit log is anchored, and not in which contract"},
		{[]string{"deploy", "--data", data}, "--chain is missing"},
		{[]string{"deploy", "--data", data, "--chain", "amoy"}, "--rpc is missing"},
		{deploy, "say who will pay for anchors: --anchorer ADDRESS or --anchorer-key FILE"},
		{with("--anchorer", address, "--anchorer-key", key), "say who will pay for anchors"},
		{with("--anchorer", "ann"), `--anchorer: "ann" must be 0x and 40`},
		{with("--anchorer", address[:41]+"x"), "must be 0x and 40"},
		{with("--anchorer-key", pass), "it is no keystore file that names its address"},
		{with("--anchorer", address, "--contract", "0x1"), "--contract: "},
		{with("--anchorer", address, "--chain", "mumbai"), `--chain: "mumbai" is no chain; use polygon, amoy or a chain's number`},
		{with("--anchorer", address, "--max-fee", "0"), "--max-fee must be a number"},
		{with("--anchorer", address, "--key-passphrase-file", h.path("empty")), "which should be the passphrase, is empty"},
		{with("--anchorer", address, "--rpc", "file:"+h.path("empty")), "has no address of an RPC server"},
		{with("--anchorer", address, "--rpc", "file:"+h.path("missing")), "a file with addresses of RPC servers"},
	} {
		r := run(t, "", append([]string{"anchor"}, c.args...)...)
		if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, c.say) {
			t.Errorf("%q: %+v", c.args, r)
		}
	}
	if fingerprint(t, root) != before {
		t.Error("something was changed")
	}
	if r := run(t, "", append([]string{"anchor"}, with("--anchorer", address)...)...); r.code != 1 || r.stdout != "" ||
		!strings.Contains(r.stderr, "the contract was not deployed, and nothing was paid: too few RPC servers answer") {
		t.Errorf("no server: %+v", r)
	}
}

// TestAnchoringRefused: settings of anchoring that cannot be right stop the start, and not a byte is changed.
func TestAnchoringRefused(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	data := filepath.Join(root, "data")
	makeVault(t, data)
	h := &anchorHouse{t: t, root: root, data: data}
	address := h.newKey("k")
	write(t, h.path("wrong"), testPassword+"s\n")
	write(t, h.path("rpc"), "https://a.example/SECRET\nhttps://a.example/SECRET\n")
	before := fingerprint(t, root)
	mistyped := strings.ToUpper(address[2:3]) + strings.ToLower(address[3:])
	if mistyped == strings.ToLower(mistyped) || mistyped == strings.ToUpper(mistyped) {
		mistyped = "aB" + strings.Repeat("0", 38) // has another checksum
	}
	for _, c := range []struct {
		name string
		args []string
		say  string
	}{
		{"another passphrase", []string{"--anchor-key-passphrase-file", h.path("wrong")}, "correct --anchor-key or --anchor-key-passphrase-file"},
		{"a key that is none", []string{"--anchor-key", h.path("wrong")}, "the anchorer's key cannot be used"},
		{"a missing key", []string{"--anchor-key", h.path("missing")}, "no such file"},
		{"a mistyped contract", []string{"--anchor-contract", "0x" + mistyped}, "has a wrong checksum; copy it again"},
		{"a mistyped creator", []string{"--anchor-creator", "0x" + mistyped}, "the creator's address: "},
		{"a server twice", []string{"--anchor-rpc", "file:" + h.path("rpc")}, "is named twice"},
		{"a quorum of too many", []string{"--anchor-quorum", "2"}, "2 of 1 RPC servers cannot be asked to agree"},
		{"a ceiling below the least tip", []string{"--anchor-max-fee", "24"}, "--anchor-max-fee is below 25 gwei"},
	} {
		r := run(t, "", append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--anchor-chain", "polygon", "--anchor-contract", address,
			"--anchor-creator", address, "--anchor-rpc", "http://127.0.0.1:1", "--anchor-key", h.path("k.json"), "--anchor-key-passphrase-file", h.path("k.pass")}, c.args...)...)
		if r.code != 1 || !strings.Contains(r.stderr, c.say) || strings.Contains(r.stderr, "SECRET") || strings.Contains(r.stderr, testPassword) {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
	if fingerprint(t, root) != before {
		t.Error("something was changed")
	}
}

// TestDeployGoesOn interrupts the deployment, and goes on with the command line that it prints.
func TestDeployGoesOn(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT RUN: there are no signals to send on Windows")
	}
	t.Parallel()
	h := &anchorHouse{t: t, root: t.TempDir()}
	h.node = anviltest.Start(t, "../../internal/anchor/contract", "--no-mining")
	h.data = h.path("data")
	makeVault(t, h.data)
	owner := h.newKey("owner")
	h.node.Fund(t, common.HexToAddress(owner))
	anchorer := h.newKey("anchorer")
	write(t, h.path("rpc"), "# one operator\n"+h.node.URL+"\n")

	said := &output{}
	cmd := command(t, "anchor", "deploy", "--data", h.data, "--chain", "80002", "--rpc", "file:"+h.path("rpc"),
		"--key", h.path("owner.json"), "--key-passphrase-file", h.path("owner.pass"), "--anchorer", anchorer)
	cmd.Stderr = said
	check(t, cmd.Start())
	for deadline := time.Now().Add(time.Minute); !strings.Contains(said.String(), "Sent the transaction"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			t.Fatalf("it sends nothing: %s", said)
		}
	}
	time.Sleep(500 * time.Millisecond) // until the node has it
	check(t, cmd.Process.Signal(syscall.SIGINT))
	var ended *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &ended) || ended.ExitCode() != 1 {
		t.Errorf("it ended with %v", err)
	}
	_, line, found := strings.Cut(said.String(), "go on with:\n  ")
	if !found || !strings.Contains(said.String(), "Once the transaction is in a block, the contract is at 0x") {
		t.Fatalf("it said %s", said)
	}
	h.node.Call(t, nil, "evm_setAutomine", true)
	h.node.Call(t, nil, "anvil_mine", "0x1")
	again := func(more string) result {
		t.Helper()
		return finish(t, "", exec.Command("sh", "-c", strings.TrimSpace(line)+more))
	}
	r := again("")
	if r.code != 0 || strings.Count(r.stderr, "Sent the transaction") != 1 ||
		!strings.Contains(r.stdout, fmt.Sprintf("anchor_rpc = [%q]\n", "file:"+h.path("rpc"))) || !strings.Contains(r.stdout, `anchor_key = "FILE" # of `+anchorer) {
		t.Errorf("going on: %+v", r)
	}
	// What is there already is not paid again, and another anchorer is appointed.
	r = again(" --json")
	var printed map[string]any
	if err := json.Unmarshal([]byte(r.stdout), &printed); err != nil || r.code != 0 || strings.Contains(r.stderr, "Sent") ||
		printed["anchor_creator"] != owner || printed["anchor_chain"] != "80002" || printed["anchorer"] != anchorer {
		t.Errorf("once more: %+v, %v", r, err)
	}
	if r := again(" --anchorer " + owner); r.code != 0 || strings.Count(r.stderr, "Sent the transaction") != 1 {
		t.Errorf("with another anchorer: %+v", r)
	}
	var n hexutil.Uint64
	h.node.Call(t, &n, "eth_getTransactionCount", owner, "latest")
	if n != 3 {
		t.Errorf("%d transactions were sent", n)
	}
	if r := again(" --contract " + owner); r.code != 1 || !strings.Contains(r.stderr, "is not the anchoring contract's; correct the address") {
		t.Errorf("with another contract: %+v", r)
	}
}

// TestExits holds the exit codes to the errors that ask for them, also where errors are joined and wrapped.
func TestExits(t *testing.T) {
	code := func(err error) int {
		for _, e := range exits {
			if errors.Is(err, e.err) {
				return e.code
			}
		}
		return 1
	}
	for _, c := range []struct {
		err  error
		want int
	}{
		{errors.New("x"), 1}, {errSaid, 1}, {errLeftOut, 2}, {errTampering, 2}, {errUnchecked, 3}, {misuse("x"), 1},
		{ending(anchor.ErrForked), 2}, {ending(anchor.ErrRolledBack), 2}, {ending(fmt.Errorf("around: %w", anchor.ErrUnreachable)), 3},
		{ending(anchor.ErrDisagree), 3}, {evidence(anchor.ErrDisagree), 1}, {evidence(anchor.ErrForked), 2}, {ending(anchor.ErrFunds), 1}, {ending(anchor.ErrNotAnchored), 1},
		{errors.Join(errSaid, ending(anchor.ErrForked)), 2}, {note{Condition: "forked", Problem: "x", Tampering: true}.err(), 2},
		{note{Condition: "funds_low", Problem: "x"}.err(), 1},
	} {
		if got := code(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
	for err, want := range map[error]bool{anchor.ErrForked: true, anchor.ErrRolledBack: true, auditlog.ErrRewritten: true, anchor.ErrReverted: false, anchor.ErrFunds: false, nil: false} {
		if n := noteOf(anchor.Condition(err), err, time.Time{}); n.Tampering != want || err != nil && n.Problem != err.Error() {
			t.Errorf("%v is noted as %+v", err, n)
		}
	}
	if err := ending(anchor.ErrForked); err.Error() != anchor.ErrForked.Error() || !errors.Is(err, anchor.ErrForked) {
		t.Errorf("the words of an error change: %v", err)
	}
}
