package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stonevault/internal/client"
)

const restartExample = "stonevault audit accept-restart"

func newAcceptRestart(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "accept-restart",
		Short: "Accept that the audit log has begun anew, after a restore that was announced",
		Long: `After a restore, a vault begins a new audit log, and this program refuses to go on: somebody who wants to hide what
happened could do the same. Ask the administrators whether they have restored the vault and when. This shows the log
that is remembered beside the one that is there now, asks, and then remembers the new one. What was remembered of the old
one is kept, for "stonevault audit receipt --check".`,
		Example: "  " + restartExample,
		Args:    operands(0, 0, "nothing", restartExample),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.acceptRestart(cmd.Context(), yes) },
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) acceptRestart(ctx context.Context, yes bool) error {
	c, p, err := a.signedIn(ctx)
	if err != nil {
		return err
	}
	store, err := a.pinStore()
	if err != nil {
		return err
	}
	pin, was, err := store.load()
	if err != nil {
		return err
	}
	if pin == nil || !p.isRoot(pin.Root) {
		_, err := a.checkPin(ctx, c, p)
		if err == nil {
			a.say("There was nothing to accept: this is the first audit log that was seen of this vault.")
		}
		return err
	}
	switch _, err := c.FollowLog(ctx, pin); {
	case err == nil:
		a.say("There is nothing to accept: the audit log is the one that is remembered, and continues it.")
		return nil
	case !errors.Is(err, client.ErrOtherLog) && !errors.Is(err, client.ErrLogRewritten):
		return err
	}
	restart, err := c.Restart(ctx, pin)
	if err != nil {
		return err
	}
	if err := a.showRestart(pin, restart); err != nil {
		return err
	}
	if !yes {
		agreed, err := a.confirm("Have the administrators announced this? Remember the new log from now on? [y/N] ")
		if errors.Is(err, errNoTerminal) {
			return misuse(restartExample+" --yes", "somebody has to agree and %v", err)
		}
		if err != nil {
			return err
		}
		if !agreed {
			return errors.New("nothing was changed")
		}
	}
	done, err := store.swap(ctx, was, restart.Pin, true)
	if err == nil && !done {
		err = errors.New("another program has changed what is remembered meanwhile; run this again")
	}
	if err != nil {
		return err
	}
	a.say("Remembered the log %s. The receipts of the old one are kept.", restart.Pin.Key.Origin())
	return nil
}

// showRestart shows both logs.
func (a *app) showRestart(pin *client.Pin, r *client.Restart) error {
	reason := r.Reason
	if reason == "" {
		reason = "not said"
	}
	t := newTable(a.stdout)
	for _, side := range []struct {
		name string
		pin  *client.Pin
	}{{"remembered", pin}, {"there now", r.Pin}} {
		head := side.pin.Head
		signed := "nothing signed yet"
		if side.pin.Signed != nil {
			signed = "signed " + head.Time.Local().Format(time.DateTime)
		}
		t.row(side.name, "%s, %s, %s", head.Origin, counted(head.Tree.Size, "event", "events"), signed)
	}
	t.row("begun", "%s, reason: %s", r.BegunAt.Local().Format(time.DateTime), shown(reason))
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "Of the new log: %s.\n", r.Claim(pin))
	return err
}

// confirm asks a question on the terminal, to which nothing but yes means yes.
func (a *app) confirm(question string) (bool, error) {
	if a.noInput {
		return false, errNoTerminal
	}
	t, err := a.openTerminal()
	if err != nil {
		return false, errNoTerminal
	}
	defer t.close()
	fmt.Fprint(t.out, question)
	line, err := bufio.NewReader(t.in).ReadString('\n')
	if err != nil && err != io.EOF {
		return false, errNoTerminal
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}
