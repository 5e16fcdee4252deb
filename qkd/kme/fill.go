package kme

import (
	"context"
	"errors"
	"fmt"

	"stonevault/qkd"
)

// turn is a pair's right to run a session. Whoever puts something into the channel has it.
type turn struct {
	held chan struct{}
	used int // by how many; under KMEs.mu
}

// turnOf waits until no session of a pair runs, or ctx ends.
func (k *KMEs) turnOf(ctx context.Context, p Pair) (end func(), err error) {
	k.mu.Lock()
	t := k.running[p]
	if t == nil {
		t = &turn{held: make(chan struct{}, 1)}
		k.running[p] = t
	}
	t.used++
	k.mu.Unlock()
	leave := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if t.used--; t.used == 0 {
			delete(k.running, p)
		}
	}
	select {
	case t.held <- struct{}{}:
		return func() { <-t.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// made is what a session has yielded.
type made struct {
	keys    [][KeyBytes]byte
	session string
}

// destroy removes the keys from memory.
func (m made) destroy() {
	for i := range m.keys {
		clear(m.keys[i][:])
	}
}

// take delivers keys, after as many sessions as that takes. A session that yields nothing ends it.
func (k *KMEs) take(ctx context.Context, o order) ([]qkd.Key, error) {
	keys, err := k.attempt(ctx, o, made{})
	if !errors.Is(err, ErrShort) {
		return keys, err
	}
	end, err := k.turnOf(ctx, o.Pair)
	if err != nil {
		return nil, err
	}
	defer end()
	keys, err = k.attemptAnew(ctx, o, made{}) // the session before may have left enough
	for sessions := 0; errors.Is(err, ErrShort); sessions++ {
		if sessions == o.needs() { // each has yielded a key, and others have taken it
			return nil, noKeys("others take the keys of this pair as fast as they are made")
		}
		m, err := k.run(ctx, o.Pair, o.needs())
		if err != nil {
			return nil, err
		}
		if keys, err = k.attemptAnew(ctx, o, m); err == nil || !errors.Is(err, ErrShort) {
			return keys, err
		}
	}
	return keys, err
}

// Fill runs one session of a pair and puts what it yields into the pool; what finds no room there is destroyed. It returns
// the id of the session, where there was one, also when that yielded nothing: the error is then a *qkd.Refusal. Where one of
// the two has ceased to be an SAE meanwhile the error is that of Take.
func (k *KMEs) Fill(ctx context.Context, p Pair) (session string, err error) {
	end, err := k.turnOf(ctx, p)
	if err != nil {
		return "", err
	}
	defer end()
	m, err := k.run(ctx, p, 1)
	if err != nil {
		return m.session, err
	}
	defer m.destroy()
	if err := k.knownPair(ctx, p); err != nil { // no more, perhaps: sessions take their time
		return m.session, err
	}
	return m.session, k.Store.UpdateQuantumKeys(ctx, func(tx Tx) error { return k.fill(ctx, tx, p, m) })
}

// run runs one session, for at least n keys.
func (k *KMEs) run(ctx context.Context, p Pair, n int) (m made, err error) {
	m.keys, m.session, err = k.Maker.Make(ctx, p, min(max(n, k.Limits.PerSession), k.Limits.MaxStored))
	var aborted *Aborted
	switch {
	case errors.As(err, &aborted):
		detail := map[string]any{"reason": aborted.Reason}
		if aborted.Session != "" {
			detail["session"] = aborted.Session
		}
		return m, noKeys(aborted.Error(), detail)
	case err != nil:
		return m, fmt.Errorf("kme: a session of the pair failed: %w", err)
	case len(m.keys) == 0:
		return m, noKeys("the session ended without a key", map[string]any{"session": m.session})
	}
	return m, nil
}

func noKeys(message string, details ...map[string]any) error {
	return &qkd.Refusal{Kind: qkd.ErrNoKeys, Message: message, Details: details}
}

// attempt puts what a session has made into the pool and delivers, in one transaction, so that nobody else gets what was
// made for this request. Where that is too little it stays in the pool.
func (k *KMEs) attempt(ctx context.Context, o order, m made) (keys []qkd.Key, err error) {
	short := false
	err = k.Store.UpdateQuantumKeys(ctx, func(tx Tx) (err error) {
		if err := k.fill(ctx, tx, o.Pair, m); err != nil {
			return err
		}
		keys, err = k.deliver(ctx, tx, o)
		if short = errors.Is(err, ErrShort); short {
			return nil
		}
		return err
	})
	m.destroy()
	switch {
	case err != nil:
		return nil, err
	case short:
		return nil, ErrShort
	}
	return keys, nil
}

// attemptAnew is attempt after a wait, in which an SAE may have ceased to be one.
func (k *KMEs) attemptAnew(ctx context.Context, o order, m made) ([]qkd.Key, error) {
	if err := k.knownAll(ctx, o.Pair, o.slaves[1:]); err != nil {
		m.destroy()
		return nil, err
	}
	return k.attempt(ctx, o, m)
}

// fill puts keys into a pool until it is full. The rest is destroyed.
func (k *KMEs) fill(ctx context.Context, tx Tx, p Pair, m made) error {
	if len(m.keys) == 0 {
		return nil
	}
	stored, err := tx.Pooled(ctx, p)
	if err != nil {
		return err
	}
	now := millis(k.Now())
	for i := range m.keys[:min(len(m.keys), max(k.Limits.MaxStored-stored, 0))] {
		id, err := qkd.NewKeyID(k.Random)
		if err != nil {
			return err
		}
		row := Pooled{ID: id, Pair: p, Session: m.session, MadeAt: now}
		if row.Sealed, err = k.Sealer.Seal(PoolContext(id.String(), p.Master, p.Slave), m.keys[i][:]); err != nil {
			return err
		}
		if err := tx.InsertPooled(ctx, row); err != nil {
			return err
		}
	}
	return nil
}
