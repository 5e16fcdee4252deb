package main

import "testing"

func TestExclusion(t *testing.T) {
	for _, c := range []struct {
		pattern, way string
		folder, want bool
	}{
		{"*.tmp", "a.tmp", false, true},
		{"*.tmp", "deep/down/a.tmp", false, true},
		{"*.tmp", "deep/a.tmp/kept", false, false}, // the folder above it is asked first
		{"*.tmp", "a.tmp", true, true},
		{"*.tmp", "a.tmpx", false, false},
		{"*", ".hidden", false, true},
		{"cache/", "cache", true, true},
		{"cache/", "deep/cache", true, true},
		{"cache/", "cache", false, false},
		{"/cache", "cache", false, true},
		{"/cache", "deep/cache", false, false},
		{"/cache/", "cache", true, true},
		{"/cache/", "cache", false, false},
		{"build/*.o", "build/a.o", false, true},
		{"build/*.o", "deep/build/a.o", false, false},
		{"build/*.o", "build/deep/a.o", false, false},
		{"**/build/*.o", "build/a.o", false, true},
		{"**/build/*.o", "very/deep/build/a.o", false, true},
		{"/docs/**", "docs/a", false, true},
		{"/docs/**", "docs/deep", true, true},
		{"/docs/**", "docs", true, true},
		{"/docs/**", "documents", true, false},
		{"/docs/*", "docs", true, false},
		{"{*.iso,*.img}", "x.img", false, true},
		{"{*.iso,*.img}", "x.jpg", false, false},
		{"[a-c]?", "b1", false, true},
		{"[a-c]?", "d1", false, false},
		{`\*`, "*", false, true},
		{`\*`, "a", false, false},
		{"Ä*", "Äpfel", false, true},
	} {
		x, err := newExclusion([]string{"never", c.pattern})
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		if got := x.matches(c.way, c.folder); got != c.want {
			t.Errorf("%s leaves out %s (a folder: %v): %v, want %v", c.pattern, c.way, c.folder, got, c.want)
		}
	}
	for _, pattern := range []string{"", "/", "[", "a/[", "{a", `\`} {
		if _, err := newExclusion([]string{pattern}); err == nil {
			t.Errorf("%q is a pattern", pattern)
		}
	}
}
