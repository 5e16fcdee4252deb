package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/internal/blob/s3test"
	"stonevault/internal/metadb"
	"stonevault/internal/metadb/postgrestest"
)

// movable is a vault to copy, what is in it, and two uploads that have not ended.
type movable struct {
	data     string
	contents map[string][32]byte // by path
	short    *pausedUpload       // so little of it has come that every store gives it back
	long     *pausedUpload
}

// pausedUpload is an upload of which the first bytes have come.
type pausedUpload struct {
	path, location string
	content        []byte
	at             int
}

func newMovable(t *testing.T, files int) *movable {
	t.Helper()
	m := &movable{data: filepath.Join(t.TempDir(), "first"), contents: make(map[string][32]byte)}
	makeVault(t, m.data)
	if r := run(t, testPassword+"\n", "admin", "create", "root", "--password-stdin", "--data", m.data); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	p := start(t, m.data)
	ann := signIn(t, p.addr, "ann")
	folders := files/200 + 1
	for n := range folders {
		body := fmt.Sprintf(`{"path":"/folder %03d"}`, n)
		ann.must(ann.do("POST", "/api/v1/folders", strings.NewReader(body), http.Header{"Content-Type": {"application/json"}})).want(t, http.StatusCreated)
	}
	random := rand.New(rand.NewPCG(1, 1))
	var working sync.WaitGroup
	type put struct {
		path    string
		content []byte
	}
	queue := make(chan put)
	for range 8 {
		working.Go(func() {
			for q := range queue {
				r, err := ann.put(q.path, q.content)
				if err != nil || r.status != http.StatusCreated {
					t.Errorf("put %s: %v %+v", q.path, err, r)
				}
			}
		})
	}
	for n := range files {
		q := put{fmt.Sprintf("/folder %03d/file %05d", n%folders, n), noise(random, random.IntN(3000))}
		if n%250 == 7 {
			q.content = noise(random, 1<<20+random.IntN(8<<20))
		}
		m.contents[q.path] = sha256.Sum256(q.content)
		queue <- q
	}
	close(queue)
	working.Wait()
	for n := range min(files, 10) { // further versions
		path := fmt.Sprintf("/folder %03d/file %05d", n%folders, n)
		content := noise(random, 500)
		ann.must(ann.do("PUT", contentPath(path), bytes.NewReader(content), nil)).want(t, http.StatusCreated, http.StatusOK, http.StatusNoContent)
		m.contents[path] = sha256.Sum256(content)
	}
	m.short = m.begin(t, ann, random, "/short upload", 5<<20, 3<<20)
	m.long = m.begin(t, ann, random, "/long upload", 24<<20, 20<<20)
	if t.Failed() {
		t.FailNow()
	}
	if code := p.stop(); code != 0 {
		t.Fatalf("%d: %s", code, p.stderr)
	}
	return m
}

