package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"stonevault/internal/client"
	"stonevault/stone"
)

const (
	// parallel is how many transfers run at once where nobody says otherwise, and maxParallel how many can.
	parallel    = 4
	maxParallel = 64
	// patience is how long a transfer waits for a network or server that fails.
	patience = 10 * time.Minute
)

// transferFlags are those of every verb that moves files.
type transferFlags struct {
	jobs  int
	retry time.Duration
}

func (f *transferFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVarP(&f.jobs, "jobs", "j", parallel, "how many files `N` to transfer at once")
	cmd.Flags().DurationVar(&f.retry, "retry", patience, "how long to wait, in all, for a network or server that fails before giving up; 0 gives up at once")
}

// apply checks the flags.
func (f *transferFlags) apply(a *app) error {
	if f.jobs < 1 || f.jobs > maxParallel {
		return misuse("-j 4", "-j is 1 to %d, unlike %d", maxParallel, f.jobs)
	}
	if f.retry < 0 {
		return misuse("--retry 10m", "--retry is 0 or more, unlike %s", f.retry)
	}
	a.patience = f.retry
	return nil
}

// waiting says why nothing moves.
func (a *app) waiting(what string, err error, d time.Duration) {
	if what != "" {
		what = shown(what) + ": "
	}
	a.say("%s%v; trying again in %.0f s", what, err, math.Ceil(d.Seconds()))
}

// vaultPath reads a path in the vault from the command line.
func vaultPath(arg string) (string, error) {
	p := arg
	if rest, ok := strings.CutPrefix(arg, "sv:"); ok {
		p = rest
	}
	if !strings.HasPrefix(p, "/") {
		return "", misuse("sv:/"+shown(p), "a path in the vault begins with \"/\" or \"sv:/\", unlike %s", shown(arg))
	}
	if !utf8.ValidString(p) {
		return "", fmt.Errorf("the path %s is not UTF-8", shown(p))
	}
	return p, nil
}

// nodePath is vaultPath without a "/" at the end, but for the root.
func nodePath(arg string) (string, error) {
	p, err := vaultPath(arg)
	if err == nil && len(p) > 1 {
		p = strings.TrimRight(p, "/")
		if p == "" {
			p = "/"
		}
	}
	return p, err
}

// nodePaths reads several.
func nodePaths(args []string) ([]string, error) {
	paths := make([]string, len(args))
	for i, arg := range args {
		var err error
		if paths[i], err = nodePath(arg); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// childPath is the path of what is called name in a folder.
func childPath(folder, name string) string { return path.Join(folder, name) }

// hopeless are failures after which the rest would fail too.
var hopeless = []error{client.ErrNotSignedIn, client.ErrUnreachable, context.Canceled}

// each does things 0 to n-1, atOnce of them at once, and goes on after failures that say nothing about the
// others.
func each(ctx context.Context, n, atOnce int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var failures []error
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			err := do(ctx, i)
			if err == nil {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, context.Canceled) && len(failures) > 0 {
				return nil // stopped because of another's failure
			}
			failures = append(failures, err)
			if slices.ContainsFunc(hopeless, func(end error) bool { return errors.Is(err, end) }) {
				cancel()
			}
			return nil
		})
	}
	group.Wait()
	return errors.Join(failures...)
}

// writeItems prints what there is of a list as JSON.
func writeItems[T any](w io.Writer, list []*T) error {
	items := []*T{}
	for _, item := range list {
		if item != nil {
			items = append(items, item)
		}
	}
	return writeJSON(w, map[string]any{"items": items})
}

// some returns at most so many of what comes page after page, 0 for all.
func some[T any](list iter.Seq2[T, error], limit int) (items []*T, err error) {
	for item, err := range list {
		if err != nil {
			return nil, err
		}
		if items = append(items, &item); limit > 0 && len(items) == limit {
			break
		}
	}
	return items, nil
}

// listing are the flags of a verb that lists things.
type listing struct {
	limit int
	json  bool
}

func (l *listing) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&l.limit, "limit", 0, "show at most `N`; 0 is all")
	addJSON(cmd, &l.json)
}

func (l *listing) check() error {
	if l.limit < 0 {
		return misuse("--limit 20", "a limit is 0 or more, unlike %d", l.limit)
	}
	return nil
}

// listVerb makes a verb without operands that lists all of something, a line each.
func listVerb[T any](a *app, cmd *cobra.Command, list func(*client.Client, context.Context) iter.Seq2[T, error], cells func(*T) []string) *cobra.Command {
	var f listing
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.check(); err != nil {
			return err
		}
		c, _, err := a.connect(cmd.Context())
		if err != nil {
			return err
		}
		items, err := some(list(c, cmd.Context()), f.limit)
		if err != nil {
			return err
		}
		if f.json {
			return writeItems(a.stdout, items)
		}
		t := newTable(a.stdout)
		for _, item := range items {
			t.line(cells(item)...)
		}
		return t.Flush()
	}
	f.add(cmd)
	return cmd
}

// addClass adds --class.
func addClass(cmd *cobra.Command, v *string) {
	cmd.Flags().StringVar(v, "class", string(stone.ClassNormal), "normal, or `restricted`: hides the exact size by padding, and does not compress")
	complete(cmd, "class", string(stone.ClassNormal), string(stone.ClassRestricted))
}

func checkClass(class string) error {
	if c := stone.Class(class); c != stone.ClassNormal && c != stone.ClassRestricted {
		return misuse("--class restricted", "class %s is unknown; there are normal and restricted", shown(class))
	}
	return nil
}

// complete says what a shell offers for a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // there is no such flag
	}
}

func addJSON(cmd *cobra.Command, v *bool) { cmd.Flags().BoolVar(v, "json", false, "print JSON") }
