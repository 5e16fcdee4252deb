package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"stonevault/api"
)

var (
	errStalled  = errors.New("the connection stood still for too long")
	errBodyUsed = errors.New("the connection or the session ended while a pipe was sent, which cannot be read twice; run it again, or put a file")
)

const (
	// expectFrom is the size in bytes from which a body waits for the server's word that it is wanted.
	expectFrom = 1 << 20
	// replyFactor is how much longer than for its attention the server is waited for once it has all of a body,
	// and makes it durable.
	replyFactor = 5
	// lookEvery is how many bytes are sent before a file is looked at again whether it has changed.
	lookEvery = 8 << 20
)

// upstream is the body of one request.
type upstream struct {
	src       io.Reader
	size      int64        // -1 where it is not known
	unchanged func() error // of a file
	count     func(int64)
	after     time.Duration
	watch     *time.Timer // runs while the network or the server has its turn

	handed bool          // the transport has it, and will close it
	closed chan struct{} // nobody reads any more
	once   sync.Once

	mu     sync.Mutex // guards what follows
	read   int64
	looked int64 // how much had been read when the file was last looked at
	err    error // of the source
}

// send makes a request with the part of an upload from offset on as its body.
func (c *Client) send(ctx context.Context, u *outgoing, offset int64, do func(context.Context, *upstream, api.RequestEditorFn) (*http.Response, error)) (*http.Response, error) {
	ctx, stop := context.WithCancelCause(ctx)
	var body *upstream
	resp, err := c.call(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		if body != nil {
			if !body.end() || u.File == nil && body.taken() > 0 {
				return nil, errBodyUsed
			}
			u.stands(offset)
		}
		body = c.newUpstream(u, offset, stop)
		return do(ctx, body, auth)
	})
	if body != nil {
		defer body.watch.Stop()
	}
	if err == nil {
		// Whoever reads the reply ends the request.
		resp.Body = &endingBody{resp.Body, stop}
		return resp, nil
	}
	cause := context.Cause(ctx)
	stop(nil)
	if body != nil {
		body.end()
		if failed := body.failed(); failed != nil {
			return nil, failed
		}
	}
	if errors.Is(cause, errStalled) {
		return nil, unreachable(cause)
	}
	return nil, err
}

type endingBody struct {
	io.ReadCloser
	stop context.CancelCauseFunc
}

func (b *endingBody) Close() error {
	defer b.stop(nil)
	return b.ReadCloser.Close()
}

func (c *Client) newUpstream(u *outgoing, offset int64, stop context.CancelCauseFunc) *upstream {
	b := &upstream{src: u.Body, size: -1, count: u.count, after: c.options.StallAfter, closed: make(chan struct{})}
	if u.File != nil {
		b.size = u.Size - offset
		b.src = io.NewSectionReader(u.File, offset, b.size)
		b.unchanged = u.File.Unchanged
	}
	b.watch = time.AfterFunc(b.after, func() { stop(errStalled) })
	b.watch.Stop()
	return b
}

// describe sets the headers that follow from the size.
func (b *upstream) describe(_ context.Context, r *http.Request) error {
	r.ContentLength = b.size
	b.handed = true
	if b.size == 0 {
		if err := b.unchanged(); err != nil {
			b.fail(err)
			return err
		}
		r.Body = http.NoBody
		b.Close()
	}
	if r.Header.Get("Content-Type") == "" {
		r.Header.Del("Content-Type")
	}
	if b.size < 0 || b.size >= expectFrom {
		r.Header.Set("Expect", "100-continue")
	}
	return nil
}

// Read watches the time between reads: that is how long the network takes. Now and then, and before it hands out the
// last of a file's bytes, it makes sure that the file has not changed, so that the server never takes a mixture for a file.
func (b *upstream) Read(p []byte) (int, error) {
	b.watch.Stop()
	if err := b.failed(); err != nil {
		return 0, err
	}
	n, err := b.src.Read(p) // of a pipe, this can take for ever
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read += int64(n)
	switch {
	case err != nil && err != io.EOF:
		b.err = err
	case b.size >= 0 && err == io.EOF && b.read < b.size:
		b.err = ErrChanged
	case b.size >= 0 && n > 0 && (b.read == b.size || b.read-b.looked >= lookEvery):
		b.looked = b.read
		b.err = b.unchanged()
	}
	if b.err != nil {
		return 0, b.err
	}
	if err == nil {
		b.watch.Reset(b.after)
	}
	if n > 0 {
		b.count(int64(n))
	}
	return n, err
}

// Close does not close the source, which may be sent again.
func (b *upstream) Close() error {
	b.once.Do(func() {
		b.watch.Reset(replyFactor * b.after)
		close(b.closed)
	})
	return nil
}

// end waits until nobody reads any more, and says whether that is so: somebody may wait for a pipe for ever. The
// transport closes every body that it was given.
func (b *upstream) end() bool {
	if !b.handed {
		b.Close()
	}
	defer b.watch.Stop()
	if b.size >= 0 {
		<-b.closed
		return true
	}
	select {
	case <-b.closed:
		return true
	case <-time.After(time.Second):
		return false
	}
}

func (b *upstream) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
	b.Close()
}

// failed says what went wrong with the source, if that is what went wrong.
func (b *upstream) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// taken is how many bytes have been read.
func (b *upstream) taken() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read
}
