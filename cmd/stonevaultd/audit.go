package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/config"
	"stonevault/internal/datadir"
	"stonevault/internal/metadb"
	"stonevault/internal/vault"
)

func newAudit(a *app) *cobra.Command {
	return withVerbs("audit", "Check the audit log, copy it, or begin another one after a restore",
		newAuditFsck(a), newAuditExport(a), newAuditRestart(a))
}

func newAuditFsck(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "fsck --data DIR",
		Short: "Read the whole audit log, and name what was changed",
		Long: `Reads every event and every tile of the audit log, while the server runs or not, and holds them against the
heads that were signed: those in the database, and the one that is kept beside the data directory. It names the
event or the tile that is wrong. Parts that were erased are fine where an event authorises it, and are listed.

The exit code is 0 where all is well, 2 where something was changed, and 3 where it could not be checked.`,
		Example: `  stonevaultd audit fsck --data ./data`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.readLog(cmd, func(ctx context.Context, l *readableLog) error {
				report, err := l.fsck(ctx)
				if err != nil {
					return err
				}
				if err := report.print(a.stdout, asJSON); err != nil {
					return err
				}
				if !report.OK {
					return exitError{errSaid, errTampering}
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	config.AddFlags(cmd.Flags(), besideFlags...)
	return cmd
}

// readableLog is the audit log of a directory that is only read.
type readableLog struct {
	dir    datadir.Dir
	reader *auditlog.Reader
}

// readLog runs fn on the audit log of a command. What keeps it from being read says nothing about it.
func (a *app) readLog(cmd *cobra.Command, fn func(context.Context, *readableLog) error) error {
	c, err := a.config(cmd)
	if err != nil {
		return err
	}
	o := &opener{config: c, version: version, ask: a.ask, now: a.now, log: newLog(a.stderr, c)}
	l, db, err := o.readLog(cmd.Context())
	if err != nil {
		return exitError{fmt.Errorf("the audit log cannot be read: %w", err), errUnchecked}
	}
	defer db.Close()
	err = fn(cmd.Context(), l)
	switch {
	case errors.Is(err, errTampering):
	case errors.Is(err, auditlog.ErrRewritten):
		return exitError{err, errTampering}
	case err != nil:
		return exitError{err, errUnchecked}
	}
	return err
}

func (o *opener) readLog(ctx context.Context) (*readableLog, *metadb.DB, error) {
	p, err := placesOf(o.config, o.version)
	if err != nil {
		return nil, nil, err
	}
	state, err := p.inspect(ctx)
	if err != nil {
		return nil, nil, err
	}
	if state != datadir.InUse {
		return nil, nil, p.noVault()
	}
	key, err := (&keyring{places: p, config: o.config, ask: o.ask}).find(state)
	if err != nil {
		return nil, nil, err
	}
	db, err := p.openDatabase(ctx, metadb.Options{ReadOnly: true})
	if err != nil {
		return nil, nil, err
	}
	// A wrong key must not look like tampering.
	err = db.View(ctx, func(tx vault.Tx) error {
		return vault.UseMaster(ctx, tx, key)
	})
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return &readableLog{p.dir, auditlog.NewReader(o.auditConfig(db, key))}, db, nil
}

// fsckReport is what the check prints.
type fsckReport struct {
	OK        bool            `json:"ok"`
	Origin    string          `json:"origin"`
	Size      int64           `json:"size"` // of the largest signed head
	Intact    int64           `json:"intact"`
	Events    int64           `json:"events"`
	Tiles     int64           `json:"tiles"`
	Unsigned  int64           `json:"unsigned"`
	Pending   bool            `json:"pending"`
	Displaced bool            `json:"displaced,omitempty"`
	SetBack   string          `json:"set_back,omitempty"`
	Erasures  []audit.Erasure `json:"erasures,omitempty"`
	Findings  []auditFinding  `json:"findings,omitempty"`
	Found     int64           `json:"found"`
}

type auditFinding struct {
	audit.Finding
	Text string `json:"text"`
}

// fsck checks the log, also against the head beside the directory.
func (l *readableLog) fsck(ctx context.Context) (*fsckReport, error) {
	key, err := l.reader.PublicKey(ctx)
	if err != nil {
		return nil, err
	}
	var heads []audit.Tree
	out := &fsckReport{Origin: key.Origin()}
	w := &witness{path: l.dir.AuditHead(), reader: l.reader}
	switch err := w.check(ctx); {
	case errors.Is(err, errSetBack):
		out.SetBack = err.Error()
	case err != nil:
		return nil, err
	}
	if w.kept != nil {
		c, err := key.Open(w.kept)
		if err != nil {
			return nil, err
		}
		heads = append(heads, c.Tree)
	}
	r, err := l.reader.Fsck(ctx, heads...)
	if err != nil {
		return nil, err
	}
	out.OK = r.OK() && out.SetBack == ""
	out.Size, out.Intact, out.Events, out.Tiles = r.Head.Size, r.Intact, r.Events, r.Tiles
	out.Unsigned, out.Pending, out.Displaced, out.Erasures, out.Found = r.Unsigned, r.Pending, r.Displaced, r.Erasures, r.Found
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, auditFinding{f, f.String()})
	}
	return out, nil
}

func (r *fsckReport) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Audit log %s: events: %d, tiles: %d; the newest signed head has %d events.\n", r.Origin, r.Events, r.Tiles, r.Size)
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "WRONG: %s.\n", f.Text)
	}
	if more := r.Found - int64(len(r.Findings)); more > 0 {
		fmt.Fprintf(&b, "WRONG: %d more like these.\n", more)
	}
	if r.Displaced {
		b.WriteString("WRONG: the head that the next events would be added to is not the signed one's.\n")
	}
	if r.SetBack != "" {
		fmt.Fprintf(&b, "WRONG: %s.\n", r.SetBack)
	}
	for _, e := range r.Erasures {
		fmt.Fprintf(&b, "Erased: %s.\n", e)
	}
	if r.Unsigned > 0 || r.Pending {
		b.WriteString("The newest events are not signed yet; a running server does that within a second.\n")
	}
	if r.OK {
		b.WriteString("All of it is what was signed.\n")
	} else {
		fmt.Fprintf(&b, "Up to %d events, the log still gives a root that was signed. Keep the database as it is, and compare with receipts, anchors and backups.\n", r.Intact)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func newAuditRestart(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "restart --data DIR",
		Short: "Begin another audit log, after the database was restored from a backup",
		Long: `Begins another audit log, with a name and keys of its own, whose first event carries the newest head of the
log before. That is for a database that was restored: the old log cannot go on from there, because others have seen
more of it. Clients stop until a person accepts the new one with: stonevault audit accept-restart. Where heads are
anchored, create the new log on the chain with: stonevaultd anchor deploy.

The server must not run.`,
		Example: `  stonevaultd audit restart --data ./data`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c, err := a.config(cmd)
			if err != nil {
				return err
			}
			if !yes {
				return misuse("add --yes if this database was restored from a backup, or the log cannot go on for another reason that you can name")
			}
			o := &opener{config: c, version: version, ask: a.ask, now: a.now, log: newLog(a.stderr, c)}
			s, err := o.open(cmd.Context(), toRestart)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.close()) }()
			return a.restartLog(cmd.Context(), s)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "the database was restored, and everybody will be told")
	config.AddFlags(cmd.Flags(), besideFlags...)
	return cmd
}

