package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"stonevault/internal/config"
)

func newConfig(a *app) *cobra.Command {
	check := &cobra.Command{
		Use:     "check [--config FILE]",
		Short:   "Check flags, environment and file",
		Example: `  stonevaultd config check --config /etc/stonevault.toml`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := a.config(cmd); err != nil {
				return err
			}
			_, err := fmt.Fprintln(a.stderr, "The settings are good.")
			return err
		},
	}
	show := &cobra.Command{
		Use:   "show [--config FILE]",
		Short: "Show the settings in force and where they come from",
		Args:  operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, values, err := config.Load(config.FromFlags(cmd.Flags(), a.environ))
			if err != nil {
				return err
			}
			for _, v := range values {
				if _, err := fmt.Fprintf(a.stdout, "%s = %q # %s\n", v.Setting.Key, v.Text, v.Origin); err != nil {
					return err
				}
			}
			return nil
		},
	}
	for _, c := range []*cobra.Command{check, show} {
		config.AddFlags(c.Flags())
	}
	return withVerbs("config", "Check and show the settings", check, show)
}
