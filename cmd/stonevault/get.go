package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/internal/client"
)

const getExample = "stonevault get /letters/letter.txt -o letter.txt"

type getFlags struct {
	out   string
	force bool
}

func newGet(a *app) *cobra.Command {
	var f getFlags
	cmd := &cobra.Command{
		Use:   "get PATH... [-o FILE]",
		Short: "Get files from the vault",
		Long: `Gets files, or folders with all that is in them. Nothing appears at a file's name before all of it has
arrived. Modification times and permission bits are kept.

-o names the file, or an existing folder to put things into; "-" is a pipe. Without it everything goes into the
current folder under its own name.`,
		Example: "  " + getExample + "\n  stonevault get /2026 -o backup\n  stonevault get /plans.tar -o - | tar x",
		Args:    operands(1, -1, "the paths in the vault", getExample),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.get(cmd.Context(), f, args) },
	}
	cmd.Flags().StringVarP(&f.out, "output", "o", "", "write to `FILE`, or into that folder; \"-\" is a pipe")
	cmd.Flags().BoolVar(&f.force, "force", false, "replace files that exist")
	return cmd
}

// getItem is one file to get.
type getItem struct {
	path  string
	local string
}

func (a *app) get(ctx context.Context, f getFlags, args []string) error {
	into, target, err := getTarget(f.out, len(args))
	if err != nil {
		return err
	}
	c, _, err := a.connect()
	if err != nil {
		return err
	}
	var items []getItem
	for _, arg := range args {
		found, err := find(ctx, c, arg, into, target)
		if err != nil {
			return fmt.Errorf("%s: %w", shown(arg), err)
		}
		items = append(items, found...)
	}
	bars := a.newProgress()
	var files, bytes atomic.Int64
	err = each(ctx, len(items), parallel, func(ctx context.Context, i int) error {
		n, err := a.getOne(ctx, c, items[i], f.force, bars)
		if err != nil {
			return fmt.Errorf("%s: %w", shown(items[i].path), err)
		}
		files.Add(1)
		bytes.Add(n)
		return nil
	})
	bars.wait()
	if target != pipeName {
		a.say("Got %s, %s.", counted(files.Load(), "file", "files"), sized(bytes.Load()))
	}
	return err
}

// getTarget says which folder things go into, or which file the one thing becomes.
func getTarget(out string, things int) (into, target string, err error) {
	if out == "" {
		return ".", "", nil
	}
	if out != pipeName {
		if info, err := os.Stat(out); err == nil && info.IsDir() {
			return out, "", nil
		}
	}
	if things > 1 {
		return "", "", misuse("mkdir FOLDER; stonevault get PATH PATH -o FOLDER", "several things need an existing folder to go into, unlike %s", shown(out))
	}
	return "", out, nil
}

// find lists the files at a path, with the places where they go.
func find(ctx context.Context, c *client.Client, arg, into, target string) ([]getItem, error) {
	p, err := nodePath(arg)
	if err != nil {
		return nil, err
	}
	local := target
	if local == "" {
		local = into
		if p != "/" {
			if local, err = localChild(into, path.Base(p)); err != nil {
				return nil, err
			}
		}
	}
	if p != "/" {
		node, err := c.Lookup(ctx, p)
		if err != nil {
			return nil, err
		}
		if node.Kind == api.KindFile {
			return []getItem{{node.Path, local}}, nil
		}
	}
	if target == pipeName {
		return nil, misuse("stonevault get "+shown(arg)+" -o FOLDER", "a folder cannot go into a pipe")
	}
	return findBelow(ctx, c, p, local)
}

func findBelow(ctx context.Context, c *client.Client, folder, local string) (items []getItem, err error) {
	for node, err := range c.List(ctx, client.ListQuery{Folder: folder}) {
		if err != nil {
			return nil, err
		}
		place, err := localChild(local, node.Name)
		if err != nil {
			return nil, err
		}
		below := []getItem{{node.Path, place}}
		if node.Kind == api.KindFolder {
			if below, err = findBelow(ctx, c, node.Path, place); err != nil {
				return nil, err
			}
		}
		items = append(items, below...)
	}
	return items, nil
}

// localChild is where a name from the server goes; it never leads out of the folder.
func localChild(folder, name string) (string, error) {
	if !filepath.IsLocal(name) || strings.ContainsRune(name, filepath.Separator) {
		return "", fmt.Errorf("this system cannot keep a file called %s; get it alone with -o", shown(name))
	}
	return filepath.Join(folder, name), nil
}

func (a *app) getOne(ctx context.Context, c *client.Client, item getItem, force bool, bars *progress) (int64, error) {
	if dir := filepath.Dir(item.local); item.local != pipeName {
		if err := a.makeFolders(dir); err != nil {
			return 0, err
		}
	}
	out, err := a.createOutput(item.local, force)
	if err != nil {
		return 0, err
	}
	defer out.abort()
	d, err := c.Get(ctx, item.path)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	bar := bars.bar(item.path, d.Size)
	defer bar.end()
	if err := d.Copy(ctx, &counter{out.writer(), bar}); err != nil {
		if out.stream {
			err = fmt.Errorf("%w; what was written to the output so far is genuine and incomplete: throw it away", err)
		}
		return 0, err
	}
	return d.Size, out.commit(attributes{fs.FileMode(d.Mode), d.ModifiedAt})
}

// makeFolders makes a folder and those above it, as the person's umask would have them.
func (a *app) makeFolders(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := a.makeFolders(parent); err != nil {
			return err
		}
	}
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		err = os.Chmod(dir, 0o777&^a.umask)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fileError("make", dir, err)
	}
	return nil
}

// counter shows on a bar what passes.
type counter struct {
	w   io.Writer
	bar *bar
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.bar.add(int64(n))
	return n, err
}