func (a *app) restartLog(ctx context.Context, s *store) error {
	before, err := s.reader.Summary(ctx)
	damaged := errors.Is(err, auditlog.ErrRewritten)
	if err != nil && !damaged {
		return err
	}
	// A log that follows another and has no head yet is what a restart that was killed has left.
	if interrupted := !damaged && before.Log.ID > 1 && before.Text == nil; !interrupted {
		if err := a.followLog(ctx, s, before, damaged); err != nil {
			return err
		}
	}
	if err := s.sequencer.Step(ctx); err != nil {
		return err
	}
	now, err := s.reader.Summary(ctx)
	if err != nil {
		return err
	}
	if err := datadir.WriteFile(s.dir.AuditHead(), now.Text, 0o600); err != nil {
		return fmt.Errorf("the new log has begun, and its head could not be kept beside the data: %w", err)
	}
	_, err = fmt.Fprintf(a.stdout, "The audit log %s begins.\nTell everybody: their clients stop until they type: stonevault audit accept-restart\n", now.Log.Origin)
	return err
}

// followLog begins the log that follows another one, whose newest head may not verify.
func (a *app) followLog(ctx context.Context, s *store, before auditlog.Summary, damaged bool) (err error) {
	anchor, end := "", fmt.Sprintf("ends with %d events", before.Checkpoint.Tree.Size)
	if damaged {
		end = "has a newest head that does not verify, which the new log cannot name"
	} else if anchor, err = lastAnchor(ctx, s.reader); err != nil {
		return err
	}
	if err := s.vault.RestartLog(ctx, atMachine, anchor); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "The audit log %s %s.\n", before.Log.Origin, end)
	return err
}

// lastAnchor is the newest anchor that the log knows of, as JSON, or empty.
func lastAnchor(ctx context.Context, reader *auditlog.Reader) (string, error) {
	q := auditlog.Query{Limit: 1, Type: func(t audit.Type) bool { return t == audit.LogAnchored }}
	for {
		page, err := reader.List(ctx, q, auditlog.ViewAll)
		if err != nil {
			return "", err
		}
		if len(page.Entries) > 0 && page.Entries[0].Err == nil {
			text, err := json.Marshal(page.Entries[0].Event.Operational)
			return string(text), err
		}
		if q.Before = page.Next; q.Before == 0 {
			return "", nil
		}
	}
}
