package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/internal/client"
)

const putExample = "stonevault put letter.txt --as /letters/letter.txt"

type putFlags struct {
	as      string
	class   string
	replace bool
	follow  bool
	json    bool
}

func newPut(a *app) *cobra.Command {
	var f putFlags
	cmd := &cobra.Command{
		Use:   "put FILE...",
		Short: "Put files into the vault",
		Long: `Puts files, folders with all that is in them, or standard input ("-", with --as) into the vault.
Folders on the way appear as needed. Modification times and permission bits are kept.

--as names the path in the vault. Where it ends in "/", it is a folder to put things into. Without it everything
goes to "/" under its own name.

In folders, symbolic links are skipped with a notice unless --follow is given; empty folders and special files
are skipped with a notice always.`,
		Example: "  " + putExample + `
  stonevault put photos --as /2026/
  tar c plans | stonevault put - --as /plans.tar --class restricted`,
		Args: operands(1, -1, "the files to put", putExample),
		RunE: func(cmd *cobra.Command, args []string) error { return a.put(cmd.Context(), f, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.as, "as", "", "the `PATH` in the vault; a folder where it ends in \"/\"")
	addClass(cmd, &f.class)
	flags.BoolVar(&f.replace, "replace", false, "replace what is there; the versions before are kept")
	flags.BoolVar(&f.follow, "follow", false, "follow symbolic links in folders")
	addJSON(cmd, &f.json)
	return cmd
}

// putItem is one file to put.
type putItem struct {
	local string // "-" for standard input
	path  string
}

func (a *app) put(ctx context.Context, f putFlags, args []string) error {
	if err := checkClass(f.class); err != nil {
		return err
	}
	walk := &putWalk{a: a, follow: f.follow}
	if err := walk.all(f.as, args); err != nil {
		return err
	}
	c, _, err := a.connect()
	if err != nil {
		return err
	}
	bars := a.newProgress()
	done := make([]*api.File, len(walk.items))
	var files, bytes atomic.Int64
	err = each(ctx, len(walk.items), parallel, func(ctx context.Context, i int) error {
		file, err := a.putOne(ctx, c, f, walk.items[i], bars)
		if err != nil {
			return fmt.Errorf("%s: %w", shown(walk.items[i].local), err)
		}
		done[i] = file
		files.Add(1)
		bytes.Add(file.Size)
		return nil
	})
	bars.wait()
	if f.json {
		err = errors.Join(err, writeItems(a.stdout, done))
	}
	a.say("Put %s, %s.", counted(files.Load(), "file", "files"), sized(bytes.Load()))
	return err
}

func (a *app) putOne(ctx context.Context, c *client.Client, f putFlags, item putItem, bars *progress) (*api.File, error) {
	in, err := a.openInput(item.local)
	if err != nil {
		return nil, err
	}
	defer in.close()
	bar := bars.bar(item.path, in.size)
	defer bar.end()
	file, err := c.Put(ctx, client.Upload{
		Path: item.path, Body: in.file, Size: in.size, Replace: f.replace, ModifiedAt: in.modified,
		Mode: uint32(in.mode), Class: f.class, Progress: bar.add,
	})
	if errors.Is(err, client.ErrExists) && !f.replace {
		err = fmt.Errorf("%w; add --replace to put a new version over it", err)
	}
	return file, err
}

// putWalk finds what is to be put before anything is, so that a name that cannot be kept stops it all.
type putWalk struct {
	a      *app
	follow bool
	items  []putItem
	within []fs.FileInfo // the folders that are being walked, against links that lead back
}

// all resolves the command line.
func (w *putWalk) all(as string, args []string) error {
	folder, target := "/", ""
	if as != "" {
		p, err := vaultPath(as)
		if err != nil {
			return err
		}
		if strings.HasSuffix(p, "/") {
			folder = p
		} else {
			target = p
		}
	}
	if len(args) > 1 && target != "" {
		return misuse("--as "+shown(as)+"/", "several things need a folder to go into; let --as end in \"/\"")
	}
	for _, arg := range args {
		if arg == pipeName {
			if target == "" {
				return misuse("tar c plans | stonevault put - --as /plans.tar", "say with --as what standard input is called")
			}
			w.items = append(w.items, putItem{pipeName, target})
			continue
		}
		info, err := os.Stat(arg)
		if err != nil {
			return fileError("read", arg, err)
		}
		path := target
		if path == "" {
			abs, err := filepath.Abs(arg)
			if err != nil {
				return err
			}
			if path, err = w.child(folder, filepath.Base(abs), arg); err != nil {
				return err
			}
		}
		if err := w.add(arg, path, info); err != nil {
			return err
		}
	}
	return nil
}

// child checks a name that will be kept in the vault.
func (w *putWalk) child(folder, name, local string) (string, error) {
	if !utf8.ValidString(name) {
		return "", fmt.Errorf("the name %s is not UTF-8, which the vault keeps names in; rename it, or put it alone with --as", shown(local))
	}
	if name == string(filepath.Separator) {
		return "", misuse("stonevault put / --as /everything", "say with --as what %s is called", shown(local))
	}
	return childPath(folder, name), nil
}

func (w *putWalk) add(local, path string, info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		w.items = append(w.items, putItem{local, path})
		return nil
	case mode.IsDir():
		return w.dir(local, path, info)
	default:
		w.a.say("Skipped %s, which is no file or folder.", shown(local))
		return nil
	}
}

func (w *putWalk) dir(local, path string, info fs.FileInfo) error {
	for _, above := range w.within {
		if os.SameFile(above, info) {
			w.a.say("Skipped %s, which leads back to a folder above it.", shown(local))
			return nil
		}
	}
	w.within = append(w.within, info)
	defer func() { w.within = w.within[:len(w.within)-1] }()
	entries, err := os.ReadDir(local)
	if err != nil {
		return fileError("read", local, err)
	}
	if len(entries) == 0 {
		w.a.say("Skipped %s, which is empty: the vault keeps folders for what is in them.", shown(local))
	}
	for _, e := range entries {
		name := filepath.Join(local, e.Name())
		child, err := w.child(path, e.Name(), name)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			if !w.follow {
				w.a.say("Skipped %s, which is a symbolic link; --follow follows it.", shown(name))
				continue
			}
			info, err = os.Stat(name)
		}
		if err != nil {
			return fileError("read", name, err)
		}
		if err := w.add(name, child, info); err != nil {
			return err
		}
	}
	return nil
}
