package main

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"stonevault/api"
)

const exportExample = "stonevault export /letters/letter.txt -R ann.pub -o letter.txt.stone"

type exportFlags struct {
	to             []string
	toFiles        []string
	passphrase     bool
	passphraseFile string
	out            string
	force          bool
}

func newExport(a *app) *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export PATH (-r KEY... | -R FILE... | -p) -o OUT",
		Short: "Get a file still sealed, to be opened without a server",
		Long: `Gets a file as a sealed one of its own, signed by you, that "stonevault open" opens without a server: with the
identities of the keys that are named here, or with the passphrase. Nobody else who may read the file in the vault
can open it.`,
		Example: "  " + exportExample + "\n  stonevault export /plans.tar -p -o plans.tar.stone",
		Args:    operands(1, 1, "the path in the vault", exportExample),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.export(cmd.Context(), f, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.to, "recipient", "r", nil, "who may open it: public `KEY` as text; may be repeated")
	flags.StringArrayVarP(&f.toFiles, "recipients-file", "R", nil, "who may open it: `FILE` of public keys, one to a line, or an identity; may be repeated")
	flags.BoolVarP(&f.passphrase, "passphrase", "p", false, "whoever knows a passphrase may open it")
	flags.StringVar(&f.passphraseFile, "passphrase-file", "", "read the passphrase from the first line of `FILE`")
	flags.StringVarP(&f.out, "output", "o", "", "write the sealed file to `OUT`; \"-\" is a pipe")
	flags.BoolVar(&f.force, "force", false, "replace the output if it exists")
	return cmd
}

func (a *app) export(ctx context.Context, f exportFlags, arg string) error {
	keys := len(f.to)+len(f.toFiles) > 0
	switch {
	case f.out == "":
		return misuse(exportExample, "say where the sealed file goes, with -o")
	case f.out == pipeName && isTerminal(a.stdout):
		return misuse(exportExample, "a sealed file is not shown on a terminal; name a file with -o")
	case !keys && !f.passphrase:
		return misuse(exportExample, "say who may open it: -r KEY, -R KEYFILE or -p for a passphrase")
	case keys && f.passphrase:
		return misuse(exportExample, "a passphrase stands alone: give either -p, or -r and -R")
	case f.passphraseFile != "" && !f.passphrase:
		return misuse("stonevault export -p --passphrase-file FILE -o OUT PATH", "--passphrase-file is for -p")
	}
	if err := checkPipes(exportExample, append([]string{f.passphraseFile}, f.toFiles...)...); err != nil {
		return err
	}
	path, err := nodePath(arg)
	if err != nil {
		return err
	}
	if path == "/" {
		return exportFolder(path)
	}
	c, _, err := a.connect(ctx)
	if err != nil {
		return err
	}
	out, err := a.createOutput(f.out, f.force)
	if err != nil {
		return err
	}
	defer out.abort()
	node, err := c.Lookup(ctx, path)
	if err != nil {
		return fmt.Errorf("%s: %w", shown(path), err)
	}
	if node.Kind == api.KindFolder {
		return exportFolder(path)
	}
	recipients, secret, err := a.exportKeys(f)
	if err != nil {
		return err
	}
	x, err := c.Export(ctx, node, recipients, secret)
	if err != nil {
		return fmt.Errorf("%s: %w", shown(path), err)
	}
	defer x.Close()
	bars := a.newProgress()
	bar := bars.bar(path, x.Size)
	err = x.Copy(ctx, &counter{out.writer(), bar})
	bar.end()
	bars.wait()
	if err != nil {
		return fmt.Errorf("%s: %w", shown(path), err)
	}
	return out.commit(attributes{0o666, a.now()})
}

func exportFolder(path string) error {
	return misuse("stonevault find --kind file "+shown(path), "%s is a folder; export the files in it one by one", shown(path))
}

// exportKeys reads for whom a file is exported.
func (a *app) exportKeys(f exportFlags) (recipients []string, secret []byte, err error) {
	if f.passphrase {
		secret, err = a.passphrase("new passphrase", f.passphraseFile, true)
		if err == nil && !utf8.Valid(secret) {
			err = fmt.Errorf("the passphrase is not UTF-8, which it must be to reach the server as it is; choose another")
		}
		return nil, secret, err
	}
	public, err := a.recipients(f.to, f.toFiles)
	for _, key := range public {
		recipients = append(recipients, key.Text())
	}
	return recipients, nil, err
}
