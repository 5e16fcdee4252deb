package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"stonevault/internal/anchor"
	"stonevault/internal/anchor/journal"
	"stonevault/internal/auditlog"
	"stonevault/internal/config"
)

const (
	// beatEvery is how often a waiting command has the server look at the chain.
	beatEvery = 4 * time.Second
	// stepEvery is how often a worker here does.
	stepEvery = 2 * time.Second
)

func newAnchorNow(a *app) *cobra.Command {
	var noWait bool
	cmd := &cobra.Command{
		Use:   "now --data DIR",
		Short: "Anchor the audit log now, and wait until that is final",
		Long: `Asks the running server to anchor the newest head of the audit log, whatever the interval; or, where none runs,
does it here. It ends when the anchor is final, which takes some seconds on Polygon, and can be interrupted: what was
sent is not lost, and the server, or the next call, goes on. It needs the server's settings of anchoring.`,
		Example: `  stonevaultd anchor now --data ./data --config stonevault.toml`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.besideAnchoring(cmd, func(ctx context.Context, s *store, c config.Config) error {
				return a.anchorNow(ctx, s, c, noWait)
			})
		},
	}
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "ask the server and end")
	config.AddFlags(cmd.Flags(), append(anchorFlags, besideFlags...)...)
	return cmd
}

func (a *app) anchorNow(ctx context.Context, s *store, c config.Config, noWait bool) error {
	an, err := openAnchoring(ctx, s, c.Anchor, a.now)
	if err != nil {
		return err
	}
	defer an.chain.Close()
	_, raw, err := sender(c.Anchor)
	if err != nil {
		return err
	}
	watch := &anchorWatch{app: a, anchoring: an, scope: an.scope(raw)}
	release, err := s.instead(ctx, jobAnchor)
	switch {
	case err != nil:
		return err
	case release == nil:
		return watch.byServer(ctx, s, noWait)
	case noWait:
		return errors.Join(misuse("--no-wait asks a running server, and none uses %s; leave it out", s.places), release())
	}
	return errors.Join(watch.here(ctx, s.sequencer, c.Anchor), release())
}

// anchorWatch waits for an anchor and says how far it is.
type anchorWatch struct {
	*app
	*anchoring
	scope journal.Scope

	wanted int64
	given  int64 // the ID of the newest row that was given up before
	said   string
}

// begin finds out what is to be anchored. It is done where nothing has happened since the last anchor but its
// own event.
func (w *anchorWatch) begin(ctx context.Context) (done bool, err error) {
	head, err := w.heads.Latest(ctx)
	if errors.Is(err, auditlog.ErrNotFound) {
		return false, errors.New("the audit log has no signed head yet; start the server once")
	}
	if err != nil {
		return false, evidence(err)
	}
	j, err := w.read(ctx, w.scope)
	if err != nil {
		return false, err
	}
	w.wanted, w.given = head.Tree.Size, j.abandoned.ID
	if last := int64(j.last.Size); last > 0 && w.wanted-last < 2 && j.inFlight.ID == 0 {
		w.tell("Nothing has happened since the last anchor, which covers %d events.", last)
		return true, nil
	}
	return false, nil
}

// awaitSigned waits, not for ever, until the server has signed what has happened up to now.
func (w *anchorWatch) awaitSigned(ctx context.Context) error {
	for range 20 {
		waiting := false
		err := w.db.Audit().View(ctx, func(store auditlog.Store) error {
			l, err := store.CurrentLog(ctx)
			if err != nil {
				return err
			}
			pending, err := store.PendingEvents(ctx, 1)
			if err != nil {
				return err
			}
			head, err := store.Head(ctx, l.ID)
			if err != nil {
				return err
			}
			signed, err := store.Checkpoint(ctx, l.ID)
			waiting = len(pending) > 0 || signed.Size < head.Size
			if errors.Is(err, auditlog.ErrNotFound) {
				return nil
			}
			return err
		})
		if err != nil || !waiting {
			return err
		}
		if err := pause(ctx, watchEvery/4); err != nil {
			return err
		}
	}
	return nil
}

