package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/gabriel-vasile/mimetype"

	"stonevault/identity"
	"stonevault/stone"
)

const (
	// sniffed is how much of a file is looked at to guess its media type, in bytes.
	sniffed = 3072
	// maxMediaType bounds a media type in bytes.
	maxMediaType = 255
	// planAttempts is how often a change is planned again because another one came between.
	planAttempts = 5
)

// errGivenUp is a put whose intent a collector has settled, which took its server for dead.
var errGivenUp = fmt.Errorf("%w: another server took this one for dead", ErrUnavailable)

// errReplan is a plan that another change has overtaken.
var errReplan = fmt.Errorf("%w: somebody else changes the same file", ErrConflict)

// Put seals a file and keeps it, as a new document or a new version of one. It tells whether the document
// is new. The body is read once, as it comes.
func (v *Vault) Put(ctx context.Context, a Actor, r PutRequest) (Entry, bool, error) {
	p, err := v.newPut(a, r)
	if err != nil {
		return Entry{}, false, err
	}
	// Refusals come before the body is read.
	if err := v.db.View(ctx, func(tx Tx) error { return p.plan(ctx, tx) }); err != nil {
		return Entry{}, false, err
	}
	v.live.Store(p.fileID, nil)
	defer v.live.Delete(p.fileID)
	announced := p.announce(ctx)
	if r.Size < 0 || r.Size > stone.SegmentSize { // a database that refuses it shall not do so in the end
		if err := announced(); err != nil {
			return Entry{}, false, err
		}
	}
	if err := p.run(ctx, announced); err != nil {
		if announced() != nil { // and so no object has a name
			return Entry{}, false, err
		}
		// The collector removes the objects while the intent stands, and only then: where the commit's
		// answer was lost, the intent is gone and the file stays.
		v.live.Delete(p.fileID)
		ctx := context.WithoutCancel(ctx)
		if errors.Is(err, errGivenUp) {
			return Entry{}, false, errors.Join(err, v.removeObjects(ctx, p.fileID))
		}
		return Entry{}, false, errors.Join(err, v.settle(ctx, p.fileID))
	}
	return p.entry, p.document == nil, nil
}

// put is one Put on its way.
type put struct {
	v       *Vault
	actor   Actor
	request PutRequest
	folders []string
	name    string
	by      string // how it came, as the audit log has it
	fileID  stone.FileID
	key     *stone.FileKey
	body    *stone.Body
	sealed  time.Time

	// The plan: what the commit does if nothing has changed since.
	parent   NodeID
	missing  []Node // folders to make
	document *Entry // what is there now, or nil
	holders  holders
	grants   []*identity.Grant
	room     int64 // bytes that fit into every quota
	full     error // what is said of one more; nil where no quota limits them

	// settled removes, in the commit, what says that this file is still on its way.
	settled func(ctx context.Context, tx Tx) error

	entry    Entry
	envelope []byte
}

func (v *Vault) newPut(a Actor, r PutRequest) (*put, error) {
	folders, name, err := parseFilePath(r.Path)
	if err != nil {
		return nil, err
	}
	if r.Class == "" {
		r.Class = string(stone.ClassNormal)
	}
	switch class := stone.Class(r.Class); {
	case class != stone.ClassNormal && class != stone.ClassRestricted:
		return nil, &InvalidError{"class", "is neither normal nor restricted"}
	case r.Mode > 0o777:
		return nil, &InvalidError{"mode", "has more than permission bits"}
	case len(r.MediaType) > maxMediaType:
		return nil, &InvalidError{"media_type", fmt.Sprintf("is longer than %d bytes", maxMediaType)}
	case strings.ContainsFunc(r.MediaType, func(c rune) bool { return c < ' ' || c > '~' }):
		return nil, &InvalidError{"media_type", "has characters other than printable ASCII"}
	case r.Size > stone.MaxSegments*stone.SegmentSize:
		return nil, &InvalidError{"size", "is more than 1 TiB"}
	}
	if r.ModifiedAt.IsZero() {
		r.ModifiedAt = v.now()
	}
	if y := r.ModifiedAt.UTC().Year(); y < 1 || y > 9999 {
		return nil, &InvalidError{"modified_at", "is not a year from 1 to 9999"}
	}
	p := &put{v: v, actor: a, request: r, folders: folders, name: name, by: "put"}
	p.settled = p.dropIntent
	if p.key, err = stone.NewFileKey(v.rand); err != nil {
		return nil, err
	}
	if p.fileID, err = stone.NewFileID(v.rand); err != nil {
		return nil, err
	}
	return p, nil
}

// dropIntent ends the put, unless a collector that thought it dead has begun to remove its objects.
func (p *put) dropIntent(ctx context.Context, tx Tx) error {
	intent, err := tx.Intents().ByID(ctx, p.fileID)
	if isMissing(err) || err == nil && intent.Kind != IntentPut {
		return errGivenUp
	}
	if err != nil {
		return err
	}
	return tx.Intents().Delete(ctx, p.fileID)
}

