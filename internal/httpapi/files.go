package httpapi

import (
	"context"
	"net/http"

	"stonevault/api"
	"stonevault/internal/once"
	"stonevault/internal/vault"
)

const (
	maxLimit   = 1000
	maxVersion = 1<<31 - 1
)

func (a *API) me(c *call) error {
	p, err := a.Vault.Me(c.r.Context(), c.actor())
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, profileOf(p))
}

func (a *API) about(c *call) error {
	v, err := a.Vault.About(c.r.Context())
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, api.Vault{
		VaultID: v.VaultID, Version: a.Version, Suite: int(v.Suite), RootKey: v.RootKey,
		RootFingerprint: v.RootFingerprint.Hex(), RootFingerprintSpoken: v.RootFingerprint.Spoken(), Successions: v.Successions,
	})
}

func (a *API) list(c *call) error { return a.page(c, a.Vault.List, "sort") }

func (a *API) find(c *call) error { return a.page(c, a.Vault.Find) }

// page answers with a page of what the vault lists. more are the parameters that not every list has.
func (a *API) page(c *call, list func(context.Context, vault.Actor, vault.ListRequest) (vault.Page, error), more ...string) error {
	q, err := readQuery(c.r, append([]string{"folder", "limit", "cursor", "name_contains", "media_type", "kind"}, more...)...)
	if err != nil {
		return err
	}
	limit, err := q.number("limit", 1, maxLimit)
	if err != nil {
		return err
	}
	if kind, ok := q["kind"]; ok && kind == "" {
		return invalid("kind", "is neither folder nor file")
	}
	page, err := list(c.r.Context(), c.actor(), vault.ListRequest{
		Folder: q["folder"], Sort: q["sort"], Cursor: q["cursor"], Limit: limit,
		Filter: vault.ListFilter{
			NameContains: q["name_contains"], MediaType: q["media_type"], Kind: vault.NodeKind(q["kind"]),
		},
	})
	if err != nil {
		return err
	}
	if page.Next != "" {
		linkNext(c, q, page.Next)
	}
	return writeJSON(c.w, http.StatusOK, api.FileList{Items: filesOf(page.Items), NextCursor: page.Next})
}

func (a *API) makeFolder(c *call) error {
	var in api.NewFolder
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	return makes(a, c, folderAnswer, func(ctx context.Context) (vault.MadeFolder, error) {
		return a.Vault.MakeFolder(ctx, c.actor(), in.Path)
	})
}

func folderAnswer(f vault.MadeFolder) (once.Answer, error) {
	header := map[string]string{"ETag": f.ETag()}
	if !f.New {
		return jsonAnswer(http.StatusOK, fileOf(f.Entry), header)
	}
	header["Location"] = "/api/v1/files/" + string(f.Node.ID)
	return jsonAnswer(http.StatusCreated, fileOf(f.Entry), header)
}

// ref reads what a request names: a node by its id, or a path in the query or in the request's path.
func ref(c *call, pathParameter string) (vault.Ref, error) {
	known := []string{"version"}
	if pathParameter != "" {
		known = append(known, pathParameter)
	}
	q, err := readQuery(c.r, known...)
	if err != nil {
		return vault.Ref{}, err
	}
	version, err := q.number("version", 1, maxVersion)
	if err != nil {
		return vault.Ref{}, err
	}
	switch {
	case c.r.PathValue("id") != "":
		id, err := nodeID(c)
		return vault.Ref{Node: id, Version: version}, err
	case pathParameter != "":
		if q[pathParameter] == "" {
			return vault.Ref{}, invalid(pathParameter, "is missing")
		}
		return vault.Ref{Path: q[pathParameter], Version: version}, nil
	}
	return vault.Ref{Path: "/" + c.r.PathValue("path"), Version: version}, nil
}

// nodeID reads the id in the path. The empty one would be the root folder's.
func nodeID(c *call) (vault.NodeID, error) {
	id := c.r.PathValue("id")
	if !isID(id) {
		return "", invalid("id", "must be 32 lower-case hex digits")
	}
	return vault.NodeID(id), nil
}

