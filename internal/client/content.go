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

// Download is a file on its way. Its fields are what the server says of it.
type Download struct {
	Size       int64
	ModifiedAt time.Time
	Mode       uint32
	Signer     string // fingerprint in hex
	ETag       string

	client *Client
	path   string
	at     int64 // how much has been written
	resp   *http.Response
	stop   context.CancelCauseFunc // ends resp
}

// Position is where an earlier download of a file ended.
type Position struct {
	ETag string
	Size int64 // of the whole file
	At   int64 // less than Size
}

// Get begins to fetch a file, from its beginning or, if it still is the same, from a position, and otherwise
// returns ErrChanged. The caller calls Copy or Close.
func (c *Client) Get(ctx context.Context, path string, from *Position) (*Download, error) {
	d := &Download{client: c, path: path}
	tries := c.attempts(path)
	for {
		err := d.begin(ctx, from)
		if err == nil {
			return d, nil
		}
		if err := tries.wait(ctx, err); err != nil {
			return nil, err
		}
	}
}

func (d *Download) begin(ctx context.Context, from *Position) error {
	if from != nil {
		d.ETag, d.Size, d.at = from.ETag, from.Size, from.At
		if err := d.resume(ctx); err != nil {
			return err
		}
	} else {
		if err := d.request(ctx, &api.GetContentByPathParams{}); err != nil {
			return err
		}
		d.ETag, d.Size = d.resp.Header.Get("ETag"), d.resp.ContentLength
		if d.resp.StatusCode != http.StatusOK {
			d.Size = -1
		}
	}
	h := d.resp.Header
	d.Signer = h.Get("Stonevault-Signer")
	mode, modeErr := strconv.ParseUint(h.Get("Stonevault-Mode"), 8, 32)
	modified, timeErr := time.Parse(time.RFC3339, h.Get("Stonevault-Modified-At"))
	if d.Size < 0 || d.ETag == "" || modeErr != nil || timeErr != nil {
		d.Close()
		return errors.New("the server's reply lacks the length or another header that a file has")
	}
	d.Mode, d.ModifiedAt = uint32(mode)&0o777, modified
	return nil
}

func (d *Download) request(ctx context.Context, params *api.GetContentByPathParams) error {
	ctx, stop := context.WithCancelCause(ctx)
	watch := time.AfterFunc(d.client.options.StallAfter, func() { stop(errStalled) })
	defer watch.Stop()
	resp, err := d.client.call(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return d.client.api.GetContentByPath(ctx, strings.TrimPrefix(d.path, "/"), params, auth)
	})
	if err != nil {
		if errors.Is(context.Cause(ctx), errStalled) {
			err = unreachable(errStalled)
		}
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

// Copy writes the content to dst, from the position where the download began. A connection that breaks is taken up
// where it broke, as long as the file is the same one. When it fails, what dst received is genuine but incomplete.
func (d *Download) Copy(ctx context.Context, dst io.Writer) error {
	defer d.Close()
	tries := d.client.attempts(d.path)
	for {
		if d.resp == nil {
			// The server breaks off when the stored data turns out not to be what was sealed. Asked for the rest, it
			// says so.
			if err := d.resume(ctx); err != nil {
				if err := tries.wait(ctx, err); err != nil {
					return err
				}
				continue
			}
		}
		n, err := d.copyOnce(dst, d.Size-d.at)
		d.at += n
		var local *writeError
		switch {
		case errors.As(err, &local):
			return local.err
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		d.Close()
		broken := fmt.Errorf("the connection broke after %d of %d bytes: %w", d.at, d.Size, unreachable(err))
		switch {
		case d.client.options.Patience <= 0:
			if err := d.resume(ctx); err != nil && !errors.Is(err, ErrUnreachable) {
				return err
			}
			return broken
		case n > 0:
			tries.progressed()
		}
		if n >= copySize { // much came, so that the next request can follow at once
			continue
		}
		if err := tries.wait(ctx, broken); err != nil {
			return err
		}
	}
}

// resume asks for the rest of the same file.
func (d *Download) resume(ctx context.Context) error {
	rest := fmt.Sprintf("bytes=%d-", d.at)
	err := d.request(ctx, &api.GetContentByPathParams{Range: &rest, IfMatch: &d.ETag})
	switch {
	case errors.Is(err, ErrExists): // If-Match does not hold
		return fmt.Errorf("%w in the vault while it was fetched; fetch it again", ErrChanged)
	case err != nil:
		return err
	}
	resp := d.resp
	want := fmt.Sprintf("bytes %d-%d/%d", d.at, d.Size-1, d.Size)
	if resp.StatusCode != http.StatusPartialContent || resp.Header.Get("Content-Range") != want || resp.ContentLength != d.Size-d.at {
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
