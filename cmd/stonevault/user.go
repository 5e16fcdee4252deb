package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/internal/client"
)

const (
	userListExample   = "stonevault user list --group letters"
	userShowExample   = "stonevault user show bob"
	userCreateExample = "stonevault user create bob"
)

func newUser(a *app) *cobra.Command {
	return withVerbs(&cobra.Command{
		Use:   "user",
		Short: "See and run accounts",
		Long: `Lists and shows the people whom you may see. Accounts are made, changed and erased by admins. There is no e-mail: hand
the links over that "user create", "user reset" and "stonevault invite" print.`,
		Example: "  " + userListExample + "\n  " + userCreateExample,
	}, userListExample, newUserList(a), newUserShow(a), newUserCreate(a), newUserReset(a), newUserRename(a), newUserRole(a),
		newUserDeactivate(a), newUserReactivate(a), newUserErase(a), newUserHandOver(a), newUserQuota(a))
}

type userListFlags struct {
	listing
	role, group, name, sort string
	active                  bool
}

var roles = []string{string(api.RoleAdmin), string(api.RoleManager), string(api.RoleUser)}

func newUserList(a *app) *cobra.Command {
	var f userListFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List people",
		Long: `Lists people: the name, the role, whether the account is active, whether there is a second factor, how much its files
take, and its groups. "-" is what you may not see.`,
		Example: "  " + userListExample + "\n  stonevault user list --role admin --active=false --sort -created_at",
		Args:    operands(0, 0, "nothing but flags", userListExample),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := client.PeopleQuery{Name: f.name, Role: f.role, Group: f.group, Sort: f.sort}
			if cmd.Flags().Changed("active") {
				q.Active = &f.active
			}
			return a.listUsers(cmd.Context(), f.listing, q)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.role, "role", "", "only people with this `ROLE`: admin, manager or user")
	complete(cmd, "role", roles...)
	flags.BoolVar(&f.active, "active", false, "only accounts that are switched on, or with --active=false those that are off")
	flags.StringVar(&f.group, "group", "", "only people in this `GROUP`, or who manage it")
	flags.StringVar(&f.name, "name", "", "only names with `TEXT` in them; ASCII letters match in either case")
	flags.StringVar(&f.sort, "sort", "name", "`FIELDS` separated by commas, \"-\" before one reverses it: name, role, created_at")
	complete(cmd, "sort", "name", "-name", "role", "-role", "created_at", "-created_at")
	f.add(cmd)
	return cmd
}

func (a *app) listUsers(ctx context.Context, f listing, q client.PeopleQuery) error {
	if err := f.check(); err != nil {
		return err
	}
	c, _, err := a.connect(ctx)
	if err != nil {
		return err
	}
	if q.Group, err = groupID(ctx, c, q.Group); err != nil {
		return err
	}
	people, err := some(c.People(ctx, q), f.limit)
	if err != nil {
		return err
	}
	if f.json {
		return writeItems(a.stdout, people)
	}
	t := newTable(a.stdout)
	for _, p := range people {
		used := "-"
		if p.BytesUsed != nil {
			used = sized(*p.BytesUsed)
		}
		var in []string
		for _, g := range p.Groups {
			in = append(in, shown(g.Name))
		}
		t.line(shown(p.Name), string(p.Role), accountState(p), secondFactor(p), used, strings.Join(in, ", "))
	}
	return t.Flush()
}

// accountState says whether somebody can sign in.
func accountState(p *api.PersonEntry) string {
	switch {
	case !p.Active:
		return "off"
	case p.PasswordSet != nil && !*p.PasswordSet:
		return "no password yet"
	}
	return "active"
}

func secondFactor(p *api.PersonEntry) string {
	switch {
	case p.SecondFactor == nil:
		return "-"
	case *p.SecondFactor:
		return "second factor"
	}
	return "password only"
}

// onUser makes a verb about one person, whose name is its first operand.
func (a *app) onUser(use, short, long, example, what string, least int, do func(ctx context.Context, c *client.Client, person string, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Example: "  " + example, Args: operands(least, least, what, example),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			person, err := personRef(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			return do(cmd.Context(), c, person, args)
		},
	}
}

