package contract

import (
	"errors"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/holiman/uint256"
)

func TestRefusals(t *testing.T) {
	log := denseTree(20)
	at8, at13 := log.head(t, 8), log.head(t, 13)
	to13 := log.proof(t, 8, 13)
	fork := newTree(3)

	m := newMachine(t, "Osaka")
	id := m.anchored("log", at8)
	fresh := m.create("fresh")
	stopped := LogID(m.must(owner, CreateCall(OriginHash("stopped"), nobody)))
	missing := NewLogID(stranger, OriginHash("log"))

	for _, c := range []struct {
		name string
		from common.Address
		call []byte
		want error
	}{
		{"an anchor by the owner, who is not the anchorer", owner, AnchorCall(id, at13, to13), ErrNotAnchorer},
		{"an anchor by a stranger", stranger, AnchorCall(id, at13, to13), ErrNotAnchorer},
		{"an anchor of a log that does not exist", anchorer, AnchorCall(missing, at13, nil), ErrNotAnchorer},
		{"an anchor of a log without an anchorer", owner, AnchorCall(stopped, at13, nil), ErrNotAnchorer},
		{"the size that is there", anchorer, AnchorCall(id, at8, nil), ErrNotGrowing},
		{"the size that is there, another root", anchorer, AnchorCall(id, fork.head(t, 8), nil), ErrNotGrowing},
		{"a smaller size", anchorer, AnchorCall(id, log.head(t, 7), log.proof(t, 7, 8)), ErrNotGrowing},
		{"a size of zero", anchorer, AnchorCall(id, Head{0, at13.Root}, nil), ErrNotGrowing},
		{"a first head of size zero", anchorer, AnchorCall(fresh, Head{0, at13.Root}, nil), ErrNotGrowing},
		{"a root of zeros", anchorer, AnchorCall(id, Head{13, [32]byte{}}, to13), ErrZeroRoot},
		{"a first root of zeros", anchorer, AnchorCall(fresh, Head{13, [32]byte{}}, nil), ErrZeroRoot},
		{"a first head with a proof", anchorer, AnchorCall(fresh, at13, to13), ErrInconsistent},
		{"no proof", anchorer, AnchorCall(id, at13, nil), ErrInconsistent},
		{"another pair's proof", anchorer, AnchorCall(id, at13, log.proof(t, 8, 14)), ErrInconsistent},
		{"a fork with its own proof", anchorer, AnchorCall(id, fork.head(t, 13), fork.proof(t, 8, 13)), ErrInconsistent},
		{"a second creation", owner, CreateCall(OriginHash("log"), anchorer), ErrAlreadyCreated},
		{"a second creation with another anchorer", owner, CreateCall(OriginHash("log"), stranger), ErrAlreadyCreated},
		{"an anchorer appointed by the anchorer", anchorer, SetAnchorerCall(id, anchorer), ErrNotOwner},
		{"an anchorer appointed by a stranger", stranger, SetAnchorerCall(id, stranger), ErrNotOwner},
		{"an anchorer of a log that does not exist", stranger, SetAnchorerCall(missing, stranger), ErrNotOwner},
		{"an offer by the anchorer", anchorer, OfferOwnershipCall(id, anchorer), ErrNotOwner},
		{"an offer by a stranger", stranger, OfferOwnershipCall(id, stranger), ErrNotOwner},
		{"taking what was not offered", stranger, TakeOwnershipCall(id), ErrNotOffered},
		{"the owner taking without an offer", owner, TakeOwnershipCall(id), ErrNotOffered},
		{"taking a log that does not exist", stranger, TakeOwnershipCall(missing), ErrNotOffered},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, events := []Log{m.log(id), m.log(fresh), m.log(stopped), m.log(missing)}, len(m.state.Logs())
			_, _, err := m.send(c.from, c.call)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			for i, of := range []LogID{id, fresh, stopped, missing} {
				if now := m.log(of); now != before[i] {
					t.Errorf("a refused call changed %v to %v", before[i], now)
				}
			}
			if now := len(m.state.Logs()); now != events {
				t.Errorf("a refused call left %d events", now-events)
			}
		})
	}
}

