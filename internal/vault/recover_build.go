package vault

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"sync"
	"time"

	"stonevault/audit"
	"stonevault/identity"
	"stonevault/stone"
)

// settingRecovering holds the root whose files are being recovered, until Finish empties it.
const settingRecovering = "recovering"

var (
	// ErrUnfinished is a vault whose recovery has not ended.
	ErrUnfinished = errors.New("the recovery of this vault has not ended; run stonevaultd recover again, which goes on with it")
	// ErrOccupied is a place for a recovered vault that holds another one.
	ErrOccupied = errors.New("there is a vault already")
)

// RebuildRequest says how a vault is made of a survey.
type RebuildRequest struct {
	// Root is what Survey.Trust chose.
	Root identity.Fingerprint
	// Adopt puts a verified body of the survey's objects among the new vault's without copying it. nil
	// copies.
	Adopt func(ctx context.Context, name string) error
}

// RecoverReport is what became of a survey's files.
type RecoverReport struct {
	Root       identity.Fingerprint // that certified them
	Files      int
	Versions   int
	Bytes      int64 // of content
	Earlier    int   // of Versions, those that an interrupted run had done
	Renumbered int   // versions whose number another one had
	Renamed    []Renamed
	Owners     []RecoveredOwner
}

// RecoveredOwner is somebody whose files were recovered.
type RecoveredOwner struct {
	ID    PersonID
	Files int
	Bytes int64
}

// Rebuilt is a new vault that is not yet open for use.
type Rebuilt struct {
	Vault  *Vault
	Report RecoverReport

	survey  *Survey
	request RebuildRequest
	holders map[PersonID]holders
	mu      sync.Mutex // guards what follows, and Report
	owners  map[PersonID]*RecoveredOwner
	done    int // versions, those that were refused included
}

// Rebuild makes a vault of what Trust left: its database must be empty, or hold what an interrupted Rebuild
// of the same files left, and goes on with that.
func (s *Survey) Rebuild(ctx context.Context, c Config, r RebuildRequest) (*Rebuilt, error) {
	v := newVault(c)
	if err := v.beginRecovery(ctx, s.secret.Public(), r.Root); err != nil {
		return nil, err
	}
	p := newPlan(s.found)
	b := &Rebuilt{
		Vault: v, survey: s, request: r,
		holders: make(map[PersonID]holders), owners: make(map[PersonID]*RecoveredOwner),
	}
	b.Report = RecoverReport{Root: r.Root, Renamed: p.renamed, Renumbered: p.renumbered}
	for _, owner := range s.Owners() {
		b.owners[owner] = &RecoveredOwner{ID: owner}
		if err := b.owner(ctx, owner); err != nil {
			return nil, err
		}
	}
	feed := func(hand func(*documentPlan) error) error {
		for _, d := range p.documents {
			if err := hand(d); err != nil {
				return err
			}
		}
		return nil
	}
	if err := each(ctx, recoverWorkers, feed, b.document); err != nil {
		return nil, err
	}
	for _, id := range s.Owners() {
		b.Report.Owners = append(b.Report.Owners, *b.owners[id])
	}
	return b, nil
}

// beginRecovery founds the vault, with the survey's recovery identity as its own, or takes up one that was
// begun.
func (v *Vault) beginRecovery(ctx context.Context, recovery *identity.Public, root identity.Fingerprint) error {
	err := v.load(ctx)
	if isMissing(err) {
		err = v.found(ctx, recovery.Suite(), "recovered", func(tx Tx) error {
			row, err := v.certify(KindRecovery, "", 1, recovery)
			if err != nil {
				return err
			}
			if err := v.insertKey(ctx, tx, row); err != nil {
				return err
			}
			return tx.Settings().Put(ctx, settingRecovering, []byte(root.Hex()))
		})
		if err == nil {
			err = v.load(ctx)
		}
	}
	if err != nil {
		return err
	}
	if err := v.NoteTime(ctx); err != nil {
		return err
	}
	return v.db.View(ctx, func(tx Tx) error {
		of, err := recovering(ctx, tx)
		if err != nil {
			return err
		}
		row, err := tx.Identities().Current(ctx, KindRecovery, "")
		switch {
		case of == "":
			return ErrOccupied
		case err != nil:
			return err
		case of != root.Hex() || row.Fingerprint != recovery.Fingerprint():
			return fmt.Errorf("%w: an unfinished recovery by another secret or of another root", ErrOccupied)
		}
		return nil
	})
}

