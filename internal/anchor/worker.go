package anchor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/params"

	"stonevault/audit"
	"stonevault/internal/anchor/contract"
	"stonevault/internal/anchor/journal"
)

// Heads is the log that is anchored.
type Heads interface {
	// Latest returns the newest signed checkpoint.
	Latest(ctx context.Context) (audit.Checkpoint, error)
	// Consistency proves that the log of old events is the beginning of tree, which is or was the log's.
	Consistency(ctx context.Context, old int64, tree audit.Tree) ([]audit.Hash, error)
}

// Config is what a worker needs. Fields without a default are required.
type Config struct {
	Chain   *Chain
	Key     *Key
	Journal journal.Store
	Heads   Heads

	Interval time.Duration // between anchors; default 1 h
	// MinGrowth is how many events there must be since the last anchor; default 2. An anchor is an event too,
	// so that with 1 a log in which nothing else happens would be anchored for ever.
	MinGrowth int64
	Events    int64 // as many make an anchor before the interval is over; default 0, never; not below MinGrowth

	MaxFee       int64         // wei for each unit of gas, the ceiling; default 500 gwei
	MinTip       int64         // wei; default that of the chain's Preset, or 1 gwei
	ReplaceAfter time.Duration // after this a transaction is stuck; default 3 min
	StallAfter   time.Duration // after this a block that is not final is worth a warning; default 15 min
	Poll         time.Duration // between looks at the chain; default 15 s

	Now   func() time.Time                     // default time.Now
	After func(time.Duration) <-chan time.Time // default time.After
	Log   *slog.Logger                         // default: nothing is logged
}

const (
	defaultMaxFee    = 500 * params.GWei
	longestRetry     = 5 * time.Minute
	smallestInterval = time.Second
)

// Status is what the worker knows of itself.
type Status struct {
	Condition string    // of Problem; see Condition
	Problem   error     // nil where all is well; its text says what to do
	Since     time.Time // when Condition began
	Checked   time.Time // when the last step ended

	Size      int64         // of the log
	Anchored  contract.Head // the contract's last final head that was seen
	Finalized uint64        // the number of the newest final block that was seen
	InFlight  journal.Row   // the newest row that is not settled; ID 0 where there is none
	Last      journal.Row   // the newest row that became final; ID 0 where there is none
	Abandoned journal.Row   // the newest row that was given up, if it is newer than Last
	Steps     uint64        // since the start, as the rest
	Failures  uint64        // steps that ended with a problem
	Replaced  uint64        // transactions that were replaced with higher fees
	Resent    uint64        // transactions that were sent again unchanged
}

// Worker anchors a log. Its methods may be called at any time, by several goroutines.
type Worker struct {
	c      Config
	scope  journal.Scope
	policy feePolicy

	step   sync.Mutex    // held for a whole Step
	looked bool          // at the chain since the start; guarded by step
	asked  atomic.Bool   // by AnchorNow
	wake   chan struct{} // of capacity 1

	mu     sync.Mutex // guards status
	status Status
}

