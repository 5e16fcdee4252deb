package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// shown is a name as people may see it: one that could change what a terminal shows is quoted.
func shown(name string) string {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
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

// capital begins a sentence with s.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
