package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/internal/client"
)

const putExample = "stonevault put letter.txt --as /letters/letter.txt"

type putFlags struct {
	transferFlags
	as      string
	class   string
	replace bool
	update  bool
	dryRun  bool
	follow  bool
	exclude []string
	noProof bool
	json    bool
}

func newPut(a *app) *cobra.Command {
	var f putFlags
	cmd := &cobra.Command{
		Use:   "put FILE...",
		Short: "Put files into the vault",
		Long: `Puts files, folders with all that is in them, or standard input ("-", with --as) into the vault.
Folders on the way appear as needed. Modification times and permission bits of files are kept, and empty folders are.

--as names the path in the vault. Where it ends in "/", it is a folder to put things into. Without it everything
goes to "/" under its own name.

-u puts only what is not there yet, or is there with another size or modification time, which gets a new version.

--exclude leaves out what is in a folder and matches a PATTERN: "*" and "?" stand for characters, "[a-z]" for one of
several, "{a,b}" for either. A pattern without "/" is compared with every name, at any depth. With a "/" at its
beginning or inside, it is compared with the whole way from the folder that was named, and "**" stands for any number
of folders: "/build/**/*.o". With a "/" at its end it matches folders only. What is named itself is never left out.

A transfer that the network or the server interrupts goes on by itself, and says so. Files of 8 MiB and more go on
where they stood, also when the program is started again with the same file for the same path; a file that has
changed since begins anew. Standard input cannot go on.

Of each file that was put the receipt of the audit log is fetched, checked and kept, unless --no-receipts is given:
it proves what was put and when, without the server. "stonevault audit verify" holds the log against it later.

In folders, symbolic links are skipped with a notice unless --follow is given; special files are skipped with a
notice always.`,
		Example: "  " + putExample + `
  stonevault put photos --as /2026/ -u --exclude '*.tmp' --exclude /cache/
  tar c plans | stonevault put - --as /plans.tar --class restricted`,
		Args: operands(1, -1, "the files to put", putExample),
		RunE: func(cmd *cobra.Command, args []string) error { return a.put(cmd.Context(), f, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.as, "as", "", "the `PATH` in the vault; a folder where it ends in \"/\"")
	addClass(cmd, &f.class)
	flags.BoolVar(&f.replace, "replace", false, "replace what is there; the versions before are kept")
	flags.BoolVarP(&f.update, "update", "u", false, "put only what is not there with the same size and time")
	flags.StringArrayVar(&f.exclude, "exclude", nil, "leave out what matches `PATTERN`; may be repeated")
	flags.BoolVar(&f.follow, "follow", false, "follow symbolic links in folders")
	flags.BoolVarP(&f.dryRun, "dry-run", "n", false, "show what would be put, and put nothing")
	flags.BoolVar(&f.noProof, "no-receipts", false, "keep no receipts of the audit log")
	f.transferFlags.add(cmd)
	addJSON(cmd, &f.json)
	return cmd
}

// What becomes of a file.
const (
	putNew       = "new"       // there is nothing at its path
	putReplace   = "replace"   // what is there becomes an older version
	putUnchanged = "unchanged" // it is there
	putInTheWay  = "exists"    // what is there stays, and the put fails
)

// putJob is one run of put.
type putJob struct {
	a       *app
	f       putFlags
	c       *client.Client
	profile *profile
	bars    *progress
	unseen  sync.Once // it was said that no receipts may be fetched

	mu     sync.Mutex // guards what follows
	counts map[string]int64
	bytes  int64
}

func (a *app) put(ctx context.Context, f putFlags, args []string) error {
	if err := checkClass(f.class); err != nil {
		return err
	}
	if err := f.apply(a); err != nil {
		return err
	}
	exclude, err := newExclusion(f.exclude)
	if err != nil {
		return err
	}
	walk := &putWalk{a: a, follow: f.follow, exclude: exclude}
	if err := walk.all(f.as, args); err != nil {
		return err
	}
	c, p, err := a.connect(ctx)
	if err != nil {
		return err
	}
	job := &putJob{a: a, f: f, c: c, profile: p, counts: map[string]int64{}}
	if f.dryRun {
		return job.show(ctx, walk.items)
	}
	job.bars = a.newProgress()
	done := make([]*putResult, len(walk.items))
	err = each(ctx, len(walk.items), f.jobs, func(ctx context.Context, i int) (err error) {
		if done[i], err = job.one(ctx, walk.items[i]); err != nil {
			return fmt.Errorf("%s: %w", shown(walk.items[i].local), err)
		}
		return nil
	})
	job.bars.wait()
	if !f.noProof {
		err = errors.Join(err, job.receipts(ctx, done, err))
	}
	if f.json {
		err = errors.Join(err, writeItems(a.stdout, done))
	}
	job.sum()
	return err
}

// sum says what was done.
func (j *putJob) sum() {
	text := fmt.Sprintf("Put %s, %s", counted(j.counts[putNew], "file", "files"), sized(j.bytes))
	if n := j.counts["folder"]; n > 0 {
		text += "; " + counted(n, "empty folder", "empty folders")
	}
	if n := j.counts[putUnchanged]; n > 0 {
		text += fmt.Sprintf("; %d unchanged", n)
	}
	j.a.say("%s.", text)
}

func (j *putJob) counted(what string, bytes int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counts[what]++
	j.bytes += bytes
}

// decide compares a file with what is at its path, which is nil where there is nothing.
func (j *putJob) decide(ctx context.Context, item putItem, in *input) (string, *api.File, error) {
	there, err := j.c.Lookup(ctx, item.path)
	switch {
	case errors.Is(err, client.ErrNotFound):
		return putNew, nil, nil
	case err != nil:
		return "", nil, err
	case there.Kind == api.KindFolder:
		if item.folder {
			return putUnchanged, there, nil
		}
		return putInTheWay, there, nil
	case j.f.update && !item.folder && there.Size == in.size && client.SameTime(there.ModifiedAt, in.modified):
		return putUnchanged, there, nil
	case !item.folder && (j.f.update || j.f.replace):
		return putReplace, there, nil
	}
	return putInTheWay, there, nil
}

// putResult is what became of one thing.
type putResult struct {
	*api.File
	// Event is the id of the audit log's event about it, and Index its place in the log; neither is there for what
	// was not put now.
	Event int64  `json:"event,omitempty"`
	Index *int64 `json:"event_index,omitempty"`

	put bool // a file was put now
}

// one puts one thing.
func (j *putJob) one(ctx context.Context, item putItem) (*putResult, error) {
	if item.folder {
		folder, err := j.c.MakeFolder(ctx, item.path)
		if err != nil {
			return nil, err
		}
		j.counted("folder", 0)
		return &putResult{File: folder}, nil
	}
	in, err := j.a.openInput(item.local)
	if err != nil {
		return nil, err
	}
	defer in.close()
	if j.f.update {
		what, there, err := j.decide(ctx, item, in)
		if err != nil {
			return nil, err
		}
		if what == putUnchanged {
			j.counted(putUnchanged, 0)
			return &putResult{File: there}, nil
		}
	}
	bar := j.bars.bar(item.path, in.size)
	defer bar.end()
	u := client.Upload{
		Path: item.path, Replace: j.f.replace || j.f.update, ModifiedAt: in.modified, Mode: uint32(in.mode), Class: j.f.class, Progress: bar.add,
	}
	if in.size < 0 {
		u.Body = in.file
	} else {
		u.File, u.Size = in, in.size
	}
	if u.Size >= client.ResumeFrom {
		if u.Memory, err = j.a.uploadMemory(j.profile, item.local, &u); err != nil {
			return nil, err
		}
	}
	file, err := j.c.Put(ctx, u)
	switch {
	case err == nil:
		j.counted(putNew, file.Size)
		return &putResult{File: &file.File, Event: file.Event, put: true}, nil
	case errors.Is(err, client.ErrExists) && !u.Replace:
		err = fmt.Errorf("%w; add --replace to put a new version over it, or -u to put only what has changed", err)
	case u.Memory != nil && errors.Is(err, context.Canceled):
		j.a.say("What was sent of %s is kept for seven days; run the same command again to go on.", shown(item.local))
	}
	return nil, err
}

// putPlan is what a dry run shows of one thing.
type putPlan struct {
	Action string `json:"action"`
	Kind   string `json:"kind"`
	Local  string `json:"local"`
	Path   string `json:"path"`
	Size   int64  `json:"size"`
}

// show is a dry run.
func (j *putJob) show(ctx context.Context, items []putItem) error {
	plans := make([]*putPlan, len(items))
	err := each(ctx, len(items), j.f.jobs, func(ctx context.Context, i int) error {
		plan, err := j.plan(ctx, items[i])
		if err != nil {
			return fmt.Errorf("%s: %w", shown(items[i].local), err)
		}
		plans[i] = plan
		return nil
	})
	if j.f.json {
		return errors.Join(err, writeItems(j.a.stdout, plans))
	}
	for _, p := range plans {
		if p != nil {
			name := shown(p.Path)
			if p.Kind == string(api.KindFolder) {
				name += "/"
			}
			fmt.Fprintf(j.a.stdout, "%-9s  %s\n", p.Action, name)
		}
	}
	return err
}

func (j *putJob) plan(ctx context.Context, item putItem) (*putPlan, error) {
	p := &putPlan{Kind: string(api.KindFile), Local: item.local, Path: item.path}
	in := &input{size: -1}
	if item.folder {
		p.Kind = string(api.KindFolder)
	} else {
		var err error
		if in, err = j.a.openInput(item.local); err != nil {
			return nil, err
		}
		defer in.close()
		p.Size = max(in.size, 0)
	}
	var err error
	p.Action, _, err = j.decide(ctx, item, in)
	return p, err
}
