package anchor

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"

	"stonevault/audit"
	"stonevault/internal/anchor/contract"
)

// Target says where a log is anchored. All fields are required.
type Target struct {
	ChainID  uint64
	Contract common.Address
	Creator  common.Address // who created the log there
	Log      contract.LogID // follows from the creator and the log's origin
}

// NewTarget reads a target from text. The id of the log follows from the rest.
func NewTarget(chainID uint64, contractAddress, creator, origin string) (Target, error) {
	at, err := parseAddress(contractAddress)
	if err != nil {
		return Target{}, fmt.Errorf("the contract's address: %w", err)
	}
	by, err := parseAddress(creator)
	if err != nil {
		return Target{}, fmt.Errorf("the creator's address: %w", err)
	}
	return Target{chainID, at, by, contract.NewLogID(by, contract.OriginHash(origin))}, nil
}

// parseAddress takes 0x and 40 digits. Where both cases of letters are used, they are a checksum (EIP-55).
func parseAddress(text string) (common.Address, error) {
	digits, prefixed := strings.CutPrefix(text, "0x")
	raw, err := hex.DecodeString(digits)
	if !prefixed || err != nil || len(raw) != common.AddressLength {
		return common.Address{}, fmt.Errorf("%q must be 0x and 40 hexadecimal digits", text)
	}
	a := common.Address(raw)
	if digits != strings.ToLower(digits) && digits != strings.ToUpper(digits) && text != a.Hex() {
		return common.Address{}, fmt.Errorf("%q has a wrong checksum; copy it again", text)
	}
	return a, nil
}

// checkOrigin tells whether the target is of the log with this origin.
func (t Target) checkOrigin(origin string) error {
	if want := contract.NewLogID(t.Creator, contract.OriginHash(origin)); want != t.Log {
		return fmt.Errorf("%w (the log %q has the id %v there, and %v is configured)", ErrWrongLog, origin, want, t.Log)
	}
	return nil
}

// Chain is a contract's log as several RPC servers show it.
type Chain struct {
	target  Target
	servers *servers
}

// Open names the servers that are asked; nothing is asked yet. Quorum is how many of them must answer, all
// the same: 0 is two, or one where there is one only.
func Open(ctx context.Context, target Target, quorum int, addresses ...string) (*Chain, error) {
	s, err := dialAll(ctx, addresses, quorum)
	if err != nil {
		return nil, fmt.Errorf("anchor: %w", err)
	}
	return &Chain{target, s}, nil
}

// Close ends the connections.
func (c *Chain) Close() { c.servers.close() }

// block is a block's head, as far as it is needed. It is read by hand because chains add fields of their own.
type block struct {
	number uint64
	hash   common.Hash
	time   uint64
}

// blockAt returns a block by its number, or by a name such as "finalized"; and its base fee.
func (s *server) blockAt(ctx context.Context, which string) (block, *big.Int, error) {
	var b *struct {
		Number    hexutil.Uint64 `json:"number"`
		Hash      common.Hash    `json:"hash"`
		Timestamp hexutil.Uint64 `json:"timestamp"`
		BaseFee   *hexutil.Big   `json:"baseFeePerGas"`
	}
	if err := s.eth.Client().CallContext(ctx, &b, "eth_getBlockByNumber", which, false); err != nil {
		return block{}, nil, err
	}
	if b == nil {
		return block{}, nil, fmt.Errorf("it has no block %s", which)
	}
	base := new(big.Int)
	if b.BaseFee != nil {
		base = b.BaseFee.ToInt()
	}
	return block{uint64(b.Number), b.Hash, uint64(b.Timestamp)}, base, nil
}

// finalized is what all servers say of one block that all of them hold for final.
type finalized struct {
	block
	log contract.Log
}

// atFinal is one server's word on that block.
type atFinal struct {
	block
	code  common.Hash
	log   contract.Log
	nonce uint64
}

// Target is what the chain was opened with.
func (c *Chain) Target() Target { return c.target }

