package layering

import (
	"os"
	"path/filepath"
	"testing"
)

// platforms are those that the commands are built for. Each takes most of a minute of two processors when
// nothing is cached, so that ordinary runs build one for each system.
var platforms = []struct {
	os, arch string
	always   bool
}{
	{"linux", "amd64", true}, {"linux", "arm64", false},
	{"darwin", "amd64", false}, {"darwin", "arm64", true},
	{"windows", "amd64", true}, {"windows", "arm64", false},
}

// TestBuilds builds both commands without cgo, as releases are built.
func TestBuilds(t *testing.T) {
	all := os.Getenv("STONEVAULT_TORTURE") == "1"
	for _, p := range platforms {
		t.Run(p.os+"/"+p.arch, func(t *testing.T) {
			if testing.Short() {
				t.Skip("NOT RUN: run without -short")
			}
			if !p.always && !all {
				t.Skip("NOT RUN: make torture builds for this one too")
			}
			dir := t.TempDir()
			goCommand(t, p.os, p.arch, "build", "-trimpath", "-buildvcs=false", "-o", dir+string(filepath.Separator), "./cmd/...")
			for _, name := range []string{"stonevault", "stonevaultd"} {
				if p.os == "windows" {
					name += ".exe"
				}
				if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
					t.Errorf("%s was not built: %v", name, err)
				}
			}
		})
	}
}
