// Package transfer copies the objects of a vault from one store to another, and reads both sides whole to compare them.
//
// What it promises: the source is only read. An object counts as copied when the SHA-256 of what the target gives back
// is that of what the source gave, and when it is what the rows say of it. Stopped at any moment and begun again, it
// compares what is there and goes on. Memory is bounded: a few objects are under way at once, each with a buffer and
// what a store takes for a transfer.
//
// It does not know what the database is: see Config.Known.
package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"stonevault/internal/vault"
	"stonevault/stone"
)

const (
	atOnce     = 8
	bufferSize = 1 << 20
)

// Store is one side.
type Store interface {
	vault.Objects
	vault.Parts
}

// Known is what the rows say of an object.
type Known struct {
	Row      bool   // there is one
	BodySize int64  // of a body
	Manifest []byte // the digest in an envelope; nil where it may be one of several
}

// Config is what there is to copy. Progress may be nil, and is called by one goroutine at a time.
type Config struct {
	From, To Store // To is nil where both sides have one store, which is then only read
	Fresh    bool  // To had no object at the beginning
	Known    func(ctx context.Context, name string) (Known, error)
	Progress func(Result)
}

// Result is what was done.
type Result struct {
	Objects int64 // of the source
	Bytes   int64
	Copied  int64 // by this run; the others were there already
	Removed int64 // that the source has no more
	Rows    int64 // objects that have a row
	// Faults are objects that are not what the rows say, on both sides alike.
	Faults []Fault
	// Differing are names of objects that the target does not give back as they were given to it.
	Differing []string
}

// Fault is an object and what is wrong with it.
type Fault struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// run is a transfer under way.
type run struct {
	Config
	mu     sync.Mutex
	result Result
}

// Objects copies all objects. The error is what stopped it; to run it again goes on.
func Objects(ctx context.Context, c Config) (Result, error) {
	r := &run{Config: c}
	err := r.eachOf(ctx, c.From, r.object)
	if err == nil && c.To != nil && !c.Fresh {
		err = r.eachOf(ctx, c.To, r.surplus)
	}
	return r.result, err
}

// eachOf runs fn for every object of a store, several at once.
func (r *run) eachOf(ctx context.Context, store Store, fn func(ctx context.Context, buffer []byte, name string, size int64) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type found struct {
		name string
		size int64
	}
	queue := make(chan found)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			buffer := make([]byte, bufferSize)
			for f := range queue {
				if ctx.Err() != nil {
					continue
				}
				if err := fn(ctx, buffer, f.name, f.size); err != nil {
					cancel(fmt.Errorf("%s: %w", f.name, err))
				}
			}
		})
	}
	err := store.Walk(ctx, func(name string, size int64) error {
		select {
		case queue <- found{name, size}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(queue)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// object brings one object over, unless it is there, and compares the two.
func (r *run) object(ctx context.Context, buffer []byte, name string, size int64) error {
	known, err := r.Known(ctx, name)
	if err != nil {
		return err
	}
	copied, same := false, true
	var from digest
	if r.To != nil && !r.Fresh {
		if from, err = read(ctx, r.From, name, buffer, nil); err != nil {
			return err
		}
		switch to, err := read(ctx, r.To, name, buffer, nil); {
		case err == nil && to.sum == from.sum:
		case err == nil: // the source's was replaced since
			if err := r.To.Delete(ctx, name); err != nil {
				return err
			}
			copied = true
		case errors.Is(err, vault.ErrNotFound):
			copied = true
		default:
			return err
		}
	}
	switch {
	case r.To == nil:
		from, err = read(ctx, r.From, name, buffer, nil)
	case copied || r.Fresh:
		copied = true
		if from, err = r.copy(ctx, buffer, name, size); err != nil {
			return err
		}
		var to digest
		to, err = read(ctx, r.To, name, buffer, nil)
		same = to.sum == from.sum
	}
	if err != nil {
		return err
	}
	r.count(name, known, from, copied, same)
	return nil
}

// copy writes one object that the target lacks. Whoever was there first has put the same, which is compared anyway.
func (r *run) copy(ctx context.Context, buffer []byte, name string, size int64) (digest, error) {
	w, err := r.To.Create(ctx, name, size)
	if err != nil {
		return digest{}, err
	}
	defer w.Abort()
	from, err := read(ctx, r.From, name, buffer, w)
	if err != nil {
		return digest{}, err
	}
	if err := w.Commit(); err != nil && !errors.Is(err, vault.ErrExists) {
		return digest{}, err
	}
	return from, nil
}

func (r *run) count(name string, known Known, from digest, copied, same bool) {
	reason := ""
	if known.Row {
		reason = known.fault(name, from)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Objects++
	r.result.Bytes += from.size
	if copied {
		r.result.Copied++
	}
	if known.Row {
		r.result.Rows++
	}
	if reason != "" {
		r.result.Faults = append(r.result.Faults, Fault{name, reason})
	}
	if !same {
		r.result.Differing = append(r.result.Differing, name)
	}
	if r.Progress != nil {
		r.Progress(r.result)
	}
}

// fault says what is wrong with an object that was read, or nothing.
func (k Known) fault(name string, d digest) string {
	if strings.HasSuffix(name, ".body") {
		if d.size != k.BodySize {
			return fmt.Sprintf("it has %d bytes, and its row says %d", d.size, k.BodySize)
		}
		return ""
	}
	manifest, err := stone.ManifestDigest(d.envelope)
	switch {
	case err != nil:
		return err.Error()
	case k.Manifest != nil && !bytes.Equal(manifest, k.Manifest):
		return "its manifest is not the one that its row names"
	}
	return ""
}

// surplus removes an object that the source does not have.
func (r *run) surplus(ctx context.Context, _ []byte, name string, _ int64) error {
	o, err := r.From.Open(ctx, name)
	if err == nil {
		return o.Close()
	}
	if !errors.Is(err, vault.ErrNotFound) {
		return err
	}
	if err := r.To.Delete(ctx, name); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Removed++
	return nil
}

// digest is what an object was found to be.
type digest struct {
	sum      [sha256.Size]byte
	size     int64
	envelope []byte // of an envelope, all of it
}

// read reads an object whole, and also writes it to w unless that is nil.
func read(ctx context.Context, store vault.Objects, name string, buffer []byte, w io.Writer) (d digest, err error) {
	o, err := store.Open(ctx, name)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	d.size = o.Size()
	h := sha256.New()
	into := []io.Writer{h}
	if w != nil {
		into = append(into, w)
	}
	var envelope bytes.Buffer
	if strings.HasSuffix(name, ".env") && d.size <= stone.MaxEnvelopeSize {
		into = append(into, &envelope)
	}
	if err := readAll(ctx, o, d.size, buffer, io.MultiWriter(into...)); err != nil {
		return d, err
	}
	h.Sum(d.sum[:0])
	d.envelope = envelope.Bytes()
	return d, nil
}

func readAll(ctx context.Context, from io.ReaderAt, size int64, buffer []byte, to io.Writer) error {
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := buffer[:min(int64(len(buffer)), size-off)]
		n, err := from.ReadAt(p, off)
		if n < len(p) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if _, err := to.Write(p); err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}
