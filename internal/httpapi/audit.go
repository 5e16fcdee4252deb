package httpapi

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"stonevault/api"
	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/vault"
)

// AuditLog is what the handlers need of the audit log.
type AuditLog interface {
	Summary(ctx context.Context) (auditlog.Summary, error)
	List(ctx context.Context, q auditlog.Query, viewer auditlog.Viewer) (auditlog.Page, error)
	Find(ctx context.Context, id int64, viewer auditlog.Viewer) (auditlog.Entry, error)
	Receipt(ctx context.Context, id int64, viewer auditlog.Viewer) (*audit.Receipt, error)
	ReceiptAt(ctx context.Context, index int64, viewer auditlog.Viewer) (*audit.Receipt, error)
	Records(ctx context.Context, from int64, limit int, viewer auditlog.Viewer) (list []auditlog.Listed, size int64, err error)
	Checkpoint(ctx context.Context) ([]byte, error)
	Tile(ctx context.Context, t audit.Tile) ([]byte, error)
	Consistency(ctx context.Context, old int64) (proof []audit.Hash, checkpoint []byte, err error)
}

// Anchors tells where heads of the log are anchored.
type Anchors interface {
	// Anchoring says how it goes; the problem is for admins.
	Anchoring(ctx context.Context) (api.Anchoring, error)
	// Anchors are those of the current log with smaller ids than before, the newest first; 0 is no limit.
	Anchors(ctx context.Context, before int64, limit int) ([]api.AuditAnchor, error)
}

var _ AuditLog = (*auditlog.Reader)(nil)

// viewer is what a caller may see of the audit log.
func (c *call) viewer() auditlog.Viewer {
	role := vault.Role(c.who.Role)
	return auditlog.Viewer{Everything: role == vault.RoleAdmin, Person: c.who.Person, Manager: role == vault.RoleManager}
}

func (a *API) auditLog(c *call) error {
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	s, err := a.AuditLog.Summary(c.r.Context())
	if err != nil {
		return err
	}
	out := api.AuditLog{
		Log: s.Log.ID, Origin: s.Log.Origin, PublicKey: s.Log.Public, BegunAt: s.Log.BegunAt.UTC(),
		Size: s.Checkpoint.Tree.Size, Root: hex.EncodeToString(s.Checkpoint.Tree.Root[:]), Checkpoint: string(s.Text),
	}
	if len(s.Text) > 0 {
		out.SignedAt = s.Checkpoint.Time.UTC()
	} else {
		empty := audit.EmptyTree()
		out.Root = hex.EncodeToString(empty.Root[:])
	}
	if a.Anchors != nil {
		if out.Anchoring, err = a.Anchors.Anchoring(c.r.Context()); err != nil {
			return err
		}
		if !c.viewer().Everything {
			out.Anchoring.Problem = ""
		}
	}
	return writeJSON(c.w, http.StatusOK, out)
}

func (a *API) auditEvents(c *call) error {
	q, err := readQuery(c.r, "type", "person", "file", "since", "until", "after", "limit", "cursor")
	if err != nil {
		return err
	}
	query, err := q.events()
	if err != nil {
		return err
	}
	page, err := a.AuditLog.List(c.r.Context(), query, c.viewer())
	if err != nil {
		return err
	}
	out := api.AuditEventList{Items: make([]api.AuditEvent, len(page.Entries))}
	for i, e := range page.Entries {
		out.Items[i] = eventOf(e)
	}
	if page.Next > 0 {
		out.NextCursor = strconv.FormatInt(page.Next, 10)
		linkNext(c, q, out.NextCursor)
	}
	return writeJSON(c.w, http.StatusOK, out)
}

// linkNext names the page that follows.
func linkNext(c *call, q query, cursor string) {
	next := url.Values{}
	for name, value := range q {
		next.Set(name, value)
	}
	next.Set("cursor", cursor)
	c.w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, c.r.URL.Path, next.Encode()))
}

const defaultLimit = 100

