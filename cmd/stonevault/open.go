package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/spf13/cobra"

	"stonevault/identity"
	"stonevault/stone"
)

const openExample = "stonevault open -i me.id -o letter.txt letter.txt.stone"

type openFlags struct {
	unlockFlags
	from  string
	force bool
	out   string
}

// unlockFlags say what opens a sealed file.
type unlockFlags struct {
	identities     []string
	passphrase     bool
	passphraseFile string
}

func (f *unlockFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&f.identities, "identity", "i", nil, "open with the identity in file `IDENTITY`; may be repeated")
	cmd.Flags().BoolVarP(&f.passphrase, "passphrase", "p", false, "open with a passphrase")
	cmd.Flags().StringVar(&f.passphraseFile, "passphrase-file", "", "read the passphrase, the file's or the identity's, from the first line of `FILE`")
}

func (f *unlockFlags) given() bool {
	return len(f.identities) > 0 || f.passphrase || f.passphraseFile != ""
}

func newOpen(a *app) *cobra.Command {
	var f openFlags
	cmd := &cobra.Command{
		Use:   "open (-i IDENTITY | -p)... [--from KEY] -o OUT IN",
		Short: "Open a sealed file",
		Long: `Opens a sealed file and says who signed it. Nothing appears at the output's name unless all of it is
exactly what was sealed; otherwise the exit code is 2. A pipe gets each part once that part is verified, and
what it got before exit code 2 must be thrown away.

A signature by an unknown key shows only that the file has not changed since it was sealed, by whomever.
--from demands a signer.`,
		Example: "  " + openExample + `
  stonevault open -i me.id --from ann.pub -o letter.txt letter.txt.stone
  stonevault open -p -o - plans.tar.stone | tar x`,
		Args: operands(1, 1, "the file to open, or \"-\" for a pipe", openExample),
		RunE: func(cmd *cobra.Command, args []string) error { return a.open(cmd.Context(), f, args[0]) },
	}
	f.unlockFlags.add(cmd)
	cmd.Flags().StringVar(&f.from, "from", "", "refuse what was not signed by public `KEY`, given as text or as a file of keys")
	cmd.Flags().StringVarP(&f.out, "output", "o", "", "write the content to `OUT`; \"-\" is a pipe")
	cmd.Flags().BoolVar(&f.force, "force", false, "replace the output if it exists")
	return cmd
}

func (a *app) open(ctx context.Context, f openFlags, path string) error {
	if f.out == "" {
		return misuse(openExample, "say where the content goes, with -o")
	}
	if err := checkPipes(openExample, append([]string{path, f.passphraseFile, f.from}, f.identities...)...); err != nil {
		return err
	}
	var from []*identity.Public
	if f.from != "" {
		var err error
		if from, err = a.keysFrom(f.from); err != nil {
			return fmt.Errorf("--from: %w", err)
		}
	}
	in, err := a.openSealed(path)
	if err != nil {
		return err
	}
	defer in.close()
	envelope, err := stone.ReadEnvelope(in, in.size)
	if err != nil {
		return notOpened(path, err)
	}
	if from != nil && !slices.ContainsFunc(from, func(k *identity.Public) bool { return k.Fingerprint() == envelope.Signer.Fingerprint() }) {
		return &wrongSigner{path, envelope.Signer.Fingerprint()}
	}
	out, err := a.createOutput(f.out, f.force)
	if err != nil {
		return err
	}
	defer out.abort()
	opened, err := a.unlock(envelope, f.unlockFlags, path)
	if err != nil {
		return err
	}
	reader, err := stone.OpenBody(in, envelope.BodySize, opened.Unlocked)
	if err != nil {
		return notOpened(path, err)
	}
	if err := reader.Stream(ctx, out.writer(), 0, reader.Size()); err != nil {
		err = notOpened(path, err)
		if out.stream {
			err = fmt.Errorf("%w; what was written to the output so far is genuine and incomplete: throw it away", err)
		}
		return err
	}
	m := opened.Metadata
	if err := out.commit(attributes{fs.FileMode(m.Mode), m.ModifiedAt}); err != nil {
		return err
	}
	a.say("%s", describeSigner(envelope, opened.by, from != nil))
	return nil
}

