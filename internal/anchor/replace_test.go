package anchor

import (
	"errors"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"

	"stonevault/internal/anchor/journal"
)

// A transaction that nobody takes is replaced by one with both fees an eighth higher, which has the newest head.
func TestStuck(t *testing.T) {
	b := newBench(t)
	b.node.Call(t, nil, "evm_setAutomine", false)
	w := b.worker(func(c *Config) { c.MaxFee = 100 * params.GWei })
	step(t, w, nil)
	const tries = 4
	for i := range tries {
		b.wait(3*time.Minute - time.Second)
		step(t, w, nil)
		b.log.grow(3)
		if got := len(b.journal.Rows()); got != 1+i {
			t.Fatalf("there are %d rows", got)
		}
		b.wait(time.Second)
		step(t, w, nil)
	}
	rows := b.journal.Rows()
	if len(rows) != 1+tries {
		t.Fatalf("there are %d rows", len(rows))
	}
	for i := range rows[1:] {
		before, after := readTx(t, rows[i]), readTx(t, rows[i+1])
		for name, of := range map[string]func(*types.Transaction) *big.Int{
			"tip": (*types.Transaction).GasTipCap, "fee": (*types.Transaction).GasFeeCap,
		} {
			eighth := new(big.Int).Mul(of(before), big.NewInt(9))
			if new(big.Int).Mul(of(after), big.NewInt(8)).Cmp(eighth) < 0 {
				t.Errorf("replacement %d: the %s goes from %v to %v", i, name, of(before), of(after))
			}
		}
		if after.Nonce() != 0 || rows[i+1].Replaces != rows[i].ID || rows[i+1].Size != uint64(8+3*i) {
			t.Errorf("%+v", rows[i+1])
		}
	}
	b.mine(1)
	step(t, w, nil)
	b.mine(3)
	step(t, w, nil)
	wantStates(t, b, journal.Replaced, journal.Replaced, journal.Replaced, journal.Replaced, journal.Final)
	if got := b.anchored(); len(got) != 1 || got[0].Size != 5+3*tries || b.nonce() != 1 {
		t.Errorf("%d transactions, %v", b.nonce(), got)
	}
	if got := w.Status().Replaced; got != tries {
		t.Errorf("%d replacements are counted", got)
	}
}

// A transaction whose fee has become too low stays in the pool while blocks go by, until it is replaced.
func TestLowFee(t *testing.T) {
	b := newBench(t)
	b.node.Call(t, nil, "evm_setAutomine", false)
	w := b.worker(nil)
	step(t, w, nil)
	low := readTx(t, b.journal.Rows()[0])
	b.node.Call(t, nil, "anvil_setNextBlockBaseFeePerGas", (*hexutil.Big)(new(big.Int).Mul(low.GasFeeCap(), big.NewInt(2))))
	b.mine(1)
	step(t, w, ErrNotTaken) // this node has dropped it, and takes it no more
	wantStates(t, b, journal.Sent)
	b.wait(3 * time.Minute)
	step(t, w, nil)
	wantStates(t, b, journal.Sent, journal.Sent)
	b.mine(1)
	step(t, w, nil)
	b.mine(3)
	step(t, w, nil)
	wantStates(t, b, journal.Replaced, journal.Final)
	if got := b.anchored(); len(got) != 1 || b.nonce() != 1 {
		t.Errorf("%d transactions, %v", b.nonce(), got)
	}
}

// So does one that no server ever took.
func TestNeverTaken(t *testing.T) {
	b := newBench(t)
	p := b.proxy()
	w := b.worker(func(c *Config) { c.Chain = b.chain(0, p.URL) })
	refuse := func(yes bool) {
		p.set(func(p *proxy) {
			p.before = func(method string) bool { return yes && method == "eth_sendRawTransaction" }
		})
	}
	refuse(true)
	step(t, w, ErrNotTaken)
	wantStates(t, b, journal.Signed)
	raw := hexutil.Encode(b.journal.Rows()[0].Raw)
	b.log.grow(1)
	b.wait(3 * time.Minute)
	step(t, w, ErrNotTaken)
	wantStates(t, b, journal.Signed, journal.Signed)
	refuse(false)
	step(t, w, nil)
	b.mine(3)
	step(t, w, nil)
	wantStates(t, b, journal.Replaced, journal.Final)
	if slices.Contains(p.raw, raw) || b.nonce() != 1 || b.anchored()[0].Size != 6 {
		t.Errorf("%d transactions, %v", b.nonce(), b.anchored())
	}
}

