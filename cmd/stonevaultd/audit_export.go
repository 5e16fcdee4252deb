package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/config"
)

func newAuditExport(a *app) *cobra.Command {
	var to string
	var events bool
	cmd := &cobra.Command{
		Use:   "export --to NEW --data DIR",
		Short: "Copy the audit log into files that readers of transparency logs understand",
		Long: `Writes the audit log as files, while the server runs or not: checkpoint, tile/… and tile/entries/… as C2SP
tlog-tiles has them, and log.pub, the key that verifies the checkpoint. Entries are leaves: types, times and
commitments, and nothing about persons.

--events adds events.jsonl, a line an event, with names, addresses and paths in clear: keep it like the files
themselves.`,
		Example: `  stonevaultd audit export --to ./log --data ./data`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return misuse("name the new directory: --to DIR")
			}
			return a.readLog(cmd, func(ctx context.Context, l *readableLog) error {
				size, err := l.export(ctx, to, events)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.stderr, "Written to %s: a log of %d events.\n", to, size)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the `NEW` directory to write to")
	cmd.Flags().BoolVar(&events, "events", false, "write what the events say too, persons included")
	config.AddFlags(cmd.Flags(), besideFlags...)
	return cmd
}

// export writes the log as far as its newest signed head into a new directory.
func (l *readableLog) export(ctx context.Context, to string, events bool) (size int64, err error) {
	if err := os.Mkdir(to, 0o700); errors.Is(err, fs.ErrExist) {
		return 0, fmt.Errorf("%s is there already; name a new directory with --to", to)
	} else if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil { // a part of a log is of no use, and would be in the way
			err = errors.Join(err, os.RemoveAll(to))
		}
	}()
	key, err := l.reader.PublicKey(ctx)
	if err != nil {
		return 0, err
	}
	text, err := l.reader.Checkpoint(ctx)
	if err != nil {
		return 0, err
	}
	head, err := key.Open(text)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", auditlog.ErrRewritten, err)
	}
	write := func(name string, data []byte) error {
		path := filepath.Join(to, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		return os.WriteFile(path, data, 0o600)
	}
	for t := range head.Tree.Tiles() {
		tiles := []audit.Tile{t}
		if t.Level == 0 {
			tiles = append(tiles, audit.Tile{Level: audit.EntryLevel, Index: t.Index, Width: t.Width})
		}
		for _, t := range tiles {
			data, err := l.reader.Tile(ctx, t)
			if err == nil {
				err = write(t.Path(), data)
			}
			if err != nil {
				return 0, err
			}
		}
	}
	if events {
		if err := l.exportEvents(ctx, filepath.Join(to, "events.jsonl"), head.Tree.Size); err != nil {
			return 0, err
		}
	}
	// The checkpoint comes last: who finds one finds all that it is about.
	return head.Tree.Size, errors.Join(write("log.pub", []byte(key.Text())), write("checkpoint", text))
}

// exportedEvent is a line of events.jsonl.
type exportedEvent struct {
	Index       int64        `json:"index"`
	Type        string       `json:"type"`
	Version     uint8        `json:"version"`
	Time        string       `json:"time"`
	Operational audit.Values `json:"operational,omitempty"`
	Actor       audit.Values `json:"actor,omitempty"`
	Subject     audit.Values `json:"subject,omitempty"`
	Erased      []string     `json:"erased,omitempty"`
}

func (l *readableLog) exportEvents(ctx context.Context, path string, size int64) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	defer func() { err = errors.Join(err, w.Flush(), f.Close()) }()
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	const page = 1000
	for from := int64(0); from < size; {
		list, _, err := l.reader.Records(ctx, from, page, auditlog.ViewAll)
		if err != nil {
			return err
		}
		for _, r := range list {
			if r.Index != from {
				return fmt.Errorf("%w: event %d is missing", auditlog.ErrRewritten, from)
			}
			line, err := lineOf(r)
			if err != nil {
				return fmt.Errorf("%w: event %d: %w", auditlog.ErrRewritten, r.Index, err)
			}
			if err := lines.Encode(line); err != nil {
				return err
			}
			from++
		}
		if len(list) == 0 {
			return fmt.Errorf("%w: event %d is missing", auditlog.ErrRewritten, from)
		}
	}
	return nil
}

func lineOf(r auditlog.Listed) (exportedEvent, error) {
	leaf, err := audit.ParseLeaf(r.Leaf)
	if err != nil {
		return exportedEvent{}, err
	}
	record := audit.Record{Leaf: leaf, Openings: r.Openings}
	e, erased, err := record.Event()
	if err != nil {
		return exportedEvent{}, err
	}
	line := exportedEvent{
		Index: r.Index, Type: e.Type.String(), Version: e.Version, Time: e.Time.UTC().Format("2006-01-02T15:04:05.000Z"),
		Operational: e.Operational, Actor: e.Actor, Subject: e.Subject,
	}
	for _, slot := range erased {
		line.Erased = append(line.Erased, slot.String())
	}
	return line, nil
}
