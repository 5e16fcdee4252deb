package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"stonevault/api"
	"stonevault/audit"
)

var (
	// ErrOtherLog is an audit log with another name or other keys than the one that was seen first.
	ErrOtherLog = errors.New("this is not the audit log that was here before")
	// ErrLogRewritten is the same audit log with another history than before, or set back.
	ErrLogRewritten = errors.New("the audit log is not what it was")
)

// afterRestore says what a person does who expected that.
const afterRestore = `; if the administrators have announced a restore, type "stonevault audit accept-restart", and otherwise ask them`

// Pin is what is remembered of a vault's audit log: its key, and the newest signed head that was seen. Every later
// head must be signed by that key, and continue that one. A Pin is not changed; a newer one takes its place.
type Pin struct {
	Root   string           // the fingerprint of the vault's root, in hex: whose log it is
	Key    *audit.PublicKey // of the log; its origin is the log's name
	Signed []byte           // the head as it was signed; nil where none was seen yet
	Head   audit.Checkpoint // what Signed says; an empty tree where there is none
	// Anchoring is where the log's heads are anchored, once that is known.
	Anchoring *Anchoring
}

// Anchoring says where a log is anchored, as text.
type Anchoring struct {
	ChainID  uint64 `json:"chain_id"`
	Contract string `json:"contract"`
	Creator  string `json:"creator"`
}

// NewPin pins a log at first contact, when nothing is known that it could be held against.
func NewPin(root string, log *api.AuditLog) (*Pin, error) {
	key, err := audit.ParsePublicKey(log.PublicKey)
	if err == nil && key.Origin() != log.Origin {
		err = fmt.Errorf("%w: the server calls it %.255q, and its key %q", audit.ErrKey, log.Origin, key.Origin())
	}
	if err != nil {
		return nil, fmt.Errorf("the server's audit log cannot be followed: %w", err)
	}
	return pinned(root, key, []byte(log.Checkpoint))
}

func pinned(root string, key *audit.PublicKey, signed []byte) (*Pin, error) {
	p := &Pin{Root: root, Key: key, Head: audit.Checkpoint{Origin: key.Origin(), Tree: audit.EmptyTree()}}
	if len(signed) == 0 {
		return p, nil
	}
	head, err := p.Open(signed)
	if err != nil {
		return nil, err
	}
	p.Signed, p.Head = signed, head
	return p, nil
}

// Open verifies a head of the pinned log by itself: ErrOtherLog where the log's keys haven't signed it.
func (p *Pin) Open(checkpoint []byte) (audit.Checkpoint, error) {
	head, err := p.Key.Open(checkpoint)
	if err == nil {
		return head, nil
	}
	if name := Origin(checkpoint); name != p.Key.Origin() {
		return head, fmt.Errorf("%w: it was %s, and now there is %.255q", ErrOtherLog, p.Key.Origin(), name)
	}
	return head, fmt.Errorf("%w: its head is not signed by the two keys that were seen first: %w", ErrOtherLog, err)
}

// Origin is the name that a checkpoint bears. It was not verified.
func Origin(checkpoint []byte) string {
	name, _, _ := bytes.Cut(checkpoint, []byte("\n"))
	return string(name)
}

// Advance returns the pin with a newer head, if that one continues the pin's: ErrOtherLog or ErrLogRewritten if not.
func (p *Pin) Advance(to *Consistency) (*Pin, error) {
	head, err := p.Open(to.Checkpoint)
	if err != nil {
		return nil, err
	}
	was, is := p.Head.Tree, head.Tree
	switch err := is.VerifyConsistency(was, to.Proof); {
	case is.Size < was.Size:
		return nil, fmt.Errorf("%w: it has been set back from %d events to %d", ErrLogRewritten, was.Size, is.Size)
	case is.Size == was.Size && is != was:
		return nil, fmt.Errorf("%w: its %d events are others than before", ErrLogRewritten, was.Size)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrLogRewritten, err)
	}
	next := *p
	next.Signed, next.Head = to.Checkpoint, head
	return &next, nil
}

