package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"stonevault/api"
)

// The words of tus 1.0 (https://tus.io/protocols/resumable-upload).
const (
	tusVersion   = "1.0.0"
	tusMediaType = "application/offset+octet-stream"
)

var uploadID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// putInPieces sends a file by an upload that both sides remember: each PATCH goes on where the upload stands and
// sends all the rest, and what follows a failure is to ask where it stands now.
func (c *Client) putInPieces(ctx context.Context, u *outgoing) (*api.File, error) {
	t := &transfer{c: c, u: u, tries: c.attempts(u.Path)}
	for {
		file, err := t.advance(ctx)
		switch {
		case err == nil:
			t.remember("")
			return file, nil
		case errors.Is(err, ErrChanged):
			if t.id != "" {
				t.cancel(ctx)
			}
			return nil, err
		}
		if err := t.tries.wait(ctx, err); err != nil {
			return nil, err
		}
	}
}

// transfer is a file's way into the vault.
type transfer struct {
	c     *Client
	u     *outgoing
	tries *attempts
	id    string  // of the upload; empty where there is none
	key   *string // of the request that begins it, until it is known to have begun
	at    int64   // where it stood when last heard of
}

// advance does all that is left to do, until something fails.
func (t *transfer) advance(ctx context.Context) (*api.File, error) {
	fresh := false
	if t.id == "" {
		var err error
		if fresh, err = t.open(ctx); err != nil {
			return nil, err
		}
	}
	at := int64(0)
	if !fresh {
		var err error
		if at, err = t.stands(ctx); err != nil {
			return t.unlessGone(ctx, err)
		}
	}
	t.u.stands(at)
	if at > t.at {
		t.at = at
		t.tries.progressed()
	}
	at, err := t.c.patchUpload(ctx, t.u, t.id, at)
	if err != nil {
		return t.unlessGone(ctx, err)
	}
	if at != t.u.Size {
		return nil, fmt.Errorf("the server takes %d of %d bytes and says that this is all: %w", at, t.u.Size, ErrUnreachable)
	}
	file, err := t.c.becameOf(ctx, t.u.Path, t.id)
	if err == nil && file == nil {
		err = fmt.Errorf("the file was complete and is no longer at its path: %w", ErrNotFound)
	}
	return file, err
}

// open finds the upload that is to be continued, or begins one.
func (t *transfer) open(ctx context.Context) (fresh bool, err error) {
	var stale bool
	if t.u.Memory != nil {
		t.id, stale = t.u.Memory.Load()
	}
	if stale {
		t.cancel(ctx)
	}
	if t.id == "" {
		if t.id, err = t.find(ctx); err != nil {
			return false, err
		}
	}
	if fresh = t.id == ""; fresh {
		if t.key == nil {
			t.key = newKey()
		}
		if t.id, err = t.c.beginUpload(ctx, t.u, t.key); err != nil {
			return false, err
		}
		t.key = nil // another upload of the same file would be another request
	}
	t.remember(t.id)
	return fresh, nil
}

func (t *transfer) remember(id string) {
	switch {
	case t.u.Memory == nil:
	case id == "":
		t.u.Memory.Forget()
	default:
		t.u.Memory.Save(id)
	}
}

// cancel gives the upload up. Where that cannot be done, the server does it after seven days.
func (t *transfer) cancel(ctx context.Context) {
	_, _ = bounded(ctx, t.c, func(ctx context.Context) (struct{}, error) { return struct{}{}, t.c.CancelUpload(ctx, t.id) })
	t.id, t.at = "", 0
	t.remember("")
}

// unlessGone looks what has become of an upload that the server does not know any more: the file, if only the reply
// to its last byte was lost.
func (t *transfer) unlessGone(ctx context.Context, err error) (*api.File, error) {
	if !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	file, lookErr := t.c.becameOf(ctx, t.u.Path, t.id)
	if lookErr != nil || file != nil {
		return file, lookErr
	}
	t.id, t.at = "", 0
	t.remember("")
	return nil, errGone
}

// find looks for an upload of this very file whose id was lost: one to the same path, of the same size, time and
// mode, for the same kind of put.
func (t *transfer) find(ctx context.Context) (string, error) {
	all, err := t.c.Uploads(ctx)
	if err != nil {
		return "", err
	}
	want := t.u.metadata()
	for _, other := range all {
		if other.Path != want["path"] || other.Size == nil || *other.Size != t.u.Size {
			continue
		}
		is, err := t.c.uploadMetadata(ctx, other.ID)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return "", err
		}
		if err == nil && equalMetadata(is, want) {
			return other.ID, nil
		}
	}
	return "", nil
}

// metadata is what is said of a file when it is announced.
func (u *outgoing) metadata() map[string]string {
	m := map[string]string{
		"path": norm.NFC.String(u.Path), "modified_at": u.ModifiedAt.UTC().Format("2006-01-02T15:04:05.000Z07:00"), "mode": u.mode(),
		"replace": strconv.FormatBool(u.Replace),
	}
	if u.MediaType != "" {
		m["filetype"] = u.MediaType
	}
	if u.Class != "" {
		m["class"] = u.Class
	}
	return m
}

