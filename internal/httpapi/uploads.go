package httpapi

import (
	"context"
	"mime"
	"net/http"
	"strconv"

	"stonevault/api"
	"stonevault/internal/once"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// uploadOptions says what this server knows of tus.
func (a *API) uploadOptions(c *call) error {
	h := c.w.Header()
	h.Set("Tus-Version", tusVersion)
	h.Set("Tus-Extension", tusExtensions)
	h.Set("Tus-Checksum-Algorithm", tusChecksum)
	h.Set("Tus-Max-Size", strconv.Itoa(contentLimit))
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// createUpload announces a file, and takes its first bytes where the request brings any.
func (a *API) createUpload(c *call) error {
	req, err := uploadRequest(c.r)
	if err != nil {
		return err
	}
	brings := c.r.ContentLength != 0
	if !brings && req.Size != 0 { // an empty file is complete before anything comes
		return makes(a, c, uploadAnswer, func(ctx context.Context) (vault.Upload, error) {
			return a.Vault.BeginUpload(ctx, c.actor(), req)
		})
	}
	if c.keyed {
		return fail("bad-request", "With Idempotency-Key, an upload is announced alone, and an empty file is complete at once: send that with PUT to its path below /api/v1/content.")
	}
	var sum *checksum
	if brings {
		if sum, err = readPiece(c.r); err != nil {
			return err
		}
	}
	u, err := a.Vault.BeginUpload(c.r.Context(), c.actor(), req)
	if err != nil {
		return err
	}
	id := u.ID
	u, e, err := a.append(c, id, vault.Append{Size: -1}, sum)
	if err != nil && !bodyBroke(c.r) {
		// Nobody was told of this upload, so that nobody could go on with it.
		if err := a.Vault.CancelUpload(c.r.Context(), c.actor(), id); err != nil {
			a.Log.Warn("an upload that failed at once is left to the collector", "request", c.w.id, "error", err)
		}
		return uploadFailure(c.r, err)
	}
	if err != nil && u.ID != id {
		return uploadFailure(c.r, err)
	}
	c.w.Header().Set("Location", uploadsPath+"/"+u.ID.String())
	return uploadReply(c, http.StatusCreated, u, e)
}

// uploadAnswer says that an upload waits for its bytes.
func uploadAnswer(u vault.Upload) (once.Answer, error) {
	header := uploadHeader(u)
	header["Location"] = uploadsPath + "/" + u.ID.String()
	return once.Answer{Status: http.StatusCreated, Header: header}, nil
}

func (a *API) patchUpload(c *call) error {
	id, err := uploadID(c)
	if err != nil {
		return err
	}
	sum, err := readPiece(c.r)
	if err != nil {
		return err
	}
	offset, err := decimal(c.r, "Upload-Offset")
	if err != nil {
		return err
	}
	if offset < 0 {
		return fail("bad-request", "Say with Upload-Offset where these bytes belong.")
	}
	size, err := decimal(c.r, "Upload-Length")
	if err != nil {
		return err
	}
	if size > contentLimit {
		return fail("too-large", "")
	}
	u, e, err := a.append(c, id, vault.Append{Offset: offset, Size: size}, sum)
	if err != nil {
		return uploadFailure(c.r, err)
	}
	return uploadReply(c, http.StatusNoContent, u, e)
}

// readPiece checks that a request's body is a piece of an upload.
func readPiece(r *http.Request) (*checksum, error) {
	value, err := single(r, "Content-Type")
	if err != nil {
		return nil, err
	}
	if mediaType, params, err := mime.ParseMediaType(value); err != nil || mediaType != tusMediaType || len(params) > 0 {
		return nil, fail("unsupported-media-type", "The body of an upload must be "+tusMediaType+".")
	}
	return readChecksum(r)
}

// append hands a request's body to the vault, as it is.
func (a *API) append(c *call, id stone.FileID, p vault.Append, sum *checksum) (vault.Upload, *vault.Entry, error) {
	p.Body, p.Length = c.r.Body, max(c.r.ContentLength, 0)
	if sum != nil {
		p.Body, p.Check = sum, sum.check
	}
	if body, ok := c.r.Body.(*pacedBody); ok {
		p.Interrupt = body.interrupt
		defer body.finish()
	}
	return a.Vault.AppendUpload(c.r.Context(), c.actor(), id, p)
}

// bodyBroke tells whether a request's body failed before its end.
func bodyBroke(r *http.Request) bool {
	body, ok := r.Body.(*pacedBody)
	return ok && body.err != nil
}

// uploadFailure prefers what was wrong with the body to what the vault says of it.
func uploadFailure(r *http.Request, err error) error {
	if bodyBroke(r) {
		return bodyFailure(r.Body.(*pacedBody).err)
	}
	return err
}

func (a *API) headUpload(c *call) error {
	id, err := uploadID(c)
	if err != nil {
		return err
	}
	u, err := a.Vault.Upload(c.r.Context(), c.actor(), id)
	if err != nil {
		return err
	}
	if u.Size >= 0 {
		c.w.Header().Set("Upload-Length", strconv.FormatInt(u.Size, 10))
	} else {
		c.w.Header().Set("Upload-Defer-Length", "1")
	}
	c.w.Header().Set("Upload-Metadata", uploadMetadata(u))
	return uploadReply(c, http.StatusOK, u, nil)
}

func (a *API) cancelUpload(c *call) error {
	id, err := uploadID(c)
	if err != nil {
		return err
	}
	if err := a.Vault.CancelUpload(c.r.Context(), c.actor(), id); err != nil {
		return err
	}
	return a.done(c)
}

func (a *API) listUploads(c *call) error {
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	uploads, err := a.Vault.Uploads(c.r.Context(), c.actor())
	if err != nil {
		return err
	}
	list := api.UploadList{Items: make([]api.Upload, len(uploads))}
	for i, u := range uploads {
		list.Items[i] = api.Upload{ID: u.ID.String(), Path: u.Path, Offset: u.Offset, ExpiresAt: u.ExpiresAt.UTC()}
		if u.Size >= 0 {
			list.Items[i].Size = &u.Size
		}
	}
	return writeJSON(c.w, http.StatusOK, list)
}

// uploadID reads the id in the path. What is none names no upload.
func uploadID(c *call) (stone.FileID, error) {
	if _, err := readQuery(c.r); err != nil {
		return stone.FileID{}, err
	}
	id, err := stone.ParseFileID(c.r.PathValue("id"))
	if err != nil {
		return stone.FileID{}, fail("not-found", "")
	}
	return id, nil
}

// uploadHeader says where an upload stands, and how long it waits.
func uploadHeader(u vault.Upload) map[string]string {
	h := map[string]string{"Upload-Offset": strconv.FormatInt(u.Offset, 10)}
	if u.Offset != u.Size {
		h["Upload-Expires"] = u.ExpiresAt.UTC().Format(http.TimeFormat)
	}
	return h
}

// uploadReply says where an upload stands, or what it has become.
func uploadReply(c *call, status int, u vault.Upload, e *vault.Entry) error {
	h := c.w.Header()
	for name, value := range uploadHeader(u) {
		h.Set(name, value)
	}
	if e != nil {
		h.Set("Stonevault-Id", string(e.Node.ID))
		h.Set("ETag", e.ETag())
	}
	c.w.WriteHeader(status)
	return nil
}
