package s3

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"stonevault/internal/vault"
)

// policy is how often something is tried, how long one try may take, and what the first pause between two is.
type policy struct {
	tries   int
	timeout time.Duration
	pause   time.Duration
}

var (
	// fewTries are over after two seconds where the store refuses at once.
	fewTries = policy{tries: 5, timeout: 20 * time.Second, pause: 100 * time.Millisecond}
	// manyTries are for bytes that would have to be sent again: a store may be away for five seconds.
	manyTries = policy{tries: 9, timeout: time.Minute, pause: 100 * time.Millisecond}
)

func (p policy) within(timeout time.Duration) policy {
	p.timeout = timeout
	return p
}

const (
	lastPause = 1600 * time.Millisecond
	// joinTimeout is for a try at what a store may copy bytes for.
	joinTimeout = 10 * time.Minute
	// tidyTimeout is for removing what an error leaves.
	tidyTimeout = 5 * time.Second
)

// refusal is what the store said, or what was heard instead.
type refusal struct {
	kind  error // a sentinel, or nil
	again bool  // another try may succeed
	mute  bool  // no reply was heard
	text  string
}

func (r *refusal) Error() string {
	if r.kind == nil {
		return r.text
	}
	return r.kind.Error() + ": " + r.text
}

func (r *refusal) Unwrap() error { return r.kind }

var (
	// errNoUpload is a multipart upload that is gone: ended, or never there.
	errNoUpload = errors.New("the multipart upload is gone")
	// errNoRange is a range of nothing.
	errNoRange = errors.New("the range lies behind the end")
)

// codes are what stores say. What is not here is judged by its status.
var codes = map[string]refusal{
	"NoSuchKey":                      {kind: vault.ErrNotFound},
	"NoSuchUpload":                   {kind: errNoUpload},
	"PreconditionFailed":             {kind: vault.ErrExists},
	"ConditionalRequestConflict":     {kind: vault.ErrUnavailable, again: true}, // two at once: the next try tells who won
	"OperationAborted":               {kind: vault.ErrUnavailable, again: true},
	"InvalidRange":                   {kind: errNoRange},
	"InvalidPart":                    {kind: errNoUpload}, // another block took a block's place
	"NotImplemented":                 {},
	"QuotaExceeded":                  {kind: vault.ErrNoSpace},
	"NoSpaceLeftOnDevice":            {kind: vault.ErrNoSpace},
	"XMinioStorageFull":              {kind: vault.ErrNoSpace},
	"XMinioAdminBucketQuotaExceeded": {kind: vault.ErrNoSpace},
	"StorageFull":                    {kind: vault.ErrNoSpace},
	"InsufficientStorage":            {kind: vault.ErrNoSpace},
	"NoSuchBucket":                   {kind: vault.ErrUnavailable},
	"AccessDenied":                   {kind: vault.ErrUnavailable},
	"InvalidAccessKeyId":             {kind: vault.ErrUnavailable},
	"SignatureDoesNotMatch":          {kind: vault.ErrUnavailable},
	"ExpiredToken":                   {kind: vault.ErrUnavailable},
	"RequestTimeTooSkewed":           {kind: vault.ErrUnavailable},
	"RequestTimeout":                 {kind: vault.ErrUnavailable, again: true},
	"SlowDown":                       {kind: vault.ErrUnavailable, again: true},
	"InternalError":                  {kind: vault.ErrUnavailable, again: true},
	"BadDigest":                      {kind: vault.ErrUnavailable, again: true}, // changed on the way
	"XAmzContentSHA256Mismatch":      {kind: vault.ErrUnavailable, again: true},
	"IncompleteBody":                 {kind: vault.ErrUnavailable, again: true},
}

// understand makes a refusal of an error from the library. Nothing is wrapped: a timeout of this package's own is not
// the caller's context.DeadlineExceeded, and an address may have a query that is of no use to a reader.
func understand(err error) error {
	var known *refusal
	if err == nil || errors.As(err, &known) {
		return err
	}
	var said minio.ErrorResponse
	if !errors.As(err, &said) {
		var request *url.Error
		if errors.As(err, &request) {
			err = request.Err
		}
		var certificate *tls.CertificateVerificationError
		return &refusal{kind: vault.ErrUnavailable, again: !errors.As(err, &certificate), mute: true, text: err.Error()}
	}
	r, ok := codes[said.Code]
	switch {
	case ok:
	case said.StatusCode == http.StatusNotFound:
		r = refusal{kind: vault.ErrNotFound}
	case said.StatusCode == http.StatusPreconditionFailed:
		r = refusal{kind: vault.ErrExists}
	case said.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		r = refusal{kind: errNoRange}
	case said.StatusCode == http.StatusInsufficientStorage:
		r = refusal{kind: vault.ErrNoSpace}
	case said.StatusCode >= 500, said.StatusCode == http.StatusTooManyRequests, said.StatusCode == http.StatusRequestTimeout,
		said.StatusCode < 300: // an error in a reply of success, or one that cannot be read
		r = refusal{kind: vault.ErrUnavailable, again: true}
	case said.StatusCode == http.StatusForbidden, said.StatusCode == http.StatusUnauthorized:
		r = refusal{kind: vault.ErrUnavailable}
	}
	r.text = fmt.Sprintf("the object store said %q (%d %q)", short(said.Message), said.StatusCode, short(said.Code))
	return &r
}