// look asks for the log at the newest block that every server holds for final, and for the number of
// transactions that sender had sent by then. Chain, code and log are checked before anything is returned.
func (c *Chain) look(ctx context.Context, sender common.Address) (finalized, uint64, error) {
	none := finalized{}
	type start struct {
		chain  *big.Int
		number uint64
	}
	starts, err := ask(ctx, c.servers, func(ctx context.Context, s *server) (a start, err error) {
		if a.chain, err = s.eth.ChainID(ctx); err != nil {
			return a, err
		}
		b, _, err := s.blockAt(ctx, "finalized")
		a.number = b.number
		return a, err
	})
	if err != nil {
		return none, 0, err
	}
	lowest, highest := starts[0], starts[0]
	for _, a := range starts {
		if !a.value.chain.IsUint64() || a.value.chain.Uint64() != c.target.ChainID {
			return none, 0, fmt.Errorf("%w (%s is for chain %v, and %d is configured)", ErrWrongChain, a.from.name, a.value.chain, c.target.ChainID)
		}
		if a.value.number < lowest.value.number {
			lowest = a
		}
		if a.value.number > highest.value.number {
			highest = a
		}
	}
	if highest.value.number-lowest.value.number > maxLag {
		return none, 0, fmt.Errorf("%w (by %s the block %d is final, by %s only %d)", ErrDisagree,
			highest.from.name, highest.value.number, lowest.from.name, lowest.value.number)
	}
	number := lowest.value.number
	at := new(big.Int).SetUint64(number)
	answers, err := ask(ctx, c.servers, func(ctx context.Context, s *server) (a atFinal, err error) {
		if a.block, _, err = s.blockAt(ctx, hexutil.EncodeUint64(number)); err != nil {
			return a, err
		}
		if a.code, err = s.codeAt(ctx, c.target.Contract, at); err != nil {
			return a, err
		}
		if a.code == rightCode {
			if a.log, err = c.log(ctx, s, at); err != nil {
				return a, err
			}
		}
		a.nonce, err = s.eth.NonceAt(ctx, sender, at)
		return a, err
	})
	if err != nil {
		return none, 0, err
	}
	where := fmt.Sprintf("the final block %d: ", number)
	b, err := agreed(part(answers, func(a atFinal) block { return a.block }), where+"its hash")
	if err != nil {
		return none, 0, err
	}
	code, err := agreed(part(answers, func(a atFinal) common.Hash { return a.code }), where+"the contract's code")
	if err != nil {
		return none, 0, err
	}
	log, err := agreed(part(answers, func(a atFinal) contract.Log { return a.log }), where+"the log in the contract")
	if err != nil {
		return none, 0, err
	}
	nonce, err := agreed(part(answers, func(a atFinal) uint64 { return a.nonce }), where+"the anchorer's number of transactions")
	if err != nil {
		return none, 0, err
	}
	switch {
	case b.number != number:
		return none, 0, fmt.Errorf("%w (they give the block %d for %d)", ErrLies, b.number, number)
	case code != rightCode:
		return none, 0, fmt.Errorf("%w (at %v on chain %d)", ErrWrongContract, c.target.Contract, c.target.ChainID)
	case log.Owner == common.Address{}:
		return none, 0, fmt.Errorf("%w (%v at %v on chain %d)", ErrWrongLog, c.target.Log, c.target.Contract, c.target.ChainID)
	}
	return finalized{b, log}, nonce, nil
}

// maxLag is by how many blocks the servers' finality may differ: on Polygon half an hour, in which a server
// catches up or is out of order.
const maxLag = 1000

var rightCode = crypto.Keccak256Hash(contract.RuntimeCode())

// codeAt returns the hash of an address's code.
func (s *server) codeAt(ctx context.Context, at common.Address, block *big.Int) (common.Hash, error) {
	code, err := s.eth.CodeAt(ctx, at, block)
	return crypto.Keccak256Hash(code), err
}

// log asks one server for the log; at nil is the latest block.
func (c *Chain) log(ctx context.Context, s *server, at *big.Int) (contract.Log, error) {
	words, err := s.eth.CallContract(ctx, ethereum.CallMsg{To: &c.target.Contract, Data: contract.LogCall(c.target.Log)}, at)
	if err != nil {
		return contract.Log{}, err
	}
	return contract.ReadLog(words)
}

// outcome is what one server says of a transaction. It is zero where the server has no receipt.
type outcome struct {
	mined    bool
	block    uint64
	hash     common.Hash // of the block
	ok       bool
	anchored contract.Anchored // by the receipt, of this log and contract
}

