package s3

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"stonevault/internal/vault"
	"stonevault/stone"
)

// RemoveAbandoned removes what stopped servers have left: multipart uploads that were begun before an age and belong
// to no part, and stages and probes as old. It tells how many that were. The age has to be more than the longest put
// takes; any server of many may call it.
func (s *Store) RemoveAbandoned(ctx context.Context, age time.Duration) (int, error) {
	before := time.Now().Add(-age)
	old := func(at time.Time) bool { return !at.IsZero() && at.Before(before) } // zero where the store does not say
	removed := 0
	var failed []error
	err := s.eachUpload(ctx, s.prefix, func(u minio.ObjectMultipartInfo) error {
		if !s.ours(u.Key) || !old(u.Initiated) {
			return nil
		}
		used, err := s.used(ctx, u.Key, u.UploadID)
		if err == nil && !used {
			err = s.try(ctx, s.tries.few, func(ctx context.Context) error {
				return s.core.AbortMultipartUpload(ctx, s.bucket, u.Key, u.UploadID)
			})
			if err == nil {
				removed++
			} else if errors.Is(err, errNoUpload) || errors.Is(err, vault.ErrNotFound) {
				err = nil
			}
		}
		if errors.Is(err, vault.ErrUnavailable) {
			return err // so will be the next one's
		}
		failed = append(failed, err)
		return ctx.Err()
	})
	failed = append(failed, err)
	for _, prefix := range []string{"stages/", "probe/"} {
		failed = append(failed, s.list(ctx, s.prefix+prefix, func(o minio.ObjectInfo) error {
			if !old(o.LastModified) {
				return nil
			}
			if used, err := s.used(ctx, o.Key, ""); err != nil || used {
				return err
			}
			removed++
			return s.remove(ctx, o.Key)
		}))
	}
	return removed, errors.Join(failed...)
}

// ours tells whether a key is one that this package gives.
func (s *Store) ours(key string) bool {
	kind, _, _ := strings.Cut(strings.TrimPrefix(key, s.prefix), "/")
	return strings.HasPrefix(key, s.prefix) && (kind == "objects" || kind == "stages" || kind == "probe")
}

// used tells whether a part refers to an upload or, where that is "", to a stage.
func (s *Store) used(ctx context.Context, key, upload string) (bool, error) {
	name := key[strings.LastIndexByte(key, '/')+1:]
	id, err := stone.ParseFileID(name[:min(len(name), 32)])
	if err != nil {
		return false, nil
	}
	keys, err := s.partKeys(ctx, id)
	if err != nil {
		return false, err
	}
	for _, k := range keys.states {
		p, err := s.progressOf(ctx, id, k)
		if errors.Is(err, vault.ErrNotFound) {
			continue
		}
		if errors.Is(err, errNoState) {
			return true, nil // until the part is gone
		}
		if err != nil {
			return false, err
		}
		if upload != "" && (p.Upload == upload || p.Stage.Upload == upload) || upload == "" && len(p.ETags) >= s.direct {
			return true, nil
		}
	}
	return false, nil
}

// eachUpload calls fn for every multipart upload that has not ended, of keys that begin with prefix.
func (s *Store) eachUpload(ctx context.Context, prefix string, fn func(minio.ObjectMultipartInfo) error) error {
	key, upload := "", ""
	for {
		var found minio.ListMultipartUploadsResult
		err := s.try(ctx, s.tries.few, func(ctx context.Context) (err error) {
			found, err = s.core.ListMultipartUploads(ctx, s.bucket, prefix, key, upload, "", page)
			return err
		})
		if err != nil {
			return err
		}
		for _, u := range found.Uploads {
			if err := fn(u); err != nil {
				return err
			}
		}
		if !found.IsTruncated || found.NextKeyMarker == key && found.NextUploadIDMarker == upload {
			return nil
		}
		key, upload = found.NextKeyMarker, found.NextUploadIDMarker
	}
}
