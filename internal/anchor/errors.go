package anchor

import (
	"errors"
	"slices"

	"stonevault/internal/anchor/contract"
	"stonevault/internal/anchor/journal"
	"stonevault/internal/auditlog"
)

// What keeps an anchor from being written or believed. All but the last group pass by themselves when their
// cause does, and are tried again.
var (
	// Of the servers.
	ErrUnreachable = errors.New("too few RPC servers answer; check their addresses and the network")
	ErrDisagree    = errors.New("two RPC servers disagree, so that one of them is wrong or lies; find out which, and take it out of the configuration")
	ErrLies        = errors.New("an RPC server contradicts the contract; take it out of the configuration")
	ErrStalled     = errors.New("the chain has not made the block final for long; nothing has to be done unless this lasts")

	// Of the place.
	ErrWrongChain    = errors.New("the RPC server is for another chain; correct its address or the chain id")
	ErrWrongContract = errors.New("the code at the contract's address is not the anchoring contract's; correct the address")
	ErrWrongLog      = errors.New("the contract has no such log of this vault; create it, or correct creator and log id")

	// Of the sender.
	ErrNotAnchorer = errors.New("this key may not anchor for the log; the log's owner has to appoint its address")
	ErrFunds       = errors.New("the anchorer's account holds too little for a transaction; send coins to it")
	ErrFee         = errors.New("the chain's fees are above the ceiling that is configured; wait, or raise it")
	ErrNotTaken    = errors.New("no RPC server takes the transaction; it is sent again, and with higher fees after a while")
	ErrForeign     = errors.New("a transaction of the anchorer's key is under way that is not in the journal; use the key for nothing else, and wait")
	ErrAbandoned   = errors.New("an anchor was abandoned; the next one is tried after the usual interval")

	// Of a claim.
	ErrReverted    = errors.New("the transaction was refused by the contract")
	ErrNotFinal    = errors.New("the transaction is in a block that is not final; check again later")
	ErrNotAnchored = errors.New("the chain has no anchor of this log yet")
	ErrWrongClaim  = errors.New("the transaction is not the anchor that it is said to be")

	// Of the log: evidence that it was tampered with, for a person to look into.
	ErrForked     = errors.New("the anchored head is not a beginning of the log: the log's history was rewritten, or the anchorer's key was stolen; nothing is anchored until a person has compared the log with receipts and backups")
	ErrRolledBack = errors.New("the log is shorter than its anchored head: it was set back, or the checkpoint is an old one; nothing is anchored until it has grown again from the same history")
	ErrTakenBack  = errors.New("the chain has taken back a head that was final; look the contract up at another server, nothing is anchored until it has the head again")
)

// nature is what follows from a condition.
type nature uint8

const (
	lasting   nature = 1 << iota // it stays until a person does something; the others may pass by themselves
	tampering                    // it is evidence against the log itself
	unchecked                    // the log could not be held against the chain
)

// conditions give each error a name that does not change, for metrics and JSON. The first that fits counts.
var conditions = []struct {
	err    error
	name   string
	nature nature
}{
	{ErrForked, "forked", lasting | tampering}, {ErrRolledBack, "rolled_back", lasting | tampering}, {ErrTakenBack, "taken_back", lasting},
	{ErrDisagree, "rpc_disagree", unchecked}, {ErrLies, "rpc_lies", lasting | unchecked}, {ErrUnreachable, "rpc_unreachable", unchecked},
	{ErrWrongChain, "wrong_chain", lasting | unchecked}, {ErrWrongContract, "wrong_contract", lasting | unchecked},
	{ErrWrongLog, "wrong_log", lasting | unchecked},
	{ErrNotAnchorer, "not_anchorer", lasting}, {contract.ErrNotAnchorer, "not_anchorer", lasting},
	{ErrFunds, "funds_low", lasting}, {ErrFee, "fee_ceiling", 0}, {ErrForeign, "nonce_in_use", 0}, {ErrNotTaken, "not_taken", 0},
	{ErrStalled, "finality_stalled", 0}, {ErrReverted, "reverted", tampering}, {ErrAbandoned, "abandoned", 0},
	{journal.ErrConflict, "journal_conflict", 0}, {ErrKey, "key", lasting}, {auditlog.ErrRewritten, "log_damaged", lasting | tampering},
	{ErrNotFinal, "not_final", 0}, {ErrNotAnchored, "not_anchored", 0}, {ErrWrongClaim, "wrong_claim", tampering},
}

// Condition returns the name of what an error of this package says: "ok" for nil, "failed" for what has none.
func Condition(err error) string {
	if err == nil {
		return "ok"
	}
	for _, c := range conditions {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	return "failed"
}

// Conditions are all names that Condition may return.
func Conditions() []string {
	names := []string{Condition(nil)}
	for _, c := range conditions {
		if !slices.Contains(names, c.name) {
			names = append(names, c.name)
		}
	}
	return append(names, "failed")
}

// Lasting tells whether a condition stays until a person does something. The others may pass by themselves.
func Lasting(condition string) bool {
	for _, c := range conditions {
		if c.name == condition {
			return c.nature&lasting != 0
		}
	}
	return false
}

// Tampering tells whether an error is evidence against the log itself, rather than a check that could not be made.
func Tampering(err error) bool { return anyIs(err, tampering) }

// Unchecked tells whether an error says that the log could not be held against the chain at all.
func Unchecked(err error) bool { return anyIs(err, unchecked) }

func anyIs(err error, n nature) bool {
	for _, c := range conditions {
		if c.nature&n != 0 && errors.Is(err, c.err) {
			return true
		}
	}
	return false
}
