package main

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"stonevault/api"
)

const (
	settingsExample    = "stonevault settings"
	settingsSetExample = "stonevault settings set second-factor-roles admin,manager"
)

// settings are what can be set, and how each is written.
var settings = []struct {
	name string
	says string
	show func(*api.Settings) string
	set  func(*api.Settings, string) error
}{
	{"registration", "closed, or open: whether strangers may make accounts for themselves",
		func(s *api.Settings) string { return string(s.Registration) },
		func(s *api.Settings, value string) error {
			s.Registration = api.SettingsRegistration(value)
			return nil
		}},
	{"second-factor-roles", "who must have a second factor: roles separated by commas, or none",
		func(s *api.Settings) string {
			names := make([]string, len(s.SecondFactorRoles))
			for i, r := range s.SecondFactorRoles {
				names[i] = string(r)
			}
			if len(names) == 0 {
				return unlimited
			}
			return strings.Join(names, ",")
		},
		func(s *api.Settings, value string) error {
			s.SecondFactorRoles = []api.Role{}
			if value == unlimited {
				return nil
			}
			for name := range strings.SplitSeq(value, ",") {
				if !slices.Contains(roles, name) {
					return misuse(settingsSetExample, "role %s is unknown; there are admin, manager and user", shown(name))
				}
				s.SecondFactorRoles = append(s.SecondFactorRoles, api.Role(name))
			}
			return nil
		}},
	{"default-bytes", "how much somebody may keep who has no limit of their own: a size such as 10GB, or none",
		func(s *api.Settings) string { return limitText(s.DefaultBytes) },
		func(s *api.Settings, value string) (err error) {
			s.DefaultBytes, err = limit("default-bytes", "stonevault settings set default-bytes 10GB", value, parseSize)
			return err
		}},
	{"default-files", "how many files they may have: a number, or none",
		func(s *api.Settings) string { return limitText(s.DefaultFiles) },
		func(s *api.Settings, value string) (err error) {
			s.DefaultFiles, err = limit("default-files", "stonevault settings set default-files 100000", value, parseCount)
			return err
		}},
}

func limitText(n *int64) string {
	if n == nil {
		return unlimited
	}
	return strconv.FormatInt(*n, 10)
}

func newSettings(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "settings",
		Short:   "Show or change the vault's settings",
		Long:    "Shows the vault's settings, to admins. \"settings set\" changes one.",
		Example: "  " + settingsExample + "\n  " + settingsSetExample,
		Args:    operands(0, 0, "nothing, or set", settingsExample),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			s, _, err := c.Settings(cmd.Context())
			if err != nil {
				return err
			}
			return a.showSettings(s, asJSON)
		},
	}
	addJSON(cmd, &asJSON)
	cmd.AddCommand(newSettingsSet(a))
	return cmd
}

func (a *app) showSettings(s *api.Settings, asJSON bool) error {
	if asJSON {
		return writeJSON(a.stdout, s)
	}
	t := newTable(a.stdout)
	for _, row := range settings {
		t.row(row.name, "%s", shown(row.show(s)))
	}
	return t.Flush()
}

func newSettingsSet(a *app) *cobra.Command {
	var asJSON bool
	long := "Changes one setting, and shows all as they are then.\n"
	var names []string
	for _, row := range settings {
		names = append(names, row.name)
		long += "\n" + row.name + "  " + row.says
	}
	cmd := &cobra.Command{
		Use:       "set NAME VALUE",
		Short:     "Change a setting of the vault",
		Long:      long,
		Example:   "  " + settingsSetExample + "\n  stonevault settings set default-bytes 10GB",
		Args:      operands(2, 2, "a setting and its value", settingsSetExample),
		ValidArgs: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.setSetting(cmd.Context(), args[0], args[1], asJSON)
		},
	}
	addJSON(cmd, &asJSON)
	return cmd
}

func (a *app) setSetting(ctx context.Context, name, value string, asJSON bool) error {
	for _, row := range settings {
		if row.name != name {
			continue
		}
		if err := row.set(new(api.Settings), value); err != nil {
			return err
		}
		c, _, err := a.connect(ctx)
		if err != nil {
			return err
		}
		s, etag, err := c.Settings(ctx)
		if err != nil {
			return err
		}
		if err := row.set(s, value); err != nil {
			return err
		}
		if err := c.ChangeSettings(ctx, s, etag); err != nil {
			return err
		}
		return a.showSettings(s, asJSON)
	}
	return misuse(settingsExample, "there is no setting %s", shown(name))
}
