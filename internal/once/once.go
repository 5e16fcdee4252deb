package once

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"stonevault/internal/auditlog"
)

const (
	// KeepFor is how long an answer is kept.
	KeepFor = 24 * time.Hour
	// MaxAnswers is how many answers are kept for one person. The oldest go first: whoever makes more than that in a day
	// retries what was made last.
	MaxAnswers = 10_000
)

var (
	// ErrNotFound is an answer that is not kept.
	ErrNotFound = errors.New("no answer is kept for this key")
	// ErrReused is a key that another request has used.
	ErrReused = errors.New("the key was used for another request")
	// ErrInProgress is a request of which the first is still under way.
	ErrInProgress = errors.New("a request with this key is under way")
	// ErrDone is a request that another server has answered in the meantime.
	ErrDone = errors.New("a request with this key was answered meanwhile")

	errNoAnswer = errors.New("once: nobody said what the answer to a request with a key is")
)

// Answer is what a request is answered with, each time.
type Answer struct {
	Status int // 200 to 299
	Header map[string]string
	Body   []byte
	Event  int64 // of the audit log, or 0
}

// Row is an answer as it is kept.
type Row struct {
	Person  string
	Key     [sha256.Size]byte // of the route and the key
	Request [sha256.Size]byte // what tells the request from others
	Answer
	CreatedAt time.Time
}

// Tx is the part of one transaction that keeps answers.
type Tx interface {
	Answer(ctx context.Context, person string, key [sha256.Size]byte) (Row, error)
	// PutAnswer keeps an answer in the place of one with the same key, and of all the person's so many, the newest. Where
	// the person is gone it is vault.ErrConflict.
	PutAnswer(ctx context.Context, r Row, most int) error
	// DeleteAnswers removes those that were kept before a time, up to a limit, and tells how many.
	DeleteAnswers(ctx context.Context, before time.Time, limit int) (int64, error)
}

// Request is a request with a key, from when it comes until it is answered.
type Request struct {
	person  string
	key     [sha256.Size]byte
	request [sha256.Size]byte
	now     func() time.Time
	answer  func(made any) (Answer, error) // nil until somebody says
}

type requestKey struct{}

// With returns a context of a request with a key.
func With(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

func requestIn(ctx context.Context) *Request {
	r, _ := ctx.Value(requestKey{}).(*Request)
	return r
}

// Answering says what a request is answered with that has made a T. Without a key in ctx, nothing is to be said.
func Answering[T any](ctx context.Context, answer func(made T) (Answer, error)) {
	if r := requestIn(ctx); r != nil {
		r.answer = func(made any) (Answer, error) { return answer(made.(T)) }
	}
}

// Do runs in a transaction what makes something, and keeps the answer in the same transaction where the request has a
// key. make runs only where no answer is kept.
func Do(ctx context.Context, tx Tx, make func() (made any, err error)) error {
	r := requestIn(ctx)
	if r == nil {
		_, err := make()
		return err
	}
	kept, err := tx.Answer(ctx, r.person, r.key)
	if err == nil && r.stands(kept) {
		return ErrDone
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	made, err := make()
	if err != nil {
		return err
	}
	if r.answer == nil {
		return errNoAnswer
	}
	row := Row{Person: r.person, Key: r.key, Request: r.request, CreatedAt: r.now()}
	if row.Answer, err = r.answer(made); err != nil {
		return err
	}
	row.Event = auditlog.Attempted(ctx)
	return tx.PutAnswer(ctx, row, MaxAnswers)
}

// stands tells whether a kept answer is young enough to be given.
func (r *Request) stands(kept Row) bool { return r.now().Before(kept.CreatedAt.Add(KeepFor)) }

// check returns a kept answer, unless it is another request's.
func (r *Request) check(kept Row) (Answer, error) {
	switch {
	case !r.stands(kept):
		return Answer{}, ErrNotFound
	case !bytes.Equal(kept.Request[:], r.request[:]):
		return Answer{}, ErrReused
	}
	return kept.Answer, nil
}
