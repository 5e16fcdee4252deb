package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
	"stonevault/stone"
)

// ErrStillActive is a person whose files go to nobody else while the account is switched on.
var ErrStillActive = fmt.Errorf("%w: the account is switched on; switch it off first", ErrConflict)

// HandOver says what went from one person to another.
type HandOver struct {
	To        PersonID `json:"to"`
	Folder    string   `json:"folder"` // its path in the other's tree; empty where there was nothing to hand over
	Node      NodeID   `json:"node"`   // of the folder
	Documents int64    `json:"documents"`
	Bytes     int64    `json:"bytes"` // of all versions
}

// settingHandOver keeps how far the files of a person have gone, until all of them are the other's.
func settingHandOver(from PersonID) string { return "hand_over/" + string(from) }

// handOver is one run of HandOverFiles.
type handOver struct {
	v        *Vault
	a        Actor
	from, to PersonID
	folders  map[NodeID]Entry // of the one, with those of the other in which their content goes
	refused  int
}

// HandOverFiles gives everything in the tree of a person who was switched off to somebody else, below a new folder with
// the person's name. No content is read: envelopes are sealed anew, for and by the new owner. Each file with all its
// versions goes in one transaction, so that it always belongs to one of the two. Where it is stopped, calling it again
// goes on. Only the process that holds the data directory may call it.
func (v *Vault) HandOverFiles(ctx context.Context, a Actor, from, to PersonID) (HandOver, error) {
	h := &handOver{v: v, a: a, from: from, to: to}
	since, err := h.begin(ctx)
	if err != nil {
		return HandOver{}, err
	}
	// By then no request that began before is still under way.
	select {
	case <-time.After(min(eraseGrace-v.now().Sub(since), eraseGrace)):
	case <-ctx.Done():
		return HandOver{}, ctx.Err()
	}
	for range planAttempts {
		if err := h.pass(ctx); err != nil {
			return HandOver{}, err
		}
		done, err := h.end(ctx)
		if !errors.Is(err, errReplan) { // what was under way may have come to an end meanwhile
			return done, err
		}
		if h.refused > 0 {
			return HandOver{}, refused("%d files of %s do not verify, and stay as they are", h.refused, from)
		}
	}
	return HandOver{}, errReplan
}

// parties returns the two, as far as the one is off and the other is not.
func (h *handOver) parties(ctx context.Context, tx Tx) (from, to Person, err error) {
	if from, err = tx.People().ByID(ctx, h.from); err != nil {
		return from, to, err
	}
	if from.Active {
		return from, to, ErrStillActive
	}
	to, err = tx.People().ByID(ctx, h.to)
	if isMissing(err) || err == nil && (!to.Active || to.ID == from.ID) {
		err = &InvalidError{"to", "is nobody who can have them; name somebody else, whose account is switched on"}
	}
	return from, to, err
}

// state is how far it has come; missing where it has not begun, or was begun for somebody who was erased meanwhile.
func (h *handOver) state(ctx context.Context, tx Tx) (s HandOver, err error) {
	text, err := tx.Settings().Get(ctx, settingHandOver(h.from))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("vault: setting %s is damaged: %w", settingHandOver(h.from), err)
	}
	if s.To != h.to {
		if _, err := tx.People().ByID(ctx, s.To); err != nil {
			return HandOver{}, err
		}
		return s, &InvalidError{"to", "is not the person to whom these files are on their way already; name that one, " + string(s.To)}
	}
	return s, nil
}

func (h *handOver) keep(ctx context.Context, tx Tx, s HandOver) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return tx.Settings().Put(ctx, settingHandOver(h.from), text)
}

// begin makes sure that it may be done, and notes that it is. It returns when the person was last changed.
func (h *handOver) begin(ctx context.Context) (since time.Time, err error) {
	err = h.v.db.Update(ctx, func(tx Tx) error {
		if _, _, err := personFor(ctx, tx, h.a, h.from, access.AccountsHandOver); err != nil {
			return err
		}
		from, _, err := h.parties(ctx, tx)
		if err != nil {
			return err
		}
		since = from.UpdatedAt
		if _, err := h.state(ctx, tx); !isMissing(err) {
			return err
		}
		return h.keep(ctx, tx, HandOver{To: h.to})
	})
	return since, err
}

