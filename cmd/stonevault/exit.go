package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"stonevault/internal/client"
	"stonevault/stone"
)

var (
	errInterrupted = errors.New("interrupted; nothing appears under the name of the output")
	// errFalse is what doesn't hold: a receipt, or the log that it is of.
	errFalse = errors.New("does not hold")
	// errUnchecked is a check that could not be made, which says nothing about what was to be checked.
	errUnchecked = errors.New("could not be checked")
)

// exitCodes is the one place that knows them. The first row that fits counts; everything else is 1.
var exitCodes = []struct {
	err  error
	code int
}{
	{errInterrupted, 130},
	{context.Canceled, 130},
	{stone.ErrRefused, 2},
	{client.ErrRefused, 2},
	{client.ErrOtherVault, 2},
	{client.ErrOtherCertificate, 2},
	{client.ErrOtherLog, 2},
	{client.ErrLogRewritten, 2},
	{errFalse, 2},
	{errUnchecked, 3},
	{client.ErrNotSignedIn, 4},
	{client.ErrCredentials, 4},
	{client.ErrSecondFactor, 4},
	{client.ErrEnrolFirst, 4},
	{client.ErrToken, 4},
}

// report writes err for people and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return 0
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(a.stderr, "stonevault: %s\n", strings.TrimSuffix(line, "\n"))
	}
	var usage *usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(a.stderr, "Try: %s\n", usage.try)
	}
	if errors.Is(err, client.ErrEnrolFirst) {
		fmt.Fprintf(a.stderr, "Try: %s\n", factorExample)
	}
	var problem *client.Problem
	if errors.As(err, &problem) && problem.Status == http.StatusTooManyRequests && problem.RetryAfter > 0 {
		fmt.Fprintf(a.stderr, "Try again in %s.\n", lasting(problem.RetryAfter))
	}
	for _, row := range exitCodes {
		if errors.Is(err, row.err) {
			return row.code
		}
	}
	return 1
}

// usageError is a command line that makes no sense; try is what to type next.
type usageError struct {
	problem string
	try     string
}

func (e *usageError) Error() string { return e.problem }

func misuse(try, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...), try}
}

// asUsage makes what the flag parser says a usage error.
func asUsage(err error, try string) error {
	var usage *usageError
	if errors.As(err, &usage) {
		return err
	}
	return &usageError{err.Error(), try}
}

// fileError says what could not be done with a file, without the name of the system call.
func fileError(doing, path string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return fmt.Errorf("cannot %s %s: %w", doing, shown(path), err)
}
