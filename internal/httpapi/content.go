package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"stonevault/internal/vault"
)

// contentHeaders describe content; a problem document that takes its place must not carry them.
var contentHeaders = []string{
	"Accept-Ranges", "Content-Disposition", "Content-Range", "ETag", "Link", "Location",
	"Stonevault-Class", "Stonevault-Id", "Stonevault-Mode", "Stonevault-Modified-At", "Stonevault-Signer",
	"Upload-Expires", "Upload-Length", "Upload-Metadata", "Upload-Offset",
}

func (a *API) putContent(c *call) error {
	req, err := putRequest(c.r)
	if err != nil {
		return err
	}
	req.Path = "/" + c.r.PathValue("path")
	e, created, err := a.Vault.Put(c.r.Context(), c.actor(), req)
	if err != nil {
		// A body that broke off explains what the vault says of it.
		if body, ok := c.r.Body.(*pacedBody); ok && body.err != nil {
			return bodyFailure(body.err)
		}
		if req.MustNotExist && errors.Is(err, vault.ErrExists) {
			f := fail("precondition-failed", "There is something at this path already, and If-None-Match asked not to replace it.")
			f.cause = err
			return f
		}
		return err
	}
	c.w.Header().Set("ETag", e.ETag())
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		c.w.Header().Set("Location", "/api/v1/files/"+string(e.Node.ID))
	}
	return a.changed(c, status, fileOf(e))
}

// putRequest reads the headers of a PUT.
func putRequest(r *http.Request) (vault.PutRequest, error) {
	req := vault.PutRequest{Body: r.Body, Size: r.ContentLength, Mode: defaultMode}
	if _, err := readQuery(r); err != nil {
		return req, err
	}
	h := map[string]string{}
	for _, name := range []string{
		"If-None-Match", "If-Match", "Content-Type", "Content-Encoding", "Content-Range",
		"Stonevault-Modified-At", "Stonevault-Mode", "Stonevault-Class",
	} {
		value, err := single(r, name)
		if err != nil {
			return req, err
		}
		h[name] = value
	}
	switch {
	case h["Content-Range"] != "":
		return req, fail("bad-request", "A part of a file cannot be put; send all of it without Content-Range.")
	case h["Content-Encoding"] != "" && !strings.EqualFold(h["Content-Encoding"], "identity"):
		return req, fail("unsupported-media-type", "Send the content as it is, without Content-Encoding.")
	}
	switch h["If-None-Match"] {
	case "":
	case "*":
		req.MustNotExist = true
	default:
		return req, invalid("If-None-Match", "can only be * here")
	}
	req.IfMatch = h["If-Match"]
	var err error
	if req.MediaType, err = parseMediaType("Content-Type", h["Content-Type"]); err != nil {
		return req, err
	}
	if value := h["Stonevault-Modified-At"]; value != "" {
		if req.ModifiedAt, err = parseModifiedAt("Stonevault-Modified-At", value); err != nil {
			return req, err
		}
	}
	if value := h["Stonevault-Mode"]; value != "" {
		if req.Mode, err = parseMode("Stonevault-Mode", value); err != nil {
			return req, err
		}
	}
	if value := h["Stonevault-Class"]; value != "" {
		if req.Class, err = parseClass("Stonevault-Class", value); err != nil {
			return req, err
		}
	}
	return req, nil
}

