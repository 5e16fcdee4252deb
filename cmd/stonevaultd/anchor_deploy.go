package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"stonevault/internal/anchor"
	"stonevault/internal/config"
)

// deployment is what anchor deploy is asked for.
type deployment struct {
	chain          string
	rpc            []string
	key            string
	passphraseFile string
	contract       string
	anchorer       string
	anchorerKey    string
	maxFee         int64
	asJSON         bool
}

func newAnchorDeploy(a *app) *cobra.Command {
	var d deployment
	cmd := &cobra.Command{
		Use:   "deploy --data DIR --chain CHAIN --rpc URL… --key FILE --key-passphrase-file FILE (--anchorer ADDRESS | --anchorer-key FILE)",
		Short: "Make the contract and this vault's log in it, and print the settings",
		Long: `Deploys the anchoring contract, unless --contract names one that is there, and creates the log of this vault in
it. Both cost coins, which the owner's key pays: about 570,000 units of gas for the contract and 69,000 for the log.
One contract is enough for any number of vaults and logs; a log that begins anew after a restore is created in the
same contract.

Standard output are the settings for the server, as its configuration file has them. Interrupted, it says how to go
on. --key is the owner's key, which may stay where no server is; --anchorer is the address that will pay for anchors,
or --anchorer-key its keystore file, which is then named in the settings.`,
		Example: `  stonevaultd anchor newkey anchorer.json --passphrase-file anchorer.pass
  stonevaultd anchor deploy --data ./data --chain amoy --rpc https://ONE --rpc https://OTHER \
    --key owner.json --key-passphrase-file owner.pass --anchorer-key anchorer.json >>stonevault.toml`,
		Args: operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			owner, err := d.owner()
			if err != nil {
				return err
			}
			if err := d.resolve(); err != nil {
				return err
			}
			// Who interrupts it must learn how far it got. A second signal ends it at once.
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop)
			cmd.SetContext(ctx)
			return a.beside(cmd, toChange, func(ctx context.Context, s *store, c config.Config) error {
				return a.deploy(ctx, s, c, d, owner)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.chain, "chain", "", "`CHAIN`: polygon, amoy, or the chain's number")
	f.StringSliceVar(&d.rpc, "rpc", nil, "`URL` of an RPC server, or file:PATH; two or more of different operators")
	f.StringVar(&d.key, "key", "", "`FILE` with the owner's key, an encrypted keystore file")
	f.StringVar(&d.passphraseFile, "key-passphrase-file", "", "`FILE` with the passphrase of --key")
	f.StringVar(&d.contract, "contract", "", "`ADDRESS` of a contract that is there already")
	f.StringVar(&d.anchorer, "anchorer", "", "`ADDRESS` that will pay for anchors")
	f.StringVar(&d.anchorerKey, "anchorer-key", "", "`FILE` with the anchorer's key, instead of its address")
	f.Int64Var(&d.maxFee, "max-fee", 500, "`GWEI`: the most that is paid for each unit of gas")
	f.BoolVar(&d.asJSON, "json", false, "print the settings as JSON")
	config.AddFlags(f, besideFlags...)
	return cmd
}

// resolve checks who will anchor, and in which contract.
func (d *deployment) resolve() (err error) {
	if (d.anchorer == "") == (d.anchorerKey == "") {
		return misuse("say who will pay for anchors: --anchorer ADDRESS or --anchorer-key FILE")
	}
	if d.anchorerKey != "" {
		d.anchorer, err = anchor.AddressIn(d.anchorerKey)
	} else if d.anchorer, err = anchor.ParseAddress(d.anchorer); err != nil {
		err = fmt.Errorf("--anchorer: %w", err)
	}
	if err == nil && d.contract != "" {
		if d.contract, err = anchor.ParseAddress(d.contract); err != nil {
			err = fmt.Errorf("--contract: %w", err)
		}
	}
	return err
}

// owner reads the key.
func (d *deployment) owner() (o anchor.Owner, err error) {
	for _, needed := range []struct{ value, flag string }{
		{d.chain, "--chain"}, {strings.Join(d.rpc, ""), "--rpc"}, {d.key, "--key"}, {d.passphraseFile, "--key-passphrase-file"},
	} {
		if needed.value == "" {
			return o, misuse("%s is missing", needed.flag)
		}
	}
	if d.maxFee < 1 || d.maxFee > 1_000_000 {
		return o, misuse("--max-fee must be a number from 1 to 1000000")
	}
	o.MaxFee = d.maxFee * gwei
	if o.ChainID, err = anchor.ChainNamed(d.chain); err != nil {
		return o, &usageError{fmt.Errorf("--chain: %w", err)}
	}
	if o.Servers, err = rpcAddresses(d.rpc); err != nil {
		return o, err
	}
	o.Key, err = anchor.LoadKey(d.key, d.passphraseFile)
	return o, err
}

// deploy takes the two steps, and tells how to go on where one fails.
func (a *app) deploy(ctx context.Context, s *store, c config.Config, d deployment, owner anchor.Owner) error {
	origin, err := s.reader.PublicKey(ctx)
	if err != nil {
		return err
	}
	creator := owner.Key.Address().Hex()
	fmt.Fprintf(a.stderr, "This costs coins of %s, on chain %d.\n", creator, owner.ChainID)
	owner.Sent = func(hash string) {
		fmt.Fprintf(a.stderr, "Sent the transaction %s; waiting until it is in a block.\n", hash)
	}
	if d.contract == "" {
		d.contract, err = owner.Deploy(ctx)
		switch {
		case err != nil && d.contract == "":
			return fmt.Errorf("the contract was not deployed, and nothing was paid: %w", err)
		case err != nil:
			return fmt.Errorf("whether the contract was deployed is not known: %w\nOnce the transaction is in a block, the contract is at %s; go on with:\n  %s", err, d.contract, d.again(c, s))
		}
		fmt.Fprintf(a.stderr, "The contract is at %s.\n", d.contract)
	}
	if _, err := owner.CreateLog(ctx, d.contract, origin.Origin(), d.anchorer); err != nil {
		if errors.Is(err, anchor.ErrWrongContract) {
			return fmt.Errorf("the log was not created: %w", err)
		}
		return fmt.Errorf("the log was not created, as far as is known: %w\nThe contract is at %s; go on with:\n  %s", err, d.contract, d.again(c, s))
	}
	fmt.Fprintf(a.stderr, "The log of this vault is there. It counts once its block is final, which takes up to some minutes.\n"+
		"Give the server the settings below, send some coins to the anchorer %s, and restart the server.\n", d.anchorer)
	return d.print(a.stdout, creator)
}

// again is the command line that goes on from the contract.
func (d deployment) again(c config.Config, s *store) string {
	line := hint(c, s.dir, "anchor deploy") + " --chain " + shellQuote(d.chain)
	for _, item := range d.rpc {
		line += " --rpc " + shellQuote(item)
	}
	line += " --key " + shellQuote(d.key) + " --key-passphrase-file " + shellQuote(d.passphraseFile) + " --contract " + d.contract
	if d.anchorerKey != "" {
		return line + " --anchorer-key " + shellQuote(d.anchorerKey)
	}
	return line + " --anchorer " + d.anchorer
}

// print writes the settings that follow.
func (d deployment) print(w io.Writer, creator string) error {
	if d.asJSON {
		return json.NewEncoder(w).Encode(struct {
			Chain    string   `json:"anchor_chain"`
			Contract string   `json:"anchor_contract"`
			Creator  string   `json:"anchor_creator"`
			RPC      []string `json:"anchor_rpc"`
			Key      string   `json:"anchor_key,omitempty"`
			Anchorer string   `json:"anchorer"`
		}{d.chain, d.contract, creator, d.rpc, d.anchorerKey, d.anchorer})
	}
	quoted := make([]string, len(d.rpc))
	for i, item := range d.rpc {
		quoted[i] = tomlText(item)
	}
	_, err := fmt.Fprintf(w, `anchor_chain = %s
anchor_contract = %s
anchor_creator = %s
anchor_rpc = [%s]
anchor_key = %s # of %s
anchor_key_passphrase_file = %s # the file with its passphrase
`, tomlText(d.chain), tomlText(d.contract), tomlText(creator), strings.Join(quoted, ", "),
		tomlText(cmp.Or(d.anchorerKey, "FILE")), d.anchorer, tomlText("FILE"))
	return err
}

// tomlText writes a TOML string. What is in these has no control characters.
func tomlText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
