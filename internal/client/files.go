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

// FindQuery asks for what is in a folder and in all below it. Empty fields ask for anything.
type FindQuery struct {
	Folder    string
	Name      string // part of the name
	MediaType string // or the beginning of one, ending in "/"
	Kind      string // "file" or "folder"
}

// pageSize is how many rows one request asks for.
const pageSize = 1000

// List yields what lies in a folder, page after page as they are wanted.
func (c *Client) List(ctx context.Context, q ListQuery) iter.Seq2[api.File, error] {
	limit := pageSize
	params := api.ListFilesParams{Folder: &q.Folder, Limit: &limit, Sort: orNil(q.Sort)}
	return c.pages(ctx, q.Folder, func(ctx context.Context, cursor *string, auth api.RequestEditorFn) (*http.Response, error) {
		params.Cursor = cursor
		return c.api.ListFiles(ctx, &params, auth)
	})
}

// Find yields what it finds, in path order.
func (c *Client) Find(ctx context.Context, q FindQuery) iter.Seq2[api.File, error] {
	limit := pageSize
	params := api.FindFilesParams{
		Folder: &q.Folder, Limit: &limit, NameContains: orNil(q.Name), MediaType: orNil(q.MediaType), Kind: orNil(api.KindFilter(q.Kind)),
	}
	return c.pages(ctx, q.Folder, func(ctx context.Context, cursor *string, auth api.RequestEditorFn) (*http.Response, error) {
		params.Cursor = cursor
		return c.api.FindFiles(ctx, &params, auth)
	})
}

func orNil[T ~string](s T) *T {
	if s == "" {
		return nil
	}
	return &s
}

func (c *Client) pages(ctx context.Context, what string, send func(context.Context, *string, api.RequestEditorFn) (*http.Response, error)) iter.Seq2[api.File, error] {
	return paged(func(cursor *string) ([]api.File, string, error) {
		page, err := ask[api.FileList](ctx, c, what, func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
			return send(ctx, cursor, auth)
		})
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.NextCursor, nil
	})
}

// paged yields the items of pages, each asked for when it is wanted. get takes the cursor of a page, nil for the
// first, and returns that of the next, empty for none.
func paged[T any](get func(cursor *string) ([]T, string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var cursor *string
		for {
			items, next, err := get(cursor)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			cursor = &next
		}
	}
}

// MakeFolder makes a folder and those above it. One that is there stays as it is.
func (c *Client) MakeFolder(ctx context.Context, path string) (*api.File, error) {
	params := &api.MakeFolderParams{IdempotencyKey: newKey()}
	return ask[api.File](ctx, c, path, func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.MakeFolder(ctx, params, api.NewFolder{Path: path}, auth)
	})
}

// Lookup finds a file or folder by its path.
func (c *Client) Lookup(ctx context.Context, path string) (*api.File, error) {
	return ask[api.File](ctx, c, path, func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
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

// Remove deletes a file with its versions, or a folder: an empty one, or with all that is in it.
func (c *Client) Remove(ctx context.Context, f *api.File, all bool) error {
	params := &api.DeleteFileParams{IfMatch: ifMatch(f)}
	if all {
		params.Recursive = &all
	}
	resp, err := c.call(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.DeleteFile(ctx, f.ID, params, auth)
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
