package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
)

// The compiled form names the source and the settings that it was made from.
func TestCompiledFromThisSource(t *testing.T) {
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var input struct {
		Sources  map[string]struct{ Content string }
		Settings any
	}
	var settings any
	if err := errors.Join(json.Unmarshal(read("compiled/input.json"), &input), json.Unmarshal(read("settings.json"), &settings)); err != nil {
		t.Fatal(err)
	}
	const source = "AnchorRegistry.sol"
	if len(input.Sources) != 1 || input.Sources[source].Content != string(read(source)) || !reflect.DeepEqual(input.Settings, settings) {
		t.Error("compiled/ is of another source; run go generate")
	}
	var made struct{ DevDependencies map[string]string }
	if err := json.Unmarshal(read("package.json"), &made); err != nil {
		t.Fatal(err)
	}
	solc := made.DevDependencies["solc"]
	if !strings.HasPrefix(string(read("compiled/compiler.txt")), solc+"+commit.") ||
		!strings.Contains(input.Sources[source].Content, "pragma solidity "+solc+";") {
		t.Errorf("compiled/ is not by solc %s", solc)
	}
}

// Nothing in the contract could change its code, call other code, or end it.
func TestCodeIsClosed(t *testing.T) {
	if !bytes.HasSuffix(CreationCode(), RuntimeCode()) {
		t.Error("CreationCode does not end in RuntimeCode")
	}
	open := map[vm.OpCode]bool{
		vm.CALL: true, vm.CALLCODE: true, vm.DELEGATECALL: true, vm.CREATE: true, vm.CREATE2: true, vm.SELFDESTRUCT: true,
	}
	calls := 0
	for i := 0; i < len(RuntimeCode()); i++ {
		op := vm.OpCode(RuntimeCode()[i])
		switch {
		case open[op]:
			t.Errorf("there is a %v at %d", op, i)
		case op == vm.STATICCALL:
			calls++
		case op.IsPush():
			i += int(op - vm.PUSH0)
		}
	}
	if calls != 1 {
		t.Errorf("there are %d calls, where only the one of SHA-256 is expected", calls)
	}
	for name, method := range definition.Methods {
		if method.IsPayable() {
			t.Errorf("%s takes funds", name)
		}
	}
	if definition.HasFallback() || definition.HasReceive() || definition.Constructor.IsPayable() {
		t.Error("the contract takes calls or funds besides its functions")
	}
}

// Every error of the contract is known by name here, so that none reads as malformed.
func TestEveryRefusalIsRead(t *testing.T) {
	if len(definition.Errors) != len(refusals) {
		t.Errorf("the contract has %d errors, refusals %d", len(definition.Errors), len(refusals))
	}
	for name, want := range refusals {
		e, ok := definition.Errors[name]
		if !ok {
			t.Errorf("the contract has no error %s", name)
			continue
		}
		data := append(bytes.Clone(e.ID[:4]), make([]byte, 32*len(e.Inputs))...)
		if err := ReadRefusal(data); !errors.Is(err, want) {
			t.Errorf("%s is read as %v", name, err)
		}
		for _, wrong := range [][]byte{data[:len(data)-1], append(bytes.Clone(data), 0), data[:3]} {
			if err := ReadRefusal(wrong); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s in %d bytes is read as %v", name, len(wrong), err)
			}
		}
	}
}

func TestReadLogRefuses(t *testing.T) {
	good := make([]byte, 5*32)
	if l, err := ReadLog(good); err != nil || l != (Log{}) {
		t.Fatalf("an empty log: %v, %v", l, err)
	}
	tooLarge := func(word int) []byte {
		b := bytes.Clone(good)
		b[32*word] = 1
		return b
	}
	for name, answer := range map[string][]byte{
		"nothing, as from an address without code": nil,
		"one byte less":        good[1:],
		"one byte more":        append(bytes.Clone(good), 0),
		"one word more":        append(bytes.Clone(good), make([]byte, 32)...),
		"an anchorer too long": tooLarge(0),
		"a size too large":     tooLarge(1),
		"an owner too long":    tooLarge(3),
		"an offer too long":    tooLarge(4),
	} {
		if l, err := ReadLog(answer); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
}

func TestReadAnchoredRefuses(t *testing.T) {
	id := common.Hash{1}
	for name, entry := range map[string]types.Log{
		"nothing":           {},
		"another event":     {Topics: []common.Hash{definition.Events["Created"].ID, id}, Data: make([]byte, 96)},
		"no id":             {Topics: []common.Hash{AnchoredTopic}, Data: make([]byte, 96)},
		"a topic more":      {Topics: []common.Hash{AnchoredTopic, id, id}, Data: make([]byte, 96)},
		"a byte less":       {Topics: []common.Hash{AnchoredTopic, id}, Data: make([]byte, 95)},
		"a byte more":       {Topics: []common.Hash{AnchoredTopic, id}, Data: make([]byte, 97)},
		"a size of 65 bits": {Topics: []common.Hash{AnchoredTopic, id}, Data: append(make([]byte, 32+23, 96), append([]byte{1}, make([]byte, 40)...)...)},
	} {
		if a, err := ReadAnchored(&entry); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

// FuzzRead feeds what a lying RPC server could answer. What is taken says the same when it is written again.
func FuzzRead(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(make([]byte, 5*32))
	f.Add(make([]byte, 3*32))
	inconsistent := definition.Errors["Inconsistent"].ID
	f.Add(append(inconsistent[:4:4], make([]byte, 64)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := ReadLog(b); err == nil {
			again, err := definition.Methods["logs"].Outputs.Pack(l.Anchorer, l.Size, l.Root, l.Owner, l.OfferedTo)
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("ReadLog took %x for %+v", b, l)
			}
		}
		entry := types.Log{Topics: []common.Hash{AnchoredTopic, {1}}, Data: b}
		if a, err := ReadAnchored(&entry); err == nil {
			again, err := definition.Events["Anchored"].Inputs.NonIndexed().Pack(a.PreviousSize, a.Size, a.Root)
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("ReadAnchored took %x for %+v", b, a)
			}
		}
		if ReadRefusal(b) == nil {
			t.Errorf("ReadRefusal takes %x for no refusal", b)
		}
	})
}
