package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/internal/blob/local"
	"stonevault/internal/peers"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// servers are vaults on one database and one store, as several servers have them.
type servers struct {
	*house
	all     []*vault.Vault
	members []*peers.Member
}

func newServers(t *testing.T, n int) *servers {
	t.Helper()
	s := &servers{house: newHouse(t)}
	for i := range n {
		s.add(i)
	}
	return s
}

// add adds a server.
func (s *servers) add(i int) { s.addWith(i, peers.Usual) }

func (s *servers) addWith(i int, times peers.Times) {
	s.t.Helper()
	m, err := peers.Join(ctx, peers.Config{
		Store: s.db, Place: fmt.Sprintf("%032d", i), Name: "host", Times: times, Now: time.Now, Failed: func(error) {},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	c := s.config
	c.Peers = m
	v, err := vault.Open(ctx, c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.all, s.members = append(s.all, v), append(s.members, m)
}

func (s *servers) append(at int, a vault.Actor, u vault.Upload, body io.Reader) (vault.Upload, *vault.Entry, error) {
	return s.all[at].AppendUpload(ctx, a, u.ID, vault.Append{Offset: u.Offset, Size: -1, Body: body})
}

// TestUploadOverServers begins an upload at one server, goes on at another and ends at a third.
func TestUploadOverServers(t *testing.T) {
	s := newServers(t, 3)
	ada := s.person("ada")
	content := randomBytes(5<<20 + 7)
	u := s.begin(ada, "/f", int64(len(content)), stone.ClassNormal)
	var e *vault.Entry
	for i := 0; e == nil; i++ {
		end := min(int(u.Offset)+1<<20+4099, len(content))
		var err error
		if u, e, err = s.append(i%3, ada, u, bytes.NewReader(content[u.Offset:end])); err != nil {
			t.Fatal(err)
		}
	}
	s.mustGet(ada, "/f", content)
}

// heldReader gives what it has, and its end when the test says so.
type heldReader struct {
	io.Reader
	began, end chan struct{}
	once       sync.Once
}

func newHeldReader(content []byte) *heldReader {
	return &heldReader{Reader: bytes.NewReader(content), began: make(chan struct{}), end: make(chan struct{})}
}

func (r *heldReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		r.once.Do(func() { close(r.began) })
		<-r.end
	}
	return n, err
}

// TestUploadAtTwoServers sends the same piece to two servers at once: one has it, the other is told to wait.
func TestUploadAtTwoServers(t *testing.T) {
	s := newServers(t, 2)
	ada := s.person("ada")
	content := randomBytes(2<<20 + 1)
	u := s.begin(ada, "/f", int64(len(content)), stone.ClassNormal)
	slow := newHeldReader(content)
	var first error
	var e *vault.Entry
	var done sync.WaitGroup
	done.Go(func() { _, e, first = s.append(0, ada, u, slow) })
	<-slow.began
	if _, _, err := s.append(1, ada, u, bytes.NewReader(content)); !errors.Is(err, vault.ErrBusy) {
		t.Errorf("the second one: %v", err)
	}
	if err := s.all[1].CancelUpload(ctx, ada, u.ID); !errors.Is(err, vault.ErrBusy) {
		t.Errorf("cancelled under somebody's hands: %v", err)
	}
	close(slow.end)
	done.Wait()
	if first != nil || e == nil {
		t.Fatalf("the first one: %v", first)
	}
	s.mustGet(ada, "/f", content)
}

// stalled are the times of a server that does not renew its row.
var stalled = peers.Times{Renew: time.Hour, Patience: 2 * time.Second, Life: 3 * time.Second}

// TestUploadOfDeadServer goes on elsewhere once a server counts as gone, and what that one still does is refused.
func TestUploadOfDeadServer(t *testing.T) {
	s := newServers(t, 0)
	s.addWith(0, stalled)
	s.add(1)
	ada := s.person("ada")
	content := randomBytes(3 << 20)
	u := s.begin(ada, "/f", int64(len(content)), stone.ClassNormal)
	slow := newHeldReader(content)
	var late error
	var done sync.WaitGroup
	done.Go(func() { _, _, late = s.append(0, ada, u, slow) })
	<-slow.began
	time.Sleep(stalled.Life)
	if _, e, err := s.append(1, ada, u, bytes.NewReader(content)); err != nil || e == nil {
		t.Fatalf("at the other server: %v", err)
	}
	close(slow.end)
	done.Wait()
	if late == nil {
		t.Error("the one that was given up could complete the same upload")
	}
	s.mustGet(ada, "/f", content)
}

// TestCollectorBesidePuts: a put of another server is left alone while that one is there. Afterwards what it has left is
// removed, and it cannot commit any more.
func TestCollectorBesidePuts(t *testing.T) {
	s := newServers(t, 0)
	s.addWith(0, stalled)
	s.add(1)
	ada := s.person("ada")
	put := func(path string) (finish func() error) {
		content := randomBytes(2 << 20)
		slow := newHeldReader(content)
		var done sync.WaitGroup
		var err error
		done.Go(func() {
			_, _, err = s.all[0].Put(ctx, ada, vault.PutRequest{Path: path, Body: slow, Size: -1})
		})
		<-slow.began
		return func() error { close(slow.end); done.Wait(); return err }
	}
	finish := put("/alive")
	if n, err := s.all[1].Collect(ctx); n != 0 || err != nil {
		t.Errorf("settled %d, %v beside a live server", n, err)
	}
	if err := finish(); err != nil {
		t.Error(err)
	}
	objects := s.objectCount()

	finish = put("/dead")
	time.Sleep(stalled.Life)
	if n, err := s.all[1].Collect(ctx); n != 1 || err != nil {
		t.Errorf("settled %d, %v after a server's end", n, err)
	}
	if err := finish(); !errors.Is(err, vault.ErrUnavailable) {
		t.Errorf("a put that was given up: %v", err)
	}
	if _, err := s.Stat(ctx, ada, vault.Ref{Path: "/dead"}); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("and its file: %v", err)
	}
	if _, err := s.all[1].Collect(ctx); err != nil {
		t.Error(err)
	}
	if n := s.objectCount(); n != objects {
		t.Errorf("%d objects, want %d", n, objects)
	}
}

// slowStore takes its time to replace objects, so that those of two servers meet.
type slowStore struct{ *local.Store }

func (s slowStore) Replace(ctx context.Context, name string, data []byte) error {
	time.Sleep(5 * time.Millisecond)
	return s.Store.Replace(ctx, name, data)
}

// TestRenameAtServers moves one file about at three servers at once. Whatever came last, its envelope is in its place.
func TestRenameAtServers(t *testing.T) {
	s := &servers{house: newHouse(t)}
	s.config.Objects = slowStore{s.objects}
	for i := range 3 {
		s.add(i)
	}
	ada := s.person("ada")
	e := s.put(ada, "/f", []byte("content"))
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			for n := range 8 {
				path := fmt.Sprintf("/%d-%d", i, n)
				_, err := s.all[i].Move(ctx, ada, e.Node.ID, vault.MoveRequest{Path: path})
				if err != nil && !errors.Is(err, vault.ErrConflict) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, v := range s.all {
		if _, err := v.Collect(ctx); err != nil {
			t.Error(err)
		}
	}
	now, err := s.Stat(ctx, ada, vault.Ref{Node: e.Node.ID})
	if err != nil || !strings.Contains(now.Path, "-") {
		t.Fatalf("%q, %v", now.Path, err)
	}
	s.mustGet(ada, now.Path, []byte("content"))
}

// unfinished refuses to make an object of a part, once.
type unfinished struct {
	vault.Parts
	done bool
}

func (u *unfinished) FinishPart(ctx context.Context, id stone.FileID, name string) error {
	if !u.done {
		u.done = true
		return errors.New("the store is away")
	}
	return u.Parts.FinishPart(ctx, id, name)
}

// TestCompleteUploadElsewhere: what has come as a whole is not called a file while another server is making one of it,
// which may fail.
func TestCompleteUploadElsewhere(t *testing.T) {
	s := &servers{house: newHouse(t)}
	s.config.Parts = &unfinished{Parts: s.objects}
	s.add(0)
	s.add(1)
	ada := s.person("ada")
	u := s.begin(ada, "/f", 5, stone.ClassNormal)
	if _, _, err := s.append(0, ada, u, strings.NewReader("bytes")); err == nil {
		t.Fatal("the store was not away")
	}
	_, release, err := s.members[1].Take(ctx, "upload/"+u.ID.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.all[0].Upload(ctx, ada, u.ID); !errors.Is(err, vault.ErrBusy) {
		t.Errorf("under another server's hands: %v", err)
	}
	release()
	if now, err := s.all[0].Upload(ctx, ada, u.ID); err != nil || now.Offset != 5 {
		t.Errorf("%+v, %v", now, err)
	}
	s.mustGet(ada, "/f", []byte("bytes"))
}
