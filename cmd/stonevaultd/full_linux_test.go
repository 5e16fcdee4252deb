package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// small is a file system of its own for a data directory.
func small(t testing.TB, options string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT RUN: mounting a small file system needs root")
	}
	disk := t.TempDir()
	if err := unix.Mount("stonevault-test", disk, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options+",mode=0700"); err != nil {
		t.Skipf("NOT RUN: a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	return disk
}

// TestFullDisk fills the disk under a running server to several degrees: puts and uploads are told so, reads
// go on, nothing half is kept, and all is well once there is room again.
func TestFullDisk(t *testing.T) {
	disk := small(t, "size=24m")
	testFull(t, disk, 1<<20+5, []int64{0, 16 << 10, 200 << 10, 1 << 20}, func(room int64) (empty func()) {
		filler := filepath.Join(disk, "filler")
		fill(t, disk, filler, room)
		return func() { check(t, os.Remove(filler)) }
	})
}

// TestFullInodes leaves room for bytes, and for fewer files than a put makes.
func TestFullInodes(t *testing.T) {
	disk := small(t, "size=256m,nr_inodes=2000")
	// A part that is there could grow.
	testFull(t, disk, 0, []int64{0, 1}, func(room int64) (empty func()) {
		filler := filepath.Join(disk, "filler")
		check(t, os.Mkdir(filler, 0o700))
		made := int64(0)
		for ; ; made++ {
			err := os.WriteFile(filepath.Join(filler, fmt.Sprint(made)), nil, 0o600)
			if errors.Is(err, unix.ENOSPC) {
				break
			}
			check(t, err)
		}
		for i := range room {
			check(t, os.Remove(filepath.Join(filler, fmt.Sprint(i))))
		}
		return func() { check(t, os.RemoveAll(filler)) }
	})
}

// testFull serves from a disk that is filled again and again, with an upload under way of which begun bytes
// have come.
func testFull(t *testing.T, disk string, begun int, rooms []int64, fill func(room int64) (empty func())) {
	data := filepath.Join(disk, "data")
	makeVault(t, data)
	p := start(t, data)
	t.Cleanup(p.kill) // before the disk goes
	ann := signIn(t, p.addr, "ann")
	kept := random(100_000)
	ann.must(ann.put("/kept.bin", kept)).want(t, http.StatusCreated)
	for _, room := range rooms {
		wantFull := func(what string, r reply) {
			t.Helper()
			if r.status != http.StatusInsufficientStorage || r.problem() != "no-space" {
				t.Errorf("%s with room for %d: status %d, %.200s", what, room, r.status, r.body)
			}
		}
		u := &upload{path: "/upload.bin", content: random(4 << 20), at: begun}
		r := ann.must(ann.do("POST", "/api/v1/uploads", nil, tusBegin(u.path, u.size())))
		r.want(t, http.StatusCreated)
		u.location = r.header.Get("Location")
		if begun > 0 {
			ann.must(ann.do("PATCH", u.location, bytes.NewReader(u.content[:begun]), tusPiece(0))).want(t, http.StatusNoContent)
		}

		empty := fill(room)
		for i, size := range []int{1 << 20, 3 << 20} {
			path := fmt.Sprintf("/too much %d.bin", i)
			wantFull("a put", ann.must(ann.put(path, random(size))))
			ann.must(ann.get(path)).want(t, http.StatusNotFound)
		}
		wantFull("a piece", ann.must(ann.do("PATCH", u.location, bytes.NewReader(u.content[u.at:]), tusPiece(u.at))))
		begin := tusBegin("/another.bin", u.size())
		begin.Set("Content-Type", "application/offset+octet-stream")
		wantFull("an upload with its content", ann.must(ann.do("POST", "/api/v1/uploads", bytes.NewReader(u.content), begin)))

		if r := ann.must(ann.get("/kept.bin")); !bytes.Equal(r.body, kept) {
			t.Errorf("with room for %d, what was kept reads otherwise: status %d", room, r.status)
		}
		if len(ann.list("/")) != 1 {
			t.Errorf("with room for %d, the list is %v", room, ann.list("/"))
		}
		// The server itself goes on; it is not ready, which tells others to send nothing to it.
		ann.must(ann.do("GET", "/livez", nil, nil)).want(t, http.StatusOK)
		// One that has all its bytes lacks room to become a file.
		ann.must(ann.do("HEAD", u.location, nil, tusRequest(http.Header{}))).want(t, http.StatusOK, http.StatusInsufficientStorage)

		empty()
		r = ann.must(ann.do("HEAD", u.location, nil, tusRequest(http.Header{})))
		r.want(t, http.StatusOK)
		at, err := strconv.Atoi(r.header.Get("Upload-Offset"))
		if check(t, err); at < u.at || at > u.size() {
			t.Errorf("after room for %d, an upload of %d acknowledged bytes stands at %d", room, u.at, at)
		}
		ann.must(ann.put("/after.bin", kept)).want(t, http.StatusCreated)
		ann.must(ann.do("GET", "/readyz", nil, nil)).want(t, http.StatusOK)
		ann.must(ann.do("PATCH", u.location, bytes.NewReader(u.content[at:]), tusPiece(at))).want(t, http.StatusNoContent)
		if r := ann.must(ann.get(u.path)); !bytes.Equal(r.body, u.content) {
			t.Errorf("after room for %d, an upload reads otherwise: status %d", room, r.status)
		}
		for _, path := range []string{"/after.bin", u.path} {
			f, _, err := ann.lookup(path)
			check(t, err)
			ann.must(ann.do("DELETE", "/api/v1/files/"+f.ID, nil, nil)).want(t, http.StatusNoContent)
		}
	}
	// A full disk must not stop a stop, nor a start that has room again.
	empty := fill(0)
	p.stop()
	empty()
	p = start(t, data)
	ann = signIn(t, p.addr, "ann")
	checkObjects(t, data)
	for _, u := range ann.uploads() {
		t.Errorf("an upload to %s is left", u.Path)
	}
	if r := ann.must(ann.get("/kept.bin")); !bytes.Equal(r.body, kept) {
		t.Errorf("after it all, what was kept reads otherwise: status %d", r.status)
	}
	p.stop()
	wantHealthy(t, data)
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
	f, err := os.Create(filler)
	check(t, err)
	defer f.Close()
	for {
		free, _, err := diskSpace(disk)
		check(t, err)
		size := int64(free) - room
		if size <= 0 {
			return
		}
		// The server writes on its own too, between the question and the answer.
		if err := unix.Fallocate(int(f.Fd()), 0, 0, size); !errors.Is(err, unix.ENOSPC) {
			check(t, err)
			return
		}
	}
}

// TestReserveUsedUp reads on a full disk until what was kept for that is used up: from then on reads are refused
// too, because nobody could tell afterwards who had read, until there is room again.
func TestReserveUsedUp(t *testing.T) {
	disk := small(t, "size=24m")
	data := filepath.Join(disk, "data")
	makeVault(t, data)
	p := start(t, data)
	t.Cleanup(p.kill)
	ann := signIn(t, p.addr, "ann")
	kept := random(10_000)
	ann.must(ann.put("/kept.bin", kept)).want(t, http.StatusCreated)
	filler := filepath.Join(disk, "filler")
	fill(t, disk, filler, 0)
	reads := 0
	for ; ; reads++ {
		r := ann.must(ann.get("/kept.bin"))
		if r.status == http.StatusOK && bytes.Equal(r.body, kept) {
			if reads > 20_000 {
				t.Fatal("reading goes on for ever")
			}
			continue
		}
		if r.status != http.StatusInsufficientStorage || r.problem() != "no-space" {
			t.Fatalf("after %d reads: status %d, %.200s", reads, r.status, r.body)
		}
		break
	}
	if reads < 10 {
		t.Errorf("only %d reads came out of the reserve", reads)
	}
	if n := len(ann.list("/")); n != 1 {
		t.Errorf("the list has %d files", n)
	}
	check(t, os.Remove(filler))
	ann.must(ann.put("/after.bin", kept)).want(t, http.StatusCreated)
	for range 3 {
		if r := ann.must(ann.get("/kept.bin")); !bytes.Equal(r.body, kept) {
			t.Errorf("with room again: status %d, %.200s", r.status, r.body)
		}
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit %d: %s", code, p.stderr)
	}
	wantSound(t, data)
	checkEvents(t, data)
}