func TestRefusalSaysWhichSizes(t *testing.T) {
	log, m := denseTree(9), newMachine(t, "Osaka")
	id := m.anchored("log", log.head(t, 5))
	for _, c := range []struct {
		head Head
		want Refusal
	}{
		{log.head(t, 5), Refusal{ErrNotGrowing, 5, 5}},
		{log.head(t, 4), Refusal{ErrNotGrowing, 5, 4}},
		{log.head(t, 9), Refusal{ErrInconsistent, 5, 9}},
	} {
		_, _, err := m.send(anchorer, AnchorCall(id, c.head, nil))
		if got, ok := errors.AsType[*Refusal](err); !ok || *got != c.want {
			t.Errorf("size %d: got %v, want %v", c.head.Size, err, &c.want)
		}
	}
}

func TestALogGrows(t *testing.T) {
	log, m := denseTree(40), newMachine(t, "Osaka")
	id := m.create("log")
	if id != NewLogID(owner, OriginHash("log")) {
		t.Fatalf("the contract made %v, and NewLogID %v", id, NewLogID(owner, OriginHash("log")))
	}
	want := Log{Anchorer: anchorer, Owner: owner}
	if got := m.log(id); got != want {
		t.Fatalf("a new log is %+v, want %+v", got, want)
	}
	for _, size := range []int64{1, 2, 3, 4, 7, 8, 20, 33, 40} {
		head := log.head(t, size)
		m.must(anchorer, AnchorCall(id, head, log.proof(t, int64(want.Size), size)))
		event, err := ReadAnchored(m.lastEvent())
		if err != nil {
			t.Fatal(err)
		}
		if event != (Anchored{id, want.Size, head}) {
			t.Errorf("the event is %+v", event)
		}
		want.Head = head
		if got := m.log(id); got != want {
			t.Errorf("after %d events the log is %+v, want %+v", size, got, want)
		}
	}
	if got := m.log(NewLogID(owner, OriginHash("another"))); got != (Log{}) {
		t.Errorf("a log that nobody made is %+v", got)
	}
}

// Two people may make a log of one origin, and neither is in the other's way.
func TestLogsAreApart(t *testing.T) {
	log, m := denseTree(8), newMachine(t, "Osaka")
	mine := m.anchored("log", log.head(t, 8))
	theirs := LogID(m.must(stranger, CreateCall(OriginHash("log"), stranger)))
	if mine == theirs {
		t.Fatal("two creators have one log")
	}
	m.must(stranger, AnchorCall(theirs, log.head(t, 3), nil))
	if got := m.log(mine); got != (Log{log.head(t, 8), anchorer, owner, nobody}) {
		t.Errorf("the first log is %+v", got)
	}
	if _, _, err := m.send(anchorer, AnchorCall(theirs, log.head(t, 8), log.proof(t, 3, 8))); !errors.Is(err, ErrNotAnchorer) {
		t.Errorf("another log's anchorer: %v", err)
	}
}

func TestOwnershipChangesInTwoSteps(t *testing.T) {
	m := newMachine(t, "Osaka")
	id := m.create("log")
	const no, yes = false, true
	next, third := common.Address{4}, common.Address{5}
	for i, step := range []struct {
		from    common.Address
		call    []byte
		allowed bool
		owner   common.Address
		offered common.Address
		event   string
	}{
		{owner, OfferOwnershipCall(id, third), yes, owner, third, "OwnershipOffered"},
		{owner, OfferOwnershipCall(id, next), yes, owner, next, "OwnershipOffered"}, // the last offer counts
		{third, TakeOwnershipCall(id), no, owner, next, ""},
		{next, SetAnchorerCall(id, next), no, owner, next, ""}, // not before it is taken
		{owner, OfferOwnershipCall(id, nobody), yes, owner, nobody, "OwnershipOffered"},
		{next, TakeOwnershipCall(id), no, owner, nobody, ""}, // the offer was taken back
		{owner, OfferOwnershipCall(id, next), yes, owner, next, "OwnershipOffered"},
		{owner, SetAnchorerCall(id, anchorer), yes, owner, next, "AnchorerChanged"}, // still the owner's
		{next, TakeOwnershipCall(id), yes, next, nobody, "OwnershipTaken"},
		{next, TakeOwnershipCall(id), no, next, nobody, ""},
		{owner, SetAnchorerCall(id, owner), no, next, nobody, ""},
		{owner, OfferOwnershipCall(id, owner), no, next, nobody, ""},
		{owner, CreateCall(OriginHash("log"), owner), no, next, nobody, ""}, // not again, though it is another's
		{next, SetAnchorerCall(id, stranger), yes, next, nobody, "AnchorerChanged"},
	} {
		_, _, err := m.send(step.from, step.call)
		if (err == nil) != step.allowed {
			t.Fatalf("step %d: %v", i, err)
		}
		if now := m.log(id); now.Owner != step.owner || now.OfferedTo != step.offered {
			t.Fatalf("step %d: owner %v, offered to %v", i, now.Owner, now.OfferedTo)
		}
		if step.event != "" && m.lastEvent().Topics[0] != definition.Events[step.event].ID {
			t.Errorf("step %d left another event than %s", i, step.event)
		}
	}
	if got := m.log(id).Anchorer; got != stranger {
		t.Errorf("the anchorer is %v", got)
	}
}