// short is what a log line has room for.
func short(text string) string { return text[:min(len(text), 200)] }

// nonsense is a reply that cannot be meant.
func nonsense(what string) error {
	return &refusal{kind: vault.ErrUnavailable, again: true, text: "the object store answered with " + what}
}

// try runs one operation until it succeeds, fails for good, or has been tried often enough.
func (s *Store) try(ctx context.Context, p policy, fn func(context.Context) error) error {
	for i := 1; ; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		limited, cancel := context.WithTimeout(ctx, p.timeout)
		err := fn(limited)
		cancel()
		if err == nil {
			return nil
		}
		if ended := ctx.Err(); ended != nil {
			return ended
		}
		err = understand(err)
		var r *refusal
		if !errors.As(err, &r) || !r.again || i >= p.tries {
			return err
		}
		pause := min(p.pause<<(i-1), lastPause)
		select {
		case <-time.After(pause - rand.N(pause/4)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// markHeader is the metadata that has an object's mark.
const markHeader = "Stonevault-Mark"

// put says how an object is put.
type put struct {
	mark    string
	replace bool
	length  string // of a part; see part.go
}

func (p put) options() minio.PutObjectOptions {
	o := minio.PutObjectOptions{DisableContentSha256: true, UserMetadata: map[string]string{markHeader: p.mark}}
	if p.length != "" {
		o.UserMetadata[lengthHeader] = p.length
	}
	if !p.replace {
		o.SetMatchETagExcept("*")
	}
	return o
}

// put writes an object, which pieces make up, in one request.
func (s *Store) put(ctx context.Context, key string, p put, pieces ...[]byte) error {
	sum, size := digest(pieces...), int64(0)
	for _, piece := range pieces {
		size += int64(len(piece))
	}
	return s.try(ctx, s.tries.many, func(ctx context.Context) error {
		body := newPayload(pieces...)
		defer body.end()
		_, err := s.core.PutObject(ctx, s.bucket, key, body, size, "", sum, p.options())
		if p.replace {
			return err
		}
		return s.settle(ctx, key, p.mark, err)
	})
}

// payload is the body of a request. The transport may go on reading it after the request has failed or was cancelled,
// while the memory is used for something else; so it has nothing any more once it is ended.
type payload struct {
	mu     sync.Mutex
	pieces [][]byte
	ended  bool
}

func newPayload(pieces ...[]byte) *payload { return &payload{pieces: slices.Clone(pieces)} }

var errPayloadEnded = errors.New("the request has ended")

func (p *payload) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return 0, errPayloadEnded
	}
	for len(p.pieces) > 0 && len(p.pieces[0]) == 0 {
		p.pieces = p.pieces[1:]
	}
	if len(p.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.pieces[0])
	p.pieces[0] = p.pieces[0][n:]
	return n, nil
}

func (p *payload) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pieces, p.ended = nil, true
}

func digest(pieces ...[]byte) string {
	h := sha256.New()
	for _, piece := range pieces {
		h.Write(piece)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// unheard tells whether a request ended without a reply. A store that refuses a body before it has read it may close the
// connection so soon that the client, still sending, never hears why: then each further try ends like the first.
func unheard(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.mute
}

// settle looks again at what a conditional request was told, or was not heard to be told: an object that is in the way
// may be the one that an earlier try has made, whose reply was lost.
func (s *Store) settle(ctx context.Context, key, mark string, err error) error {
	err = understand(err)
	silent := unheard(err)
	if !silent && !errors.Is(err, vault.ErrExists) && !errors.Is(err, errNoUpload) {
		return err
	}
	switch theirs, err2 := s.markOf(ctx, key); {
	case err2 == nil && theirs == mark:
		return nil
	case err2 == nil:
		return &refusal{kind: vault.ErrExists, text: "somebody else's object has the name"}
	case silent:
		return err
	case !errors.Is(err2, vault.ErrNotFound):
		return err2
	case errors.Is(err, errNoUpload):
		return err
	default: // deleted between the two
		return &refusal{kind: vault.ErrUnavailable, again: true, text: "the object was there and is not"}
	}
}

// markOf asks once who wrote an object.
func (s *Store) markOf(ctx context.Context, key string) (string, error) {
	info, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return "", understand(err)
	}
	return metadata(info, markHeader), nil
}

func metadata(info minio.ObjectInfo, name string) string {
	for key, value := range info.UserMetadata {
		if strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
}

// takeBack removes an object if it is one's own, after an error and as well as that can be done.
func (s *Store) takeBack(ctx context.Context, key, mark string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
	defer cancel()
	if theirs, err := s.markOf(ctx, key); err == nil && theirs == mark {
		_ = s.core.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{})
	}
}

// remove removes an object; a missing one is no error.
func (s *Store) remove(ctx context.Context, key string) error {
	err := s.try(ctx, s.tries.few, func(ctx context.Context) error {
		return s.core.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{})
	})
	if errors.Is(err, vault.ErrNotFound) {
		return nil
	}
	return err
}