// events reads what narrows a list of events.
func (q query) events() (auditlog.Query, error) {
	out := auditlog.Query{Person: q["person"], About: q["file"]}
	for _, name := range []string{"person", "file"} {
		if id, ok := q[name]; ok && !isID(id) {
			return out, invalid(name, "must be 32 lower-case hex digits")
		}
	}
	var err error
	if out.Type, err = typeFilter(q["type"]); err != nil {
		return out, err
	}
	for name, at := range map[string]*time.Time{"since": &out.Since, "until": &out.Until} {
		if value, ok := q[name]; ok {
			if *at, err = parseModifiedAt(name, value); err != nil {
				return out, err
			}
		}
	}
	if out.After, err = q.number64("after", 0); err != nil {
		return out, err
	}
	if out.Before, err = q.number64("cursor", 1); err != nil {
		return out, invalid("cursor", "is no next_cursor of this list")
	}
	out.Limit, err = q.limit()
	return out, err
}

func (q query) limit() (int, error) {
	n, err := q.number("limit", 1, maxLimit)
	if n == 0 {
		n = defaultLimit
	}
	return n, err
}

// number64 is number without an upper bound but that of JSON's integers.
func (q query) number64(name string, least int64) (int64, error) {
	text, ok := q[name]
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > audit.MaxCount || strconv.FormatInt(n, 10) != text {
		return 0, invalid(name, fmt.Sprintf("must be a whole number from %d on", least))
	}
	return n, nil
}

// typeFilter reads a type, or the beginning of several that ends in a dot; nil is all.
func typeFilter(name string) (func(audit.Type) bool, error) {
	if name == "" {
		return nil, nil
	}
	wanted := map[audit.Type]bool{}
	for _, d := range audit.Definitions() {
		if d.Name == name || strings.HasSuffix(name, ".") && strings.HasPrefix(d.Name, name) {
			wanted[d.Type] = true
		}
	}
	if len(wanted) == 0 {
		return nil, invalid("type", `is no type of event, such as file.put, and no beginning of one that ends in a dot, such as "file."`)
	}
	return func(t audit.Type) bool { return wanted[t] }, nil
}

func isID(text string) bool {
	return len(text) == 32 && strings.Trim(text, "0123456789abcdef") == ""
}

func eventOf(e auditlog.Entry) api.AuditEvent {
	out := api.AuditEvent{ID: e.ID, Log: e.Log, Damaged: e.Err != nil, Time: e.Event.Time.UTC()}
	if e.Index != auditlog.Pending {
		out.Index = &e.Index
	}
	if e.Err != nil {
		return out
	}
	out.Type, out.TypeVersion = e.Event.Type.String(), int(e.Event.Version)
	out.Operational, out.Actor, out.Subject = e.Event.Operational, e.Event.Actor, e.Event.Subject
	out.Erased, out.Withheld = slotsOf(e.Erased), slotsOf(e.Withheld)
	return out
}

func slotsOf(slots []audit.Slot) (out []api.AuditSlot) {
	for _, s := range slots {
		out = append(out, api.AuditSlot(s.String()))
	}
	return out
}

// pathNumber reads a number in the path. What is none names nothing.
func pathNumber(c *call, name string) (int64, error) {
	text := c.r.PathValue(name)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != text {
		return 0, fail("not-found", "")
	}
	return n, nil
}

func (a *API) auditEvent(c *call) error {
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	id, err := pathNumber(c, "event")
	if err != nil {
		return err
	}
	e, err := a.AuditLog.Find(c.r.Context(), id, c.viewer())
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, eventOf(e))
}

func (a *API) auditReceipt(c *call) error {
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	id, err := pathNumber(c, "event")
	if err != nil {
		return err
	}
	if wait := preferredWait(c.r); wait > 0 {
		// Who may not see it learns nothing by waiting.
		if _, err := a.AuditLog.Find(c.r.Context(), id, c.viewer()); err != nil {
			return err
		}
		if err := a.awaitEvent(c, id, wait); err != nil {
			return err
		}
		if err := a.standsStill(c); err != nil {
			return err
		}
	}
	receipt, err := a.AuditLog.Receipt(c.r.Context(), id, c.viewer())
	return sendReceipt(c, receipt, err)
}

