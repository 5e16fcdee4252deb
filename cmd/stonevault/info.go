package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/identity"
)

const infoExample = "stonevault info /letters/letter.txt"

func newInfo(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "info PATH",
		Short:   "Show what the vault knows of a file or folder",
		Example: "  " + infoExample,
		Args:    operands(1, 1, "the path in the vault", infoExample),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := nodePath(args[0])
			if err != nil {
				return err
			}
			c, _, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			f, err := c.Lookup(cmd.Context(), path)
			if err != nil {
				return fmt.Errorf("%s: %w", shown(path), err)
			}
			if asJSON {
				return writeJSON(a.stdout, f)
			}
			return a.writeInfo(f)
		},
	}
	addJSON(cmd, &asJSON)
	return cmd
}

func (a *app) writeInfo(f *api.File) error {
	t := newTable(a.stdout)
	t.row("path", "%s", shown(f.Path))
	t.row("kind", "%s", f.Kind)
	t.row("id", "%s", f.ID)
	t.row("created", "%s", f.CreatedAt.Format(time.RFC3339))
	if f.Kind == api.KindFile {
		t.row("size", "%s", counted(f.Size, "byte", "bytes"))
		t.row("type", "%s", shown(f.MediaType))
		t.row("class", "%s", f.Class)
		t.row("mode", "%s", f.Mode)
		t.row("modified", "%s", f.ModifiedAt.Format(time.RFC3339))
		t.row("version", "%d", f.Version)
		t.row("sealed", "%s", f.SealedAt.Format(time.RFC3339))
		t.row("signed by", "%s", spoken(f.Signer))
		t.row("file id", "%s", f.FileID)
	}
	return t.Flush()
}

// spoken is a fingerprint in hex as people compare it.
func spoken(hex string) string {
	for _, suite := range []identity.Suite{identity.SuiteHybrid, identity.SuiteCNSA} {
		if f, err := identity.ParseFingerprint(suite, hex); err == nil {
			return f.Spoken()
		}
	}
	return shown(hex)
}
