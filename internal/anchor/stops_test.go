package anchor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/internal/anchor/journal"
	"stonevault/internal/anchor/journaltest"
)

// killed is a journal of a worker that stops: at the call with a number, before or after it took effect.
type killed struct {
	journal.Store
	calls *int
	at    int
	after bool
}

var errKilled = errors.New("killed")

func (k killed) call(f func() error) error {
	*k.calls++
	switch {
	case *k.calls < k.at:
		return f()
	case *k.calls == k.at && k.after:
		return errors.Join(f(), errKilled)
	}
	return errKilled
}

func (k killed) Plan(ctx context.Context, r journal.Row) (got journal.Row, err error) {
	err = k.call(func() (err error) { got, err = k.Store.Plan(ctx, r); return err })
	return got, err
}

func (k killed) Move(ctx context.Context, moves ...journal.Move) error {
	return k.call(func() error { return k.Store.Move(ctx, moves...) })
}

// TestStops stops a worker at each write of the journal, before and after it took effect, and at each request
// to the server, while a stuck transaction is replaced and another head anchored. After each stop a new worker
// goes on. However it went, no head has two nonces and none was anchored twice.
func TestStops(t *testing.T) {
	b := newBench(t)
	var snapshot string
	const most = 40
	for _, kind := range []string{"before a write", "after a write", "at a transaction", "after a transaction"} {
		ended := false
		for at := 1; at <= most && !ended; at++ {
			b.node.Call(t, &snapshot, "evm_snapshot")
			b.journal, b.log = new(journaltest.Memory), newLog(t, 5, 0)
			start := b.nonce()
			p := b.proxy()
			var calls, sends int
			store := killed{b.journal, &calls, at, kind == "after a write"}
			p.set(func(p *proxy) {
				switch kind {
				case "at a transaction":
					p.before = func(method string) bool {
						if method == "eth_sendRawTransaction" {
							sends++
						}
						return sends >= at
					}
				case "after a transaction":
					p.lie = func(method string, _ []json.RawMessage, _ json.RawMessage) json.RawMessage {
						if method == "eth_sendRawTransaction" {
							sends++
						}
						return nil
					}
					p.before = func(string) bool { return sends >= at }
				}
			})
			begin := func(kill bool) *Worker {
				return b.worker(func(c *Config) {
					if kill {
						c.Chain = b.chain(0, p.URL)
						if strings.HasSuffix(kind, "write") {
							c.Journal = store
						}
					}
				})
			}
			w, stopped := begin(true), false
			run := func(steps int) {
				t.Helper()
				for range steps {
					if err := w.Step(t.Context()); err != nil {
						if stopped {
							t.Fatalf("%s %d: after the stop: %v", kind, at, err)
						}
						stopped = true
						w = begin(false)
						if err := w.Step(t.Context()); err != nil {
							t.Fatalf("%s %d: at the start after the stop: %v", kind, at, err)
						}
					}
				}
			}
			b.node.Call(t, nil, "evm_setAutomine", false)
			run(2)
			b.log.grow(4)
			b.wait(3 * time.Minute)
			run(2)
			b.mine(1)
			run(2)
			b.mine(3)
			run(3)
			b.log.grow(4)
			b.wait(time.Hour)
			run(2)
			b.mine(1)
			run(1)
			b.mine(3)
			run(3)
			b.wait(time.Hour)
			run(1)
			b.mine(4)
			run(2)
			b.node.Call(t, nil, "evm_setAutomine", true)
			checkStops(t, b, fmt.Sprintf("%s %d", kind, at), start)
			if ended = !stopped; ended {
				t.Logf("%s: %d stops", kind, at-1)
			}
			b.node.Call(t, nil, "evm_revert", snapshot)
		}
		if !ended {
			t.Errorf("%s: more than %d stops", kind, most)
		}
	}
}

