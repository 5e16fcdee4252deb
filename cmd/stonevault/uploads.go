package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"stonevault/api"
)

const uploadsExample = "stonevault uploads"

func newUploads(a *app) *cobra.Command {
	var asJSON bool
	var cancel []string
	cmd := &cobra.Command{
		Use:   "uploads",
		Short: "List the uploads that are not complete, or give them up",
		Long: `Lists the uploads that wait for the rest of a file, with how far they have come. "stonevault put" with the same
file for the same path goes on with one. The server forgets an upload that gets nothing for seven days.`,
		Example: "  " + uploadsExample + "\n  stonevault uploads --cancel 5f2b1c0e9a7d43b8a1c2d3e4f5061728",
		Args:    operands(0, 0, "nothing", uploadsExample),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(cancel) > 0 {
				return a.cancelUploads(cmd.Context(), cancel)
			}
			return a.listUploads(cmd.Context(), asJSON)
		},
	}
	cmd.Flags().StringArrayVar(&cancel, "cancel", nil, "give up the upload with this `ID`; may be repeated")
	addJSON(cmd, &asJSON)
	return cmd
}

func (a *app) listUploads(ctx context.Context, asJSON bool) error {
	c, _, err := a.connect(ctx)
	if err != nil {
		return err
	}
	all, err := c.Uploads(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		list := make([]*api.Upload, len(all))
		for i := range all {
			list[i] = &all[i]
		}
		return writeItems(a.stdout, list)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, u := range all {
		of := "?"
		if u.Size != nil {
			of = sized(*u.Size)
		}
		fmt.Fprintf(w, "%s\t%s of %s\tuntil %s\t%s\n", u.ID, sized(u.Offset), of, u.ExpiresAt.Local().Format(time.DateOnly), shown(u.Path))
	}
	return w.Flush()
}

func (a *app) cancelUploads(ctx context.Context, ids []string) error {
	c, _, err := a.connect(ctx)
	if err != nil {
		return err
	}
	return each(ctx, len(ids), 1, func(ctx context.Context, i int) error {
		if err := c.CancelUpload(ctx, ids[i]); err != nil {
			return fmt.Errorf("%s: %w", shown(ids[i]), err)
		}
		a.say("Gave up %s.", shown(ids[i]))
		return nil
	})
}
