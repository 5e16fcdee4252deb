package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/internal/client"
)

const (
	groupListExample   = "stonevault group list"
	groupShowExample   = "stonevault group show letters"
	groupCreateExample = "stonevault group create letters"
	groupAddExample    = "stonevault group add letters bob carol"
	groupRemoveExample = "stonevault group remove letters bob"
)

func newGroup(a *app) *cobra.Command {
	return withVerbs(&cobra.Command{
		Use:   "group",
		Short: "See and run groups",
		Long: `Groups are people who belong together. Admins and managers make them; whoever makes one manages it, and can name other
managers. Managers of a group see and run its people, quotas and audit.`,
		Example: "  " + groupListExample + "\n  " + groupAddExample,
	}, groupListExample, newGroupList(a), newGroupShow(a), newGroupCreate(a), newGroupRename(a), newGroupDelete(a), newGroupAdd(a),
		newGroupRemove(a), newGroupQuota(a))
}

func newGroupList(a *app) *cobra.Command {
	var f listing
	var name, sort string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List groups",
		Long: `Lists the groups that you belong to or manage, or as an admin all: the name, how many members and managers it has, and
what you are in it.`,
		Example: "  " + groupListExample + "\n  stonevault group list --name letter --json",
		Args:    operands(0, 0, "nothing but flags", groupListExample),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			c, _, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			groups, err := some(c.Groups(cmd.Context(), name, sort), f.limit)
			if err != nil {
				return err
			}
			if f.json {
				return writeItems(a.stdout, groups)
			}
			t := newTable(a.stdout)
			for _, g := range groups {
				t.line(shown(g.Name), counted(g.Members, "member", "members"), counted(g.Managers, "manager", "managers"), membership(g.Member, g.Manager))
			}
			return t.Flush()
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "only names with `TEXT` in them; ASCII letters match in either case")
	cmd.Flags().StringVar(&sort, "sort", "name", "`FIELD`: name, or -name for the other way round")
	complete(cmd, "sort", "name", "-name")
	f.add(cmd)
	return cmd
}

// membership is what somebody is in a group.
func membership(member, manager bool) string {
	switch {
	case member && manager:
		return "member and manager"
	case manager:
		return "manager"
	case member:
		return "member"
	}
	return "-"
}

// inGroup says what somebody is in a group.
func inGroup(name string, member, manager bool) string {
	switch {
	case member && manager:
		return shown(name) + ", as member and manager"
	case manager:
		return shown(name) + ", as manager"
	}
	return shown(name)
}

// onGroup makes a verb about one group, whose name is its first operand.
func (a *app) onGroup(use, short, long, example, what string, least, most int, do func(ctx context.Context, c *client.Client, group string, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Example: "  " + example, Args: operands(least, most, what, example),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			group, err := groupID(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			return do(cmd.Context(), c, group, args)
		},
	}
}

func newGroupShow(a *app) *cobra.Command {
	var f listing
	cmd := a.onGroup("show GROUP", "List who is in a group",
		"Lists who belongs to a group and who manages it: the name, what the person is in it, and since when.", groupShowExample, "one group", 1, 1,
		func(ctx context.Context, c *client.Client, group string, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			members, err := some(c.Members(ctx, group), f.limit)
			if err != nil {
				return err
			}
			if f.json {
				return writeItems(a.stdout, members)
			}
			t := newTable(a.stdout)
			for _, m := range members {
				t.line(shown(m.Name), membership(m.Member, m.Manager), "since "+minute(&m.Since))
			}
			return t.Flush()
		})
	f.add(cmd)
	return cmd
}

func newGroupCreate(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "create GROUP",
		Short:   "Make a group",
		Long:    "Makes a group. You are its manager, and not yet a member.",
		Example: "  " + groupCreateExample,
		Args:    operands(1, 1, "the group", groupCreateExample),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			g, err := c.CreateGroup(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a.stdout, g)
			}
			a.say("Made the group %s.", shown(g.Name))
			return nil
		},
	}
	addJSON(cmd, &asJSON)
	return cmd
}

func newGroupRename(a *app) *cobra.Command {
	return a.onGroup("rename GROUP NEW-NAME", "Give a group another name", "", "stonevault group rename letters post", "the group and its new name", 2, 2,
		func(ctx context.Context, c *client.Client, group string, args []string) error {
			g, err := c.RenameGroup(ctx, group, args[1])
			if err != nil {
				return err
			}
			a.say("%s is called %s now.", shown(args[0]), shown(g.Name))
			return nil
		})
}

