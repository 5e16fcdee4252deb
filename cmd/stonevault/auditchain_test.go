package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stonevault/api"
	"stonevault/audit"
	"stonevault/internal/anchor"
	"stonevault/internal/anchor/anviltest"
	"stonevault/internal/anchor/journaltest"
	"stonevault/internal/client"
	"stonevault/internal/client/logtest"
)

// headsOf gives a log's heads to a worker.
type headsOf struct{ *logtest.Log }

var _ anchor.Heads = headsOf{}

func (h headsOf) Latest(context.Context) (audit.Checkpoint, error) {
	return audit.Checkpoint{Origin: h.Key.Public().Origin(), Tree: h.Tree}, nil
}

func (h headsOf) Consistency(_ context.Context, old int64, tree audit.Tree) ([]audit.Hash, error) {
	return tree.ProveConsistency(h, old)
}

// anchored is a log whose first head of 20 events is final on a chain, and the node of that.
func anchored(t *testing.T) (*person, *anviltest.Node) {
	t.Helper()
	node := anviltest.Start(t, "../../internal/anchor/contract", "--slots-in-an-epoch", "1")
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte(strings.Repeat("42", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := anchor.LoadKey(keyFile, "")
	if err != nil {
		t.Fatal(err)
	}
	node.Fund(t, key.Address())
	owner := anchor.Owner{ChainID: anviltest.ChainID, Servers: []string{node.URL}, Key: key}
	contract, err := owner.Deploy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	target, err := owner.CreateLog(t.Context(), contract, logName, key.Address().Hex())
	if err != nil {
		t.Fatal(err)
	}
	node.Call(t, nil, "anvil_mine", "0x10")
	chain, err := anchor.Open(t.Context(), target, 0, node.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(chain.Close)
	p := newPerson(t, 20)
	var journal journaltest.Memory
	worker, err := anchor.New(anchor.Config{Chain: chain, Key: key, Journal: &journal, Heads: headsOf{p.log}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // one to send, one to see that it is final
		if err := worker.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		node.Call(t, nil, "anvil_mine", "0x10")
	}
	row := journal.Rows()[0]
	p.log.Set(func() {
		p.log.At = api.Anchoring{Configured: true, ChainID: anviltest.ChainID, Contract: contract, Creator: target.Creator.Hex()}
		p.log.Anchors = []api.AuditAnchor{{
			ID: 1, State: api.AuditAnchorStateFinal, ChainID: anviltest.ChainID, Contract: contract, Creator: target.Creator.Hex(),
			Transaction: "0x" + hex.EncodeToString(row.Hash[:]), Size: 20, Root: hex.EncodeToString(p.log.Tree.Root[:]),
		}}
	})
	return p, node
}

func TestAuditVerifyOnAChain(t *testing.T) {
	p, node := anchored(t)
	p.log.Fill(300)
	at := p.log.At
	// At first it is the vault's word, which is said aloud and remembered.
	p.wants(0, "Compare this with what was written down", "audit", "verify", "--rpc", node.URL)
	if got := p.pinned().Anchoring; got == nil || !sameTarget(got, &client.Anchoring{ChainID: anviltest.ChainID, Contract: at.Contract, Creator: at.Creator}) {
		t.Fatalf("remembered: %+v", got)
	}
	out := p.wants(0, "continues the head of 20 events that is final on chain 80002, by the word of 1 server; 1 anchor that the vault lists stands there", "audit", "verify", "--rpc", node.URL)
	if strings.Contains(out, "Compare") {
		t.Errorf("it is said again: %s", out)
	}
	servers := filepath.Join(t.TempDir(), "servers")
	if err := os.WriteFile(servers, []byte(node.URL+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.wants(0, "by the word of 1 server", "audit", "verify", "--rpc-file", servers)

	// What the vault says later does not replace what is remembered.
	p.log.Set(func() { p.log.At.Contract = "0x" + strings.Repeat("11", 20) })
	p.wants(3, "it says now that they are on chain 80002, in the contract 0x1111", "audit", "verify", "--rpc", node.URL)
	p.log.Set(func() { p.log.At = at })

	// Servers: one that is away, one of two that is away, one named twice.
	p.wants(3, "could not be checked against the chain", "audit", "verify", "--rpc", "http://127.0.0.1:1")
	p.wants(3, "could not be checked against the chain", "audit", "verify", "--rpc", node.URL, "--rpc", "http://127.0.0.1:1")
	p.wants(3, "named twice", "audit", "verify", "--rpc", node.URL, "--rpc", node.URL)
	target := func(chain, contract, creator string) []string {
		return []string{"audit", "verify", "--rpc", node.URL, "--chain-id", chain, "--contract", contract, "--creator", creator}
	}
	p.wants(3, "could not be checked against the chain", target("137", at.Contract, at.Creator)...)
	p.wants(3, "could not be checked against the chain", target("80002", at.Creator, at.Creator)...)
	p.wants(3, "could not be checked against the chain", target("80002", at.Contract, at.Contract)...)
	if got := p.pinned().Anchoring; got.Contract != at.Contract || got.ChainID != anviltest.ChainID || got.Creator != at.Creator {
		t.Errorf("what was not there is remembered: %+v", got)
	}
	p.wants(0, "continues the head of 20 events", target("80002", at.Contract, at.Creator)...)
	p.wants(1, "go together", "audit", "verify", "--rpc", node.URL, "--chain-id", "137")
	p.wants(1, "with --rpc", "audit", "verify", "--chain-id", "137", "--contract", at.Contract, "--creator", at.Creator)
	p.wants(1, "must be 0x and 40", target("80002", "0x1", at.Creator)...)

	// A claim that the chain does not have.
	p.log.Set(func() { p.log.Anchors[0].Size = 19 })
	p.wants(2, "is not the anchor that it is said to be", "audit", "verify", "--rpc", node.URL)
	p.log.Set(func() { p.log.Anchors[0].Size, p.log.Anchors[0].Root = 20, "zz" })
	p.wants(3, "cannot be read", "audit", "verify", "--rpc", node.URL)
	p.log.Set(func() { p.log.Anchors = nil })

	// Whoever saw the log only after it was rewritten has no pin, and the chain knows better.
	for name, size := range map[string]int{"anchored head is not a beginning": 400, "shorter than its anchored head": 10} {
		os.Remove(filepath.Join(p.home, "default"+pinSuffix))
		p.log.Become(fork(t, size))
		p.wants(2, name, target("80002", at.Contract, at.Creator)...)
	}
}

func TestAuditVerifyOnNoChain(t *testing.T) {
	p := newPerson(t, 20)
	p.wants(3, "does not say that it is anchored", "audit", "verify", "--rpc", "http://127.0.0.1:1")
	p.wants(1, "cannot read", "audit", "verify", "--rpc-file", fmt.Sprint(p.home, "/none"))
	p.write("empty", "\n")
	p.wants(1, "names no server", "audit", "verify", "--rpc-file", filepath.Join(p.home, "empty"))
	p.write("long", strings.Repeat("http://127.0.0.1:1\n", 5000))
	p.wants(1, "is too long", "audit", "verify", "--rpc-file", filepath.Join(p.home, "long"))
}