func checkStops(t *testing.T, b *bench, name string, start uint64) {
	t.Helper()
	anchored := b.anchored()
	if n := len(anchored); n == 0 || anchored[n-1].Size != 13 || b.nonce()-start != uint64(n) {
		t.Errorf("%s: %d transactions made %v", name, b.nonce()-start, anchored)
	}
	nonces := map[[32]byte]uint64{}
	finals := map[uint64]int{}
	for _, r := range b.journal.Rows() {
		if !r.State.Settled() {
			t.Errorf("%s: a row is left %v", name, r.State)
		}
		if other, ok := nonces[r.Root]; ok && other != r.Nonce {
			t.Errorf("%s: the head of size %d has the nonces %d and %d", name, r.Size, other, r.Nonce)
		}
		nonces[r.Root] = r.Nonce
		if r.State == journal.Final {
			finals[r.Size]++
		}
	}
	for _, a := range anchored {
		if finals[a.Size] != 1 {
			t.Errorf("%s: size %d was anchored, and %d rows say so", name, a.Size, finals[a.Size])
		}
	}
	if len(finals) != len(anchored) {
		t.Errorf("%s: %d anchors, %v", name, len(anchored), finals)
	}
}

// TestUnreliable anchors through servers that lose one request or answer in seven, on a chain that is now and
// then reorganised, with workers that stop at random. With the seed, a failure can be repeated.
func TestUnreliable(t *testing.T) {
	seeds := 4
	if os.Getenv("STONEVAULT_TORTURE") == "1" {
		seeds = 60
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			b := newBench(t, "--slots-in-an-epoch", "4")
			b.node.Call(t, nil, "evm_setAutomine", false)
			r := rand.New(rand.NewPCG(uint64(seed), 4))
			var lossy atomic.Bool
			lossy.Store(true)
			var addresses []string
			for i := range 2 {
				p, chance := b.proxy(), rand.New(rand.NewPCG(uint64(seed), uint64(100+i)))
				p.before = func(string) bool { return lossy.Load() && chance.IntN(14) == 0 }
				p.lost = func(string) bool { return lossy.Load() && chance.IntN(14) == 0 }
				addresses = append(addresses, p.URL)
			}
			begin := func() *Worker { return b.worker(func(c *Config) { c.Chain = b.chain(1, addresses...) }) }
			w := begin()
			for range 150 {
				if err := w.Step(t.Context()); Tampering(err) || errors.Is(err, ErrTakenBack) || errors.Is(err, ErrLies) {
					t.Fatal(err)
				}
				b.wait(20 * time.Second)
				switch r.IntN(10) {
				case 0:
					w = begin()
				case 1:
					b.node.Call(t, nil, "anvil_reorg", 1+r.IntN(5), []any{})
				case 2, 3, 4:
					b.mine(1 + r.IntN(4))
				case 5:
					b.log.grow(1 + r.IntN(4))
				case 6:
					b.wait(time.Hour)
				}
			}
			lossy.Store(false)
			b.log.grow(4)
			for range 2 { // what was under way, and the last one
				b.wait(time.Hour)
				for range 6 {
					// An anchor that was mined before that hour is late.
					if err := w.Step(t.Context()); err != nil && !errors.Is(err, ErrStalled) {
						t.Fatal(err)
					}
					b.mine(5)
				}
			}
			anchored, nonces, finals := b.anchored(), map[[32]byte]uint64{}, 0
			for _, row := range b.journal.Rows() {
				if n, ok := nonces[row.Root]; ok && n != row.Nonce {
					t.Errorf("the head of size %d has the nonces %d and %d", row.Size, n, row.Nonce)
				}
				nonces[row.Root] = row.Nonce
				if row.State == journal.Final {
					if finals < len(anchored) && anchored[finals].Size != row.Size {
						t.Errorf("anchor %d has size %d and its row %d", finals, anchored[finals].Size, row.Size)
					}
					finals++
				}
			}
			if n := len(anchored); finals != n || b.nonce() != uint64(n) || n == 0 || anchored[n-1].Size != uint64(b.log.tree.Size) {
				t.Errorf("%d transactions, %d final rows, %d anchors, the log has %d events", b.nonce(), finals, n, b.log.tree.Size)
			}
			t.Logf("%d anchors by %d transactions", len(anchored), len(b.journal.Rows()))
		})
	}
}
