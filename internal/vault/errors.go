package vault

import (
	"errors"
	"fmt"
)

var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("already exists")
	ErrConflict = errors.New("changed meanwhile")
	// ErrNotEmpty is a folder that cannot be removed by itself.
	ErrNotEmpty     = fmt.Errorf("%w: the folder is not empty", ErrConflict)
	ErrPrecondition = errors.New("precondition failed")
	ErrNoSpace      = errors.New("no space left")
	ErrForbidden    = errors.New("not allowed")
	// ErrUnavailable is a database or a store that cannot be asked now.
	ErrUnavailable = errors.New("not available at the moment")
	// ErrRefused is what a reader gets for anything that does not verify. The precise reason is wrapped
	// for the log and never shown.
	ErrRefused = errors.New("refused: the stored data does not match what was sealed")
)

// InvalidError is a value that a caller gave and that cannot be accepted.
type InvalidError struct {
	Field  string
	Reason string // a sentence part for people: "is longer than 255 bytes"
}

func (e *InvalidError) Error() string { return e.Field + " " + e.Reason }
