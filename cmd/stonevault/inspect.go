package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"stonevault/stone"
)

const inspectExample = "stonevault inspect letter.txt.stone"

type inspectFlags struct {
	unlockFlags
	verify bool
	json   bool
}

func newInspect(a *app) *cobra.Command {
	var f inspectFlags
	cmd := &cobra.Command{
		Use:   "inspect [--verify] [--json] [-i IDENTITY | -p] FILE",
		Short: "Show what a sealed file says about itself",
		Long: `Shows what everybody can read in a sealed file, after verifying its signature. With -i or -p it also shows
what is sealed: name, type, size and times. --verify reads everything and checks every part, which needs
-i or -p; without them the exit code is 3, since the content could not be checked.`,
		Example: "  " + inspectExample + "\n  stonevault inspect --verify -i me.id letter.txt.stone",
		Args:    operands(1, 1, "the sealed file, or \"-\" for a pipe", inspectExample),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.inspect(cmd.Context(), f, args[0]) },
	}
	f.unlockFlags.add(cmd)
	cmd.Flags().BoolVar(&f.verify, "verify", false, "read and check all of the content")
	addJSON(cmd, &f.json)
	return cmd
}

// stoneReport is what inspect prints as JSON.
type stoneReport struct {
	Suite        int             `json:"suite"`
	FileID       string          `json:"file_id"`
	Revision     int64           `json:"revision"`
	Time         time.Time       `json:"time"`
	Signer       string          `json:"signer"`
	SignerSpoken string          `json:"signer_spoken"`
	Certificate  *certificateRow `json:"certificate,omitempty"`
	Grants       []grantRow      `json:"grants"`
	BodySize     int64           `json:"body_size"`
	Segments     int             `json:"segments"`
	Content      *contentReport  `json:"content,omitempty"`
	Verified     bool            `json:"verified"` // all of the content
}

type certificateRow struct {
	Kind       string    `json:"kind"`
	ID         string    `json:"id"`
	Version    int64     `json:"version"`
	IssuedAt   time.Time `json:"issued_at"`
	Root       string    `json:"root"`
	RootSpoken string    `json:"root_spoken"`
}

type grantRow struct {
	Kind            string `json:"kind"`
	Recipient       string `json:"recipient,omitempty"`
	RecipientSpoken string `json:"recipient_spoken,omitempty"`
}

type contentReport struct {
	Name       string    `json:"name"`
	Path       string    `json:"path,omitempty"`
	MediaType  string    `json:"media_type,omitempty"`
	Size       int64     `json:"size"`
	Class      string    `json:"class"`
	Mode       string    `json:"mode"`
	ModifiedAt time.Time `json:"modified_at"`
	SealedAt   time.Time `json:"sealed_at"`
}

func (a *app) inspect(ctx context.Context, f inspectFlags, path string) error {
	if err := checkPipes(inspectExample, append([]string{path, f.passphraseFile}, f.identities...)...); err != nil {
		return err
	}
	in, err := a.openSealed(path)
	if err != nil {
		return err
	}
	defer in.close()
	e, err := stone.ReadEnvelope(in, in.size)
	if err != nil {
		return notOpened(path, err)
	}
	report := reportOf(e)
	if f.given() {
		u, err := a.unlock(e, f.unlockFlags, path)
		if err != nil {
			return err
		}
		reader, err := stone.OpenBody(in, e.BodySize, u.Unlocked)
		if err != nil {
			return notOpened(path, err)
		}
		report.Content = contentOf(&u.Metadata)
		if f.verify {
			if err := reader.Stream(ctx, io.Discard, 0, reader.Size()); err != nil {
				return notOpened(path, err)
			}
			report.Verified = true
		}
	}
	if f.json {
		err = writeJSON(a.stdout, report)
	} else {
		err = report.write(a.stdout)
	}
	if err == nil && f.verify && !report.Verified {
		return fmt.Errorf("the signature holds, and the content %w without a key; add -i IDENTITY or -p", errUnchecked)
	}
	return err
}

func reportOf(e *stone.Envelope) *stoneReport {
	signer := e.Signer.Fingerprint()
	r := &stoneReport{
		Suite: int(e.Suite), FileID: e.FileID.String(), Revision: e.Revision, Time: e.Time,
		Signer: signer.Hex(), SignerSpoken: signer.Spoken(), BodySize: e.BodySize, Segments: e.Segments,
	}
	if c := e.Certificate; c != nil {
		root := c.Root.Fingerprint()
		r.Certificate = &certificateRow{c.Subject.Kind, c.Subject.ID, c.Subject.Version, c.IssuedAt, root.Hex(), root.Spoken()}
	}
	for _, g := range e.Grants {
		row := grantRow{Kind: g.Kind.String()}
		if g.Recipient != "" {
			row.Recipient, row.RecipientSpoken = g.Recipient.Hex(), g.Recipient.Spoken()
		}
		r.Grants = append(r.Grants, row)
	}
	return r
}

func contentOf(m *stone.Metadata) *contentReport {
	return &contentReport{
		Name: m.Name, Path: m.Path, MediaType: m.MediaType, Size: m.Size, Class: string(m.Class),
		Mode: fmt.Sprintf("%04o", m.Mode), ModifiedAt: m.ModifiedAt, SealedAt: m.SealedAt,
	}
}

func (r *stoneReport) write(w io.Writer) error {
	t := newTable(w)
	t.row("suite", "%d", r.Suite)
	t.row("file id", "%s", r.FileID)
	t.row("revision", "%d", r.Revision)
	t.row("sealed", "%s", r.Time.Format(time.RFC3339))
	t.row("signed by", "%s", r.SignerSpoken)
	if c := r.Certificate; c != nil {
		t.row("certified as", "%s %s, version %d", shown(c.Kind), shown(c.ID), c.Version)
		t.row("by the root", "%s", c.RootSpoken)
	}
	for _, g := range r.Grants {
		if g.RecipientSpoken == "" {
			t.row("for", "whoever knows the %s", g.Kind)
		} else {
			t.row("for", "%s", g.RecipientSpoken)
		}
	}
	t.row("sealed size", "%s in %s", counted(r.BodySize, "byte", "bytes"), counted(int64(r.Segments), "segment", "segments"))
	if c := r.Content; c != nil {
		t.row("name", "%s", shown(c.Name))
		if c.Path != "" {
			t.row("path", "%s", shown(c.Path))
		}
		t.row("type", "%s", shown(c.MediaType))
		t.row("size", "%s", counted(c.Size, "byte", "bytes"))
		t.row("class", "%s", c.Class)
		t.row("mode", "%s", c.Mode)
		t.row("modified", "%s", c.ModifiedAt.Format(time.RFC3339))
	}
	if r.Verified {
		t.row("verified", "all of the content is what was sealed")
	} else {
		t.row("verified", "the signature")
	}
	return t.Flush()
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
