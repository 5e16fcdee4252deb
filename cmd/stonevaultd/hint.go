package main

import (
	"os"
	"strings"

	"stonevault/internal/config"
	"stonevault/internal/datadir"
)

// hint is the command line that does something with the data directory that c names.
func hint(c config.Config, dir datadir.Dir, verb string) string {
	program := "stonevaultd"
	if strings.ContainsRune(os.Args[0], os.PathSeparator) {
		program = shellQuote(os.Args[0]) // it is not found by its name
	}
	line := program + " " + verb + " --data " + shellQuote(dir.Path())
	for _, place := range []struct{ flag, value string }{
		{"database", string(c.Database)}, {"objects", string(c.Objects.Address)}, {"s3-credentials", credentialsOf(c.Objects)},
	} {
		if place.value != "" {
			line += " --" + place.flag + " " + shellQuote(place.value)
		}
	}
	switch k := c.MasterKey; {
	case k.Path != "":
		line += " --master-key " + shellQuote(string(k.Kind)+":"+k.Path)
	case k.Kind != config.KeyFromFile:
		line += " --master-key " + string(k.Kind)
	}
	if c.MasterKey.Kind == config.KeyFromTransit {
		line += transitHint(c.Transit)
	}
	if c.Development {
		line += " --development"
	}
	return line
}

// transitHint are the flags of a master key that transit wraps.
func transitHint(t config.Transit) (line string) {
	for _, f := range []struct{ flag, value, usual string }{
		{"transit-address", t.Address, ""}, {"transit-mount", t.Mount, "transit"}, {"transit-key", t.Key, ""}, {"transit-namespace", t.Namespace, ""},
		{"transit-ca", t.CAFile, ""}, {"transit-token-file", t.TokenFile, ""}, {"transit-role-id", t.RoleID, ""}, {"transit-secret-id-file", t.SecretIDFile, ""},
	} {
		if f.value != f.usual {
			line += " --" + f.flag + " " + shellQuote(f.value)
		}
	}
	return line
}

// credentialsOf are those that objects elsewhere need.
func credentialsOf(o config.Objects) string {
	if o.Address == "" {
		return ""
	}
	return o.Credentials
}

// shellQuote writes an argument as a shell reads it.
func shellQuote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%") == "" && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
