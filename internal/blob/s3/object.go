package s3

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"

	"stonevault/internal/vault"
	"stonevault/stone"
)

// bodyAhead is how much of a body comes with its opening: all of a small one.
const bodyAhead = 64 << 10

// object is an object that is open: its first bytes, and where the rest is.
type object struct {
	ctx    context.Context
	cancel context.CancelFunc
	s      *Store
	name   string
	key    string
	etag   string
	size   int64
	head   []byte
}

// Open opens an object for reading, until ctx ends. An envelope is read whole, and stays readable when it is replaced
// or deleted; reading more of a body that was deleted is vault.ErrNotFound.
func (s *Store) Open(ctx context.Context, name string) (vault.Object, error) {
	if err := checkName(name); err != nil {
		return nil, fail("open object", name, err)
	}
	ahead := bodyAhead
	if strings.HasSuffix(name, ".env") {
		ahead = stone.MaxEnvelopeSize
	}
	o := &object{s: s, name: name, key: s.objectKey(name)}
	if err := o.begin(ctx, ahead); err != nil {
		return nil, fail("open object", name, err)
	}
	o.ctx, o.cancel = context.WithCancel(ctx)
	return o, nil
}

// begin reads the first bytes, at most ahead, and learns the size.
func (o *object) begin(ctx context.Context, ahead int) error {
	return o.s.try(ctx, o.s.tries.few, func(ctx context.Context) error { return o.beginOnce(ctx, ahead) })
}

func (o *object) beginOnce(ctx context.Context, ahead int) error {
	var options minio.GetObjectOptions
	options.Set("Range", "bytes=0-"+strconv.Itoa(ahead-1))
	body, info, header, err := o.s.core.GetObject(ctx, o.s.bucket, o.key, options)
	if err = understand(err); errors.Is(err, errNoRange) { // it is empty
		if info, err = o.s.core.StatObject(ctx, o.s.bucket, o.key, minio.StatObjectOptions{}); err == nil && info.Size > 0 {
			err = &refusal{kind: vault.ErrUnavailable, again: true, text: "the object was replaced meanwhile"}
		}
		o.size, o.etag, o.head = 0, info.ETag, nil
		return err
	}
	if err != nil {
		return err
	}
	defer body.Close()
	o.size, o.etag = info.Size, info.ETag
	if got := header.Get("Content-Range"); got != "" {
		_, total, _ := strings.Cut(got, "/")
		if o.size, err = strconv.ParseInt(total, 10, 64); err != nil || !strings.HasPrefix(got, "bytes 0-") {
			return nonsense("another range than it was asked for")
		}
	}
	if o.size < 0 {
		return nonsense("an object without a length")
	}
	o.head = make([]byte, min(o.size, int64(ahead)))
	_, err = io.ReadFull(body, o.head)
	return err
}

func (o *object) Size() int64 { return o.size }

// Close ends what is being read.
func (o *object) Close() error {
	o.cancel()
	return nil
}

// ReadAt reads into p alone, in requests of a block at most, and may be called by many at once.
func (o *object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fail("read object", o.name, errors.New("the offset is negative"))
	}
	if off >= o.size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	rest := p[:min(int64(len(p)), o.size-off)]
	n := 0
	if off < int64(len(o.head)) {
		n = copy(rest, o.head[off:])
	}
	if n < len(rest) {
		m, err := o.s.read(o.ctx, o.key, o.etag, rest[n:], off+int64(n))
		n += m
		if errors.Is(err, vault.ErrExists) {
			err = vault.ErrConflict // it was replaced
		}
		if err != nil {
			return n, fail("read object", o.name, err)
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
