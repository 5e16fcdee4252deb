package main

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/internal/client"
)

const listExample = "stonevault ls /letters"

type listFlags struct {
	long  bool
	json  bool
	sort  string
	limit int
}

func newList(a *app) *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use:   "ls [PATH]",
		Short: "List a folder of the vault",
		Long: `Lists a folder, "/" without a PATH. Folders end in "/". -l shows permissions, size in bytes and
modification time as well.`,
		Example: "  " + listExample + "\n  stonevault ls -l --sort -size /photos",
		Args:    operands(0, 1, "one path", listExample),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"/"}
			}
			return a.list(cmd.Context(), f, args[0])
		},
	}
	cmd.Flags().BoolVarP(&f.long, "long", "l", false, "show permissions, size and time")
	cmd.Flags().StringVar(&f.sort, "sort", "name", "`FIELDS` separated by commas, \"-\" before one reverses it: name, size, media_type, modified_at, created_at")
	complete(cmd, "sort", "name", "-name", "size", "-size", "modified_at", "-modified_at", "created_at", "-created_at", "media_type")
	cmd.Flags().IntVar(&f.limit, "limit", 0, "show at most `N`; 0 is all")
	addJSON(cmd, &f.json)
	return cmd
}

func (a *app) list(ctx context.Context, f listFlags, arg string) error {
	if f.limit < 0 {
		return misuse("--limit 20", "a limit is 0 or more, unlike %d", f.limit)
	}
	path, err := nodePath(arg)
	if err != nil {
		return err
	}
	c, _, err := a.connect(ctx)
	if err != nil {
		return err
	}
	if path != "/" {
		node, err := c.Lookup(ctx, path)
		if err != nil {
			return fmt.Errorf("%s: %w", shown(path), err)
		}
		if node.Kind == api.KindFile {
			return a.writeList(f, []*api.File{node})
		}
	}
	var nodes []*api.File
	for node, err := range c.List(ctx, client.ListQuery{Folder: path, Sort: f.sort}) {
		if err != nil {
			return fmt.Errorf("%s: %w", shown(path), err)
		}
		if nodes = append(nodes, &node); f.limit > 0 && len(nodes) == f.limit {
			break
		}
	}
	return a.writeList(f, nodes)
}

func (a *app) writeList(f listFlags, nodes []*api.File) error {
	if f.json {
		return writeItems(a.stdout, nodes)
	}
	width := 0
	for _, n := range nodes {
		width = max(width, len(strconv.FormatInt(n.Size, 10)))
	}
	w := bufio.NewWriter(a.stdout)
	for _, n := range nodes {
		name := shown(n.Name)
		if n.Kind == api.KindFolder {
			name += "/"
		}
		switch {
		case !f.long:
			fmt.Fprintln(w, name)
		case n.Kind == api.KindFolder:
			fmt.Fprintf(w, "d---------  %*s  %16s  %s\n", width, "-", "-", name)
		default:
			fmt.Fprintf(w, "%s  %*d  %s  %s\n", permissions(n.Mode), width, n.Size, n.ModifiedAt.Local().Format("2006-01-02 15:04"), name)
		}
	}
	return w.Flush()
}

// permissions shows octal permission bits as ls does.
func permissions(octal string) string {
	mode, err := strconv.ParseUint(octal, 8, 32)
	if err != nil {
		return octal
	}
	return strings.ToLower((fs.FileMode(mode) & fs.ModePerm).String())
}
