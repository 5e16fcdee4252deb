package main

import (
	"context"
	"errors"

	"stonevault/internal/auditlog"
)

// auditLog looks whether the audit log is the one that was signed last; what is inside is for audit fsck.
func (d *doctor) auditLog(ctx context.Context) {
	const check = "audit log"
	reader := auditlog.NewReader(d.auditConfig(d.store.db, d.store.key))
	summary, err := reader.Summary(ctx)
	if err == nil {
		err = (&witness{path: d.store.dir.AuditHead(), reader: reader}).check(ctx)
	}
	switch {
	case errors.Is(err, errSetBack):
		d.say(check, levelFail, "%v; if you restored a backup, say so with: %s", err, d.hint("audit restart --yes"))
	case errors.Is(err, auditlog.ErrNoLog):
		d.say(check, levelWarn, "none was begun yet; start the server, which begins one")
	case err != nil:
		d.say(check, levelFail, "%v", err)
	default:
		d.say(check, levelOK, "it continues what was signed last, which covers %d events; to read all of it: %s", summary.Checkpoint.Tree.Size, d.hint("audit fsck"))
	}
}
