package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// ConfigFlag is the flag that names the file.
const ConfigFlag = "config"

// AddFlags gives a command the flags of the settings with the given keys, or of all of them without
// keys, and the one that names the file.
func AddFlags(flags *pflag.FlagSet, keys ...string) {
	flags.String(ConfigFlag, "", "read settings from TOML file `FILE`")
	for i := range Settings {
		s := &Settings[i]
		if s.Flag == "" || len(keys) > 0 && !slices.Contains(keys, s.Key) {
			continue
		}
		switch s.Kind {
		case Yes:
			flags.Bool(s.flagName(), s.Default == "true", usage(s))
		case List:
			flags.StringSlice(s.flagName(), list(s.Default), usage(s))
		default:
			flags.String(s.flagName(), s.Default, usage(s))
		}
	}
}

// usage is the row's sentence as help shows it, with the value's name in backquotes.
func usage(s *Setting) string {
	doc := strings.ToLower(s.Doc[:1]) + strings.TrimSuffix(s.Doc[1:], ".")
	switch {
	case s.Kind == Secret:
		return fmt.Sprintf("a `FILE` with %s", doc)
	case s.Value != "":
		return fmt.Sprintf("`%s`: %s", s.Value, doc)
	}
	return doc
}

// FromFlags collects the flags that were given.
func FromFlags(flags *pflag.FlagSet, environ []string) Sources {
	s := Sources{Flags: make(map[string]string), Environ: environ}
	flags.Visit(func(f *pflag.Flag) {
		if f.Name == ConfigFlag {
			s.File = f.Value.String()
			return
		}
		for i := range Settings {
			if Settings[i].Flag != "" && Settings[i].flagName() == f.Name {
				s.Flags[f.Name] = f.Value.String()
				if many, ok := f.Value.(pflag.SliceValue); ok {
					s.Flags[f.Name] = strings.Join(many.GetSlice(), ",")
				}
			}
		}
	})
	return s
}