// FollowLog shows that the log continues the pinned one, and returns the pin with the log's newest head.
func (c *Client) FollowLog(ctx context.Context, p *Pin) (*Pin, error) {
	next, err := c.followed(ctx, p)
	if errors.Is(err, ErrOtherLog) {
		err = c.explained(ctx, p, err)
	}
	if errors.Is(err, ErrOtherLog) || errors.Is(err, ErrLogRewritten) {
		err = fmt.Errorf("%w%s", err, afterRestore)
	}
	return next, err
}

func (c *Client) followed(ctx context.Context, p *Pin) (*Pin, error) {
	reply, err := c.AuditConsistency(ctx, p.Head.Tree.Size)
	switch {
	case errors.Is(err, audit.ErrProof):
		return nil, fmt.Errorf("%w: %w", ErrLogRewritten, err)
	case err == nil:
		return p.Advance(reply)
	case !errors.Is(err, ErrNotFound):
		return nil, err
	}
	// It has fewer events, or is a new one. Which one it is, it says itself.
	log, err := c.AuditLog(ctx)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, fmt.Errorf("%w: the server shows no audit log any more", ErrLogRewritten)
	case err != nil:
		return nil, err
	case log.PublicKey != p.Key.Text():
		return nil, fmt.Errorf("%w: it was %s, and now there is %.255q", ErrOtherLog, p.Key.Origin(), log.Origin)
	case log.Checkpoint == "" && p.Signed == nil:
		return p, nil // nothing was signed yet
	}
	return p.Advance(&Consistency{Checkpoint: []byte(log.Checkpoint)})
}

// FollowHeads is FollowLog, and shows that further heads, which the log's key has signed, are of that history too. Each
// is held against the one newest head, by a proof that is made here from the log's tiles: the server's own proofs are up
// to a head that may be another each time, so that two histories could pass for one, and a busy log would never end.
func (c *Client) FollowHeads(ctx context.Context, p *Pin, heads ...audit.Tree) (*Pin, error) {
	next, err := c.FollowLog(ctx, p)
	if err != nil {
		return nil, err
	}
	newest, tiles := next.Head.Tree, &logTiles{ctx: ctx, c: c, known: map[audit.Tile][]byte{}}
	for _, head := range distinct(heads) {
		proof, err := newest.ProveConsistency(tiles, head.Size)
		if err == nil {
			err = newest.VerifyConsistency(head, proof)
		}
		if errors.Is(err, audit.ErrProof) || errors.Is(err, audit.ErrTiles) || errors.Is(err, ErrNotFound) {
			err = fmt.Errorf("%w: %w%s", ErrLogRewritten, err, afterRestore)
		}
		if err != nil {
			return nil, err
		}
	}
	return next, nil
}

// logTiles reads tiles for proofs, which check them, each once.
type logTiles struct {
	ctx   context.Context
	c     *Client
	known map[audit.Tile][]byte
}

func (t *logTiles) ReadTiles(tiles []audit.Tile) (data [][]byte, err error) {
	data = make([][]byte, len(tiles))
	for i, tile := range tiles {
		if t.known[tile] == nil {
			if t.known[tile], err = t.c.AuditTile(t.ctx, tile); err != nil {
				return nil, err
			}
		}
		data[i] = t.known[tile]
	}
	return data, nil
}

// distinct leaves out what came before.
func distinct(heads []audit.Tree) (some []audit.Tree) {
	seen := map[audit.Tree]bool{}
	for _, head := range heads {
		if !seen[head] {
			seen[head] = true
			some = append(some, head)
		}
	}
	return some
}

// Restart is what a vault says of a log that is not the pinned one. Nothing of it is to be believed before a person
// has said so.
type Restart struct {
	Pin      *Pin // of the new log
	BegunAt  time.Time
	Reason   string            // as the new log's first event says; empty where it isn't shown
	Previous *audit.Checkpoint // the pinned log's last head, by its own keys, as that event names it
}

