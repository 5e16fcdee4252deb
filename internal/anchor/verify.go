package anchor

import (
	"context"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"stonevault/audit"
	"stonevault/internal/anchor/contract"
)

// Claim is an anchor that somebody says was made, usually the vault.
type Claim struct {
	Transaction [32]byte
	Tree        audit.Tree
}

// Verdict is what the chain says of a log that stood the check.
type Verdict struct {
	Anchored  audit.Tree // the head in the contract, at a final block
	Announced audit.Tree // the head that a block has which is not final, where it is larger; no anchor yet
	Block     uint64     // the final block that was asked about
	Servers   int        // how many agree
}

// Verify checks a log, by a checkpoint whose signatures were verified, against the chain: chain id, the
// contract's code, the log's id, and that the checkpoint's tree continues the head which the contract has at a
// block that is final by every server's word. Consistency returns the log's proof that its first old events
// are the beginning of the checkpoint's tree; it may come from the one who is under suspicion. Claims are
// checked one by one. Which error it is says what is wrong; Tampering tells evidence from what could not be
// checked.
func (c *Chain) Verify(ctx context.Context, checkpoint audit.Checkpoint,
	consistency func(ctx context.Context, old int64) ([]audit.Hash, error), claims ...Claim) (Verdict, error) {
	if err := c.target.checkOrigin(checkpoint.Origin); err != nil {
		return Verdict{}, err
	}
	final, _, err := c.look(ctx, common.Address{})
	if err != nil {
		return Verdict{}, err
	}
	latest, err := ask(ctx, c.servers, func(ctx context.Context, s *server) (contract.Log, error) { return c.log(ctx, s, nil) })
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{Block: final.number, Servers: len(latest)}
	v.Anchored = treeOf(final.log.Head)
	for _, a := range latest {
		if t := treeOf(a.value.Head); t.Size > max(v.Anchored.Size, v.Announced.Size) {
			v.Announced = t
		}
	}
	// The log first: evidence counts for more than a claim that can't be checked.
	if _, err := prove(ctx, final.log.Head, checkpoint.Tree, consistency); err != nil {
		return v, err
	}
	for _, claim := range claims {
		if err := c.verifyClaim(ctx, claim, final); err != nil {
			return v, err
		}
	}
	if final.log.Size == 0 {
		return v, ErrNotAnchored
	}
	return v, nil
}

// treeOf is a head as a log has it. A size that no log can have is kept out by prove.
func treeOf(h contract.Head) audit.Tree {
	if h.Size == 0 {
		return audit.EmptyTree()
	}
	return audit.Tree{Size: int64(min(h.Size, audit.MaxSize)), Root: h.Root}
}

func (c *Chain) verifyClaim(ctx context.Context, claim Claim, final finalized) error {
	hash := common.Hash(claim.Transaction)
	o, err := c.settled(ctx, hash, final)
	if err != nil {
		return err
	}
	if !o.mined {
		answers, err := c.outcomes(ctx, hash)
		if err != nil {
			return err
		}
		for _, a := range answers {
			if a.value.block > final.number {
				return fmt.Errorf("%w (%v is in block %d, and block %d is final)", ErrNotFinal, hash, a.value.block, final.number)
			}
		}
		return fmt.Errorf("%w (no server has %v)", ErrWrongClaim, hash)
	}
	if !o.ok {
		return c.whyReverted(ctx, hash, o.block)
	}
	if want := (contract.Head{Size: uint64(claim.Tree.Size), Root: claim.Tree.Root}); o.anchored.Head != want {
		return fmt.Errorf("%w (%v anchored size %d and another root or size than the claim's %d)", ErrWrongClaim, hash, o.anchored.Size, claim.Tree.Size)
	}
	return nil
}

// whyReverted always returns an ErrReverted, with the contract's reason where it is to be had.
func (c *Chain) whyReverted(ctx context.Context, hash common.Hash, in uint64) error {
	for _, s := range c.servers.all {
		tx, _, err := s.eth.TransactionByHash(ctx, hash)
		if err != nil || tx.Hash() != hash {
			continue
		}
		from, err := types.Sender(types.LatestSignerForChainID(tx.ChainId()), tx)
		if err != nil {
			continue
		}
		return fmt.Errorf("%v: %w", hash, c.reverted(ctx, from, tx, in))
	}
	return fmt.Errorf("%v: %w", hash, ErrReverted)
}