// outcomes asks every server for a transaction's receipt.
func (c *Chain) outcomes(ctx context.Context, tx common.Hash) ([]answer[outcome], error) {
	return ask(ctx, c.servers, func(ctx context.Context, s *server) (outcome, error) {
		r, err := s.eth.TransactionReceipt(ctx, tx)
		switch {
		case errors.Is(err, ethereum.NotFound):
			return outcome{}, nil
		case err != nil:
			return outcome{}, err
		case r.TxHash != tx || r.BlockNumber == nil || !r.BlockNumber.IsUint64():
			return outcome{}, errors.New("it gives the receipt of another transaction")
		}
		o := outcome{mined: true, block: r.BlockNumber.Uint64(), hash: r.BlockHash, ok: r.Status == types.ReceiptStatusSuccessful}
		for _, entry := range r.Logs {
			if a, err := contract.ReadAnchored(entry); err == nil && entry.Address == c.target.Contract && a.ID == c.target.Log {
				o.anchored = a
			}
		}
		return o, nil
	})
}

// settled returns the outcome that all servers agree on, as of a final block: not mined where it is in none up
// to there. Its block must be one of the chain's.
func (c *Chain) settled(ctx context.Context, tx common.Hash, final finalized) (outcome, error) {
	answers, err := c.outcomes(ctx, tx)
	if err != nil {
		return outcome{}, err
	}
	for i := range answers {
		if answers[i].value.block > final.number {
			answers[i].value = outcome{}
		}
	}
	o, err := agreed(answers, fmt.Sprintf("the transaction %v", tx))
	if err != nil || !o.mined {
		return o, err
	}
	blocks, err := ask(ctx, c.servers, func(ctx context.Context, s *server) (block, error) {
		b, _, err := s.blockAt(ctx, hexutil.EncodeUint64(o.block))
		return b, err
	})
	if err != nil {
		return outcome{}, err
	}
	b, err := agreed(blocks, fmt.Sprintf("the block %d", o.block))
	switch {
	case err != nil:
		return outcome{}, err
	case b.hash != o.hash:
		return outcome{}, fmt.Errorf("%w (the receipt of %v names a block that is not the chain's)", ErrLies, tx)
	case o.ok && o.anchored.Size == 0:
		return outcome{}, fmt.Errorf("%w: the transaction %v succeeded, and anchored nothing of this log", ErrWrongClaim, tx)
	case o.ok && (final.log.Size < o.anchored.Size || final.log.Size == o.anchored.Size && final.log.Root != o.anchored.Root):
		return outcome{}, fmt.Errorf("%w (the receipt of %v says that size %d was anchored, and the contract has size %d)",
			ErrLies, tx, o.anchored.Size, final.log.Size)
	}
	return o, nil
}

// reverted says why the contract refused a transaction, by calling it again as of the block before.
func (c *Chain) reverted(ctx context.Context, from common.Address, tx *types.Transaction, in uint64) error {
	answers, err := ask(ctx, c.servers, func(ctx context.Context, s *server) (error, error) {
		_, err := s.eth.CallContract(ctx, ethereum.CallMsg{
			From: from, To: tx.To(), Data: tx.Data(), Gas: tx.Gas(),
		}, new(big.Int).SetUint64(in-1))
		refusal := refusalIn(err)
		if err != nil && refusal == nil {
			return nil, err
		}
		return refusal, nil
	})
	if err != nil || answers[0].value == nil {
		return ErrReverted // and nobody can tell why: old states are not kept for ever
	}
	return fmt.Errorf("%w: %w", ErrReverted, answers[0].value)
}

// refusalIn returns what the contract said, or nil for an error that isn't its.
func refusalIn(err error) error {
	withData, ok := errors.AsType[rpc.DataError](err)
	if !ok {
		return nil
	}
	text, _ := withData.ErrorData().(string)
	data, err := hexutil.Decode(text)
	if err != nil {
		return nil
	}
	return contract.ReadRefusal(data)
}

// outlook is what servers say of the next block. None of it is final, and little of it is believed.
type outlook struct {
	market  feeMarket
	latest  uint64 // the sender's next nonce, by the latest block; the highest that is said
	pending uint64 // counting what waits as well
	balance *big.Int
	log     contract.Head // the largest head that is said
	now     time.Time     // of the latest block
}

