package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"stonevault/internal/peers"
	"stonevault/stone"
)

const (
	// collectBatch is how many intents the collector reads at once.
	collectBatch = 256
	// lockPatience is how long one waits for another server that is at the same file.
	lockPatience = time.Minute
)

// settle finishes what an intent says is to be done to a file's objects. Without an intent nothing is.
func (v *Vault) settle(ctx context.Context, id stone.FileID) error {
	ctx, unlock, err := v.lockFiles(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	var intent Intent
	err = v.db.Update(ctx, func(tx Tx) (err error) {
		intent, err = tx.Intents().ByID(ctx, id)
		if err != nil || intent.Kind != IntentPut {
			return err
		}
		// A commit that failed may come back with a restart until another one has succeeded, and the put's
		// own may be such a one. Its objects go only after a commit that says it did not happen, and that it cannot
		// happen any more: whoever is still at it finds another intent.
		intent.Kind = IntentDelete
		if err := tx.Intents().Delete(ctx, id); err != nil {
			return err
		}
		return tx.Intents().Insert(ctx, intent)
	})
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	switch intent.Kind {
	case IntentDelete:
		if err := v.removeObjects(ctx, id); err != nil {
			return err
		}
	case IntentRewrite:
		if err := v.objects.Replace(ctx, envelopeName(id), intent.Envelope); err != nil {
			return err
		}
	default:
		return fmt.Errorf("vault: intent %q is unknown", intent.Kind)
	}
	return v.dropIntent(ctx, id, intent.Kind)
}

// removeObjects removes a file's objects, the envelope first: without it the body opens for nobody.
func (v *Vault) removeObjects(ctx context.Context, id stone.FileID) error {
	for _, name := range []string{envelopeName(id), bodyName(id)} {
		if err := v.objects.Delete(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// dropIntent removes a finished intent, unless another kind has taken its place meanwhile.
func (v *Vault) dropIntent(ctx context.Context, id stone.FileID, kind IntentKind) error {
	return v.db.Update(ctx, func(tx Tx) error {
		intent, err := tx.Intents().ByID(ctx, id)
		if isMissing(err) || err == nil && intent.Kind != kind {
			return nil
		}
		if err != nil {
			return err
		}
		return tx.Intents().Delete(ctx, id)
	})
}

// lockFiles waits until nobody else works on the objects of committed files. The context ends where other servers may.
func (v *Vault) lockFiles(ctx context.Context, ids ...stone.FileID) (held context.Context, unlock func(), err error) {
	slices.SortFunc(ids, func(a, b stone.FileID) int { return bytes.Compare(a[:], b[:]) })
	var locks []func()
	unlock = func() {
		for _, f := range slices.Backward(locks) {
			f()
		}
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		locks = append(locks, v.files.lock(id))
		names[i] = "file/" + id.String()
	}
	patient, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	held, release, err := v.peers.Wait(patient, names...)
	if err != nil {
		unlock()
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: another server is at the same file", ErrUnavailable)
		}
		return nil, nil, lost(err)
	}
	locks = append(locks, release)
	return held, unlock, nil
}

// lost is a server's own error to whoever asks it.
func lost(err error) error {
	if errors.Is(err, peers.ErrLost) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// fileLocks lets one goroutine at a time work on the objects of a committed file.
type fileLocks struct {
	mu   sync.Mutex
	held map[stone.FileID]*fileLock
}

type fileLock struct {
	sync.Mutex
	users int // guarded by fileLocks.mu
}

// lock waits for id and returns what releases it.
func (l *fileLocks) lock(id stone.FileID) (unlock func()) {
	l.mu.Lock()
	if l.held == nil {
		l.held = make(map[stone.FileID]*fileLock)
	}
	f := l.held[id]
	if f == nil {
		f = new(fileLock)
		l.held[id] = f
	}
	f.users++
	l.mu.Unlock()
	f.Lock()
	return func() {
		f.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if f.users--; f.users == 0 {
			delete(l.held, id)
		}
	}
}

// Collect settles every intent but those of puts in progress, removes expired uploads and parts
// without one, and returns how many of the first two. A server calls it at start and every now and then.
func (v *Vault) Collect(ctx context.Context) (int, error) {
	intents, err := v.collectIntents(ctx)
	uploads, err2 := v.collectUploads(ctx)
	return intents + uploads, errors.Join(err, err2, v.collectParts(ctx), v.collectLinks(ctx))
}

// collectLinks removes links that are too old to be used.
func (v *Vault) collectLinks(ctx context.Context) error {
	return v.db.Update(ctx, func(tx Tx) error { return tx.Links().DeleteExpired(ctx, millis(v.now())) })
}

func (v *Vault) collectIntents(ctx context.Context) (int, error) {
	done := 0
	others, err := v.peers.Others(ctx)
	if err != nil {
		return 0, err
	}
	for {
		var batch []Intent
		err := v.db.View(ctx, func(tx Tx) (err error) {
			// Intents of before the clock was set back count too.
			batch, err = tx.Intents().Before(ctx, v.now().Add(clockTolerance), collectBatch)
			return err
		})
		if err != nil {
			return done, err
		}
		settled := 0
		var failed []error
		for _, intent := range batch {
			if _, busy := v.live.Load(intent.FileID); busy || intent.Kind == IntentPut && others[intent.Server] {
				continue
			}
			if err := v.settle(ctx, intent.FileID); err != nil {
				failed = append(failed, err)
				continue
			}
			settled++
		}
		done += settled
		if len(failed) > 0 || settled == 0 || len(batch) < collectBatch {
			return done, errors.Join(failed...)
		}
	}
}
