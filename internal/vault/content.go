package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"stonevault/audit"
	"stonevault/identity"
	"stonevault/stone"
)

// Content is an open file whose envelope, rows and index have been checked.
type Content struct {
	Entry    Entry
	Archived bool // it goes into an archive; set before the first Stream

	v        *Vault
	actor    Actor
	reader   *stone.Reader
	object   Object
	download *download // once a byte has left
}

// Size is the content's length in bytes.
func (c *Content) Size() int64 { return c.reader.Size() }

// Stream writes a range of the content; every segment is verified before any of it is written, and that the
// download begins is recorded before the first byte. What does not verify is ErrRefused, and what was written
// before it is genuine.
func (c *Content) Stream(ctx context.Context, w io.Writer, offset, length int64) error {
	out := &leaving{ctx: ctx, content: c, w: w, whole: offset == 0 && length == c.Size()}
	err := hide(c.reader.Stream(ctx, out, offset, length))
	if err == nil {
		err = c.begin(ctx, out.whole) // where nothing is to be written, this is what left
	}
	if c.download != nil {
		c.v.downloads.took(c.download, offset, out.n)
	}
	return err
}

// Close releases the body object.
func (c *Content) Close() error {
	if c.download != nil {
		c.v.finishDownload(c.download)
		c.download = nil
	}
	return c.object.Close()
}

// hide turns the format's refusals into the vault's.
func hide(err error) error {
	if errors.Is(err, stone.ErrRefused) || errors.Is(err, stone.ErrNoGrant) || errors.Is(err, identity.ErrGrant) {
		return refused("%w", err)
	}
	return err
}

// Content opens a file.
func (v *Vault) Content(ctx context.Context, a Actor, ref Ref) (*Content, error) {
	o, err := v.open(ctx, a, ref)
	if err != nil {
		return nil, err
	}
	return &Content{Entry: o.entry, v: v, actor: a, reader: o.reader, object: o.object}, nil
}

// opened is a file whose envelope, rows and index have been checked.
type opened struct {
	entry    Entry
	state    keyState
	unlocked *stone.Unlocked
	reader   *stone.Reader
	object   Object
}

// open opens a file. Rows and objects are not read at one moment: where a change came between, what looks
// like tampering is none, and the file is looked at again.
func (v *Vault) open(ctx context.Context, a Actor, ref Ref) (*opened, error) {
	for attempt := 1; ; attempt++ {
		e, state, err := v.look(ctx, a, ref)
		if err != nil {
			return nil, err
		}
		if e.Node.Kind != NodeFile {
			return nil, &InvalidError{"path", "is a folder; only files have content"}
		}
		o := &opened{entry: e, state: state}
		if o.unlocked, err = v.unlock(ctx, e, state); err == nil {
			if o.reader, o.object, err = v.openBody(ctx, o.unlocked); err == nil {
				return o, nil
			}
		}
		if attempt == planAttempts || !v.overtaken(ctx, e, err) {
			return nil, err
		}
	}
}

// overtaken tells whether a refusal of e may come from a change since its rows were read.
func (v *Vault) overtaken(ctx context.Context, e Entry, refusal error) bool {
	if !errors.Is(refusal, ErrRefused) {
		return false
	}
	var now Version
	err := v.db.View(ctx, func(tx Tx) (err error) {
		now, err = tx.Versions().ByID(ctx, e.Version.FileID)
		return err
	})
	return isMissing(err) || err == nil && now.Revision != e.Version.Revision
}

// openBody opens the body that an envelope is for.
func (v *Vault) openBody(ctx context.Context, u *stone.Unlocked) (*stone.Reader, Object, error) {
	object, err := v.objects.Open(ctx, bodyName(u.FileID))
	if isMissing(err) {
		return nil, nil, refused("the body of %s is missing", u.FileID)
	}
	if err != nil {
		return nil, nil, err
	}
	reader, err := stone.OpenBody(object, object.Size(), u)
	if err != nil {
		return nil, nil, errors.Join(hide(err), object.Close())
	}
	return reader, object, nil
}

