package contract

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"

	"stonevault/internal/anchor/anviltest"
)

// account is one that pays on a real node.
type account struct {
	t       *testing.T
	node    *ethclient.Client
	key     *ecdsa.PrivateKey
	address common.Address
}

func newAccount(t *testing.T, n *anviltest.Node) *account {
	t.Helper()
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	a := &account{t, ethclient.NewClient(n.RPC), key, crypto.PubkeyToAddress(key.PublicKey)}
	n.Fund(t, a.address)
	return a
}

// send returns the receipt, whether or not the transaction succeeded.
func (a *account) send(to *common.Address, data []byte) *types.Receipt {
	a.t.Helper()
	nonce, err := a.node.PendingNonceAt(context.Background(), a.address)
	if err != nil {
		a.t.Fatal(err)
	}
	chain := big.NewInt(anviltest.ChainID)
	tx, err := types.SignNewTx(a.key, types.LatestSignerForChainID(chain), &types.DynamicFeeTx{
		ChainID: chain, Nonce: nonce, To: to, Data: data, Gas: 2_000_000,
		GasTipCap: big.NewInt(params.GWei), GasFeeCap: big.NewInt(100 * params.GWei),
	})
	if err != nil {
		a.t.Fatal(err)
	}
	if err := a.node.SendTransaction(context.Background(), tx); err != nil {
		a.t.Fatal(err)
	}
	receipt, err := bind.WaitMined(context.Background(), a.node, tx.Hash())
	if err != nil {
		a.t.Fatal(err)
	}
	return receipt
}

// refused returns why a call would be refused.
func (a *account) refused(to common.Address, data []byte) error {
	a.t.Helper()
	_, err := a.node.CallContract(context.Background(), ethereum.CallMsg{From: a.address, To: &to, Data: data}, nil)
	withData, ok := errors.AsType[rpc.DataError](err)
	if !ok {
		a.t.Fatalf("the node gives no reason: %v", err)
	}
	text, _ := withData.ErrorData().(string)
	reason, err := hexutil.Decode(text)
	if err != nil {
		a.t.Fatal(err)
	}
	return ReadRefusal(reason)
}

// The contract on a real node, by another EVM than go-ethereum's, costs the same gas and says the same.
func TestOnANode(t *testing.T) {
	for _, fork := range forks {
		t.Run(fork, func(t *testing.T) {
			node := anviltest.Start(t, ".", "--hardfork", strings.ToLower(fork))
			a, other := newAccount(t, node), newAccount(t, node)
			ctx := context.Background()

			deployed := a.send(nil, CreationCode())
			at := deployed.ContractAddress
			if code, err := a.node.CodeAt(ctx, at, nil); err != nil || !bytes.Equal(code, RuntimeCode()) {
				t.Fatalf("the code on the chain is another: %d bytes, %v", len(code), err)
			}
			t.Logf("deploying costs %d gas", deployed.GasUsed)

			const size = 1 << 20
			log, fork2 := newTree(0, size/2, size-2, size-1), newTree(1)
			id := NewLogID(a.address, OriginHash("log"))
			sizes := []int64{1, 5, 64, 1000, size - 1, size}
			var events []Anchored
			m := newMachine(t, fork)
			beside := m.create("log")
			if r := a.send(&at, CreateCall(OriginHash("log"), other.address)); r.Status != types.ReceiptStatusSuccessful {
				t.Fatal("the log was not created")
			} else {
				t.Logf("creating a log costs %d gas", r.GasUsed)
			}
			for i, n := range sizes {
				before := int64(0)
				if i > 0 {
					before = sizes[i-1]
				}
				head, proof := log.head(t, n), log.proof(t, before, n)
				if before > 0 {
					forged := AnchorCall(id, fork2.head(t, n), fork2.proof(t, before, n))
					if err := other.refused(at, forged); !errors.Is(err, ErrInconsistent) {
						t.Errorf("a fork at %d: %v", n, err)
					}
					if r := other.send(&at, forged); r.Status != types.ReceiptStatusFailed || len(r.Logs) != 0 {
						t.Errorf("a fork at %d was anchored", n)
					}
				}
				if err := a.refused(at, AnchorCall(id, head, proof)); !errors.Is(err, ErrNotAnchorer) {
					t.Errorf("an owner who is not the anchorer: %v", err)
				}
				r := other.send(&at, AnchorCall(id, head, proof))
				if r.Status != types.ReceiptStatusSuccessful || len(r.Logs) != 1 || r.Logs[0].Address != at {
					t.Fatalf("%d to %d: status %d, %d events", before, n, r.Status, len(r.Logs))
				}
				event, err := ReadAnchored(r.Logs[0])
				if err != nil || event != (Anchored{id, uint64(before), head}) {
					t.Errorf("%d to %d: the event is %+v, %v", before, n, event, err)
				}
				events = append(events, event)
				if r.GasUsed > mostGas {
					t.Errorf("%d to %d costs %d gas; %d is the most", before, n, r.GasUsed, mostGas)
				}
				// The two logs have different ids, and a byte of zero is 12 gas cheaper.
				_, gas, err := m.send(anchorer, AnchorCall(beside, head, proof))
				if err != nil {
					t.Fatal(err)
				}
				zeros := func(id LogID) uint64 { return uint64(bytes.Count(id[:], []byte{0})) }
				if r.GasUsed+12*zeros(id) != gas+12*zeros(beside) {
					t.Errorf("%d to %d costs %d gas on the node and %d in go-ethereum's EVM", before, n, r.GasUsed, gas)
				}
				t.Logf("%d to %d, %d nodes: %d gas", before, n, len(proof), r.GasUsed)
			}

			answer, err := a.node.CallContract(ctx, ethereum.CallMsg{To: &at, Data: LogCall(id)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := ReadLog(answer); err != nil || got != (Log{log.head(t, size), other.address, a.address, nobody}) {
				t.Errorf("the log is %+v, %v", got, err)
			}
			found, err := a.node.FilterLogs(ctx, ethereum.FilterQuery{
				FromBlock: new(big.Int), Addresses: []common.Address{at}, Topics: [][]common.Hash{{AnchoredTopic}, {common.Hash(id)}},
			})
			if err != nil || len(found) != len(events) {
				t.Fatalf("%d events are found, %v", len(found), err)
			}
			for i := range found {
				if got, err := ReadAnchored(&found[i]); err != nil || got != events[i] {
					t.Errorf("event %d is %+v, %v", i, got, err)
				}
			}
		})
	}
}
