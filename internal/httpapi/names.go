package httpapi

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
)

// maxNameBytes is what file systems take of one name.
const maxNameBytes = 255

// deviceNames are those that Windows takes for devices, whatever follows a dot.
var deviceNames = func() map[string]bool {
	names := map[string]bool{"con": true, "prn": true, "aux": true, "nul": true, "conin$": true, "conout$": true}
	for _, digit := range strings.Split("0123456789¹²³", "") {
		names["com"+digit], names["lpt"+digit] = true, true
	}
	return names
}()

// safeName is a vault's name as every file system takes it, for one file and no device, folder or stream.
func safeName(name string) string {
	safe := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || strings.ContainsRune(`<>:"/\|?*`, r) {
			return '_'
		}
		return r
	}, name)
	stem, _, _ := strings.Cut(safe, ".")
	if deviceNames[strings.ToLower(strings.TrimRight(stem, " "))] {
		safe = cut("_"+safe, maxNameBytes)
	}
	kept := strings.TrimRight(safe, ". ") // Windows drops these at the end
	return kept + strings.Repeat("_", len(safe)-len(kept))
}

// numbered is "name (2).txt" for "name.txt".
func numbered(name string, n int) string {
	stem, extension := name, ""
	if dot := strings.LastIndexByte(name, '.'); dot > 0 && len(name)-dot <= 32 {
		stem, extension = name[:dot], name[dot:]
	}
	mark := fmt.Sprintf(" (%d)", n)
	return cut(stem, maxNameBytes-len(mark)-len(extension)) + mark + extension
}

// cut shortens s to n bytes, between two characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// foldName is the same for names that some systems take for one.
func foldName(name string) string { return cases.Fold().String(name) }