// keyState is what the database knows of the keys that a version is opened with.
type keyState struct {
	owner   Identity // of the owner, in use
	holder  Identity // whose grant opens it: the signer's, who may be retired
	signer  Identity
	rewrite []byte // an envelope that is not yet at its place, or nil
}

// look finds an entry and, for a file, the keys that open it, in one snapshot.
func (v *Vault) look(ctx context.Context, a Actor, ref Ref) (Entry, keyState, error) {
	var e Entry
	var state keyState
	err := v.db.View(ctx, func(tx Tx) error {
		var err error
		if e, err = entry(ctx, tx, a, ref); err != nil || e.Node.Kind != NodeFile {
			return err
		}
		state, err = v.keyState(ctx, tx, e)
		return err
	})
	return e, state, err
}

func (v *Vault) keyState(ctx context.Context, tx Tx, e Entry) (keyState, error) {
	var s keyState
	var err error
	if s.owner, err = tx.Identities().Current(ctx, KindPerson, e.Node.Owner); err != nil {
		return s, mustBeThere("identity of "+string(e.Node.Owner), err)
	}
	s.holder = s.owner
	if e.Version.Signer == s.owner.Fingerprint {
		s.signer = s.owner
	} else if s.signer, err = tx.Identities().ByFingerprint(ctx, e.Version.Signer); isMissing(err) {
		return s, refused("the signer of %s is not known here", e.Version.FileID)
	} else if err != nil {
		return s, err
	} else if s.signer.Person == e.Node.Owner && len(s.signer.WrappedSeeds) > 0 {
		s.holder = s.signer // whoever seals an envelope seals it for himself
	}
	if err := v.knowRoots(ctx, tx, s.owner, s.signer); err != nil {
		return s, err
	}
	intent, err := tx.Intents().ByID(ctx, e.Version.FileID)
	switch {
	case err == nil && intent.Kind == IntentRewrite:
		s.rewrite = intent.Envelope
	case err != nil && !isMissing(err):
		return s, err
	}
	return s, nil
}

// unlock reads a version's envelope and compares everything that rows and manifest both state.
func (v *Vault) unlock(ctx context.Context, e Entry, s keyState) (*stone.Unlocked, error) {
	raw, err := v.envelope(ctx, e.Version.FileID, s)
	if err != nil {
		return nil, err
	}
	return v.unlockRaw(e, s, raw)
}

func (v *Vault) unlockRaw(e Entry, s keyState, raw []byte) (*stone.Unlocked, error) {
	env, err := stone.ParseEnvelopeCached(raw, &v.keys.public)
	if err != nil {
		return nil, hide(err)
	}
	if err := v.compareEnvelope(e, env, s.signer); err != nil {
		return nil, err
	}
	key, err := v.fileKey(env, s.holder)
	if err != nil {
		return nil, hide(err)
	}
	u, err := env.Unlock(key)
	if err != nil {
		return nil, hide(err)
	}
	return u, compareMetadata(e, u)
}

// envelope returns the envelope that the rows belong to: the one that is still to be put in its place, or
// the one that is there.
func (v *Vault) envelope(ctx context.Context, id stone.FileID, s keyState) ([]byte, error) {
	if s.rewrite != nil {
		return s.rewrite, nil
	}
	object, err := v.objects.Open(ctx, envelopeName(id))
	if isMissing(err) {
		return nil, refused("the envelope of %s is missing", id)
	}
	if err != nil {
		return nil, err
	}
	defer object.Close()
	if object.Size() > stone.MaxEnvelopeSize {
		return nil, refused("the envelope of %s is too large", id)
	}
	raw := make([]byte, object.Size())
	if n, err := object.ReadAt(raw, 0); n < len(raw) {
		return nil, fmt.Errorf("vault: read envelope of %s: %w", id, err)
	}
	return raw, nil
}

