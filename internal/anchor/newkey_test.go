package anchor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/accounts/keystore"

	"stonevault/audit"
	"stonevault/internal/anchor/anviltest"
)

// TestNewKey: what is made opens again, here and by the library that wallets' files come from.
func TestNewKey(t *testing.T) {
	const passphrase = "six random words are a passphrase"
	sealed, address, err := NewKey(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, "key.json", string(sealed), 0o600)
	k, err := OpenKey(path, passphrase)
	if err != nil || k.Address().Hex() != address {
		t.Fatalf("%v, %v", k.Address(), err)
	}
	if named, err := AddressIn(path); err != nil || named != address {
		t.Errorf("it names %s, not %s: %v", named, address, err)
	}
	theirs, err := keystore.DecryptKey(sealed, passphrase)
	if err != nil || theirs.Address != k.Address() || theirs.Id.Version() != 4 {
		t.Errorf("%+v, %v", theirs, err)
	}
	if _, err := OpenKey(path, passphrase+"s"); !errors.Is(err, ErrKey) || strings.Contains(err.Error(), passphrase) {
		t.Errorf("another passphrase: %v", err)
	}
	if _, _, err := NewKey(""); err == nil {
		t.Error("a key without a passphrase is made")
	}
	for name, text := range map[string]string{"no JSON": "x", "no address": `{"version":3}`, "a short address": `{"address":"00"}`} {
		if _, err := AddressIn(write(t, "k", text, 0o600)); err == nil {
			t.Errorf("%s: it names an address", name)
		}
	}
	if _, err := AddressIn(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, ErrKey) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestChainNamed(t *testing.T) {
	for text, want := range map[string]uint64{"polygon": 137, "amoy": 80002, "1": 1, "31337": 31337, "9007199254740991": audit.MaxCount} {
		if id, err := ChainNamed(text); err != nil || id != want {
			t.Errorf("%s: %d, %v", text, id, err)
		}
	}
	for _, text := range []string{"", "0", "01", "+1", "Polygon", "0x89", "1.0", "9007199254740992", "18446744073709551616"} {
		if id, err := ChainNamed(text); err == nil {
			t.Errorf("%q is chain %d", text, id)
		}
	}
}

// TestDeployInterrupted: who stops waiting knows where the contract will be.
func TestDeployInterrupted(t *testing.T) {
	node := anviltest.Start(t, "contract", "--no-mining")
	o := Owner{ChainID: anviltest.ChainID, Servers: []string{node.URL}, Key: newKey(newPrivate(t))}
	node.Fund(t, o.Key.address)
	ctx, cancel := context.WithCancel(t.Context())
	o.Sent = func(string) { time.AfterFunc(time.Second, cancel) }
	address, err := o.Deploy(ctx)
	if !errors.Is(err, context.Canceled) || address == "" {
		t.Fatalf("%q, %v", address, err)
	}
	node.Call(t, nil, "anvil_mine", "0x1")
	node.Call(t, nil, "evm_setAutomine", true)
	if _, err := o.CreateLog(t.Context(), address, testOrigin, o.Key.address.Hex()); err != nil {
		t.Errorf("going on with the contract at %s: %v", address, err)
	}
}

// TestConditionNames: each name that Condition gives is listed once, and each that lasts is one of them.
func TestConditionNames(t *testing.T) {
	names := Conditions()
	lasting := 0
	for i, name := range names {
		for _, other := range names[:i] {
			if name == other {
				t.Errorf("%s is listed twice", name)
			}
		}
		if Lasting(name) {
			lasting++
		}
	}
	if lasting != 11 || Lasting("ok") || Lasting("rpc_unreachable") {
		t.Errorf("%d of them last", lasting)
	}
	for _, c := range conditions {
		if Tampering(c.err) && !Lasting(c.name) && c.name != "reverted" && c.name != "wrong_claim" {
			t.Errorf("%s is evidence and may pass by itself", c.name)
		}
	}
}

// TestGuide: the guide has a row for each condition, and for none besides.
func TestGuide(t *testing.T) {
	text, err := os.ReadFile("../../docs/guide/anchoring.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\n| condition | what it means | what to do |\n|---|---|---|\n")
	if !found {
		t.Fatal("there is no table")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var rows []string
	for line := range strings.Lines(table) {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "| `"), "`")
		rows = append(rows, name)
	}
	names := Conditions()
	slices.Sort(rows)
	slices.Sort(names)
	if !slices.Equal(rows, names) {
		t.Errorf("the table has %v, and there are %v", rows, names)
	}
}
