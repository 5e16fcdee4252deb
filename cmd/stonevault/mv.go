package main

import (
	"fmt"
	"path"
	"strings"

	"github.com/spf13/cobra"
)

const moveExample = "stonevault mv /draft.txt /letters/final.txt"

func newMove(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "mv FROM TO",
		Short: "Rename or move a file or folder of the vault",
		Long: `Gives a file or folder another path. Where TO ends in "/", FROM keeps its name and goes into that folder.
Folders on the way appear as needed. What is at TO is never replaced.`,
		Example: "  " + moveExample + "\n  stonevault mv /final.txt /letters/",
		Args:    operands(2, 2, "the path that is and the path that shall be", moveExample),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := nodePath(args[0])
			if err != nil {
				return err
			}
			to, err := vaultPath(args[1])
			if err != nil {
				return err
			}
			if strings.HasSuffix(to, "/") {
				to = childPath(to, path.Base(from))
			}
			c, _, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			f, err := c.Lookup(cmd.Context(), from)
			if err != nil {
				return fmt.Errorf("%s: %w", shown(from), err)
			}
			if _, err := c.Move(cmd.Context(), f, to); err != nil {
				return fmt.Errorf("%s: %w", shown(to), err)
			}
			a.say("Moved to %s.", shown(to))
			return nil
		},
	}
}
