package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"stonevault/internal/vault"
)

// recoveryReport is what recover prints at its end.
type recoveryReport struct {
	Root       string            `json:"root"`
	NewRoot    string            `json:"new_root"`
	Files      int               `json:"files"`
	Versions   int               `json:"versions"`
	Bytes      int64             `json:"bytes"`
	Earlier    int               `json:"versions_of_an_earlier_run"`
	Renumbered int               `json:"versions_renumbered"`
	Renamed    []renamedFile     `json:"renamed"`
	Refused    []refusedObject   `json:"refused"`
	Accounts   []recoveryAccount `json:"accounts"`

	rootSpoken, newSpoken string
}

type renamedFile struct {
	Account string `json:"account"`
	From    string `json:"from"`
	To      string `json:"to"`
}

type refusedObject struct {
	Name    string `json:"name"`
	Reason  string `json:"reason"`
	Path    string `json:"path,omitempty"` // of the file, where it is known for certain
	Version int    `json:"version,omitempty"`
}

type recoveryAccount struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	Owner    string `json:"owner,omitempty"`
	Files    int    `json:"files"`
	Bytes    int64  `json:"bytes"`
	Password string `json:"password"`
}

// String keeps it out of every log.
func (recoveryAccount) String() string { return "[redacted]" }

// GoString keeps it out of every log.
func (recoveryAccount) GoString() string { return "[redacted]" }

func (r *recovery) report(done vault.RecoverReport, about vault.About, accounts []vault.NewAccount, passwords map[string]string) recoveryReport {
	report := recoveryReport{
		Root: done.Root.Hex(), NewRoot: about.RootFingerprint.Hex(), Files: done.Files, Versions: done.Versions, Bytes: done.Bytes,
		Earlier: done.Earlier, Renumbered: done.Renumbered, Renamed: []renamedFile{},
		rootSpoken: done.Root.Spoken(), newSpoken: about.RootFingerprint.Spoken(),
	}
	owners := make(map[vault.PersonID]vault.RecoveredOwner)
	for _, o := range done.Owners {
		owners[o.ID] = o
	}
	names := make(map[vault.PersonID]string)
	for _, a := range accounts {
		names[a.Owner] = a.Name
		o := owners[a.Owner]
		report.Accounts = append(report.Accounts, recoveryAccount{
			Name: a.Name, Role: string(a.Role), Owner: string(a.Owner), Files: o.Files, Bytes: o.Bytes, Password: passwords[a.Name],
		})
	}
	for _, f := range done.Renamed {
		report.Renamed = append(report.Renamed, renamedFile{names[f.Owner], f.From, f.To})
	}
	return report
}

// print writes the report at once, because passwords are in it.
func (r *recovery) print(report recoveryReport, serve string) error {
	if r.json {
		if report.Refused == nil {
			report.Refused = []refusedObject{}
		}
		return json.NewEncoder(r.stdout).Encode(report)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nRecovered: %d files with %d versions, %s, certified by the root\n%s",
		report.Files, report.Versions, size(report.Bytes), spokenLines(report.rootSpoken))
	if report.Earlier > 0 {
		fmt.Fprintf(&b, "Of the versions, %d had been recovered by an earlier run.\n", report.Earlier)
	}
	if report.Renumbered > 0 {
		fmt.Fprintf(&b, "Versions that got another number, because two had the same: %d.\n", report.Renumbered)
	}
	section(&b, len(report.Renamed), "Renamed, because another has the name:", "ACCOUNT\tWAS\tIS", func(w *tabwriter.Writer) {
		for _, f := range report.Renamed {
			fmt.Fprintf(w, "  %s\t%s\t%s\n", f.Account, printable(f.From), printable(f.To))
		}
	})
	section(&b, len(report.Refused), "Not recovered, and copied nowhere:", "OBJECT\tFILE\tVERSION\tWHY", func(w *tabwriter.Writer) {
		for _, f := range report.Refused {
			path, version := "-", "-"
			if f.Path != "" {
				path, version = printable(f.Path), strconv.Itoa(f.Version)
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", printable(f.Name), path, version, printable(f.Reason))
		}
	})
	section(&b, len(report.Accounts), "Accounts; the passwords are not shown again:", "NAME\tPASSWORD\tROLE\tFILES\tOWNER", func(w *tabwriter.Writer) {
		for _, a := range report.Accounts {
			owner := a.Owner
			if owner == "" {
				owner = "-"
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%d\t%s\n", a.Name, a.Password, a.Role, a.Files, owner)
		}
	})
	fmt.Fprintf(&b, `
The recovery sheet's secret goes on being this vault's. Write the fingerprint of its new root key on the sheet:
%s
Keep a copy of the new master key, and start the vault with:
  %s
`, spokenLines(report.newSpoken), serve)
	_, err := r.stdout.Write([]byte(b.String()))
	return err
}

func section(b *strings.Builder, n int, title, columns string, rows func(*tabwriter.Writer)) {
	if n == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s %d\n", title, n)
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "  %s\n", columns)
	rows(w)
	w.Flush()
}

// printable keeps a name that somebody else chose from steering the terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c == 0x2028 || c == 0x2029 || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 {
			return '�'
		}
		return c
	}, s)
}

// size writes a number of bytes for people.
func size(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}
