package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"stonevault/internal/config"
	"stonevault/internal/datadir"
	"stonevault/internal/masterkey"
	"stonevault/internal/masterkey/transit"
)

// wrapFlags are the settings of verbs that change how a key file is wrapped.
var wrapFlags = slices.Concat([]string{"data", "master_key_source", "development"}, transitFlags)

// wrapVerbs are the verbs of key that have transit do something with a key file.
var wrapVerbs = []struct {
	use, short, long string
	stopped          bool // the server that uses the file must be
	do               func(*app, context.Context, *transit.Client, string) error
}{
	{"wrap", "Have a master key that lies in a file wrapped by transit", `Has the master key in the file wrapped by a key of Vault's or OpenBao's transit engine, and puts what comes of that
in its place. From then on the server starts with the same --master-key and --transit settings, and the file opens
nothing without transit. Give the settings that the server will have, as the user that it runs as.

The server must be stopped. Copies of the file made before go on opening the vault, and so may what a disk keeps of
it: destroy the copies.`, true, (*app).wrapKey},
	{"unwrap", "Put a master key that transit has wrapped into a file in clear", `Has transit decrypt the master key, and puts it in clear in the place of the wrapped one; from then on the server
starts with --master-key file, and needs no transit. The server must be stopped. Keep a copy of the file away from
copies of the data.`, true, (*app).unwrapKey},
	{"rewrap", "Have a wrapped master key wrapped anew, after transit's key was rotated", `Has transit decrypt the master key and encrypt it with the newest version of its key, and puts what comes of that in
the place of the old file. It works while the server runs, which reads the file again by itself within five minutes;
only then forbid the old version there (min_decryption_version).`, false, (*app).rewrapKey},
}

func newKeyWraps(a *app) (cmds []*cobra.Command) {
	for _, verb := range wrapVerbs {
		cmd := &cobra.Command{
			Use: verb.use + " --master-key transit --data DIR", Short: verb.short, Long: verb.long,
			Example: "  stonevaultd key " + verb.use + ` --data ./data --master-key transit --transit-address https://vault.example:8200 \
    --transit-key stonevault --transit-token-file /run/vault/token`,
			Args: operands(),
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := a.config(cmd)
				if err != nil {
					return err
				}
				if c.MasterKey.Kind != config.KeyFromTransit {
					return misuse("say how the server reaches transit: --master-key transit, --transit-address and so on")
				}
				p, err := placesOf(c, version)
				if err != nil {
					return err
				}
				held, _, err := p.dir.Locked()
				if err != nil {
					return err
				}
				if held && verb.stopped {
					return fmt.Errorf("a server uses %s; stop it first", p.dir.Path())
				}
				client, err := newTransit(c.Transit)
				if err != nil {
					return err
				}
				return verb.do(a, cmd.Context(), client, (&keyring{places: p, config: c}).path())
			},
		}
		config.AddFlags(cmd.Flags(), wrapFlags...)
		cmds = append(cmds, cmd)
	}
	return cmds
}

func (a *app) wrapKey(ctx context.Context, client *transit.Client, path string) error {
	if isWrapped(path) {
		return fmt.Errorf("the master key at %s is wrapped already; after transit's key was rotated, use stonevaultd key rewrap", path)
	}
	if _, err := masterkey.ReadFile(path); err != nil { // and so a key
		return err
	}
	text, err := masterkey.ReadText(path)
	if err != nil {
		return err
	}
	wrapped, err := client.Wrap(ctx, []byte(text))
	if err != nil {
		return fmt.Errorf("it cannot be wrapped by %s: %w", client, err)
	}
	if err := writeKey(path, wrapped.String()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stderr, "The master key at %s is wrapped by %s. Copies of the file as it was open the vault as before.\n", path, client)
	return err
}

func (a *app) unwrapKey(ctx context.Context, client *transit.Client, path string) error {
	_, text, err := opened(ctx, client, path)
	if err != nil {
		return err
	}
	defer clear(text)
	if err := datadir.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stderr, "The master key at %s is in clear; keep a copy of it away from copies of the data.\n", path)
	return err
}

func (a *app) rewrapKey(ctx context.Context, client *transit.Client, path string) error {
	was, text, err := opened(ctx, client, path)
	if err != nil {
		return err
	}
	defer clear(text)
	is, err := client.Wrap(ctx, text)
	if err != nil {
		return fmt.Errorf("it cannot be wrapped by %s: %w", client, err)
	}
	if err := writeKey(path, is.String()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stderr, "The master key at %s was wrapped by version %d of %s, and is by version %d.\n", path, was.Version(), client, is.Version())
	return err
}

// opened reads a wrapped key and has it decrypted, and makes sure that it is one.
func opened(ctx context.Context, client *transit.Client, path string) (transit.Wrapped, []byte, error) {
	wrapped, err := transit.ReadFile(path)
	if errors.Is(err, transit.ErrNotWrapped) {
		return wrapped, nil, fmt.Errorf("%w; it is left as it is", err)
	}
	if err != nil {
		return wrapped, nil, err
	}
	text, err := client.Unwrap(ctx, wrapped)
	if err != nil {
		return wrapped, nil, fmt.Errorf("%s: %w", client, err)
	}
	if _, err := masterkey.Parse(string(text)); err != nil {
		return wrapped, nil, fmt.Errorf("what %s decrypts: %w", client, err)
	}
	return wrapped, text, nil
}

// writeKey puts a wrapped key in the place of a key file.
func writeKey(path, text string) error { return datadir.WriteFile(path, []byte(text+"\n"), 0o600) }