// recovering is the root whose files are being recovered, or empty.
func recovering(ctx context.Context, tx Tx) (string, error) {
	of, err := tx.Settings().Get(ctx, settingRecovering)
	if isMissing(err) {
		return "", nil
	}
	return string(of), err
}

// refuseUnfinished keeps everybody out of a vault that is being recovered.
func (v *Vault) refuseUnfinished(ctx context.Context) error {
	return v.db.View(ctx, func(tx Tx) error {
		of, err := recovering(ctx, tx)
		if err == nil && of != "" {
			return ErrUnfinished
		}
		return err
	})
}

// owner makes the account of an owner, under a name that Finish replaces, and new keys.
func (b *Rebuilt) owner(ctx context.Context, id PersonID) error {
	v, now := b.Vault, millis(b.Vault.now())
	name := "recovered-" + string(id)
	p := Person{ID: id, Name: name, NameKey: NameKey(name), Role: RoleUser, Epoch: 1, CreatedAt: now, UpdatedAt: now}
	_, own, err := v.newIdentity(KindPerson, id)
	if err != nil {
		return err
	}
	return v.db.Update(ctx, func(tx Tx) error {
		_, err := tx.People().ByID(ctx, id)
		if isMissing(err) {
			if err := tx.People().Insert(ctx, p); err != nil {
				return err
			}
			if err := v.insertKey(ctx, tx, own); err != nil {
				return err
			}
			err = v.recordKey(ctx, tx, audit.KeyPublished, nil, own, p)
		}
		if err != nil {
			return err
		}
		b.holders[id], err = v.holdersOf(ctx, tx, id)
		return err
	})
}

// document recovers one document with its versions. An error ends the whole; what is wrong with one version
// is listed, and the others are recovered without it.
func (b *Rebuilt) document(ctx context.Context, d *documentPlan) error {
	done, err := b.earlier(ctx, d)
	if err != nil || done {
		return err
	}
	var rows []Version
	var bytes int64
	var changed time.Time
	for _, p := range slices.Backward(d.versions) {
		row, at, err := b.version(ctx, d, p, len(rows) == 0)
		if err != nil && !tellable(err) {
			return err
		}
		if err != nil {
			b.refuse(p, err)
			continue
		}
		if len(rows) == 0 {
			changed = at
		}
		rows = append(rows, row)
		bytes += row.Size
	}
	if len(rows) == 0 {
		return nil
	}
	if err := b.Vault.db.Update(ctx, func(tx Tx) error { return b.commit(ctx, tx, d, rows, changed) }); err != nil {
		return err
	}
	b.count(d, len(rows), bytes)
	return nil
}

// earlier tells whether an interrupted run has recovered the document, and counts it. What that run refused
// is looked at again to say why.
func (b *Rebuilt) earlier(ctx context.Context, d *documentPlan) (bool, error) {
	var there []Version
	err := b.Vault.db.View(ctx, func(tx Tx) error {
		_, err := tx.Nodes().ByID(ctx, d.id)
		if isMissing(err) {
			return nil
		}
		if err == nil {
			there, err = tx.Versions().OfDocument(ctx, d.id)
		}
		return err
	})
	if err != nil || len(there) == 0 {
		return false, err
	}
	var bytes int64
	for _, row := range there {
		bytes += row.Size
	}
	for _, p := range d.versions {
		if slices.ContainsFunc(there, func(row Version) bool { return row.FileID == p.id }) {
			continue
		}
		err := b.verify(ctx, p.candidate)
		if err != nil && !tellable(err) {
			return false, err
		}
		if err == nil {
			err = errors.New("an earlier run found it damaged, and went on without it; recover into another directory to have it")
		}
		b.refuse(p, err)
	}
	b.mu.Lock()
	b.Report.Earlier += len(there)
	b.mu.Unlock()
	b.count(d, len(there), bytes)
	return true, nil
}

