package client

import (
	"context"
	"iter"
	"net/http"

	"stonevault/api"
)

// ListQuery asks for the contents of a folder.
type ListQuery struct {
	Folder string
	Sort   string // as the API takes it; empty is by name
}

// pageSize is how many rows one request asks for.
const pageSize = 1000

// List yields what lies in a folder, page after page as they are wanted.
func (c *Client) List(ctx context.Context, q ListQuery) iter.Seq2[api.File, error] {
	return func(yield func(api.File, error) bool) {
		limit := pageSize
		params := &api.ListFilesParams{Folder: &q.Folder, Limit: &limit}
		if q.Sort != "" {
			params.Sort = &q.Sort
		}
		for {
			page, err := document[api.FileList](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
				return c.api.ListFiles(ctx, params, auth)
			})
			if err != nil {
				yield(api.File{}, err)
				return
			}
			for _, f := range page.Items {
				if !yield(f, nil) {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			params.Cursor = &page.NextCursor
		}
	}
}

// Lookup finds a file or folder by its path.
func (c *Client) Lookup(ctx context.Context, path string) (*api.File, error) {
	return document[api.File](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.LookupFile(ctx, &api.LookupFileParams{Path: path}, auth)
	})
}

// ifMatch demands that a file be the one that was looked at; folders have no ETag.
func ifMatch(f *api.File) *string {
	if f.Etag == "" {
		return nil
	}
	return &f.Etag
}

// Move gives a file or folder another path.
func (c *Client) Move(ctx context.Context, f *api.File, to string) (*api.File, error) {
	return document[api.File](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.MoveFile(ctx, f.ID, &api.MoveFileParams{IfMatch: ifMatch(f)}, api.Move{Path: to}, auth)
	})
}

// Remove deletes a file with its versions, or an empty folder.
func (c *Client) Remove(ctx context.Context, f *api.File) error {
	resp, err := c.call(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.DeleteFile(ctx, f.ID, &api.DeleteFileParams{IfMatch: ifMatch(f)}, auth)
	})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Verify lets the server read and check all of a file.
func (c *Client) Verify(ctx context.Context, f *api.File) (*api.VerifyReport, error) {
	return document[api.VerifyReport](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.VerifyFile(ctx, f.ID, &api.VerifyFileParams{}, auth)
	})
}