func TestAnchorerChanges(t *testing.T) {
	log, m := denseTree(8), newMachine(t, "Osaka")
	id := m.anchored("log", log.head(t, 2))
	next := AnchorCall(id, log.head(t, 5), log.proof(t, 2, 5))
	m.must(owner, SetAnchorerCall(id, nobody))
	if _, _, err := m.send(anchorer, next); !errors.Is(err, ErrNotAnchorer) {
		t.Errorf("the anchorer that was dismissed: %v", err)
	}
	m.must(owner, SetAnchorerCall(id, stranger))
	m.must(stranger, next)
}

func TestTakesNoFunds(t *testing.T) {
	m := newMachine(t, "Osaka")
	m.state.AddBalance(owner, uint256.NewInt(1000), 0)
	id := m.create("log")
	for name, call := range map[string][]byte{
		"nothing":        nil,
		"create":         CreateCall(OriginHash("another"), anchorer),
		"anchor":         AnchorCall(id, Head{1, [32]byte{1}}, nil),
		"setAnchorer":    SetAnchorerCall(id, stranger),
		"offerOwnership": OfferOwnershipCall(id, stranger),
		"takeOwnership":  TakeOwnershipCall(id),
		"logs":           LogCall(id),
	} {
		if result := m.transact(owner, &m.address, call, 1); !errors.Is(result.Err, vm.ErrExecutionReverted) {
			t.Errorf("%s with funds: %v", name, result.Err)
		}
	}
	if b := m.state.GetBalance(m.address); !b.IsZero() {
		t.Errorf("the contract has %v", b)
	}
}

func TestRefusesOtherCalldata(t *testing.T) {
	m := newMachine(t, "Osaka")
	id := m.create("log")
	whole := AnchorCall(id, Head{1, [32]byte{1}}, nil)
	for name, call := range map[string][]byte{
		"nothing":             {},
		"three bytes":         whole[:3],
		"an unknown function": {1, 2, 3, 4},
		"a cut off word":      whole[:len(whole)-1],
		"a size of 65 bits":   append(append(append([]byte{}, whole[:4+32+23]...), 1), whole[4+32+24:]...),
		"a length too large":  append(append([]byte{}, whole[:len(whole)-1]...), 1),
	} {
		if result := m.transact(anchorer, &m.address, call, 0); !errors.Is(result.Err, vm.ErrExecutionReverted) || len(result.ReturnData) != 0 {
			t.Errorf("%s: %v %x", name, result.Err, result.ReturnData)
		}
	}
	m.must(anchorer, whole)
}

// A call of an address without code succeeds and returns nothing, which must not pass for a hash.
func TestNeedsSHA256(t *testing.T) {
	m := newMachine(t, "Osaka")
	without := vm.ActivePrecompiledContracts(m.rules)
	delete(without, common.BytesToAddress([]byte{2}))
	m.evm.SetPrecompiles(without)
	result := m.transact(owner, nil, CreationCode(), 0)
	if !errors.Is(result.Err, vm.ErrExecutionReverted) || !errors.Is(ReadRefusal(result.ReturnData), ErrNoSHA256) {
		t.Errorf("deploying: %v, %v", result.Err, ReadRefusal(result.ReturnData))
	}
}

func (m *machine) lastEvent() *types.Log {
	m.tb.Helper()
	all := m.state.Logs()
	if len(all) == 0 {
		m.tb.Fatal("there is no event")
	}
	last := all[0]
	for _, l := range all {
		if l.Index > last.Index {
			last = l
		}
	}
	if last.Address != m.address {
		m.tb.Fatal("the event is another contract's")
	}
	return last
}
