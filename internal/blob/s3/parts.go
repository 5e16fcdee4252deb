package s3

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"

	"stonevault/internal/vault"
	"stonevault/stone"
)

// A part is a multipart upload of the object that it becomes, and behind it a tail that is too short for a block. Each
// Sync writes a state: how far the upload has come, and the tail. States are numbered, and each is made by a request
// that does not replace, so that of two who open a part only one goes on. The last two are kept: whoever cannot tell
// whether a Sync has happened opens the part where it was before.
//
//	4 bytes   length of the next, big-endian
//	JSON      state
//	the rest  the tail

// lengthHeader is the metadata that has a part's length.
const lengthHeader = "Stonevault-Length"

type state struct {
	Mark string `json:"mark"` // of the object that the part becomes
	Head string `json:"head"` // key of what its first bytes were, or ""
	progress
}

const (
	// maxState bounds the JSON of a state: 10,000 ETags.
	maxState = 4 << 20
	// headLength is how much of the beginning is kept readable, since a multipart upload is not.
	headLength = vault.PartHead
)

func (s *Store) partPrefix(id stone.FileID) string { return s.prefix + "parts/" + id.String() + "/" }

func (s *Store) stateKey(id stone.FileID, number uint64) string {
	return s.partPrefix(id) + fmt.Sprintf("%016x", number)
}

// partKeys are what is there of a part.
type partKeys struct {
	states []uint64 // newest first
	others []string // keys
}

func (s *Store) partKeys(ctx context.Context, id stone.FileID) (k partKeys, err error) {
	prefix := s.partPrefix(id)
	err = s.list(ctx, prefix, func(o minio.ObjectInfo) error {
		if number, ok := stateNumber(strings.TrimPrefix(o.Key, prefix)); ok {
			k.states = append(k.states, number)
		} else {
			k.others = append(k.others, o.Key)
		}
		return nil
	})
	slices.Sort(k.states)
	slices.Reverse(k.states)
	return k, err
}

func stateNumber(name string) (uint64, bool) {
	n, err := strconv.ParseUint(name, 16, 64)
	return n, err == nil && fmt.Sprintf("%016x", n) == name
}

// lengthOf is a part's length as one of its states has it.
func (s *Store) lengthOf(ctx context.Context, id stone.FileID, number uint64) (int64, error) {
	info, err := s.stat(ctx, s.stateKey(id, number))
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(metadata(info, lengthHeader), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("state %d of a part has no length", number)
	}
	return n, nil
}

var errNoState = errors.New("what is kept of a part cannot be read")

// load reads a state, and adds its tail to tail unless that is nil.
func (s *Store) load(ctx context.Context, id stone.FileID, number uint64, tail *buffer) (st state, err error) {
	o := &object{s: s, key: s.stateKey(id, number)}
	if err := o.begin(ctx, bodyAhead); err != nil {
		return st, err
	}
	if len(o.head) < 4 {
		return st, errNoState
	}
	length := int64(binary.BigEndian.Uint32(o.head))
	if length > maxState || 4+length > o.size || o.size-4-length > int64(s.block) {
		return st, errNoState
	}
	fill := func(p []byte, off int64) error {
		n := 0
		if off < int64(len(o.head)) {
			n = copy(p, o.head[off:])
		}
		_, err := s.read(ctx, o.key, o.etag, p[n:], off+int64(n))
		return err
	}
	text := make([]byte, length)
	if err := fill(text, 4); err != nil {
		return st, err
	}
	if err := json.Unmarshal(text, &st); err != nil {
		return st, fmt.Errorf("%w: %w", errNoState, err)
	}
	if tail != nil {
		err = fill(tail.grow(int(o.size-4-length)), 4+length)
	}
	return st, err
}

func (s *Store) progressOf(ctx context.Context, id stone.FileID, number uint64) (progress, error) {
	st, err := s.load(ctx, id, number, nil)
	return st.progress, err
}

// OpenPart opens a part where its last Sync or the one before left it, or makes it where at is 0. What lies behind is
// cut with the next Sync. ctx bounds the opening alone, so that what a cancelled request has brought can still be
// synced.
func (s *Store) OpenPart(ctx context.Context, id stone.FileID, at int64) (vault.Part, error) {
	p, err := s.openPart(ctx, id, at)
	if err != nil {
		return nil, fail("open part", id.String(), err)
	}
	return p, nil
}

