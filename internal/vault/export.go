package vault

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"stonevault/audit"
	"stonevault/identity"
	"stonevault/stone"
)

const (
	exportSuffix = ".stone"
	// maxPassphrase bounds the passphrase of an export in bytes.
	maxPassphrase = 1024
)

// passphraseTurn lets one export at a time turn a passphrase into a key, which takes 256 MiB of memory.
// passphraseQueue bounds those who wait for it; whoever finds it full is told to come again. Both belong to
// the process, as its memory does.
var (
	passphraseTurn  = make(chan struct{}, 1)
	passphraseQueue = make(chan struct{}, 16)
)

// ExportRequest says for whom a file is exported: for Recipients, or for whoever knows Passphrase.
type ExportRequest struct {
	Recipients []*identity.Public
	Passphrase []byte
}

// String never shows the passphrase.
func (ExportRequest) String() string { return "[redacted]" }

// GoString never shows the passphrase.
func (ExportRequest) GoString() string { return "[redacted]" }

// Export is a file on its way out as a stone that opens without the vault: the body as it is stored, and an
// envelope of its own. That envelope begins a chain, as revision 1; it is signed by the exporter, has
// grants for the recipients alone, and keeps of the metadata what describes the content: ids and path stay
// in the vault. It holds the same file key as the vault's envelope does.
type Export struct {
	Name string // of a file to write it to: the file's own, ending in ".stone"
	Size int64  // bytes, exactly

	v        *Vault
	download *download
	event    audit.Values // beside what is of the version
	begun    bool
	reader   *stone.Reader
	object   Object
	envelope []byte
}

// Export opens a file to be exported. With a passphrase it waits for its turn, and then takes 256 MiB of
// memory for as long as the call lasts.
func (v *Vault) Export(ctx context.Context, a Actor, ref Ref, r ExportRequest) (*Export, error) {
	if err := v.checkExport(r); err != nil {
		return nil, err
	}
	o, err := v.open(ctx, a, ref)
	if err != nil {
		return nil, err
	}
	envelope, err := v.exportEnvelope(ctx, o.unlocked, o.state.owner, r)
	if err != nil {
		return nil, errors.Join(err, o.object.Close())
	}
	manifest, err := stone.ManifestDigest(envelope)
	if err != nil {
		return nil, errors.Join(err, o.object.Close())
	}
	size := o.unlocked.BodySize + int64(len(envelope))
	d := &download{id: v.newID(), actor: a, entry: o.entry, size: size, alone: true}
	return &Export{
		v: v, download: d,
		event: audit.Values{
			"download": d.id, "manifest": hex.EncodeToString(manifest), "recipients": len(r.Recipients), "passphrase": len(r.Passphrase) > 0,
		},
		Name: exportName(o.unlocked.Metadata.Name), Size: size,
		reader: o.reader, object: o.object, envelope: envelope,
	}, nil
}

// Stream writes the stone. No byte of a segment is written before that segment has been opened; what does
// not verify is ErrRefused, and what was written before it is no stone.
func (x *Export) Stream(ctx context.Context, w io.Writer) error {
	out := &exporting{ctx, x, w}
	if err := x.reader.CopyBody(ctx, out); err != nil {
		return hide(err)
	}
	n, err := out.Write(x.envelope)
	if err == nil && n != len(x.envelope) {
		err = io.ErrShortWrite
	}
	return err
}

// exporting records the export before its first byte.
type exporting struct {
	ctx context.Context
	x   *Export
	w   io.Writer
}

func (e *exporting) Write(b []byte) (int, error) {
	if err := e.x.begin(e.ctx); err != nil {
		return 0, err
	}
	n, err := e.w.Write(b)
	e.x.v.downloads.took(e.x.download, e.x.download.bytes, int64(n))
	return n, err
}

func (x *Export) begin(ctx context.Context) error {
	if x.begun {
		return nil
	}
	d := x.download
	err := x.v.recordRead(ctx, audit.FileExported, d.actor, and(readOf(d.entry), x.event), d.entry)
	if err == nil {
		x.begun = true
		x.v.downloads.add(d)
	}
	return err
}