func newUserShow(a *app) *cobra.Command {
	var asJSON bool
	cmd := a.onUser("show NAME", "Show an account", "", userShowExample, "one person", 1,
		func(ctx context.Context, c *client.Client, person string, _ []string) error {
			p, err := c.Person(ctx, person)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a.stdout, p)
			}
			return a.showUser(p)
		})
	addJSON(cmd, &asJSON)
	return cmd
}

func (a *app) showUser(p *api.PersonEntry) error {
	t := newTable(a.stdout)
	t.row("name", "%s", shown(p.Name))
	if p.DisplayName != "" {
		t.row("called", "%s", shown(p.DisplayName))
	}
	t.row("id", "%s", p.ID)
	t.row("role", "%s", p.Role)
	t.row("account", "%s", accountState(p))
	t.row("created", "%s", minute(&p.CreatedAt))
	t.row("signs in with", "%s", secondFactor(p))
	if p.BytesUsed != nil && p.FilesUsed != nil {
		t.use(*p.BytesUsed, p.BytesLimit, *p.FilesUsed, p.FilesLimit)
	}
	for _, g := range p.Groups {
		t.row("group", "%s", inGroup(g.Name, g.Member, g.Manager))
	}
	t.row("fingerprint", "%s", p.Fingerprint)
	return t.Flush()
}

func newUserCreate(a *app) *cobra.Command {
	var role string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make an account, and print the link that sets its password",
		Long: `Makes an account and prints, alone, on standard output and this once, the link by which its person sets the password.
Nobody else ever knows that. Hand it over yourself: there is no e-mail.`,
		Example: "  " + userCreateExample + "\n  stonevault user create carol --role manager",
		Args:    operands(1, 1, "the account", userCreateExample),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			p, err := c.CreatePerson(cmd.Context(), args[0], role)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a.stdout, p)
			}
			a.say("Made the account %s. This link sets its password until %s, once, and is shown this once:", shown(p.Name), minute(&p.LinkExpiresAt))
			_, err = fmt.Fprintln(a.stdout, p.Link)
			return err
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "the account's `ROLE`: admin, manager or user; user without it")
	complete(cmd, "role", roles...)
	addJSON(cmd, &asJSON)
	return cmd
}

func newUserReset(a *app) *cobra.Command {
	var asJSON bool
	cmd := a.onUser("reset NAME", "Make a link that sets a new password",
		`Prints, alone, on standard output and this once, a link by which somebody sets a new password. The old one works until
the link is used. Links that were made before for the same account end.`,
		"stonevault user reset bob", "one person", 1,
		func(ctx context.Context, c *client.Client, person string, args []string) error {
			link, err := c.ResetPerson(ctx, person)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a.stdout, link)
			}
			a.say("This link sets the password of %s until %s, once, and is shown this once:", shown(args[0]), minute(&link.ExpiresAt))
			_, err = fmt.Fprintln(a.stdout, link.Link)
			return err
		})
	addJSON(cmd, &asJSON)
	return cmd
}

func newUserRename(a *app) *cobra.Command {
	return a.onUser("rename NAME NEW-NAME", "Give an account another name", "", "stonevault user rename bob robert", "the account and its new name", 2,
		func(ctx context.Context, c *client.Client, person string, args []string) error {
			p, err := c.ChangePerson(ctx, person, api.PersonChange{Name: &args[1]})
			if err != nil {
				return err
			}
			a.say("%s is called %s now.", shown(args[0]), shown(p.Name))
			return nil
		})
}

