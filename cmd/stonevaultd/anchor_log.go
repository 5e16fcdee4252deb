package main

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"stonevault/internal/auditlog"
)

// auditLog is what anchoring uses of the audit log.
type auditLog struct {
	recorder  *auditlog.Recorder
	sequencer *auditlog.Sequencer
	reader    *auditlog.Reader
}

// auditLog makes the parts of the audit log.
func (s *store) auditLog(now func() time.Time, failed func(error)) auditLog {
	c := auditlog.Config{Database: s.db.Audit(), Master: s.key, Rand: rand.Reader, Now: now}
	sequencer := auditlog.NewSequencer(c, failed)
	return auditLog{auditlog.NewRecorder(c, sequencer.Wake), sequencer, auditlog.NewReader(c)}
}

// begin begins the log where there is none.
func (l auditLog) begin(ctx context.Context, s *store) error {
	if _, err := l.reader.PublicKey(ctx); !errors.Is(err, auditlog.ErrNoLog) {
		return err
	}
	err := s.db.Audit().Update(ctx, func(store auditlog.Store) error {
		_, err := l.recorder.Begin(ctx, store, auditlog.Beginning{Reason: "first"})
		return err
	})
	if errors.Is(err, auditlog.ErrBegun) {
		return nil
	}
	return err
}
