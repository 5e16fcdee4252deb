package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

var (
	errStalled  = errors.New("the connection stood still for too long")
	errChanged  = errors.New("the file changed while it was read; run it again")
	errBodyUsed = errors.New("the session ended while the file was sent, and a pipe cannot be read twice; run it again")
)

// expectFrom is the size in bytes from which a body waits for the server's word that it is wanted.
const expectFrom = 1 << 20

// upstream is the body of one request. Its owner may look at it when closed is.
type upstream struct {
	upload Upload
	after  time.Duration
	watch  *time.Timer // runs while the network has the body's attention
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex // guards what follows
	read int64
	err  error // of the source
}

func newUpstream(u Upload, after time.Duration, stop context.CancelCauseFunc) *upstream {
	b := &upstream{upload: u, after: after, closed: make(chan struct{})}
	b.watch = time.AfterFunc(after, func() { stop(errStalled) })
	b.watch.Stop()
	return b
}

// describe sets the headers that follow from the size.
func (b *upstream) describe(_ context.Context, r *http.Request) error {
	size := b.upload.Size
	r.ContentLength = size
	if size == 0 {
		r.Body = http.NoBody
		b.Close()
	}
	if b.upload.MediaType == "" {
		r.Header.Del("Content-Type")
	}
	if size < 0 || size >= expectFrom {
		r.Header.Set("Expect", "100-continue")
	}
	return nil
}

// Read watches the time between reads: that is how long the network takes. Before it hands out the last
// of the announced bytes it makes sure that there are no more, so that the server never takes the beginning
// of a file that grows for all of it.
func (b *upstream) Read(p []byte) (int, error) {
	b.watch.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	size := b.upload.Size
	if size >= 0 {
		if b.read == size {
			return 0, io.EOF
		}
		p = p[:min(int64(len(p)), size-b.read)]
	}
	n, err := b.upload.Body.Read(p)
	b.read += int64(n)
	if b.read == size && err == nil {
		more, _ := io.ReadFull(b.upload.Body, make([]byte, 1))
		b.read += int64(more)
	}
	switch {
	case err != nil && err != io.EOF:
		b.err = err
		return n, err
	case size >= 0 && (b.read > size || err == io.EOF && b.read < size):
		b.err = errChanged
		return 0, errChanged
	case err == nil:
		b.watch.Reset(b.after)
	}
	if n > 0 && b.upload.Progress != nil {
		b.upload.Progress(int64(n))
	}
	return n, err
}

// Close does not close the source, which may be sent again.
func (b *upstream) Close() error {
	b.once.Do(func() {
		b.watch.Stop()
		close(b.closed)
	})
	return nil
}

// failed says what went wrong with the source, if that is what went wrong.
func (b *upstream) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// rewind readies the source for another request.
func (b *upstream) rewind() error {
	<-b.closed
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.read == 0 {
		return nil
	}
	seeker, ok := b.upload.Body.(io.Seeker)
	if !ok {
		return errBodyUsed
	}
	if _, err := seeker.Seek(0, io.SeekStart); err != nil {
		return errBodyUsed
	}
	if b.upload.Progress != nil {
		b.upload.Progress(-b.read)
	}
	return nil
}
