package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/audit"
	"stonevault/internal/client"
)

const receiptExample = "stonevault audit receipt 1042"

type receiptFlags struct {
	out   string
	force bool
	check bool
	key   string
	json  bool
}

func newAuditReceipt(a *app) *cobra.Command {
	var f receiptFlags
	cmd := &cobra.Command{
		Use:   "receipt (EVENT | --check FILE)",
		Short: "Get the proof of an event, or check one without a server",
		Long: `Gets the receipt of an event, named by its number in "stonevault audit log", checks it and writes it into a file. It
proves what was recorded and when, to anybody who has the log's key.

--check reads such a file and needs no server: it takes the key that was remembered of the log, or the one in --key, a
file with two lines. The exit code is 2 where the receipt does not hold, and 3 where there is no key to check it with.`,
		Example: "  " + receiptExample + "\n  stonevault audit receipt --check 1042.tlog-proof",
		Args:    operands(1, 1, "the number of an event, or a file with --check", receiptExample),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.check {
				return a.checkReceipt(f, args[0])
			}
			return a.fetchReceipt(cmd.Context(), f, args[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.out, "output", "o", "", "write the receipt into `FILE`, instead of EVENT.tlog-proof; \"-\" is a pipe")
	flags.BoolVar(&f.force, "force", false, "replace the file if it exists")
	flags.BoolVar(&f.check, "check", false, "check the receipt in a file, without a server")
	flags.StringVar(&f.key, "key", "", "check with the log's key in `FILE`, instead of the one that was remembered")
	addJSON(cmd, &f.json)
	return cmd
}

func (a *app) fetchReceipt(ctx context.Context, f receiptFlags, arg string) error {
	index, err := strconv.ParseInt(arg, 10, 64)
	switch {
	case err != nil || index < 0 || index > audit.MaxSize:
		return misuse(receiptExample, "an event is named by its number in the log, unlike %s; a file is checked with --check", shown(arg))
	case f.key != "":
		return misuse("stonevault audit receipt --check FILE --key FILE", "--key goes with --check")
	}
	c, p, err := a.signedIn(ctx)
	if err != nil {
		return err
	}
	pin, err := a.checkPin(ctx, c, p)
	if err != nil {
		return err
	}
	text, err := c.ReceiptAt(ctx, index)
	if errors.Is(err, client.ErrNotFound) {
		return fmt.Errorf("event %d: there is none yet, or it is not yours to see: %w", index, err)
	}
	if err != nil {
		return err
	}
	r, err := openReceipt(pin.Key, text)
	if err == nil && r.index != index {
		err = fmt.Errorf("%w: it is of event %d", errFalse, r.index)
	}
	if err != nil {
		return fmt.Errorf("the receipt of event %d %w", index, err)
	}
	if err := a.followHeads(ctx, c, p, pin, r.head.Tree); err != nil {
		return err
	}
	target := f.out
	if target == "" {
		target = arg + receiptSuffix
	}
	out, err := a.createOutput(target, f.force)
	if err != nil {
		return err
	}
	defer out.abort()
	if _, err := out.writer().Write(text); err != nil {
		return fileError("write", target, err)
	}
	if err := out.commit(attributes{0o644, a.now()}); err != nil {
		return err
	}
	if out.stream {
		return nil
	}
	a.say("Wrote %s.", shown(target))
	return a.writeProven(f.json, r)
}

func (a *app) checkReceipt(f receiptFlags, path string) error {
	if f.out != "" || f.force {
		return misuse("stonevault audit receipt --check FILE", "--check writes no file; leave -o and --force out")
	}
	text, err := readReceipt(path)
	if errors.Is(err, errFalse) {
		return fmt.Errorf("%s %w", shown(path), err)
	}
	if err != nil {
		return err
	}
	r, err := a.openKept(text, f.key)
	if err != nil {
		return fmt.Errorf("%s %w", shown(path), err)
	}
	return a.writeProven(f.json, r)
}

// openKept verifies a receipt without a server: with the key in a file or, where none is named, with the one that was
// remembered of its log, whose remembered head it then must not contradict.
func (a *app) openKept(text []byte, keyFile string) (*proven, error) {
	if keyFile != "" {
		b, err := readBounded(keyFile, 64<<10)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUnchecked, err)
		}
		key, err := audit.ParsePublicKey(string(b))
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errUnchecked, shown(keyFile), err)
		}
		return openReceipt(key, text)
	}
	store, err := a.pinStore()
	if err != nil {
		return nil, err
	}
	pins, err := store.all()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnchecked, err)
	}
	r, err := audit.ParseReceipt(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFalse, err)
	}
	for _, pin := range pins {
		if pin.Key.Origin() == client.Origin(r.Checkpoint) {
			return openPinned(pin, text)
		}
	}
	return nil, fmt.Errorf("%w: nothing is remembered of the log %.255q; give its key with --key FILE", errUnchecked, client.Origin(r.Checkpoint))
}

// openPinned verifies a receipt of a pinned log.
func openPinned(pin *client.Pin, text []byte) (*proven, error) {
	r, err := openReceipt(pin.Key, text)
	if err == nil && r.head.Tree.Size == pin.Head.Tree.Size && r.head.Tree != pin.Head.Tree {
		return nil, fmt.Errorf("%w: it is of another history than the one that was seen: both have %d events", errFalse, r.head.Tree.Size)
	}
	return r, err
}

// readReceipt reads a file that should be a receipt.
func readReceipt(path string) ([]byte, error) {
	text, err := readBounded(path, audit.MaxReceipt)
	if errors.Is(err, errTooLong) {
		err = fmt.Errorf("%w: it is longer than any receipt", errFalse)
	}
	return text, err
}

var errTooLong = errors.New("is too long")

// readBounded reads a file that has at most so many bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, _, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fileError("read", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s %w: it has more than %d bytes", shown(path), errTooLong, limit)
	}
	return b, nil
}

// writeProven shows what a receipt proves.
func (a *app) writeProven(asJSON bool, r *proven) error {
	e := r.asEvent()
	if asJSON {
		return writeJSON(a.stdout, struct {
			*api.AuditEvent
			Log  string    `json:"origin"`
			Size int64     `json:"checkpoint_size"`
			At   time.Time `json:"signed_at"`
		}{e, r.head.Origin, r.head.Tree.Size, r.head.Time})
	}
	t := newTable(a.stdout)
	t.row("event", "%d of %s", r.index, r.head.Origin)
	t.row("time", "%s", e.Time.Local().Format("2006-01-02 15:04:05.000 MST"))
	t.row("what", "%s: %s", e.Type, whatHappened(e))
	t.row("who", "%s", whoActed(e))
	t.row("proven by", "the signed head of %d events, %s", r.head.Tree.Size, r.head.Time.Local().Format(time.DateTime))
	return t.Flush()
}

// asEvent is the event in the form that lists have it in.
func (r *proven) asEvent() *api.AuditEvent {
	return &api.AuditEvent{
		Index: &r.index, Type: r.event.Type.String(), TypeVersion: int(r.event.Version), Time: r.event.Time,
		Operational: r.event.Operational, Actor: r.event.Actor, Subject: r.event.Subject,
	}
}