// pass cancels the person's uploads and hands over every file that is there.
func (h *handOver) pass(ctx context.Context) error {
	h.folders, h.refused = map[NodeID]Entry{}, 0
	uploads, err := h.v.Uploads(ctx, Actor{Person: h.from})
	if err != nil {
		return err
	}
	for _, u := range uploads {
		if err := h.v.dropUpload(ctx, &h.a, u.ID, "cancelled"); err != nil {
			return err
		}
	}
	var emptied []NodeID
	err = h.v.walk(ctx, Actor{Person: h.from}, "", "/", nil, func(e Entry) error {
		if e.Node.Kind == NodeFolder {
			emptied = append(emptied, e.Node.ID)
			return h.folder(ctx, e.Node)
		}
		return h.file(ctx, e.Node.ID)
	})
	if err != nil {
		return err
	}
	slices.Reverse(emptied) // what is in a folder goes before the folder
	for batch := range slices.Chunk(emptied, removeBatch) {
		err := h.v.db.Update(ctx, func(tx Tx) error {
			for _, id := range batch {
				full, err := tx.Nodes().HasChildren(ctx, h.from, id)
				if err == nil && !full {
					err = tx.Nodes().Delete(ctx, id)
				}
				if err != nil && !isMissing(err) {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// top is the folder of the other that everything goes to. It is made when the first thing goes there, and again where
// the other has removed it meanwhile.
func (h *handOver) top(ctx context.Context, tx Tx) (Entry, error) {
	from, _, err := h.parties(ctx, tx)
	if err != nil {
		return Entry{}, err
	}
	s, err := h.state(ctx, tx)
	if err != nil {
		return Entry{}, err
	}
	if s.Node != "" {
		n, err := tx.Nodes().ByID(ctx, s.Node)
		if err == nil && n.Owner == h.to {
			e := Entry{Node: n}
			e.Path, err = pathOf(ctx, tx, n)
			return e, err
		}
		if err != nil && !isMissing(err) {
			return Entry{}, err
		}
	}
	name := strings.ReplaceAll(from.Name, "/", "_")
	if checkName(name) != nil {
		name = "_"
	}
	e, err := h.newFolder(ctx, tx, Entry{Path: "/"}, name)
	if err != nil {
		return e, err
	}
	s.Node, s.Folder = e.Node.ID, e.Path
	return e, h.keep(ctx, tx, s)
}

// newFolder makes a folder of the other's, with a number behind its name where that is taken.
func (h *handOver) newFolder(ctx context.Context, tx Tx, in Entry, name string) (Entry, error) {
	free, err := h.free(ctx, tx, in.Node.ID, name)
	if err != nil {
		return Entry{}, err
	}
	now := millis(h.v.now())
	e := Entry{Path: path.Join(in.Path, free), Node: Node{
		ID: NodeID(h.v.newID()), Owner: h.to, Parent: in.Node.ID, Name: free, Kind: NodeFolder, CreatedAt: now, UpdatedAt: now,
	}}
	return e, tx.Nodes().Insert(ctx, e.Node)
}

// free is a name that nothing has in a folder of the other's: "a (2).txt" for "a.txt".
func (h *handOver) free(ctx context.Context, tx Tx, in NodeID, name string) (string, error) {
	for n := 1; ; n++ {
		tried := name
		if n > 1 {
			extension := path.Ext(name)
			if extension == name || len(extension) > 32 {
				extension = ""
			}
			mark := fmt.Sprintf(" (%d)", n) + extension
			tried = cutName(strings.TrimSuffix(name, extension), maxName-len(mark)) + mark
		}
		_, err := tx.Nodes().Child(ctx, h.to, in, tried)
		if isMissing(err) {
			return tried, nil
		}
		if err != nil {
			return "", err
		}
	}
}

// cutName shortens a name to so many bytes, between two characters.
func cutName(name string, most int) string {
	for len(name) > most {
		cut := strings.LastIndexFunc(name, func(rune) bool { return true })
		name = name[:cut]
	}
	return name
}

// folder finds the folder of the other's that a folder's content goes to, and makes it where there is none. What would
// lie too deep goes into the one above.
func (h *handOver) folder(ctx context.Context, n Node) error {
	return h.v.db.Update(ctx, func(tx Tx) error {
		in, err := h.target(ctx, tx, n.Parent)
		if err != nil {
			return err
		}
		there, err := tx.Nodes().Child(ctx, h.to, in.Node.ID, n.Name)
		switch {
		case err == nil && there.Kind == NodeFolder:
			h.folders[n.ID] = Entry{Node: there, Path: path.Join(in.Path, there.Name)}
		case err != nil && !isMissing(err):
			return err
		case !fitsBelow(in, n.Name):
			h.folders[n.ID] = in
		default:
			made, err := h.newFolder(ctx, tx, in, n.Name)
			if err != nil {
				return err
			}
			h.folders[n.ID] = made
		}
		return nil
	})
}

// fitsBelow tells whether a name, with a number behind it, still makes a path.
func fitsBelow(in Entry, name string) bool {
	const number = len(" (999999)")
	return len(in.Path)+1+min(len(name)+number, maxName) <= maxPath && strings.Count(in.Path, "/")+1 < maxDepth
}

// target is where the content of a folder goes, as it is now: the other may have renamed it.
func (h *handOver) target(ctx context.Context, tx Tx, folder NodeID) (Entry, error) {
	e, known := h.folders[folder]
	if folder == "" || !known {
		return h.top(ctx, tx)
	}
	n, err := tx.Nodes().ByID(ctx, e.Node.ID)
	if isMissing(err) {
		return h.top(ctx, tx)
	}
	if err != nil {
		return Entry{}, err
	}
	e = Entry{Node: n}
	e.Path, err = pathOf(ctx, tx, n)
	return e, err
}

// file hands one document over. One that does not verify is counted, and stays.
func (h *handOver) file(ctx context.Context, id NodeID) error {
	for range planAttempts {
		err := h.document(ctx, id)
		switch {
		case errors.Is(err, errReplan):
			continue
		case errors.Is(err, ErrRefused):
			h.refused++
			h.v.log.WarnContext(ctx, "a file that does not verify stays with a person who was switched off", "node", string(id), "reason", err.Error())
			return nil
		}
		return err
	}
	return errReplan
}

// document plans in one transaction, seals, and commits in another that refuses an overtaken plan.
func (h *handOver) document(ctx context.Context, id NodeID) (err error) {
	var was, e Entry
	var all []Version
	var states []keyState
	var to holders
	// The folder comes first, in a transaction that may make it.
	err = h.v.db.Update(ctx, func(tx Tx) (err error) {
		was, all, states = Entry{}, nil, nil
		if was.Node, err = tx.Nodes().ByID(ctx, id); err != nil {
			return err
		}
		if was.Node.Owner != h.from {
			return ErrNotFound
		}
		if was.Path, err = pathOf(ctx, tx, was.Node); err != nil {
			return err
		}
		if was.Version, err = current(ctx, tx, was.Node); err != nil {
			return err
		}
		if all, err = tx.Versions().OfDocument(ctx, id); err != nil {
			return err
		}
		for _, version := range all {
			s, err := h.v.keyState(ctx, tx, Entry{Node: was.Node, Version: version})
			if err != nil {
				return err
			}
			states = append(states, s)
		}
		in, err := h.target(ctx, tx, was.Node.Parent)
		if err != nil {
			return err
		}
		if !fitsBelow(in, was.Node.Name) {
			if in, err = h.top(ctx, tx); err != nil {
				return err
			}
		}
		e = was
		e.Node.Owner, e.Node.Parent, e.Node.UpdatedAt = h.to, in.Node.ID, millis(h.v.now())
		if e.Node.Name, err = h.free(ctx, tx, in.Node.ID, was.Node.Name); err != nil {
			return err
		}
		e.Path = path.Join(in.Path, e.Node.Name)
		to, err = h.v.holdersOf(ctx, tx, h.to)
		return err
	})
	if isMissing(err) {
		return nil // gone, or handed over meanwhile
	}
	if err != nil {
		return err
	}
	var rewrites []*rewrite
	for i, version := range all {
		if states[i].rewrite != nil { // of a change that has failed to tidy up
			return errors.Join(h.v.settle(ctx, version.FileID), errReplan)
		}
		r, err := h.reseal(ctx, was, e, version, states[i], to)
		if err != nil {
			return err
		}
		rewrites = append(rewrites, r)
	}
	var ids []stone.FileID
	for _, r := range rewrites {
		ids = append(ids, r.e.Version.FileID)
	}
	ctx, unlock, err := h.v.lockFiles(ctx, ids...)
	if err != nil {
		return err
	}
	defer unlock()
	if err := h.v.change(ctx, func(tx Tx) error { return h.commit(ctx, tx, was, e, rewrites) }); err != nil {
		return err
	}
	// What fails here is not taken back: readers use the envelopes in the intents, and the collector puts them in place.
	for _, r := range rewrites {
		id := r.e.Version.FileID
		if err := h.v.objects.Replace(ctx, envelopeName(id), r.after); err != nil {
			return err
		}
		if err := h.v.dropIntent(ctx, id, IntentRewrite); err != nil {
			h.v.log.WarnContext(ctx, "a finished intent is left to the collector", "file_id", id.String(), "error", err)
		}
	}
	return nil
}

// reseal seals the envelope of a version for and by the new owner.
func (h *handOver) reseal(ctx context.Context, was, e Entry, version Version, s keyState, to holders) (*rewrite, error) {
	newest := version.FileID == was.Node.Current
	was.Version, e.Version = version, version
	e.Version.Owner = h.to
	r, err := h.v.rewrite(ctx, was, e, s, to, func(m stone.Metadata) stone.Metadata {
		if newest {
			return e.metadata()
		}
		m.Owner = string(h.to) // an earlier version keeps the name and place that it had
		return m
	}, nil)
	if h.v.overtaken(ctx, was, err) {
		return nil, errReplan
	}
	return r, err
}

// commit makes a document the other's, with all its versions, and records that it moved, and each new envelope.
func (h *handOver) commit(ctx context.Context, tx Tx, was, e Entry, rewrites []*rewrite) error {
	if _, _, err := h.parties(ctx, tx); err != nil {
		return err
	}
	s, err := h.state(ctx, tx)
	if err != nil {
		return err
	}
	now, err := tx.Nodes().ByID(ctx, was.Node.ID)
	if isMissing(err) || err == nil && now != was.Node {
		return errReplan
	}
	if err != nil {
		return err
	}
	if all, err := tx.Versions().OfDocument(ctx, was.Node.ID); err != nil {
		return err
	} else if len(all) != len(rewrites) {
		return errReplan
	}
	if err := replanIfExists(tx.Nodes().Give(ctx, e.Node, h.from)); isMissing(err) { // the folder is gone
		return errReplan
	} else if err != nil {
		return err
	}
	s.Documents++
	for _, r := range rewrites {
		if err := r.holders.still(ctx, tx); err != nil {
			return err
		}
		err := tx.Versions().Give(ctx, r.e.Version, h.from, r.was.Version.Revision)
		if errors.Is(err, ErrConflict) || isMissing(err) {
			return errReplan
		}
		if err != nil {
			return err
		}
		id := r.e.Version.FileID
		err = replanIfExists(tx.Intents().Insert(ctx, Intent{FileID: id, Kind: IntentRewrite, Envelope: r.after, CreatedAt: h.v.now()}))
		if err != nil {
			return err
		}
		s.Bytes += r.e.Version.Size
		if id == was.Node.Current {
			e.Version = r.e.Version
			continue
		}
		// The event about the document has the newest version's envelope.
		if err := h.v.recordResealed(ctx, tx, &h.a, r.e.Version, "hand-over", placeOf(h.from, was.Path)); err != nil {
			return err
		}
	}
	// It is about the one whose file it was, and is forgotten with that person.
	gone := e
	gone.Node.Owner = h.from
	if err := h.v.recordMove(ctx, tx, h.a, was, gone); err != nil {
		return err
	}
	return h.keep(ctx, tx, s)
}

// end records the whole, once the person has nothing left; errReplan where there is something.
func (h *handOver) end(ctx context.Context) (s HandOver, err error) {
	err = h.v.change(ctx, func(tx Tx) error {
		from, _, err := h.parties(ctx, tx)
		if err != nil {
			return err
		}
		full, err := tx.Nodes().HasChildren(ctx, h.from, "")
		if err != nil {
			return err
		}
		uploads, err := tx.Uploads().OfPerson(ctx, h.from)
		if err != nil {
			return err
		}
		if full || len(uploads) > 0 {
			return errReplan
		}
		if s, err = h.state(ctx, tx); err != nil {
			return err
		}
		if s.Node != "" { // under its present name
			top, err := h.top(ctx, tx)
			if err != nil {
				return err
			}
			s.Folder = top.Path
			// The folder by its id: it is called as the person is, whose name must not outlive an erasure here.
			err = h.v.record(ctx, tx, audit.FilesHandedOver, &h.a, audit.Values{
				"to": string(h.to), "folder": string(top.Node.ID), "documents": s.Documents, "bytes": s.Bytes,
			}, accountOf(from))
			if err != nil {
				return err
			}
		}
		return tx.Settings().Delete(ctx, settingHandOver(h.from))
	})
	return s, err
}
