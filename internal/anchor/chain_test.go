package anchor

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/params"

	"stonevault/audit"
	"stonevault/internal/anchor/anviltest"
	"stonevault/internal/anchor/contract"
	"stonevault/internal/anchor/journal"
	"stonevault/internal/anchor/journaltest"
)

const testOrigin = "stonevault.test/log/4f2a"

// testLog is a log in memory. Its fields are changed between steps alone.
type testLog struct {
	t      testing.TB
	origin string
	tree   audit.Tree
	tiles  map[audit.Tile][]byte
	salt   byte // logs with other salts have other leaves
}

func newLog(t testing.TB, size int, salt byte) *testLog {
	l := &testLog{t, testOrigin, audit.EmptyTree(), map[audit.Tile][]byte{}, salt}
	l.grow(size)
	return l
}

func (l *testLog) grow(by int) {
	l.t.Helper()
	leaves := make([]audit.Hash, by)
	for i := range leaves {
		leaves[i] = audit.LeafHash(binary.BigEndian.AppendUint64([]byte{l.salt}, uint64(l.tree.Size)+uint64(i)))
	}
	tree, tiles, err := l.tree.Append(l, leaves)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, tile := range tiles {
		l.tiles[audit.Tile{Level: tile.Level, Index: tile.Index}] = tile.Data
	}
	l.tree = tree
}

func (l *testLog) ReadTiles(wanted []audit.Tile) (data [][]byte, err error) {
	for _, w := range wanted {
		data = append(data, l.tiles[audit.Tile{Level: w.Level, Index: w.Index}])
	}
	return data, nil
}

func (l *testLog) Latest(context.Context) (audit.Checkpoint, error) {
	return audit.Checkpoint{Origin: l.origin, Tree: l.tree}, nil
}

func (l *testLog) Consistency(_ context.Context, old int64, tree audit.Tree) ([]audit.Hash, error) {
	return tree.ProveConsistency(l, old)
}

func (l *testLog) consistency(_ context.Context, old int64) ([]audit.Hash, error) {
	return l.tree.ProveConsistency(l, old)
}

// bench is a real node with the contract and a log in it, a worker's parts, and a clock that tests set.
type bench struct {
	t       testing.TB
	node    *anviltest.Node
	eth     *ethclient.Client
	owner   *ecdsa.PrivateKey
	key     *Key
	target  Target
	log     *testLog
	journal *journaltest.Memory
	now     time.Time
}

