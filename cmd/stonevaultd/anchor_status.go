package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"stonevault/audit"
	"stonevault/internal/anchor"
	"stonevault/internal/anchor/journal"
	"stonevault/internal/auditlog"
	"stonevault/internal/config"
)

func newAnchorStatus(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status --data DIR",
		Short: "Say how anchoring is doing, and check the audit log against the chain",
		Long: `Shows the last anchor, what is under way and how many events are not anchored, and checks that the audit log
here continues the head that the chain has, while the server runs or not. It changes nothing and costs nothing. It needs
the server's settings of anchoring.

The exit code is 0 when all is well, 1 when something is to be done, 2 when the log is not the one that was anchored,
and 3 when that could not be checked.`,
		Example: `  stonevaultd anchor status --data ./data --config stonevault.toml`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.besideAnchoring(cmd, func(ctx context.Context, s *store, c config.Config) error {
				return a.anchorStatus(ctx, s, c, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	config.AddFlags(cmd.Flags(), append(anchorFlags, besideFlags...)...)
	return cmd
}

// anchorReport is what status prints.
type anchorReport struct {
	Condition  string     `json:"condition"`
	Problem    string     `json:"problem"`
	Serving    bool       `json:"server_running"`
	Chain      uint64     `json:"chain"`
	Contract   string     `json:"contract"`
	Log        string     `json:"log"`
	Origin     string     `json:"origin"`
	Anchorer   string     `json:"anchorer"`
	Events     int64      `json:"events"`
	Unanchored int64      `json:"unanchored"`
	Last       *anchorRow `json:"last"`
	InFlight   *anchorRow `json:"in_flight"`
	OnChain    *chainHead `json:"on_chain"` // null where the chain could not be asked
}

// anchorRow is a row of the journal.
type anchorRow struct {
	State       string    `json:"state"`
	Events      uint64    `json:"events"`
	Transaction string    `json:"transaction,omitempty"`
	Block       uint64    `json:"block,omitempty"`
	Since       time.Time `json:"since"`
}

// chainHead is what the chain has at a final block.
type chainHead struct {
	Events  int64  `json:"events"`
	Block   uint64 `json:"block"`
	Servers int    `json:"servers"`
}

func rowOf(r journal.Row) *anchorRow {
	if r.ID == 0 {
		return nil
	}
	row := &anchorRow{State: r.State.String(), Events: r.Size, Block: r.Block, Since: r.Changed}
	if r.Raw != nil {
		row.Transaction = prefixed(r.Hash[:])
	}
	return row
}

// sender is the anchorer's address, for which its key need not be opened.
func sender(c config.Anchor) (string, [20]byte, error) {
	text, err := anchor.AddressIn(c.Key)
	if err != nil {
		k, err := anchor.OpenKey(c.Key, string(c.KeyPassphrase))
		if err != nil {
			return "", [20]byte{}, err
		}
		return k.Address().Hex(), k.Address(), nil
	}
	raw, err := anchor.AddressBytes(text)
	return text, raw, err
}

// journalState is what the journal has of a sender.
type journalState struct{ last, inFlight, abandoned journal.Row }

func (a *anchoring) read(ctx context.Context, s journal.Scope) (j journalState, err error) {
	open, err := a.journal.Unsettled(ctx, s)
	if err != nil {
		return j, err
	}
	if len(open) > 0 {
		j.inFlight = open[len(open)-1]
	}
	for state, row := range map[journal.State]*journal.Row{journal.Final: &j.last, journal.Abandoned: &j.abandoned} {
		if *row, err = a.journal.Newest(ctx, s, state); err != nil && !errors.Is(err, journal.ErrNotFound) {
			return j, err
		}
	}
	if j.abandoned.ID < j.last.ID {
		j.abandoned = journal.Row{}
	}
	return j, nil
}

func (a *app) anchorStatus(ctx context.Context, s *store, c config.Config, asJSON bool) error {
	an, err := openAnchoring(ctx, s, c.Anchor, a.now)
	if err != nil {
		return err
	}
	defer an.chain.Close()
	address, raw, err := sender(c.Anchor)
	if err != nil {
		return err
	}
	t := an.chain.Target()
	r := anchorReport{Chain: t.ChainID, Contract: t.Contract.Hex(), Log: prefixed(t.Log[:]), Origin: an.origin, Anchorer: address}
	j, err := an.read(ctx, an.scope(raw))
	if err != nil {
		return err
	}
	r.Last, r.InFlight = rowOf(j.last), rowOf(j.inFlight)
	checkpoint, err := an.heads.Latest(ctx)
	if err == nil || errors.Is(err, auditlog.ErrNotFound) {
		r.Events = checkpoint.Tree.Size
		err = an.verify(ctx, checkpoint, j, &r)
	}
	r.Unanchored = max(0, r.Events-int64(j.last.Size))
	if r.OnChain != nil {
		r.Unanchored = max(0, r.Events-r.OnChain.Events)
	}
	// What the server found counts where nothing was found here, and evidence counts most.
	if byServer := a.serverSays(ctx, s, an, j, &r); err == nil || errors.Is(byServer, errTampering) && !anchor.Tampering(err) {
		err = byServer
	}
	return a.say(r, err, asJSON)
}

// verify holds the log against the chain.
func (a *anchoring) verify(ctx context.Context, c audit.Checkpoint, j journalState, r *anchorReport) error {
	if c.Origin == "" {
		c = audit.Checkpoint{Origin: a.origin, Tree: audit.EmptyTree()} // nothing is signed yet
	}
	// The contract's head is what counts. Old receipts are not kept by every server, so that a claim by the
	// journal is not held against them.
	v, err := a.chain.Verify(ctx, c, func(ctx context.Context, old int64) ([]audit.Hash, error) {
		return a.heads.Consistency(ctx, old, c.Tree)
	})
	if v.Servers > 0 {
		r.OnChain = &chainHead{v.Anchored.Size, v.Block, v.Servers}
	}
	if (err == nil || errors.Is(err, anchor.ErrNotAnchored)) && j.last.ID != 0 && v.Block >= j.last.Block && v.Anchored.Size < int64(j.last.Size) {
		return fmt.Errorf("%w (size %d in block %d; by block %d it has size %d)", anchor.ErrTakenBack, j.last.Size, j.last.Block, v.Block, v.Anchored.Size)
	}
	return err
}

// serverSays is the problem of the server that runs, or of the last anchor.
func (a *app) serverSays(ctx context.Context, s *store, an *anchoring, j journalState, r *anchorReport) (err error) {
	if j.abandoned.ID != 0 {
		err = fmt.Errorf("%w: %s", anchor.ErrAbandoned, j.abandoned.Reason)
	}
	held, _, lockErr := s.served(ctx)
	if lockErr != nil || !held {
		return errors.Join(lockErr, err)
	}
	r.Serving = true
	n, readErr := readSetting[note](ctx, an.db, settingAnchorState)
	if readErr != nil {
		return readErr
	}
	switch n.Condition {
	case "", conditionStarting, anchor.Condition(nil):
		return err
	}
	return n.err()
}

// err is what a note tells of, or nil.
func (n note) err() error {
	var kind error
	switch {
	case n.Condition == conditionOff:
		return errors.New("the server that runs anchors nothing; give it the settings of anchoring, and restart it")
	case n.Problem == "":
		return nil
	case n.Tampering:
		kind = errTampering
	}
	return serverError{n, kind}
}

// serverError is a problem in the words of the server that has it.
type serverError struct {
	note
	kind error // of the exit code, or nil
}

func (e serverError) Error() string { return e.Problem }
func (e serverError) Unwrap() error { return e.kind }

// say prints the report and ends as its problem asks for.
func (a *app) say(r anchorReport, problem error, asJSON bool) error {
	r.Condition = anchor.Condition(problem)
	if byServer, ok := errors.AsType[serverError](problem); ok {
		r.Condition = byServer.Condition
	}
	if problem != nil {
		r.Problem = problem.Error()
	}
	var err error
	if asJSON {
		err = json.NewEncoder(a.stdout).Encode(r)
	} else {
		err = r.print(a.stdout)
	}
	if err != nil || problem == nil {
		return err
	}
	return errors.Join(errSaid, ending(problem))
}

// evidence gives an error the exit code of tampering, where it tells of that.
func evidence(problem error) error {
	if errors.Is(problem, errTampering) || anchor.Tampering(problem) {
		return exitError{problem, errTampering}
	}
	return problem
}

// ending gives a problem of a check its exit code.
func ending(problem error) error {
	if anchor.Unchecked(problem) {
		return exitError{problem, errUnchecked}
	}
	return evidence(problem)
}

func (r anchorReport) print(w io.Writer) error {
	line := func(row *anchorRow) string {
		if row == nil {
			return "none"
		}
		text := fmt.Sprintf("%d events, %s since %s", row.Events, row.State, row.Since.UTC().Format(time.RFC3339))
		if row.Transaction != "" {
			text += ", transaction " + row.Transaction
		}
		if row.Block != 0 {
			text += fmt.Sprintf(", block %d", row.Block)
		}
		return text
	}
	onChain := "not known"
	if h := r.OnChain; h != nil {
		onChain = fmt.Sprintf("%d events at the final block %d, by the word of %d RPC servers", h.Events, h.Block, h.Servers)
	}
	server := "runs"
	if !r.Serving {
		server = "none runs"
	}
	_, err := fmt.Fprintf(w, `condition     %s
problem       %s
server        %s
where         chain %d, contract %s, log %s
anchorer      %s
audit log     %d events, %d not anchored
last anchor   %s
under way     %s
on the chain  %s
`, r.Condition, cmp.Or(r.Problem, "none"), server, r.Chain, r.Contract, r.Log, r.Anchorer, r.Events, r.Unanchored, line(r.Last), line(r.InFlight), onChain)
	return err
}