// plan looks at what is there, refuses what must be refused, and wraps the key.
func (p *put) plan(ctx context.Context, tx Tx) error {
	var err error
	if p.parent, p.missing, err = p.v.planFolders(ctx, tx, p.actor.Person, p.folders); err != nil {
		return err
	}
	p.document = nil
	if len(p.missing) == 0 {
		if p.document, err = existing(ctx, tx, p.actor, p.parent, p.name); err != nil {
			return err
		}
	}
	switch {
	case p.document != nil && p.document.Node.Kind == NodeFolder:
		return fmt.Errorf("%w: there is a folder of that name", ErrExists)
	case p.document != nil && p.request.MustNotExist:
		return ErrExists
	case p.request.IfMatch != "" && (p.document == nil || !p.document.matches(p.request.IfMatch)):
		return ErrPrecondition
	}
	all, err := p.fits(ctx, tx)
	if err != nil {
		return err
	}
	p.room, p.full = narrowest(all)
	if p.holders, err = p.v.holdersOf(ctx, tx, p.actor.Person); err != nil {
		return err
	}
	p.grants, err = p.v.grants(p.holders, p.fileID, p.key)
	return err
}

// fits is a *QuotaError where a quota leaves no room for what is known of the file.
func (p *put) fits(ctx context.Context, tx Tx) ([]Bound, error) {
	all, err := bounds(ctx, tx, p.actor.Person, p.fileID)
	if err != nil {
		return nil, err
	}
	size := max(p.request.Size, 0)
	if p.body != nil {
		size = p.body.Size
	}
	return all, fits(all, size, p.document == nil)
}

// announce begins to write the intent, which must be durable before an object has its name. The returned
// function waits for it.
func (p *put) announce(ctx context.Context) func() error {
	done := make(chan error, 1)
	intent := Intent{FileID: p.fileID, Kind: IntentPut, CreatedAt: p.v.now(), Server: p.v.peers.ID()}
	go func() {
		done <- p.v.db.Update(ctx, func(tx Tx) error { return tx.Intents().Insert(ctx, intent) })
	}()
	return sync.OnceValue(func() error { return <-done })
}

// run writes the body and what follows from it. announced tells when its objects may have names.
func (p *put) run(ctx context.Context, announced func() error) error {
	body, err := p.writeBody(ctx)
	if err != nil {
		return err
	}
	defer body.Abort()
	return p.finish(ctx, func() error {
		if err := announced(); err != nil {
			return err
		}
		envelope, err := p.v.objects.Create(ctx, envelopeName(p.fileID), int64(len(p.envelope)))
		if err != nil {
			return err
		}
		defer envelope.Abort()
		if _, err := envelope.Write(p.envelope); err != nil {
			return err
		}
		return p.v.objects.Commit(body, envelope)
	})
}

// finish makes body and envelope durable and visible, which is what publish does, and writes the rows, until
// no other change came between. Nobody reads the objects before the rows are committed.
func (p *put) finish(ctx context.Context, publish func() error) error {
	for range planAttempts {
		if err := p.seal(); err != nil {
			return err
		}
		if err := publish(); err != nil {
			return err
		}
		// Planned again, another envelope takes the first one's place.
		publish = func() error { return p.v.objects.Replace(ctx, envelopeName(p.fileID), p.envelope) }
		err := p.v.change(ctx, func(tx Tx) error { return p.commit(ctx, tx) })
		if !errors.Is(err, errReplan) {
			return err
		}
		if err := p.v.db.View(ctx, func(tx Tx) error { return p.plan(ctx, tx) }); err != nil {
			return err
		}
	}
	return errReplan
}

// writeBody seals the body into an object that is not yet visible.
func (p *put) writeBody(ctx context.Context) (ObjectWriter, error) {
	src := p.request.Body
	if p.full != nil {
		src = &bounded{src: src, left: p.room, full: p.full}
	}
	if p.request.MediaType == "" {
		head := make([]byte, sniffed)
		n, err := io.ReadFull(src, head)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return nil, fmt.Errorf("vault: read body: %w", err)
		}
		p.request.MediaType = mimetype.Detect(head[:n]).String()
		src = io.MultiReader(bytes.NewReader(head[:n]), src)
	}
	suite, expected := p.v.reign().suite, int64(-1)
	if p.request.Size >= 0 {
		expected = stone.MaxBodySize(suite, p.request.Size)
	}
	w, err := p.v.objects.Create(ctx, bodyName(p.fileID), expected)
	if err != nil {
		return nil, err
	}
	p.body, err = stone.SealBody(ctx, w, src, stone.BodyParams{
		Suite: suite, FileID: p.fileID, Key: p.key, Rand: p.v.rand, Compression: p.v.compression,
		MediaType: p.request.MediaType, Class: stone.Class(p.request.Class),
	})
	if err == nil && p.request.Size >= 0 && p.body.Size != p.request.Size {
		err = &InvalidError{"size", fmt.Sprintf("is %d bytes, and %d came", p.request.Size, p.body.Size)}
	}
	if err != nil {
		w.Abort()
		return nil, err
	}
	p.sealed = millis(p.v.now())
	return w, nil
}