func newGroupDelete(a *app) *cobra.Command {
	var yes bool
	cmd := a.onGroup("delete GROUP", "Delete a group",
		"Deletes a group with its memberships, invitations and quota. It asks before. The people in it and their files stay.",
		"stonevault group delete letters", "one group", 1, 1,
		func(ctx context.Context, c *client.Client, group string, args []string) error {
			g, err := c.Group(ctx, group)
			if err != nil {
				return err
			}
			question := fmt.Sprintf("Delete the group %s, with %s?", shown(g.Name), counted(g.Members, "member", "members"))
			if err := a.agreed(yes, question, "stonevault group delete "+shown(args[0])); err != nil {
				return err
			}
			if err := c.DeleteGroup(ctx, group); err != nil {
				return err
			}
			a.say("Deleted the group %s.", shown(g.Name))
			return nil
		})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// standing returns what somebody is in a group.
func standing(ctx context.Context, c *client.Client, group, person string) (api.Member, error) {
	for m, err := range c.Members(ctx, group) {
		if err != nil {
			return api.Member{}, err
		}
		if m.Person == person {
			return m, nil
		}
	}
	return api.Member{}, nil
}

// eachMember does something with each person who is named after a group.
func eachMember(ctx context.Context, c *client.Client, group string, names []string, do func(ctx context.Context, name string, is api.Member, person string) error) error {
	return each(ctx, len(names), 1, func(ctx context.Context, i int) error {
		person, err := personID(ctx, c, names[i])
		if err != nil {
			return err
		}
		is, err := standing(ctx, c, group, person)
		if err == nil {
			err = do(ctx, names[i], is, person)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", shown(names[i]), err)
		}
		return nil
	})
}

func newGroupAdd(a *app) *cobra.Command {
	var manager, only bool
	cmd := a.onGroup("add GROUP PERSON...", "Add people to a group, or make them its managers",
		"Makes people members of a group; with --manager its managers too, and with --only-manager managers who do not belong to it.",
		groupAddExample, "the group and the people", 2, -1,
		func(ctx context.Context, c *client.Client, group string, args []string) error {
			return eachMember(ctx, c, group, args[1:], func(ctx context.Context, name string, is api.Member, person string) error {
				member, manages := !only, is.Manager || manager || only
				if err := c.SetMember(ctx, group, person, member, manages); err != nil {
					return err
				}
				a.say("%s is a %s of %s.", shown(name), membership(member, manages), shown(args[0]))
				return nil
			})
		})
	cmd.Flags().BoolVar(&manager, "manager", false, "make them managers too")
	cmd.Flags().BoolVar(&only, "only-manager", false, "make them managers, and not members")
	return cmd
}

func newGroupRemove(a *app) *cobra.Command {
	var manager bool
	cmd := a.onGroup("remove GROUP PERSON...", "Take people out of a group, or leave it",
		"Takes people out of a group, members and managers; with --manager they are managers no more, and members stay members. \"me\" leaves.",
		groupRemoveExample+"\n  stonevault group remove letters me", "the group and the people", 2, -1,
		func(ctx context.Context, c *client.Client, group string, args []string) error {
			return eachMember(ctx, c, group, args[1:], func(ctx context.Context, name string, is api.Member, person string) error {
				if manager && is.Member {
					if err := c.SetMember(ctx, group, person, true, false); err != nil {
						return err
					}
					a.say("%s manages %s no more.", shown(name), shown(args[0]))
					return nil
				}
				if err := c.RemoveMember(ctx, group, person); err != nil {
					return err
				}
				a.say("%s is in %s no more.", shown(name), shown(args[0]))
				return nil
			})
		})
	cmd.Flags().BoolVar(&manager, "manager", false, "they manage it no more; members stay members")
	return cmd
}

func newGroupQuota(a *app) *cobra.Command {
	var f quotaFlags
	cmd := a.onGroup("quota GROUP", "Show or change how much the members of a group may keep together",
		`Shows what the files of all members take and may take together. The flags change the limits; one that is not named stays
as it is. A limit below what is there takes nothing away; it refuses new bytes until there is room.

1 kB is 1000 bytes, 1 KiB is 1024.`,
		"stonevault group quota letters --bytes 1TB", "one group", 1, 1,
		func(ctx context.Context, c *client.Client, group string, _ []string) error {
			return a.quota(ctx, f, func(ctx context.Context) (*api.Quota, error) { return c.GroupQuota(ctx, group) },
				func(ctx context.Context, to api.QuotaChange) (*api.Quota, error) {
					return c.ChangeGroupQuota(ctx, group, to)
				})
		})
	f.add(cmd)
	return cmd
}
