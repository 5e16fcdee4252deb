package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"stonevault/api"
	"stonevault/audit"
)

// AuditLog says which log the vault has now. It is the server's word.
func (c *Client) AuditLog(ctx context.Context) (*api.AuditLog, error) {
	return ask[api.AuditLog](ctx, c, "", func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.GetAuditLog(ctx, auth)
	})
}

// EventQuery asks for events. Empty fields ask for any.
type EventQuery struct {
	Type   string // or the beginning of several, ending in a dot
	Person string // the id of who did it, or whom it is about
	File   string // the id of a file, a folder or a version's stone
	Since  time.Time
	Until  time.Time
	After  int64 // an event's id: those that came behind it
	Page   int   // how many one request asks for; 0 is as many as can be
}

// AuditEvents yields events, the newest first, page after page as they are wanted. They are the server's word.
func (c *Client) AuditEvents(ctx context.Context, q EventQuery) iter.Seq2[api.AuditEvent, error] {
	limit := pageSize
	if q.Page > 0 {
		limit = min(q.Page, pageSize)
	}
	params := api.ListAuditEventsParams{
		Type: orNil(q.Type), Person: orNil(q.Person), File: orNil(q.File), Since: timeOrNil(q.Since), Until: timeOrNil(q.Until), Limit: &limit,
	}
	if q.After > 0 {
		params.After = &q.After
	}
	return paged(func(cursor *string) ([]api.AuditEvent, string, error) {
		params.Cursor = cursor
		page, err := ask[api.AuditEventList](ctx, c, "", func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
			return c.api.ListAuditEvents(ctx, &params, auth)
		})
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.NextCursor, nil
	})
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Receipt returns the receipt of an event by its id, as text to be verified. With wait the server answers once a
// signed head covers the event, and otherwise with ErrNotFound as long as none does.
func (c *Client) Receipt(ctx context.Context, id int64, wait bool) ([]byte, error) {
	params := new(api.GetAuditReceiptParams)
	if wait {
		prefer := "wait"
		params.Prefer = &prefer
	}
	return askBytes(ctx, c, audit.MaxReceipt, func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.GetAuditReceipt(ctx, id, params, auth)
	})
}

// ReceiptAt returns the receipt of the event at an index of the current log.
func (c *Client) ReceiptAt(ctx context.Context, index int64) ([]byte, error) {
	return askBytes(ctx, c, audit.MaxReceipt, func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.GetAuditReceiptByIndex(ctx, index, auth)
	})
}

// AuditCheckpoint returns the newest signed head, as text to be verified.
func (c *Client) AuditCheckpoint(ctx context.Context) ([]byte, error) {
	return askBytes(ctx, c, audit.MaxCheckpoint, func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.GetAuditCheckpoint(ctx, auth)
	})
}

// AuditTile returns the hashes of a tile, or ErrNotFound. A log may keep the widest form of a tile alone, of which
// each narrower one is the beginning.
func (c *Client) AuditTile(ctx context.Context, t audit.Tile) ([]byte, error) {
	get := func(t audit.Tile) ([]byte, error) {
		return askBytes(ctx, c, audit.TileWidth*audit.HashSize, func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
			return c.api.GetAuditTile(ctx, strings.TrimPrefix(t.Path(), "tile/"), auth)
		})
	}
	data, err := get(t)
	if errors.Is(err, ErrNotFound) && t.Width < audit.TileWidth {
		data, err = get(audit.Tile{Level: t.Level, Index: t.Index, Width: audit.TileWidth})
		data = data[:min(len(data), t.Width*audit.HashSize)]
	}
	return data, err
}

// Consistency is what a server says of a log that grew: a newer head, and the proof that it continues an older one.
type Consistency struct {
	Checkpoint []byte
	Proof      []audit.Hash
}

// AuditConsistency asks for the proof that the log continues its head of so many events. ErrNotFound if it has fewer.
func (c *Client) AuditConsistency(ctx context.Context, from int64) (*Consistency, error) {
	reply, err := ask[api.AuditConsistency](ctx, c, "", func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.GetAuditConsistency(ctx, &api.GetAuditConsistencyParams{From: from}, auth)
	})
	if err != nil {
		return nil, err
	}
	proof := make([]audit.Hash, len(reply.Proof))
	for i, h := range reply.Proof {
		if len(h) != audit.HashSize {
			return nil, fmt.Errorf("%w: a hash of it has %d bytes", audit.ErrProof, len(h))
		}
		proof[i] = audit.Hash(h)
	}
	return &Consistency{[]byte(reply.Checkpoint), proof}, nil
}

// AuditRows yields what the log is made of from an index on, as audit.Fsck wants it: parts that are there and are not
// shown to the caller are marked as sealed.
func (c *Client) AuditRows(ctx context.Context, from int64) iter.Seq2[audit.Row, error] {
	return func(yield func(audit.Row, error) bool) {
		limit := pageSize
		for {
			page, err := ask[api.AuditRecordList](ctx, c, "", func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
				return c.api.ListAuditRecords(ctx, &api.ListAuditRecordsParams{From: &from, Limit: &limit}, auth)
			})
			if err != nil {
				yield(audit.Row{}, err)
				return
			}
			for i := range page.Items {
				if !yield(row(&page.Items[i]), nil) {
					return
				}
			}
			switch {
			case page.Next == nil:
				return
			case *page.Next <= from:
				yield(audit.Row{}, fmt.Errorf("the server's list of records goes round in a circle: after %d comes %d", from, *page.Next))
				return
			}
			from = *page.Next
		}
	}
}

func row(r *api.AuditRecord) audit.Row {
	row := audit.Row{Index: r.Index, Leaf: r.Leaf}
	for slot, opening := range [][]byte{r.Operational, r.Actor, r.Subject} {
		row.Parts[slot] = audit.StoredPart{
			Opening: opening,
			Sealed:  slices.Contains(r.Withheld, api.AuditSlot(audit.Slot(slot).String())),
		}
	}
	return row
}

// AuditAnchors yields the anchors that the vault says there are, the newest first.
func (c *Client) AuditAnchors(ctx context.Context) iter.Seq2[api.AuditAnchor, error] {
	limit := pageSize
	return paged(func(cursor *string) ([]api.AuditAnchor, string, error) {
		page, err := ask[api.AuditAnchorList](ctx, c, "", func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
			return c.api.ListAuditAnchors(ctx, &api.ListAuditAnchorsParams{Limit: &limit, Cursor: cursor}, auth)
		})
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.NextCursor, nil
	})
}
