package httpapi

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/internal/blob/local"
	"stonevault/internal/blob/s3"
	"stonevault/internal/blob/s3test"
	"stonevault/internal/cache"
	"stonevault/internal/cache/redis"
	"stonevault/internal/cache/redistest"
	"stonevault/internal/metadb/postgrestest"
	"stonevault/internal/metadb/testdb"
	"stonevault/internal/peers"
	"stonevault/internal/vault"
)

// Where the tests run a second time, these say which bucket and which Redis; the database is testdb's.
const (
	objectsVariable = "STONEVAULT_TEST_OBJECTS" // with %s for a prefix
	folderVariable  = "STONEVAULT_TEST_OBJECTS_FOLDER"
	cacheVariable   = "STONEVAULT_TEST_CACHE"
)

// onMany are the tests that run a second time: what a person does by the API, and not what HTTP itself is.
var onMany = []string{
	"TestScenarios", "TestMatrix", "TestContent.*", "TestUpload.*", "TestListPages", "TestSessions", "TestGroups", "TestQuotas",
	"TestRetries", "TestKeyedUploads", "TestConcurrentRetries", "TestEventsOfFiles", "TestDownloads", "TestArchive", "TestExport",
	"TestHandOverOverHTTP", "TestAccountOverHTTP", "TestFactorOverHTTP", "TestAPITokenOverHTTP", "TestWebhooks", "TestRequestLimits", "TestTakenIn",
}

// TestOnPostgresS3AndRedis runs the API's tests again, on the parts that many servers share.
func TestOnPostgresS3AndRedis(t *testing.T) {
	if raceDetector && os.Getenv("STONEVAULT_TORTURE") != "1" {
		t.Skip("NOT RUN here: scripts/test-go runs this without the race detector, and make torture with it")
	}
	database, store, counter := postgrestest.Start(t), s3test.Start(t), redistest.Start(t)
	cmd := exec.Command(os.Args[0], "-test.run=^("+strings.Join(onMany, "|")+")$", "-test.v", "-test.timeout=25m")
	cmd.Env = append(os.Environ(), testdb.Variable+"="+database.Address("postgres"), objectsVariable+"="+store.Address("%s"), folderVariable+"="+store.Folder(), cacheVariable+"="+counter.Address())
	out, err := cmd.CombinedOutput()
	passed := strings.Count(string(out), "--- PASS: ")
	t.Logf("%d tests have passed on PostgreSQL, S3 and Redis", passed)
	if kept, err := os.ReadDir(store.Folder()); err != nil || len(kept) < 20 {
		t.Errorf("the bucket has the objects of %d vaults: %v", len(kept), err)
	}
	if err != nil || passed < 200 {
		t.Errorf("%v\n%s", err, failures(string(out)))
	}
}

// failures leaves out what passed.
func failures(out string) string {
	var kept []string
	for line := range strings.Lines(out) {
		if text := strings.TrimSpace(line); !strings.HasPrefix(text, "--- PASS") && !strings.HasPrefix(text, "=== ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// raceDetector tells whether this is built with it.
var raceDetector bool

// worlds gives each its own part of the bucket.
var worlds struct {
	sync.Mutex
	n int
}

func (w *world) openObjects() interface {
	vault.Objects
	vault.Parts
} {
	w.t.Helper()
	address := os.Getenv(objectsVariable)
	if address == "" {
		if err := os.Mkdir(w.objects, 0o700); err != nil {
			w.t.Fatal(err)
		}
		store, err := local.Open(w.objects)
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { store.Close() })
		return store
	}
	worlds.Lock()
	worlds.n++
	prefix := fmt.Sprintf("world%d", worlds.n)
	worlds.Unlock()
	w.objects = filepath.Join(os.Getenv(folderVariable), prefix)
	store, err := s3.Open(context.Background(), s3.Options{
		Address: fmt.Sprintf(address, prefix), Credentials: s3.Credentials{AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { store.Close() })
	return store
}

// openShared makes the world's server one of several, and counts where all of them do. On the parts of one machine there
// is nothing of it.
func (w *world) openShared() (*peers.Member, cache.Limiter) {
	w.t.Helper()
	address := os.Getenv(cacheVariable)
	if address == "" {
		return nil, nil
	}
	member, err := peers.Join(context.Background(), peers.Config{
		Store: w.db, Place: strings.Repeat("a", 32), Name: "host", Times: peers.Usual, Now: time.Now,
		Failed: func(err error) { w.t.Error(err) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { member.Run(running) })
	w.t.Cleanup(func() { stop(); done.Wait() })
	client, err := redis.Open(redis.Options{Address: address, Prefix: filepath.Base(w.objects) + ":", Timeout: 5 * time.Second})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { client.Close() })
	return member, client.Limiter()
}
