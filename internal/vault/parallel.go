package vault

import (
	"context"
	"sync"
)

// each runs work on everything that feed hands out, in several goroutines, and ends with the first error
// of either.
func each[T any](ctx context.Context, workers int, feed func(hand func(T) error) error, work func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	jobs := make(chan T)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for job := range jobs {
				if ctx.Err() != nil {
					continue // drain
				}
				if err := work(ctx, job); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := feed(func(job T) error {
		select {
		case jobs <- job:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(jobs)
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