// notOpened tells a refusal from what went wrong on the way.
func notOpened(path string, err error) error {
	if errors.Is(err, stone.ErrRefused) {
		return fmt.Errorf("%s is not exactly what was sealed, or is no sealed file; nothing of it is to be trusted: %w", shown(path), err)
	}
	return fmt.Errorf("cannot open %s: %w", shown(path), err)
}

// wrongSigner is a genuine stone by somebody else than --from demands.
type wrongSigner struct {
	path   string
	signer identity.Fingerprint
}

func (e *wrongSigner) Error() string {
	return fmt.Sprintf("%s is not signed by the key that --from names; its signer is %s", shown(e.path), e.signer.Spoken())
}

// Is makes it a refusal: it may be a forgery.
func (e *wrongSigner) Is(target error) bool { return target == stone.ErrRefused }

// opened is an unlocked envelope and the identity that unlocked it, if one did.
type opened struct {
	*stone.Unlocked
	by *identity.Identity
}

// unlock tries identities that need no passphrase before it asks for one.
func (a *app) unlock(e *stone.Envelope, f unlockFlags, path string) (*opened, error) {
	if e.NeedsPassphrase() {
		if !f.passphrase && f.passphraseFile == "" && len(f.identities) > 0 {
			return nil, misuse("stonevault open -p -o OUT "+shown(path), "%s is sealed under a passphrase, not for an identity", shown(path))
		}
		secret, err := a.passphrase("passphrase of "+shown(path), f.passphraseFile, false)
		if err != nil {
			return nil, err
		}
		key, err := e.KeyForPassphrase(secret)
		if err != nil {
			return nil, notUnlocked(path, err)
		}
		return finishUnlock(e, key, nil, path)
	}
	if len(f.identities) == 0 {
		return nil, misuse(openExample, "%s is sealed for %s; say with -i which identity opens it", shown(path), counted(int64(len(e.Grants)), "key", "keys"))
	}
	texts := make(map[string][]byte)
	for _, ask := range []bool{false, true} {
		for _, file := range f.identities {
			text := texts[file]
			if text == nil {
				var err error
				if text, err = a.readKeyFile(file); err != nil {
					return nil, err
				}
				texts[file] = text
			}
			_, err := identity.ParseIdentityFile(text, nil)
			if errors.Is(err, identity.ErrNeedsPassphrase) != ask {
				continue
			}
			id, err := a.parseIdentity(file, text, f.passphraseFile)
			if err != nil {
				return nil, err
			}
			key, err := e.KeyFor(id)
			if errors.Is(err, stone.ErrNoGrant) {
				continue
			}
			if err != nil {
				return nil, notUnlocked(path, err)
			}
			return finishUnlock(e, key, id, path)
		}
	}
	return nil, notUnlocked(path, stone.ErrNoGrant)
}

func finishUnlock(e *stone.Envelope, key *stone.FileKey, by *identity.Identity, path string) (*opened, error) {
	u, err := e.Unlock(key)
	if err != nil {
		return nil, notOpened(path, err)
	}
	return &opened{u, by}, nil
}

func notUnlocked(path string, err error) error {
	switch {
	case errors.Is(err, stone.ErrNoGrant):
		return fmt.Errorf("%s is sealed for other keys than these; \"stonevault inspect\" shows for which: %w", shown(path), err)
	case errors.Is(err, identity.ErrPassphrase):
		return fmt.Errorf("the passphrase does not open %s; check it and try again: %w", shown(path), err)
	}
	return notOpened(path, err)
}

// describeSigner says what a signature is worth to whoever reads it.
func describeSigner(e *stone.Envelope, by *identity.Identity, demanded bool) string {
	signer := e.Signer.Fingerprint()
	text := "Signed by " + signer.Spoken()
	switch {
	case demanded:
		return text + ", the signer that --from demands."
	case by != nil && by.Public().Fingerprint() == signer:
		return text + ", the identity that opened it."
	case e.Certificate != nil:
		return fmt.Sprintf("%s, certified as %s %s by the vault with root %s. Compare the root's fingerprint, or demand the signer with --from.",
			text, shown(e.Certificate.Subject.Kind), shown(e.Certificate.Subject.ID), e.Certificate.Root.Fingerprint().Spoken())
	}
	return text + ", an unknown or one-time key: unchanged since it was sealed, by whomever. Demand a signer with --from."
}
