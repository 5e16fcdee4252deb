package local

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"testing"

	"stonevault/internal/blob/blobtest"
)

func TestParts(t *testing.T) {
	blobtest.RunParts(t, func(t *testing.T) blobtest.PartStore { return open(t, t.TempDir()) })
}

// What a file system refuses is done another way, and nothing that vault relies on changes.
func TestPartsWithoutDirectWrites(t *testing.T) {
	blobtest.RunParts(t, func(t *testing.T) blobtest.PartStore {
		s := open(t, t.TempDir())
		s.sys.direct = func(*os.File, bool) error { return errors.ErrUnsupported }
		return s
	})
}

func TestPartsWithoutLinks(t *testing.T) {
	if err := renameNew(t.TempDir(), "none", "other"); errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("%s cannot rename without replacing, so it needs links", runtime.GOOS)
	}
	blobtest.RunParts(t, func(t *testing.T) blobtest.PartStore {
		s := open(t, t.TempDir())
		s.sys.link = func(*os.Root, string, string) error { return fs.ErrPermission }
		return s
	})
}
