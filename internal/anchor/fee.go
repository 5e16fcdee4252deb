package anchor

import (
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/params"
)

// fees are those of EIP-1559, in wei for each unit of gas.
type fees struct {
	tip *big.Int // to who makes the block
	max *big.Int // together with the base fee, at most
}

// feeMarket is what servers say, none of which is believed beyond the ceiling.
type feeMarket struct {
	base *big.Int // of the latest block
	tip  *big.Int // that is suggested
}

// feePolicy is the operator's.
type feePolicy struct {
	minTip, ceiling *big.Int
}

// first returns the fees of a new transaction. The base fee may double before it no longer fits, which takes
// six full blocks.
func (p feePolicy) first(m feeMarket) (fees, error) {
	tip := larger(m.tip, p.minTip)
	if least := new(big.Int).Add(m.base, p.minTip); least.Cmp(p.ceiling) > 0 {
		return fees{}, fmt.Errorf("%w (they are %s gwei, the ceiling is %s)", ErrFee, gwei(least), gwei(p.ceiling))
	}
	most := new(big.Int).Lsh(m.base, 1)
	most = smaller(most.Add(most, tip), p.ceiling)
	return fees{smaller(tip, most), most}, nil
}

// replace returns the fees of a transaction that takes the place of another with its nonce. Nodes ask for 10%
// more of both (go-ethereum's and Bor's txpool.pricebump), some for 12.5%, and that is what they get.
func (p feePolicy) replace(old fees, m feeMarket) (fees, error) {
	least := fees{raised(old.tip), raised(old.max)}
	if least.max.Cmp(p.ceiling) > 0 {
		return fees{}, fmt.Errorf("%w (a transaction is stuck at %s gwei, and its replacement takes %s at least; the ceiling is %s)",
			ErrFee, gwei(old.max), gwei(least.max), gwei(p.ceiling))
	}
	tip := larger(least.tip, larger(m.tip, p.minTip))
	most := new(big.Int).Lsh(m.base, 1)
	most = smaller(larger(most.Add(most, tip), least.max), p.ceiling)
	return fees{smaller(tip, most), most}, nil
}

// raised returns x and an eighth, rounded up, and at least 1 more.
func raised(x *big.Int) *big.Int {
	more := new(big.Int).Add(x, big.NewInt(7))
	more.Rsh(more, 3)
	if more.Sign() == 0 {
		more.SetInt64(1)
	}
	return more.Add(more, x)
}

func larger(a, b *big.Int) *big.Int {
	if a.Cmp(b) < 0 {
		return b
	}
	return a
}

func smaller(a, b *big.Int) *big.Int {
	if a.Cmp(b) > 0 {
		return b
	}
	return a
}

// gwei prints a fee as wallets do.
func gwei(wei *big.Int) string {
	return new(big.Rat).SetFrac(wei, big.NewInt(params.GWei)).FloatString(2)
}

// coins prints an amount in whole coins: POL, or ether.
func coins(wei *big.Int) string {
	return new(big.Rat).SetFrac(wei, big.NewInt(params.Ether)).FloatString(6)
}