func (c *Chain) ahead(ctx context.Context, sender common.Address) (outlook, error) {
	answers, err := ask(ctx, c.servers, func(ctx context.Context, s *server) (o outlook, err error) {
		latest, base, err := s.blockAt(ctx, "latest")
		if err != nil {
			return o, err
		}
		o.now, o.market.base = time.Unix(int64(latest.time), 0), base
		if o.market.tip, err = s.eth.SuggestGasTipCap(ctx); err != nil {
			return o, err
		}
		if o.latest, err = s.eth.NonceAt(ctx, sender, nil); err != nil {
			return o, err
		}
		if o.pending, err = s.eth.PendingNonceAt(ctx, sender); err != nil {
			return o, err
		}
		if o.balance, err = s.eth.BalanceAt(ctx, sender, nil); err != nil {
			return o, err
		}
		l, err := c.log(ctx, s, nil)
		o.log = l.Head
		return o, err
	})
	if err != nil {
		return outlook{}, err
	}
	o := answers[0].value
	for _, a := range answers[1:] {
		v := a.value
		o.market.base, o.market.tip = larger(o.market.base, v.market.base), larger(o.market.tip, v.market.tip)
		o.latest, o.pending = max(o.latest, v.latest), max(o.pending, v.pending)
		o.balance = smaller(o.balance, v.balance)
		if v.log.Size > o.log.Size {
			o.log = v.log
		}
		if v.now.After(o.now) {
			o.now = v.now
		}
	}
	return o, nil
}

// maxGas is more than any anchor costs (docs/spec/anchor.md, section 6); deploying is apart.
const maxGas = 200_000

// estimate asks for the gas of an anchor, and returns the contract's refusal as an error.
func (c *Chain) estimate(ctx context.Context, from common.Address, data []byte) (uint64, error) {
	type word struct {
		gas     uint64
		refused error
	}
	answers, err := ask(ctx, c.servers, func(ctx context.Context, s *server) (word, error) {
		// After the latest block: some nodes count what waits otherwise, which is often this head's own anchor.
		gas, err := s.eth.EstimateGasAtBlock(ctx, ethereum.CallMsg{From: from, To: &c.target.Contract, Data: data}, nil)
		if refused := refusalIn(err); refused != nil {
			return word{refused: refused}, nil
		}
		return word{gas: gas}, err
	})
	if err != nil {
		return 0, err
	}
	refused, err := agreed(part(answers, func(w word) bool { return w.refused != nil }), "whether the contract would refuse the anchor")
	if err != nil {
		return 0, err
	}
	if refused {
		return 0, answers[0].value.refused
	}
	var gas uint64
	for _, a := range answers {
		gas = max(gas, a.value.gas)
	}
	if gas > maxGas {
		return 0, fmt.Errorf("%w (an anchor is said to cost %d gas, and costs %d at most)", ErrLies, gas, maxGas)
	}
	return min(gas+gas/8, maxGas), nil // the proof's cost does not depend on the state, but forks change prices
}

// WouldTake asks the contract, as of the latest block, whether it would take a head with this proof from a sender:
// nil, or its refusal. Nothing is sent, and nothing of the head is compared here.
func (c *Chain) WouldTake(ctx context.Context, sender string, head audit.Tree, proof []audit.Hash) error {
	from, err := parseAddress(sender)
	if err != nil {
		return fmt.Errorf("the sender's address: %w", err)
	}
	_, err = c.estimate(ctx, from, c.anchorCall(head, proof))
	return err
}

func (c *Chain) anchorCall(head audit.Tree, proof []audit.Hash) []byte {
	nodes := make([][32]byte, len(proof))
	for i, h := range proof {
		nodes[i] = h
	}
	return contract.AnchorCall(c.target.Log, contract.Head{Size: uint64(head.Size), Root: head.Root}, nodes)
}

// broadcast gives a signed transaction to every server that doesn't have it. A nil error means that one has it
// at least, which needs nobody's agreement. What a server says against it is words alone, so that the question
// after is what counts.
func (c *Chain) broadcast(ctx context.Context, tx *types.Transaction) error {
	answers, err := ask(ctx, c.servers, func(ctx context.Context, s *server) (error, error) {
		if knows(ctx, s, tx.Hash()) {
			return nil, nil
		}
		err := s.eth.SendTransaction(ctx, tx)
		if err != nil && knows(ctx, s, tx.Hash()) {
			err = nil
		}
		return err, nil
	})
	if err != nil {
		return err
	}
	var refused []error
	for _, a := range answers {
		if a.value == nil {
			return nil
		}
		refused = append(refused, fmt.Errorf("%s: %w", a.from.name, a.from.said(a.value)))
	}
	return fmt.Errorf("%w: %w", ErrNotTaken, errors.Join(refused...))
}

func knows(ctx context.Context, s *server, tx common.Hash) bool {
	known, _, err := s.eth.TransactionByHash(ctx, tx)
	return err == nil && known.Hash() == tx
}
