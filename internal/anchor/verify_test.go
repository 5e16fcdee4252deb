package anchor

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"stonevault/audit"
	"stonevault/internal/anchor/contract"
	"stonevault/internal/anchor/journal"
	"stonevault/internal/anchor/journaltest"
)

func checkpoint(l *testLog) audit.Checkpoint { return audit.Checkpoint{Origin: l.origin, Tree: l.tree} }

// words returns a log's state as eth_call gives it, with a bit of the root flipped.
func words(answer json.RawMessage) json.RawMessage {
	var text hexutil.Bytes
	if json.Unmarshal(answer, &text) != nil || len(text) != 5*32 {
		return nil
	}
	text[3*32-1] ^= 1
	out, _ := json.Marshal(text)
	return out
}

// TestLies lets one of two servers lie about one thing at a time. Worker and verifier find it, and nothing is
// written. Where there is no other server the lie has to contradict the contract to be found.
func TestLies(t *testing.T) {
	b := newBench(t)
	b.mine(maxLag)
	w := b.worker(nil)
	for range 2 {
		step(t, w, nil)
		b.mine(3)
	}
	step(t, w, nil)
	first := b.journal.Rows()[0]
	claim := Claim{first.Hash, audit.Tree{Size: 5, Root: first.Root}}
	rows := len(b.journal.Rows())
	b.log.grow(10)

	edit := func(path string, change func(map[string]any)) func(string, []json.RawMessage, json.RawMessage) json.RawMessage {
		return func(method string, _ []json.RawMessage, answer json.RawMessage) json.RawMessage {
			var fields map[string]any
			if method != path || json.Unmarshal(answer, &fields) != nil || fields == nil {
				return nil
			}
			change(fields)
			out, _ := json.Marshal(fields)
			return out
		}
	}
	always := func(path, result string) func(string, []json.RawMessage, json.RawMessage) json.RawMessage {
		return func(method string, _ []json.RawMessage, _ json.RawMessage) json.RawMessage {
			if method == path {
				return json.RawMessage(result)
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		lie          func(string, []json.RawMessage, json.RawMessage) json.RawMessage
		beside, lone error // what is said with an honest server beside it, and without
	}{
		"nothing":   {nil, nil, nil},
		"chain id":  {always("eth_chainId", `"0x89"`), ErrWrongChain, ErrWrongChain},
		"code":      {always("eth_getCode", `"0x6000"`), ErrDisagree, ErrWrongContract},
		"no code":   {always("eth_getCode", `"0x"`), ErrDisagree, ErrWrongContract},
		"no log":    {always("eth_call", `"0x`+strings.Repeat("0", 5*64)+`"`), ErrDisagree, ErrWrongLog},
		"no answer": {always("eth_call", `"0x"`), ErrUnreachable, ErrUnreachable},
		"root": {func(method string, _ []json.RawMessage, answer json.RawMessage) json.RawMessage {
			if method != "eth_call" {
				return nil
			}
			return words(answer)
		}, ErrDisagree, ErrForked},
		"block hash": {edit("eth_getBlockByNumber", func(f map[string]any) { f["hash"] = common.Hash{1} }), ErrDisagree, ErrLies},
		"block": {func(method string, params []json.RawMessage, answer json.RawMessage) json.RawMessage {
			if method != "eth_getBlockByNumber" || string(params[0]) == `"finalized"` {
				return nil
			}
			return edit(method, func(f map[string]any) { f["number"] = "0x1" })(method, params, answer)
		}, ErrDisagree, ErrLies},
		"far behind": {edit("eth_getBlockByNumber", func(f map[string]any) { f["number"] = "0x1" }), ErrDisagree, ErrWrongLog},
		"no receipt": {always("eth_getTransactionReceipt", `null`), ErrDisagree, ErrWrongClaim},
		"reverted":   {edit("eth_getTransactionReceipt", func(f map[string]any) { f["status"] = "0x0" }), ErrDisagree, ErrReverted},
		"receipt's block": {edit("eth_getTransactionReceipt", func(f map[string]any) {
			f["blockNumber"] = "0x2"
		}), ErrDisagree, ErrLies},
		"receipt beyond final": {edit("eth_getTransactionReceipt", func(f map[string]any) { f["blockNumber"] = "0xffffff" }), ErrDisagree, ErrNotFinal},
		"receipt's contract": {edit("eth_getTransactionReceipt", func(f map[string]any) {
			f["logs"].([]any)[0].(map[string]any)["address"] = common.Address{1}
		}), ErrDisagree, ErrWrongClaim},
		"receipt's size": {edit("eth_getTransactionReceipt", func(f map[string]any) {
			entry := f["logs"].([]any)[0].(map[string]any)
			data := hexutil.MustDecode(entry["data"].(string))
			data[63] = 9
			entry["data"] = hexutil.Bytes(data)
		}), ErrDisagree, ErrLies},
	} {
		t.Run(name, func(t *testing.T) {
			p := b.proxy()
			p.set(func(p *proxy) { p.lie = c.lie })
			for _, v := range []struct {
				want      error
				addresses []string
			}{
				{c.beside, []string{b.node.URL, p.URL}},
				{c.beside, []string{p.URL, b.node.URL}},
				{c.lone, []string{p.URL}},
			} {
				verdict, err := b.chain(0, v.addresses...).Verify(t.Context(), checkpoint(b.log), b.log.consistency, claim)
				if !errors.Is(err, v.want) {
					t.Errorf("with %d servers: %v, not %v", len(v.addresses), err, v.want)
				}
				if err == nil && (verdict.Anchored != claim.Tree || verdict.Servers != len(v.addresses)) {
					t.Errorf("%+v", verdict)
				}
				if err != nil && errors.Is(v.want, ErrDisagree) && !strings.Contains(err.Error(), strings.TrimPrefix(p.URL, "http://")) {
					t.Errorf("it does not name the server: %v", err)
				}
			}
			// What a worker never asks about an anchor that is final, it can't be deceived in.
			if strings.HasPrefix(name, "receipt") || name == "no receipt" || name == "reverted" || name == "nothing" {
				return
			}
			b.wait(2 * 3600e9)
			step(t, b.worker(func(cfg *Config) { cfg.Chain = b.chain(0, p.URL, b.node.URL) }), c.beside)
			if got := len(b.journal.Rows()); got != rows {
				t.Errorf("there are %d rows", got)
			}
		})
	}
}

// A worker whose servers tell it that its anchor is final, when it isn't or was never mined.
func TestLiesAboutTheWorkersOwn(t *testing.T) {
	b := newBench(t)
	b.node.Call(t, nil, "evm_setAutomine", false)
	step(t, b.worker(nil), nil)
	wantStates(t, b, journal.Sent)
	row := b.journal.Rows()[0]
	receipt := func(in uint64) func(string, []json.RawMessage, json.RawMessage) json.RawMessage {
		return func(method string, _ []json.RawMessage, _ json.RawMessage) json.RawMessage {
			if method != "eth_getTransactionReceipt" {
				return nil
			}
			out, _ := json.Marshal(map[string]any{
				"transactionHash": common.Hash(row.Hash), "status": "0x1", "blockNumber": hexutil.Uint64(in), "blockHash": common.Hash{1},
				"cumulativeGasUsed": "0x1", "gasUsed": "0x1", "logs": []any{}, "logsBloom": "0x" + strings.Repeat("0", 512),
				"transactionIndex": "0x0", "type": "0x2",
			})
			return out
		}
	}
	p := b.proxy()
	beside := func() *Worker {
		return b.worker(func(c *Config) { c.Chain = b.chain(0, b.node.URL, p.URL) })
	}
	p.set(func(p *proxy) { p.lie = receipt(3) })
	step(t, beside(), ErrLies)
	p.set(func(p *proxy) { p.lie = receipt(1 << 40) })
	step(t, beside(), nil) // one word isn't enough
	wantStates(t, b, journal.Sent)

	p.set(func(p *proxy) { // the nonce is said to be used, by one and by all
		p.lie = func(method string, _ []json.RawMessage, _ json.RawMessage) json.RawMessage {
			if method == "eth_getTransactionCount" {
				return json.RawMessage(`"0x1"`)
			}
			return receipt(3)(method, nil, nil)
		}
	})
	step(t, beside(), ErrDisagree)
	step(t, b.worker(func(c *Config) { c.Chain = b.chain(0, p.URL) }), ErrLies)
	wantStates(t, b, journal.Sent)
}

// An anchor in a block that is not final is an announcement.
func TestNotFinal(t *testing.T) {
	b := newBench(t)
	if _, err := b.chain(0).Verify(t.Context(), checkpoint(b.log), b.log.consistency); !errors.Is(err, ErrNotAnchored) {
		t.Errorf("a log without anchors: %v", err)
	}
	w := b.worker(nil)
	step(t, w, nil)
	row := b.journal.Rows()[0]
	claim := Claim{row.Hash, b.log.tree}
	v, err := b.chain(0).Verify(t.Context(), checkpoint(b.log), b.log.consistency, claim)
	if !errors.Is(err, ErrNotFinal) || v.Announced != b.log.tree || v.Anchored != audit.EmptyTree() {
		t.Errorf("%+v, %v", v, err)
	}
	b.mine(3)
	v, err = b.chain(0).Verify(t.Context(), checkpoint(b.log), b.log.consistency, claim)
	if err != nil || v.Announced.Size != 0 || v.Anchored != b.log.tree {
		t.Errorf("%+v, %v", v, err)
	}
	for name, wrong := range map[string]Claim{
		"size":        {row.Hash, audit.Tree{Size: 4, Root: b.log.tree.Root}},
		"root":        {row.Hash, audit.Tree{Size: 5}},
		"transaction": {[32]byte{1}, b.log.tree},
	} {
		if _, err := b.chain(0).Verify(t.Context(), checkpoint(b.log), b.log.consistency, wrong); !errors.Is(err, ErrWrongClaim) || !Tampering(err) {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

// A claimed anchor that the contract refused.
func TestRevertedClaim(t *testing.T) {
	b := newBench(t)
	head := contract.Head{Size: 5, Root: b.log.tree.Root}
	b.node.Call(t, nil, "evm_setAutomine", false)
	hash := b.sendFrom(b.owner, &b.target.Contract, contract.AnchorCall(b.target.Log, head, nil)) // who isn't the anchorer
	b.mine(4)
	_, err := b.chain(0).Verify(t.Context(), checkpoint(b.log), b.log.consistency, Claim{hash, b.log.tree})
	if !errors.Is(err, ErrReverted) || !errors.Is(err, contract.ErrNotAnchorer) {
		t.Errorf("%v", err)
	}
}

// Gas is paid for by the anchorer's account, and so not what a server likes.
func TestLiesAboutGas(t *testing.T) {
	b := newBench(t)
	p := b.proxy()
	for gas, want := range map[string]error{`"0x30d41"`: ErrLies, `"0xffffffffffffffff"`: ErrLies, `"0x30d40"`: nil} {
		p.set(func(p *proxy) {
			p.lie = func(method string, _ []json.RawMessage, _ json.RawMessage) json.RawMessage {
				if method == "eth_estimateGas" {
					return json.RawMessage(gas)
				}
				return nil
			}
		})
		b.journal = new(journaltest.Memory)
		var before string
		b.node.Call(t, &before, "evm_snapshot")
		step(t, b.worker(func(c *Config) { c.Chain = b.chain(0, b.node.URL, p.URL) }), want)
		if got := len(b.journal.Rows()); got != 0 && want != nil || got != 1 && want == nil {
			t.Errorf("%s: there are %d rows", gas, got)
		}
		b.node.Call(t, nil, "evm_revert", before)
	}
}

// A lone server gives the receipt of the anchor before for the one that was just sent.
func TestLiesWithAnOldReceipt(t *testing.T) {
	b := newBench(t)
	w := b.worker(nil)
	for range 2 {
		step(t, w, nil)
		b.mine(3)
	}
	step(t, w, nil)
	b.node.Call(t, nil, "evm_setAutomine", false)
	b.log.grow(5)
	b.wait(time.Hour)
	step(t, w, nil)
	wantStates(t, b, journal.Final, journal.Sent)
	rows := b.journal.Rows()
	var old map[string]any
	b.node.Call(t, &old, "eth_getTransactionReceipt", common.Hash(rows[0].Hash))
	old["transactionHash"] = common.Hash(rows[1].Hash)
	receipt, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	p := b.proxy()
	p.set(func(p *proxy) {
		p.lie = func(method string, _ []json.RawMessage, _ json.RawMessage) json.RawMessage {
			switch method {
			case "eth_getTransactionCount":
				return json.RawMessage(`"0x2"`)
			case "eth_getTransactionReceipt":
				return receipt
			}
			return nil
		}
	})
	step(t, b.worker(func(c *Config) { c.Chain = b.chain(0, p.URL) }), ErrLies)
	wantStates(t, b, journal.Final, journal.Sent)
}