func formatMetadata(m map[string]string) string {
	var pairs []string
	for key, value := range m {
		pairs = append(pairs, key+" "+base64.StdEncoding.EncodeToString([]byte(value)))
	}
	return strings.Join(pairs, ",")
}

func parseMetadata(header string) map[string]string {
	m := map[string]string{}
	for pair := range strings.SplitSeq(header, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), " ")
		if b, err := base64.StdEncoding.DecodeString(value); err == nil {
			m[key] = string(b)
		}
	}
	return m
}

// equalMetadata compares what an upload has with what is wanted. The server fills in what was left out.
func equalMetadata(has, want map[string]string) bool {
	for key, value := range want {
		if key == "modified_at" {
			a, errA := time.Parse(time.RFC3339, has[key])
			b, errB := time.Parse(time.RFC3339, value)
			if errA != nil || errB != nil || !SameTime(a, b) {
				return false
			}
		} else if has[key] != value {
			return false
		}
	}
	return true
}

func (c *Client) beginUpload(ctx context.Context, u *outgoing, key *string) (string, error) {
	if err := u.File.Unchanged(); err != nil {
		return "", err
	}
	params := &api.CreateUploadParams{TusResumable: tusVersion, IdempotencyKey: key, UploadLength: &u.Size, UploadMetadata: formatMetadata(u.metadata())}
	return bounded(ctx, c, func(ctx context.Context) (string, error) {
		resp, err := c.call(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
			return c.api.CreateUploadWithBody(ctx, params, tusMediaType, http.NoBody, auth)
		})
		if err != nil {
			return "", err
		}
		resp.Body.Close()
		id := path.Base(resp.Header.Get("Location"))
		if !uploadID.MatchString(id) {
			return "", errors.New("the server does not say where the file is to be sent")
		}
		return id, nil
	})
}

func (c *Client) headUpload(ctx context.Context, id string) (http.Header, error) {
	return bounded(ctx, c, func(ctx context.Context) (http.Header, error) {
		resp, err := c.call(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
			return c.api.HeadUpload(ctx, id, &api.HeadUploadParams{TusResumable: tusVersion}, auth)
		})
		if err != nil {
			return nil, err
		}
		return resp.Header, resp.Body.Close()
	})
}

// stands asks where the upload stands.
func (t *transfer) stands(ctx context.Context) (int64, error) {
	h, err := t.c.headUpload(ctx, t.id)
	var p *Problem
	if errors.As(err, &p) && p.Status == http.StatusConflict {
		// It is complete and cannot become a file. A PATCH of nothing says why, which a reply to HEAD has no room for.
		return t.u.Size, nil
	}
	if err != nil {
		return 0, err
	}
	t.u.recorded(h)
	at, err := strconv.ParseInt(h.Get("Upload-Offset"), 10, 64)
	if err != nil || at < 0 || at > t.u.Size || h.Get("Upload-Length") != strconv.FormatInt(t.u.Size, 10) {
		return 0, errors.New("the server answers with another upload than was asked for")
	}
	return at, nil
}

func (c *Client) uploadMetadata(ctx context.Context, id string) (map[string]string, error) {
	h, err := c.headUpload(ctx, id)
	return parseMetadata(h.Get("Upload-Metadata")), err
}

// patchUpload sends the file from at on, and returns how far the server has it.
func (c *Client) patchUpload(ctx context.Context, u *outgoing, id string, at int64) (int64, error) {
	params := &api.PatchUploadParams{TusResumable: tusVersion, UploadOffset: at}
	resp, err := c.send(ctx, u, at, func(ctx context.Context, body *upstream, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.PatchUploadWithBody(ctx, id, params, tusMediaType, body, auth, body.describe)
	})
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	u.recorded(resp.Header)
	return strconv.ParseInt(resp.Header.Get("Upload-Offset"), 10, 64)
}

// becameOf returns the file that an upload to a path has become, or nil: a version has its upload's id.
func (c *Client) becameOf(ctx context.Context, path, id string) (*api.File, error) {
	there, err := c.Lookup(ctx, path)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil || there.FileID == id {
		return there, err
	}
	if there.Kind != api.KindFile {
		return nil, nil
	}
	versions, err := ask[api.FileList](ctx, c, path, func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.ListVersions(ctx, there.ID, auth)
	})
	if err != nil {
		return nil, err
	}
	for _, v := range versions.Items {
		if v.FileID == id {
			return &v, nil
		}
	}
	return nil, nil
}

// Uploads lists one's own uploads in progress, oldest first.
func (c *Client) Uploads(ctx context.Context) ([]api.Upload, error) {
	list, err := ask[api.UploadList](ctx, c, "", func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.ListUploads(ctx, auth)
	})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// cancelTries is how often an upload that another request still works on is given up.
const cancelTries = 5

// CancelUpload gives an upload up.
func (c *Client) CancelUpload(ctx context.Context, id string) error {
	for try := 1; ; try++ {
		resp, err := c.call(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
			return c.api.CancelUpload(ctx, id, &api.CancelUploadParams{TusResumable: tusVersion}, auth)
		})
		switch {
		case err == nil:
			return resp.Body.Close()
		case try == cancelTries || !errors.Is(err, errLocked):
			return err
		}
		if err := pause(ctx, 2*firstPause); err != nil {
			return err
		}
	}
}
