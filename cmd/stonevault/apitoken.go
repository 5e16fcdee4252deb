package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"stonevault/internal/client"
)

const (
	// tokenVariable may hold an API token, and serverVariable say whose, where no profile does.
	tokenVariable  = "STONEVAULT_TOKEN"
	serverVariable = "STONEVAULT_SERVER"

	tokenPrefix = "svp_"
)

// apiToken returns the API token that is to be used in the place of a session, empty for none.
func (a *app) apiToken() (client.Token, error) {
	text, from := os.Getenv(tokenVariable), tokenVariable
	if a.tokenFile != "" {
		b, err := a.secretFromFile(a.tokenFile)
		if err != nil {
			return "", err
		}
		text, from = string(b), shown(a.tokenFile)
		if text == "" {
			return "", fmt.Errorf("%s has no API token on its first line", from)
		}
	}
	text = strings.TrimSpace(text)
	if text != "" && !strings.HasPrefix(text, tokenPrefix) {
		return "", fmt.Errorf("what %s holds is no API token; one begins with %s", from, tokenPrefix)
	}
	return client.Token(text), nil
}

// tokenProfile returns the profile that says where an API token goes. Where nobody has signed in, the environment
// does, and the vault that is there is remembered.
func (a *app) tokenProfile(ctx context.Context) (*profile, error) {
	p, err := a.loadProfile()
	if err != nil {
		return nil, err
	}
	named := os.Getenv(serverVariable)
	if named == "" {
		if p.Server == "" {
			return nil, fmt.Errorf("an API token alone does not say where to go; set %s=https://…, or sign in once", serverVariable)
		}
		return p, nil
	}
	server, err := client.CheckServer(named, false)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", serverVariable, err)
	case p.Server == server:
		return p, nil
	case p.Server != "":
		return nil, misuse("--profile NAME", "%s is %s, and the profile %s is for %s", serverVariable, server, a.profile, p.Server)
	}
	p.Server = server
	c, err := a.newClient(p)
	if err != nil {
		return nil, err
	}
	vault, err := c.Vault(ctx)
	if err != nil {
		return nil, err
	}
	p.Root = vault.RootFingerprint
	if err := a.saveProfile(p); err != nil {
		return nil, err
	}
	a.say("The vault's root, to compare with the recovery sheet: %s", vault.RootFingerprintSpoken)
	return p, nil
}
