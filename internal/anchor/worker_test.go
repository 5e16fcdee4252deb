package anchor

import (
	"bytes"
	"context"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"

	"stonevault/internal/anchor/contract"
	"stonevault/internal/anchor/journal"
	"stonevault/internal/anchor/journaltest"
)

func filter(t Target) ethereum.FilterQuery {
	return ethereum.FilterQuery{
		FromBlock: new(big.Int), Addresses: []common.Address{t.Contract},
		Topics: [][]common.Hash{{contract.AnchoredTopic}, {common.Hash(t.Log)}},
	}
}

func wantStates(t *testing.T, b *bench, want ...journal.State) {
	t.Helper()
	if got := b.states(); !slices.Equal(got, want) {
		t.Fatalf("the rows are %v, not %v", got, want)
	}
}

func TestConfig(t *testing.T) {
	chain, err := Open(t.Context(), Target{ChainID: 137}, 0, "https://rpc.example")
	if err != nil {
		t.Fatal(err)
	}
	defer chain.Close()
	good := Config{Chain: chain, Key: newKey(newPrivate(t)), Journal: new(journaltest.Memory), Heads: newLog(t, 0, 0)}
	w, err := New(good)
	if err != nil || w.policy.minTip.Int64() != 25e9 || w.c.MinGrowth != 2 || w.Status().Condition != "ok" {
		t.Errorf("%+v, %v", w, err)
	}
	for name, change := range map[string]func(*Config){
		"no chain":            func(c *Config) { c.Chain = nil },
		"no key":              func(c *Config) { c.Key = nil },
		"no journal":          func(c *Config) { c.Journal = nil },
		"no heads":            func(c *Config) { c.Heads = nil },
		"a short interval":    func(c *Config) { c.Interval = time.Second - 1 },
		"no growth":           func(c *Config) { c.MinGrowth = -1 },
		"anchors of anchors":  func(c *Config) { c.Events = 1 },
		"a ceiling below":     func(c *Config) { c.MaxFee = 25e9 - 1 },
		"a negative tip":      func(c *Config) { c.MinTip = -1 },
		"a negative wait":     func(c *Config) { c.ReplaceAfter = -1 },
		"a negative patience": func(c *Config) { c.StallAfter = -1 },
		"a negative poll":     func(c *Config) { c.Poll = -1 },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestAnchoring(t *testing.T) {
	b := newBench(t)
	p := b.proxy()
	w := b.worker(func(c *Config) { c.Chain = b.chain(0, p.URL) })
	sizes := []uint64{5, 5 + 2, 5 + 2 + 1000}
	before := contract.Head{}
	for i, size := range sizes {
		b.log.grow(int(size) - int(b.log.tree.Size))
		step(t, w, nil)
		step(t, w, nil)
		if s := w.Status(); s.InFlight.State != journal.Mined || s.InFlight.Size != size || s.Condition != "ok" {
			t.Fatalf("%+v", s)
		}
		b.mine(3)
		step(t, w, nil)
		last := w.Status().Last
		if last.State != journal.Final || last.Size != size || last.Root != b.log.tree.Root || last.Nonce != uint64(i) {
			t.Fatalf("%+v", last)
		}
		// What everybody sees is this and nothing else.
		nodes := make([][32]byte, 0, 20)
		proof, err := prove(t.Context(), before, b.log.tree, b.log.consistency)
		for _, h := range proof {
			nodes = append(nodes, h)
		}
		before = contract.Head{Size: size, Root: last.Root}
		tx := readTx(t, last)
		if want := contract.AnchorCall(b.target.Log, before, nodes); err != nil || !bytes.Equal(tx.Data(), want) || tx.Value().Sign() != 0 || *tx.To() != b.target.Contract {
			t.Errorf("the transaction is %+v, %v", tx, err)
		}
		receipt, err := b.eth.TransactionReceipt(t.Context(), last.Hash)
		if err != nil || receipt.BlockNumber.Uint64() != last.Block || receipt.BlockHash != last.BlockHash {
			t.Errorf("%+v, %v", receipt, err)
		}
		// Neither time nor growth alone is enough.
		b.log.grow(1)
		b.wait(2 * time.Hour)
		step(t, w, nil)
		b.log.grow(1)
		b.wait(-time.Hour - time.Minute)
		step(t, w, nil)
		if got := len(b.journal.Rows()); got != i+1 {
			t.Fatalf("there are %d rows after %d anchors", got, i+1)
		}
		b.wait(time.Minute)
		b.log = regrown(b.log, w, last.Size)
	}
	if got := b.anchored(); len(got) != len(sizes) || b.nonce() != uint64(len(sizes)) {
		t.Errorf("the contract has %v, by %d transactions", got, b.nonce())
	}
}

// regrown is the log as it was at a size.
func regrown(l *testLog, w *Worker, size uint64) *testLog {
	again := newLog(l.t, int(size), l.salt)
	w.c.Heads = again
	return again
}

// An idle worker leaves the chain alone.
func TestIdle(t *testing.T) {
	b := newBench(t)
	p := b.proxy()
	w := b.worker(func(c *Config) { c.Chain = b.chain(0, p.URL) })
	for range 2 {
		step(t, w, nil)
		b.mine(3)
	}
	step(t, w, nil)
	p.set(func(p *proxy) { clear(p.asked) })
	for range 5 {
		b.wait(time.Hour)
		step(t, w, nil)
	}
	b.log.grow(1)
	step(t, w, nil)
	p.set(func(p *proxy) {
		if len(p.asked) != 0 {
			t.Errorf("it asks %v", p.asked)
		}
	})
	w.AnchorNow()
	step(t, w, nil)
	wantStates(t, b, journal.Final, journal.Sent)
	for range 2 {
		b.mine(3)
		step(t, w, nil)
	}
	w.AnchorNow() // with nothing to anchor, now or later
	step(t, w, nil)
	b.log.grow(1)
	step(t, w, nil)
	wantStates(t, b, journal.Final, journal.Final)

	w.c.Events = 5
	b.log.grow(4)
	step(t, w, nil)
	wantStates(t, b, journal.Final, journal.Final, journal.Sent)
}

func TestServerDown(t *testing.T) {
	b := newBench(t)
	p := b.proxy()
	secret := p.URL + "/v2/SECRET-API-KEY"
	w := b.worker(func(c *Config) { c.Chain = b.chain(0, secret) })
	down := func(is bool) { p.set(func(p *proxy) { p.down = is }) }
	for i, want := range [][]journal.State{nil, {journal.Sent}, {journal.Mined}} {
		down(true)
		for range 3 {
			step(t, w, ErrUnreachable)
			if s := w.Status(); s.Condition != "rpc_unreachable" || strings.Contains(s.Problem.Error(), "SECRET") {
				t.Errorf("%+v", s)
			}
			b.wait(time.Minute)
		}
		if !slices.Equal(b.states(), want) {
			t.Fatalf("the rows are %v, not %v", b.states(), want)
		}
		down(false)
		if i == 2 {
			b.mine(3)
		}
		step(t, w, nil)
	}
	wantStates(t, b, journal.Final)
	if b.nonce() != 1 || len(b.anchored()) != 1 {
		t.Errorf("%d transactions, %v", b.nonce(), b.anchored())
	}
	if got := w.Status(); got.Failures != 9 {
		t.Errorf("%+v", got)
	}
}

// With three servers one may be down; with two, none.
func TestQuorum(t *testing.T) {
	b := newBench(t)
	first, second := b.proxy(), b.proxy()
	first.set(func(p *proxy) { p.down = true })
	step(t, b.worker(func(c *Config) { c.Chain = b.chain(0, first.URL, b.node.URL) }), ErrUnreachable)
	w := b.worker(func(c *Config) { c.Chain = b.chain(0, first.URL, b.node.URL, second.URL) })
	for range 2 {
		step(t, w, nil)
		b.mine(3)
	}
	step(t, w, nil)
	wantStates(t, b, journal.Final)
}

func TestReorganisation(t *testing.T) {
	b := newBench(t, "--slots-in-an-epoch", "10")
	b.mine(30)
	w := b.worker(nil)
	step(t, w, nil)
	b.mine(4)
	step(t, w, nil)
	wantStates(t, b, journal.Mined)
	raw := b.journal.Rows()[0].Raw

	b.node.Call(t, nil, "evm_setAutomine", false)
	b.node.Call(t, nil, "anvil_reorg", 5, []any{})
	if len(b.anchored()) != 0 {
		t.Fatal("the reorganisation left the anchor")
	}
	step(t, w, nil)
	wantStates(t, b, journal.Sent)
	b.mine(1)
	step(t, w, nil)
	wantStates(t, b, journal.Mined)
	b.mine(25)
	step(t, w, nil)
	wantStates(t, b, journal.Final)
	if got := b.journal.Rows()[0]; string(got.Raw) != string(raw) {
		t.Error("other bytes were sent after the reorganisation")
	}
	if b.nonce() != 1 || len(b.anchored()) != 1 {
		t.Errorf("%d transactions, %v", b.nonce(), b.anchored())
	}
}

func TestStalledFinality(t *testing.T) {
	b := newBench(t)
	w := b.worker(nil)
	step(t, w, nil)
	step(t, w, nil)
	b.wait(15*time.Minute - time.Second)
	step(t, w, nil)
	b.wait(time.Second)
	for range 3 {
		step(t, w, ErrStalled)
		b.log.grow(10)
		b.wait(time.Hour)
	}
	wantStates(t, b, journal.Mined)
	b.mine(3)
	step(t, w, nil)
	wantStates(t, b, journal.Final)
}

func TestNonceTaken(t *testing.T) {
	b := newBench(t)
	b.node.Call(t, nil, "evm_setAutomine", false)
	w := b.worker(nil)
	step(t, w, nil)
	ours := b.journal.Rows()[0]
	// The pool is left, and somebody with the same key pays for something else.
	b.node.Call(t, nil, "anvil_dropTransaction", common.Hash(ours.Hash))
	b.sendFrom(b.key.private, &b.key.address, nil)
	b.mine(1)
	step(t, w, ErrForeign)
	wantStates(t, b, journal.Sent)
	b.mine(3)
	step(t, w, ErrAbandoned)
	wantStates(t, b, journal.Abandoned)
	step(t, w, ErrAbandoned)
	b.wait(time.Hour)
	step(t, w, nil)
	b.mine(1)
	step(t, w, nil)
	b.mine(3)
	step(t, w, nil)
	wantStates(t, b, journal.Abandoned, journal.Final)
	if got := b.anchored(); len(got) != 1 || b.nonce() != 2 {
		t.Errorf("%d transactions, %v", b.nonce(), got)
	}
}

// A database that was restored has lost its rows; what was sent is seen on the chain and not sent again.
func TestLostJournal(t *testing.T) {
	b := newBench(t)
	b.node.Call(t, nil, "evm_setAutomine", false)
	step(t, b.worker(nil), nil)
	empty := *b
	empty.journal = new(journaltest.Memory)
	w := empty.worker(nil)
	step(t, w, ErrForeign)
	b.mine(1)
	step(t, w, ErrForeign)
	b.mine(3)
	step(t, w, nil)
	if rows := empty.journal.Rows(); len(rows) != 0 || w.Status().Anchored.Size != 5 {
		t.Errorf("%+v, %+v", rows, w.Status())
	}
	if got := b.anchored(); len(got) != 1 || b.nonce() != 1 {
		t.Errorf("%d transactions, %v", b.nonce(), got)
	}
}

func TestFundsTooLow(t *testing.T) {
	b := newBench(t)
	b.node.Call(t, nil, "anvil_setBalance", b.key.address, "0x1")
	w := b.worker(nil)
	step(t, w, ErrFunds)
	if s := w.Status(); s.Condition != "funds_low" || !strings.Contains(s.Problem.Error(), b.key.address.Hex()) {
		t.Errorf("%+v", s)
	}
	wantStates(t, b)
	b.node.Fund(t, b.key.address)
	step(t, w, nil)
	wantStates(t, b, journal.Sent)
}

// A transaction that the contract refuses after all is read, and not repeated at once.
func TestReverted(t *testing.T) {
	b := newBench(t)
	b.node.Call(t, nil, "evm_setAutomine", false)
	w := b.worker(nil)
	step(t, w, nil)
	stolen := newPrivate(t)
	// The owner appoints another anchorer, whose block comes first.
	b.sendFrom(b.owner, &b.target.Contract, contract.SetAnchorerCall(b.target.Log, newKey(stolen).address))
	b.mine(1)
	b.mine(3)
	step(t, w, ErrReverted)
	step(t, w, ErrAbandoned)
	wantStates(t, b, journal.Abandoned)
	if r := b.journal.Rows()[0]; r.Block == 0 || !strings.HasPrefix(r.Reason, "It was refused: ") {
		t.Errorf("%+v", r)
	}
	b.wait(time.Hour)
	step(t, w, ErrNotAnchorer)
	if got := b.nonce(); got != 1 {
		t.Errorf("%d transactions", got)
	}
}

// A plan that was made before a stop, and that the chain has overtaken since, is given up without a signature.
func TestOvertakenPlan(t *testing.T) {
	b := newBench(t)
	w := b.worker(nil)
	plan, err := w.plan(t.Context(), journal.Row{Nonce: 0, Size: 5, Root: b.log.tree.Root})
	if err != nil {
		t.Fatal(err)
	}
	// The owner lets another key anchor, and then ours again.
	other := newPrivate(t)
	b.node.Fund(t, newKey(other).address)
	at := &b.target.Contract
	b.log.grow(3)
	b.transact(b.owner, at, contract.SetAnchorerCall(b.target.Log, newKey(other).address))
	b.transact(other, at, contract.AnchorCall(b.target.Log, contract.Head{Size: 8, Root: b.log.tree.Root}, nil))
	b.transact(b.owner, at, contract.SetAnchorerCall(b.target.Log, b.key.address))
	b.mine(3)
	step(t, b.worker(nil), nil)
	if r := b.journal.Rows()[0]; r.ID != plan.ID || r.State != journal.Abandoned || r.Raw != nil {
		t.Errorf("%+v", r)
	}
	if b.nonce() != 0 {
		t.Error("a transaction was sent")
	}
}

// What the log is made to show is no beginning of it any more.
func TestRewrittenLog(t *testing.T) {
	for name, c := range map[string]struct {
		log  func(t *testing.T) *testLog
		want error
	}{
		"rewritten and longer": {func(t *testing.T) *testLog { return newLog(t, 30, 1) }, ErrForked},
		"rewritten":            {func(t *testing.T) *testLog { return newLog(t, 20, 1) }, ErrForked},
		"set back":             {func(t *testing.T) *testLog { return newLog(t, 19, 0) }, ErrRolledBack},
		"of another origin": {func(t *testing.T) *testLog {
			l := newLog(t, 30, 0)
			l.origin += "b"
			return l
		}, ErrWrongLog},
		"continued": {func(t *testing.T) *testLog { return newLog(t, 30, 0) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.log = newLog(t, 20, 0)
			w := b.worker(nil)
			for range 2 {
				step(t, w, nil)
				b.mine(3)
			}
			step(t, w, nil)
			wantStates(t, b, journal.Final)
			b.log = c.log(t)
			b.wait(time.Hour)
			step(t, b.worker(nil), c.want)
			if want := 1; c.want != nil && len(b.journal.Rows()) != want {
				t.Errorf("there are %d rows", len(b.journal.Rows()))
			}
			_, err := b.chain(0).Verify(t.Context(), checkpoint(b.log), b.log.consistency)
			if !errors.Is(err, c.want) {
				t.Errorf("the verifier says %v", err)
			}
		})
	}
}

// The journal of a final head, and a chain that no longer has it.
func TestTakenBack(t *testing.T) {
	b := newBench(t)
	var before string
	b.node.Call(t, &before, "evm_snapshot")
	w := b.worker(nil)
	for range 2 {
		step(t, w, nil)
		b.mine(3)
	}
	step(t, w, nil)
	wantStates(t, b, journal.Final)
	b.node.Call(t, nil, "evm_revert", before)
	b.mine(20)
	step(t, b.worker(nil), ErrTakenBack)
	wantStates(t, b, journal.Final)
}

// Wrong places are found before anything is written.
func TestWrongPlace(t *testing.T) {
	b := newBench(t)
	p := b.proxy()
	target := b.target
	for name, c := range map[string]struct {
		change func()
		want   error
	}{
		"chain":    {func() { b.target.ChainID = 137 }, ErrWrongChain},
		"contract": {func() { b.target.Contract = b.key.address }, ErrWrongContract},
		"log":      {func() { b.target.Log[0] ^= 1 }, ErrWrongLog},
		"creator": {func() {
			b.target.Creator = b.key.address
			b.target.Log = contract.NewLogID(b.key.address, contract.OriginHash(testOrigin))
		}, ErrWrongLog},
	} {
		b.target = target
		c.change()
		step(t, b.worker(func(cfg *Config) { cfg.Chain = b.chain(0, p.URL) }), c.want)
		if _, err := b.chain(0).Verify(t.Context(), checkpoint(b.log), b.log.consistency); !errors.Is(err, c.want) {
			t.Errorf("another %s: the verifier says %v", name, err)
		}
		wantStates(t, b)
	}
	p.set(func(p *proxy) {
		if p.asked["eth_sendRawTransaction"] != 0 {
			t.Error("a transaction was sent")
		}
	})
}

func TestRun(t *testing.T) {
	b := newBench(t, "--slots-in-an-epoch", "1", "--block-time", "1", "--mixed-mining")
	w := b.worker(func(c *Config) { c.Poll, c.Now = 100*time.Millisecond, nil })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx) }()
	for end := time.Now().Add(2 * time.Minute); w.Status().Last.Size != 5; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", w.Status())
		}
	}
	cancel()
	<-ended
	if s := w.Status(); s.Condition != "ok" || s.Steps == 0 {
		t.Errorf("%+v", s)
	}
}
