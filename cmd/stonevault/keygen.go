package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"stonevault/identity"
)

const (
	keygenExample       = "stonevault keygen -o me.id"
	keygenPublicExample = "stonevault keygen --public me.id"
)

type keygenFlags struct {
	out            string
	public         string
	noPassphrase   bool
	passphraseFile string
	suite          uint8
}

func newKeygen(a *app) *cobra.Command {
	var f keygenFlags
	cmd := &cobra.Command{
		Use:   "keygen (-o FILE | --public FILE)",
		Short: "Make an identity, or show the public key of one",
		Long: `Makes an identity: a key pair to receive files and one to sign them, both safe against quantum
computers. Its file is encrypted under a passphrase unless --no-passphrase is given. Keep a copy in
another place: what is sealed for a lost identity is lost.

--public prints the public key of an identity file. Give that key to whoever seals files for you, and
compare the fingerprint with them over the telephone.`,
		Example: "  " + keygenExample + "\n  " + keygenPublicExample + " > me.pub",
		Args:    operands(0, 0, "the file with -o", keygenExample),
		RunE: func(*cobra.Command, []string) error {
			switch {
			case f.out != "" && f.public != "":
				return misuse(keygenExample, "-o makes an identity and --public reads one; give one of them")
			case f.public != "":
				return a.showPublic(f)
			case f.out == "":
				return misuse(keygenExample, "say where the identity goes")
			}
			return a.keygen(f)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.out, "output", "o", "", "write the identity to `FILE`, which must not exist")
	flags.StringVar(&f.public, "public", "", "print the public key of the identity in `FILE`")
	flags.BoolVar(&f.noPassphrase, "no-passphrase", false, "do not encrypt the identity file")
	flags.StringVar(&f.passphraseFile, "passphrase-file", "", "read the passphrase from the first line of `FILE`")
	flags.Uint8Var(&f.suite, "suite", uint8(identity.SuiteHybrid), "algorithms: 1 hybrid (ML-KEM-1024 with P-384, ML-DSA-65), 2 CNSA 2.0 (ML-KEM-1024, ML-DSA-87)")
	return cmd
}

func (a *app) keygen(f keygenFlags) error {
	suite := identity.Suite(f.suite)
	if !suite.Valid() {
		return misuse(keygenExample+" --suite 1", "suite %d is unknown; there are 1 and 2", f.suite)
	}
	if f.noPassphrase && f.passphraseFile != "" {
		return misuse(keygenExample+" --no-passphrase", "--no-passphrase and --passphrase-file exclude each other")
	}
	if f.out == pipeName && isTerminal(a.stdout) {
		return misuse(keygenExample, "an identity is a secret and is not shown on a terminal")
	}
	out, err := a.createOutput(f.out, false)
	if err != nil {
		return err
	}
	defer out.abort()
	var secret []byte
	if !f.noPassphrase {
		if secret, err = a.passphrase("new passphrase of "+shown(f.out), f.passphraseFile, true); err != nil {
			return err
		}
	}
	id, err := identity.Generate(a.rand, suite)
	if err != nil {
		return err
	}
	text, err := identity.FormatIdentityFile(a.rand, id, secret)
	if err != nil {
		return err
	}
	if _, err := out.writer().Write(text); err != nil {
		return fileError("write", f.out, err)
	}
	if err := out.commit(attributes{0o600, a.now()}); err != nil {
		return err
	}
	a.say("Fingerprint: %s", id.Public().Fingerprint().Spoken())
	if f.out != pipeName {
		a.say("Show the public key with: stonevault keygen --public %s", shown(f.out))
	}
	return nil
}

func (a *app) showPublic(f keygenFlags) error {
	id, err := a.identity(f.public, f.passphraseFile)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, id.Public().Text())
	return err
}
