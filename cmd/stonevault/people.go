package main

import (
	"context"

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
func personRef(arg string) (string, error) {
	if arg == client.Self || anID.MatchString(arg) {
		return arg, nil
	}
	return "", misuse("--person me", "a person is \"me\" or an id of 32 hex digits, unlike %s", shown(arg))
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
	return personRef(arg)
}
