// Package s3 keeps objects in a bucket of an S3-compatible store and implements vault.Objects and vault.Parts.
//
//	PREFIX/objects/3f0a…9c.body        an object
//	PREFIX/objects/3f0a…9c.env
//	PREFIX/parts/3f0a…9c/0000…07       an object that grows over days, as its seventh Sync left it; see part.go
//	PREFIX/parts/3f0a…9c/head-…        what its first bytes were
//	PREFIX/stages/3f0a…9c-…            blocks of a very large object on their way into it; see assembly.go
//	PREFIX/probe/…                     what Open tries
//	PREFIX/owner                       whose all this is
//
// What it promises:
//   - A call returns nil only after the store has answered that it keeps the bytes.
//   - Create never replaces: an object gets its name by a request with "If-None-Match: *". A store that does not
//     honour that is refused by Open.
//   - Every object carries the random mark of who wrote it. Where a reply was lost, the mark tells whether the
//     object that is there is one's own, so that a second try never takes it for somebody else's.
//   - A transfer takes two blocks of memory at most, and a third while a part is synced.
//   - What cannot be asked is vault.ErrUnavailable, after a bounded number of tries.
//
// Requests are signed by the SHA-256 of their payload, which every store checks. No checksums are sent behind the
// payload: older stores refuse them.
//
// It neither reads nor checks what the bytes mean. A bucket that keeps versions keeps what was deleted as well. It is
// not a lock: of two that open one part, the later Sync is refused.
package s3

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"stonevault/internal/vault"
	"stonevault/stone"
)

const (
	// blockSize is that of one part of a multipart upload: all but the last are equal, since some stores want that.
	blockSize = 8 << 20
	// directBlocks is how many parts an upload has of one block, and stagedBlocks how many blocks the ones behind
	// them have. Of 10,000 parts, that is 1.3 TiB; the largest stone has 1 TiB and its index.
	directBlocks = 9000
	stagedBlocks = 160
)

// Options say which bucket it is.
type Options struct {
	// Address is s3://bucket[/prefix]?endpoint=https://host[:port]&region=…&path_style=true; see Parse.
	Address     string
	Credentials Credentials
	TLS         *tls.Config // such as an authority of one's own; nil trusts the system's
}

// Store is a bucket. It is safe for concurrent use.
type Store struct {
	core      *minio.Core
	transport *http.Transport
	bucket    string
	prefix    string // "" or ending in "/"

	block, direct, staged int // tests make them less
	pool                  pool
	tries                 struct{ few, many policy }
}

var (
	_ vault.Objects = (*Store)(nil)
	_ vault.Parts   = (*Store)(nil)
)

// Open connects and tries on an object of its own whether the bucket is there, whether the credentials suffice, and
// whether the store keeps what the promises rest on.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := connect(o)
	if err != nil {
		return nil, err
	}
	if err := s.probe(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func connect(o Options) (*Store, error) {
	a, err := Parse(o.Address)
	if err != nil {
		return nil, err
	}
	if o.Credentials.AccessKey == "" || o.Credentials.SecretKey == "" {
		return nil, errors.New("there are no credentials for the object store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file that has them")
	}
	config := &tls.Config{}
	if o.TLS != nil {
		config = o.TLS.Clone()
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS13)
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		TLSClientConfig:     config,
		MaxIdleConns:        256,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
	}
	lookup := minio.BucketLookupDNS
	if a.PathStyle {
		lookup = minio.BucketLookupPath
	}
	core, err := minio.NewCore(a.Endpoint, &minio.Options{
		Creds:        credentials.NewStaticV4(o.Credentials.AccessKey, o.Credentials.SecretKey, o.Credentials.SessionToken),
		Secure:       a.Secure,
		Transport:    careful{transport},
		Region:       a.Region,
		BucketLookup: lookup,
		MaxRetries:   1, // the library's own retries do not know what a lost reply means
	})
	if err != nil {
		return nil, fmt.Errorf("open object store: %w", err)
	}
	s := &Store{
		core: core, transport: transport, bucket: a.Bucket, prefix: a.Prefix,
		block: blockSize, direct: directBlocks, staged: stagedBlocks,
	}
	s.pool.size = s.block
	s.tries.few, s.tries.many = fewTries, manyTries
	return s, nil
}

// Close releases idle connections. Every writer and part must have ended.
func (s *Store) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// Create starts an object that nobody sees until Commit. size is the expected number of bytes, or -1; it may be wrong.
func (s *Store) Create(ctx context.Context, name string, size int64) (vault.ObjectWriter, error) {
	err := checkName(name)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fail("create object", name, err)
	}
	return &writer{
		ctx: ctx, s: s, name: name,
		assembly: assembly{s: s, key: s.objectKey(name), mark: rand.Text(), stageName: name[:32]},
		buffer:   buffer{pool: &s.pool},
	}, nil
}

// Commit ends writers of this store, side by side. When it fails, those whose names have appeared are removed again
// where that can be done.
func (s *Store) Commit(writers ...vault.ObjectWriter) error {
	own := make([]*writer, len(writers))
	for i, w := range writers {
		var ok bool
		if own[i], ok = w.(*writer); !ok || own[i].s != s {
			return errors.New("commit objects: a writer is another store's")
		}
	}
	errs := make([]error, len(own))
	var wg sync.WaitGroup
	for i, w := range own {
		wg.Go(func() { errs[i] = w.Commit() })
	}
	wg.Wait()
	err := errors.Join(errs...)
	if err != nil {
		for i, w := range own {
			if errs[i] == nil {
				s.takeBack(w.ctx, w.assembly.key, w.assembly.mark)
			}
		}
	}
	return err
}

// Replace puts data at name at once. When it fails, name holds either what it held or data, whole.
func (s *Store) Replace(ctx context.Context, name string, data []byte) error {
	err := checkName(name)
	if err == nil {
		err = s.put(ctx, s.objectKey(name), put{mark: rand.Text(), replace: true}, data)
	}
	if err != nil {
		return fail("replace object", name, err)
	}
	return nil
}

// Delete removes an object; a missing one is no error.
func (s *Store) Delete(ctx context.Context, name string) error {
	err := checkName(name)
	if err == nil {
		err = s.remove(ctx, s.objectKey(name))
	}
	if err != nil {
		return fail("delete object", name, err)
	}
	return nil
}

// Walk calls fn for every object, and ends with the first error. fn may delete the object that it is given. What is no
// object is passed over.
func (s *Store) Walk(ctx context.Context, fn func(name string, size int64) error) error {
	prefix := s.objectKey("")
	return s.list(ctx, prefix, func(o minio.ObjectInfo) error {
		name := strings.TrimPrefix(o.Key, prefix)
		if checkName(name) != nil {
			return nil
		}
		return fn(name, o.Size)
	})
}

func (s *Store) objectKey(name string) string { return s.prefix + "objects/" + name }

func checkName(name string) error {
	id, kind, _ := strings.Cut(name, ".")
	if _, err := stone.ParseFileID(id); err != nil || kind != "body" && kind != "env" {
		return errors.New("an object's name is 32 lower-case hex digits and .body or .env")
	}
	return nil
}

func fail(what, name string, err error) error { return fmt.Errorf("%s %q: %w", what, name, err) }
