package s3

import (
	"context"
	"errors"

	"stonevault/internal/vault"
)

var errEnded = errors.New("the object has been committed or aborted")

// writer gathers blocks, and sends one while the next one fills. What fits in one block is sent by Commit in one
// request. Its methods are for one goroutine.
type writer struct {
	ctx      context.Context
	s        *Store
	name     string
	assembly assembly // of the flight while there is one
	buffer   buffer
	flight   chan error // of the block that is on its way, or nil
	err      error      // the first failure
	ended    bool
}

var _ vault.ObjectWriter = (*writer)(nil)

// Write takes bytes in order. After an error the object can only be aborted.
func (w *writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, fail("write object", w.name, errEnded)
	}
	total := 0
	for len(p) > 0 {
		if w.err == nil {
			w.err = w.ctx.Err()
		}
		if w.err == nil && w.buffer.full() { // only now: the last block is Commit's
			w.err = w.launch()
		}
		if w.err != nil {
			return total, fail("write object", w.name, w.err)
		}
		n := w.buffer.add(p)
		total += n
		p = p[n:]
	}
	return total, nil
}

// launch sends the block that is full, once the one before it has arrived.
func (w *writer) launch() error {
	if err := w.land(); err != nil {
		return err
	}
	full, landed := w.buffer.move(), make(chan error, 1)
	w.flight = landed
	go func() {
		err := w.send(full.b)
		full.release()
		landed <- err
	}()
	return nil
}

func (w *writer) send(block []byte) error {
	if err := w.assembly.add(w.ctx, block); err != nil || !w.assembly.staged() {
		return err
	}
	key := w.assembly.Stage.Key
	if err := w.assembly.seal(w.ctx); err != nil {
		return err
	}
	w.assembly.dropStage(w.ctx, key)
	return nil
}

// land waits for the block that is on its way.
func (w *writer) land() error {
	if w.flight == nil {
		return nil
	}
	err := <-w.flight
	w.flight = nil
	return err
}

// Commit makes the object durable and visible. After a failure whose reason is that the store could not be asked, the
// object may appear all the same.
func (w *writer) Commit() error {
	if w.ended {
		return fail("commit object", w.name, errEnded)
	}
	err := w.err
	if err == nil {
		err = w.ctx.Err()
	}
	if err == nil {
		err = w.land()
	}
	if err == nil {
		err = w.finish()
	}
	if err != nil {
		w.Abort()
		return fail("commit object", w.name, err)
	}
	w.ended = true
	w.buffer.release()
	return nil
}

func (w *writer) finish() error {
	a := &w.assembly
	var err error
	if a.empty() {
		err = w.s.put(w.ctx, a.key, put{mark: a.mark}, w.buffer.b)
	} else if err = a.add(w.ctx, w.buffer.b); err == nil {
		err = a.complete(w.ctx)
	}
	if err != nil && !errors.Is(err, vault.ErrExists) { // the reply may have been what failed
		w.s.takeBack(w.ctx, a.key, a.mark)
	}
	return err
}

// Abort ends the writer and leaves nothing behind.
func (w *writer) Abort() {
	if w.ended {
		return
	}
	w.ended = true
	_ = w.land() // it is given up, whatever it says
	w.buffer.release()
	w.s.abandon(w.ctx, w.assembly.key, w.assembly.progress)
}
