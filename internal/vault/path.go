package vault

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	maxName  = 255  // bytes
	maxPath  = 4096 // bytes
	maxDepth = 128
)

// ParsePath splits an absolute path into names in Unicode normal form C. "/" has none.
func ParsePath(path string) ([]string, error) {
	switch {
	case !strings.HasPrefix(path, "/"):
		return nil, &InvalidError{"path", `must begin with "/"`}
	case !utf8.ValidString(path):
		return nil, &InvalidError{"path", "is not UTF-8"}
	case path == "/":
		return nil, nil
	}
	path = norm.NFC.String(path)
	names := strings.Split(path[1:], "/")
	if len(path) > maxPath || len(names) > maxDepth {
		return nil, &InvalidError{"path", fmt.Sprintf("is longer than %d bytes or %d names", maxPath, maxDepth)}
	}
	for _, name := range names {
		if err := checkName(name); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// parseFilePath is ParsePath for what cannot be the root.
func parseFilePath(path string) (folders []string, name string, err error) {
	names, err := ParsePath(path)
	if err != nil {
		return nil, "", err
	}
	if len(names) == 0 {
		return nil, "", &InvalidError{"path", "is the root folder"}
	}
	return names[:len(names)-1], names[len(names)-1], nil
}

func checkName(name string) error {
	switch {
	case name == "":
		return &InvalidError{"path", "has an empty name"}
	case name == "." || name == "..":
		return &InvalidError{"path", fmt.Sprintf("has the name %q, which no file can have", name)}
	case strings.ContainsRune(name, 0):
		return &InvalidError{"path", "has a NUL byte"}
	case len(name) > maxName:
		return &InvalidError{"path", fmt.Sprintf("has a name longer than %d bytes", maxName)}
	}
	return nil
}

func joinPath(names ...string) string { return "/" + strings.Join(names, "/") }
