package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/audit"
	"stonevault/internal/client"
)

const (
	auditExample    = "stonevault audit verify"
	auditLogExample = "stonevault audit log --type file. --since 24h"
)

func newAudit(a *app) *cobra.Command {
	return withVerbs(&cobra.Command{
		Use:   "audit",
		Short: "See what happened in the vault, and check that nobody changed what was recorded",
		Long: `The vault records what happens in a log that can only grow, and signs it. This program remembers the newest signed
state that it has seen, checks with every command that the log continues it, and stops with exit code 2 if it does not.`,
		Example: "  " + auditLogExample + "\n  " + auditExample,
	}, auditExample, newAuditLog(a), newAuditReceipt(a), newAuditVerify(a), newAcceptRestart(a))
}

type auditLogFlags struct {
	kind         string
	person       string
	file         string
	since, until string
	limit        int
	follow       bool
	json         bool
}

// followFrom is how many events --follow begins with, where nobody says.
const followFrom = 10

func newAuditLog(a *app) *cobra.Command {
	var f auditLogFlags
	cmd := &cobra.Command{
		Use:   "log",
		Short: "List what happened, the newest first",
		Long: `Lists events, the newest first: the place in the log, the time, what happened, who did it, and to what. Admins see
all; others see what they did and what was done to their account or their files. Managers also see what the people of their
groups did, without what files are called, and what was done to them and to the groups. This is what the server says;
"stonevault audit verify" checks it.

A moment is a date, a date and time, or how long ago: 2026-11-21, "2026-11-21 13:00", 36h.`,
		Example: "  " + auditLogExample + "\n  stonevault audit log --person me --follow\n  stonevault audit log --person ann --type session.\n  stonevault audit log --file /letters/letter.txt",
		Args:    operands(0, 0, "nothing but flags", auditLogExample),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.auditLog(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kind, "type", "", "only events of this `TYPE`, such as file.put, or of all that begin like file.")
	flags.StringVar(&f.person, "person", "", "only what this `PERSON` did, or what was done to them: \"me\", a name or an id")
	flags.StringVar(&f.file, "file", "", "only what is about this file or folder: its `PATH` or id")
	flags.StringVar(&f.since, "since", "", "not before this `MOMENT`")
	flags.StringVar(&f.until, "until", "", "before this `MOMENT`")
	flags.IntVar(&f.limit, "limit", 0, "show at most `N`; 0 is all")
	flags.BoolVarP(&f.follow, "follow", "f", false, "show the last ten, or --limit, and then what happens, as it happens")
	addJSON(cmd, &f.json)
	names := []string{"file.", "account.", "session.", "key.", "server."}
	for _, d := range audit.Definitions() {
		names = append(names, d.Name)
	}
	complete(cmd, "type", names...)
	return cmd
}

func (a *app) auditLog(ctx context.Context, f auditLogFlags) error {
	if f.limit < 0 {
		return misuse("--limit 20", "a limit is 0 or more, unlike %d", f.limit)
	}
	q := client.EventQuery{Type: f.kind, Page: f.limit}
	var err error
	if q.Since, err = a.moment("since", f.since); err != nil {
		return err
	}
	if q.Until, err = a.moment("until", f.until); err != nil {
		return err
	}
	if f.follow && f.until != "" {
		return misuse("stonevault audit log --follow", "--follow has no end; leave --until out")
	}
	c, _, err := a.connect(ctx)
	if err != nil {
		return err
	}
	if q.Person, err = personID(ctx, c, f.person); err != nil {
		return err
	}
	if q.File, err = fileID(ctx, c, f.file); err != nil {
		return err
	}
	if f.follow {
		return a.followEvents(ctx, c, q, f)
	}
	events, err := someEvents(ctx, c, q, f.limit)
	if err != nil {
		return err
	}
	if f.json {
		err = writeItems(a.stdout, events)
	} else {
		err = a.writeEvents(events)
	}
	if err != nil {
		return err
	}
	return damaged(events)
}

// someEvents returns at most so many, 0 for all, the newest first.
func someEvents(ctx context.Context, c *client.Client, q client.EventQuery, limit int) ([]*api.AuditEvent, error) {
	return some(c.AuditEvents(ctx, q), limit)
}

// damaged is the error of events of which the server itself says that they are not what was recorded.
func damaged(events []*api.AuditEvent) error {
	n := int64(0)
	for _, e := range events {
		if e.Damaged {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%s not what was recorded, so that the log %w; look with \"stonevault audit verify\"", counted(n, "event is", "events are"), errFalse)
}

const followEvery = time.Second

// followEvents shows the last events, the oldest first, and then those that come.
func (a *app) followEvents(ctx context.Context, c *client.Client, q client.EventQuery, f auditLogFlags) error {
	first := f.limit
	if first == 0 {
		first = followFrom
	}
	newest, err := someEvents(ctx, c, client.EventQuery{Page: 1}, 1)
	if err != nil {
		return err
	}
	q.Page = first
	events, err := someEvents(ctx, c, q, first)
	for q.Page = 0; ; events, err = someEvents(ctx, c, q, 0) {
		if err != nil {
			return err
		}
		slices.Reverse(events)
		switch {
		case q.After != 0:
		case len(events) > 0:
			q.After = events[0].ID - 1 // nothing older is asked for, also where none of these has its place
		case len(newest) > 0:
			q.After = newest[0].ID // so that the server need not look through what is older every time
		}
		// What has no place yet has one the next time.
		if i := slices.IndexFunc(events, func(e *api.AuditEvent) bool { return e.Index == nil && !e.Damaged }); i >= 0 {
			events = events[:i]
		}
		if len(events) > 0 {
			q.After = events[len(events)-1].ID
		}
		if err := a.writeFollowed(events, f.json); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(followEvery):
		}
	}
}

func (a *app) writeFollowed(events []*api.AuditEvent, asJSON bool) error {
	if !asJSON {
		return a.writeEvents(events)
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	for _, e := range events {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) writeEvents(events []*api.AuditEvent) error {
	w := bufio.NewWriter(a.stdout)
	for _, e := range events {
		index := "-"
		if e.Index != nil {
			index = fmt.Sprint(*e.Index)
		}
		fmt.Fprintf(w, "%7s  %s  %-20s  %-12s  %s\n", index, e.Time.Local().Format(time.DateTime), shown(e.Type), whoActed(e), whatHappened(e))
	}
	return w.Flush()
}

var anID = regexp.MustCompile(`^[0-9a-f]{32}$`)

func fileID(ctx context.Context, c *client.Client, arg string) (string, error) {
	if arg == "" || anID.MatchString(arg) {
		return arg, nil
	}
	path, err := nodePath(arg)
	if err != nil {
		return "", err
	}
	node, err := c.Lookup(ctx, path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", shown(path), err)
	}
	return node.ID, nil
}

// moments are the ways to write one, in local time where they don't say.
var moments = []string{time.RFC3339, time.DateOnly, "2006-01-02 15:04", time.DateTime, "2006-01-02T15:04", "2006-01-02T15:04:05"}

func (a *app) moment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(strings.TrimPrefix(text, "-")); err == nil {
		return a.now().Add(-ago), nil
	}
	for _, form := range moments {
		if t, err := time.ParseInLocation(form, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, misuse("--"+flag+" 24h", "--%s takes a date, a date and time, or how long ago, unlike %s", flag, shown(text))
}
