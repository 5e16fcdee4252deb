package transit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"stonevault/internal/auditlog"
	"stonevault/internal/masterkey"
	"stonevault/internal/vault"
)

const (
	// renewEvery is how often the engine is asked, or four times in the set time where that is shorter.
	renewEvery = 5 * time.Minute
	// After a failure it is asked again after a second, then after twice as long each time, up to this.
	longestPause = 30 * time.Second
	// patience is how long one renewal may take in all.
	patience = 20 * time.Second
	// longestTick is how late, at most, a key is given up.
	longestTick = time.Second
)

// ErrAway is a master key that was given up, until the engine answers again.
var ErrAway = fmt.Errorf("%w: %w", vault.ErrUnavailable, auditlog.ErrKeyAway)

// Holder keeps a master key usable for as long as the engine lets it. It may be used by many goroutines.
type Holder struct {
	client *Client
	path   string
	life   time.Duration // of the key after the engine last decrypted it
	every  time.Duration
	now    func() time.Time
	key    *masterkey.Key

	mu     sync.RWMutex
	held   bool // under mu, as the rest; the key is not suspended
	sum    [sha256.Size]byte
	last   time.Time // when the engine was asked that decrypted the key
	why    error     // of the last renewal that failed; nil after one that did not
	pause  time.Duration
	failed Failures
	lost   func()
}

// Failures counts renewals that failed.
type Failures struct{ Unreachable, Refused int64 }

// State is how a key is held.
type State struct {
	Held    bool
	Renewed time.Time // when the engine last decrypted it
	Until   time.Time // when it is given up, unless it is renewed
	Failed  Failures
}

// Hold has the key in a file decrypted, to be kept for life after each time that it was. Run does that again and again.
func Hold(ctx context.Context, c *Client, path string, life time.Duration) (*Holder, error) {
	h := &Holder{client: c, path: path, life: life, every: min(renewEvery, life/4), now: c.now, lost: func() {}}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := h.now()
	text, err := h.fetch(ctx)
	defer clear(text)
	if err == nil {
		err = h.accept(text, began)
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// ReadFile reads the file of a wrapped key.
func ReadFile(path string) (Wrapped, error) {
	text, err := masterkey.ReadText(path)
	if err != nil {
		return Wrapped{}, err
	}
	w, err := ParseWrapped(text)
	if err != nil {
		return Wrapped{}, fmt.Errorf("%w: %s", err, path)
	}
	return w, nil
}

// fetch reads the file, which may have been wrapped anew, and has it decrypted.
func (h *Holder) fetch(ctx context.Context) ([]byte, error) {
	w, err := ReadFile(h.path)
	if err != nil {
		return nil, err
	}
	return h.client.Unwrap(ctx, w)
}

// accept takes what was decrypted for the key, if it is the one that was held before.
func (h *Holder) accept(text []byte, asked time.Time) error {
	sum := sha256.Sum256(text)
	h.mu.RLock()
	known := h.held && sum == h.sum
	h.mu.RUnlock()
	if !known {
		key, err := masterkey.Parse(string(text))
		if err != nil {
			return fmt.Errorf("what transit decrypted: %w", err)
		}
		if h.key == nil {
			h.key = key
		} else {
			err = h.key.Resume(key)
			key.Suspend(ErrAway)
		}
		if err != nil {
			return fmt.Errorf("%w; put the right file back at %s", err, h.path)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held, h.sum, h.last, h.why, h.pause = true, sum, asked, nil, 0
	return nil
}

// Key is the key that is held. While it is away, its error is ErrAway.
func (h *Holder) Key() *masterkey.Key { return h.key }

// Client is who is asked.
func (h *Holder) Client() *Client { return h.client }

// Ready is nil while the key can be used, and otherwise an ErrAway that says why not.
func (h *Holder) Ready() error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	switch {
	case h.held && h.left() > 0:
		return nil
	case h.why == nil:
		return fmt.Errorf("%w: %s was not asked for %v", ErrAway, h.client, h.life)
	}
	return fmt.Errorf("%w: %s: %v", ErrAway, h.client, h.why) // not %w: it is not this caller's timeout
}

// left is for how long the key may still be used, by the clock of the wall and by the one that nobody sets and
// that stands still while the machine sleeps, whichever has gone further. It is under mu.
func (h *Holder) left() time.Duration {
	now := h.now()
	return h.life - max(now.Sub(h.last), now.Round(0).Sub(h.last.Round(0)))
}

// State tells how the key is held.
func (h *Holder) State() State {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return State{Held: h.held && h.left() > 0, Renewed: h.last, Until: h.last.Add(h.life), Failed: h.failed}
}

// OnLoss has fn called when the key is given up, and again while it stays so: whoever has opened something with it
// should forget that. It must be called before Run.
func (h *Holder) OnLoss(fn func()) { h.lost = fn }

// Run keeps the key until ctx ends. Close then gives it up.
func (h *Holder) Run(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(min(longestTick, h.life/10))
	defer ticker.Stop()
	due := time.Now().Add(h.rest())
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		h.expire(log)
		if !time.Now().Before(due) {
			h.renew(ctx, log)
			due = time.Now().Add(h.rest())
		}
	}
}

// rest is how long to wait before the next renewal.
func (h *Holder) rest() time.Duration {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.why != nil {
		return min(h.pause, h.every)
	}
	return h.every
}

// renew has the key decrypted again, and gives it up where that must be.
func (h *Holder) renew(ctx context.Context, log *slog.Logger) {
	h.mu.RLock()
	limit, was := patience, h.held
	if left := h.left(); was {
		limit = min(limit, max(left, 0))
	}
	h.mu.RUnlock()
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := h.now()
	text, err := h.fetch(asking)
	defer clear(text)
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		err = h.accept(text, began)
	}
	if err == nil {
		if !was {
			log.Info("the master key can be used again", "transit", h.client.String())
		}
		return
	}
	level := slog.LevelDebug
	if h.fail(err) {
		level = slog.LevelWarn
	}
	log.Log(ctx, level, "the master key could not be renewed, and will be tried again", "transit", h.client.String(), "until", h.State().Until, "error", err)
	if errors.Is(err, ErrRefused) {
		h.giveUp(log, "transit refuses it")
	}
	h.expire(log)
}

// fail notes a renewal that failed, and tells whether it is the first after one that did not.
func (h *Holder) fail(err error) (first bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if errors.Is(err, ErrRefused) {
		h.failed.Refused++
	} else {
		h.failed.Unreachable++
	}
	first = h.why == nil
	h.why, h.pause = err, min(max(2*h.pause, time.Second), longestPause)
	return first
}

// expire gives the key up where its time is over, and lets those forget who have used it until it is back.
func (h *Holder) expire(log *slog.Logger) {
	h.mu.RLock()
	held, over := h.held, h.left() <= 0
	h.mu.RUnlock()
	switch {
	case held && over:
		h.giveUp(log, "transit could not be asked for as long as it may be kept")
	case !held:
		h.lost()
	}
}

func (h *Holder) giveUp(log *slog.Logger, reason string) {
	h.mu.Lock()
	was := h.held
	h.held = false
	h.mu.Unlock()
	h.key.Suspend(ErrAway)
	if was {
		log.Error("the master key was given up, and nothing is opened until transit lets it be used again", "transit", h.client.String(), "reason", reason)
	}
	h.lost()
}

// Close gives the key up for good.
func (h *Holder) Close() {
	h.mu.Lock()
	h.held = false
	h.mu.Unlock()
	h.key.Suspend(ErrAway)
}