func (b *Rebuilt) refuse(p versionPlan, err error) {
	b.survey.refuseVersion(envelopeName(p.id), err, p.path, p.number)
	b.step(1)
}

func (b *Rebuilt) count(d *documentPlan, versions int, bytes int64) {
	b.mu.Lock()
	b.Report.Files++
	b.Report.Versions += versions
	b.Report.Bytes += bytes
	b.owners[d.owner].Files++
	b.owners[d.owner].Bytes += bytes
	b.mu.Unlock()
	b.step(versions)
}

func (b *Rebuilt) step(versions int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done += versions
	b.survey.progress(RecoverProgress{PhaseRebuild, b.done, len(b.survey.found), b.Report.Bytes})
}

// verify reads a version whole.
func (b *Rebuilt) verify(ctx context.Context, c *candidate) error {
	u, err := b.reopen(ctx, c)
	if err != nil {
		return err
	}
	return b.copyBody(ctx, u, io.Discard)
}

// reopen reads an envelope again, which must be the one that was surveyed.
func (b *Rebuilt) reopen(ctx context.Context, c *candidate) (*stone.Unlocked, error) {
	raw, u, err := b.survey.envelope(ctx, c.id)
	if err == nil && sha256.Sum256(raw) != c.digest {
		err = misfits("it has changed while it was recovered; run this again")
	}
	return u, err
}

// version brings one version into the new vault, all but its row. It returns the row, and the time of the
// former envelope.
func (b *Rebuilt) version(ctx context.Context, d *documentPlan, p versionPlan, current bool) (Version, time.Time, error) {
	u, err := b.reopen(ctx, p.candidate)
	if err != nil {
		return Version{}, time.Time{}, err
	}
	if err := b.body(ctx, u); err != nil {
		return Version{}, time.Time{}, err
	}
	v, h := b.Vault, b.holders[d.owner]
	grants, err := v.grants(h, u.FileID, u.Key())
	if err != nil {
		return Version{}, time.Time{}, err
	}
	signer, err := v.secret(h.owner)
	if err != nil {
		return Version{}, time.Time{}, err
	}
	m := u.Metadata
	m.Document, m.Version, m.CreatedAt = string(d.id), int64(p.number), time.UnixMilli(d.created)
	if current { // an earlier version keeps the name and place that it had
		m.Name, m.Path, m.Folder = d.name, d.path(), string(d.parent.nodeID())
	}
	row := Version{
		FileID: u.FileID, Document: d.id, Number: p.number, Owner: d.owner, Revision: u.Revision + 1,
		Signer: h.owner.Fingerprint, Size: m.Size, BodySize: u.BodySize, MediaType: m.MediaType, Class: string(m.Class),
		Mode: m.Mode, ModifiedAt: m.ModifiedAt, SealedAt: m.SealedAt,
	}
	envelope, err := stone.SealEnvelope(stone.EnvelopeParams{
		Body: u.Body(), Key: u.Key(), Revision: row.Revision, Previous: u.ManifestDigest(), Time: millis(v.now()),
		Signer: signer, Certificate: h.owner.Certificate, Grants: grants, Metadata: m, Rand: v.rand,
	})
	if err != nil {
		return Version{}, time.Time{}, err
	}
	if row.ManifestDigest, err = stone.ManifestDigest(envelope); err != nil {
		return Version{}, time.Time{}, err
	}
	return row, u.Time, v.objects.Replace(ctx, envelopeName(u.FileID), envelope)
}

