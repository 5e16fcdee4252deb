package anchor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"

	"stonevault/audit"
	"stonevault/internal/anchor/contract"
)

// Preset is what is known of a public chain. Addresses of servers are not part of it: whom to believe is the
// operator's choice.
type Preset struct {
	Name    string
	ChainID uint64
	MinTip  int64 // wei; what its nodes take at least
}

// Presets are Polygon PoS and its test network. PIP-35 fixes the smallest tip of both at 25 gwei.
var Presets = []Preset{
	{"polygon", 137, 25 * params.GWei},
	{"amoy", 80002, 25 * params.GWei},
}

// ChainNamed reads a preset's name or a chain's number.
func ChainNamed(text string) (id uint64, err error) {
	for _, p := range Presets {
		if text == p.Name {
			return p.ChainID, nil
		}
	}
	id, err = strconv.ParseUint(text, 10, 64)
	// The audit log records the number, and its counts end there.
	if err != nil || id == 0 || id > audit.MaxCount || strconv.FormatUint(id, 10) != text {
		return 0, fmt.Errorf("%q is no chain; use polygon, amoy or a chain's number", text)
	}
	return id, nil
}

// ParseAddress reads the address of an account or a contract, and returns it with its checksum (EIP-55).
func ParseAddress(text string) (string, error) {
	a, err := parseAddress(text)
	if err != nil {
		return "", err
	}
	return a.Hex(), nil
}

// AddressBytes reads an address.
func AddressBytes(text string) ([20]byte, error) { return parseAddress(text) }

// LeastTip is the smallest tip, in wei, that a chain's nodes take: the preset's, or what is usual.
func LeastTip(chainID uint64) int64 {
	for _, p := range Presets {
		if p.ChainID == chainID {
			return p.MinTip
		}
	}
	return params.GWei
}

// Owner makes contracts and logs, once and by a person's command. Its key may stay where no server is.
type Owner struct {
	ChainID uint64
	Servers []string // addresses, as for Open
	Quorum  int
	Key     *Key
	MaxFee  int64 // as in Config
	MinTip  int64
	// Sent is told the hash of each transaction before it is waited for, or nil.
	Sent func(hash string)
}

// Deploy puts the contract on the chain and returns its address. Each call makes another contract; one is
// enough for any number of logs. Where the transaction was sent and is not known to be in a block, the address
// that it will have comes with the error.
func (o Owner) Deploy(ctx context.Context) (address string, err error) {
	tx, err := o.transact(ctx, nil, contract.CreationCode())
	if tx == nil {
		return "", err
	}
	return crypto.CreateAddress(o.Key.address, tx.Nonce()).Hex(), err
}

// CreateLog makes a log that the owner's key owns and the anchorer's address may anchor. Where it was made
// before, the anchorer is appointed; where that was done too, nothing is sent.
func (o Owner) CreateLog(ctx context.Context, contractAddress, origin, anchorer string) (Target, error) {
	by, err := parseAddress(anchorer)
	if err != nil {
		return Target{}, fmt.Errorf("the anchorer's address: %w", err)
	}
	if o.Key == nil {
		return Target{}, errors.New("anchor: creating a log needs the owner's key")
	}
	target, err := NewTarget(o.ChainID, contractAddress, o.Key.address.Hex(), origin)
	if err != nil {
		return Target{}, err
	}
	chain, err := Open(ctx, target, o.Quorum, o.Servers...)
	if err != nil {
		return Target{}, err
	}
	defer chain.Close()
	code, err := ask(ctx, chain.servers, func(ctx context.Context, s *server) (common.Hash, error) { return s.codeAt(ctx, target.Contract, nil) })
	if err != nil {
		return Target{}, err
	}
	if hash, err := agreed(code, "the contract's code"); err != nil {
		return Target{}, err
	} else if hash != rightCode {
		return Target{}, fmt.Errorf("%w (at %v on chain %d)", ErrWrongContract, target.Contract, o.ChainID)
	}
	_, err = o.transact(ctx, &target.Contract, contract.CreateCall(contract.OriginHash(origin), by))
	if errors.Is(err, contract.ErrAlreadyCreated) {
		err = o.appoint(ctx, chain, by)
	}
	return target, err
}

// appoint makes an address the anchorer of a log that is there.
func (o Owner) appoint(ctx context.Context, chain *Chain, anchorer common.Address) error {
	answers, err := ask(ctx, chain.servers, func(ctx context.Context, s *server) (common.Address, error) {
		l, err := chain.log(ctx, s, nil)
		return l.Anchorer, err
	})
	if err != nil {
		return err
	}
	if now, err := agreed(answers, "the log's anchorer"); err != nil || now == anchorer {
		return err
	}
	_, err = o.transact(ctx, &chain.target.Contract, contract.SetAnchorerCall(chain.target.Log, anchorer))
	return err
}

