package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stonevault/audit"
	"stonevault/internal/anchor"
	"stonevault/internal/client"
)

type auditVerifyFlags struct {
	chainFlags
	json bool
}

func newAuditVerify(a *app) *cobra.Command {
	var f auditVerifyFlags
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check the whole audit log against all that was signed",
		Long: `Fetches the whole audit log and checks it: that its newest head is signed by the keys that were seen first; that it
continues what was seen before; that every event, every hash and every part that may be shown is what was signed; and
that all receipts that are kept hold and are of the same history. What was changed is named. Nothing of this trusts the
server.

With --rpc the log is held against the heads that were written to a chain too. Name two or more servers of different
operators: they are compared. Where heads are anchored is taken from the flags, or else as it was remembered, or else as
the vault says: then compare it with what was written down when anchoring was set up.

The exit code is 2 where something was changed, and 3 where something could not be checked.`,
		Example: "  " + auditExample + "\n  stonevault audit verify --rpc https://rpc.example.org --rpc https://other.example.net",
		Args:    operands(0, 0, "nothing but flags", auditExample),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.auditVerify(cmd.Context(), f) },
	}
	f.chainFlags.add(cmd)
	addJSON(cmd, &f.json)
	return cmd
}

// What a check says. They are words of the JSON report.
const (
	sound     = "ok"
	tampered  = "tampered"
	uncertain = "unchecked" // it could not be made
	unasked   = "not-asked"
)

// auditCheck is the outcome of one check.
type auditCheck struct {
	Name     string `json:"name"`
	Outcome  string `json:"outcome"`
	Sentence string `json:"sentence"`
}

// auditReport is what a verification found.
type auditReport struct {
	Outcome  string            `json:"outcome"` // the worst of all
	Origin   string            `json:"origin"`
	Size     int64             `json:"size"`
	Root     string            `json:"root"`
	SignedAt time.Time         `json:"signed_at,omitzero"`
	Checks   []auditCheck      `json:"checks"`
	Findings []audit.Finding   `json:"findings"`
	Found    int64             `json:"found"`
	Erasures []audit.Erasure   `json:"erasures"`
	Withheld int64             `json:"withheld_parts"` // that the caller may not see
	Anchored *client.Anchoring `json:"anchoring,omitempty"`
}

// auditor makes the checks.
type auditor struct {
	a      *app
	c      *client.Client
	p      *profile
	flags  chainFlags
	pin    *client.Pin // nil where there is none and none could be had
	head   *audit.Checkpoint
	heads  []audit.Tree // of the current log, signed
	report auditReport
}

func (a *app) auditVerify(ctx context.Context, f auditVerifyFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	c, p, err := a.signedIn(ctx)
	if err != nil {
		return err
	}
	v := &auditor{a: a, c: c, p: p, flags: f.chainFlags, report: auditReport{
		Checks: []auditCheck{}, Findings: []audit.Finding{}, Erasures: []audit.Erasure{},
	}}
	for _, check := range []func(context.Context) error{v.follow, v.receipts, v.records, v.chain} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	v.conclude()
	if f.json {
		err = writeJSON(a.stdout, &v.report)
	} else {
		err = v.write()
	}
	return errors.Join(v.verdict(), err)
}

// add notes a check: what it found, or that all is well, as a sentence.
func (v *auditor) add(name string, err error, format string, args ...any) {
	outcome, sentence := sound, fmt.Sprintf(format, args...)
	if err != nil {
		sentence = capital(err.Error())
		if outcome = uncertain; isTampering(err) {
			outcome = tampered
		}
	}
	v.report.Checks = append(v.report.Checks, auditCheck{name, outcome, strings.TrimSuffix(sentence, ".") + "."})
}

// isTampering tells evidence from what could not be checked.
func isTampering(err error) bool {
	return errors.Is(err, errFalse) || errors.Is(err, client.ErrOtherLog) || errors.Is(err, client.ErrLogRewritten) || anchor.Tampering(err)
}

// ends are failures after which there is nothing to report.
func ends(err error) bool {
	return errors.Is(err, client.ErrNotSignedIn) || errors.Is(err, context.Canceled)
}

