package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/config"
	"stonevault/internal/masterkey"
	"stonevault/internal/metadb"
	"stonevault/internal/vault"
)

const (
	// settingConfiguration and settingSchema hold what the last start recorded.
	settingConfiguration = "audited_configuration"
	settingSchema        = "audited_schema"

	settleEvery = 5 * time.Second
)

// atMachine is who works with the commands of this program.
var atMachine = vault.Actor{Client: "stonevaultd"}

// auditConfig is what the parts of the audit log share.
func (o *opener) auditConfig(db *metadb.DB, key *masterkey.Ring) auditlog.Config {
	return auditlog.Config{Database: db.Audit(), Master: key, Rand: rand.Reader, Now: o.now}
}

// recordStart records what is new since the last start, and this one.
func (s *Server) recordStart(ctx context.Context) error {
	schema, err := s.store.db.Schema(ctx)
	if err != nil {
		return err
	}
	about, err := s.store.vault.About(ctx)
	if err != nil {
		return err
	}
	now := configurationOf(about.VaultID, s.Settings)
	software := s.Version[:min(len(s.Version), 64)]
	return s.store.db.Update(ctx, func(tx vault.Tx) error {
		record := func(t audit.Type, values audit.Values) error {
			e := audit.Event{Type: t, Time: s.Now(), Operational: values}
			if t != audit.ServerMigrated {
				e.Actor = auditlog.Actor{Client: atMachine.Client}.Values()
			}
			_, err := s.store.recorder.Record(ctx, tx.Audit(), e)
			return err
		}
		was, err := setting[int64](ctx, tx, settingSchema)
		if err != nil {
			return err
		}
		if was != 0 && was != schema {
			if err := record(audit.ServerMigrated, audit.Values{"from": was, "to": schema, "software": software}); err != nil {
				return err
			}
		}
		before, err := setting[map[string]string](ctx, tx, settingConfiguration)
		if err != nil {
			return err
		}
		if changed := differing(before, now); before != nil && len(changed) > 0 {
			err := record(audit.ServerConfigured, audit.Values{
				"settings": fingerprintOf(now), "previous": fingerprintOf(before), "changed": strings.Join(changed, ","),
			})
			if err != nil {
				return err
			}
		}
		if err := record(audit.ServerStarted, audit.Values{"software": software, "suite": int64(about.Suite), "settings": fingerprintOf(now)}); err != nil {
			return err
		}
		return errors.Join(putSetting(ctx, tx, settingSchema, schema), putSetting(ctx, tx, settingConfiguration, now))
	})
}

// configurationOf keeps of each setting a digest: whether it changed can be told by it, and not what it is. Of a
// secret, only whether there is one can be told.
func configurationOf(vaultID string, values []config.Value) map[string]string {
	settings := map[string]string{}
	for _, v := range values {
		sum := sha256.Sum256([]byte(vaultID + "\x00" + v.Setting.Key + "\x00" + v.Text))
		settings[v.Setting.Key] = hex.EncodeToString(sum[:16])
	}
	return settings
}

func fingerprintOf(settings map[string]string) string {
	text, err := json.Marshal(settings) // sorted by key
	if err != nil {
		panic(err) // strings
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// differing lists the keys whose values differ.
func differing(a, b map[string]string) (keys []string) {
	for key := range a {
		if a[key] != b[key] {
			keys = append(keys, key)
		}
	}
	for key := range b {
		if _, ok := a[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, cmp.Compare[string])
	return keys
}

// setting reads a JSON value that this program keeps; it is zero where there is none.
func setting[T any](ctx context.Context, tx vault.Tx, name string) (value T, err error) {
	text, err := tx.Settings().Get(ctx, name)
	if errors.Is(err, vault.ErrNotFound) {
		return value, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &value)
	}
	if err != nil {
		err = fmt.Errorf("setting %s: %w", name, err)
	}
	return value, err
}

func putSetting(ctx context.Context, tx vault.Tx, name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return tx.Settings().Put(ctx, name, text)
}

// settle records downloads that nobody goes on with, and what was counted, and fills up the reserve. While the master
// key is away it waits: nothing can be recorded.
func (s *Server) settle(ctx context.Context) {
	if ready := s.store.keyReady(); ready != nil && ready() != nil {
		return
	}
	s.settleAll(ctx, false)
}

func (s *Server) settleAll(ctx context.Context, all bool) {
	err := errors.Join(s.store.vault.EndDownloads(ctx, all), s.tally.Flush(ctx, all))
	if err != nil && ctx.Err() == nil {
		s.Log.Error("not all that happened could be recorded, and it will be tried again", "error", err)
	}
	if err := s.store.refill(); err != nil {
		s.Log.Warn("the reserve for a full disk could not be filled up", "error", err)
	}
}

// sequencing runs until ctx ends, and keeps the newest signed head where a restored directory does not bring
// an older one.
func (s *Server) sequencing(ctx context.Context) {
	s.jobs.Go(func() { s.store.sequencer.Run(ctx) })
	s.every(ctx, witnessEvery, func(ctx context.Context) {
		if err := s.witness.note(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("the newest head of the audit log could not be kept beside the data", "error", err)
		}
	})
}

// recordStop ends the audit log in order: what is under way, the stop, and a head that covers all of it.
func (s *Server) recordStop(ctx context.Context, reason string) error {
	s.settleAll(ctx, true)
	_, err := s.store.recorder.Do(ctx, audit.Event{Type: audit.ServerStopped, Time: s.Now(), Operational: audit.Values{"reason": reason}})
	if err == nil {
		err = s.store.sequencer.Step(ctx)
	}
	return errors.Join(err, s.witness.note(ctx))
}