// New returns a worker. It does nothing before Run or Step.
func New(c Config) (*Worker, error) {
	if c.Chain == nil || c.Key == nil || c.Journal == nil || c.Heads == nil {
		return nil, errors.New("anchor: a worker needs a chain, a key, a journal and heads")
	}
	c.Interval, c.MinGrowth = cmp.Or(c.Interval, time.Hour), cmp.Or(c.MinGrowth, 2)
	c.MaxFee, c.MinTip = cmp.Or(c.MaxFee, defaultMaxFee), cmp.Or(c.MinTip, LeastTip(c.Chain.target.ChainID))
	c.ReplaceAfter, c.StallAfter = cmp.Or(c.ReplaceAfter, 3*time.Minute), cmp.Or(c.StallAfter, 15*time.Minute)
	c.Poll = cmp.Or(c.Poll, 15*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.After == nil {
		c.After = time.After
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Interval < smallestInterval || c.ReplaceAfter <= 0 || c.StallAfter <= 0 || c.Poll <= 0:
		return nil, errors.New("anchor: intervals must be positive, that between anchors a second at least")
	case c.MinGrowth < 1 || c.Events != 0 && c.Events < c.MinGrowth:
		return nil, errors.New("anchor: the least growth must be one event or more, and the number of events that make an anchor not below it")
	case c.MinTip < 1 || c.MaxFee < c.MinTip:
		return nil, errors.New("anchor: the fee ceiling must be at least the smallest tip, and that at least 1 wei")
	}
	t := c.Chain.target
	return &Worker{
		c:      c,
		scope:  journal.Scope{ChainID: t.ChainID, Contract: t.Contract, Log: t.Log, Sender: c.Key.Address()},
		policy: feePolicy{big.NewInt(c.MinTip), big.NewInt(c.MaxFee)},
		wake:   make(chan struct{}, 1),
		status: Status{Condition: Condition(nil), Since: c.Now()},
	}, nil
}

// Status returns what is known now.
func (w *Worker) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

func (w *Worker) note(change func(*Status)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.status)
}

// AnchorNow asks for an anchor before the interval is over, if there is any event to anchor.
func (w *Worker) AnchorNow() {
	w.asked.Store(true)
	w.Wake()
}

// Wake asks for a step at once, where Run waits for its time.
func (w *Worker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run takes steps until its context ends, and then returns. Problems are in Status and, when they begin and
// end, in the log; they are tried again, more and more seldom.
func (w *Worker) Run(ctx context.Context) {
	wait := w.c.Poll
	for {
		if err := w.Step(ctx); err != nil {
			wait = min(2*wait, max(longestRetry, w.c.Poll))
		} else {
			wait = w.c.Poll
		}
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-w.c.After(wait):
		}
	}
}

// Step looks at the journal and the chain once, and goes as far as it can without waiting. Its error is
// Status.Problem.
func (w *Worker) Step(ctx context.Context) error {
	w.step.Lock()
	defer w.step.Unlock()
	err := w.advance(ctx)
	if ctx.Err() != nil {
		return ctx.Err() // an end is no problem
	}
	now, condition := w.c.Now(), Condition(err)
	var before string
	w.note(func(s *Status) {
		before = s.Condition
		if before != condition {
			s.Since = now
		}
		s.Condition, s.Problem, s.Checked = condition, err, now
		s.Steps++
		if err != nil {
			s.Failures++
		}
	})
	switch {
	case before == condition:
	case err != nil:
		w.c.Log.Warn("anchoring: "+err.Error(), "condition", condition)
	default:
		w.c.Log.Info("anchoring goes on")
	}
	return err
}

func (w *Worker) advance(ctx context.Context) error {
	rows, err := w.remember(ctx)
	if err != nil {
		return err
	}
	latest, err := w.c.Heads.Latest(ctx)
	if err != nil {
		return fmt.Errorf("the audit log's newest checkpoint cannot be read: %w", err)
	}
	w.note(func(s *Status) { s.Size = latest.Tree.Size })
	if err := w.c.Chain.target.checkOrigin(latest.Origin); err != nil {
		return err
	}
	if len(rows) == 0 && w.looked && !w.due(latest.Tree) {
		return w.standing() // and the chain is left alone
	}
	final, nonce, err := w.c.Chain.look(ctx, w.scope.Sender)
	if err != nil {
		return err
	}
	if err := w.compare(ctx, final, latest.Tree); err != nil {
		return err
	}
	w.note(func(s *Status) { s.Anchored, s.Finalized = final.log.Head, final.number })
	w.looked = true
	if len(rows) > 0 {
		return w.follow(ctx, rows, final, nonce, latest.Tree)
	}
	if !w.due(latest.Tree) {
		return w.standing()
	}
	return w.begin(ctx, final, nonce, latest.Tree)
}