// newBench starts a node. By args it makes blocks final after twice the slots of an epoch.
func newBench(t testing.TB, args ...string) *bench {
	t.Helper()
	if len(args) == 0 {
		args = []string{"--slots-in-an-epoch", "1"}
	}
	node := anviltest.Start(t, "contract", args...)
	b := &bench{
		t: t, node: node, eth: ethclient.NewClient(node.RPC), owner: newPrivate(t), key: newKey(newPrivate(t)),
		log: newLog(t, 5, 0), journal: new(journaltest.Memory), now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
	}
	creator := crypto.PubkeyToAddress(b.owner.PublicKey)
	node.Fund(t, creator)
	node.Fund(t, b.key.address)
	at := b.transact(b.owner, nil, contract.CreationCode()).ContractAddress
	b.transact(b.owner, &at, contract.CreateCall(contract.OriginHash(testOrigin), b.key.address))
	target, err := NewTarget(anviltest.ChainID, at.Hex(), creator.Hex(), testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	b.target = target
	b.mine(20)
	return b
}

func newPrivate(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	private, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return private
}

func (b *bench) mine(blocks int) { b.node.Call(b.t, nil, "anvil_mine", hexutil.Uint64(blocks)) }

// transact sends a transaction that isn't the worker's own, and waits for it.
func (b *bench) transact(from *ecdsa.PrivateKey, to *common.Address, data []byte) *types.Receipt {
	b.t.Helper()
	tx := b.sendFrom(from, to, data)
	receipt, err := bind.WaitMined(b.t.Context(), b.eth, tx)
	if err != nil || receipt.Status != types.ReceiptStatusSuccessful {
		b.t.Fatalf("%v, %v", receipt, err)
	}
	return receipt
}

func (b *bench) sendFrom(from *ecdsa.PrivateKey, to *common.Address, data []byte) common.Hash {
	b.t.Helper()
	nonce, err := b.eth.NonceAt(b.t.Context(), crypto.PubkeyToAddress(from.PublicKey), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	tx, err := newKey(from).sign(anviltest.ChainID, call{
		nonce, to, data, 1_000_000, fees{big.NewInt(30 * params.GWei), big.NewInt(200 * params.GWei)},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.eth.SendTransaction(b.t.Context(), tx); err != nil {
		b.t.Fatal(err)
	}
	return tx.Hash()
}

func (b *bench) chain(quorum int, addresses ...string) *Chain {
	b.t.Helper()
	if len(addresses) == 0 {
		addresses = []string{b.node.URL}
	}
	c, err := Open(b.t.Context(), b.target, quorum, addresses...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(c.Close)
	return c
}

// worker starts anew: nothing is left of one before but the journal.
func (b *bench) worker(change func(*Config)) *Worker {
	b.t.Helper()
	c := Config{Chain: b.chain(0), Key: b.key, Journal: b.journal, Heads: b.log, Now: func() time.Time { return b.now }}
	if change != nil {
		change(&c)
	}
	w, err := New(c)
	if err != nil {
		b.t.Fatal(err)
	}
	return w
}

func (b *bench) wait(d time.Duration) { b.now = b.now.Add(d) }

// anchored are the events of the contract for the log, the oldest first.
func (b *bench) anchored() (heads []contract.Anchored) {
	b.t.Helper()
	found, err := b.eth.FilterLogs(b.t.Context(), filter(b.target))
	if err != nil {
		b.t.Fatal(err)
	}
	previous := uint64(0)
	for i := range found {
		a, err := contract.ReadAnchored(&found[i])
		if err != nil {
			b.t.Fatal(err)
		}
		if a.PreviousSize != previous {
			b.t.Errorf("size %d follows %d, and %d was the one before", a.Size, a.PreviousSize, previous)
		}
		previous = a.Size
		heads = append(heads, a)
	}
	return heads
}

// nonce is how many transactions the worker's key has in blocks.
func (b *bench) nonce() uint64 {
	b.t.Helper()
	n, err := b.eth.NonceAt(b.t.Context(), b.key.address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// states are those of all rows, in their order.
func (b *bench) states() (states []journal.State) {
	for _, r := range b.journal.Rows() {
		states = append(states, r.State)
	}
	return states
}

func step(t testing.TB, w *Worker, want error) {
	t.Helper()
	if err := w.Step(t.Context()); !errors.Is(err, want) {
		t.Fatalf("the step ends with %v, not %v", err, want)
	}
}

// proxy is an RPC server that a test can make lie or fail.
type proxy struct {
	URL string

	mu     sync.Mutex
	down   bool
	lie    func(method string, params []json.RawMessage, answer json.RawMessage) json.RawMessage
	asked  map[string]int
	raw    []string                        // transactions that were to be sent
	before func(method string) (fail bool) // the request does not arrive
	lost   func(method string) (fail bool) // its answer does not
}

func (b *bench) proxy() *proxy {
	b.t.Helper()
	to, err := url.Parse(b.node.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	p := &proxy{asked: map[string]int{}}
	behind := httputil.NewSingleHostReverseProxy(to)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var request struct {
			Method string
			Params []json.RawMessage
		}
		if err := json.Unmarshal(body, &request); err != nil {
			http.Error(w, "not a request", http.StatusBadRequest)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked[request.Method]++
		if p.down || p.before != nil && p.before(request.Method) {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		if request.Method == "eth_sendRawTransaction" {
			p.raw = append(p.raw, strings.Trim(string(request.Params[0]), `"`))
			if sent := p.raw[len(p.raw)-1]; !slices.ContainsFunc(b.journal.Rows(), func(r journal.Row) bool { return hexutil.Encode(r.Raw) == sent }) {
				b.t.Errorf("%s is sent before it is in the journal", sent)
			}
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.URL.Path = "/"
		r.Header.Del("Accept-Encoding")
		answer := httptest.NewRecorder()
		behind.ServeHTTP(answer, r)
		if p.lost != nil && p.lost(request.Method) {
			http.Error(w, "the answer is lost", http.StatusBadGateway)
			return
		}
		var reply map[string]json.RawMessage
		if err := json.Unmarshal(answer.Body.Bytes(), &reply); err == nil && p.lie != nil {
			if other := p.lie(request.Method, request.Params, reply["result"]); other != nil {
				reply["result"] = other
				delete(reply, "error")
			}
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(reply)
	}))
	b.t.Cleanup(s.Close)
	p.URL = s.URL
	return p
}

func (p *proxy) set(change func(*proxy)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}
