package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/minio/minio-go/v7"
)

// assembly is a multipart upload that becomes the object key. Its parts are blocks. Where an object grows so large that
// 10,000 of them would not do, later blocks are gathered in an object of their own, the stage, and become parts of
// several blocks by being copied inside the store. Larger parts from here would want more memory, since a part that
// fails is sent again.
type assembly struct {
	s         *Store
	key, mark string
	stageName string // what stages are called after
	progress
}

// progress is how far an assembly has come. It is kept with a part; its fields are replaced and appended to, never
// overwritten, so that a copy stays what it was.
type progress struct {
	Upload string   `json:"upload,omitempty"` // "" before the first block
	ETags  []string `json:"etags,omitempty"`
	Stage  stage    `json:"stage,omitzero"`
	Bytes  int64    `json:"bytes,omitempty"` // in all of its blocks
}

type stage struct {
	Key    string   `json:"key"`
	Upload string   `json:"upload"`
	ETags  []string `json:"etags"`
	Bytes  int64    `json:"bytes"`
}

// add appends a block. Only the last one may be short.
func (a *assembly) add(ctx context.Context, block []byte) (err error) {
	if a.Upload == "" {
		if a.Upload, err = a.s.begin(ctx, a.key, a.mark); err != nil {
			return err
		}
	}
	if len(a.ETags) < a.s.direct {
		etag, err := a.s.sendBlock(ctx, a.key, a.Upload, len(a.ETags)+1, block)
		if err == nil {
			a.ETags, a.Bytes = append(a.ETags, etag), a.Bytes+int64(len(block))
		}
		return err
	}
	if a.Stage.Upload == "" {
		key := a.s.stageKey(a.stageName)
		upload, err := a.s.begin(ctx, key, a.mark)
		if err != nil {
			return err
		}
		a.Stage = stage{Key: key, Upload: upload}
	}
	etag, err := a.s.sendBlock(ctx, a.Stage.Key, a.Stage.Upload, len(a.Stage.ETags)+1, block)
	if errors.Is(err, errNoUpload) && len(a.Stage.ETags) > 0 {
		// It was sealed, and what was to be remembered of that was lost. Its object begins with what is wanted.
		if err := a.seal(ctx); err != nil {
			return err
		}
		return a.add(ctx, block)
	}
	if err == nil {
		a.Stage.ETags, a.Stage.Bytes = append(a.Stage.ETags, etag), a.Stage.Bytes+int64(len(block))
		a.Bytes += int64(len(block))
	}
	return err
}

// staged tells whether the stage has enough for a part.
func (a *assembly) staged() bool { return len(a.Stage.ETags) >= a.s.staged }

// empty tells whether nothing has been added.
func (p *progress) empty() bool { return p.Upload == "" }

// seal makes parts of what is in the stage. It may have been done before, by somebody who was then stopped. The stage's
// object is left to the caller.
func (a *assembly) seal(ctx context.Context) error {
	if len(a.Stage.ETags) == 0 {
		return nil
	}
	if err := a.s.join(ctx, a.Stage.Key, a.mark, a.Stage.Upload, a.Stage.ETags, true); err != nil {
		return err
	}
	size, etags := a.Stage.Bytes, slices.Clip(a.ETags)
	for step, at := int64(a.s.staged)*int64(a.s.block), int64(0); at < size; at += step {
		if len(etags) == maxParts {
			return errors.New("the object is too large")
		}
		var part minio.CompletePart
		err := a.s.try(ctx, a.s.tries.many.within(joinTimeout), func(ctx context.Context) (err error) {
			part, err = a.s.core.CopyObjectPart(ctx, a.s.bucket, a.Stage.Key, a.s.bucket, a.key, a.Upload, len(etags)+1, at, min(step, size-at), nil)
			if err == nil {
				err = checkETag(part.ETag) // an error in a reply of success has none
			}
			return err
		})
		if err != nil {
			return err
		}
		etags = append(etags, part.ETag)
	}
	a.ETags, a.Stage = etags, stage{}
	return nil
}

