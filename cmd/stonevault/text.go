package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// shown is a name as people may see it: one that could change what a terminal shows is quoted.
func shown(name string) string {
	if name == "" || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}

// counted is a number with its noun.
func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// lasting is how long something takes, in the largest unit that leaves it above one, rounded up.
func lasting(d time.Duration) string {
	for _, unit := range []struct {
		is        time.Duration
		one, many string
	}{{24 * time.Hour, "day", "days"}, {time.Hour, "hour", "hours"}, {time.Minute, "minute", "minutes"}} {
		if d > unit.is {
			return counted(int64((d+unit.is-1)/unit.is), unit.one, unit.many)
		}
	}
	return counted(int64((d+time.Second-1)/time.Second), "second", "seconds")
}

// minute is a time as lists show it, to the minute; "never" where there was none.
func minute(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04")
}

// capital begins a sentence with s.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// sized is a number of bytes in the largest unit that leaves it above one.
func sized(n int64) string {
	if n < 1024 {
		return counted(n, "byte", "bytes")
	}
	value, unit := float64(n)/1024, 0
	for ; value >= 1024 && unit < len(units)-1; unit++ {
		value /= 1024
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}

var units = []string{"KiB", "MiB", "GiB", "TiB"}

// table prints names and values in two columns.
type table struct{ *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

// line prints the cells of one thing in a list, as ls -l does.
func (t table) line(cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")) }

func (t table) row(name, format string, args ...any) {
	fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...))
}