// Restart asks for the log that is there now, and what it says of the pinned one.
func (c *Client) Restart(ctx context.Context, p *Pin) (*Restart, error) {
	log, err := c.AuditLog(ctx)
	if err != nil {
		return nil, err
	}
	now, err := NewPin(p.Root, log)
	if err != nil {
		return nil, err
	}
	r := &Restart{Pin: now, BegunAt: log.BegunAt}
	text, err := c.ReceiptAt(ctx, 0)
	if err != nil {
		if errors.Is(err, ErrNotFound) {
			err = nil // it isn't signed yet
		}
		return r, err
	}
	receipt, err := audit.ParseReceipt(text)
	if err != nil {
		return r, fmt.Errorf("%w: its first event: %w", ErrOtherLog, err)
	}
	_, first, _, err := receipt.Verify(now.Key)
	switch _, unknown := audit.Define(receipt.Record.Leaf.Type, receipt.Record.Leaf.Version); {
	case errors.Is(err, audit.ErrEvent) && unknown != nil:
		return r, nil // a newer version of this program can read what it says
	case err != nil:
		return r, fmt.Errorf("%w: its first event: %w", ErrOtherLog, err)
	}
	if receipt.Index != 0 || first.Type != audit.LogBegun || first.Operational == nil {
		return r, nil
	}
	r.BegunAt = first.Time
	r.Reason, _ = first.Operational["reason"].(string)
	previous, _ := first.Operational["previous_checkpoint"].(string)
	if head, err := p.Key.Open([]byte(previous)); err == nil {
		r.Previous = &head
	}
	return r, nil
}

// Claim says as a sentence, without its final stop, how the new log stands to the pinned one.
func (r *Restart) Claim(p *Pin) string {
	known := p.Head.Tree
	switch {
	case r.Pin.Key.Equal(p.Key):
		return fmt.Sprintf("it bears the name and the keys of the one that you know, with %d events where you have seen %d", r.Pin.Head.Tree.Size, known.Size)
	case r.Previous == nil:
		return "it does not say that it continues the one that you know"
	case r.Previous.Tree.Size == known.Size && r.Previous.Tree != known:
		return fmt.Sprintf("it says that it continues the one that you know, but after %d events that are others than those you have seen", known.Size)
	case r.Previous.Tree.Size < known.Size:
		return fmt.Sprintf("it says that it continues the one that you know after %d events; you have seen %d, so that what the last ones record may be lost", r.Previous.Tree.Size, known.Size)
	}
	return fmt.Sprintf("it says that it continues the one that you know after %d events, of which you have seen %d", r.Previous.Tree.Size, known.Size)
}

// explained adds what the log that is there now says of itself, as far as that can be had.
func (c *Client) explained(ctx context.Context, p *Pin, err error) error {
	r, failed := c.Restart(ctx, p)
	if failed != nil || r.Pin.Key.Equal(p.Key) {
		return err
	}
	reason := ""
	if r.Reason != "" {
		reason = " (" + r.Reason + ")"
	}
	return fmt.Errorf("%w, begun %s%s; %s", err, r.BegunAt.Local().Format("2006-01-02 15:04"), reason, r.Claim(p))
}

// pinFile is a Pin as it is kept.
type pinFile struct {
	Root       string     `json:"root"`
	PublicKey  string     `json:"public_key"`
	Checkpoint string     `json:"checkpoint,omitempty"`
	Anchoring  *Anchoring `json:"anchoring,omitempty"`
}

// MarshalJSON writes what UnmarshalJSON reads.
func (p *Pin) MarshalJSON() ([]byte, error) {
	return json.Marshal(pinFile{p.Root, p.Key.Text(), string(p.Signed), p.Anchoring})
}

// UnmarshalJSON reads a pin that was kept, and verifies it again.
func (p *Pin) UnmarshalJSON(b []byte) error {
	var f pinFile
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	key, err := audit.ParsePublicKey(f.PublicKey)
	if err != nil {
		return err
	}
	was, err := pinned(f.Root, key, []byte(f.Checkpoint))
	if err != nil {
		return err
	}
	*p = *was
	p.Anchoring = f.Anchoring
	return nil
}

// Equal tells whether two pins remember the same.
func (p *Pin) Equal(other *Pin) bool {
	if p == nil || other == nil {
		return p == other
	}
	same := p.Anchoring == other.Anchoring || p.Anchoring != nil && other.Anchoring != nil && *p.Anchoring == *other.Anchoring
	return same && p.Root == other.Root && p.Head.Tree == other.Head.Tree && p.Key.Equal(other.Key)
}
