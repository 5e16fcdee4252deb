package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"stonevault/internal/masterkey"
)

func newKey(a *app) *cobra.Command {
	create := &cobra.Command{
		Use:   "create FILE",
		Short: "Make a master key",
		Long: `Makes a master key in a file that only its owner can read, and that must not be there yet. It is for a server
that is given its key by something else, such as systemd; without that, the first start makes one by itself.
Keep a copy of the file, away from copies of the data.`,
		Example: `  stonevaultd key create /etc/stonevault/master.key`,
		Args:    operands("the file"),
		RunE: func(_ *cobra.Command, args []string) error {
			_, err := masterkey.CreateFile(args[0])
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("there is %s already, which may be somebody's key and stays as it is; choose another name", args[0])
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stderr, "A master key is in %s; keep a copy of it away from copies of the data.\n", args[0])
			return err
		},
	}
	return withVerbs("key", "Make a master key before there is a vault, or have one wrapped by transit",
		append([]*cobra.Command{create}, newKeyWraps(a)...)...)
}
