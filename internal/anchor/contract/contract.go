// Package contract speaks to the anchoring contract, AnchorRegistry.sol beside it: it makes the calldata of
// calls, and reads what they return, log and refuse. docs/spec/anchor.md specifies all of them.
//
// It holds the compiled form of the contract, so that a caller can deploy it and can tell whether the code
// at an address is it. That form is made by `go generate`, which needs Node, and follows from the source,
// settings.json and the version of the compiler alone.
//
// It does no I/O: sending transactions, waiting for them and choosing whom to believe is its importer's.
package contract

//go:generate sh -c "[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci"
//go:generate node compile.mjs

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

var (
	//go:embed compiled/abi.json
	abiJSON []byte
	//go:embed compiled/creation.hex
	creationHex []byte
	//go:embed compiled/runtime.hex
	runtimeHex []byte
)

// These fail for a broken build alone, which every test finds.
var (
	definition   = must(abi.JSON(bytes.NewReader(abiJSON)))
	creationCode = must(hex.DecodeString(string(bytes.TrimSpace(creationHex))))
	runtimeCode  = must(hex.DecodeString(string(bytes.TrimSpace(runtimeHex))))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic("contract: the compiled form is damaged: " + err.Error())
	}
	return v
}

// CreationCode is the data of the transaction that deploys the contract. It takes no arguments and no funds.
func CreationCode() []byte { return slices.Clone(creationCode) }

// RuntimeCode is the code that then stands at the contract's address, the same on every chain. An address
// with other code is another contract.
func RuntimeCode() []byte { return slices.Clone(runtimeCode) }

// LogID names a log within one contract on one chain.
type LogID [32]byte

func (id LogID) String() string { return "0x" + hex.EncodeToString(id[:]) }

// OriginHash is what the chain shows of a log's origin, the first line of its checkpoints.
func OriginHash(origin string) [32]byte { return sha256.Sum256([]byte(origin)) }

// NewLogID returns the id of the log that creator makes, or has made, for an origin.
func NewLogID(creator common.Address, originHash [32]byte) LogID {
	return LogID(crypto.Keccak256(common.LeftPadBytes(creator[:], 32), originHash[:]))
}

// Head is a log of Size events with the RFC 6962 tree hash Root. The zero Head is the empty log's, before
// its first anchor.
type Head struct {
	Size uint64
	Root [32]byte
}

// Log is what the contract keeps of a log. An Owner of zero means that there is no such log.
type Log struct {
	Head
	Anchorer, Owner, OfferedTo common.Address
}

// CreateCall makes a log that the sender owns. It costs about 70,000 gas.
func CreateCall(originHash [32]byte, anchorer common.Address) []byte {
	return call("create", originHash, anchorer)
}

// AnchorCall anchors a head. The proof is the RFC 6962 consistency proof from the last anchored head to this
// one, as tlog.ProveTree makes it; nil for the first.
func AnchorCall(id LogID, head Head, proof [][32]byte) []byte {
	return call("anchor", id, head.Size, head.Root, proof)
}

// SetAnchorerCall appoints the anchorer; the zero address stops anchoring.
func SetAnchorerCall(id LogID, anchorer common.Address) []byte {
	return call("setAnchorer", id, anchorer)
}

// OfferOwnershipCall offers a log to another owner; the zero address takes the offer back.
func OfferOwnershipCall(id LogID, to common.Address) []byte {
	return call("offerOwnership", id, to)
}

// TakeOwnershipCall makes the sender, to whom the log was offered, its owner.
func TakeOwnershipCall(id LogID) []byte { return call("takeOwnership", id) }

// LogCall asks for the state of a log; ReadLog reads the answer.
func LogCall(id LogID) []byte { return call("logs", id) }

func call(method string, args ...any) []byte {
	return must(definition.Pack(method, args...)) // the types of args are those of the functions above
}

// ErrMalformed means an answer, or an entry of a block's log, that this contract does not give.
var ErrMalformed = errors.New("this is not an answer of the anchoring contract; check its address and the RPC server")

// unpack reads words and refuses what the contract would have written otherwise. Package abi alone takes
// trailing bytes, and cuts a word that is too large for an address.
func unpack(words abi.Arguments, data []byte) ([]any, error) {
	values, err := words.Unpack(data)
	if err != nil {
		// An address without code answers every call with nothing, and so ends here too.
		return nil, fmt.Errorf("%w (%v)", ErrMalformed, err)
	}
	if again, err := words.Pack(values...); err != nil || !bytes.Equal(again, data) {
		return nil, ErrMalformed
	}
	return values, nil
}

// ReadLog reads the answer to LogCall.
func ReadLog(answer []byte) (Log, error) {
	v, err := unpack(definition.Methods["logs"].Outputs, answer)
	if err != nil {
		return Log{}, err
	}
	return Log{
		Anchorer:  v[0].(common.Address),
		Head:      Head{v[1].(uint64), v[2].([32]byte)},
		Owner:     v[3].(common.Address),
		OfferedTo: v[4].(common.Address),
	}, nil
}

// Anchored is the event of an accepted anchor.
type Anchored struct {
	ID           LogID
	PreviousSize uint64
	Head
}

// AnchoredTopic is topic 0 of Anchored; topic 1 is the log's id.
var AnchoredTopic = definition.Events["Anchored"].ID

// ReadAnchored reads an entry of a block's log. Whether the contract wrote it is to be seen from its address,
// which the caller compares.
func ReadAnchored(entry *types.Log) (Anchored, error) {
	if len(entry.Topics) != 2 || entry.Topics[0] != AnchoredTopic {
		return Anchored{}, ErrMalformed
	}
	v, err := unpack(definition.Events["Anchored"].Inputs.NonIndexed(), entry.Data)
	if err != nil {
		return Anchored{}, err
	}
	return Anchored{LogID(entry.Topics[1]), v[0].(uint64), Head{v[1].(uint64), v[2].([32]byte)}}, nil
}