func newUserRole(a *app) *cobra.Command {
	cmd := a.onUser("role NAME ROLE", "Give somebody another role",
		"Makes somebody an admin, a manager or a user. The last admin keeps the role.", "stonevault user role bob manager", "the person and the role", 2,
		func(ctx context.Context, c *client.Client, person string, args []string) error {
			role := api.Role(args[1])
			p, err := c.ChangePerson(ctx, person, api.PersonChange{Role: &role})
			if err != nil {
				return err
			}
			a.say("%s has the role %s now.", shown(p.Name), p.Role)
			return nil
		})
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return roles, cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

func newUserDeactivate(a *app) *cobra.Command {
	return a.switchUser("deactivate", "Switch accounts off", `Switches accounts off: nobody can sign in to them, sessions end, API tokens are revoked, and what is under way is broken
off within a second. The files stay.`, "Switched %s off.", false)
}

func newUserReactivate(a *app) *cobra.Command {
	return a.switchUser("reactivate", "Switch accounts on again", "Switches accounts on that were switched off. API tokens that were revoked stay so.", "Switched %s on.", true)
}

func (a *app) switchUser(verb, short, long, done string, on bool) *cobra.Command {
	example := "stonevault user " + verb + " bob"
	return &cobra.Command{
		Use: verb + " NAME...", Short: short, Long: long, Example: "  " + example, Args: operands(1, -1, "the accounts", example),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			return each(cmd.Context(), len(args), 1, func(ctx context.Context, i int) error {
				person, err := personRef(ctx, c, args[i])
				if err != nil {
					return err
				}
				p, err := c.ChangePerson(ctx, person, api.PersonChange{Active: &on})
				if err != nil {
					return fmt.Errorf("%s: %w", shown(args[i]), err)
				}
				a.say(done, shown(p.Name))
				return nil
			})
		},
	}
}

func newUserErase(a *app) *cobra.Command {
	const example = "stonevault user erase bob"
	var yes bool
	cmd := a.onUser("erase NAME", "Erase an account with all of its files",
		`Destroys an account, all of its files with all versions, and what the audit log says about the person. Nothing brings
them back. It asks before. If somebody is to have the files, hand them over first. Where it is interrupted, the account is
switched off, and the same command goes on.`,
		example, "one person", 1,
		func(ctx context.Context, c *client.Client, person string, args []string) error {
			p, err := c.Person(ctx, person)
			if err != nil {
				return err
			}
			question := fmt.Sprintf("Erase %s with all files for good?", shown(p.Name))
			if p.BytesUsed != nil && p.FilesUsed != nil {
				question = fmt.Sprintf("Erase %s with %s, %s, for good?", shown(p.Name), counted(*p.FilesUsed, "file", "files"), sized(*p.BytesUsed))
			}
			if err := a.agreed(yes, question, "stonevault user erase "+shown(args[0])); err != nil {
				return err
			}
			if err := c.ErasePerson(ctx, person); err != nil {
				return err
			}
			a.say("Erased %s.", shown(p.Name))
			return nil
		})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func newUserHandOver(a *app) *cobra.Command {
	var asJSON bool
	cmd := a.onUser("hand-over NAME TO", "Give all files of somebody who left to somebody else",
		`Moves all files of an account that is switched off into a folder of somebody else, without reading them, and prints that
folder.`,
		"stonevault user hand-over bob carol", "who left and who gets the files", 2,
		func(ctx context.Context, c *client.Client, person string, args []string) error {
			to, err := personID(ctx, c, args[1])
			if err != nil {
				return err
			}
			done, err := c.HandOver(ctx, person, to)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a.stdout, done)
			}
			a.say("Handed over %s, %s, to %s.", counted(done.Documents, "file", "files"), sized(done.Bytes), shown(args[1]))
			if done.Folder != "" {
				_, err = fmt.Fprintln(a.stdout, shown(done.Folder))
			}
			return err
		})
	addJSON(cmd, &asJSON)
	return cmd
}

func newUserQuota(a *app) *cobra.Command {
	var f quotaFlags
	cmd := a.onUser("quota NAME", "Show or change how much somebody may keep",
		`Shows what somebody's files take and may take. The flags change the limits; one that is not named stays as it is. A
limit below what is there takes nothing away; it refuses new bytes until there is room.

1 kB is 1000 bytes, 1 KiB is 1024.`,
		"stonevault user quota bob --bytes 10GB --files none", "one person", 1,
		func(ctx context.Context, c *client.Client, person string, _ []string) error {
			return a.quota(ctx, f, func(ctx context.Context) (*api.Quota, error) { return c.Quota(ctx, person) },
				func(ctx context.Context, to api.QuotaChange) (*api.Quota, error) {
					return c.ChangeQuota(ctx, person, to)
				})
		})
	f.add(cmd)
	cmd.Flags().BoolVar(&f.standard, "default", false, "let the vault's settings limit both again")
	return cmd
}
