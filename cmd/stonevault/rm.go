package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

const removeExample = "stonevault rm /letters/draft.txt"

func newRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rm PATH...",
		Short: "Remove files, or empty folders, from the vault",
		Long: `Removes files with all of their versions, and folders that are empty. What was copied elsewhere before, such
as backups, is not reached.`,
		Example: "  " + removeExample,
		Args:    operands(1, -1, "the paths in the vault", removeExample),
		RunE: func(cmd *cobra.Command, args []string) error {
			paths := make([]string, len(args))
			for i, arg := range args {
				var err error
				if paths[i], err = nodePath(arg); err != nil {
					return err
				}
			}
			c, _, err := a.connect()
			if err != nil {
				return err
			}
			// In order, so that a folder can follow what was in it.
			return each(cmd.Context(), len(paths), 1, func(ctx context.Context, i int) error {
				f, err := c.Lookup(ctx, paths[i])
				if err == nil {
					err = c.Remove(ctx, f)
				}
				if err != nil {
					return fmt.Errorf("%s: %w", shown(paths[i]), err)
				}
				a.say("Removed %s.", shown(paths[i]))
				return nil
			})
		},
	}
}
