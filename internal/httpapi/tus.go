package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"stonevault/internal/vault"
)

// The words of tus 1.0 (https://tus.io/protocols/resumable-upload).
const (
	tusVersion    = "1.0.0"
	tusExtensions = "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination"
	tusChecksum   = "sha-256"
	tusMediaType  = "application/offset+octet-stream"

	uploadsPath = "/api/v1/uploads"
)

// tus serves a handler to those who speak the one version of the protocol that is known here.
func tus(handle func(*API, *call) error) func(*API, *call) error {
	return func(a *API, c *call) error {
		if spoken := c.r.Header.Values("Tus-Resumable"); len(spoken) != 1 || spoken[0] != tusVersion {
			c.w.Header().Set("Tus-Version", tusVersion)
			return fail("tus-version", "")
		}
		return handle(a, c)
	}
}

// isUploads tells whether a path is spoken to in tus.
func isUploads(path string) bool {
	return path == uploadsPath || strings.HasPrefix(path, uploadsPath+"/")
}

// overridden returns the request that a client meant who can send nothing but POST.
func overridden(r *http.Request) (*http.Request, error) {
	methods := r.Header.Values("X-HTTP-Method-Override")
	if len(methods) == 0 {
		return r, nil
	}
	if r.Method != http.MethodPost || len(methods) > 1 || methods[0] != http.MethodPatch && methods[0] != http.MethodDelete {
		return r, fail("bad-request", "X-HTTP-Method-Override can make a PATCH or a DELETE of a POST, and nothing else.")
	}
	meant := r.WithContext(r.Context()) // a handler must not change the server's own
	meant.Method = methods[0]
	return meant, nil
}

// decimal reads a header that is a number of bytes; -1 stands for its absence. What no file reaches is as
// good as the largest number.
func decimal(r *http.Request, name string) (int64, error) {
	text, err := single(r, name)
	if err != nil {
		return 0, err
	}
	if text == "" && len(r.Header.Values(name)) == 0 {
		return -1, nil
	}
	n, err := position(text)
	if err != nil {
		return 0, fail("bad-request", name+" must be a number of bytes.")
	}
	return n, nil
}

// uploadLength reads how much a new upload will hold: -1 where that will be told later.
func uploadLength(r *http.Request) (int64, error) {
	n, err := decimal(r, "Upload-Length")
	if err != nil {
		return 0, err
	}
	later := r.Header.Values("Upload-Defer-Length")
	switch {
	case len(later) > 1 || len(later) == 1 && later[0] != "1":
		return 0, fail("bad-request", "Upload-Defer-Length can only be 1.")
	case (n < 0) == (len(later) == 0):
		return 0, fail("bad-request", "Say how long the file is with Upload-Length, or that it will be said later with Upload-Defer-Length: 1.")
	case n > contentLimit:
		return 0, fail("too-large", "")
	}
	return n, nil
}

// metadata is what Upload-Metadata says, and in which order.
type metadata struct {
	keys   []string
	values map[string]string
}

// parseMetadata reads a header of the form "key base64,key base64,key".
func parseMetadata(header string) (metadata, error) {
	m := metadata{values: map[string]string{}}
	if header == "" {
		return m, nil
	}
	for pair := range strings.SplitSeq(header, ",") {
		key, encoded, _ := strings.Cut(strings.TrimPrefix(pair, " "), " ")
		if key == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz_") != "" {
			return metadata{}, invalid("Upload-Metadata", "has a key that is empty or has characters that no key has")
		}
		if slices.Contains(m.keys, key) {
			return metadata{}, invalid(key, "is there twice")
		}
		value, err := base64.StdEncoding.Strict().DecodeString(encoded)
		// The decoder would skip line breaks.
		if err != nil || base64.StdEncoding.EncodeToString(value) != encoded {
			return metadata{}, invalid(key, "is not base64")
		}
		if !utf8.Valid(value) {
			return metadata{}, invalid(key, "is not valid UTF-8")
		}
		m.keys, m.values[key] = append(m.keys, key), string(value)
	}
	return m, nil
}

func (m *metadata) add(key, value string) {
	m.keys = append(m.keys, key)
	if m.values == nil {
		m.values = map[string]string{}
	}
	m.values[key] = value
}

// String is the header that parseMetadata reads.
func (m metadata) String() string {
	var b strings.Builder
	for i, key := range m.keys {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(key)
		if value := m.values[key]; value != "" {
			b.WriteString(" " + base64.StdEncoding.EncodeToString([]byte(value)))
		}
	}
	return b.String()
}

// uploadRequest reads what a new upload is to be. A key that is not known is refused, because HEAD would
// have to give it back.
func uploadRequest(r *http.Request) (vault.UploadRequest, error) {
	u := vault.UploadRequest{Mode: defaultMode}
	if _, err := readQuery(r); err != nil {
		return u, err
	}
	if len(r.Header.Values("Upload-Concat")) > 0 {
		return u, fail("bad-request", "Uploads cannot be joined here: send one file as one upload.")
	}
	var err error
	if u.Size, err = uploadLength(r); err != nil {
		return u, err
	}
	header, err := single(r, "Upload-Metadata")
	if err != nil {
		return u, err
	}
	m, err := parseMetadata(header)
	if err != nil {
		return u, err
	}
	for _, key := range m.keys {
		value := m.values[key]
		switch key {
		case "path":
			u.Path = value
		case "filetype":
			u.MediaType, err = parseMediaType(key, value)
		case "modified_at":
			u.ModifiedAt, err = parseModifiedAt(key, value)
		case "mode":
			u.Mode, err = parseMode(key, value)
		case "class":
			u.Class, err = parseClass(key, value)
		case "replace":
			u.Replace, err = parseBool(key, value)
		default:
			err = invalid(key, "is not known; the keys are path, filetype, modified_at, mode, class and replace")
		}
		if err != nil {
			return u, err
		}
	}
	if u.Path == "" {
		return u, invalid("path", "is missing in Upload-Metadata")
	}
	return u, nil
}

// uploadMetadata is what HEAD gives back of an upload.
func uploadMetadata(u vault.Upload) string {
	var m metadata
	m.add("path", u.Path)
	if u.MediaType != "" {
		m.add("filetype", u.MediaType)
	}
	m.add("modified_at", formatTime(u.ModifiedAt))
	m.add("mode", formatMode(u.Mode))
	m.add("class", u.Class)
	m.add("replace", strconv.FormatBool(u.Replace))
	return m.String()
}

// checksum compares what is read through it with what was announced.
type checksum struct {
	body io.Reader
	hash hash.Hash
	want []byte
}

// readChecksum reads Upload-Checksum, or returns nil where there is none.
func readChecksum(r *http.Request) (*checksum, error) {
	header, err := single(r, "Upload-Checksum")
	if err != nil || header == "" && len(r.Header.Values("Upload-Checksum")) == 0 {
		return nil, err
	}
	algorithm, encoded, _ := strings.Cut(header, " ")
	if algorithm != tusChecksum {
		return nil, fail("bad-request", "The only algorithm of Upload-Checksum that is known here is "+tusChecksum+".")
	}
	want, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(want) != sha256.Size {
		return nil, fail("bad-request", "Upload-Checksum must be "+tusChecksum+", a space and 32 bytes in base64.")
	}
	return &checksum{body: r.Body, hash: sha256.New(), want: want}, nil
}

// Read hashes the bytes where they are.
func (s *checksum) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	s.hash.Write(p[:n])
	return n, err
}

func (s *checksum) check() error {
	if !bytes.Equal(s.hash.Sum(nil), s.want) {
		return fail("checksum-mismatch", "")
	}
	return nil
}
