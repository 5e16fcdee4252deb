package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFullDisk fills the disk under a running server to several degrees: puts are told so, reads go on,
// nothing half is kept, and all is well once there is room again.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("NOT RUN: mounting a small file system needs root")
	}
	disk := t.TempDir()
	if err := unix.Mount("stonevault-test", disk, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=24m,mode=0700"); err != nil {
		t.Skipf("NOT RUN: a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	data := filepath.Join(disk, "data")
	makeVault(t, data)
	p := start(t, data)
	t.Cleanup(p.kill) // before the disk goes
	ann := signIn(t, p.addr, "ann")
	kept := make([]byte, 100_000)
	rand.Read(kept)
	ann.must(ann.put("/kept.bin", kept)).want(t, http.StatusCreated)
	filler := filepath.Join(disk, "filler")
	for _, room := range []int64{0, 16 << 10, 200 << 10, 1 << 20} {
		fill(t, disk, filler, room)
		for i, size := range []int{1 << 20, 3 << 20} {
			path := fmt.Sprintf("/too much %d.bin", i)
			r := ann.must(ann.put(path, random(size)))
			if r.status != http.StatusInsufficientStorage || r.problem() != "no-space" {
				t.Errorf("%d bytes with %d free: status %d, %.200s", size, room, r.status, r.body)
			}
			ann.must(ann.get(path)).want(t, http.StatusNotFound)
		}
		if r := ann.must(ann.get("/kept.bin")); !bytes.Equal(r.body, kept) {
			t.Errorf("with %d bytes free, what was kept reads otherwise: status %d", room, r.status)
		}
		if len(ann.list("/")) != 1 {
			t.Errorf("with %d bytes free, the list is %v", room, ann.list("/"))
		}
		// The server itself goes on; it is not ready, which tells others to send nothing to it.
		r := ann.must(ann.do("GET", "/livez", nil, nil))
		r.want(t, http.StatusOK)
		check(t, os.Remove(filler))
		ann.must(ann.put("/after.bin", kept)).want(t, http.StatusCreated, http.StatusOK)
		ann.must(ann.do("GET", "/readyz", nil, nil)).want(t, http.StatusOK)
		f, _, err := ann.lookup("/after.bin")
		check(t, err)
		ann.must(ann.do("DELETE", "/api/v1/files/"+f.ID, nil, nil)).want(t, http.StatusNoContent)
	}
	// A full disk must not stop a stop, nor a start that has room again.
	fill(t, disk, filler, 0)
	p.stop()
	check(t, os.Remove(filler))
	p = start(t, data)
	ann = signIn(t, p.addr, "ann")
	checkObjects(t, data)
	if r := ann.must(ann.get("/kept.bin")); !bytes.Equal(r.body, kept) {
		t.Errorf("after it all, what was kept reads otherwise: status %d", r.status)
	}
	p.stop()
	if r := run(t, "", "doctor", "--data", data); r.code != 0 || strings.Contains(r.stdout, "warn  objects") {
		t.Errorf("doctor: %s%s", r.stdout, r.stderr)
	}
}

// random is content that does not become smaller.
func random(size int) []byte {
	b := make([]byte, size)
	rand.Read(b)
	return b
}

// fill writes a file until only room bytes are free.
func fill(t testing.TB, disk, filler string, room int64) {
	t.Helper()
	free, _, err := diskSpace(disk)
	check(t, err)
	f, err := os.Create(filler)
	check(t, err)
	defer f.Close()
	if size := int64(free) - room; size > 0 {
		check(t, unix.Fallocate(int(f.Fd()), 0, 0, size))
	}
}
