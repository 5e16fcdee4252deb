package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/internal/client"
)

const verifyExample = "stonevault verify /letters"

func newVerify(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify PATH...",
		Short: "Let the server read and check everything",
		Long: `Lets the server read files, or folders with all that is in them, from end to end, and reports whether they
are exactly what was sealed. The exit code is 2 where one is not, and 3 where one could not be checked.`,
		Example: "  " + verifyExample,
		Args:    operands(1, -1, "the paths in the vault", verifyExample),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.verify(cmd.Context(), args, asJSON) },
	}
	addJSON(cmd, &asJSON)
	return cmd
}

func (a *app) verify(ctx context.Context, args []string, asJSON bool) error {
	c, _, err := a.connect(ctx)
	if unanswered(err) {
		return unchecked(args[0], err)
	}
	if err != nil {
		return err
	}
	var nodes []*api.File
	for _, arg := range args {
		path, err := nodePath(arg)
		if err != nil {
			return err
		}
		if nodes, err = filesAt(ctx, c, path, nodes); err != nil {
			return unchecked(path, err)
		}
	}
	reports := make([]*api.VerifyReport, len(nodes))
	bars := a.newProgress()
	var total int64
	for _, n := range nodes {
		total += n.Size
	}
	bar := bars.bar("checking", total)
	err = each(ctx, len(nodes), parallel, func(ctx context.Context, i int) error {
		defer bar.add(nodes[i].Size)
		report, err := c.Verify(ctx, nodes[i])
		if err != nil {
			return unchecked(nodes[i].Path, err)
		}
		if reports[i] = report; !report.Ok {
			return fmt.Errorf("%s: %w: %s", shown(nodes[i].Path), client.ErrRefused, report.Error)
		}
		return nil
	})
	bar.end()
	bars.wait()
	if asJSON {
		return errors.Join(err, writeItems(a.stdout, reports))
	}
	sound := int64(0)
	for _, r := range reports {
		if r != nil && r.Ok {
			sound++
		}
	}
	a.say("%s sound, of %d.", counted(sound, "file is", "files are"), len(nodes))
	return err
}

// filesAt appends the files at and below a path.
func filesAt(ctx context.Context, c *client.Client, path string, nodes []*api.File) ([]*api.File, error) {
	if path != "/" {
		node, err := c.Lookup(ctx, path)
		if err != nil {
			return nil, err
		}
		if node.Kind == api.KindFile {
			return append(nodes, node), nil
		}
	}
	for node, err := range c.List(ctx, client.ListQuery{Folder: path}) {
		if err != nil {
			return nil, err
		}
		if node.Kind == api.KindFile {
			nodes = append(nodes, &node)
		} else if nodes, err = filesAt(ctx, c, node.Path, nodes); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// unchecked tells what could not be checked from what is not there.
func unchecked(path string, err error) error {
	if unanswered(err) {
		return fmt.Errorf("%s %w: %w", shown(path), errUnchecked, err)
	}
	return fmt.Errorf("%s: %w", shown(path), err)
}

// unanswered tells whether the server could not be asked, or could not answer, which says nothing of what it has.
func unanswered(err error) bool {
	var problem *client.Problem
	return errors.Is(err, client.ErrUnreachable) ||
		errors.As(err, &problem) && problem.Status >= http.StatusInternalServerError && !errors.Is(err, client.ErrLogRewritten)
}
