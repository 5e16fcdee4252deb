package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"stonevault/internal/anchor"
	"stonevault/internal/auth"
	"stonevault/internal/config"
	"stonevault/internal/datadir"
)

// anchorFlags are the settings of anchoring.
var anchorFlags = []string{
	"anchor_chain", "anchor_contract", "anchor_creator", "anchor_rpc", "anchor_quorum", "anchor_key", "anchor_key_passphrase",
	"anchor_interval", "anchor_events", "anchor_max_fee",
}

// errNotAnchoring is a configuration without anchoring, where a command needs it.
var errNotAnchoring = errors.New("anchoring is not configured here; give the settings that the server has with --config FILE, or begin with: stonevaultd anchor deploy")

func newAnchor(a *app) *cobra.Command {
	return withVerbs("anchor", "Write heads of the audit log to an EVM chain, and see how that is doing",
		newAnchorKey(a), newAnchorDeploy(a), newAnchorStatus(a), newAnchorNow(a))
}

// besideAnchoring is beside, for a vault whose log is anchored.
func (a *app) besideAnchoring(cmd *cobra.Command, fn func(context.Context, *store, config.Config) error) error {
	switch c, err := a.config(cmd); {
	case err != nil:
		return err
	case !c.Anchor.On():
		return errNotAnchoring
	}
	return a.beside(cmd, toChange, fn)
}

func newAnchorKey(a *app) *cobra.Command {
	var passphraseFile string
	cmd := &cobra.Command{
		Use:   "newkey FILE",
		Short: "Make a key that pays for anchors, or for the contract",
		Long: `Makes a key of a new account on EVM chains and prints its address. FILE, which must not be there yet, is an
encrypted keystore file as geth and wallets read it. Its passphrase is the first line of the file that
--passphrase-file names, and asked for without one; where that file is not there, it is made with a random
passphrase.

The anchorer's key lies on the server, pays for anchors and should hold little. The owner's, which deploys the
contract and creates the log, should not be there.`,
		Example: `  stonevaultd anchor newkey anchorer.json --passphrase-file anchorer.pass`,
		Args:    operands("the file"),
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := os.Lstat(args[0]); err == nil {
				return taken(args[0])
			}
			passphrase, err := a.keyPassphrase(passphraseFile)
			if err != nil {
				return err
			}
			sealed, address, err := anchor.NewKey(passphrase)
			if err != nil {
				return err
			}
			if err := createSecret(args[0], sealed); err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "A key is in %s. Keep a copy of it and of its passphrase; what its account holds is lost with them.\n", args[0])
			_, err = fmt.Fprintln(a.stdout, address)
			return err
		},
	}
	cmd.Flags().StringVar(&passphraseFile, "passphrase-file", "", "`FILE`: its first line is the passphrase; made where it is not there")
	return cmd
}

// keyPassphrase gets the passphrase of a new key.
func (a *app) keyPassphrase(path string) (passphrase string, err error) {
	if path == "" {
		return a.chooseKeyPassphrase()
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		passphrase = strings.ToLower(rand.Text())
		if err := createSecret(path, []byte(passphrase+"\n")); err != nil {
			return "", err
		}
		fmt.Fprintf(a.stderr, "A random passphrase is in %s.\n", path)
		return passphrase, nil
	}
	if passphrase, err = anchor.ReadPassphrase(path); err != nil {
		return "", err
	}
	return passphrase, longEnough(passphrase)
}

func (a *app) chooseKeyPassphrase() (string, error) {
	if !term.IsTerminal(int(a.stdin.Fd())) {
		return "", errors.New("there is no terminal to ask for the passphrase; name a file for it with --passphrase-file FILE")
	}
	passphrase, err := a.ask("Passphrase of the new key: ")
	if err == nil {
		err = longEnough(passphrase)
	}
	if err != nil {
		return "", err
	}
	again, err := a.ask("The same again: ")
	if err != nil {
		return "", err
	}
	if again != passphrase {
		return "", errors.New("the two passphrases differ; start again")
	}
	return passphrase, nil
}

func longEnough(passphrase string) error {
	if utf8.RuneCountInString(passphrase) < auth.MinPasswordRunes {
		return fmt.Errorf("the passphrase is shorter than %d characters; choose a longer one, such as six random words", auth.MinPasswordRunes)
	}
	return nil
}

// createSecret makes a file that only its owner can read, durably, in nobody's place.
func createSecret(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return taken(path)
	}
	if err != nil {
		return err
	}
	err = errors.Join(f.Close(), datadir.WriteFile(path, text, 0o600))
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func taken(path string) error {
	return fmt.Errorf("there is %s already, which may be somebody's key and stays as it is; choose another name", path)
}