// remember reads the journal.
func (w *Worker) remember(ctx context.Context) ([]journal.Row, error) {
	unreadable := func(err error) ([]journal.Row, error) {
		return nil, fmt.Errorf("the journal of anchors cannot be read: %w", err)
	}
	rows, err := w.c.Journal.Unsettled(ctx, w.scope)
	if err != nil {
		return unreadable(err)
	}
	last, err := w.c.Journal.Newest(ctx, w.scope, journal.Final)
	if err != nil && !errors.Is(err, journal.ErrNotFound) {
		return unreadable(err)
	}
	abandoned, err := w.c.Journal.Newest(ctx, w.scope, journal.Abandoned)
	if err != nil && !errors.Is(err, journal.ErrNotFound) {
		return unreadable(err)
	}
	if abandoned.ID < last.ID {
		abandoned = journal.Row{}
	}
	w.note(func(s *Status) {
		s.InFlight, s.Last, s.Abandoned = journal.Row{}, last, abandoned
		if len(rows) > 0 {
			s.InFlight = rows[len(rows)-1]
		}
	})
	return rows, nil
}

// standing is the state between anchors: fine, unless the last one failed.
func (w *Worker) standing() error {
	if a := w.Status().Abandoned; a.ID != 0 {
		return fmt.Errorf("%w: %s", ErrAbandoned, a.Reason)
	}
	return nil
}

// due tells whether an anchor should begin.
func (w *Worker) due(tree audit.Tree) bool {
	s := w.Status()
	growth := tree.Size - int64(s.Anchored.Size)
	if w.asked.Load() {
		if growth > 0 {
			return true
		}
		w.asked.Store(false)
	}
	since := s.Last.Changed
	if s.Abandoned.ID != 0 {
		since = s.Abandoned.Changed // what failed is not tried at once again, whatever it costs
	} else if w.c.Events > 0 && growth >= w.c.Events {
		return true
	}
	return growth >= w.c.MinGrowth && w.c.Now().Sub(since) >= w.c.Interval
}

// compare holds the contract's head against the log, and against what the journal knows to be final.
func (w *Worker) compare(ctx context.Context, final finalized, tree audit.Tree) error {
	if last := w.Status().Last; last.ID != 0 && final.number >= last.Block && final.log.Size < last.Size {
		return fmt.Errorf("%w (size %d in block %d; by block %d it has size %d)", ErrTakenBack, last.Size, last.Block, final.number, final.log.Size)
	}
	_, err := w.proof(ctx, final.log.Head, tree)
	return err
}

// proof returns the proof that leads from the contract's head to a tree of the log, and has checked it.
func (w *Worker) proof(ctx context.Context, from contract.Head, to audit.Tree) ([]audit.Hash, error) {
	return prove(ctx, from, to, func(ctx context.Context, old int64) ([]audit.Hash, error) {
		return w.c.Heads.Consistency(ctx, old, to)
	})
}

func prove(ctx context.Context, from contract.Head, to audit.Tree, consistency func(context.Context, int64) ([]audit.Hash, error)) ([]audit.Hash, error) {
	if from.Size > uint64(to.Size) {
		return nil, fmt.Errorf("%w (it has %d events, and %d were anchored)", ErrRolledBack, to.Size, from.Size)
	}
	if from.Size == 0 {
		return nil, nil
	}
	old := audit.Tree{Size: int64(from.Size), Root: from.Root}
	var proof []audit.Hash
	if old.Size < to.Size {
		var err error
		if proof, err = consistency(ctx, old.Size); err != nil {
			return nil, fmt.Errorf("the audit log gives no proof from %d to %d events: %w", old.Size, to.Size, err)
		}
	}
	if err := to.VerifyConsistency(old, proof); err != nil {
		return nil, fmt.Errorf("%w (anchored with %d events, now %d)", ErrForked, old.Size, to.Size)
	}
	return proof, nil
}
