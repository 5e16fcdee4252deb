package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/minio/minio-go/v7"

	"stonevault/internal/vault"
)

// probe tries what everything else rests on, on an object of its own, and removes that.
func (s *Store) probe(ctx context.Context) error {
	key, mark := s.prefix+"probe/"+rand.Text(), rand.Text()
	err := s.probeObject(ctx, key, mark)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
	defer cancel()
	removed := s.core.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{})
	if err == nil && removed != nil {
		err = fmt.Errorf("delete: %w", understand(removed))
	}
	if err != nil {
		return fmt.Errorf("the bucket %q cannot be used as an object store: %w", s.bucket, err)
	}
	return nil
}

func (s *Store) probeObject(ctx context.Context, key, mark string) error {
	if _, err := s.stat(ctx, key); err == nil || !errors.Is(err, vault.ErrNotFound) {
		// Without the right to list, what is missing is answered like what is forbidden.
		return fmt.Errorf("ask for a missing object (the credentials need the right to list the bucket): %w", err)
	}
	data := []byte("tried by a server when it starts")
	if err := s.put(ctx, key, put{mark: mark}, data); err != nil {
		return fmt.Errorf("put: %w", err)
	}
	if err := s.put(ctx, key, put{mark: rand.Text()}, data); !errors.Is(err, vault.ErrExists) {
		return unconditional("an object", err)
	}
	info, err := s.stat(ctx, key)
	if err != nil {
		return fmt.Errorf("look: %w", err)
	}
	if metadata(info, markHeader) != mark {
		return errors.New("it does not keep an object's metadata, by which a server knows its own objects")
	}
	got := make([]byte, 5)
	if _, err := s.read(ctx, key, info.ETag, got, 6); err != nil {
		return fmt.Errorf("get a range: %w", err)
	} else if !bytes.Equal(got, data[6:11]) {
		return errors.New("it gives other bytes than it was asked for")
	}
	if err := s.probeUpload(ctx, key, data); err != nil {
		return err
	}
	if err := s.list(ctx, key, func(o minio.ObjectInfo) error { key = ""; return nil }); err != nil {
		return err
	}
	if key != "" {
		return errors.New("a list does not have an object that was put before")
	}
	return nil
}

func (s *Store) probeUpload(ctx context.Context, key string, data []byte) error {
	upload, err := s.begin(ctx, key, rand.Text())
	if err != nil {
		return fmt.Errorf("begin a multipart upload: %w", err)
	}
	defer s.abandon(ctx, key, progress{Upload: upload})
	etag, err := s.sendBlock(ctx, key, upload, 1, data)
	if err != nil {
		return fmt.Errorf("upload a part: %w", err)
	}
	if err := s.eachUpload(ctx, key, func(minio.ObjectMultipartInfo) error { return nil }); err != nil {
		return fmt.Errorf("list multipart uploads: %w", err)
	}
	if err := s.join(ctx, key, rand.Text(), upload, []string{etag}, false); !errors.Is(err, vault.ErrExists) {
		return unconditional("a multipart upload", err)
	}
	return nil
}

// unconditional says what came of a request that had to be refused.
func unconditional(what string, err error) error {
	if err != nil {
		return fmt.Errorf("put %s where one is: %w", what, err)
	}
	return fmt.Errorf(`it lets %s replace an object in spite of "If-None-Match: *"; use a store that honours conditional writes`, what)
}
