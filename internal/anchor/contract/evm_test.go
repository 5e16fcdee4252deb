package contract

import (
	"bytes"
	"errors"
	"math/big"
	"slices"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"
)

var (
	owner    = common.HexToAddress("0x0101010101010101010101010101010101010101")
	anchorer = common.HexToAddress("0x0202020202020202020202020202020202020202")
	stranger = common.HexToAddress("0x0303030303030303030303030303030303030303")
	nobody   common.Address
)

// forks are the rules that public chains follow, the oldest first. Polygon takes over the EVM of each.
// Between Cancun and Prague the price of calldata changed (EIP-7623). What go-ethereum has beyond Osaka is
// in force nowhere.
var forks = []string{"Cancun", "Prague", "Osaka"}

// machine is go-ethereum's EVM with the contract in it, and accounts whole transactions as a block does.
type machine struct {
	tb      testing.TB
	state   *state.StateDB
	rules   params.Rules
	evm     *vm.EVM
	address common.Address
}

func newMachine(tb testing.TB, fork string) *machine {
	tb.Helper()
	s, err := state.New(types.EmptyRootHash, state.NewDatabaseForTesting())
	if err != nil {
		tb.Fatal(err)
	}
	config := *params.MergedTestChainConfig
	switch slices.Index(forks, fork) {
	case 0:
		config.PragueTime, config.OsakaTime = nil, nil
	case 1:
		config.OsakaTime = nil
	}
	block := vm.BlockContext{
		CanTransfer: core.CanTransfer,
		Transfer:    core.Transfer,
		BlockNumber: big.NewInt(1),
		Time:        1,
		Difficulty:  new(big.Int),
		Random:      new(common.Hash),
		GasLimit:    params.MaxTxGas,
		BaseFee:     new(big.Int),
		BlobBaseFee: new(big.Int),
	}
	m := &machine{tb: tb, state: s, evm: vm.NewEVM(block, s, &config, vm.Config{})}
	m.rules = config.Rules(block.BlockNumber, true, block.Time)
	m.address = crypto.CreateAddress(owner, 0)
	m.transact(owner, nil, CreationCode(), 0)
	if !bytes.Equal(s.GetCode(m.address), RuntimeCode()) {
		tb.Fatal("deploying leaves other code than RuntimeCode")
	}
	return m
}

// transact makes a transaction and keeps what it does.
func (m *machine) transact(from common.Address, to *common.Address, data []byte, value uint64) *core.ExecutionResult {
	m.tb.Helper()
	result, err := core.ApplyMessage(m.evm, &core.Message{
		From: from, To: to, Nonce: m.state.GetNonce(from), Value: uint256.NewInt(value), Data: data, GasLimit: params.MaxTxGas,
		GasPrice: new(uint256.Int), GasFeeCap: new(uint256.Int), GasTipCap: new(uint256.Int),
	}, nil)
	if err != nil {
		m.tb.Fatal(err)
	}
	m.state.Finalise(m.rules)
	return result
}

// send calls the contract. What it refuses comes back as ReadRefusal reads it.
func (m *machine) send(from common.Address, data []byte) (answer []byte, gas uint64, err error) {
	m.tb.Helper()
	result := m.transact(from, &m.address, data, 0)
	switch {
	case errors.Is(result.Err, vm.ErrExecutionReverted):
		return nil, result.UsedGas, ReadRefusal(result.ReturnData)
	case result.Err != nil:
		m.tb.Fatal(result.Err)
	}
	return result.ReturnData, result.UsedGas, nil
}

func (m *machine) must(from common.Address, data []byte) []byte {
	m.tb.Helper()
	answer, _, err := m.send(from, data)
	if err != nil {
		m.tb.Fatal(err)
	}
	return answer
}

// accepts tells whether an anchorer's call succeeds, and leaves no trace. What else than the proof or the
// sizes makes it fail is an error of the test.
func (m *machine) accepts(data []byte) bool {
	m.tb.Helper()
	before := m.state.Snapshot()
	m.state.Prepare(m.rules, anchorer, nobody, &m.address, vm.ActivePrecompiles(m.rules), nil)
	answer, _, err := m.evm.Call(anchorer, m.address, data, vm.NewGasBudget(params.MaxTxGas, 0), new(uint256.Int))
	m.state.RevertToSnapshot(before)
	if err == nil {
		return true
	}
	if refusal := ReadRefusal(answer); !errors.Is(refusal, ErrInconsistent) && !errors.Is(refusal, ErrNotGrowing) {
		m.tb.Fatal(err, refusal)
	}
	return false
}

// create makes a log of owner's, which anchorer may anchor.
func (m *machine) create(origin string) LogID {
	m.tb.Helper()
	return LogID(m.must(owner, CreateCall(OriginHash(origin), anchorer)))
}

// anchored makes a log with a head.
func (m *machine) anchored(origin string, head Head) LogID {
	m.tb.Helper()
	id := m.create(origin)
	if head.Size > 0 {
		m.must(anchorer, AnchorCall(id, head, nil))
	}
	return id
}

func (m *machine) log(id LogID) Log {
	m.tb.Helper()
	l, err := ReadLog(m.must(stranger, LogCall(id)))
	if err != nil {
		m.tb.Fatal(err)
	}
	return l
}