func (s *Store) openPart(ctx context.Context, id stone.FileID, at int64) (*part, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if at < 0 {
		return nil, errors.New("the offset is negative")
	}
	keys, err := s.partKeys(ctx, id)
	if err != nil {
		return nil, err
	}
	if finished, err := s.finished(ctx, id, keys); err != nil {
		return nil, err
	} else if finished {
		// FinishPart was stopped half way. What it has made is no part any more.
		if err := s.dropPart(ctx, id, keys, false); err != nil {
			return nil, err
		}
		keys = partKeys{}
	}
	p := &part{s: s, id: id, ctx: context.WithoutCancel(ctx), buffer: buffer{pool: &s.pool}, synced: -1}
	p.assembly = assembly{s: s, key: s.objectKey(id.String() + ".body"), mark: rand.Text(), stageName: id.String()}
	if at == 0 {
		if err := s.dropPart(ctx, id, keys, true); err != nil {
			return nil, err
		}
		return p, nil
	}
	if err := p.resume(ctx, keys, at); err != nil {
		p.buffer.release()
		return nil, err
	}
	return p, nil
}

// resume goes on from the newest state that has the length at or, where none has, reaches so far.
func (p *part) resume(ctx context.Context, keys partKeys, at int64) error {
	choice := slices.Clone(keys.states)
	reached := int64(0)
	for i, number := range keys.states {
		length, err := p.s.lengthOf(ctx, p.id, number)
		if err != nil && !errors.Is(err, vault.ErrNotFound) {
			return err
		}
		reached = max(reached, length)
		if err == nil && length == at {
			choice = keys.states[i : i+1]
			break
		}
	}
	for _, number := range choice {
		p.buffer.release()
		st, err := p.s.load(ctx, p.id, number, &p.buffer)
		if errors.Is(err, vault.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		p.start = st.Bytes
		length := p.start + int64(p.buffer.len())
		if at > length || at < p.start {
			continue
		}
		p.buffer.cut(int(at - p.start))
		p.assembly.mark, p.assembly.progress, p.head = st.Mark, st.progress, st.Head
		p.states, p.last, p.next = keys.states, number, keys.states[0]+1
		p.written = at
		if number == keys.states[0] && at == length {
			p.synced = at
		}
		return nil
	}
	return fmt.Errorf("%w: %d bytes of %d are there", vault.ErrNotFound, reached, at)
}

// finished tells whether a part has become an object.
func (s *Store) finished(ctx context.Context, id stone.FileID, keys partKeys) (bool, error) {
	if len(keys.states) == 0 {
		return false, nil
	}
	mark := ""
	for _, kind := range []string{".body", ".env"} {
		info, err := s.stat(ctx, s.objectKey(id.String()+kind))
		if errors.Is(err, vault.ErrNotFound) {
			continue
		}
		if err != nil {
			return false, err
		}
		if mark == "" {
			st, err := s.load(ctx, id, keys.states[0], nil)
			if err != nil {
				return false, err
			}
			mark = st.Mark
		}
		if metadata(info, markHeader) == mark {
			return true, nil
		}
	}
	return false, nil
}

// FinishPart makes a closed part, whose last Sync covers all of it, the object name, which has to carry the part's id.
// It may be called again after a stop at any moment. Where the removal of what the part was fails, the object is there
// all the same; OpenPart, FinishPart and DeletePart know what is left for what it is.
func (s *Store) FinishPart(ctx context.Context, id stone.FileID, name string) error {
	err := checkName(name)
	if err == nil && !strings.HasPrefix(name, id.String()) {
		err = fmt.Errorf("the object %q has another id", name)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = s.finishPart(ctx, id, name)
	}
	if err != nil {
		return fail("finish part", id.String(), err)
	}
	return nil
}

func (s *Store) finishPart(ctx context.Context, id stone.FileID, name string) error {
	keys, err := s.partKeys(ctx, id)
	if err != nil {
		return err
	}
	key := s.objectKey(name)
	if len(keys.states) == 0 {
		_, err := s.stat(ctx, key)
		return err
	}
	tail := buffer{pool: &s.pool}
	defer tail.release()
	st, err := s.load(ctx, id, keys.states[0], &tail)
	if err != nil {
		return err
	}
	if st.empty() {
		err = s.put(ctx, key, put{mark: st.Mark}, tail.b)
	} else if name != id.String()+".body" {
		err = errors.New("a part of this length becomes a body only")
	} else {
		a := &assembly{s: s, key: key, mark: st.Mark, stageName: id.String(), progress: st.progress}
		if tail.len() > 0 {
			err = a.add(ctx, tail.b)
		}
		if err == nil {
			err = a.complete(ctx)
		}
	}
	if errors.Is(err, errNoUpload) { // perhaps since it has become the object
		err = s.settle(ctx, key, st.Mark, err)
	}
	if errors.Is(err, errNoUpload) {
		return fmt.Errorf("%w: its multipart upload is gone", vault.ErrNotFound)
	}
	if err != nil {
		return err
	}
	_ = s.dropPart(ctx, id, keys, false) // what it leaves, the collector finds
	return nil
}

// DeletePart removes a part; a missing one is no error. An object that was made of it stays.
func (s *Store) DeletePart(ctx context.Context, id stone.FileID) error {
	err := ctx.Err()
	if err == nil {
		var keys partKeys
		if keys, err = s.partKeys(ctx, id); err == nil {
			err = s.dropPart(ctx, id, keys, true)
		}
	}
	if err != nil {
		return fail("delete part", id.String(), err)
	}
	return nil
}

// dropPart removes all that is kept of a part, the newest state last.
func (s *Store) dropPart(ctx context.Context, id stone.FileID, keys partKeys, abandon bool) error {
	large := false
	for i, number := range keys.states {
		if !abandon && i > 0 {
			break
		}
		p, err := s.progressOf(ctx, id, number)
		if errors.Is(err, vault.ErrNotFound) || errors.Is(err, errNoState) { // its upload is left to RemoveAbandoned
			continue
		}
		if err != nil {
			return err
		}
		large = large || len(p.ETags) >= s.direct
		if abandon {
			s.abandon(ctx, s.objectKey(id.String()+".body"), p)
		}
	}
	remove := slices.Clone(keys.others)
	if large {
		err := s.list(ctx, s.prefix+"stages/"+id.String()+"-", func(o minio.ObjectInfo) error {
			remove = append(remove, o.Key)
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, number := range slices.Backward(keys.states) {
		remove = append(remove, s.stateKey(id, number))
	}
	for _, key := range remove {
		if err := s.remove(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// WalkParts calls fn for every part with its length, and ends with the first error. fn may delete the part that it is
// given.
func (s *Store) WalkParts(ctx context.Context, fn func(id stone.FileID, size int64) error) error {
	prefix := s.prefix + "parts/"
	found, number := "", uint64(0) // the part that the list is at, and its newest state or 0
	tell := func() error {
		id, err := stone.ParseFileID(found)
		if err != nil {
			return nil
		}
		size := int64(0)
		if number > 0 {
			size, err = s.lengthOf(ctx, id, number)
			if errors.Is(err, vault.ErrNotFound) { // it has grown or gone meanwhile
				size, err = s.lengthNow(ctx, id)
			}
			if errors.Is(err, vault.ErrNotFound) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("list parts: %w", err)
			}
		}
		return fn(id, size)
	}
	err := s.list(ctx, prefix, func(o minio.ObjectInfo) error {
		part, name, _ := strings.Cut(strings.TrimPrefix(o.Key, prefix), "/")
		if part != found {
			if err := tell(); err != nil {
				return err
			}
			found, number = part, 0
		}
		if n, ok := stateNumber(name); ok {
			number = max(number, n)
		}
		return nil
	})
	if err == nil {
		err = tell()
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

func (s *Store) lengthNow(ctx context.Context, id stone.FileID) (int64, error) {
	keys, err := s.partKeys(ctx, id)
	if err != nil {
		return 0, err
	}
	if len(keys.states) == 0 {
		return 0, vault.ErrNotFound
	}
	return s.lengthOf(ctx, id, keys.states[0])
}
