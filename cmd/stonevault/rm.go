package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/internal/client"
)

const removeExample = "stonevault rm /letters/draft.txt"

func newRemove(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "rm PATH...",
		Short: "Remove files or folders from the vault",
		Long: `Removes files with all of their versions, and folders that are empty, or with -r folders with all that is in
them. What was copied elsewhere before, such as backups, is not reached.`,
		Example: "  " + removeExample + "\n  stonevault rm -r /2019",
		Args:    operands(1, -1, "the paths in the vault", removeExample),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.remove(cmd.Context(), args, func(f *api.File) (bool, error) {
				return all && f.Kind == api.KindFolder, nil
			})
		},
	}
	cmd.Flags().BoolVarP(&all, "recursive", "r", false, "remove folders with all that is in them")
	return cmd
}

const removeFolderExample = "stonevault rmdir /drafts"

func newRemoveFolder(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "rmdir PATH...",
		Short:   "Remove empty folders from the vault",
		Example: "  " + removeFolderExample,
		Args:    operands(1, -1, "the folders in the vault", removeFolderExample),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.remove(cmd.Context(), args, func(f *api.File) (bool, error) {
				if f.Kind != api.KindFolder {
					return false, misuse("stonevault rm "+shown(f.Path), "it is a file, and rmdir is for folders")
				}
				return false, nil
			})
		},
	}
}

// remove removes what lies at paths. check may refuse each thing, and says whether all that is in it goes too.
func (a *app) remove(ctx context.Context, args []string, check func(*api.File) (all bool, err error)) error {
	paths, err := nodePaths(args)
	if err != nil {
		return err
	}
	c, _, err := a.connect(ctx)
	if err != nil {
		return err
	}
	// In order, so that a folder can follow what was in it.
	return each(ctx, len(paths), 1, func(ctx context.Context, i int) error {
		f, err := c.Lookup(ctx, paths[i])
		var all bool
		if err == nil {
			all, err = check(f)
		}
		if err == nil {
			err = c.Remove(ctx, f, all)
		}
		switch {
		case errors.Is(err, client.ErrNotEmpty):
			return misuse("stonevault rm -r "+shown(paths[i]), "%s is not empty", shown(paths[i]))
		case err != nil:
			return fmt.Errorf("%s: %w", shown(paths[i]), err)
		}
		a.say("Removed %s.", shown(paths[i]))
		return nil
	})
}
