package auth

import (
	"strconv"
	"strings"
	"time"
)

const (
	usualPage = 100
	mostPage  = 1000
)

// PageRequest asks for a page of a list, the newest things first.
type PageRequest struct {
	Limit  int    // 0 is 100; at most 1,000
	Cursor string // Next of the page before, or empty
}

// Page is a page of a list.
type Page[T any] struct {
	Items []T
	Next  string // Cursor of the page after, empty on the last one
}

// span asks for one row more than the page has: whether it comes tells whether there is a page after.
func (r PageRequest) span() (Span, error) {
	if r.Limit < 0 || r.Limit > mostPage {
		return Span{}, &InvalidError{"limit", "must be from 1 to 1,000"}
	}
	span := Span{Limit: r.limit() + 1}
	if r.Cursor == "" {
		return span, nil
	}
	at, id, ok := strings.Cut(r.Cursor, "-")
	ms, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || id == "" || len(r.Cursor) > 100 || strconv.FormatInt(ms, 10) != at {
		return Span{}, &InvalidError{"cursor", "is not one that this list has given"}
	}
	span.After = Place{At: time.UnixMilli(ms).UTC(), ID: id}
	return span, nil
}

func (r PageRequest) limit() int {
	if r.Limit == 0 {
		return usualPage
	}
	return r.Limit
}

// pageOf makes a page of the rows of span.
func pageOf[T any](rows []T, r PageRequest, place func(T) Place) Page[T] {
	if len(rows) <= r.limit() {
		return Page[T]{Items: rows}
	}
	rows = rows[:r.limit()]
	last := place(rows[len(rows)-1])
	return Page[T]{Items: rows, Next: strconv.FormatInt(last.At.UnixMilli(), 10) + "-" + last.ID}
}
