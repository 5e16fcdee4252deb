// Command rewritten asks the anchoring contract to take a log whose history is another than the one that was
// anchored, with that log's own proof, as who holds all keys of a vault could. `make demo` shows what it answers.
// Nothing is sent.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"stonevault/audit"
	"stonevault/internal/anchor"
	"stonevault/internal/anchor/contract"
)

func main() {
	var f forgery
	flag.StringVar(&f.log, "log", "", "directory that stonevaultd audit export wrote")
	flag.Int64Var(&f.from, "from", 0, "events of the head that the contract has")
	flag.StringVar(&f.rpc, "rpc", "", "RPC server")
	flag.Uint64Var(&f.chain, "chain-id", 0, "the chain's number")
	flag.StringVar(&f.contract, "contract", "", "the contract's address")
	flag.StringVar(&f.creator, "creator", "", "who created the log there")
	flag.StringVar(&f.sender, "anchorer", "", "who may anchor")
	flag.Parse()
	err := f.try(context.Background())
	switch {
	case errors.Is(err, contract.ErrInconsistent):
		fmt.Printf("The contract refuses: %v.\n", err)
	case err != nil:
		fmt.Fprintln(os.Stderr, "rewritten:", err)
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "rewritten: the contract would take it")
		os.Exit(1)
	}
}

type forgery struct {
	log, rpc, contract, creator, sender string
	from                                int64
	chain                               uint64
}

func (f *forgery) try(ctx context.Context) error {
	text, err := os.ReadFile(filepath.Join(f.log, "log.pub"))
	if err != nil {
		return err
	}
	key, err := audit.ParsePublicKey(string(text))
	if err != nil {
		return err
	}
	if text, err = os.ReadFile(filepath.Join(f.log, "checkpoint")); err != nil {
		return err
	}
	head, err := key.Open(text)
	if err != nil {
		return err
	}
	proof, err := head.Tree.ProveConsistency(tiles(f.log), f.from)
	if err != nil {
		return err
	}
	target, err := anchor.NewTarget(f.chain, f.contract, f.creator, head.Origin)
	if err != nil {
		return err
	}
	chain, err := anchor.Open(ctx, target, 1, f.rpc)
	if err != nil {
		return err
	}
	defer chain.Close()
	return chain.WouldTake(ctx, f.sender, head.Tree, proof)
}

// tiles are those of an exported log.
type tiles string

func (dir tiles) ReadTiles(wanted []audit.Tile) (data [][]byte, err error) {
	for _, t := range wanted {
		b, err := os.ReadFile(filepath.Join(string(dir), filepath.FromSlash(t.Path())))
		if err != nil {
			return nil, err
		}
		data = append(data, b)
	}
	return data, nil
}
