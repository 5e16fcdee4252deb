package main

import (
	"context"
	"errors"
	"fmt"

	"stonevault/internal/client"
)

// whose is the person whom a verb is about, oneself where nobody is named.
func whose(args []string) string {
	if len(args) == 0 {
		return client.Self
	}
	return args[0]
}

// personRef is how the API names somebody: by an id, or "me" for oneself.
func personRef(ctx context.Context, c *client.Client, arg string) (string, error) {
	if arg == client.Self || anID.MatchString(arg) {
		return arg, nil
	}
	id, err := c.FindPerson(ctx, arg)
	if errors.Is(err, client.ErrNotFound) {
		return "", fmt.Errorf("there is nobody called %s, or nobody of whom you may know", shown(arg))
	}
	return id, err
}

// personID is somebody's id; nothing stays nothing.
func personID(ctx context.Context, c *client.Client, arg string) (string, error) {
	switch arg {
	case "":
		return "", nil
	case client.Self:
		me, err := c.Me(ctx)
		if err != nil {
			return "", err
		}
		return me.ID, nil
	}
	return personRef(ctx, c, arg)
}

// groupID is the id of a group; nothing stays nothing.
func groupID(ctx context.Context, c *client.Client, arg string) (string, error) {
	if arg == "" || anID.MatchString(arg) {
		return arg, nil
	}
	g, err := c.FindGroup(ctx, arg)
	if errors.Is(err, client.ErrNotFound) {
		return "", fmt.Errorf("there is no group called %s, or none of which you may know", shown(arg))
	}
	if err != nil {
		return "", err
	}
	return g.ID, nil
}

// agreed asks whether to do what cannot be undone, unless the person has said so already; example is what to type
// where nobody can be asked.
func (a *app) agreed(yes bool, question, example string) error {
	if yes {
		return nil
	}
	is, err := a.confirm(question + " [y/N] ")
	switch {
	case errors.Is(err, errNoTerminal):
		return misuse(example+" --yes", "somebody has to agree and %v", err)
	case err != nil:
		return err
	case !is:
		return errors.New("nothing was changed")
	}
	return nil
}
