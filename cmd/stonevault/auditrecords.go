package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"stonevault/audit"
	"stonevault/internal/client"
)

// recordTries is how often a log is read whose parts were erased while it was read: what allows that stands behind the
// head that it was read up to.
const recordTries = 3

// records reads the whole log and holds it against all heads that were signed.
func (v *auditor) records(ctx context.Context) error {
	if v.head == nil {
		v.add("records", fmt.Errorf("what the log records %w: there is no head of it to hold it against", errUnchecked), "")
		return nil
	}
	for try := 1; ; try++ {
		report, err := v.fsck(ctx)
		if err != nil {
			if ends(err) {
				return err
			}
			v.add("records", fmt.Errorf("what the log records %w: %w", errUnchecked, err), "")
			return nil
		}
		erased := slices.ContainsFunc(report.Findings, func(f audit.Finding) bool { return f.Kind == audit.PartMissing })
		if erased && try < recordTries {
			switch newer, err := v.moveOn(ctx); {
			case ends(err):
				return err
			case err != nil && !isTampering(err):
				// Whether an erasure allows what is missing is in the part of the log that was not shown.
				v.add("records", fmt.Errorf("what the log records %w: %w", errUnchecked, err), "")
				return nil
			case err != nil:
				v.add("history", err, "")
			case newer:
				continue
			}
		}
		v.take(report)
		return nil
	}
}

// moveOn goes over to a newer head, and tells whether there is one.
func (v *auditor) moveOn(ctx context.Context) (bool, error) {
	pin, err := v.a.checkPin(ctx, v.c, v.p)
	if err != nil || pin.Head.Tree.Size <= v.head.Tree.Size {
		return false, err
	}
	v.pin, v.head = pin, &pin.Head
	v.heads = append(v.heads, pin.Head.Tree)
	return true, nil
}

// take makes what was found part of the report.
func (v *auditor) take(report *audit.Report) {
	r := &v.report
	r.Findings, r.Found = append(r.Findings, report.Findings...), report.Found
	r.Erasures, r.Withheld = append(r.Erasures, report.Erasures...), report.Unchecked
	var err error
	if !report.OK() {
		err = fmt.Errorf("what the log records %w: %s; the first %s still what was signed", errFalse,
			counted(report.Found, "thing was changed", "things were changed"), counted(report.Intact, "event gives", "events give"))
	}
	v.add("records", err, "All %s and %s are what was signed", counted(report.Events, "event", "events"), counted(report.Tiles, "tile", "tiles"))
}

func (v *auditor) fsck(ctx context.Context) (*audit.Report, error) {
	largest := slices.MaxFunc(v.heads, func(a, b audit.Tree) int { return int(min(max(a.Size-b.Size, -1), 1)) })
	bars := v.a.newProgress()
	bar := bars.counter("checking", "events", largest.Size)
	defer bars.wait()
	defer bar.end()
	return audit.Fsck(audit.StoredLog{
		Heads: v.heads, Rows: v.rows(ctx, largest.Size, bar), Tiles: v.tiles(ctx, largest), Tasks: runtime.GOMAXPROCS(0),
	})
}

// rows yields the log's rows up to a size; it may have grown since.
func (v *auditor) rows(ctx context.Context, size int64, bar *bar) iter.Seq2[audit.Row, error] {
	return func(yield func(audit.Row, error) bool) {
		for row, err := range v.c.AuditRows(ctx, 0) {
			if err == nil && row.Index >= size || !yield(row, err) {
				return
			}
			bar.add(1)
		}
	}
}

const (
	tilesAtOnce   = 8
	tilesInFlight = 64
)

// tiles yields the tiles of a tree. One that the server doesn't have is left out.
func (v *auditor) tiles(ctx context.Context, tree audit.Tree) iter.Seq2[audit.TileData, error] {
	return func(yield func(audit.TileData, error) bool) {
		for wanted := range chunks(tree.Tiles(), tilesInFlight) {
			data, err := v.fetchTiles(ctx, wanted)
			if err != nil {
				yield(audit.TileData{}, err)
				return
			}
			for i, tile := range wanted {
				if data[i] != nil && !yield(audit.TileData{Tile: tile, Data: data[i]}, nil) {
					return
				}
			}
		}
	}
}

// fetchTiles returns the hashes of tiles; nil for one that isn't there.
func (v *auditor) fetchTiles(ctx context.Context, tiles []audit.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(tilesAtOnce)
	for i, tile := range tiles {
		group.Go(func() (err error) {
			if data[i], err = v.c.AuditTile(ctx, tile); errors.Is(err, client.ErrNotFound) {
				data[i], err = nil, nil
			}
			return err
		})
	}
	return data, group.Wait()
}

// chunks yields what comes n at a time.
func chunks[T any](seq iter.Seq[T], n int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		var some []T
		for one := range seq {
			if some = append(some, one); len(some) == n {
				if !yield(some) {
					return
				}
				some = nil
			}
		}
		if len(some) > 0 {
			yield(some)
		}
	}
}

// tileReader reads tiles for proofs, which check them.
type tileReader struct {
	ctx context.Context
	v   *auditor
}

var _ audit.TileReader = tileReader{}

func (r tileReader) ReadTiles(tiles []audit.Tile) ([][]byte, error) {
	return r.v.fetchTiles(r.ctx, tiles)
}
