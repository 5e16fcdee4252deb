package contract

import (
	"errors"
	"fmt"
)

// What the contract refuses, and how ReadRefusal reports it.
var (
	ErrAlreadyCreated = errors.New("this log has been created on the chain already")
	ErrNotOwner       = errors.New("only the owner of the log may do this; there may be no such log")
	ErrNotOffered     = errors.New("the log was not offered to this address")
	ErrNotAnchorer    = errors.New("only the anchorer of the log may anchor; there may be no such log")
	ErrNotGrowing     = errors.New("the chain has a head of this size or more already")
	ErrZeroRoot       = errors.New("a root of zeros cannot be anchored")
	ErrInconsistent   = errors.New("the proof does not show that the anchored log is a beginning of this one")
	ErrNoSHA256       = errors.New("this chain has no precompiled SHA-256; choose another chain")
)

var refusals = map[string]error{
	"AlreadyCreated": ErrAlreadyCreated,
	"NotOwner":       ErrNotOwner,
	"NotOffered":     ErrNotOffered,
	"NotAnchorer":    ErrNotAnchorer,
	"NotGrowing":     ErrNotGrowing,
	"ZeroRoot":       ErrZeroRoot,
	"Inconsistent":   ErrInconsistent,
	"NoSha256":       ErrNoSHA256,
}

// Refusal is a refused anchor with the sizes that the contract compared. Another anchor, accepted since the
// proof was made, shows in PreviousSize; without one, ErrInconsistent means a fork.
type Refusal struct {
	Reason             error // ErrNotGrowing or ErrInconsistent
	PreviousSize, Size uint64
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%v (from size %d to size %d)", r.Reason, r.PreviousSize, r.Size)
}

func (r *Refusal) Unwrap() error { return r.Reason }

// ReadRefusal turns the data of a reverted call into one of the errors above, or into a *Refusal around one;
// into ErrMalformed where the contract gives no such reason, as when the gas was used up.
func ReadRefusal(data []byte) error {
	if len(data) < 4 {
		return ErrMalformed
	}
	for name, refusal := range refusals {
		e := definition.Errors[name]
		if [4]byte(e.ID[:4]) != [4]byte(data) {
			continue
		}
		args, err := unpack(e.Inputs, data[4:])
		if err != nil {
			return err
		}
		if len(args) == 2 {
			return &Refusal{refusal, args[0].(uint64), args[1].(uint64)}
		}
		return refusal
	}
	return ErrMalformed
}