// Close releases the body object, and ends what has begun.
func (x *Export) Close() error {
	if x.begun {
		x.begun = false
		x.v.finishDownload(x.download)
	}
	return x.object.Close()
}

// checkExport refuses what cannot be an envelope's grants, before anything is opened.
func (v *Vault) checkExport(r ExportRequest) error {
	suite := v.reign().suite
	switch n := len(r.Passphrase); {
	case n == 0 && len(r.Recipients) == 0:
		return &InvalidError{"recipients", "is empty; name a public key, or give a passphrase"}
	case n > 0 && len(r.Recipients) > 0:
		return &InvalidError{"passphrase", "stands alone; export once for the passphrase and once for the keys"}
	case n > maxPassphrase:
		return &InvalidError{"passphrase", fmt.Sprintf("is longer than %d bytes", maxPassphrase)}
	case n > 0 && !suite.AllowsPassphrase():
		return &InvalidError{"passphrase", fmt.Sprintf("is not allowed in %v; export for a public key", suite)}
	case len(r.Recipients) > stone.MaxGrants:
		return &InvalidError{"recipients", fmt.Sprintf("has more than %d keys", stone.MaxGrants)}
	}
	seen := make(map[identity.Fingerprint]bool, len(r.Recipients))
	for _, p := range r.Recipients {
		if p.Suite() != suite {
			return &InvalidError{"recipients", fmt.Sprintf("has a key of %v, and this vault's files are of %v; ask for a key of that suite", p.Suite(), suite)}
		}
		if seen[p.Fingerprint()] {
			return &InvalidError{"recipients", "has one key twice; name it once"}
		}
		seen[p.Fingerprint()] = true
	}
	return nil
}

// exportEnvelope seals the envelope of an export.
func (v *Vault) exportEnvelope(ctx context.Context, u *stone.Unlocked, exporter Identity, r ExportRequest) ([]byte, error) {
	if exporter.Suite != v.reign().suite {
		return nil, fmt.Errorf("%w: the keys of this account are being replaced", ErrUnavailable)
	}
	keys, err := v.exportKeys(ctx, exporter.Suite, r)
	if err != nil {
		return nil, err
	}
	var grants []*identity.Grant
	for _, w := range keys {
		g, err := w.Wrap(v.rand, u.FileID, (*[32]byte)(u.Key()))
		if err != nil {
			return nil, err
		}
		grants = append(grants, g)
	}
	signer, err := v.secret(exporter)
	if err != nil {
		return nil, err
	}
	m := u.Metadata
	return stone.SealEnvelope(stone.EnvelopeParams{
		Body: u.Body(), Key: u.Key(), Revision: 1, Time: millis(v.now()),
		Signer: signer, Certificate: exporter.Certificate, Grants: grants, Rand: v.rand,
		Metadata: stone.Metadata{
			Name: m.Name, MediaType: m.MediaType, Size: m.Size, Class: m.Class, Scan: m.Scan, Mode: m.Mode,
			ModifiedAt: m.ModifiedAt, CreatedAt: m.CreatedAt, SealedAt: m.SealedAt,
		},
	})
}

func (v *Vault) exportKeys(ctx context.Context, suite identity.Suite, r ExportRequest) ([]*identity.WrappingKey, error) {
	if len(r.Passphrase) > 0 {
		select {
		case passphraseQueue <- struct{}{}:
			defer func() { <-passphraseQueue }()
		default:
			return nil, ErrBusy
		}
		select {
		case passphraseTurn <- struct{}{}:
			defer func() { <-passphraseTurn }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		w, err := identity.NewPassphraseKey(v.rand, suite, r.Passphrase)
		return []*identity.WrappingKey{w}, err
	}
	var keys []*identity.WrappingKey
	for _, p := range r.Recipients {
		w, err := identity.NewWrappingKey(v.rand, p)
		if err != nil {
			return nil, err
		}
		keys = append(keys, w)
	}
	return keys, nil
}

// exportName adds the suffix, and makes room for it in a name of full length.
func exportName(name string) string {
	for len(name) > maxName-len(exportSuffix) {
		_, n := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-n]
	}
	return name + exportSuffix
}
