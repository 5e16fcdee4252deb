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
	transferFlags
	out      string
	force    bool
	noResume bool
}

func newGet(a *app) *cobra.Command {
	var f getFlags
	cmd := &cobra.Command{
		Use:   "get PATH... [-o FILE]",
		Short: "Get files from the vault",
		Long: `Gets files, or folders with all that is in them. Nothing appears at a file's name before all of it has
arrived. Modification times and permission bits are kept.

A transfer that the network or the server interrupts goes on by itself, and says so. Files of 8 MiB and more go on
where they stood, also when the program is started again for the same file, as long as it is the same in the vault:
until then what has arrived is in .NAME.stonevault-partial beside the file, which nobody else may read. --no-resume
keeps nothing.

-o names the file, or an existing folder to put things into; "-" is a pipe. Without it everything goes into the
current folder under its own name.`,
		Example: "  " + getExample + "\n  stonevault get /2026 -o backup\n  stonevault get /plans.tar -o - | tar x",
		Args:    operands(1, -1, "the paths in the vault", getExample),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.get(cmd.Context(), f, args) },
	}
	cmd.Flags().StringVarP(&f.out, "output", "o", "", "write to `FILE`, or into that folder; \"-\" is a pipe")
	cmd.Flags().BoolVar(&f.force, "force", false, "replace files that exist")
	cmd.Flags().BoolVar(&f.noResume, "no-resume", false, "begin anew, and keep nothing of what is interrupted")
	f.transferFlags.add(cmd)
	return cmd
}

// getItem is one thing to get.
type getItem struct {
	path   string
	local  string
	folder bool
}

func (a *app) get(ctx context.Context, f getFlags, args []string) error {
	into, target, err := getTarget(f.out, len(args))
	if err != nil {
		return err
	}
	if err := f.apply(a); err != nil {
		return err
	}
	c, p, err := a.connect(ctx)
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
	job := &getJob{a: a, f: f, c: c, profile: p, bars: a.newProgress()}
	err = each(ctx, len(items), f.jobs, func(ctx context.Context, i int) error {
		if err := job.one(ctx, items[i]); err != nil {
			return fmt.Errorf("%s: %w", shown(items[i].path), err)
		}
		return nil
	})
	job.bars.wait()
	if target != pipeName {
		a.say("Got %s, %s.", counted(job.files.Load(), "file", "files"), sized(job.bytes.Load()))
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
			return []getItem{{path: node.Path, local: local}}, nil
		}
	}
	if target == pipeName {
		return nil, misuse("stonevault get "+shown(arg)+" -o FOLDER", "a folder cannot go into a pipe")
	}
	items, err := findBelow(ctx, c, p, local)
	return append([]getItem{{path: p, local: local, folder: true}}, items...), err
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
		items = append(items, getItem{node.Path, place, node.Kind == api.KindFolder})
		if node.Kind == api.KindFolder {
			below, err := findBelow(ctx, c, node.Path, place)
			if err != nil {
				return nil, err
			}
			items = append(items, below...)
		}
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

// getJob is one run of get.
type getJob struct {
	a            *app
	f            getFlags
	c            *client.Client
	profile      *profile
	bars         *progress
	files, bytes atomic.Int64
}

// one gets one thing.
func (j *getJob) one(ctx context.Context, item getItem) error {
	if item.folder {
		return j.a.makeFolders(item.local)
	}
	if dir := filepath.Dir(item.local); item.local != pipeName {
		if err := j.a.makeFolders(dir); err != nil {
			return err
		}
	}
	out, err := j.a.createOutput(item.local, j.f.force)
	if err != nil {
		return err
	}
	defer out.abort()
	var part *partial
	if !out.stream {
		if part, err = j.a.openPartial(j.profile, item); err != nil {
			return err
		}
		defer part.close()
		if j.f.noResume {
			part.discard()
			part = nil
		}
	}
	d, err := j.begin(ctx, item.path, part)
	if err != nil {
		return err
	}
	defer d.Close()
	bar := j.bars.bar(item.path, d.Size)
	defer bar.end()
	w := io.Writer(&counter{out.writer(), bar})
	if part.begin(d, out) {
		bar.add(part.at)
		w = &counter{part, bar}
	}
	if err := d.Copy(ctx, w); err != nil {
		if out.stream {
			err = fmt.Errorf("%w; what was written to the output so far is genuine and incomplete: throw it away", err)
		} else if part.keep(err) {
			j.a.say("What has arrived of %s is kept; run the same command again to go on.", shown(item.path))
		}
		return err
	}
	if err := part.settle(); err != nil {
		return fileError("write", item.local, err)
	}
	if err := out.commit(attributes{fs.FileMode(d.Mode), d.ModifiedAt}); err != nil {
		return err
	}
	part.finish()
	j.files.Add(1)
	j.bytes.Add(d.Size)
	return nil
}

// begin fetches what is left of a file, or all of it where that is not the same file any more.
func (j *getJob) begin(ctx context.Context, path string, part *partial) (*client.Download, error) {
	if from := part.position(); from != nil {
		d, err := j.c.Get(ctx, path, from)
		switch {
		case errors.Is(err, client.ErrChanged):
			j.a.say("%s has changed in the vault since a part of it arrived; all of it is fetched anew.", shown(path))
			part.discard()
		case errors.Is(err, client.ErrRefused), errors.Is(err, client.ErrNotFound):
			part.discard()
			return nil, err
		default:
			return d, err
		}
	}
	return j.c.Get(ctx, path, nil)
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
