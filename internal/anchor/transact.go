package anchor

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/core/types"

	"stonevault/audit"
	"stonevault/internal/anchor/contract"
	"stonevault/internal/anchor/journal"
)

// A transaction's way. Each row is written before the step that it tells of, except that Sent, Mined and
// Final tell what was seen; a stop between a step and its row is mended by looking again:
//
//	begin    nothing in flight      -> Planned
//	sign     Planned                -> Signed     raw bytes are durable before anybody has them
//	send     Signed                 -> Sent       again with the same bytes after a stop
//	follow   Sent                   -> Mined      and back when the chain is reorganised
//	settle   any of the nonce       -> Final, Replaced or Abandoned, when the nonce is used in a final block
//	replace  Sent for too long      -> Planned    beside it, of the same nonce, with higher fees

// millis is what the journal keeps of a time.
func (w *Worker) millis() time.Time { return w.c.Now().UTC().Truncate(time.Millisecond) }

// move writes a row's next state and returns the row.
func (w *Worker) move(ctx context.Context, r journal.Row, to journal.State, change func(*journal.Row)) (journal.Row, error) {
	m := w.moved(r, to, change)
	if err := w.c.Journal.Move(ctx, m); err != nil {
		return r, fmt.Errorf("the journal of anchors cannot be written: %w", err)
	}
	w.note(func(s *Status) { s.InFlight = m.To })
	return m.To, nil
}

func (w *Worker) moved(r journal.Row, to journal.State, change func(*journal.Row)) journal.Move {
	m := journal.Move{From: r.State, To: r}
	m.To.State, m.To.Changed = to, w.millis()
	if change != nil {
		change(&m.To)
	}
	return m
}

// begin plans an anchor where nothing is in flight, neither by the journal nor by the chain.
func (w *Worker) begin(ctx context.Context, final finalized, nonce uint64, tree audit.Tree) error {
	if final.log.Anchorer != w.scope.Sender {
		return fmt.Errorf("%w (the key is of %v, and %v is appointed)", ErrNotAnchorer, w.c.Key.Address(), final.log.Anchorer)
	}
	ahead, err := w.c.Chain.ahead(ctx, w.scope.Sender)
	if err != nil {
		return err
	}
	// A restored database has lost rows of what was sent: their transactions show here.
	if ahead.pending > nonce || ahead.latest > nonce {
		if rows, err := w.c.Journal.Unsettled(ctx, w.scope); err == nil && len(rows) > 0 {
			return journal.ErrConflict // another server that shares the journal was quicker
		}
		return fmt.Errorf("%w (nonce %d of %v)", ErrForeign, nonce, w.c.Key.Address())
	}
	c, err := w.prepare(ctx, nonce, final.log.Head, tree, ahead, nil)
	if err != nil {
		return err
	}
	row, err := w.plan(ctx, journal.Row{Nonce: nonce, Previous: final.log.Size, Size: uint64(tree.Size), Root: tree.Root})
	if err != nil {
		return err
	}
	w.asked.Store(false)
	return w.signAndSend(ctx, row, c)
}

func (w *Worker) plan(ctx context.Context, r journal.Row) (journal.Row, error) {
	r.Scope, r.State, r.Planned = w.scope, journal.Planned, w.millis()
	r.Changed = r.Planned
	r, err := w.c.Journal.Plan(ctx, r)
	if err != nil {
		return r, fmt.Errorf("the journal of anchors cannot be written: %w", err)
	}
	w.note(func(s *Status) { s.InFlight = r })
	return r, nil
}

// prepare makes the call of an anchor, with a proof that holds, gas, fees, and the coins to pay for them. Old
// are the fees of the transaction that it replaces, or nil.
func (w *Worker) prepare(ctx context.Context, nonce uint64, from contract.Head, to audit.Tree, ahead outlook, old *fees) (call, error) {
	proof, err := w.proof(ctx, from, to)
	if err != nil {
		return call{}, err
	}
	c := call{nonce: nonce, to: &w.c.Chain.target.Contract, data: w.c.Chain.anchorCall(to, proof)}
	if c.gas, err = w.c.Chain.estimate(ctx, w.c.Key.Address(), c.data); err != nil {
		return call{}, err
	}
	if old == nil {
		c.fees, err = w.policy.first(ahead.market)
	} else {
		c.fees, err = w.policy.replace(*old, ahead.market)
	}
	if err != nil {
		return call{}, err
	}
	cost := new(big.Int).Mul(c.fees.max, new(big.Int).SetUint64(c.gas))
	if ahead.balance.Cmp(cost) < 0 {
		return call{}, fmt.Errorf("%w (%v holds %s and may need %s)", ErrFunds, w.c.Key.Address(), coins(ahead.balance), coins(cost))
	}
	return c, nil
}

