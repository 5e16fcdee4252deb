package auditlog_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"stonevault/audit"
	"stonevault/internal/auditlog"
)

// group is the n-th group's id.
func group(n int) string { return person(10_000 + n) }

// vault fills the tables that are not the log's: who is what, and who is in which group.
func (h *house) vault(t testing.TB, statements ...string) {
	t.Helper()
	raw := h.raw(t)
	defer raw.Close()
	for _, s := range statements {
		if _, err := raw.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func account(n int, role string) string {
	return fmt.Sprintf(`INSERT INTO people (id, name, name_key, role, active, password_hash, epoch, created_at, updated_at)
		VALUES ('%s', 'Ana %d', 'ana %d', '%s', 1, 'x', 0, 0, 0)`, person(n), n, n, role)
}

func inGroup(g, n, member, manager int) string {
	return fmt.Sprintf(`INSERT OR REPLACE INTO group_members (grp, person, member, manager, since) VALUES ('%s', '%s', %d, %d, 0)`, group(g), person(n), member, manager)
}

func accountEvent(t audit.Type, operational audit.Values, by, subject int) audit.Event {
	e := audit.Event{Type: t, Time: start, Operational: operational, Actor: whoActs(by)}
	if subject > 0 {
		e.Subject = audit.Values{"person": person(subject), "name": fmt.Sprintf("Ana %d", subject)}
	}
	return e
}

// managing is a log of ten people: 1 manages group 1, of which 2, 3 and the admin 4 are members; 5 is nobody's, 6
// manages another group, to which 3 belongs too.
func managing(t *testing.T) (h *house, ids map[string]int64) {
	h = newHouse(t)
	h.vault(t, account(1, "manager"), account(2, "user"), account(3, "user"), account(4, "admin"), account(5, "user"), account(6, "manager"), account(7, "user"),
		inGroup(1, 1, 0, 1), inGroup(1, 2, 1, 0), inGroup(1, 3, 1, 0), inGroup(1, 4, 1, 0), inGroup(2, 6, 0, 1), inGroup(2, 3, 1, 0), inGroup(1, 7, 1, 1))
	events := []struct {
		name string
		e    audit.Event
	}{
		{"own", put(1, 1, 1)},
		{"a member's file", put(2, 2, 2)},
		{"a stranger's", put(3, 5, 5)},
		{"an admin's", put(4, 4, 4)},
		{"a stranger's, about a member", put(5, 5, 3)},
		{"a member's, of the manager", put(6, 2, 1)},
		{"a member's moved", audit.Event{Type: audit.FileMoved, Time: start, Actor: whoActs(4),
			Operational: audit.Values{"file": person(7), "revision": 2, "manifest": "", "node": person(7), "kind": "file"},
			Subject:     audit.Values{"person": person(2), "from": "/secret", "to": "/hidden"}}},
		{"a member's handed over", accountEvent(audit.FilesHandedOver, audit.Values{"to": person(5), "folder": "secret", "documents": 1, "bytes": 2}, 4, 2)},
		{"a member's reset", accountEvent(audit.AccountReset, audit.Values{"what": "created", "expires": 1}, 4, 2)},
		{"the group", accountEvent(audit.GroupChanged, audit.Values{"group": group(1), "name": "Team"}, 4, 0)},
		{"another group", accountEvent(audit.GroupChanged, audit.Values{"group": group(2), "name": "Others"}, 4, 0)},
		{"a stranger into the group", accountEvent(audit.MemberChanged, audit.Values{"group": group(1), "member": true, "manager": false}, 4, 5)},
		{"the group's quota", accountEvent(audit.QuotaChanged, audit.Values{"group": group(1), "limited_bytes": false, "bytes": 0, "limited_files": false, "files": 0}, 4, 0)},
		{"a person's quota", accountEvent(audit.QuotaChanged, audit.Values{"group": "", "limited_bytes": false, "bytes": 0, "limited_files": false, "files": 0}, 4, 5)},
		{"the server", audit.Event{Type: audit.ServerStopped, Time: start, Operational: audit.Values{"reason": "asked"}}},
	}
	ids = map[string]int64{}
	for _, each := range events {
		ids[each.name] = h.record(t, each.e)[0]
	}
	h.step(t)
	return h, ids
}

// manager looks as person 1 does.
var manager = auditlog.Viewer{Person: person(1), Manager: true}

// seen demands that a viewer sees these events in every way there is, and no others; parts that are withheld are
// behind a colon.
func seen(t *testing.T, h *house, ids map[string]int64, who string, viewer auditlog.Viewer, want ...string) {
	t.Helper()
	listed := map[int64]auditlog.Entry{}
	for _, e := range h.list(t, auditlog.Query{Limit: 100}, viewer) {
		listed[e.ID] = e
	}
	records, _, err := h.reader.Records(t.Context(), 0, 100, viewer)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for name, id := range ids {
		entry, err := h.reader.Find(t.Context(), id, viewer)
		receipt, err2 := h.reader.Receipt(t.Context(), id, viewer)
		if (err == nil) != (err2 == nil) || err != nil && (!errors.Is(err, auditlog.ErrNotFound) || !errors.Is(err2, auditlog.ErrNotFound) || errors.Is(err2, auditlog.ErrUnsigned)) {
			t.Fatalf("%s, %s: found %v, receipt %v", who, name, err, err2)
		}
		var all auditlog.Entry
		if all, err2 = h.reader.Find(t.Context(), id, auditlog.ViewAll); err2 != nil {
			t.Fatal(err2)
		}
		record := records[all.Index]
		_, inList := listed[id]
		if inList != (err == nil) || inList != (len(record.Withheld) < 1+both(all.Event)) {
			t.Fatalf("%s, %s: in the list %v, found %v, of the record %v is withheld", who, name, inList, err, record.Withheld)
		}
		if !inList {
			if record.Openings[0] != nil || record.Openings[1] != nil || record.Openings[2] != nil {
				t.Errorf("%s, %s: the record shows something", who, name)
			}
			continue
		}
		if !reflect.DeepEqual(listed[id], entry) || !slices.Equal(record.Withheld, entry.Withheld) || !reflect.DeepEqual(record.Openings, receipt.Record.Openings) {
			t.Errorf("%s, %s: list, event, record and receipt differ", who, name)
		}
		_, proven, missing, err := receipt.Verify(publicKey(t, h))
		if err != nil || !reflect.DeepEqual(proven, entry.Event) || !slices.Equal(missing, entry.Withheld) {
			t.Errorf("%s, %s: the receipt shows %+v without %v, %v", who, name, proven, missing, err)
		}
		for _, slot := range entry.Withheld {
			name += ":" + slot.String()
		}
		got = append(got, name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s sees\n%s\nwant\n%s", who, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// both is how many personal parts an event has.
func both(e audit.Event) (n int) {
	for _, v := range []audit.Values{e.Actor, e.Subject} {
		if v != nil {
			n++
		}
	}
	return n
}

// TestManager: a manager sees what his people did and what was done to them, and what happens to his groups, as both
// are now, but not what files are called. Of the rest he learns what a stranger does.
func TestManager(t *testing.T) {
	h, ids := managing(t)
	ofGroup := []string{"the group", "a stranger into the group", "the group's quota"}
	ofTwo := []string{"a member's file:subject", "a member's moved:subject", "a member's handed over:operational", "a member's reset"}
	seen(t, h, ids, "the manager", manager, slices.Concat(ofGroup, ofTwo, []string{"own", "a stranger's, about a member:subject", "a member's, of the manager"})...)
	seen(t, h, ids, "who asks as one and is none", auditlog.Viewer{Person: person(5), Manager: true}, "a stranger's", "a stranger's, about a member", "a stranger into the group", "a person's quota")
	seen(t, h, ids, "a user whom the group names as its manager", auditlog.Viewer{Person: person(7), Manager: true})
	seen(t, h, ids, "another's manager", auditlog.Viewer{Person: person(6), Manager: true}, "another group", "a stranger's, about a member:subject")
	seen(t, h, ids, "a member", auditlog.Viewer{Person: person(2)}, "a member's file", "a member's, of the manager", "a member's moved", "a member's handed over", "a member's reset")
	seen(t, h, ids, "nobody", auditlog.Viewer{Manager: true})

	h.vault(t, `UPDATE people SET role = 'admin' WHERE id = '`+person(2)+`'`)
	seen(t, h, ids, "the manager of who has become an admin", manager, append(ofGroup, "own", "a stranger's, about a member:subject", "a member's, of the manager")...)
	h.vault(t, `UPDATE people SET role = 'user' WHERE id = '`+person(2)+`'`, `DELETE FROM group_members WHERE person = '`+person(3)+`'`)
	seen(t, h, ids, "the manager of who has left", manager, slices.Concat(ofGroup, ofTwo, []string{"own", "a member's, of the manager"})...)
	h.vault(t, `UPDATE people SET role = 'user' WHERE id = '`+person(1)+`'`)
	seen(t, h, ids, "a manager who has become a user", manager, "own", "a member's, of the manager")
	h.vault(t, `UPDATE people SET role = 'manager' WHERE id = '`+person(1)+`'`, inGroup(1, 1, 1, 0))
	seen(t, h, ids, "who manages the group no more", manager, "own", "a member's, of the manager")
}

// TestManagersFilters: filters find nothing that is not shown, and of people whom a manager does not manage nothing at
// all.
func TestManagersFilters(t *testing.T) {
	h, ids := managing(t)
	for _, tt := range []struct {
		what string
		q    auditlog.Query
		want []string
	}{
		{"himself", auditlog.Query{Person: person(1)}, []string{"a member's, of the manager", "own"}},
		{"a member", auditlog.Query{Person: person(2)}, []string{"a member's reset", "a member's handed over", "a member's moved", "a member's, of the manager", "a member's file"}},
		{"a member of two groups", auditlog.Query{Person: person(3)}, []string{"a stranger's, about a member"}},
		{"an admin", auditlog.Query{Person: person(4)}, nil},
		{"a stranger", auditlog.Query{Person: person(5)}, nil},
		{"nobody", auditlog.Query{Person: person(99)}, nil},
		{"a file", auditlog.Query{About: person(2)}, []string{"a member's file"}},
		{"whom files went to, which is not shown", auditlog.Query{About: person(5)}, []string{"a stranger's, about a member"}},
		{"a folder, which is not shown", auditlog.Query{About: "secret"}, nil},
		{"a stranger's file", auditlog.Query{About: person(3)}, nil},
		{"a path, which is not shown", auditlog.Query{About: "/secret"}, nil},
		{"a group", auditlog.Query{About: group(1)}, []string{"the group's quota", "a stranger into the group", "the group"}},
		{"another group", auditlog.Query{About: group(2)}, nil},
		{"a type", auditlog.Query{Type: func(t audit.Type) bool { return t == audit.FilesHandedOver }}, []string{"a member's handed over"}},
		{"what is new", auditlog.Query{After: ids["the group"]}, []string{"the group's quota", "a stranger into the group"}},
		{"what is old", auditlog.Query{Before: ids["a member's, of the manager"]}, []string{"a stranger's, about a member", "a member's file", "own"}},
	} {
		tt.q.Limit = 100
		page, err := h.reader.List(t.Context(), tt.q, manager)
		if err != nil || page.Next != 0 {
			t.Errorf("%s: next %d, %v", tt.what, page.Next, err)
		}
		var got []string
		for _, e := range page.Entries {
			for name, id := range ids {
				if id == e.ID {
					got = append(got, name)
				}
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("by %s:\n%q, want\n%q", tt.what, got, tt.want)
		}
	}
	var paged []int64
	for q := (auditlog.Query{Limit: 2}); ; {
		page, err := h.reader.List(t.Context(), q, manager)
		if err != nil || len(page.Entries) > 2 {
			t.Fatal(len(page.Entries), err)
		}
		for _, e := range page.Entries {
			paged = append(paged, e.ID)
		}
		if q.Before = page.Next; q.Before == 0 {
			break
		}
	}
	var whole []int64
	for _, e := range h.list(t, auditlog.Query{Limit: 100}, manager) {
		whole = append(whole, e.ID)
	}
	if len(whole) != 10 || !slices.Equal(paged, whole) {
		t.Errorf("in pages %v, at once %v", paged, whole)
	}
}

// TestManagersDamage: what a row says of its group counts only as far as the event says so too, and what does not open
// is shown to whom the row's keys say.
func TestManagersDamage(t *testing.T) {
	h, ids := managing(t)
	h.vault(t, fmt.Sprintf(`UPDATE audit_events SET grp = '%s' WHERE id IN (%d, %d)`, group(1), ids["another group"], ids["a stranger's"]))
	if _, err := h.reader.Find(t.Context(), ids["another group"], manager); !errors.Is(err, auditlog.ErrNotFound) {
		t.Errorf("an event of another group: %v", err)
	}
	records, _, err := h.reader.Records(t.Context(), 0, 100, manager)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"another group", "a stranger's"} {
		if r := records[ids[name]-1]; r.Openings[0] != nil || r.Openings[1] != nil || len(r.Withheld) == 0 {
			t.Errorf("%s: the record is %+v", name, r)
		}
	}
	broken := []string{"a member's file", "an admin's", "the group", "a stranger's"}
	for _, name := range broken {
		h.vault(t, fmt.Sprintf(`UPDATE audit_events SET operational = zeroblob(40) WHERE id = %d`, ids[name]))
	}
	var damaged []int64
	for _, e := range h.list(t, auditlog.Query{Limit: 100}, manager) {
		if e.Err != nil {
			damaged = append(damaged, e.ID)
		}
	}
	if !slices.Equal(damaged, []int64{ids["a member's file"]}) {
		t.Errorf("damaged: %v of %v", damaged, ids)
	}
	for _, name := range broken {
		if _, err := h.reader.Find(t.Context(), ids[name], manager); !errors.Is(err, auditlog.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFileNames: every text of an event that may be long is known to be what managers may read, or is withheld.
func TestFileNames(t *testing.T) {
	names := []string{"file.put subject path", "file.moved subject from", "file.moved subject to", "file.deleted subject path", "folder.created subject path",
		"upload.begun subject path", "upload.ended subject path", "download.begun subject path", "download.ended subject path", "file.exported subject path",
		"file.verified subject path", "file.resealed subject path", "files.handed-over operational folder"}
	harmless := []string{"name", "client", "address", "origin", "previous_checkpoint", "previous_anchor", "changed", "value", "host", "events", "scopes", "route",
		"contract", "transaction", "root", "software", "settings", "previous", "fingerprint", "manifest", "method"}
	var withheld []string
	for _, d := range audit.Definitions() {
		for slot, fields := range d.Fields {
			hidden := auditlog.NamesFiles(audit.Leaf{Type: d.Type, Version: d.Version}, audit.Slot(slot))
			for _, f := range fields {
				name := fmt.Sprintf("%s %s %s", d.Name, audit.Slot(slot), f.Name)
				switch {
				case slices.Contains(names, name):
					withheld = append(withheld, name)
					if !hidden {
						t.Errorf("%s is not withheld", name)
					}
				case hidden && !slices.Contains([]string{"person", "to", "documents", "bytes"}, f.Name):
					t.Errorf("%s is withheld", name)
				case f.Kind == audit.Text && f.Among == nil && f.Max > 32 && !slices.Contains(harmless, f.Name):
					t.Errorf("%s: may managers read it? Say so here, or withhold it", name)
				}
			}
		}
	}
	// A type that has several versions is there once for each.
	if !slices.Equal(slices.Compact(slices.Sorted(slices.Values(withheld))), slices.Sorted(slices.Values(names))) {
		t.Errorf("withheld: %q", withheld)
	}
	if unknown := (audit.Leaf{Type: 9999, Version: 1}); !auditlog.NamesFiles(unknown, audit.Operational) {
		t.Error("of an unknown type something is shown")
	}
}

// TestGroupOfEvents: an event is found by the group that it is about.
func TestGroupOfEvents(t *testing.T) {
	h, ids := managing(t)
	h.view(t, func(ctx context.Context, store auditlog.Store) error {
		for name, want := range map[string]string{"the group": group(1), "another group": group(2), "a person's quota": "", "own": "", "the group's quota": group(1)} {
			if e, err := store.Event(ctx, ids[name]); err != nil || e.Group != want {
				t.Errorf("%s: %q, want %q, %v", name, e.Group, want, err)
			}
		}
		return nil
	})
}
