package stone

import (
	"errors"
	"fmt"
)

var (
	// ErrRefused is what everything that is not exactly a genuine stone gets. Its text carries the
	// precise reason, which belongs in a log and not in a stranger's hands.
	ErrRefused = errors.New("stone: refused")
	// ErrNoGrant is a genuine stone that was sealed for somebody else.
	ErrNoGrant = errors.New("stone: no grant for this key")
	// ErrTooLarge is a plaintext of more than MaxSegments segments.
	ErrTooLarge = errors.New("stone: the content is larger than 1 TiB")
)

// refusal is an ErrRefused with its reason.
type refusal struct{ reason error }

func (r *refusal) Error() string        { return "stone: refused: " + r.reason.Error() }
func (r *refusal) Is(target error) bool { return target == ErrRefused }
func (r *refusal) Unwrap() error        { return r.reason }

func refuse(format string, args ...any) error { return &refusal{fmt.Errorf(format, args...)} }
