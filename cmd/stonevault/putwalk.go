package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/text/unicode/norm"
)

// putItem is one thing to put.
type putItem struct {
	local  string // "-" for standard input
	path   string
	folder bool // an empty one
}

// exclusion decides what of a folder is left out.
type exclusion struct {
	names, ways []pattern
}

type pattern struct {
	text    string
	folders bool // matches folders only
}

func newExclusion(patterns []string) (*exclusion, error) {
	x := new(exclusion)
	for _, text := range patterns {
		p := pattern{text: text}
		p.text, p.folders = strings.CutSuffix(p.text, "/")
		rooted := strings.Contains(p.text, "/")
		p.text = strings.TrimPrefix(p.text, "/")
		if p.text == "" || !doublestar.ValidatePattern(p.text) {
			return nil, misuse("--exclude '*.tmp'", "%s is no pattern", shown(text))
		}
		if rooted {
			x.ways = append(x.ways, p)
		} else {
			x.names = append(x.names, p)
		}
	}
	return x, nil
}

// matches tells whether what lies at way, relative to the folder that was named, is left out.
func (x *exclusion) matches(way string, isFolder bool) bool {
	way = filepath.ToSlash(way)
	name := way[strings.LastIndex(way, "/")+1:]
	match := func(s string) func(pattern) bool {
		return func(p pattern) bool { return (isFolder || !p.folders) && doublestar.MatchUnvalidated(p.text, s) }
	}
	return slices.ContainsFunc(x.names, match(name)) || slices.ContainsFunc(x.ways, match(way))
}

// putWalk finds what is to be put before anything is, so that a name that cannot be kept stops it all.
type putWalk struct {
	a       *app
	follow  bool
	exclude *exclusion
	items   []putItem
	within  []fs.FileInfo     // the folders that are being walked, against links that lead back
	taken   map[string]string // what is to be put at each path
}

// all resolves the command line.
func (w *putWalk) all(as string, args []string) error {
	folder, target := "/", ""
	if as != "" {
		p, err := vaultPath(as)
		if err != nil {
			return err
		}
		if strings.HasSuffix(p, "/") {
			folder = p
		} else {
			target = p
		}
	}
	if len(args) > 1 && target != "" {
		return misuse("--as "+shown(as)+"/", "several things need a folder to go into; let --as end in \"/\"")
	}
	for _, arg := range args {
		if arg == pipeName {
			if target == "" {
				return misuse("tar c plans | stonevault put - --as /plans.tar", "say with --as what standard input is called")
			}
			w.items = append(w.items, putItem{local: pipeName, path: target})
			continue
		}
		info, err := os.Stat(arg)
		if err != nil {
			return fileError("read", arg, err)
		}
		path := target
		if path == "" {
			abs, err := filepath.Abs(arg)
			if err != nil {
				return err
			}
			if path, err = w.child(folder, filepath.Base(abs), arg); err != nil {
				return err
			}
		}
		if err := w.add(arg, path, "", info); err != nil {
			return err
		}
	}
	return nil
}

// child checks a name that will be kept in the vault.
func (w *putWalk) child(folder, name, local string) (string, error) {
	if !utf8.ValidString(name) {
		return "", fmt.Errorf("the name %s is not UTF-8, which the vault keeps names in; rename it, or put it alone with --as", shown(local))
	}
	if name == string(filepath.Separator) {
		return "", misuse("stonevault put / --as /everything", "say with --as what %s is called", shown(local))
	}
	return childPath(folder, name), nil
}

// add takes what lies at way below the folder that was named, or what was named itself.
func (w *putWalk) add(local, path, way string, info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return w.take(putItem{local: local, path: path})
	case mode.IsDir():
		return w.dir(local, path, way, info)
	default:
		w.a.say("Skipped %s, which is no file or folder.", shown(local))
		return nil
	}
}

// take refuses two things for one path, which names in two normal forms can come to.
func (w *putWalk) take(item putItem) error {
	key := norm.NFC.String(item.path)
	if other, taken := w.taken[key]; taken {
		return fmt.Errorf("%s and %s would both become %s; put one of them with --as", shown(other), shown(item.local), shown(item.path))
	}
	if w.taken == nil {
		w.taken = make(map[string]string)
	}
	w.taken[key] = item.local
	w.items = append(w.items, item)
	return nil
}

func (w *putWalk) dir(local, path, way string, info fs.FileInfo) error {
	for _, above := range w.within {
		if os.SameFile(above, info) {
			w.a.say("Skipped %s, which leads back to a folder above it.", shown(local))
			return nil
		}
	}
	w.within = append(w.within, info)
	defer func() { w.within = w.within[:len(w.within)-1] }()
	entries, err := os.ReadDir(local)
	if err != nil {
		return fileError("read", local, err)
	}
	before := len(w.items)
	for _, e := range entries {
		name := filepath.Join(local, e.Name())
		below := filepath.Join(way, e.Name())
		if w.exclude.matches(below, e.IsDir()) {
			continue
		}
		child, err := w.child(path, e.Name(), name)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			if !w.follow {
				w.a.say("Skipped %s, which is a symbolic link; --follow follows it.", shown(name))
				continue
			}
			if info, err = os.Stat(name); err == nil && info.IsDir() && w.exclude.matches(below, true) {
				continue
			}
		}
		if err != nil {
			return fileError("read", name, err)
		}
		if err := w.add(name, child, below, info); err != nil {
			return err
		}
	}
	if len(w.items) == before {
		return w.take(putItem{local: local, path: path, folder: true})
	}
	return nil
}