// transact sends one transaction, and returns it once enough servers have it in a block. No journal is kept: a
// person sees how it ends, and a second deployment or creation does no harm. What may have been sent comes with
// the error.
func (o Owner) transact(ctx context.Context, to *common.Address, data []byte) (*types.Transaction, error) {
	if o.Key == nil {
		return nil, errors.New("anchor: deploying needs the owner's key")
	}
	chain, err := Open(ctx, Target{ChainID: o.ChainID}, o.Quorum, o.Servers...)
	if err != nil {
		return nil, err
	}
	defer chain.Close()
	type word struct {
		chain   *big.Int
		nonce   uint64
		gas     uint64
		market  feeMarket
		balance *big.Int
		refused error
	}
	answers, err := ask(ctx, chain.servers, func(ctx context.Context, s *server) (a word, err error) {
		if a.chain, err = s.eth.ChainID(ctx); err != nil {
			return a, err
		}
		if a.nonce, err = s.eth.PendingNonceAt(ctx, o.Key.address); err != nil {
			return a, err
		}
		if _, a.market.base, err = s.blockAt(ctx, "latest"); err != nil {
			return a, err
		}
		if a.market.tip, err = s.eth.SuggestGasTipCap(ctx); err != nil {
			return a, err
		}
		if a.balance, err = s.eth.BalanceAt(ctx, o.Key.address, nil); err != nil {
			return a, err
		}
		a.gas, err = s.eth.EstimateGasAtBlock(ctx, ethereum.CallMsg{From: o.Key.address, To: to, Data: data}, nil)
		if a.refused = refusalIn(err); a.refused != nil {
			err = nil
		}
		return a, err
	})
	if err != nil {
		return nil, err
	}
	best := answers[0].value
	for _, a := range answers {
		switch v := a.value; {
		case !v.chain.IsUint64() || v.chain.Uint64() != o.ChainID:
			return nil, fmt.Errorf("%w (%s is for chain %v, and %d is configured)", ErrWrongChain, a.from.name, v.chain, o.ChainID)
		case v.refused != nil:
			return nil, v.refused
		default:
			best.nonce, best.gas, best.balance = max(best.nonce, v.nonce), max(best.gas, v.gas), smaller(best.balance, v.balance)
			best.market.base, best.market.tip = larger(best.market.base, v.market.base), larger(best.market.tip, v.market.tip)
		}
	}
	const most = 1_000_000 // gas; deploying takes 569,642
	if best.gas > most {
		return nil, fmt.Errorf("%w (this is said to cost %d gas, and costs %d at most)", ErrLies, best.gas, most)
	}
	policy := feePolicy{big.NewInt(cmp.Or(o.MinTip, LeastTip(o.ChainID))), big.NewInt(cmp.Or(o.MaxFee, defaultMaxFee))}
	paid, err := policy.first(best.market)
	if err != nil {
		return nil, err
	}
	gas := best.gas + best.gas/8
	if cost := new(big.Int).Mul(paid.max, new(big.Int).SetUint64(gas)); best.balance.Cmp(cost) < 0 {
		return nil, fmt.Errorf("%w (%v holds %s and may need %s)", ErrFunds, o.Key.address, coins(best.balance), coins(cost))
	}
	tx, err := o.Key.sign(o.ChainID, call{best.nonce, to, data, gas, paid})
	if err != nil {
		return nil, err
	}
	if o.Sent != nil {
		o.Sent(tx.Hash().Hex())
	}
	if err := chain.broadcast(ctx, tx); err != nil {
		return tx, err
	}
	return tx, chain.wait(ctx, tx.Hash())
}

// wait returns nil when enough servers have a transaction in a block, where it succeeded.
func (c *Chain) wait(ctx context.Context, tx common.Hash) error {
	for {
		answers, err := c.outcomes(ctx, tx)
		if err == nil {
			mined := 0
			for _, a := range answers {
				if a.value.mined {
					mined++
				}
			}
			if mined >= c.servers.quorum {
				o, err := agreed(answers, "the transaction "+tx.Hex())
				if err == nil && !o.ok {
					err = fmt.Errorf("%w (%v)", ErrReverted, tx)
				}
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the transaction %v is not in a block yet: %w", tx, ctx.Err())
		case <-time.After(time.Second):
		}
	}
}