// content answers GET and HEAD (RFC 9110, sections 13 and 14).
func (a *API) content(c *call) error {
	at, err := ref(c, "")
	if err != nil {
		return err
	}
	ctx := c.r.Context()
	content, err := a.Vault.Content(ctx, c.actor(), at)
	if err != nil {
		return err
	}
	defer content.Close()
	e, size, etag := content.Entry, content.Size(), content.Entry.ETag()

	if match := c.r.Header.Values("If-Match"); len(match) > 0 && !matches(match, etag, false) {
		return fail("precondition-failed", "")
	}
	h := c.w.Header()
	h.Set("ETag", etag)
	h.Set("Cache-Control", "private, no-store")
	if match := c.r.Header.Values("If-None-Match"); len(match) > 0 && matches(match, etag, true) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Disposition", disposition(e.Node.Name))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Stonevault-Signer", e.Version.Signer.Hex())
	h.Set("Stonevault-Modified-At", formatTime(e.Version.ModifiedAt))
	h.Set("Stonevault-Mode", formatMode(e.Version.Mode))
	h.Set("Stonevault-Class", e.Version.Class)
	mediaType := e.Version.MediaType
	if _, _, err := mime.ParseMediaType(mediaType); err != nil {
		mediaType = "application/octet-stream"
	}
	h.Set("Content-Type", mediaType)

	if c.r.Method == http.MethodHead { // Range is defined for GET alone
		h.Set("Content-Length", strconv.FormatInt(size, 10))
		c.w.WriteHeader(http.StatusOK)
		return nil
	}
	var ranges []byteRange
	if header := c.r.Header.Get("Range"); header != "" && rangeStillHolds(c.r, etag) {
		if ranges, err = parseRange(header, size); err != nil {
			f := fail("range-not-satisfiable", "")
			f.cause, f.size = err, size
			return f
		}
	}
	out := &sender{ctx: ctx, w: c.w, content: content}
	switch len(ranges) {
	case 0:
		out.status = http.StatusOK
		return out.send([]part{{byteRange: byteRange{0, size}}}, nil)
	case 1:
		out.status = http.StatusPartialContent
		h.Set("Content-Range", ranges[0].header(size))
		return out.send([]part{{byteRange: ranges[0]}}, nil)
	}
	out.status = http.StatusPartialContent
	var b [24]byte
	rand.Read(b[:])
	boundary := hex.EncodeToString(b[:])
	h.Set("Content-Type", "multipart/byteranges; boundary="+boundary)
	return out.send(framed(ranges, boundary, mediaType, size))
}

// part is a stretch of content, with what is sent before it.
type part struct {
	before string
	byteRange
}

// framed frames ranges as multipart/byteranges (RFC 9110, section 14.6).
func framed(ranges []byteRange, boundary, mediaType string, size int64) (parts []part, end []byte) {
	lead := ""
	for _, r := range ranges {
		parts = append(parts, part{byteRange: r, before: fmt.Sprintf("%s--%s\r\nContent-Type: %s\r\nContent-Range: %s\r\n\r\n",
			lead, boundary, mediaType, r.header(size))})
		lead = "\r\n"
	}
	return parts, []byte("\r\n--" + boundary + "--\r\n")
}

// sender writes parts of a file. Nothing is sent, not even the header, before the first bytes have been
// verified, so that a file that is refused at once gets a proper answer.
type sender struct {
	ctx     context.Context
	w       *reply
	status  int
	content *vault.Content
	before  string // to be sent with the next bytes
}

func (s *sender) send(parts []part, end []byte) error {
	total := int64(len(end))
	for _, p := range parts {
		total += int64(len(p.before)) + p.length
	}
	s.w.Header().Set("Content-Length", strconv.FormatInt(total, 10))
	for _, p := range parts {
		s.before = p.before
		if err := s.content.Stream(s.ctx, s, p.start, p.length); err != nil {
			return err
		}
	}
	if s.w.status == 0 { // an empty file
		s.w.WriteHeader(s.status)
	}
	if _, err := s.w.Write(end); err != nil {
		return err
	}
	if s.w.sent != total {
		return fmt.Errorf("httpapi: sent %d bytes of a file where %d were announced", s.w.sent, total)
	}
	return nil
}

// Write receives verified bytes.
func (s *sender) Write(b []byte) (int, error) {
	if s.w.status == 0 {
		s.w.WriteHeader(s.status)
	}
	if s.before != "" {
		if _, err := io.WriteString(s.w, s.before); err != nil {
			return 0, err
		}
		s.before = ""
	}
	return s.w.Write(b)
}