// seal makes the rows and the envelope that the plan asks for.
func (p *put) seal() error {
	now := p.sealed
	p.entry = Entry{
		Node: Node{
			ID: NodeID(p.v.newID()), Owner: p.actor.Person, Parent: p.parent, Name: p.name, Kind: NodeFile,
			CreatedAt: now, UpdatedAt: now,
		},
		Path: joinPath(append(p.folders[:len(p.folders):len(p.folders)], p.name)...),
	}
	number := 1
	if p.document != nil {
		number = p.document.Version.Number + 1
		p.entry.Node.ID, p.entry.Node.CreatedAt = p.document.Node.ID, p.document.Node.CreatedAt
	}
	p.entry.Version = Version{
		FileID: p.fileID, Document: p.entry.Node.ID, Number: number, Owner: p.actor.Person, Revision: 1,
		Signer: p.holders.owner.Fingerprint, Size: p.body.Size, BodySize: p.body.SealedSize, MediaType: p.request.MediaType,
		Class: p.request.Class, Mode: p.request.Mode, ModifiedAt: millis(p.request.ModifiedAt), SealedAt: now,
	}
	p.entry.mirror()
	secret, err := p.v.secret(p.holders.owner)
	if err != nil {
		return err
	}
	p.envelope, err = stone.SealEnvelope(stone.EnvelopeParams{
		Body: p.body, Key: p.key, Revision: 1, Time: now, Signer: secret, Certificate: p.holders.owner.Certificate,
		Grants: p.grants, Metadata: p.entry.metadata(), Rand: p.v.rand,
	})
	if err != nil {
		return err
	}
	p.entry.Version.ManifestDigest, err = stone.ManifestDigest(p.envelope)
	return err
}

// commit checks that the plan still holds and makes the file visible.
func (p *put) commit(ctx context.Context, tx Tx) error {
	if err := p.holders.still(ctx, tx); err != nil {
		return err
	}
	if err := p.stillThere(ctx, tx); err != nil {
		return err
	}
	if _, err := p.fits(ctx, tx); err != nil { // others may have come between
		return err
	}
	if err := replanIfExists(p.v.makeFolders(ctx, tx, p.actor, p.missing, p.folders)); err != nil {
		return err
	}
	e := &p.entry
	if p.document == nil {
		if err := tx.Nodes().Insert(ctx, e.Node); errors.Is(err, ErrExists) {
			return errReplan
		} else if err != nil {
			return err
		}
	} else {
		now, err := existing(ctx, tx, p.actor, p.parent, p.name)
		if err != nil {
			return err
		}
		if now == nil || now.Node.ID != p.document.Node.ID || now.ETag() != p.document.ETag() {
			return errReplan
		}
		if err := tx.Nodes().Update(ctx, e.Node); err != nil {
			return err
		}
	}
	if err := tx.Versions().Insert(ctx, e.Version); err != nil {
		return err
	}
	if err := p.v.recordPut(ctx, tx, p.actor, *e, p.by); err != nil {
		return err
	}
	return p.settled(ctx, tx)
}

// stillThere makes sure that the folders of the plan have been neither removed nor moved: the manifest
// states the path.
func (p *put) stillThere(ctx context.Context, tx Tx) error {
	at, err := folderAt(ctx, tx, p.actor.Person, p.folders[:len(p.folders)-len(p.missing)])
	if isMissing(err) {
		return errReplan
	}
	if err != nil {
		return err
	}
	planned := p.parent
	if len(p.missing) > 0 {
		planned = p.missing[0].Parent
	}
	if at != planned {
		return errReplan
	}
	return nil
}

// mirror copies the version's fields that lists sort by.
func (e *Entry) mirror() {
	e.Node.Current, e.Node.Size = e.Version.FileID, e.Version.Size
	e.Node.MediaType, e.Node.ModifiedAt = e.Version.MediaType, e.Version.ModifiedAt
}

// metadata is what the manifest states about an entry.
func (e *Entry) metadata() stone.Metadata {
	v := e.Version
	return stone.Metadata{
		Name: e.Node.Name, Path: e.Path, Folder: string(e.Node.Parent), Document: string(e.Node.ID),
		Version: int64(v.Number), Owner: string(v.Owner), MediaType: v.MediaType, Size: v.Size,
		Class: stone.Class(v.Class), Mode: v.Mode, ModifiedAt: v.ModifiedAt, CreatedAt: e.Node.CreatedAt, SealedAt: v.SealedAt,
	}
}

func bodyName(id stone.FileID) string     { return id.String() + ".body" }
func envelopeName(id stone.FileID) string { return id.String() + ".env" }