// stat describes an object.
func (s *Store) stat(ctx context.Context, key string) (info minio.ObjectInfo, err error) {
	err = s.try(ctx, s.tries.few, func(ctx context.Context) error {
		info, err = s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
		return err
	})
	return info, err
}

// read fills p from an object's bytes at off, which have to be there; etag says of which content, or is "". A
// connection that breaks is taken up where it broke.
func (s *Store) read(ctx context.Context, key, etag string, p []byte, off int64) (n int, err error) {
	for n < len(p) && err == nil {
		end := min(n+blockSize, len(p))
		err = s.try(ctx, s.tries.few, func(ctx context.Context) error {
			m, err := s.readOnce(ctx, key, etag, p[n:end], off+int64(n))
			n += m
			return err
		})
	}
	return n, err
}

func (s *Store) readOnce(ctx context.Context, key, etag string, p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	var o minio.GetObjectOptions
	o.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1))
	if etag != "" {
		o.Set("If-Match", `"`+etag+`"`)
	}
	body, _, header, err := s.core.GetObject(ctx, s.bucket, key, o)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	if got := header.Get("Content-Range"); !strings.HasPrefix(got, fmt.Sprintf("bytes %d-", off)) && (got != "" || off > 0) {
		return 0, nonsense("another range than it was asked for")
	}
	return io.ReadFull(body, p)
}

// page is how many keys are asked for at once.
const page = 1000

// list calls fn for every object below a prefix, in the order of their keys. fn may remove it.
func (s *Store) list(ctx context.Context, prefix string, fn func(minio.ObjectInfo) error) error {
	for after := ""; ; {
		var found []minio.ObjectInfo
		err := s.try(ctx, s.tries.few, func(ctx context.Context) error {
			found = found[:0]
			last := after
			for o := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{
				Prefix: prefix, Recursive: true, MaxKeys: page, StartAfter: after, FetchOwner: new(bool),
			}) {
				if o.Err != nil {
					return o.Err
				}
				if o.Key <= last || !strings.HasPrefix(o.Key, prefix) { // or there might be no end
					return nonsense("a list that is not in order")
				}
				last = o.Key
				if found = append(found, o); len(found) == page {
					return nil
				}
			}
			return ctx.Err()
		})
		if err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
		for _, o := range found {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := fn(o); err != nil {
				return err
			}
		}
		if len(found) < page {
			return ctx.Err()
		}
		after = found[len(found)-1].Key
	}
}

// careful bounds what is read into memory of a reply, which is all but an object. And it lets through nothing that says
// "there is none" unless the store itself says so: a gateway may answer whatever it is asked with 404, or with a page of
// its own that the library would take for an empty list.
type careful struct{ next http.RoundTripper }

// maxReply is more than a page of a list has.
const maxReply = 4 << 20

func (c careful) RoundTrip(r *http.Request) (*http.Response, error) {
	reply, err := c.next.RoundTrip(r)
	if err != nil || r.Method == http.MethodHead {
		return reply, err
	}
	must := ""
	switch {
	case reply.StatusCode == http.StatusNotFound:
		must = "<Code>"
	case r.Method == http.MethodGet && r.URL.RawQuery == "":
		return reply, nil // an object
	case reply.StatusCode == http.StatusOK && r.URL.Query().Has("list-type"):
		must = "<ListBucketResult"
	}
	body := bufio.NewReader(io.LimitReader(reply.Body, maxReply))
	if must != "" {
		if begin, _ := body.Peek(1024); !bytes.Contains(begin, []byte(must)) {
			return nil, errors.Join(fmt.Errorf("%d without %q, which no object store answers", reply.StatusCode, must), reply.Body.Close())
		}
	}
	reply.Body = struct {
		io.Reader
		io.Closer
	}{body, reply.Body}
	return reply, nil
}
