package main

import (
	"context"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"stonevault/identity"
	"stonevault/stone"
)

const sealExample = "stonevault seal -R ann.pub -o letter.txt.stone letter.txt"

type sealFlags struct {
	to                 []string
	toFiles            []string
	passphrase         bool
	passphraseFile     string
	sign               string
	signPassphraseFile string
	compress           string
	class              string
	force              bool
	out                string
}

func newSeal(a *app) *cobra.Command {
	var f sealFlags
	cmd := &cobra.Command{
		Use:   "seal (-r KEY | -R KEYFILE | -p)... -o OUT IN",
		Short: "Seal a file for people, or under a passphrase",
		Long: `Seals a file, so that only the holders of the named keys, or of the passphrase, can open it. No
server is needed. The result also keeps the file's name, modification time and permissions.

Without --sign it is signed by a key that is made for it and thrown away: whoever opens it learns that it is
unchanged, and not who sealed it.`,
		Example: "  " + sealExample + `
  stonevault seal -r svpub1... --sign me.id -o plans.tar.stone plans.tar
  tar c plans | stonevault seal -p -o plans.tar.stone -`,
		Args: operands(1, 1, "the file to seal, or \"-\" for a pipe", sealExample),
		RunE: func(cmd *cobra.Command, args []string) error { return a.seal(cmd.Context(), f, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.to, "recipient", "r", nil, "seal for the holder of public `KEY`; may be repeated")
	flags.StringArrayVarP(&f.toFiles, "recipients-file", "R", nil, "seal for the public keys, one to a line, in `KEYFILE`, or for the identity in it; may be repeated")
	flags.BoolVarP(&f.passphrase, "passphrase", "p", false, "seal under a passphrase")
	flags.StringVar(&f.passphraseFile, "passphrase-file", "", "read that passphrase from the first line of `FILE`")
	flags.StringVar(&f.sign, "sign", "", "sign with the identity in file `IDENTITY`")
	flags.StringVar(&f.signPassphraseFile, "sign-passphrase-file", "", "read the passphrase of the signing identity from the first line of `FILE`")
	flags.StringVar(&f.compress, "compress", "auto", "`auto`, never, or a Zstandard level from 1 to 22")
	addClass(cmd, &f.class)
	complete(cmd, "compress", "auto", "never", "3", "9", "19")
	flags.StringVarP(&f.out, "output", "o", "", "write the sealed file to `OUT`; \"-\" is a pipe")
	flags.BoolVar(&f.force, "force", false, "replace the output if it exists")
	return cmd
}

func (a *app) seal(ctx context.Context, f sealFlags, path string) error {
	p, err := f.params()
	if err != nil {
		return err
	}
	if err := checkPipes(sealExample, append([]string{path, f.passphraseFile, f.sign, f.signPassphraseFile}, f.toFiles...)...); err != nil {
		return err
	}
	if f.out == pipeName && isTerminal(a.stdout) {
		return misuse(sealExample, "a sealed file is not shown on a terminal; name a file with -o")
	}
	in, err := a.openInput(path)
	if err != nil {
		return err
	}
	defer in.close()
	if !utf8.ValidString(in.name) || len(in.name) > 255 {
		return fmt.Errorf("the name %s is not UTF-8 of at most 255 bytes, which every system could keep; rename the file, or pipe it in by \"-\"", shown(in.name))
	}
	out, err := a.createOutput(f.out, f.force)
	if err != nil {
		return err
	}
	defer out.abort()
	if err := a.sealKeys(f, &p); err != nil {
		return err
	}

	now := a.now()
	p.Rand, p.Now = a.rand, now
	p.Metadata = stone.Metadata{
		Name: in.name, MediaType: in.mediaType, Class: p.Metadata.Class, Mode: uint32(in.mode),
		ModifiedAt: in.modified, CreatedAt: now, SealedAt: now,
	}
	if err := stone.Seal(ctx, out.writer(), in.file, p); err != nil {
		return fmt.Errorf("cannot seal %s: %w", shown(path), err)
	}
	return out.commit(attributes{0o666, now})
}

// params checks what needs no file.
func (f *sealFlags) params() (p stone.SealParams, err error) {
	keys := len(f.to)+len(f.toFiles) > 0
	switch {
	case f.out == "":
		return p, misuse(sealExample, "say where the sealed file goes, with -o")
	case !keys && !f.passphrase:
		return p, misuse(sealExample, "say who may open it: -r KEY, -R KEYFILE or -p for a passphrase")
	case keys && f.passphrase:
		return p, misuse(sealExample, "a passphrase stands alone: give either -p, or -r and -R")
	case f.passphraseFile != "" && !f.passphrase:
		return p, misuse("stonevault seal -p --passphrase-file FILE -o OUT IN", "--passphrase-file is for -p; the passphrase of a signing identity comes by --sign-passphrase-file")
	}
	if err := checkClass(f.class); err != nil {
		return p, err
	}
	p.Metadata.Class = stone.Class(f.class)
	p.Compression, err = parseCompression(f.compress)
	return p, err
}

func parseCompression(text string) (stone.Compression, error) {
	switch text {
	case "auto":
		return stone.Compression{}, nil
	case "never":
		return stone.Compression{Never: true}, nil
	}
	level, err := strconv.Atoi(text)
	if err != nil || level < 1 || level > stone.MaxCompressionLevel {
		return stone.Compression{}, misuse("--compress 3", "compression is auto, never or a level from 1 to %d, not %s", stone.MaxCompressionLevel, shown(text))
	}
	return stone.Compression{Level: level}, nil
}

// sealKeys reads the keys of whoever may open and whoever signs, which must all be of one suite.
func (a *app) sealKeys(f sealFlags, p *stone.SealParams) error {
	recipients, err := a.recipients(f.to, f.toFiles)
	if err != nil {
		return err
	}
	suite := identity.SuiteHybrid
	for i, key := range recipients {
		if i > 0 && key.Suite() != suite {
			return fmt.Errorf("the keys are of two suites, %d and %d, which one sealed file never mixes; seal once for each suite", suite, key.Suite())
		}
		suite = key.Suite()
	}
	if len(recipients) > stone.MaxGrants {
		return fmt.Errorf("there are %d keys, and a sealed file has room for %d; seal several files", len(recipients), stone.MaxGrants)
	}
	if f.sign != "" {
		signer, err := a.identity(f.sign, f.signPassphraseFile)
		if err != nil {
			return err
		}
		if signer.Suite() != suite {
			return fmt.Errorf("%s is of suite %d and the file would be of suite %d; sign with an identity of that suite", shown(f.sign), signer.Suite(), suite)
		}
		p.Signer = signer
	}
	if f.passphrase {
		secret, err := a.passphrase("new passphrase", f.passphraseFile, true)
		if err != nil {
			return err
		}
		key, err := identity.NewPassphraseKey(a.rand, suite, secret)
		p.Recipients = []*identity.WrappingKey{key}
		return err
	}
	for _, to := range recipients {
		key, err := identity.NewWrappingKey(a.rand, to)
		if err != nil {
			return err
		}
		p.Recipients = append(p.Recipients, key)
	}
	return nil
}