// tell says something unless it was the last thing said.
func (w *anchorWatch) tell(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != w.said {
		w.said = text
		fmt.Fprintln(w.stderr, text)
	}
}

// look tells whether the anchor is final, by the journal.
func (w *anchorWatch) look(ctx context.Context) (done bool, err error) {
	j, err := w.read(ctx, w.scope)
	if err != nil {
		return false, err
	}
	switch r := j.inFlight; {
	case int64(j.last.Size) >= w.wanted:
		w.tell("Anchored: %d events, in block %d, by the transaction %s.", j.last.Size, j.last.Block, prefixed(j.last.Hash[:]))
		return true, nil
	case j.abandoned.ID > w.given:
		return false, evidence(fmt.Errorf("%w: %s", anchor.ErrAbandoned, j.abandoned.Reason))
	case r.State == journal.Mined:
		w.tell("The transaction %s is in block %d, which is not final yet.", prefixed(r.Hash[:]), r.Block)
	case r.State == journal.Sent:
		w.tell("The transaction %s is on its way.", prefixed(r.Hash[:]))
	case r.ID == 0 && w.said == "":
		w.tell("%d events are to be anchored.", w.wanted)
	}
	return false, nil
}

// byServer asks the server that runs, and watches it.
func (w *anchorWatch) byServer(ctx context.Context, s *store, noWait bool) error {
	if err := w.awaitSigned(ctx); err != nil {
		return err
	}
	if done, err := w.begin(ctx); done || err != nil {
		return err
	}
	d := demand{Log: w.origin, Size: w.wanted, By: rand.Text()}
	var beat time.Time
	for {
		if w.app.now().Sub(beat) >= beatEvery {
			beat = w.app.now()
			d.Beat++
			if err := writeSetting(ctx, w.db, settingAnchorNow, d); err != nil {
				return err
			}
		}
		if noWait {
			w.tell("The server was asked to anchor %d events.", w.wanted)
			return nil
		}
		if done, err := w.look(ctx); done || err != nil {
			return err
		}
		if err := w.hear(ctx, s); err != nil {
			return err
		}
		if err := pause(ctx, watchEvery); err != nil {
			return err
		}
	}
}

// hear says what the server says. It is an error where waiting longer will not help.
func (w *anchorWatch) hear(ctx context.Context, s *store) error {
	if held, _, err := s.served(ctx); err != nil || !held {
		return errors.Join(err, errors.New("the server has stopped; run this again, and it goes on"))
	}
	n, err := readSetting[note](ctx, w.db, settingAnchorState)
	if err != nil {
		return err
	}
	err = n.err()
	if err != nil && (n.Condition == conditionOff || n.Tampering || anchor.Lasting(n.Condition)) {
		return err
	}
	if err != nil {
		w.tell("The server waits: %v.", err)
	}
	return nil
}

// here does what the server does where none runs.
func (w *anchorWatch) here(ctx context.Context, sequencer *auditlog.Sequencer, c config.Anchor) error {
	if err := sequencer.Step(ctx); err != nil {
		return evidence(err)
	}
	if done, err := w.begin(ctx); done || err != nil {
		return err
	}
	key, err := openAnchorKey(c)
	if err != nil {
		return err
	}
	worker, err := w.worker(c, key, nil, w.app.now)
	if err != nil {
		return err
	}
	for asked := false; ; asked = true {
		err := worker.Step(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if done, lookErr := w.look(ctx); done || lookErr != nil {
			// The event of the anchor gets its place at once.
			return errors.Join(lookErr, sequencer.Step(ctx))
		}
		switch condition := anchor.Condition(err); {
		case err != nil && anchor.Lasting(condition):
			return evidence(err)
		case err != nil && condition != anchor.Condition(anchor.ErrAbandoned): // of one before this
			w.tell("Waiting: %v.", err)
		}
		pass(worker, w.wanted, asked)
		if !asked {
			continue
		}
		if err := pause(ctx, stepEvery); err != nil {
			return err
		}
	}
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