// The older of two that compete may be the one that a block takes.
func TestOlderWins(t *testing.T) {
	b := newBench(t)
	b.node.Call(t, nil, "evm_setAutomine", false)
	w := b.worker(nil)
	step(t, w, nil)
	older := readTx(t, b.journal.Rows()[0])
	b.log.grow(5)
	b.wait(3 * time.Minute)
	step(t, w, nil)
	newer := b.journal.Rows()[1]
	b.node.Call(t, nil, "anvil_dropTransaction", common.Hash(newer.Hash))
	if err := b.eth.SendTransaction(t.Context(), older); err != nil {
		t.Fatal(err)
	}
	b.mine(1)
	step(t, w, nil)
	wantStates(t, b, journal.Mined, journal.Sent)
	b.mine(3)
	step(t, w, nil)
	wantStates(t, b, journal.Final, journal.Replaced)
	if got := w.Status(); got.Last.Size != 5 || got.Condition != "ok" || got.InFlight.ID != 0 {
		t.Errorf("%+v", got)
	}
	b.wait(time.Hour)
	step(t, w, nil)
	b.mine(1)
	step(t, w, nil)
	b.mine(3)
	step(t, w, nil)
	if got := b.anchored(); len(got) != 2 || got[1].Size != 10 || b.nonce() != 2 {
		t.Errorf("%d transactions, %v", b.nonce(), got)
	}
}

// Servers that share a database may both run a worker. They hinder each other and do no harm.
func TestTwoWorkers(t *testing.T) {
	b := newBench(t)
	b.node.Call(t, nil, "evm_setAutomine", false)
	workers := []*Worker{b.worker(nil), b.worker(nil)}
	both := func() {
		t.Helper()
		var wg sync.WaitGroup
		for _, w := range workers {
			wg.Go(func() {
				if err := w.Step(t.Context()); err != nil && !errors.Is(err, journal.ErrConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	for i := range 3 {
		both()
		b.wait(3 * time.Minute)
		b.log.grow(1)
		both()
		b.mine(1)
		both()
		b.mine(3)
		both()
		both()
		b.log.grow(5)
		b.wait(time.Hour)
		if got := b.anchored(); len(got) != i+1 || b.nonce() != uint64(i+1) {
			t.Fatalf("%d transactions, %v", b.nonce(), got)
		}
	}
}

func readTx(t *testing.T, r journal.Row) *types.Transaction {
	t.Helper()
	tx, err := transaction(r)
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// At the ceiling nothing more is paid, and the older transaction may still be taken.
func TestCeiling(t *testing.T) {
	b := newBench(t)
	b.node.Call(t, nil, "evm_setAutomine", false)
	w := b.worker(func(c *Config) { c.MaxFee, c.MinTip = 3*params.GWei, params.GWei })
	b.node.Call(t, nil, "anvil_setNextBlockBaseFeePerGas", hexutil.EncodeUint64(2.5*params.GWei))
	b.mine(1)
	step(t, w, ErrFee)
	wantStates(t, b)
	b.node.Call(t, nil, "anvil_setNextBlockBaseFeePerGas", hexutil.EncodeUint64(params.GWei))
	b.mine(1)
	step(t, w, nil)
	for range 5 {
		b.wait(3 * time.Minute)
		if err := w.Step(t.Context()); err != nil && !errors.Is(err, ErrFee) {
			t.Fatal(err)
		}
	}
	if w.Status().Condition != "fee_ceiling" {
		t.Errorf("%+v", w.Status())
	}
	for _, r := range b.journal.Rows() {
		if tx := readTx(t, r); tx.GasFeeCap().Cmp(big.NewInt(3*params.GWei)) > 0 || tx.GasTipCap().Cmp(tx.GasFeeCap()) > 0 {
			t.Errorf("it pays %v and %v", tx.GasFeeCap(), tx.GasTipCap())
		}
	}
	b.mine(1)
	step(t, w, nil)
	b.mine(3)
	step(t, w, nil)
	if got := b.anchored(); len(got) != 1 || b.nonce() != 1 {
		t.Errorf("%d transactions, %v", b.nonce(), got)
	}
}
