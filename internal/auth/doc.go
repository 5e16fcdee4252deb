// Package auth knows who is asking: passwords, access tokens, the sessions behind them, and the code that lets
// the first person in.
//
// An access token is a JWT that one of the vault's own keys has signed with HS256; it lives ten minutes
// and is good only while its session, its person and its epoch are. A refresh token is 32 random bytes
// that the store knows by their SHA-256 alone; each is exchanged once. Programs have API tokens, which are kept
// in the same way. Invariants: no secret is stored, logged or compared in variable time; an unknown name costs
// what a wrong password costs; a try is counted before it is looked at; what cannot be checked is refused.
//
// It does not decide what a person may do: that is the vault's. It knows neither HTTP nor SQL.
package auth

import (
	"errors"
	"time"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

var (
	// ErrUnauthenticated is any access token that is not good, whatever the reason.
	ErrUnauthenticated = errors.New("not signed in")
	// ErrCredentials is a wrong password, an unknown name or an account that is switched off.
	ErrCredentials = errors.New("wrong name or password")
	// ErrSessionEnded is a refresh token that gives nothing any more.
	ErrSessionEnded = errors.New("the session has ended")
	// ErrReused is an ErrSessionEnded that ended the session: somebody used an old refresh token again.
	ErrReused = &reusedError{}
	// ErrSecondFactorRequired is the answer to the right password where a code is wanted besides.
	ErrSecondFactorRequired = errors.New("the code of the second factor is missing")
	// ErrPassword is a wrong password of somebody who is signed in.
	ErrPassword = errors.New("wrong password")
	// ErrEnrolled says that there is a second factor already.
	ErrEnrolled = errors.New("there is a second factor already")
	// ErrTooMany is what every TooManyError is.
	ErrTooMany = errors.New("too many tries that failed")
	// ErrBusy says that too many people are signing in at once.
	ErrBusy = errors.New("too many sign-ins at once")
)

type reusedError struct{}

func (*reusedError) Error() string { return "a refresh token was used twice, so its session was ended" }
func (*reusedError) Unwrap() error { return ErrSessionEnded }

// TooManyError says how long it is until the next try is looked at.
type TooManyError struct{ Wait time.Duration }

func (e *TooManyError) Error() string {
	return "too many tries that failed; wait for " + e.Wait.String()
}
func (*TooManyError) Unwrap() error { return ErrTooMany }

// InvalidError is a value that a caller gave and that cannot be accepted.
type InvalidError struct {
	Field  string
	Reason string // a sentence part for people: "is longer than 1,024 bytes"
}

func (e *InvalidError) Error() string { return e.Field + " " + e.Reason }

// NameKey is the form of an account's name that is unique and looked up: NFC, then case-folded.
func NameKey(name string) string {
	return cases.Fold().String(norm.NFC.String(name))
}
