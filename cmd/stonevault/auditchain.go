package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/audit"
	"stonevault/internal/anchor"
	"stonevault/internal/client"
)

const chainExample = "stonevault audit verify --rpc URL --chain-id 137 --contract 0x… --creator 0x…"

// chainFlags say which servers are asked about which contract.
type chainFlags struct {
	rpc     []string
	rpcFile string
	client.Anchoring
}

func (f *chainFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.rpc, "rpc", nil, "hold the log against the chain, as the RPC server at this `URL` shows it; may be repeated")
	flags.StringVar(&f.rpcFile, "rpc-file", "", "a `FILE` with addresses of RPC servers, one a line, for those that have a key in them")
	flags.Uint64Var(&f.ChainID, "chain-id", 0, "the `NUMBER` of the chain that heads are anchored on")
	flags.StringVar(&f.Contract, "contract", "", "the `ADDRESS` of the contract there")
	flags.StringVar(&f.Creator, "creator", "", "the `ADDRESS` that created the log there")
}

// check refuses half a target, and reads the file of servers.
func (f *chainFlags) check() error {
	given := f.Anchoring != client.Anchoring{}
	if f.rpcFile != "" {
		text, err := readBounded(f.rpcFile, 64<<10)
		if err != nil {
			return err
		}
		servers := strings.Fields(string(text))
		if len(servers) == 0 {
			return misuse(chainExample, "%s names no server", shown(f.rpcFile))
		}
		f.rpc = append(f.rpc, servers...)
	}
	switch {
	case given && (f.ChainID == 0 || f.Contract == "" || f.Creator == ""):
		return misuse(chainExample, "--chain-id, --contract and --creator go together")
	case given && len(f.rpc) == 0:
		return misuse(chainExample, "say which server shows the chain, with --rpc")
	}
	if given {
		if _, err := anchor.NewTarget(f.ChainID, f.Contract, f.Creator, "x"); err != nil {
			return misuse(chainExample, "%v", err)
		}
	}
	return nil
}

// chain holds the log against the heads that were written to a chain.
func (v *auditor) chain(ctx context.Context) error {
	if len(v.flags.rpc) == 0 {
		v.report.Checks = append(v.report.Checks, auditCheck{"chain", unasked, "The chain was not asked; --rpc URL does that, where heads are anchored."})
		return nil
	}
	if v.head == nil {
		v.add("chain", fmt.Errorf("the log %w against the chain: there is no head of it", errUnchecked), "")
		return nil
	}
	at, err := v.target(ctx)
	if err != nil {
		if !ends(err) {
			v.add("chain", err, "")
			err = nil
		}
		return err
	}
	claims, more, err := v.claims(ctx, at)
	if err != nil {
		if ends(err) {
			return err
		}
		v.add("anchors", fmt.Errorf("the vault's own list of anchors %w: %w", errUnchecked, err), "")
	}
	verdict, err := v.askChain(ctx, at, claims)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil && !anchor.Tampering(err) {
		err = fmt.Errorf("the log %w against the chain: %w", errUnchecked, err)
	}
	v.add("chain", err, "The log continues the head of %s that is final on chain %d, by the word of %s; %s that the vault lists %s there",
		counted(verdict.Anchored.Size, "event", "events"), at.ChainID, counted(int64(verdict.Servers), "server", "servers"),
		counted(int64(len(claims)), "anchor", "anchors"), stand(len(claims)))
	if more > 0 {
		v.add("anchors", nil, "The newest %d anchors were looked up; the vault lists %d older ones", len(claims), more)
	}
	if verdict.Servers == 0 { // nobody has the contract there
		return nil
	}
	pin, err := v.a.updatePin(ctx, v.p, func(known *client.Pin) (*client.Pin, error) {
		if known == nil {
			known = v.pin
		}
		next := *known
		next.Anchoring = at
		return &next, nil
	})
	if err == nil {
		v.pin = pin
	}
	return err
}

func stand(n int) string {
	if n == 1 {
		return "stands"
	}
	return "stand"
}

