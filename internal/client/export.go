package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"stonevault/api"
)

// Export is a file on its way out as a stone of its own.
type Export struct {
	Size int64 // bytes of the stone; -1 where the server does not say

	download Download
}

// Export begins to fetch a file as a stone for the recipients, given as text, or for whoever knows the passphrase.
// The caller calls Copy or Close.
func (c *Client) Export(ctx context.Context, f *api.File, recipients []string, passphrase []byte) (*Export, error) {
	ctx, stop := context.WithCancelCause(ctx)
	request := api.ExportRequest{Recipients: recipients, Passphrase: string(passphrase)}
	resp, err := c.call(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.ExportFile(ctx, f.ID, &api.ExportFileParams{}, request, auth)
	})
	if err != nil {
		stop(nil)
		return nil, err
	}
	return &Export{resp.ContentLength, Download{client: c, resp: resp, stop: stop}}, nil
}

// Close gives the export up.
func (x *Export) Close() { x.download.Close() }

// Copy writes the stone to dst. An export cannot be taken up where it broke: each one has an envelope of its own.
func (x *Export) Copy(ctx context.Context, dst io.Writer) error {
	defer x.Close()
	if x.Size < 0 {
		return errors.New("the server's reply lacks the length that an export has")
	}
	n, err := x.download.copyOnce(dst, x.Size)
	var local *writeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &local):
		return local.err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("the connection broke after %d of %d bytes; export it again, and if it breaks there again, look with \"stonevault verify\": %w",
		n, x.Size, unreachable(err))
}
