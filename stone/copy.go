package stone

import (
	"context"
	"io"
)

// CopyBody writes the body to dst as it is stored, to its last byte. Each segment is opened first, with
// its padding, and nothing of one that is refused is written; then what dst received is genuine but
// incomplete. It uses as much memory as Stream.
func (r *Reader) CopyBody(ctx context.Context, dst io.Writer) error {
	if err := writeAll(dst, preamble{r.suite, r.fileID}.bytes()); err != nil {
		return err
	}
	i := 0
	err := stages[*openJob]{
		next: func() (*openJob, bool, error) {
			if i >= r.index.segments() {
				return nil, false, nil
			}
			i++
			return &openJob{i: i - 1}, true, nil
		},
		work: r.check,
		emit: func(j *openJob) error {
			return writeAll(dst, (*j.buf)[:r.index.row(j.i).sealed])
		},
		release: (*openJob).release,
	}.run(ctx)
	if err != nil {
		return err
	}
	return writeAll(dst, r.index.rows)
}

// check reads segment j.i, opens it elsewhere, and leaves it sealed in j.buf.
func (r *Reader) check(j *openJob) error {
	line, sealed, err := r.read(j)
	if err != nil {
		return err
	}
	buf := buffers.get(int(max(line.plain, line.sealed)))
	defer buffers.put(buf)
	plain, err := r.segments.open((*buf)[:0], j.i, line, sealed)
	if err != nil {
		return err
	}
	return r.checkPadding(j.i, plain)
}
