package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

const makeFolderExample = "stonevault mkdir /letters/2026"

func newMakeFolder(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "mkdir PATH...",
		Short:   "Make folders in the vault",
		Long:    "Makes folders, and those above them. A folder that is there stays as it is.",
		Example: "  " + makeFolderExample,
		Args:    operands(1, -1, "the paths in the vault", makeFolderExample),
		RunE: func(cmd *cobra.Command, args []string) error {
			paths, err := nodePaths(args)
			if err != nil {
				return err
			}
			c, _, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			return each(cmd.Context(), len(paths), 1, func(ctx context.Context, i int) error {
				if _, err := c.MakeFolder(ctx, paths[i]); err != nil {
					return fmt.Errorf("%s: %w", shown(paths[i]), err)
				}
				return nil
			})
		},
	}
}
