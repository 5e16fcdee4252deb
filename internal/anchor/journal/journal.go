// Package journal is what the anchoring worker remembers: one row for each transaction that it makes, written
// before the step that the row speaks of is taken. After a stop the worker goes on from the rows alone.
//
// It is the port that a database implements, and knows neither a chain's library nor a database. Its rules:
//
//   - At most one nonce is unsettled at a time. Rows that share it compete: each later one replaces the one
//     before, and the chain takes one of them at most.
//   - The raw bytes of a transaction are in its row before anybody else sees them.
//   - A settled row never changes.
//
// Package journaltest holds an implementation to this.
package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// State is how far a transaction has come.
type State uint8

const (
	Planned   State = iota + 1 // nonce and head are chosen; nothing is signed
	Signed                     // the raw transaction is here; whether anybody else has it is not known
	Sent                       // a server has taken it
	Mined                      // it is in a block that may still be taken back
	Final                      // it is in a finalized block, and the contract has its head
	Replaced                   // another transaction of this nonce is final
	Abandoned                  // it was never signed, it failed, or somebody else used its nonce: see Reason
)

var stateNames = [...]string{
	Planned: "planned", Signed: "signed", Sent: "sent", Mined: "mined",
	Final: "final", Replaced: "replaced", Abandoned: "abandoned",
}

func (s State) String() string {
	if s == 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", uint8(s))
	}
	return stateNames[s]
}

// ParseState reads what String gives.
func ParseState(name string) (State, error) {
	if i := slices.Index(stateNames[:], name); i > 0 {
		return State(i), nil
	}
	return 0, fmt.Errorf("journal: there is no state %q", name)
}

// Settled tells whether a row in this state is past changing.
func (s State) Settled() bool { return s >= Final }

// steps are the states that may follow. Signed may be followed by what follows Sent, because a stop can come
// between sending and writing it down; Mined by Sent, because a chain can be reorganised.
var steps = map[State][]State{
	Planned: {Signed, Replaced, Abandoned},
	Signed:  {Sent, Mined, Final, Replaced, Abandoned},
	Sent:    {Mined, Final, Replaced, Abandoned},
	Mined:   {Mined, Sent, Final, Replaced, Abandoned}, // Mined again: in another block
}

// MayBecome tells whether a row may go from one state to the other.
func (s State) MayBecome(next State) bool { return slices.Contains(steps[s], next) }

// Scope is whose rows they are: of one sender, for one log of one contract on one chain.
type Scope struct {
	ChainID  uint64
	Contract [20]byte
	Log      [32]byte
	Sender   [20]byte
}

// Row is one transaction.
type Row struct {
	ID    int64 // 1, 2, … in the order of planning; given by the store
	Scope Scope

	Nonce    uint64
	Replaces int64  // the ID of the row before with this nonce, or 0
	Previous uint64 // size of the head that the chain had; the proof leads from it
	Size     uint64 // of the head that this anchors
	Root     [32]byte

	State   State
	Changed time.Time // when it came into State; in milliseconds
	Planned time.Time // when it was planned; in milliseconds

	Hash [32]byte // of the transaction; zero before Signed, as is Raw
	Raw  []byte

	Block     uint64 // where it is Mined or Final
	BlockHash [32]byte

	Reason string // of Abandoned, a sentence
}

var (
	// ErrConflict is a change that somebody else's came before, or that the rules do not allow; nothing of it remains.
	ErrConflict = errors.New("the journal of anchors was changed meanwhile")
	// ErrNotFound is a row that is not there.
	ErrNotFound = errors.New("there is no such anchor in the journal")
)

// Move is a row in its new state. It is refused unless the row is in From still.
type Move struct {
	From State
	To   Row
}

// Store keeps rows. What it writes is durable when it returns nil. When it fails, the change is made whole or
// not at all, and the caller doesn't know which.
type Store interface {
	// Unsettled returns the rows that are not settled, the oldest first. They share one nonce.
	Unsettled(ctx context.Context, s Scope) ([]Row, error)
	// Newest returns the row with the highest ID of those in one of the states, or ErrNotFound.
	Newest(ctx context.Context, s Scope, states ...State) (Row, error)
	// Plan adds a row in state Planned, without regard to its ID, and returns it with the ID that it gets.
	// ErrConflict unless Replaces is the ID of the newest unsettled row, of the same nonce, or 0 where there
	// is none.
	Plan(ctx context.Context, r Row) (Row, error)
	// Move changes rows together: State, Changed, Hash, Raw, Block, BlockHash and Reason; the rest stays.
	// ErrConflict where one of them isn't in its From, or may not become what it should.
	//
	// A row that becomes Final is an event of the audit log, which is recorded in the same transaction.
	Move(ctx context.Context, moves ...Move) error
}