// follow checks the newest head: its signatures, and that it continues what is remembered.
func (v *auditor) follow(ctx context.Context) error {
	store, err := v.a.pinStore()
	if err != nil {
		return err
	}
	before, _, err := store.load()
	if err != nil {
		return err
	}
	if before != nil && !v.p.isRoot(before.Root) {
		before = nil
	}
	v.pin, err = v.a.checkPin(ctx, v.c, v.p)
	switch {
	case ends(err):
		return err
	case err != nil:
		v.add("history", err, "")
		v.pin = before
		if before == nil || !errors.Is(err, client.ErrLogRewritten) {
			return nil
		}
		// The same log with another history: what was done to it can still be named.
		signed, err := v.c.AuditCheckpoint(ctx)
		if err != nil {
			return nil
		}
		if head, err := v.pin.Open(signed); err == nil {
			v.head, v.heads = &head, append(v.heads, head.Tree, v.pin.Head.Tree)
		}
		return nil
	case v.pin.Signed == nil:
		v.add("history", fmt.Errorf("the log %s %w: it has not signed anything yet; try again in a moment", v.pin.Key.Origin(), errUnchecked), "")
		return nil
	}
	v.head, v.heads = &v.pin.Head, append(v.heads, v.pin.Head.Tree)
	v.add("head", nil, "The log's newest head, of %s, is signed with both of its keys, %s", counted(v.pin.Head.Tree.Size, "event", "events"), v.pin.Head.Time.Local().Format(time.DateTime))
	if before == nil {
		v.add("history", nil, "The log %s was seen for the first time, and is remembered from now on", v.pin.Key.Origin())
		return nil
	}
	v.heads = append(v.heads, before.Head.Tree)
	v.add("history", nil, "The log continues the %s that were seen before", counted(before.Head.Tree.Size, "event", "events"))
	return nil
}

// receipts checks all that are kept, those of older logs too.
func (v *auditor) receipts(context.Context) error {
	store, err := v.a.pinStore()
	if err != nil {
		return err
	}
	pins, err := store.all()
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	var held int64
	for _, pin := range pins {
		if origin := pin.Key.Origin(); seen[origin] {
			continue
		} else {
			seen[origin] = true
		}
		paths, err := v.a.keptReceipts(pin.Key.Origin())
		if err != nil {
			return err
		}
		for _, path := range paths {
			r, err := keptReceipt(pin, path)
			if err != nil {
				v.add("receipts", fmt.Errorf("the receipt %s %w", shown(path), err), "")
				continue
			}
			held++
			if v.pin != nil && pin.Key.Equal(v.pin.Key) {
				v.heads = append(v.heads, r.head.Tree)
			}
		}
	}
	if held > 0 {
		v.add("receipts", nil, "%s", counted(held, "receipt that is kept holds", "receipts that are kept hold"))
	}
	return nil
}

// keptReceipt verifies a receipt under the name that it is kept by.
func keptReceipt(pin *client.Pin, path string) (*proven, error) {
	text, err := readReceipt(path)
	if errors.Is(err, errFalse) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnchecked, err)
	}
	r, err := openPinned(pin, text)
	if err == nil && filepath.Base(path) != strconv.FormatInt(r.index, 10)+receiptSuffix {
		err = fmt.Errorf("%w: it is of event %d", errFalse, r.index)
	}
	return r, err
}

// conclude says what all checks come to.
func (v *auditor) conclude() {
	r := &v.report
	if v.pin != nil {
		r.Origin, r.Anchored = v.pin.Key.Origin(), v.pin.Anchoring
	}
	if v.head != nil {
		r.Size, r.Root, r.SignedAt = v.head.Tree.Size, hex.EncodeToString(v.head.Tree.Root[:]), v.head.Time
	}
	worst := map[string]int{unasked: 0, sound: 0, uncertain: 1, tampered: 2}
	r.Outcome = sound
	for _, c := range r.Checks {
		if worst[c.Outcome] > worst[r.Outcome] {
			r.Outcome = c.Outcome
		}
	}
}

// verdict is the error that the exit code follows from.
func (v *auditor) verdict() error {
	switch v.report.Outcome {
	case tampered:
		return fmt.Errorf("the audit log %w; keep this report and the folder of this program's configuration, and tell those who have to know", errFalse)
	case uncertain:
		return fmt.Errorf("not all of the audit log was checked: a part %w", errUnchecked)
	}
	return nil
}

// shownFindings is how many are listed where people read.
const shownFindings = 50

func (v *auditor) write() error {
	var text strings.Builder
	for _, c := range v.report.Checks {
		fmt.Fprintf(&text, "%-9s  %s\n", c.Outcome, c.Sentence)
	}
	for i, f := range v.report.Findings {
		if i == shownFindings {
			break
		}
		fmt.Fprintf(&text, "%-9s  %s.\n", "", capital(f.String()))
	}
	if more := v.report.Found - int64(min(len(v.report.Findings), shownFindings)); more > 0 {
		fmt.Fprintf(&text, "%-9s  And %d more, of which --json lists the first %d.\n", "", more, audit.MaxFindings)
	}
	for _, e := range v.report.Erasures {
		fmt.Fprintf(&text, "%-9s  %s.\n", "erased", capital(e.String()))
	}
	if n := v.report.Withheld; n > 0 {
		fmt.Fprintf(&text, "%-9s  %s not checked: only admins, those whom they are about and, in part, their managers may see what they say. That they were not exchanged is.\n",
			"withheld", counted(n, "part was", "parts were"))
	}
	_, err := v.a.stdout.WriteString(text.String())
	return err
}
