package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"stonevault/api"
)

// Upload is a file to put.
type Upload struct {
	Path       string
	Body       io.Reader
	Size       int64 // -1 where it is not known
	Replace    bool
	MediaType  string // empty lets the server look
	ModifiedAt time.Time
	Mode       uint32 // permission bits
	Class      string // empty is the server's default
	// Progress is told of bytes as they are read; fewer than none when they are read again. May be nil.
	Progress func(n int64)
}

// Put sends a file. It returns when the server says that the file is durable.
func (c *Client) Put(ctx context.Context, u Upload) (*api.File, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	params := &api.PutContentParams{StonevaultModifiedAt: &u.ModifiedAt}
	mode := fmt.Sprintf("%04o", u.Mode&0o777)
	params.StonevaultMode = &mode
	if !u.Replace {
		nothing := api.PutContentParamsIfNoneMatch("*")
		params.IfNoneMatch = &nothing
	}
	if u.Class != "" {
		class := api.Class(u.Class)
		params.StonevaultClass = &class
	}
	var body *upstream
	file, err := document[api.File](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		if body != nil {
			if err := body.rewind(); err != nil {
				return nil, err
			}
		}
		body = newUpstream(u, c.options.StallAfter, stop)
		return c.api.PutContentWithBody(ctx, strings.TrimPrefix(u.Path, "/"), params, u.MediaType, body, auth, body.describe)
	})
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errStalled) {
		return nil, unreachable(cause)
	}
	if err != nil && body != nil && body.failed() != nil {
		return nil, body.failed()
	}
	return file, err
}

// Download is a file on its way. Its fields are what the server says of it.
type Download struct {
	Size       int64
	ModifiedAt time.Time
	Mode       uint32
	Signer     string // fingerprint in hex
	ETag       string

	client *Client
	path   string
	resp   *http.Response
	stop   context.CancelCauseFunc // ends resp
}

// Get begins to fetch a file. The caller calls Copy or Close.
func (c *Client) Get(ctx context.Context, path string) (*Download, error) {
	d := &Download{client: c, path: path}
	if err := d.request(ctx, &api.GetContentByPathParams{}); err != nil {
		return nil, err
	}
	d.Size = d.resp.ContentLength
	h := d.resp.Header
	d.ETag, d.Signer = h.Get("ETag"), h.Get("Stonevault-Signer")
	mode, modeErr := strconv.ParseUint(h.Get("Stonevault-Mode"), 8, 32)
	modified, timeErr := time.Parse(time.RFC3339, h.Get("Stonevault-Modified-At"))
	if d.resp.StatusCode != http.StatusOK || d.Size < 0 || d.ETag == "" || modeErr != nil || timeErr != nil {
		d.Close()
		return nil, fmt.Errorf("the server's reply lacks the length or another header that a file has: %w", ErrUnreachable)
	}
	d.Mode, d.ModifiedAt = uint32(mode)&0o777, modified
	return d, nil
}

func (d *Download) request(ctx context.Context, params *api.GetContentByPathParams) error {
	ctx, stop := context.WithCancelCause(ctx)
	resp, err := d.client.call(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return d.client.api.GetContentByPath(ctx, strings.TrimPrefix(d.path, "/"), params, auth)
	})
	if err != nil {
		stop(nil)
		return err
	}
	d.resp, d.stop = resp, stop
	return nil
}

// Close gives the download up.
func (d *Download) Close() {
	if d.resp != nil {
		d.resp.Body.Close()
		d.stop(nil)
		d.resp = nil
	}
}

// resumptions is how often in a row a transfer that makes no progress is taken up again.
const resumptions = 3

// Copy writes the content to dst. A connection that breaks is taken up where it broke, as long as the
// file is the same one. When it fails, what dst received is genuine but incomplete.
func (d *Download) Copy(ctx context.Context, dst io.Writer) error {
	defer d.Close()
	var at int64
	var broken error
	for tries := 0; ; tries++ {
		if d.resp != nil {
			n, err := d.copyOnce(dst, d.Size-at)
			if at += n; n > 0 {
				tries = 0
			}
			var local *writeError
			switch {
			case errors.As(err, &local):
				return local.err
			case err == nil:
				return nil
			}
			broken = err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if tries == resumptions {
			return fmt.Errorf("the connection broke after %d of %d bytes and could not be taken up: %w", at, d.Size, unreachable(broken))
		}
		if err := pause(ctx, time.Duration(tries)*time.Second); err != nil {
			return err
		}
		// The server breaks off when the stored data turns out not to be what was sealed. Asked for the rest,
		// it says so.
		if err := d.resume(ctx, at); err != nil {
			if !errors.Is(err, ErrUnreachable) {
				return err
			}
			broken = err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// resume asks for the rest of the same file, from at.
func (d *Download) resume(ctx context.Context, at int64) error {
	d.Close()
	rest := fmt.Sprintf("bytes=%d-", at)
	err := d.request(ctx, &api.GetContentByPathParams{Range: &rest, IfMatch: &d.ETag})
	switch {
	case errors.Is(err, ErrExists): // If-Match does not hold
		return fmt.Errorf("the file was changed while it was fetched; fetch it again: %w", err)
	case err != nil:
		return err
	}
	resp := d.resp
	want := fmt.Sprintf("bytes %d-%d/%d", at, d.Size-1, d.Size)
	if resp.StatusCode != http.StatusPartialContent || resp.Header.Get("Content-Range") != want || resp.ContentLength != d.Size-at {
		d.Close()
		return errors.New("the server answers with another part of the file than was asked for")
	}
	return nil
}

// writeError is a failure of this side.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }

// copyOnce copies want bytes, or fewer and says why; n of them have been written.
func (d *Download) copyOnce(dst io.Writer, want int64) (n int64, err error) {
	pooled := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(pooled)
	watch := time.AfterFunc(d.client.options.StallAfter, func() { d.stop(errStalled) })
	defer watch.Stop()
	for n < want {
		watch.Reset(d.client.options.StallAfter)
		got, err := d.resp.Body.Read((*pooled)[:min(int64(len(*pooled)), want-n)])
		watch.Stop()
		if got > 0 {
			wrote, failed := dst.Write((*pooled)[:got])
			n += int64(wrote)
			if failed != nil {
				return n, &writeError{failed}
			}
		}
		if err != nil && n < want {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
	}
	return n, nil
}