// target decides where heads are looked for: where the flags say, else where is remembered, else where the vault says.
func (v *auditor) target(ctx context.Context) (*client.Anchoring, error) {
	log, err := v.c.AuditLog(ctx)
	if err != nil {
		return nil, fmt.Errorf("where heads are anchored %w: %w", errUnchecked, err)
	}
	told := &client.Anchoring{ChainID: uint64(log.Anchoring.ChainID), Contract: log.Anchoring.Contract, Creator: log.Anchoring.Creator}
	if !log.Anchoring.Configured {
		told = nil
	}
	at := v.pin.Anchoring
	if v.flags.Anchoring != (client.Anchoring{}) {
		at = &v.flags.Anchoring
	}
	switch {
	case at == nil && told == nil:
		return nil, fmt.Errorf("the log %w against the chain: the vault does not say that it is anchored; if you know where, add --chain-id, --contract and --creator", errUnchecked)
	case at == nil:
		v.a.say("The vault says that heads are anchored on chain %d, in the contract %s, by the log that %s created there. Compare this with what was written down when that was set up; once a server shows it, it is remembered.",
			told.ChainID, shown(told.Contract), shown(told.Creator))
		return told, nil
	case told != nil && !sameTarget(at, told):
		v.add("anchoring", fmt.Errorf("the vault's newer anchors %w: it says now that they are on chain %d, in the contract %s, by the log of %s; ask the administrators, and if that is right, give these with --chain-id, --contract and --creator",
			errUnchecked, told.ChainID, shown(told.Contract), shown(told.Creator)), "")
	}
	return at, nil
}

// sameTarget compares addresses, which have several spellings.
func sameTarget(a, b *client.Anchoring) bool {
	return a.ChainID == b.ChainID && strings.EqualFold(a.Contract, b.Contract) && strings.EqualFold(a.Creator, b.Creator)
}

// maxClaims is how many of the vault's anchors are looked up, the newest.
const maxClaims = 100

// claims are the anchors that the vault says are final there, and how many more it lists.
func (v *auditor) claims(ctx context.Context, at *client.Anchoring) (claims []anchor.Claim, more int64, err error) {
	for a, err := range v.c.AuditAnchors(ctx) {
		if err != nil {
			return nil, 0, err
		}
		if a.State != api.AuditAnchorStateFinal || !sameTarget(at, &client.Anchoring{ChainID: uint64(a.ChainID), Contract: a.Contract, Creator: a.Creator}) {
			continue
		}
		if len(claims) == maxClaims {
			more++
			continue
		}
		hash, hashErr := hex.DecodeString(strings.TrimPrefix(a.Transaction, "0x"))
		root, rootErr := hex.DecodeString(strings.TrimPrefix(a.Root, "0x"))
		if hashErr != nil || rootErr != nil || len(hash) != 32 || len(root) != audit.HashSize {
			return nil, 0, fmt.Errorf("anchor %d cannot be read", a.ID)
		}
		claims = append(claims, anchor.Claim{Transaction: [32]byte(hash), Tree: audit.Tree{Size: a.Size, Root: audit.Hash(root)}})
	}
	return claims, more, nil
}

func (v *auditor) askChain(ctx context.Context, at *client.Anchoring, claims []anchor.Claim) (anchor.Verdict, error) {
	target, err := anchor.NewTarget(at.ChainID, at.Contract, at.Creator, v.head.Origin)
	if err != nil {
		return anchor.Verdict{}, err
	}
	chain, err := anchor.Open(ctx, target, 0, v.flags.rpc...)
	if err != nil {
		return anchor.Verdict{}, err
	}
	defer chain.Close()
	// The proof is made here, from the log's own tiles: the server's are up to its newest head.
	return chain.Verify(ctx, *v.head, func(ctx context.Context, old int64) ([]audit.Hash, error) {
		return v.head.Tree.ProveConsistency(tileReader{ctx, v}, old)
	}, claims...)
}