func (a *API) auditReceiptAt(c *call) error {
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	index, err := pathNumber(c, "index")
	if err != nil {
		return err
	}
	receipt, err := a.AuditLog.ReceiptAt(c.r.Context(), index, c.viewer())
	return sendReceipt(c, receipt, err)
}

func sendReceipt(c *call, receipt *audit.Receipt, err error) error {
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Disposition", disposition(fmt.Sprintf("%d.tlog-proof", receipt.Index)))
	return sendBytes(c, "text/plain; charset=utf-8", receipt.Marshal())
}

func sendBytes(c *call, mediaType string, b []byte) error {
	h := c.w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	c.w.WriteHeader(http.StatusOK)
	c.w.Write(b)
	return nil
}

func (a *API) auditRecords(c *call) error {
	q, err := readQuery(c.r, "from", "limit")
	if err != nil {
		return err
	}
	from, err := q.number64("from", 0)
	if err != nil {
		return err
	}
	limit, err := q.limit()
	if err != nil {
		return err
	}
	list, size, err := a.AuditLog.Records(c.r.Context(), from, limit, c.viewer())
	if err != nil {
		return err
	}
	out := api.AuditRecordList{Size: size, Items: make([]api.AuditRecord, len(list))}
	for i, e := range list {
		out.Items[i] = api.AuditRecord{
			Index: e.Index, Leaf: e.Leaf, Operational: e.Openings[audit.Operational], Actor: e.Openings[audit.Actor],
			Subject: e.Openings[audit.Subject], Withheld: slotsOf(e.Withheld),
		}
	}
	if len(list) == limit {
		if next := list[limit-1].Index + 1; next < size {
			out.Next = &next
		}
	}
	return writeJSON(c.w, http.StatusOK, out)
}

func (a *API) auditCheckpoint(c *call) error {
	text, err := a.AuditLog.Checkpoint(c.r.Context())
	if err != nil {
		return err
	}
	return sendBytes(c, "text/plain; charset=utf-8", text)
}

func (a *API) auditTile(c *call) error {
	t, err := audit.ParseTilePath("tile/" + c.r.PathValue("path"))
	if err != nil {
		return fail("not-found", "")
	}
	data, err := a.AuditLog.Tile(c.r.Context(), t)
	if err != nil {
		return err
	}
	if t.Width == audit.TileWidth {
		c.w.Header().Set("Cache-Control", "private, immutable, max-age=604800")
	}
	return sendBytes(c, "application/octet-stream", data)
}

func (a *API) auditConsistency(c *call) error {
	q, err := readQuery(c.r, "from")
	if err != nil {
		return err
	}
	if _, ok := q["from"]; !ok {
		return invalid("from", "is missing")
	}
	from, err := q.number64("from", 0)
	if err != nil {
		return err
	}
	proof, checkpoint, err := a.AuditLog.Consistency(c.r.Context(), from)
	if errors.Is(err, audit.ErrProof) {
		return fail("not-found", "The log has fewer events than that.")
	}
	if err != nil {
		return err
	}
	out := api.AuditConsistency{Checkpoint: string(checkpoint), Proof: make([][]byte, len(proof))}
	for i := range proof {
		out.Proof[i] = proof[i][:]
	}
	return writeJSON(c.w, http.StatusOK, out)
}

func (a *API) auditAnchors(c *call) error {
	q, err := readQuery(c.r, "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := q.limit()
	if err != nil {
		return err
	}
	before, err := q.number64("cursor", 1)
	if err != nil {
		return invalid("cursor", "is no next_cursor of this list")
	}
	out := api.AuditAnchorList{Items: []api.AuditAnchor{}}
	if a.Anchors == nil {
		return writeJSON(c.w, http.StatusOK, out)
	}
	all, err := a.Anchors.Anchors(c.r.Context(), before, limit+1)
	if err != nil {
		return err
	}
	if len(all) > limit {
		all = all[:limit]
		out.NextCursor = strconv.FormatInt(all[limit-1].ID, 10)
		linkNext(c, q, out.NextCursor)
	}
	out.Items = append(out.Items, all...)
	return writeJSON(c.w, http.StatusOK, out)
}