func (w *Worker) signAndSend(ctx context.Context, r journal.Row, c call) error {
	tx, err := w.c.Key.sign(w.scope.ChainID, c)
	if err != nil {
		return fmt.Errorf("the anchor cannot be signed: %w", err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return err
	}
	r, err = w.move(ctx, r, journal.Signed, func(r *journal.Row) { r.Hash, r.Raw = tx.Hash(), raw })
	if err != nil {
		return err
	}
	return w.send(ctx, r)
}

// send gives the row's bytes to the servers, and notes that one has them. It changes no byte.
func (w *Worker) send(ctx context.Context, r journal.Row) error {
	tx, err := transaction(r)
	if err != nil {
		return err
	}
	if err := w.c.Chain.broadcast(ctx, tx); err != nil {
		return err
	}
	if r.State == journal.Signed {
		_, err = w.move(ctx, r, journal.Sent, nil)
	}
	return err
}

// transaction reads a row's bytes, which must be those that its hash names.
func transaction(r journal.Row) (*types.Transaction, error) {
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(r.Raw); err != nil || tx.Hash() != r.Hash || tx.Nonce() != r.Nonce {
		return nil, fmt.Errorf("row %d of the journal of anchors is damaged; restore the database", r.ID)
	}
	return tx, nil
}

// follow goes on with what is in flight: rows of one nonce, the newest last.
func (w *Worker) follow(ctx context.Context, rows []journal.Row, final finalized, nonce uint64, tree audit.Tree) error {
	newest := rows[len(rows)-1]
	if nonce > newest.Nonce {
		return w.settle(ctx, rows, final)
	}
	seen, err := w.findMined(ctx, rows, final)
	if err != nil || seen >= w.c.Chain.servers.quorum {
		return err
	}
	ahead, err := w.c.Chain.ahead(ctx, w.scope.Sender)
	if err != nil {
		return err
	}
	if ahead.latest > newest.Nonce && seen == 0 {
		// Unless it was mined between the two questions.
		if seen, err = w.findMined(ctx, rows, final); err != nil || seen > 0 {
			return err
		}
		return fmt.Errorf("%w (nonce %d of %v, which an anchor was to have)", ErrForeign, newest.Nonce, w.c.Key.Address())
	}
	// A row that was planned and not signed is taken up as it was planned. Where it replaces another, that
	// one's fees are what to outbid.
	var before *journal.Row
	if len(rows) > 1 {
		before = &rows[len(rows)-2]
	}
	stuck := w.c.Now().Sub(newest.Changed) >= w.c.ReplaceAfter
	switch newest.State {
	case journal.Planned:
		return w.resume(ctx, newest, before, final, ahead)
	case journal.Signed: // after a stop, or because no server takes it
		if err := w.send(ctx, newest); err == nil || !stuck {
			return err
		}
	}
	if stuck {
		return w.replace(ctx, newest, final, tree, ahead)
	}
	return w.resend(ctx, newest)
}

// resume signs what was planned before a stop. What can't be made any more is given up; it was never signed.
func (w *Worker) resume(ctx context.Context, r journal.Row, before *journal.Row, final finalized, ahead outlook) error {
	if r.Size <= final.log.Size {
		_, err := w.move(ctx, r, journal.Abandoned, func(r *journal.Row) {
			r.Reason = fmt.Sprintf("The chain got a head of size %d before this one was signed.", final.log.Size)
		})
		return err
	}
	var old *fees
	if before != nil {
		tx, err := transaction(*before)
		if err != nil {
			return err
		}
		old = &fees{tx.GasTipCap(), tx.GasFeeCap()}
	}
	c, err := w.prepare(ctx, r.Nonce, final.log.Head, audit.Tree{Size: int64(r.Size), Root: r.Root}, ahead, old)
	switch {
	case refused(err):
		_, moveErr := w.move(ctx, r, journal.Abandoned, func(r *journal.Row) { r.Reason = sentence(err) })
		return errors.Join(err, moveErr)
	case err != nil:
		return err
	}
	return w.signAndSend(ctx, r, c)
}

// refused tells whether waiting will not help an anchor.
func refused(err error) bool {
	for _, e := range []error{contract.ErrNotGrowing, contract.ErrInconsistent, contract.ErrZeroRoot, contract.ErrMalformed, ErrForked} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// resend gives a transaction again to the servers that have lost it, as they do when they start anew, when
// their pool is full, and when the chain is reorganised.
func (w *Worker) resend(ctx context.Context, r journal.Row) error {
	answers, err := ask(ctx, w.c.Chain.servers, func(ctx context.Context, s *server) (bool, error) {
		return knows(ctx, s, r.Hash), nil
	})
	if err != nil {
		return err
	}
	for _, a := range answers {
		if !a.value {
			w.note(func(s *Status) { s.Resent++ })
			return w.send(ctx, r)
		}
	}
	return nil
}

// replace makes a second transaction of the nonce, with higher fees and the newest head.
func (w *Worker) replace(ctx context.Context, stuck journal.Row, final finalized, tree audit.Tree, ahead outlook) error {
	tx, err := transaction(stuck)
	if err != nil {
		return err
	}
	old := fees{tx.GasTipCap(), tx.GasFeeCap()}
	if ahead.log.Size > final.log.Size {
		return w.resend(ctx, stuck) // somebody anchored meanwhile: no proof fits before that is final
	}
	c, err := w.prepare(ctx, stuck.Nonce, final.log.Head, tree, ahead, &old)
	if refused(err) {
		return w.resend(ctx, stuck) // it was mined just now, or will be refused as this one would be
	}
	if err != nil {
		return errors.Join(err, w.resend(ctx, stuck))
	}
	row, err := w.plan(ctx, journal.Row{
		Nonce: stuck.Nonce, Replaces: stuck.ID, Previous: final.log.Size, Size: uint64(tree.Size), Root: tree.Root,
	})
	if err != nil {
		return err
	}
	w.note(func(s *Status) { s.Replaced++ })
	return w.signAndSend(ctx, row, c)
}

// findMined looks for the rows' transactions in blocks that are not final yet, and returns how many servers
// have one there. As many as must agree are enough to wait on, and no more than that: they are asked again
// until the nonce is used in a final block.
func (w *Worker) findMined(ctx context.Context, rows []journal.Row, final finalized) (seen int, err error) {
	for i, r := range rows {
		if r.Raw == nil {
			continue
		}
		answers, err := w.c.Chain.outcomes(ctx, r.Hash)
		if err != nil {
			return 0, err
		}
		var o outcome
		count := 0
		for _, a := range answers {
			if !a.value.mined {
				continue
			}
			if a.value.block <= final.number {
				return 0, fmt.Errorf("%w (%s says that %#x is in the final block %d, and its nonce is not used by then)",
					ErrLies, a.from.name, r.Hash, a.value.block)
			}
			o = a.value
			count++
		}
		seen = max(seen, count)
		switch enough := count >= w.c.Chain.servers.quorum; {
		case enough && (r.State != journal.Mined || r.BlockHash != o.hash):
			rows[i], err = w.move(ctx, r, journal.Mined, func(r *journal.Row) { r.Block, r.BlockHash = o.block, o.hash })
		case !enough && r.State == journal.Mined: // the chain was reorganised
			rows[i], err = w.move(ctx, r, journal.Sent, func(r *journal.Row) { r.Block, r.BlockHash = 0, [32]byte{} })
		}
		if err != nil {
			return 0, err
		}
		if waited := w.c.Now().Sub(rows[i].Changed); rows[i].State == journal.Mined && waited >= w.c.StallAfter {
			return seen, fmt.Errorf("%w (the anchor is in block %d for %v; block %d is final)", ErrStalled, o.block, waited.Round(time.Minute), final.number)
		}
	}
	return seen, nil
}

// settle ends all rows of a nonce that is used in a final block.
func (w *Worker) settle(ctx context.Context, rows []journal.Row, final finalized) error {
	winner, won := -1, outcome{}
	for i, r := range rows {
		if r.Raw == nil {
			continue
		}
		o, err := w.c.Chain.settled(ctx, r.Hash, final)
		if err != nil {
			return err
		}
		if o.mined {
			winner, won = i, o
		}
	}
	reason := "Another transaction of the anchorer's key took its nonce; use the key for nothing else."
	var refusal error
	if winner >= 0 {
		r := rows[winner]
		if want := (contract.Head{Size: r.Size, Root: r.Root}); won.ok && won.anchored.Head != want {
			return fmt.Errorf("%w (the receipt of %#x is of another head)", ErrLies, r.Hash)
		}
		if !won.ok {
			tx, err := transaction(r)
			if err != nil {
				return err
			}
			refusal = w.c.Chain.reverted(ctx, w.c.Key.Address(), tx, won.block)
			reason = sentence(refusal)
		}
	}
	moves := make([]journal.Move, len(rows))
	for i, r := range rows {
		switch inBlock := func(r *journal.Row) { r.Block, r.BlockHash = won.block, won.hash }; {
		case i == winner && won.ok:
			moves[i] = w.moved(r, journal.Final, inBlock)
		case i == winner:
			moves[i] = w.moved(r, journal.Abandoned, func(r *journal.Row) { inBlock(r); r.Reason = reason })
		case winner >= 0:
			moves[i] = w.moved(r, journal.Replaced, nil)
		default:
			moves[i] = w.moved(r, journal.Abandoned, func(r *journal.Row) { r.Reason = reason })
		}
	}
	if err := w.c.Journal.Move(ctx, moves...); err != nil {
		return fmt.Errorf("the journal of anchors cannot be written: %w", err)
	}
	if _, err := w.remember(ctx); err != nil {
		return err
	}
	if refusal != nil {
		return refusal
	}
	return w.standing()
}

// sentence is an error as the journal keeps it.
func sentence(err error) string { return "It was refused: " + err.Error() + "." }