// compareEnvelope checks what the envelope states in clear against the row.
func (v *Vault) compareEnvelope(e Entry, env *stone.Envelope, signer Identity) error {
	id, row := e.Version.FileID, e.Version
	switch {
	case env.Suite != signer.Suite, env.FileID != id:
		return refused("the envelope at %s belongs to another file or suite", id)
	case env.Revision != row.Revision, !bytes.Equal(env.ManifestDigest(), row.ManifestDigest):
		return refused("the envelope of %s is revision %d and not the one of revision %d that is known", id, env.Revision, row.Revision)
	case env.BodySize != row.BodySize:
		return refused("the row of %s states another body size", id)
	case env.Signer.Fingerprint() != row.Signer:
		return refused("the row of %s states another signer", id)
	case env.Certificate == nil, !v.trusts(env.Certificate.Root.Fingerprint()):
		return refused("the signer of %s is not certified by this vault", id)
	case env.Certificate.Subject != subject(signer), signer.Person != row.Owner || signer.Kind != KindPerson:
		return refused("the signer of %s is not its owner", id)
	}
	return nil
}

// compareMetadata checks what the manifest states under seal against the rows. Where a file lies is
// compared by the folder's id, since a folder is renamed without touching what is in it; an earlier
// version keeps the name and place that it had.
func compareMetadata(e Entry, u *stone.Unlocked) error {
	want, got := e.metadata(), u.Metadata
	current := e.Node.Current == e.Version.FileID
	mirrored := e
	mirrored.mirror()
	for _, c := range []struct {
		what  string
		equal bool
	}{
		{"name", !current || want.Name == got.Name},
		{"folder", !current || want.Folder == got.Folder},
		{"sorting copy", !current || mirrored.Node == e.Node},
		{"document", want.Document == got.Document && e.Version.Document == e.Node.ID},
		{"version", want.Version == got.Version},
		{"owner", want.Owner == got.Owner && e.Version.Owner == e.Node.Owner},
		{"media type", want.MediaType == got.MediaType},
		{"size", want.Size == got.Size},
		{"class", want.Class == got.Class},
		{"mode", want.Mode == got.Mode},
		{"modification time", want.ModifiedAt.Equal(got.ModifiedAt)},
		{"creation time", want.CreatedAt.Equal(got.CreatedAt)},
		{"sealing time", want.SealedAt.Equal(got.SealedAt)},
	} {
		if !c.equal {
			return refused("the rows of %s state another %s than its manifest", e.Version.FileID, c.what)
		}
	}
	return nil
}

// Verify reads all of a file, tells whether it is what was sealed, and records what was found.
func (v *Vault) Verify(ctx context.Context, a Actor, ref Ref) (Report, error) {
	e, _, err := v.look(ctx, a, ref)
	if err != nil && !errors.Is(err, ErrRefused) {
		return Report{}, err
	}
	if e.Node.ID == "" { // its rows are refused
		e.Node.ID, e.Node.Owner, e.Path = ref.Node, a.Person, ref.Path
	}
	report := Report{Entry: e, Suite: v.reign().suite, Signer: e.Version.Signer, SealedAt: e.Version.SealedAt}
	if err == nil {
		err = v.verify(ctx, a, ref, &report)
	}
	if err != nil && !errors.Is(err, ErrRefused) {
		return report, err
	}
	if report.OK = err == nil; !report.OK {
		v.log.WarnContext(ctx, "verification failed", "file_id", e.Version.FileID.String(), "reason", err.Error())
	}
	return report, v.recordRead(ctx, audit.FileVerified, a, and(readOf(e), audit.Values{
		"ok": report.OK, "segments": report.Segments, "bytes": report.Bytes,
	}), e)
}

func (v *Vault) verify(ctx context.Context, a Actor, ref Ref, report *Report) error {
	o, err := v.open(ctx, a, ref)
	if err != nil {
		return err
	}
	defer o.object.Close()
	report.Suite = o.unlocked.Suite
	count := &counter{}
	err = hide(o.reader.Stream(ctx, count, 0, o.reader.Size()))
	report.Bytes = count.n
	report.Segments = int((count.n + stone.SegmentSize - 1) / stone.SegmentSize)
	if err == nil {
		report.Segments = o.reader.Segments()
	}
	return err
}

// counter counts what is written to it.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
