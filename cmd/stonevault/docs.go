package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newDocs is for whoever packages the program, and hidden from everybody else.
func newDocs(a *app) *cobra.Command {
	var man, markdown string
	cmd := &cobra.Command{
		Use:    "docs (--man DIR | --markdown DIR)",
		Short:  "Write the manual",
		Hidden: true,
		Args:   operands(0, 0, "a folder with --man or --markdown", "stonevault docs --man DIR"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			setUmask(a.umask) // a manual is for everybody
			root := cmd.Root()
			root.DisableAutoGenTag = true
			switch {
			case man != "" && markdown != "":
				return misuse("stonevault docs --man DIR", "give one of --man and --markdown")
			case man != "":
				if err := a.makeFolders(man); err != nil {
					return err
				}
				// The pages carry the date of SOURCE_DATE_EPOCH, so that a build can be repeated.
				return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "Stonevault " + version, Manual: "Stonevault"}, man)
			case markdown != "":
				if err := a.makeFolders(markdown); err != nil {
					return err
				}
				return doc.GenMarkdownTree(root, markdown)
			}
			return misuse("stonevault docs --man DIR", "say where the manual goes")
		},
	}
	cmd.Flags().StringVar(&man, "man", "", "write man pages into `DIR`")
	cmd.Flags().StringVar(&markdown, "markdown", "", "write Markdown pages into `DIR`")
	return cmd
}