// body brings a verified body into the new vault. One that an interrupted run has left there is used if it
// is whole.
func (b *Rebuilt) body(ctx context.Context, u *stone.Unlocked) error {
	name := bodyName(u.FileID)
	object, err := b.Vault.objects.Open(ctx, name)
	if err == nil {
		reader, err := stone.OpenBody(object, object.Size(), u)
		if err == nil {
			err = reader.CopyBody(ctx, io.Discard)
		}
		if err = errors.Join(err, object.Close()); !errors.Is(err, stone.ErrRefused) {
			return err
		}
		err = b.Vault.objects.Delete(ctx, name)
		if err != nil {
			return err
		}
	} else if !isMissing(err) {
		return err
	}
	if b.request.Adopt != nil {
		if err := b.copyBody(ctx, u, io.Discard); err != nil {
			return err
		}
		return b.request.Adopt(ctx, name)
	}
	w, err := b.Vault.objects.Create(ctx, name, u.BodySize)
	if err != nil {
		return err
	}
	defer w.Abort()
	if err := b.copyBody(ctx, u, w); err != nil {
		return err
	}
	return w.Commit()
}

// copyBody copies a body of the survey, each segment verified first. What is wrong with the body is told
// apart from what is wrong with dst.
func (b *Rebuilt) copyBody(ctx context.Context, u *stone.Unlocked, dst io.Writer) error {
	object, err := b.survey.from.Open(ctx, bodyName(u.FileID))
	switch {
	case isMissing(err):
		return misfits("its body is missing")
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return &unreadable{fmt.Errorf("its body cannot be read: %w", err)}
	}
	defer object.Close()
	medium := &source{Object: object}
	reader, err := stone.OpenBody(medium, object.Size(), u)
	if err == nil {
		err = reader.CopyBody(ctx, dst)
	}
	if failed := medium.err(); failed != nil && ctx.Err() == nil {
		return &unreadable{fmt.Errorf("its body cannot be read: %w", failed)}
	}
	return err
}

// source remembers that the medium failed.
type source struct {
	Object
	mu     sync.Mutex
	failed error // guarded by mu
}

func (s *source) ReadAt(p []byte, at int64) (int, error) {
	n, err := s.Object.ReadAt(p, at)
	if err != nil && err != io.EOF {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failed = err
	}
	return n, err
}

func (s *source) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// commit makes the rows of a document: rows has its versions, the current one first.
func (b *Rebuilt) commit(ctx context.Context, tx Tx, d *documentPlan, rows []Version, changed time.Time) error {
	if err := b.folders(ctx, tx, d.parent); err != nil {
		return err
	}
	e := Entry{
		Node: Node{
			ID: d.id, Owner: d.owner, Parent: d.parent.nodeID(), Name: d.name, Kind: NodeFile,
			CreatedAt: millis(time.UnixMilli(d.created)), UpdatedAt: changed,
		},
		Version: rows[0],
	}
	e.mirror()
	if err := tx.Nodes().Insert(ctx, e.Node); err != nil {
		return fmt.Errorf("vault: recover %s: %w", path.Join("/", d.name), err)
	}
	for _, row := range slices.Backward(rows) {
		if err := tx.Versions().Insert(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

// folders makes a folder and those above it, where they are not there yet.
func (b *Rebuilt) folders(ctx context.Context, tx Tx, f *folderPlan) error {
	if f == nil {
		return nil
	}
	_, err := tx.Nodes().ByID(ctx, f.id)
	if !isMissing(err) {
		return err
	}
	if err := b.folders(ctx, tx, f.parent); err != nil {
		return err
	}
	now := millis(b.Vault.now())
	return tx.Nodes().Insert(ctx, Node{
		ID: f.id, Owner: f.owner, Parent: f.parent.nodeID(), Name: f.name, Kind: NodeFolder, CreatedAt: now, UpdatedAt: now,
	})
}
