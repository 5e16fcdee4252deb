package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"stonevault/internal/vault"
	"stonevault/stone"
)

// PartsResult is what became of uploads that had not ended.
type PartsResult struct {
	Copied  int
	Bytes   int64
	Dropped []stone.FileID // whose store does not give back what it has
	Missing []stone.FileID // of which the source has less than its row says
}

// Parts copies the parts of uploads, and removes from the target what belongs to none of them. Opening a part of the
// source cuts what lies behind the length that its row has, which nobody was told of.
func Parts(ctx context.Context, from, to Store, uploads []vault.Upload) (r PartsResult, err error) {
	keep := make(map[stone.FileID]bool)
	buffer := make([]byte, bufferSize)
	for _, u := range uploads {
		if u.Part == 0 {
			continue
		}
		err := copyPart(ctx, from, to, u, buffer)
		switch {
		case err == nil:
			keep[u.ID] = true
			r.Copied++
			r.Bytes += u.Part
		case errors.Is(err, vault.ErrPartSent):
			r.Dropped = append(r.Dropped, u.ID)
		case errors.Is(err, errMissing):
			missing, err := isMissing(ctx, from, u)
			if err != nil {
				return r, err
			}
			if missing {
				r.Missing = append(r.Missing, u.ID)
			}
		default:
			return r, fmt.Errorf("upload %s: %w", u.ID, err)
		}
	}
	err = to.WalkParts(ctx, func(id stone.FileID, _ int64) error {
		if keep[id] {
			return nil
		}
		return to.DeletePart(ctx, id)
	})
	return r, err
}

var errMissing = errors.New("the part is not there")

// isMissing tells whether an upload without a part has no body either, which it has once its last byte has come.
func isMissing(ctx context.Context, from Store, u vault.Upload) (bool, error) {
	o, err := from.Open(ctx, u.ID.String()+".body")
	if errors.Is(err, vault.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, o.Close()
}

func copyPart(ctx context.Context, from, to Store, u vault.Upload, buffer []byte) (err error) {
	source, err := from.OpenPart(ctx, u.ID, u.Part)
	if errors.Is(err, vault.ErrNotFound) {
		return errMissing
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	given := sha256.New()
	if err := readAll(ctx, source, u.Part, buffer, given); err != nil {
		return err
	}
	target, err := to.OpenPart(ctx, u.ID, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(readAll(ctx, source, u.Part, buffer, target), target.Sync()); err != nil {
		return errors.Join(err, target.Close())
	}
	if err := target.Close(); err != nil {
		return err
	}
	if target, err = to.OpenPart(ctx, u.ID, u.Part); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	got := sha256.New()
	err = readAll(ctx, target, u.Part, buffer, got)
	switch {
	case errors.Is(err, vault.ErrPartSent): // the store has compared what was sent
		return nil
	case err == nil && string(got.Sum(nil)) != string(given.Sum(nil)):
		return errors.New("the target gives back something else than was written")
	}
	return err
}