func noise(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func (m *movable) begin(t *testing.T, c *client, random *rand.Rand, path string, size, at int) *pausedUpload {
	t.Helper()
	u := &pausedUpload{path: path, content: noise(random, size), at: at}
	r := c.must(c.do("POST", "/api/v1/uploads", nil, tusBegin(path, size)))
	r.want(t, http.StatusCreated)
	u.location = r.header.Get("Location")
	c.must(c.do("PATCH", u.location, bytes.NewReader(u.content[:at]), tusPiece(0))).want(t, http.StatusNoContent)
	return u
}

// wantIn compares what a server gives out with what was put into the vault.
func (m *movable) wantIn(t *testing.T, c *client, every int) {
	t.Helper()
	n := 0
	for _, folder := range c.list("/") {
		if folder.Kind == "folder" {
			n += len(c.list(folder.Path))
		}
	}
	if n != len(m.contents) {
		t.Errorf("%d files of %d are there", n, len(m.contents))
	}
	i := 0
	for path, sum := range m.contents {
		if i++; i%every != 0 {
			continue
		}
		if r := c.must(c.get(path)); r.status != http.StatusOK || sha256.Sum256(r.body) != sum {
			t.Errorf("%s: %d, %d bytes", path, r.status, len(r.body))
		}
	}
}

// copyRun runs copy to its end, however long that takes.
func copyRun(t *testing.T, args []string) (copyReport, result) {
	t.Helper()
	cmd := command(t, append([]string{"copy", "--json"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	r := result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	var report copyReport
	if r.stdout != "" {
		check(t, json.Unmarshal(stdout.Bytes(), &report))
	}
	return report, r
}

// copyKilled is copyRun after a number of runs that are killed.
func copyKilled(t *testing.T, kills int, most time.Duration, args []string) copyReport {
	t.Helper()
	began := time.Now()
	for n := range kills {
		cmd := command(t, append([]string{"copy", "--json"}, args...)...)
		stdout, stderr := &output{}, &output{}
		cmd.Stdout, cmd.Stderr = stdout, stderr
		check(t, cmd.Start())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for n > 0 && stderr.String() == "" && len(ended) == 0 { // the first may be killed while it opens everything
			time.Sleep(5 * time.Millisecond)
		}
		select {
		case <-time.After(most/20 + rand.N(most)):
			check(t, cmd.Process.Kill())
			<-ended
			words := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			t.Logf("kill %d: %s", n+1, words[len(words)-1])
		case err := <-ended: // a fast machine
			var report copyReport
			if err != nil || n == 0 || json.Unmarshal([]byte(stdout.String()), &report) != nil {
				t.Fatalf("it ended before kill %d: %v: %s", n+1, err, stderr)
			}
			t.Logf("it ended before kill %d", n+1)
			return report
		}
	}
	killed := time.Since(began)
	report, r := copyRun(t, args)
	if r.code != 0 || !report.Complete {
		t.Fatalf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	t.Logf("copied after %d kills: %d rows, %d objects of %d bytes, %d by the last run, which took %.1f s; the others %.1f s",
		kills, report.Rows, report.Objects, report.Bytes, report.Copied, report.Seconds, killed.Seconds())
	return report
}

// TestCopy copies a vault from SQLite and a directory to PostgreSQL and a bucket, and back to another directory, killed
// five times on each way. All of it is there then, byte for byte.
func TestCopy(t *testing.T) {
	files, most := 500, 1200*time.Millisecond
	if torture() {
		files, most = 10_000, 25*time.Second
	}
	m := newMovable(t, files)
	postgres, bucket := postgrestest.Start(t), s3test.Start(t)
	dir := t.TempDir()
	database, objects := addressFile(t, postgres.NewDatabase(t)), bucket.Address("moved")
	credentials := filepath.Join(dir, "credentials")
	write(t, credentials, "AWS_ACCESS_KEY_ID="+s3test.AccessKey+"\nAWS_SECRET_ACCESS_KEY="+s3test.SecretKey+"\n")
	key := []string{"--master-key", "file:" + m.data + ".master.key"}
	between, back := filepath.Join(dir, "between"), filepath.Join(dir, "back")
	shared := between + "," + database + "," + objects
	before := fingerprint(t, m.data)

	out := copyKilled(t, 5, most, append([]string{"--from", m.data, "--to", shared, "--to-s3-credentials", credentials}, key...))
	if fingerprint(t, m.data) != before {
		t.Error("the source has changed")
	}
	in := copyKilled(t, 5, most, append([]string{"--from", shared, "--from-s3-credentials", credentials, "--to", back}, key...))

	if !slices.Equal(in.Tables, out.Tables) || in.Objects != out.Objects || in.Bytes != out.Bytes || *in.Audit != *out.Audit || in.Vault != out.Vault {
		t.Errorf("%+v\nbecame\n%+v", out, in)
	}
	if len(out.Dropped) != 0 || len(in.Dropped) != 1 || !strings.HasSuffix(m.long.location, in.Dropped[0]) {
		t.Errorf("uploads ended: %v, %v", out.Dropped, in.Dropped)
	}
	if got, want := objectSums(t, back), objectSums(t, m.data); !mapsEqual(got, want) {
		t.Errorf("%d objects became %d others", len(want), len(got))
	}
	for _, d := range differingTables(t, m.data, back) {
		if !slices.Contains([]string{"uploads", "upload_rows", "usage"}, d) { // of the upload that has ended
			t.Errorf("the rows of %s differ", d)
		}
	}
	for _, verb := range [][]string{{"doctor"}, {"audit", "fsck"}} {
		if r := run(t, "", append(append(verb, "--data", back), key...)...); r.code != 0 {
			t.Errorf("%v: %+v", verb, r)
		}
	}
	p := start(t, back, key...)
	ann := signIn(t, p.addr, "ann")
	m.wantIn(t, ann, max(1, files/500))
	u := m.short
	ann.must(ann.do("PATCH", u.location, bytes.NewReader(u.content[u.at:]), tusPiece(u.at))).want(t, http.StatusNoContent)
	if r := ann.must(ann.get(u.path)); !bytes.Equal(r.body, u.content) {
		t.Errorf("an upload that was begun before: %d, %d bytes", r.status, len(r.body))
	}
	ann.must(ann.do("HEAD", m.long.location, nil, tusRequest(http.Header{}))).want(t, http.StatusNotFound, http.StatusGone)
	if code := p.stop(); code != 0 {
		t.Errorf("%d: %s", code, p.stderr)
	}
	if r := run(t, "", append([]string{"doctor", "--data", back}, key...)...); r.code != 0 {
		t.Errorf("doctor at the end: %+v", r)
	}
}

// objectSums are the digests of the files below objects/ that are objects.
func objectSums(t *testing.T, data string) map[string]string {
	t.Helper()
	sums := make(map[string]string)
	root := filepath.Join(data, "objects")
	check(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		sum := sha256.Sum256(content)
		if name := e.Name(); strings.HasSuffix(name, ".body") || strings.HasSuffix(name, ".env") {
			sums[name] = hex.EncodeToString(sum[:])
		}
		return err
	}))
	return sums
}

func mapsEqual(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// differingTables compares two vaults in directories.
func differingTables(t *testing.T, one, other string) (names []string) {
	t.Helper()
	var dbs []*metadb.DB
	for _, data := range []string{one, other} {
		db, err := metadb.OpenSQLite(t.Context(), filepath.Join(data, "stonevault.db"), metadb.Options{ReadOnly: true, ProgramVersion: builtVersion})
		check(t, err)
		defer db.Close()
		dbs = append(dbs, db)
	}
	c, err := metadb.NewCopy(t.Context(), dbs[0], dbs[1])
	check(t, err)
	from, to, err := c.Digests(t.Context())
	check(t, err)
	for i := range from {
		if from[i] != to[i] {
			names = append(names, from[i].Table)
		}
	}
	return names
}
