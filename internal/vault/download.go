package vault

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"stonevault/audit"
	"stonevault/stone"
)

const (
	// downloadIdle is how long a download that is not whole waits for a further range of the same file.
	downloadIdle = 30 * time.Second
	// maxSpans bounds the stretches of a file that are kept apart; a download in more pieces counts as broken off.
	maxSpans = 4096
)

// download is what somebody takes of a version: one request, or ranges of it that follow one another.
type download struct {
	id    string
	actor Actor
	entry Entry
	size  int64
	alone bool // no range joins it, so that it ends with its request

	// What follows is guarded by downloads.mu.
	requests int // under way
	spans    spans
	bytes    int64 // that have left
	idle     time.Time
	over     bool // its end is recorded, or about to be: a request that a stopping server left behind adds nothing
}

// downloads are those under way. One that ends is recorded at once where it is whole, and else when no further
// range has come for a while.
type downloads struct {
	mu     sync.Mutex
	open   map[*download]bool
	latest map[downloadKey]*download // that a range may join
	ending sync.WaitGroup
}

// downloadKey says what may be one download. The address is part of it, so that whoever has stolen a session shows
// beside its owner.
type downloadKey struct {
	person           PersonID
	session, address string
	file             stone.FileID
}

func (d *download) key() downloadKey {
	return downloadKey{d.actor.Person, d.actor.Session, d.actor.Address, d.entry.Version.FileID}
}

// join returns the download that a range belongs to, or nil. One of which as much has left as the file is long takes
// no more: what is fetched again and again is several.
func (s *downloads) join(key downloadKey) *download {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.latest[key]
	if d == nil || d.bytes >= d.size {
		return nil
	}
	d.requests++
	return d
}

func (s *downloads) add(d *download) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open, s.latest = map[*download]bool{}, map[downloadKey]*download{}
	}
	d.requests = 1
	s.open[d] = true
	if !d.alone {
		s.latest[d.key()] = d
	}
}

func (s *downloads) took(d *download, offset, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.over {
		return
	}
	d.spans.add(offset, offset+n)
	d.bytes += n
}

// leave ends one request, and tells whether the download has ended with it.
func (s *downloads) leave(d *download, now time.Time) (ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.requests--
	d.idle = now
	if d.over || d.requests > 0 || !d.alone && !d.whole() {
		return false
	}
	s.remove(d)
	s.ending.Add(1)
	return true
}

// idle takes out those that nobody goes on with, or all.
func (s *downloads) idle(now time.Time, all bool) (ended []*download) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for d := range s.open {
		if age := now.Sub(d.idle); all || d.requests == 0 && (age < 0 || age >= downloadIdle) {
			s.remove(d)
			s.ending.Add(1)
			ended = append(ended, d)
		}
	}
	return ended
}

// remove is called under mu.
func (s *downloads) remove(d *download) {
	d.over = true
	delete(s.open, d)
	if s.latest[d.key()] == d {
		delete(s.latest, d.key())
	}
}

func (d *download) whole() bool { return d.spans.cover(d.size) }

// spans are stretches of a file, in order and apart.
type spans []span

type span struct{ start, end int64 }

// add joins a stretch with those that it touches. Where they have become too many, nothing is whole any more.
func (s *spans) add(start, end int64) {
	if start >= end {
		return
	}
	merged := make(spans, 0, len(*s)+1)
	for _, old := range *s {
		if old.end < start || old.start > end {
			merged = append(merged, old)
			continue
		}
		start, end = min(start, old.start), max(end, old.end)
	}
	at := 0
	for at < len(merged) && merged[at].end < start {
		at++
	}
	merged = append(merged, span{})
	copy(merged[at+1:], merged[at:])
	merged[at] = span{start, end}
	if len(merged) <= maxSpans {
		*s = merged
	}
}

func (s spans) cover(size int64) bool {
	return size == 0 || len(s) == 1 && s[0] == span{0, size}
}

// begin records, before the first byte of a content leaves, that it does; or joins a download of which this is
// a further range.
func (c *Content) begin(ctx context.Context, whole bool) error {
	if c.download != nil {
		return nil
	}
	d := &download{id: c.v.newID(), actor: c.actor, entry: c.Entry, size: c.Size()}
	if !whole {
		if c.download = c.v.downloads.join(d.key()); c.download != nil {
			return nil
		}
	}
	by := "content"
	if c.Archived {
		by = "archive"
	}
	err := c.v.recordRead(ctx, audit.DownloadBegun, d.actor, and(readOf(d.entry), audit.Values{"download": d.id, "size": d.size, "by": by}), d.entry)
	if err != nil {
		return err
	}
	c.v.downloads.add(d)
	c.download = d
	return nil
}

// finishDownload ends a request of a download. What is whole is recorded beside the caller, who has all of its bytes.
func (v *Vault) finishDownload(d *download) {
	if v.downloads.leave(d, v.now()) {
		go v.endDownload(context.Background(), d)
	}
}

// endDownload records the end. What cannot be written is tried again by EndDownloads.
func (v *Vault) endDownload(ctx context.Context, d *download) error {
	defer v.downloads.ending.Done()
	outcome := "broken-off"
	if d.whole() {
		outcome = "complete"
	}
	values := and(readOf(d.entry), audit.Values{"download": d.id, "outcome": outcome, "bytes": d.bytes})
	err := v.recordRead(ctx, audit.DownloadEnded, d.actor, values, d.entry)
	if err != nil {
		v.log.ErrorContext(ctx, "the end of a download could not be recorded, and will be tried again", "download", d.id, "error", err)
		v.downloads.leaveOpen(d)
	}
	return err
}

// leaveOpen keeps a download whose end could not be recorded. Nothing joins it any more.
func (s *downloads) leaveOpen(d *download) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[d] = true
}

// EndDownloads records the end of downloads that nobody goes on with, or of all. A server calls it every few
// seconds, and with all when it ends.
func (v *Vault) EndDownloads(ctx context.Context, all bool) error {
	var failed []error
	for _, d := range v.downloads.idle(v.now(), all) {
		if err := v.endDownload(ctx, d); err != nil {
			failed = append(failed, err)
		}
	}
	if all {
		v.downloads.ending.Wait()
	}
	return errors.Join(failed...)
}

// leaving records a download before the first byte that is written through it.
type leaving struct {
	ctx     context.Context
	content *Content
	w       io.Writer
	whole   bool
	n       int64
}

func (l *leaving) Write(b []byte) (int, error) {
	if err := l.content.begin(l.ctx, l.whole); err != nil {
		return 0, err
	}
	n, err := l.w.Write(b)
	l.n += int64(n)
	return n, err
}