// maxParts is how many parts S3 lets an upload have.
const maxParts = 10_000

// complete makes the object. The stage's object goes once it is not needed.
func (a *assembly) complete(ctx context.Context) error {
	last := a.Stage.Key
	if err := a.seal(ctx); err != nil {
		return err
	}
	if err := a.s.join(ctx, a.key, a.mark, a.Upload, a.ETags, false); err != nil {
		return err
	}
	a.dropStage(ctx, last)
	return nil
}

func (s *Store) stageKey(name string) string { return s.prefix + "stages/" + name + "-" + rand.Text() }

// dropStage removes a stage's object. What it fails to remove is left to RemoveAbandoned.
func (a *assembly) dropStage(ctx context.Context, key string) {
	if key != "" {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
		defer cancel()
		_ = a.s.core.RemoveObject(ctx, a.s.bucket, key, minio.RemoveObjectOptions{})
	}
}

// abandon gives up what was uploaded. What it fails to give up is left to RemoveAbandoned.
func (s *Store) abandon(ctx context.Context, key string, p progress) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
	defer cancel()
	if p.Stage.Upload != "" {
		_ = s.core.AbortMultipartUpload(ctx, s.bucket, p.Stage.Key, p.Stage.Upload)
		_ = s.core.RemoveObject(ctx, s.bucket, p.Stage.Key, minio.RemoveObjectOptions{})
	}
	if p.Upload != "" {
		_ = s.core.AbortMultipartUpload(ctx, s.bucket, key, p.Upload)
	}
}

func (s *Store) begin(ctx context.Context, key, mark string) (upload string, err error) {
	err = s.try(ctx, s.tries.many, func(ctx context.Context) error {
		// The mark is given here: the object has it once it is complete.
		upload, err = s.core.NewMultipartUpload(ctx, s.bucket, key, put{mark: mark, replace: true}.options())
		if err == nil && (upload == "" || len(upload) > maxUploadID) {
			err = nonsense("an upload without an id")
		}
		return err
	})
	return upload, err
}

func (s *Store) sendBlock(ctx context.Context, key, upload string, number int, block []byte) (etag string, err error) {
	sum := digest(block)
	err = s.try(ctx, s.tries.many, func(ctx context.Context) error {
		body := newPayload(block)
		defer body.end()
		part, err := s.core.PutObjectPart(ctx, s.bucket, key, upload, number, body, int64(len(block)),
			minio.PutObjectPartOptions{Sha256Hex: sum, DisableContentSha256: true})
		if etag = part.ETag; err == nil {
			return checkETag(etag)
		}
		if err = understand(err); unheard(err) && s.ended(ctx, key, upload) {
			return &refusal{kind: errNoUpload, text: "it ended before this block"}
		}
		return err
	})
	return etag, err
}

// ended asks once whether the store says that an upload is gone.
func (s *Store) ended(ctx context.Context, key, upload string) bool {
	_, err := s.core.ListObjectParts(ctx, s.bucket, key, upload, 0, 1)
	return errors.Is(understand(err), errNoUpload)
}

// What a state keeps of a store is no longer than this.
const (
	maxETag     = 128
	maxUploadID = 1024
)

func checkETag(etag string) error {
	if etag == "" || len(etag) > maxETag {
		return nonsense("a part without an ETag")
	}
	return nil
}

// join makes an object of an upload. An upload that is gone is fine where its object is there.
func (s *Store) join(ctx context.Context, key, mark, upload string, etags []string, replace bool) error {
	parts := make([]minio.CompletePart, len(etags))
	for i, etag := range etags {
		parts[i] = minio.CompletePart{PartNumber: i + 1, ETag: etag}
	}
	var o minio.PutObjectOptions
	if !replace {
		o.SetMatchETagExcept("*")
	}
	return s.try(ctx, s.tries.many.within(joinTimeout), func(ctx context.Context) error {
		_, err := s.core.CompleteMultipartUpload(ctx, s.bucket, key, upload, parts, o)
		return s.settle(ctx, key, mark, err)
	})
}
