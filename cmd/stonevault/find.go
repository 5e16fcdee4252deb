package main

import (
	"bufio"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/internal/client"
)

const findExample = "stonevault find /letters --name ann"

type findFlags struct {
	name  string
	kind  string
	media string
	json  bool
}

func newFind(a *app) *cobra.Command {
	var f findFlags
	cmd := &cobra.Command{
		Use:   "find [PATH]",
		Short: "Search a folder of the vault and all below it",
		Long: `Prints the path of everything in a folder, "/" without a PATH, and in the folders in it. Folders end in "/".
The flags narrow it down.`,
		Example: "  " + findExample + "\n  stonevault find --kind file --type image/ --json",
		Args:    operands(0, 1, "one path", findExample),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"/"}
			}
			return a.find(cmd.Context(), f, args[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.name, "name", "", "only names with `TEXT` in them; ASCII letters match in either case")
	flags.StringVar(&f.kind, "kind", "", "only this `KIND`: file or folder")
	complete(cmd, "kind", string(api.KindFile), string(api.KindFolder))
	flags.StringVar(&f.media, "type", "", "only this media `TYPE`, or all that begin with it where it ends in \"/\"")
	addJSON(cmd, &f.json)
	return cmd
}

func (a *app) find(ctx context.Context, f findFlags, arg string) error {
	path, err := nodePath(arg)
	if err != nil {
		return err
	}
	if f.kind != "" && f.kind != string(api.KindFile) && f.kind != string(api.KindFolder) {
		return misuse("--kind file", "kind %s is unknown; there are file and folder", shown(f.kind))
	}
	c, _, err := a.connect(ctx)
	if err != nil {
		return err
	}
	var found []*api.File
	w := bufio.NewWriter(a.stdout)
	for node, err := range c.Find(ctx, client.FindQuery{Folder: path, Name: f.name, MediaType: f.media, Kind: f.kind}) {
		if err != nil {
			w.Flush()
			return fmt.Errorf("%s: %w", shown(path), err)
		}
		if f.json {
			found = append(found, &node)
			continue
		}
		name := shown(node.Path)
		if node.Kind == api.KindFolder {
			name += "/"
		}
		fmt.Fprintln(w, name)
	}
	if f.json {
		return writeItems(a.stdout, found)
	}
	return w.Flush()
}