func (a *API) stat(c *call) error {
	parameter := ""
	if c.r.PathValue("id") == "" {
		parameter = "path"
	}
	at, err := ref(c, parameter)
	if err != nil {
		return err
	}
	e, err := a.Vault.Stat(c.r.Context(), c.actor(), at)
	if err != nil {
		return err
	}
	c.w.Header().Set("ETag", e.ETag())
	return writeJSON(c.w, http.StatusOK, fileOf(e))
}

func (a *API) versions(c *call) error {
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	id, err := nodeID(c)
	if err != nil {
		return err
	}
	entries, err := a.Vault.Versions(c.r.Context(), c.actor(), id)
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, api.FileList{Items: filesOf(entries)})
}

func (a *API) move(c *call) error {
	id, err := nodeID(c)
	if err != nil {
		return err
	}
	ifMatch, err := single(c.r, "If-Match")
	if err != nil {
		return err
	}
	var in api.Move
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	e, err := a.Vault.Move(c.r.Context(), c.actor(), id, vault.MoveRequest{Path: in.Path, IfMatch: ifMatch})
	if err != nil {
		return err
	}
	c.w.Header().Set("ETag", e.ETag())
	return a.changed(c, http.StatusOK, fileOf(e))
}

func (a *API) remove(c *call) error {
	q, err := readQuery(c.r, "recursive")
	if err != nil {
		return err
	}
	remove := a.Vault.Delete
	if value, ok := q["recursive"]; ok {
		recursive, err := parseBool("recursive", value)
		if err != nil {
			return err
		}
		if recursive {
			remove = a.Vault.DeleteAll
		}
	}
	id, err := nodeID(c)
	if err != nil {
		return err
	}
	ifMatch, err := single(c.r, "If-Match")
	if err != nil {
		return err
	}
	if err := remove(c.r.Context(), c.actor(), id, ifMatch); err != nil {
		return err
	}
	return a.done(c)
}

func (a *API) verify(c *call) error {
	at, err := ref(c, "")
	if err != nil {
		return err
	}
	r, err := a.Vault.Verify(c.r.Context(), c.actor(), at)
	if err != nil {
		return err
	}
	report := api.VerifyReport{
		Ok: r.OK, File: fileOf(r.Entry), Suite: int(r.Suite), SegmentsChecked: int64(r.Segments), BytesChecked: r.Bytes,
	}
	if r.OK {
		report.Signer, report.SealedAt = r.Signer.Hex(), r.SealedAt.UTC()
	} else {
		report.Error = kindOf("refused").about
		a.metrics.refused.Inc()
	}
	_, report.Receipt = a.receiptOf(c)
	return writeJSON(c.w, http.StatusOK, report)
}

// single reads a header that may be there once; a list header may also be split over several lines, which
// no client of this interface does.
func single(r *http.Request, name string) (string, error) {
	switch v := r.Header.Values(name); len(v) {
	case 0:
		return "", nil
	case 1:
		return v[0], nil
	}
	return "", invalid(name, "is there more than once")
}

func filesOf(entries []vault.Entry) []api.File {
	files := make([]api.File, len(entries))
	for i, e := range entries {
		files[i] = fileOf(e)
	}
	return files
}

func fileOf(e vault.Entry) api.File {
	f := api.File{
		ID: string(e.Node.ID), Kind: api.Kind(e.Node.Kind), Name: e.Node.Name, Path: e.Path,
		CreatedAt: e.Node.CreatedAt.UTC(), Etag: e.ETag(),
	}
	if e.Node.Kind != vault.NodeFile {
		return f
	}
	v := e.Version
	f.Size, f.MediaType, f.Class, f.Mode = v.Size, v.MediaType, api.Class(v.Class), formatMode(v.Mode)
	f.Version, f.Revision, f.FileID, f.Signer = v.Number, v.Revision, v.FileID.String(), v.Signer.Hex()
	f.ModifiedAt, f.SealedAt = v.ModifiedAt.UTC(), v.SealedAt.UTC()
	return f
}
