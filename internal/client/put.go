package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"stonevault/api"
)

// ResumeFrom is the size in bytes from which a file is sent and fetched so that an interrupted transfer goes on
// where it stood.
const ResumeFrom = 8 << 20

// File is a file to send, which can be read anywhere and again. *os.File is half of one.
type File interface {
	io.ReaderAt
	// Unchanged returns ErrChanged once the file is not what it was when it was opened.
	Unchanged() error
}

// Memory remembers, between runs of a program, which upload a file was being sent by.
type Memory interface {
	// Load returns the upload's id, or "". It is stale if it is not for the file and the put that are at hand.
	Load() (id string, stale bool)
	Save(id string)
	Forget()
}

// Upload is a file or a pipe to put.
type Upload struct {
	Path       string
	File       File
	Size       int64     // of File
	Body       io.Reader // instead of File, something that can be read once
	Replace    bool
	MediaType  string // empty lets the server look
	ModifiedAt time.Time
	Mode       uint32 // permission bits
	Class      string // empty is the server's default
	Memory     Memory // may be nil
	// Progress is told of bytes as they are sent; fewer than none when they must be sent again. It may be called
	// by many goroutines. May be nil.
	Progress func(n int64)
}

// Stored is a file that was put.
type Stored struct {
	api.File
	// Event is the id of the audit log's event about it; 0 where the reply that named it was lost.
	Event int64
}

// outgoing is an upload under way.
type outgoing struct {
	Upload
	shown atomic.Int64 // the sum of what Progress was told
	event int64        // as the server names it once the file is stored
}

// eventHeader names the event in the audit log that a change was recorded as.
const eventHeader = "Stonevault-Event"

// recorded notes which event a reply names.
func (u *outgoing) recorded(h http.Header) {
	if id, err := strconv.ParseInt(h.Get(eventHeader), 10, 64); err == nil && id > 0 {
		u.event = id
	}
}

func (u *outgoing) count(n int64) {
	u.shown.Add(n)
	if u.Progress != nil && n != 0 {
		u.Progress(n)
	}
}

// stands says that at bytes are where they belong, and those behind must be sent again.
func (u *outgoing) stands(at int64) { u.count(at - u.shown.Load()) }

// Put sends a file. It returns when the server says that the file is durable. A file that changes meanwhile is
// ErrChanged, and nothing of it is kept; a file that cannot be sent for the options' Patience is left where Put
// can take it up again. A pipe is sent once.
func (c *Client) Put(ctx context.Context, up Upload) (*Stored, error) {
	u := &outgoing{Upload: up}
	way := c.putInPieces
	switch {
	case u.File == nil:
		way = c.putOnce
	case u.Size < ResumeFrom:
		way = c.putWhole
	}
	file, err := way(ctx, u)
	if errors.Is(err, ErrChanged) {
		err = fmt.Errorf("%w while it was sent, and nothing of it was kept; put it again", err)
	}
	if err != nil {
		return nil, err
	}
	return &Stored{*file, u.event}, nil
}

// putOnce sends all of it in one request.
func (c *Client) putOnce(ctx context.Context, u *outgoing) (*api.File, error) {
	params := &api.PutContentParams{StonevaultModifiedAt: &u.ModifiedAt}
	mode := u.mode()
	params.StonevaultMode = &mode
	if !u.Replace {
		nothing := api.PutContentParamsIfNoneMatch("*")
		params.IfNoneMatch = &nothing
	}
	if u.Class != "" {
		class := api.Class(u.Class)
		params.StonevaultClass = &class
	}
	resp, err := c.send(ctx, u, 0, func(ctx context.Context, body *upstream, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.PutContentWithBody(ctx, strings.TrimPrefix(u.Path, "/"), params, u.MediaType, body, auth, body.describe)
	})
	if err != nil {
		return nil, err
	}
	u.recorded(resp.Header)
	file := new(api.File)
	return file, decode(resp, file)
}

func (u *outgoing) mode() string { return fmt.Sprintf("%04o", u.Mode&0o777) }

// putWhole sends a file again from its beginning until it is there.
func (c *Client) putWhole(ctx context.Context, u *outgoing) (*api.File, error) {
	tries := c.attempts(u.Path)
	for again := false; ; again = true {
		file, err := c.putOnce(ctx, u)
		if err == nil {
			return file, nil
		}
		if !again || !errors.Is(err, ErrExists) {
			if err := tries.wait(ctx, err); err != nil {
				return nil, err
			}
		}
		// Perhaps only the reply was lost: a second version of what is there would be one too many.
		there, lookErr := c.identical(ctx, u)
		switch {
		case lookErr != nil:
			return nil, lookErr
		case there != nil:
			u.stands(u.Size)
			return there, nil
		case again && errors.Is(err, ErrExists):
			return nil, err
		}
		u.stands(0)
	}
}

// identical returns what is at an upload's path if it is that very file.
func (c *Client) identical(ctx context.Context, u *outgoing) (*api.File, error) {
	there, err := c.Lookup(ctx, u.Path)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil || there.Kind != api.KindFile || there.Size != u.Size || there.Mode != u.mode() || !SameTime(there.ModifiedAt, u.ModifiedAt) {
		return nil, err
	}
	d, err := c.Get(ctx, u.Path, nil)
	if err != nil {
		return nil, err
	}
	if err = d.Copy(ctx, &comparer{want: u.File}); errors.Is(err, errDiffers) {
		return nil, nil
	}
	return there, err
}

// SameTime compares times as a vault keeps them, in milliseconds.
func SameTime(a, b time.Time) bool { return a.UnixMilli() == b.UnixMilli() }

var errDiffers = errors.New("the contents differ")

// comparer is a writer that demands the bytes of a file, in order.
type comparer struct {
	want io.ReaderAt
	at   int64
}

func (w *comparer) Write(p []byte) (int, error) {
	want := make([]byte, len(p))
	if n, err := w.want.ReadAt(want, w.at); n < len(p) && err != io.EOF {
		return 0, err
	}
	if !bytes.Equal(want, p) {
		return 0, errDiffers
	}
	w.at += int64(len(p))
	return len(p), nil
}
