package config

import (
	"fmt"
	"strings"
)

// Reference is the reference page, in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Settings of the server

This page is made from the table in ` + "`internal/config`" + ` by ` + "`go generate`" + `; edit that.

A flag wins over the environment, the environment over the file, the file over the default. The file is TOML,
named with ` + "`--config FILE`" + ` or ` + "`STONEVAULT_CONFIG`" + `; a key that is not below is refused. ` + "`stonevaultd config check`" + `
checks all of it, and ` + "`stonevaultd config show`" + ` shows what is in force and where it comes from.

A secret is never a flag and never a value in the file. It is in a file of its own, whose first line it is, and the
setting names that file. In the environment itself it is accepted with ` + "`--development`" + ` alone.

A list is written with commas between its texts; a flag for one may be repeated, and the file may have an array.
What contradicts something else is refused, with a sentence that says what to change.

| key in the file | flag | environment | default |
|---|---|---|---|
`)
	for i := range Settings {
		s := &Settings[i]
		flag, env := "none", "`"+s.Env()+"`"
		if s.Flag != "" {
			flag = "`--" + s.flagName() + "`"
		}
		if s.Kind == Secret {
			env += ", `" + s.Env() + strings.ToUpper(fileSuffix) + "`"
		}
		value := "none"
		if s.Default != "" {
			value = "`" + s.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.valueKey(), flag, env, value)
	}
	for i := range Settings {
		s := &Settings[i]
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", s.valueKey(), s.Doc)
	}
	return b.String()
}
